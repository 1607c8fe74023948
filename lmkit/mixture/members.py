"""The models that a mixture is made of, in its file: embedded, or named with what they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmkit import registry
from lmkit.errors import ModelError
from lmkit.model import LanguageModel
from lmkit.storage import ModelFile

__all__ = ["entries", "read", "tensors"]

MOST = 1000  # members of a mixture


def entries(members: list[LanguageModel]) -> list[dict[str, Any]]:
    """Return what is to be known of each member besides its arrays, ready for JSON."""
    return [
        {"family": m.family, "config": m.config(), **m.text.metadata(), "training": m.metadata.get("training")}
        for m in members
    ]


def tensors(members: list[LanguageModel]) -> dict[str, np.ndarray]:
    """Return the arrays of all members, each under its number and its name."""
    return {f"{i}.{name}": array for i, member in enumerate(members) for name, array in member.tensors().items()}


def read(file: ModelFile) -> list[LanguageModel]:
    """Open the members that a file holds.

    Raises
    ------
    ModelError
        The file does not hold whole models.
    """
    config = file.metadata.get("config")
    listed = config.get("members") if isinstance(config, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise ModelError(f"{file.name}: its list of members is damaged; make the mixture anew")
    try:
        return [_member(file, i, entry) for i, entry in enumerate(listed)]
    except RecursionError:
        raise ModelError(f"{file.name}: mixtures are nested too deep; make the mixture anew") from None


def _member(file: ModelFile, i: int, entry: Any) -> LanguageModel:
    name = f"{file.name} (member {i + 1})"
    if not isinstance(entry, dict) or not isinstance(entry.get("family"), str):
        raise ModelError(f"{name}: what is said of it is damaged; make the mixture anew")
    prefix = f"{i}."
    own = {key[len(prefix) :]: tensor for key, tensor in file.tensors.items() if key.startswith(prefix)}
    return registry.load(ModelFile(name, sum(t.nbytes for t in own.values()), entry, {}, own))
