"""Rolling the weighted die of an n-gram model without looking at the vocabulary. Records: see `lmkit.ngram.trie`."""

import math

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.ngram_walk import (
    DIRECT,
    ask_context,
    ask_range,
    children,
    find_child,
    first_child,
    narrow,
    node_with_children,
    record,
    refuses,
    spoken_mass,
)
from lmkit.kernels.random import random_bits

__all__ = ["draw", "speak", "speak_backing_off"]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
_LANES = 24  # streams that are drawn in turns: while one waits for memory, the others work
_REJECTIONS = 16  # of banned tokens, until the caller has to draw from the full distribution

_OPEN, _LEAVE, _PICK, _SEEK, _MATCH, _IDLE = range(6)  # what a lane does in its next turn: see `draw`
_BEYOND = 1 << 32  # no mass reaches it


@kernel
def draw(
    nodes, leaves, alias, order, begin_state, uniform_tail, interpolates, banned, keys, counters, states, t, ids, done,
    after, levels,
):  # fmt: skip
    """Draw t tokens for each stream, exactly from the model, `_LANES` streams in turns.

    In context c one uniform number says both whether the discounted counts of c speak (probability 1 - gamma) and which
    child: the first whose cumulated mass exceeds it. Otherwise the shorter context rolls anew; the unigrams answer by
    their alias table. Then the longest context of history and token is looked up.

    Where a model backs off, the masses of a context may be all of its children's probabilities. Then these speak with
    the mass of the last one, and the context refuses them from the shorter one (`lmkit.kernels.ngram_walk.refuses`).
    As that may ask a still shorter one, a word that is refused is drawn anew from where it was refused, by the shortest
    context that refuses it.

        _OPEN   read the context's record and roll  -> _PICK | _OPEN a shorter one | drawn (unigrams, add-k)
                where the model backs off           -> _PICK | _LEAVE | drawn
        _LEAVE  compare the mass of all children    -> _PICK | _OPEN a shorter one
        _PICK   narrow its children by mass         -> _PICK | drawn
        drawn   from the first context, or `</s>`   -> known: the child found is the next state
                else, or `</s>` may be refused      -> _SEEK
        _SEEK   the longer contexts, few children   -> known, or the child drawn | _MATCH where there are many
        _MATCH  narrow its children by word         -> _MATCH | _SEEK
        known   refused                             -> _OPEN the context after that one
                banned                              -> _OPEN the first context again

    Parameters
    ----------
    uniform_tail : bool
        What a context spares goes to all words but `<s>` equally (add-k), not to the shorter context.
    interpolates : bool
        No context refuses anything.
    banned : ndarray of uint8, shape (V,)
        Tokens that are rejected and drawn anew. After `_REJECTIONS` of them, or of refused ones, a stream stops for the
        caller's help: done[i] < t tells where.
    keys, counters : ndarray of uint64
        The streams' random numbers (`lmkit.uniforms`); the counters move on.
    states, after : ndarray of uint32; ids : ndarray of int32 (streams, t); done : ndarray of int64
        `done` is read as where to go on, and written.
    levels : ndarray of int64
        Where a stream stopped for help: how many contexts have left the token to the next shorter one, which then named
        none but refused words; 0 where the last word was banned.
    """
    streams = states.size
    v = alias.shape[0]
    last = nodes.shape[0] - 2
    node_floats = nodes.view(np.float32)
    lanes = min(_LANES, streams)
    stream = np.arange(lanes)
    phase = np.full(lanes, _OPEN)
    path = np.zeros((lanes, order + 2), np.int64)  # the state and the shorter contexts that were asked
    context = np.empty(lanes, np.int64)  # the one that is asked, or has spoken
    level = np.zeros(lanes, np.uint32)  # where on the path it is
    sought = np.zeros(lanes, np.uint32)  # of the path: where `_SEEK` is
    low, high = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    target = np.zeros(lanes, np.int64)
    word, child = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    longest = np.zeros(lanes, np.int64)  # the child of the longest context that knows the word, if `_SEEK` met any
    refusing = np.zeros(lanes, np.int64)  # the level after the last one of the path that refuses words, or 0
    refused = np.zeros(lanes, np.int64)  # the level after the last one that refuses this word, or 0
    rejections = np.zeros(lanes, np.int64)
    for lane in range(lanes):
        path[lane, 0] = context[lane] = min(np.int64(states[lane]), last)
    upcoming = lanes
    busy = lanes
    while busy:
        for lane in range(lanes):
            if phase[lane] == _IDLE:
                continue
            s = stream[lane]
            if done[s] >= t or rejections[lane] > _REJECTIONS:
                after[s] = node_with_children(nodes, path[lane, 0]) if done[s] >= t else path[lane, 0]
                levels[s] = level[lane]
                if upcoming < streams:
                    stream[lane], phase[lane] = upcoming, _OPEN
                    path[lane, 0] = context[lane] = min(np.int64(states[upcoming]), last)
                    level[lane] = refusing[lane] = rejections[lane] = 0
                    upcoming += 1
                else:
                    busy, phase[lane] = busy - 1, _IDLE
                continue
            drawn = False
            if phase[lane] == _LEAVE:
                if record(nodes, leaves, high[lane] - 1, 3) >= target[lane]:
                    phase[lane] = _PICK
                    ask_range(nodes, leaves, low[lane], high[lane])
                    continue
                c = context[lane]
                level[lane] += 1
                path[lane, level[lane]] = context[lane] = min(np.int64(nodes[c, 1]), last)
                if refuses(nodes, leaves, c, low[lane], high[lane]):
                    refusing[lane] = level[lane]
                phase[lane] = _OPEN
            if phase[lane] == _OPEN:
                c = context[lane]
                bits = random_bits(keys[s], counters[s] + np.uint64(1))
                roll = np.int64(bits >> np.uint64(32))
                if c == 0 or level[lane] > order:
                    counters[s] += np.uint64(1)
                    word[lane] = unigram(alias, bits)
                    child[lane] = 1 + word[lane]
                    drawn = True
                else:
                    low[lane], high[lane] = children(nodes, leaves, c)
                    suffix = min(np.int64(nodes[c, 1]), last)
                    if low[lane] < high[lane]:  # else no context: on to its suffix, at no cost
                        counters[s] += np.uint64(1)
                        target[lane] = roll + 1  # of the cumulated masses, the first that exceeds the roll
                        if roll < (1.0 - math.exp(node_floats[c, 5])) * 4294967296.0:
                            phase[lane] = _PICK
                            ask_range(nodes, leaves, low[lane], high[lane])
                            continue
                        few = high[lane] - low[lane] <= DIRECT
                        if few or not interpolates:  # for `_SEEK` and `_LEAVE`
                            ask_range(nodes, leaves, low[lane] if few else high[lane] - 1, high[lane])
                        if not interpolates:
                            phase[lane] = _LEAVE
                            ask_context(nodes, suffix)
                            continue
                        if uniform_tail:
                            w = np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(v - 1)) >> np.uint64(32))
                            word[lane] = w + 1 if w >= BOS else w
                            child[lane] = 1 + word[lane]
                            drawn = True
                            while suffix and level[lane] < order:  # they are not asked, but may know the word
                                level[lane] += 1
                                path[lane, level[lane]] = suffix
                                suffix = min(np.int64(nodes[suffix, 1]), last)
                    level[lane] += 1
                    path[lane, level[lane]] = context[lane] = suffix
                    if not drawn:
                        ask_context(nodes, suffix)
                        continue
            elif high[lane] - low[lane] > DIRECT:
                column, goal = (3, target[lane]) if phase[lane] == _PICK else (0, word[lane])
                low[lane], high[lane] = narrow(nodes, leaves, column, goal, low[lane], high[lane])
                ask_range(nodes, leaves, low[lane], high[lane])
                continue
            elif phase[lane] == _PICK:
                at = first_child(nodes, leaves, 3, target[lane], low[lane], high[lane])
                if at >= high[lane]:  # rounding
                    c = context[lane]
                    if not interpolates and node_floats[c, 5] != -np.inf:
                        low[lane], high[lane] = children(nodes, leaves, c)
                        target[lane], phase[lane] = _BEYOND, _LEAVE
                        continue
                    at = high[lane] - 1
                word[lane], child[lane] = min(record(nodes, leaves, at, 0), v - 1), at
                drawn = True
            found = np.int64(0)
            if drawn:
                sought[lane] = longest[lane] = refused[lane] = 0
                phase[lane] = _SEEK
                if level[lane] == 0 or (word[lane] == EOS and refusing[lane] == 0):
                    found = child[lane]
            while found == 0:  # which of the longer contexts know the token too, and which of them refuse it?
                if phase[lane] == _SEEK:
                    if sought[lane] >= (refusing[lane] if longest[lane] else level[lane]):
                        found = longest[lane] if longest[lane] else child[lane]
                        break
                    low[lane], high[lane] = children(nodes, leaves, path[lane, sought[lane]])
                    if high[lane] - low[lane] > DIRECT:
                        ask_range(nodes, leaves, low[lane], high[lane])
                        phase[lane] = _MATCH
                        break
                # Its children were asked for when it was rolled, or narrowed down.
                at = first_child(nodes, leaves, 0, word[lane], low[lane], high[lane])
                if at < high[lane] and record(nodes, leaves, at, 0) == word[lane]:
                    if longest[lane] == 0:
                        longest[lane] = at
                    if sought[lane] < refusing[lane]:
                        c = path[lane, sought[lane]]
                        all_low, all_high = children(nodes, leaves, c)
                        if refuses(nodes, leaves, c, all_low, all_high):
                            refused[lane] = sought[lane] + 1
                sought[lane] += 1
                phase[lane] = _SEEK
            if found == 0:
                continue
            phase[lane] = _OPEN
            if refused[lane] or banned[word[lane]]:
                rejections[lane] += 1
                level[lane] = refusing[lane] = refused[lane]
                context[lane] = path[lane, level[lane]]
                continue
            ids[s, done[s]] = word[lane]
            done[s] += 1
            if word[lane] == EOS:
                state = np.int64(begin_state)
            elif found <= last:
                state = found
            else:
                state = min(np.int64(leaves[found - last - 1, 1]), last)
            path[lane, 0] = context[lane] = state
            level[lane] = refusing[lane] = rejections[lane] = 0
            ask_context(nodes, state)


@helper
def unigram(alias, bits):
    """Return a word by the alias table of the unigrams (Walker 1977): a column, and which of its two words."""
    v = alias.shape[0]
    column = np.int64(((bits >> np.uint64(32)) * np.uint64(v)) >> np.uint64(32))
    heads = (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
    return column if heads else min(np.int64(alias[column, 1]), v - 1)


@helper
def speak(nodes, leaves, alias, order, uniform_tail, state, key, counters, stream):
    """Return one token, drawn as `draw` does, with the same numbers: for who has few streams, or other work between."""
    v, last = alias.shape[0], nodes.shape[0] - 2
    c = min(np.int64(state), last)
    for _ in range(order + 1):
        if c == 0:
            break
        low, high = children(nodes, leaves, c)
        if low < high:
            counters[stream] += np.uint64(1)
            bits = random_bits(key, counters[stream])
            roll = np.int64(bits >> np.uint64(32))
            if roll < (1.0 - math.exp(nodes.view(np.float32)[c, 5])) * 4294967296.0:
                while high - low > DIRECT:
                    low, high = narrow(nodes, leaves, 3, roll + 1, low, high)
                at = min(first_child(nodes, leaves, 3, roll + 1, low, high), high - 1)
                return min(record(nodes, leaves, at, 0), v - 1)
            if uniform_tail:
                w = np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(v - 1)) >> np.uint64(32))
                return w + 1 if w >= BOS else w
        c = min(np.int64(nodes[c, 1]), last)
    counters[stream] += np.uint64(1)
    bits = random_bits(key, counters[stream])
    return unigram(alias, bits)


@helper
def speak_backing_off(nodes, leaves, alias, order, path, banned, key, counters, stream):
    """Draw one token as `draw` does where a model backs off: return its node, the longest that knows it, and 0.

    Where that needs help, 0 and the level: see `levels` there. path[0] is the state, the rest work space for `order`
    more.
    """
    last = nodes.shape[0] - 2
    level = 0
    for _ in range(_REJECTIONS + 1):
        child = _speak(nodes, leaves, alias, path, level, key, counters, stream)
        while child == 0:
            level += 1
            path[level] = min(np.int64(nodes[path[level - 1], 1]), last) if level < order else 0
            child = _speak(nodes, leaves, alias, path, level, key, counters, stream)
        word = min(record(nodes, leaves, child, 0), alias.shape[0] - 1)
        known, refused = False, -1
        for j in range(level):  # the longest context that knows it has the next state, the shortest refuses first
            low, high = children(nodes, leaves, path[j])
            found = find_child(nodes, leaves, low, high, word)
            if found:
                if refuses(nodes, leaves, path[j], low, high):
                    refused = j
                if not known:
                    child, known = found, True
        if refused < 0 and not banned[word]:
            return child, 0
        level = refused + 1
    return np.int64(0), level


@helper
def _speak(nodes, leaves, alias, path, level, key, counters, stream):
    """Return the child that the context path[level] names by itself, 0 if it leaves it to the shorter one."""
    c = path[level]
    low, high = children(nodes, leaves, c)
    if c and low >= high:
        return np.int64(0)
    counters[stream] += np.uint64(1)
    bits = random_bits(key, counters[stream])
    roll = np.int64(bits >> np.uint64(32))
    if c == 0:
        return 1 + unigram(alias, bits)
    all_of_it = nodes.view(np.float32)[c, 5] == -np.inf
    if not all_of_it and roll >= spoken_mass(nodes, c) and roll >= record(nodes, leaves, high - 1, 3):
        return np.int64(0)
    end = high
    while high - low > DIRECT:
        low, high = narrow(nodes, leaves, 3, roll + 1, low, high)
    child = first_child(nodes, leaves, 3, roll + 1, low, high)
    if child < end:
        return child
    return end - 1 if all_of_it else np.int64(0)  # rounding
