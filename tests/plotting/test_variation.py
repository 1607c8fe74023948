"""What n-gram models gain with order, size or text: the losses are those of models that are trained one by one."""

import math
import re

import pytest
from texts import COWS, VERSES

import lmkit
from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.plotting.variation import _spread, cut, levels_of

TEXT = "".join(VERSES[i % 5] + ("\n\n" if i % 3 == 2 else "\n") + COWS[: 14 * (i % 4)] for i in range(80)).encode()
PAIR = ("text", TEXT)
OTHER = ("other", b"Deny the sun, and eat corn\n" * 9)
WB = {"smoothing": "witten-bell"}


def test_levels():
    assert levels_of("order", "2,1,4-6") == [1, 2, 4, 5, 6] and levels_of("order", [3, 1]) == [1, 3]
    assert levels_of("text", "0.1-1x3") == [0.1, 0.3, 0.9, 1] and levels_of("text", ".5,1") == [0.5, 1]
    assert levels_of("text", "0.25-1") == [0.25, 0.5, 1] and levels_of("text", 0.5) == [0.5]
    assert levels_of("size", "1K-4K,1.5M") == [1024, 2048, 4096, 1.5 * 2**20]
    assert levels_of("ngrams", "1e3-1e5x10") == [1e3, 1e4, 1e5]


@pytest.mark.parametrize(
    ("what", "levels"),
    [
        *(("order", x) for x in ("7-1", "0-3", "x", "", "1-", "-1", "1-99", "1.5", "1,,2", "1-4x2", [0], [1.5])),
        *(("text", x) for x in ("0-1", "0.5-2", "2", "50%", "1-0.1", "0.1-1x1", "1e-30-1x1.01", [0], [], "1K", "nan")),
        *(("size", x) for x in ("0", "5K-1K", "10Q", "1e400", "0.1-", [-1], [math.inf], ["7"])),
        ("ngrams", "1K"), ("age", "1-3"),
    ],
    ids=str,
)  # fmt: skip
def test_levels_that_are_none(what, levels):
    with pytest.raises(OptionError, match=r"^--vary .*(; it takes|; give|; choose)") as caught:
        levels_of(what, levels)
    assert "\n" not in str(caught.value)


class TestCuts:
    def test_lines_and_paragraphs_stay_whole(self):
        for share in (0.01, 0.3, 0.5, 0.77, 0.999):
            for paragraphs in (False, True):
                before, after = cut([PAIR, OTHER], share, paragraphs)
                whole = [b"".join(data for name, data in [*before, *after] if name == of) for of in ("text", "other")]
                assert whole == [TEXT, OTHER[1]] and after
                assert before[-1][1].endswith(b"\n\n" if paragraphs and before[-1][0] == "text" else b"\n")
                assert abs(sum(len(d) for _, d in before) - share * len(TEXT + OTHER[1])) < 200

    def test_something_is_left_if_there_are_two_lines(self):
        assert cut([("t", b"a\nb")], 0.95, True) == ([("t", b"a\n")], [("t", b"b")])
        assert cut([("t", b"ab")], 0.95, True)[0] == [("t", b"")]

    @pytest.mark.parametrize("paragraphs", [False, True])
    def test_larger_shares_of_a_text_hold_the_smaller_ones(self, paragraphs):
        lines = [b"%d\n%s" % (i, b"\n" * (i % 5 == 4)) for i in range(400)]
        text, before = b"".join(lines), set()
        for share in (0.05, 0.2, 0.5, 0.9):
            part = _spread(text, share, 300, paragraphs)
            chosen = set(part.split())
            assert before < chosen and share * len(text) <= len(part) < share * len(text) + 12 * 6 * 5
            before = chosen
        assert _spread(text, 1, 300, paragraphs) == text and _spread(b"one line", 0.1, 4, True) == b"one line"
        assert min(map(int, before)) == 0 and max(map(int, before)) > 350  # from everywhere


class TestOrders:
    @pytest.mark.parametrize(("smoothing", "number"), [("witten-bell", {}), ("kneser-ney", {"discount": 0.6})])
    def test_each_point_is_what_train_and_perplexity_say(self, smoothing, number, tmp_path):
        (tmp_path / "valid.txt").write_bytes(OTHER[1])
        options = {"smoothing": smoothing, "tokenizer": "char", "sentence": "line", **number}
        chart = lmkit.vary(PAIR, "order", "1-4", valid=tmp_path / "valid.txt", **options)
        rows = list(chart.rows())
        assert [row["order"] for row in rows] == [1, 2, 3, 4]
        for row in rows:
            model = lmkit.train(PAIR, order=row["order"], **options)
            assert row["perplexity"] == pytest.approx(model.perplexity(tmp_path / "valid.txt").perplexity, rel=1e-6)
            assert row["ngrams"] == sum(model.language_model.trie.sizes[1:])
            assert 0 <= model.file_size() - row["bytes"] < 3000  # but for the record of the training
            assert (row["share"], row["model"], row["part"]) == (1, smoothing, "held out")

    def test_the_end_is_held_out_and_its_words_stay_unknown(self):
        text = ("t", b"a b c\n" * 90 + b"a b z\n" * 10)
        chart = lmkit.vary(text, "order", [2], valid=0.1, tokenizer="whitespace", **WB)
        (row,) = chart.rows()
        model = lmkit.train(("t", b"a b c\n" * 90), order=2, tokenizer="whitespace", **WB)
        scored = model.perplexity(("t", b"a b z\n" * 10))
        assert row["perplexity"] == pytest.approx(scored.perplexity) and scored.oov == 10
        assert chart.title == "t (whitespace tokens, 40 held out, 25.0% unknown)" and row["tokens"] == 360

    def test_several_smoothings_are_several_curves(self):
        chart = lmkit.vary(PAIR, "order", "1-2", smoothing=["mle", "witten-bell", "jelinek-mercer", "mle"])
        assert [curve.model for curve in chart.curves] == ["mle", "witten-bell", "jelinek-mercer"]
        assert [curve.number for curve in chart.curves] == [0, 1, 2] and not chart.paired
        assert all(curve.columns["order"] == (1, 2) for curve in chart.curves)

    def test_weights_are_not_found_on_what_is_scored(self):
        """Jelinek-Mercer: the same as training on the text without its end, of which it holds out a part itself."""
        options = {"smoothing": "jelinek-mercer", "tokenizer": "word"}
        (row,) = lmkit.vary(PAIR, "order", [2], valid=0.2, **options).rows()
        (learnt,), (scored,) = cut([PAIR], 0.8, True)
        expected = lmkit.train(learnt, order=2, **options).perplexity(scored)
        assert row["perplexity"] == pytest.approx(expected.perplexity)

    def test_progress_and_warnings(self):
        told = []
        with pytest.warns(LmkitWarning) as caught:
            lmkit.vary(
                PAIR, "order", "1-3", smoothing=["kneser-ney", "stupid-backoff"], progress=lambda *a: told.append(a)
            )
        assert [t[1:] for t in told if t[3] == "models"] == [(i, 6, "models") for i in range(6)]
        assert ("order 2, kneser-ney", 2, 6, "models") in told and told[0][0] == "reading"
        messages = [str(w.message) for w in caught]
        assert len(messages) == 2 and "stupid-backoff gives scores" in messages[1]
        assert messages[0].startswith("order 1, kneser-ney") and "yield no discounts" in messages[0]


class TestSizes:
    def test_ngrams(self):
        (whole,) = lmkit.vary(PAIR, "order", [3], **WB).rows()
        half, full = lmkit.vary(PAIR, "ngrams", [whole["ngrams"] // 2, 1], order=3, **WB).rows()
        half, full = sorted((half, full), key=lambda row: row["ngrams"])
        assert half["ngrams"] <= whole["ngrams"] // 2 and full == whole

    def test_bytes(self):
        (whole,) = lmkit.vary(PAIR, "order", [3], **WB).rows()
        limit = int(whole["bytes"] * 0.8)
        rows = list(lmkit.vary(PAIR, "size", [0.8, limit, 1], order=3, **WB).rows())
        assert [row["bytes"] <= limit for row in rows].count(True) == 2 and max(r["bytes"] for r in rows) == whole[
            "bytes"
        ]

    def test_what_cannot_be_pruned_so_far_or_at_all(self):
        for what, level in (("ngrams", "3 n-grams"), ("size", "3 bytes")):
            with pytest.raises(
                OptionError, match=rf"^--vary {what} has a level of {level}, .*; begin at \d+K? or more$"
            ) as e:
                lmkit.vary(PAIR, what, [3, 100_000], **WB)
            least = re.search(r"begin at (\w+)", str(e.value))[1]
            (row,) = lmkit.vary(PAIR, what, least, **WB).rows()  # what is said is true
            if what == "ngrams":
                assert row["ngrams"] == int(least)
                with pytest.raises(OptionError, match=f"begin at {least} or more"):
                    lmkit.vary(PAIR, what, [row["ngrams"] - 1], **WB)
        with pytest.raises(OptionError, match="a model of mle does not back off"):
            lmkit.vary(PAIR, "size", [0.5], smoothing="mle")


class TestTexts:
    def test_more_text_means_more_counts_of_the_same_words(self):
        rows = list(lmkit.vary(PAIR, "text", "0.2-1", valid=0.2, order=2, **WB).rows())
        assert [row["tokens"] for row in rows] == sorted(row["tokens"] for row in rows)
        assert rows[-1]["share"] == 1 and 0 < rows[0]["share"] < 1 and rows[0]["ngrams"] < rows[-1]["ngrams"]
        (whole,) = lmkit.vary(PAIR, "order", [2], valid=0.2, **WB).rows()
        assert rows[-1] == whole

    def test_text_sentences_and_options_of_training(self):
        options = {"tokenizer": "char", "sentence": "text", "vocab_size": 9, "cutoffs": (0, 0, 1), "measure": "nats"}
        rows = list(lmkit.vary(PAIR, "text", [0.5, 1], order=4, **WB, **options).rows())
        assert len(rows) == 2 and rows[0]["nats"] > 0
        assert len(list(lmkit.vary(PAIR, "order", "1-4", **WB, **options).rows())) == 4  # cut-offs fit each order


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (b"a b c", {}, CorpusError, "too few lines to hold out 0.05"),
        (b"a b c\n", {}, CorpusError, "too few lines"),
        (b"\n\n\n", {}, CorpusError, "too few lines"),
        (b"", {}, CorpusError, "too few lines"),
        (TEXT, {"valid": 0}, OptionError, "--valid is 0: nothing would be left"),
        (TEXT, {"valid": 1}, OptionError, "--valid is 1; it must be a share"),
        (TEXT, {"valid": "nowhere.txt"}, CorpusError, "nowhere.txt: no such file"),
        (TEXT, {"smoothing": "magic"}, OptionError, "--smoothing is 'magic'; choose one of"),
        (TEXT, {"smoothing": []}, OptionError, "no --smoothing is named"),
        (TEXT, {"order": 3}, OptionError, "--order is what varies"),
        (TEXT, {"colour": 3}, OptionError, "colour is no option of a variation; it has alpha"),
        (TEXT, {"measure": "joy"}, OptionError, "--measure is 'joy'"),
        (TEXT, {"k": 1, "smoothing": ["add-k", "mle"]}, OptionError, "--k goes with --smoothing add-k, not with mle"),
    ],
)
def test_what_cannot_be_varied(text, options, error, message):
    with pytest.raises(error, match=message):
        lmkit.vary(("t", text), "order", "1-2", **options)
