"""Output files: places that can be written to, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from signal import SIGINT
from typing import BinaryIO

from lmkit.errors import Interrupted, OptionError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["check_place", "remove_abandoned", "replacing", "sole_writer", "unfinished"]

PERMISSIONS = 0o777  # of a file, without the bits that make programs of it run as somebody else
SHOWN = 40  # characters of a name that are in that of its temporary file
RANDOM_BYTES = 8  # in the name of a temporary file

unfinished: set[str] = set()  # temporary files that this process writes now


def check_place(path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = (), option: str = "-o") -> None:
    """Refuse, before the work, a place where no file can be written, or where one of the inputs lies.

    Parameters
    ----------
    inputs : iterable of paths
        What is read; "-" is the standard input.
    option : str
        That which names the place, for messages.

    Raises
    ------
    OptionError
    """
    name = os.fspath(path)
    if not name:
        raise OptionError(f"the output has no name; name a file with {option}")
    try:
        found = os.stat(name)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise OptionError(f"{name}: {error.strerror}; choose another {option}") from None
    if name.endswith(os.sep) or (found and stat.S_ISDIR(found.st_mode)):
        raise OptionError(f"{name} is a folder; name a file in it with {option}")
    folder = os.path.dirname(os.path.realpath(name))
    if not os.path.isdir(folder):
        raise OptionError(f"{name}: there is no folder {folder}; make it, or choose another {option}")
    if found and not stat.S_ISREG(found.st_mode):
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{name}: no permission to write in {folder}; choose another {option}")
    if found and any(_is_at(found, source) for source in inputs):
        raise OptionError(f"{name} is what is read, and would be replaced; choose another {option}")


def _is_at(found: os.stat_result, source: str | os.PathLike) -> bool:
    try:
        return os.path.samestat(found, os.fstat(0) if source == "-" else os.stat(source))
    except (OSError, ValueError):  # it cannot be read; who reads it says so
        return False


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, keep_interrupted: bool = False) -> Iterator[BinaryIO]:
    """Give a new file in the same folder that takes the place of `path` in the end, or vanishes.

    It has the permissions of the file that it replaces, but no set-user-ID, set-group-ID and sticky bits, or those of
    any new file. Links are followed. Errors name `path`. Files that were left behind by killed processes which wrote
    to the same place are removed.

    Parameters
    ----------
    keep_interrupted : bool
        After an interruption the file takes its place with what was written until then, if anything was.

    Raises
    ------
    Interrupted
        Says that the file was kept.
    """
    target = os.path.realpath(path)
    remove_abandoned(target)
    temporary, kept = "", None
    try:
        temporary, file = _create_beside(target)
        with file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, os.stat(target).st_mode & PERMISSIONS)
            try:
                yield file
            except KeyboardInterrupt as interrupt:
                if not (keep_interrupted and file.tell()):
                    raise
                kept = interrupt
            file.flush()
            if fcntl is None:
                file.close()
            os.replace(temporary, target)  # while it is locked: nobody takes it for abandoned
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    finally:
        unfinished.discard(temporary)
    if kept is not None:
        raise Interrupted(
            f"{str(kept) or 'Interrupted.'} {os.fspath(path)} holds what was written until then.",
            signal=getattr(kept, "signal", SIGINT),
        ) from None


def _create_beside(target: str) -> tuple[str, BinaryIO]:
    """Make a file in the folder of `target`, locked as long as it is open, which tells it from abandoned ones."""
    folder, name = os.path.split(target)
    while True:
        random = os.urandom(RANDOM_BYTES).hex()
        temporary = os.path.join(folder, f".{name[:SHOWN]}.{random}{_seal(random, name)}")
        unfinished.add(temporary)
        try:
            file = open(temporary, "xb")  # noqa: SIM115 - it is given away
        except BaseException:
            unfinished.discard(temporary)
            raise
        _lock(file.fileno())
        if _is_named(file.fileno(), temporary):
            return temporary, file
        file.close()  # it was taken for abandoned before it was locked
        unfinished.discard(temporary)


def _seal(random: str, name: str) -> str:
    """Return digits that show that a temporary file is one of ours, made for a file of this whole name."""
    return f"{zlib.crc32(f'{random} {name}'.encode('utf-8', 'surrogateescape')):08x}"


def remove_abandoned(path: str | os.PathLike) -> None:
    """Remove the temporary files of `replacing` for `path` whose writers have died."""
    folder, name = os.path.split(os.path.realpath(path))
    start, digits = f".{name[:SHOWN]}.", 2 * RANDOM_BYTES
    with contextlib.suppress(OSError):
        for found in os.listdir(folder):
            random, seal = found[len(start) : len(start) + digits], found[len(start) + digits :]
            if found.startswith(start) and len(random) == digits and seal == _seal(random, name):
                _remove_unlocked(os.path.join(folder, found))


def _remove_unlocked(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if _lock(descriptor, wait=False) and _is_named(descriptor, path):
                os.unlink(path)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def sole_writer(path: str | os.PathLike) -> Iterator[None]:
    """Hold a lock on an output for a long work: it dies with the process, and another process is refused.

    The lock is on an empty file, `.NAME.lock`, that vanishes in the end; after a kill it is left, unlocked, and the
    next one to write this output takes it over. On file systems without locks nobody is refused.

    Raises
    ------
    OptionError
        Another process, or another thread, holds the lock.
    """
    folder, name = os.path.split(os.path.realpath(path))
    place = os.path.join(folder, f".{name}.lock")
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        if _lock(descriptor, wait=False) is False:
            os.close(descriptor)
            raise OptionError(
                f"{os.fspath(path)} is being written by another training; wait for its end, or choose another -o"
            )
        if _is_named(descriptor, place):
            break
        os.close(descriptor)  # its holder has just come to its end
    try:
        yield
    finally:
        if not os.fstat(descriptor).st_size:  # else it is somebody's own file
            with contextlib.suppress(OSError):
                os.unlink(place)
        os.close(descriptor)


def _lock(descriptor: int, wait: bool = True) -> bool | None:
    """Lock an open file until it is closed; False if another has it locked, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
    except OSError:  # some file systems of networks have none
        return None


def _is_named(descriptor: int, path: str) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
