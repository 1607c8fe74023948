"""The numbers of lmplz (KenLM, commit 4cb443e6), copied from its output for small texts.

`tests/goldens/NAME.arpa` is what lmplz wrote, `cases.json` holds its options and what its query printed. Exceptions:

* `edge` ends without a newline, and lmplz forgets the `</s>` of that line (see `goldens.compare`);
* the query of `special` takes a literal `<s>` for a word; the expected numbers leave those out;
* an order of 1 has no query numbers, since KenLM cannot score it;
* of the empty corpus lmplz makes a model, and lmkit refuses it.
"""

import json
import math
import pathlib

import pytest
from goldens.compare import (
    LOG10_BOUND,
    PERPLEXITY_BOUND,
    differences,
    options_of,
    relative,
    train_like_lmplz,
)
from reference import read_arpa

import lmkit
from lmkit.api import Model
from lmkit.errors import CorpusError

FOLDER = pathlib.Path(__file__).parent.parent / "goldens"
CASES = json.loads((FOLDER / "cases.json").read_text())


def model_of(name):
    case = CASES[name]
    options = options_of(case["lmplz"], lambda path: (FOLDER / path).read_bytes())
    return Model(train_like_lmplz((FOLDER / case["train"]).read_bytes(), options))


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_lmplzs(name):
    with open(FOLDER / f"{name}.arpa", "rb") as lines:
        expected = read_arpa(lines)
    apart = differences(model_of(name).language_model, expected)
    worst = max(apart, key=apart.get)
    assert apart[worst] <= LOG10_BOUND, worst


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "test" in case])
def test_perplexities_are_querys(name):
    case = CASES[name]
    found = lmkit.perplexity(model_of(name), [FOLDER / case["test"]])
    assert (found.oov, found.tokens) == (case["oov"], case["tokens"])
    assert relative(found.perplexity, float(case["perplexity"])) <= PERPLEXITY_BOUND
    assert relative(found.perplexity_without_oov, float(case["perplexity_without_oov"])) <= PERPLEXITY_BOUND


def test_perplexity_with_skipped_symbols():
    """query read `<s> the cat sat </s>`, `the <unk> ran`, `the cat ran` and printed the totals -2.6214466 (with
    log10 p = 0 for the literal `<s>` and -0.6455257 for a second `</s>`), -3.0561657 (one OOV) and -2.0055215.
    As text for lmkit: without the two sentence marks, and with an unknown word for `<unk>`."""
    text = ("special", b"the cat sat\nthe other ran\nthe cat ran\n")
    found = lmkit.perplexity(model_of("special-o2-skip"), [text])
    total = (-2.6214466 + 0.6455257) - 3.0561657 - 2.0055215
    assert (found.tokens, found.oov) == (12, 1)
    assert found.log_probability == pytest.approx(total * math.log(10), rel=1e-6)


def test_reserved_words_are_skipped_on_request_alone():
    """lmplz without --skip_symbols stops at `special.txt`; so does lmkit, and says where."""
    text = FOLDER / "special.txt"
    with pytest.raises(CorpusError, match=r"line 1.*<s>"):
        lmkit.train([text], order=2, tokenizer="whitespace")


def test_lmplz_refuses_what_lmkit_warns_of():
    """`rep-o3` without a fallback: lmplz stops (bad discounts), lmkit takes 0.5, 1, 1.5 and warns; same numbers."""
    with pytest.warns(lmkit.errors.LmkitWarning):
        model = lmkit.train([FOLDER / "rep.train.txt"], order=3, tokenizer="whitespace")
    with open(FOLDER / "rep-o3-fallback.arpa", "rb") as lines:
        assert max(differences(model.language_model, read_arpa(lines)).values()) <= LOG10_BOUND


def test_an_empty_corpus_is_refused():
    with pytest.raises(CorpusError):
        lmkit.train([("empty", b"")], order=2, tokenizer="whitespace")


def test_the_comparison_can_fail():
    with open(FOLDER / "tiny-o2-fallback.arpa", "rb") as lines:
        expected = read_arpa(lines)
    log_p, backoff = expected[(b"the", b"cat")]
    expected[(b"the", b"cat")] = log_p + 2e-5, backoff
    assert max(differences(model_of("tiny-o2-fallback").language_model, expected).values()) > LOG10_BOUND
