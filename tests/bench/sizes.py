"""Size against perplexity: 5-grams of a text, plain, pruned and packed, beside the tries of KenLM in `$KENLM_BIN`.

    KENLM_BIN=/opt/kenlm/bin python tests/bench/sizes.py corpus.txt

The text has one sentence a line and tokens between blanks; its last tenth is held out. Perplexities are those without
words that are out of vocabulary. Rounded numbers need not sum to one, and a model whose sums are too large looks better
than it is: "log sum" is the mean over some histories of the logarithm of the sum over all words, to be added to the
logarithm of the perplexity. For KenLM its Python module finds it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from run import LMKIT, ROOT

import lmkit

LARGEST_TAIL = 10_000_000  # bytes that are held out
HISTORIES = 500  # whose distributions are summed


def halves(text: Path, folder: Path) -> tuple[Path, Path]:
    """Cut a text into one to train on and one to score."""
    data = text.read_bytes()
    cut = data.index(b"\n", len(data) - min(len(data) // 10, LARGEST_TAIL)) + 1
    train, tail = folder / "train.txt", folder / "tail.txt"
    train.write_bytes(data[:cut])
    tail.write_bytes(data[cut:])
    return train, tail


def row(name: str, model: Path, perplexity: float, log_sum: float | None) -> None:
    shown = "" if log_sum is None else f"{log_sum:.4f}"
    print(f"| {name} | {model.stat().st_size / 1e6:.1f} MB | {perplexity:.3f} | {shown} |", flush=True)


def histories(tail: Path) -> list[list[str]]:
    """Return beginnings of lines, always the same."""
    lines = [line.split() for line in tail.read_text(errors="replace").splitlines() if line.strip()]
    rng = random.Random(1)
    chosen = [rng.choice(lines) for _ in range(HISTORIES)]
    return [line[: rng.randrange(len(line) + 1)] for line in chosen]


def log_sum_of_lmkit(model: Path, tail: Path) -> float:
    """Return the mean of log sum over w of p(w | history)."""
    loaded = lmkit.load(model)
    found = []
    for words in histories(tail):
        ids = loaded.text.encode_text(" ".join(words), complete=False).ids if words else np.empty(0, np.int32)
        state = loaded.score(loaded.begin(), ids[None])[1]
        found.append(np.log(np.exp(loaded.log_probs(state)[0].astype(np.float64)).sum()))
    return float(np.mean(found))


def log_sum_of_kenlm(model: Path, vocabulary: list[str], tail: Path) -> float | None:
    """Return the same of KenLM, if its Python module is there."""
    with contextlib.suppress(ImportError):
        import kenlm

        loaded, found = kenlm.Model(str(model)), []
        for words in histories(tail):
            state = kenlm.State()
            loaded.BeginSentenceWrite(state)
            for word in words:
                before, state = state, kenlm.State()
                loaded.BaseScore(before, word, state)
            after = kenlm.State()
            found.append(math.log(sum(10 ** loaded.BaseScore(state, word, after) for word in vocabulary)))
        return sum(found) / len(found)
    return None


def lmkit_rows(train: Path, tail: Path, folder: Path, targets: list[int]) -> None:
    """Print what lmkit makes of the text, whole and in as many bytes as the others' files have."""
    plain, small = folder / "plain.lmkit", folder / "small.lmkit"
    ways = {"lmkit": None}
    for bits in (16, 12, 10, 9, 8, 6, 4):
        ways[f"`--quantize {bits}`"] = ["--quantize", str(bits)]
    for target in targets:
        for quantize in ([], ["--quantize", "8"]):
            ways[f"`{' '.join(['--size', str(target), *quantize])}`"] = ["--size", str(target), *quantize]
    for name, options in ways.items():
        if options:
            subprocess.run([*LMKIT, "prune", "-q", str(plain), *options, "-o", str(small)], check=True)
        model = small if options else plain
        scored = subprocess.run(
            [*LMKIT, "perplexity", "-m", str(model), str(tail), "--format", "json"], check=True, capture_output=True
        )
        row(name, model, json.loads(scored.stdout)["perplexity_without_oov"], log_sum_of_lmkit(model, tail))


def kenlm_rows(train: Path, tail: Path, folder: Path, programs: Path) -> list[int]:
    """Print what KenLM makes of the text; return the sizes of its files."""
    arpa, binary, sizes = folder / "model.arpa", folder / "model.trie", []
    tokens = lmkit.load(folder / "plain.lmkit").text.vocabulary.tokens()
    words = [token for token in tokens if token != "<s>"]
    with open(train, "rb") as source, open(arpa, "wb") as sink:
        lmplz = [programs / "lmplz", "-o", "5", "-S", "4G", "-T", folder]
        subprocess.run(lmplz, stdin=source, stdout=sink, stderr=subprocess.DEVNULL, check=True)
    for options in ([], ["-q", "8", "-b", "8", "-a", "22"]):
        build = [programs / "build_binary", "-T", folder, *options, "trie", arpa, binary]
        subprocess.run(build, stderr=subprocess.DEVNULL, check=True)
        with open(tail, "rb") as source:
            query = [programs / "query", "-v", "summary", binary]
            printed = subprocess.run(query, stdin=source, capture_output=True, text=True, check=True).stdout
        perplexity = float(re.search(r"Perplexity excluding OOVs:\s+(\S+)", printed)[1])
        row(f"KenLM `{' '.join(['trie', *options])}`", binary, perplexity, log_sum_of_kenlm(binary, words, tail))
        sizes.append(binary.stat().st_size)
    return sizes


def main() -> None:
    """Print a table."""
    text = Path(sys.argv[1])
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(dir=os.environ.get("LMKIT_BENCH_FOLDER")) as name:
        folder = Path(name)
        train, tail = halves(text, folder)
        print(f"{text.name}: {train.stat().st_size / 1e6:.1f} MB to train on, {tail.stat().st_size / 1e6:.1f} to score")
        print("| model | size | perplexity | log sum |\n|---|---|---|---|")
        plain, programs = folder / "plain.lmkit", os.environ.get("KENLM_BIN")
        subprocess.run([*LMKIT, "train", "-q", "--tokenizer", "whitespace", str(train), "-o", str(plain)], check=True)
        lmkit_rows(train, tail, folder, kenlm_rows(train, tail, folder, Path(programs)) if programs else [])


if __name__ == "__main__":
    main()
