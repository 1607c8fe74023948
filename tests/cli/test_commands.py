"""What each command prints."""

import math

import pytest
from texts import COWS

from lmkit.cli import terminal


class TestTrain:
    def test_reads_several_files_and_the_pipe(self, succeed, tmp_path):
        (tmp_path / "a.txt").write_text("a b\n" * 5)
        succeed(
            "train",
            "a.txt",
            "-",
            "--smoothing",
            "mle",
            "--order",
            1,
            "--tokenizer",
            "whitespace",
            stdin=b"c d\n" * 5,
        )
        rows = {r["token"]: r["count"] for r in succeed("next", "--format", "json").rows}
        assert rows == {"</s>": 10, "a": 5, "b": 5, "c": 5, "d": 5}

    def test_reads_the_pipe_where_nothing_is_named(self, succeed):
        succeed("train", "--smoothing", "mle", stdin=COWS.encode())
        assert succeed("next", "cows eat", "--format", "json").rows[0]["token"] == "corn"

    def test_records_the_training(self, succeed):
        succeed("train", "--smoothing", "add-k", "--k", 0.5, "--order", 2, "--lowercase", stdin=COWS.encode())
        record = succeed("info", "--format", "json").row["training"]
        (corpus,) = record["corpora"]
        assert (corpus["bytes"], len(corpus["sha256"]), record["held_out"]) == (len(COWS), 64, None)
        assert record["options"]["k"] == 0.5 and record["options"]["lowercase"] is True
        assert "seconds" not in record and record["lmkit_version"]

    def test_same_texts_and_options_give_the_same_file(self, succeed, tmp_path):
        for name in ("one", "two"):
            succeed("train", "-o", name, "--smoothing", "mle", stdin=COWS.encode())
        one, two = ((tmp_path / name).read_bytes() for name in ("one", "two"))
        assert one == two

    def test_vocabulary_from_a_file_and_from_a_model(self, succeed, tmp_path, cows):
        (tmp_path / "words").write_text("cows\neat\ncorn\n\\n\n")
        options = ["--smoothing", "mle", "--order", 1]
        succeed("train", "--vocab", "words", *options, stdin=COWS.encode())
        rows = {r["token"]: r["count"] for r in succeed("next", "--format", "json").rows}
        assert rows == {"cows": 11, "eat": 11, "\n": 11, "<unk>": 7, "corn": 4, "</s>": 1}
        succeed("train", "--vocab", cows, *options, stdin=b"cows eat stone\n")
        rows = {r["token"]: r["count"] for r in succeed("next", "--format", "json", "--top", 0).rows}
        assert rows == {"cows": 1, "eat": 1, "\n": 1, "<unk>": 1, "</s>": 1}

    def test_another_tokenizers_vocabulary_is_refused(self, run, cows):
        result = run("train", "--vocab", cows, "--tokenizer", "whitespace", stdin=b"cows\n")
        assert result.code == 2 and "word" in result.err

    def test_limit_vocabulary_drops_words_after_counting(self, succeed, tmp_path):
        (tmp_path / "words").write_text("b\nc\n")
        options = ["--order", 2, "--tokenizer", "whitespace", "--discount-fallback", "0.5,1,1.5"]
        succeed("train", *options, "--limit-vocab", "words", stdin=b"a a b\nb c\n")
        rows = {r["token"]: r["probability"] for r in succeed("next", "--format", "json").rows}
        assert set(rows) == {"b", "c", "</s>", "<unk>"} and sum(rows.values()) == pytest.approx(1, abs=1e-5)


class TestNext:
    def test_the_lecture_table(self, succeed, cows):
        """Eleven phrases: after "cows eat" come corn 4, grass 3, hay 2, if 1, which 1."""
        lines = [line.split() for line in succeed("next", "cows eat", "-m", cows).text.splitlines()]
        assert [(w, n) for w, _, n in lines] == [
            ("corn", "4/11"), ("grass", "3/11"), ("hay", "2/11"), ("if", "1/11"), ("which", "1/11"),
        ]  # fmt: skip
        assert [p for _, p, _ in lines] == ["0.363636", "0.272727", "0.181818", "0.090909", "0.090909"]

    def test_tsv_and_json_say_the_same(self, succeed, cows):
        rows = succeed("next", "cows eat", "-m", cows, "--format", "json", "--top", 2).rows
        assert rows[0] == {
            "token": "corn",
            "id": rows[0]["id"],
            "probability": pytest.approx(4 / 11),
            "count": 4,
            "total": 11,
        }
        assert succeed("next", "cows eat", "-m", cows, "--format", "tsv", "--top", 1).text.split("\t")[::2] == [
            "corn",
            "4",
        ]

    def test_white_space_is_escaped(self, succeed, cows):
        assert succeed("next", "eat corn", "-m", cows).text.split()[0] == "\\n"

    def test_kneser_ney_keeps_no_counts(self, succeed, verse):
        rows = succeed("next", "fair", "-m", verse, "--format", "json", "--top", 0).rows
        assert rows[0]["token"] == "sun" and rows[0]["count"] is None
        assert sum(r["probability"] for r in rows) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize(
        ("context", "said"),
        [
            ("", []),
            ("cows eat", []),
            ("eat", []),
            ("cows corn eat corn", []),
            ("cows corn", ["This context was not seen in training; the answer is for its end: corn"]),
            ("corn cows eat corn eat", ["This context was not seen in training; the answer is for its end: eat"]),
            (
                "zebras ponder\\n",
                [
                    "Not in the vocabulary, taken as <unk>: zebras ponder",
                    r"This context was not seen in training; the answer is for its end: \n",
                ],
            ),
            (
                "eat zebras",
                [
                    "Not in the vocabulary, taken as <unk>: zebras",
                    "This context was not seen in training; the answer is without any context",
                ],
            ),
        ],
    )
    def test_a_context_that_was_not_seen_is_told_of(self, run, cows, context, said):
        """Also where nobody watches; on the standard error, and not with -q."""
        result = run("next", context, "-m", cows)
        assert (result.code, result.err.splitlines()) == (0, said) and result.out
        quiet = run("next", context, "-m", cows, "-q")
        assert (quiet.out, quiet.err) == (result.out, "")


class TestPerplexity:
    def test_worked_numbers(self, succeed, tmp_path):
        """Order 1 on "a a b </s>": p(a) = 1/2, p(b) = p(</s>) = 1/4; "a b </s>" has 1/32."""
        succeed("train", "--smoothing", "mle", "--order", 1, "--tokenizer", "whitespace", stdin=b"a a b\n")
        row = succeed("perplexity", "--format", "json", stdin=b"a b\n").row
        assert (row["tokens"], row["sentences"], row["oov"]) == (3, 1, 0)
        assert row["log_probability"] == pytest.approx(math.log(1 / 32))
        assert row["perplexity"] == row["perplexity_without_oov"] == pytest.approx(32 ** (1 / 3))
        assert row["bits_per_character"] is None and row["bits_reason"]
        assert (row["tokenizer"], row["sentence"], row["reset"], row["order"], row["smoothing"]) == (
            "whitespace", "line", "file", 1, "mle",
        )  # fmt: skip
        assert row["model"] == "model.lmkit" and row["lmkit_version"]

    def test_out_of_vocabulary(self, succeed):
        succeed("train", "--smoothing", "mle", "--order", 1, "--tokenizer", "whitespace", stdin=b"a a b\n")
        row = succeed("perplexity", "--format", "json", stdin=b"a zebra\n").row
        assert (row["oov"], row["perplexity"], row["infinite"]) == (1, None, True)
        assert row["perplexity_without_oov"] == pytest.approx(8**0.5)

    def test_a_rare_character_is_named_and_paid_for(self, succeed):
        """a and the line break are known, and each of the three others is one of 0x110000 - 2."""
        options = ["--smoothing", "add-k", "--order", 1, "--tokenizer", "char", "--sentence", "line"]
        succeed("train", *options, stdin=b"a\na\n")
        text = "aé é\n"
        row = succeed("perplexity", "--format", "json", stdin=text.encode()).row
        assert (row["oov"], row["oov_tokens"]) == (3, {"é": 2, " ": 1})
        assert (row["bits_per_character"], row["bits_per_byte"]) == (None, None)
        assert r"vocabulary: 3 (é 2, \s 1)" in row["bits_reason"]
        known = -sum(math.log2(r["probability"]) for r in succeed("next", "--format", "json").rows if r["id"] > 0)
        total = -row["log_probability"] / math.log(2)
        assert row["bits_per_character_without_oov"] == pytest.approx(known / 2)
        assert row["bits_per_byte_without_oov"] == pytest.approx(known / 2)
        assert row["bits_per_character_upper_bound"] == pytest.approx((total + 3 * math.log2(0x110000 - 2)) / 5)
        assert row["bits_per_byte_upper_bound"] == pytest.approx((total + 3 * math.log2(0x110000 - 2)) / 7)
        assert "oov_tokens.\\\\s\t1\n" in succeed("perplexity", "--format", "tsv", stdin=text.encode()).text

    def test_bits_are_over_the_raw_text(self, succeed, verse):
        text = "Arise, fair sun, and kill the moon!\n"
        row = succeed("perplexity", "-m", verse, "--format", "json", stdin=text.encode()).row
        assert row["oov"] == 0
        assert row["bits_per_byte"] == pytest.approx(-row["log_probability"] / math.log(2) / len(text))

    def test_files_are_added_up(self, succeed, tmp_path, verse):
        (tmp_path / "a").write_text("fair sun\n")
        (tmp_path / "b").write_text("envious moon\n")
        one, two, both = (
            succeed("perplexity", "-m", verse, "--format", "json", *names).row["log_probability"]
            for names in (["a"], ["b"], ["a", "b"])
        )
        assert both == pytest.approx(one + two)

    def test_text_and_tsv(self, succeed, cows):
        lines = dict(
            line.split("\t")
            for line in succeed("perplexity", "-m", cows, "--format", "tsv", stdin=COWS.encode()).text.splitlines()
        )
        assert lines["tokens"] == str(44 + 1)
        text = succeed("perplexity", "-m", cows, stdin=COWS.encode()).text
        assert text.splitlines()[0].split() == ["tokens", "45"]

    def test_infinite_numbers_are_inf(self, succeed):
        succeed("train", "--smoothing", "mle", "--order", 1, "--tokenizer", "whitespace", stdin=b"a a b\n")
        for form in ("text", "tsv"):
            text = succeed("perplexity", "--format", form, stdin=b"zebra\n").text
            assert dict(line.split(maxsplit=1) for line in text.splitlines())["log_probability"] == "-inf"

    def test_a_sure_text_has_no_bits_and_no_sign(self, succeed):
        succeed("train", "--smoothing", "mle", "--order", 2, "--sentence", "line", stdin=b"a\n")
        text = succeed("perplexity", "--format", "tsv", stdin=b"a\n").text
        assert "bits_per_byte\t0.0\n" in text and "log_probability\t0.0\n" in text

    def test_resets(self, succeed, cows):
        rows = [
            succeed("perplexity", "-m", cows, "--format", "json", "--reset", r, stdin=COWS.encode()).row
            for r in ("file", "sentence")
        ]
        assert (
            rows[0]["log_probability"] == pytest.approx(rows[1]["log_probability"]) and rows[1]["reset"] == "sentence"
        )


class TestSample:
    def test_exactly_n_tokens(self, succeed, verse):
        for n in (0, 1, 137):
            assert len(succeed("sample", "-m", verse, "--n", n, "--format", "json").rows) == n
        assert len(succeed("sample", "-m", verse, "--format", "tsv").text.splitlines()) == 200

    def test_same_seed_same_bytes(self, succeed, verse):
        first, again, other = (succeed("sample", "-m", verse, "--seed", s).out for s in (1, 1, 2))
        assert first == again != other

    def test_text_and_json_are_the_same_sample(self, succeed, verse):
        text = succeed("sample", "-m", verse, "--seed", 3, "--n", 50).text
        rows = succeed("sample", "-m", verse, "--seed", 3, "--n", 50, "--format", "json").rows
        words = [r["token"] for r in rows if r["token"].isalpha()]
        assert [w for w in "".join(c if c.isalpha() else " " for c in text).split()] == words

    def test_log_probabilities_are_those_of_the_model(self, succeed, cows):
        rows = succeed("sample", "-m", cows, "--prompt", "cows eat", "--n", 1, "--format", "json", "--top-k", 1).rows
        assert rows[0]["token"] == "corn" and rows[0]["log_probability"] == pytest.approx(math.log(4 / 11), rel=1e-5)

    def test_what_is_sure_has_no_sign(self, succeed, cows):
        options = ["sample", "-m", cows, "--prompt", "cows", "--n", 1]
        assert succeed(*options, "--format", "tsv").text.split("\t")[2] == "0"
        assert str(succeed(*options, "--format", "json").row["log_probability"]) == "0.0"

    def test_sentences(self, succeed, verse):
        rows = succeed("sample", "-m", verse, "--sentences", 2, "--format", "json", "--seed", 5).rows
        assert [r["token"] for r in rows].count("</s>") == 2 and rows[-1]["token"] == "</s>"
        assert len(succeed("sample", "-m", verse, "--sentences", 50, "--n", 9, "--format", "json").rows) == 9

    def test_samples_one_after_another_and_the_first_as_alone(self, succeed, verse):
        alone = succeed("sample", "-m", verse, "--n", 20, "--seed", 8).text
        three = succeed("sample", "-m", verse, "--n", 20, "--seed", 8, "--count", 3, "--separator", "-=-").text
        parts = three.split("-=-\n")
        assert parts[0] == alone and len(parts) == 3 and all(p.endswith("\n") for p in parts)
        rows = succeed("sample", "-m", verse, "--n", 20, "--seed", 8, "--count", 3, "--format", "json").rows
        assert [r["stream"] for r in rows] == [0] * 20 + [1] * 20 + [2] * 20

    def test_default_separator_is_an_empty_line(self, succeed, cows):
        text = succeed("sample", "-m", cows, "--temperature", 0, "--n", 3, "--count", 2).text
        assert text == "cows eat corn\n\ncows eat corn\n"

    def test_prompt_comes_first(self, succeed, verse):
        given = succeed("sample", "-m", verse, "--prompt", "But soft,", "--temperature", 0, "--n", 2).text
        assert given == "But soft, what light\n"
        piped = succeed(
            "sample", "-m", verse, "--prompt", "-", "--temperature", 0, "--n", 2, stdin=b"But soft, \n"
        ).text
        assert piped == given

    def test_unknown_tokens_of_a_prompt_are_named(self, run, succeed, verse):
        words = [f"w{i}" for i in range(12)]
        result = run("sample", "-m", verse, "--n", 1, "--prompt", " ".join(["fair", *words, "w3"]), "--seed", 1)
        assert result.code == 0
        assert result.err == f"Not in the vocabulary, taken as <unk>: {' '.join(words[:10])} and 2 more\n"
        assert succeed("sample", "-m", verse, "--n", 1, "--prompt", "But zebras", "-q").out

    def test_stop(self, succeed, verse):
        options = ["-m", verse, "--prompt", "But soft,", "--temperature", 0]
        assert succeed("sample", *options, "--stop", "yonder").text == "But soft, what light through \n"
        assert succeed("sample", *options, "--stop", "through yon").text == "But soft, what light \n"
        rows = succeed("sample", *options, "--stop", "through yon", "--format", "json").rows
        assert [r["token"] for r in rows] == ["what", "light"]

    def test_several_stops_one_of_which_is_kept(self, succeed, verse):
        options = ["sample", "-m", verse, "--prompt", "But soft,", "--temperature", 0, "--stop", "xyzzy"]
        assert succeed(*options, "--stop", "through yon").text == "But soft, what light \n"
        assert succeed(*options, "--stop", "through", "--keep-stop").text == "But soft, what light through\n"

    def test_stops_prompts_and_separators_have_escapes(self, succeed, verse, monkeypatch):
        greedy = ["sample", "-m", verse, "--temperature", 0, "--n", 40]
        whole = succeed(*greedy, "--prompt", "But soft,").text
        assert whole.count("\n") > 2
        assert succeed(*greedy, "--prompt", r"But\ssoft,", "--stop", r"\n").text == whole.partition("\n")[0] + "\n"
        raw = succeed(*greedy, "-q", "--prompt", "-", "--stop", r"\n", stdin=rb"But\ssoft,").text
        assert raw.startswith(r"But\ssoft,")
        short = ["sample", "-m", verse, "--temperature", 0, "--n", 1, "--count", 2]
        assert r"-\-" + "\t-\n" in succeed(*short, "--separator", r"-\\-\t-").text
        monkeypatch.setenv("LMKIT_STOP", r"soft, what\slight")
        assert succeed(*greedy, "--prompt", "But").text == "But \n"

    def test_a_stop_that_never_comes_changes_nothing(self, succeed, verse):
        options = ["sample", "-m", verse, "--seed", 4, "--n", 99]
        assert (
            succeed(*options).text
            == succeed(*options, "--stop", "xyzzy").text
            == succeed(*options, "--stop", "R!").text
        )

    @pytest.mark.parametrize(
        "options",
        [
            ["--temperature", 0.5],
            ["--top-k", 3],
            ["--top-p", 0.5],
            ["--min-p", 0.1],
            ["--repetition-penalty", 1.2],
        ],
    )
    def test_filters_run(self, succeed, verse, options):
        assert len(succeed("sample", "-m", verse, "--n", 30, "--format", "json", *options).rows) == 30

    def test_unk_only_when_allowed(self, run, succeed):
        succeed(
            "train",
            "--tokenizer",
            "whitespace",
            "--order",
            1,
            "--smoothing",
            "mle",
            "--min-count",
            2,
            stdin=b"x y z z\n",
        )
        assert "<unk>" not in succeed("sample").text
        assert "<unk>" in succeed("sample", "--allow-unk").text

    def test_into_a_file(self, succeed, verse, tmp_path):
        text = succeed("sample", "-m", verse, "--seed", 1).out
        assert succeed("sample", "-m", verse, "--seed", 1, "-o", "out.txt").out == b""
        assert (tmp_path / "out.txt").read_bytes() == text
        assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


class TestCount:
    def test_worked_numbers(self, succeed):
        text = succeed("count", "--orders", 2, "--tokenizer", "whitespace", stdin=COWS.encode()).text
        assert text.splitlines()[:4] == [
            "<s> cows\t11",
            "cows eat\t11",
            "corn </s>\t4",
            "eat corn\t4",
        ] or set(text.splitlines()[:4]) == {"<s> cows\t11", "cows eat\t11", "corn </s>\t4", "eat corn\t4"}
        assert "eat grass\t3" in text and len(text.splitlines()) == 2 + 5 + 5

    def test_orders_top_and_json(self, succeed):
        rows = succeed(
            "count",
            "--orders",
            "1-2",
            "--top",
            1,
            "--tokenizer",
            "whitespace",
            "--format",
            "json",
            stdin=b"a a a b\n",
        ).rows
        assert rows == [{"ngram": ["a"], "count": 3}, {"ngram": ["a", "a"], "count": 2}]

    def test_tokens_are_escaped(self, succeed):
        assert "\\n\t2\n" in succeed("count", stdin=b"x\ny\n").text


class TestInfo:
    def test_what_it_holds(self, succeed, cows):
        row = succeed("info", cows, "--format", "json").row
        assert row["family"] == "ngram" and row["config"]["order"] == 3 and row["training"]["corpora"]
        assert row["bytes"] == cows.stat().st_size
        assert row["vocabulary"] == row["ngrams"]["1"] == 3 + 8
        assert row["tensors"]["vocabulary.offsets"] == {"dtype": "int64", "shape": [12], "bytes": 96}
        text = succeed("info", "-m", cows, "--format", "tsv").text
        assert "config.order\t3\n" in text and "training.options.smoothing\tmle\n" in text

    def test_values_stay_in_their_column(self, succeed, cows, tmp_path):
        (tmp_path / "a\tb\\c\nd").write_bytes(cows.read_bytes())
        assert succeed("info", "a\tb\\c\nd", "--format", "tsv").text.startswith("path\ta\\tb\\\\c\\nd\n")
        assert succeed("info", "a\tb\\c\nd").text.splitlines()[0].split() == ["file", "a\\tb\\c\\nd"]

    def test_verify_names_what_is_damaged(self, run, succeed, cows, tmp_path):
        assert succeed("info", cows, "--verify", "--format", "json").row["damaged"] == []
        data = bytearray(cows.read_bytes())
        data[-3] ^= 0x40
        (tmp_path / "bad.lmkit").write_bytes(data)
        result = run("info", "bad.lmkit", "--verify")
        assert result.code == 1 and "bad.lmkit" in result.err and "damaged" in result.err


def test_warnings_are_one_line(run):
    terminal.show_warnings()
    result = run("train", "--order", 2, stdin=b"a b c\n")
    assert result.code == 0
    assert result.err.startswith("Warning: ") and result.err.count("\n") == 1


def test_a_vocabulary_that_leaves_nothing_is_told_of(run):
    terminal.show_warnings()
    result = run("train", "--smoothing", "mle", "--min-count", 100, stdin=b"a b c\n")
    assert (result.code, result.err) == (0, "Warning: only <unk> is left of the tokens: none is there 100 times\n")


def test_threads_change_nothing(succeed, verse):
    for command in (["sample", "-m", verse, "--seed", 1], ["perplexity", "-m", verse], ["count", "--orders", 2]):
        one, two = (succeed(*command, "--threads", n, stdin=COWS.encode()).out for n in (1, 2))
        assert one == two and one


def test_an_output_keeps_its_permissions(succeed, tmp_path, cows):
    (tmp_path / "out").write_text("old")
    (tmp_path / "out").chmod(0o604)
    succeed("next", "-m", cows, "-o", "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o604 and "cows" in (tmp_path / "out").read_text()
