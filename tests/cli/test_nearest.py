"""lmkit nearest, from the command line."""

import json

import pytest

FARM = "the cow eats grass\nthe hen eats corn\na cow sees the hen\na hen sees the cow\nthe hay is green\n"


@pytest.fixture
def farm(succeed):
    succeed("train", "--order", 2, "--smoothing", "witten-bell", "--tokenizer", "whitespace", stdin=FARM.encode())


def test_one_word_is_a_table(succeed, farm):
    lines = succeed("nearest", "cow", "--top", 2).text.splitlines()
    assert len(lines) == 2 and lines[0].split()[0] == "hen" and 0 < float(lines[0].split()[1]) <= 1
    assert len({len(line) for line in lines}) == 1  # names are padded, numbers have three decimals
    assert len(succeed("nearest", "cow", "--top", 0).text.splitlines()) > 2


def test_several_words_have_a_block_each(succeed, farm):
    blocks = succeed("nearest", "cow", "grass").text.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["cow", "grass"]
    assert blocks[0].splitlines()[1:] == succeed("nearest", "cow").text.splitlines()


def test_tsv_and_json_say_the_same(succeed, farm):
    rows = succeed("nearest", "cow", "hen", "--format", "json").rows
    table = [line.split("\t") for line in succeed("nearest", "cow", "hen", "--format", "tsv").text.splitlines()]
    assert list(rows[0]) == ["word", "token", "id", "similarity", "before", "after"]
    for row, (word, token, *numbers) in zip(rows, table, strict=True):
        assert (word, token) == (row["word"], row["token"])
        expected = (row["similarity"], row["before"], row["after"])
        assert list(map(float, numbers)) == pytest.approx(expected, abs=1e-6)
    for side in ("before", "after"):
        sided = succeed("nearest", "cow", "--side", side, "--format", "json").rows
        assert all(row["similarity"] == row[side] for row in sided)


def test_words_from_a_pipe(succeed, run, farm):
    expected = succeed("nearest", "cow", "hen", "hay", "--format", "tsv").out
    assert succeed("nearest", "-", "--format", "tsv", stdin=b"cow hen\r\n\n  hay").out == expected
    assert succeed("nearest", "cow", "-", "--format", "tsv", stdin=b"hen hay\n").out == expected
    assert succeed("nearest", "-", stdin=b"").out == b""
    assert run("nearest", "-", "-").code == 2


def test_tokens_are_escaped(succeed):
    succeed("train", "--order", 2, "--smoothing", "mle", "--tokenizer", "char", stdin=b"a b\\c\n\\d a\n" * 3)
    for token in ("\\s", "\\n", "\\\\"):
        rows = succeed("nearest", token, "--format", "tsv").text.splitlines()
        assert rows and all(row.split("\t")[0] == token and len(row.split("\t")) == 5 for row in rows)
    assert "\n\\s\n" in "\n" + succeed("nearest", "\\s", "a").text


def test_a_word_unlike_all_others_is_told_of(run, succeed):
    succeed("train", "--order", 2, "--smoothing", "mle", "--tokenizer", "whitespace", stdin=b"a b c\n")
    result = run("nearest", "a", "b")
    assert (result.code, result.text) == (0, "a\n\nb\n")
    assert result.err.splitlines()[0] == "Warning: 'a' has nothing in common with any other token of the model"


def test_what_is_refused_is_one_line_and_nothing_is_written(run, succeed, farm):
    for code, arguments, words in (
        (1, ["kow"], "did you mean cow"), (1, ["cow", "the hen"], "2 tokens"), (1, ["</s>"], "reserved"),
        (2, [""], "WORD is empty"), (2, ["cow", ""], "WORD is empty"),
        (2, [], "WORD"), (2, ["cow", "--side", "left"], "--side"), (2, ["cow", "-o", "model.lmkit"], "model.lmkit"),
    ):  # fmt: skip
        result = run("nearest", *arguments)
        assert (result.code, result.out) == (code, b"") and words in result.err and result.err.count("\n") == 1
    succeed("train", "--order", 1, "--smoothing", "mle", stdin=b"a b c\n")
    assert "model.lmkit knows single tokens only" in run("nearest", "a").err


def test_the_joiner_is_named_but_by_no_empty_word(run, succeed):
    succeed("train", "--order", 2, "--smoothing", "witten-bell", stdin=b"a ,b c. a ,c b.\n" * 3)
    assert succeed("nearest", "\\j", "--format", "tsv").text.startswith("\\j\t")
    assert run("nearest", "").code == 2


def test_networks_and_mixtures_answer_too(succeed, tmp_path):
    (tmp_path / "text").write_text(FARM * 5)
    quick = ["--arch", "elman", "--hidden", 8, "--steps", 5, "--batch", 2, "--bptt", 5]
    succeed("train", *quick, "--tokenizer", "char", "text", "-o", "net.lmkit")
    succeed("train", "--order", 2, "--smoothing", "witten-bell", "--vocab", "net.lmkit", "--tokenizer", "char", "text",
            "-o", "grams.lmkit")  # fmt: skip
    succeed("mix", "net.lmkit", "grams.lmkit", "--weights", "0.5,0.5", "-o", "both.lmkit")
    for model in ("net.lmkit", "grams.lmkit", "both.lmkit"):
        rows = [json.loads(line) for line in succeed("nearest", "e", "-m", model, "--format", "json").out.splitlines()]
        assert rows and all(len(row["token"]) == 1 for row in rows)
