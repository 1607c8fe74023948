"""The three cells: which weights each has, its memory, and the order of its kernels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from lmkit.kernels import products, recurrent

if TYPE_CHECKING:
    from lmkit.rnn.network import Network

__all__ = ["CELLS", "Cell"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """What an architecture consists of.

    Attributes
    ----------
    gates : int
    state_parts : int
        Vectors that go from step to step: h, or h and c.
    weights : class
    """

    gates: int
    state_parts: int
    weights: type[CellWeights]

    def parts(self, depth: int, hidden: int) -> list[tuple[str, int, int]]:
        """Return (name, rows, gates) of the weights of a layer with inputs of size `depth`."""
        parts = [("input", depth, self.gates), ("recurrent", hidden, self.gates), ("bias", 0, self.gates)]
        return [*parts, ("recurrent_bias", 0, 1)] if self.weights is GRU else parts


@dataclasses.dataclass
class Buffers:
    """What one layer remembers of a window for its backward pass: see `lmkit.kernels.recurrent`."""

    z: np.ndarray
    h: np.ndarray
    c: np.ndarray | None = None
    a: np.ndarray | None = None
    dc: np.ndarray | None = None
    row: np.ndarray | None = None

    @property
    def memories(self) -> list[np.ndarray]:
        """What goes from step to step: h, and c where the cell has one, each (T + 1, B, P)."""
        return [self.h] if self.c is None else [self.h, self.c]


class CellWeights:
    """One layer's weights, packed, and its passes over a window.

    Parameters
    ----------
    dense : bool
        Whether its input is a vector; else it is a token.
    """

    gates: int

    def __init__(self, network: Network, prefix: str, dense: bool):
        self.network, self.prefix, self.dense = network, prefix, dense
        self.padded, hidden = network.padded, network.shape.hidden
        columns = self.gates * self.padded
        self.w = network.panels(hidden, columns)
        self.make_transposes(hidden, columns)
        if dense:
            depth = network.layout[prefix + "input"].rows
            self.w_x = network.panels(depth, columns)
            self.w_x_t = network.panels(columns, depth)

    def make_transposes(self, hidden: int, columns: int) -> None:
        """Make room for the transpose of the recurrent weights."""
        self.w_t = self.network.panels(columns, hidden)

    def part(self, name: str, flat: np.ndarray | None = None) -> np.ndarray:
        """Return a part of this layer's weights, or of another array of their layout."""
        return self.network.view(self.prefix + name, flat)

    def packing(self, training: bool) -> list[tuple]:
        """Return the calls that bring the packed copies up to date."""
        jobs = [(products.pack, self.w, self.part("recurrent"), 0, len(self.w))]
        if self.dense:
            jobs.append((products.pack, self.w_x, self.part("input"), 0, len(self.w_x)))
        if training:
            jobs += self.transposing()
        if training and self.dense:
            jobs.append((products.pack_transposed, self.w_x_t, self.part("input"), 0, 0, len(self.w_x_t)))
        return jobs

    def transposing(self) -> list[tuple]:
        """Return the calls that pack the transpose of the recurrent weights."""
        return [(products.pack_transposed, self.w_t, self.part("recurrent"), 0, 0, len(self.w_t))]

    def buffers(self, steps: int, streams: int, training: bool) -> Buffers:
        """Return memory for a window."""
        dtype = self.network.flat.dtype
        z = np.zeros((steps, streams, self.gates * self.padded), dtype)
        return Buffers(z, np.zeros((steps + 1, streams, self.padded), dtype))

    def add_input(self, z: np.ndarray, x: np.ndarray | None, ids: np.ndarray) -> None:
        """Write W_x x + b to z (R, columns)."""
        if self.dense:
            recurrent.repeat_row(z, self.part("bias"))
            recurrent.add_product(z, x, self.w_x.shape[1], self.w_x)
        else:
            recurrent.gather_rows(z, self.part("input"), self.part("bias"), ids)

    def add_gradients(self, buffers: Buffers, dz, h, gradient, scratch) -> None:
        """Add the gradient of W_h (and its own bias), given dz (R, columns) and h before each step (R, P)."""
        recurrent.add_weight_gradient(self.part("recurrent", gradient), 0, h, dz, dz.shape[1], scratch)

    def add_input_gradients(self, dz, x, ids, dx, gradient, scratch) -> None:
        """Add the gradients of b and W_x, and that of the input to dx, where it is a vector."""
        recurrent.add_column_sums(self.part("bias", gradient), dz)
        if self.dense:
            recurrent.add_weight_gradient(self.part("input", gradient), 0, x, dz, dz.shape[1], scratch)
            recurrent.add_product(dx, dz, dz.shape[1], self.w_x_t)
        else:
            recurrent.scatter_rows(self.part("input", gradient), dz, ids)

    def forward(self, buffers: Buffers, steps: int, state, x, ids, starts) -> np.ndarray:
        """Run a window; move the state (parts, B, P) on and return h, (T, B, P)."""
        z, h = buffers.z[:steps], buffers.h[: steps + 1]
        self.add_input(z.reshape(ids.size, -1), x, ids)
        h[0] = state[0]
        self.run(buffers, z, h, state, starts)
        state[0] = h[steps]
        return h[1:]

    def backward(self, buffers: Buffers, steps: int, dh, x, ids, starts, dx, gradient, scratch) -> None:
        """Go back through a window: add to `gradient`, and to dx where the input is a vector."""
        z, h = buffers.z[:steps], buffers.h[: steps + 1]
        self.run_back(buffers, z, h, dh, starts)
        h[:-1][starts] = 0  # what these steps saw of the state before them
        dz = z.reshape(ids.size, -1)
        self.add_gradients(buffers, dz, h[:-1].reshape(ids.size, -1), gradient, scratch)
        self.add_input_gradients(dz, x, ids, dx, gradient, scratch)


class Elman(CellWeights):
    """h_t = tanh(W_xh x_t + W_hh h_(t-1) + b_h)."""

    gates = 1

    def run(self, buffers, z, h, state, starts):
        recurrent.elman_forward(h, z, self.w, starts)

    def run_back(self, buffers, z, h, dh, starts):
        recurrent.elman_backward(z, dh, h, self.w_t, starts)


class LSTM(CellWeights):
    """See `lmkit.kernels.recurrent.lstm_forward`."""

    gates = 4

    def buffers(self, steps, streams, training):
        buffers = super().buffers(steps, streams, training)
        buffers.c = np.zeros_like(buffers.h)
        buffers.dc = np.zeros((streams, self.padded), buffers.h.dtype)
        buffers.row = np.zeros(self.padded, buffers.h.dtype)
        return buffers

    def run(self, buffers, z, h, state, starts):
        c = buffers.c[: len(h)]
        c[0] = state[1]
        recurrent.lstm_forward(h, c, z, self.w, starts)
        state[1] = c[-1]

    def run_back(self, buffers, z, h, dh, starts):
        buffers.dc[:] = 0
        recurrent.lstm_backward(z, dh, buffers.dc, buffers.c[: len(h)], self.w_t, starts, buffers.row)


class GRU(CellWeights):
    """See `lmkit.kernels.recurrent.gru_forward`. The candidate's recurrent sum is kept apart from the gates'."""

    gates = 3

    def buffers(self, steps, streams, training):
        buffers = super().buffers(steps, streams, training)
        buffers.a = np.zeros((steps, streams, self.padded), buffers.h.dtype)
        return buffers

    def make_transposes(self, hidden, columns):
        self.both = 2 * self.padded  # columns of the two gates
        self.w_gates, self.w_candidate = np.split(self.w, [self.both // self.network.width])
        self.w_gates_t = self.network.panels(self.both, hidden)
        self.w_candidate_t = self.network.panels(self.padded, hidden)

    def transposing(self):
        w = self.part("recurrent")
        return [
            (products.pack_transposed, self.w_gates_t, w, 0, 0, len(self.w_gates_t)),
            (products.pack_transposed, self.w_candidate_t, w, self.both, 0, len(self.w_candidate_t)),
        ]

    def run(self, buffers, z, h, state, starts):
        a = buffers.a[: len(z)]
        recurrent.repeat_row(a.reshape(-1, self.padded), self.part("recurrent_bias"))
        recurrent.gru_forward(h, z, a, self.w_gates, self.w_candidate, starts)

    def run_back(self, buffers, z, h, dh, starts):
        recurrent.gru_backward(z, dh, buffers.a[: len(z)], h, self.w_gates_t, self.w_candidate_t, starts)

    def add_gradients(self, buffers, dz, h, gradient, scratch):
        dw, da = self.part("recurrent", gradient), buffers.a.reshape(-1, self.padded)[: len(h)]
        recurrent.add_weight_gradient(dw, 0, h, dz, self.both, scratch)
        recurrent.add_weight_gradient(dw, self.both, h, da, self.padded, scratch)
        recurrent.add_column_sums(self.part("recurrent_bias", gradient), da)


CELLS = {"elman": Cell(1, 1, Elman), "gru": Cell(3, 1, GRU), "lstm": Cell(4, 2, LSTM)}
