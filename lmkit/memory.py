"""How much memory there is, and how much is used."""

from __future__ import annotations

import math
import os
import re

from lmkit.errors import LmkitError

__all__ = ["allowed", "check_address_space", "in_bytes", "memory_limit", "resident"]

ADDRESS_SPACE = 500 << 20  # bytes of it that the libraries, their compiler and a few threads take; measured: 480 MB
SHARE = 0.8  # of what is free, that a training takes at most if nothing else is said


def memory_limit() -> int | None:
    """Return the bytes of memory that this process may still take, None where the system does not say."""
    limits = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limits.append(int(file.read()))
        except (OSError, ValueError):
            continue
    try:
        with open("/proc/meminfo") as file:
            found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
            limits.append(int(found[1]) * 1024)
    except (OSError, TypeError):
        pass
    if not limits and hasattr(os, "sysconf"):
        try:
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            return None
    return min(limits, default=None)


def allowed(memory: int | None) -> int | None:
    """Return the bytes that a process may take in all: those given, or a share of what is free; None: unknown."""
    limit = memory_limit() if memory is None else None
    return memory if limit is None else resident() + int(SHARE * limit)


def check_address_space() -> None:
    """Refuse to work, before NumPy is imported, where its libraries would end the process for want of address space.

    Where there is a limit, OpenBLAS is told to do without threads, each of which would reserve a part of it.

    Raises
    ------
    LmkitError
    """
    try:
        import resource
    except ImportError:  # not a Unix system
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if limit < ADDRESS_SPACE:
        raise LmkitError(
            f"lmkit needs {ADDRESS_SPACE >> 20} MB of address space, more with large models and many cores, and this "
            f"process may take {limit >> 20} MB; raise the limit with: ulimit -v {ADDRESS_SPACE >> 10} or more"
        )


def resident() -> int:
    """Return the bytes of memory that this process takes, 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def in_bytes(n: float) -> str:
    """Spell a number of bytes for people.

    >>> in_bytes(3_260_000_000)
    '3.26 GB'
    """
    units = ["kB", "MB", "GB", "TB", "PB", "EB"]
    power = min(max(int(math.log10(max(n, 1)) // 3), 1), len(units))
    return f"{n / 1000**power:.3g} {units[power - 1]}"
