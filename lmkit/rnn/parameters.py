"""All weights of a network in one flat array, with a name for each part.

One array makes the optimizer, the clipping, the sum over shards and the checkpoint one loop each. Rows are padded to
whole panels (`lmkit.kernels.products`), the columns of each gate for itself; padding is zero, has no gradient, and is
left out of files, which hold the numbers alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from lmkit.errors import ModelError

__all__ = ["Layout", "Part"]

LARGEST = 1e13  # of a weight: sums of a million products of two such ones are still numbers


@dataclasses.dataclass(frozen=True)
class Part:
    """One weight matrix: its place in the flat array.

    Attributes
    ----------
    name : str
    rows, gates, units : int
        Its true shape is (rows, gates, units), gates side by side; rows 0 stands for a vector (gates, units).
    padded : int
        Columns of a gate in memory.
    start : int
        Where it begins.
    """

    name: str
    rows: int
    gates: int
    units: int
    padded: int
    start: int

    @property
    def columns(self) -> int:
        """Columns of a row in memory."""
        return self.gates * self.padded

    @property
    def size(self) -> int:
        return max(self.rows, 1) * self.columns

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in a file: (rows, gates * units), or (gates * units,) of a vector."""
        return (self.rows, self.gates * self.units) if self.rows else (self.gates * self.units,)

    def view(self, flat: np.ndarray) -> np.ndarray:
        """Return the part of a flat array as (rows, columns), or (columns,), padding included."""
        values = flat[self.start : self.start + self.size]
        return values.reshape(self.rows, self.columns) if self.rows else values

    def true(self, flat: np.ndarray) -> np.ndarray:
        """Return the numbers of the part as a view (rows or 1, gates, units), without the padding."""
        values = flat[self.start : self.start + self.size]
        return values.reshape(max(self.rows, 1), self.gates, self.padded)[:, :, : self.units]


class Layout:
    """The parts of a network in their order.

    Parameters
    ----------
    parts : iterable of (name, rows, gates, units)
    width : int
        Columns are padded to multiples of it.

    >>> layout = Layout([("layer0.recurrent", 3, 4, 3), ("layer0.bias", 0, 4, 3)], 16)
    >>> layout.size, layout["layer0.bias"].start, layout.count
    (256, 192, 48)
    """

    def __init__(self, parts: Iterable[tuple[str, int, int, int]], width: int):
        self.parts: dict[str, Part] = {}
        self.width, start = width, 0
        for name, rows, gates, units in parts:
            part = Part(name, rows, gates, units, math.ceil(units / width) * width, start)
            self.parts[name] = part
            start += part.size
        self.size = start

    def __getitem__(self, name: str) -> Part:
        return self.parts[name]

    def __contains__(self, name: str) -> bool:
        return name in self.parts

    @property
    def count(self) -> int:
        """Number of true parameters."""
        return sum(math.prod(part.shape) for part in self.parts.values())

    def tensors(self, flat: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
        """Return a flat array as named tensors without padding, for a file."""
        return {prefix + name: part.true(flat).reshape(part.shape) for name, part in self.parts.items()}

    def flat(self, tensors: Mapping[str, np.ndarray], file: str, prefix: str = "", dtype=np.float32) -> np.ndarray:
        """Return the flat array of what `tensors` gave.

        Raises
        ------
        ModelError
            A tensor is missing, or not of the shape that the settings ask for, or holds what is no number.
        """
        for name, part in self.parts.items():
            found = tensors.get(prefix + name)
            if found is None or found.shape != part.shape or found.dtype != dtype:
                what = "is missing" if found is None else f"is {found.dtype} {list(found.shape)}"
                raise ModelError(
                    f"{file}: tensor {prefix}{name} {what}; expected {np.dtype(dtype)} {list(part.shape)}; train anew"
                )
            if not (np.abs(found) <= LARGEST).all():
                raise ModelError(
                    f"{file}: tensor {prefix}{name} holds what is no number, or one over {LARGEST:g}; train anew"
                )
        values = np.zeros(self.size, dtype)  # not before its size is known to be that of the file
        for name, part in self.parts.items():
            part.true(values)[:] = tensors[prefix + name].reshape(max(part.rows, 1), part.gates, part.units)
        return values
