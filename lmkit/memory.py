"""How much memory there is."""

from __future__ import annotations

import os
import re

__all__ = ["memory_limit"]


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
