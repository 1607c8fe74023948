"""lmkit explain and lmkit sample --show: text for people, on terminals and without."""

import fcntl
import gzip
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from test_contract import recurrent
from texts import COWS

from lmkit.api import Model
from lmkit.cli import colours
from lmkit.colours import SURPRISAL, terminal_colour
from lmkit.text import TextLayer, TextSettings, Vocabulary

SGR = re.compile(r"\x1b\[([0-9;]*)m")


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    for name in ("NO_COLOR", "COLUMNS", "TERM", "LMKIT_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def boats(succeed):
    """After "row" come row 2, your 1 times; all else is sure. Tokens between blanks."""
    options = ["--order", 2, "--smoothing", "mle", "--tokenizer", "whitespace"]
    succeed("train", *options, "-o", "boats.lmkit", stdin=b"row row row your boat\n")
    return "boats.lmkit"


@pytest.fixture
def letters(succeed):
    """A small model of characters."""
    succeed("train", "--tokenizer", "char", "--smoothing", "add-k", "-o", "letters.lmkit", stdin=COWS.encode() * 3)
    return "letters.lmkit"


def body(text):
    """What stands between the explanation of marks and the totals."""
    return text.split("\n\n")[1].split("\n")


class TestMarks:
    def test_stand_under_the_tokens(self, succeed, boats):
        assert body(succeed("explain", "-m", boats, stdin=b"row  row your boat\n").text) == [
            "row  row your boat↵",
            "0    1   2    0   0",
        ]

    def test_say_what_they_mean_and_what_it_comes_to(self, succeed, boats):
        head, _, totals = succeed("explain", "-m", boats, stdin=b"row  row your boat\n").text.split("\n\n")
        assert head.startswith("Under each token its surprisal in bits")
        bits = (math.log2(3 / 2) + math.log2(3)) / 5
        found = dict(re.split(r"  +", line) for line in totals.splitlines())
        assert found == {"tokens": "5", "bits per token": f"{bits:.4g}", "perplexity": f"{2**bits:.5g}"}

    def test_impossible_and_unknown_tokens(self, succeed, boats):
        text = succeed("explain", "-m", boats, stdin=b"boat zebra\n").text
        assert body(text) == ["boat zebra↵", "!    ?    0"] or body(text)[1].startswith("!    ?")
        assert "out of vocabulary  1\n" in text and "inf\n" in text

    def test_long_numbers_need_room(self):
        kind = colours.surprisal()
        assert [kind.mark(bits, size) for bits, size in ((9.4, 1), (9.6, 1), (12.3, 2), (12.3, 3), (math.inf, 1))] == [
            "9", "+", "+", "12", "!",
        ]  # fmt: skip
        kind = colours.difference("a", "b")
        marks = [kind.mark(d, size) for d, size in ((0.4, 3), (-1, 1), (2.6, 2), (-3.2, 3), (-math.inf, 3))]
        assert marks == ["", "-", "+", "-3", "-!"]
        assert [colours.activation("u").mark(*held) for held in ((0.2, 3), (-0.31, 1), (0.74, 3))] == ["", "-", "+7"]

    @pytest.mark.parametrize("width", ["40", "23", "1"])
    def test_rows_fit_and_keep_words_whole(self, succeed, letters, monkeypatch, width):
        monkeypatch.setenv("COLUMNS", width)
        line = "cows eat corn and hay and grass every day"
        rows = body(succeed("explain", "-m", letters, stdin=f"{line}\n{line}\n".encode()).text)
        assert max(map(len, rows)) <= max(20, int(width))
        words = " ".join(row for row in rows[::2]).replace("↵", "").split()
        assert (
            words[:-1] == ["cows", "eat", "corn", "and", "hay", "and", "grass", "every", "day"] * 2 and words[-1] == "¶"
        )

    def test_a_token_longer_than_a_row(self, succeed, boats, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        assert body(succeed("explain", "-m", boats, stdin=b"row " + b"x" * 45 + b"\n").text) == [
            "row", "0", "x" * 20, "?", "x" * 20, "xxxxx↵", "     3",
        ]  # fmt: skip

    def test_wide_characters_and_marks(self, succeed, letters):
        rows = body(succeed("explain", "-m", letters, stdin="日c\to\n".encode()).text)
        assert rows[0] == "日c→    o↵" and re.fullmatch(r"\? \d\?    \d\d", rows[1])

    def test_several_texts_have_titles(self, succeed, boats, tmp_path):
        (tmp_path / "a.txt").write_text("row\n")
        (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"row row\n"))
        text = succeed("explain", "-m", boats, "a.txt", "b.txt.gz").text
        assert "==> a.txt <==\nrow↵\n" in text and "\n\n==> b.txt.gz <==\nrow row↵\n" in text
        assert "tokens          5\n" in text

    def test_titles_and_texts_do_nothing_to_a_terminal(self, succeed, letters, tmp_path):
        (tmp_path / "\x1b[31m.txt").write_text("c\x1b]0;title\x07\x9b31m\r\n\0")
        for color in ("never", "always"):
            out = succeed("explain", "--color", color, "-m", letters, "\x1b[31m.txt", "-", stdin=b"x").text
            left = SGR.sub("", out)
            assert not [c for c in left if ord(c) < 32 and c != "\n"] and "\x9b" not in left
            assert "c␛]0;title␇\\x9b31m␍↵" in left and "==> \\x1b[31m.txt <==" in left

    def test_names_of_models_do_nothing_to_a_terminal(self, succeed, letters, tmp_path):
        (tmp_path / letters).rename(tmp_path / "\x1b[7m.lmkit")
        out = succeed("explain", "-m", "\x1b[7m.lmkit", "--against", "\x1b[7m.lmkit", stdin=b"cows").text
        assert "\x1b" not in out and out.count("␛[7m.lmkit") == 4


class TestColours:
    def painted(self, text):
        """Each piece of a row with its background, 256 colours, and whether it is underlined."""
        found, style = [], None
        for i, part in enumerate(SGR.split(text)):
            if i % 2:
                style = None if part == "0" else part
            elif part:
                numbers = style.split(";") if style else []
                background = int(numbers[numbers.index("48") + 2]) if style else None
                found.append((part, background, bool(style) and numbers[-1] == "4"))
        return found

    def test_are_those_of_the_levels(self, succeed, boats):
        out = succeed("explain", "-m", boats, "--color", "always", stdin=b"row your zebra\n").text
        rows = [row for row in out.split("\n") if "your" in row]
        level = SURPRISAL.terminal
        assert self.painted(rows[0])[:4] == [
            ("row ", level[0], False), ("your", level[1], False), (" ", level[0], False), ("zebra", level[-1], True),
        ]  # fmt: skip

    def test_legend_shows_the_scale(self, succeed, boats):
        out = succeed("explain", "-m", boats, "--color", "always", stdin=b"row\n").text
        legend = [(text.strip(), colour) for text, colour, _ in self.painted(out.split("\n")[1])]
        assert legend == list(zip(SURPRISAL.labels, SURPRISAL.terminal, strict=True))
        assert all(len(SGR.sub("", line)) <= 80 for line in out.split("\n"))

    def test_every_line_leaves_the_terminals_own_colours(self, succeed, letters):
        out = succeed("explain", "-m", letters, "--color", "always", stdin=COWS.encode()).text
        for line in out.split("\n"):
            codes = SGR.findall(line)
            assert not codes or codes[-1] == "0"

    def test_through_a_pipe_rows_are_lines(self, succeed, letters, monkeypatch):
        monkeypatch.setenv("COLUMNS", "30")
        out = succeed("explain", "-m", letters, "--color", "always", stdin=b"cows eat corn " * 30 + b"\n").text
        assert ("cows eat corn " * 30 + "↵") in SGR.sub("", out)

    def test_colours_of_the_text_on_them(self):
        style = colours._style(SURPRISAL.terminal[0])
        assert style == "38;5;231;48;5;235" and terminal_colour(235) == "#262626"


def at_a_terminal(tmp_path, *arguments, columns=40, **environment):
    """Run lmkit at a terminal of its own; return what it wrote there and its exit code."""
    pid, master = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.environ.update(environment)
        os.execv(sys.executable, [sys.executable, "-m", "lmkit", *map(str, arguments)])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out = b""
    try:
        while piece := os.read(master, 65536):
            out += piece
    except OSError:  # how a terminal ends
        pass
    os.close(master)
    return out.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_terminal_has_colours_within_its_columns(letters, tmp_path):
    (tmp_path / "text").write_text("cows eat corn and hay and grass every day, 日本日本日本\n" * 3)
    out, code = at_a_terminal(tmp_path, "explain", "-q", "-m", letters, "text", TERM="xterm-256color")
    assert code == 0 and SGR.search(out)
    assert max(colours.columns(SGR.sub("", line)) for line in out.split("\n")) <= 40


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": ""}])
def test_terminals_that_have_or_want_no_colours(environment, monkeypatch):
    monkeypatch.setattr(colours.terminal, "is_terminal", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    assert colours.is_coloured("auto", "-")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not colours.is_coloured("auto", "-") and colours.is_coloured("always", "-")


def test_colours_are_for_terminals(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert not colours.is_coloured("auto", "-")
    monkeypatch.setattr(colours.terminal, "is_terminal", lambda stream: True)
    assert not colours.is_coloured("auto", "file.txt") and not colours.is_coloured("never", "-")


def test_lines_are_shown_as_they_come(letters, tmp_path):
    """Someone who types sees what a line comes to before the next."""
    command = [sys.executable, "-m", "lmkit", "explain", "-m", letters]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as running:
        for line in (b"cows eat\n", b"hay hay\n"):
            running.stdin.write(line)
            running.stdin.flush()
            while line.strip() not in running.stdout.readline():  # which waits for ever if it does not come
                pass
        running.stdin.close()
        assert b"tokens" in running.stdout.read()


def test_two_models(succeed, boats, tmp_path):
    options = ["--order", 1, "--smoothing", "mle", "--tokenizer", "whitespace"]
    succeed("train", *options, "-o", "flat.lmkit", stdin=b"row row row your boat\n")
    text = succeed("explain", "-m", boats, "--against", "flat.lmkit", stdin=b"row your boat\n").text
    assert "the bits by which flat.lmkit is more surprised than boats.lmkit" in text.replace("\n", " ")
    assert body(text) == ["row your boat↵", "+1  +1   +3  +"]
    assert text.count("perplexity") == 2 and "model           boats.lmkit" in text
    coloured = succeed("explain", "-m", boats, "--against", "flat.lmkit", "--color", "always", stdin=b"row\n").text
    assert SGR.sub("", coloured).replace("\n", " ").startswith("Orange: bits by which flat.lmkit is more surprised")


@pytest.fixture
def network(tmp_path):
    """A network of characters with random weights."""
    tokens = sorted(set(COWS))
    made = recurrent("lstm", tokens=tokens)
    made.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens(tokens))
    Model(made).save(tmp_path / "network.lmkit")
    return "network.lmkit"


def test_neurons(succeed, network):
    text = succeed("explain", "-m", network, "--neurons", "3,5", stdin=COWS.encode()).text
    first, second = text.split("\n\nunit 1.5")
    assert re.match(r"unit 1\.3: position in the line, r = [+-]\d\.\d\d\. Under each token its activation", first)
    assert "cows eat corn↵" in second
    best = succeed("explain", "-m", network, "--neurons", "best", "--color", "always", stdin=COWS.encode() * 8).text
    assert re.match(r"unit 1\.\d: position in the line, r = ", best) and SGR.search(best)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--html", "a", "--svg", "b"], 2, "either --html or --svg"),
        (["--html", "a", "-o", "b"], 2, "name their output themselves"),
        (["--neurons", "best", "--against", "boats.lmkit"], 2, "--neurons goes with neither"),
        (["--neurons", "best"], 1, "no hidden units"),
        (["--against", "letters.lmkit"], 2, "boats.lmkit and letters.lmkit see different tokens"),
        (["--html", "text"], 2, "text is what is read, and would be replaced; choose another --html"),
        (["--svg", "boats.lmkit"], 2, "boats.lmkit is what is read"),
        (["--html", "letters.lmkit", "--against", "letters.lmkit"], 2, "is what is read"),
        (["--html", "no/page.html"], 2, "there is no folder"),
        (["--color", "sometimes"], 2, "--color"),
        (["nothing.txt"], 1, "nothing.txt: no such file"),
        (["empty"], 1, "holds no tokens"),
        (["--html", "page.html", "empty"], 1, "holds no tokens"),
        (["--svg", "picture.svg", "empty"], 1, "the text holds no tokens: there is nothing to explain"),
        (["--html", "page.html", "broken"], 1, "broken: line 2, byte offset 5"),
        (["--html", "page.html", "huge"], 1, "huge: longer than 2,000,000 bytes"),
        (["--svg", "picture.svg", "long"], 2, "at most 5,000 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(run, boats, letters, tmp_path, arguments, code, said):
    for name, data in (("text", b"row\n"), ("empty", b""), ("broken", b"row\nr\xff\n"), ("long", b"row your\n" * 600)):
        (tmp_path / name).write_bytes(data)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(200_000_000)
    before = set(os.listdir(tmp_path))
    named = ["text"] if arguments[-1].startswith("-") or (arguments[-2:-1] and arguments[-2].startswith("-")) else []
    result = run("explain", "-m", boats, *arguments, *named)
    assert result.code == code and said in result.err and result.err.count("\n") == 1 and result.out == b""
    assert set(os.listdir(tmp_path)) == before and (tmp_path / "text").read_bytes() == b"row\n"


def test_lines_before_one_that_cannot_be_read_are_shown(run, boats, tmp_path):
    (tmp_path / "broken").write_bytes(b"row\nr\xff\n")
    result = run("explain", "-m", boats, "broken")
    assert result.code == 1 and "broken: line 2, byte offset 5: 0xff is not valid utf-8" in result.err
    assert "\nrow" in result.text and "tokens" not in result.text


def test_the_page_and_the_picture_are_written(succeed, boats, tmp_path):
    assert succeed("explain", "-m", boats, "--html", "page.html", stdin=b"row your boat\n").out == b""
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert succeed("explain", "-m", boats, "--svg", "-", stdin=b"row your boat\n").text.startswith("<svg ")


class TestSample:
    def test_shows_the_surprisal_of_what_it_draws(self, succeed, cows):
        options = ["-m", cows, "--seed", 1, "--n", 12, "--prompt", "cows eat"]
        plain = succeed("sample", *options).text
        rows = body(succeed("sample", *options, "--show").text)
        shown = "\n".join(row for row in rows if "c" in row or "↵" in row)
        assert shown.replace("↵", "").replace("¶", "").split() == plain.split()
        assert re.fullmatch(r" {8,9}\d.*", rows[1])  # nothing under the prompt

    def test_in_colours(self, succeed, verse):
        out = succeed("sample", "-m", verse, "--seed", 1, "--show", "--color", "always", "--n", 40).text
        plain = succeed("sample", "-m", verse, "--seed", 1, "--n", 40).text
        shown = SGR.sub("", out).split("\n\n", 1)[1]
        assert shown.replace("↵", "").replace("¶", "").split() == plain.split() and SGR.search(out)

    def test_bytes_make_characters(self, succeed):
        options = ["--tokenizer", "byte", "--smoothing", "mle", "--order", 3]
        succeed("train", *options, stdin="日本é\n".encode())
        rows = body(succeed("sample", "--show", "--temperature", 0, "--n", 9).text)
        assert rows[0] == "··日··本·é↵"

    def test_stops_and_separates(self, succeed, cows):
        options = ["-m", cows, "--seed", 1, "--count", 2, "--separator", "----", "--stop", "at", "--show"]
        rows = body(succeed("sample", *options).text)
        assert rows[rows.index("----") - 2].endswith("e") and "cows" in rows[rows.index("----") + 1]

    @pytest.mark.parametrize("form", ["json", "tsv"])
    def test_goes_with_text_only(self, run, cows, form):
        result = run("sample", "-m", cows, "--show", "--format", form)
        assert result.code == 2 and "--show" in result.err

    def test_json_has_probabilities(self, succeed, cows):
        rows = succeed("sample", "-m", cows, "--seed", 1, "--n", 20, "--format", "json").rows
        for row in rows:
            assert row["probability"] == pytest.approx(math.exp(row["log_probability"]))
        assert {"token", "id", "log_probability", "probability", "stream", "log_base"} == set(rows[0])
