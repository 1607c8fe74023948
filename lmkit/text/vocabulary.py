"""Tokens and their ids, and how tokens are written into the columns of a table."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping

import numpy as np

from lmkit.errors import CorpusError, ModelError, OptionError
from lmkit.kernels.text import PAD
from lmkit.kernels.vocabulary import MISSING
from lmkit.model import RESERVED
from lmkit.text.table import TokenTable, padded

__all__ = ["Vocabulary", "check_words", "escape", "is_word", "to_bytes", "to_str", "unescape", "unescaped_tokens"]

_RESERVED_BYTES = "".join(RESERVED).encode()
_RESERVED_OFFSETS = [0, 5, 8, 12]
_SHORT = {"": r"\j", "\\": r"\\", " ": r"\s", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
_LONG = {escaped: token for token, escaped in _SHORT.items()}


def to_bytes(text: str) -> bytes:
    """Return the bytes a str stands for; U+DC80 to U+DCFF are bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def to_str(data: bytes) -> str:
    """Return a str that stands for the bytes, whatever they are."""
    return bytes(data).decode("utf-8", "surrogateescape")


def escape(token: str) -> str:
    r"""Write a token so that it can stand in a column: no white space or control character, never empty.

    `\s` is a blank, `\n`, `\t`, `\r` and `\\` are as usual, `\x1b` is any other control character or a byte
    that is not UTF-8, `\u2028` a Unicode line end, and `\j` the empty token (the word tokenizer's joiner).

    >>> print(escape("two words"), escape(""))
    two\swords \j
    """

    def replace(match: re.Match) -> str:
        character = match[0]
        code = ord(character)
        if character in _SHORT:
            return _SHORT[character]
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"

    return re.sub("[\0-\x20\x7f-\x9f\u2028\u2029\\\\\udc80-\udcff]", replace, token) or r"\j"


def unescape(text: str) -> str:
    r"""Return the token that `escape` wrote; a backslash that starts no escape stands for itself.

    So does one that `escape` would not write: of half a surrogate pair, or of a byte by another name.

    >>> unescape(r"two\swords")
    'two words'
    """

    def replace(match: re.Match) -> str:
        found = match[0]
        if found in _LONG:
            return _LONG[found]
        code = int(found[2:], 16)
        if 0xD800 <= code <= 0xDFFF:
            return found
        return chr(0xDC00 + code if found[1] == "x" and code >= 0x80 else code)

    return re.sub(r"\\(?:[jsntr\\]|x[0-9a-f]{2}|u[0-9a-f]{4})", replace, text)


def unescaped_tokens(words: Iterable[str], name: str) -> list[str]:
    """Return the tokens that different words of a file stand for, which must differ, too.

    Raises
    ------
    CorpusError
        Two words are one token, or one is a reserved token.
    """
    meant = {token: token for token in RESERVED}
    tokens = []
    for word in words:
        token = unescape(word)
        other = meant.setdefault(token, word)
        if other is not word:
            shown = [each[:40] for each in (other, word, token)]
            raise CorpusError("{}: the escaped tokens {} and {} are the same token, {!r}".format(name, *shown))
        tokens.append(token)
    return tokens


def is_word(token: str) -> bool:
    """Return whether the whitespace tokenizer can make this token: it is not empty and holds none of its blanks."""
    return re.search("^$|[\0\t\n\r ]", token) is None


def check_words(vocabulary: Vocabulary) -> None:
    """See that all tokens of a vocabulary can stand between blanks.

    Raises
    ------
    OptionError
    """
    separate = np.isin(vocabulary.pool[: vocabulary.offsets[-1]], np.frombuffer(b"\0\t\n\r ", np.uint8)).any()
    if separate or (np.diff(vocabulary.offsets) == 0).any():
        wrong = next(token for token in vocabulary.tokens() if not is_word(token))
        raise OptionError(f"{wrong[:40]!r} is no token of the whitespace tokenizer, and cannot stand between blanks")


class Vocabulary:
    """The token types of a model, in the order of their ids; 0, 1, 2 are `<unk>`, `<s>`, `</s>`.

    Parameters
    ----------
    pool : bytes-like
        The bytes of all tokens, one after the other.
    offsets : ndarray of int64, shape (V + 1,)
        Where each token starts, and where the last one ends.

    >>> v = Vocabulary.from_tokens(["to", "be"])
    >>> len(v), v.id("be"), v.token(3), v.id("or")
    (5, 4, 'to', None)
    """

    def __init__(self, pool, offsets: np.ndarray):
        self.pool = padded(pool)
        self.offsets = np.array(offsets, np.int64)

    @classmethod
    def from_tokens(cls, tokens: Iterable[str | bytes]) -> Vocabulary:
        """Make a vocabulary of the reserved tokens and these, which must all be different."""
        pieces = [token if isinstance(token, bytes) else to_bytes(token) for token in (*RESERVED, *tokens)]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        return cls(b"".join(pieces), np.concatenate([[0], np.cumsum(lengths)]))

    @classmethod
    def all_bytes(cls) -> Vocabulary:
        """Make the vocabulary of the byte tokenizer: id 3 + b for the byte b."""
        return cls.from_tokens(bytes([b]) for b in range(256))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Vocabulary:
        """Read the two arrays that `tensors` gives. Their content is checked: it may come from anywhere.

        That no token is there twice is checked when the first token is looked up.

        Raises
        ------
        ModelError
            Where they are not a vocabulary.
        """
        pool, offsets = (_tensor(tensors, name, dtype) for name, dtype in _TENSORS.items())
        if not 4 <= len(offsets) <= 2**31:
            raise ModelError(f"damaged vocabulary: {len(offsets) - 1} tokens; expected 3 to {2**31 - 1}")
        if offsets[0] != 0 or offsets[-1] != len(pool) or (offsets[1:] < offsets[:-1]).any():
            raise ModelError("damaged vocabulary: the tokens do not lie one after the other")
        if offsets[:4].tolist() != _RESERVED_OFFSETS or pool[:12].tobytes() != _RESERVED_BYTES:
            raise ModelError(f"damaged vocabulary: the first tokens are not {', '.join(RESERVED)}")
        return cls(pool, offsets)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the vocabulary as two read-only arrays for the model file."""
        pool = self.pool[: len(self.pool) - PAD]
        arrays = {"vocabulary.bytes": pool, "vocabulary.offsets": self.offsets[:]}
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    def check_different(self) -> None:
        """See that no token is there twice.

        Raises
        ------
        ModelError
        """
        _ = self.table  # which is made only if they differ

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return np.array_equal(self.offsets, other.offsets) and np.array_equal(self.pool, other.pool)

    __hash__ = None

    def __reduce__(self) -> tuple:
        """Return the tokens: their table is made where it is needed."""
        return Vocabulary, (self.pool[: len(self.pool) - PAD], self.offsets)

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of the token with this id; IndexError where there is none."""
        if not 0 <= token < len(self):
            raise IndexError(f"no token has the id {token}: the vocabulary has {len(self)}")
        return self.pool[self.offsets[token] : self.offsets[token + 1]].tobytes()

    def token(self, token: int) -> str:
        """Return the token with this id; bytes that are not UTF-8 are U+DC80 to U+DCFF."""
        return to_str(self.token_bytes(token))

    def tokens(self) -> list[str]:
        """Return all tokens in the order of their ids."""
        data, offsets = self.pool.tobytes(), self.offsets.tolist()
        return [data[start:end].decode("utf-8", "surrogateescape") for start, end in itertools.pairwise(offsets)]

    def id(self, token: str | bytes) -> int | None:
        """Return the id of a token, or None where it is out of vocabulary. `</s>` and so on have ids, too."""
        found = int(self.ids([token])[0])
        return None if found < 0 else found

    def ids(self, tokens: Iterable[str | bytes]) -> np.ndarray:
        """Return the ids of many tokens, int32, with -1 for those out of vocabulary."""
        pieces = [token if isinstance(token, bytes) else to_bytes(token) for token in tokens]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        return self._find(padded(b"".join(pieces)), np.cumsum(lengths) - lengths, lengths)

    def ids_of(self, other: Vocabulary) -> np.ndarray:
        """Return the ids of all tokens of another vocabulary, int32, with -1 for those out of this one.

        >>> one, other = (Vocabulary.from_tokens(tokens) for tokens in (["to", "be"], ["be", "or"]))
        >>> one.ids_of(other).tolist()
        [0, 1, 2, 4, -1]
        """
        return self._find(other.pool, other.offsets[:-1], np.diff(other.offsets))

    def _find(self, pool: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        found = self.table.ids(pool, starts, lengths, False)
        found[found == MISSING] = 2  # the reserved ones are -1, -2, -3
        return np.where(found < 0, -1 - found, np.where(found == 2, -1, found))

    @functools.cached_property
    def longest(self) -> int:
        """Length of the longest token in bytes."""
        return int(np.diff(self.offsets).max())

    @functools.cached_property
    def table(self) -> TokenTable:
        """The hash table of the tokens, made when the first one is looked up."""
        table = TokenTable(self.pool, self.offsets)
        if table.duplicate >= 0:
            raise ModelError(f"damaged vocabulary: the token {self.token(table.duplicate)[:40]!r} is there twice")
        return table


_TENSORS = {"vocabulary.bytes": np.uint8, "vocabulary.offsets": np.int64}


def _tensor(tensors: Mapping[str, np.ndarray], name: str, dtype: type) -> np.ndarray:
    if name not in tensors:
        raise ModelError(f"no vocabulary: the tensor {name} is missing")
    array = np.asarray(tensors[name])
    if array.dtype != dtype or array.ndim != 1:
        found, expected = f"{array.dtype} {array.shape}", f"{np.dtype(dtype).name} with one axis"
        raise ModelError(f"damaged vocabulary: {name} is {found}; expected {expected}")
    return np.ascontiguousarray(array)
