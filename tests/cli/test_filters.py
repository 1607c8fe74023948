"""The commands that stand in pipelines: score, filter, tokenize, detokenize."""

import json
import math
import os
import subprocess
import sys

import pytest
from texts import COWS, VERSES

VERSE = "\n".join([*VERSES, "", 'He said, "wait', 'and went" away\tnow', "r\u00e9sum\u00e9  two  blanks "]) + "\n"


class TestScore:
    def test_a_row_a_line_by_hand(self, succeed, cows):
        """p(corn | cows eat) = 4/11; "cows eat" begins each sentence; </s> never follows a word in this model: the
        newline stands between. So a line is impossible, and its score infinite."""
        rows = succeed("score", "-m", cows, stdin=b"cows eat corn\n").text.split("\t")
        assert rows == ["-inf", "4", "0", "inf", "cows eat corn\n"]

    def test_numbers_are_those_of_perplexity(self, succeed, verse):
        """With sentences of lines, where each line stands alone, both score the same tokens."""
        succeed(
            "train", "--tokenizer", "whitespace", "--order", 3, "--discount-fallback", "0.5,1,1.5", stdin=VERSE.encode()
        )
        rows = [line.split("\t", 4) for line in succeed("score", stdin=VERSE.encode()).text.splitlines()]
        assert "\n".join(row[4] for row in rows) + "\n" == VERSE
        whole = succeed("perplexity", "--format", "json", stdin=VERSE.encode()).row
        assert sum(float(row[0]) for row in rows) == pytest.approx(whole["log_probability"], rel=1e-6)
        assert sum(int(row[1]) for row in rows) == whole["tokens"]
        for log_p, tokens, _, perplexity, _ in rows:
            assert float(perplexity) == pytest.approx(math.exp(-float(log_p) / int(tokens)), rel=1e-6)

    def test_a_line_does_not_depend_on_its_company(self, succeed, verse):
        """Nor on an open quote before it."""
        together = succeed("score", "-m", verse, stdin=VERSE.encode()).out.splitlines()
        alone = [
            succeed("score", "-m", verse, stdin=f"{line}\n".encode()).out.strip(b"\n") for line in VERSE.split("\n")
        ]
        assert together == alone[:-1]
        assert succeed("score", "-m", verse, stdin=VERSE.encode()[:-1]).out.splitlines() == together

    def test_recurrent_models_begin_anew_on_each_line(self, succeed):
        options = ["--arch", "elman", "--hidden", 4, "--layers", 1, "--steps", 2, "--valid", 0]
        succeed("train", *options, "--tokenizer", "char", stdin=VERSE.encode())
        rows = succeed("score", stdin=b"the end\nthe end\n\nthe end\n").out.splitlines()
        assert rows[0] == rows[1] == rows[3] != rows[2]

    def test_tokens(self, succeed, cows):
        rows = succeed("score", "-m", cows, "--by", "token", "--format", "json", stdin=b"cows eat stones\n").rows
        assert [(r["token"], r["order"]) for r in rows] == [("cows", 2), ("eat", 3), ("<unk>", 1), ("</s>", 1)]
        assert rows[1]["log_probability"] == pytest.approx(0, abs=1e-6)
        assert rows[2]["log_probability"] is None and rows[2]["infinite"]
        text = succeed("score", "-m", cows, "--by", "token", stdin=b"cows eat stones\n").text
        assert text.splitlines()[1].split("\t")[:2] == ["eat", "3"]

    def test_json(self, succeed, verse):
        (row,) = succeed("score", "-m", verse, "--format", "json", stdin=b"a\tb").rows
        assert row["line"] == "a\tb" and row["tokens"] == 4 and row["perplexity"] > 1

    def test_rows_come_as_lines_arrive(self, verse, tmp_path):
        command = [sys.executable, "-m", "lmkit", "score", "-m", str(verse)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for line in (b"so\n", b"it goes on and on\n"):
                process.stdin.write(line)
                process.stdin.flush()
                assert process.stdout.readline().endswith(b"\t" + line)
            process.stdin.close()
            assert process.wait(20) == 0

    def test_nbest_lists(self, succeed, verse):
        lists = (
            "0 ||| the end ||| LM0= -3.5 TM0= -1 -2 ||| -4.1\n"
            "0 ||| an end ||| lmkit= 7 8 TM0= -1 -2 ||| -4.2 ||| 0-0\n"
            "1 ||| the end |||  ||| -1\n"
        )
        rows = [
            row.split(" ||| ")
            for row in succeed("score", "-m", verse, "--nbest", stdin=lists.encode()).text.splitlines()
        ]
        scores = [
            line.split("\t")[0] for line in succeed("score", "-m", verse, stdin=b"the end\nan end\n").text.splitlines()
        ]
        assert rows[0] == ["0", "the end", f"LM0= -3.5 TM0= -1 -2 lmkit= {scores[0]}", "-4.1"]
        assert rows[1] == ["0", "an end", f"lmkit= {scores[1]} TM0= -1 -2", "-4.2", "0-0"]
        assert rows[2] == ["1", "the end", f"lmkit= {scores[0]}", "-1"]

    def test_what_is_no_nbest_list(self, run, verse):
        result = run("score", "-m", verse, "--nbest", stdin=b"0 ||| a ||| b ||| 1\nnothing\n")
        assert result.code == 1 and "line 2 has 1 fields" in result.err
        assert run("score", "-m", verse, "--nbest", "--by", "token").code == 2


class TestFilter:
    def test_passes_lines_on_by_their_perplexity(self, succeed, verse):
        rows = [line.split("\t", 4) for line in succeed("score", "-m", verse, stdin=VERSE.encode()).text.splitlines()]
        limit = sorted(float(row[3]) for row in rows)[3]
        kept = succeed("filter", "-m", verse, "--max-perplexity", limit, stdin=VERSE.encode()).text
        assert kept == "".join(row[4] + "\n" for row in rows if float(row[3]) <= limit)
        assert kept.count("\n") == 4

    def test_keeps_a_share(self, succeed, verse, tmp_path):
        (tmp_path / "text").write_text(VERSE)
        lines = VERSE.count("\n")
        for share in (0, 0.5, 1):
            kept = succeed("filter", "-m", verse, "--keep", share, "text").text
            assert round(lines * share) <= kept.count("\n") <= round(lines * share) + 1  # two lines are the same

    @pytest.mark.parametrize(
        "arguments", [[], ["--keep", 0.5], ["--keep", 2, "t"], ["--keep", 0.1, "--max-perplexity", 3, "t"]]
    )
    def test_what_it_is_not_given(self, run, verse, tmp_path, arguments):
        (tmp_path / "t").write_text("a\n")
        assert run("filter", "-m", verse, *arguments).code == 2


class TestTokenize:
    @pytest.mark.parametrize("tokenizer", ["word", "char", "byte"])
    @pytest.mark.parametrize("sentence", ["line", "paragraph", "text"])
    def test_there_and_back(self, succeed, tokenizer, sentence):
        ways = ["--tokenizer", tokenizer, "--sentence", sentence]
        for text in (VERSE, VERSE[:-1], "", "\n", "a\n\n\nb", "<unk", "\\s \t\r\n\u2028x"):
            tokens = succeed("tokenize", *ways, stdin=text.encode()).out
            assert succeed("detokenize", *ways, stdin=tokens).text == text

    def test_whitespace(self, succeed):
        tokens = succeed("tokenize", "--tokenizer", "whitespace", stdin=b" a  b\n\nc").text
        assert tokens == "a b\n\nc\n"
        assert succeed("detokenize", "--tokenizer", "whitespace", stdin=tokens.encode()).text == tokens

    def test_ids_of_a_model(self, succeed, cows):
        ids = succeed("tokenize", "-m", cows, "--ids", stdin=b"cows eat corn\n").text
        assert all(word.isdigit() for word in ids.split())
        assert succeed("detokenize", "-m", cows, "--ids", stdin=ids.encode()).text == "cows eat corn\n"
        assert succeed("tokenize", "-m", cows, "--ids", stdin=b"stones").text == "0\n"

    @pytest.mark.parametrize("ids", ["3 x", "1000000", "-1"])
    def test_what_is_no_id(self, run, cows, ids):
        result = run("detokenize", "-m", cows, "--ids", stdin=f"3\n{ids}\n".encode())
        assert result.code == 1 and "line 2" in result.err and result.err.count("\n") == 1

    def test_tokens_of_the_model_by_default(self, succeed, cows):
        """Also those it does not know."""
        assert succeed("tokenize", "-m", cows, stdin=b"cows, stones\n").text == "cows , stones \\n\n"

    def test_the_pipe_is_free_of_loss(self, tmp_path):
        (tmp_path / "t").write_bytes(VERSE.encode() * 50)
        lmkit = f"{sys.executable} -m lmkit"
        done = subprocess.run(
            f"{lmkit} tokenize --tokenizer word t | {lmkit} detokenize --tokenizer word | cmp - t",
            shell=True, cwd=tmp_path, env=os.environ, capture_output=True, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_filters_speak_json(succeed, verse):
    for line in succeed("score", "-m", verse, "--format", "json", stdin=COWS.encode()).out.splitlines():
        assert set(json.loads(line)) == {"log_probability", "tokens", "oov", "perplexity", "line"}
