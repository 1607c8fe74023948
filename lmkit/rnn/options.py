"""The choices behind a recurrent model and its training, and presets for those who have none."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from lmkit.errors import OptionError
from lmkit.threads import usable

__all__ = [
    "ARCHITECTURES", "DECAYS", "INITIALISATIONS", "OPTIMIZERS", "PRESETS", "RESETS", "SOFTMAXES", "RNNOptions",
    "seconds",
]  # fmt: skip

ARCHITECTURES = ("elman", "gru", "lstm")
OPTIMIZERS = ("adam", "adamw", "sgd")
DECAYS = ("cosine", "plateau", "none")
SOFTMAXES = ("auto", "full", "adaptive")
INITIALISATIONS = ("orthogonal", "uniform")
RESETS = ("file", "some", "sentence")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# What an option is that is not given. `small` was tuned on tinyshakespeare (the first 90 % to learn from, the next 5 %
# to validate) for the smallest validation loss in ten minutes on two cores; the README says what each reaches there.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 1, "hidden": 256, "dropout": 0.0, "steps": 2000, "learning_rate": 0.008},
    "small": {"layers": 2, "hidden": 256, "dropout": 0.2, "steps": 9000, "learning_rate": 0.004},
    "medium": {"layers": 2, "hidden": 512, "dropout": 0.4, "steps": 10000, "learning_rate": 0.003},
}
RATES = {"sgd": 1.0}  # the learning rate of an optimizer that has other ones than Adam
LARGEST, MOST_LAYERS = 2**20, 64  # units, streams, steps: beyond it nothing fits


@dataclasses.dataclass(frozen=True)
class RNNOptions:
    """How to build and train a network. None: what the preset or the rest of the options say.

    Attributes
    ----------
    preset : str
        "tiny", "small" or "medium": layers, hidden, dropout, steps and learning rate.
    layers, hidden : int
        Layers, and units of each.
    embedding : int
        Size of the vectors that stand for tokens. 0 feeds one-hot vectors; the default is 0 for small vocabularies,
        else `hidden`.
    dropout : float
        Share of the connections between layers that is dropped while training, 0 to below 1.
    locked_dropout : bool
        The same connections for all steps of a window.
    tie_weights : bool
        The output's weights are the embeddings; `embedding` is then `hidden`.
    softmax : str
        "full", "adaptive" (factorised), or "auto": the faster one for the vocabulary.
    clusters : tuple of int, optional
        Where the clusters of the adaptive softmax begin, in tokens ordered by count.
    init : str
        Recurrent weights: "orthogonal" or "uniform".
    reset : str
        Where the state begins anew in training: "file": nowhere, "sentence": after each `</s>`, and so it is when the
        model is used; "some": after one `</s>` in ten, so that the model knows both its beginning and a running text.
    bptt, batch : int
        Steps of a window; streams that are read side by side.
    shards : int
        Parts of the batch, each worked on by one thread. It shapes the sums: other shards, other last bits.
    optimizer : str
    learning_rate, momentum, weight_decay, clip : float
        `momentum` is of sgd, `weight_decay` of adamw; gradients longer than `clip` are shortened to it, 0 for never.
    warmup : int
        Steps in which the learning rate grows from 0.
    decay : str
        "cosine": down to nothing at the end; "plateau": halved when a validation brings nothing; "none".
    patience : int
        Stop after so many validations without a better one; 0 for never.
    steps, epochs : int, optional
        Windows of all streams, and passes over the text, after which the training ends. A preset's steps hold where
        neither these nor a time limit are given.
    time_limit : float, optional
        Seconds of training, validation included, compilation not. The learning rate follows it.
    validate_every : int, optional
        Steps between validations; None: an epoch, at least 50 and at most 500.
    checkpoint_every : tuple of float and str
        A number and "s" or "steps".
    seed : int
    threads : int, optional
        The outcome is the same for all.

    Raises
    ------
    OptionError
    """

    preset: str = "small"
    layers: int | None = None
    hidden: int | None = None
    embedding: int | None = None
    dropout: float | None = None
    locked_dropout: bool = False
    tie_weights: bool = False
    softmax: str = "auto"
    clusters: tuple[int, ...] | None = None
    init: str = "orthogonal"
    reset: str = "some"
    bptt: int = 64
    batch: int = 32
    shards: int = 2
    optimizer: str = "adam"
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    clip: float = 1.0
    warmup: int = 100
    decay: str = "cosine"
    patience: int = 10
    steps: int | None = None
    epochs: int | None = None
    time_limit: float | str | None = None
    validate_every: int | None = None
    checkpoint_every: Any = "30s"
    seed: int = 1
    threads: int | None = None

    holds_out = True  # a part of the text, to validate on

    def __post_init__(self):
        self._check_choices()
        self._fill_in()
        self._check_numbers()
        self._check_together()

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _check_choices(self):
        for name, known in (
            ("preset", PRESETS),
            ("softmax", SOFTMAXES),
            ("init", INITIALISATIONS),
            ("reset", RESETS),
            ("optimizer", OPTIMIZERS),
            ("decay", DECAYS),
        ):
            if getattr(self, name) not in known:
                raise OptionError(f"{_flag(name)} is {getattr(self, name)!r}; choose one of {', '.join(known)}")

    def _fill_in(self):
        for name, value in PRESETS[self.preset].items():
            if name == "steps" and (self.epochs is not None or self.time_limit is not None):
                continue  # then those end the training
            if getattr(self, name) is None:
                self._set(name, RATES.get(self.optimizer, value) if name == "learning_rate" else value)
        self._set("threads", usable(self.threads))
        for name, optimizer, value in (("momentum", "sgd", 0.9), ("weight_decay", "adamw", 0.01)):
            if self.optimizer == optimizer:
                self._set(name, value if getattr(self, name) is None else getattr(self, name))
            elif getattr(self, name) is not None:
                raise OptionError(f"{_flag(name)} goes with --optimizer {optimizer}, not with {self.optimizer}")
        if self.time_limit is not None:
            self._set("time_limit", seconds(self.time_limit, "--time-limit"))
        self._set("checkpoint_every", _interval(self.checkpoint_every))
        if self.clusters is not None:
            if not isinstance(self.clusters, (list, tuple)) or not all(type(n) is int for n in self.clusters):
                raise OptionError(f"--clusters is {self.clusters!r}; it takes whole numbers, such as 2000,10000")
            self._set("clusters", tuple(self.clusters))

    def _check_numbers(self):
        for name, least, most in (
            ("layers", 1, MOST_LAYERS), ("hidden", 1, LARGEST), ("bptt", 1, LARGEST), ("batch", 1, LARGEST),
            ("shards", 1, 1024), ("warmup", 0, None), ("patience", 0, None), ("steps", 1, None), ("epochs", 1, None),
            ("seed", 0, 2**64 - 1), ("embedding", 0, LARGEST), ("validate_every", 1, None),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise OptionError(f"{_flag(name)} is {value!r}; it must be a whole number")
            if value < least or (most is not None and value > most):
                limit = f"at least {least}" if most is None else f"from {least} to {most}"
                raise OptionError(f"{_flag(name)} is {value}; it must be {limit}")
        for name, fine, expected in (
            ("dropout", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("learning_rate", lambda v: 0 < v < math.inf, "over 0"),
            ("momentum", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("weight_decay", lambda v: 0 <= v < math.inf, "0 or more"),
            ("clip", lambda v: 0 <= v < math.inf, "over 0, or 0 for never"),
        ):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and fine(value)):
                raise OptionError(f"{_flag(name)} is {value!r}; it must be a number {expected}")
        for name in ("locked_dropout", "tie_weights"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{_flag(name)} is {getattr(self, name)!r}; it must be true or false")

    def _check_together(self):
        if self.tie_weights:
            if self.embedding not in (None, self.hidden):
                raise OptionError(
                    f"--tie-weights makes the embedding as large as a hidden layer ({self.hidden}), and --embedding is "
                    f"{self.embedding}; leave one of them out"
                )
            self._set("embedding", self.hidden)
            if self.softmax == "adaptive":
                raise OptionError("--tie-weights goes with --softmax full only; leave one of them out")
            self._set("softmax", "full")
        if self.clusters is not None:
            if self.softmax == "full":
                raise OptionError("--clusters goes with --softmax adaptive; leave one of them out")
            self._set("softmax", "adaptive")
            if not self.clusters or sorted(set(self.clusters)) != list(self.clusters) or self.clusters[0] < 4:
                listed = ",".join(map(str, self.clusters))
                raise OptionError(f"--clusters is {listed!r}; it takes growing numbers over 3, such as 2000,10000")

    def describe(self) -> dict[str, Any]:
        """Return all choices ready for JSON, but for those that do not shape the model."""
        values = dataclasses.asdict(self)
        for name in ("threads", "checkpoint_every", "preset"):
            del values[name]
        values["clusters"] = None if self.clusters is None else list(self.clusters)
        return values


def seconds(text: str | float, what: str) -> float:
    """Return the seconds of a duration such as 90s, 10m, 2h or 1.5h; a number alone is seconds.

    Raises
    ------
    OptionError

    >>> seconds("10m", "--time-limit")
    600.0
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smhd]?)\s*", str(text))
    value = float(found[1]) * UNITS[found[2] or "s"] if found else 0
    if not 0 < value < math.inf:
        raise OptionError(f"{what} is {text!r}; it takes a duration such as 90s, 10m or 2h")
    return value


def _interval(value: Any) -> tuple[float, str]:
    """Return (number, "s" or "steps") of 30s, 10m or 500steps."""
    text = str(value)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        text = "".join(f"{part:.17f}" if isinstance(part, float) else str(part) for part in value)
    found = re.fullmatch(r"\s*([0-9]+)\s*steps?\s*", text)
    if found and int(found[1]) > 0:
        return int(found[1]), "steps"
    try:
        return seconds(text, "--checkpoint-every"), "s"
    except OptionError:
        raise OptionError(f"--checkpoint-every is {value!r}; it takes 30s, 10m or 500steps") from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
