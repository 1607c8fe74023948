"""lmkit compare: its tables, and models that do not compare."""

import json
import math

import pytest
from texts import COWS

import lmkit


@pytest.fixture
def models(succeed, tmp_path):
    """Three models: two of the same tokens, one of bytes; and a text."""
    (tmp_path / "corpus.txt").write_text(COWS * 6)
    (tmp_path / "test.txt").write_text("which cows eat hay if corn\n" + COWS * 6)
    options = ["--smoothing", "add-k", "corpus.txt"]
    for name, order, tokenizer in (("a", 1, "char"), ("b", 2, "char"), ("c", 2, "byte"), ("w", 2, "whitespace")):
        succeed("train", *options, "--order", order, "--tokenizer", tokenizer, "-o", f"{name}.lmkit")
    return "a.lmkit", "b.lmkit", "c.lmkit"


def test_json_is_what_the_call_returns(succeed, models, tmp_path):
    row = succeed("compare", *models, "--text", "test.txt", "--format", "json").row
    expected = lmkit.compare(models, "test.txt").as_dict()
    for found in (*row["models"], *expected["models"]):
        assert found.pop("tokens_per_second") > 0
    assert row == json.loads(json.dumps(expected))
    assert [m["bytes"] for m in row["models"]] == [(tmp_path / name).stat().st_size for name in models]
    assert [m["perplexity"] is None for m in row["models"]] == [False, False, True]
    first = row["differences"][0]
    assert (first["model"], first["baseline"], first["measure"]) == ("b.lmkit", "a.lmkit", "perplexity")
    assert first["ratio"] == pytest.approx(math.exp(first["difference"]))
    assert first["low"] < first["difference"] < first["high"] and first["ratio_low"] < first["ratio"]
    assert row["text"]["lines"] == 67 and row["notes"] == [
        "c.lmkit: perplexity does not compare with a.lmkit: tokenizer is char and byte"
    ]


def test_who_knows_the_text_is_told(succeed, models):
    """Also of mixtures, whose members were trained on it; not of another text."""
    succeed("mix", *models[:2], "--weights", "0.5,0.5", "-o", "m.lmkit")
    told = [succeed("compare", "a.lmkit", "m.lmkit", "--text", text, "--format", "json").row["notes"]
            for text in ("corpus.txt", "test.txt")]  # fmt: skip
    assert told == [["a.lmkit, m.lmkit: was trained on corpus.txt: it looks better than it is"], []]


def test_speeds_are_rough_and_differences_have_their_units(succeed, models):
    shown = succeed("compare", *models[:2], "--text", "test.txt").text
    speed = shown.splitlines()[1].split()[4].replace(",", "").replace(".", "")
    assert len(speed.strip("0")) <= 2
    for unit in ("nats a token", "bits a character", "bits a byte"):
        assert f"b.lmkit: {unit}" in shown


def test_tsv_has_a_row_for_each_thing(succeed, models):
    one = succeed("compare", *models, "--text", "test.txt", "--format", "json").row
    rows = [
        line.split("\t")
        for line in succeed("compare", *models, "--text", "test.txt", "--format", "tsv").text.splitlines()
    ]
    by_kind = {kind: [row[1:] for row in rows if row[0] == kind] for kind in ("model", "difference", "note", "setting")}
    assert sum(map(len, by_kind.values())) == len(rows)
    assert [row[0] for row in by_kind["model"]] == list(models)
    assert [row[3] for row in by_kind["model"]] == [*(f"{m['perplexity']:.9g}" for m in one["models"][:2]), "-"]
    assert by_kind["difference"][0][:3] == ["b.lmkit", "a.lmkit", "perplexity"]
    assert float(by_kind["difference"][0][3]) == pytest.approx(one["differences"][0]["difference"], rel=1e-8)
    assert by_kind["note"] == [[note] for note in one["notes"]]
    assert ["seed", "1"] in by_kind["setting"] and ["text.lines", "67"] in by_kind["setting"]


def test_text_is_aligned(succeed, models):
    one = succeed("compare", *models, "--text", "test.txt", "--format", "json").row
    table, differences, notes, settings = succeed("compare", *models, "--text", "test.txt").text.split("\n\n")
    lines = table.splitlines()
    assert lines[0].split() == ["model", "perplexity", "bits/character", "bits/byte", "tokens/s", "size"]
    assert lines[1].split()[1] == f"{one['models'][0]['perplexity']:.2f}" and lines[3].split()[1] == "-"
    for block in (table, differences):
        assert len({len(line) for line in block.splitlines()}) == 1
    assert differences.startswith("against a.lmkit ") and "95 % between" in differences
    assert f"{one['differences'][0]['ratio']:.4f}" in differences.splitlines()[1] and "100.0 %" in differences
    assert notes == one["notes"][0]
    assert dict(line.split(maxsplit=1) for line in settings.splitlines())["resamples"] == "1000"


def test_unknown_words_have_a_column_and_infinity_a_name(succeed):
    for order in (1, 2):
        options = ["--smoothing", "mle", "--tokenizer", "whitespace", "--order", order]
        succeed("train", *options, "-o", f"{order}.lmkit", stdin=COWS.encode())
    text = succeed("compare", "1.lmkit", "2.lmkit", stdin=b"cows eat stones\n").text
    head, first, second = (line.split("  ") for line in text.splitlines()[:3])
    assert "without OOVs" in [field.strip() for field in head]
    assert first[0] == "1.lmkit" and "inf" in [field.strip() for field in first] and second[0] == "2.lmkit"


def test_rare_characters_are_paid_for_or_left_out(succeed, models):
    text = (COWS + "which cows éat\n").encode()
    shown = succeed("compare", *models[::2], stdin=text).text
    assert "upper bound: bits/character" in shown and "c.lmkit: bits a byte, upper bound" in shown
    row = succeed("compare", *models[::2], "--common", "--format", "json", stdin=text).row
    assert row["lines_left_out"] == 1 and row["models"][0]["oov"] == 0 and row["models"][0]["bits_per_byte"] > 0
    (line, _) = (
        line.split("\t")
        for line in succeed("compare", *models[::2], "--format", "tsv", stdin=text).text.splitlines()[:2]
    )
    assert len(line) == 12 and line[6] == line[7] == "-" and float(line[10]) > float(line[11]) > 0


def test_the_pipe_is_read_once_for_all(succeed, models, tmp_path):
    text = (tmp_path / "test.txt").read_bytes()
    piped = succeed("compare", *models, "--format", "json", stdin=text).row
    named = succeed("compare", *models, "--text", "test.txt", "--format", "json").row
    assert piped["text"]["names"] == ["standard input"] and piped["differences"] == named["differences"]
    both = succeed("compare", *models, "--text", "test.txt", "--text", "-", "--format", "json", stdin=text).row
    assert both["text"]["names"] == ["test.txt", "standard input"] and both["text"]["lines"] == 134


def test_what_does_not_compare_is_one_line(run, models):
    result = run("compare", "a.lmkit", "w.lmkit", "--text", "test.txt")
    assert (result.code, result.out) == (2, b"") and result.err.count("\n") == 1
    for word in ("a.lmkit and w.lmkit do not compare", "tokenizer is char and whitespace", "w.lmkit has no bits"):
        assert word in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.lmkit"], 2, "two models"),
        ([], 2, "MODEL"),
        (["a.lmkit", "none.lmkit"], 1, "none.lmkit"),
        (["a.lmkit", "corpus.txt"], 1, "corpus.txt"),
        (["a.lmkit", "b.lmkit", "--text", "nowhere.txt"], 1, "nowhere.txt"),
        (["a.lmkit", "b.lmkit", "--text", "-", "--text", "-"], 2, "once"),
        (["a.lmkit", "b.lmkit"], 1, "standard input holds no tokens"),
        (["a.lmkit", "b.lmkit", "--confidence", "95"], 2, "--confidence is 95"),
        (["a.lmkit", "b.lmkit", "--block", "0"], 2, "--block"),
        (["a.lmkit", "b.lmkit", "--resamples", "0"], 2, "--resamples"),
        (["a.lmkit", "b.lmkit", "--resamples", "1000000000000", "--text", "test.txt"], 2, "at most 1,000,000"),
        (["a.lmkit", "b.lmkit", "-o", "b.lmkit"], 2, "is what is read"),
        (["a.lmkit", "b.lmkit", "--text", "test.txt", "-o", "test.txt"], 2, "is what is read"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(run, models, arguments, code, said):
    result = run("compare", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, b"", 1)
    assert result.err.startswith("Error: ") and said in result.err
