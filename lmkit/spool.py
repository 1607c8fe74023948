"""Arrays that wait on the disk, for work that memory does not hold."""

from __future__ import annotations

import contextlib
import errno
import mmap
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lmkit.errors import CorpusError

__all__ = ["Place", "Spool", "release"]


WAITING = 3  # arrays, at most, that a spool has not written yet


class Place(NamedTuple):
    """Where an array lies in a spool."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


class Spool:
    """A temporary file of arrays. It has no name, so that it is gone with its process, however that ends.

    A thread writes behind: an array may not be changed once it is handed over. One thread at a time may use a spool.
    What is read is mapped, not copied.

    Parameters
    ----------
    folder : str, optional
        Where it lies; None: where the system keeps temporary files.

    Raises
    ------
    CorpusError
        The folder cannot be written to; also from later calls, when its disk is full.
    """

    def __init__(self, folder: str | None = None):
        self.folder = folder
        self.size = 0
        self._writer = ThreadPoolExecutor(1)
        self._writes: list[Future] = []  # that are not known to have been done
        with self._errors():
            self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_) -> None:
        self._writer.shutdown(cancel_futures=True)
        self.file.close()

    def reserve(self, shape: tuple[int, ...], dtype: type) -> Place:
        """Return room for an array that is written later, in pieces."""
        place = Place(self.size, shape, np.dtype(dtype))
        self.size += int(np.prod(shape, dtype=np.int64)) * place.dtype.itemsize
        return place

    def put(self, array: np.ndarray) -> Place:
        """Write an array behind the others."""
        place = self.reserve(array.shape, array.dtype)
        self.write(place, 0, array)
        return place

    def write(self, place: Place, first: int, array: np.ndarray) -> None:
        """Write some rows of an array from row `first` on."""
        self._settle(WAITING)
        self._writes.append(self._writer.submit(self._write, place.offset + first * _row_bytes(place), array))

    def _write(self, offset: int, array: np.ndarray) -> None:
        data = memoryview(np.ascontiguousarray(array)).cast("B") if array.size else b""
        with self._errors():
            self.file.seek(offset)
            while len(data):
                data = data[self.file.write(data) :]

    def _settle(self, most: int) -> None:
        """Wait until no more than so many writes are under way."""
        while len(self._writes) > most:
            self._writes.pop(0).result()

    def get(self, place: Place, first: int = 0, rows: int | None = None) -> np.ndarray:
        """Return an array, or some rows of it, as a read-only view of the file, which outlives the spool."""
        self._settle(0)
        rows = place.shape[0] - first if rows is None else rows
        shape, begin = (rows, *place.shape[1:]), place.offset + first * _row_bytes(place)
        size = rows * _row_bytes(place)
        if not size:
            return np.zeros(shape, place.dtype)
        skipped = begin % mmap.ALLOCATIONGRANULARITY
        start = begin - skipped
        with self._errors():
            view = mmap.mmap(self.file.fileno(), skipped + size, access=mmap.ACCESS_READ, offset=start)
        return np.frombuffer(view, place.dtype, size // place.dtype.itemsize, skipped).reshape(shape)

    def whole(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return the whole file as one array."""
        return self.get(Place(0, shape, np.dtype(dtype)))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = self.folder or tempfile.gettempdir()
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise CorpusError(
                    f"{folder}: the disk is full of temporary files; name another folder with --temp, or give more "
                    "--memory"
                ) from None
            raise CorpusError(
                f"{folder}: cannot hold temporary files: {error.strerror}; name another folder with --temp"
            ) from None


def _row_bytes(place: Place) -> int:
    return int(np.prod(place.shape[1:], dtype=np.int64)) * place.dtype.itemsize


def release(part: np.ndarray | memoryview) -> None:
    """Let go of the memory that holds a part of a mapped file; it is read again where it is needed again."""
    base: object = part
    while not isinstance(base, mmap.mmap):
        base = base.base if isinstance(base, np.ndarray) else base.obj if isinstance(base, memoryview) else None
        if base is None:
            return
    if hasattr(base, "madvise"):
        first = _address(part) - _address(base)
        first -= first % mmap.PAGESIZE
        base.madvise(mmap.MADV_DONTNEED, first, min(len(memoryview(part).cast("B")) + mmap.PAGESIZE, len(base) - first))


def _address(buffer: object) -> int:
    return np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
