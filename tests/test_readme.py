"""What the README shows is run here, in order, in a fresh folder."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COWS = ["corn"] * 4 + ["grass"] * 3 + ["hay"] * 2 + ["if", "which"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the texts that the README names."""
    path = tmp_path_factory.mktemp("readme")
    play = (ROOT / "corpora" / "the-tide-mill.txt").read_text()
    cut = play.index("\n\n", len(play) * 9 // 10) + 2
    (path / "corpus.txt").write_text(play[:cut])
    (path / "heldout.txt").write_text(play[cut:])
    (path / "cows.txt").write_text("".join(f"cows eat {food}\n\n" for food in COWS))
    return path


def commands():
    """Yield each command of the console blocks with the output shown under it."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        yield from re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def test_readme_commands_run_and_print_what_is_shown(folder):
    programs = folder / "bin"
    programs.mkdir()
    lmkit = programs / "lmkit"
    lmkit.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmkit "$@"\n')
    lmkit.chmod(0o755)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = 0
    for command, shown in commands():
        if shutil.which("gzip") is None and "gzip" in command:
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode in ((0, 141) if "| head" in command else (0,)), (command, done.stderr)
        assert "Error" not in done.stderr, (command, done.stderr)
        if shown:
            assert done.stdout.split() == shown.split(), command
        ran += 1
    assert ran >= 15


def test_readme_python_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "README.md", "README.md", 0)
    results = doctest.DocTestRunner().run(test)
    assert results.attempted >= 10
    assert results.failed == 0


def test_readme_has_its_figures():
    """A line of capitals alone is a place that waits for something."""
    assert not re.search(r"^[A-Z]+$", README, re.MULTILINE)
