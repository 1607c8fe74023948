"""Compiled loops. Arrays in, arrays out: no files, no messages, no classes, no random state.

Numba compiles a kernel when it is first called and keeps the machine code on disk. That cache notices a change in the
kernel's own file only, so kernels that call each other share a file, and `make clean` forgets everything.
"""

import functools

from numba import njit

__all__ = ["helper", "kernel"]


def kernel(function=None, **options):
    """Compile a function over arrays: cached on disk, without the interpreter lock, dividing as NumPy does.

    Kernels are called with C-contiguous arrays; those that come from a file are read-only, and so are their twins in
    memory, so that each kernel is compiled once.
    """
    if function is None:
        return functools.partial(kernel, **options)
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written for the cache: compile anew in each process
        return njit(**options)(function)


def helper(function):
    """Compile a small function that kernels call in their inner loops; it must not make arrays.

    Numba counts references to the arrays a function is given, with atomic instructions: measured in the sampler, they
    cost as much as all the work between them. Without its runtime (`_nrt`) there is nothing to count.
    """
    return kernel(function, _nrt=False, forceinline=True)
