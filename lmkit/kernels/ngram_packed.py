"""The bits of a packed trie: writing them, and the steps that its queries share. Layout: see `lmkit.ngram.packed`.

The arrays may come from a damaged file: what is read from them is clamped before it is used as an index.
"""

import numpy as np

from lmkit.kernels import helper, kernel, routine
from lmkit.kernels.memory import load64, ones, prefetch, store64, trailing_zeros

__all__ = [
    "ask_children",
    "ask_range",
    "backoff_of",
    "children",
    "find",
    "log_p_of",
    "narrow",
    "pack_begins",
    "pack_records",
    "unpack_begins",
    "unpack_records",
    "word_of",
]

# columns of the layout, a row for each order; places count bits (FIRST) or elements
SIZE, FIRST, WIDTH, WORD_BITS, LOG_P_BITS, BACKOFF_BITS = range(6)
LOG_P_AT, LOG_P_CODES, BACKOFF_AT, BACKOFF_CODES, BEGINS_AT, BEGINS_SIZE, SAMPLES_AT = range(6, 13)
EVERY = 32  # nodes: so often the place of a node's children is written down
NEAR = 16  # so few neighbours are read one by one: two cache lines


@helper
def _field(records, bit, size):
    """Return `size` bits, at most 57, from a bit on."""
    return (load64(records, bit >> 3) >> np.uint64(bit & 7)) & ((np.uint64(1) << np.uint64(size)) - np.uint64(1))


@helper
def word_of(records, layout, k, x):
    """Return the last word of the k-gram x; a damaged file's may be none."""
    return np.int64(_field(records, layout[k, FIRST] + x * layout[k, WIDTH], layout[k, WORD_BITS]))


@helper
def log_p_of(words, records, values, layout, k, x):
    """Return log p of the k-gram x, NaN for a blank."""
    if k == 1:
        return np.float64(words.view(np.float32)[x, 0])
    bit = layout[k, FIRST] + x * layout[k, WIDTH] + layout[k, WORD_BITS]
    code = np.int64(_field(records, bit, layout[k, LOG_P_BITS]))
    return np.float64(values[layout[k, LOG_P_AT] + min(code, layout[k, LOG_P_CODES] - 1)])


@helper
def backoff_of(words, records, values, layout, k, x):
    """Return the logarithm of the back-off weight of the k-gram x, which is not of the highest order."""
    if k == 1:
        return np.float64(words.view(np.float32)[x, 1])
    bit = layout[k, FIRST] + x * layout[k, WIDTH] + layout[k, WORD_BITS] + layout[k, LOG_P_BITS]
    code = np.int64(_field(records, bit, layout[k, BACKOFF_BITS]))
    return np.float64(values[layout[k, BACKOFF_AT] + min(code, layout[k, BACKOFF_CODES] - 1)])


@helper
def ask_children(words, samples, layout, k, x):
    """Ask for what `children` reads first."""
    if k == 1:
        prefetch(words, x * 3 + 2)
    else:
        prefetch(samples, layout[k, SAMPLES_AT] + x // EVERY)


@routine
def children(words, begins, samples, layout, k, x):
    """Return the range of children, (k + 1)-grams, of the k-gram x; within their number."""
    size = layout[k + 1, SIZE]
    if k == 1:
        low, high = np.int64(words[x, 2]), np.int64(words[x + 1, 2])
        return min(low, size), min(high, size)
    first, total = layout[k, BEGINS_AT], layout[k, BEGINS_SIZE]
    start = np.int64(samples[layout[k, SAMPLES_AT] + x // EVERY])
    skip = np.uint64(x % EVERY)
    i = start >> 6
    if i >= total:
        return np.int64(0), np.int64(0)
    bits = begins[first + i] & (np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(start & 63))
    if skip:
        here = ones(bits)
        while here < skip:
            skip -= here
            i += 1
            if i >= total:
                return np.int64(0), np.int64(0)
            bits = begins[first + i]
            here = ones(bits)
        for _ in range(skip - np.uint64(1)):
            bits &= bits - np.uint64(1)
        start = (i << 6) + np.int64(trailing_zeros(bits)) + 1
        bits &= bits - np.uint64(1)
    while bits == 0:
        i += 1
        if i >= total:
            return np.int64(0), np.int64(0)
        bits = begins[first + i]
    end = (i << 6) + np.int64(trailing_zeros(bits))
    return min(max(start - x, 0), size), min(max(end - x, 0), size)


@helper
def ask_range(records, layout, k, low, high):
    """Ask for what `narrow` will read of the k-grams [low, high), or, where they are few, for all of them."""
    n, first, width = high - low, layout[k, FIRST], layout[k, WIDTH]
    if n > NEAR:
        prefetch(records, (first + (low + (n >> 5)) * width) >> 3)
        prefetch(records, (first + (low + (n >> 3)) * width) >> 3)
        prefetch(records, (first + (low + (n >> 1)) * width) >> 3)
    elif n > 0:
        prefetch(records, (first + low * width) >> 3)
        prefetch(records, (first + high * width) >> 3)


@helper
def narrow(records, layout, k, word, low, high):
    """Keep the part of [low, high) that holds the word, if any does; the cuts as in `ngram_walk.narrow`."""
    n = high - low
    middle = low + (n >> 3)
    if word_of(records, layout, k, middle) >= word:
        high = middle + 1
        middle = low + (n >> 5)
    else:
        middle, low = low + (n >> 1), middle + 1
    if word_of(records, layout, k, middle) >= word:
        high = middle + 1
    else:
        low = middle + 1
    return low, high


@helper
def find(records, layout, k, low, high, word):
    """Return the k-gram in [low, high) with this last word, or -1."""
    while high - low > NEAR:
        low, high = narrow(records, layout, k, word, low, high)
    bit, width, size = layout[k, FIRST] + low * layout[k, WIDTH], layout[k, WIDTH], layout[k, WORD_BITS]
    while low < high:
        found = np.int64(_field(records, bit, size))
        if found >= word:
            return low if found == word else np.int64(-1)
        low += 1
        bit += width
    return np.int64(-1)


@kernel
def pack_records(records, layout, k, words, log_p_codes, backoff_codes):
    """Write the records of the k-grams into zeros; `backoff_codes` is empty for those of the highest order."""
    bit = layout[k, FIRST]
    for x in range(words.size):
        for field in range(3):
            if field == 0:
                value, size = np.uint64(words[x]), layout[k, WORD_BITS]
            elif field == 1:
                value, size = np.uint64(log_p_codes[x]), layout[k, LOG_P_BITS]
            else:
                value, size = np.uint64(backoff_codes[x] if backoff_codes.size else 0), layout[k, BACKOFF_BITS]
            store64(records, bit >> 3, load64(records, bit >> 3) | value << np.uint64(bit & 7))
            bit += size


@kernel
def unpack_records(words, records, values, layout, k, found, log_p, backoffs):
    """Write the words, log p and back-off weights of all k-grams; no weights where `backoffs` is empty."""
    for x in range(found.size):
        found[x] = word_of(records, layout, k, x) if k > 1 else x
        log_p[x] = log_p_of(words, records, values, layout, k, x)
        if backoffs.size:
            backoffs[x] = backoff_of(words, records, values, layout, k, x)


@kernel
def pack_begins(ends, begins, samples):
    """Write where the children of nodes are: a zero for each child, a one behind the last; see `children`.

    Parameters
    ----------
    ends : array of uint32
        For each node how many children it and the nodes before it have.
    begins : array of uint64
        Zeros, written; samples : array of uint32, written.
    """
    start = np.int64(0)
    for x in range(ends.size):
        if x % EVERY == 0:
            samples[x // EVERY] = start
        one = np.int64(ends[x]) + x
        begins[one >> 6] |= np.uint64(1) << np.uint64(one & 63)
        start = one + 1


@kernel
def unpack_begins(words, begins, samples, layout, k, ends):
    """Write the end of the children of each k-gram."""
    for x in range(ends.size):
        ends[x] = children(words, begins, samples, layout, k, x)[1]
