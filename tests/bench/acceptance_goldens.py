"""Run every case of a folder of lmplz's outputs through lmkit and print how far they are apart.

    python tests/bench/acceptance_goldens.py FOLDER

The folder holds `inputs/` and `kenlm/CASE/` with `cmd.txt`, `lmplz.rc`, `model.arpa.gz`, `query.summary.txt`. The
exit status is 1 if a probability or back-off is more than 1e-5 (log10) or a perplexity more than 0.01 % apart.
"""

from __future__ import annotations

import gzip
import pathlib
import re
import sys
import time
import warnings

TESTS = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from goldens.compare import (  # noqa: E402
    LOG10_BOUND,
    PERPLEXITY_BOUND,
    differences,
    options_of,
    relative,
    train_like_lmplz,
)
from reference import read_arpa  # noqa: E402

import lmkit  # noqa: E402
from lmkit.api import Model  # noqa: E402
from lmkit.errors import CorpusError, LmkitWarning  # noqa: E402


def run(folder: pathlib.Path, case: pathlib.Path) -> tuple[str, bool]:
    """Return one line about a case, and whether it is within the bounds."""
    command = (case / "cmd.txt").read_text()
    train = re.search(r"lmplz .*?< (\S+)", command)[1]
    options = options_of(command.splitlines()[0], lambda path: (folder / path).read_bytes())
    data = (folder / train).read_bytes()
    if "rc=0" not in (case / "lmplz.rc").read_text():
        return refused(data, options)
    try:
        model = Model(train_like_lmplz(data, options))
    except CorpusError as error:
        return f"refused by lmkit, as it should be: {error}", not data.strip()
    parts, good = [], True
    if (case / "model.arpa.gz").exists():
        with gzip.open(case / "model.arpa.gz") as lines:
            apart = differences(model.language_model, read_arpa(lines))
        worst = max(apart, key=apart.get)
        gram = b" ".join(worst).decode("utf-8", "replace")
        parts.append(f"{len(apart)} n-grams, worst log10 {apart[worst]:.1e} ({gram})")
        good = apart[worst] <= LOG10_BOUND
    else:
        parts.append("no ARPA file")
    summary = (case / "query.summary.txt").read_text() if (case / "query.summary.txt").exists() else ""
    expected = dict(re.findall(r"(\w+ OOVs|OOVs|Tokens):\t(\S+)", summary))
    test = re.search(r"query -v summary model.arpa < (\S+)", command)[1]
    if test.endswith("special.txt"):
        parts.append("perplexity: see tests/ngram/test_goldens.py (the query scores a literal <s>)")
    elif expected:
        found = lmkit.perplexity(model, [folder / test], errors="keep")
        apart = [
            relative(found.perplexity, float(expected["including OOVs"])),
            relative(found.perplexity_without_oov, float(expected["excluding OOVs"])),
        ]
        parts.append(f"perplexity {found.perplexity:.4f} ({apart[0]:.1e})")
        parts.append(f"without OOVs {found.perplexity_without_oov:.4f} ({apart[1]:.1e})")
        good = good and max(apart) <= PERPLEXITY_BOUND
        good = good and (found.oov, found.tokens) == (int(expected["OOVs"]), int(expected["Tokens"]))
    else:
        parts.append("no query numbers")
    return ", ".join(parts), good


def refused(data, options) -> tuple[str, bool]:
    """What lmkit does where lmplz stopped: it falls back with a warning, or stops with a clear error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            train_like_lmplz(data, options)
        except CorpusError as error:
            return f"lmplz stopped; so does lmkit: {error}", True
    if not caught:
        return "lmplz stopped, lmkit did not", False
    return f"lmplz stopped; lmkit warns: {caught[0].message}", True


# Perplexities without OOVs of other tools on the text `shak`, order 3, and lmkit's options for the same.
OTHERS = {
    "SRILM -kndiscount": (135.3153, {"interpolate": False}),
    "SRILM -ukndiscount -interpolate = MITLM KN": (124.7991, {"smoothing": "kneser-ney"}),
    "SRILM Good-Turing, singletons of order 3 dropped": (129.261, {"smoothing": "katz", "cutoffs": (0, 0, 1)}),
    "SRILM -wbdiscount": (142.1198, {"smoothing": "witten-bell", "interpolate": False}),
    "SRILM -wbdiscount -interpolate": (150.7612, {"smoothing": "witten-bell"}),
    "SRILM -cdiscount 0.5": (144.4857, {"smoothing": "absolute", "discount": 0.5, "interpolate": False}),
    "SRILM -cdiscount 0.5 -interpolate": (161.4125, {"smoothing": "absolute", "discount": 0.5}),
    "SRILM -addsmooth 1": (948.8013, {"smoothing": "add-k", "k": 1.0, "interpolate": False}),
    "SRILM -addsmooth 0.1": (352.9637, {"smoothing": "add-k", "k": 0.1, "interpolate": False}),
}
PRUNED = {1e-8: 123.1139, 1e-7: 123.5635, 1e-6: 127.6041, 1e-5: 147.9108}  # SRILM -kndiscount -interpolate -prune
OTHERS_BOUND = 1e-3


def other_tools(folder: pathlib.Path) -> bool:
    """Print the perplexities beside theirs; return whether all are within the bound."""
    text, test = folder / "inputs" / "shak.train.txt", folder / "inputs" / "shak.test.txt"
    settings = {"order": 3, "tokenizer": "whitespace", "errors": "keep"}
    models = {
        name: (expected, lmkit.train(text, **settings, **options)) for name, (expected, options) in OTHERS.items()
    }
    whole, all_good = lmkit.train(text, **settings), True
    models |= {
        f"SRILM -prune {share:g}": (found, lmkit.prune(whole, threshold=share)) for share, found in PRUNED.items()
    }
    for name, (expected, model) in models.items():
        found = lmkit.perplexity(model, test, errors="keep").perplexity_without_oov
        good = relative(found, expected) <= OTHERS_BOUND
        all_good = all_good and good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {expected}, lmkit {found:.4f} ({relative(found, expected):.1e})")
    return all_good


def main(folder: pathlib.Path) -> int:
    all_good = other_tools(folder)
    for case in sorted((folder / "kenlm").iterdir()):
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("error", LmkitWarning)
            line, good = run(folder, case)
        all_good = all_good and good
        print(f"{'ok  ' if good else 'FAIL'} {case.name}: {line} [{time.monotonic() - started:.1f} s]", flush=True)
    return 0 if all_good else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
