"""A cache by similarity: what followed when the network was in a state like this one is likely to follow again."""

from __future__ import annotations

import dataclasses

import numpy as np

from lmkit.errors import OptionError
from lmkit.kernels import mixture_cache as kernels
from lmkit.kernels import products, recurrent
from lmkit.mixture.cache import Cache, appended
from lmkit.mixture.parameters import Parameters, in_range
from lmkit.mixture.search import Trial, Tuned, best, best_weight, refine
from lmkit.model import BOS, LanguageModel, State
from lmkit.rnn.network import Network
from lmkit.threads import in_threads

__all__ = ["NeuralCache", "NeuralParameters", "neural_shares", "tune_neural"]

LARGEST = 65536  # positions of a window
STEEPEST = 1000.0  # theta
ROWS = 4096  # steps times streams whose hidden vectors are held at once, besides the windows
PART = 1024  # of them that one call compares with their windows
BLOCK = 128  # and at a time: their scores fit the cache
THETAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SIZES = (500, 2000)


@dataclasses.dataclass(frozen=True)
class NeuralParameters(Parameters):
    """How much a neural cache says, how sharply it compares, and how far it looks back.

    Attributes
    ----------
    weight : float
        Of the cache, from 0 to below 1.
    theta : float
        What products of hidden vectors are multiplied by; at 0 all positions count alike. Up to 1000.
    size : int
        Positions of the window, 1 to 65,536.
    """

    weight: float
    theta: float
    size: int

    def __post_init__(self):
        in_range("the weight of the neural cache", self.weight, 0, 1, below=True)
        in_range("theta of the neural cache", self.theta, 0, STEEPEST)
        in_range("the size of the neural cache", self.size, 1, LARGEST, whole=True)


class NeuralCache(Cache):
    """p_cache(w) is the sum of softmax(theta h_t . h_i) over the positions i of the window that w followed.

    Grave, Joulin and Usunier (2017), equations 2 and 3; h_i is the last layer's hidden vector before token i. A
    state's own parts are these, float32 (n, L, H), and the tokens.

    Parameters
    ----------
    base : LanguageModel
        With the methods `hidden` and `top` of `lmkit.rnn.model.RNNModel`.
    parameters : NeuralParameters

    Raises
    ------
    OptionError
        The base has no hidden vectors.
    """

    family, kind = "neural-cache", NeuralParameters
    own_parts = 2

    def __init__(self, base: LanguageModel, parameters: NeuralParameters):
        check_base(base)
        super().__init__(base, parameters)

    def _empty(self, inner: State, n: int) -> tuple[np.ndarray, ...]:
        return self.base.top(inner)[:, None][:, :0], np.empty((n, 0), np.int32)

    def advance(self, state: State, ids: np.ndarray) -> State:
        inner, (keys, history) = self._split(state)
        after = self.base.advance(inner, ids)
        keys = appended(keys, self.base.top(inner)[:, None], self.parameters.size)
        return self._join(after, keys, appended(history, np.asarray(ids, np.int32)[:, None], self.parameters.size))

    def recall(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, State]:
        inner, (keys, history) = self._split(state)
        ids = np.asarray(ids, np.int32)
        streams, length = ids.shape
        log_p, shares = np.empty(ids.shape, np.float32), np.empty(ids.shape)
        steps = max(1, ROWS // streams)
        for begin in range(0, length, steps):
            piece = slice(begin, begin + steps)
            h, log_p[:, piece], inner = self.base.hidden(inner, ids[:, piece])
            keys, values = np.concatenate([keys, h], axis=1), np.concatenate([history, ids[:, piece]], axis=1)
            shares[:, piece] = neural_shares(keys, values, history.shape[1], self.parameters, self.threads)
            keys, history = keys[:, -self.parameters.size :], values[:, -self.parameters.size :]
        return log_p, shares, self._join(inner, keys.copy(), history.copy())

    def _position_weights(self, state: State) -> np.ndarray:
        inner, (keys, history) = self._split(state)
        scores = np.float32(self.parameters.theta) * (keys @ self.base.top(inner)[:, :, None])[:, :, 0]
        scores = np.where(history > BOS, scores.astype(np.float64), -np.inf)
        top = scores.max(axis=1, keepdims=True, initial=-np.inf)
        return np.exp(scores - np.where(top > -np.inf, top, 0))


def check_base(base: LanguageModel) -> None:
    """Refuse a model that has no hidden vectors to compare.

    Raises
    ------
    OptionError
    """
    if not hasattr(base, "hidden"):
        raise OptionError(f"a neural cache compares hidden vectors, and models of the family {base.family} have none")


def neural_shares(
    keys: np.ndarray, values: np.ndarray, first: int, parameters: NeuralParameters, threads: int = 1
) -> np.ndarray:
    """Return p_cache of values[:, first:], float64 (n, T); NaN where there is nothing in the window.

    Parameters
    ----------
    keys : ndarray of float32, shape (n, first + T, H)
        The hidden vector before each token.
    values : ndarray of int32, shape (n, first + T)
    """
    shares = np.empty((len(values), values.shape[1] - first))
    jobs = []
    for i in range(len(values)):
        for begin in range(first, values.shape[1], PART):
            end = min(begin + PART, values.shape[1])
            seen = slice(max(0, begin - parameters.size), end)
            jobs.append((shares[i, begin - first : end - first], keys[i, seen], values[i, seen], parameters))
    in_threads(threads, _shares, jobs)
    return shares


def _shares(out: np.ndarray, keys: np.ndarray, values: np.ndarray, parameters: NeuralParameters) -> None:
    """Write p_cache of the last tokens of a stream, as many as `out` has places.

    The products are those of `lmkit.kernels.products`: their bits do not depend on where a text was cut.
    """
    first, width = len(keys) - len(out), Network.usual_width()
    panels = np.empty((-(-len(keys) // width), keys.shape[1], width), np.float32)
    products.pack_transposed(panels, keys, 0, 0, len(panels))
    queries = np.float32(parameters.theta) * keys[first:]
    for begin in range(0, len(out), BLOCK):
        end = min(begin + BLOCK, len(out))
        low = max(0, first + begin - parameters.size) // width
        high = -(-(first + end) // width)
        scores = np.zeros((end - begin, (high - low) * width), np.float32)
        recurrent.add_product(scores, queries[begin:end], keys.shape[1], panels[low:high])
        kernels.neural_shares(
            out[begin:end], scores, first + begin - low * width, parameters.size, values[low * width :],
            values[first + begin : first + end],
        )  # fmt: skip


def tune_neural(base: LanguageModel, ids: np.ndarray, sizes: tuple[int, ...] = SIZES) -> Tuned:
    """Return the weight, theta and size of a neural cache that make a running text most probable.

    For each theta and size the best weight is computed. Theta is looked for in the largest window, then the smaller
    ones are tried with it. The text's hidden vectors are kept meanwhile: 4 H bytes a token.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
    sizes : tuple of int, ascending

    Raises
    ------
    CorpusError
        The text is empty, or some token has no probability whatever the parameters.
    OptionError
        The base has no hidden vectors.
    """
    check_base(base)
    ids = np.asarray(ids, np.int32)[None, :]
    keys, log_p, _ = base.hidden(base.begin(1), ids)

    def attempt(theta: float, size: int = sizes[-1]) -> Trial:
        parameters = NeuralParameters(0.0, theta, size)
        weight, log_likelihood = best_weight(log_p, neural_shares(keys, ids, 0, parameters, base.threads))
        return Trial(dataclasses.replace(parameters, weight=weight), log_likelihood)

    trials = refine(attempt, THETAS)
    theta = best(trials).parameters.theta
    return best([*trials, *(attempt(theta, size) for size in sizes[:-1])])
