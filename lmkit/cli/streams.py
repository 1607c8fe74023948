"""The standard input, and outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from lmkit.cli import terminal

__all__ = ["check_texts", "json_line", "open_output", "read_prompt"]


def check_texts(texts: tuple[str, ...]) -> list[str]:
    """Return the names of texts to read, the standard input if there are none; say so where someone has to
    type it."""
    named = list(texts) or ["-"]
    if named.count("-") > 1:
        raise click.UsageError("the standard input (-) can be read only once")
    if "-" in named:
        announce_stdin()
    return named


def announce_stdin() -> None:
    """Tell who sits at a terminal that lmkit waits for text."""
    if terminal.is_terminal(sys.stdin):
        terminal.say("Reading text from the terminal: type it, then press Ctrl-D (or name a file, or pipe text in).")


def read_prompt(prompt: str | None) -> str:
    """Return the prompt; `-` reads the standard input, without the line feed that ends it."""
    if prompt != "-":
        return prompt or ""
    announce_stdin()
    if sys.stdin is None:
        raise click.UsageError("the standard input is closed")
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")


@contextlib.contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """Open an output for bytes: stdout for `-`, else a file that takes its name only when all is written."""
    if path == "-":
        if sys.stdout is None:
            raise OSError("the standard output is closed")
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = os.path.realpath(path)
    with open(path, "wb") if _is_device(path) else _replacing(path) as file:
        yield file


def _is_device(path):
    """Whether a path is there and is no plain file: a pipe, a terminal, /dev/null."""
    return os.path.exists(path) and not os.path.isfile(path)


@contextlib.contextmanager
def _replacing(path):
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(path):
    """The permissions of the file that is replaced, or those of any new file."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def json_line(values: dict[str, Any]) -> bytes:
    """Return a JSON object and a line feed; what is not UTF-8 is an escape, \\udc80 to \\udcff."""
    try:
        return (json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(values, allow_nan=False) + "\n").encode()


def encode(text: str) -> bytes:
    """Return the bytes of a str that may stand for any bytes."""
    return text.encode("utf-8", "surrogateescape")


def tsv_line(*fields: Any) -> bytes:
    """Return fields with tabs between them and a line feed."""
    return encode("\t".join(map(str, fields)) + "\n")


def finite(name: str, value: float) -> dict[str, Any]:
    """Return {name: value}, or null and "infinite": true for what JSON has no word for."""
    return {name: value} if math.isfinite(value) else {name: None, "infinite": True}


def write_record(file: BinaryIO, values: dict[str, Any], form: str) -> None:
    """Write one record: a JSON object, or a line for each entry; entries within entries have dotted names."""
    if form == "json":
        file.write(json_line(values))
        return
    rows = list(flat(values))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        file.write(tsv_line(name, value) if form == "tsv" else encode(f"{name:<{width}}  {value}\n"))


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text of the value) for all that is in a dict of dicts and lists."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
            yield from flat(dict(enumerate(value, 1)), f"{prefix}{name}.")
        else:
            yield (
                f"{prefix}{name}",
                json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value,
            )
