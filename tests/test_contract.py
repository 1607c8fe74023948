"""Two families that share no code keep one contract."""

import numpy as np
import pytest
from contract import CHECKS, chi_square_is_fine
from reference import ElmanReference, NGramReference

from lmkit.model import EOS


class Sized:
    """As much of a text layer as a model needs that sees only ids."""

    def __init__(self, size):
        self.vocabulary = range(size)


def a_text(size=9, length=400, seed=3):
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.geometric(0.3, length) + 1, size - 1).astype(np.int32)
    ids[rng.random(length) < 0.05] = 0
    return np.append(ids, np.int32(EOS))


MODELS = {
    "elman": lambda: ElmanReference(Sized(9)),
    "kneser-ney": lambda: NGramReference(Sized(9), a_text(), 3, fallback=(0.5, 1, 1.5)),
    "add-k": lambda: NGramReference(Sized(9), a_text(), 3, "add-k", k=0.5),
    "mle": lambda: NGramReference(Sized(9), a_text(), 2, "mle"),
    "unigram": lambda: NGramReference(Sized(9), a_text(), 1, fallback=(0.5, 1, 1.5)),
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
