"""Arrays that wait on the disk: they come back, and a disk that is full is told of in one line."""

import errno
import mmap

import numpy as np
import pytest

from lmkit.errors import CorpusError
from lmkit.spool import Spool, release


def test_arrays_come_back(tmp_path):
    arrays = [np.arange(12, dtype=np.uint32).reshape(4, 3), np.zeros((0, 2), np.int64), np.arange(5, dtype=np.uint8)]
    with Spool(str(tmp_path)) as spool:
        places = [spool.put(array) for array in arrays]
        for place, array in zip(places, arrays, strict=True):
            found = spool.get(place)
            assert found.dtype == array.dtype and not (found.size and found.flags.writeable)
            np.testing.assert_array_equal(found, array)
        np.testing.assert_array_equal(spool.get(places[0], 1, 2), arrays[0][1:3])
        np.testing.assert_array_equal(spool.get(places[0], 3), arrays[0][3:])


def test_pieces_are_written_to_a_reserved_place():
    with Spool() as spool:
        place, other = spool.reserve((5, 2), np.int32), spool.put(np.full(3, 7))
        rows = np.arange(10, dtype=np.int32).reshape(5, 2)
        for first in (3, 0):
            spool.write(place, first, rows[first : first + 3])
        np.testing.assert_array_equal(spool.get(place), rows)
        np.testing.assert_array_equal(spool.get(other), [7, 7, 7])


def test_the_file_has_no_name_and_a_mapped_array_outlives_it(tmp_path):
    with Spool(str(tmp_path)) as spool:
        assert list(tmp_path.iterdir()) == []
        spool.put(np.arange(100_000))
        array = spool.whole((100_000,), np.int64)
    np.testing.assert_array_equal(array, np.arange(100_000))
    with Spool() as empty:
        assert empty.whole((0, 4), np.uint32).shape == (0, 4)


def test_released_parts_are_read_again():
    with Spool() as spool:
        spool.put(np.arange(100_000))
        array = spool.whole((100_000,), np.int64)
    for part in (array, array[5:9000], memoryview(array)[90_000:], array.reshape(100, -1)):
        release(part)
        np.testing.assert_array_equal(array, np.arange(100_000))
    for other in (np.arange(9), memoryview(b"bytes")):  # nothing happens to what is not mapped
        release(other)
        assert len(other)


def test_release_gives_memory_back():
    """A mapping of one's own would lose what is released; a file's does not, so look at what the system was told."""
    told = []

    class Mapping(mmap.mmap):
        def madvise(self, *arguments):
            told.append(arguments)

    with Spool() as spool:
        spool.get(spool.put(np.arange(10_000)))  # what is read has been written
        array = np.frombuffer(Mapping(spool.file.fileno(), spool.size, access=mmap.ACCESS_READ), np.int64)
        release(array[1024:2048])
    assert told == [(mmap.MADV_DONTNEED, 8192, 8192 + mmap.PAGESIZE)]


class Full:
    """A file on a disk that is full, or broken."""

    def __init__(self, number):
        self.number = number

    def seek(self, _):
        pass

    def write(self, _):
        raise OSError(self.number, "the reason")

    def close(self):
        pass


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "the reason")],
)
def test_a_full_disk(tmp_path, number, said):
    spool = Spool(str(tmp_path))
    spool.file.close()
    spool.file = Full(number)
    with pytest.raises(CorpusError, match=said) as error:
        spool.get(spool.put(np.arange(3)))
    assert str(tmp_path) in str(error.value) and "--temp" in str(error.value)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(CorpusError, match="nowhere: cannot hold temporary files"):
        Spool(str(tmp_path / "nowhere"))
