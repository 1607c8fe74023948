"""lmkit plot: the same data in a picture, a terminal, a pipe and a file; and what it refuses."""

import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from fcntl import ioctl

import pytest
from texts import COWS
from trainings import PAIR, TEXT, rewrite, trained

import lmkit
from lmkit.cli import plot

VARY = ["plot", "--vary", "order", "1-3", "--smoothing", "witten-bell", "--tokenizer", "char"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    trained(folder / "lstm.lmkit")
    lmkit.train(PAIR, order=2, tokenizer="char", smoothing="witten-bell", output=folder / "ngram.lmkit")
    return folder / "lstm.lmkit", folder / "ngram.lmkit"


@pytest.fixture(autouse=True)
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def refused(result, code, *words):
    assert result.code == code and result.out == b"", result
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err, result.err


def in_terminal(arguments, columns, cwd, interrupt_at=None, **environment):
    """Run a command in a terminal of so many columns; return what it showed and how it ended.

    `interrupt_at`: a pattern that it must have shown before Ctrl-C is pressed.
    """
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", "TERM": "xterm", **environment}
    env.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "lmkit", *map(str, arguments)], stdin=follower, stdout=follower, stderr=follower,
        cwd=cwd, env=env, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                shown += os.read(leader, 1 << 16)
            except OSError:
                break
            if interrupt_at is not None and re.search(interrupt_at, shown):
                interrupt_at = process.send_signal(signal.SIGINT)
    os.close(leader)
    return shown.decode().replace("\r\n", "\n"), process.returncode


class TestForms:
    def test_the_same_data_in_all(self, succeed, models, tmp_path):
        lstm, ngram = models
        (tmp_path / "valid.txt").write_text("It is the sun.\n")
        arguments = ["plot", lstm, ngram, "--text", "valid.txt", "--measure", "bits"]
        rows = succeed(*arguments, "--format", "json").rows
        assert rows == list(lmkit.learning_curves(models, texts="valid.txt", measure="bits").rows())
        fields = [line.split("\t") for line in succeed(*arguments, "--format", "tsv").text.splitlines()]
        assert [f[0] for f in fields] == [row["model"] for row in rows] and {len(f) for f in fields} == {7}
        assert fields[-1][1:6] == ["valid.txt", "-", "-", "-", "-"]
        assert [float(f[6]) for f in fields] == pytest.approx([row["bits"] for row in rows], rel=1e-8)
        head, *table = succeed(*arguments).text.splitlines()
        assert head.split() == ["model", "part", "step", "epoch", "seconds", "tokens", "bits"]
        assert [line.split() for line in table] == fields
        assert len({len(line) for line in (head, *table)}) == 1
        for name, form in (("a.tsv", "tsv"), ("a.json", "json")):
            assert succeed(*arguments, "-o", name).out == b""
            assert (tmp_path / name).read_bytes() == succeed(*arguments, "--format", form).out
        succeed(*arguments, "--format", "tsv", "-o", "data")
        assert (tmp_path / "data").read_bytes() == (tmp_path / "a.tsv").read_bytes()
        succeed(*arguments, "-o", "a.txt")
        assert (tmp_path / "a.txt").read_text().startswith("loss (bits a token)\n")

    @pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("A.SVG", b"<?xml"), ("a.pdf", b"%PDF")])
    def test_pictures(self, succeed, models, tmp_path, name, start):
        assert succeed("plot", models[0], "-o", name, "--axis", "steps", "--dimensions", "4x3").out == b""
        assert (tmp_path / name).read_bytes().startswith(start)

    def test_variations(self, succeed, tmp_path):
        rows = succeed(*VARY, "--smoothing", "mle", "corpus.txt", "--format", "json").rows
        smoothings = ["witten-bell", "mle"]
        assert rows == list(lmkit.vary("corpus.txt", "order", "1-3", smoothing=smoothings, tokenizer="char").rows())
        assert [row["model"] for row in rows] == [s for s in smoothings for _ in range(3)]
        line = succeed(*VARY, "--format", "tsv", stdin=TEXT.encode()).text.splitlines()[1].split("\t")
        row = rows[1]
        assert line[:3] == ["witten-bell", "held out", "2"] and float(line[7]) == pytest.approx(row["perplexity"])
        for what, levels in (("size", "0.8-1"), ("ngrams", "1"), ("text", "0.5-1")):
            arguments = ["plot", "--vary", what, levels, "--smoothing", "witten-bell", "--tokenizer", "char"]
            assert succeed(*arguments, "--order", 3, "corpus.txt").text.count("witten-bell") == len(levels.split("-"))

    def test_infinite_numbers(self, run, tmp_path):
        (tmp_path / "cows.txt").write_text(COWS)
        arguments = ["plot", "--vary", "order", "1-2", "--smoothing", "mle", "cows.txt", "--valid", "corpus.txt"]
        rows = run(*arguments, "--format", "json").rows
        assert [(row["perplexity"], row["infinite"]) for row in rows] == [(None, True)] * 2
        assert run(*arguments).text.splitlines()[1].endswith(" inf")
        refused(run(*arguments, "-o", "a.png"), 1, "nothing to draw: each loss is infinite")

    def test_environment_of_another_kind_of_plot_does_no_harm(self, succeed, models, monkeypatch):
        expected = succeed("plot", models[0]).out
        for name, value in (("ORDER", "3"), ("TOKENIZER", "word"), ("VALID", "0.1"), ("MEASURE", "bits")):
            monkeypatch.setenv(f"LMKIT_{name}", value)
        assert succeed("plot", models[0], "--measure", "nats").out == expected
        for name, value in (("TEXT", "nowhere.txt"), ("AGAINST", "time"), ("VALID", "0.05")):
            monkeypatch.setenv(f"LMKIT_{name}", value)
        monkeypatch.delenv("LMKIT_ORDER")
        succeed(*VARY, "corpus.txt")


class TestTerminal:
    @pytest.mark.parametrize("columns", [40, 100])
    def test_it_is_drawn_in_the_columns_there_are(self, models, tmp_path, columns):
        text, code = in_terminal(["plot", models[0].name, "-q"], columns, models[0].parent, NO_COLOR="1")
        assert code == 0 and max(map(len, text.splitlines())) in range(columns - 3, columns + 1)
        assert "loss (nats a token)" in text and "A lstm.lmkit, validation" in text and "\x1b" not in text
        assert any(ord(c) > 0x2800 for c in text)

    def test_colours_and_characters_are_those_of_the_terminal(self, models, monkeypatch):
        shown, _ = in_terminal(["plot", models[0].name, "-q"], 60, models[0].parent, TERM="linux")
        assert shown.isascii() and "\x1b[34m" in shown
        monkeypatch.setattr(plot.terminal, "is_terminal", lambda stream: True)
        for encoding, kind, no_colour, braille, colour in (
            ("utf-8", "xterm", "", True, True), ("UTF8", "xterm", "1", True, False),
            ("latin-1", "xterm", "", False, True), ("utf-8", "dumb", "", False, False),
        ):  # fmt: skip
            monkeypatch.setenv("TERM", kind)
            monkeypatch.setenv("NO_COLOR", no_colour)
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
            found = plot.surroundings("-")
            assert (found["braille"], found["colour"]) == (braille, colour)
            assert plot.surroundings("a.txt") == {"width": 80}


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ([], 2, ["no model is named; name some, or give --vary and a text"]),
            (["LSTM", "-o", "a.bmp"], 2, ["a.bmp says not what to write", ".png, .svg, .pdf, .txt, .tsv, .json"]),
            (["LSTM", "-o", "a"], 2, ["a says not what to write"]),
            (["LSTM", "-o", "a.png", "--format", "tsv"], 2, ["--format tsv does not go with a.png"]),
            (["LSTM", "-o", "a.json", "--format", "text"], 2, ["--format text does not go with a.json"]),
            (["LSTM", "-o", "nowhere/a.png"], 2, ["there is no folder"]),
            (["LSTM", "-o", "a.png", "--dimensions", "big"], 2, ["no width and height in inches, such as 8x5"]),
            (["LSTM", "-o", "a.png", "--dimensions", "1x1"], 2, ["each must be from 1.5 to 60"]),
            (["LSTM", "--order", 3], 2, ["--order goes with --vary only"]),
            (["LSTM", "--valid", 0.1], 2, ["--valid goes with --vary only"]),
            (["LSTM", "--dimensions", "5x3"], 2, ["--dimensions is for pictures"]),
            (["NGRAM"], 1, ["has no learning curve", "--text"]),
            (["corpus.txt"], 1, ["corpus.txt: not an lmkit model"]),
            (["nowhere.lmkit"], 1, ["nowhere.lmkit: no such model file"]),
            (["--vary", "order", "7-1", "corpus.txt"], 2, ["'7-1' is no number and no range; give 1-7"]),
            (["--vary", "order", "0-3", "corpus.txt"], 2, ["--vary order has 0; it takes whole numbers from 1 to 32"]),
            (["--vary", "order", "x", "corpus.txt"], 2, ["'x' is no number"]),
            (["--vary", "order", "corpus.txt"], 2, ["'corpus.txt' is no number"]),
            (["--vary", "age", "1-3", "corpus.txt"], 2, ["'age' is not one of 'order', 'size', 'ngrams', 'text'"]),
            (["--vary", "order", "1-3", "--text", "corpus.txt"], 2, ["--text goes without --vary", "--valid"]),
            (["--vary", "order", "1-3", "--axis", "time", "corpus.txt"], 2, ["--axis goes without --vary only"]),
            (["--vary", "order", "1-3", "--order", 3, "corpus.txt"], 2, ["--order is what varies"]),
            (["--vary", "order", "1-3", "nowhere.txt"], 1, ["nowhere.txt: no such file"]),
            (["--vary", "order", "1-3"], 1, ["standard input: too few lines to hold out"]),
            (["--vary", "order", "1-3", "corpus.txt", "-o", "corpus.txt"], 2, ["corpus.txt is what is read"]),
            (["--vary", "text", "1", "a.tsv", "--valid", "v.tsv", "-o", "v.tsv"], 2, ["v.tsv is what is read"]),
        ],
        ids=str,
    )  # fmt: skip
    def test_one_line_each(self, run, models, tmp_path, arguments, code, words):
        (tmp_path / "v.tsv").write_text("a\n")
        named = {"LSTM": models[0], "NGRAM": models[1]}
        refused(run("plot", *(named.get(a, a) for a in arguments)), code, *words)

    def test_no_input_is_replaced(self, run, models, tmp_path):
        copy = tmp_path / "lstm.png"
        copy.write_bytes(models[0].read_bytes())
        refused(run("plot", copy, "-o", copy), 2, "is what is read, and would be replaced")
        (tmp_path / "t.svg").write_text("a b\n")
        refused(run("plot", models[1], "--text", "t.svg", "-o", "t.svg"), 2, "is what is read")
        assert copy.read_bytes() == models[0].read_bytes()

    def test_a_damaged_record(self, run, models, tmp_path):
        copy = tmp_path / "m.lmkit"
        copy.write_bytes(models[0].read_bytes())
        rewrite(copy, lambda tensors, metadata: metadata["training"]["history"][2].update(valid_loss="low"))
        refused(run("plot", copy), 1, "m.lmkit: the record of its training is damaged: entry 3", "valid_loss is 'low'")

    def test_without_matplotlib_before_any_work(self, run, monkeypatch, models):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        for arguments in (["plot", models[0]], [*VARY, "nowhere.txt"]):
            refused(run(*arguments, "-o", "a.png"), 2, "pip install 'lmkit[plot]'")
        assert run("plot", models[0]).code == 0

    def test_ctrl_c_ends_in_order(self, tmp_path):
        (tmp_path / "long.txt").write_text(TEXT * 400)
        arguments = ["plot", "--vary", "order", "8-32", "--tokenizer", "char", "--sentence", "text", "long.txt"]
        shown, code = in_terminal([*arguments, "-o", "a.tsv"], 80, tmp_path, interrupt_at=rb"order [12]\d")
        assert code == 130 and shown.endswith("\nInterrupted.\n") and "Traceback" not in shown
        assert not (tmp_path / "a.tsv").exists()

    def test_help_is_quick(self, process):
        code = "import sys; from lmkit import cli; cli.run(['plot', '-h']); print({'numpy', 'numba'} & {*sys.modules})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_tables_line_up():
    rows = [line.decode() for line in plot.table([["m", "part", "n"], ["a", "b", "10"]])]
    assert rows == ["m  part   n\n", "a  b     10\n"]
    assert [plot.spelled(value) for value in (None, 3, 0.1234567891, "a\tb")] == ["-", "3", "0.123456789", "a\\tb"]
    assert re.fullmatch("inf", plot.spelled(float("inf")))
