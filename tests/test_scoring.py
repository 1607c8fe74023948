"""A line is scored as the model saw lines: worked numbers, sums over texts, and each line against a loop of steps."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import lmkit
from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.model import EOS
from lmkit.rnn.model import RNNModel
from lmkit.rnn.network import Network, Shape
from lmkit.scoring import LineScores

TEXT = 'He said "wait\nand "went".\n\nA tail "x"\n"\nB " c\n\n\nd\n' * 3
SCORED = (
    'and "went\n"tail\n\n" B said " "wait.\nunheard "of" zebras\n',
    'no newline at the "end\nA tail',
    "A tail",
    'of\r\n"Windows\r\n\r\n',
    "\n\n",
)
TOKENIZERS, SENTENCES = ("word", "char", "byte", "whitespace"), ("line", "paragraph", "text")
WAYS = list(itertools.product(TOKENIZERS, SENTENCES))


def network_over(text, seed=1):
    """A network with random weights, far from uniform."""
    shape = Shape("gru", len(text.vocabulary), 1, 6)
    layout, rng = shape.layout(Network.usual_width()), np.random.default_rng(seed)
    flat = np.zeros(layout.size, np.float32)
    for part in layout.parts.values():
        part.true(flat)[:] = rng.normal(0, 0.8, part.true(flat).shape)
    return lmkit.Model(RNNModel(text, shape, flat))


def train(tokenizer, sentence):
    options = {"order": 3, "smoothing": "witten-bell", "tokenizer": tokenizer, "sentence": sentence}
    return lmkit.train(("text", TEXT.encode()), **options)


@pytest.fixture(scope="module")
def models():
    """An n-gram model, a network, a mixture of both, and a packed model, for each tokenizer and sentence rule."""
    found = {}
    for way in WAYS:
        counted = train(*way)
        network = network_over(counted.text)
        mixed = lmkit.mix([counted, network], weights=[0.5, 0.5])
        found[way] = {"ngram": counted, "rnn": network, "mixture": mixed, "packed": lmkit.prune(counted, quantize=8)}
    return found


def rows_of(model, text, **options):
    """Return one record for each line: log-probability, tokens, and the log-probability of each token."""
    rows = []
    for block in lmkit.score(model, ("text", text.encode()), **options):
        parts = np.split(block.log_p, block.ends[:-1])
        rows += zip(block.log_probabilities.tolist(), block.tokens.tolist(), parts, strict=True)
    return rows


@pytest.mark.parametrize("kind", ["ngram", "rnn", "mixture", "packed"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_rows_sum_to_the_perplexity_of_sentences(models, tokenizer, kind):
    """Blank lines, odd numbers of quotes, returns and a last line without a newline included: it is given one."""
    model = models[tokenizer, "line"][kind]
    for text in SCORED:
        rows, whole = rows_of(model, text), model.perplexity(("text", text.encode()), reset="sentence")
        assert math.fsum(row[0] for row in rows) == pytest.approx(whole.log_probability, rel=1e-6)
        assert sum(row[1] for row in rows) == whole.tokens
        assert math.fsum(p for row in rows for p in row[2]) == pytest.approx(whole.log_probability, rel=1e-6)
        assert len(rows) == whole.sentences == len(text.splitlines())


@pytest.mark.parametrize("kind", ["ngram", "rnn", "mixture", "packed"])
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_each_line_by_single_steps(models, way, kind):
    """Sentences of lines: from `<s>` to `</s>`. Others: after a line break alone, to the next line break."""
    model = models[way][kind]
    for text in SCORED:
        terminated = text if text.endswith("\n") else text + ("\r\n" if "\r" in text else "\n")
        for line, row in zip(terminated.splitlines(keepends=True), rows_of(model, text), strict=True):
            ids = model.text.encode_text(line).ids.tolist()
            if way[1] == "line":
                state = model.begin()
            else:
                ids = [i for i in ids if i != EOS]
                line_break = [] if way[0] == "whitespace" else [model.text.vocabulary.id("\n")]
                state = model.begin() if kind == "rnn" else model.begin_after(())
                for i in line_break:
                    state = model.advance(state, [i])
            expected = []
            for i in ids:
                expected.append(model.log_probs(state)[0, i])
                state = model.advance(state, [i])
            np.testing.assert_allclose(row[2], expected, rtol=1e-5, atol=1e-5)


def test_nothing_known_is_the_empty_context():
    """Its predictions are Witten-Bell's unigrams, (c(w) + T / (V - 1)) / (N + T): N tokens of T types were seen."""
    model = train("whitespace", "line")
    ids = np.concatenate([block.ids for block in model.text.encode_corpus(lmkit.text.Corpus("t", data=TEXT.encode()))])
    types, words = len(np.unique(ids)), len(ids)
    counted = np.bincount(ids, minlength=model.vocabulary_size)
    expected = (counted + types / (model.vocabulary_size - 1)) / (words + types)
    found = np.exp(model.log_probs(model.begin_after(()))[0])
    np.testing.assert_allclose(np.delete(found, 1), np.delete(expected, 1), rtol=1e-5)
    assert np.abs(found - np.exp(model.log_probs(model.begin())[0])).max() > 0.01


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_pieces_of_sentences(models, way):
    """Without bos nothing is known before a line, without eos its line break and `</s>` are left out; log_prob, too."""
    model = models[way]["ngram"]
    for text in SCORED:
        rows = rows_of(model, text, bos=False, eos=False)
        for line, row in zip(text.splitlines(), rows, strict=True):
            ids = [i for i in model.text.encode_text(line).ids.tolist() if i != EOS]
            log_p, _ = model.score(model.begin_after(()), np.array([ids], np.int32))
            np.testing.assert_allclose(row[2], log_p[0], rtol=1e-5, atol=1e-6)
            if way[1] == "line":
                assert model.log_prob(line, bos=False, eos=False) == pytest.approx(row[0], abs=1e-4)


def orders_of(model, text):
    return np.concatenate([block.orders(model) for block in lmkit.score(model, ("text", text.encode()))])


@pytest.mark.parametrize("kind", ["ngram", "packed"])
@pytest.mark.parametrize("way", [("char", "paragraph"), ("char", "line"), ("whitespace", "text")], ids="-".join)
def test_orders_are_those_of_the_line_alone(models, way, kind):
    model = models[way][kind]
    together = orders_of(model, SCORED[0])
    alone = [orders_of(model, line) for line in SCORED[0].splitlines(keepends=True)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    known = {"line": 1, "paragraph": 1, "text": 0}[way[1]]  # tokens before the first
    assert together[0] <= 1 + known and together[1] <= 2 + known and together.max() > 1


def test_a_line_without_tokens_is_sure(models):
    """Nothing is scored of it: its probability is 1, and so is its perplexity."""
    (block,) = lmkit.score(models["whitespace", "text"]["ngram"], ("text", b"\nA tail\n\n"))
    assert block.tokens.tolist() == [0, 2, 0] and block.oov.tolist() == [0, 0, 0]
    assert block.log_probabilities[[0, 2]].tolist() == [0, 0] and block.perplexities[[0, 2]].tolist() == [1, 1]
    assert block.log_probabilities[1] < 0


def test_caches_begin_empty(models):
    """What stands before a line is not known, so that nothing is in the window."""
    for way in (("char", "paragraph"), ("char", "line")):
        base = models[way]["rnn"]
        for cache in ("unigram", "neural"):
            cached = lmkit.mix([base], cache=cache, tune=("tune", TEXT.encode()))
            before = cached.text.line_break_ids
            for n in (1, 3):
                state = cached.begin_after(before, n)
                np.testing.assert_allclose(cached.log_probs(state), base.log_probs(base.begin_after(before, n)))
            (one,), (two,) = (rows_of(cached, line)[-1:] for line in ("A tail\n", 'He said "A\nA tail\n'))
            assert one[0] == pytest.approx(two[0], rel=1e-6)


class TestBadLines:
    """With errors="report" each line that cannot be read is told, and has no score; all others have theirs."""

    TEXT = b"A tail\nB <s> c\n\xff\nHe said\n</s>\n<unk> tail\nA\xfe <s>\nA tail"
    BAD = (2, 3, 5, 6, 7)

    def test_all_others_are_scored(self, models):
        model, told = models["whitespace", "line"]["ngram"], []
        blocks = list(lmkit.score(model, ("web", self.TEXT), errors="report", on_error=told.append))
        assert [line for block in blocks for line in block.lines] == self.TEXT.split(b"\n")
        assert [message[: len("web: line 0:")] for message in told] == [f"web: line {i}:" for i in self.BAD]
        assert "<s>" in told[0] and "0xff is not valid utf-8" in told[1] and "0xfe" in told[4]
        expected = {i: row[0] for i, row in enumerate(rows_of(model, "A tail\n\n\nHe said\n\n\n\nA tail\n"), 1)}
        for i, found in enumerate(np.concatenate([block.log_probabilities for block in blocks]).tolist(), 1):
            assert math.isnan(found) if i in self.BAD else found == expected[i]
        assert sum(np.isnan(block.perplexities).sum() for block in blocks) == len(self.BAD)

    def test_keep_lets_some_pass(self, models):
        model, told = models["whitespace", "line"]["ngram"], []
        list(lmkit.score(model, ("web", self.TEXT), errors="report", reserved="keep", on_error=told.append))
        assert [message.split(" ")[2] for message in told] == ["2:", "3:", "5:", "7:"]
        blocks = list(lmkit.score(model, ("web", self.TEXT), errors="keep", reserved="space"))
        assert [n for block in blocks for n in block.tokens.tolist()] == [3, 3, 2, 3, 1, 2, 2, 3]
        assert all(np.isfinite(block.log_probabilities).all() for block in blocks)

    def test_by_default_a_warning(self, models):
        with pytest.warns(LmkitWarning, match="web: line 2: 0xff"):
            list(lmkit.score(models["char", "text"]["ngram"], ("web", b"a\n\xff\n"), errors="report"))
        with pytest.raises(OptionError, match="on_error"):
            lmkit.score(models["char", "text"]["ngram"], ("web", b"a\n"), on_error=print)

    @pytest.mark.parametrize("text", [b"A tail\nB\nHe <s> said\nA\n", b"A tail\nB\nHe \xff said\nA\n"])
    def test_else_the_lines_before_the_first_are_scored(self, models, text):
        scored, told = lmkit.score(models["whitespace", "line"]["ngram"], ("web", text)), []
        with pytest.raises(CorpusError, match=r"web: line 3[:,]"):
            told.extend(line for block in scored for line in block.lines)
        assert told == [b"A tail", b"B"]

    def test_also_in_other_encodings(self, models):
        scored, told = lmkit.score(models["char", "line"]["ngram"], ("web", b"A\nB\n\x81\n"), encoding="cp1252"), []
        with pytest.raises(CorpusError, match=r"web: line 3[:,]"):
            told.extend(line for block in scored for line in block.lines)
        assert told == [b"A", b"B"]

    def test_lists_and_filters(self, models):
        model, told = models["whitespace", "line"]["ngram"], []
        lists = b"0 ||| A tail ||| f= 1 ||| 2\n0 ||| <s> ||| f= 1 ||| 2\nnothing\n0 ||| A tail ||| lmkit= 1\n"
        rows = b"".join(lmkit.rescore(model, ("nbest", lists), errors="report", on_error=told.append)).split(b"\n")
        score = b"%.9g" % rows_of(model, "A tail\n")[0][0]
        assert rows == [
            b"0 ||| A tail ||| f= 1 lmkit= %b ||| 2" % score, b"0 ||| <s> ||| f= 1 lmkit= ||| 2", b"nothing",
            b"0 ||| A tail ||| lmkit= %b " % score, b"",
        ]  # fmt: skip
        assert sorted(message.split(" ")[2].strip(":") for message in told) == ["2", "3"]
        told.clear()
        kept = lmkit.filter_lines(model, ("web", self.TEXT), keep=1.0, errors="report", on_error=told.append)
        assert b"".join(kept) == b"A tail\nHe said\nA tail\n" and len(told) == len(self.BAD)

    @pytest.mark.parametrize(
        "lists, line", [(b"0 ||| A ||| \n0 ||| <s> ||| \n", 2), (b"0 ||| A ||| \nnothing\n0 ||| <s> |||\n", 2)]
    )
    def test_lists_up_to_the_first(self, models, lists, line):
        rows, scored = [], lmkit.rescore(models["whitespace", "line"]["ngram"], ("nbest", lists))
        with pytest.raises(CorpusError, match=f"nbest: line {line}"):
            rows.extend(scored)
        assert b"".join(rows).count(b"\n") == 1

    @pytest.mark.parametrize("sentence, expected", [("line", b"a b\n\nc\n\n"), ("paragraph", b"a b c\n")])
    def test_tokens_of_all_others(self, sentence, expected):
        text, told = ("web", b"a b\nc <s>\nc\n\xff"), []
        ways = {"tokenizer": "whitespace", "sentence": sentence, "errors": "report", "on_error": told.append}
        assert b"".join(lmkit.tokenize(text, **ways)) == expected and len(told) == 2

    def test_tokens_up_to_the_first(self):
        rows, listed = [], lmkit.tokenize(("web", b"a b\nc\nc <s>\n"), tokenizer="whitespace")
        with pytest.raises(CorpusError, match="web: line 3: reserved token <s>"):
            rows.extend(listed)
        assert b"".join(rows) == b"a b\nc\n"


def test_labels_of_whole_lines():
    """Labels before a text, as those of a classifier: what is scored is p(line) of a small world, worked by hand.

    Half of the lines have each label, and each verdict is fixed by its label, so that p(line) = 1/2 * 1/3; a character
    8-gram by maximum likelihood sees all of that. The line break and `</s>` after it are sure.
    """
    lines = [f"{label}|it was {word}\n" for label, words in
             {"pos": ("fine", "kind", "good"), "neg": ("grim", "cold", "wet")}.items() for word in words]  # fmt: skip
    text = "".join(lines * 5).encode()
    model = lmkit.train(("labelled", text), tokenizer="char", sentence="line", order=24, smoothing="mle")
    for line in ("pos|it was kind", "neg|it was cold"):
        for ending in ("\n", ""):
            ((log_p, tokens, _),) = rows_of(model, line + ending)
            assert log_p == pytest.approx(math.log(1 / 6), abs=1e-5) and tokens == len(line) + 2
        assert model.perplexity(("line", line.encode()), reset="sentence").log_probability == pytest.approx(log_p)
        assert model.log_prob(line + "\n") == pytest.approx(log_p)


def test_perplexities_that_float32_does_not_hold_are_infinite():
    """Without a warning: exp(100) is a float64 only."""
    parts = {field.name: () for field in dataclasses.fields(LineScores)}
    scores = LineScores(**{**parts, "log_p": np.array([-100.0, -2.0]), "ends": np.array([1, 2])})
    assert scores.rounded_perplexities.tolist() == [np.inf, np.float32(np.exp(2))]
