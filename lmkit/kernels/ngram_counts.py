"""Counting n-grams by one forward sort of the positions of a text.

The text is an array of ids that ends with `</s>` (2). Position p stands for the n-grams whose *second* word is ids[p]:
their first is ids[p - 1], or `<s>` (1) at the start of the text and after a `</s>`. Sorting the positions by the words
puts the n-grams of every order in trie order at once; neighbours that share k words belong to the same k-gram. An
n-gram ends with its `</s>`, and no kernel reads beyond it.

The positions are `at`, at + `stride`, ...: all of a text (0, 1), or one in each of many pieces of it, laid end to end.
"""

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.memory import atomic_increment, prefetch

__all__ = [
    "count_levels",
    "first_words",
    "invert",
    "link_level",
    "measure",
    "refine",
    "sort_positions",
    "suffix_ranks",
    "words_left",
]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
_AHEAD = 32  # elements between asking for a cache line and using it
_INSERTION = 20  # below this many keys insertion sort wins
_RADIX = 2048  # above this many keys a radix sort wins over quicksort


@kernel
def first_words(ids, vocabulary_size):
    """Return where the range of each first word starts in the sorted order, int64 (V + 1,)."""
    starts = np.zeros(vocabulary_size + 1, np.int64)
    first = np.int64(BOS)
    for p in range(ids.size):
        starts[first + 1] += 1
        first = np.int64(BOS) if ids[p] == EOS else np.int64(ids[p])
    for w in range(vocabulary_size):
        starts[w + 1] += starts[w]
    return starts


@helper
def _first_word(ids, p):
    """Return the first word of the n-grams of a position."""
    if p == 0 or ids[p - 1] == EOS:
        return np.int64(BOS)
    return np.int64(ids[p - 1])


@helper
def _insertion_sort(keys, values, base, low, high):
    for i in range(low + 1, high):
        key, value = keys[i], values[base + i]
        j = i
        while j > low and keys[j - 1] > key:
            keys[j], values[base + j] = keys[j - 1], values[base + j - 1]
            j -= 1
        keys[j], values[base + j] = key, value


@helper
def _radix_sort(keys, values, base, n, key_bits, spare_keys, spare_values, places):
    """Sort by the low `key_bits` bits, eight at a time, least significant first; equal bytes cost no pass."""
    for shift in range(0, key_bits, 8):
        for d in range(256):
            places[d] = 0
        for i in range(n):
            places[(keys[i] >> np.uint64(shift)) & np.uint64(255)] += 1
        place, largest = 0, 0
        for d in range(256):
            largest = max(largest, places[d])
            places[d], place = place, place + places[d]
        if largest == n:
            continue
        for i in range(n):
            d = (keys[i] >> np.uint64(shift)) & np.uint64(255)
            spare_keys[places[d]], spare_values[places[d]] = keys[i], values[base + i]
            places[d] += 1
        for i in range(n):
            keys[i], values[base + i] = spare_keys[i], spare_values[i]


@helper
def _quicksort(keys, values, base, n, stack):
    """Sort keys[:n] and with them values[base:]: three ways (equal keys abound in text), insertion sort at the end."""
    top = 0
    low, high = 0, n
    while True:
        while high - low > _INSERTION:
            a, b, c = keys[low], keys[(low + high) >> 1], keys[high - 1]
            pivot = max(min(a, b), min(max(a, b), c))
            left, i, right = low, low, high
            while i < right:
                key = keys[i]
                if key < pivot:
                    keys[i], keys[left] = keys[left], key
                    values[base + i], values[base + left] = values[base + left], values[base + i]
                    left += 1
                    i += 1
                elif key > pivot:
                    right -= 1
                    keys[i], keys[right] = keys[right], key
                    values[base + i], values[base + right] = values[base + right], values[base + i]
                else:
                    i += 1
            # The larger side waits on the stack, so its depth stays under log2(n).
            if left - low > high - right:
                stack[top, 0], stack[top, 1] = low, left
                low = right
            else:
                stack[top, 0], stack[top, 1] = right, high
                high = left
            top += 1
        _insertion_sort(keys, values, base, low, high)
        if top == 0:
            return
        top -= 1
        low, high = stack[top, 0], stack[top, 1]


@helper
def _key(ids, p, depth, width, bits):
    """Pack `width` words from depth on into one integer; all that follows a `</s>` counts as nothing (0)."""
    key = np.uint64(0)
    ended = ids[p + depth - 2] == EOS
    for j in range(depth - 1, depth - 1 + width):
        word = np.uint64(0) if ended else np.uint64(ids[p + j])
        key = (key << np.uint64(bits)) | word
        ended = ended or word == np.uint64(EOS)
    return key


@kernel
def owners(starts, words):
    """Write for each place of the sorted order the node of its first word, which is the word plus one."""
    for word in range(len(starts) - 1):
        for i in range(starts[word], starts[word + 1]):
            words[i] = word + 1


@kernel(_nrt=False)
def _close_run(keys, ranks, shared, run, end, depth, width, bits, stack, spare_keys, spare_ranks, places):
    """Sort the ranks [run, end), which share `depth` words, by their keys; write how many words neighbours share."""
    n = end - run
    if n < 2:
        return
    if n > _RADIX:
        _radix_sort(keys, ranks, run, n, width * bits, spare_keys, spare_ranks, places)
    else:
        _quicksort(keys, ranks, run, n, stack)
    for i in range(1, n):
        difference = keys[i] ^ keys[i - 1]
        equal = depth + width
        while difference != np.uint64(0):
            difference >>= np.uint64(bits)
            equal -= 1
        shared[run + i] = equal


@kernel
def sort_positions(ids, at, stride, starts, low, high, width, bits, pairs, ranks, shared):
    """Sort the positions whose first word is in [low, high) by their first 2 + width words.

    Writes `ranks[i]`, the i-th position in sorted order, and `shared[i]`, the number of words it shares with the one
    before it. A stable scatter by second word, then by first, then one integer key a position within each bigram.
    `pairs` (uint64) is room to work in.
    """
    base = starts[low]
    n = starts[high] - base
    cursor = np.zeros(starts.size, np.int64)
    for p in range(at, ids.size, stride):
        if low <= _first_word(ids, p) < high:
            cursor[np.int64(ids[p]) + 1] += 1
    for w in range(starts.size - 1):
        cursor[w + 1] += cursor[w]
    for p in range(at, ids.size, stride):
        first, second = _first_word(ids, p), np.int64(ids[p])
        if low <= first < high:
            pairs[base + cursor[second]] = (np.uint64(p) << np.uint64(32)) | np.uint64(first)
            cursor[second] += 1
    for w in range(starts.size):
        cursor[w] = starts[w]
    for i in range(n):
        w = pairs[base + i] & np.uint64(0xFFFFFFFF)
        ranks[cursor[w]] = pairs[base + i] >> np.uint64(32)
        cursor[w] += 1

    end = base + n
    longest = 0
    for w in range(low, high):
        longest = max(longest, starts[w + 1] - starts[w])
    keys = np.empty(longest, np.uint64)
    stack = np.empty((64, 2), np.int64)
    spare_keys, spare_ranks, places = (
        np.empty(longest, np.uint64),
        np.empty(longest, np.uint32),
        np.empty(256, np.int64),
    )
    w = low
    run = base
    second = np.int64(ids[ranks[base]]) if n else np.int64(-1)
    for i in range(base, end + 1):
        while w < high and i == starts[w + 1]:  # on to the next first word; some have no positions
            w += 1
        if i + _AHEAD < end:
            prefetch(ids, np.int64(ranks[i + _AHEAD]))
        p = np.int64(ranks[i]) if i < end else np.int64(0)
        if i == end or i == starts[w] or ids[p] != second:
            _close_run(keys, ranks, shared, run, i, 2, width, bits, stack, spare_keys, spare_ranks, places)
            if i == end:
                break
            shared[i] = 0 if i == starts[w] else 1
            run, second = i, np.int64(ids[p])
        keys[i - run] = _key(ids, p, 2, width, bits)


@kernel
def refine(ids, starts, low, high, depth, width, bits, ranks, shared):
    """Sort the runs that share `depth` words by the `width` words that follow (orders beyond the first key)."""
    longest = 0
    for w in range(low, high):
        longest = max(longest, starts[w + 1] - starts[w])
    keys = np.empty(longest, np.uint64)
    stack = np.empty((64, 2), np.int64)
    spare_keys, spare_ranks, places = (
        np.empty(longest, np.uint64),
        np.empty(longest, np.uint32),
        np.empty(256, np.int64),
    )
    i = starts[low]
    while i < starts[high]:
        run = i
        i += 1
        while i < starts[high] and shared[i] >= depth:
            i += 1
        if i - run > 1:
            for j in range(run, i):
                p = np.int64(ranks[j])
                k = 0
                while k < depth - 1 and ids[p + k] != EOS:
                    k += 1
                keys[j - run] = np.uint64(0) if k < depth - 1 else _key(ids, p, depth, width, bits)
            _close_run(keys, ranks, shared, run, i, depth, width, bits, stack, spare_keys, spare_ranks, places)


@kernel
def words_left(ids, order, left):
    """Write the number of words in the n-gram of each position: up to `order`, or to the `</s>`."""
    n = 1
    for p in range(ids.size - 1, -1, -1):
        n = 2 if ids[p] == EOS else min(n + 1, order)
        left[p] = n


@kernel
def measure(left, ranks, begin, end, lengths):
    """Write lengths[i] = left[ranks[i]]."""
    for i in range(begin, end):
        if i + _AHEAD < end:
            prefetch(left, np.int64(ranks[i + _AHEAD]))
        lengths[i] = left[ranks[i]]


@kernel
def invert(ranks, begin, end, places):
    """Write places[ranks[i]] = i."""
    for i in range(begin, end):
        places[ranks[i]] = i


@kernel
def suffix_ranks(ranks, places, begin, end, suffixes):
    """Write the rank of each position's successor; within one first word they climb, which later reads profit from."""
    for i in range(begin, end):
        if i + _AHEAD < end:
            prefetch(places, np.int64(ranks[i + _AHEAD]) + 1)
        suffixes[i] = places[np.int64(ranks[i]) + 1]


@kernel
def count_levels(shared, lengths, begin, end, order):
    """Count the distinct n-grams of each order that begin in a range of ranks, int64 (order + 1,)."""
    counts = np.zeros(order + 1, np.int64)
    for i in range(begin, end):
        for k in range(shared[i] + 1, lengths[i] + 1):
            counts[k] += 1
    return counts


@kernel
def link_level(
    k, begin, end, bos_begin, bos_end, first_node, ids, ranks, shared, lengths, suffixes, parents, owners,
    nodes, lower, lower_offset, adjusted, raw, occurrences, cutoff, first_parent, parent_dropped, excluded, dropped,
):  # fmt: skip
    """Write the trie's k-grams that begin in a range of ranks: words, suffix links, counts, and their parents' `begin`.

    Columns written here: 0 word, 1 suffix, 2 count, 4 begin (`lmkit.ngram.trie` names them all).

    Parameters
    ----------
    ids, ranks : ndarray
        Read for k = 2 only: later, the last word of an n-gram is that of its suffix.
    parents, owners : ndarray of uint32
        The node of order k - 1 and (written, unless it is empty) of order k that each rank belongs to.
    nodes, lower : ndarray of uint32, shape (nodes, columns)
        The records of the orders below k (row = node), and those of the k-grams (row = node - lower_offset).
    adjusted : bool
        Count by links: the adjusted count of an n-gram is the number of suffix links that point at it.
    raw : bool
        Count occurrences at this level. Those of `<s>`-initial n-grams are counted in any case: no link points at them.
    occurrences : ndarray of uint32
        Where all occurrences are written, for each node; empty: nowhere.
    parent_dropped, excluded, dropped : ndarray of uint8
        Which (k-1)-grams and words fell under a cut-off; `dropped` is written, where it is not empty.
    """
    node = first_node - 1
    start = begin
    for i in range(begin, end + 1):
        # Two waits for memory, one behind the other: the suffix's rank leads to its node, that to its record.
        if i + 2 * _AHEAD < end:
            if k > 2:
                prefetch(parents, np.int64(suffixes[i + 2 * _AHEAD]))
                prefetch(nodes, np.int64(parents[suffixes[i + _AHEAD]]) * 6)
            else:
                prefetch(ids, np.int64(ranks[i + 2 * _AHEAD]))
                prefetch(nodes, (np.int64(ids[ranks[i + _AHEAD]]) + 1) * 6)
        if i < end and shared[i] >= k:
            if owners.size:
                owners[i] = node
            continue
        if node >= first_node and start >= 0:  # the run of the newest node ends here
            count = i - start
            if raw or bos_begin <= start < bos_end:
                lower[node - lower_offset, 2] = count
            if occurrences.size:
                occurrences[node] = count
            if dropped.size:
                gone = count <= cutoff or parent_dropped[parents[start] - first_parent] != 0
                if excluded.size:
                    gone = gone or excluded[lower[node - lower_offset, 0]] != 0
                dropped[node - first_node] = gone
            start = -1
        if i == end:
            break
        if shared[i] < k - 1 and lengths[i] >= k - 1:
            nodes[parents[i], 4] = node + 1
        if lengths[i] >= k:
            node += 1
            start = i
            if k == 2:
                word = np.int64(ids[ranks[i]])
                suffix = word + 1
            else:
                suffix = np.int64(parents[suffixes[i]])
                word = np.int64(nodes[suffix, 0])
            lower[node - lower_offset, 0] = word
            lower[node - lower_offset, 1] = suffix
            if adjusted:
                atomic_increment(nodes, suffix * 6 + 2)
        if owners.size:
            owners[i] = node
