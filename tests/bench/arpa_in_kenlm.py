"""Have KenLM score with the ARPA files that lmkit writes, and print how far its numbers are from lmkit's.

    python tests/bench/arpa_in_kenlm.py [TEXT]

The models learn from all but every tenth line of the text (by default a play of corpora/) and score those, with words
that no model knows and empty lines among them. The exit status is 1 if a token is more than 1e-5 (log10) apart.
"""

from __future__ import annotations

import math
import pathlib
import re
import sys
import tempfile
import warnings

import kenlm
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import lmkit  # noqa: E402
from lmkit import cli  # noqa: E402
from lmkit.errors import LmkitWarning  # noqa: E402

BOUND = 1e-5
BACK_OFF = {"interpolate": False}
MODELS = {
    "modified-kneser-ney": {"order": 5},
    "modified-kneser-ney, cut off": {"order": 4, "cutoffs": (0, 0, 1)},
    "modified-kneser-ney, backing off": {"order": 3, **BACK_OFF},
    "kneser-ney": {"order": 3, "smoothing": "kneser-ney"},
    "katz": {"order": 3, "smoothing": "katz"},
    "witten-bell": {"order": 4, "smoothing": "witten-bell"},
    "witten-bell, backing off": {"order": 4, "smoothing": "witten-bell", **BACK_OFF},
    "absolute": {"order": 3, "smoothing": "absolute"},
    "absolute, backing off": {"order": 3, "smoothing": "absolute", **BACK_OFF},
    "jelinek-mercer": {"order": 3, "smoothing": "jelinek-mercer", "valid": 0.1},
    "stupid-backoff": {"order": 3, "smoothing": "stupid-backoff"},
    "bigrams": {"order": 2},  # KenLM reads no unigrams alone
    "the word tokenizer": {"order": 4, "tokenizer": "word"},
    "characters": {"order": 6, "tokenizer": "char"},
}


def split(text: bytes) -> tuple[bytes, bytes]:
    """Return what to learn from and what to score, in lines."""
    lines = text.splitlines(keepends=True)
    train = [line for i, line in enumerate(lines) if i % 10]
    scored = [line for i, line in enumerate(lines) if not i % 10]
    return b"".join(train), b"".join([*scored, b"\n", b"qwertz the zzyzx of uiop\n", b"\n\n", b"zzyzx\n"])


def without_contexts(arpa: bytes) -> bytes:
    """Leave every third bigram out of an ARPA file: some are contexts of trigrams that stay."""
    before, bigrams, after = re.split(rb"(?<=\\2-grams:\n)(.*?\n)(?=\n)", arpa, maxsplit=1, flags=re.DOTALL)
    kept = [line for i, line in enumerate(bigrams.splitlines(keepends=True)) if i % 3]
    return re.sub(rb"ngram 2=\d+", b"ngram 2=%d" % len(kept), before) + b"".join(kept) + after


def differences(model: lmkit.Model, arpa: pathlib.Path, text: bytes) -> np.ndarray:
    """Return how far each token's log10 p is from KenLM's."""
    quiet = kenlm.Config()
    quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    theirs = kenlm.Model(str(arpa), quiet)
    whole = model.text.settings.tokenizer != "whitespace"  # whose tokens stand in the text and in the file as they are
    listed = b"".join(lmkit.tokenize(("the text", text), model)) if whole else text
    sentences = listed.decode().removesuffix("\n").split("\n")
    expected = [p for sentence in sentences for p, _, _ in theirs.full_scores(sentence)]
    found, _ = model.score(model.begin(), model.text.encode_text(text.decode()).ids[None])
    return np.abs(found[0] / math.log(10) - expected)


def models(train: bytes, folder: pathlib.Path):
    """Yield the name of each model and its file."""
    for name, options in MODELS.items():
        path = folder / "model.lmkit"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LmkitWarning)  # characters have no singletons, and discounts fall back
            model = lmkit.train(("the text", train), output=path, **{"tokenizer": "whitespace", **options})
        yield name, path
    model = lmkit.train(("the text", train), order=4, tokenizer="whitespace")
    lmkit.prune(model, threshold=1e-6, output=path)
    yield "pruned", path
    (folder / "less.arpa").write_bytes(without_contexts(b"".join(lmkit.arpa(model))))
    lmkit.from_arpa(folder / "less.arpa", output=path)
    yield "contexts left out", path


def main(path: pathlib.Path) -> int:
    """Print a row for each model, as an ARPA file and a compressed one."""
    train, text = split(path.read_bytes())
    largest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for title, model in models(train, folder):
            for target in ("model.arpa", "model.arpa.gz"):
                if cli.run(["convert", str(model), str(folder / target)]):
                    return 1
                apart = differences(lmkit.load(model), folder / target, text)
                largest = max(largest, float(apart.max()))
                print(
                    f"{'ok  ' if apart.max() <= BOUND else 'FAIL'} {title}, {target[5:]}: {len(apart)} tokens, "
                    f"largest difference {apart.max():.1e}",
                    flush=True,
                )
    print(f"largest difference of all: {largest:.1e} (log10 of a token)")
    return int(not largest <= BOUND)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "corpora" / "the-tide-mill.txt"))
