"""Uniform random numbers by counter: the dice of the samplers.

A stream's k-th number is a function of its key and k alone (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), so tokens come out the same however the work is cut into chunks, streams or threads. The function is the
SplitMix64 finaliser (Steele, Lea and Flood 2014) over key + k * golden ratio. Kernels hold the same three lines;
`tests/test_uniforms.py` keeps them equal.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Uniforms"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Uniforms:
    """One source of uniform 64-bit integers for each of n streams.

    Attributes
    ----------
    keys, counters : ndarray of uint64, shape (n,)
        A kernel that draws for stream i uses `keys[i]` and moves `counters[i]` on by the numbers it has used.

    >>> rng = np.random.default_rng(7)
    >>> u = Uniforms.from_generator(rng, 2)
    >>> u.floats().shape
    (2,)
    """

    def __init__(self, keys: np.ndarray, counters: np.ndarray | None = None):
        self.keys = np.ascontiguousarray(keys, np.uint64)
        self.counters = np.zeros_like(self.keys) if counters is None else np.array(counters, np.uint64)

    @classmethod
    def from_generator(cls, rng: np.random.Generator, n: int) -> Uniforms:
        """Take n keys from a generator; the first keys are the same for every n."""
        return cls(rng.integers(0, 2**64, n, np.uint64))

    def copy(self) -> Uniforms:
        """Return a source that will give the same numbers as this one from here on."""
        return Uniforms(self.keys, self.counters)

    def bits(self) -> np.ndarray:
        """Return the next 64 random bits of each stream, uint64 of shape (n,), and move on."""
        with np.errstate(over="ignore"):
            self.counters += np.uint64(1)
            z = self.keys + self.counters * GOLDEN
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))

    def floats(self) -> np.ndarray:
        """Return the next number of each stream in [0, 1), float64 of shape (n,), and move on."""
        return (self.bits() >> np.uint64(11)) * 2.0**-53
