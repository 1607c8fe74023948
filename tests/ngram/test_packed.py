"""Packed models: bits and codebooks against slow twins, and the contract, with what rounding leaves of it."""

import itertools
import math
import os

import numpy as np
import pytest
from contract import CHECKS, check_all, chi_square_is_fine, some_ids
from ngram.reference_ngram import a_text, model_of, table_of

import lmkit
from lmkit import api, storage
from lmkit.errors import LmkitError, LmkitWarning, ModelError, OptionError
from lmkit.kernels import ngram_packed, ngram_packed_query
from lmkit.model import BOS, EOS
from lmkit.ngram.arpa import arpa_lines, read_arpa
from lmkit.ngram.packed import PackedModel, layout_of, pack, packed_bytes
from lmkit.ngram.quantization import codebook, encode
from lmkit.text import Corpus, TextSettings
from lmkit.uniforms import Uniforms

SIZE = 12
# Rounding a weight of log alpha by e changes a sum by at most (1 - sum of the seen) e; at 3 bits e is below 1/3.
SUMS = {2: 0.5, 3: 0.2, 8: 0.01, 16: 1e-5}
FEW_LEFT = r"""\data\
ngram 1=5
ngram 2=2
ngram 3=3

\1-grams:
-99 <s> -0.3
-0.69897 </s>
-0.5228787 a -0.2
-0.60206 b -0.1
-0.60206 c

\2-grams:
-0.4 <s> a -0.15
-0.3 b c -inf

\3-grams:
-0.2 <s> a b
-inf <s> a c
-0.1 a b c

\end\
"""


def plain(order=4, length=1500, size=SIZE, **options):
    return model_of(a_text(size, length, 5), size, order=order, **options)


def from_arpa(text=FEW_LEFT):
    with pytest.warns(LmkitWarning, match="no unknown word"):
        return read_arpa(Corpus("few.arpa", data=text.encode()), TextSettings("whitespace"))


def log_p_slowly(table, gram, order):
    """Back-off by dictionary search, natural logarithms."""
    weight = 0.0
    for start in range(max(0, len(gram) - order), len(gram)):
        if gram[start:] in table:
            return weight + table[gram[start:]][0]
        weight += table.get(gram[start:-1], (0, 0.0))[1]
    raise AssertionError(gram)


def slow_scores(model, ids):
    """Scores of a text from the table of all n-grams that are no blanks."""
    unpacked = model.unpacked()
    table = {gram: (p * math.log(10), b * math.log(10)) for gram, (p, b) in table_of(unpacked).items()}
    tokens = [unpacked.text.vocabulary.token_bytes(i) for i in range(unpacked.vocabulary_size)]
    history, scores = (tokens[BOS],), []
    for i in ids.tolist():
        scores.append(log_p_slowly(table, (*history, tokens[i]), model.order))
        history = (tokens[BOS],) if i == EOS else (*history, tokens[i])
    return scores


# The bits


@pytest.mark.parametrize("seed", range(8))
def test_children_are_where_the_counts_say(seed):
    """Against the cumulated counts: empty nodes, many empty ones in a row, one with hundreds of children."""
    rng = np.random.default_rng(seed)
    counts = rng.choice([0, 0, 0, 1, 2, 70, 500], rng.integers(1, 300))
    if seed % 2:
        counts[rng.integers(len(counts)) :] = 0
    ends = np.cumsum(counts)
    layout, shapes = layout_of((1, 9, len(counts), int(ends[-1])), [[1, 1], [1, 0]])
    begins, samples = np.zeros(shapes["ngram.begins"], np.uint64), np.zeros(shapes["ngram.samples"], np.uint32)
    ngram_packed.pack_begins(ends.astype(np.uint32), begins, samples)
    words = np.zeros((10, 3), np.uint32)
    bits = "".join("0" * count + "1" for count in counts)
    written = "".join(f"{int(word):064b}"[::-1] for word in begins)
    assert written[: len(bits)] == bits and "1" not in written[len(bits) :]
    for x, (low, high) in enumerate(itertools.pairwise([0, *ends.tolist()])):
        assert ngram_packed.children(words, begins, samples, layout, 2, x) == (low, high)


@pytest.mark.parametrize(("size", "of_log_p", "of_backoffs"), [(3, 1, 1), (1000, 7, 300), (70000, 65536, 2)])
def test_records_come_back(size, of_log_p, of_backoffs):
    rng = np.random.default_rng(size)
    layout, shapes = layout_of((1, size, 500, 333), [[of_log_p, of_backoffs], [of_log_p, 0]])
    records = np.zeros(shapes["ngram.packed"], np.uint8)
    values = rng.random(shapes["ngram.codebooks"]).astype(np.float32)
    unigrams, wanted = np.zeros((size + 1, 3), np.uint32), {}
    for k, m in ((2, 500), (3, 333)):
        words = rng.integers(0, size, m).astype(np.uint32)
        log_p = rng.integers(0, of_log_p, m).astype(np.uint16)
        backoffs = rng.integers(0, of_backoffs, m if k == 2 else 0).astype(np.uint16)
        ngram_packed.pack_records(records, layout, k, words, log_p, backoffs)
        wanted[k] = words, log_p, backoffs
    books = np.split(values, np.cumsum([of_log_p, of_backoffs]))
    for k, (words, log_p, backoffs) in wanted.items():
        found, got = np.empty(len(words), np.int32), np.empty(len(words), np.float32)
        weights = np.empty(len(backoffs), np.float32)
        ngram_packed.unpack_records(unigrams, records, values, layout, k, found, got, weights)
        np.testing.assert_array_equal(found, words)
        np.testing.assert_array_equal(got, books[0 if k == 2 else 2][log_p])
        np.testing.assert_array_equal(weights, books[1][backoffs])


@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 40, 1000])
def test_words_are_found_or_not(m):
    layout, shapes = layout_of((1, 4000, m), [[4, 0]])
    records = np.zeros(shapes["ngram.packed"], np.uint8)
    words = np.sort(np.random.default_rng(m).choice(4000, m, replace=False)).astype(np.uint32)
    ngram_packed.pack_records(records, layout, 2, words, np.full(m, 3, np.uint16), np.zeros(0, np.uint16))
    where = {int(word): x for x, word in enumerate(words)}
    for word in range(4000):
        assert ngram_packed.find(records, layout, 2, 0, m, word) == where.get(word, -1)


# The numbers


def error(values, book):
    finite = np.isfinite(values)
    return ((values[finite] - book[encode(values, book)][finite]) ** 2).mean()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [4, 16, 256])
def test_codebooks_are_no_worse_than_bins_of_equal_population(seed, size):
    rng = np.random.default_rng(seed)
    values = [
        rng.normal(-5, 2, 5000), -rng.exponential(1, 5000), rng.integers(-50, 0, 5000) / 7,
        np.append(rng.normal(-9, 0.1, 4900), -rng.random(100)), np.log(rng.beta(0.3, 2, 5000)),
        np.append(np.full(3000, -1.5), rng.normal(-3, 1, 2000)),
    ][seed].astype(np.float32)  # fmt: skip
    bins = np.array([part.mean(dtype=float) for part in np.array_split(np.sort(values), size)], np.float32)
    assert error(values, codebook(values, size)) <= error(values, np.unique(bins)) * (1 + 1e-6)


def test_few_values_are_kept_as_they_are():
    values = np.random.default_rng(1).choice(np.float32([-7.5, -2, -1e-30, 0, -np.inf]), 1000)
    book = codebook(values, 5)
    np.testing.assert_array_equal(book[encode(values, book)], values)


@pytest.mark.parametrize("size", [4, 5, 64])
def test_nothing_and_impossibility_stay_exact(size):
    values = np.append(-np.random.default_rng(2).random(1000) - 0.01, [0, 0, -np.inf]).astype(np.float32)
    book = codebook(values, size)
    assert len(book) <= size and (np.diff(book) > 0).all()
    rounded = book[encode(values, book)]
    assert rounded[-3:].tolist() == [0, 0, -np.inf] and np.isfinite(rounded[:-1]).all()


def test_codes_are_of_the_nearest():
    rng = np.random.default_rng(3)
    book, values = np.unique(rng.normal(size=50).astype(np.float32)), rng.normal(size=2000).astype(np.float32)
    nearest = np.abs(values[:, None].astype(float) - book).argmin(axis=1)
    np.testing.assert_array_equal(encode(values, book), nearest)


# The model


@pytest.mark.parametrize("order", [1, 2, 3, 5, 9])
def test_with_bits_enough_the_numbers_are_the_same(order):
    """Each value has a code of its own: log p to the bit, weights but for how they were computed."""
    model = plain(order)
    packed = pack(model, 16)
    before, after = table_of(model), table_of(packed.unpacked())
    assert list(before) == list(after)
    for gram, (log_p, weight) in before.items():
        assert after[gram][0] == log_p
        assert after[gram][1] == pytest.approx(weight, abs=2e-5)
    check_all(packed)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(bits, check):
    check(pack(plain(4, 3000), bits), sums=SUMS[bits])


MODELS = {
    "a": lambda: plain(4),
    "pruned": lambda: api.prune(api.Model(plain(4)), threshold=3e-3).language_model,
    "katz": lambda: plain(3, smoothing="katz"),
    "cut off": lambda: plain(4, cutoffs=(0, 0, 2)),
    "no trigrams": lambda: plain(4, cutoffs=(0, 0, 10**6)),
    "single words": lambda: plain(1),
    "thousands of words": lambda: plain(3, 20000, 3000),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bits", [3, 9])
def test_scores_are_those_of_the_table(name, bits):
    packed = pack(MODELS[name](), bits)
    ids = some_ids(packed, (1, 600), seed=4)
    scores, _ = packed.score(packed.begin(), ids)
    np.testing.assert_allclose(scores[0], slow_scores(packed, ids[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_unpacked_and_packed_agree(name):
    packed = pack(MODELS[name](), 5)
    unpacked, ids = packed.unpacked(), some_ids(packed, (1, 600), seed=5)
    np.testing.assert_allclose(
        unpacked.score(unpacked.begin(), ids)[0], packed.score(packed.begin(), ids)[0], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(unpacked.orders(ids[0]), packed.orders(ids[0]))
    again = pack(unpacked, 5)  # what is rounded stays as it is, but for the last bits of the weights
    np.testing.assert_allclose(
        again.score(again.begin(), ids)[0], packed.score(packed.begin(), ids)[0], rtol=0.02, atol=0.2
    )


def test_contexts_that_are_no_ngrams_stay_none():
    """`a b` is there because of `a b c` alone: what it predicts is what backing off gives, packed or not."""
    model = from_arpa()
    assert len(model.blanks)
    packed = pack(model, 8)
    unpacked = packed.unpacked()
    np.testing.assert_array_equal(unpacked.blanks, model.blanks)
    token = model.text.vocabulary.id
    a, b, c = token("a"), token("b"), token("c")
    ids = np.array([a, b, c, EOS, b, a, b, b, a, b, c], np.int32)
    np.testing.assert_array_equal(packed.orders(ids), model.orders(ids))
    assert model.orders(ids)[6] == 1 and model.orders(ids)[10] == 3
    np.testing.assert_allclose(
        packed.score(packed.begin(), ids[None])[0], unpacked.score(unpacked.begin(), ids[None])[0], atol=1e-5
    )
    state = packed.advance(packed.begin(), np.array([a], np.int32))
    assert np.exp(packed.log_probs(state).astype(float)).sum() == pytest.approx(1, abs=1e-5)
    before, after = table_of(model), table_of(unpacked)
    assert after[b"<s>", b"a", b"c"][0] == before[b"<s>", b"a", b"c"][0] == -math.inf
    assert after[b"b", b"c"][1] == before[b"b", b"c"][1] == -math.inf
    check_all(pack(from_arpa(FEW_LEFT.replace("-inf", "-2")), 8), sums=1e-5)  # each value has its code


@pytest.mark.parametrize("length", [1, 2, 700, 16384 * 2 + 5])
def test_chunks_and_threads_change_no_bit(length):
    packed = pack(plain(5), 4)
    ids = some_ids(packed, (2, length), seed=6)
    packed.threads = 1
    whole, after = packed.score(packed.begin(2), ids)
    packed.threads = 3
    np.testing.assert_array_equal(packed.score(packed.begin(2), ids)[0], whole)
    state, parts = packed.begin(2), []
    for part in np.array_split(ids, 7, axis=1):
        log_p, state = packed.score(state, part)
        parts.append(log_p)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(state, after)


def test_one_token_at_a_time_is_the_same_state():
    packed = pack(plain(5), 4)
    ids, state = some_ids(packed, (1, 200), seed=7), packed.begin()
    for t in range(200):
        state = packed.advance(state, ids[:, t])
        np.testing.assert_array_equal(packed.score(packed.begin(), ids[:, : t + 1])[1], state)


def test_sums_of_blocks():
    packed = pack(plain(3, 20000, 600), 6)
    trie = packed.trie
    for k in (2, 3):
        m = trie.sizes[k]
        assert m > 3 * ngram_packed_query.BLOCK
        found, log_p, none = np.empty(m, np.int32), np.empty(m, np.float32), np.empty(0, np.float32)
        arrays = (trie.words, trie.records, trie.values, trie.layout, k)
        ngram_packed.unpack_records(*arrays, found, log_p, none)
        sums = np.zeros(m // ngram_packed_query.BLOCK + 1)
        ngram_packed_query.sum_blocks(*arrays, sums)
        before = np.append(0.0, np.cumsum(np.exp(log_p.astype(float))))
        np.testing.assert_allclose(sums, before[:: ngram_packed_query.BLOCK][: len(sums)], rtol=1e-9)


@pytest.mark.parametrize("bits", [2, 8])
def test_draws_from_hundreds_of_children(bits):
    """After a frequent word whole blocks of them are skipped."""
    rng = np.random.default_rng(8)
    ids = np.where(rng.random(20000) < 0.4, 3, rng.integers(2, 900, 20000)).astype(np.int32)
    packed = pack(model_of(np.append(ids, np.int32(EOS)), 900, order=2), bits)
    state = packed.advance(packed.begin(30000), np.full(30000, 3, np.int32))
    trie = packed.trie
    low, high = ngram_packed.children(trie.words, trie.begins, trie.samples, trie.layout, 1, 3)
    assert high - low > 5 * ngram_packed_query.BLOCK
    drawn, _ = packed.draw(state, 1, Uniforms.from_generator(rng, 30000), np.zeros(0, np.int32))
    row = np.exp(packed.log_probs(state[:1])[0].astype(float))
    assert chi_square_is_fine(drawn[:, 0], row / row.sum())


def test_no_token_at_all_is_an_error():
    packed = pack(plain(3), 4)
    with pytest.raises(LmkitError, match="nothing can be drawn"):
        packed.draw(packed.begin(2), 3, Uniforms.from_generator(np.random.default_rng(1), 2), np.arange(SIZE))


def test_where_all_that_could_come_is_banned_the_shorter_context_answers():
    packed = pack(from_arpa(), 8)
    token = packed.text.vocabulary.id
    state = packed.advance(packed.begin(40), np.full(40, token("b"), np.int32))
    row = np.exp(packed.log_probs(state[:1])[0].astype(float))
    banned = np.flatnonzero(row)
    drawn, _ = packed.draw(state, 1, Uniforms.from_generator(np.random.default_rng(1), 40), banned[banned != EOS])
    assert set(drawn[:, 0].tolist()) == {EOS}


@pytest.mark.parametrize("smoothing", ["mle", "add-k", "stupid-backoff"])
def test_what_cannot_be_packed(smoothing):
    with pytest.raises(OptionError, match=r"which quantization goes by; train with another --smoothing"):
        pack(plain(2, 100, smoothing=smoothing), 8)


@pytest.mark.parametrize("bits", [0, 1, 17])
def test_bits_out_of_range(bits):
    with pytest.raises(OptionError, match="from 2 to 16 bits"):
        api.prune(api.Model(plain(2, 100)), quantize=bits)


# The file


@pytest.fixture
def saved(tmp_path):
    return api.prune(api.Model(plain(4)), quantize=6, output=tmp_path / "small.lmkit")


def test_a_file_is_the_model(saved):
    again = api.load(saved.path)
    assert isinstance(again.language_model, PackedModel)
    ids = some_ids(saved, (2, 300))
    np.testing.assert_array_equal(again.score(again.begin(2), ids)[0], saved.score(saved.begin(2), ids)[0])
    assert again.settings() == saved.settings() and again.settings()["quantize"] == 6
    assert saved.file_size() == os.path.getsize(saved.path)
    described = api.info(saved.path)
    assert described["config"]["quantize"] == 6 and described["bytes_per_ngram"] > 0
    assert sum(described["ngrams"].values()) == sum(plain(4).trie.sizes[1:])


def test_sizes_are_bounded_before_they_are_known():
    for order, bits in ((2, 8), (4, 3), (4, 16)):
        model = plain(order)
        taken = sum(t.nbytes for t in pack(model, bits).trie.tensors().values())
        assert taken <= packed_bytes(list(model.trie.sizes), bits) <= 2 * taken


def test_everything_else_works_on_it(saved):
    text = b"".join(arpa_lines(saved.language_model.unpacked()))
    assert b"".join(api.arpa(saved)) == text and b"\\4-grams:" in text
    back = lmkit.from_arpa(("m.arpa", text))
    ids = some_ids(saved, (1, 200))
    np.testing.assert_allclose(back.score(back.begin(), ids)[0], saved.score(saved.begin(), ids)[0], atol=1e-4)
    smaller = api.prune(saved, ngrams=100)
    assert sum(smaller.language_model.trie.sizes[1:]) <= 100
    assert len(saved.next("w3", top=4)) == 4
    assert saved.sample(n=30, seed=1) == saved.sample(n=30, seed=1)
    assert saved.sample(n=30, seed=1, temperature=0.7, top_k=3)
    assert saved.perplexity([("t", b"w3 w4 w5\n")]).perplexity > 1


@pytest.mark.parametrize(
    "config",
    [
        {"codes": None}, {"codes": []}, {"codes": [[1, 1]] * 2}, {"codes": [[0, 1], [1, 1], [1, 0]]},
        {"codes": [[64, 0], [64, 64], [64, 0]]}, {"codes": [["64", 64], [64, 64], [64, 0]]},
        {"codes": [[2**40, 64], [64, 64], [64, 0]]}, {"codes": [[65, 64], [64, 64], [64, 0]]}, {"ngrams": [1, 2, 3]},
        {"ngrams": [1, SIZE, 2**70, 5, 5]}, {"ngrams": [1, SIZE, -1, 5, 5]}, {"ngrams": [True, SIZE, 5, 5, 5]},
        {"ngrams": []},
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(saved, config):
    model = saved.language_model
    metadata = {"config": {**model.config(), **config}, **model.text.metadata(), "training": None}
    storage.save(saved.path, "ngram", metadata, model.tensors())
    with pytest.raises(ModelError, match=r"small\.lmkit: .*pack the model anew"):
        api.load(saved.path)


@pytest.mark.parametrize("name", ["ngram.words", "ngram.packed", "ngram.begins", "ngram.samples", "ngram.codebooks"])
def test_tensors_that_do_not_fit_are_refused(saved, name):
    model = saved.language_model
    metadata = {"config": model.config(), **model.text.metadata(), "training": None}
    tensors = model.tensors()
    for wrong in ({**tensors, name: tensors[name][:-1]}, {k: t for k, t in tensors.items() if k != name}):
        storage.save(saved.path, "ngram", metadata, wrong)
        with pytest.raises(ModelError, match=f"tensor {name} is"):
            api.load(saved.path)


def test_damaged_ngrams_are_not_unpacked(saved):
    trie = saved.language_model.trie
    for name in ("words", "begins", "records"):
        array = getattr(trie, name).copy()
        array[:] = 255 if name == "records" else 0
        broken = PackedModel(saved.text, type(trie)(**{**vars(trie), name: array}), saved.language_model.options)
        with pytest.raises(ModelError, match="are damaged"):
            broken.unpacked()


def rewritten(saved, changes=None, **config):
    """Write a saved model again, with right checksums, some of its arrays or settings being others."""
    model = saved.language_model
    metadata = {"config": {**model.config(), **config}, **model.text.metadata(), "training": None}
    storage.save(saved.path, "ngram", metadata, {**model.tensors(), **(changes or {})})


@pytest.mark.parametrize("number", [np.nan, np.inf, 1000.0])
def test_numbers_that_are_no_logarithms_are_refused(saved, number):
    """At the opening, of large files, too: there are only so many as the codebooks and the unigrams have."""
    trie = saved.language_model.trie
    values, words = trie.values.copy(), trie.words.copy()
    values[-1] = number
    words.view(np.float32)[7, 1] = number
    for changes in {"ngram.codebooks": values}, {"ngram.words": words}:
        rewritten(saved, changes)
        with pytest.raises(ModelError, match=r"small\.lmkit: .* is not the logarithm"):
            api.load(saved.path)


def test_n_grams_of_one_word_are_not_pruned(saved):
    """They are sorted nowhere: contexts would get more children than there are."""
    rewritten(saved, {"ngram.packed": np.zeros_like(saved.language_model.trie.records)})
    damaged = api.load(saved.path)
    assert np.isfinite(damaged.score(damaged.begin(), np.array([[3, 4, 5]], np.int32))[0]).all()
    for walk in ({"threshold": 1e-7}, {"ngrams": 2 * SIZE}, {"quantize": 4}):
        with pytest.raises(ModelError, match=r"small\.lmkit: the n-grams of the model are damaged"):
            api.prune(damaged, **walk)


def test_counts_are_not_kept():
    model = plain(3, smoothing="absolute", keep_counts=True, discount=0.5)
    assert model.context_counts(model.begin()) is not None
    packed = pack(model, 8)
    assert packed.context_counts(packed.begin()) is None
    with pytest.raises(OptionError, match="--keep-counts"):
        api.prune(api.Model(packed), cutoffs=(0, 1))
