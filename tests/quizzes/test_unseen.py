"""Which part of a text is new to a model, by its record; and what a record may say."""

import copy
import gzip

import numpy as np
import pytest
from texts import VERSES

import lmkit
from lmkit.errors import LmkitWarning
from lmkit.quizzes.passages import Text
from lmkit.quizzes.unseen import CHUNK, Library, Training, first_unseen_line, trainings
from lmkit.text import Corpus

PLAY = "".join(f"{i}. {VERSES[i % 5]}" + ("\n\n" if i % 3 == 2 else "\n") for i in range(90)).encode()
OTHER = PLAY.replace(b"sun", b"moon")
LEARNING = {"tokenizer": "char", "order": 2, "smoothing": "jelinek-mercer"}


def text(data=PLAY, name="play"):
    return Text.read(Corpus(name, data=data))


def tokens(layer, data):
    return len(layer.encode_text(data.decode()).ids)


@pytest.mark.parametrize("options", [LEARNING, {**LEARNING, "tokenizer": "word"}, {**LEARNING, "tokenizer": "byte"},
                                     {**LEARNING, "tokenizer": "whitespace", "lowercase": True}])  # fmt: skip
@pytest.mark.parametrize("valid", [0.05, 0.5])
def test_the_held_out_part_begins_with_the_first_line_after_what_was_learnt(options, valid):
    model = lmkit.train(("play", PLAY), valid=valid, **options)
    (training,) = trainings(model.language_model)
    line = first_unseen_line(text(), training)
    assert 0 < line < len(text())
    before = [text().block(0, last) for last in (line - 1, line)]
    at_most, at_least = (tokens(model.text, data) for data in before)
    assert at_most - 1 < training.learnt <= at_least  # an open sentence that ends costs a token
    assert training.learnt == model.metadata["training"]["held_out"]["first_token"]


def test_a_long_text_is_counted_in_pieces(monkeypatch):
    model = lmkit.train(("play", PLAY), valid=0.3, **LEARNING)
    (training,) = trainings(model.language_model)
    expected = first_unseen_line(text(), training)
    assert len(text()) < CHUNK
    for size in (1, 3, 7):
        monkeypatch.setattr("lmkit.quizzes.unseen.CHUNK", size)
        assert first_unseen_line(text(), training) == expected


def test_a_text_that_was_not_read_is_new_from_its_first_line_on_and_one_that_was_learnt_is_not():
    (training,) = trainings(lmkit.train(("play", PLAY), tokenizer="char", order=2, smoothing="mle").language_model)
    assert first_unseen_line(text(), training) is None
    assert first_unseen_line(text(OTHER), training) == 0


def test_of_several_texts_the_last_ones_are_held_out():
    model = lmkit.train([("a", PLAY), ("b", OTHER)], valid=0.25, **LEARNING)
    (training,) = trainings(model.language_model)
    assert first_unseen_line(text(), training) is None
    assert 0 < first_unseen_line(text(OTHER), training) < len(text())
    twice = lmkit.train([("a", PLAY), ("b", OTHER), ("c", PLAY)], valid=0.25, **LEARNING)
    (training,) = trainings(twice.language_model)
    assert first_unseen_line(text(), training) is None  # the first copy was learnt from
    most = lmkit.train([("a", PLAY), ("b", OTHER)], valid=0.75, **LEARNING)
    (training,) = trainings(most.language_model)
    assert 0 < first_unseen_line(text(), training) < len(text()) and first_unseen_line(text(OTHER), training) == 0


DAMAGES = [
    lambda r: r.clear(),
    lambda r: r.update(corpora=[]),
    lambda r: r.update(corpora=None),
    lambda r: r.update(corpora="abc"),
    lambda r: r["corpora"].append(None),
    lambda r: r["corpora"][0].pop("tokens"),
    lambda r: r["corpora"][0].update(tokens=-1),
    lambda r: r["corpora"][0].update(tokens=1.5),
    lambda r: r["corpora"][0].update(sha256=7),
    lambda r: r["corpora"][0].update(name=None),
    lambda r: r["corpora"][0].update(bytes=True),
    lambda r: r.update(held_out=[1]),
    lambda r: r.update(held_out={"first_token": "7"}),
    lambda r: r.update(options={}),
    lambda r: r["options"].update(encoding=None),
]


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_record_tells_nothing(change):
    model = lmkit.train(("play", PLAY), tokenizer="char", order=1, smoothing="mle")
    record = copy.deepcopy(model.metadata["training"])
    assert Training.from_record(record, model.text) is not None
    change(record)
    assert Training.from_record(record, model.text) is None


@pytest.mark.parametrize("record", [None, 7, "abc", [], {"arpa": {"name": "a", "sha256": "b"}, "held_out": None}])
def test_no_record_tells_nothing(record):
    assert Training.from_record(record, None) is None


def test_all_that_a_mixture_is_made_of_has_read(tmp_path):
    models = [lmkit.train(("play", data), tokenizer="byte", order=1, smoothing="witten-bell") for data in (PLAY, OTHER)]
    lmkit.mix(models, weights=[0.5, 0.5], output=tmp_path / "mixed.lmkit")
    lmkit.mix(tmp_path / "mixed.lmkit", cache="unigram", tune=("tune", b"moon\n"), output=tmp_path / "cached.lmkit")
    for path in ("mixed.lmkit", "cached.lmkit"):
        found = trainings(lmkit.load(tmp_path / path).language_model)
        assert [t.checksums for t in found] == [(text(data).sha256,) for data in (PLAY, OTHER)]


class TestLibrary:
    def found(self, place, data=PLAY, **options):
        return lmkit.train(place, tokenizer="char", **{"order": 2, "smoothing": "mle", **options}).language_model

    def test_what_was_learnt_from_another_text_is_searched(self, tmp_path):
        (tmp_path / "other.txt").write_bytes(OTHER)
        model = self.found(tmp_path / "other.txt", smoothing="jelinek-mercer", valid=0.5)
        library = Library(text(), [("m", model)])
        assert library.first == 0 and library.names == ["play", str(tmp_path / "other.txt")]
        (seen,) = library.seen(model.text)
        seen = b"".join(seen)
        assert OTHER.startswith(seen) and 0.4 < len(seen) / len(OTHER) < 0.6
        assert [b"".join(blocks) for blocks in library.all(model.text)] == [PLAY, seen]

    def test_what_was_learnt_of_the_text_itself_is_searched(self):
        model = self.found(("play", PLAY), smoothing="jelinek-mercer", valid=0.5)
        library = Library(text(), [("m", model)])
        (seen,) = library.seen(model.text)
        assert b"".join(seen) == text().block(0, library.first) and library.first > 20

    def test_a_compressed_text_is_found_again(self, tmp_path):
        (tmp_path / "other.txt.gz").write_bytes(gzip.compress(OTHER))
        library = Library(text(), [("m", self.found(tmp_path / "other.txt.gz"))])
        assert [other.data for other, _ in library.others.values()] == [OTHER]

    def test_one_that_is_gone_or_has_changed_is_told(self, tmp_path):
        place = tmp_path / "other.txt"
        place.write_bytes(OTHER)
        model = self.found(place)
        for change in (lambda: place.write_bytes(OTHER + b"more"), lambda: place.write_bytes(b" "), place.unlink):
            change()
            with pytest.warns(LmkitWarning, match="no longer to be had"):
                assert Library(text(), [("m", model)]).others == {}

    def test_a_model_that_knows_the_text_is_told_and_does_not_hide_the_part_that_another_one_does_not(self):
        knows, held = self.found(("play", PLAY)), self.found(("play", PLAY), smoothing="jelinek-mercer", valid=0.5)
        with pytest.warns(LmkitWarning, match="knows was trained on all of play"):
            assert Library(text(), [("knows", knows)]).first == 0
        with pytest.warns(LmkitWarning, match="knows was trained on all of play"):
            library = Library(text(), [("knows", knows), ("held", held)])
        assert library.first == Library(text(), [("held", held)]).first > 0

    def test_one_that_does_not_say_is_told_once(self):
        model = self.found(("play", PLAY))
        model.metadata = {}
        with pytest.warns(LmkitWarning, match="m does not say") as told:
            Library(text(), [("m", model), ("m", model)])
        assert len(told) == 1

    def test_texts_are_searched_as_the_model_would_write_them(self):
        model = lmkit.train(
            ("play", b"a  B\tc\n\nD\n"), tokenizer="whitespace", lowercase=True, order=1, smoothing="mle"
        )
        with pytest.warns(LmkitWarning):
            library = Library(text(b"a  B\tc\n\nD\n"), [("m", model)])
        assert [b"".join(blocks) for blocks in library.all(model.text)] == [b"a b c\n\nd\n"]


def test_a_seen_text_of_many_lines_is_whole():
    data = b"".join(b"%d\n" % i for i in np.arange(3 * CHUNK))
    model = lmkit.train(
        ("many", data), tokenizer="byte", order=1, smoothing="jelinek-mercer", valid=0.1, sentence="line"
    )
    library = Library(text(data, "many"), [("m", model.language_model)])
    (seen,) = library.seen(model.text)
    assert b"".join(seen) == text(data).block(0, library.first) and library.first > 2 * CHUNK
