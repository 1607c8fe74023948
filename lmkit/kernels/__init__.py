"""Compiled loops. Arrays in, arrays out: no files, no messages, no classes, no random state.

Numba compiles a kernel when it is first called and keeps the machine code on disk. By itself that cache notices a
change in the kernel's own file only; here any change in this folder empties it, so a kernel may call helpers of others.
"""

import contextlib
import functools
import glob
import os

from numba import njit

__all__ = ["helper", "kernel", "routine", "uncached"]

uncached: list[str] = []  # names of kernels that have no folder for their machine code: each process compiles them anew


def kernel(function=None, **options):
    """Compile a function over arrays: cached on disk, without the interpreter lock, dividing as NumPy does.

    Kernels are called with C-contiguous arrays; those that come from a file are read-only, and so are their twins in
    memory, so that each kernel is compiled once.
    """
    if function is None:
        return functools.partial(kernel, **options)
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        compiled = njit(cache=True, **options)(function)
        _forget_stale(compiled.stats.cache_path)
        _save_where_there_is_room(compiled._cache)
        return compiled
    except RuntimeError:  # no folder that can be written for the cache
        uncached.append(function.__name__)
        return njit(**options)(function)


def helper(function):
    """Compile a small function that kernels call in their inner loops; it must not make arrays.

    Numba counts references to the arrays a function is given, with atomic instructions: measured in the sampler, they
    cost as much as all the work between them. Without its runtime (`_nrt`) there is nothing to count.
    """
    return kernel(function, _nrt=False, forceinline=True)


def routine(function=None, **options):
    """Compile a larger function that kernels call; like a helper it must not make arrays, but it stays a call."""
    return kernel(function, _nrt=False, **options)


def _save_where_there_is_room(cache) -> None:
    """Let a full disk cost another compilation in the next process, not the work of this one."""
    save = cache.save_overload

    def save_overload(signature, data):
        with contextlib.suppress(OSError):
            save(signature, data)

    cache.save_overload = save_overload


@functools.cache
def _forget_stale(folder: str) -> None:
    """Empty a cache folder that was filled by other files than these; measured: 0.2 ms where nothing has changed."""
    sources = sorted(glob.glob(os.path.join(os.path.dirname(__file__), "*.py")))
    stamp = "\n".join(f"{os.path.basename(s)} {os.stat(s).st_size} {os.stat(s).st_mtime_ns}" for s in sources)
    marker = os.path.join(folder, "kernels.stamp")
    with contextlib.suppress(FileNotFoundError), open(marker) as file:
        if file.read() == stamp:
            return
    for cached in glob.glob(os.path.join(glob.escape(folder), "*.nb[ci]")):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.unlink(cached)
    with contextlib.suppress(OSError):  # a full disk costs no more than compiling again
        with open(f"{marker}.{os.getpid()}", "w") as file:
            file.write(stamp)
        os.replace(file.name, marker)
