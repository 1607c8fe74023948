"""Comparisons by worked numbers, against the loop, and which of them are refused."""

import io
import itertools
import json
import math

import numpy as np
import pytest

import lmkit
from lmkit.bootstrap import Interval, block_length
from lmkit.comparison import Difference
from lmkit.errors import CorpusError, OptionError
from lmkit.text import corpus as corpus_module

WORDS = ("text", b"the cat sat on the mat\na dog sat\nthe dog and the cat\n\n" * 20)


def unigram(text, **options):
    options = {"order": 1, "smoothing": "mle", "tokenizer": "whitespace", **options}
    return lmkit.train(("training", text), **options)


@pytest.fixture(scope="module")
def pair():
    """Of one vocabulary, tokens between blanks."""
    options = {"tokenizer": "whitespace", "smoothing": "add-k", "k": 0.5}
    return [lmkit.train(WORDS, order=n, **options) for n in (1, 2)]


def varied(lines=90, seed=3):
    """A text of lines that differ, and are like their neighbours."""
    rng = np.random.default_rng(seed)
    words = b"the cat sat on mat a dog and".split()
    picked = (words[:4] if i // 9 % 2 else words for i in range(lines))
    return "varied", b"".join(b" ".join(rng.choice(some, rng.integers(1, 8))) + b"\n" for some in picked)


def test_worked_numbers():
    """p(a), p(b), p(</s>) are 1/3, 1/3, 1/3 in the one and 1/2, 1/4, 1/4 in the other: "a b </s>" has 1/27 and 1/32."""
    found = lmkit.compare([unigram(b"a b\n"), unigram(b"a a b\n")], ("text", b"a b\n" * 60))
    assert [row.evaluation.perplexity for row in found.rows] == [pytest.approx(3), pytest.approx(32 ** (1 / 3))]
    (difference,) = found.differences
    assert (difference.model, difference.baseline, difference.measure) == ("model 2", "model 1", "perplexity")
    worked = pytest.approx(math.log(32 / 27) / 3, rel=1e-6)
    assert (difference.difference, difference.interval.low, difference.interval.high) == (worked, worked, worked)
    assert difference.interval.agreeing == 1
    assert difference.as_dict()["ratio"] == pytest.approx((32 / 27) ** (1 / 3))


def test_worked_bits():
    """Of 1002 tokens in the one, 2002 in the other, a and b are 500, newline and `</s>` 1: each is half as likely."""
    options = {"tokenizer": "byte", "sentence": "text", "order": 1, "smoothing": "mle"}
    one, two = (lmkit.train(("training", data * 500 + b"\n"), **options) for data in (b"ab", b"abcd"))
    found = {d.measure: d for d in lmkit.compare([one, two], ("text", b"ab\n" * 60)).differences}
    worked = (180 + 1) * math.log2(2002 / 1002) / 180
    assert found["bits_per_character"].difference == pytest.approx(worked, rel=1e-6)
    assert found["bits_per_byte"].difference == found["bits_per_character"].difference


def test_bytes_are_not_characters():
    text = ("text", "é\n".encode() * 60)
    one, two = (lmkit.train(text, tokenizer="char", smoothing="add-k", order=n, sentence="text") for n in (1, 2))
    found = {d.measure: d for d in lmkit.compare([one, two], text).differences}
    assert found["bits_per_character"].difference == pytest.approx(found["bits_per_byte"].difference * 3 / 2)


@pytest.mark.parametrize("block", [None, 1, 9])
def test_intervals_are_those_of_the_loop(pair, block):
    """Lines are scored one by one and drawn one by one."""
    text = varied()
    found = lmkit.compare(pair, text, block=block, resamples=40, confidence=0.8, seed=5)
    scores = [[b for b in lmkit.score(model, text)] for model in pair]
    first, second = (np.concatenate([b.log_probabilities for b in blocks]) for blocks in scores)
    tokens = np.concatenate([b.tokens for b in scores[0]])
    n, rng, drawn = len(tokens), np.random.default_rng(5), []
    length = block_length(n) if block is None else block
    assert (n, found.settings["lines_per_block"]) == (90, length)
    for _ in range(40):
        lines = [(start + i) % n for start in rng.integers(n, size=-(-n // length)) for i in range(length)]
        drawn.append(sum(first[i] - second[i] for i in lines) / sum(tokens[i] for i in lines))
    (difference,) = found.differences
    assert difference.difference == pytest.approx((first - second).sum() / tokens.sum(), rel=1e-6)
    assert [difference.interval.low, difference.interval.high] == pytest.approx(
        np.quantile(drawn, [0.1, 0.9]), rel=1e-5
    )
    assert difference.interval.agreeing == np.mean(np.sign(drawn) == np.sign(difference.difference))


def test_a_model_does_not_differ_from_itself(pair):
    for difference in lmkit.compare([pair[0], pair[0]], varied()).differences:
        assert difference.difference == difference.interval.low == difference.interval.high == 0
        assert difference.interval.agreeing == 1


def test_the_order_of_the_models_and_a_third_change_nothing(pair):
    third = lmkit.train(WORDS, order=3, tokenizer="whitespace", smoothing="add-k", k=0.1)
    found = [lmkit.compare(models, varied()) for models in (pair, pair[::-1], [*pair, third])]
    (one,), (other,), (again, _) = (each.differences for each in found)
    assert one == again
    assert one.difference == -other.difference
    assert (one.interval.low, one.interval.high) == (
        pytest.approx(-other.interval.high),
        pytest.approx(-other.interval.low),
    )
    assert one.interval.agreeing == other.interval.agreeing
    rows = [[row.evaluation for row in each.rows] for each in found]
    assert rows[0] == rows[1][::-1] == rows[2][:2]


@pytest.mark.parametrize("reset", ["file", "sentence"])
def test_rows_are_what_perplexity_says(pair, reset):
    found = lmkit.compare(pair, [varied(), WORDS], reset=reset)
    for row, model in zip(found.rows, pair, strict=True):
        alone = lmkit.perplexity(model, [varied(), WORDS], reset=reset)
        assert row.evaluation.as_dict().items() <= alone.as_dict().items()
        assert row.evaluation.settings["reset"] == reset and row.tokens_per_second > 0 and row.bytes is None


@pytest.fixture(scope="module")
def models():
    """A model for each of many settings, of one text whose every word and character it knows."""
    options = {"order": 2, "smoothing": "add-k"}
    chosen = [
        {"tokenizer": name, "sentence": sentence, "lowercase": lowercase}
        for name in ("word", "char", "byte", "whitespace")
        for sentence in ("line", "text")
        for lowercase in (False, True)
    ]
    return [lmkit.train(WORDS, **options, **settings) for settings in chosen]


class TestTokensThatDiffer:
    def test_each_pair_compares_by_what_it_has_or_is_refused(self, models):
        refused = 0
        for a, b in itertools.combinations(models, 2):
            if a.text.settings.lossless and b.text.settings.lossless:
                found = lmkit.compare([a, b], varied(), resamples=1)
                assert {d.measure for d in found.differences} == {"bits_per_character", "bits_per_byte"}
                assert found.rows[1].evaluation.perplexity is None
                assert found.rows[1].perplexity_reason.split()[0] in ("tokenizer", "sentence")
                assert any("model 2: perplexity does not compare with model 1" in note for note in found.notes)
            else:
                with pytest.raises(OptionError, match=r"model 1 and model 2 do not compare: (tok|sen|low).* is "):
                    lmkit.compare([a, b], "nowhere.txt")  # refused before it is read
                refused += 1
        assert refused == 16 * 15 // 2 - 6 * 5 // 2

    def test_and_with_itself_by_perplexity(self, models):
        for model in models:
            found = lmkit.compare([model, model], varied(), resamples=1)
            bits = {"bits_per_character", "bits_per_byte"} if model.text.settings.lossless else set()
            assert {d.measure for d in found.differences} == {"perplexity"} | bits

    def test_bits_are_over_the_same_text(self, models):
        """So their differences are those of the rows."""
        word, byte = models[0], models[8]
        found = lmkit.compare([word, byte], varied())
        for difference in found.differences:
            rows = [getattr(row.evaluation, difference.measure) for row in found.rows]
            assert difference.difference == pytest.approx(rows[1] - rows[0])
            assert difference.interval.low < difference.difference < difference.interval.high


class TestUnknownWords:
    OPTIONS = {"order": 1, "tokenizer": "whitespace", "smoothing": "add-k"}  # noqa: RUF012

    def train(self, vocabulary, **options):
        return lmkit.train(WORDS, vocabulary=vocabulary, **{**self.OPTIONS, **options})

    def test_other_unknown_words_are_refused(self):
        a, b = self.train(["cat", "sat", "dog"]), self.train(["cat", "sat", "the"])
        with pytest.raises(OptionError, match=r"model 1 and model 2 .* out of vocabulary are [0-9]+ and [0-9]+ tokens"):
            lmkit.compare([a, b], varied())

    def test_as_many_other_unknown_words_are_refused(self):
        a, b = self.train(["cat"]), self.train(["dog"])
        with pytest.raises(OptionError, match="out of vocabulary are 60 and 60 tokens, not the same ones"):
            lmkit.compare([a, b], ("text", b"cat dog\n" * 60))

    def test_unknown_words_at_the_same_places_of_other_blocks_are_others(self, monkeypatch):
        monkeypatch.setattr(corpus_module, "BLOCK", 8)
        a, b = self.train(["the", "cat"]), self.train(["the", "dog"])
        with pytest.raises(OptionError, match="out of vocabulary are 1 and 1 tokens"):
            lmkit.compare([a, b], ("text", b"the cat\nthe dog\n"))

    def test_the_same_vocabulary_in_another_order_compares(self):
        a, b = (
            lmkit.train(("t", t), vocabulary=["cat", "dog"], **self.OPTIONS) for t in (b"cat dog dog", b"dog cat cat")
        )
        assert a.text.vocabulary != b.text.vocabulary
        found = lmkit.compare([a, b], varied())
        assert [d.measure for d in found.differences] == ["perplexity", "perplexity_without_oov"]
        alone = [lmkit.perplexity(model, varied()) for model in (a, b)]
        for difference in found.differences:
            one, other = (getattr(e, difference.measure) for e in alone)
            assert difference.difference == pytest.approx(math.log(other / one))
            assert difference.as_dict()["ratio"] == pytest.approx(other / one)

    def test_an_unk_for_other_words_counts_for_nothing(self):
        """The same tokens are unknown, but one <unk> may be a hat as well, the other not."""
        a, b = self.train(["cat", "dog"]), self.train(["cat", "dog", "hat"])
        text = ("text", b"cat dog mat\n" * 60)
        found = lmkit.compare([a, b], text)
        assert [d.measure for d in found.differences] == ["perplexity_without_oov"]
        assert found.rows[1].evaluation.perplexity is None and found.rows[1].evaluation.perplexity_without_oov
        assert "<unk>, here 60 times" in found.rows[1].perplexity_reason
        known = lmkit.compare([a, b], ("text", b"cat dog\n" * 60))
        assert [d.measure for d in known.differences] == ["perplexity"] and known.notes[0].startswith(
            "model 1, model 2"
        )

    def test_reserved_tokens_in_the_text(self):
        a, b = (self.train(["cat", "dog"], reserved=rule) for rule in ("keep", "space"))
        with pytest.raises(OptionError, match="reserved is keep and space"):
            lmkit.compare([a, b], ("text", b"cat <unk> dog\n"))
        assert lmkit.compare([a, b], ("text", b"cat dog\n")).differences[0].difference == 0


class TestCharactersThatDiffer:
    """One model knows é and not z, the other z and not é; each pays for what it does not know."""

    LINES = ("text", ("abé\n" + "abz\n" + "ab\n" * 2).encode() * 20)

    @pytest.fixture(scope="class")
    @staticmethod
    def pair():
        options = {"tokenizer": "char", "sentence": "line", "order": 1, "smoothing": "add-k"}
        return [lmkit.train(("t", text.encode()), **options) for text in ("abé\n" * 3, "aabz\nz\n")]

    def test_upper_bounds_compare(self, pair):
        found = lmkit.compare(pair, self.LINES, block=1)
        alone = [lmkit.perplexity(model, self.LINES) for model in pair]
        for row, evaluation in zip(found.rows, alone, strict=True):
            assert row.evaluation.oov == 20 and row.evaluation.bits_per_byte is None
            assert row.evaluation.oov_tokens == evaluation.oov_tokens
            for name in ("bits_per_byte_upper_bound", "bits_per_character_without_oov"):
                assert getattr(row.evaluation, name) == pytest.approx(getattr(evaluation, name))
        assert [d.measure for d in found.differences] == [
            "bits_per_character_upper_bound", "bits_per_byte_upper_bound",
        ]  # fmt: skip
        for difference in found.differences:
            one, other = (getattr(e, difference.measure) for e in alone)
            assert difference.difference == pytest.approx(other - one)
            assert difference.interval.low < difference.difference < difference.interval.high
            assert difference.as_dict()["ratio"] is None

    @pytest.mark.parametrize("block", [7, 10**6])
    def test_common_lines_alone_count(self, pair, monkeypatch, block):
        """The sums are those of what `score` says of these lines."""
        monkeypatch.setattr(corpus_module, "BLOCK", block)
        found = lmkit.compare(pair, self.LINES, common=True)
        assert (found.settings["lines_left_out"], found.settings["text"]["lines"]) == (40, 80)
        assert any("40 of 80 lines" in note for note in found.notes)
        assert any("no intervals: 40 lines" in note for note in found.notes)
        one, other = (lmkit.perplexity(model, ("common", b"ab\n" * 40)) for model in pair)
        for row, expected in zip(found.rows, (one, other), strict=True):
            for name in ("tokens", "sentences", "oov"):
                assert getattr(row.evaluation, name) == getattr(expected, name)
            assert row.evaluation.log_probability == pytest.approx(expected.log_probability)
            assert row.evaluation.bits_per_byte == pytest.approx(expected.bits_per_byte)
        differences = {d.measure: d.difference for d in found.differences}
        assert set(differences) == {"perplexity", "bits_per_character", "bits_per_byte"}
        assert differences["perplexity"] == pytest.approx(math.log(other.perplexity / one.perplexity))

    def test_common_lines_of_tokens_that_do_not_hold_the_text(self):
        a, b = (unigram(text, smoothing="add-k") for text in (b"cat dog hat\n", b"cat mat dog\n"))
        text = ("text", b"cat dog\nhat\n\nmat\ncat cat")
        with pytest.raises(OptionError, match="compare what all of them know with --common"):
            lmkit.compare([a, b], text)
        found = lmkit.compare([a, b], text, common=True)
        assert [row.evaluation.tokens for row in found.rows] == [3 + 1 + 3] * 2
        with pytest.raises(CorpusError, match="no line is known to all models"):
            lmkit.compare([a, b], ("text", b"hat\nmat\n"), common=True)

    def test_refusals_come_before_the_scoring(self, monkeypatch, tmp_path):
        a, b = (unigram(text, smoothing="add-k") for text in (b"cat dog hat\n", b"cat mat dog\n"))
        (tmp_path / "text").write_bytes(b"cat dog\n" * 9 + b"hat\n")
        monkeypatch.setattr("lmkit.lockstep.Scoring.add", lambda *_: pytest.fail("scored"))
        for text in (tmp_path / "text", ("text", b"mat\n")):
            with pytest.raises(OptionError, match="not the same ones"):
                lmkit.compare([a, a, b], text)

    def test_a_text_that_can_be_read_once_is_refused_too(self):
        a, b = (unigram(text, smoothing="add-k") for text in (b"cat dog hat\n", b"cat mat dog\n"))
        with pytest.raises(OptionError, match="not the same ones"):
            lmkit.compare([a, b], ("text", io.BytesIO(b"cat hat\n")))
        assert lmkit.compare([a, b], ("text", io.BytesIO(b"cat dog\n"))).rows[0].evaluation.tokens == 3


def test_what_cannot_be_has_no_difference():
    """Neither in perplexity nor in bits."""
    a, b = (unigram(text, tokenizer="byte", sentence="line") for text in (b"ab\n", b"aa\n"))
    found = lmkit.compare([a, b], ("text", b"ab\n" * 60))
    assert [row.evaluation.perplexity for row in found.rows] == [pytest.approx(4), math.inf]
    assert found.differences == []
    assert found.notes == ["model 2: no difference to model 1 where one of the two is infinite"]
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["models"][1]["infinite"] is True


def test_a_ratio_that_is_no_float_is_none():
    huge = Difference("b", "a", "perplexity", 800.0, Interval(1.0, 900.0, 1.0)).as_dict()
    assert (huge["ratio"], huge["ratio_low"], huge["ratio_high"]) == (None, pytest.approx(math.e), None)


def test_few_lines_have_no_intervals(pair):
    for lines, block, enough in ((49, 1, False), (50, 1, True), (90, 9, True), (90, 10, False), (90, 1000, False)):
        found = lmkit.compare(pair, varied(lines), block=block)
        assert found.differences[0].difference
        assert (found.differences[0].interval is not None) == enough
        assert any(note.startswith(f"no intervals: {lines} lines") for note in found.notes) != enough


def test_lines_without_tokens_are_no_obstacle():
    """With one line that has tokens a resample may have none, and no perplexity."""
    text = ("text", b"\n" * 60 + b"a b")
    options = {"sentence": "text", "smoothing": "add-k"}
    (difference,) = lmkit.compare([unigram(b"a b\n", **options), unigram(b"a a b\n", **options)], text).differences
    assert difference.interval.low == pytest.approx(difference.difference) == pytest.approx(difference.interval.high)


def test_scores_that_are_no_probabilities_are_told_of(pair):
    stupid = lmkit.train(WORDS, order=2, tokenizer="whitespace", smoothing="stupid-backoff")
    assert any("model 2: stupid-backoff" in note for note in lmkit.compare([pair[0], stupid], varied()).notes)


def test_settings_say_what_made_the_numbers(pair):
    found = lmkit.compare(pair, [varied(60), WORDS], reset="sentence", resamples=7, confidence=0.5, block=3, seed=9)
    assert found.settings == {
        "text": {
            "names": ["varied", "text"],
            "characters": len(varied(60)[1]) + len(WORDS[1]),
            "bytes": len(varied(60)[1]) + len(WORDS[1]),
            "lines": 140,
        },
        "reset": "sentence", "lines_per_unit": 1, "lines_per_block": 3, "resamples": 7, "confidence": 0.5, "seed": 9,
        "common": False, "lines_left_out": 0, "lmkit_version": lmkit.__version__,
    }  # fmt: skip


def test_another_seed_draws_other_lines(pair):
    intervals = [lmkit.compare(pair, varied(), seed=seed).differences[0].interval for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"confidence": 1.0}, "--confidence is 1"),
        ({"confidence": math.nan}, "--confidence is nan"),
        ({"resamples": 0}, "resamples is 0"),
        ({"block": 0}, "block is 0"),
        ({"reset": "word"}, "reset"),
    ],
)
def test_options_that_make_no_sense(pair, options, said):
    with pytest.raises(OptionError, match=said):
        lmkit.compare(pair, varied(), **options)


def test_one_model_and_no_text(pair):
    for one in (pair[:1], pair[0], []):
        with pytest.raises(OptionError, match="two models or more"):
            lmkit.compare(one, varied())
    with pytest.raises(CorpusError, match="void holds no tokens"):
        lmkit.compare(pair, ("void", b""))


def test_differences_in_other_bases():
    """ln 2, ln 1 and ln 4 nats are 1, 0 and 2 bits; ratios stay, and so do bits a character."""
    interval = Interval(0.0, math.log(4), 0.9)
    found = Difference("b", "a", "perplexity", math.log(2), interval).as_dict(log_base="2")
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx([1, 0, 2])
    assert [found[name] for name in ("ratio", "ratio_low", "ratio_high")] == pytest.approx([2, 1, 4])
    assert Difference("b", "a", "bits_per_byte", 0.5, None).as_dict(log_base="2")["difference"] == 0.5
    with pytest.raises(OptionError, match="--log-base is '3'"):
        Difference("b", "a", "perplexity", 0.5, None).as_dict(log_base="3")
