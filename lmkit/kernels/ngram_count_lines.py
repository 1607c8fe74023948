"""Lines of n-gram counts: words with blanks between them, a tab, a number."""

import numpy as np

from lmkit.kernels import kernel

__all__ = ["LARGEST", "parse_counts"]

NEWLINE, RETURN, TAB, BLANK, ZERO = 10, 13, 9, 32, 48
LARGEST = 4294967295  # what a trie holds


@kernel
def parse_counts(block, at, size, most, starts, lengths, orders, counts):
    """Read lines until the end of the block, or until the arrays are full, or until one is wrong.

    Parameters
    ----------
    most : int
        The most words of an n-gram.
    starts, lengths : array of int64
        Written: where the words of all lines stand.
    orders, counts : array of int64, (n,)
        Written: words of each line, 0 for an empty one; its number.

    Returns
    -------
    lines, words, at, mistake : int
        Lines and words read; where the rest begins; what is wrong with the line there: 1 no tab, 2 no whole number, 3
        too large a number, 4 the number of words.
    """
    n, w = 0, 0
    while at < size and n < orders.size and w + most <= starts.size:
        end = at
        while end < size and block[end] != NEWLINE:
            end += 1
        last = end
        while last > at and block[last - 1] == RETURN:
            last -= 1
        orders[n], counts[n] = 0, 0
        if last > at:
            tab = last - 1
            while tab >= at and block[tab] != TAB:
                tab -= 1
            if tab < at:
                return n, w, at, 1
            value, i = np.int64(0), tab + 1
            if i == last:
                return n, w, at, 2
            while i < last:
                if block[i] < ZERO or block[i] > ZERO + 9:
                    return n, w, at, 2
                value = value * 10 + (block[i] - ZERO)
                if value > LARGEST:
                    return n, w, at, 3
                i += 1
            words, i = 0, at
            while i < tab:
                while i < tab and (block[i] == BLANK or block[i] == TAB):
                    i += 1
                start = i
                while i < tab and block[i] != BLANK and block[i] != TAB:
                    i += 1
                if i > start:
                    if words == most:
                        return n, w, at, 4
                    starts[w + words], lengths[w + words] = start, i - start
                    words += 1
            if words == 0:
                return n, w, at, 4
            orders[n], counts[n] = words, value
            w += words
        n += 1
        at = min(end + 1, size)
    return n, w, at, 0
