"""lmkit mix, from the command line, and what the other commands make of a mixture."""

import json

import pytest
from texts import VERSES

TEXT = "\n".join(VERSES * 4).encode()
TUNE = "\n".join(VERSES[::-1]).encode()


@pytest.fixture
def models(succeed, tmp_path):
    """Two models of one text, and a text to tune on."""
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "tune").write_bytes(TUNE)
    for order in (1, 3):
        succeed("train", "--order", order, "--smoothing", "witten-bell", "text", "-o", f"{order}.lmkit")
    return ["1.lmkit", "3.lmkit"]


def test_every_command_takes_a_mixture(succeed, models):
    assert succeed("mix", *models, "--tune", "tune", "-o", "both.lmkit").out == b""
    perplexities = []
    for model in (*models, "both.lmkit"):
        found = json.loads(succeed("perplexity", "-m", model, "tune", "--format", "json").out)
        perplexities.append(found["perplexity"])
    assert perplexities[2] <= min(perplexities[:2]) * 1.0001
    assert succeed("sample", "-m", "both.lmkit", "--n", 9, "--seed", 1).out
    assert succeed("sample", "-m", "both.lmkit", "--n", 9, "--seed", 1, "--top-k", 3).out
    assert succeed("next", "-m", "both.lmkit", "--top", 3).out.count(b"\n") == 3
    assert succeed("score", "-m", "both.lmkit", stdin=TUNE).out.count(b"\n") == TUNE.count(b"\n") + 1
    assert b"1.lmkit" in succeed("compare", *models, "both.lmkit", "--text", "tune").out
    assert b"weights" in succeed("info", "-m", "both.lmkit", "--format", "json").out


def test_given_weights_and_caches(succeed, models):
    succeed("mix", *models, "--weights", "0.25,0.75", "-o", "both.lmkit")
    assert json.loads(succeed("info", "-m", "both.lmkit", "--format", "json").out)["config"]["weights"] == [0.25, 0.75]
    succeed("mix", "both.lmkit", "--cache", "unigram", "--tune", "tune", "-o", "cached.lmkit")
    found = json.loads(succeed("perplexity", "-m", "cached.lmkit", "tune", "--format", "json").out)
    assert found["unigram_cache_decay"] > 0 and found["reset"] == "file"
    succeed("train", "--vocab", "cached.lmkit", "--smoothing", "witten-bell", "text", "-o", "2.lmkit")
    succeed("mix", "2.lmkit", "both.lmkit", "--weights", "0.5,0.5", "-o", "more.lmkit")
    assert len(json.loads(succeed("info", "-m", "more.lmkit", "--format", "json").out)["config"]["members"]) == 3


def test_what_is_refused(run, models, tmp_path):
    def refused(code, *arguments):
        result = run("mix", *arguments)
        assert (result.code, result.out) == (code, b"") and result.err.count("\n") == 1, result
        return result.err

    assert "--tune" in refused(2, *models, "-o", "x")
    assert "sum to 0.5" in refused(2, *models, "--weights", "0.25,0.25", "-o", "x")
    assert "no such model" in refused(1, *models, "nowhere.lmkit", "--weights", "0.2,0.2,0.6", "-o", "x")
    assert "1.lmkit" in refused(2, *models, "--tune", "tune", "-o", "1.lmkit")
    (tmp_path / "nothing").write_bytes(b"")
    assert "nothing" in refused(1, *models, "--tune", "nothing", "-o", "x")
    assert not (tmp_path / "x").exists()
