"""Counting and smoothing on the disk gives the model of memory, to the last bit."""

import errno

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram.reference_ngram import a_text

import lmkit
from lmkit.errors import CorpusError
from lmkit.kernels import ngram_external as kernels
from lmkit.model import EOS
from lmkit.ngram import external, model, ranges
from lmkit.ngram.counts import NOTHING, link_levels
from lmkit.ngram.estimators import ESTIMATORS
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.smoothing import estimate
from lmkit.spool import Spool
from lmkit.storage import open_model_file

pytestmark = pytest.mark.filterwarnings("ignore::lmkit.errors.LmkitWarning")


def in_memory(ids, size, options, excluded=NOTHING, held_out=None):
    levels = link_levels(
        ids, options.order, np.bincount(ids, minlength=size), adjusted=ESTIMATORS[options.smoothing].adjusted,
        occurrences=options.keeps_counts, cutoffs=options.cutoffs, excluded=excluded,
    )  # fmt: skip
    return estimate(levels, options, held_out)


def on_disk(ids, size, options, parts, excluded=NOTHING, held_out=None):
    """With memory for about so many ranges of first words, or as many as there must be."""
    counts = np.bincount(ids, minlength=size)
    rows = max(-(-len(ids) // parts), int(np.delete(counts, EOS).max()), int(counts[EOS]))
    memory = rows * ranges.bytes_of_range(options.order)
    return external.estimate_on_disk(ids, counts, options, excluded, memory, held_out)


def check_same(ids, size, options, parts=7, **more):
    expected, facts = in_memory(ids, size, options, **more)
    found, same_facts = on_disk(ids, size, options, parts, **more)
    assert found.sizes == expected.sizes
    for name in ("nodes", "leaves", "alias", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert same_facts == facts


@pytest.mark.parametrize("order", [2, 3, 5, 11])
@pytest.mark.parametrize("smoothing", ESTIMATORS)
def test_every_smoothing(smoothing, order):
    ids = a_text(60, 4000, seed=order)
    held_out = a_text(60, 300, seed=77) if smoothing == "jelinek-mercer" else None
    for threads in (1, 2):
        options = NGramOptions(order=order, smoothing=smoothing, threads=threads, keep_counts=threads == 2)
        check_same(ids, 60, options, held_out=held_out)


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "witten-bell", "mle", "stupid-backoff", "jelinek-mercer"])
@pytest.mark.parametrize("cutoffs", [(0, 0, 1), (0, 1), (0, 2, 2, 3), (0, 0, 99)])
@pytest.mark.parametrize("words", [(), (4,), (3, 5, 8)])
def test_what_is_dropped(smoothing, cutoffs, words):
    ids = a_text(30, 2000, seed=6)
    excluded = np.zeros(30, np.uint8)
    excluded[list(words)] = 1
    limit = ("some",) if words else None
    options = NGramOptions(order=4, smoothing=smoothing, cutoffs=cutoffs, limit_vocabulary=limit, keep_counts=True)
    held_out = a_text(30, 300, seed=77) if smoothing == "jelinek-mercer" else None
    check_same(ids, 30, options, excluded=excluded if words else NOTHING, held_out=held_out)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0, EOS, 3, 4, 5]), min_size=1, max_size=60), st.integers(2, 7), st.integers(1, 5),
    st.booleans(),
)  # fmt: skip
def test_any_text_of_few_words(words, order, parts, interpolate):
    ids = np.array([*words, EOS], np.int32)
    check_same(ids, 6, NGramOptions(order=order, interpolate=interpolate, threads=2), parts)


def test_a_text_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(ranges, "BLOCK", 64)
    for length in (63, 64, 65, 129, 1000):
        check_same(a_text(20, length, seed=length), 20, NGramOptions(order=5))


def test_memory_for_the_most_frequent_word_is_needed():
    ids = a_text(20, 1000, seed=1)
    with pytest.raises(CorpusError, match="--memory is too small"):
        external.estimate_on_disk(ids, np.bincount(ids, minlength=20), NGramOptions(order=3), NOTHING, 1000)


def test_windows():
    """Worked: <s> a b </s>, <s> b </s>; each n-gram, the word before it, and nothing behind a </s>."""
    ids = np.array([EOS, EOS, 3, 4, EOS, 4, EOS, EOS, EOS], np.int32)  # two words before the text, n - 2 behind it
    range_of, out = np.array([0, 1, 0, 1, 0], np.int32), np.full((5, 5), 99, np.int32)
    starts = kernels.windows(ids, range_of, out)
    assert out.tolist() == [
        [3, 4, 2, 2, 2],  # b </s>, in the range of b
        [1, 4, 2, 2, 2],
        [-1, 1, 3, 4, 2],  # <s> a b </s>, in that of <s> and a
        [1, 3, 4, 2, 2],
        [-1, 1, 4, 2, 2],
    ]
    assert starts.tolist() == [0, 2, 5]


TEXT = "\n".join(" ".join(f"w{i}" for i in line) for line in a_text(90, 8999, seed=8).reshape(-1, 9).tolist())


@pytest.fixture
def small_machine(monkeypatch):
    """The program itself takes nothing, and trainings that go to the disk are noted."""
    used = []

    def noted(*arguments):
        used.append(arguments[4])
        return external.estimate_on_disk(*arguments)

    monkeypatch.setattr(model, "resident", lambda: 0)
    monkeypatch.setattr(model, "estimate_on_disk", noted)
    return used


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "jelinek-mercer", "mle"])
@pytest.mark.parametrize("tokenizer", ["whitespace", "char"])
def test_a_file_trained_with_little_memory_is_the_same(tmp_path, small_machine, smoothing, tokenizer):
    text, files = ("text", TEXT.encode()), [tmp_path / "much.lmkit", tmp_path / "little.lmkit"]
    said = []
    for file, memory in zip(files, (2**40, 250_000 if tokenizer == "whitespace" else 1_000_000), strict=True):
        trained = lmkit.train(
            text, smoothing=smoothing, tokenizer=tokenizer, sentence="line", memory=memory, temp=str(tmp_path),
            output=file, progress=lambda phase, *_: said.append(phase),
        )  # fmt: skip
        assert trained.perplexity(text).perplexity == lmkit.load(file).perplexity(text).perplexity
    assert len(small_machine) == 1 and sorted(tmp_path.iterdir()) == sorted(files)
    assert any(phase.startswith("counting on disk, 2 of ") for phase in said)
    assert any(phase.startswith("5-grams on disk, 1 of ") for phase in said)
    much, little = (open_model_file(file) for file in files)
    for name, tensor in much.tensors.items():
        np.testing.assert_array_equal(tensor, little.tensors[name])
    records = [{**file.metadata["training"], "seconds": None} for file in (much, little)]
    assert records[0] == records[1] and much.metadata["config"] == little.metadata["config"]


def test_a_full_temporary_disk_loses_nothing(tmp_path, small_machine, monkeypatch):
    output = tmp_path / "model.lmkit"
    lmkit.train(("text", b"an old model\n"), smoothing="mle", output=output)
    before = output.read_bytes()
    written = []
    usual = Spool._write

    def full(self, offset, array):
        written.append(array.nbytes)
        if sum(written) > 1_000_000:
            with self._errors():
                raise OSError(errno.ENOSPC, "No space left on device")
        usual(self, offset, array)

    monkeypatch.setattr(Spool, "_write", full)
    with pytest.raises(CorpusError, match="the disk is full"):
        lmkit.train(("text", TEXT.encode()), memory=250_000, temp=str(tmp_path), output=output)
    assert len(written) > 20  # in the middle of the work
    assert output.read_bytes() == before and list(tmp_path.iterdir()) == [output]


def test_order_one_needs_no_disk(small_machine):
    lmkit.train(("text", TEXT.encode()), order=1, memory=100_000)
    assert not small_machine
