"""What kind of recurrent model a file holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmkit import untrusted

__all__ = ["facts"]

RESETS = {
    "file": "reset nowhere", "some": "reset after some sentences in training", "sentence": "reset after each sentence",
}  # fmt: skip
NAMES = {"elman": "Elman network", "gru": "GRU", "lstm": "LSTM"}
NO_WEIGHTS = ("vocabulary.", "training.", "resting")  # the beginnings of tensors' names


def facts(config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a model from its settings, which are not trusted, and its tensors.

    >>> facts({"arch": "lstm", "layers": 2, "hidden": 256, "embedding": 0}, {"layer0.bias": np.zeros(1024)})
    {'kind': 'LSTM, 2 layers of 256', 'parameters': 1024}
    """
    arch = untrusted.text(config, "arch")
    layers, hidden, embedding = (untrusted.whole(config, name) for name in ("layers", "hidden", "embedding"))
    cutoffs = config.get("cutoffs")
    words = ["recurrent network" if arch is None else NAMES.get(arch, arch)]
    if layers is not None and hidden is not None:
        words.append(f"{layers} layer{'s' * (layers != 1)} of {hidden}")
    if embedding:
        words.append(f"embeddings of {embedding}" + ", tied to the output" * (config.get("tied") is True))
    if isinstance(cutoffs, list) and cutoffs:
        words.append(f"softmax in {1 + len(cutoffs)} parts")
    reset = untrusted.text(config, "reset")
    if reset is not None:
        words.append(RESETS.get(reset, reset))
    weights = sum(tensor.size for name, tensor in tensors.items() if not name.startswith(NO_WEIGHTS))
    return {"kind": ", ".join(words), "parameters": int(weights)}
