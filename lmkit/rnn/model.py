"""The recurrent model: the contract of `lmkit.model` over a network."""

from __future__ import annotations

import dataclasses
import itertools
import reprlib

import numpy as np

from lmkit.errors import LmkitError, ModelError
from lmkit.kernels import recurrent_sampling
from lmkit.model import BOS, EOS
from lmkit.rnn.network import Network, Shape, Shard
from lmkit.rnn.options import ARCHITECTURES, LARGEST, MOST_LAYERS, RESETS
from lmkit.rnn.parameters import LARGEST as LARGEST_WEIGHT
from lmkit.rnn.parameters import Layout
from lmkit.stored import Stored
from lmkit.text import TextLayer
from lmkit.threads import available, in_threads, ranges
from lmkit.uniforms import Uniforms
from lmkit.vectors import DenseVectors

__all__ = ["COMPANY", "NO_NUMBER", "RNNModel", "for_sampling", "from_sampling"]

ROWS = 4096  # steps times streams that are scored at once
NUMBERS = 2**20  # of the rows that one call of the output layer writes
COMPANY = 12  # streams a thread draws at least: they share each pass over the weights
MOST_CLUSTERS = 15
RESTING = "resting"  # the name of a tensor
IMPOSSIBLE = "nothing can be drawn: the model knows no token but <unk>; --allow-unk lets it come"
NO_NUMBER = "nothing can be drawn: the model's weights or the state hold what is no number; train the model anew"


class RNNModel(Stored):
    """p(w | all before it), from a recurrent network.

    The state of n streams is float32 of shape (n, layers, parts, P): h of each layer, and c where the cell has one.

    Parameters
    ----------
    text : TextLayer
    shape : Shape
    flat : ndarray of float32
        The weights, laid out by `shape.layout()`.
    reset : str or None
        Where the state began anew in training, see `RNNOptions`; None for models of lmkit 0.1, which did not record it.
        With "sentence" it does so after each `</s>` here, too.
    resting : ndarray of float32, shape (layers, parts, H), optional
        The state before the `</s>` with which a text begins; zero if not given. Training records the mean of the states
        in which it met `</s>`: from zero, which it never met, the first tokens of a sample came out wrong.

    Attributes
    ----------
    threads : int
        At most this many threads score and draw; the numbers are the same for every number of them.
    """

    family = "rnn"

    def __init__(
        self, text: TextLayer, shape: Shape, flat: np.ndarray, metadata: dict | None = None, reset: str | None = None,
        resting: np.ndarray | None = None,
    ):  # fmt: skip
        self.text, self.shape, self.metadata, self.reset = text, shape, metadata or {}, reset
        self.resting = resting
        self.network = Network(shape, flat)
        self.network.pack()
        self.threads = available()
        self._plan: SamplingPlan | None = None

    @property
    def flat(self) -> np.ndarray:
        """All weights."""
        return self.network.flat

    @property
    def remembers(self) -> bool:
        return self.reset != "sentence"

    def weights_changed(self, training: bool = False) -> None:
        """Bring up to date what was made of `flat`; `training` is for those who compute gradients of it, too."""
        self.network.pack(training)
        self._plan = None

    def settings(self) -> dict:
        chosen = {name: value for name, value in self.config().items() if value}
        if "reset" in chosen:  # under this name settings say where a model begins anew when it is used
            chosen["training_reset"] = chosen.pop("reset")
        return {**super().settings(), **chosen}

    def before_text(self, n: int = 1) -> np.ndarray:
        """Return the state of n streams before the `</s>` with which a text begins."""
        state = np.zeros((n, self.shape.layers, self.shape.cell.state_parts, self.network.padded), np.float32)
        if self.resting is not None:
            state[..., : self.shape.hidden] = self.resting
        return state

    def begin(self, n: int = 1) -> np.ndarray:
        """Return the state before a text, fed `</s>`, which stands where an n-gram model sees `<s>`."""
        return np.repeat(self.advance(self.before_text(), np.array([EOS], np.int32)), n, axis=0)

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        self._check_state(state)
        return self._log_probs(state[:, -1, 0])

    def advance(self, state: np.ndarray, ids: np.ndarray) -> np.ndarray:
        ids = self._checked(np.asarray(ids)[..., None], state)
        return self._shard(state, 1, ids)[1]

    def score(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log p of each token, float32 (n, T), and the state after the last.

        Streams are shared out among the threads; of a single one the softmaxes are.
        """
        return self._score_all(state, ids, None)

    def hidden(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the output layer saw before each token, float32 (n, T, H), and what `score` returns."""
        h = np.empty((*np.shape(ids), self.shape.hidden), np.float32)
        return h, *self._score_all(state, ids, h)

    def activations(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what units hold after each token, -1 to 1, float32 (n, T, layers, H), and the state after the last.

        That is tanh(c) of the memory of an LSTM (as Karpathy et al. 2015 show it), and h of the other networks.
        """
        ids = self._checked(ids, state)
        streams, length = ids.shape
        shape, steps = self.shape, max(1, min(length, ROWS // streams))
        found = np.empty((streams, length, shape.layers, shape.hidden), np.float32)
        shard = self._loaded(state, steps)
        for begin in range(0, length, steps):
            block = np.ascontiguousarray(ids[:, begin : begin + steps].T)
            self._forward(shard, block)
            for layer, buffers in enumerate(shard.buffers):
                held = buffers.h if buffers.c is None else np.tanh(buffers.c)
                after = held[1 : len(block) + 1, :, : shape.hidden]
                found[:, begin : begin + steps, layer] = after.transpose(1, 0, 2)
        return found, self._unloaded(shard)

    def top(self, state: np.ndarray) -> np.ndarray:
        """Return what the output layer sees next, float32 (n, H): `hidden` before a token that is still to come."""
        self._check_state(state)
        return state[:, -1, 0, : self.shape.hidden].copy()

    def rows(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = self._checked(ids, state)
        if not ids.size:
            return np.empty((*ids.shape, self.vocabulary_size), np.float32), state.copy()
        parts = ranges(0, len(ids), min(self.threads, len(ids)))
        walked = in_threads(self.threads, self._before, [(state[a:b], ids[a:b]) for a, b in parts])
        h = np.concatenate([h for h, _ in walked])
        rows = self._log_probs(h.reshape(ids.size, -1))
        return rows.reshape(*ids.shape, -1), np.concatenate([after for _, after in walked])

    def _before(self, state, ids):
        """Return what the output layer sees before each token, (n, T, P), and the state after the last."""
        shard, after = self._shard(state, ids.shape[1], ids)
        return shard.buffers[-1].h[: ids.shape[1]].transpose(1, 0, 2), after

    def _log_probs(self, h: np.ndarray) -> np.ndarray:
        """Return log p of every token for each h (R, P): some rows at a time, which fit a cache, in threads."""
        h = np.array(h, order="C")  # a copy: for read-only memory kernels would be compiled again
        rows = np.empty((len(h), self.vocabulary_size), np.float32)
        jobs = -(-rows.size // NUMBERS) or 1
        in_threads(
            min(self.threads, jobs), self.network.output.log_probs,
            [(h[a:b], rows[a:b]) for a, b in ranges(0, len(h), jobs)],
        )  # fmt: skip
        return rows

    def _score_all(self, state, ids, hidden):
        ids = self._checked(ids, state)
        streams = len(ids)
        if not ids.size:
            return np.empty(ids.shape, np.float32), state.copy()
        slices = [slice(p[0], p[-1] + 1) for p in np.array_split(np.arange(streams), min(self.threads, streams))]
        share = self.threads // len(slices)
        jobs = [(state[s], ids[s], share, None if hidden is None else hidden[s]) for s in slices]
        scored = in_threads(self.threads, self._score, jobs)
        return np.concatenate([log_p for log_p, _ in scored]), np.concatenate([after for _, after in scored])

    def _score(self, state, ids, threads, hidden):
        streams, length = ids.shape
        steps = max(1, min(length, ROWS // streams))
        shard = self._loaded(state, steps)
        log_p = np.empty(ids.shape, np.float32)
        works = [shard.work, *(np.empty_like(shard.work) for _ in range(threads - 1))]
        for begin in range(0, length, steps):
            block = np.ascontiguousarray(ids[:, begin : begin + steps].T)
            self._forward(shard, block)
            before = shard.buffers[-1].h[: len(block)]  # each token
            if hidden is not None:
                hidden[:, begin : begin + steps] = before[:, :, : self.shape.hidden].transpose(1, 0, 2)
            h = before.reshape(block.size, -1)
            targets = block.reshape(-1)
            rows = np.array_split(np.arange(block.size), min(threads, block.size))
            jobs = [(h[r[0] : r[-1] + 1], targets[r[0] : r[-1] + 1], works[i]) for i, r in enumerate(rows)]
            losses = np.concatenate(in_threads(threads, self.network.output.losses, jobs))
            log_p[:, begin : begin + steps] = -losses.reshape(block.shape).T
        return log_p, self._unloaded(shard)

    def _shard(self, state, steps, ids):
        shard = self._loaded(state, steps)
        self._forward(shard, np.ascontiguousarray(ids.T))
        return shard, self._unloaded(shard)

    def _forward(self, shard: Shard, ids: np.ndarray) -> None:
        """Run a window of ids (T, B), by the rule of the model."""
        shard.forward(ids, starts=None if self.remembers else ids == EOS)

    def _loaded(self, state: np.ndarray, steps: int) -> Shard:
        shard = Shard(self.network, steps, len(state), training=False)
        shard.state[:] = state.transpose(1, 2, 0, 3)
        return shard

    def _unloaded(self, shard: Shard) -> np.ndarray:
        return np.ascontiguousarray(shard.state.transpose(2, 0, 1, 3))

    @property
    def tempers(self) -> bool:
        """Clusters would have to be summed anew for each temperature; one softmax has its logits divided by it."""
        return not self.network.output.clusters

    def draw(
        self, state: np.ndarray, t: int, uniforms: Uniforms, banned: np.ndarray, temperature: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        streams = len(state)
        if temperature != 1 and not self.tempers:
            raise ValueError("a factorised softmax is drawn from at temperature 1 only")
        if uniforms.keys.shape != (streams,) or uniforms.counters.shape != (streams,):
            raise ValueError(f"uniforms of shape {uniforms.keys.shape} do not go with a state of {streams} streams")
        self._check_state(state)
        banned = np.unique(np.append(np.asarray(banned, np.int32), np.int32(BOS)))
        if banned[0] < 0 or banned[-1] >= self.vocabulary_size:
            raise ValueError(f"banned ids go from {banned[0]} to {banned[-1]}: not all are of the vocabulary")
        if len(banned) == self.vocabulary_size:
            raise LmkitError(IMPOSSIBLE)
        if banned[-1] >= self.network.output.ends[1]:
            return self._draw_from_rows(state, t, uniforms, banned)
        ids = np.empty((streams, t), np.int32)
        parts = np.array_split(np.arange(streams), max(1, min(self.threads, streams // COMPANY)))
        plan = self.plan()
        jobs = [(plan, state, ids, banned, uniforms, temperature, p[0], p[-1] + 1) for p in parts if p.size]
        states = in_threads(self.threads, _draw_part, jobs)
        if (ids < 0).any():
            raise LmkitError(NO_NUMBER)
        return ids, np.concatenate(states) if states else state.copy()

    def plan(self) -> SamplingPlan:
        """Return the network as sampling kernels read it."""
        self._plan = self._plan or SamplingPlan(self.network, resets=not self.remembers)
        return self._plan

    def _draw_from_rows(self, state, t, uniforms, banned):
        """Draw with bans inside the clusters of a factorised softmax, from whole rows."""
        ids = np.empty((len(state), t), np.int32)
        for i in range(t):
            rows = self.log_probs(state).astype(np.float64)
            rows[:, banned] = -np.inf
            cumulative = np.cumsum(np.exp(rows - rows.max(axis=1, keepdims=True)), axis=1)
            if not (cumulative[:, -1] > 0).all():
                raise LmkitError(NO_NUMBER)
            goals = uniforms.floats() * cumulative[:, -1]
            ids[:, i] = [np.searchsorted(c, g, side="right") for c, g in zip(cumulative, goals, strict=True)]
            state = self.advance(state, ids[:, i])
        return ids, state

    def _checked(self, ids: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Kernels trust their arrays, so callers' are checked; return ids as int32."""
        self._check_state(state)
        ids = np.asarray(ids)
        if ids.ndim != 2 or len(ids) != len(state):
            raise ValueError(f"ids of shape {ids.shape} do not go with a state of {len(state)} streams")
        if ids.size and not 0 <= ids.min() <= ids.max() < self.vocabulary_size:
            raise ValueError(f"ids go from {ids.min()} to {ids.max()}; the vocabulary has {self.vocabulary_size}")
        return np.ascontiguousarray(ids, np.int32)

    def _check_state(self, state: np.ndarray) -> None:
        shape = (self.shape.layers, self.shape.cell.state_parts, self.network.padded)
        if state.ndim != 4 or state.shape[1:] != shape or state.dtype != np.float32:
            raise ValueError(f"a state of {state.dtype} {state.shape} is none of this model: float32 (n, *{shape})")

    def token_vectors(self) -> tuple[DenseVectors, DenseVectors]:
        """Return the output and the input embeddings: what leads to a token, and what a token leads to.

        Where the input is one-hot, a token's row of the first layer's W_x is all that the network takes it for. Press
        and Wolf (2017) find output embeddings better than those of the input. So it is here, and both are better still:
        0.26, 0.15 and 0.31 by `tests/bench/neighbours.py` (words, LSTM 2x256 after two minutes of tinyshakespeare).
        """
        network = self.network
        name = "embedding" if self.shape.embedding else "layer0.input"
        table = network.layout[name].true(network.flat).reshape(self.vocabulary_size, -1)
        after = DenseVectors(table)
        return (after if self.shape.tied else DenseVectors(network.output.vectors())), after

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the model, for its file."""
        resting = {} if self.resting is None else {RESTING: self.resting}
        return {**self.network.layout.tensors(self.flat), **resting, **self.text.tensors()}

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        values = dataclasses.asdict(self.shape)
        del values["vocabulary"]
        recorded = {} if self.reset is None else {"reset": self.reset}
        return {**values, "cutoffs": list(self.shape.cutoffs), **recorded}

    @classmethod
    def from_file(cls, file) -> RNNModel:
        """Return the model that an open file holds; nothing in it is trusted.

        Raises
        ------
        ModelError
        """
        try:
            text = TextLayer.from_tensors(file.tensors, file.metadata)
        except ModelError as error:
            raise ModelError(f"{file.name}: {error}") from None
        shape = _shape(file.metadata.get("config"), len(text.vocabulary), file.name)
        layout: Layout = shape.layout(Network.usual_width())
        reset = file.metadata["config"].get("reset")
        if reset not in (None, *RESETS):
            raise ModelError(
                f"{file.name}: its settings are not those of a recurrent model (reset is {reprlib.repr(reset)}); "
                "train it anew"
            )
        resting = _resting(file, shape)
        return cls(text, shape, layout.flat(file.tensors, file.name), file.metadata, reset, resting)


def _shape(config, vocabulary: int, name: str) -> Shape:
    """Return the shape that a file's settings describe."""
    config = config if isinstance(config, dict) else {}
    shape = {key: config.get(key) for key in ("arch", "layers", "hidden", "embedding", "tied", "cutoffs")}
    embedding, tied, cutoffs = shape["embedding"], shape["tied"], shape["cutoffs"]
    sane = {
        "arch": shape["arch"] in ARCHITECTURES,
        "layers": _within(shape["layers"], 1, MOST_LAYERS),
        "hidden": _within(shape["hidden"], 1, LARGEST),
        "embedding": _within(embedding, 0, LARGEST),
        "cutoffs": isinstance(cutoffs, list) and len(cutoffs) <= MOST_CLUSTERS and _fit(cutoffs, vocabulary),
        "tied": tied is False or (tied is True and embedding == shape["hidden"] and cutoffs == []),
    }
    for key, fine in sane.items():
        if not fine:
            found = f"is {reprlib.repr(shape[key])}" if key in config else "is missing"
            raise ModelError(f"{name}: its settings are not those of a recurrent model ({key} {found}); train it anew")
    return Shape(**{**shape, "vocabulary": vocabulary, "cutoffs": tuple(cutoffs)})


def _resting(file, shape: Shape) -> np.ndarray | None:
    """Return the state before a text that a file holds, if it holds one."""
    found, expected = file.tensors.get(RESTING), (shape.layers, shape.cell.state_parts, shape.hidden)
    if found is None:
        return None
    if found.shape != expected or found.dtype != np.float32 or not (np.abs(found) <= LARGEST_WEIGHT).all():
        raise ModelError(
            f"{file.name}: tensor {RESTING} is damaged; expected float32 {list(expected)}, no number over "
            f"{LARGEST_WEIGHT:g}; train anew"
        )
    return found.copy()  # else a checkpoint would stay mapped as long as the model lives


def _within(value, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _fit(cutoffs: list, vocabulary: int) -> bool:
    """Return whether clusters can begin there: after the reserved tokens, none of them empty."""
    numbers = all(type(cutoff) is int for cutoff in cutoffs)
    return not cutoffs or (numbers and all(a < b for a, b in itertools.pairwise([3, *cutoffs, vocabulary])))


class SamplingPlan:
    """A network as sampling kernels read it: packed weights in one array, and where each lies.

    Attributes
    ----------
    arguments : tuple
        Of `recurrent_sampling.draw` from `feed` to `resets`.
    """

    def __init__(self, network: Network, resets: bool):
        self.pieces: list[np.ndarray] = []
        self.size = 0
        shape = network.shape
        gru = shape.arch == "gru"
        self.layers = np.zeros((shape.layers, 5), np.int64)
        for row, cell in zip(self.layers, network.cells, strict=True):
            row[:] = (
                cell.w_x.shape[1] if cell.dense else 0,
                self._place(cell.w_x) if cell.dense else 0,
                self._place(cell.w),
                self._place(cell.part("bias")),
                self._place(cell.part("recurrent_bias")) if gru else 0,
            )
        output = network.output
        self.outputs = np.zeros((1 + len(output.clusters), 8), np.int64)
        for k, softmax in enumerate([output.head, *output.clusters]):
            panels = output.projections[k - 1] if k else np.empty((0, 0, network.width), np.float32)
            self.outputs[k] = (
                output.ends[k] if k else output.ends[1], softmax.columns, softmax.depth, self._place(softmax.w),
                self._place(softmax.shut), self._place(panels), len(panels) * network.width, softmax.size,
            )  # fmt: skip
        feed = network.view("embedding" if shape.embedding else "layer0.input")
        cell = {
            "elman": recurrent_sampling.ELMAN, "gru": recurrent_sampling.GRU, "lstm": recurrent_sampling.LSTM
        }[shape.arch]  # fmt: skip
        weights = np.concatenate(self.pieces)
        self.arguments = (feed, cell, weights, shape.hidden, self.layers, self.outputs, network.width, resets)
        del self.pieces

    def _place(self, array: np.ndarray) -> int:
        self.pieces.append(array.reshape(-1))
        self.size += array.size
        return self.size - array.size


def for_sampling(state: np.ndarray) -> np.ndarray:
    """Return a state as sampling kernels take it: (2, layers, parts, n, P), of which the first half is filled."""
    arranged = np.empty((2, *state.shape[1:3], len(state), state.shape[3]), np.float32)
    arranged[0] = state.transpose(1, 2, 0, 3)
    return arranged


def from_sampling(arranged: np.ndarray, steps: int) -> np.ndarray:
    """Return the state that a sampling kernel leaves after so many steps."""
    return np.ascontiguousarray(arranged[steps % 2].transpose(2, 0, 1, 3))


def _draw_part(plan: SamplingPlan, state, ids, banned, uniforms, temperature, first, last) -> np.ndarray:
    """Draw for the streams `first` to `last`: write to ids, move the counters, return the states."""
    arranged, s = for_sampling(state[first:last]), slice(first, last)
    recurrent_sampling.draw(
        ids[s], arranged, *plan.arguments, banned, uniforms.keys[s], uniforms.counters[s], np.float32(1 / temperature)
    )
    return from_sampling(arranged, ids.shape[1])
