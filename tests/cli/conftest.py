"""Commands run in this process, or as processes of their own where that is what is tested."""

import dataclasses
import io
import json
import subprocess
import sys

import pytest
from texts import COWS, VERSES

from lmkit import cli


@dataclasses.dataclass
class Result:
    """What a command said and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self):
        return self.out.decode()

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self):
        (row,) = self.rows
        return row


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder, with nobody at the terminal."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin=b""):
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        err = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = cli.run([str(a) for a in arguments])
        return Result(code, out.buffer.getvalue(), err.getvalue())

    return run


@pytest.fixture
def succeed(run):
    """Run a command that must succeed, and silently."""

    def succeed(*arguments, stdin=b""):
        result = run(*arguments, stdin=stdin)
        assert (result.code, result.err) == (0, ""), result.err
        return result

    return succeed


@pytest.fixture
def process(tmp_path):
    """Run `python -m lmkit` as a process."""

    def process(*arguments, stdin=b"", **options):
        done = subprocess.run(
            [sys.executable, "-m", "lmkit", *map(str, arguments)],
            input=stdin, capture_output=True, cwd=tmp_path, timeout=60, **options,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr.decode())

    return process


@pytest.fixture(scope="session")
def cows(tmp_path_factory):
    """A model of the eleven phrases, by maximum likelihood."""
    return make_model(tmp_path_factory, "cows", COWS, "--smoothing", "mle", "--order", "3")


@pytest.fixture(scope="session")
def verse(tmp_path_factory):
    """A small Kneser-Ney model of words, in paragraphs."""
    text = "".join(VERSES[i % len(VERSES)] + ("\n\n" if i % 3 == 2 else "\n") for i in range(60))
    return make_model(tmp_path_factory, "verse", text, "--order", "3", "--discount-fallback", "0.5,1,1.5")


def make_model(factory, name, text, *options):
    folder = factory.mktemp(name)
    (folder / "corpus.txt").write_text(text)
    model = folder / f"{name}.lmkit"
    assert cli.run(["train", str(folder / "corpus.txt"), "-o", str(model), *options]) == 0
    return model
