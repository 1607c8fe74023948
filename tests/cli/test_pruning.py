"""lmkit prune and what comes of it, from the command line."""

import random

import pytest
from texts import VERSES

WAYS = [
    ["--threshold", 1e-3], ["--ngrams", 60], ["--size", "64K"], ["--cutoffs", "0,1"],
    ["--quantize", 8], ["--threshold", 1e-3, "--quantize", 8], ["--ngrams", 60, "--quantize", 4],
    ["--size", "8K", "--quantize", 8], ["--cutoffs", "0,1,1", "--quantize", 12],
]  # fmt: skip


@pytest.fixture
def counted(succeed, tmp_path):
    """A model that keeps its counts, of verses and of their words in disorder."""
    rng = random.Random(1)
    words = " ".join(VERSES).split()
    lines = [*VERSES, *(" ".join(rng.choices(words, k=9)) for _ in range(300))]
    options = ["--smoothing", "witten-bell", "--order", 3, "--keep-counts", "-o", "big.lmkit"]
    succeed("train", "--sentence", "line", *options, stdin="\n".join(lines).encode())
    return tmp_path / "big.lmkit"


def refused(result, code, *words):
    assert (result.code, result.out) == (code, b"") and result.err.count("Error: ") == 1, result
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err, result.err


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(map(str, way)))
def test_every_way_leads_to_a_smaller_model_that_works(succeed, counted, tmp_path, way):
    succeed("prune", counted, *way, "-o", "small.lmkit")
    small = tmp_path / "small.lmkit"
    assert small.stat().st_size < counted.stat().st_size
    if way[0] == "--size":
        assert small.stat().st_size <= int(way[1][:-1]) * 1024
    if way[0] == "--ngrams":
        assert sum(succeed("info", small, "--format", "json").row["ngrams"].values()) <= 60
    text = (VERSES[0] + "\n").encode()
    for command in (
        ["perplexity"], ["score", "--by", "token"], ["filter", "--max-perplexity", 1e9], ["next", "--top", 3],
        ["sample", "--n", 20, "--seed", 1],
    ):  # fmt: skip
        assert succeed(*command, "-m", small, stdin=text).out, command
    succeed("convert", small, "small.arpa")
    assert (tmp_path / "small.arpa").read_bytes().endswith(b"\\end\\\n")
    succeed("prune", small, "--threshold", 1e-2, "-o", "smaller.lmkit")


def test_info_tells_the_bits(succeed, counted):
    succeed("prune", counted, "--quantize", 8, "-o", "small.lmkit")
    row = succeed("info", "small.lmkit", "--format", "json").row
    assert row["config"]["quantize"] == 8 and row["bytes_per_ngram"] > 0
    assert "packed, numbers of 8 bits" in succeed("info", "small.lmkit").text


def test_scores_of_a_packed_model_are_near(succeed, counted):
    succeed("prune", counted, "--quantize", 10, "-o", "small.lmkit")
    text = ("\n".join(VERSES) + "\n").encode()
    rows = [succeed("perplexity", "-m", m, "--format", "json", stdin=text).row for m in (counted, "small.lmkit")]
    assert rows[1]["perplexity"] == pytest.approx(rows[0]["perplexity"], rel=0.01)
    assert rows[1]["quantize"] == 10


@pytest.mark.parametrize(
    ("size", "number"), [("2000", 2000), ("2k", 2048), ("0.5K", 512), ("1M", 2**20), ("1G", 2**30)]
)
def test_sizes(succeed, run, counted, size, number):
    result = run("prune", counted, "--size", size, "-o", "small.lmkit")
    if number < 4096:
        refused(result, 2, f"fit into {number} bytes")
    else:
        assert result.code == 0


@pytest.mark.parametrize("size", ["", "0", "-5", "1.5", "5X", "M", "1e3", "99999999T", "nan"])
def test_sizes_that_are_none(run, counted, size):
    result = run("prune", counted, f"--size={size}", "-o", "small.lmkit")
    if size == "1.5":
        refused(result, 2, "fit into 1 bytes")
    else:
        refused(result, 2, "--size", "is no number of bytes")


def test_what_is_refused(run, succeed, counted, verse, cows, tmp_path):
    refused(run("prune", counted, "-o", "x"), 2, "give one of --threshold, --ngrams, --size and --cutoffs")
    refused(run("prune", counted, "--ngrams", 9, "--size", "1M", "-o", "x"), 2, "give one of")
    refused(run("prune", counted, "--quantize", 17, "-o", "x"), 2, "--quantize")
    refused(run("prune", verse, "--cutoffs", "0,1", "-o", "x"), 2, "--keep-counts")
    refused(run("prune", counted, "--cutoffs", "1,0", "-o", "x"), 2, "must be 0")
    refused(run("prune", counted, "--cutoffs", "0,0,0,0", "-o", "x"), 2, "the model has 3")
    refused(run("prune", cows, "--quantize", 8, "-o", "x"), 2, "mle does not back off", "quantization")
    assert not (tmp_path / "x").exists()


def test_the_command_line_goes_over_the_environment(succeed, counted, monkeypatch, tmp_path):
    """LMKIT_CUTOFFS may be there for `train`."""
    monkeypatch.setenv("LMKIT_CUTOFFS", "0,1")
    succeed("prune", counted, "--ngrams", 60, "-o", "small.lmkit")
    assert "pruned" in succeed("info", "small.lmkit", "--format", "json").row["config"]
    succeed("prune", counted, "-o", "small.lmkit")
    assert succeed("info", "small.lmkit", "--format", "json").row["config"]["cut_off"] == [0, 1, 1]
