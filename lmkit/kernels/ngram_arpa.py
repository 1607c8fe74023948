"""ARPA files: n-grams as lines of text, from and to arrays. Records: see `lmkit.ngram.trie`."""

import math

import numpy as np

from lmkit.kernels import helper, kernel

__all__ = ["parse_lines", "write_lines"]

NEWLINE, RETURN, TAB, BLANK, POINT, MINUS, PLUS, ZERO = 10, 13, 9, 32, 46, 45, 43, 48
LOWEST = -99.0  # log10 of no probability at all, as every toolkit writes it
LEAST = -1e38  # log10 of the smallest probability above 0 whose natural logarithm float32 holds
MOST_BACKOFF = 9.0  # log10: numbers of seven digits make no larger weight, and products of 31 stay within float64
EXACT = 1e17  # whole numbers up to ten times that are read digit by digit; further digits only count
POWERS = 400  # further powers of ten are 0 or infinite
DIGITS = 10_000_000  # behind the point: what float32 holds
ROUNDING = 1e-6  # what a logarithm of one may be above 0
ROOM = 32  # bytes that a number and what stands around it may take
LOG10_E = 1 / math.log(10)


@helper
def write_number(out, at, natural):
    """Write a natural logarithm as one to the base 10; return where it ends."""
    x = max(natural * LOG10_E, LOWEST) if natural == natural else LOWEST
    if x < 0:
        out[at] = MINUS
        at += 1
        x = -x
    scaled = np.int64(x * DIGITS + 0.5)
    whole, part = scaled // DIGITS, scaled % DIGITS
    if whole >= 10:
        out[at] = ZERO + whole // 10
        at += 1
    out[at] = ZERO + whole % 10
    at += 1
    if part:
        out[at] = POINT
        at += 1
        place = DIGITS // 10
        while part:
            out[at] = ZERO + part // place
            part %= place
            place //= 10
            at += 1
    return at


@kernel
def write_lines(k, node, end, firsts, nodes, leaves, pool, offsets, out):
    """Write the lines of the k-grams from `node` on, until there are no more or `out` is full.

    Parameters
    ----------
    firsts : array of int64
        The first node of each level, the root's first, and the end.
    pool, offsets : the names of the words
    out : array of uint8

    Returns
    -------
    node, bytes : int
        The first node that is not written, and how long the text is.
    """
    internal = nodes.shape[0] - 1
    node_floats, leaf_floats = nodes.view(np.float32), leaves.view(np.float32)
    path = np.zeros(k + 1, np.int64)
    path[k] = node
    for j in range(k - 1, 0, -1):  # the parent: the last node that begins at or before its child
        low, high = firsts[j], firsts[j + 1]
        while high - low > 1:
            middle = (low + high) >> 1
            if np.int64(nodes[middle, 4]) <= path[j + 1]:
                low = middle
            else:
                high = middle
        path[j] = low
    at = 0
    while node < end:
        path[k] = node
        for j in range(k - 1, 0, -1):
            while np.int64(nodes[path[j] + 1, 4]) <= path[j + 1]:
                path[j] += 1
        length = 2 * ROOM + k
        for j in range(1, k + 1):
            word = np.int64(nodes[path[j], 0] if path[j] < internal else leaves[path[j] - internal, 0])
            length += offsets[word + 1] - offsets[word]
        if at + length > out.size:
            break
        log_p = node_floats[node, 2] if node < internal else leaf_floats[node - internal, 2]
        at = write_number(out, at, min(log_p, 0.0))  # no reader takes more, which backing off may give to a context
        for j in range(1, k + 1):
            out[at] = TAB if j == 1 else BLANK
            at += 1
            word = np.int64(nodes[path[j], 0] if path[j] < internal else leaves[path[j] - internal, 0])
            for i in range(offsets[word], offsets[word + 1]):
                out[at] = pool[i]
                at += 1
        if node < internal:  # readers take lines without a weight for n-grams of the highest order
            out[at] = TAB
            at = write_number(out, at + 1, node_floats[node, 5])
        out[at] = NEWLINE
        at += 1
        node += 1
    return node, at


@helper
def read_number(block, at, end):
    """Return the number that stands in block[at:end], NaN for what is none."""
    sign, value, digits = 1.0, 0.0, 0
    if at < end and (block[at] == MINUS or block[at] == PLUS):
        sign = -1.0 if block[at] == MINUS else 1.0
        at += 1
    if end - at == 3 and (block[at] | 32) == 105 and (block[at + 1] | 32) == 110 and (block[at + 2] | 32) == 102:
        return sign * np.inf
    exponent = 0
    while at < end and ZERO <= block[at] < ZERO + 10:
        if value < EXACT:
            value = value * 10 + (block[at] - ZERO)
        else:
            exponent += 1
        digits += 1
        at += 1
    if at < end and block[at] == POINT:
        at += 1
        while at < end and ZERO <= block[at] < ZERO + 10:
            if value < EXACT:
                value = value * 10 + (block[at] - ZERO)
                exponent -= 1
            digits += 1
            at += 1
    if digits and at < end and (block[at] | 32) == 101:  # e
        at += 1
        down = at < end and block[at] == MINUS
        at += at < end and (block[at] == MINUS or block[at] == PLUS)
        power, found = 0, at < end
        while at < end and ZERO <= block[at] < ZERO + 10:
            power = min(power * 10 + (block[at] - ZERO), 1 << 30)
            at += 1
        if not found:
            return np.nan
        exponent += -power if down else power
    if at != end or not digits:
        return np.nan
    return sign * value * 10.0 ** min(max(exponent, -POWERS), POWERS) if value else 0.0


@helper
def read_logarithm(block, at, end):
    """Return a number as `read_number` does; one that float32 cannot hold as a natural logarithm is -inf."""
    value = read_number(block, at, end)
    return -np.inf if value < LEAST else value


@helper
def use_small_letters(block, at, end):
    """Write <UNK>, <S> and </S>, which other toolkits have in capitals, in small letters."""
    length = end - at
    if not 3 <= length <= 5 or block[at] != 60 or block[end - 1] != 62:
        return
    s = at + 2 if length == 4 and block[at + 1] == 47 else at + 1
    single = end - 1 - s == 1 and block[s] == 83
    if single or (length == 5 and block[s] == 85 and block[s + 1] == 78 and block[s + 2] == 75):
        for i in range(s, end - 1):
            block[i] |= 32


@kernel
def parse_lines(block, at, size, k, starts, lengths, log_p, backoffs):
    """Read the lines of a section until a blank line or one that begins with a backslash.

    A line is log10 p, k words, and maybe log10 of the back-off weight, with blanks or tabs between them. Reserved words
    in capitals are changed in the block to the small letters that stand in vocabularies.

    Parameters
    ----------
    starts, lengths : array of int64, (n k,)
        Written: where the words stand in the block.
    log_p, backoffs : array of float64, (n,)
        Written; a line without back-off weight has 0.

    Returns
    -------
    lines, at, mistake : int
        Lines read; where the rest begins: the end of the block, or of the section, or the line that is wrong; and what
        is wrong with it: 1 the number of words, 2 no number, 3 a probability above one, 4 no back-off weight, 5 too
        large a one.
    """
    spans = np.empty((k + 3, 2), np.int64)
    n = 0
    while at < size and n < log_p.size:
        end = at
        while end < size and block[end] != NEWLINE:
            end += 1
        count, i = 0, at
        while i < end:
            while i < end and (block[i] == BLANK or block[i] == TAB or block[i] == RETURN):
                i += 1
            start = i
            while i < end and block[i] != BLANK and block[i] != TAB and block[i] != RETURN:
                i += 1
            if i > start and count < k + 3:
                spans[count, 0], spans[count, 1] = start, i
                count += 1
        if count == 0 or (block[spans[0, 0]] == 92 and count < 2):
            return n, at, 0
        if count < k + 1 or count > k + 2:
            return n, at, 1
        value = read_logarithm(block, spans[0, 0], spans[0, 1])
        if value != value:
            return n, at, 2
        if value > ROUNDING:
            return n, at, 3
        log_p[n] = min(value, 0.0)
        backoffs[n] = 0.0
        if count == k + 2:
            backoffs[n] = read_logarithm(block, spans[k + 1, 0], spans[k + 1, 1])
            if backoffs[n] != backoffs[n]:
                return n, at, 4
            if backoffs[n] > MOST_BACKOFF:
                return n, at, 5
        for j in range(k):
            use_small_letters(block, spans[j + 1, 0], spans[j + 1, 1])
            starts[n * k + j] = spans[j + 1, 0]
            lengths[n * k + j] = spans[j + 1, 1] - spans[j + 1, 0]
        n += 1
        at = min(end + 1, size)
    return n, at, 0
