"""The models that a mixture is made of, in its file: embedded, or named.

    embedded   what the file of the member itself would hold: its metadata in the list of members, its tensors under
               the number of the member and a dot
    named      "path", from the folder of the mixture's file where the member lies in it or below, else from the root;
               "header_sha256"; "family"; and "member", the numbers that lead to it where it is embedded in that file

The digest is of the member's header, not of all of its bytes, so that opening takes no longer the larger a member is.
As the header holds the checksum of every tensor, a member that was trained anew, pruned or quantised has another one.
What happens to the data behind an unchanged header, such as a disk that forgets, those checksums tell: of files under
64 MB at every opening, of all with `lmkit info --verify`. They are CRC-32: whoever takes pains can forge data that they
do not tell from the right ones.

What a mixture names are model files, and nothing else is done with a path but to open it as one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from lmkit import registry
from lmkit.errors import ModelError, OptionError
from lmkit.model import LanguageModel
from lmkit.storage import ModelFile, Origin, open_model_file, reopen

__all__ = ["check_origins", "damage", "entries", "naming", "read", "tensors"]

MOST = 1000  # models that a mixture is made of
DEEPEST = 16  # files, each named in the one before
MAX_NESTING = 64  # mixtures, each a member of the one before, in one file or in several
ANEW = "put it back, or mix anew"


def entries(members: list[LanguageModel]) -> list[dict[str, Any]]:
    """Return what is to be known of each member besides its arrays, ready for JSON."""
    return [{"family": member.family, **member.description()} for member in members]


def tensors(members: list[LanguageModel]) -> dict[str, np.ndarray]:
    """Return the arrays of all members, each under its number and its name."""
    return {f"{i}.{name}": array for i, member in enumerate(members) for name, array in member.tensors().items()}


# Naming members


def check_origins(model: LanguageModel, name: str, output: str | os.PathLike) -> None:
    """Refuse, before the work, to name a model in the file `output` that has no file, or whose file that would replace.

    Raises
    ------
    OptionError
    """
    origin = model.origin
    if origin and os.path.exists(origin.path) and os.path.exists(output) and os.path.samefile(origin.path, output):
        raise OptionError(f"{name} is made of {output}, which would be replaced; choose another -o")
    for part in model.made_of():
        check_origins(part, name, output)
    if not (origin or model.made_of()):
        raise OptionError(f"{name} has no file that a mixture could name; save it first, or let the mixture hold it")


def naming(
    model: LanguageModel, config: dict[str, Any], arrays: dict[str, np.ndarray], output: str | os.PathLike
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the config and the arrays of a mixture with all members named that have files of their own.

    Parameters
    ----------
    config, arrays
        What the model gives, with all members embedded.
    output : path
        Where the file will be.

    Raises
    ------
    OptionError
        It has no members, or one of them, in memory alone, has no file; or `output` is one of these files.
    ModelError
        The file of a member is no longer the one that was read.
    """
    if not model.made_of():
        raise OptionError(f"a model of the family {model.family} is no mixture: it has no members to name")
    for i, part in enumerate(model.made_of(), 1):
        check_origins(part, f"member {i}", output)
    config, named = _naming(model, config, os.path.dirname(os.path.realpath(output)))
    return config, {name: array for name, array in arrays.items() if not name.startswith(named)}


def _naming(model: LanguageModel, config: dict[str, Any], folder: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the config with members named, and with what the names of their arrays begin."""
    listed, named = [], []
    for i, (part, entry) in enumerate(zip(model.made_of(), config["members"], strict=True)):
        if part.origin is not None:
            listed.append({"family": part.family, **_reference(part.origin, folder)})
            named.append(f"{i}.")
        else:
            inner, names = _naming(part, entry["config"], folder)
            listed.append({**entry, "config": inner})
            named += [f"{i}.{name}" for name in names]
    return {**config, "members": listed}, tuple(named)


def _reference(origin: Origin, folder: str) -> dict[str, Any]:
    reopen(origin, verify_small=False)
    path = PurePath(origin.path)
    path = path.relative_to(folder) if path.is_relative_to(folder) else path
    inside = {"member": list(origin.members)} if origin.members else {}
    return {"path": path.as_posix(), "header_sha256": origin.sha256, **inside}


# Reading members


def read(file: ModelFile) -> list[LanguageModel]:
    """Open the members of the mixture in a file.

    Raises
    ------
    ModelError
        The file does not hold whole models, or a member that it names is missing, has changed, or is damaged.
    """
    if not file.referrers and not file.origin.members:  # before any of them is read
        _check_extent(file)
    return [_member(file, i, entry) for i, entry in enumerate(_listed(file))]


def _check_extent(file: ModelFile) -> None:
    """Refuse a mixture of too many models, or of mixtures that are nested too deep, by what the headers say.

    Raises
    ------
    ModelError
    """
    models, levels = _extent(file, 1)
    if levels > MAX_NESTING:
        raise ModelError(f"{file.name}: mixtures are nested too deep; make the mixture anew")
    if models > MOST:
        raise ModelError(f"{file.name}: it is made of more than {MOST} models; make the mixture anew")


def _extent(file: ModelFile, level: int) -> tuple[int, int]:
    """Return of how many models a file is made, and in how many levels; where they are too many, not of all.

    A member that cannot be opened counts as one: reading it says what is wrong.

    Parameters
    ----------
    level : int
        The level that the file itself is on, from 1.
    """
    config = file.metadata.get("config")
    listed = config.get("members") if isinstance(config, dict) else None
    if not isinstance(listed, list) or level > MAX_NESTING:
        return 1, 1
    models, levels = 0, 0
    for i, entry in enumerate(listed):
        try:
            found = _followed(file, i, entry)
        except ModelError:
            models += 1
            continue
        known = ("extent", os.path.realpath(found.origin.path), found.origin.members)
        if known not in file.opened:
            file.opened[known] = _extent(found, level + 1)
        models, levels = models + file.opened[known][0], max(levels, file.opened[known][1])
        if models > MOST or level + levels > MAX_NESTING:
            break
    return models, 1 + levels


def damage(file: ModelFile) -> Iterator[str]:
    """Yield a line for all that is wrong with the files that a mixture's file names, and with those that they name.

    Every byte of them is read. Of other models' files nothing is said.
    """
    seen: set[str] = set()
    waiting = [file]
    while waiting:
        file = waiting.pop()
        config = file.metadata.get("config")
        for i, entry in enumerate(_listed(file) if isinstance(config, dict) and "members" in config else []):
            try:
                found = _open(file, i, entry) if _is_named(entry) else _part(file, i, entry)
            except ModelError as error:
                yield str(error)
                continue
            if not _is_named(entry):
                waiting.append(found)
            elif found.origin.path not in seen:
                seen.add(found.origin.path)
                waiting.append(found)
                for name in found.damaged():
                    yield f"{found.name}: tensor {name} is damaged (its checksum differs); {ANEW}"


def _listed(file: ModelFile) -> list[Any]:
    config = file.metadata.get("config")
    listed = config.get("members") if isinstance(config, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise ModelError(f"{file.name}: its list of members is damaged; make the mixture anew")
    return listed


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and "path" in entry


def _member(file: ModelFile, i: int, entry: Any) -> LanguageModel:
    found = _followed(file, i, entry, verify=True)
    if not _is_named(entry):
        return registry.load(found)
    known = ("model", os.path.realpath(found.origin.path), found.origin.members)
    try:
        if known not in file.opened:
            file.opened[known] = registry.load(found)
        return file.opened[known]
    except ModelError as error:
        raise ModelError(f"{file.name}: its member {error}") from None


def _followed(file: ModelFile, i: int, entry: Any, verify: bool = False) -> ModelFile:
    """Return the file, or the part of one, that an entry of a list of members stands for.

    Parameters
    ----------
    verify : bool
        Whether the checksums of small files are verified.

    Raises
    ------
    ModelError
    """
    if not _is_named(entry):
        return _part(file, i, entry)
    found = _open(file, i, entry, verify)
    try:
        for j in entry.get("member", []):
            listed = _listed(found)
            if j >= len(listed):
                raise ModelError(f"{found.name}: it has no member {j + 1}; {ANEW}")
            found = _open(found, j, listed[j], verify) if _is_named(listed[j]) else _part(found, j, listed[j])
    except ModelError as error:
        raise ModelError(f"{file.name}: its member {error}") from None
    return found


def _part(file: ModelFile, i: int, entry: Any) -> ModelFile:
    """Return the part of a file that is an embedded member."""
    if not isinstance(entry, dict) or not isinstance(entry.get("family"), str):
        raise ModelError(f"{file.name} (member {i + 1}): what is said of it is damaged; make the mixture anew")
    return file.part(i, entry)


def _open(file: ModelFile, i: int, entry: dict[str, Any], verify: bool = False) -> ModelFile:
    """Open the file that an entry names, once for all that name it; `verify` as in `_followed`.

    Raises
    ------
    ModelError
        The entry is damaged; the file is not there, cannot be read, or is another one than it was; files name each
        other in a circle, or too many do.
    """
    own = os.path.realpath(file.origin.path)
    path = _path(file, i, entry, os.path.dirname(own))
    referrers = (*file.referrers, own)
    if os.path.realpath(path) in referrers:
        raise ModelError(f"{file.name}: its member {path} is made of it again; mix anew")
    if len(referrers) > DEEPEST:
        raise ModelError(f"{file.name}: more than {DEEPEST} mixtures are named, each in the one before; mix anew")
    if not os.path.exists(path):
        raise ModelError(f"{file.name}: its member {path} is not there; {ANEW}")
    known = ("file", path)
    try:
        if known not in file.opened:
            file.opened[known] = open_model_file(path, verify_small=False)
        if verify:
            file.opened[known].verify_if_small()
    except ModelError as error:
        raise ModelError(f"{file.name}: its member {error}") from None
    found = file.opened[known].referred_by(referrers, file.opened)
    if found.origin.sha256 != entry["header_sha256"]:
        raise ModelError(f"{file.name}: its member {path} has changed since they were mixed; {ANEW}")
    return found


def _path(file: ModelFile, i: int, entry: dict[str, Any], folder: str) -> str:
    """Return the path that an entry names, from the root."""
    path, digest, inside = entry["path"], entry.get("header_sha256"), entry.get("member", [])
    sound = isinstance(path, str) and path and "\0" not in path and isinstance(digest, str)
    sound = sound and isinstance(inside, list) and len(inside) <= DEEPEST
    if not sound or any(type(j) is not int or not 0 <= j < MOST for j in inside):
        raise ModelError(f"{file.name}: what it says of its member {i + 1} is damaged; mix anew")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ModelError(f"{file.name}: the path of its member {i + 1} is damaged; mix anew") from None
    return os.path.join(folder, path)
