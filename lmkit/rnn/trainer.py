"""Training by truncated back-propagation through time: one step, one validation, and all that has to be remembered.

A text is read as parallel streams. Each step takes one window of all of them, forward and backward, with the state
that the window before left (Williams and Peng 1990; Mikolov et al. 2010). The streams are shared out among *shards*,
each worked on by one thread; their gradients are added in the order of the shards, so the number of threads changes
no bit.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from lmkit.errors import LmkitError
from lmkit.kernels import optimizers
from lmkit.model import EOS
from lmkit.rnn.network import Dropout, Network, Shard
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.windows import Streams, fit

__all__ = ["Diverged", "Progress", "Stopped", "Trainer"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba (2015)
HALF = 0.5  # by which `--decay plateau` lowers the learning rate
LOST = 1.5  # a loss of so many times that of a uniform guess is no learning
MAX_WINDOWS_READ = 8  # of the training text, where no text is held out
# Of the sentence ends, with `--reset some`. Measured on the Penn Treebank (LSTM, 1,200 steps): the perplexity of a
# running text rises by 0.26 % at 0.1 and by 1.89 % at 0.5.
RESET_SHARE = 0.1
RESETS = 1  # the branch of the seeds from which these are drawn
HOPELESS = 100.0  # nats: no text is so unlike another one
LONG = 3e9  # multiplications of a window, about a tenth of a second of a core: from there on who waits can be called
LOOK = 0.05  # seconds between two looks whether to stop


class Diverged(LmkitError):
    """The loss is no number, or far above that of a uniform guess."""


class Stopped(Exception):
    """A step or a validation was given up on demand: the training is where it was before."""


@dataclasses.dataclass
class Progress:
    """How far a training is: all of it but the arrays, ready for JSON.

    Attributes
    ----------
    step, epoch, window : int
        Steps taken; passes finished; windows of this pass done.
    tokens : int
        Tokens trained on.
    seconds, step_seconds : float
        Time of training and validation; of training steps alone.
    best_loss, best_step : float or None, int
        Smallest validation loss, nats a token, and when it was.
    without_gain : int
        Validations since then.
    rate_factor : float
        What plateaus have left of the learning rate.
    loss_sum, loss_tokens : float, int
        Training losses since the last validation.
    history : list of dict
        A record for each validation.
    """

    step: int = 0
    epoch: int = 0
    window: int = 0
    tokens: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    best_loss: float | None = None
    best_step: int = 0
    without_gain: int = 0
    rate_factor: float = 1.0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def tokens_per_second(self) -> float | None:
        """Training tokens over the time spent in training steps."""
        return self.tokens / self.step_seconds if self.step_seconds else None


class Trainer:
    """A training in the making.

    Parameters
    ----------
    network : Network
        Its weights are changed in place.
    ids, held_out : ndarray of int32
        What to learn from and what to validate on (may be empty).
    options : RNNOptions

    Attributes
    ----------
    stopping : callable
        Asked while a step or a validation goes on, whether to give it up and raise `Stopped`.
    """

    def __init__(self, network: Network, ids: np.ndarray, held_out: np.ndarray, options: RNNOptions):
        self.network, self.options = network, options
        self.progress = Progress()
        count, steps = fit(len(ids), options.batch, options.bptt)
        self.streams = Streams(ids, count, steps)
        self.parts = self.streams.shares(options.shards)
        self.gradients = np.zeros((len(self.parts), network.flat.size), network.flat.dtype)
        self.shards = [
            Shard(network, steps, last - first, gradient=self.gradients[i])
            for i, (first, last) in enumerate(self.parts)
        ]
        self.held_out = None
        if len(held_out):
            count, steps = fit(len(held_out), options.batch, options.bptt)
            self.held_out = Streams(held_out, count, steps, whole=True)
        self.read = self.held_out or self.streams
        self.read_parts = self.read.shares(options.shards)
        self.readers = [
            Shard(network, self.read.steps, last - first, training=False) for first, last in self.read_parts
        ]
        self.m = np.zeros_like(network.flat)
        self.v = np.zeros_like(network.flat if options.optimizer != "sgd" else network.flat[:0])
        self.best = network.flat.copy()
        self.best_resting: np.ndarray | None = None
        self.blocks = -(-network.flat.size // optimizers.BLOCK)
        self.squares = np.zeros(self.blocks, network.flat.dtype)
        self.threads = min(options.threads, max(len(self.parts), 1))
        self.stopping: Callable[[], bool] = lambda: False
        self.abandoned = False  # whether threads may still be at work that nobody waits for
        # forward and backward, each weight once a token
        self.long = 3 * network.flat.size * self.streams.count * self.streams.length > LONG
        workers = self.threads - (not self.long)  # this thread takes its share of short work, and attends to long work
        self.pool = ThreadPoolExecutor(workers, "lmkit-shard") if workers else None

    @property
    def total_steps(self) -> float:
        """Steps after which the training ends, whatever the time."""
        return min(self.options.steps or math.inf, self.streams.windows * (self.options.epochs or math.inf))

    @property
    def validate_every(self) -> int:
        """Steps between validations: counted, never timed, so that a training can be done again."""
        return self.options.validate_every or min(max(self.streams.windows, 50), 500)

    @property
    def share_done(self) -> float:
        """How much of the training is done, 0 to 1."""
        done = self.progress.step / self.total_steps
        if self.options.time_limit is not None:
            done = max(done, self.progress.seconds / self.options.time_limit)
        return min(done, 1.0)

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end, by epochs, time or patience."""
        options, progress = self.options, self.progress
        patient = not options.patience or progress.without_gain < options.patience
        return self.share_done >= 1 or (self.held_out is not None and not patient)

    def learning_rate(self) -> float:
        """Return the learning rate of the next step: warm-up (Goyal et al. 2017), then the decay.

        Cosine (Loshchilov and Hutter 2017, equation 5, without restarts): rate (1 + cos(pi done)) / 2.
        """
        options = self.options
        rate = options.learning_rate * self.progress.rate_factor
        if options.decay == "cosine":
            rate *= (1 + math.cos(math.pi * self.share_done)) / 2
        if self.progress.step < options.warmup:
            rate *= (self.progress.step + 1) / options.warmup
        return rate

    def step(self) -> float:
        """Take one step; return the mean loss of its window, nats a token.

        Raises
        ------
        Diverged
            The weights are then as they were before.
        Stopped
        """
        started = time.perf_counter()
        progress, number = self.progress, self.progress.window
        if number == 0:
            for shard in self.shards:
                shard.state[:] = 0
        before = [shard.state.copy() for shard in self.shards]
        try:
            loss, tokens = self._loss_and_gradients()
        except Stopped:
            self.shards = [shard.at(state) for shard, state in zip(self.shards, before, strict=True)]
            raise
        self._update(loss)
        progress.step += 1
        progress.tokens += tokens
        progress.loss_sum += loss * tokens
        progress.loss_tokens += tokens
        progress.window += 1
        if progress.window == self.streams.windows:
            progress.window, progress.epoch = 0, progress.epoch + 1
        elapsed = time.perf_counter() - started
        progress.seconds += elapsed
        progress.step_seconds += elapsed
        return loss

    def _loss_and_gradients(self) -> tuple[float, int]:
        """Read a window of all streams: return its mean loss and its tokens, and leave the gradients of the shards."""
        number = self.progress.window
        self._run(self.network.packing(training=True))
        windows = [self.streams.window(number, first, last) for first, last in self.parts]
        tokens = sum(targets.size for _, targets in windows)
        losses = self._run([
            (shard.backward, *window, 1 / tokens, self._dropout(i), self._resets(window[0], *part))
            for i, (shard, window, part) in enumerate(zip(self.shards, windows, self.parts, strict=True))
        ])  # fmt: skip
        return sum(losses) / tokens, tokens

    def _dropout(self, shard: int) -> Dropout | None:
        options = self.options
        if not options.dropout:
            return None
        key = np.random.SeedSequence([options.seed, self.progress.step, shard]).generate_state(1, np.uint64)[0]
        return Dropout(options.dropout, int(key), options.locked_dropout)

    def _resets(self, inputs: np.ndarray, first: int, last: int) -> np.ndarray | None:
        """Return before which inputs of the next window the streams `first` to `last` begin anew, bool (T, B).

        What the rule leaves to chance is a function of seed and step alone: neither shards nor interruptions change it.
        """
        options = self.options
        if options.reset == "file":
            return None
        ends = inputs == EOS
        if options.reset == "some":
            seed = np.random.SeedSequence([options.seed, self.progress.step], spawn_key=(RESETS,))
            numbers = np.random.default_rng(seed).random((len(inputs), self.streams.count), np.float32)
            ends &= numbers[:, first:last] < RESET_SHARE
        return ends

    def _update(self, loss: float) -> None:
        """Sum the gradients, shorten them, and move the weights."""
        options, flat = self.options, self.network.flat
        parts = self._block_parts()
        self._run([(optimizers.merge, self.gradients, self.squares, first, last) for first, last in parts])
        norm = math.sqrt(self.squares.sum(dtype=np.float64))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.gradients[0] = 0
            raise Diverged(
                f"the loss is {loss:.4g} and the gradient's length {norm:.4g} at step {self.progress.step + 1}"
            )
        number = flat.dtype.type
        # Pascanu, Mikolov and Bengio (2013), algorithm 1
        shorten = number(min(1.0, options.clip / (norm + 1e-6)) if options.clip else 1.0)
        rate, t = self.learning_rate(), self.progress.step + 1
        decay = rate * options.weight_decay if options.optimizer == "adamw" else 0.0
        with np.errstate(over="ignore"):  # a rate beyond all numbers: the next loss tells of it
            if options.optimizer == "sgd":
                numbers = [number(x) for x in (rate, options.momentum)]
                update = optimizers.sgd, flat, self.m, self.gradients[0]
            else:
                corrected = rate / (1 - BETA1**t), BETA1, BETA2, 1 / math.sqrt(1 - BETA2**t)
                numbers = [number(x) for x in (*corrected, EPSILON, decay)]
                update = optimizers.adam, flat, self.m, self.v, self.gradients[0]
        self._finish([(*update, *part, shorten, *numbers) for part in parts])

    def _block_parts(self) -> list[tuple[int, int]]:
        cuts = [self.blocks * i // self.threads for i in range(self.threads + 1)]
        return [(a, b) for a, b in itertools.pairwise(cuts) if a < b]

    def _run(self, jobs: list[tuple]) -> list:
        """Call each (function, *arguments), on all threads, and return the results in order.

        Jobs are dealt out to the threads, and this one takes its share: a hand-over costs as much as a small job.
        Where work is long, it is handed over altogether, so that this thread can leave it.

        Raises
        ------
        Stopped
            The jobs may go on for a while; what they write is not to be used.
        """
        if not self.long:
            return self._finish(jobs)
        dealt = [self.pool.submit(_call_all, jobs[i :: self.threads]) for i in range(min(self.threads, len(jobs)))]
        while wait(dealt, LOOK).not_done:
            if self.stopping():
                self.abandoned = True
                raise Stopped
        return [dealt[i % self.threads].result()[i // self.threads] for i in range(len(jobs))]

    def _finish(self, jobs: list[tuple]) -> list:
        """Do as `_run` does, and never leave the jobs before they are done."""
        if self.pool is None or len(jobs) == 1:
            return [function(*arguments) for function, *arguments in jobs]
        others = [self.pool.submit(_call_all, jobs[i :: self.threads]) for i in range(1, min(self.threads, len(jobs)))]
        dealt = [_call_all(jobs[:: self.threads]), *(other.result() for other in others)]
        return [dealt[i % self.threads][i // self.threads] for i in range(len(jobs))]

    @property
    def validation_due(self) -> bool:
        """Whether the last step was one after which to validate, and that is still to be done."""
        progress = self.progress
        done = not progress.step or (bool(progress.history) and progress.history[-1]["step"] == progress.step)
        return not done and (progress.step % self.validate_every == 0 or self.finished)

    def validate(self) -> dict[str, Any]:
        """Measure the loss on the held-out text, remember the best weights, and return the new record.

        Raises
        ------
        Diverged
        """
        started, progress = time.perf_counter(), self.progress
        record: dict[str, Any] = {
            "step": progress.step,
            "epoch": round(progress.step / self.streams.windows, 3),
            "tokens": progress.tokens,
            "train_loss": progress.loss_sum / max(progress.loss_tokens, 1),
            "learning_rate": self.learning_rate(),
        }
        loss, resting = self.reading()
        if loss is not None:
            record["valid_loss"] = loss
        self._check_convergence(record)
        if self.held_out is None or self._judge(loss):
            self.best[:], self.best_resting = self.network.flat, resting
            progress.best_step = progress.step
        progress.loss_sum, progress.loss_tokens = 0.0, 0
        progress.seconds += time.perf_counter() - started
        record["seconds"] = round(progress.seconds, 3)
        progress.history.append(record)
        return record

    def reading(self) -> tuple[float | None, np.ndarray | None]:
        """Read the held-out text in parallel streams from zero states, or some of the training text if there is none.

        The state goes on over sentences, unless the model itself resets it after each.

        Returns
        -------
        loss : float or None
            The mean on the held-out text, nats a token.
        resting : ndarray, shape (L, parts, H), or None
            The mean of the states in which sentence ends are read; None if there are none, or each sentence begins
            anew.
        """
        if self.held_out is None and self.options.reset == "sentence":
            return None, None
        self._run(self.network.packing(training=False))
        read = self._run([
            (self._read, reader, *part) for reader, part in zip(self.readers, self.read_parts, strict=True)
        ])  # fmt: skip
        loss = None if self.held_out is None else sum(loss for loss, _, _ in read) / self.held_out.tokens
        ends = sum(ends for _, ends, _ in read)
        if not ends or self.options.reset == "sentence":
            return loss, None
        return loss, (sum(states for _, _, states in read) / ends).astype(self.network.flat.dtype)

    def _read(self, reader: Shard, first: int, last: int) -> tuple[float, int, np.ndarray]:
        """Return the sum of the losses, the number of sentence ends, and the sum of the states in which these are read.

        A sentence end with which a stream begins is not counted: its state is zero.
        """
        reader.state[:] = 0
        total, ends, states = 0.0, 0, np.zeros((*reader.state.shape[:2], self.network.shape.hidden))
        for number in range(self.read.windows if self.held_out else min(self.read.windows, MAX_WINDOWS_READ)):
            if self.stopping():
                raise Stopped
            inputs, targets = self.read.window(number, first, last)
            real, at_end = self.read.real(number, first, last), inputs == EOS
            starts = at_end.copy() if self.options.reset == "sentence" else None
            if self.held_out is None:
                reader.forward(inputs, starts=starts)
            else:
                total += float(reader.losses(inputs, targets, starts)[real].sum(dtype=np.float64))
            at_end &= real
            at_end[0] &= number > 0
            ends += int(np.count_nonzero(at_end))
            states += reader.sum_before(at_end)
        return total, ends, states

    def _check_convergence(self, record: dict[str, Any]) -> None:
        """A loss above that of a guess is lost, but a held-out text alone may be unlike all that was learnt."""
        losses = {name: record[f"{name}_loss"] for name in ("train", "valid") if f"{name}_loss" in record}
        guess = math.log(self.network.shape.vocabulary)
        sane = all(loss < HOPELESS for loss in losses.values())  # and a number
        if not sane or all(loss > LOST * guess for loss in losses.values()):
            told = ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
            raise Diverged(f"the loss is {told} nats at step {self.progress.step}, and that of a guess {guess:.3g}")

    def _judge(self, loss: float) -> bool:
        """Return whether this is the best loss so far, and note what follows from it."""
        progress = self.progress
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.without_gain = loss, 0
            return True
        progress.without_gain += 1
        if self.options.decay == "plateau":
            progress.rate_factor *= HALF
        return False

    def run(self, on_step: Callable[[Trainer, float], None]) -> None:
        """Train to the end; `on_step(trainer, loss)` is called after each step and its validation.

        Raises
        ------
        Diverged
        Stopped
            Before the step or the validation that was under way.
        """
        if self.validation_due:  # it was given up before
            self.validate()
        while not self.finished:
            loss = self.step()
            if self.validation_due:
                self.validate()
            on_step(self, loss)

    def close(self) -> None:
        """End the threads, without waiting for work that was given up."""
        if self.pool is not None:
            self.pool.shutdown(wait=not self.abandoned, cancel_futures=True)


def _call_all(jobs: list[tuple]) -> list:
    return [function(*arguments) for function, *arguments in jobs]
