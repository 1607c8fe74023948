"""What kind of n-gram model a file holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmkit import untrusted
from lmkit.ngram.options import INTERPOLATE, SMOOTHINGS

__all__ = ["facts"]

NAMES = {
    "modified-kneser-ney": "modified Kneser-Ney",
    "kneser-ney": "Kneser-Ney",
    "absolute": "absolute discounting",
    "witten-bell": "Witten-Bell",
    "katz": "Katz",
    "jelinek-mercer": "Jelinek-Mercer",
    "stupid-backoff": "stupid back-off",
    "add-k": "add-k",
    "mle": "maximum likelihood",
    "arpa": "imported",
}


def facts(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a model from its settings, which are not trusted.

    >>> facts({"order": 5, "smoothing": "modified-kneser-ney", "interpolate": True}, {})
    {'kind': 'modified Kneser-Ney 5-gram'}
    """
    order, smoothing = untrusted.whole(config, "order"), untrusted.text(config, "smoothing")
    name = "" if smoothing is None else f"{NAMES.get(smoothing, smoothing)} "
    words = [f"{name}{'n' if order is None else order}-gram"]
    quantize = untrusted.whole(config, "quantize")
    if quantize is not None:
        words.append(f"packed, numbers of {quantize} bits")
    elif config.get("interpolate") is False and SMOOTHINGS.get(smoothing, ())[:1] == (INTERPOLATE,):
        words.append("backing off")
    if "pruned" in config or "cut_off" in config:
        words.append("pruned")
    return {"kind": ", ".join(words)}
