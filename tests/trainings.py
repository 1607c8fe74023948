"""Small trainings of recurrent models, stopped in the middle, and what of them has to be the same."""

import contextlib
import signal

import pytest
from texts import VERSES

import lmkit
from lmkit import storage

TEXT = "".join(VERSES[i % 5] + ("\n\n" if i % 3 == 2 else "\n") for i in range(60))
PAIR = ("text", TEXT.encode())
OPTIONS = {
    "arch": "lstm", "tokenizer": "char", "layers": 2, "hidden": 8, "dropout": 0.3, "batch": 8, "bptt": 10,
    "steps": 60, "validate_every": 10, "warmup": 5, "learning_rate": 0.02,
}  # fmt: skip


class Crash(BaseException):
    """Stands for a power cut."""


def after_steps(n, action):
    """Return a progress callback that acts once, when `n` steps are done."""
    done = 0

    def progress(phase, *_):
        nonlocal done
        done += phase.startswith("epoch")
        if done == n and phase.startswith("epoch"):
            action()

    return progress


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def crash():
    raise Crash


def trained(output, texts=PAIR, **options):
    return lmkit.train(texts, output=output, **{**OPTIONS, **options})


def interrupted(output, texts=PAIR, at=25, action=ctrl_c, error=lmkit.Interrupted, **options):
    """Stop a training after step `at`; return what was said. There is a checkpoint then."""
    with pytest.raises(error) as caught:
        trained(output, texts, progress=after_steps(at, action), **options)
    return str(caught.value)


def contents(path):
    """Return all that a model file holds, but for the seconds it took and how often it was saved."""
    file = storage.open_model_file(path)
    metadata = {**file.metadata, "training": without_seconds(file.metadata["training"])}
    del metadata["header_checksum"]
    return metadata, {name: (t.dtype, t.shape, t.tobytes()) for name, t in file.tensors.items()}


def without_seconds(record):
    record = {name: value for name, value in record.items() if "second" not in name}
    record["options"] = {name: value for name, value in record["options"].items() if name != "checkpoint_every"}
    record["history"] = [{k: v for k, v in entry.items() if k != "seconds"} for entry in record["history"]]
    return record


def rewrite(path, change):
    """Change what a model file holds, `change(tensors, metadata)`, and write it as a whole, sound file."""
    file = storage.open_model_file(path)
    tensors = {name: tensor.copy() for name, tensor in file.tensors.items()}
    metadata = dict(file.metadata)
    change(tensors, metadata)
    storage.save(path, file.family, metadata, tensors)


@contextlib.contextmanager
def unchanged(*paths):
    """See that files stay as they are."""
    before = [path.read_bytes() if path.exists() else None for path in paths]
    yield
    assert [path.read_bytes() if path.exists() else None for path in paths] == before
