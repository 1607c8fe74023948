"""Checkpoints: a model file that holds the best weights so far, and beside them all that a training needs to go on.

To every command it is a model. The tensors whose names begin with `training.` are the current weights and the
optimizer's moments (`training.w.`, `.m.`, `.v.`, named as the model's own) and the states that the streams have reached
(`training.state.`, one a shard); the metadata's entry `checkpoint` has the counters and the records. Masks of dropout
are functions of seed, step and shard, so there is no random generator to keep.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from typing import Any

import numpy as np

from lmkit import storage
from lmkit.errors import ModelError, OptionError
from lmkit.files import remove_abandoned
from lmkit.rnn.model import RNNModel
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.trainer import Progress, Trainer

__all__ = ["Checkpoint", "check_free", "checkpoint_path", "forget", "load", "save"]

FREE = ("threads", "checkpoint_every")  # options that may change when a training is resumed


def checkpoint_path(output: str | os.PathLike) -> str:
    """Return where the checkpoints of a training with this output lie."""
    return os.fspath(output) + ".checkpoint"


def check_free(output: str | os.PathLike) -> None:
    """Refuse to begin a training where the checkpoint of another one would be lost.

    Raises
    ------
    OptionError
    """
    path = checkpoint_path(output)
    if os.path.lexists(path):
        raise OptionError(
            f"{path} is there, from a training that runs or was interrupted; go on with it (--resume {output}), "
            "remove it, or choose another -o"
        )
    storage.check_target(path)


def forget(output: str | os.PathLike) -> None:
    """Remove the checkpoint of a training that has come to its end."""
    path = checkpoint_path(output)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    remove_abandoned(path)


def save(path: str, trainer: Trainer, model: RNNModel) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    model : RNNModel
        The best weights so far, with the training record.
    """
    layout = trainer.network.layout
    tensors = dict(model.tensors())
    for name, values in _arrays(trainer).items():
        tensors.update(layout.tensors(values, f"training.{name}."))
    hidden = trainer.network.shape.hidden
    for i, shard in enumerate(trainer.shards):
        tensors[f"training.state.{i}"] = shard.state[..., :hidden]
    metadata = {
        "config": model.config(),
        **model.text.metadata(),
        "training": model.metadata["training"],
        "checkpoint": {**dataclasses.asdict(trainer.progress), "shards": len(trainer.shards)},
    }
    storage.save(path, model.family, metadata, tensors)


def _arrays(trainer: Trainer) -> dict[str, np.ndarray]:
    arrays = {"w": trainer.network.flat, "m": trainer.m, "v": trainer.v}
    return {name: values for name, values in arrays.items() if values.size}


class Checkpoint:
    """An opened checkpoint: mapped until it is restored, so that its place on the disk is free when it is replaced.

    Attributes
    ----------
    path : str
    model : RNNModel
        The best weights so far.
    record : dict
        The training record, with the options and the corpora.
    options : RNNOptions
    progress : Progress
    """

    def __init__(self, path: str, file: storage.ModelFile):
        self.path = path
        self.mapped = {name: t for name, t in file.tensors.items() if name.startswith("training.")}
        file.tensors = {name: t.copy() for name, t in file.tensors.items() if name not in self.mapped}
        self.model = RNNModel.from_file(file)
        damaged = f"{path}: the checkpoint's"
        self.record = file.metadata.get("training")
        entry = file.metadata.get("checkpoint")
        if not isinstance(self.record, dict) or not isinstance(entry, dict):
            raise ModelError(
                f"{path}: a model, but no checkpoint of a training; give the OUTPUT of one that was stopped"
            )
        try:
            chosen, names = self.record["options"], {field.name for field in dataclasses.fields(RNNOptions)}
            chosen = {"reset": "file", **chosen}  # what was the rule before there was a choice
            self.options = RNNOptions(**{name: value for name, value in chosen.items() if name in names})
            if chosen["arch"] != self.model.shape.arch:
                raise ValueError(f"--arch is {chosen['arch']!r}, and the model is {self.model.shape.arch!r}")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(f"{damaged} options make no sense ({error}); train anew") from None
        try:
            self.shards = entry["shards"]
            self.progress = Progress(**{name: value for name, value in entry.items() if name != "shards"})
            _check(self.progress)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{damaged} counters make no sense ({error}); train anew") from None

    def agreed_options(self, expected: dict[str, Any]) -> RNNOptions:
        """Return the options of the training; those expected must be the same, but for `threads` and
        `checkpoint_every`.

        Raises
        ------
        OptionError
            Naming the first that differs.
        """
        known = {field.name for field in dataclasses.fields(RNNOptions)}
        chosen = {name: getattr(self.options, name) for name in known if name != "threads"}
        options = RNNOptions(**{**chosen, **{name: value for name, value in expected.items() if name in known}})
        now = {**expected, **{name: getattr(options, name) for name in expected if name in known}}
        for name, value in now.items():
            old = getattr(self.options, name) if name in known else self.record["options"].get(name)
            if name not in FREE and old != value:
                raise OptionError(
                    f"--{name.replace('_', '-')} is {value}, and in the training that is resumed it is {old}; "
                    "leave it out, or train anew"
                )
        return options

    def restore(self, trainer: Trainer) -> None:
        """Bring a new trainer of the same network, text and options to where the checkpoint was made, and let go of it.

        Raises
        ------
        ModelError
            The checkpoint is damaged, or of another text.
        """
        layout, progress = trainer.network.layout, self.progress
        windows = trainer.streams.windows
        fits = progress.window < windows and progress.step == progress.epoch * windows + progress.window
        if self.shards != len(trainer.shards) or not fits:
            raise ModelError(f"{self.path}: the checkpoint does not fit the text; train anew")
        for name, values in _arrays(trainer).items():
            values[:] = layout.flat(self.mapped, self.path, f"training.{name}.")
        if "v" in _arrays(trainer) and trainer.v.min() < 0:
            raise ModelError(f"{self.path}: the checkpoint's second moments are below zero; train anew")
        for i, shard in enumerate(trainer.shards):
            state = self.mapped.get(f"training.state.{i}")
            true = shard.state[..., : trainer.network.shape.hidden]
            if state is None or state.shape != true.shape or state.dtype != true.dtype or not np.isfinite(state).all():
                raise ModelError(f"{self.path}: tensor training.state.{i} of the checkpoint is damaged; train anew")
            true[:] = state
        trainer.best[:], trainer.best_resting = self.model.flat, self.model.resting
        trainer.progress = progress
        self.mapped = {}


def load(output: str | os.PathLike) -> Checkpoint:
    """Open the checkpoint of a training with this output.

    Raises
    ------
    ModelError
        There is none, or it is damaged.
    """
    path = checkpoint_path(output)
    if not os.path.exists(path):
        raise ModelError(f"{path}: no such checkpoint; there is one while a training runs, or when it was interrupted")
    return Checkpoint(path, storage.open_model_file(path))


def _check(progress: Progress) -> None:
    values = dataclasses.asdict(progress)
    history = values.pop("history")
    if progress.best_loss is None:
        del values["best_loss"]
    whole = [field.name for field in dataclasses.fields(Progress) if field.type == "int"]
    for name, value in values.items():
        if type(value) is not int and (name in whole or type(value) is not float):
            raise TypeError(f"{name} is {value!r}")
        if not 0 <= value < 2**63:  # nor is it one that is no number
            raise ValueError(f"{name} is {value}")
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise TypeError("the history is no list of records")
    for record in history:
        if not all(type(value) in (int, float) and math.isfinite(value) for value in record.values()):
            raise ValueError(f"the history has the record {record}")
