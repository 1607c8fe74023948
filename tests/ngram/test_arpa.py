"""ARPA files: what we write and read again, what others wrote, and what is none."""

import contextlib
import gzip
import math
import pathlib
import re

import numpy as np
import pytest
from contract import check_all
from ngram.reference_ngram import a_text, model_of
from reference import read_arpa as slow_arpa
from texts import GREEN_HILL_ARPA

import lmkit
from lmkit.errors import CorpusError, LmkitWarning, ModelError, OptionError
from lmkit.model import BOS, EOS
from lmkit.ngram import arpa
from lmkit.ngram.arpa import arpa_lines
from lmkit.ngram.arpa import read_arpa as fast_arpa
from lmkit.text import Corpus, TextSettings

GOLDENS = pathlib.Path(__file__).parent.parent / "goldens"
SIZE = 12
SMALL = r"""
\data\
ngram 1=5
ngram 2=3
ngram 3=1

\1-grams:
-1.0	<unk>
-99	<s>	-0.3
-0.7	</s>
-0.4	a	-0.2
-0.5	b	-0.1

\2-grams:
-0.2	<s> a	-0.05
-0.3	a b	-0.4
-0.6	b </s>

\3-grams:
-0.1	<s> a b

\end\
"""


def read(text, **settings):
    data = text if isinstance(text, bytes) else text.encode()
    return fast_arpa(
        Corpus("model.arpa", errors="keep", data=data), TextSettings(**{"tokenizer": "whitespace", **settings})
    )


def log10_by_dictionary(grams, words, order):
    """Score a sentence by the formula of back-off, longest n-gram first; an unknown word is <unk>."""
    known = {gram[0] for gram in grams if len(gram) == 1}
    history, total = [b"<s>"], []
    for word in (*words, b"</s>"):
        word = word if word in known else b"<unk>"
        context, backoff = tuple(history[-(order - 1) :]) if order > 1 else (), 0.0
        while (*context, word) not in grams:
            backoff += grams.get(context, (0, 0))[1] if context else 0.0
            if not context:
                break
            context = context[1:]
        total.append(backoff + grams.get((*context, word), (-99.0, 0.0))[0])
        history.append(word)
    return total


def compare(model, grams, order, sentences=60, tolerance=2e-5):
    rng = np.random.default_rng(1)
    words = [gram[0] for gram in grams if len(gram) == 1 and gram[0] not in (b"<s>", b"</s>", b"<unk>")] + [
        b"never-seen"
    ]
    for _ in range(sentences):
        sentence = [words[i] for i in rng.integers(0, len(words), rng.integers(0, 9))]
        ids = model.text.encode_text(b" ".join(sentence).decode("utf-8", "surrogateescape") + "\n").ids
        found, _ = model.score(model.begin(), ids[None])
        expected = log10_by_dictionary(grams, sentence, order)
        np.testing.assert_allclose(found[0] / math.log(10), expected, atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("path", sorted(GOLDENS.glob("*.arpa")), ids=lambda path: path.stem)
def test_the_models_of_lmplz_score_as_their_numbers_say(path):
    data = path.read_bytes()
    grams = slow_arpa(data.splitlines())
    model = read(data)
    order = max(map(len, grams))
    assert model.order == order
    compare(model, grams, order)
    assert model.trie.sizes[1] == len({gram for gram in grams if len(gram) == 1} | {(b"<unk>",)})


MODELS = {
    "kneser-ney": {},
    "backing off": {"smoothing": "witten-bell", "interpolate": False},
    "katz, cut off": {"smoothing": "katz", "cutoffs": (0, 0, 1)},
    "mle": {"smoothing": "mle"},
    "stupid-backoff": {"smoothing": "stupid-backoff"},
}


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("smoothing", MODELS)
def test_there_and_back(smoothing, order):
    options = dict(MODELS[smoothing])
    if "cutoffs" in options:
        options["cutoffs"] = options["cutoffs"][:order]
    model = model_of(a_text(SIZE, 900, 3), SIZE, order=order, **options)
    text = b"".join(arpa_lines(model))
    grams = slow_arpa(text.splitlines())
    if smoothing != "mle":  # whose impossible words have -99 there, not minus infinity
        compare(model, grams, order)
    again = read(text)
    tables = [slow_arpa(t.splitlines()) for t in (text, b"".join(arpa_lines(again)))]
    assert list(tables[0]) == list(tables[1])
    np.testing.assert_allclose(*([*table.values()] for table in tables), atol=1e-6)
    if smoothing not in ("mle", "stupid-backoff"):
        ids = a_text(SIZE, 200, 4)[None]
        np.testing.assert_allclose(again.score(again.begin(), ids)[0], model.score(model.begin(), ids)[0], atol=2e-5)
        check_all(again)


def test_a_small_file_by_hand():
    model = read(SMALL)
    ids = model.text.encode_text("a b\n").ids
    assert ids.tolist() == [3, 4, EOS]
    found = model.score(model.begin(), ids[None])[0][0] / math.log(10)
    np.testing.assert_allclose(
        found, [-0.2, -0.1, -0.4 + -0.6], atol=1e-6
    )  # </s> after "a b", by the back-off of "a b"
    assert model.orders(ids).tolist() == [2, 3, 2]


VARIANTS = {
    "carriage returns": SMALL.replace("\n", "\r\n"),
    "blanks": SMALL.replace("\t", "  "),
    "<s> at 0": SMALL.replace("-99\t<s>", "0\t<s>"),
    "exponents": SMALL.replace("-0.4\ta", "-4e-1\ta").replace("-1.0", "-1E+0"),
    "a comment before": "made by hand\n" + SMALL,
    "other order": SMALL.replace("-0.4\ta\t-0.2\n-0.5\tb\t-0.1\n", "-0.5\tb\t-0.1\n-0.4\ta\t-0.2\n"),
    "compressed": gzip.compress(SMALL.encode()),
}


# The same n-grams as in SMALL, as these toolkits lay them out.
TOOLKITS = {
    "SRILM": """

\\data\\
ngram 1=4
ngram  2=  3
ngram 3 = 1

\\1-grams:
-0.7\t</s>
-99\t<s>\t-0.3
-0.4\ta\t-0.2
-0.5\tb\t-0.1

\\2-grams:
-0.2\t<s> a\t-0.05
-0.3\ta b\t-0.4
-0.6\tb </s>

\\3-grams:
-0.1\t<s> a b

\\end\\
""",
    "IRSTLM": """
\\data\\
ngram  1=         5
ngram  2=         3
ngram  3=         1


\\1-grams:
-99 <s> -0.3
-0.4 a -0.2
-0.5 b -0.1
-0.7 </s>
-1.0 <unk>
\\2-grams:
-0.2 <s> a -0.05
-0.3 a b -0.4
-0.6 b </s>
\\3-grams:
-0.1 <s> a b
\\end\\
""",
    "MITLM": """\\data\\
ngram 1=4
ngram 2=3
ngram 3=1

\\1-grams:
-0.700000\t</s>
-99\t<s>\t-0.300000
-0.400000\ta\t-0.200000
-0.500000\tb\t-0.100000

\\2-grams:
-0.200000\t<s> a\t-0.050000
-0.300000\ta b\t-0.400000
-0.600000\tb </s>\t

\\3-grams:
-0.100000\t<s> a b\x20

\\end\\
""",
    "KenLM": """\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-1\t<unk>\t0
0\t<s>\t-0.3
-0.7\t</s>\t0
-0.4\ta\t-0.2
-0.5\tb\t-0.1

\\2-grams:
-0.6\tb </s>\t0
-0.2\t<s> a\t-0.05
-3e-1\ta b\t-0.4

\\3-grams:
-0.1\t<s> a b

\\end\\
""",
}


@pytest.mark.parametrize("toolkit", TOOLKITS)
def test_the_files_of_other_toolkits(toolkit):
    without_unk = "<unk>" not in TOOLKITS[toolkit]
    with pytest.warns(LmkitWarning, match="no unknown word") if without_unk else contextlib.nullcontext():
        model = read(TOOLKITS[toolkit])
    expected = read(SMALL)
    text = "a b a\nb b\n\nb a b\n" + ("" if without_unk else "c a\n")
    one, two = (m.score(m.begin(), m.text.encode_text(text).ids[None])[0] for m in (model, expected))
    np.testing.assert_allclose(one, two, atol=1e-6)
    unk = model.score(model.begin(), np.array([[0]], np.int32))[0][0, 0]
    assert (unk < -220) == without_unk
    assert sorted(model.text.vocabulary.tokens()) == sorted(expected.text.vocabulary.tokens())


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_else_is_the_same_file(variant):
    model, expected = read(VARIANTS[variant]), read(SMALL)
    text = "a b a\nb b\nc a\n"
    one, two = (m.score(m.begin(), m.text.encode_text(text).ids[None])[0] for m in (model, expected))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_unk_may_be_missing():
    """Then an unknown word has log10 -99, besides the weight of `<s>`, and the person at the keyboard is told."""
    with pytest.warns(LmkitWarning, match="model.arpa: has no unknown word; added <unk> with the log-probability -99"):
        model = read(SMALL.replace("-1.0\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    found = model.score(model.begin(), np.array([[0]], np.int32))[0][0, 0]
    assert found / math.log(10) == pytest.approx(-99.3)


IN_CAPITALS = GREEN_HILL_ARPA.replace("<unk>", "<UNK>")


@pytest.mark.parametrize("sentence_marks", ["<s> </s>", "<S> </S>"])
def test_reserved_words_in_capitals(sentence_marks, tmp_path):
    """KenLM's values: -0.35 -0.25 (-0.2 - 1.1) -0.8; -0.35 -0.25 -0.45; (-0.25 - 1.1) -1.1 -0.6 -0.45."""
    start, end = sentence_marks.split()
    (tmp_path / "m.arpa").write_text(IN_CAPITALS.replace("<s>", start).replace("</s>", end))
    model = lmkit.from_arpa(tmp_path / "m.arpa", output=tmp_path / "m.lmkit")
    lines = "green hill zebra", "green hill", "zebra zebra hill"
    found = [m.log_prob(line) / math.log(10) for m in (model, lmkit.load(tmp_path / "m.lmkit")) for line in lines]
    assert found == pytest.approx([-2.7, -1.05, -3.5] * 2, abs=1e-6)
    assert model.text.vocabulary.tokens() == ["<unk>", "<s>", "</s>", "green", "hill", "stone"]
    assert model.text.encode_text("zebra zebra hill").oov.tolist() == [0, 1]


def test_an_imported_model_takes_unk_in_a_text_for_the_unknown_word(tmp_path):
    """-0.25 - 0.9 - 0.1 - 1.1 - 0.6 - 0.45"""
    (tmp_path / "m.arpa").write_text(IN_CAPITALS)
    model = lmkit.from_arpa(tmp_path / "m.arpa")
    assert model.text.settings.reserved == "keep"
    assert model.log_prob("stone <unk> hill") / math.log(10) == pytest.approx(-3.4, abs=1e-6)


def test_words_in_capitals_that_are_no_reserved_words():
    words = ["<UNKS>", "<UNK", "UNK>", "</UNK>", "<Unk>", "<T>", "</T>", "<S", "S", "<>", "</>"]
    text = f"\\data\\\nngram 1={len(words) + 3}\n\\1-grams:\n-1 <unk>\n-1 <s>\n-1 </s>\n"
    model = read(text + "".join(f"-2 {word}\n" for word in words) + "\\end\\\n")
    assert model.text.vocabulary.tokens()[3:] == words


def test_a_model_with_such_a_word_is_written_with_a_warning():
    model = lmkit.train([("t", b"a <UNK> b\na b\n")], order=1, tokenizer="whitespace", smoothing="witten-bell")
    with pytest.warns(LmkitWarning, match="the word <UNK>, which readers of ARPA files take for <unk>"):
        text = b"".join(lmkit.arpa(model))
    with pytest.raises(ModelError, match="<unk> is there twice, first in line 5; <UNK> is the same word"):
        read(text)


def test_words_that_cannot_stand_between_blanks_have_no_arpa_form():
    for word in ("two words", "", "a\tb"):
        model = lmkit.train(
            [("t", b"a b\n")], order=1, tokenizer="whitespace", smoothing="witten-bell", vocabulary=[word]
        )
        with pytest.raises(OptionError, match="cannot stand between blanks"):
            list(lmkit.arpa(model))


@pytest.mark.parametrize(
    "word", [r"\theta", "\\\\", "\\", r"a\sb", r"\x41", r"\ud800", "##lmkit-escaped", "\x0b", "\u00a0"]
)
def test_words_stand_as_they_are(word):
    text = (
        SMALL.replace("b", word)
        if word != "##lmkit-escaped"
        else SMALL.replace(" b", " " + word).replace("\tb", "\t" + word)
    )
    model = read(text)
    assert model.text.vocabulary.id(word) is not None
    assert b" " + word.encode() + b"\n" in b"".join(arpa_lines(model))


def test_all_ngrams_below_the_highest_order_have_a_weight():
    """As lmplz writes them; pyctcdecode takes lines of three columns for unigrams, and no others."""
    model = lmkit.train(
        GOLDENS / "tiny.train.txt", order=3, tokenizer="whitespace", cutoffs=(0, 0, 1), discount_fallback=(0.5, 1, 1.5)
    )
    lines = b"".join(lmkit.arpa(model)).decode().splitlines()
    columns = {n: set() for n in (1, 2, 3)}
    for line in lines:
        if line.endswith("-grams:"):
            section = int(line[1])
        elif "\t" in line:
            columns[section].add(line.count("\t") + 1)
    assert columns == {1: {3}, 2: {3}, 3: {2}}
    unigrams = {line.split("\t")[1] for line in lines[: lines.index("\\2-grams:")] if len(line.split("\t")) == 3}
    assert unigrams == set(model.text.vocabulary.tokens())
    expected = slow_arpa((GOLDENS / "tiny-o3-fallback-prune001.arpa").read_bytes().splitlines())
    assert {tuple(gram) for gram in expected} == set(slow_arpa("\n".join(lines).encode().splitlines()))


@pytest.mark.parametrize("seed", range(4))
def test_missing_prefixes_and_suffixes(seed):
    """Any n-grams may be left out of a pruned model: it scores as its numbers say, and says which n-grams it used."""
    rng = np.random.default_rng(seed)
    model = model_of(a_text(SIZE, 600, seed), SIZE, order=4)
    lines = b"".join(arpa_lines(model)).splitlines()
    kept, section, counts = [], 0, {}
    for line in lines:
        if line.endswith(b"-grams:"):
            section = int(line[1:-7])
        entry = section > 1 and line[:1] not in (b"\\", b"")
        if not entry or rng.random() < 0.5:
            kept.append(line)
            counts[section] = counts.get(section, 0) + bool(section and line[:1] not in (b"\\", b""))
    text = b"\n".join(
        b"ngram %d=%d" % (int(line[6:7]), counts[int(line[6:7])]) if line.startswith(b"ngram") else line
        for line in kept
    )
    grams, pruned = slow_arpa(text.splitlines()), read(text + b"\n")
    assert len(pruned.blanks)
    compare(pruned, grams, 4, sentences=200)
    ids = a_text(SIZE, 300, seed + 9)
    written = b"".join(arpa_lines(pruned))
    again, lines = read(written), set(slow_arpa(written.splitlines()))
    assert lines > set(grams) and {gram[:-1] for gram in lines if len(gram) > 1} <= lines  # all contexts are there
    assert len(again.blanks) == 0
    scores = [m.score(m.begin(), ids[None])[0] for m in (again, pruned)]
    np.testing.assert_allclose(*scores, atol=2e-5)
    token = pruned.text.vocabulary.token_bytes
    history = [b"<s>"]
    for i, n in zip(ids.tolist(), pruned.orders(ids).tolist(), strict=True):
        endings = [tuple([*history, token(i)][-m:]) for m in range(4, 0, -1) if m <= len(history) + 1]
        assert n == max((len(gram) for gram in endings if gram in grams), default=1)
        history = [b"<s>"] if i == EOS else [*history, token(i)]


def test_a_context_that_would_be_too_probable_is_written_as_certain():
    """p(b | a) = 10 ** (0.5 - 0.2) by backing off: of numbers that fit badly, but none that a reader refuses."""
    text = SMALL.replace("-0.4\ta\t-0.2", "-0.4\ta\t0.5").replace("-0.5\tb", "-0.2\tb").replace("-0.3\ta b\t-0.4\n", "")
    text = text.replace("<s> a b", "a b </s>").replace("ngram 2=3", "ngram 2=2")
    grams = slow_arpa(b"".join(arpa_lines(read(text))).splitlines())
    assert grams[(b"a", b"b")] == (0, 0)


WRONG = {
    "not at all": ("hello\n", r"no line \\data\\ at its beginning"),
    "empty": ("", r"no line \\data\\"),
    "no counts": ("\\data\\\n\n\\1-grams:\n", "line 3: .*numbers of n-grams are missing"),
    "fewer": (SMALL.replace("ngram 2=3", "ngram 2=4"), r"line 18: the header promises 4 2-grams, and there are 3"),
    "more": (SMALL.replace("ngram 2=3", "ngram 2=2"), r"the header promises 2 2-grams, and there are 3"),
    "a number left out": (SMALL.replace("ngram 2=3\n", ""), r"line 4: the number of 2-grams is missing"),
    "no section": (SMALL.replace("\\2-grams:", ""), r"expected \\2-grams:, found '-0.2"),
    "no end": (SMALL.replace("\\end\\", ""), r"expected \\end\\ after the 3-grams, found the end of the file"),
    "positive": (SMALL.replace("-0.4\ta", "0.4\ta"), r"line 11: .*'0.4\\ta\\t-0.2' has a log-probability above 0"),
    "no number": (SMALL.replace("-0.4\ta", "nan\ta"), r"line 11: .*begins with no number"),
    "no weight": (SMALL.replace("a\t-0.2", "a\tNaN"), r"line 11: .*back-off weight that is no number"),
    "twice": (SMALL.replace("-0.6\tb </s>", "-0.6\ta b"), r"the 2-gram in line 17 is there twice"),
    "a word twice": (SMALL.replace("-0.5\tb\t-0.1", "-0.5\ta"), r"the 1-gram in line 12 is there twice"),
    "another order": (SMALL.replace("-0.1\t<s> a b", "-0.1\ta b"), r"line 20: '-0.1\\ta b' is no 3-gram"),
    "its weight as a word": (
        SMALL.replace("-0.1\t<s> a b", "-0.1\ta b\t-0.2"),
        r"line 20: '-0.2' is none of the words",
    ),
    "an unknown word": (SMALL.replace("a b\t-0.4", "a c\t-0.4"), r"line 16: 'c' is none of the words in the 1-grams"),
    "no sentence end": (SMALL.replace("</s>", "c"), "</s> is none of its 1-grams"),
    "a number of no sense": (
        SMALL.replace("ngram 3=1", "ngram 3=" + "9" * 5000),
        r"expected \\1-grams:, found 'ngram 3=9+'$",
    ),
    "a reserved word twice": (
        SMALL.replace("-0.5\tb", "-0.5\t<UNK>"),
        r"line 12: <unk> is there twice, first in line 8; <UNK> is the same word",
    ),
    "IRSTLM's other format": (
        "iARPA\n" + SMALL,
        r"IRSTLM's intermediate format.*`compile-lm --text` makes an ARPA file",
    ),
    "IRSTLM's codes": ("qARPA 3\n" + SMALL, "IRSTLM's quantised format"),
    "too large a weight": (SMALL.replace("a\t-0.2", "a\t1e300"), "line 11: .*a back-off weight of more than 9"),
    "an infinite weight": (SMALL.replace("a\t-0.2", "a\tinf"), "line 11: .*a back-off weight of more than 9"),
    "no probability at all": (
        re.sub(r"(?m)^-[0-9.]+\t(?=[^ ]*(\t|$))", "-1e300\t", SMALL),
        "none of its 1-grams has a probability above 0",
    ),
    "empty lines": ("\\data\\\nngram 1=3\n" + "\n" * 10_100, "line 10003: more than 10,000 empty lines"),
    "too long a line": ("\\data\\\nngram 1=3\n" + "\0" * (65 << 20), "line 3: longer than 67,108,864 bytes"),
    "too long": ("\\data\\\n" + "".join(f"ngram {n}=1\n" for n in range(1, 40)), "n-grams of 39 words"),
}


PROMISES = {
    "10 ** 15 trigrams": ("ngram 3=1", f"ngram 3={10**15}", "promises 1000000000000008 n-grams; a model holds at most"),
    "too many for uint32": ("ngram 1=5", "ngram 1=4294967300", "promises 4294967304 n-grams"),
    "10 ** 8 unigrams": (
        "ngram 1=5",
        f"ngram 1={10**8}",
        r"100000004 n-grams would take 30.9 GB of memory to read, and 8 GB are free",
    ),
}


@pytest.mark.parametrize("case", PROMISES)
def test_what_does_not_fit_is_refused_by_its_header(case, monkeypatch):
    """Before a section is read, and nothing is allocated for it."""
    monkeypatch.setattr(arpa, "memory_limit", lambda: 8 * 10**9)
    monkeypatch.setattr(arpa, "_section", None)
    before, after, message = PROMISES[case]
    with pytest.raises(ModelError, match=message) as caught:
        read(SMALL.replace(before, after))
    assert "\n" not in str(caught.value) and "model.arpa" in str(caught.value)


def test_what_fits_is_read(monkeypatch):
    """What SMALL needs, and a byte less."""
    monkeypatch.setattr(arpa, "memory_limit", lambda: arpa.needed([5, 3, 1]))
    read(SMALL)
    monkeypatch.setattr(arpa, "memory_limit", lambda: arpa.needed([5, 3, 1]) - 1)
    with pytest.raises(ModelError, match=r"its 9 n-grams would take .* prune"):
        read(SMALL)
    monkeypatch.setattr(arpa, "memory_limit", lambda: None)
    read(SMALL)


def test_the_memory_that_reading_needs():
    """A bigram of 2 ids, 2 logarithms, a mark, its parent and a record of 4 numbers: 37 bytes and 16 in its pieces."""
    assert arpa.needed([10, 10**6]) - arpa.needed([10, 0]) == pytest.approx((37 + 16) * 10**6, abs=1000)
    assert arpa.needed([10, 0, 10**6]) - arpa.needed([10, 0, 0]) == pytest.approx((41 + 20) * 10**6, abs=1000)
    assert arpa.needed([10, 10**6, 0]) - arpa.needed([10, 0, 0]) == pytest.approx((45 + 16) * 10**6, abs=1000)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_line(case):
    text, message = WRONG[case]
    with pytest.raises((ModelError, CorpusError), match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value) and "model.arpa" in str(caught.value)


def test_what_has_no_arpa_form():
    with pytest.raises(OptionError, match="train with --back-off"):
        list(arpa_lines(model_of(a_text(SIZE, 100), SIZE, order=2, smoothing="add-k")))


def test_other_tokenizers_are_escaped(tmp_path):
    model = lmkit.train([("t", b"two  words\n\nand\ttabs\n")], order=2, discount_fallback=(0.5, 1, 1.5))
    text = b"".join(lmkit.arpa(model))
    (tmp_path / "m.arpa").write_bytes(text)
    again = lmkit.from_arpa(tmp_path / "m.arpa", tokenizer="word", output=tmp_path / "m.lmkit")
    assert again.log_prob("two  words\n") == pytest.approx(model.log_prob("two  words\n"), abs=1e-4)
    assert again.sample(n=5, seed=1)
    assert lmkit.load(tmp_path / "m.lmkit").log_prob("and") == pytest.approx(again.log_prob("and"), abs=1e-6)


NUMBERS = {
    "-1e300": -math.inf, "-1e39": -math.inf, "-inf": -math.inf, "-1e30": -1e30, "-999": -999, "-99": -99, "-0": 0,
    "0": 0, "-0e999999": 0, "-1e-400": 0, "+0.0000001": 0, "-1" + "0" * 400 + "e-400": -1, "-0." + "1" * 400: -1 / 9,
    "-" + "0" * 400 + "2": -2, "-.5": -0.5, "-5.": -5, "-1E+0": -1,
    "-123456789012345678901234567890e-29": -1.2345678901234568,
}  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_at_the_edge(number):
    """p and the weight of `a`; what float32 cannot hold is no probability, and nothing becomes NaN."""
    model = read(SMALL.replace("-0.4\ta\t-0.2", f"{number}\ta\t{number.replace('+', '-')}"))
    expected = NUMBERS[number] * math.log(10)
    found = model.score(np.zeros(1, np.uint32), np.array([[3]], np.int32))[0][0, 0]
    assert found == pytest.approx(expected, rel=1e-6)
    rows = lmkit.api.Model(model).log_probs(np.array([0, 1, 4, 5], np.uint32))
    assert not np.isnan(rows).any() and (rows < np.inf).all()


def test_another_encoding_than_utf_8(tmp_path):
    path = tmp_path / "m.arpa"
    path.write_bytes(SMALL.replace("b", "gr\u00fcn").encode("latin-1"))
    with pytest.raises(CorpusError, match=r"m.arpa: line 12, .*: 0xfc is not valid utf-8; give the text's --encoding"):
        lmkit.from_arpa(path)
    assert lmkit.from_arpa(path, encoding="latin-1").text.vocabulary.id("gr\u00fcn") is not None
    assert lmkit.from_arpa(path, errors="keep").text.vocabulary.id("gr\udcfcn") is not None


ESCAPED_TWICE = {
    "word": (("a", r"\x41", "A"), "the escaped tokens A and .x41 are the same token, 'A'|.x41 and A"),
    "char": (("a", r"\x3cunk>", "c"), "<unk> and .x3cunk> are the same token, '<unk>'"),
    "byte": (("a", "b", "c"), "has 3 words; a model of the byte tokenizer has each of the 256 bytes"),
}


@pytest.mark.parametrize("tokenizer", ESCAPED_TWICE)
def test_what_could_not_be_opened_is_not_made(tokenizer):
    words, message = ESCAPED_TWICE[tokenizer]
    text = "\\data\\\nngram 1=6\n\\1-grams:\n-1 <unk>\n-1 <s>\n-1 </s>\n"
    with pytest.raises((CorpusError, ModelError), match=message):
        read(text + "".join(f"-2 {word}\n" for word in words) + "\\end\\\n", tokenizer=tokenizer)


def test_a_model_of_bytes_there_and_back(tmp_path):
    """Its vocabulary is all bytes in their order, whatever the order in the file."""
    model = lmkit.train([("t", "na\u00efve\n\nbytes".encode())], order=2, tokenizer="byte", smoothing="witten-bell")
    text = b"".join(lmkit.arpa(model)).decode()
    head, rest = text.split("\\1-grams:\n")
    unigrams, rest = rest.split("\n\n", 1)
    lines = "\n".join(sorted(unigrams.split("\n"), reverse=True))
    (tmp_path / "m.arpa").write_text(f"{head}\\1-grams:\n{lines}\n\n{rest}")
    lmkit.from_arpa(tmp_path / "m.arpa", tokenizer="byte", output=tmp_path / "m.lmkit")
    found = lmkit.load(tmp_path / "m.lmkit").log_prob("na\u00efve")
    assert found == pytest.approx(model.log_prob("na\u00efve"), abs=1e-5)


def test_the_sentence_start_is_never_predicted():
    rows = read(SMALL).log_probs(np.array([0, 1, 4], np.uint32))
    assert (rows[:, BOS] == -np.inf).all()
