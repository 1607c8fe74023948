"""The random numbers of kernels: functions of a key and a counter, see `lmkit.uniforms`."""

import numpy as np

from lmkit.kernels import helper

__all__ = ["random_bits"]


@helper
def random_bits(key, counter):
    """Return the counter-th 64 random bits of a key."""
    z = key + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
