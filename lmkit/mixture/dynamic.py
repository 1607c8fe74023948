"""Dynamic evaluation: a network that goes on learning from the text it reads.

After each segment of a stream one step of gradient descent on it is taken (Krause et al. 2018, equation 5), and a
share of the way back to the trained weights, the more the stronger the `decay`:

    change := (1 - decay) change - learning_rate gradient of the segment's mean loss

Each token is predicted before it is learnt from, so the numbers are those of a model, p(w | all before it): what came
before enters through the hidden state and through the weights. A text that the model draws itself is a text like any
other, and is learnt from, too: otherwise `score` would give a sample other probabilities than it was drawn with.

With the root mean squares of the gradients on some text (equation 6), `rms`, each weight has its own rate and decay:
those that the loss often asks to move are moved less and pulled back more. Krause et al. take the training text's and
add a small constant to them; here it is their mean, over the weights that ever had a gradient, so that the others, say
of words that the text does not have, move no faster than most.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping

import numpy as np

from lmkit.errors import CorpusError, LmkitError, ModelError, OptionError
from lmkit.kernels import mixture_dynamic, optimizers
from lmkit.mixture.parameters import Parameters, in_range
from lmkit.mixture.search import Trial, Tuned, best, refine
from lmkit.mixture.wrapper import Wrapper, of_streams
from lmkit.model import EOS, LanguageModel, State
from lmkit.rnn.model import RNNModel
from lmkit.rnn.network import Shard
from lmkit.uniforms import Uniforms

__all__ = ["DynamicEvaluation", "DynamicParameters", "gradient_rms", "read_rms", "tune_dynamic"]

FASTEST = 100.0  # learning rate
LONGEST = 4096  # tokens of a segment
RMS = "rms."  # before the names of weights
CLIP = 1.0  # length of a gradient, at most (Pascanu et al. 2013)
SEGMENT = 20
GOLDEN_SECTIONS = 2  # that is fine enough, and each trial learns anew from all of the text
DECAY = 0.01
DECAYS = (0.001, 0.1)  # tried beside it; not 0, which a text to tune on is too short to judge
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SCALED_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)  # where gradients are divided by their root mean squares


@dataclasses.dataclass(frozen=True)
class DynamicParameters(Parameters):
    """How a network learns from what it reads.

    Attributes
    ----------
    learning_rate : float
        0 to 100; at 0 nothing is learnt.
    decay : float
        What share of the change of the weights is taken back with each step, 0 to 1.
    segment : int
        Tokens that are learnt from at once, 1 to 4096.
    """

    learning_rate: float
    decay: float
    segment: int

    def __post_init__(self):
        in_range("the learning rate of dynamic evaluation", self.learning_rate, 0, FASTEST)
        in_range("the decay of dynamic evaluation", self.decay, 0, 1)
        in_range("the segment of dynamic evaluation", self.segment, 1, LONGEST, whole=True)


class DynamicEvaluation(Wrapper):
    """A recurrent model whose weights follow the text, each stream's for itself.

    A state is (now, before, tokens, change): the base's state now, and that before the first of the tokens (n, 1 + k),
    the last of the segment before and the k of this one; and what has been added to the weights, float32 (n, size of
    the base's `flat`), or (n, 0) as long as nothing was learnt.

    Parameters
    ----------
    base : RNNModel
    parameters : DynamicParameters
    rms : ndarray of float32, optional
        Root mean squares of gradients, laid out as the weights: see `gradient_rms`.

    Raises
    ------
    OptionError
        The base is no recurrent model.
    """

    family, kind = "dynamic", DynamicParameters

    def __init__(self, base: LanguageModel, parameters: DynamicParameters, rms: np.ndarray | None = None):
        if not isinstance(base, RNNModel):
            raise OptionError(f"dynamic evaluation needs a recurrent model, not one of the family {base.family}")
        super().__init__(base, parameters)
        self.rms = rms
        rates, decay = np.array([parameters.learning_rate]), np.array([parameters.decay])
        if rms is not None:
            mean = rms.mean(dtype=np.float64, where=rms > 0) if rms.any() else 1.0
            rates, decay = rates / (rms + mean), np.minimum(decay / mean * rms, 1)
        self._rates, self._kept = rates.astype(np.float32), (1 - decay).astype(np.float32)
        self._own = threading.local()  # of each thread: one may draw while another one scores what was drawn

    @classmethod
    def read_own(cls, base: LanguageModel, file) -> tuple:
        return (read_rms(base, file.tensors, file.name) if isinstance(base, RNNModel) else None,)

    @property
    def tempers(self) -> bool:
        """Whether `draw` takes a `temperature`: as the base does."""
        return self.base.tempers

    def settings(self) -> dict:
        return {**super().settings(), "dynamic_rms": self.rms is not None}

    def own_tensors(self) -> dict[str, np.ndarray]:
        return {} if self.rms is None else self.base.network.layout.tensors(self.rms, RMS)

    def begin(self, n: int = 1) -> State:
        now = self.base.begin(n)
        return now, self.base.before_text(n), np.full((n, 1), EOS, np.int32), np.empty((n, 0), np.float32)

    def log_probs(self, state: State) -> np.ndarray:
        return self._each(state[3], lambda model, now, *_: (model.log_probs(now),), state[0])[0]

    def top(self, state: State) -> np.ndarray:
        """Return what the output layer sees next: see `RNNModel.top`."""
        return self.base.top(state[0])

    def advance(self, state: State, ids: np.ndarray) -> State:
        ids = _of_each_stream(state, ids)

        def step(model, now, streams, begin, end):
            return np.asarray(ids[streams, None], np.int32), model.advance(now, ids[streams])

        return self._walk(state, 1, step)[1]

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        (_, log_p), after = self._walk(state, np.shape(ids)[1], _reading(RNNModel.score, state, ids))
        return log_p, after

    def hidden(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, State]:
        """Return what the output layer saw before each token, and what `score` returns: see `RNNModel.hidden`."""
        (_, h, log_p), after = self._walk(state, np.shape(ids)[1], _reading(RNNModel.hidden, state, ids))
        return h, log_p, after

    def draw(
        self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray, temperature: float = 1.0
    ) -> tuple[np.ndarray, State]:
        def step(model, now, streams, begin, end):
            with of_streams(uniforms, streams) as dice:
                return model.draw(now, end - begin, dice, banned, temperature)

        (ids,), after = self._walk(state, t, step)
        return ids, after

    def _walk(self, state: State, length: int, step: Callable) -> tuple[list[np.ndarray], State]:
        """Go so many tokens on, and learn from each segment that they complete.

        step(model, now, streams, begin, end) goes from token `begin` of the walk to `end` and returns the tokens,
        what else is wanted of each, and the base's state after.
        """
        now, before, tokens, change = state
        begin, results = 0, []
        while not results or begin < length:
            end = min(length, begin + 1 + self.parameters.segment - tokens.shape[1])
            *found, now = self._each(change, step, now, begin, end)
            results.append(found)
            tokens = np.concatenate([tokens, found[0]], axis=1)
            if tokens.shape[1] > self.parameters.segment:
                now, before, tokens, change = self._learn(before, tokens, change)
            begin = end
        joined = [np.concatenate(parts, axis=1) for parts in zip(*results, strict=True)]
        return joined, (now, before, tokens, change)

    def _each(self, change: np.ndarray, step: Callable, now: np.ndarray, begin: int = 0, end: int = 0) -> list:
        """Take a step with each stream's own weights; with those of the base all streams go together."""
        if not change.shape[1]:
            return list(step(self.base, now, slice(None), begin, end))
        parts = []
        for i in range(len(change)):
            streams = slice(i, i + 1)
            parts.append(step(self._with(change[i]).model, now[streams], streams, begin, end))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _with(self, change: np.ndarray) -> _Adapted:
        """Return the network with changed weights."""
        if not hasattr(self._own, "adapted"):
            self._own.adapted = _Adapted(self.base, self.parameters.segment)
        self._own.adapted.load(change)
        return self._own.adapted

    def _learn(self, before: np.ndarray, tokens: np.ndarray, change: np.ndarray) -> State:
        """Take the step that a whole segment asks for; return the state in which the next one is read."""
        if not change.shape[1]:
            change = np.zeros((len(tokens), self.base.flat.size), np.float32)
        learnt = change.copy()
        now, before = np.empty_like(before), before.copy()
        squares = np.empty(-(-self.base.flat.size // optimizers.BLOCK), np.float32)
        for i in range(len(tokens)):
            gradient, before[i] = self._with(change[i]).gradient(before[i], tokens[i])
            optimizers.merge(gradient[None], squares, 0, len(squares))
            norm = math.sqrt(squares.sum(dtype=np.float64))
            if not math.isfinite(norm):
                raise LmkitError(
                    "dynamic evaluation has lost its way: a gradient is no number; the learning rate, "
                    f"{self.parameters.learning_rate:g}, is too high"
                )
            shorten = np.float32(min(1.0, CLIP / (norm + 1e-6)))
            mixture_dynamic.learn(learnt[i], gradient, self._kept, self._rates, shorten)
        learnt.flags.writeable = False
        for i in range(len(tokens)):
            now[i] = self._with(learnt[i]).model.advance(before[i : i + 1], tokens[i, -1:])[0]
        return now, before, tokens[:, -1:].copy(), learnt


class _Adapted:
    """The base with other weights, and the memory for a segment's gradient of them."""

    def __init__(self, base: RNNModel, segment: int):
        self.base = base
        self.model = RNNModel(base.text, base.shape, base.flat.copy(), reset=base.reset, resting=base.resting)
        self.shard = Shard(self.model.network, segment, 1)
        self.change: np.ndarray | None = None

    def load(self, change: np.ndarray) -> None:
        """Take over the base's weights and a change of them, unless it is the one that is there."""
        self.model.threads = self.base.threads
        if not self._has(change):
            np.add(self.base.flat, change, out=self.model.flat)
            self.model.weights_changed(training=True)
            self.change = change.copy() if change.flags.writeable else change  # nobody can write to it

    def _has(self, change: np.ndarray) -> bool:
        if self.change is None:
            return False
        return self.change.ctypes.data == change.ctypes.data or np.array_equal(self.change, change)

    def gradient(self, before: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient of the mean loss of tokens[1:], and the state in which the last one is read."""
        self.shard.state[:] = before[:, :, None]
        self.shard.gradient[:] = 0
        tokens = np.ascontiguousarray(tokens)
        inputs, targets = tokens[:-1, None], tokens[1:, None]
        starts = None if self.base.remembers else inputs == EOS
        self.shard.backward(inputs, targets, 1 / (len(tokens) - 1), starts=starts)
        return self.shard.gradient, self.shard.state[:, :, 0]


def _of_each_stream(state: State, ids: np.ndarray) -> np.ndarray:
    ids = np.asarray(ids)
    if len(ids) != len(state[0]):
        raise ValueError(f"ids of shape {ids.shape} do not go with a state of {len(state[0])} streams")
    return ids


def _reading(method: Callable, state: State, ids: np.ndarray) -> Callable:
    """Return the step that reads a text with a method of the model."""
    ids = _of_each_stream(state, ids)

    def step(model, now, streams, begin, end):
        piece = ids[streams, begin:end]
        return np.asarray(piece, np.int32), *method(model, now, piece)

    return step


def gradient_rms(base: RNNModel, ids: np.ndarray, segment: int = SEGMENT) -> np.ndarray:
    """Return the root mean square of each weight's gradient over the segments of a text, with the trained weights.

    Take a long text, and tune on another one: where each weight's own rate was measured, rates come out too high.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)

    Returns
    -------
    ndarray of float32, laid out as `base.flat`

    Raises
    ------
    CorpusError
        The text is shorter than a segment.
    """
    adapted = _Adapted(base, segment)
    adapted.load(np.zeros_like(base.flat))
    tokens = np.concatenate([[EOS], ids]).astype(np.int32)
    segments = len(ids) // segment
    if not segments:
        raise CorpusError(f"the text to tune on has {len(ids)} tokens, fewer than the {segment} of a segment")
    before, squares = base.before_text()[0], np.zeros(base.flat.size)
    for i in range(segments):
        gradient, before = adapted.gradient(before, tokens[i * segment : (i + 1) * segment + 1])
        squares += np.square(gradient, dtype=np.float64)
    return np.sqrt(squares / segments).astype(np.float32)


def read_rms(base: RNNModel, tensors: Mapping[str, np.ndarray], file: str) -> np.ndarray | None:
    """Return the `rms` that `DynamicEvaluation.tensors` gave, out of a file, which is not trusted; None without one.

    Raises
    ------
    ModelError
        Some tensors are missing, of another shape, or hold what is no root mean square.
    """
    if not any(name.startswith(RMS) for name in tensors):
        return None
    rms = base.network.layout.flat(tensors, file, RMS)
    if rms.min() < 0:
        raise ModelError(f"{file}: tensor {RMS}* holds a root mean square below 0; make the model anew")
    return rms


def tune_dynamic(base: RNNModel, ids: np.ndarray, segment: int = SEGMENT, rms: np.ndarray | None = None) -> Tuned:
    """Return the learning rate and the decay of dynamic evaluation that make a running text most probable.

    The rate is looked for at a decay of 0.01, then other decays are tried with it.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
    rms : ndarray of float32, optional
        As for `DynamicEvaluation`.

    Raises
    ------
    CorpusError
        The text is empty.
    """
    if not len(ids):
        raise CorpusError("the text to tune on holds no tokens")

    def attempt(rate: float, decay: float = DECAY) -> Trial:
        parameters = DynamicParameters(rate, decay, segment)
        model = DynamicEvaluation(base, parameters, rms)
        try:
            log_p = model.score(model.begin(1), np.asarray(ids, np.int32)[None, :])[0]
        except LmkitError:
            return Trial(parameters, -math.inf)
        return Trial(parameters, float(log_p.mean(dtype=np.float64)))

    trials = refine(attempt, RATES if rms is None else SCALED_RATES, GOLDEN_SECTIONS)
    rate = best(trials).parameters.learning_rate
    return best([*trials, *(attempt(rate, decay) for decay in DECAYS)])
