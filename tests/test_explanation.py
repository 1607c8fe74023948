"""What is told of tokens, against worked numbers and the slow loop."""

import math

import numpy as np
import pytest

import lmkit
from lmkit.errors import CorpusError, OptionError
from lmkit.explanation import details, in_bits, read_whole
from lmkit.text import Corpus

ROWS = ("rows", b"row row row your boat\n")


def trained(text=ROWS, **options):
    return lmkit.train(text, **{"order": 2, "smoothing": "mle", "tokenizer": "whitespace", **options})


def test_worked_numbers():
    """After "row" come row 2, your 1 times; everything else is sure."""
    (piece,) = lmkit.explain(trained(), ("line", b"row row  your boat\n"))
    assert piece.tokens == ["row", " row", "  your", " boat", "\n"] and piece.title == "line"
    np.testing.assert_allclose(piece.surprisal, [0, math.log2(3 / 2), math.log2(3), 0, 0], atol=1e-6)
    assert not np.signbit(piece.surprisal).any()


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "whitespace"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_sum_is_that_of_perplexity(tokenizer, encoding):
    """Whatever is cut, the model goes on; each text begins anew."""
    text = 'Was für ein "Tag"!\n\nEin schöner Tag.\n'.encode() * 20
    model = trained(("t", text), tokenizer=tokenizer, smoothing="add-k")
    texts = [("a", ("Ein schöner\tTag?\r\n\n" * 900).encode(encoding)), ("b", 'für "ein'.encode(encoding))]
    pieces = list(lmkit.explain(model, texts, encoding=encoding))
    assert len(pieces) > 3 and {piece.title for piece in pieces} == {"a", "b"}
    expected = lmkit.perplexity(model, texts, encoding=encoding)
    assert sum(len(piece.ids) for piece in pieces) == expected.tokens
    assert sum(len(piece.oov) for piece in pieces) == expected.oov
    assert sum(piece.log_p.sum() for piece in pieces) == pytest.approx(expected.log_probability)
    for name, data in texts:
        whole = "".join(piece.text for piece in pieces if piece.title == name)
        assert whole == data.decode(encoding)


def test_a_long_line_is_shown_in_pieces():
    pieces = list(lmkit.explain(trained(), ("long", b"row " * 50_000)))
    assert len(pieces) > 20 and max(len(piece.text) for piece in pieces) < 20_000


def test_difference_is_of_the_second_model_to_the_first():
    one, other = trained(), trained(order=1)
    (piece,) = lmkit.explain(one, ("line", b"row your\n"), against=other)
    (alone,) = lmkit.explain(other, ("line", b"row your\n"))
    np.testing.assert_allclose(piece.difference[:2], (alone.surprisal - piece.surprisal)[:2])
    assert (
        piece.difference[0] == pytest.approx(1) and piece.difference[2] == -math.inf
    )  # row is 3 of 6; "your" ends no row


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tokenizer": "char"}, "tokenizer is whitespace and char"),
        ({"sentence": "text"}, "sentence is line and text"),
        ({"lowercase": True}, "lowercase is false and true"),
        ({"reserved": "space"}, "reserved is error and space"),
    ],
)
def test_models_that_cut_otherwise_are_refused(options, named):
    with pytest.raises(OptionError, match=f"model 1 and model 2 see different tokens: {named}"):
        list(lmkit.explain(trained(), ROWS, against=trained(**options)))


def test_a_model_beside_one_that_takes_reserved_words():
    """A model that refuses `<unk>` in a text, and one that takes it: of the texts that both read they see the same."""
    (piece,) = lmkit.explain(trained(), ROWS, against=trained(reserved="keep"))
    np.testing.assert_array_equal(piece.log_p, piece.other_log_p)


def test_a_word_that_one_model_lacks_is_named_with_its_line():
    less = trained(("less", b"row your\n"))
    list(lmkit.explain(trained(), ("same", b"row your\nzebra\n"), against=less))  # unknown to both
    with pytest.raises(OptionError, match="line 3: model 1 knows the token 'boat' and model 2 does not"):
        list(lmkit.explain(trained(), ("lines", b"row\nyour\nrow  boat\n"), against=less))
    with pytest.raises(OptionError, match="line 1: model 2 knows the token 'boat' and model 1 does not"):
        list(lmkit.explain(less, ("lines", b"boat\n"), against=trained()))


def test_models_may_number_the_same_tokens_otherwise():
    other = trained(("other", b"boat boat boat boat your row row row row row\n"), order=1)
    (piece,) = lmkit.explain(trained(), ("line", b"boat row\n"), against=other)
    (alone,) = lmkit.explain(other, ("line", b"boat row\n"))
    np.testing.assert_array_equal(piece.other_log_p, alone.log_p)


class TestDetails:
    def test_are_those_of_the_sorted_row(self):
        model = lmkit.train(("t", b"cows eat corn\ncows eat hay\nhens eat corn\n" * 4), order=3, tokenizer="char",
                            smoothing="add-k").language_model  # fmt: skip
        ids = model.text.encode_text("hens eat hay\nzebras!\n").ids
        found = details(model, ids)
        state = model.begin()
        for i, token in enumerate(ids):
            row = model.log_probs(state)[0]
            order = np.argsort(-row, kind="stable")[:5]
            assert found.top[i].tolist() == order.tolist()
            np.testing.assert_array_equal(found.top_log_p[i], row[order])
            assert found.ranks[i] == 1 + sum(p > row[token] for p in row) and found.log_p[i] == row[token]
            state = model.advance(state, token[None])
        np.testing.assert_array_equal(found.orders, model.orders(ids))
        np.testing.assert_array_equal(found.log_p, model.score(model.begin(), ids[None])[0][0])

    def test_small_vocabularies_have_fewer(self):
        model = trained(("t", b"a a\n")).language_model
        found = details(model, np.array([3, 3, 2], np.int32))
        assert found.top.shape == (3, 4) and found.top[0, 0] == 3 and found.ranks.tolist() == [1, 1, 1]

    def test_progress_counts_tokens(self):
        model, done = trained().language_model, []
        details(model, np.full(10, 3, np.int32), progress=done.append)
        assert sum(done) == 10

    def test_bits(self):
        np.testing.assert_allclose(in_bits(np.array([0.0, math.log(0.5), -math.inf], np.float32)), [0, 1, math.inf])


class TestWholeTexts:
    def read(self, *data, longest=100, **options):
        model = trained(**options).language_model
        corpora = [Corpus(f"text {i}", data=some) for i, some in enumerate(data)]
        return read_whole([model], ["model"], corpora, longest)

    def test_are_whole(self):
        one, other = self.read(b"row  your\nboat", b"row\n")
        assert (one.text, one.tokens) == ("row  your\nboat", ["row", "  your", "\n", "boat", ""])
        assert other.title == "text 1" and other.ids.tolist() == [3, 2]

    @pytest.mark.parametrize("data", [[b"x" * 101], [b"row\n" * 40], [b"row\n" * 20, b"row\n" * 20]])
    def test_have_a_limit_that_is_named(self, data):
        with pytest.raises(CorpusError, match=r"longer than 100 bytes"):
            self.read(*data)

    def test_too_long_a_stream_is_not_read_to_its_end(self):
        class Endless:
            read_bytes = 0

            def read(self, size):
                self.read_bytes += size
                return b"x" * size

        stream = Endless()
        with pytest.raises(CorpusError, match="longer than 100 bytes"):
            self.read(stream)
        assert stream.read_bytes < 10_000_000

    def test_empty_ones_are_refused(self):
        with pytest.raises(CorpusError, match="text 0, text 1 holds no tokens"):
            self.read(b"", b"")
        assert len(self.read(b"", b"row")) == 2
