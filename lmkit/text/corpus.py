"""Bytes in: files, standard input, compressed or not, in any encoding, as blocks of UTF-8."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import hashlib
import io
import itertools
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from lmkit.errors import CorpusError, OptionError
from lmkit.kernels import text as kernels
from lmkit.text.formats import HEAD, explain_format, unmarked_encoding
from lmkit.threads import ahead

__all__ = ["LONGEST_ENTRY", "Corpus"]

BLOCK = 4 << 20
LONGEST_LINE = 1 << 30  # bytes: blocks hold whole lines, so that a line without end would fill the memory
LONGEST_ENTRY = 64 << 20  # bytes that a line of an ARPA file, of counts or of a vocabulary may have
MAGIC_SIZE = 10  # bytes that tell compressed files from any text
NOTHING = np.zeros(kernels.PAD, np.uint8), 0  # a block that only says that reading goes on
MAGIC = {
    rb"\x1f\x8b\x08": gzip.open,
    rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)": bz2.open,
    rb"\xfd7zXZ\x00": lzma.open,
}
COMPRESSED = (b"", b"\x1f", b"B", b"\xfd")  # first bytes after which more are needed to tell
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Corpus:
    """One text to be read once, from the front.

    Parameters
    ----------
    name : str
        A path, or `-` for standard input; with `data` only a name for messages.
    encoding : str
        The encoding of the (decompressed) bytes, any that Python knows.
    errors : {'strict', 'keep'}
        What an invalid byte is: an error, or itself, passed through.
    data : bytes or binary file, optional
        The text itself.

    Attributes
    ----------
    sha256 : str
        Of the decompressed bytes as they stand in the file. This and the next three tell of what has been read so far.
    bytes : int
        Size as UTF-8 without a byte order mark, whatever the file's encoding: what models see, so that bits per byte
        of two encodings compare.
    characters : int
        Number of code points; an invalid byte is one.
    lines : int
        Number of lines; the last one counts without a newline, too.
    live : bool
        Whether blocks are to be had as soon as their bytes come, however few; else they are filled first.
    most : int or None
        With more bytes than that, decompressed or not, the text is refused as soon as this is known.
    longest_line : int
        With more bytes than that before a newline it is refused, too.

    Raises
    ------
    OptionError
        Where the encoding is unknown or `errors` is neither of the two.
    """

    def __init__(
        self, name: str, encoding: str = "utf-8", errors: str = "strict", data: bytes | BinaryIO | None = None
    ):
        if errors == "report":
            raise OptionError("--errors report goes with score, filter and tokenize, which write a row for each line")
        if errors not in ("strict", "keep"):
            raise OptionError(f"errors is {errors!r}; expected one of: strict, keep")
        try:
            b"a".decode(encoding, "ignore")
            self.encoding = codecs.lookup(encoding).name
        except (LookupError, UnicodeError, ValueError, TypeError):
            raise OptionError(f"unknown encoding {encoding!r}; try utf-8, latin-1 or utf-16") from None
        self.name, self.errors, self.data, self.live = str(name), errors, data, False
        self.most: int | None = None
        self.longest_line = LONGEST_LINE
        self.bytes = self.characters = self.lines = 0
        self._hash = hashlib.sha256()
        self._read = 0  # bytes of the decompressed text
        self._mark = 0  # length of the byte order mark of a UTF-8 text
        self._start = b""  # the first bytes of the decompressed text, which tell UTF-16
        self._taken = 0  # bytes as they lie on the disk

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, {self.encoding!r}, {self.errors!r})"

    @property
    def title(self) -> str:
        """The name for messages."""
        return "standard input" if self.name == "-" and self.data is None else self.name

    @property
    def size(self) -> int:
        """Size in bytes as it lies on the disk, 0 where that is not known."""
        if self.data is not None:
            return len(self.data) if isinstance(self.data, (bytes, bytearray, memoryview)) else 0
        try:
            return os.stat(self.name).st_size if self.name != "-" else 0
        except (OSError, ValueError):
            return 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def again(self) -> Corpus | None:
        """Return this text, not read yet; None for one that can be read only once, such as the standard input."""
        in_memory = isinstance(self.data, (bytes, bytearray, memoryview))
        on_disk = self.data is None and self.name != "-" and os.path.isfile(self.name)
        return Corpus(self.name, self.encoding, self.errors, self.data) if in_memory or on_disk else None

    def blocks(self, progress: Callable[[int], object] | None = None) -> Iterator[np.ndarray]:
        """Yield the text as uint8 arrays of UTF-8, about 4 MB each; all but the last end after a newline.

        Reading, decompressing, checking and hashing run ahead in a thread. `progress` is called with the number of
        bytes read since its last call, as they lie on the disk: those of a compressed file are compressed. It is
        called within long lines, too, before they are yielded.

        Raises
        ------
        CorpusError
            Where the text cannot be read or is not in its encoding.
        """
        for block, size in self.padded_blocks(progress):
            yield block[:size]

    def padded_blocks(self, progress: Callable[[int], object] | None = None) -> Iterator[tuple[np.ndarray, int]]:
        """Yield blocks with slack behind them for the kernels, and their sizes."""
        reported = 0
        for block, size, taken in ahead(self._checked()):
            if size:
                yield block, size
            if progress is not None:
                progress(taken - reported)
                reported = taken

    def _checked(self) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yield the blocks, counted, once each is known to be valid, and how many bytes of the disk they took."""
        utf8 = self.encoding in ("utf-8", "utf-8-sig")
        for block, size in self._cut_at_newlines(self._utf8() if utf8 else self._transcoded()):
            if not size:
                yield block, size, self._taken
                continue
            characters, bad = kernels.inspect_utf8(block, size)
            if bad >= 0 and self.errors == "strict":
                line = self.lines + kernels.count_newlines(block, bad) + 1
                good = block[:bad].tobytes().rfind(b"\n") + 1
                if good:  # the lines before it are fit for use
                    yield block, good, self._taken
                offset = self._mark + self.bytes + bad
                raise self._invalid(f"0x{int(block[bad]):02x}", line, offset)
            self.characters += characters
            self.lines += kernels.count_newlines(block, size) + int(block[size - 1] != 10)
            self.bytes += size
            yield block, size, self._taken

    def _cut_at_newlines(self, chunks: Iterator[bytes]) -> Iterator[tuple[np.ndarray, int]]:
        """Yield padded arrays and their sizes, cut after newlines; a line longer than a chunk stays whole.

        While such a line is read, empty arrays come.
        """
        pieces: list = []
        held = 0  # bytes of the line that has begun
        for chunk in chunks:
            cut = chunk.rfind(b"\n") + 1
            if cut:
                yield _joined([*pieces, memoryview(chunk)[:cut]])
                pieces, held = [], 0
            elif chunk:
                yield NOTHING
            pieces.append(memoryview(chunk)[cut:])
            held += len(pieces[-1])
            if held > self.longest_line:
                raise CorpusError(
                    f"{self.title}: line {self.lines + 1}: longer than {self.longest_line:,} bytes, the most that a "
                    "line may have; break it into lines, such as with `fold -s` or `tr '\\0' '\\n'`"
                )
        if any(pieces):
            yield _joined(pieces)

    def _utf8(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            if self._read == len(chunk) and chunk.startswith(codecs.BOM_UTF8):
                self._mark = len(codecs.BOM_UTF8)
                chunk = chunk[self._mark :]
            yield chunk

    def _transcoded(self) -> Iterator[bytes]:
        """Yield the text as UTF-8 where it has another encoding; `keep` gives invalid bytes as they are."""
        make = codecs.getincrementaldecoder(self.encoding)
        decoder = make("strict" if self.errors == "strict" else "surrogateescape")
        newlines, first = 0, self.encoding not in ("utf-16", "utf-32")  # those skip a mark themselves
        for chunk in itertools.chain(self._chunks(), [b""]):
            state = decoder.getstate()
            try:
                text = decoder.decode(chunk, final=not chunk)
                yield text.removeprefix("\ufeff" if first else "").encode("utf-8", "surrogateescape")
            except UnicodeDecodeError as error:
                start = error.start - len(state[0])  # the object of the error begins with what was held back
                before = make("ignore")
                before.setstate(state)
                good = ""
                with contextlib.suppress(UnicodeError):  # UTF-16 without a mark cannot even begin
                    good = before.decode(chunk[: max(start, 0)])
                line = newlines + good.count("\n") + 1
                yield good.removeprefix("\ufeff" if first else "").encode("utf-8", "surrogateescape")
                found = error.object[error.start : max(error.end, error.start + 1)].hex(" ")
                raise self._invalid(f"0x{found}", line, self._read - len(chunk) + start) from None
            except UnicodeError as error:  # the decoder cannot begin, or has made what is no Unicode text
                raise CorpusError(f"{self.title}: not {self.encoding}: {error}; give --encoding") from None
            newlines += text.count("\n")
            first = first and not text

    def _chunks(self) -> Iterator[bytes]:
        """Yield the decompressed bytes as they are."""
        self._check_size(self.size)
        with _opened(self) as file:
            while chunk := _read(self, file, BLOCK):
                if len(self._start) < HEAD:
                    self._start = (self._start + chunk[:HEAD])[:HEAD]
                    self._check_start()
                self._hash.update(chunk)
                self._read += len(chunk)
                self._check_size(self._read)
                yield chunk

    def _check_start(self) -> None:
        """Refuse what is known by its first bytes to be no text, or text of another encoding.

        Where invalid bytes are kept, any file may be read.
        """
        if self.errors == "keep":
            return
        found = explain_format(self._start)
        if found:
            raise CorpusError(f"{self.title}: {found}")
        encoding = None if self.encoding.startswith(("utf-16", "utf-32")) else unmarked_encoding(self._start)
        if encoding:
            raise CorpusError(
                f"{self.title}: {encoding.upper()[:6]} text without a byte order mark; give --encoding {encoding}"
            )

    def _check_size(self, size: int) -> None:
        if self.most is not None and size > self.most:
            raise CorpusError(
                f"{self.title}: longer than {self.most:,} bytes, the most that is taken here; give a part of it, such "
                "as its first lines (head -n 10000)"
            )

    def _invalid(self, what: str, line: int, offset: int) -> CorpusError:
        keep = "" if self.errors == "keep" else ", or --errors keep to let such bytes pass"
        marked = self._start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if marked and not self.encoding.startswith("utf-16"):
            wide = "utf-32" if self._start.startswith(codecs.BOM_UTF32_LE) else "utf-16"
            advice = f"the text begins as {wide.upper()} does: give --encoding {wide}, or what else it is (latin-1 ...)"
        else:
            advice = "give the text's --encoding (latin-1, cp1252, utf-16 ...)"
        return CorpusError(
            f"{self.title}: line {line}, byte offset {offset}: {what} is not valid {self.encoding}; {advice}{keep}"
        )


def _joined(pieces: list) -> tuple[np.ndarray, int]:
    size = sum(map(len, pieces))
    block = np.empty(size + kernels.PAD, np.uint8)
    block[size:] = 0
    start = 0
    for piece in pieces:
        block[start : start + len(piece)] = piece
        start += len(piece)
    return block, size


@contextlib.contextmanager
def _opened(corpus: Corpus) -> Iterator[BinaryIO]:
    """Open what the name says, and decompress it where its first bytes ask for that."""
    with contextlib.ExitStack() as stack:
        if isinstance(corpus.data, (bytes, bytearray, memoryview)):
            raw: BinaryIO = io.BytesIO(corpus.data)
        elif corpus.data is not None:
            raw = corpus.data
        elif corpus.name == "-":
            raw = stack.enter_context(_standard_input())
        else:
            raw = stack.enter_context(_open_path(corpus.name))
        head, ended = b"", False
        while (
            len(head) < MAGIC_SIZE and head[:1] in COMPRESSED and not ended
        ):  # a short line is to be had as soon as it comes
            more = _read(corpus, raw, MAGIC_SIZE - len(head))
            head, ended = head + more, not more
        file: BinaryIO = _Rejoined(corpus, head, raw, ended)
        for magic, opener in MAGIC.items():
            if re.match(magic, head):
                file = stack.enter_context(opener(io.BufferedReader(file, 1 << 16)))
        yield file


def _open_path(name: str) -> BinaryIO:
    try:
        return open(name, "rb", buffering=0)
    except FileNotFoundError:
        raise CorpusError(f"{name}: no such file; give the path of a text, or - for standard input") from None
    except IsADirectoryError:
        raise CorpusError(f"{name} is a folder; give the files in it, or pipe them in with `cat`") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _standard_input() -> contextlib.AbstractContextManager[BinaryIO]:
    """Standard input without a buffer of Python's: a thread that waits in it would hold a lock at exit."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise CorpusError("standard input is closed; give the path of a text")
    try:
        return open(stream.fileno(), "rb", buffering=0, closefd=False)
    except (OSError, ValueError):
        return contextlib.nullcontext(stream)


def _read(corpus: Corpus, file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size) or b""
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise CorpusError(f"{corpus.title}: cannot be read: {os.strerror(error.errno)}") from None
        raise CorpusError(f"{corpus.title}: damaged compressed file ({error}); get it again") from None


class _Rejoined(io.RawIOBase):
    """A file whose first bytes have been read already; past its end it is not asked again.

    A terminal says only once that its text ends.
    """

    def __init__(self, corpus: Corpus, head: bytes, rest: BinaryIO, ended: bool):
        self.corpus, self.head, self.rest, self.ended = corpus, head, rest, ended

    def readable(self) -> bool:
        return True

    def _some(self, size: int) -> bytes:
        data, self.head = self.head[:size], self.head[size:]
        if not data and not self.ended:
            data = self.rest.read(size) or b""
            self.ended = not data
        self.corpus._taken += len(data)
        return data

    def readinto(self, buffer) -> int:
        data = self._some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Return as many bytes as were asked for, fewer only at the end or of a live text."""
        pieces = []
        while size > 0 and (data := self._some(size)):
            pieces.append(data)
            size -= size if self.corpus.live else len(data)
        return b"".join(pieces)
