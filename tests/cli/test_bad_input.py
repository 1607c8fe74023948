"""What bad input gets: one line that says what and where, exit 1 or 2, and nothing is lost."""

import bz2
import gzip
import json

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
    def old_model(self, succeed, tmp_path):
        """A model that each refused training must leave alone."""
        (tmp_path / "model.lmkit").write_bytes(b"the old one")
        yield
        assert (tmp_path / "model.lmkit").read_bytes() == b"the old one"
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
        ["sample", "--temperature", "-1"],
        ["sample", "--temperature", "nan"],
        ["sample", "--top-p", "0"],
        ["sample", "--top-k", "0"],
        ["sample", "--min-p", "2"],
        ["sample", "--n", "-1"],
        ["sample", "--count", "0"],
        ["sample", "--stop", ""],
        ["sample", "--seed", "-1"],
        ["perplexity", "--reset", "word"],
        ["perplexity", "--format", "xml"],
        ["next", "a", "b"],
        ["count", "--orders", "0"],
        ["count", "--orders", "1-x"],
        ["count", "--orders", "40"],
        ["nothing"],
    ],
    ids=" ".join,
)
def test_wrong_options(run, cows, arguments, monkeypatch):
    monkeypatch.setenv("LMKIT_MODEL", str(cows))
    refused(run(*arguments, stdin=COWS.encode()), 2)


@pytest.mark.parametrize("command", [["sample"], ["perplexity"], ["next"], ["info"]], ids=str)
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
