"""Families that share no code keep one contract: the slow models of `reference.py`, and the n-gram models."""

from unittest import mock

import numpy as np
import pytest
from contract import CHECKS, chi_square_is_fine
from reference import ElmanReference, NGramReference

from lmkit.kernels import products
from lmkit.model import EOS
from lmkit.ngram.model import train
from lmkit.ngram.options import NGramOptions
from lmkit.rnn.model import RNNModel
from lmkit.rnn.network import Network, Shape
from lmkit.text import TextLayer, TextSettings, Vocabulary


class Sized:
    """As much of a text layer as a model needs that sees only ids."""

    def __init__(self, size):
        self.vocabulary = range(size)


def a_text(size=9, length=400, seed=3):
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.geometric(0.3, length) + 1, size - 1).astype(np.int32)
    ids[rng.random(length) < 0.05] = 0
    return np.append(ids, np.int32(EOS))


def ngram(order, **options):
    layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens("abcdef"))
    ids = a_text()
    return train(ids, np.bincount(ids, minlength=9), layer, NGramOptions(order=order, **options))


def recurrent(arch, layers=1, tokens="abcdefghij", reset=None, rests=False, **shape):
    """A network over a few tokens, far from uniform; one that `rests` begins in a state of its own."""
    layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(tokens))
    return random_network(layer, Shape(arch, 3 + len(tokens), layers, 10, **shape), reset, rests)


def random_network(text, shape, reset=None, rests=False):
    """A network with random weights."""
    layout, rng = shape.layout(Network.usual_width()), np.random.default_rng(3)
    flat = np.zeros(layout.size, np.float32)
    for part in layout.parts.values():
        part.true(flat)[:] = rng.normal(0, 0.7, part.true(flat).shape)
    resting = np.tanh(rng.normal(0, 1, (shape.layers, shape.cell.state_parts, shape.hidden))).astype(np.float32)
    return RNNModel(text, shape, flat, reset=reset, resting=resting if rests else None)


def plain(arch, layers=1, **shape):
    """The same, and all its products are plain loops: what a processor has whose vectors are not known."""
    with mock.patch.object(products, "VECTORS", False):
        return recurrent(arch, layers, **shape)


FALLBACK = (0.5, 1, 1.5)
MODELS = {
    "elman": lambda: ElmanReference(Sized(9)),
    "kneser-ney": lambda: NGramReference(Sized(9), a_text(), 3, fallback=FALLBACK),
    "add-k": lambda: NGramReference(Sized(9), a_text(), 3, "add-k", k=0.5),
    "mle": lambda: NGramReference(Sized(9), a_text(), 2, "mle"),
    "unigram": lambda: NGramReference(Sized(9), a_text(), 1, fallback=FALLBACK),
    "ngram-kneser-ney": lambda: ngram(4, discount_fallback=FALLBACK),
    "ngram-cut-off": lambda: ngram(3, discount_fallback=FALLBACK, cutoffs=(0, 0, 1)),
    "ngram-add-k": lambda: ngram(3, smoothing="add-k", k=0.5),
    "ngram-mle": lambda: ngram(2, smoothing="mle"),
    "ngram-katz": lambda: ngram(3, smoothing="katz"),
    "ngram-backing-off": lambda: ngram(4, smoothing="witten-bell", interpolate=False),
    "ngram-unigram": lambda: ngram(1, discount_fallback=FALLBACK),
    "rnn-elman": lambda: recurrent("elman"),
    "rnn-gru": lambda: recurrent("gru", embedding=6),
    "rnn-lstm": lambda: recurrent("lstm", 2, embedding=7),
    "rnn-tied": lambda: recurrent("lstm", embedding=10, tied=True),
    "rnn-resets-elman": lambda: recurrent("elman", reset="sentence"),
    "rnn-resets-gru": lambda: recurrent("gru", 2, reset="sentence", cutoffs=(5, 9)),
    "rnn-resets-lstm": lambda: recurrent("lstm", 2, reset="sentence", embedding=7),
    "rnn-rests": lambda: recurrent("lstm", 2, reset="some", rests=True),
    "rnn-clusters": lambda: recurrent("gru", 2, cutoffs=(5, 9)),
    "rnn-plain": lambda: plain("lstm", 2, embedding=7, cutoffs=(5, 9)),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(model, check):
    check(model)


def test_the_chi_square_check_can_fail():
    ids = np.random.default_rng(1).choice(3, 4000, p=[0.5, 0.3, 0.2])
    assert chi_square_is_fine(ids, np.array([0.5, 0.3, 0.2]))
    assert not chi_square_is_fine(ids, np.array([0.45, 0.33, 0.22]))
    assert not chi_square_is_fine(ids, np.array([0.5, 0.5, 0.0]))
