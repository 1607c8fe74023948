"""Checkpoints: a model file that holds the best weights so far, and beside them all that a training needs to go on.

To every command it is a model. The tensors whose names begin with `training.` are the current weights and the
optimizer's moments (`training.w.`, `.m.`, `.v.`, named as the model's own) and the states that the streams have reached
(`training.state.`, one a shard); the metadata's entry `checkpoint` has the counters and the records. Masks of dropout
are functions of seed, step and shard, so there is no random generator to keep.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any

import numpy as np

from lmkit import storage
from lmkit.errors import ModelError, OptionError
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
    with contextlib.suppress(FileNotFoundError):
        os.unlink(checkpoint_path(output))


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
    """An opened checkpoint.

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
        self.path, self.file = path, file
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
            self.options = RNNOptions(**{name: value for name, value in chosen.items() if name in names})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(f"{damaged} options make no sense ({error}); train anew") from None
        try:
            self.shards = int(entry.pop("shards"))
            self.progress = Progress(**entry)
            _check_types(self.progress)
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
        before = {**self.record["options"], "valid": _valid(self.record["held_out"])}
        now = {**expected, **{name: getattr(options, name) for name in expected if name in known}}
        for name, value in now.items():
            old = getattr(self.options, name) if name in known else before.get(name)
            same = str(old) == str(value) if name == "valid" else old == value
            if name not in FREE and not same:
                raise OptionError(
                    f"--{name.replace('_', '-')} is {value}, and in the training that is resumed it is {old}; "
                    "leave it out, or train anew"
                )
        return options

    def restore(self, trainer: Trainer) -> None:
        """Bring a new trainer of the same network, text and options to where the checkpoint was made.

        Raises
        ------
        ModelError
            The checkpoint is damaged, or of another text.
        """
        layout, progress = trainer.network.layout, self.progress
        if self.shards != len(trainer.shards) or not 0 <= progress.window < trainer.streams.windows:
            raise ModelError(f"{self.path}: the checkpoint does not fit the text; train anew")
        for name, values in _arrays(trainer).items():
            values[:] = layout.flat(self.file.tensors, self.path, f"training.{name}.")
        if "v" in _arrays(trainer) and trainer.v.min() < 0:
            raise ModelError(f"{self.path}: the checkpoint's second moments are below zero; train anew")
        for i, shard in enumerate(trainer.shards):
            state = self.file.tensors.get(f"training.state.{i}")
            true = shard.state[..., : trainer.network.shape.hidden]
            if state is None or state.shape != true.shape or state.dtype != true.dtype or not np.isfinite(state).all():
                raise ModelError(f"{self.path}: tensor training.state.{i} of the checkpoint is damaged; train anew")
            true[:] = state
        trainer.best[:] = self.model.flat
        trainer.progress = progress


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


def _valid(held_out: Any) -> Any:
    return held_out.get("file", held_out.get("share")) if isinstance(held_out, dict) else None


def _check_types(progress: Progress) -> None:
    for field in dataclasses.fields(Progress):
        value = getattr(progress, field.name)
        kinds = {"int": int, "float": (int, float), "float | None": (int, float, type(None))}.get(field.type, list)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{field.name} is {value!r}")
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{field.name} is {value}")
