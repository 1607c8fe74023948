"""The commands that stand in pipelines: score, filter, tokenize, detokenize."""

import json
import math
import os
import re
import subprocess
import sys

import pytest
from texts import COWS, GREEN_HILL_ARPA, VERSES

VERSE = "\n".join([*VERSES, "", 'He said, "wait', 'and went" away\tnow', "r\u00e9sum\u00e9  two  blanks "]) + "\n"


class TestScore:
    def test_a_row_a_line_by_hand(self, succeed, cows):
        """The model knows paragraphs, so that a line stands after a line break and ends with one. Of 11 line breaks 10
        are before "cows eat", the last before </s>; p(corn | cows eat) = 4/11; a line break always follows corn."""
        row = succeed("score", "-m", cows, stdin=b"cows eat corn\n").text.rstrip("\n").split("\t")
        assert float(row[0]) == pytest.approx(math.log(10 / 11 * 4 / 11))
        assert row[1:3] == ["4", "0"] and row[4] == "cows eat corn"
        assert float(row[3]) == pytest.approx((121 / 40) ** (1 / 4))

    def test_pieces_of_a_sentence_by_hand(self, succeed, cows):
        """Of 45 tokens 11 are "cows": nothing is known of what stands before it, and no line break after it."""
        (row,) = succeed("score", "-m", cows, "--no-bos", "--no-eos", "--format", "json", stdin=b"cows eat corn\n").rows
        assert row["log_probability"] == pytest.approx(math.log(11 / 45 * 4 / 11)) and row["tokens"] == 3
        pieces = ["--no-bos", "--no-eos", "--by", "token", "--format", "json"]
        (row,) = succeed("score", "-m", cows, *pieces, stdin=b"eat").rows
        assert (row["token"], row["order"]) == ("eat", 1)

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
        assert [(r["token"], r["order"]) for r in rows] == [("cows", 2), ("eat", 3), ("<unk>", 1), ("\n", 1)]
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
        assert result.code == 1 and "line 2 has 1 field " in result.err
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
        assert set(json.loads(line)) == {
            "log_probability", "tokens", "oov", "perplexity", "line", "log_base",
        }  # fmt: skip


SPELLED = b"green hill\nwe saw <s> ten </s> of them\nthe <unk> hill\nstone hill\n"


class TestReservedWords:
    """What <s>, </s> and <unk> in a text are: --reserved, else LMKIT_RESERVED, else what they are to the model."""

    @pytest.fixture
    def hills(self, succeed, tmp_path):
        (tmp_path / "hills.arpa").write_text(GREEN_HILL_ARPA)
        succeed("convert", "hills.arpa", "model.lmkit")

    def test_kept_as_the_unknown_word(self, run, hills):
        """-0.25 - 1.1 for "the" after <s>, -1.1, -0.6, and -0.45 for </s> after "hill"."""
        options = ["--reserved", "keep", "--errors", "report", "--log-base", 10]
        result = run("score", *options, stdin=SPELLED)
        rows = [row.split("\t") for row in result.text.splitlines()]
        assert float(rows[2][0]) == pytest.approx(-3.5) and rows[2][1:3] == ["4", "1"]
        assert float(rows[0][0]) == pytest.approx(-1.05)
        assert rows[1] == ["", "", "", "", "we saw <s> ten </s> of them"] and len(rows) == 4
        assert result.code == 1 and result.err.splitlines()[0].startswith("Error: standard input: line 2: reserved")

    def test_as_white_space(self, succeed, hills):
        rows = succeed("score", "--reserved", "space", "--format", "json", stdin=SPELLED).rows
        (alone,) = succeed("score", "--format", "json", stdin=b"we saw ten of them\n").rows
        assert {**rows[1], "line": alone["line"]} == alone
        tokens = succeed("tokenize", "--reserved", "space", "-m", "model.lmkit", stdin=SPELLED).text
        assert tokens.splitlines()[1] == "we saw ten of them"

    @pytest.mark.parametrize(
        "command",
        [
            "score", "score --by token", "filter --max-perplexity 1e9", "perplexity", "next -", "explain",
            "tokenize -m model.lmkit", "tokenize --tokenizer whitespace", "sample --prompt - -n 3",
            "compare model.lmkit again.lmkit --text -", "mix model.lmkit again.lmkit --tune - -o mixed",
            "count --tokenizer whitespace", "plot model.lmkit --text -",
        ],
    )  # fmt: skip
    def test_every_command_that_reads_text(self, run, hills, tmp_path, monkeypatch, command):
        """The advice of the error helps, and so does the variable."""
        (tmp_path / "again.lmkit").write_bytes((tmp_path / "model.lmkit").read_bytes())
        command = command.split(" ")
        result = run(*command, stdin=SPELLED)
        assert result.code == 1 and "line 2: reserved token <s> in the text" in result.err
        assert "--reserved space" in result.err
        assert run(*command, "--reserved", "space", stdin=SPELLED).code == 0
        monkeypatch.setenv("LMKIT_RESERVED", "space")
        assert run(*command, stdin=SPELLED).code == 0

    def test_nbest_lists(self, run, succeed, hills):
        lists = b"".join(b"0 ||| %b ||| f= 1 ||| 2\n" % line for line in SPELLED.splitlines())
        assert "line 2: reserved token <s>" in run("score", "--nbest", stdin=lists).err
        rows = succeed("score", "--nbest", "--reserved", "space", "--log-base", 10, stdin=lists).text.splitlines()
        before, score, after = re.fullmatch(r"(.* f= 1 lmkit= )(\S+)( .*)", rows[0]).groups()
        assert (before, after, len(rows)) == ("0 ||| green hill ||| f= 1 lmkit= ", " ||| 2", 4)
        assert float(score) == pytest.approx(-1.05)

    def test_rows_before_a_bad_line_are_written(self, run, hills):
        for command in (["score"], ["filter", "--max-perplexity", 1e9], ["tokenize", "-m", "model.lmkit"]):
            for bad in (b"<s>", b"\xff"):
                result = run(*command, stdin=b"green hill\n" * 9 + bad + b"\ngreen hill\n")
                assert result.code == 1 and result.text.count("green hill\n") == 9 and "line 10" in result.err

    def test_reported_lines_are_alone(self, run, hills):
        """Rows and lines stay side by side, tokens of other lines are there, and the command fails in the end."""
        text = b"green hill\n\xff\nstone <s>\ngreen hill"
        result = run("score", "--errors", "report", "--format", "json", stdin=text)
        assert result.code == 1 and len(result.rows) == 4 and result.err.count("\n") == 3
        assert [row["log_probability"] is None for row in result.rows] == [False, True, True, False]
        assert "0xff" in result.rows[1]["error"] and "<s>" in result.rows[2]["error"]
        assert "error" not in result.rows[0] and result.rows[2]["line"] == "stone <s>"
        rows = run("score", "--errors", "report", "--by", "token", stdin=text).text.splitlines()
        assert [row.split("\t")[0] for row in rows] == ["green", "hill", "</s>", "", "", "green", "hill", "</s>"]
        rows = run("score", "--errors", "report", "--by", "token", "--format", "json", stdin=text).rows
        assert rows[3]["token"] is None and "error" in rows[3]
        result = run("filter", "--errors", "report", "--max-perplexity", 1e9, stdin=text)
        assert (result.code, result.text, result.err.count("\n")) == (1, "green hill\ngreen hill\n", 3)
        assert run("perplexity", "--errors", "report", stdin=text).code == 2


class TestLogBase:
    """Natural logarithms unless asked for others; JSON says which."""

    def test_everywhere(self, succeed, verse, monkeypatch):
        commands = (
            ["perplexity", "--format", "json"], ["score", "--format", "json"],
            ["score", "--format", "json", "--by", "token"], ["sample", "-n", 5, "--seed", 1, "--format", "json"],
        )  # fmt: skip
        for command in commands:
            usual = succeed(*command, "-m", verse, stdin=b"the end\nof it\n").rows
            assert {row["log_base"] for row in usual} == {"e"}
            for base, number in (("10", 10), ("2", 2)):
                monkeypatch.setenv("LMKIT_LOG_BASE", base)
                rows = succeed(*command, "-m", verse, stdin=b"the end\nof it\n").rows
                monkeypatch.delenv("LMKIT_LOG_BASE")
                for row, natural in zip(rows, usual, strict=True):
                    assert row["log_probability"] == pytest.approx(natural["log_probability"] / math.log(number))
                    same = {"log_probability", "log_base"}
                    assert row["log_base"] == base and row.keys() == natural.keys()
                    assert all(row[name] == natural[name] for name in row.keys() - same)

    def test_differences(self, succeed, verse):
        """The unit is said."""
        command, text = ["compare", verse, verse, "--text", "-"], b"the end\nof it\n"
        (usual,), (bits,) = (
            succeed(*command, *base, "--format", "json", stdin=text).rows for base in ([], ["--log-base", 2])
        )
        assert (usual["log_base"], bits["log_base"]) == ("e", "2")
        e, b = (row["models"][0]["log_probability"] for row in (usual, bits))
        assert b == pytest.approx(e / math.log(2))
        shown = succeed(*command, "--log-base", 10, stdin=text).text
        assert "hartleys a token" in shown and "nats" not in shown

    def test_rows(self, succeed, verse):
        for command in (["score"], ["score", "--by", "token"], ["sample", "-n", 5, "--seed", 1, "--format", "tsv"]):
            column = {"score": 0, "sample": 2}[command[0]] if len(command) != 3 else 2
            usual, bits = (
                succeed(*command, *base, "-m", verse, stdin=b"the end\n").text.splitlines()
                for base in ([], ["--log-base", 2])
            )
            for a, b in zip(usual, bits, strict=True):
                a, b = a.split("\t"), b.split("\t")
                assert float(b.pop(column)) == pytest.approx(float(a.pop(column)) / math.log(2)) and a == b
