"""Output files: places that can be written to, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from lmkit.errors import OptionError

__all__ = ["check_place", "replacing"]


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
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Give a new file in the same folder that takes the place of `path` in the end, or vanishes.

    It has the permissions of the file that it replaces, or those of any new file. Links are followed. Errors
    name `path`.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:40]}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            yield file
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
