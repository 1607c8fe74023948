"""Bytes to token spans to ids, and back.

A block of text is a uint8 array with PAD zeros of slack after its end, or more text after a newline, so that eight or
sixty-four bytes are read at once without a look at the bounds. A token is a span: where it starts and how many bytes
long it is. Length 0 is the joiner, length -1 the end of a sentence. Splitters fill arrays of spans and can be called
again to go on. All kernels here do without Numba's reference counts (`_nrt`): inside the loops they took five times as
long as the work.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic, register_jitable

from lmkit.kernels import kernel
from lmkit.kernels.memory import load64, store64

__all__ = [
    "PAD", "ROOM", "count_newlines", "decode", "encode_bytes", "inspect_utf8", "sentence_ends", "split_characters",
    "split_whitespace", "split_words", "token_kinds",
]  # fmt: skip

ROOM = 9  # what `decode` needs beyond a token: a blank before it, and whole words to write
PAD = 64
UNK, EOS, FIRST_TOKEN = 0, 2, 3  # as in lmkit.model, the id after the reserved ones; a test compares them

# Classes of code points, in the order of the letters of lmkit/text/classes.py.
GLUE, LETTER, DIGIT, EXTEND, IDEOGRAPH, OPEN, CLOSE, HYPHEN, SYMBOL = range(9)
APOSTROPHE, POINT, QUOTE, NEWLINE, RETURN, BLANK = range(9, 15)
FILL = BLANK  # as the kind of a token: bytes that leave the spacing as it was


def _matcher(values):
    """Return an instruction: bit k of its result is set where array[index + k] is one of the values."""

    @intrinsic
    def match(typingctx, array, index):
        def codegen(context, builder, signature, args):
            pointer = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0]).data
            vector = ir.VectorType(ir.IntType(8), 64)
            address = builder.bitcast(builder.gep(pointer, [args[1]]), vector.as_pointer())
            block = builder.load(address, align=1)
            mask = None
            for value in values:
                equal = builder.icmp_unsigned("==", block, ir.Constant(vector, [value] * 64))
                mask = equal if mask is None else builder.or_(mask, equal)
            return builder.bitcast(mask, ir.IntType(64))

        return types.uint64(array, types.intp), codegen

    return match


separators64 = _matcher(b"\0\t\n\r ")
newlines64 = _matcher(b"\n")


@intrinsic
def bit_count(typingctx, word):
    """Count the bits of a uint64 that are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@kernel(_nrt=False)
def count_newlines(block, size):
    """Return the number of newlines in the first `size` bytes."""
    n = 0
    i = 0
    while i + 64 <= size:
        n += np.int64(bit_count(newlines64(block, i)))
        i += 64
    while i < size:
        n += np.int64(block[i] == 10)
        i += 1
    return n


@register_jitable
def code_point(block, i, end):
    """Return the code point at byte i and its length; a byte that is not UTF-8 is U+DC00 plus its value."""
    b = np.int64(block[i])
    if b < 0x80:
        return b, 1
    n = 2 if 0xC2 <= b < 0xE0 else 3 if 0xE0 <= b < 0xF0 else 4 if 0xF0 <= b < 0xF5 else 0
    if n == 0 or i + n > end:
        return 0xDC00 + b, 1
    code = b & (0x7F >> n)
    for j in range(1, n):
        following = np.int64(block[i + j])
        if following & 0xC0 != 0x80:
            return 0xDC00 + b, 1
        code = code << 6 | following & 0x3F
    if (n == 3 and (code < 0x800 or 0xD800 <= code < 0xE000)) or (n == 4 and not 0x10000 <= code < 0x110000):
        return 0xDC00 + b, 1
    return code, n


@kernel(_nrt=False)
def inspect_utf8(block, size):
    """Return the number of characters, a byte that is not UTF-8 being one, and the first such byte or -1."""
    high = np.uint64(0x8080808080808080)
    characters = 0
    bad = -1
    i = 0
    while i < size:
        if load64(block, i) & high == 0 and i + 8 <= size:
            i += 8
            characters += 8
            continue
        code, n = code_point(block, i, size)
        if bad < 0 and 0xDC80 <= code < 0xDD00:
            bad = i
        i += n
        characters += 1
    return characters, bad


@kernel(_nrt=False)
def span_characters(block, starts, lengths, characters):
    """Write the number of characters of each span, a byte that is not UTF-8 being one."""
    for k in range(len(starts)):
        i = starts[k]
        end = i + lengths[k]
        n = 0
        while i < end:
            i += code_point(block, i, end)[1]
            n += 1
        characters[k] = n


@kernel(_nrt=False)
def sentence_ends(block, size, paragraphs, state, ends):
    """Write the positions before which a sentence has ended; return their number and the state.

    With lines, that is after each newline. With paragraphs it is where a line that is not blank follows blank
    ones that follow one that is not: states 1 (a line), 2 (blank lines after it), 0 (neither yet).
    """
    n = 0
    line = 0
    for i in range(0, size, 64):
        mask = newlines64(block, i)
        while mask != 0:
            newline = min(i + np.int64(trailing_zeros(mask)), size)
            mask &= mask - np.uint64(1)
            if newline == size:
                break
            if paragraphs:
                state, new = _paragraph_state(block, line, newline, state)
                if new:
                    ends[n] = line
                    n += 1
            else:
                ends[n] = newline + 1
                n += 1
            line = newline + 1
    if paragraphs and line < size:
        state, new = _paragraph_state(block, line, size, state)
        if new:
            ends[n] = line
            n += 1
    return n, state


@register_jitable(forceinline=True)
def _paragraph_state(block, i, end, state):
    while i < end and (block[i] == 32 or block[i] == 9 or block[i] == 13):
        i += 1
    if i < end:
        return 1, state == 2
    return (2 if state == 1 else state), False


@register_jitable(forceinline=True)
def _emit_ends(ends, e, position, starts, lengths, n):
    """Write a sentence end for each of the ends that is not after the position, while there is room."""
    while e < len(ends) and ends[e] <= position and n < len(starts):
        starts[n] = ends[e]
        lengths[n] = -1
        n += 1
        e += 1
    return e, n


@kernel(_nrt=False)
def split_whitespace(block, size, i, ends, e, starts, lengths):
    """Cut at NUL, tab, newline, return and blank. Return the spans written, and where to go on: byte and end.

    Looks at 64 bytes at a time: the bits where text and white space meet are the starts and ends of tokens in turn.
    """
    one = np.uint64(1)
    n = 0
    start = -1
    before = one
    while i < size and n + 192 <= len(starts):
        if start < 0:
            e, n = _emit_ends(ends, e, i, starts, lengths, n)
        mask = separators64(block, i)
        edges = mask ^ (mask << one | before)
        before = mask >> np.uint64(63)
        while edges != 0:
            position = i + np.int64(trailing_zeros(edges))
            edges &= edges - one
            if start >= 0:
                starts[n] = start
                lengths[n] = min(position, size) - start
                n += 1
                start = -1
            elif position < size:
                e, n = _emit_ends(ends, e, position, starts, lengths, n)
                start = position
        i += 64
    if i >= size:
        i = size
        if start >= 0:
            starts[n] = start
            lengths[n] = size - start
            n += 1
        e, n = _emit_ends(ends, e, i, starts, lengths, n)
    elif start >= 0:
        i = start
    return n, i, e


@kernel(_nrt=False)
def split_characters(block, size, i, ends, e, starts, lengths):
    """Cut after each code point; returns as `split_whitespace`."""
    n = 0
    while n < len(starts):
        if e < len(ends) and ends[e] <= i:
            e, n = _emit_ends(ends, e, i, starts, lengths, n)
            continue
        if i == size:
            break
        _, length = code_point(block, i, size)
        starts[n] = i
        lengths[n] = length
        n += 1
        i += length
    return n, i, e


@register_jitable(forceinline=True)
def _class_at(block, i, end, classes):
    """The class of the code point at byte i and its length; GLUE and 0 at the end."""
    if i >= end:
        return GLUE, 0
    if block[i] < 128:
        return np.int64(classes[block[i]]), 1
    code, n = code_point(block, i, end)
    return np.int64(classes[code]), n


@register_jitable(forceinline=True)
def _token_end(block, i, end, classes):
    """Return the kind of the token that starts with the byte i, which is no blank, and where it ends.

    A word is letters, digits and marks, with apostrophes before, inside or after it (one at a place), and with points
    and commas between digits. All else is one character with its marks; return and newline together are one.
    """
    kind, n = _class_at(block, i, end, classes)
    i += n
    if kind == NEWLINE:
        return kind, i
    if kind == RETURN:
        if i < end and block[i] == 10:
            return NEWLINE, i + 1
        kind = GLUE
    following, n = _class_at(block, i, end, classes)
    if kind == APOSTROPHE and (following in (LETTER, DIGIT)):
        kind = LETTER
    if kind < LETTER or kind > EXTEND:
        while following == EXTEND:
            i += n
            following, n = _class_at(block, i, end, classes)
        return kind, i
    last = kind
    while True:
        if following == APOSTROPHE or (following == POINT and last == DIGIT):
            after, m = _class_at(block, i + n, end, classes)
            if following == POINT and after != DIGIT:
                return LETTER, i
            i += n
            if after not in (LETTER, DIGIT):
                return LETTER, i
            following, n = after, m
        if following < LETTER or following > EXTEND:
            return LETTER, i
        last = following
        i += n
        following, n = _class_at(block, i, end, classes)


@register_jitable(forceinline=True)
def _spacing(rules, left, quoted, kind):
    """Return whether a blank is expected before a token of this kind, and what the next one needs to know.

    A straight double quote opens or closes in turn; a blank line makes the next one open.
    """
    if kind == QUOTE:
        kind = CLOSE if quoted else OPEN
        quoted = 1 - quoted
    elif kind == NEWLINE and left == NEWLINE:
        quoted = 0
    return np.int64(rules[left, kind]), kind, quoted


@kernel(_nrt=False)
def split_words(block, size, i, ends, e, left, quoted, hold, alone, classes, rules, starts, lengths):
    """Cut into words, symbols, newlines, and joiners and blanks where the text departs from the rules.

    `left` and `quoted` say what stands before the text (see `_spacing`). With `hold` one blank at the very end is left
    out where the rules would put one before a word. With `alone` no quote stays open over a sentence end. Returns as
    `split_whitespace`, then left and quoted.
    """
    n = 0
    while n + 2 <= len(starts):
        if e < len(ends) and ends[e] <= i:
            e, n = _emit_ends(ends, e, i, starts, lengths, n)
            if alone:
                quoted = 0
            continue
        if i == size:
            break
        start = i
        while i < size and block[i] == 32:
            i += 1
        blanks = i - start
        if i == size:
            excess = blanks - (hold & np.int64(rules[left, LETTER]))
        else:
            kind, end = _token_end(block, i, size, classes)
            expected, left, quoted = _spacing(rules, left, quoted, kind)
            excess = blanks - expected
        if excess != 0:
            starts[n] = start
            lengths[n] = max(excess, 0)
            n += 1
        if i < size:
            starts[n] = i
            lengths[n] = end - i
            n += 1
            i = end
    return n, i, e, left, quoted


@kernel(_nrt=False)
def token_kinds(pool, offsets, classes, kinds):
    """Write the kind of each token: what `_spacing` needs to know of it."""
    for token in range(len(kinds)):
        i = offsets[token]
        end = offsets[token + 1]
        while i < end and pool[i] == 32:
            i += 1
        if i < end:
            kind, _ = _token_end(pool, i, end, classes)
            kinds[token] = kind
        else:
            kinds[token] = FILL if end > offsets[token] else GLUE


@kernel(_nrt=False)
def encode_bytes(block, size, ends, ids, counts):
    """Write the id of each byte and EOS for each of the ends; count the bytes where counts has rows.

    It has four, to be added: counting runs of one byte in one place waits for each store.
    """
    n = 0
    i = 0
    for e in range(len(ends) + 1):
        end = ends[e] if e < len(ends) else size
        for k in range(i, end):
            ids[n + k - i] = np.int32(FIRST_TOKEN) + np.int32(block[k])
        n += end - i
        i = end
        if e < len(ends):
            ids[n] = EOS
            n += 1
    if len(counts) == 4:
        for k in range(size):
            counts[k & 3, block[k]] += 1


@kernel(_nrt=False)
def decode(ids, i, pool, offsets, kinds, rules, left, quoted, out):
    """Write the bytes of the tokens from number i on, while there is room, with the blanks that rules expect.

    `out` needs ROOM bytes more than the longest token. An id that is none counts as UNK. Returns where to go on, the
    bytes written, left and quoted.
    """
    n = 0
    while i < len(ids):
        token = np.int64(ids[i])
        if token < 0 or token >= len(kinds):
            token = UNK
        start = offsets[token]
        length = offsets[token + 1] - start
        if n + length + ROOM > len(out):
            break
        kind = np.int64(kinds[token])
        if kind != FILL:
            expected, left, quoted = _spacing(rules, left, quoted, kind)
            if expected:
                out[n] = 32
                n += 1
        for k in range(0, length, 8):  # whole words, as the pool is padded and out has room: most tokens take one
            store64(out, n + k, load64(pool, start + k))
        n += length
        i += 1
    return i, n, left, quoted
