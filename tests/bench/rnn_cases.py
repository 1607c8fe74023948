"""The networks that `rnn.py` measures, what a token costs in each, and how steps are timed: the same for both sides."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable

import numpy as np

from lmkit.rnn.clusters import choose_cutoffs
from lmkit.rnn.network import Shape
from lmkit.rnn.outputs import bounds, projection

__all__ = ["CASES", "SAMPLED", "TOGETHER", "Case", "flops", "speed", "time_steps"]

WINDOWS = 200  # of a pass
WARM = 3  # steps before the clock runs: compilation, memory, thread pools
CLIP, RATE = 1.0, 0.002  # gradient norm and learning rate, on both sides


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and the windows it is trained on; embedding 0 is one-hot."""

    arch: str
    layers: int
    hidden: int
    batch: int = 32
    bptt: int = 64
    vocabulary: int = 65
    embedding: int = 0
    adaptive: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.batch * self.bptt

    def ids(self) -> np.ndarray:
        """Return random ids, int32, by the law of Zipf and Mandelbrot: p(rank) ~ 1 / (rank + 2.7). 0 to 2 are left
        out."""
        share = 1 / (np.arange(1, self.vocabulary - 2) + 2.7)
        drawn = np.random.default_rng(1).choice(share.size, WINDOWS * self.tokens, p=share / share.sum())
        return (drawn + 3).astype(np.int32)

    def shape(self, counts: np.ndarray) -> Shape:
        """Return the network, given how often each id comes."""
        cutoffs = choose_cutoffs(counts, self.hidden, must=True) if self.adaptive else ()
        return Shape(self.arch, self.vocabulary, self.layers, self.hidden, self.embedding, cutoffs=cutoffs)


WORDS = Case("lstm", 2, 200, batch=20, bptt=35, vocabulary=10_000, embedding=200)
MANY = dataclasses.replace(WORDS, vocabulary=50_000)
CASES = {
    "elman 1x256": Case("elman", 1, 256),
    "gru 1x256": Case("gru", 1, 256),
    "lstm 1x256": Case("lstm", 1, 256),
    "lstm 2x128": Case("lstm", 2, 128, batch=50, bptt=50),
    "lstm 2x512": Case("lstm", 2, 512, batch=50, bptt=50),
    "words 10k full": WORDS,
    "words 10k adaptive": dataclasses.replace(WORDS, adaptive=True),
    "words 50k full": MANY,
    "words 50k adaptive": dataclasses.replace(MANY, adaptive=True),
}
TOGETHER = [*([name] for name in list(CASES)[:5]), list(CASES)[5:7], list(CASES)[7:]]  # measured in turn
SAMPLED = ["elman 1x256", "lstm 1x256", "lstm 2x128", "lstm 2x512"]


def flops(shape: Shape, counts: np.ndarray) -> float:
    """Return the floating-point operations that a token needs, forward and backward: 6 x the weights that it touches.

    Each weight of a product is multiplied and added once forward, once for the gradient of its input and once for its
    own. One-hot inputs and embeddings are rows that are looked up: no product. Of an adaptive softmax a token touches
    the head, and a cluster as often as this text does.
    """
    weights, depth = 0.0, shape.embedding
    for _ in range(shape.layers):
        weights += shape.cell.gates * shape.hidden * (depth + shape.hidden)
        depth = shape.hidden
    ends = bounds(shape)
    weights += shape.hidden * (ends[1] + len(shape.cutoffs))
    for k, (first, last) in enumerate(itertools.pairwise(ends[1:]), 1):
        weights += counts[first:last].sum() / counts.sum() * projection(shape, k) * (shape.hidden + last - first)
    return 6 * weights


def time_steps(step: Callable[[], object], seconds: float) -> list[float]:
    """Return the seconds of each step, for as long as asked for and at least as many steps as warmed up."""
    for _ in range(WARM):
        step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < WARM:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return times


def speed(step: Callable[[], object], tokens: int, seconds: float) -> dict[str, float]:
    """Return tokens a second, and the longest step in ms."""
    times = time_steps(step, seconds)
    return {"rate": tokens * len(times) / sum(times), "longest": max(times) * 1e3}
