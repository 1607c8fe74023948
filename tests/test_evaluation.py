"""Perplexity by worked numbers, against the loop, and over files, sentences and blocks."""

import dataclasses
import math
import types

import numpy as np
import pytest
from reference import ElmanReference, NGramReference

from lmkit import evaluation
from lmkit.errors import CorpusError, OptionError
from lmkit.model import EOS, UNK


@dataclasses.dataclass
class Encoded:
    ids: np.ndarray
    oov: np.ndarray

    @property
    def spelled(self):
        """Each OOV has two characters, which are three bytes."""
        return np.tile([2, 3], (len(self.oov), 1))


class IdText:
    """A text layer whose corpora are ids already, in blocks."""

    def __init__(self, size, lossless=True):
        self.vocabulary = range(size)
        self.settings = types.SimpleNamespace(lossless=lossless, describe=lambda: {"tokenizer": "ids"})

    def spelling_costs(self, encoded):
        return encoded.spelled[:, 0] * math.log(16)

    def encode_corpus(self, corpus, alone=False, missing=None):
        for block in corpus.blocks:
            ids = np.array(block, np.int32)
            yield Encoded(ids, np.flatnonzero(ids == UNK) if corpus.unk_is_oov else np.empty(0, np.int64))


def corpus(*blocks, size=100, characters=90, unk_is_oov=True):
    return types.SimpleNamespace(blocks=blocks, bytes=size, characters=characters, title="ids", unk_is_oov=unk_is_oov)


TRAINING = np.array([3, 4, 3, EOS, 3, 3, EOS], np.int32)


def unigram(**options):
    """p(3) = 4/7, p(4) = 1/7, p(</s>) = 2/7."""
    return NGramReference(IdText(5, **options), TRAINING, 1, "mle")


def test_worked_numbers():
    e = evaluation.evaluate(unigram(), [corpus([3, 4, EOS])])
    log_p = math.log(4 / 7) + math.log(1 / 7) + math.log(2 / 7)
    assert (e.tokens, e.sentences, e.oov) == (3, 1, 0)
    assert e.log_probability == pytest.approx(log_p)
    assert e.perplexity == e.perplexity_without_oov == pytest.approx((343 / 8) ** (1 / 3))
    assert e.bits_per_character == pytest.approx(math.log2(343 / 8) / 90)
    assert e.bits_per_byte == pytest.approx(math.log2(343 / 8) / 100)
    assert e.settings == {"family": "ngram-reference", "tokenizer": "ids", "reset": "file"}


def test_an_impossible_oov_counts_in_one_perplexity_only():
    e = evaluation.evaluate(unigram(), [corpus([3, UNK, EOS])])
    assert (e.oov, e.perplexity, e.log_probability) == (1, math.inf, -math.inf)
    assert e.perplexity_without_oov == pytest.approx((7 / 4 * 7 / 2) ** 0.5)
    assert e.bits_per_byte is None and "vocabulary: 1" in e.bits_reason
    assert e.as_dict()["perplexity"] is None and e.as_dict()["infinite"] is True


def test_bits_of_what_is_known_and_an_upper_bound():
    """With p(<unk>) = p(3) = p(</s>) = 1/4: 3 tokens have 6 bits, 4 of them for what is known, and 8 for two signs."""
    model = NGramReference(IdText(5), np.array([3, UNK, 4, EOS], np.int32), 1, "mle")
    e = evaluation.evaluate(model, [corpus([3, UNK, EOS])])
    assert (e.bits_per_character, e.bits_per_byte) == (None, None)
    assert e.bits_per_character_without_oov == pytest.approx(4 / (90 - 2))
    assert e.bits_per_byte_without_oov == pytest.approx(4 / (100 - 3))
    assert e.bits_per_character_upper_bound == pytest.approx((6 + 8) / 90)
    assert e.bits_per_byte_upper_bound == pytest.approx((6 + 8) / 100)
    known = evaluation.evaluate(model, [corpus([3, EOS])])
    assert known.bits_per_byte == known.bits_per_byte_without_oov == known.bits_per_byte_upper_bound
    lossy = NGramReference(IdText(5, lossless=False), np.array([3, UNK, 4, EOS], np.int32), 1, "mle")
    e = evaluation.evaluate(lossy, [corpus([3, UNK, EOS])])
    assert (e.bits_per_byte_without_oov, e.bits_per_byte_upper_bound) == (None, None)


def test_a_literal_unk_is_no_oov():
    e = evaluation.evaluate(unigram(), [corpus([3, UNK, EOS], unk_is_oov=False)])
    assert (e.oov, e.perplexity_without_oov) == (0, math.inf)


def test_nothing_but_oov():
    e = evaluation.evaluate(unigram(), [corpus([UNK, UNK])])
    assert e.perplexity_without_oov is None and e.sentences == 0


def test_lossy_tokens_have_no_bits():
    e = evaluation.evaluate(unigram(lossless=False), [corpus([3, EOS])])
    assert e.bits_per_character is None and e.bits_reason and e.as_dict()["infinite"] is False


def test_nothing_to_score_is_an_error():
    with pytest.raises(CorpusError, match="no tokens"):
        evaluation.evaluate(unigram(), [corpus()])
    with pytest.raises(OptionError, match="reset"):
        evaluation.evaluate(unigram(), [corpus([3])], reset="word")


def random_ids(length, seed=1):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(length) < 0.2, EOS, rng.integers(3, 9, length)).astype(np.int32)


def loop(model, ids, reset):
    state, total = model.begin(), 0.0
    for w in ids:
        total += model.log_probs(state)[0, w]
        state = model.begin() if reset == "sentence" and w == EOS else model.advance(state, np.array([w]))
    return total


@pytest.mark.parametrize("reset", evaluation.RESETS)
@pytest.mark.parametrize("cuts", [[], [50], [1, 2, 3, 17, 60, 199]])
def test_totals_are_those_of_the_loop_however_the_text_is_cut(reset, cuts):
    """The network keeps its memory over </s>: the two resets differ, and blocks cut sentences anywhere."""
    model = ElmanReference(IdText(9), seed=3)
    ids = random_ids(200)
    e = evaluation.evaluate(model, [corpus(*np.split(ids, cuts))], reset=reset)
    assert e.log_probability == pytest.approx(loop(model, ids, reset), rel=1e-12)
    assert (e.tokens, e.sentences) == (200, int((ids == EOS).sum()))


def test_the_resets_differ():
    model = ElmanReference(IdText(9), seed=3)
    ids = random_ids(200)
    assert loop(model, ids, "file") != pytest.approx(loop(model, ids, "sentence"))


def test_each_file_begins_anew():
    model = ElmanReference(IdText(9), seed=3)
    a, b = random_ids(50, 1), random_ids(70, 2)
    e = evaluation.evaluate(model, [corpus(a), corpus(b)])
    assert e.log_probability == pytest.approx(loop(model, a, "file") + loop(model, b, "file"), rel=1e-12)
    assert e.bits_per_byte == pytest.approx(-e.log_probability / math.log(2) / 200)


def test_huge_surprise_is_infinite_not_an_error():
    assert evaluation.perplexity(-1e6, 1) == math.inf
