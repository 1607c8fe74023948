"""Counts from files: the same model as from the text, and what is wrong with a file."""

from collections import Counter

import numpy as np
import pytest
from texts import VERSES

import lmkit
from lmkit import cli
from lmkit.errors import CorpusError, LmkitError, OptionError
from lmkit.ngram import count_files
from lmkit.ngram.count_files import read_counts
from lmkit.ngram.options import SMOOTHINGS
from lmkit.text import Corpus

TEXT = "".join(VERSES[i % len(VERSES)] + ("\n\n" if i % 3 == 2 else "\n") for i in range(12))


@pytest.fixture
def counts(tmp_path, monkeypatch):
    """Return a function that writes the counts of the text, of orders 1 to 4, and returns the file's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(TEXT)

    def write(tokenizer):
        arguments = ["count", "--orders", "1-4", "--tokenizer", tokenizer, "text", "-o", f"{tokenizer}.tsv"]
        assert cli.run(arguments) == 0
        return f"{tokenizer}.tsv"

    return write


@pytest.mark.filterwarnings("ignore::lmkit.LmkitWarning")
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char"])
def test_counts_give_the_model_of_their_text(counts, tokenizer, smoothing):
    options = {"tokenizer": tokenizer, "smoothing": smoothing, "order": 4}
    if smoothing == "jelinek-mercer":
        options["valid"] = ("more", b"the end of it all\n")
    if smoothing == "katz":
        options["order"] = 3
    try:
        expected = lmkit.train("text", **options)
    except CorpusError as error:
        with pytest.raises(CorpusError) as caught:
            lmkit.train(counts(tokenizer), from_counts=True, **options)
        assert str(caught.value) == str(error)
        return
    found = lmkit.train(counts(tokenizer), from_counts=True, **options)
    for name, tensor in expected.language_model.tensors().items():
        np.testing.assert_array_equal(found.language_model.tensors()[name], tensor, err_msg=name)


@pytest.mark.filterwarnings("ignore::lmkit.LmkitWarning")
def test_cut_offs_and_limits_are_those_of_the_text(counts):
    for more in ({"cutoffs": (0, 0, 1)}, {"limit_vocabulary": ["the", "of", "and"]}):
        options = {"tokenizer": "whitespace", "order": 4, **more}
        expected = lmkit.train("text", **options)
        found = lmkit.train(counts("whitespace"), from_counts=True, **options)
        for name, tensor in expected.language_model.tensors().items():
            np.testing.assert_array_equal(found.language_model.tensors()[name], tensor, err_msg=name)


@pytest.mark.filterwarnings("ignore::lmkit.LmkitWarning")
def test_files_are_added_and_may_stand_in_any_order(counts, tmp_path):
    name = counts("whitespace")
    lines = (tmp_path / name).read_text().splitlines(keepends=True)
    (tmp_path / "a").write_text("".join(reversed(lines[::2])) + "\n")
    (tmp_path / "b").write_text("".join(lines[1::2]).replace("\n", "\r\n"))
    (tmp_path / "twice").write_text(
        "".join(line.split("\t")[0] + "\t1\n" for line in lines for _ in range(int(line.split("\t")[1])))
    )
    options = {"tokenizer": "whitespace", "order": 4, "from_counts": True}
    expected = lmkit.train(name, **options).language_model.tensors()
    for files in (["a", "b"], ["twice"]):
        found = lmkit.train(files, **options).language_model.tensors()
        for key, tensor in expected.items():
            np.testing.assert_array_equal(found[key], tensor)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_counts_are_added_as_by_a_dictionary(order):
    """Words by their counts, then their bytes; n-grams sorted by these numbers, those of 0 and longer ones left out."""
    rng = np.random.default_rng(order)
    words = ["<s>", "</s>", *(f"w{i}" for i in range(9))]
    lines = [(tuple(rng.choice(words, rng.integers(1, 4))), int(rng.integers(0, 3))) for _ in range(600)]
    files = ["".join(f"{' '.join(gram)}\t{n}\n" for gram, n in part) for part in (lines[:200], lines[200:], [])]
    found = read_counts([Corpus("counts", data=text.encode()) for text in files], order)
    expected = Counter()
    for gram, n in lines:
        expected[gram] += n
    known = sorted(words[2:], key=lambda word: (-expected[(word,)], word))
    assert found.vocabulary.tokens() == ["<unk>", "<s>", "</s>", *known]
    ids = {word: i for i, word in enumerate(found.vocabulary.tokens())}
    assert len(found.tables) == order
    for k, (grams, counts) in enumerate(found.tables, 1):
        table = sorted(([ids[word] for word in gram], n) for gram, n in expected.items() if len(gram) == k and n)
        assert list(zip(grams.tolist(), counts.tolist(), strict=True)) == table


LATEX = r"""
<s>	3
</s>	3
let	2
\theta	2
\\	1
\	1
be	1
<s> let	2
<s> \theta	1
let \theta	1
let \\	1
\theta </s>	1
\theta be	1
\\ </s>	1
be \	1
\ </s>	1
""".replace(r"\t", "\t")
BIGRAMS = {"order": 2, "smoothing": "witten-bell", "tokenizer": "whitespace"}


def test_words_with_backslashes_stand_as_they_are(tmp_path):
    latex = LATEX.replace("\theta", r"\theta")
    model = lmkit.train(("latex", latex.encode()), from_counts=True, output=tmp_path / "m.lmkit", **BIGRAMS)
    assert set(model.text.vocabulary.tokens()[3:]) == {"let", r"\theta", "\\\\", "\\", "be"}
    assert lmkit.load(tmp_path / "m.lmkit").log_prob("let \\\\") == pytest.approx(model.log_prob("let \\\\"))
    text = b"".join(lmkit.arpa(model)).decode()
    assert all(line in text for line in ("\t\\theta be\n", "\tlet \\\\\n", "\tbe \\\n"))


WITH_BACKSLASHES = "a\\b x \\theta\n\\\\ y \x0b\\n\n\\ y\n"


@pytest.mark.parametrize("way", ["as written", "sorted", "without the line"])
def test_counts_of_words_with_backslashes(tmp_path, monkeypatch, way):
    """The line that says that words are escaped may stand anywhere; without it --escaped says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(WITH_BACKSLASHES)
    assert cli.run(["count", "--orders", "1-2", "--tokenizer", "whitespace", "text", "-o", "counts"]) == 0
    lines = (tmp_path / "counts").read_text().splitlines(keepends=True)
    assert lines[0] == "##lmkit-escaped\t0\n"
    told = way in ("as written", "sorted")
    if way == "sorted":
        lines.sort(reverse=True)
    if not told:
        lines.remove("##lmkit-escaped\t0\n")
    (tmp_path / "counts").write_text("".join(lines))
    expected = lmkit.train("text", **BIGRAMS).language_model.tensors()
    found = lmkit.train("counts", from_counts=True, escaped=None if told else True, **BIGRAMS).language_model.tensors()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def test_counts_without_such_words_need_no_line(tmp_path, capsysbinary):
    (tmp_path / "text").write_text("a b\na\n")
    assert cli.run(["count", "--tokenizer", "whitespace", str(tmp_path / "text")]) == 0
    assert capsysbinary.readouterr().out == b"</s>\t2\na\t2\nb\t1\n"


def test_counts_that_are_cut_to_a_vocabulary(tmp_path, monkeypatch):
    """`lmkit count TEXT | cut -f1` is a vocabulary of the same words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(WITH_BACKSLASHES)
    for tokenizer in ("whitespace", "word", "char"):
        assert cli.run(["count", "--tokenizer", tokenizer, "text", "-o", "counts"]) == 0
        rows = (tmp_path / "counts").read_text()
        (tmp_path / "words").write_text("".join(line.split("\t")[0] + "\n" for line in rows.splitlines()))
        for vocabulary in ("words", "counts"):
            _, layer = lmkit.count("text", vocabulary=vocabulary, tokenizer=tokenizer)
            _, expected = lmkit.count("text", tokenizer=tokenizer)
            assert set(layer.vocabulary.tokens()) == set(expected.vocabulary.tokens())


def test_counts_of_bytes_give_the_model_of_their_text(counts):
    options = {"tokenizer": "byte", "smoothing": "witten-bell", "order": 4}
    expected = lmkit.train("text", **options)
    found = lmkit.train(counts("byte"), from_counts=True, output="bytes.lmkit", **options)
    for name, tensor in expected.language_model.tensors().items():
        np.testing.assert_array_equal(found.language_model.tensors()[name], tensor, err_msg=name)
    assert lmkit.load("bytes.lmkit").log_prob("the") == expected.log_prob("the")


NO_TOKENS = {
    "char": ("\\x41\t1\nA\t1\n", "are the same token, 'A'"),
    "word": ("\\x3cunk>\t1\n", "are the same token, '<unk>'"),
    "byte": ("two\t1\n", "hold 'two', which is no token of the byte tokenizer"),
    "whitespace": ("##lmkit-escaped\t0\na\\sb\t1\n", "'a b' is no token of the whitespace tokenizer"),
}


@pytest.mark.parametrize("tokenizer", NO_TOKENS)
def test_what_could_not_be_opened_is_not_made(tokenizer):
    text, message = NO_TOKENS[tokenizer]
    with pytest.raises(LmkitError, match=message):
        lmkit.train(("counts", text.encode() + b"</s>\t1\n"), order=1, tokenizer=tokenizer, from_counts=True)


def test_counts_that_do_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(count_files, "memory_limit", lambda: 100)
    with pytest.raises(
        CorpusError, match=r"counts: the counts up to line 21 take 0.32 kB of memory, and 0.1 kB are free"
    ):
        lmkit.train(("counts", b"a\t1\n" * 20), order=1, tokenizer="whitespace", from_counts=True)


def test_kneser_ney_needs_all_counts(counts):
    """What has no left neighbour in the counts would get nothing, and distributions would not sum to one."""
    name = counts("whitespace")
    options = {"tokenizer": "whitespace", "from_counts": True}
    with pytest.raises(CorpusError, match=r"no 5-gram ends with '.*', so Kneser-Ney .* give all counts up to order 5"):
        lmkit.train(name, order=5, **options)
    model = lmkit.train(name, order=5, smoothing="witten-bell", **options)
    states = np.arange(model.language_model.trie.internal, dtype=np.uint32)
    np.testing.assert_allclose(np.exp(model.log_probs(states), dtype=np.float64).sum(axis=1), 1, atol=1e-5)


WRONG = {
    "a b 3\n": "line 1: 'a b 3' has no tab before a count",
    "a\t3\nb\t-1\n": "line 2: .* ends with no whole number of at least 0",
    "a\t3\n\nb\t1.5\n": "line 3: .* ends with no whole number",
    "a\t99999999999\n": "line 1: .* has a count over",
    "a\t1e3\n": "line 1: .* ends with no whole number",
    "a\t\n": "line 1: .* ends with no whole number",
    "a b\t4294967295\na\t1\na b\t1\n": "the counts of 'a b' add up to 4294967296; a model holds up to 4294967295",
    "\t3\n": "line 1: .* is no n-gram of 1 to 32 words",
    "a\t3\n": "</s> was never counted",
    "a\t3\n</s>\t2\n</s> <s>\t2\n": "'</s> <s>' was counted, but <s> stands only before sentences",
    "a\t3\n</s>\t2\na b\t1\n": "longer n-grams hold 'b', which was not counted",
    "a\t3\nb\t1\n</s>\t2\na b\t1\na a b\t1\n<s> a b\t1\n<s> a\t1\n": "longer n-grams begin with 'a a', which was not",
    "a\t3\nb\t1\n</s>\t2\n<s> a\t1\n<s> </s>\t1\nb b\t1\n<s> a b\t1\n": "longer n-grams end with 'a b', which was not",
    "a\t3\n</s>\t2\na a\t1\na </s> a\t2\n": "longer n-grams begin with 'a </s>', which was not counted",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_line(text):
    with pytest.raises(CorpusError, match=WRONG[text]) as caught:
        lmkit.train(("counts", text.encode()), order=3, tokenizer="whitespace", from_counts=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"arch": "lstm"}, {"min_count": 2}, {"smoothing": "jelinek-mercer"}, {"vocab_size": 9}, {"memory": 2**30},
        {"temp": "/tmp"},
    ],
)  # fmt: skip
def test_options_that_counts_do_not_go_with(options):
    with pytest.raises(OptionError):
        lmkit.train(("counts", b"a\t1\n</s>\t1\n"), from_counts=True, **options)
