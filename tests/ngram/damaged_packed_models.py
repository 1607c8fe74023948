"""Ask damaged packed models everything, as `damaged_models.py` does plain ones: see `tests/fuzzing.py`.

python tests/ngram/damaged_packed_models.py ROUNDS [SEED]
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

import fuzzing  # noqa: E402
from ngram.damaged_models import SOME, TEXT, ask  # noqa: E402
from ngram.reference_ngram import a_text, model_of  # noqa: E402

from lmkit import api, storage  # noqa: E402
from lmkit.api import Model  # noqa: E402

SIZE = 300  # words: some have more children than a block
MODELS = [({"order": 1}, 8), ({"order": 2}, 3), ({"order": 4}, 6), ({"order": 5, "cutoffs": (0, 0, 10**6)}, 16)]
TENSORS = ["ngram.words", "ngram.packed", "ngram.begins", "ngram.samples"] * 3 + ["ngram.codebooks"]


def spoil(table, rng):
    """Change some numbers, or all."""
    flat = table.reshape(-1).view(np.uint8)
    wide = flat[: len(flat) // 4 * 4].view(np.uint32)
    kind = rng.integers(5)
    if kind == 0 and len(wide):
        wide[rng.integers(0, len(wide), rng.integers(1, 9))] = rng.choice(np.array(SOME, np.uint32))
    elif kind == 1:
        flat[:] = rng.choice([0, 255, 1, 85])
    elif kind == 2:
        flat[:] = rng.integers(0, 256, len(flat), dtype=np.uint8)
    elif kind == 3:
        flat[:] = np.roll(flat, rng.integers(1, 64))
    else:
        flat[rng.integers(0, len(flat), 20)] ^= rng.integers(0, 256, 20).astype(np.uint8)


def children_of(change):
    """Return what changes where the children of words begin."""

    def craft(tensors, codes):
        tensors["ngram.words"][:, 2] = change(tensors["ngram.words"][:, 2].astype(np.int64))

    return craft


def number_in_books(number, first=0):
    """Return what puts a number into all codebooks, from their first code on or from a later one."""

    def craft(tensors, codes):
        at = 0
        for size in (size for pair in codes for size in pair):
            tensors["ngram.codebooks"][at + first : at + size] = number
            at += size

    return craft


def same_words(tensors, codes):
    """Let all n-grams have the same words and numbers."""
    tensors["ngram.packed"][:] = 0


def one_has_all(tensors, codes):
    """Let the first n-gram of each order have all children: the zeros come first, then the ones."""
    size = 64 * len(tensors["ngram.begins"])
    flags = np.unpackbits(tensors["ngram.begins"].view(np.uint8), bitorder="little")
    flags[:] = np.arange(size) >= size - int(flags.sum())
    tensors["ngram.begins"][:] = np.packbits(flags, bitorder="little").view(np.uint64)


CRAFTED = {
    "more children than there are": children_of(lambda begins: begins * 2),
    "all are children of the first word": children_of(lambda begins: begins[-1] * (np.arange(len(begins)) > 0)),
    "all are children of the last word": children_of(lambda begins: begins[-1] * (np.arange(len(begins))[::-1] == 0)),
    "no children": children_of(lambda begins: 0 * begins),
    "children that begin late": children_of(lambda begins: np.minimum(begins + 5, begins[-1])),
    "children without end": children_of(lambda begins: 0 * begins + 2**32 - 1),
    "all are children of the first n-gram": one_has_all,
    "the same words": same_words,
    "probabilities that are none": number_in_books(np.nan),
    "all but blanks are none": number_in_books(np.nan, 1),
    "infinite numbers": number_in_books(np.inf),
    "huge numbers": number_in_books(1000.0),
    "large numbers": number_in_books(60.0),
    "no probability": number_in_books(-np.inf),
}


def states(model, rng):
    """Return states of some streams: the first, any, and wrong ones."""
    width = model.begin().shape[1]
    some = [model.begin(2), rng.integers(0, 400, (10, width)), rng.choice(SOME, (10, width))]
    return np.concatenate(some).astype(np.uint32)


def drive(rounds, seed):
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = fuzzing.prepared(name, TEXT)
        whole = model_of(a_text(SIZE, 4000, 41, ends=0.02), SIZE, order=2, smoothing="witten-bell")
        Model(whole).save(folder / "o")
        for options, bits in MODELS:
            model = Model(model_of(a_text(SIZE, 4000, 41, ends=0.02), SIZE, **options))
            api.prune(model, quantize=bits, output=folder / "m")
            file = storage.open_model_file(folder / "m")
            fuzzing.next_file((options, bits, "whole"))
            assert ask(folder, states, rng, large=False, some=None) == "answered"
            for number in range(-len(CRAFTED), rounds):
                tensors = {name: np.array(tensor) for name, tensor in file.tensors.items()}
                metadata = fuzzing.copied({key: file.metadata[key] for key in ("config", "text", "training")})
                kind = rng.random()
                if number < 0:
                    what = list(CRAFTED)[number]
                    CRAFTED[what](tensors, metadata["config"]["codes"])
                elif kind < 0.05:
                    what = "vocabulary"
                    fuzzing.spoil_vocabulary(tensors, rng)
                elif kind < 0.2:
                    what = "metadata"
                    fuzzing.spoil_metadata(metadata, rng)
                else:
                    what = "numbers"
                    whole = [name for name in TENSORS if name in tensors and tensors[name].size]
                    for name in rng.choice(whole, rng.integers(1, 3)):
                        spoil(tensors[name], rng)
                fuzzing.next_file((options, bits, what, number))
                storage.save(folder / "m", "ngram", metadata, tensors)
                answers[ask(folder, states, rng, large=rng.random() < 0.8)] += 1
    return answers


if __name__ == "__main__":
    fuzzing.main(drive)
