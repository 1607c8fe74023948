"""What bad input gets: one line that says what and where, exit 1 or 2, and nothing is lost."""

import bz2
import gzip
import json
import os

import pytest
from texts import COWS

GOOD = ["--smoothing", "mle"]


def refused(result, code, *words):
    assert result.code == code, result
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1, result.err
    assert result.out == b""
    for word in words:
        assert word in result.err, result.err


class TestCorpora:
    @pytest.fixture(autouse=True)
    def old_model(self, cows, tmp_path):
        """A model that each refused training must leave alone."""
        old = cows.read_bytes()
        (tmp_path / "model.lmkit").write_bytes(old)
        yield
        assert (tmp_path / "model.lmkit").read_bytes() == old
        assert not [p.name for p in tmp_path.iterdir() if "model" in p.name and p.name != "model.lmkit"]

    def test_missing(self, run):
        refused(run("train", "nowhere.txt"), 1, "nowhere.txt")

    def test_missing_second_file(self, run, tmp_path):
        (tmp_path / "a").write_text(COWS)
        refused(run("train", "a", "nowhere.txt"), 1, "nowhere.txt")

    @pytest.mark.parametrize("text", [b"", b"  \n\t \n\n", b"\n"])
    @pytest.mark.parametrize("tokenizer", ["word", "whitespace"])
    def test_nothing_in_it(self, run, tmp_path, text, tokenizer):
        (tmp_path / "void.txt").write_bytes(text)
        refused(run("train", "void.txt", "--tokenizer", tokenizer), 1, "void.txt", "no tokens")

    def test_directory(self, run, tmp_path):
        refused(run("train", tmp_path), 1, str(tmp_path))

    def test_binary(self, run, tmp_path):
        (tmp_path / "junk").write_bytes(b"fine\nfine \xff\xfe\n")
        refused(run("train", "junk"), 1, "junk", "line 2", "10", "--errors keep")

    def test_damaged_archives(self, run, tmp_path):
        for name, pack in (("a.gz", gzip.compress), ("a.bz2", bz2.compress)):
            (tmp_path / name).write_bytes(pack(COWS.encode() * 50)[:-20])
            refused(run("train", name), 1, name)

    def test_reserved_tokens(self, run, tmp_path):
        (tmp_path / "a").write_text("x\ny <s> z\n")
        refused(run("train", "a", "--tokenizer", "whitespace"), 1, "<s>", "2", "--reserved")

    def test_the_standard_input_twice(self, run):
        refused(run("train", "-", "-", stdin=b"x"), 2, "once")


def test_a_nul_is_text_and_keep_keeps(succeed):
    succeed("train", *GOOD, stdin=b"a\0b\n")
    succeed("train", *GOOD, "--errors", "keep", stdin=b"a \xff b\n")
    sample = succeed("sample", "--temperature", 0, "--n", 5).out
    assert b"\xff" in sample


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--order", "0"],
        ["train", "--order", "33"],
        ["train", "--order", "two"],
        ["train", "--arch", "transformer"],
        ["train", "--smoothing", "good-turing"],
        ["train", "--smoothing", "add-k", "--k", "-1"],
        ["train", "--smoothing", "mle", "--k", "1"],
        ["train", "--smoothing", "mle", "--back-off"],
        ["train", "--smoothing", "katz", "--interpolate"],
        ["train", "--smoothing", "absolute", "--discount", "2"],
        ["train", "--smoothing", "stupid-backoff", "--alpha", "0"],
        ["train", "--alpha", "0.4"],
        ["train", "--valid", "0.1"],
        ["train", "--smoothing", "add-k", "--no-interpolate-unigrams"],
        ["train", "--discount-fallback", "0.5,1"],
        ["train", "--discount-fallback", "a,b,c"],
        ["train", "--cutoffs", "1"],
        ["train", "--cutoffs", "0,2,1"],
        ["train", "--tokenizer", "bpe"],
        ["train", "--encoding", "utf-17"],
        ["train", "--min-count", "0"],
        ["train", "--threads", "0"],
        ["train", "--colour"],
        ["train", "-o", "."],
        ["train", "-o", "no/such/folder/model.lmkit"],
        ["train", "-o", "-"],
        ["train", "-o", ""],
        ["train", "--vocab", "-"],
        ["train", "--limit-vocab", "-"],
        ["train", "--cutoffs", "0-3"],
        ["sample", "--temperature", "-1"],
        ["sample", "--temperature", "nan"],
        ["sample", "--top-p", "0"],
        ["sample", "--top-k", "0"],
        ["sample", "--min-p", "2"],
        ["sample", "--n", "-1"],
        ["sample", "--count", "0"],
        ["sample", "--stop", ""],
        ["sample", "--stop", r"\ud800"],
        ["sample", "--separator", r"-\udc00-"],
        ["next", r"\ud800"],
        ["sample", "--seed", "-1"],
        ["perplexity", "--reset", "word"],
        ["perplexity", "--threads", "0"],
        ["next", "-o", "no/such/folder"],
        ["info", "a", "-m", "b"],
        ["perplexity", "--format", "xml"],
        ["next", "a", "b"],
        ["count", "--orders", "0"],
        ["count", "--orders", "1-x"],
        ["count", "--orders", "40"],
        ["count", "--orders", f"1-{10**30}"],
        ["count", "--orders", "1-²"],
        ["train", "--cutoffs", f"0,{10**30}"],
        ["train", "--memory", f"{10**30}"],
        ["train", "--memory", "9" * 400 + "T"],
        ["nothing"],
    ],
    ids=" ".join,
)
def test_wrong_options(run, cows, arguments, monkeypatch):
    monkeypatch.setenv("LMKIT_MODEL", str(cows))
    refused(run(*arguments, stdin=COWS.encode()), 2)


@pytest.mark.parametrize("command", [["sample"], ["perplexity"], ["next"], ["nearest", "cows"], ["info"]], ids=str)
class TestModels:
    def test_missing(self, run, command):
        refused(run(*command, stdin=b"x\n"), 1, "model.lmkit")

    def test_of_another_kind(self, run, command, tmp_path):
        (tmp_path / "model.lmkit").write_bytes(b"\\data\\\nngram 1=3\n" * 20)
        refused(run(*command, stdin=b"x\n"), 1, "model.lmkit")

    def test_directory(self, run, command, tmp_path):
        (tmp_path / "model.lmkit").mkdir()
        refused(run(*command, stdin=b"x\n"), 1, "model.lmkit")

    def test_truncated(self, run, command, tmp_path, cows):
        whole = cows.read_bytes()
        for size in (0, 5, 8, 100, len(whole) - 1):
            (tmp_path / "model.lmkit").write_bytes(whole[:size])
            refused(run(*command, stdin=b"x\n"), 1, "model.lmkit")


def test_texts_that_cannot_be_scored(run, cows, tmp_path):
    refused(run("perplexity", "-m", cows, "nowhere.txt"), 1, "nowhere.txt")
    refused(run("perplexity", "-m", cows, stdin=b""), 1, "no tokens")
    refused(run("perplexity", "-m", cows, stdin=b"a\xff\n"), 1, "standard input", "line 1")
    refused(run("count", stdin=b""), 1, "no tokens")


def test_json_is_json_whatever_the_bytes(succeed):
    succeed("train", *GOOD, "--errors", "keep", stdin=b"\xff \xff\n")
    rows = [json.loads(line) for line in succeed("next", "--format", "json").out.splitlines()]
    assert rows[0]["token"] == "\udcff"


@pytest.mark.parametrize("arguments", [["train"], ["count"], ["perplexity"]], ids=str)
def test_a_text_that_is_read_is_not_replaced(run, tmp_path, cows, monkeypatch, arguments):
    """Nor by another name of it."""
    monkeypatch.setenv("LMKIT_MODEL", str(cows))
    (tmp_path / "corpus.txt").write_text(COWS)
    (tmp_path / "link").symlink_to("corpus.txt")
    os.link(tmp_path / "corpus.txt", tmp_path / "twin")
    for output in ("corpus.txt", "link", "twin"):
        refused(run(*arguments, "corpus.txt", "-o", output), 2, output, "is what is read", "another -o")
    assert (tmp_path / "corpus.txt").read_text() == COWS


@pytest.mark.parametrize("arguments", [["sample"], ["perplexity"], ["next"], ["nearest", "cows"], ["info"]], ids=str)
def test_a_model_that_is_read_is_not_replaced(run, tmp_path, cows, arguments):
    (tmp_path / "model.lmkit").write_bytes(cows.read_bytes())
    refused(run(*arguments, "-o", "model.lmkit", stdin=b"x\n"), 2, "is what is read")
    assert (tmp_path / "model.lmkit").read_bytes() == cows.read_bytes()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(run, tmp_path, cows):
    """Were it not, the missing model and text would be told of."""
    for output, said in (("", "no name"), (".", "folder"), ("new/", "folder"), ("new/x", "no folder")):
        for command in (["train", "nowhere.txt"], ["count", "nowhere.txt"], ["sample", "-m", "none"]):
            refused(run(*command, "-o", output), 2, said)
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_line_whatever_is_named(run):
    refused(run("next", "-m", "no\nsuch\x1b[31m\u2028file"), 1, r"no\nsuch\x1b[31m\u2028file")


def test_an_error_names_options_as_they_are_typed(run):
    assert "env var" not in run("train", "--order", "two").err


def test_texts_without_tokens_are_named(run, cows):
    refused(run("perplexity", "-m", cows), 1, "Error: standard input holds no tokens")


@pytest.mark.parametrize("option", ["--vocab", "--limit-vocab"])
def test_a_vocabulary_that_cannot_be_read(run, tmp_path, option):
    """The advice is for vocabularies: they are not piped in."""
    for name in ("nowhere", "."):
        refused(run("train", option, name, stdin=COWS.encode()), 1, f"{name} is no file", "or a model")
    (tmp_path / "words").write_bytes(b"caf\xe9\n")
    refused(run("train", option, "words", stdin=COWS.encode()), 1, "words", "line 1", "--encoding")
    options = ["--encoding", "latin-1", "--smoothing", "mle"]
    assert run("train", option, "words", *options, stdin=b"caf\xe9 caf\xe9\n").code == 0


def test_convert_says_what_it_cannot_do(run, succeed, cows, monkeypatch, tmp_path):
    """Options for ARPA files do not go with a model, but may stand in the environment; what is missing is named."""
    for option, value in (("--tokenizer", "char"), ("--encoding", "latin-1")):
        refused(run("convert", cows, "-", option, value), 2, option, "is for ARPA files that are read", str(cows))
    refused(run("convert", "missing.lmkit", "-"), 1, "missing.lmkit: no such file")
    monkeypatch.setenv("LMKIT_TOKENIZER", "word")
    text = succeed("convert", cows, "-").text
    (tmp_path / "other.arpa").write_text(text.replace("corn", "bl\u00e9"), "latin-1")
    refused(run("convert", "other.arpa", "other.lmkit"), 1, "other.arpa: line", "give the text's --encoding")
    succeed("convert", "other.arpa", "other.lmkit", "--encoding", "latin-1")
    assert "bl\u00e9" in succeed("next", "-m", "other.lmkit", "cows eat").text


def test_numbers_at_the_edge_are_never_told_of_by_numpy(succeed, cows, tmp_path):
    """`next` writes JSON without NaN or Infinity, and nothing stands on the standard error."""
    text = succeed("convert", cows, "-").text
    lines = [line.rsplit("\t", 1)[0] + "\t-1e300" if line.count("\t") == 2 else line for line in text.splitlines()]
    lines = ["-1e300\t" + line.split("\t", 1)[1] if "\tcorn" in line else line for line in lines]
    (tmp_path / "edge.arpa").write_text("\n".join(lines) + "\n")
    succeed("convert", "edge.arpa", "edge.lmkit", "--tokenizer", "word")
    for context in ("", "cows eat", "zebra"):
        out = succeed("next", "-q", "-m", "edge.lmkit", context, "--format", "json", "--top", 0).text
        assert not any(word in out for word in ("NaN", "Infinity"))
        for line in out.splitlines():
            assert 0 <= json.loads(line)["probability"] <= 1
