"""The network: which parts it has, and what happens to a window of text in it, forward and backward.

    ids -> embedding or one-hot -> layer 1 -> ... -> layer L -> logits -> softmax

A `Network` owns the weights, flat and packed. A `Shard` owns the memory in which one thread works on its streams;
shards share nothing else, so that threads need not wait for each other until a window is done.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from lmkit.kernels import products, recurrent
from lmkit.rnn.cells import CELLS, Cell
from lmkit.rnn.outputs import Output, output_parts
from lmkit.rnn.parameters import Layout

__all__ = ["Network", "Shape", "Shard"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What the weights look like.

    Attributes
    ----------
    arch : str
        "elman", "gru" or "lstm".
    vocabulary : int
        Tokens, reserved ones included.
    layers, hidden : int
    embedding : int
        Size of the vectors that stand for tokens; 0 feeds the first layer one-hot vectors.
    tied : bool
        The output's weights are the embeddings (Press and Wolf 2017).
    cutoffs : tuple of int
        Where the clusters of a factorised softmax begin; () is the full softmax. See `lmkit.rnn.outputs`.
    """

    arch: str
    vocabulary: int
    layers: int
    hidden: int
    embedding: int = 0
    tied: bool = False
    cutoffs: tuple[int, ...] = ()

    @property
    def cell(self) -> Cell:
        return CELLS[self.arch]

    def layout(self, width: int) -> Layout:
        """Return where each weight lies."""
        parts = [("embedding", self.vocabulary, 1, self.embedding)] if self.embedding else []
        depth = self.embedding or self.vocabulary
        for layer in range(self.layers):
            parts += [
                (f"layer{layer}.{name}", rows, gates, self.hidden)
                for name, rows, gates in self.cell.parts(depth, self.hidden)
            ]
            depth = self.hidden
        return Layout(parts + output_parts(self), width)


class Network:
    """The weights of a network, and their packed copies.

    Parameters
    ----------
    shape : Shape
    flat : ndarray, shape (layout.size,), optional
        The weights; zeros if not given.
    width : int
        Columns of a panel: `PLAIN_WIDTH` makes all products by plain loops.
    """

    def __init__(self, shape: Shape, flat: np.ndarray | None = None, width: int | None = None, dtype=np.float32):
        self.shape = shape
        self.width = width or self.usual_width()
        self.layout = shape.layout(self.width)
        self.flat = np.zeros(self.layout.size, dtype) if flat is None else flat
        self.padded = -(-shape.hidden // self.width) * self.width
        make = shape.cell.weights
        self.cells = [make(self, f"layer{i}.", dense=i > 0 or shape.embedding > 0) for i in range(shape.layers)]
        self.output = Output(self)

    @staticmethod
    def usual_width() -> int:
        """Return the columns of a panel on this machine."""
        return products.WIDTH if products.VECTORS else products.PLAIN_WIDTH

    def view(self, name: str, flat: np.ndarray | None = None) -> np.ndarray:
        """Return a part of the weights, or of another array of their layout."""
        return self.layout[name].view(self.flat if flat is None else flat)

    def panels(self, depth: int, columns: int) -> np.ndarray:
        """Return room for a packed matrix (depth, columns)."""
        return np.empty((-(-columns // self.width), depth, self.width), self.flat.dtype)

    def packing(self, training: bool) -> list[tuple]:
        """Return the calls (function, *arguments) that bring the packed copies up to date; they are independent.

        Parameters
        ----------
        training : bool
            Whether the transposes are needed, too.
        """
        jobs = [job for cell in self.cells for job in cell.packing(training)]
        return jobs + self.output.packing(training)

    def pack(self, training: bool = False) -> None:
        """Bring the packed copies up to date with the weights."""
        for function, *arguments in self.packing(training):
            function(*arguments)


class Shard:
    """The memory for T steps of B streams, and what is done in it.

    Attributes
    ----------
    state : ndarray, shape (L, parts, B, P)
        The state before the window, and after `forward` that after it; parts is 2 where the cell has a memory c.
    gradient : ndarray, like the network's `flat`
        What `backward` adds to; whoever uses it sets it to zero.
    """

    def __init__(
        self, network: Network, steps: int, streams: int, training: bool = True, gradient: np.ndarray | None = None
    ):
        self.network, self.streams = network, streams
        shape, padded, dtype = network.shape, network.padded, network.flat.dtype
        self.state = np.zeros((shape.layers, shape.cell.state_parts, streams, padded), dtype)
        rows = steps * streams
        self.starts = np.zeros((steps, streams), bool)
        self.buffers = [cell.buffers(steps, streams, training) for cell in network.cells]
        inputs = -(-shape.embedding // network.width) * network.width
        self.embedded = np.zeros((rows, inputs), dtype)
        self.dropped = [np.zeros((steps, streams, padded), dtype) for _ in range(shape.layers)]
        self.work = network.output.work(rows, training)
        if training:
            self.gradient = np.zeros_like(network.flat) if gradient is None else gradient
            self.dh = [np.zeros((steps, streams, padded), dtype) for _ in range(2)]
            self.dembedded = np.zeros((rows, inputs), dtype)
            self.scratch = np.zeros(products.SCRATCH if network.width == products.WIDTH else 0, dtype)

    def at(self, state: np.ndarray) -> Shard:
        """Return a shard in the same memory that is at another state; what still runs in this one does not touch it."""
        other = copy.copy(self)
        other.state = state
        return other

    def forward(self, ids: np.ndarray, drop: Dropout | None = None, starts: np.ndarray | None = None) -> np.ndarray:
        """Run the window and move the state on; return the last layer's h, (T, B, P).

        Parameters
        ----------
        ids : ndarray of int32, shape (T, B)
        starts : ndarray of bool, shape (T, B), optional
            Where a stream begins anew: its token is read in the zero state. Nowhere if not given.
        """
        network, steps = self.network, len(ids)
        self.starts[:steps] = False if starts is None else starts
        starts = self.starts[:steps]
        x, ids = None, ids.reshape(-1)
        if network.shape.embedding:
            x = self.embedded[: ids.size]
            table = network.view("embedding")
            recurrent.gather_rows(x, table, np.zeros(table.shape[1], table.dtype), ids)
            if drop is not None:
                three = x.reshape(steps, self.streams, -1)
                drop(three, three, 0)
        for i, (cell, buffers) in enumerate(zip(network.cells, self.buffers, strict=True)):
            h = cell.forward(buffers, steps, self.state[i], x, ids, starts)
            if drop is not None:
                out = self.dropped[i][:steps]
                drop(out, h, i + 1)
                h = out
            x = h.reshape(ids.size, -1)
        return h

    def sum_before(self, chosen: np.ndarray) -> np.ndarray:
        """Return the sum of the states before some steps of the last window, float64 (L, parts, H).

        Parameters
        ----------
        chosen : ndarray of bool, shape (T, B)
        """
        hidden = self.network.shape.hidden
        return np.array([
            [memory[: len(chosen), :, :hidden][chosen].sum(axis=0, dtype=np.float64) for memory in buffers.memories]
            for buffers in self.buffers
        ])  # fmt: skip

    def losses(self, ids: np.ndarray, targets: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """Return -log p of the targets (T, B), and move the state on."""
        h = self.forward(ids, starts=starts)
        return self.network.output.losses(h, targets.reshape(-1), self.work).reshape(targets.shape)

    def backward(
        self,
        ids: np.ndarray,
        targets: np.ndarray,
        share: float,
        drop: Dropout | None = None,
        starts: np.ndarray | None = None,
    ) -> float:
        """Run a window forward and backward: add to `gradient`, move the state on, return the sum of the losses.

        Parameters
        ----------
        ids, targets : ndarray of int32, shape (T, B)
        share : float
            What the gradients are multiplied by: one over the number of tokens of all shards makes them those of the
            mean loss.
        starts : ndarray of bool, shape (T, B), optional
            As for `forward`; no gradient goes back over them.
        """
        network, steps = self.network, len(ids)
        h = self.forward(ids, drop, starts)
        starts = self.starts[:steps]
        flat_ids, targets = ids.reshape(-1), targets.reshape(-1)
        dh = self.dh[0][:steps]
        dh[:] = 0
        losses = network.output.backward(
            h.reshape(flat_ids.size, -1), targets, self.work, dh.reshape(flat_ids.size, -1), self.gradient, share,
            self.scratch,
        )  # fmt: skip
        for i in range(len(network.cells) - 1, -1, -1):
            if drop is not None:
                drop(dh, dh, i + 1)
            below = self.dropped[i - 1][:steps] if drop is not None else self.buffers[i - 1].h[1 : steps + 1]
            x, dx, dh_below = None, None, None
            if i > 0:
                x, dh_below = below.reshape(flat_ids.size, -1), self.dh[(len(network.cells) - i) % 2][:steps]
                dh_below[:] = 0
                dx = dh_below.reshape(flat_ids.size, -1)
            elif network.shape.embedding:
                x, dx = self.embedded[: flat_ids.size], self.dembedded[: flat_ids.size]
                dx[:] = 0
            network.cells[i].backward(self.buffers[i], steps, dh, x, flat_ids, starts, dx, self.gradient, self.scratch)
            dh = dh_below
        if network.shape.embedding:
            if drop is not None:
                three = dx.reshape(steps, self.streams, -1)
                drop(three, three, 0)
            recurrent.scatter_rows(network.view("embedding", self.gradient), dx, flat_ids)
        return float(losses.sum(dtype=np.float64))


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Dropout on the connections between layers, never on those between steps (Zaremba et al. 2014).

    Attributes
    ----------
    rate : float
    key : int
        Of this step and shard; each place in the network has its own masks.
    locked : bool
        The same mask for all steps of a window (Gal and Ghahramani 2016).
    """

    rate: float
    key: int
    locked: bool = False

    def __call__(self, out: np.ndarray, x: np.ndarray, place: int) -> None:
        key = np.uint64((self.key + place * 0xD1342543DE82EF95) % 2**64)
        recurrent.dropout(out, x, key, out.dtype.type(1 - self.rate), self.locked)
