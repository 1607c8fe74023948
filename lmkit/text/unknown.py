"""The tokens of a text that a vocabulary lacks: which they are, and what it would cost to spell them."""

from __future__ import annotations

import math

import numpy as np

from lmkit.text.table import TokenTable
from lmkit.text.vocabulary import Vocabulary, to_str

__all__ = ["UnknownTokens", "spelling_costs"]

MAX_TYPES = 1 << 20  # different tokens that are counted: memory stays bounded
CODE_POINTS = 0x110000


class UnknownTokens:
    """The different tokens that an `Encoder` has not found in its vocabulary, and how often each came.

    >>> from lmkit.text import TextLayer, TextSettings
    >>> layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(["to", "be"]))
    >>> layer.unknown_tokens("to be or not to be or what")
    ['or', 'not', 'what']
    """

    def __init__(self):
        reserved = Vocabulary.from_tokens([])
        self._table = TokenTable(reserved.pool, reserved.offsets)
        self._first = reserved.offsets.size - 1

    def add(self, block: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Count some spans of a padded block; once there are `MAX_TYPES` different tokens, new ones are left out."""
        self._table.ids(block, starts, lengths, self._table.size < MAX_TYPES)

    def tokens(self) -> list[str]:
        """Return the tokens in the order in which they came first."""
        return [self._token(i) for i in range(self._first, self._table.size)]

    def most_frequent(self, n: int) -> dict[str, int]:
        """Return the n most frequent tokens with their counts, the most frequent first, of equals the earlier one."""
        counts = self._table.counts()[self._first :]
        order = np.argsort(-counts, kind="stable")[:n]
        return {self._token(self._first + i): int(counts[i]) for i in order.tolist()}

    def _token(self, i: int) -> str:
        return to_str(self._table.pool[self._table.offsets[i] : self._table.offsets[i + 1]].tobytes())


def spelling_costs(tokenizer: str, known: int, characters: np.ndarray) -> np.ndarray:
    """Return a code length in nats for each unknown token, float64: what it takes to say which one `<unk>` stands for.

    The code is uniform. A token of `char` is one of the at most 0x110000 - known characters that the vocabulary lacks:
    log(0x110000 - known). A token of `word` is spelled: its characters and an end mark, log(0x110000) each. There are
    fewer symbols than that, as surrogates are no characters, and bytes that are not UTF-8 and the end mark are but 129
    more; so the code is a valid one (its Kraft sum is at most 1), and a model that spells better needs less.

    Parameters
    ----------
    known : int
        Number of tokens in the vocabulary, without the reserved ones.
    characters : ndarray of int64
        Length of each token in characters.

    >>> (spelling_costs("char", 65, np.array([1])) / math.log(2)).round(2), spelling_costs("byte", 256, np.zeros(0))
    (array([20.09]), array([], dtype=float64))
    """
    if tokenizer == "char":
        return np.full(len(characters), math.log(CODE_POINTS - known))
    return (characters + 1) * math.log(CODE_POINTS)
