"""lmkit's side of `rnn.py`: each measurement runs in a process of its own and prints one JSON object.

python tests/bench/rnn_lmkit.py train '{"case": "lstm 1x256", "threads": 2, "seconds": 5}'
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from rnn_cases import CASES, CLIP, RATE, speed

from lmkit.kernels import products
from lmkit.model import UNK
from lmkit.rnn.initialisation import initialise
from lmkit.rnn.model import RNNModel
from lmkit.rnn.network import Network, Shape
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.trainer import Trainer
from lmkit.text import Corpus, TextSettings, learn
from lmkit.uniforms import Uniforms

DEPTH, TILES = 128, 4  # A and a panel of B lie in the first-level cache; a call costs little beside four tiles
TIMES = 10_000  # products between two looks at the clock


@njit(nogil=True)
def repeat(c, a, b, times):
    """Add the same product to C so many times."""
    for _ in range(times):
        products.multiply(c[:, :], a[:, :], b)


def rate(threads: int, seconds: float) -> dict:
    """Return what this machine can do at most, GFLOP/s in float32, with our own tile on data in L1."""
    rows, width = TILES * products.ROWS, products.WIDTH
    rng = np.random.default_rng(1)

    def work(seconds):
        a, b = (rng.standard_normal(shape, np.float32) for shape in ((rows, DEPTH), (1, DEPTH, width)))
        c, done = np.zeros((rows, width), np.float32), 0
        repeat(c, a, b, 1)
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            repeat(c, a, b, TIMES)
            done += TIMES
        return done * 2 * rows * DEPTH * width / (time.perf_counter() - started)

    work(0)  # compiled
    with ThreadPoolExecutor(threads) as pool:
        return {"rate": sum(pool.map(work, [seconds] * threads)) / 1e9}


def random_network(shape: Shape, counts: np.ndarray) -> Network:
    """Return a network as a training begins with it."""
    network = Network(shape)
    network.flat[:] = initialise(shape, network.layout, counts, "uniform", np.random.default_rng(1))
    return network


def train(case: str, threads: int, seconds: float) -> dict:
    """Take full training steps: forward, backward, clipping, Adam."""
    chosen = CASES[case]
    ids = chosen.ids()
    counts = np.bincount(ids, minlength=chosen.vocabulary)
    options = RNNOptions(
        layers=chosen.layers, hidden=chosen.hidden, batch=chosen.batch, bptt=chosen.bptt, threads=threads, shards=2,
        dropout=0.0, clip=CLIP, learning_rate=RATE, epochs=10**6,
    )  # fmt: skip
    trainer = Trainer(random_network(chosen.shape(counts), counts), ids, ids[:0], options)
    found = speed(trainer.step, chosen.tokens, seconds)
    trainer.close()
    return found


def sample(case: str, streams: int, threads: int, seconds: float) -> dict:
    """Draw characters with `model.draw` from a network of random weights."""
    model = random_model(case)
    model.threads = threads
    state, uniforms = model.begin(streams), Uniforms.from_generator(np.random.default_rng(1), streams)
    steps, banned = 2000 if streams == 1 else 100, np.array([UNK], np.int32)

    def draw():
        nonlocal state
        _, state = model.draw(state, steps, uniforms, banned)

    return speed(draw, steps * streams, seconds)


def random_model(case: str) -> RNNModel:
    """Return a model of characters with random weights."""
    chosen = CASES[case]
    characters = bytes(range(33, 33 + chosen.vocabulary - 3))
    _, text, counts, _ = learn([Corpus("characters", data=characters)], TextSettings("char", sentence="text"))
    network = random_network(chosen.shape(counts), counts)
    return RNNModel(text, network.shape, network.flat)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
