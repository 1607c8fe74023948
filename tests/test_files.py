"""Outputs that appear whole or not at all: what killed writers leave, locks, permissions, interruptions."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from lmkit import files
from lmkit.errors import Interrupted, OptionError

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.lmkit"


def beside(path):
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def held(path, context):
    """Start a process that is within `files.<context>(path)`."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"""
import signal
from lmkit import files
with files.{context}({str(path)!r}):
    print("there", flush=True)
    signal.pause()
"""], stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == b"there\n"
    return process


def end(process, number=signal.SIGKILL):
    process.send_signal(number)
    process.communicate(timeout=30)


def save(path, data=b"new"):
    with files.replacing(path) as file:
        file.write(data)


class TestTemporaryFiles:
    def test_of_a_killed_writer_they_go_with_the_next_save(self, path):
        process = held(path, "replacing")
        assert len(beside(path)) == 1
        end(process)
        assert len(beside(path)) == 1
        save(path)
        assert beside(path) == [] and path.read_bytes() == b"new"

    def test_of_a_living_writer_they_stay(self, path):
        process = held(path, "replacing")
        try:
            before = beside(path)
            save(path)
            assert beside(path) == before and len(before) == 1
        finally:
            end(process)

    def test_in_the_same_process_too(self, path):
        with files.replacing(path) as outer:
            outer.write(b"outer")
            save(path, b"inner")
        assert path.read_bytes() == b"outer" and beside(path) == []

    def test_of_other_outputs_they_stay(self, path):
        """Also where their names are alike for as long as a temporary file shows them."""
        long = path.with_name("m" * 60)
        end(held(long, "replacing"))
        (left,) = beside(path)
        for name in ("model", "m" * 59, "m" * 61, "m" * 40):
            save(path.with_name(name))
            assert left in beside(path)
        save(long)
        assert left not in beside(path)

    def test_what_only_looks_like_one_is_somebody_else_s(self, path):
        names = [f".model.lmkit.{digits}" for digits in ("0123456789abcdef", "0" * 24, "f" * 24, "backup")]
        for name in names:
            path.with_name(name).touch()
        link = path.with_name(names[0] + "link")
        link.symlink_to(path)
        end(held(path, "replacing"))
        save(path)
        assert beside(path) == sorted([*names, link.name])

    def test_none_is_taken_for_abandoned_before_it_is_locked(self, path, monkeypatch):
        """Another save may come between the making and the locking of a file: then it is made anew."""
        usual, meddled = files._lock, []

        def lock(descriptor, wait=True):
            if wait and not meddled:
                meddled.append(beside(path))
                files.remove_abandoned(path)
            return usual(descriptor, wait)

        monkeypatch.setattr(files, "_lock", lock)
        save(path)
        assert len(meddled[0]) == 1 and path.read_bytes() == b"new" and beside(path) == []
        assert files.unfinished == set()

    def test_without_locks_nothing_is_removed(self, path, monkeypatch):
        end(held(path, "replacing"))
        before = beside(path)
        monkeypatch.setattr(files, "fcntl", None)
        save(path)
        assert beside(path) == before and path.read_bytes() == b"new"


class TestPermissions:
    @pytest.mark.parametrize("special", [0o4000, 0o2000, 0o1000, 0o7000])
    def test_bits_that_let_programs_run_as_others_are_not_copied(self, path, special):
        path.touch()
        path.chmod(special | 0o755)
        save(path)
        assert path.stat().st_mode & 0o7777 == 0o755


class TestInterruptions:
    def test_nothing_is_kept_unless_asked_for(self, path):
        path.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt) as caught, files.replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt
        assert type(caught.value) is KeyboardInterrupt
        assert path.read_bytes() == b"old" and beside(path) == [] and files.unfinished == set()

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), Interrupted("Enough.", signal=signal.SIGTERM)])
    def test_what_was_written_is_kept(self, path, interrupt):
        path.write_bytes(b"old")
        with pytest.raises(Interrupted) as caught, files.replacing(path, keep_interrupted=True) as file:
            file.write(b"new")
            raise interrupt
        said = str(interrupt) or "Interrupted."
        assert str(caught.value) == f"{said} {path} holds what was written until then."
        assert caught.value.signal == getattr(interrupt, "signal", signal.SIGINT)
        assert path.read_bytes() == b"new" and beside(path) == [] and files.unfinished == set()

    def test_nothing_written_replaces_nothing(self, path):
        path.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt), files.replacing(path, keep_interrupted=True):
            raise KeyboardInterrupt
        assert path.read_bytes() == b"old" and beside(path) == []

    def test_an_error_keeps_nothing(self, path):
        with pytest.raises(OSError), files.replacing(path, keep_interrupted=True) as file:
            file.write(b"new")
            raise OSError
        assert not path.exists() and beside(path) == []


class TestSoleWriter:
    def test_a_second_one_is_refused_while_the_first_is_there(self, path):
        process = held(path, "sole_writer")
        link = path.with_name("link")
        link.symlink_to(path.name)
        try:
            for name in (path, os.path.relpath(path), link):
                with pytest.raises(OptionError, match="is being written by another training"), files.sole_writer(name):
                    pass
            with files.sole_writer(path.with_name("other")):
                pass
        finally:
            end(process)

    def test_the_lock_dies_with_its_process_and_the_file_goes_with_the_next(self, path):
        end(held(path, "sole_writer"))
        assert beside(path) == [".model.lmkit.lock"]
        with files.sole_writer(path):
            assert beside(path) == [".model.lmkit.lock"]
        assert beside(path) == []

    def test_it_ends_with_an_error(self, path):
        with pytest.raises(KeyboardInterrupt), files.sole_writer(path):
            raise KeyboardInterrupt
        assert beside(path) == []
        with files.sole_writer(path):
            pass

    def test_who_opened_the_file_before_it_went_takes_a_new_one(self, path, monkeypatch):
        usual, first = files._lock, files.sole_writer(path)
        first.__enter__()

        def lock(descriptor, wait=True):
            monkeypatch.setattr(files, "_lock", usual)
            first.__exit__(None, None, None)  # the first comes to its end between opening and locking
            return usual(descriptor, wait)

        monkeypatch.setattr(files, "_lock", lock)
        with files.sole_writer(path):
            assert beside(path) == [".model.lmkit.lock"]
            with pytest.raises(OptionError), files.sole_writer(path):
                pass

    def test_somebody_s_own_file_of_that_name_stays(self, path):
        own = path.with_name(".model.lmkit.lock")
        own.write_text("mine")
        with files.sole_writer(path):
            pass
        assert own.read_text() == "mine"

    def test_without_locks_nobody_is_refused(self, path, monkeypatch):
        monkeypatch.setattr(files, "fcntl", None)
        with files.sole_writer(path), files.sole_writer(path):
            pass
        assert beside(path) == []
