"""The model file: named arrays and metadata, in the layout of safetensors, written whole or not at all.

    8 bytes      length of the header, little-endian
    header       JSON: "__metadata__" (string to string; what is nested is JSON text again) and, per tensor, its
                 dtype, shape and place; blanks at the end
    data         the tensors, little-endian, without gaps, wide types first so that each is aligned

Any safetensors reader opens it. Tensors are memory-mapped, so opening costs the same for every size and processes share
the pages. Every tensor has a CRC-32 in the header, and so has the header (with its own digits as zeros).

A file is untrusted: everything that is read here is checked before it is used.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import json
import mmap
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.files import check_place, replacing
from lmkit.spool import release
from lmkit.threads import pool

__all__ = [
    "FORMAT_VERSION", "ModelFile", "Origin", "check_target", "file_size", "is_model_file", "open_model_file", "reopen",
    "save",
]  # fmt: skip

FORMAT, FORMAT_VERSION = "lmkit", 1
MAX_HEADER = 100_000_000
MAX_AXES = 8
VERIFY_BELOW = 64 * 2**20  # smaller files have every checksum verified when they are opened
CHUNK = 16 * 2**20
NO_CHECKSUM = "0" * 8
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
PLAIN = ("format", "format_version", "family", "lmkit_version", "header_checksum")  # metadata that is not JSON text
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a model was read from.

    Attributes
    ----------
    path : str
        The file, from the root of the file system; a link by its own name.
    sha256 : str
        Of the file's header, with its length before it, in hexadecimal digits. The header says what the model is and
        has the checksums of all tensors.
    members : tuple of int
        The number of the member, from 0, where the model is one in a mixture's file; of a member in that, and so on.
    """

    path: str
    sha256: str
    members: tuple[int, ...] = ()


class ModelFile:
    """An open model file, or the part of one that holds a member.

    Attributes
    ----------
    name : str
        The path, for messages.
    family : str
        Which kind of model it holds.
    metadata : dict
        Settings and training record.
    tensors : dict of str to ndarray
        Read-only, memory-mapped.
    size : int
        Bytes of the file.
    origin : Origin
    referrers : tuple of str
        The files that led to this one, each by naming the next as a member, the first one first; without links.
    verified : bool
        Whether every checksum was verified: the file is small, so that reading all of it again costs little.
    opened : dict
        What has been opened of the files that the first one leads to, so that each is opened once: they share it.
    """

    def __init__(
        self,
        name: str,
        size: int,
        metadata: dict[str, Any],
        checksums: dict[str, str],
        tensors: dict[str, np.ndarray],
        origin: Origin,
        referrers: tuple[str, ...] = (),
        verified: bool = False,
        opened: dict[Any, Any] | None = None,
    ):
        self.name, self.size, self.metadata, self.tensors = name, size, metadata, tensors
        self.family: str = metadata["family"]
        self.origin, self.referrers, self.verified = origin, referrers, verified
        self.opened = {} if opened is None else opened
        self._checksums = checksums

    def part(self, number: int, entry: dict[str, Any]) -> ModelFile:
        """Return the part that holds a member, of whose tensors the names begin with its number and a dot.

        Parameters
        ----------
        entry : dict
            The metadata of the member.
        """
        name = f"{self.name} (member {number + 1})"
        own = self._parts.get(str(number), {})
        origin = dataclasses.replace(self.origin, members=(*self.origin.members, number))
        size = sum(tensor.nbytes for tensor in own.values())
        return ModelFile(name, size, entry, {}, own, origin, self.referrers, self.verified, self.opened)

    @functools.cached_property
    def _parts(self) -> dict[str, dict[str, np.ndarray]]:
        """The tensors by what stands before the first dot of their names."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, tensor in self.tensors.items():
            number, _, rest = name.partition(".")
            parts.setdefault(number, {})[rest] = tensor
        return parts

    def referred_by(self, referrers: tuple[str, ...], opened: dict[Any, Any]) -> ModelFile:
        """Return this file as one to which others led: see the attributes of these names."""
        return ModelFile(
            self.name, self.size, self.metadata, self._checksums, self.tensors, self.origin, referrers, self.verified,
            opened,
        )  # fmt: skip

    def verify_if_small(self) -> None:
        """Verify every checksum, if that has not been done and the file is under 64 MB.

        Raises
        ------
        ModelError
        """
        if self.verified or self.size >= VERIFY_BELOW:
            return
        for tensor in self.damaged():
            raise ModelError(
                f"{self.name}: tensor {tensor} is damaged (its checksum differs); get the file again or train anew"
            )
        self.verified = True

    def damaged(self) -> Iterator[str]:
        """Yield the names of the tensors whose bytes are not those that were written."""
        for name, tensor in self.tensors.items():
            if _checksum(tensor) != self._checksums.get(name):
                yield name


def save(
    path: str | os.PathLike,
    family: str,
    metadata: dict[str, Any],
    tensors: dict[str, np.ndarray],
    check: Callable[[ModelFile], object] | None = None,
) -> int:
    """Write a model file and return its size in bytes.

    It is written beside `path`, brought to the disk, opened and renamed: at any moment `path` is the old file or the
    new, and what could not be opened is never there.

    Parameters
    ----------
    check : callable, optional
        Called with the new file, open, before it is renamed; it raises ModelError if the file holds no whole model.

    Raises
    ------
    OptionError
        No model should be there, see `check_target`.
    ModelError
        Writing fails (a full disk ...), or what was written cannot be opened; what was there is still there.
    """
    check_target(path)
    try:
        with replacing(path) as file:
            size = _write(file, family, metadata, tensors)
            file.flush()
            os.fsync(file.fileno())
            _check_written(file.name, path, check)
            return size
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        kept = "; the model that was there is unchanged" if os.path.exists(path) else ""
        raise ModelError(f"{path}: cannot write the model: {reason}{kept}") from error


def _check_written(temporary: str, path: str | os.PathLike, check: Callable[[ModelFile], object] | None) -> None:
    """Open a file that was written, all but the numbers of its tensors, before it takes the place of `path`."""
    try:
        written = open_model_file(temporary, verify_small=False)
        if check is not None:
            check(written)
    except ModelError as error:
        reason = str(error).removeprefix(f"{temporary}: ")
        raise ModelError(f"{path}: not written, because no lmkit could open this model: {reason}") from None


def file_size(family: str, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> int:
    """Return how many bytes the file has that `save` would write."""
    checksums = dict.fromkeys(tensors, NO_CHECKSUM)
    header = _header(family, metadata, tensors, checksums, NO_CHECKSUM)
    return len(header) + sum(tensor.nbytes for tensor in tensors.values())


def is_model_file(path: str | os.PathLike) -> bool:
    """Return whether a file begins as model files do: a length, and a brace."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return len(start) == 9 and int.from_bytes(start[:8], "little") <= MAX_HEADER and start[8:] == b"{"


def check_target(path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
    """Refuse, before the work, a place for a model where no file can be, or where something else would be lost.

    An lmkit model may be replaced, even a damaged one, and so may an empty file.

    Parameters
    ----------
    inputs : iterable of paths
        What is read; "-" is the standard input.

    Raises
    ------
    OptionError
    """
    if path == "-":
        raise OptionError("a model is a file; name one with -o")
    check_place(path, inputs)
    if not os.path.exists(path):
        return
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or _is_standard_output(found):
        raise OptionError(f"{path} is no regular file; choose another -o for the model")
    if found.st_size and (other := _other_kind(path)):
        raise OptionError(f"{path} is {other}, and would be lost; choose another -o, or remove it first")


def _is_standard_output(found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.fstat(1))
    except OSError:  # closed
        return False


def _other_kind(path: str | os.PathLike) -> str | None:
    """Say what a file is that is no lmkit model; None for one that is, whole or damaged."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            header = file.read(min(int.from_bytes(head[:8], "little"), 2**20))
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if head.startswith(COMPRESSED):
        return "a compressed file"
    if head[4:9] != b"\0\0\0\0{":
        return "an ARPA file" if head.startswith(b"\\data\\") else f"no lmkit model (it begins with {head[:8]!r})"
    return None if f'"format":"{FORMAT}"'.encode() in header else "a safetensors file, but no lmkit model"


def _bytes(tensor: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8))


def _chunks(tensor: np.ndarray) -> Iterator[memoryview]:
    """Yield the bytes of a tensor; of one that is mapped from a file, only some are in memory at a time."""
    data = _bytes(tensor)
    for begin in range(0, len(data), CHUNK):
        chunk = data[begin : begin + CHUNK]
        yield chunk
        release(chunk)


def _checksum(tensor: np.ndarray) -> str:
    found = 0
    for chunk in _chunks(tensor):
        found = zlib.crc32(chunk, found)
    return f"{found:08x}"


def _write(file: Any, family: str, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> int:
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    ordered = {name: np.asarray(t, t.dtype.newbyteorder("<"), order="C") for name, t in ordered.items()}
    checksums = dict.fromkeys(ordered, NO_CHECKSUM)
    header = _header(family, metadata, ordered, checksums, NO_CHECKSUM)
    file.write(header)  # as a place holder: the checksums are known after the data
    with pool(3) as workers:  # reading for the checksum, writing, and the disk's own work overlap
        sums = {name: workers.submit(_checksum, tensor) for name, tensor in ordered.items()}
        synced = None
        for tensor in ordered.values():
            for chunk in _chunks(tensor):
                file.write(chunk)
                if synced is None or synced.done():
                    synced = workers.submit(os.fsync, file.fileno())
        checksums = {name: future.result() for name, future in sums.items()}
        if synced:
            synced.result()
    size = file.tell()
    header = _header(family, metadata, ordered, checksums, NO_CHECKSUM)
    header = _header(family, metadata, ordered, checksums, f"{zlib.crc32(header):08x}")
    file.seek(0)
    file.write(header)
    return size


def _header(family: str, metadata: dict, tensors: dict, checksums: dict[str, str], header_checksum: str) -> bytes:
    from lmkit import __version__

    entries: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "family": family,
            "lmkit_version": __version__,
            **{key: json.dumps(value) for key, value in metadata.items() if key not in PLAIN},
            "checksums": json.dumps(checksums),
            "header_checksum": header_checksum,
        }
    }
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.nbytes
        entries[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)  # the data, and with it every tensor, starts at a multiple of its item size
    return len(text).to_bytes(8, "little") + text


def open_model_file(path: str | os.PathLike, *, verify_small: bool = True) -> ModelFile:
    """Open a model file, checking all but the tensors' numbers; those too where the file is under 64 MB.

    Without `verify_small` they are left to a call of `ModelFile.damaged`. What is no regular file is not even opened.

    Raises
    ------
    ModelError
        There is no such file, or it is not a whole, undamaged lmkit model that this version reads.
    """
    name = os.fspath(path)
    try:
        kind = os.stat(name).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise ModelError(f"{name}: a model is memory-mapped and must be a regular file")
        with open(name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise ModelError(f"{name}: the file is empty; train the model anew")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelError(f"{name}: no such model file; train one with `lmkit train CORPUS -o {name}`") from None
    except OSError as error:
        raise ModelError(f"{name}: cannot read the model: {error.strerror}") from None
    length = _header_length(name, data, size)
    metadata, entries = _read_header(name, bytes(data[8 : 8 + length]))
    _check_version(name, metadata)
    header = data[: 8 + length]
    found = metadata.get("header_checksum", "")
    found = found if found.isascii() else ""
    blank = header.replace(f'"header_checksum":"{found}"'.encode(), f'"header_checksum":"{NO_CHECKSUM}"'.encode())
    if f"{zlib.crc32(blank):08x}" != found:
        raise ModelError(
            f"{name}: the header is damaged (its checksum differs); get the file again or train the model anew"
        )
    tensors = {key: _tensor(name, data, 8 + length, key, entry) for key, entry in entries.items()}
    _check_places(name, entries, size - 8 - length)
    described = {key: value if key in PLAIN else _json(name, key, value) for key, value in metadata.items()}
    checksums = described.pop("checksums", None)
    if not isinstance(checksums, dict):
        raise ModelError(f"{name}: the header is damaged (no checksums); train the model anew")
    folder, last = os.path.split(name)
    origin = Origin(os.path.join(os.path.realpath(folder), last), hashlib.sha256(header).hexdigest())
    file = ModelFile(name, size, described, checksums, tensors, origin)
    if verify_small:
        file.verify_if_small()
    return file


def reopen(origin: Origin, *, verify_small: bool = True) -> ModelFile:
    """Open the file again that a model was read from or went to; see `open_model_file`.

    Raises
    ------
    ModelError
        It is not there, or another one than it was.
    """
    if not os.path.exists(origin.path):
        raise ModelError(f"{origin.path}: the file of the model is not there any more; put it back")
    file = open_model_file(origin.path, verify_small=verify_small)
    if file.origin.sha256 != origin.sha256:
        raise ModelError(f"{origin.path}: the file has changed since the model was read or saved; load it anew")
    return file


def _header_length(name: str, data: mmap.mmap, size: int) -> int:
    start = data[:16]
    if start.startswith(COMPRESSED):
        raise ModelError(f"{name}: a compressed file; decompress it first: models are memory-mapped")
    if start[8:9] != b"{" and b"\\data\\" in data[:4096]:
        raise ModelError(f"{name}: an ARPA file, not an lmkit model")
    length = int.from_bytes(start[:8], "little")
    if size < 10 or start[8:9] != b"{" or length > MAX_HEADER:
        raise ModelError(f"{name}: not an lmkit model (it begins with {start[:8]!r})")
    if 8 + length > size:
        raise ModelError(
            f"{name}: the file is truncated: it has {size} bytes, its header alone needs {8 + length}; "
            "get the file again or train the model anew"
        )
    return length


def _read_header(name: str, text: bytes) -> tuple[dict[str, str], dict[str, dict]]:
    try:
        entries = json.loads(text, object_pairs_hook=_without_duplicates)
        metadata = entries.pop("__metadata__", {})
    except (ValueError, RecursionError, AttributeError) as error:
        raise ModelError(
            f"{name}: the header is damaged ({error}); get the file again or train the model anew"
        ) from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ModelError(f"{name}: a safetensors file, but not an lmkit model")
    if not all(isinstance(v, str) for v in metadata.values()):
        raise ModelError(f"{name}: the header is damaged (metadata must be strings); train the model anew")
    if "family" not in metadata:
        raise ModelError(f"{name}: the header is damaged (no family of models); train the model anew")
    return metadata, entries


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name is there twice")
    return entries


def _check_version(name: str, metadata: dict[str, str]) -> None:
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise ModelError(f"{name}: the header is damaged (format version {version[:20]!r}); train the model anew")
    if int(version) > FORMAT_VERSION:
        raise ModelError(
            f"{name}: written by lmkit {metadata.get('lmkit_version')} in format {version}; "
            f"this lmkit reads formats up to {FORMAT_VERSION}: upgrade it"
        )


def _json(name: str, key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"{name}: the header is damaged (entry {key[:40]!r}); train the model anew") from None


def _tensor(name: str, data: mmap.mmap, start: int, key: str, entry: Any) -> np.ndarray:
    try:
        dtype, shape, (begin, end) = (
            np.dtype(DTYPES[entry["dtype"]]),
            tuple(entry["shape"]),
            entry["data_offsets"],
        )
        whole = all(type(n) is int and 0 <= n < 2**48 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        whole = False
    if whole:
        count, extent = 1, 1  # a zero must not hide what NumPy cannot count
        for n in shape:
            count, extent = count * n, extent * max(n, 1)
        whole = end - begin == count * dtype.itemsize and (start + begin) % dtype.itemsize == 0
        whole = whole and extent < 2**48 and len(shape) <= MAX_AXES
    if not whole:
        raise ModelError(f"{name}: the header's entry for tensor {key} makes no sense; train the model anew")
    if start + end > len(data):
        raise ModelError(
            f"{name}: the file is truncated: it has {len(data)} bytes, tensor {key} ends at {start + end}; "
            "get the file again or train the model anew"
        )
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, count, start + begin).reshape(shape)


def _check_places(name: str, entries: dict[str, dict], size: int) -> None:
    """See that the tensors fill the file without gaps or overlaps."""
    at = 0
    for begin, end in sorted(entry["data_offsets"] for entry in entries.values()):
        if begin != at:
            raise ModelError(f"{name}: the tensors in the file overlap or leave gaps; train the model anew")
        at = end
    if at != size:
        raise ModelError(f"{name}: the file has {size - at} bytes too many; get the file again or train the model anew")
