"""Where in a text its tokens stand: for who wants to see the text, and not what a tokenizer keeps of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from lmkit.kernels.vocabulary import MISSING
from lmkit.model import EOS
from lmkit.text.encoding import NONE, Encoded, Encoder
from lmkit.text.layer import TextLayer
from lmkit.text.table import padded
from lmkit.text.vocabulary import to_bytes, to_str

__all__ = ["Locator", "Placed", "code_points", "lengths_by"]


@dataclasses.dataclass(frozen=True)
class Placed(Encoded):
    """A piece of a text as ids, with the text itself.

    Attributes
    ----------
    text : str
        As it stands; U+DC80 to U+DCFF are bytes that are not UTF-8.
    ends : ndarray of int64, shape (T,)
        Before which character of the text each token ends. It begins where the one before it ends, with the blanks
        between them that are no tokens. `</s>` is empty, or the line break where that is no token; and a token that
        ends within a character (some of its bytes) does not have it yet.
    """

    text: str
    ends: np.ndarray

    @property
    def tokens(self) -> list[str]:
        """The text of each token, with the blanks before it."""
        ends = self.ends.tolist()
        return [self.text[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    @property
    def rest(self) -> str:
        """What stands after the last token."""
        return self.text[self.ends[-1] if len(self.ends) else 0 :]


class Locator:
    """Turn one text into ids, piece by piece, and say where each token stands.

    Parameters
    ----------
    layer : TextLayer
    title : str
        The name of the text, for errors.

    >>> from lmkit.text import TextSettings, Vocabulary
    >>> layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(["to", "be"]))
    >>> placed = Locator(layer, "example").feed(b"to  be\\n")
    >>> placed.ids.tolist(), placed.ends.tolist()
    ([3, 4, 2], [2, 6, 7])
    """

    def __init__(self, layer: TextLayer, title: str):
        self.settings = layer.settings
        self._encoder = _Noting(layer, title)

    def feed(self, data: bytes) -> Placed:
        """Return the next piece, which ends after a newline or before a single blank if another one follows.

        Raises
        ------
        CorpusError
            Where the text spells a reserved token.
        """
        encoded, ends = self._encoder.noted(data)
        text = to_str(data)
        lower = self.settings.lowercase
        if not text.isascii():
            size = lengths_by(text, lambda c: len(to_bytes(c.lower() if lower else c)))
            ends = np.searchsorted(np.cumsum(size), ends, side="right")
        return Placed(encoded.ids, encoded.oov, text, ends)

    def finish(self) -> Placed:
        """Return the sentence end of a text that has none yet, or nothing."""
        ids = self._encoder.finish().ids
        return Placed(ids, NONE, "", np.zeros(len(ids), np.int64))


class _Noting(Encoder):
    """An encoder that notes where spans end."""

    def __init__(self, layer: TextLayer, title: str):
        usual = layer.encoder(title)
        super().__init__(usual.settings, usual.table, title)
        self.ends: list[np.ndarray] = []

    def noted(self, data: bytes) -> tuple[Encoded, np.ndarray]:
        """Return the ids of a piece, and where in its bytes (in lower case if the settings say so) each ends."""
        self.ends = []
        encoded = self.feed(padded(data), len(data))
        if self.settings.tokenizer == "byte":
            return encoded, np.cumsum(encoded.ids != EOS)
        return encoded, np.concatenate([NONE, *self.ends])

    def _encode(self, block, starts, lengths):
        self.ends.append(starts + np.maximum(lengths, 0))
        return super()._encode(block, starts, lengths)

    def _resolve(self, ids, starts, lengths, block):
        if self.settings.reserved == "space":
            self.ends[-1] = self.ends[-1][(ids >= 0) | (ids <= MISSING)]
        return super()._resolve(ids, starts, lengths, block)


def code_points(text: str) -> np.ndarray:
    """Return the code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def lengths_by(text: str, length: Callable[[str], int]) -> np.ndarray:
    """Return a length of each character, asked for once for each that is different.

    >>> lengths_by("aé€", lambda c: len(c.encode())).tolist()
    [1, 2, 3]
    """
    different, which = np.unique(code_points(text), return_inverse=True)
    return np.array([length(chr(c)) for c in different.tolist()], np.int64)[which]
