"""The longest parts that short texts have in common with a long one: a suffix automaton of the short ones, over which
the long one is read."""

from lmkit.kernels import kernel

__all__ = ["NONE", "build_automaton", "longest_suffixes", "read_text"]

NONE = 0  # a symbol that stands for no character, and a state that no transition leads to: the root


@kernel
def build_automaton(symbols, transitions, links, lengths):
    """Build the smallest automaton that accepts every suffix of a string (Blumer et al. 1985); return its size.

    Symbols are from 1 on; `NONE` stands between strings that are to be kept apart. `transitions` (states, symbols) is
    all zeros, and 2 len(symbols) + 1 states are enough. State v stands for all strings that end at the same places, the
    longest of which has `lengths[v]` symbols; without its first ones, the longest that ends at more places is state
    `links[v]`.
    """
    links[0] = -1
    lengths[0] = 0
    last, states = 0, 1
    for symbol in symbols:
        new = states
        states += 1
        lengths[new] = lengths[last] + 1
        v = last
        while v >= 0 and transitions[v, symbol] == NONE:
            transitions[v, symbol] = new
            v = links[v]
        last = new
        if v < 0:
            links[new] = 0
            continue
        q = transitions[v, symbol]
        if lengths[q] == lengths[v] + 1:
            links[new] = q
            continue
        clone = states
        states += 1
        lengths[clone] = lengths[v] + 1
        links[clone] = links[q]
        transitions[clone] = transitions[q]
        links[q] = links[new] = clone
        while v >= 0 and transitions[v, symbol] == q:
            transitions[v, symbol] = clone
            v = links[v]
    return states


@kernel
def read_text(text, classes, transitions, links, lengths, v, run, longest):
    """Read on in a text, and note the longest string of each state that is met; return state and length at its end.

    `text` holds code points, `classes` the symbol of each one there is. Before the text `v` and `run` are 0.
    """
    for character in text:
        symbol = classes[character]
        if symbol == NONE:
            v, run = 0, 0
            continue
        while v > 0 and transitions[v, symbol] == NONE:
            v = links[v]
            run = lengths[v]
        if transitions[v, symbol] != NONE:
            v = transitions[v, symbol]
            run += 1
            longest[v] = max(longest[v], run)
    return v, run


@kernel
def longest_suffixes(symbols, transitions, links, lengths, longest, by_length, suffixes):
    """Write, for each place of the string, how long the longest string is that ends there and was met in a text.

    `by_length` are the states in the order of their lengths.
    """
    for v in by_length[::-1]:
        if longest[v] > 0 and links[v] > 0:  # what was met ends with all of the linked state's strings
            longest[links[v]] = lengths[links[v]]
    for v in by_length:
        if longest[v] == 0 and links[v] > 0:
            longest[v] = longest[links[v]]
    v = 0
    for i, symbol in enumerate(symbols):
        v = transitions[v, symbol]
        suffixes[i] = longest[v]
