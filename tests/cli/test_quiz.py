"""A quiz as a player and a teacher meet it: a game at a terminal, a sheet and its key elsewhere."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import click
import pytest

from lmkit import cli
from lmkit.cli import columns, streams
from lmkit.cli.quiz import ask
from lmkit.errors import LmkitWarning
from lmkit.text import unescape

PLAY = (pathlib.Path(__file__).resolve().parents[2] / "corpora" / "the-tide-mill.txt").read_text()
CUT = PLAY.index("\n\n", len(PLAY) * 8 // 10) + 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models of the play, and what they have not read of it."""
    path = tmp_path_factory.mktemp("quiz")
    (path / "train.txt").write_text(PLAY[:CUT])
    (path / "text.txt").write_text(PLAY[CUT:])
    for name, order in (("good", 6), ("poor", 2)):
        options = ("--tokenizer", "char", "--order", str(order), "--smoothing", "witten-bell", "-q")
        assert cli.run(["train", str(path / "train.txt"), "-o", str(path / f"{name}.lmkit"), *options]) == 0
    return path


@pytest.fixture
def quiz(folder, run, monkeypatch):
    """Make a quiz in this process, in the folder of the models."""

    def quiz(*arguments, text="text.txt", **options):
        monkeypatch.chdir(folder)
        return run("quiz", "-m", "good.lmkit", "--seed", 1, text, *arguments, **options)

    return quiz


def test_a_sheet_and_its_key(folder, quiz, tmp_path):
    """Same seed, same bytes; the answers are behind the rounds, or in the key."""
    whole = quiz("--rounds", 4)
    assert (whole.code, whole.err) == (0, "") and quiz("--rounds", 4) == whole
    sheet = quiz("--rounds", 4, "--key", tmp_path / "key.txt")
    key = (tmp_path / "key.txt").read_text()
    assert sheet.text + key == whole.text
    assert re.findall(r"Round \d of 4. Which one is from text.txt\?", sheet.text) and "perplexity" not in sheet.text
    answers = re.findall(r"^Round (\d): ([12])$", key, re.MULTILINE)
    assert [number for number, _ in answers] == list("1234") and "Seed: 1" in key
    for number, answer in answers:
        block = key.split(f"Round {number}: ")[1].split("\n\n")[0]
        assert re.search(rf"^\[{answer}\] text.txt, line \d+; perplexity \d", block, re.MULTILINE), block
        assert re.search(rf"^\[{3 - int(answer)}\] good.lmkit; perplexity .*copied \d+ %: ", block, re.MULTILINE)
    assert max(map(len, whole.text.splitlines())) <= 80


def test_a_sheet_is_as_wide_as_it_is_told(quiz, monkeypatch):
    usual = quiz("--rounds", 2)
    assert 60 < max(map(len, usual.text.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "40")
    assert 30 < max(map(len, quiz("--rounds", 2).text.splitlines())) <= 40
    monkeypatch.setenv("COLUMNS", "80")
    assert quiz("--rounds", 2) == usual


def test_json_has_everything_and_a_sheet_of_it_has_no_answers(quiz, tmp_path):
    told = quiz("--rounds", 3, "--format", "json").row
    assert told["seed"] == 1 and len(told["rounds"]) == 3
    assert [os.path.basename(name) for name in told["searched"]] == ["text.txt", "train.txt"]
    sheet = quiz("--rounds", 3, "--format", "json", "--key", tmp_path / "key.json").row
    assert json.loads((tmp_path / "key.json").read_text()) == told
    for each, bare in zip(told["rounds"], sheet["rounds"], strict=True):
        assert bare == {
            "round": each["round"], "passages": [{k: p[k] for k in ("label", "text")} for p in each["passages"]]
        }  # fmt: skip
        right = [p["label"] for p in each["passages"] if p["model"] is None]
        assert [each["answer"]] == right


def test_tsv_has_a_line_for_each_passage(quiz, tmp_path):
    told = quiz("--rounds", 3, "--format", "json").row
    rows = [line.split("\t") for line in quiz("--rounds", 3, "--format", "tsv").text.splitlines()]
    assert {len(row) for row in rows} == {9} and len(rows) == 6
    for row, (each, passage) in zip(rows, [(r, p) for r in told["rounds"] for p in r["passages"]], strict=True):
        assert row[:2] == [str(each["round"]), passage["label"]] and unescape(row[2]) == passage["text"]
        assert row[3] == (passage["model"] or "real") and row[4] == str(passage["line"] or "-")
    sheet = quiz("--rounds", 3, "--format", "tsv", "--key", tmp_path / "key.tsv")
    assert [line.split("\t") for line in sheet.text.splitlines()] == [row[:3] for row in rows]
    assert [line.split("\t") for line in (tmp_path / "key.tsv").read_text().splitlines()] == rows


def test_the_text_may_be_piped(folder, quiz):
    piped = quiz("--rounds", 2, text="-", stdin=(folder / "text.txt").read_bytes())
    assert piped.code == 0
    assert piped.text.replace("standard input", "text.txt").split() == quiz("--rounds", 2).text.split()


def test_without_a_text_it_is_about_what_the_record_names(folder, run, monkeypatch, tmp_path):
    """First what a model was validated on, else what it learnt from; nothing where that has changed."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.txt", "text.txt"):
        (tmp_path / name).write_text((folder / name).read_text())
    options = ("--tokenizer", "char", "--order", 4, "-q")
    run("train", "train.txt", "--smoothing", "jelinek-mercer", "--valid", "text.txt", "-o", "model.lmkit", *options)
    rounds = ("quiz", "--rounds", 1, "--seed", 1, "-q")
    assert run(*rounds) == run(*rounds, "text.txt") and "from text.txt?" in run(*rounds).text
    before = (tmp_path / "text.txt").read_text()
    refused = run(*rounds, "--key", "text.txt")
    assert (refused.code, refused.out) == (2, b"") and refused.err.count("\n") == 1
    assert (tmp_path / "text.txt").read_text() == before
    (tmp_path / "text.txt").write_text(before + "More.\n")
    with pytest.warns(LmkitWarning):
        assert "from train.txt?" in run(*rounds).text
    (tmp_path / "train.txt").unlink()
    nothing = run(*rounds)
    assert nothing.code == 2 and nothing.err.count("\n") == 1 and "name a TEXT" in nothing.err


def test_a_text_that_was_trained_on_is_told(quiz):
    with pytest.warns(LmkitWarning, match=r"good\.lmkit was trained on all of train\.txt"):
        assert quiz("--rounds", 1, text="train.txt").code == 0


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (("--key", "text.txt"), 2, "is what is read, and would be replaced; choose another --key"),
        (("--key", "good.lmkit"), 2, "choose another --key"),
        (("--key", "nowhere/key.txt"), 2, "choose another --key"),
        (("--key", "."), 2, "is a folder; name a file in it with --key"),
        (("--key", "-"), 2, "--key - is where the rounds go"),
        (("--key", "k", "-o", "./k"), 2, "--key k is where the rounds go"),
        (("-o", "good.lmkit"), 2, "choose another -o"),
        (("--lines", 2, "--length", 9), 2, "--lines and --length"),
        (("-m", "good.lmkit"), 2, "named twice"),
        (("--rounds", 0), 2, "--rounds"),
        (("--rounds", 1, "-m", "poor.lmkit"), 2, "one for each model, 2 or more"),
        (("--copied", 7), 2, "--copied is 7"),
        (("--temperature", -1), 2, "temperature is -1"),
        (("--temperature", 0), 1, "wrote only"),
        (("--rounds", 900), 1, "has only"),
        (("-m", "none.lmkit"), 1, "none.lmkit: no such model file"),
        (("-m", "train.txt"), 1, "train.txt: not an lmkit model"),
    ],
)
def test_bad_usage_is_one_line(folder, quiz, arguments, code, said):
    before = sorted(os.listdir(folder))
    result = quiz(*arguments)
    assert (result.code, result.out) == (code, b"") and said in result.err, result.err
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "holds nothing but white space"),
        (b"\n \n", "holds nothing but white space"),
        (b"ONE:\nshort\n", "has only 0 of the 10 passages of 200 characters"),
        (b"\xff\xfe\xff", "is not valid utf-8"),
        ("天地玄黄宇宙洪荒日月盈昃\n\n".encode() * 60, "of its tokens are unknown to good.lmkit"),
    ],
)
def test_texts_that_make_no_quiz(quiz, tmp_path, data, said):
    (tmp_path / "bad.txt").write_bytes(data)
    result = quiz(text=tmp_path / "bad.txt")
    assert (result.code, result.out) == (1, b"") and said in result.err and "bad.txt" in result.err
    assert result.err.count("\n") == 1


def test_a_key_is_not_mixed_with_the_sheet_that_the_shell_writes(folder):
    """`--key sheet.txt > sheet.txt`."""
    command = f"{sys.executable} -m lmkit quiz -m good.lmkit text.txt --key same.txt > same.txt"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 2 and b"is where the rounds go" in done.stderr
    os.unlink(folder / "same.txt")


EVIL = "ESC \x1b[2J\x1b]0;gone\x07 {}\nC1 \x9b31m\tand \u202eturned\udcff\nwide 日本語の文章 é e\u0301\n\n"


def test_nothing_that_a_terminal_obeys_is_written(run, tmp_path):
    for name, numbers in (("train", range(60)), ("text", range(100, 160))):
        evil = "".join(EVIL.format(i) for i in numbers).encode("utf-8", "surrogateescape")
        (tmp_path / f"{name}.txt").write_bytes(evil)
    assert run("train", "train.txt", "--errors", "keep", "--tokenizer", "byte", "--smoothing", "mle").code == 0
    options = ("text.txt", "--errors", "keep", "--copied", 1, "--lines", 3, "--rounds", 3, "--seed", 1)
    shown = run("quiz", *options).text
    assert not [c for c in shown if not (c.isprintable() or c == "\n")]
    assert r"ESC \x1b[2J\x1b]0;gone\x07" in shown and r"\u202e" in shown and r"\xff" in shown and "日本語" in shown
    told = run("quiz", *options, "--format", "json")
    assert told.text.removesuffix("\n").isprintable()
    passages = [p["text"] for row in told.row["rounds"] for p in row["passages"]]
    assert any("\x1b[2J" in p and "\x9b31m" in p and "\u202e" in p for p in passages)
    assert run("quiz", *options, "--format", "tsv").text.replace("\t", "").replace("\n", "").isprintable()


def test_json_escapes_what_a_terminal_obeys_and_nothing_else():
    assert streams.json_line({"a": "\x1b\x9b\x7fé\u202e日"}).decode() == '{"a": "\\u001b\\u009b\\u007fé\\u202e日"}\n'


class TestColumns:
    def test_side_by_side_where_there_is_room(self):
        passages = ["one\ntwo words", "a line of words that is too long for one"]
        assert columns.columns(["[1]", "[2]"], passages, 71) == [
            "[1]                                  [2]",
            "one                                  a line of words that is too long",
            "two words                                for one",
        ]
        assert columns.columns(["[1]", "[2]"], passages, 70) == [
            "[1]", "one", "two words", "", "[2]", "a line of words that is too long for one",
        ]  # fmt: skip

    def test_wide_characters_take_two_columns(self):
        left, right = (columns.columns(["", ""], [text, "|"], 71)[1] for text in ("日本", "abcd"))
        assert left.replace("日本", "abcd") == right

    @pytest.mark.parametrize("width", [20, 40, 71, 80, 200])
    def test_nothing_is_lost_and_nothing_sticks_out(self, width):
        from wcwidth import wcswidth

        passages = ["w" * 100 + " 日本語" * 30, "  indented\n\nA:\n" + "of words " * 20, "é" * 90]
        shown = columns.columns(["[1]", "[2]", "[3]"], passages, width)
        assert max(map(wcswidth, shown)) <= width
        for character in "wé語A":
            assert "".join(shown).count(character) == "".join(passages).count(character)


ASKED = b"stops)? "


class Terminal:
    """A process at a terminal of its own, and who sits there."""

    def __init__(self, folder, *arguments, columns=80, **options):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.master, self.slave = master, slave
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmkit", "quiz", "-m", "good.lmkit", "--seed", "1", "text.txt", *arguments],
            cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, **options,
        )  # fmt: skip

    def read(self, seconds=60, until=None):
        """Read on until something is seen, or the process ends."""
        end = time.monotonic() + seconds
        start = len(self.seen)
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
            elif self.process.poll() is not None:
                break
            if until is not None and until in self.seen[start:]:
                return self
        assert until is None, self.seen.decode()
        return self

    def type(self, key):
        """Press a key when it is asked for: a terminal forgets what was typed before."""
        self.read(until=ASKED).wait()
        os.write(self.master, key)
        return self

    def wait(self):
        """Wait until a key is awaited."""
        while termios.tcgetattr(self.slave)[3] & termios.ICANON:
            time.sleep(0.01)

    def end(self):
        """Return exit code and all that was seen, once the terminal is as it was."""
        self.process.wait(60)
        self.read(1)
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode, self.seen.decode().replace("\r\n", "\n")

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self.slave):
            os.close(descriptor)


@pytest.fixture
def at_terminal(folder):
    """Open a terminal in which a quiz begins."""
    opened = []

    def at_terminal(*arguments, **options):
        opened.append(Terminal(folder, *arguments, **options))
        return opened[-1]

    yield at_terminal
    for terminal in opened:
        terminal.close()


def test_a_whole_game(at_terminal, quiz):
    """The rounds are those of the sheet; digits and letters choose."""
    told = quiz("--rounds", 4, "--format", "json").row["rounds"]
    right = [int(each["answer"]) for each in told]
    game = at_terminal("--rounds", "4")
    for key in (str(right[0]), " ab"[right[1]], " BA"[right[2]], str(right[3])):
        game.type(key.encode())
    code, seen = game.end()
    assert code == 0 and "writing" in seen
    verdicts = ["Right", "Right", "Wrong", "Right"]
    assert re.findall(r"^(Right|Wrong): (\d) is real.$", seen, re.MULTILINE) == [
        (verdict, str(answer)) for verdict, answer in zip(verdicts, right, strict=True)
    ]
    assert "3 of 4 right. Guessing gets 2 on average" in seen and "probability 0.312" in " ".join(seen.split())
    assert "fooled" not in seen
    sheet = quiz("--rounds", 4).text
    for number in range(1, 5):
        assert sheet.split(f"Round {number} of 4")[1].split("\n\n\n")[0].strip() in seen


def test_a_ranking_in_forty_columns(at_terminal, quiz):
    """One passage is under the other, and nothing is wider than the terminal. Quiet says nothing but the game."""
    told = quiz("--rounds", 4, "--format", "json", "-m", "poor.lmkit").row["rounds"]
    game = at_terminal("--rounds", "4", "-m", "poor.lmkit", "-q", columns=40)
    for each in told:
        wrong = each["model"] == "good.lmkit"
        game.type(str(3 - int(each["answer"]) if wrong else each["answer"]).encode())
    code, seen = game.end()
    assert code == 0 and seen.startswith("\nRound 1 of 4.")
    assert re.search(r"^\[1\]$", seen, re.MULTILINE) and max(map(len, seen.splitlines())) <= 40
    table = seen.split("fooled  rounds   share  model\n")[1].splitlines()[:2]
    assert [row.split() for row in table] == [["2", "2", "100", "%", "good.lmkit"], ["0", "2", "0", "%", "poor.lmkit"]]


@pytest.mark.parametrize("number, code", [(None, 130), (signal.SIGTERM, 143)])
def test_it_ends_in_order(at_terminal, number, code):
    """By Ctrl-C, which is a key while one is awaited, or when told to from outside."""
    game = at_terminal("--rounds", "4").type(b"1")
    if number is None:
        game.type(b"\x03")
    else:
        game.read(until=ASKED).wait()
        game.process.send_signal(number)
    ended, seen = game.end()
    assert ended == code and seen.count("Round ") == 2
    assert re.search(r"^[01] of 1 right\.", seen, re.MULTILINE) and "Traceback" not in seen
    assert seen.endswith("Interrupted.\n") == (number is None)


def test_who_asks_for_a_sheet_at_a_terminal_gets_it(at_terminal):
    code, seen = at_terminal("--rounds", "1", "--key", os.devnull).end()
    assert code == 0 and "Round 1 of 1" in seen and "stops)?" not in seen


@pytest.mark.parametrize(
    "pressed, chosen",
    [
        (["2"], 1), (["a"], 0), (["B"], 1), (["c", "0", "9", " ", "\r", "1"], 0), (["\x1b[A", "\x1b[1;2A", "2"], 1),
        (["\x1bOA1"], 0), (["x\x1b[B2"], 1), (["12"], 0), (["é", "\x1b", "q"], None), (["Q"], None), ([""], None),
        (["\x04"], None),
    ],
)  # fmt: skip
def test_keys(monkeypatch, capsys, pressed, chosen):
    """Digits and letters choose, q and the end of the input stop; all others, arrows among them, do nothing."""
    keys = iter(pressed)

    def getchar():
        key = next(keys)
        if key == "\x04":  # as Click has it
            raise EOFError
        return key

    monkeypatch.setattr(click, "getchar", getchar)
    assert ask(2) == chosen
    assert next(keys, None) is None
    assert capsys.readouterr().out.startswith("1 or 2 (q stops)? ")


def test_the_variable_names_one_model(folder, run, monkeypatch):
    """LMKIT_MODEL, which may have blanks in it here as everywhere."""
    monkeypatch.chdir(folder)
    os.link("good.lmkit", "a model.lmkit")
    monkeypatch.setenv("LMKIT_MODEL", "a model.lmkit")
    assert run("quiz", "text.txt", "--format", "json", "--rounds", 1).row["models"] == ["a model.lmkit"]
