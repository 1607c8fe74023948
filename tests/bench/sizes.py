"""Size against perplexity: 5-grams of a text, plain, pruned and packed, beside the tries of KenLM in `$KENLM_BIN`.

    KENLM_BIN=/opt/kenlm/bin python tests/bench/sizes.py corpus.txt

The text has one sentence a line and tokens between blanks; its last tenth is held out. Perplexities are those without
words that are out of vocabulary.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from run import LMKIT, ROOT

LARGEST_TAIL = 10_000_000  # bytes that are held out


def halves(text: Path, folder: Path) -> tuple[Path, Path]:
    """Cut a text into one to train on and one to score."""
    data = text.read_bytes()
    cut = data.index(b"\n", len(data) - min(len(data) // 10, LARGEST_TAIL)) + 1
    train, tail = folder / "train.txt", folder / "tail.txt"
    train.write_bytes(data[:cut])
    tail.write_bytes(data[cut:])
    return train, tail


def row(name: str, size: int, perplexity: float) -> None:
    print(f"| {name} | {size / 1e6:.1f} MB | {perplexity:.3f} |", flush=True)


def lmkit_rows(train: Path, tail: Path, folder: Path, targets: list[int]) -> None:
    """Print what lmkit makes of the text, whole and in as many bytes as the others' files have."""
    plain, small = folder / "plain.lmkit", folder / "small.lmkit"
    subprocess.run([*LMKIT, "train", "-q", "--tokenizer", "whitespace", str(train), "-o", str(plain)], check=True)
    ways = {"lmkit": None}
    for bits in (16, 12, 8, 6, 4):
        ways[f"`--quantize {bits}`"] = ["--quantize", str(bits)]
    for target in targets:
        for bits in (None, 8):
            quantize = ["--quantize", str(bits)] if bits else []
            ways[f"`{' '.join(['--size', str(target), *quantize])}`"] = ["--size", str(target), *quantize]
    for name, options in ways.items():
        if options:
            subprocess.run([*LMKIT, "prune", "-q", str(plain), *options, "-o", str(small)], check=True)
        model = small if options else plain
        scored = subprocess.run(
            [*LMKIT, "perplexity", "-m", str(model), str(tail), "--format", "json"], check=True, capture_output=True
        )
        row(name, model.stat().st_size, json.loads(scored.stdout)["perplexity_without_oov"])


def kenlm_rows(train: Path, tail: Path, folder: Path, programs: Path) -> list[int]:
    """Print what KenLM makes of the text; return the sizes of its files."""
    arpa, binary, sizes = folder / "model.arpa", folder / "model.trie", []
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
        row(f"KenLM `{' '.join(['trie', *options])}`", binary.stat().st_size, perplexity)
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
        print("| model | size | perplexity |\n|---|---|---|")
        programs = os.environ.get("KENLM_BIN")
        lmkit_rows(train, tail, folder, kenlm_rows(train, tail, folder, Path(programs)) if programs else [])


if __name__ == "__main__":
    main()
