"""What models share that put something around another one, their base."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.mixture import members
from lmkit.mixture.parameters import Parameters, read
from lmkit.model import LanguageModel, State
from lmkit.stored import Stored
from lmkit.uniforms import Uniforms
from lmkit.vectors import TokenVectors

__all__ = ["Wrapper", "of_streams", "some_streams"]


class Wrapper(Stored):
    """A model over the text layer of its base, with a few parameters of its own.

    Parameters
    ----------
    base : LanguageModel
    parameters : Parameters
        Of the class `kind`.
    """

    kind: ClassVar[type[Parameters]]

    def __init__(self, base: LanguageModel, parameters: Parameters):
        self.base, self.parameters, self.text = base, parameters, base.text
        self.metadata: dict = {}

    @property
    def threads(self) -> int:
        """At most this many threads work for the base; the numbers are the same for every number of them."""
        return getattr(self.base, "threads", 1)

    @threads.setter
    def threads(self, threads: int) -> None:
        self.base.threads = threads

    def settings(self) -> dict:
        prefix = self.family.replace("-", "_")
        own = self.parameters.describe()
        text = self.text.settings.describe()
        return {**self.base.settings(), **text, **{f"{prefix}_{key}": value for key, value in own.items()}}

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        return {"parameters": self.parameters.describe(), "members": members.entries([self.base])}

    def made_of(self) -> list[LanguageModel]:
        return [self.base]

    def token_vectors(self) -> tuple[TokenVectors, TokenVectors] | None:
        return self.base.token_vectors()

    def own_tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that are not the base's."""
        return {}

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the model, for its file."""
        return {**self.own_tensors(), **self.text.tensors(), **members.tensors([self.base])}

    @classmethod
    def from_file(cls, file) -> Wrapper:
        """Build the model over a file's memory-mapped tensors (`lmkit.storage.ModelFile`).

        Raises
        ------
        ModelError
            The file does not hold a whole model of this kind.
        """
        base = members.read(file)[0]
        parameters = read(cls.kind, file.metadata["config"].get("parameters"), file.name)
        try:
            model = cls(base, parameters, *cls.read_own(base, file))
        except OptionError as error:
            raise ModelError(f"{file.name}: the model is damaged: {error}; make it anew") from None
        model.metadata = file.metadata
        return model

    @classmethod
    def read_own(cls, base: LanguageModel, file) -> tuple:
        """Return what the constructor takes besides base and parameters, out of a file."""
        return ()


def some_streams(state: State, rows: np.ndarray) -> State:
    """Return the states of some of the streams, in ascending order; of all of them without a copy."""
    if isinstance(state, tuple):
        return tuple(some_streams(part, rows) for part in state)
    return state if len(rows) == len(state) else state[rows]


class of_streams:
    """Lend the uniform numbers of some streams to a `with` block; what it uses up is used up.

    >>> dice = Uniforms(np.arange(3))
    >>> with of_streams(dice, [0, 2]) as some:
    ...     _ = some.floats()
    >>> dice.counters
    array([1, 0, 1], dtype=uint64)
    """

    def __init__(self, uniforms: Uniforms, rows: np.ndarray | list[int]):
        self.uniforms, self.rows = uniforms, rows

    def __enter__(self) -> Uniforms:
        self.some = Uniforms(self.uniforms.keys[self.rows], self.uniforms.counters[self.rows])
        return self.some

    def __exit__(self, *exception: Any) -> None:
        self.uniforms.counters[self.rows] = self.some.counters
