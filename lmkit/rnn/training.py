"""A training from text to model: the shape of the network, memory, checkpoints, interruptions, and the record."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lmkit.errors import Interrupted, OptionError
from lmkit.interruption import Stop, interruptible
from lmkit.kernels import products
from lmkit.memory import in_bytes, memory_limit
from lmkit.model import EOS
from lmkit.rnn import checkpoint
from lmkit.rnn.checkpoint import Checkpoint, checkpoint_path
from lmkit.rnn.clusters import choose_cutoffs
from lmkit.rnn.initialisation import initialise
from lmkit.rnn.model import RNNModel
from lmkit.rnn.network import Network, Shape
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.outputs import block_rows
from lmkit.rnn.trainer import Diverged, Stopped, Trainer
from lmkit.rnn.windows import fit
from lmkit.text import TextLayer
from lmkit.threads import aside

__all__ = ["check_memory", "shape_of", "train"]

ONE_HOT = 512  # vocabularies up to this size need no embedding
FLOAT = 4  # bytes
SMOOTH = 0.98  # of the loss that is shown comes from the steps before

Report = Callable[[str, int, "int | None", str], None]


def shape_of(arch: str, counts: np.ndarray, options: RNNOptions) -> Shape:
    """Return the shape of the network that the options ask for.

    Raises
    ------
    OptionError
        Clusters do not fit the vocabulary.
    """
    size, embedding = len(counts), options.embedding
    if embedding is None:
        embedding = 0 if size <= ONE_HOT else options.hidden
    cutoffs = options.clusters or ()
    if cutoffs and cutoffs[-1] >= size:
        raise OptionError(f"--clusters names {cutoffs[-1]}, and the vocabulary has {size} tokens; give smaller numbers")
    if not cutoffs and options.softmax != "full":
        cutoffs = choose_cutoffs(counts, options.hidden, must=options.softmax == "adaptive")
    return Shape(arch, size, options.layers, options.hidden, embedding, options.tie_weights, cutoffs)


def check_memory(shape: Shape, options: RNNOptions, tokens: int) -> None:
    """Refuse, before the work, a training on so many tokens that will not fit in memory.

    Raises
    ------
    OptionError
        With the arithmetic.
    """
    size, padded = shape.layout(products.WIDTH).size, math.ceil(shape.hidden / products.WIDTH) * products.WIDTH
    moments = 1 if options.optimizer == "sgd" else 2
    copies = 4 + moments + options.shards  # weights, best ones, packed and transposed; moments; gradients
    streams, steps = fit(tokens, options.batch, options.bptt)
    rows = streams * steps
    columns = shape.layers * (shape.cell.gates + 4) * padded + 2 * padded + 2 * shape.embedding
    logits = options.shards * min(rows, block_rows(shape.vocabulary)) * shape.vocabulary
    needed = FLOAT * (copies * size + rows * columns + logits)
    free = memory_limit()
    if free is not None and needed > free:
        raise OptionError(
            f"this network would need {in_bytes(needed)} to train, and {in_bytes(free)} are free: {size:,} weights x "
            f"{copies} copies x 4 bytes ({options.shards} of them gradients) = {in_bytes(FLOAT * copies * size)}, and "
            f"{streams} streams x {steps} steps x {columns:,} numbers = {in_bytes(FLOAT * rows * columns)}; "
            "choose a smaller --hidden, --layers, --batch, --bptt or --vocab-size"
        )


def train(
    arch: str,
    split: Any,
    counts: np.ndarray | None,
    text: TextLayer,
    options: RNNOptions,
    record: dict[str, Any],
    *,
    output: str | os.PathLike | None = None,
    resumed: Checkpoint | None = None,
    progress: Report | None = None,
) -> RNNModel:
    """Train a network and return the model with the best weights.

    Parameters
    ----------
    arch : str
        "elman", "gru" or "lstm".
    split : object
        With `ids` and `held_out`, int32; `characters` and `held_out_characters`, int or None; `record`.
    counts : ndarray of int64, shape (V,)
        How often each token stands in the text; not needed to resume.
    record : dict
        What the model file will say of corpora and options.
    output : path, optional
        Where the model will be; checkpoints are made beside it.
    resumed : Checkpoint, optional
        Where to go on.
    progress : callable, optional
        progress(phase, done, total, unit), see `lmkit.api`.

    Raises
    ------
    OptionError
        It would not fit in memory, and other options that make no sense.
    Diverged
        The loss left all bounds; the checkpoint holds the best model until then.
    Interrupted
        By Ctrl-C or a signal like it, after the checkpoint is written; with the best model so far.
    """
    shape = resumed.model.shape if resumed else shape_of(arch, counts, options)
    if len(split.ids) < 2:
        raise OptionError(
            f"too few tokens are left to learn from ({len(split.ids)}); give more text, or less to --valid"
        )
    check_memory(shape, options, len(split.ids))
    compile_kernels(shape, options)
    network = Network(shape)
    if not resumed:
        rng = np.random.default_rng(options.seed)
        network.flat[:] = aside(initialise, shape, network.layout, counts, options.init, rng)
    with interruptible() as stop:
        trainer = Trainer(network, split.ids, split.held_out, options)
        session = Session(trainer, text, split, {**record, "held_out": split.record}, output, progress, stop)
        try:
            if resumed:
                resumed.restore(trainer)
            session.run()
        finally:
            trainer.close()
    return session.model()


def compile_kernels(shape: Shape, options: RNNOptions) -> None:
    """Train a network of the same kind on a few tokens, so that all is compiled before the clock runs."""
    cutoffs = (5,) if shape.cutoffs else ()
    small = Shape(shape.arch, 9, min(shape.layers, 2), 4, 4 if shape.embedding else 0, shape.tied, cutoffs)
    few = dataclasses.replace(
        options, batch=2, bptt=3, shards=2, epochs=1, threads=1, time_limit=None, preset="tiny", layers=None,
        hidden=None, embedding=None, tie_weights=False, clusters=None, softmax="full",
    )  # fmt: skip
    network = Network(small)
    ids = np.arange(12, dtype=np.int32) % 9
    ids[ids == 1] = EOS
    trainer = Trainer(network, ids, ids, few)
    trainer.step()
    trainer.reading()


class Session:
    """What is around a trainer: progress, checkpoints, Ctrl-C, the record."""

    def __init__(
        self,
        trainer: Trainer,
        text: TextLayer,
        split: Any,
        record: dict[str, Any],
        output: str | os.PathLike | None,
        progress: Report | None,
        stop: Stop,
    ):
        self.trainer, self.text, self.split, self.record = trainer, text, split, record
        self.output, self.progress, self.stop = output, progress, stop
        self.path = None if output is None else checkpoint_path(output)
        self.saved_at, self.saved_step = time.monotonic(), 0
        self.smooth: float | None = None

    def run(self) -> None:
        """Train to the end."""
        self.saved_step = self.trainer.progress.step
        self._stop_if_interrupted()
        self.trainer.stopping = self.stop.asked
        try:
            self.trainer.run(self._after_step)
        except Stopped:
            self._stop_if_interrupted()
        except Diverged as error:
            raise self._diverged(error) from None

    def model(self) -> RNNModel:
        """Return the best model so far, the latest before the first validation, with the record of the training."""
        trainer, done = self.trainer, self.trainer.progress
        rate, characters = done.tokens_per_second, self.split.held_out_characters
        bits = None
        if done.best_loss is not None and characters:
            bits = done.best_loss * len(self.split.held_out) / characters / math.log(2)
        record = {
            **self.record,
            "parameters": trainer.network.layout.count,
            "steps": done.step,
            "epochs": round(done.step / trainer.streams.windows, 3),
            "tokens_trained": done.tokens,
            "training_seconds": round(done.seconds, 3),
            "tokens_per_second": None if rate is None else round(rate, 1),
            "best_step": done.best_step,
            "best_loss": done.best_loss,
            "best_bits_per_character": bits,
            "history": done.history,
        }
        weights, resting = (trainer.best, trainer.best_resting) if done.history else (trainer.network.flat, None)
        return RNNModel(
            self.text, trainer.network.shape, weights.copy(), {"training": record}, trainer.options.reset, resting
        )

    def _after_step(self, trainer: Trainer, loss: float) -> None:
        self.smooth = loss if self.smooth is None else SMOOTH * self.smooth + (1 - SMOOTH) * loss
        self._report()
        if trainer.finished:
            return
        self._stop_if_interrupted()
        number, unit = trainer.options.checkpoint_every
        passed = time.monotonic() - self.saved_at if unit == "s" else trainer.progress.step - self.saved_step
        if passed >= number:
            self._save()

    def _save(self) -> None:
        if self.path is not None:
            checkpoint.save(self.path, self.trainer, self.model())
        self.saved_at, self.saved_step = time.monotonic(), self.trainer.progress.step

    def _stop_if_interrupted(self) -> None:
        if not self.stop.asked():
            return
        number, step = self.stop.signal, self.trainer.progress.step
        what = "Interrupted" if number == signal.SIGINT else f"Interrupted by {signal.Signals(number).name}"
        if not step:
            raise Interrupted(f"{what}.", signal=number)
        if self.path is None:
            raise Interrupted(f"{what}.", model=self.model(), signal=number)
        self._save()
        output, path = (shlex.quote(os.fspath(name)) for name in (self.output, self.path))
        piped = any(corpus["name"] == "-" for corpus in self.record["corpora"])
        raise Interrupted(
            f"{what} at step {step}. Go on with: lmkit train --resume {output}"
            f"{' (and the same text piped in)' if piped else ''}; or use the best model so far: -m {path}",
            model=self.model(), signal=number,
        )  # fmt: skip

    def _diverged(self, error: Diverged) -> Diverged:
        found, done = f"training has diverged: {error}; try a smaller --learning-rate or --clip", self.trainer.progress
        if self.path is None or done.best_loss is None:
            return Diverged(found)
        self._save()
        return Diverged(f"{found}. The best model, of step {done.best_step}, is {self.path}")

    def _report(self) -> None:
        """Tell how far it is: a phase such as `epoch 3, 1.523 nats, 2.197 bits/char, best 1.612`."""
        if self.progress is None:
            return
        trainer, options, done = self.trainer, self.trainer.options, self.trainer.progress
        words = [f"epoch {done.epoch + 1 if done.window else max(done.epoch, 1)}", f"{self.smooth:.3f} nats"]
        if self.split.characters:
            bits = self.smooth / math.log(2) * len(self.split.ids) / self.split.characters
            words.append(f"{bits:.3f} bits/char")
        if done.best_loss is not None:
            words.append(f"best {done.best_loss:.3f}")
        if options.time_limit is None:
            total = trainer.total_steps * trainer.streams.length * trainer.streams.count // trainer.streams.windows
            self.progress(", ".join(words), min(done.tokens, total), total, "tokens")
        else:
            words.append(f"{done.tokens_per_second:.0f} tokens/s")
            limit = math.ceil(options.time_limit)
            self.progress(", ".join(words), min(int(done.seconds), limit), limit, "s")
