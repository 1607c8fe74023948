"""Whether a training would replace a finished model that is another one than it makes."""

from __future__ import annotations

import json
import os
from typing import Any

from lmkit import storage
from lmkit.errors import ModelError, OptionError
from lmkit.untrusted import entries, entry

__all__ = ["check_replacement", "difference", "record_at"]

NO_MATTER = ("checkpoint_every", "memory", "preset", "temp", "threads")  # options whose effect is nil or in others
UNKNOWN = {"cannot be opened": True}  # stands for the record of a file that is no sound model


def record_at(path: str | os.PathLike) -> dict[str, Any] | None:
    """Return the training record of the model at a place, None where there is no model."""
    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    try:
        return entry(storage.open_model_file(path, verify_small=False).metadata, "training")
    except ModelError:
        return UNKNOWN


def difference(found: dict[str, Any], record: dict[str, Any]) -> str | None:
    """Say how the record of a model differs from that of another training; None if texts and options are the same.

    Parameters
    ----------
    found : dict
        As `record_at` returns it, untrusted.
    record : dict
        Of the training that is to replace it.
    """
    if found is UNKNOWN:
        return "it cannot be opened"
    record = json.loads(json.dumps(record))  # as it will be read from the file
    texts = entries(found, "corpora")
    if [text.get("sha256") for text in texts] != [text["sha256"] for text in record["corpora"]]:
        names = ", ".join(str(text.get("name")) for text in texts[:3])
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        return f"it learnt from other texts: {names}{more}" if texts else "it is of another origin"
    if _held_out(found) != _held_out(record):
        return "other text was held out to validate on"
    options, now = entry(found, "options"), record["options"]
    for name in sorted({*options, *now} - {*NO_MATTER}):
        if options.get(name) != now.get(name):
            return f"--{name.replace('_', '-')} was {options.get(name)}, and is {now.get(name)}"
    return None


def _held_out(record: dict[str, Any]) -> tuple:
    held_out = entry(record, "held_out")
    return held_out.get("share"), held_out.get("sha256")


def check_replacement(path: str | os.PathLike, record: dict[str, Any]) -> None:
    """Refuse to replace a finished model of other texts or options.

    Raises
    ------
    OptionError
    """
    found = record_at(path)
    different = None if found is None else difference(found, record)
    if different:
        raise OptionError(
            f"{os.fspath(path)} is the model of another training, and would be lost ({different}); "
            "replace it with --force, or choose another -o"
        )
