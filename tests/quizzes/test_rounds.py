"""Rounds of a quiz: passages alike, none that is copied, the same for the same seed; and what a score is worth."""

import collections
import itertools
import math
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_text import longest_run

import lmkit
from lmkit import decoding
from lmkit.errors import CorpusError, LmkitError, LmkitWarning, OptionError
from lmkit.quizzes.passages import SIMILAR
from lmkit.quizzes.rounds import Score, Standing

PLAY = (pathlib.Path(__file__).resolve().parents[2] / "corpora" / "the-tide-mill.txt").read_text()
CUT = PLAY.index("\n\n", len(PLAY) * 8 // 10) + 2
TRAIN, TEXT = PLAY[:CUT], PLAY[CUT:]
LINES = TEXT.split("\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("quiz")
    (path / "train.txt").write_text(TRAIN)
    (path / "text.txt").write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def chars(folder):
    return lmkit.train(folder / "train.txt", tokenizer="char", order=6, smoothing="witten-bell")


@pytest.fixture(scope="module")
def words(folder):
    return lmkit.train(
        folder / "train.txt", tokenizer="whitespace", lowercase=True, order=3, smoothing="witten-bell", vocab_size=300
    )


@pytest.fixture(scope="module")
def network(folder):
    options = {"tokenizer": "char", "hidden": 16, "steps": 30, "batch": 16, "bptt": 16}
    return lmkit.train(folder / "train.txt", arch="lstm", **options)


@pytest.fixture(scope="module")
def text(folder):
    return str(folder / "text.txt")


def real(quiz):
    return [each.passages[each.answer] for each in quiz.rounds]


def written(quiz):
    return [passage for each in quiz.rounds for passage in each.passages if passage.model is not None]


def test_the_same_seed_is_the_same_quiz(chars, text):
    quiz = lmkit.quiz(chars, text, seed=5)
    assert lmkit.quiz(chars, text, seed=5) == quiz
    assert lmkit.quiz(chars, text, seed=6).rounds != quiz.rounds
    assert lmkit.quiz(chars, text).settings["seed"] != lmkit.quiz(chars, text).settings["seed"]
    assert len({passage.text for each in quiz.rounds for passage in each.passages}) == 20


@pytest.mark.parametrize("kind", ["chars", "words"])
def test_how_tokens_are_cut_into_blocks_does_not_matter(kind, request, text, monkeypatch):
    model = request.getfixturevalue(kind)
    options = {"seed": 5, "rounds": 3, "allow_unk": True}
    quiz = lmkit.quiz(model, text, **options)
    monkeypatch.setattr(decoding, "LONGEST_BLOCK", 3)
    assert lmkit.quiz(model, text, **options) == quiz


@pytest.mark.parametrize(
    "options", [{}, {"lines": 3}, {"length": 80}, {"passages": 4}, {"temperature": 0.7, "top_k": 9}]
)
def test_passages_are_cut_alike(chars, text, options):
    quiz = lmkit.quiz(chars, text, seed=2, rounds=5, **options)
    assert [len(each.passages) for each in quiz.rounds] == [options.get("passages", 2)] * 5
    for each in quiz.rounds:
        right = each.passages[each.answer]
        assert (right.model, each.model) == (None, "model 1")
        shown = right.text.split("\n")
        assert LINES[right.line - 1 : right.line - 1 + len(shown)] == shown
        assert right.line == 1 or not LINES[right.line - 2]
        for passage in each.passages:
            assert passage.text[0] != "\n" and passage.text.strip(" \t\r\n") == passage.text
            assert len(right.text) / SIMILAR <= len(passage.text) <= SIMILAR * len(right.text)
            if LINES.count(shown[0]) > 1:
                assert passage.text.startswith(shown[0] + "\n")
            if "lines" in options:
                assert sum(bool(line) for line in passage.text.split("\n")) == 3
            else:
                least = options.get("length", 200)
                assert len(passage.text) >= least > len(passage.text.rpartition("\n")[0].rstrip("\n"))
        assert right.tokens == len(right.text) + right.text.count("\n\n")  # and the ends of paragraphs


def test_real_passages_share_no_line(chars, text):
    quiz = lmkit.quiz(chars, text, seed=2, rounds=20)
    shown = [set(range(p.line, p.line + p.text.count("\n") + 1)) for p in real(quiz)]
    assert len(set.union(*shown)) == sum(map(len, shown))


def test_the_perplexity_is_that_of_the_passage_at_the_start_of_a_paragraph(chars, words, text):
    for model, options in ((chars, {}), (words, {"allow_unk": True})):
        (each,) = lmkit.quiz(model, text, seed=3, rounds=1, **options).rounds
        for passage in each.passages:
            state = model.begin(1)
            if model is words:
                state = model.advance(state, np.array([2]))  # a sentence is a line, and this one is empty
            shown = model.text.encode_text(passage.text.replace("<unk>", "unheard-of"), complete=False).ids
            log_p = model.score(state, shown[None, :])[0].sum(dtype=np.float64)
            assert passage.tokens == len(shown)
            assert passage.perplexity == pytest.approx(math.exp(-log_p / len(shown)), rel=1e-5)


class TestHeldOut:
    """Which part of the text real passages come from."""

    def quiz(self, place, **options):
        options = {"order": 4, "tokenizer": "char", "smoothing": "jelinek-mercer", **options}
        return lmkit.quiz(lmkit.train(place, **options), place, seed=1, rounds=6)

    def test_the_held_out_part(self, folder):
        quiz = self.quiz(folder / "train.txt", valid=0.25)
        assert quiz.settings["first_line"] == min(quiz.settings["first_line"], *(p.line for p in real(quiz)))
        assert 0.7 < quiz.settings["first_line"] / TRAIN.count("\n") < 0.8

    def test_all_of_a_text_that_was_not_trained_on(self, chars, text):
        quiz = lmkit.quiz(chars, text, seed=1, rounds=20)
        assert quiz.settings["first_line"] == 1 and min(p.line for p in real(quiz)) < len(LINES) // 10

    def test_a_text_that_was_trained_on_is_warned_of(self, folder):
        with pytest.warns(LmkitWarning, match=r"was trained on all of .*train\.txt"):
            quiz = self.quiz(folder / "train.txt", smoothing="witten-bell")
        assert quiz.settings["first_line"] == 1 and {p.copied for p in real(quiz)} == {None}


class TestCopies:
    """No passage is shown that stands in a text; what is measured is what a search of all parts finds."""

    def test_what_is_measured_is_true(self, chars, text):
        quiz = lmkit.quiz(chars, text, seed=4, rounds=4)
        for passages, texts in ((written(quiz), [TRAIN, TEXT]), (real(quiz), [TRAIN])):
            for passage in passages:
                start, length = longest_run(passage.text, texts)
                assert passage.copied == length / len(passage.text)
                assert passage.run == passage.text[start : start + length]
        assert quiz.settings["searched"] == [text, text.replace("text.txt", "train.txt")]

    @pytest.mark.parametrize("copied", [0.1, 0.12])
    def test_none_is_shown_beyond_the_limit(self, folder, text, copied):
        model = lmkit.train(folder / "train.txt", tokenizer="char", order=6, smoothing="mle")
        free = lmkit.quiz(model, text, seed=4, copied=1, passages=5)
        assert max(p.copied for p in written(free)) > copied
        quiz = lmkit.quiz(model, text, seed=4, copied=copied, passages=5)
        assert max(p.copied for p in (*written(quiz), *real(quiz))) <= copied

    def test_a_model_that_only_copies_is_told(self, folder, text):
        model = lmkit.train(folder / "train.txt", tokenizer="char", order=32, smoothing="mle")
        with pytest.raises(LmkitError, match=r"model 1 wrote only \d of the 10 passages wanted.* copied.*--copied"):
            lmkit.quiz(model, text, seed=1)

    def test_the_hint_fits_what_was_wrong(self, folder, text):
        """What is most probable goes on without end, or is the same each time: to let copies pass would not help."""
        model = lmkit.train(folder / "train.txt", tokenizer="char", order=7)
        with pytest.raises(
            LmkitError, match=r"0 of the 3 .*\d not as long as the real one\); another --length or --temp"
        ):
            lmkit.quiz(model, text, seed=1, rounds=3, temperature=0, copied=1)
        with pytest.raises(LmkitError, match=r"not as long as the real one\); another --lines or --temp"):
            lmkit.quiz(model, text, seed=1, rounds=3, temperature=0, copied=1, lines=15)

    def test_copies_of_the_quiz_text_itself_count(self, folder):
        """The training text is gone, the text of the quiz is what it was: that is enough."""
        model = lmkit.train(("gone", TEXT.encode()), tokenizer="char", order=32, smoothing="mle")
        with pytest.warns(LmkitWarning), pytest.raises(LmkitError, match="copied"):
            lmkit.quiz(model, ("again", TEXT.encode() + b"\n"), seed=1)

    def test_real_passages_that_models_have_read_are_not_shown(self, chars):
        """Half of the text was trained on, under another checksum."""
        mixed = (TRAIN[:9000] + "\n" + TEXT).encode()
        quiz = lmkit.quiz(chars, ("mixed", mixed), seed=1, rounds=15)
        assert min(p.line for p in real(quiz)) > TRAIN[:8500].count("\n")


class TestForms:
    """Real passages look as if the model had written them."""

    def test_unknown_tokens_are_not_shown(self, text, folder):
        known = lmkit.train(folder / "train.txt", order=2, smoothing="witten-bell")
        quiz = lmkit.quiz(known, text, rounds=3, length=60, seed=1)
        vocabulary = set(known.text.vocabulary.tokens())
        for passage in real(quiz):
            assert set(lmkit_tokens(passage.text)) <= vocabulary and "<unk>" not in passage.text

    def test_nor_are_passages_if_all_have_some(self, words, text):
        with pytest.raises(CorpusError, match=r"left out: \d+ for unknown tokens.*--allow-unk"):
            lmkit.quiz(words, text, seed=1)

    def test_lower_case_single_blanks_and_unk_on_both_sides(self, words):
        spaced = TEXT.replace(" ", "  ").replace(" the", " \tthe").encode()
        quiz = lmkit.quiz(words, ("spaced", spaced), seed=1, rounds=5, allow_unk=True)
        for passage in (*real(quiz), *written(quiz)):
            assert passage.text == passage.text.lower() and "  " not in passage.text and "\t" not in passage.text
        assert any("<unk>" in p.text for p in real(quiz)) and any("<unk>" in p.text for p in written(quiz))
        for passage in real(quiz):
            lines = [" ".join(line.lower().split()) for line in LINES[passage.line - 1 :]]
            for shown, line in zip(passage.text.split("\n"), lines, strict=False):
                assert [b for a, b in zip(shown.split(), line.split(), strict=True) if a not in (b, "<unk>")] == []

    def test_a_model_that_begins_elsewhere_warms_up_first(self):
        """It begins with the text, passages with a paragraph: most start with Q, some with a letter of their own.

        Straight after the start Kneser-Ney knows no context, and takes the many letters to be as likely as the one.
        """
        rng = np.random.default_rng(1)
        verses = ("".join(rng.choice(list("abc ,"), 30)).strip(" ,") for _ in range(1200))
        starts = ["defghijklmnoprstuvwxyz"[i // 15] if i % 15 == 0 else "Q" for i in range(330)]
        paragraphs = [f"{start}{next(verses)}\n{next(verses)}\nc{next(verses)}\n\n" for start in starts]
        options = {"tokenizer": "char", "order": 5, "sentence": "text", "discount_fallback": (0.5, 1, 1.5)}
        model = lmkit.train(("start", "".join(["no paragraph\n\n", *paragraphs]).encode()), **options)
        with pytest.warns(LmkitWarning, match="no longer"):
            quiz = lmkit.quiz(
                model, ("rest", "".join(paragraphs).encode()), seed=1, length=50, rounds=5, passages=6, copied=1
            )
        assert np.mean([p.text[0] == "Q" for p in written(quiz)]) > 0.7

    def test_a_long_line_that_recurs_is_not_given(self, folder):
        """It would be a copy on both sides."""
        model = lmkit.train(folder / "train.txt", tokenizer="char", order=6, smoothing="witten-bell")
        line = "to-morrow and to-morrow and to-morrow creeps in this petty pace"
        data = "".join(f"{line}\n{paragraph}\n\n" for paragraph in TEXT.split("\n\n") if len(paragraph) > 99)
        quiz = lmkit.quiz(model, ("recurs", data.encode()), seed=1, rounds=4)
        assert all(p.text.startswith(line) for p in real(quiz)) and not any(line in p.text for p in written(quiz))

    def test_lines_where_there_are_no_paragraphs(self, folder):
        data = TEXT.replace("\n\n", "\n").encode()
        model = lmkit.train(
            ("train", TRAIN.replace("\n\n", "\n").encode()), tokenizer="char", sentence="paragraph", order=5
        )
        with pytest.warns(LmkitWarning, match="no longer"):
            quiz = lmkit.quiz(model, ("lines", data), seed=1, rounds=8)
        assert quiz.settings["begin"] == "line"
        assert any(not p.text.split("\n")[0].endswith(":") for p in real(quiz))

    @pytest.mark.parametrize("sentence", ["text", "paragraph"])
    def test_tokens_without_ends_of_lines_make_no_passages(self, folder, sentence):
        options = {"tokenizer": "whitespace", "order": 2, "smoothing": "witten-bell", "sentence": sentence}
        model = lmkit.train(folder / "train.txt", **options)
        with pytest.raises(OptionError, match="knows no ends of lines"):
            lmkit.quiz(model, ("lines", TEXT.replace("\n\n", "\n").encode()))


def lmkit_tokens(text):
    from lmkit.text import split

    return split(text, "word")


class TestFamilies:
    """Whatever keeps the contract takes part."""

    def quiz(self, model, folder, **options):
        return lmkit.quiz(model, str(folder / "text.txt"), seed=1, rounds=3, length=60, copied=1, **options)

    def test_recurrent_models(self, network, folder):
        quiz = self.quiz(network, folder)
        assert self.quiz(network, folder) == quiz
        held = lmkit.quiz(network, folder / "train.txt", seed=1, rounds=2, length=60, copied=1)
        assert held.settings["first_line"] > 1000

    @pytest.mark.parametrize("adapting", [{"cache": "unigram"}, {"cache": "neural"}, {"dynamic": True}])
    def test_models_that_remember_all_they_have_read(self, network, folder, adapting):
        """Their states have as many shapes as there are lengths of what is given."""
        model = lmkit.mix(network, tune=("tune", TEXT[:200].encode()), **adapting)
        assert self.quiz(model, folder) == self.quiz(model, folder)

    def test_mixtures(self, network, chars, folder):
        model = lmkit.mix([network, chars], weights=[0.3, 0.7])
        quiz = self.quiz(model, folder)
        assert self.quiz(model, folder) == quiz and quiz.settings["searched"] == [
            str(folder / name) for name in ("text.txt", "train.txt")
        ]

    def test_bytes(self, folder):
        model = lmkit.train(folder / "train.txt", tokenizer="byte", order=5, smoothing="witten-bell")
        accented = TEXT.replace("e", "é").encode()
        assert all("é" in p.text for p in real(lmkit.quiz(model, ("accents", accented), seed=1, rounds=2)))


class TestSeveralModels:
    @pytest.mark.parametrize("rounds", [3, 7])
    def test_each_has_its_rounds_once_more_at_most(self, chars, folder, text, rounds):
        paths = []
        for order in (1, 2, 3):
            paths.append(str(folder / f"{order}.lmkit"))
            lmkit.train(folder / "train.txt", tokenizer="char", order=order, smoothing="mle", output=paths[-1])
        quiz = lmkit.quiz(paths, text, seed=1, rounds=rounds, length=60, copied=1)
        met = collections.Counter(each.model for each in quiz.rounds)
        assert quiz.models == paths and set(met) == set(paths) and max(met.values()) - min(met.values()) <= 1
        for each in quiz.rounds:
            assert {p.model for p in each.passages} == {None, each.model}

    def test_one_takes_part_once(self, folder, text):
        lmkit.train(folder / "train.txt", order=1, smoothing="mle", output=folder / "one.lmkit")
        with pytest.raises(OptionError, match="named twice"):
            lmkit.quiz([folder / "one.lmkit"] * 2, text)


def test_what_makes_no_quiz(chars, text):
    for options, message in (
        ({"rounds": 0}, "--rounds is 0"),
        ({"rounds": 10**12}, "must be at most 1,000"),
        ({"passages": 1}, "--passages is 1"),
        ({"passages": 10}, "--passages is 10"),
        ({"copied": 1.5}, "--copied is 1.5"),
        ({"lines": 2, "length": 2}, "one of lines and length"),
        ({"repetition_penalty": 2}, "no option of quiz"),
        ({"top_p": 3}, "top-p is 3"),
        ({"seed": "one"}, "seed is 'one'"),
    ):
        with pytest.raises(OptionError, match=message):
            lmkit.quiz(chars, text, **options)
    with pytest.raises(CorpusError, match=r"has only 0 of the 10 passages of 200 characters.*at the end of the text"):
        lmkit.quiz(chars, ("short", b"ONE:\nshort\n"))
    with pytest.raises(CorpusError, match=r"has only [1-9]\d of the 500 passages"):
        lmkit.quiz(chars, text, rounds=500)
    endless = ("ONE:\n" + "and so on " * 600 + "\n\n") * 9
    with pytest.raises(CorpusError, match="left out: 9 for lines too long"):
        lmkit.quiz(chars, ("endless", endless.encode()))
    with pytest.raises(CorpusError, match="white space"):
        lmkit.quiz(chars, ("empty", b""))
    with pytest.raises(CorpusError, match=r"8\d % of its tokens are unknown to model 1"):
        lmkit.quiz(chars, ("foreign", "天地玄黄宇宙洪荒日月盈昃\n\n".encode() * 50))


class TestScore:
    @settings(deadline=None)
    @given(st.lists(st.booleans(), max_size=9), st.sampled_from([1 / 2, 1 / 3, 1 / 9]))
    def test_the_probability_of_guessing_so_well_is_that_of_all_outcomes(self, answers, chance):
        score = Score(chance)
        for right in answers:
            score.add("model", right)
        probability = 0.0
        for outcome in itertools.product([True, False], repeat=len(answers)):
            if sum(outcome) >= sum(answers):
                probability += math.prod(chance if right else 1 - chance for right in outcome)
        assert (score.rounds, score.right) == (len(answers), sum(answers))
        assert score.by_guessing == pytest.approx(probability)

    def test_the_ranking_is_by_share(self):
        score = Score(0.5)
        for model, wrong, rounds in (("a", 1, 3), ("b", 1, 2), ("c", 0, 2), ("d", 2, 4)):
            for i in range(rounds):
                score.add(model, i >= wrong)
        assert score.ranking() == [Standing("b", 1, 2), Standing("d", 2, 4), Standing("a", 1, 3), Standing("c", 0, 2)]


def test_what_a_player_may_see(chars, text):
    quiz = lmkit.quiz(chars, text, seed=1, rounds=2)
    told, hidden = quiz.as_dict(), quiz.as_dict(answers=False)
    assert [r["answer"] for r in told["rounds"]] == [str(r.answer + 1) for r in quiz.rounds]
    for each, bare in zip(told["rounds"], hidden["rounds"], strict=True):
        assert set(bare) == {"round", "passages"}
        assert [set(p) for p in bare["passages"]] == [{"label", "text"}] * 2
        assert [p["text"] for p in bare["passages"]] == [p["text"] for p in each["passages"]]
    assert quiz.chance == told["chance"] == 0.5


def test_a_perplexity_without_end(folder, text):
    """By maximum likelihood real passages cannot be: JSON has no number for that."""
    model = lmkit.train(folder / "train.txt", tokenizer="char", order=6, smoothing="mle")
    told = lmkit.quiz(model, text, seed=1, rounds=3).as_dict()
    assert {"perplexity": None, "infinite": True}.items() <= told["rounds"][0]["passages"][
        int(told["rounds"][0]["answer"]) - 1
    ].items()
