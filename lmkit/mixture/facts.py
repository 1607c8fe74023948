"""What kind of mixture or adapting model a file holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmkit import untrusted
from lmkit.errors import OptionError

__all__ = ["bucketed", "dynamic", "linear", "log_linear", "neural_cache", "unigram_cache"]


def linear(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a linear mixture from its settings, which are not trusted.

    >>> linear({"weights": [0.3, 0.7], "members": [{}, {}]}, {})
    {'kind': 'linear mixture of 2 models'}
    """
    return {"kind": f"linear mixture of {len(untrusted.entries(config, 'members'))} models"}


def log_linear(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a log-linear mixture: see `linear`."""
    return {"kind": f"log-linear mixture of {len(untrusted.entries(config, 'members'))} models"}


def bucketed(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a mixture with weights by context: see `linear`.

    "buckets" has for each of them which "contexts" are in it, in words, and the "weights" of the members.
    """
    kind, names = f"{linear(config, tensors)['kind']}, weights by context", _bucket_names(config)
    if not names:
        return {"kind": kind}
    known = {"kind": f"{kind} in {len(names)} buckets"}
    rows, members = config.get("weights"), len(untrusted.entries(config, "members"))
    if not isinstance(rows, list) or len(rows) != len(names) or not all(_are_weights(row, members) for row in rows):
        return known
    return known | {"buckets": [{"contexts": n, "weights": row} for n, row in zip(names, rows, strict=True)]}


def _bucket_names(config: dict[str, Any]) -> list[str]:
    from lmkit.mixture.buckets import Buckets

    found = untrusted.entry(config, "buckets")
    bounds = found.get("bounds")
    try:
        return Buckets(found.get("measure"), tuple(bounds)).names() if isinstance(bounds, list) else []
    except OptionError:
        return []


def _are_weights(found: Any, members: int) -> bool:
    numbers = [untrusted.number({0: w}, 0) for w in found] if isinstance(found, list) else []
    return len(numbers) == members and all(w is not None and 0 <= w <= 1 for w in numbers)


def unigram_cache(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a unigram cache: see `linear`."""
    return {"kind": _with_parameters("unigram cache", config)}


def neural_cache(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a neural cache: see `linear`."""
    return {"kind": _with_parameters("neural cache", config)}


def dynamic(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a model that learns as it reads: see `linear`."""
    return {"kind": _with_parameters("dynamic evaluation", config)}


def _with_parameters(name: str, config: dict[str, Any]) -> str:
    """Return a name and what parameters there are.

    >>> _with_parameters("unigram cache", {"parameters": {"weight": 0.1, "decay": 0.003}})
    'unigram cache, weight 0.1, decay 0.003'
    """
    parameters = untrusted.entry(config, "parameters")
    known = [(key, untrusted.number(parameters, key)) for key in parameters]
    return ", ".join([name, *(f"{key.replace('_', ' ')} {value:.4g}" for key, value in known if value is not None)])
