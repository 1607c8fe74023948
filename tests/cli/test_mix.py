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


@pytest.mark.parametrize("options", [["--rule", "log-linear"], ["--weights-by", "context"]])
def test_other_mixtures_are_models_like_others(succeed, models, options):
    succeed("mix", *models, *options, "--tune", "tune", "-o", "both.lmkit")
    perplexities = [
        succeed("perplexity", "-m", model, "tune", "--format", "json").row["perplexity"]
        for model in (*models, "both.lmkit")
    ]
    assert perplexities[2] <= min(perplexities[:2]) * 1.0001
    for sampling in ((), ("--top-k", 3), ("--temperature", 0.5), ("--count", 2)):
        assert succeed("sample", "-m", "both.lmkit", "--n", 9, "--seed", 1, *sampling).out
    assert succeed("next", "-m", "both.lmkit", "--top", 3).out.count(b"\n") == 3
    assert succeed("score", "-m", "both.lmkit", stdin=TUNE).out.count(b"\n") == TUNE.count(b"\n") + 1
    assert b"both.lmkit" in succeed("compare", *models, "both.lmkit", "--text", "tune").out
    succeed("mix", "both.lmkit", "--cache", "unigram", "--tune", "tune", "-o", "cached.lmkit")
    assert succeed("info", "-m", "cached.lmkit", "--verify", "--format", "json").row["damaged"] == []


def test_exponents_by_hand(succeed, models):
    succeed("mix", *models, "--rule", "log-linear", "--weights", "0.5,1.5", "-o", "both.lmkit")
    assert succeed("info", "-m", "both.lmkit", "--format", "json").row["config"]["exponents"] == [0.5, 1.5]


def test_a_static_mixture_is_an_n_gram_model(succeed, run, models):
    succeed("mix", *models, "--tune", "tune", "-o", "both.lmkit")
    succeed("mix", *models, "--tune", "tune", "--static", "-o", "one.lmkit")
    found = succeed("info", "one.lmkit", "--format", "json").row
    assert (found["family"], found["config"]["smoothing"], found["training"]["mixed"]) == ("ngram", "mixture", models)
    perplexities = [
        succeed("perplexity", "-m", f"{name}.lmkit", "tune", "--format", "json").row["perplexity"]
        for name in ("both", "one")
    ]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=0.01)
    assert succeed("sample", "-m", "one.lmkit", "--n", 9, "--seed", 1).out
    succeed("prune", "one.lmkit", "--threshold", "1e-4", "--quantize", 8, "-o", "small.lmkit")
    assert succeed("convert", "one.lmkit", "-").out.startswith(b"\\data\\\nngram 1=")
    succeed("mix", "both.lmkit", "--static", "-o", "again.lmkit")
    again = succeed("info", "again.lmkit", "--format", "json").row
    assert again["config"]["ngrams"] == found["config"]["ngrams"]
    assert again["config"]["weights"] == pytest.approx(found["config"]["weights"])


def test_members_by_reference(succeed, run, models, tmp_path):
    succeed("mix", *models, "--tune", "tune", "--by-reference", "-o", "both.lmkit")
    succeed("mix", *models, "--tune", "tune", "-o", "holding.lmkit")
    assert (tmp_path / "both.lmkit").stat().st_size < (tmp_path / "holding.lmkit").stat().st_size / 2
    scores = [succeed("score", "-m", name, stdin=TUNE).out for name in ("both.lmkit", "holding.lmkit")]
    assert scores[0] == scores[1]
    shown = succeed("info", "both.lmkit").text
    assert "member 2, of weight" in shown and "ngram, in a file of its own" in shown and "1.lmkit" in shown
    succeed("info", "--verify", "both.lmkit")
    data = bytearray((tmp_path / "3.lmkit").read_bytes())
    data[-len(data) // 9] ^= 1
    (tmp_path / "3.lmkit").write_bytes(data)
    found = run("info", "--verify", "both.lmkit")
    assert found.code == 1 and found.err.count("\n") == 1
    assert "3.lmkit: tensor" in found.err and "mix anew" in found.err
    (tmp_path / "3.lmkit").unlink()
    for command in (("sample", "-m", "both.lmkit"), ("info", "--verify", "both.lmkit")):
        found = run(*command)
        assert found.code == 1 and found.err.count("\n") == 1
        assert f"both.lmkit: its member {tmp_path}/3.lmkit is not there; put it back, or mix anew" in found.err
    succeed("info", "both.lmkit")


def test_what_is_refused(run, models, tmp_path):
    def refused(code, *arguments):
        result = run("mix", *arguments)
        assert (result.code, result.out) == (code, b"") and result.err.count("\n") == 1, result
        return result.err

    assert "--tune" in refused(2, *models, "-o", "x")
    assert refused(2, "1.lmkit", "--cache", "unigram", "-o", "x").endswith("name one with --tune\n")
    assert "several models" in refused(
        2, "1.lmkit", "--cache", "unigram", "--weights", "1", "--tune", "tune", "-o", "x"
    )
    assert "from 0 to 100" in refused(2, *models, "--rule", "log-linear", "--weights", "1,-1", "-o", "x")
    assert "from 0 to 100" in refused(2, *models, "--rule", "log-linear", "--weights", "1,nan", "-o", "x")
    by_context = ("--weights-by", "context", "--tune", "tune", "-o", "x")
    assert "--rule linear" in refused(2, *models, "--rule", "log-linear", *by_context)
    assert "nothing to choose" in refused(2, *models, "--weights", "0.5,0.5", *by_context)
    assert "--tune" in refused(2, *models, "--weights-by", "context", "-o", "x")
    assert "sum to 0.5" in refused(2, *models, "--weights", "0.25,0.25", "-o", "x")
    assert "no such model" in refused(1, *models, "nowhere.lmkit", "--weights", "0.2,0.2,0.6", "-o", "x")
    assert "1.lmkit" in refused(2, *models, "--tune", "tune", "-o", "1.lmkit")
    (tmp_path / "nothing").write_bytes(b"")
    assert "nothing" in refused(1, *models, "--tune", "nothing", "-o", "x")
    assert "no mixture" in refused(2, "1.lmkit", "--static", "-o", "x")
    assert "--by-reference" in refused(2, *models, "--weights", "0.5,0.5", "--static", "--by-reference", "-o", "x")
    assert not (tmp_path / "x").exists()
