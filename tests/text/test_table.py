"""The hash table of tokens: its kernels against plain Python, and texts made to break it."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.kernels.vocabulary import MISSING
from lmkit.text import table
from lmkit.text.table import TokenTable, new_secrets, padded

WORD = 2**64 - 1  # the largest word, which is all ones
EXTREMES = (0, WORD)
COMBINATIONS = 2**12


def fold(a, b):
    product = a * b
    return product >> 64 ^ product & WORD


def key(token, secrets):
    """Return the two words by which the table knows a token: see `lmkit.kernels.vocabulary`."""
    if len(token) < 16:
        whole = int.from_bytes(token, "little")
        return whole & WORD, whole >> 64 | len(token) << 56
    starts = [*range(0, len(token) - 8, 8), len(token) - 8]
    words = [int.from_bytes(token[start : start + 8], "little") for start in starts]
    first, second = None, len(token)
    for word in words:
        first, second = second, fold(second ^ secrets[0], word ^ secrets[1])
    return first, second | 0xFF << 56


def home(key, secrets):
    return fold(fold(key[0] ^ secrets[0], key[1] ^ secrets[1]), secrets[2])


def table_of(tokens, secrets, monkeypatch):
    monkeypatch.setattr(table, "SECRETS", tuple(map(np.uint64, secrets)))
    offsets = np.concatenate([[0], np.cumsum([len(token) for token in tokens])])
    made = TokenTable(padded(b"".join(tokens)), offsets.astype(np.int64))
    assert made.duplicate == -1
    return made


def steps_beyond_home(made, secrets):
    """Return for each token how many slots are looked at in vain before its own."""
    slots, last = made.slots.tolist(), len(made.slots) - 1
    return [(at - home(slot[:2], secrets)) & last for at, slot in enumerate(slots) if slot[2]]


@given(
    tokens=st.lists(st.binary(max_size=40), unique=True, min_size=1, max_size=30),
    secrets=st.tuples(*[st.integers(0, WORD)] * 3),
)
def test_slots_are_those_of_plain_python(tokens, secrets):
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = table_of(tokens, secrets, monkeypatch)
        slots, expected = made.slots.tolist(), {}
        for i, token in enumerate(tokens):
            at = home(key(token, secrets), secrets) % len(slots)
            while at in expected:
                at = (at + 1) % len(slots)
            expected[at] = [*key(token, secrets), i + 1, 0]
        assert {at: slot for at, slot in enumerate(slots) if slot[2]} == expected
        looked_up = padded(b"".join(tokens) + b"?")
        lengths = np.array([len(token) for token in tokens])
        starts = np.cumsum(lengths) - lengths
        ids = made.ids(looked_up, starts, lengths, False).tolist()
        assert ids == [i if i > 2 else -1 - i for i in range(len(tokens))]
        absent = b"".join(tokens) + b"?"
        if absent not in tokens:
            assert made.ids(looked_up, np.array([0]), np.array([len(absent)]), False).tolist() == [MISSING]


def of_words(words):
    return b"".join(word.to_bytes(8, "little") for word in words)


def extremes_only(length):
    """Tokens of so many words, all of them 0 or 2^64 - 1, but for the first, which may cancel the length."""
    first = (0, WORD, 8 * length, WORD ^ 8 * length)
    return map(of_words, itertools.product(first, *[EXTREMES] * (length - 1)))


def beside_extremes(length, words):
    """Tokens of so many words of which one at a time is not 0 or 2^64 - 1, nor what cancels the length."""
    for position in range(length):
        for others in itertools.product((*EXTREMES, 8 * length), repeat=length - 1):
            for word in words:
                yield of_words([*others[:position], word, *others[position:]])


def some_words(make):
    return [make(i) & WORD for i in range(COMBINATIONS // 8)]


DICE = random.Random(1)
ATTACKS = {
    "two words": lambda: extremes_only(11),
    "two words, unaligned": lambda: (token + b"end" for token in extremes_only(11)),
    **{
        f"{8 * length} bytes, {name}": lambda length=length, words=words: beside_extremes(length, words)
        for length in (1, 2, 3)
        for name, words in {
            "counted": some_words(lambda i: i),
            "counted from above": some_words(lambda i: ~i),
            "in the middle": some_words(lambda i: i << 28),
            "at the top": some_words(lambda i: i << 55),
            "complements": some_words(lambda i: (i >> 1) * 0x9E3779B97F4A7C15 ^ -(i & 1)),
            "random": some_words(lambda i: DICE.getrandbits(64)),
        }.items()
    },
}
SECRETS = [tuple(map(int, new_secrets())) for _ in range(3)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_tokens_collide_for_every_secret(attack, monkeypatch):
    """For secrets drawn in each run anew. Slots are at most half full; 0.4 steps a token, and 34 at most, were seen."""
    tokens = list(dict.fromkeys(ATTACKS[attack]()))
    for secrets in SECRETS:
        steps = steps_beyond_home(table_of(tokens, secrets, monkeypatch), secrets)
        assert len(steps) == len(tokens)
        assert sum(steps) < len(tokens) and max(steps) < 100
