"""What a person sees at a terminal can do nothing to it, whatever a text, a model or a file name holds."""

import io
import os
import pty
import re
import sys
import threading
import warnings

import pytest

from lmkit import cli
from lmkit.characters import ESCAPES
from lmkit.cli import running, terminal
from lmkit.cli.streams import Screen
from lmkit.text import unescape

BAD = ["\x1b[2J", "\x9b31m", "\u202e", "\u2066", "\u200f", "\x07", "\x08", "\x0e", "\u2028", "\r"]
WORDS = [f"{bad}word{i}" for i, bad in enumerate(BAD)]
TEXT = "".join(f"{' '.join(WORDS[i:] + WORDS[:i])}\n" for i in range(len(WORDS))) * 3
NAME = "".join(BAD) + "\udc9b.txt"
MODEL = "".join(BAD) + "\udc9b.lmkit"
OWN_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = {  # what brings text and names to the terminal
    "train": [["train", NAME, "-o", NAME + "/x"], ["train", NAME, "--from-counts"]],
    "sample": [
        ["sample", "-m", MODEL, "--n", "60", *options]
        for options in ([], ["--format", "tsv"], ["--format", "json"], ["--show", "--color", "always"], ["--show"])
    ],
    "perplexity": [["perplexity", "-m", MODEL, NAME, "--format", form] for form in ("text", "tsv", "json")],
    "compare": [["compare", MODEL, MODEL, "--text", NAME, "--format", form] for form in ("text", "tsv", "json")],
    "score": [["score", "-m", MODEL, NAME], ["score", "-m", MODEL, NAME, "--by", "token"]],
    "explain": [["explain", "-m", MODEL, "--color", "always", NAME], ["explain", "-m", MODEL, NAME]],
    "filter": [["filter", "-m", MODEL, "--max-perplexity", "1e9", NAME]],
    "next": [["next", "-m", MODEL, "--format", form] for form in ("text", "tsv", "json")],
    "nearest": [["nearest", "-m", MODEL, WORDS[2], "--format", form] for form in ("text", "tsv", "json")],
    "count": [["count", NAME, "--format", form] for form in ("text", "tsv", "json")],
    "tokenize": [["tokenize", "-m", MODEL, NAME]],
    "detokenize": [["detokenize", "--tokenizer", "whitespace", NAME]],
    "convert": [["convert", MODEL, "-"]],
    "prune": [["prune", MODEL, "--threshold", "0", "-o", MODEL]],
    "mix": [["mix", MODEL, MODEL, "-o", MODEL]],
    "quiz": [["quiz", NAME, "-m", MODEL, "--lines", "2", "--format", form] for form in ("text", "tsv", "json")],
    "plot": [["plot", "--vary", "order=1,2", NAME, "--tokenizer", "whitespace", "--errors", "keep"]],
    "info": [["info", MODEL, "--format", form] for form in ("text", "tsv", "json")],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    (folder / NAME).write_text(TEXT, newline="")
    options = ["--tokenizer", "whitespace", "--smoothing", "witten-bell", "--order", "2"]
    assert cli.run(["train", str(folder / NAME), "-o", str(folder / MODEL), *options]) == 0
    return folder


def watched(arguments, monkeypatch):
    """Return the exit code of a command and what a terminal gets of its output and messages."""
    master, slave = pty.openpty()
    seen = []

    def watch():
        try:
            while data := os.read(master, 1 << 16):
                seen.append(data)
        except OSError:  # the terminal is closed
            pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    with open(slave, "w", encoding="utf-8", closefd=True) as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with warnings.catch_warnings():
            terminal.show_warnings()
            code = cli.run(arguments)
        screen.flush()
    watcher.join()
    os.close(master)
    return code, b"".join(seen).replace(b"\r\n", b"\n").replace(b"\r\n", b"\n")


def test_every_command_is_tried():
    assert tuple(COMMANDS) == running.COMMANDS


@pytest.mark.parametrize(("command", "number"), [(c, i) for c, ways in COMMANDS.items() for i in range(len(ways))])
def test_a_terminal_obeys_nothing_that_is_not_of_lmkit(folder, command, number, monkeypatch):
    arguments = COMMANDS[command][number]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TERM", "xterm-256color")
    before = (folder / MODEL).read_bytes()
    _, seen = watched(arguments, monkeypatch)
    (folder / MODEL).write_bytes(before)
    text = seen.decode()  # a raw byte of a name would be invalid
    if "explain" in arguments or "--show" in arguments or "plot" in arguments:
        text = OWN_COLOURS.sub("", text)
    bar = re.compile(r"\r[^\r\n]*\r|\x1b\[A")  # the progress bar goes back to the start of its line
    left = {c for c in bar.sub("", text) if ord(c) in ESCAPES} - {"\n", "\t"}
    assert text and not left, (left, text)


def test_what_a_terminal_shows_of_tables_can_be_typed_again(folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, seen = watched(["next", "-m", MODEL, "--format", "tsv"], monkeypatch)
    tokens = {unescape(row.split("\t")[0]) for row in seen.decode().splitlines()}
    assert code == 0 and {WORDS[2], WORDS[3], WORDS[4]} & tokens and tokens <= {*WORDS, "</s>", "word9", "\n"}


@pytest.mark.parametrize("command", [["filter", "--max-perplexity", "1e9"], ["tokenize"], ["next"]], ids=str)
def test_to_a_pipe_it_stays_the_text(folder, command, run, monkeypatch):
    monkeypatch.chdir(folder)
    out = run(*command, "-m", folder / MODEL, *([folder / NAME] * (command != ["next"]))).out
    assert "\u202e".encode() in out and (command[0] != "filter" or out == TEXT.encode())


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_cutting_of_what_is_written_does_not_matter(size):
    text = "naïve 日本\r\n\tone\rtwo\x1b[2J\n👍\udcff\r".encode("utf-8", "surrogateescape")
    file = io.BytesIO()
    screen = Screen(file)
    for start in range(0, len(text), size):
        screen.write(text[start : start + size])
    screen.finish()
    assert file.getvalue().decode() == "naïve 日本\n\tone\\rtwo\\x1b[2J\n👍\\xff\\r"
