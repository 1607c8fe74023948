"""Token spans to ids: a hash table whose slots hold short tokens whole, so that most need no second look.

Spans and blocks are those of lmkit/kernels/text.py.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from lmkit.kernels import kernel
from lmkit.kernels.memory import load64, prefetch

__all__ = ["MISSING", "build_index", "intern", "renumber"]

EOS, FIRST_TOKEN = 2, 3  # as in lmkit.model, the id after the reserved ones; a test compares them
MISSING = -4  # `intern` writes it for a token out of vocabulary; -1, -2, -3 for a spelled <unk>, <s>, </s>


@intrinsic
def fold(typingctx, a, b):
    """Multiply two uint64 and xor the halves of the 128-bit product (as in wyhash, Wang Yi 2019)."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        return builder.xor(high, builder.trunc(product, ir.IntType(64)))

    return types.uint64(types.uint64, types.uint64), codegen


# The bytes of the first and the second word of a token that count, by its length.
FIRST_MASKS = np.array([2 ** (8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
SECOND_MASKS = np.array([2 ** (8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)


@register_jitable(forceinline=True)
def _token_key(block, start, length, secrets):
    """Return two words: the token itself and its length up to 15 bytes, a hash of longer ones.

    0 times anything folds to 0, and 2^64 - 1 times anything but 0 to 2^64 - 1, so that tokens made of these two words
    alone could all have one of two hashes. A secret in each factor sees to it that nobody can choose one.
    """
    if length < 16:
        first = load64(block, start) & FIRST_MASKS[length]
        return first, load64(block, start + 8) & SECOND_MASKS[length] | np.uint64(length) << np.uint64(56)
    first = np.uint64(length)
    for i in range(0, length - 8, 8):
        first = fold(first ^ secrets[0], load64(block, start + i) ^ secrets[1])
    second = fold(first ^ secrets[0], load64(block, start + length - 8) ^ secrets[1])
    return first, second | np.uint64(0xFF00000000000000)


@register_jitable(forceinline=True)
def _same_bytes(a, i, b, j, length):
    """Compare two spans of eight bytes or more."""
    for k in range(0, length - 8, 8):
        if load64(a, i + k) != load64(b, j + k):
            return False
    return load64(a, i + length - 8) == load64(b, j + length - 8)


@register_jitable(forceinline=True)
def _home(first, second, secrets):
    """Return a hash of a key, whose low bits are the slot to look into first."""
    return fold(fold(first ^ secrets[0], second ^ secrets[1]), secrets[2])


@register_jitable(forceinline=True)
def _find(slots, slot, first, second, block, start, length, pool, offsets):
    """Return the slot that holds a token or is free for it: two words of key, id + 1 (0 is free), count."""
    last = np.uint64(slots.shape[0] - 1)
    slot &= last
    while slots[slot, 2] != 0:
        if slots[slot, 0] == first and slots[slot, 1] == second:
            if length < 16:
                break
            token = np.int64(slots[slot, 2]) - 1
            at = offsets[token]
            if offsets[token + 1] - at == length and _same_bytes(block, start, pool, at, length):
                break
        slot = (slot + np.uint64(1)) & last
    return slot


@kernel(_nrt=False)
def build_index(pool, offsets, size, secrets, slots):
    """Put all tokens into the slots, which are more; return -1, or the first token that is there twice.

    `secrets` are three uint64 drawn at random, the last one odd.
    """
    last = np.uint64(slots.shape[0] - 1)
    for token in range(size):
        ahead = token + 16
        if ahead < size:
            first, second = _token_key(pool, offsets[ahead], offsets[ahead + 1] - offsets[ahead], secrets)
            prefetch(slots, np.int64((_home(first, second, secrets) & last) << np.uint64(2)))
        start = offsets[token]
        length = offsets[token + 1] - start
        first, second = _token_key(pool, start, length, secrets)
        home = _home(first, second, secrets)
        slot = _find(slots, home, first, second, pool, start, length, pool, offsets)
        if slots[slot, 2] != 0:
            return token
        slots[slot, 0] = first
        slots[slot, 1] = second
        slots[slot, 2] = np.uint64(token + 1)
    return -1


@kernel(_nrt=False)
def intern(block, starts, lengths, slots, pool, offsets, size, secrets, add, keys, ids):
    """Write the id of each span and count it in its slot; return the number of tokens known.

    New tokens get the next id with `add`, else MISSING. The slots must have room for that many more, and so
    must the pool and the offsets. Keys are made for len(keys) spans at a time and their slots prefetched, so
    that the cache misses of a batch overlap.
    """
    last = np.uint64(slots.shape[0] - 1)
    for begin in range(0, len(starts), len(keys)):
        batch = min(len(keys), len(starts) - begin)
        for k in range(batch):
            length = max(lengths[begin + k], 0)
            first, second = _token_key(block, starts[begin + k], length, secrets)
            home = _home(first, second, secrets)
            prefetch(slots, np.int64((home & last) << np.uint64(2)))
            keys[k, 0] = first
            keys[k, 1] = second
            keys[k, 2] = home
        for k in range(batch):
            start = starts[begin + k]
            length = lengths[begin + k]
            if length < 0:
                ids[begin + k] = EOS
                continue
            slot = _find(slots, keys[k, 2], keys[k, 0], keys[k, 1], block, start, length, pool, offsets)
            token = np.int64(slots[slot, 2]) - 1
            if token < FIRST_TOKEN:
                if token >= 0:
                    ids[begin + k] = -1 - token
                    continue
                if not add:
                    ids[begin + k] = MISSING
                    continue
                token = size
                size += 1
                at = offsets[token]
                for i in range(length):
                    pool[at + i] = block[start + i]
                offsets[token + 1] = at + length
                slots[slot, 0] = keys[k, 0]
                slots[slot, 1] = keys[k, 1]
                slots[slot, 2] = np.uint64(token + 1)
            slots[slot, 3] += np.uint64(1)
            ids[begin + k] = token
    return size


@kernel(_nrt=False)
def renumber(ids, mapping, out):
    """Write mapping[id] for each id."""
    for i in range(len(ids)):
        out[i] = mapping[ids[i]]
