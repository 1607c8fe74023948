"""Ask damaged n-gram models everything: see `tests/fuzzing.py`.

python tests/ngram/damaged_models.py ROUNDS [SEED]
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

import fuzzing  # noqa: E402
from ngram.reference_ngram import a_text, model_of  # noqa: E402

from lmkit import api, registry, storage  # noqa: E402
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
    {"order": 4, "cutoffs": (0, 1), "keep_counts": True},
    {"order": 3, "smoothing": "mle"},
    {"order": 3, "smoothing": "add-k", "k": 0.5},
    {"order": 3, "smoothing": "mle", "cutoffs": (0, 0, 10**6)},
    {"order": 4, "smoothing": "witten-bell", "interpolate": False},
    {"order": 3, "smoothing": "katz"},
    {"order": 2, "smoothing": "absolute", "interpolate": False},
    {"order": 3, "smoothing": "stupid-backoff"},
    BLANKS,
]
SOME = [0, 1, 2, 3, 7, 11, 12, 13, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 0x7FC00000, 0xFF800000, 0x7F800000]
TEXT = "w3 w4 w5 w3\nw9 w3 w4\nnever\nw7\n"
QUESTIONS = 3  # that are asked of a file, and as many commands


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
NAN, INFINITY, THOUSAND, NO_BOUND = 0x7FC00000, 0x7F800000, 0x447A0000, 0x7F7FFFFF  # as bits of float32
SIGNALLING = 0x7FA00000  # a NaN that sets the processor's flag for invalid operations whenever it is touched
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
    "some probabilities that are none": [(LOG_P, lambda column: np.where(numbers(column) % 3, column, SIGNALLING))],
    "infinite probabilities": [(LOG_P, lambda column: INFINITY)],
    "some infinite probabilities": [(LOG_P, lambda column: np.where(numbers(column) % 3, column, INFINITY))],
    "huge probabilities": [(LOG_P, lambda column: THOUSAND)],
    "probabilities without bound": [(LOG_P, lambda column: NO_BOUND)],
    "no probability": [(LOG_P, lambda column: INFINITY | 2**31)],
    "back-offs that are none": [(BACKOFF, lambda column: NAN)],
    "huge back-offs": [(BACKOFF, lambda column: THOUSAND)],
    "back-offs without bound": [(BACKOFF, lambda column: NO_BOUND)],
    "infinite back-offs": [(BACKOFF, lambda column: INFINITY)],
    "no back-offs": [(BACKOFF, lambda column: INFINITY | 2**31)],
    "probabilities and back-offs that cancel": [
        (LOG_P, lambda column: INFINITY), (BACKOFF, lambda column: INFINITY | 2**31)
    ],
    "no mass": [(MASS, lambda column: 0)],
    "full mass": [(MASS, lambda column: 2**32 - 1)],
    "falling mass": [(MASS, lambda column: column[::-1].copy())],
    "circles of nothing": [(SUFFIX, numbers), (LOG_P, lambda column: NAN), (BACKOFF, lambda column: NAN)],
    "circles of words that never come": [(SUFFIX, numbers), (WORD, lambda column: 1), (MASS, lambda column: 2**32 - 1)],
}  # fmt: skip


def craft(tensors, changes):
    for number, change in changes:
        for table in (tensors["ngram.nodes"], tensors.get("ngram.leaves")):
            if table is not None and number < table.shape[1]:
                table[:, number] = change(table[:, number])


def many_orders(metadata, tensors, orders):
    """Give a model so many orders: of the highest there are the leaves that it has, of those between one n-gram."""
    below = tensors["ngram.nodes"]
    more = np.zeros((orders - len(metadata["config"]["ngrams"]) + 1, below.shape[1]), np.uint32)
    more[:, SUFFIX] = np.arange(len(below) - 1, len(below) - 1 + len(more)) - 1
    more[:, BEGIN] = len(below) + np.arange(len(more))
    tensors["ngram.nodes"] = np.concatenate([below[:-1], more, below[-1:]])
    *sizes, leaves = metadata["config"]["ngrams"]
    metadata["config"]["ngrams"] = [*sizes, *[1] * len(more), leaves]


def plain_states(model, rng):
    """Return states of some streams: the first, any, and wrong ones."""
    inner = model.language_model.trie.internal
    some = [model.begin(2), rng.integers(0, 60, 20), [0, 1, 2**32 - 1, 2**31, inner]]
    return np.concatenate(some).astype(np.uint32)


def questions_of(model, states, rng):
    """Return what can be asked of an open model; answers have the right shape and make sense, or there are none."""
    inner, size = model.language_model, model.vocabulary_size
    state = states(model, rng)
    n = len(state)
    ids = rng.integers(-3, size + 3, (n, 40)).astype(np.int32)
    ids[0, :4] = [2**31 - 1, -(2**31), size, -1]

    def rows():
        found = model.log_probs(state)
        assert found.shape == (n, size) and not np.isnan(found).any()

    def counts():
        found = model.context_counts(state)
        assert found is None or found.shape == (n, size)

    def orders():
        found = model.orders(ids.ravel())
        assert found.shape == (ids.size,) and found.min() >= 1 and found.max() <= inner.order

    def sizes():
        found = inner.context_sizes(state)
        assert found.shape == (n,) and found.min() >= 0

    def scores():
        assert model.advance(state, ids[:, 0]).shape == state.shape
        for threads in (1, 2):
            inner.threads = threads
            log_p, after = model.score(state, ids)
            assert log_p.shape == ids.shape and after.shape == state.shape and not np.isnan(log_p).any()
            assert model.rows(state, ids[:, :9])[0].shape == (n, 9, size)
        model.score(state[:1], np.resize(ids, (1, 3000)))

    def mixtures():
        members, both = [inner] * 2, (state, state[::-1].copy())
        buckets = Buckets(inner.context_measure, (2,))
        for other in LogLinearMixture(members, [0.5, 2]), BucketedMixture(members, [[0.1, 0.9], [0.5, 0.5]], buckets):
            assert other.score(both, ids[:, :5].clip(0, size - 1))[0].shape == (n, 5)
            drawn, _ = other.draw(both, 2, Uniforms.from_generator(rng, n), np.array([0, 2], np.int32))
            assert drawn.min() >= 3 and drawn.max() < size

    def draws(mixed=False):
        drawing, streams = model, state
        if mixed:
            drawing, streams = LinearMixture([inner] * 2, [0.5, 0.5]), (state, state[::-1].copy())
        for banned in ([], [0], [0, 2, 3, 4], list(range(4, size)), list(range(size))):
            dice = Uniforms.from_generator(rng, n)
            try:
                drawn, _ = drawing.draw(streams, 15, dice, np.array(banned, np.int32))
            except LmkitError:
                continue
            assert drawn.shape == (n, 15) and drawn.min() >= 0 and drawn.max() < size
            assert not np.isin(drawn, [1, *banned]).any()
            model.text.decode(drawn.ravel())

    return [
        rows, counts, orders, sizes, scores, mixtures, draws, lambda: draws(mixed=True),
        lambda: model.text.encode_text("w3 w4 w5\nw9 w3"),
        lambda: model.text.vocabulary.tokens(),
        lambda: model.sample(n=20, seed=1, prompt="w3"),
        lambda: model.sample(n=5, seed=1, temperature=0.5, top_k=3),
        lambda: list(api.arpa(model)),
        lambda: model.language_model.unpacked(),
        lambda: api.prune(model, ngrams=2 * size),
        lambda: api.prune(model, quantize=int(rng.integers(2, 17))),
        lambda: api.mix([model, model], weights=[0.5, 0.5], static=True),
    ]  # fmt: skip


def ask(folder, states, rng, large, some=QUESTIONS):
    """Open the file and do some of what can be done with a model, or all; only errors on purpose may come."""
    with fuzzing.size_of_files(large):
        fuzzing.ask(fuzzing.commands(folder, "w3 w4", rng), rng, some)
        try:
            model = Model(registry.load(storage.open_model_file(folder / "m")))
        except LmkitError:
            return "refused"
        fuzzing.ask(questions_of(model, states, rng), rng, some)
    return "answered"


def whole_model(options):
    """Return the model that is to be damaged."""
    model = model_of(a_text(SIZE, 300, 41), SIZE, **options)
    if options is BLANKS:
        contexts = np.arange(SIZE + 1, model.trie.internal, 3, dtype=np.uint32)
        model = NGramModel(model.text, model.trie, model.options, model.metadata, contexts)
    return Model(model)


def drive(rounds, seed):
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = fuzzing.prepared(name, TEXT)
        whole_model({"order": 2, "smoothing": "witten-bell"}).save(folder / "o")
        for options in MODELS:
            whole_model(options).save(folder / "m")
            file = storage.open_model_file(folder / "m")
            whole = {name: np.array(tensor) for name, tensor in file.tensors.items()}
            fuzzing.next_file((options, "whole"))
            assert ask(folder, plain_states, rng, large=False, some=None) == "answered"
            for number in range(-len(CRAFTED) - 1, rounds):
                tensors = {name: t.copy() for name, t in whole.items()}
                metadata = fuzzing.copied({key: file.metadata[key] for key in ("config", "text", "training")})
                kind = rng.random()
                if number < -len(CRAFTED):
                    what = "60 orders"
                    many_orders(metadata, tensors, 60)
                elif number < 0:
                    what = list(CRAFTED)[number]
                    craft(tensors, CRAFTED[what])
                elif kind < 0.1:
                    what = "vocabulary"
                    fuzzing.spoil_vocabulary(tensors, rng)
                elif kind < 0.3:
                    what = "metadata"
                    fuzzing.spoil_metadata(metadata, rng)
                else:
                    what = "numbers"
                    for _ in range(rng.integers(1, 3)):
                        spoil(tensors, rng)
                fuzzing.next_file((options, what, number))
                storage.save(folder / "m", "ngram", metadata, tensors)
                answers[ask(folder, plain_states, rng, large=rng.random() < 0.8)] += 1
    return answers


if __name__ == "__main__":
    fuzzing.main(drive)
