"""Compile the kernels that most tests need, before the workers of pytest-xdist would each compile them.

The work is cut so that no process needs the kernels of another one; those of the smaller cuts are compiled in the
time that the largest takes. Where all is compiled, it is done in a few seconds.
"""

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

TEXT = ("text", b"to be, or not to be: that is the question\nwhether 'tis nobler in the mind to suffer\n\n" * 20)
SMALL = {
    "tokenizer": "char", "layers": 2, "hidden": 8, "batch": 2, "bptt": 5, "steps": 4, "validate_every": 2,
    "dropout": 0.2,
}  # fmt: skip


def ngrams():
    """Trainings, samples and forms of n-gram models, and mixtures of them with a network."""
    import lmkit

    words = lmkit.train(TEXT, order=3, discount_fallback=(0.5, 1, 1.5), keep_counts=True)
    characters = lmkit.train(TEXT, order=4, tokenizer="char", smoothing="witten-bell", interpolate=False)
    network = lmkit.train(TEXT, arch="elman", **SMALL)
    mixture = lmkit.mix([characters, network], weights=[0.5, 0.5])
    packed = lmkit.prune(words, quantize=6)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.arpa").write_bytes(b"".join(lmkit.arpa(lmkit.prune(words, threshold=1e-4))))
        lmkit.from_arpa(Path(folder, "m.arpa"))
    for model in (words, characters, packed, mixture, lmkit.mix([words], cache="unigram", tune=TEXT)):
        model.sample(n=20, seed=1, count=2)
        model.perplexity(TEXT)
        model.next("to be")


def networks():
    """Trainings of the other cells, and samples."""
    import lmkit

    for arch in ("gru", "lstm"):
        model = lmkit.train(TEXT, arch=arch, embedding=6, **SMALL)
        model.sample(n=20, seed=1, count=2)
        model.perplexity(TEXT)


def main():
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for done in [pool.submit(ngrams), pool.submit(networks)]:
            done.result()


if __name__ == "__main__":
    sys.exit(main())
