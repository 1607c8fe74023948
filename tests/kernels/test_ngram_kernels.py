"""The small parts of the n-gram kernels against NumPy; the large ones have their twins in tests/ngram."""

import importlib

import numpy as np
import pytest

from lmkit.kernels import ngram_counts as counting
from lmkit.kernels import ngram_estimation as estimation
from lmkit.kernels import ngram_walk as walk
from lmkit.model import BOS, EOS

BITS = 63
SIZES = [0, 1, 2, 3, 19, 20, 21, 22, 50, 2047, 2048, 2049, 5000]
KEYS = {
    "random": lambda rng, n: rng.integers(0, 2**63, n, dtype=np.uint64),
    "few distinct": lambda rng, n: rng.integers(0, 3, n).astype(np.uint64) << np.uint64(40),
    "two, one rare": lambda rng, n: (rng.random(n) < 0.01).astype(np.uint64),
    "constant": lambda rng, n: np.full(n, 2**62 + 5, np.uint64),
    "sorted": lambda rng, n: np.arange(n, dtype=np.uint64) * np.uint64(2**40),
    "sorted backwards": lambda rng, n: np.arange(n, dtype=np.uint64)[::-1].copy(),
    "organ pipe": lambda rng, n: np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.uint64),
    "high bits only": lambda rng, n: rng.integers(0, 128, n).astype(np.uint64) << np.uint64(56),
}


def quicksort(keys, values, base):
    counting._quicksort(keys, values, base, len(keys), np.empty((64, 2), np.int64))


def radix_sort(keys, values, base):
    n = len(keys)
    spare = np.empty(n, np.uint64), np.empty(n, np.uint32), np.empty(256, np.int64)
    counting._radix_sort(keys, values, base, n, BITS, *spare)


def insertion_sort(keys, values, base):
    counting._insertion_sort(keys, values, base, 0, len(keys))


@pytest.mark.parametrize("sort", [insertion_sort, quicksort, radix_sort], ids=lambda sort: sort.__name__)
@pytest.mark.parametrize("kind", KEYS)
def test_sorts_carry_the_values_along(sort, kind):
    """The keys are NumPy's sorted keys, and each value stays with a key it came with; nothing else is touched."""
    for n in SIZES:
        if sort is insertion_sort and n > 100:
            continue
        rng = np.random.default_rng(n)
        keys = KEYS[kind](rng, n)
        base = 3
        values = rng.permutation(n + 7).astype(np.uint32)
        key_of = dict(zip(values[base : base + n].tolist(), keys.tolist(), strict=True))
        found, carried = keys.copy(), values.copy()
        sort(found, carried, base)
        np.testing.assert_array_equal(found, np.sort(keys))
        assert [key_of[v] for v in carried[base : base + n].tolist()] == found.tolist()
        assert sorted(carried[base : base + n].tolist()) == sorted(key_of)
        np.testing.assert_array_equal(
            np.delete(carried, range(base, base + n)), np.delete(values, range(base, base + n))
        )


def test_the_stable_sorts_are_stable():
    rng = np.random.default_rng(0)
    for sort, n in ((insertion_sort, 60), (radix_sort, 3000)):
        keys, values = rng.integers(0, 5, n).astype(np.uint64), np.arange(n, dtype=np.uint32)
        order = np.argsort(keys, kind="stable")
        sort(keys, values, 0)
        np.testing.assert_array_equal(values, order)


@pytest.mark.parametrize("n", [2, 20, 21, 500, 2048, 2049, 4000])
@pytest.mark.parametrize(("width", "bits"), [(3, 21), (5, 12), (2, 22), (1, 31), (31, 2)])
def test_a_closed_run_knows_the_words_shared(n, width, bits):
    rng = np.random.default_rng(n)
    rows = rng.integers(0, min(3, 2**bits), (n, width)).astype(np.uint64)
    rows[rng.random((n, width)) < 0.1] = 2**bits - 1
    keys = np.zeros(n, np.uint64)
    for column in rows.T:
        keys = (keys << np.uint64(bits)) | column
    ranks, shared = np.arange(100, 100 + n + 2).astype(np.uint32), np.full(n + 2, 99, np.uint8)
    spare = np.empty(n, np.uint64), np.empty(n, np.uint32), np.empty(256, np.int64)
    counting._close_run(keys, ranks, shared, 1, n + 1, 4, width, bits, np.empty((64, 2), np.int64), *spare)
    ordered = [rows[rank - 101].tolist() for rank in ranks[1:-1].tolist()]
    assert ordered == sorted(rows.tolist())
    for i in range(1, n):
        equal = next((j for j in range(width) if ordered[i][j] != ordered[i - 1][j]), width)
        assert shared[i + 1] == 4 + equal
    assert shared[[0, 1, -1]].tolist() == [99, 99, 99]


def some_text(n=500, size=9, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.choice([0, EOS, 3, 4, 5, 6, 7, 8], n, p=[0.05, 0.15, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05])
    return np.append(ids, EOS).astype(np.int32)


@pytest.mark.parametrize("counts", [[0], [3], [2, 0, 0, 5, 1], [0, 4, 0]])
def test_each_place_has_the_node_of_its_first_word(counts):
    words = np.empty(sum(counts), np.uint32)
    counting.owners(np.cumsum([0, *counts]), words)
    np.testing.assert_array_equal(words, np.repeat(np.arange(1, len(counts) + 1), counts))


def test_first_words_counts_what_stands_before_each_position():
    ids = some_text()
    firsts = [BOS, *(BOS if w == EOS else w for w in ids[:-1].tolist())]
    expected = np.concatenate([[0], np.cumsum(np.bincount(firsts, minlength=12))])
    np.testing.assert_array_equal(counting.first_words(ids, 12), expected)


@pytest.mark.parametrize("order", [2, 3, 7, 32])
def test_words_left_until_the_sentence_ends(order):
    """The n-gram of position p begins a word before it and holds at most `order` words, the `</s>` included."""
    ids = some_text()
    left = np.zeros(len(ids), np.uint8)
    counting.words_left(ids, order, left)
    ends = np.flatnonzero(ids == EOS)
    for p in range(len(ids)):
        assert left[p] == min(ends[ends >= p][0] - p + 2, order)


def test_invert_and_suffix_ranks():
    ranks = np.random.default_rng(1).permutation(300).astype(np.uint32)
    places = np.zeros(301, np.uint32)
    for begin, end in ((0, 100), (100, 300)):
        counting.invert(ranks, begin, end, places)
    np.testing.assert_array_equal(places[:300], np.argsort(ranks))
    suffixes = np.empty(300, np.uint32)
    counting.suffix_ranks(ranks, places, 0, 300, suffixes)
    np.testing.assert_array_equal(suffixes, places[ranks.astype(int) + 1])


def test_counts_of_counts():
    rng = np.random.default_rng(2)
    records = rng.integers(0, 9, (400, 6)).astype(np.uint32)
    found = estimation.counts_of_counts(records, 2, 5)
    np.testing.assert_array_equal(found, np.bincount(records[:, 2], minlength=9)[:5])


DISTRIBUTIONS = {
    "one word": [1.0],
    "even": np.full(7, 1 / 7),
    "sure": [0, 0, 1, 0],
    "zeros between": [0, 0.5, 0, 0.25, 0.25, 0],
    "steep": 0.5 ** np.arange(1, 60),
    "random": np.random.default_rng(3).dirichlet(np.full(200, 0.1)),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_the_alias_table_gives_each_word_its_share(kind):
    """Columns are equally likely; column i is i below its threshold and its alias above."""
    p = np.array(DISTRIBUTIONS[kind], float)
    p /= p.sum()
    table = estimation.alias_table(p)
    assert (table[:, 1] < len(p)).all()
    share = np.zeros(len(p))
    for i, (threshold, alias) in enumerate(table.astype(float)):
        full = (threshold + 1) / 2**32 if threshold == 2**32 - 1 and alias == i else threshold / 2**32
        share[i] += full / len(p)
        share[int(alias)] += (1 - full) / len(p)
    np.testing.assert_allclose(share, p, atol=1e-9)
    drawn = set(np.flatnonzero(table[:, 0] > 0).tolist()) | set(table[table[:, 0] < 2**32 - 1, 1].tolist())
    assert not drawn & set(np.flatnonzero(p == 0).tolist()), "what cannot be must not be drawn"


def tables(column, values, leaves_from):
    """Nodes and leaves whose records have these values in one column; the first `leaves_from` are nodes."""
    nodes = np.zeros((leaves_from + 1, 6), np.uint32)
    leaves = np.zeros((len(values) - leaves_from, 4), np.uint32)
    nodes[:-1, column], leaves[:, column] = values[:leaves_from], values[leaves_from:]
    for table in (nodes, leaves):
        table.flags.writeable = False
    return nodes, leaves


@pytest.mark.parametrize("n", [1, 2, 4, 5, 6, 7, 8, 9, 30, 333])
@pytest.mark.parametrize("side", ["nodes", "leaves"])
def test_narrowing_finds_the_first_that_reaches_the_target(n, side):
    values = np.sort(np.random.default_rng(n).integers(5, 2 * n + 6, n)).astype(np.uint32)
    nodes, leaves = tables(0, values, n if side == "nodes" else 0)
    for target in range(2 * n + 8):
        low, high = 0, n
        while high - low > 4:
            before = high - low
            low, high = walk.narrow(nodes, leaves, 0, target, low, high)
            assert 0 <= low <= high <= n and high - low < before
        at = walk.first_child(nodes, leaves, 0, target, low, high)
        # where nothing in the range reaches the target, its end is as good as any record that does not
        assert at == np.searchsorted(values, target)


def test_find_is_a_dictionary():
    words = np.array([0, 0, 3, 4, 8, 9, 12, 20], np.uint32)
    nodes, leaves = tables(0, words, 5)
    for word in range(25):
        expected = 2 + words[2:5].tolist().index(word) if word in words[2:5] else 0
        assert walk.find_child(nodes, leaves, 2, 5, word) == expected
        expected = 5 + words[5:].tolist().index(word) if word in words[5:] else 0
        assert walk.find_child(nodes, leaves, 5, 8, word) == expected


@pytest.mark.parametrize("begin", [0, 1, 3, 5, 6, 9, 11, 12, 2**31, 2**32 - 1])
@pytest.mark.parametrize("end", [0, 1, 4, 5, 6, 9, 11, 12, 2**31, 2**32 - 1])
def test_children_never_leave_their_level(begin, end):
    """Five nodes and six leaves: a range is empty, or within the nodes, or within the leaves, whatever it says."""
    nodes = np.zeros((6, 6), np.uint32)
    leaves = np.zeros((6, 4), np.uint32)
    nodes[2:4, 4] = begin, end
    for table in (nodes, leaves):
        table.flags.writeable = False
    low, high = walk.children(nodes, leaves, 2)
    assert low >= high or 1 <= low < high <= 5 or 5 <= low < high <= 11  # the root as a child would hang `draw`


KERNELS_WITH_IDS = [
    "mixture_static", "ngram_counts", "ngram_estimation", "ngram_external", "ngram_packed_query", "ngram_pruning",
    "ngram_query", "ngram_sampling", "ngram_walk", "recurrent_sampling",
]  # fmt: skip


@pytest.mark.parametrize("name", KERNELS_WITH_IDS)
def test_kernels_mean_the_same_ids_as_the_contract(name):
    module = importlib.import_module(f"lmkit.kernels.{name}")
    assert (getattr(module, "BOS", BOS), getattr(module, "EOS", EOS)) == (BOS, EOS)
