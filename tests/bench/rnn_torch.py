"""PyTorch's side of `rnn.py`: each measurement runs in a process of its own and prints one JSON object.

    python tests/bench/rnn_torch.py train '{"case": "lstm 1x256", "threads": 2, "seconds": 5}'

The networks are those of lmkit in PyTorch's own layers, with its faster form of input: one-hot vectors for characters,
embeddings for words.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings

import numpy as np
import torch
from quality import CHARACTERS
from rnn_cases import CASES, CLIP, RATE, speed
from torch import Tensor, nn
from torch.nn import functional

from lmkit.rnn.initialisation import initialise
from lmkit.rnn.network import Network, Shape
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.training import shape_of
from lmkit.rnn.windows import Streams, fit
from lmkit.text import Corpus, TextSettings, learn

LAYERS = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Model(nn.Module):
    """The network of a shape."""

    def __init__(self, shape: Shape, dropout: float = 0.0):
        super().__init__()
        self.size = shape.vocabulary
        self.embedding = nn.Embedding(shape.vocabulary, shape.embedding) if shape.embedding else None
        depth, between = shape.embedding or shape.vocabulary, dropout if shape.layers > 1 else 0.0
        self.rnn = LAYERS[shape.arch](depth, shape.hidden, shape.layers, dropout=between)
        self.dropout = nn.Dropout(dropout)
        if shape.cutoffs:
            self.head = nn.AdaptiveLogSoftmaxWithLoss(
                shape.hidden, shape.vocabulary, list(shape.cutoffs), div_value=2, head_bias=True
            )
        else:
            self.head = nn.Linear(shape.hidden, shape.vocabulary)
        self.register_buffer("eye", torch.eye(0 if shape.embedding else shape.vocabulary), persistent=False)

    def hidden(self, ids: Tensor, state):
        """Return h of the last layer (T, B, H), and the state after the window."""
        x = self.eye[ids] if self.embedding is None else self.embedding(ids)
        h, state = self.rnn(x, state)
        return self.dropout(h), state

    def losses(self, h: Tensor, targets: Tensor) -> Tensor:
        """Return -log p of the targets, (T * B,)."""
        h, targets = h.reshape(-1, h.shape[-1]), targets.reshape(-1)
        if isinstance(self.head, nn.AdaptiveLogSoftmaxWithLoss):
            return -self.head(h, targets).output
        return functional.cross_entropy(self.head(h), targets, reduction="none")


class Training:
    """A model, its optimizer, and the state between windows."""

    def __init__(self, model: Model, rate: float, clip: float):
        self.model, self.clip, self.state = model, clip, None
        self.parameters = list(model.parameters())
        # All weights in one call: never slower than one by one, much faster where there are many.
        self.optimizer = torch.optim.Adam(self.parameters, rate, fused=True)

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Go forward and backward through a window and move the weights; return the mean loss."""
        h, state = self.model.hidden(inputs, self.state)
        self.state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss = self.model.losses(h, targets).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        return loss


def train(case: str, threads: int, seconds: float) -> dict:
    """Take full training steps: forward, backward, clipping, Adam."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    chosen = CASES[case]
    ids = chosen.ids()
    counts = np.bincount(ids, minlength=chosen.vocabulary)
    training = Training(Model(chosen.shape(counts)), RATE, CLIP)
    streams = torch.from_numpy(ids.astype(np.int64)).reshape(chosen.batch, -1).T.contiguous()
    at = 0

    def step():
        nonlocal at
        at = at if at + chosen.bptt < len(streams) else 0
        training.step(streams[at : at + chosen.bptt], streams[at + 1 : at + 1 + chosen.bptt])
        at += chosen.bptt

    return speed(step, chosen.tokens, seconds)


def cell(lstm: bool, z: list[Tensor], h: Tensor, c: Tensor) -> None:
    """Do one step of one layer, given the sums z: all, those of the gates i, f, o together, and i, f, o, g."""
    if not lstm:
        torch.tanh(z[0], out=h)
        return
    z[1].sigmoid_()
    z[5].tanh_()
    c.mul_(z[3]).addcmul_(z[2], z[5])
    torch.tanh(c, out=h)
    h.mul_(z[4])


def draw_one(
    lstm: bool, rows: list[Tensor], weights: list[Tensor], biases: list[Tensor], inputs: list[Tensor], h: list[Tensor],
    c: list[Tensor], z: list[Tensor], head: Tensor, head_bias: Tensor, noise: Tensor,
) -> int:  # fmt: skip
    """Draw the tokens of one stream, with as few calls as PyTorch allows; it is also compiled by TorchScript.

    W_x[id] + b is a row of a table; layer l reads h of layer l - 1 and its own, side by side in one array, with one
    product; everything is written into arrays that are there. A token is the largest of log p plus Gumbel noise, which
    is drawn for all steps at once (Gumbel 1954): faster here than a sum and a search.

    Parameters
    ----------
    rows : list of Tensor (G H,)
    weights : list of Tensor (G H, K)
    inputs, h, c : list of Tensor (1, K), (1, H), (1, H)
    z : list of Tensor
        (1, G H), and parts of it; see `cell`.
    noise : Tensor (T, 1, V)
    """
    flat, x, last, token = z[0][0], [part[0] for part in inputs], h[len(h) - 1][0], 0
    for gumbel in noise[:, 0].unbind():
        for layer in range(len(weights)):
            torch.addmv(rows[token] if layer == 0 else biases[layer], weights[layer], x[layer], out=flat)
            cell(lstm, z, h[layer], c[layer])
        token = int(torch.addmv(head_bias, head, last).add_(gumbel).argmax())
    return token


def draw_many(
    lstm: bool, rows: list[Tensor], weights: list[Tensor], biases: list[Tensor], inputs: list[Tensor], h: list[Tensor],
    c: list[Tensor], z: list[Tensor], head: Tensor, head_bias: Tensor, noise: Tensor,
) -> Tensor:  # fmt: skip
    """Draw the tokens of B streams, as `draw_one` does."""
    table, last, token = torch.stack(rows), h[len(h) - 1], torch.zeros(noise.size(1), dtype=torch.int64)
    turned = [w.t() for w in weights]
    for gumbel in noise.unbind():
        for layer in range(len(weights)):
            bias = torch.index_select(table, 0, token) if layer == 0 else biases[layer]
            torch.addmm(bias, inputs[layer], turned[layer], out=z[0])
            cell(lstm, z, h[layer], c[layer])
        token = torch.addmm(head_bias, last, head.t()).add_(gumbel).argmax(1)
    return token


def tensors(model: Model, streams: int) -> tuple:
    """Return the arguments of the two but for the noise."""
    rnn, layers, size = model.rnn, model.rnn.num_layers, model.rnn.hidden_size
    order = [0, 1, 3, 2] if rnn.mode == "LSTM" else [0]  # PyTorch has i, f, g, o

    def gates(name):
        parts = getattr(rnn, name).detach().split(size)
        return torch.cat([parts[k] for k in order])

    recurrent, below = ([gates(f"weight_{kind}_l{k}") for k in range(layers)] for kind in ("hh", "ih"))
    biases = [gates(f"bias_ih_l{k}") + gates(f"bias_hh_l{k}") for k in range(layers)]
    weights = [recurrent[0], *(torch.cat(pair, 1) for pair in zip(below[1:], recurrent[1:], strict=True))]
    rows = list((below[0].T + biases[0]).contiguous())
    state = torch.zeros(streams, layers * size)
    h = list(state.split(size, 1))
    inputs = [state[:, max(layer - 1, 0) * size : (layer + 1) * size] for layer in range(layers)]
    c = [torch.zeros(streams, size) for _ in range(layers)]
    head = model.head.weight.detach(), model.head.bias.detach()
    z = torch.zeros(streams, len(order) * size)
    parts = [z, z[:, : 3 * size], *z.split(size, 1)]
    return rnn.mode == "LSTM", rows, weights, biases, inputs, h, c, parts, *head


def draw_plainly(model: Model, streams: int, steps: int) -> None:
    """Draw tokens as people write it: one call of the module a token."""
    token, state = torch.zeros(streams, dtype=torch.int64), None
    for _ in range(steps):
        h, state = model.hidden(token[None], state)
        token = torch.multinomial(functional.softmax(model.head(h[0]), 1), 1)[:, 0]


def sample(case: str, streams: int, form: str, threads: int, seconds: float) -> dict:
    """Draw characters from a network of random weights; form: "loop", "script" (the same by TorchScript), "module"."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    warnings.simplefilter("ignore")  # TorchScript is on its way out
    chosen = CASES[case]
    model = Model(chosen.shape(np.ones(chosen.vocabulary))).eval()
    steps = 20 if form == "module" or streams > 1 else 200
    function = draw_one if streams == 1 else draw_many
    function, arguments = torch.jit.script(function) if form == "script" else function, tensors(model, streams)

    def draw():
        if form == "module":
            return draw_plainly(model, streams, steps)
        noise = -torch.log(-torch.log(torch.rand(steps, streams, chosen.vocabulary)))
        return function(*arguments, noise)

    with torch.no_grad() if form == "module" else torch.inference_mode():
        return speed(draw, steps * streams, seconds)


def curve(train: str, valid: str, arch: str, preset: str, seconds: float, threads: int, seed: int) -> dict:
    """Train as `lmkit train --preset` does: same windows, first weights, dropout, schedule, validations and limit."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    options = RNNOptions(preset=preset, time_limit=seconds, seed=seed)
    ids, text, counts, _ = learn([Corpus(train)], TextSettings(**CHARACTERS))
    held_out = Corpus(valid)
    ids_held_out = np.concatenate([encoded.ids for encoded in text.encode_corpus(held_out)])
    model = Model(shape_of(arch, counts, options), options.dropout)
    load_weights(model, shape_of(arch, counts, options), counts, options)
    training = Training(model, options.learning_rate, options.clip)
    streams = Streams(ids, *fit(len(ids), options.batch, options.bptt))
    reader = Streams(ids_held_out, *fit(len(ids_held_out), options.batch, options.bptt), whole=True)
    steps, losses = follow(training, streams, lambda: validate(model, reader), options)
    return {"loss": min(losses) / held_out.characters, "steps": steps}


def follow(training: Training, streams: Streams, validate, options: RNNOptions) -> tuple[int, list[float]]:
    """Train until the time is over; return the number of steps and the results of the validations."""
    step, losses, every = 0, [], options.validate_every or min(streams.windows, 500)
    started = time.perf_counter()
    while (done := (time.perf_counter() - started) / options.time_limit) < 1:
        rate = options.learning_rate * (1 + math.cos(math.pi * done)) / 2
        for group in training.optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / max(options.warmup, 1), 1)
        if step % streams.windows == 0:
            training.state = None
        training.step(*windows(streams, step % streams.windows))
        step += 1
        if step % every == 0:
            losses.append(validate())
    return step, [*losses, validate()]


def windows(streams: Streams, number: int) -> list[Tensor]:
    """Return inputs and targets of a window, (T, B)."""
    return [torch.from_numpy(part.astype(np.int64)) for part in streams.window(number, 0, streams.count)]


def validate(model: Model, reader: Streams) -> float:
    """Return the sum of -log p over a text that is read in parallel streams from zero states."""
    model.eval()
    state, total = None, 0.0
    with torch.no_grad():
        for number in range(reader.windows):
            inputs, targets = windows(reader, number)
            h, state = model.hidden(inputs, state)
            losses = model.losses(h, targets).numpy()
            total += float(losses[reader.real(number, 0, reader.count).reshape(-1)].sum(dtype=np.float64))
    model.train()
    return total


def load_weights(model: Model, shape: Shape, counts: np.ndarray, options: RNNOptions) -> None:
    """Give an LSTM or Elman network over characters the weights that lmkit begins with."""
    layout = Network(shape).layout
    flat = initialise(shape, layout, counts, options.init, np.random.default_rng(options.seed))
    found = {name: torch.from_numpy(np.ascontiguousarray(part.T)) for name, part in layout.tensors(flat).items()}
    weights = {"head.weight": found["output.weight"], "head.bias": found["output.bias"]}
    for layer in range(shape.layers):
        for name, ours in (("weight_ih", "input"), ("weight_hh", "recurrent"), ("bias_ih", "bias")):
            weights[f"rnn.{name}_l{layer}"] = found[f"layer{layer}.{ours}"]
        weights[f"rnn.bias_hh_l{layer}"] = torch.zeros_like(weights[f"rnn.bias_ih_l{layer}"])
    model.load_state_dict(weights)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
