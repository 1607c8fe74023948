"""The standard input, and outputs that appear whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import click

from lmkit.characters import ESCAPES, one_line, shown
from lmkit.cli import terminal
from lmkit.files import check_place, replacing

ESCAPED = re.compile(f"[{''.join(map(chr, ESCAPES))}]")

__all__ = [
    "BadLines", "check_output", "check_texts", "is_open_as", "json_line", "open_output", "read_prompt", "unescaped",
    "write_blocks",
]  # fmt: skip


class BadLines:
    """Told of lines of a text that cannot be read: says so on stderr, and that the command has failed in the end.

    The block of a `with` statement ends the command with 1 if there were any.
    """

    def __init__(self, errors: str):
        self.count, self.on_error = 0, self._told if errors == "report" else None

    def _told(self, message: str) -> None:
        self.count += 1
        terminal.say(f"Error: {message}")

    def __enter__(self) -> BadLines:
        return self

    def __exit__(self, kind, *_) -> None:
        if self.count and kind is None:
            lines = "1 line" if self.count == 1 else f"{self.count:,} lines"
            terminal.say(
                f"Error: {lines} could not be read, as told above; --errors keep lets invalid bytes pass, --reserved "
                "space or keep takes reserved words for white space or for the unknown word"
            )
            raise click.exceptions.Exit(1)


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


def unescaped(value: str) -> str:
    """Return the text that an option stands for: escapes are those of tables, and all else is itself."""
    from lmkit.text import unescape

    half = re.search(r"(?<!\\)(?:\\\\)*\\u(d[89a-f][0-9a-f]{2})", value)  # of a surrogate pair
    if half:
        raise click.UsageError(f"{value!r} holds \\u{half[1]}, which is no character")
    return unescape(value)


def read_prompt(prompt: str | None) -> str:
    """Return the prompt; `-` reads the standard input as it is, without the line feed that ends it."""
    if prompt != "-":
        return unescaped(prompt or "")
    announce_stdin()
    if sys.stdin is None:
        raise click.UsageError("the standard input is closed")
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")


def check_output(output: str, inputs: Iterable[str | None] = (), option: str = "-o") -> None:
    """Refuse, before the work, an output that cannot be written or that is one of the inputs."""
    if output != "-":
        check_place(output, [name for name in inputs if name is not None], option)


@contextlib.contextmanager
def open_output(path: str, *, drawn: bool = False, keep_interrupted: bool = False) -> Iterator[BinaryIO]:
    """Open an output for bytes: a stream for `-`, a pipe or a device as it is, else a file that appears when it is
    whole. Errors name it.

    A terminal gets escapes for all that it would obey, unless what is written is drawn for it: with colours of its own,
    and all else escaped already. With `keep_interrupted` what was written until an interruption stays.
    """
    try:
        with _opened(path, keep_interrupted) as file:
            if drawn or not file.isatty():
                yield file
                return
            screen = Screen(file)
            try:
                yield screen
            finally:
                screen.finish()
    except OSError as error:
        if error.filename is None and not isinstance(error, BrokenPipeError):
            error.filename = "standard output" if path == "-" else path
        raise


def write_blocks(path: str, blocks: Iterable[bytes]) -> None:
    """Write pieces of an output as they come: who reads a pipe has each at once."""
    with open_output(path) as file:
        for block in blocks:
            file.write(block)
            file.flush()


class Screen:
    """A terminal that shows bytes of text as they are meant, and obeys none of them."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.held = ""  # a carriage return, until it is known whether a line ends there

    def write(self, data: bytes) -> None:
        """Write text of which a character may have its end in the next piece."""
        self._show(self.decoder.decode(bytes(data)))

    def writelines(self, lines: Iterable[bytes]) -> None:
        """Write pieces of text."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Let what is written be seen, but for a character whose end is not there."""
        self.file.flush()

    def finish(self) -> None:
        """Write what is still held back."""
        self._show(self.decoder.decode(b"", final=True), final=True)

    def _show(self, text: str, final: bool = False) -> None:
        text = self.held + text
        self.held = "\r" if text.endswith("\r") and not final else ""
        text = text.removesuffix(self.held).replace("\r\n", "\n")
        self.file.write(encode(shown(text)))


def _opened(path: str, keep_interrupted: bool) -> contextlib.AbstractContextManager[BinaryIO]:
    if path == "-":
        return _standard_stream(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if is_open_as(path, stream):
            return _standard_stream(stream)
    if re.fullmatch("/proc/[0-9]+/fd", os.path.realpath(os.path.dirname(path))):
        return open(os.dup(int(os.path.basename(path))), "wb")
    if os.path.exists(path) and not os.path.isfile(path):
        return open(path, "wb")
    return replacing(path, keep_interrupted=keep_interrupted)


@contextlib.contextmanager
def _standard_stream(stream):
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    stream.flush()
    yield stream.buffer
    stream.buffer.flush()


def is_open_as(path, stream):
    """Whether a path leads to where a standard stream goes, as /dev/stdout does: renaming over that loses what is
    there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(stream.fileno()))
    except (OSError, ValueError, AttributeError):  # there is no such file, or no such stream
        return False


def json_line(values: dict[str, Any]) -> bytes:
    """Return a JSON object and a line feed; what nobody can see is an escape, and so is what is not UTF-8: \\udc80 to
    \\udcff. Numbers that JSON cannot write are null, and the object that has them is "infinite"."""
    try:
        line = json.dumps(values, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json_line(finite_values(values))
    return (ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], line) + "\n").encode()


def finite_values(value: Any) -> Any:
    """Return a JSON value with null for each number that is not finite, and "infinite": true beside it.

    >>> finite_values({"loss": float("inf"), "rows": [{"loss": 2.5}, [float("nan")]]})
    {'loss': None, 'rows': [{'loss': 2.5}, [None]], 'infinite': True}
    """
    if isinstance(value, dict):
        finite = {name: finite_values(each) for name, each in value.items()}
        return {**finite, "infinite": True} if any(map(_is_infinite, value.values())) else finite
    if isinstance(value, (list, tuple)):
        return [finite_values(each) for each in value]
    return None if _is_infinite(value) else value


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


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
        if form == "tsv":
            file.write(tsv_line(*(one_line(field.replace("\\", "\\\\")) for field in (name, value))))
        else:
            file.write(encode(one_line(f"{name:<{width}}  {value}") + "\n"))


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text of the value) for all that is in a dict of dicts and lists."""
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
            value = dict(enumerate(value, 1))
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"{prefix}{name}", str(value)
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
