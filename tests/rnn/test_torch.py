"""The same networks in PyTorch: losses, states and gradients of small models agree.

Where PyTorch is not installed there is nothing to compare with: these tests are skipped.
"""

import math
import warnings

import numpy as np
import pytest

from lmkit.model import BOS
from lmkit.rnn.network import Network, Shape, Shard
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.trainer import Trainer

with warnings.catch_warnings():  # what PyTorch has to say about its own imports
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:::torch")

HIDDEN, VOCABULARY, STEPS, STREAMS = 12, 23, 7, 3
KINDS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
WIRINGS = {
    "one-hot": {},
    "embedding": {"embedding": 9},
    "tied": {"embedding": HIDDEN, "tied": True},
}
each_arch = pytest.mark.parametrize("arch", KINDS)
each_precision = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)], ids=["float64", "float32"]
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """For so small networks PyTorch's threads cost a hundred times what they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some_network(shape, dtype):
    network, rng = Network(shape, dtype=dtype), np.random.default_rng(0)
    for part in network.layout.parts.values():
        values = part.true(network.flat)
        values[:] = rng.normal(0, 0.4, values.shape)
    network.pack(training=True)
    return network


def some_text():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, VOCABULARY, (STEPS, STREAMS)).astype(np.int32)
    return ids, rng.choice(np.delete(np.arange(VOCABULARY), BOS), ids.shape).astype(np.int32)


def some_state(network):
    shard = Shard(network, STEPS, STREAMS)
    shard.state[..., :HIDDEN] = np.random.default_rng(2).normal(0, 0.5, shard.state[..., :HIDDEN].shape)
    return shard


class Twin(torch.nn.Module):
    """The network of PyTorch's parts. Its weights are the transposes of ours; of its two biases ours is the first.

    Only the candidate of a GRU has a second bias, which the reset gate multiplies.
    """

    def __init__(self, network):
        super().__init__()
        self.shape, self.layout = network.shape, network.layout
        shape, tensors = network.shape, network.layout.tensors(network.flat)
        dtype = torch.float64 if network.flat.dtype == np.float64 else torch.float32
        depth = shape.embedding or VOCABULARY
        self.rnn = KINDS[shape.arch](depth, HIDDEN, shape.layers, dtype=dtype)
        self.table = torch.nn.Embedding(VOCABULARY, depth, dtype=dtype)
        self.output = torch.nn.Linear(HIDDEN, VOCABULARY, dtype=dtype)
        if shape.tied:
            self.output.weight = self.table.weight
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            if not shape.embedding:
                self.table.weight += torch.eye(VOCABULARY)
            for name, tensor in tensors.items():
                self.place(name).copy_(torch.from_numpy(tensor))

    def place(self, name, of=lambda parameter: parameter):
        """Return what stands here for a part of the network, `of` parameters or of something that belongs to each."""
        if name == "embedding":
            return of(self.table.weight)
        layer, kind = name.split(".")
        if layer == "output":
            return of(self.output.bias) if kind == "bias" else of(self.output.weight).T
        index = f"l{layer.removeprefix('layer')}"
        if kind == "recurrent_bias":
            return of(getattr(self.rnn, f"bias_hh_{index}"))[2 * HIDDEN :]
        if kind == "bias":
            return of(getattr(self.rnn, f"bias_ih_{index}"))
        return of(getattr(self.rnn, {"input": "weight_ih_", "recurrent": "weight_hh_"}[kind] + index)).T

    def without_second_biases(self):
        """Hold still what we have not, and return what is left to train."""
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("bias_hh") and self.shape.arch == "gru":
                own = (torch.arange(3 * HIDDEN) >= 2 * HIDDEN).to(parameter.dtype)
                parameter.register_hook(lambda gradient, own=own: gradient * own)
            elif name.startswith("bias_hh"):
                parameter.requires_grad_(False)
        self.table.weight.requires_grad_(self.shape.embedding > 0)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self, ids, targets, state):
        """Return the losses (T, B), h (T, B, H) and the state after it, (L, parts, B, H)."""
        parts = [torch.from_numpy(np.ascontiguousarray(state[:, i])) for i in range(state.shape[1])]
        h, after = self.rnn(self.table(torch.from_numpy(ids).long()), parts[0] if len(parts) == 1 else tuple(parts))
        logits = self.output(h).index_fill(-1, torch.tensor([BOS]), -1e30)
        losses = torch.nn.functional.cross_entropy(
            logits.reshape(-1, VOCABULARY), torch.from_numpy(targets).long().reshape(-1), reduction="none"
        )
        return losses.reshape(ids.shape), h, torch.stack([after] if len(parts) == 1 else list(after), 1)


@each_precision
@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("layers", [1, 2])
@each_arch
def test_a_network_is_pytorchs(arch, layers, wiring, dtype, tolerance):
    """Losses, hidden states, the state after the window, and the gradients of all weights."""
    network = some_network(Shape(arch, VOCABULARY, layers, HIDDEN, **WIRINGS[wiring]), dtype)
    ids, targets = some_text()
    shard, twin = some_state(network), Twin(network)
    before = shard.state.copy()
    losses, h, after = twin(ids, targets, before[..., :HIDDEN])
    losses.mean().backward()

    def close(found, expected):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=tolerance, atol=tolerance)

    close(shard.forward(ids)[..., :HIDDEN], h)
    close(shard.state[..., :HIDDEN], after)
    shard.state[:] = before
    close(shard.losses(ids, targets), losses)
    shard.state[:] = before
    total = shard.backward(ids, targets, 1 / ids.size)
    assert total == pytest.approx(losses.sum().item(), rel=tolerance)
    for name, gradient in network.layout.tensors(shard.gradient).items():
        assert gradient.any()
        close(gradient, twin.place(name, lambda parameter: parameter.grad))


@each_precision
@pytest.mark.parametrize("wiring", WIRINGS)
@each_arch
def test_the_first_ten_losses_are_pytorchs(arch, wiring, dtype, tolerance):
    """Two layers, Adam, warm-up, clipping, two shards, the state carried over; the seventh window begins a new pass."""
    shape = Shape(arch, VOCABULARY, 2, HIDDEN, **WIRINGS[wiring])
    options = RNNOptions(
        layers=2, hidden=HIDDEN, dropout=0.0, batch=4, bptt=STEPS, shards=2, threads=1, steps=20, warmup=3, clip=0.3,
        learning_rate=0.02,
    )  # fmt: skip
    network, rng = some_network(shape, dtype), np.random.default_rng(4)
    ids = rng.choice(np.delete(np.arange(VOCABULARY), BOS), 4 * 6 * STEPS).astype(np.int32)
    trainer, twin = Trainer(network, ids, ids[:0], options), Twin(network)
    trainable = twin.without_second_biases()
    optimizer = torch.optim.Adam(trainable)
    state, expected, norms = None, [], []
    for step in range(10):
        if step % 6 == 0:
            state = np.zeros_like(some_state(network).state[..., :1, :HIDDEN]).repeat(4, axis=2)
        losses, _, after = twin(*trainer.streams.window(step % 6, 0, 4), state)
        optimizer.zero_grad()
        losses.mean().backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trainable, options.clip).item())
        done = (1 + math.cos(math.pi * step / 20)) / 2
        optimizer.param_groups[0]["lr"] = 0.02 * done * min((step + 1) / 3, 1)
        optimizer.step()
        state = after.detach().numpy()
        expected.append(losses.mean().item())
    found = [trainer.step() for _ in range(10)]
    assert trainer.progress.epoch == 1 and max(norms) > options.clip
    assert abs(expected[9] - expected[0]) > 100 * tolerance
    np.testing.assert_allclose(found, expected, rtol=10 * tolerance)


@each_precision
def test_the_factorised_softmax_is_pytorchs(dtype, tolerance):
    """With one cluster, whose projection has half as many numbers as h in both, and no biases within the cluster."""
    hidden, cutoff = 16, 10
    network = some_network(Shape("elman", VOCABULARY, 1, hidden, cutoffs=(cutoff,)), dtype)
    network.layout["cluster1.bias"].view(network.flat)[:] = 0
    network.pack(training=True)
    layout, kind = network.layout, torch.float64 if dtype == np.float64 else torch.float32
    twin = torch.nn.AdaptiveLogSoftmaxWithLoss(hidden, VOCABULARY, [cutoff], div_value=2.0, head_bias=True, dtype=kind)
    places = {
        "output.weight": twin.head.weight,
        "output.bias": twin.head.bias,
        "cluster1.projection": twin.tail[0][0].weight,
        "cluster1.weight": twin.tail[0][1].weight,
    }
    tensors = layout.tensors(network.flat)
    with torch.no_grad():
        for name, parameter in places.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[name].T)))
        twin.head.bias[BOS] = -1e30

    targets = np.delete(np.arange(VOCABULARY), BOS).astype(np.int32)
    h = np.zeros((targets.size, network.padded), dtype)
    h[:, :hidden] = np.random.default_rng(3).normal(size=(targets.size, hidden))
    x = torch.from_numpy(h[:, :hidden].copy()).requires_grad_()
    log_p = twin(x, torch.from_numpy(targets).long()).output
    (-log_p).sum().backward()

    gradient, dh, shard = np.zeros_like(network.flat), np.zeros_like(h), Shard(network, targets.size, 1)
    losses = network.output.backward(h, targets, shard.work, dh, gradient, 1.0, shard.scratch)
    np.testing.assert_allclose(losses, -log_p.detach().numpy(), rtol=tolerance)
    np.testing.assert_allclose(dh[:, :hidden], x.grad.numpy(), rtol=tolerance, atol=tolerance)
    gradients = layout.tensors(gradient)
    for name, parameter in places.items():
        np.testing.assert_allclose(gradients[name].T, parameter.grad.numpy(), rtol=tolerance, atol=tolerance)
