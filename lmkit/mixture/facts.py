"""What kind of mixture or adapting model a file holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmkit import untrusted

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
    """Return what is to be known of a mixture with weights by context: see `linear`."""
    bounds = untrusted.entry(config, "buckets").get("bounds")
    said = f" in {len(bounds) + 1} buckets" if isinstance(bounds, list) else ""
    return {"kind": f"{linear(config, tensors)['kind']}, weights by context{said}"}


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
