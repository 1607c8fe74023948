"""Ask damaged models everything, as a process of its own: a crash, a hang or a stray error must not take pytest along.

    python tests/ngram/damaged_models.py ROUNDS [SEED]

With NUMBA_BOUNDSCHECK=1 (and a NUMBA_CACHE_DIR of its own) every index of every kernel is checked, too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import pathlib
import sys
import tempfile
import warnings

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

from ngram.reference_ngram import a_text, model_of  # noqa: E402

import lmkit  # noqa: E402
from lmkit import storage  # noqa: E402
from lmkit.api import Model  # noqa: E402
from lmkit.errors import LmkitError  # noqa: E402
from lmkit.mixture.buckets import BucketedMixture, Buckets  # noqa: E402
from lmkit.mixture.linear import LinearMixture  # noqa: E402
from lmkit.mixture.product import LogLinearMixture  # noqa: E402
from lmkit.ngram.model import NGramModel  # noqa: E402
from lmkit.uniforms import Uniforms  # noqa: E402

SIZE = 12
BLANKS = {"order": 4, "smoothing": "absolute"}  # a model of this kind whose trie has contexts that are no n-grams
MODELS = [
    {"order": 1},
    {"order": 1, "smoothing": "add-k"},
    {"order": 2},
    {"order": 4},
    {"order": 4, "cutoffs": (0, 1)},
    {"order": 3, "smoothing": "mle"},
    {"order": 3, "smoothing": "add-k", "k": 0.5},
    {"order": 3, "smoothing": "mle", "cutoffs": (0, 0, 10**6)},
    {"order": 4, "smoothing": "witten-bell", "interpolate": False},
    {"order": 3, "smoothing": "katz"},
    {"order": 2, "smoothing": "absolute", "interpolate": False},
    BLANKS,
]
SOME = [0, 1, 2, 3, 7, 11, 12, 13, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 0x7FC00000, 0xFF800000, 0x7F800000]


def spoil(tensors, rng):
    """Change some numbers: a few, a column, or everything."""
    name = rng.choice(["ngram.nodes"] * 3 + ["ngram.leaves", "ngram.alias", "ngram.counts", "ngram.blanks"])
    table = tensors.get(name, tensors["ngram.nodes"])
    if not table.size:
        return
    flat = table.reshape(-1)
    near = [len(tensors["ngram.nodes"]), len(tensors["ngram.nodes"]) + len(tensors.get("ngram.leaves", ()))]
    values = np.array(SOME + near + [n - 1 for n in near] + [n - 2 for n in near], np.uint32)
    kind = rng.integers(4)
    if kind == 0:
        where = rng.integers(0, flat.size, rng.integers(1, 5))
        flat[where] = rng.choice(values, len(where))
    elif kind == 1 and table.ndim == 2:
        column = table[:, rng.integers(table.shape[1])]
        column[:] = rng.choice(values) if rng.random() < 0.5 else rng.permutation(column)
    elif kind == 2:
        flat[:] = rng.integers(0, rng.choice([8, len(flat), 2**32]), flat.size, dtype=np.uint32)
    else:
        flat.view(np.uint8)[rng.integers(0, 4 * flat.size, 20)] ^= rng.integers(0, 256, 20).astype(np.uint8)


def alternating(a, b):
    return lambda column: np.where(np.arange(len(column)) % 2, b, a)


def numbers(column):
    return np.arange(len(column))


WORD, SUFFIX, LOG_P, MASS, BEGIN, BACKOFF = range(6)
NAN, INFINITY, THOUSAND = 0x7FC00000, 0x7F800000, 0x447A0000  # as bits of float32
CRAFTED = {
    "begin beyond the end": [(BEGIN, lambda column: np.where(numbers(column) % 2, 2**32 - 1, column))],
    "begin far down": [(BEGIN, lambda column: np.where(numbers(column) % 2, column, 0))],
    "the root is everybody's child": [(BEGIN, alternating(0, 6))],
    "the root is everybody's only child": [(BEGIN, alternating(0, 1))],
    "everybody is everybody's child": [(BEGIN, alternating(0, 2**32 - 1))],
    "children up to the last": [(BEGIN, alternating(5, 2**32 - 1))],
    "decreasing begin": [(BEGIN, lambda column: column[::-1].copy())],
    "suffixes in a circle": [(SUFFIX, lambda column: np.roll(numbers(column), 1))],
    "suffixes to themselves": [(SUFFIX, numbers)],
    "suffixes beyond the end": [(SUFFIX, lambda column: 2**32 - 1)],
    "unknown words": [(WORD, lambda column: 2**32 - 1)],
    "one word too many": [(WORD, lambda column: SIZE)],
    "words that never come": [(WORD, lambda column: 1)],
    "words out of order": [(WORD, lambda column: column[::-1].copy())],
    "probabilities that are none": [(LOG_P, lambda column: NAN)],
    "infinite probabilities": [(LOG_P, lambda column: INFINITY)],
    "some infinite probabilities": [(LOG_P, lambda column: np.where(numbers(column) % 3, column, INFINITY))],
    "huge probabilities": [(LOG_P, lambda column: THOUSAND)],
    "back-offs that are none": [(BACKOFF, lambda column: NAN)],
    "no mass": [(MASS, lambda column: 0)],
    "full mass": [(MASS, lambda column: 2**32 - 1)],
    "falling mass": [(MASS, lambda column: column[::-1].copy())],
    "circles of nothing": [(SUFFIX, numbers), (LOG_P, lambda column: NAN), (BACKOFF, lambda column: NAN)],
    "circles of words that never come": [(SUFFIX, numbers), (WORD, lambda column: 1), (MASS, lambda column: 2**32 - 1)],
}


def craft(tensors, changes):
    for number, change in changes:
        for table in (tensors["ngram.nodes"], tensors.get("ngram.leaves")):
            if table is not None and number < table.shape[1]:
                table[:, number] = change(table[:, number])


def ask(path, rng):
    """Open the file without checksums and do all that can be done with a model; only errors on purpose may come."""
    try:
        model = Model(lmkit.registry.load(storage.open_model_file(path, verify_small=False)))
    except LmkitError:
        return "refused"
    size = model.vocabulary_size
    state = np.concatenate([
        model.begin(2), rng.integers(0, 60, 20), [0, 1, 2**32 - 1, 2**31, model.language_model.trie.internal],
    ]).astype(np.uint32)  # fmt: skip
    n = len(state)
    assert model.log_probs(state).shape == (n, size)
    counts = model.context_counts(state)
    assert counts is None or counts.shape == (n, size)
    ids = rng.integers(-3, size + 3, (n, 40)).astype(np.int32)
    ids[0, :4] = [2**31 - 1, -(2**31), size, -1]
    orders = model.orders(ids.ravel())
    assert orders.shape == (ids.size,) and orders.min() >= 1 and orders.max() <= model.language_model.order
    sizes = model.language_model.context_sizes(state)
    assert sizes.shape == (n,) and sizes.min() >= 0
    assert model.advance(state, ids[:, 0]).shape == (n,)
    for threads in (1, 2):
        model.language_model.threads = threads
        log_p, after = model.score(state, ids)
        assert model.rows(state, ids[:, :9])[0].shape == (n, 9, size)
        assert log_p.shape == ids.shape and after.shape == (n,)
    model.score(state[:1], np.resize(ids, (1, 3000)))
    inner, both = [model.language_model] * 2, (state, state[::-1].copy())
    buckets = Buckets(model.language_model.context_measure, (2,))
    mixture = LinearMixture(inner, [0.5, 0.5])
    for other in LogLinearMixture(inner, [0.5, 2]), BucketedMixture(inner, [[0.1, 0.9], [0.5, 0.5]], buckets):
        assert other.score(both, ids[:, :5].clip(0, size - 1))[0].shape == (n, 5)
        with contextlib.suppress(LmkitError):
            drawn, _ = other.draw(both, 2, Uniforms.from_generator(rng, n), np.array([0, 2], np.int32))
            assert drawn.min() >= 3 and drawn.max() < size
    for banned in ([], [0], [0, 2, 3, 4], list(range(4, size)), list(range(size))):
        for drawing, streams in ((model, state), (model, state[:1]), (mixture, both)):
            count = len(state) if isinstance(streams, tuple) else len(streams)
            dice = Uniforms.from_generator(rng, count)
            try:
                drawn, after = drawing.draw(streams, 15, dice, np.array(banned, np.int32))
            except LmkitError:
                continue
            assert drawn.shape == (count, 15) and drawn.min() >= 0 and drawn.max() < size
            assert not np.isin(drawn, [1, *banned]).any()
            model.text.decode(drawn.ravel())
    for call in (
        lambda: model.text.encode_text("w3 w4 w5\nw9 w3"),
        lambda: model.next("w3 w4", top=3),
        lambda: model.nearest("w3", top=3),
        lambda: model.perplexity([("text", b"w3 w4\nw7\n")]),
        lambda: model.sample(n=20, seed=1, prompt="w3"),
        lambda: model.sample(n=5, seed=1, temperature=0.5, top_k=3),
        lambda: model.text.vocabulary.tokens(),
    ):
        with contextlib.suppress(LmkitError):
            call()
    return "answered"


def write_raw(path, data, places, tensors):
    """Put tensors into a copy of a model file, leaving the checksums of the header as they were."""
    changed = bytearray(data)
    for name, tensor in tensors.items():
        changed[places[name] : places[name] + tensor.nbytes] = tensor.tobytes()
    path.write_bytes(changed)


def whole_model(options):
    """Return the model that is to be damaged."""
    model = model_of(a_text(SIZE, 300, 41), SIZE, **options)
    if options is BLANKS:
        contexts = np.arange(SIZE + 1, model.trie.internal, 3, dtype=np.uint32)
        model = NGramModel(model.text, model.trie, model.options, model.metadata, contexts)
    return Model(model)


def main(rounds, seed):
    storage.VERIFY_BELOW = 0
    warnings.simplefilter("ignore", RuntimeWarning)  # numbers that are none may be told of, if nothing worse happens
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.lmkit")
        for options in MODELS:
            whole_model(options).save(path)
            file = storage.open_model_file(path)
            data = path.read_bytes()
            whole = {name: np.array(tensor) for name, tensor in file.tensors.items() if tensor.size}
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            places = {name: 8 + length + header[name]["data_offsets"][0] for name in whole}
            assert ask(path, rng) == "answered"
            for number in range(-len(CRAFTED), rounds):
                tensors = {name: t.copy() for name, t in whole.items()}
                if number < 0:
                    what = list(CRAFTED)[number]
                    craft(tensors, CRAFTED[what])
                elif number % 10 == 0:
                    what = "vocabulary"
                    flat = tensors[rng.choice(["vocabulary.bytes", "vocabulary.offsets"])].reshape(-1)
                    flat.view(np.uint8)[rng.integers(0, flat.nbytes, 3)] ^= np.uint8(1 << rng.integers(8))
                else:
                    what = f"round {number}"
                    for _ in range(rng.integers(1, 3)):
                        spoil(tensors, rng)
                write_raw(path, data, places, tensors)
                print(options, what, file=sys.stderr, flush=True)  # the last line says what a crash came from
                answers[ask(path, rng)] += 1
    print(f"{answers['answered']} answered, {answers['refused']} refused")


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(sys.argv[3]) if len(sys.argv) > 3 else 100, exit=True)
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
