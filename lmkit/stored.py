"""Models that a file can hold. Pickled or copied, they are what their file would hold, and nothing else.

What a model keeps besides, it has computed for this process: hash tables with the secrets of this process, addresses of
arrays, packed weights in the form of this processor, memory of each thread. None of it may travel, and all of it is
made again by the same code that opens a file.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

import numpy as np

from lmkit.model import LanguageModel
from lmkit.storage import ModelFile, Origin
from lmkit.threads import available

__all__ = ["Stored", "chosen_threads", "parts"]

PICKLED = "the pickled model"  # stands for the name of a file in messages


class Stored(LanguageModel):
    """A language model of a family that has files."""

    @abc.abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the model, for its file."""

    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """Return what besides the arrays makes the model, ready for JSON."""

    @classmethod
    @abc.abstractmethod
    def from_file(cls, file: ModelFile) -> Stored:
        """Return the model that an open file holds; nothing in it is trusted.

        Raises
        ------
        ModelError
            The file does not hold a whole model of this family.
        """

    def description(self) -> dict[str, Any]:
        """Return what a file says of the model beside its arrays: how it was made, how text becomes ids, its record."""
        return {"config": self.config(), **self.text.metadata(), "training": self.metadata.get("training")}

    def __reduce__(self) -> tuple:
        """Return how to make the model again: see the top of this file."""
        kept = [(part.origin, part.metadata, chosen_threads(part)) for part in parts(self)]
        return _restored, (type(self), self.description(), self.tensors(), kept)


def parts(model: LanguageModel) -> Iterator[LanguageModel]:
    """Yield a model and all that it is made of, each before its own parts."""
    yield model
    for part in model.made_of():
        yield from parts(part)


def chosen_threads(model: LanguageModel) -> int | None:
    """Return how many threads a model may use, or None where that is for each machine to say."""
    threads = getattr(model, "threads", None)
    return None if threads == available() else threads


def _restored(kind: type[Stored], description: dict[str, Any], tensors: dict[str, np.ndarray], kept: list) -> Stored:
    """Make a model of what `Stored.__reduce__` gave; arrays are read-only, as those of files are."""
    views = {name: array.view() for name, array in tensors.items()}
    for view in views.values():
        view.flags.writeable = False
    size = sum(view.nbytes for view in views.values())
    metadata = {"family": kind.family, **description}
    model = kind.from_file(ModelFile(PICKLED, size, metadata, {}, views, Origin(PICKLED, "")))
    for part, (origin, own, threads) in zip(parts(model), kept, strict=True):
        part.origin, part.metadata = origin, own
        if threads is not None:
            part.threads = threads
    return model
