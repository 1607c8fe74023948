"""What a page knows of its tokens, block by block, packed as its script reads it.

A block is some lines of text. For each of its tokens there are the numbers of `fields`: arrays one after another,
little end first, deflated, in base64. Surprisal is kept in whole parts of a bit, `UNIT` of them in one.
"""

from __future__ import annotations

import base64
import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lmkit.explanation import Details, WholeText, details, in_bits
from lmkit.model import EOS, UNK, LanguageModel
from lmkit.text.places import lengths_by
from lmkit.text.visible import LINE_END, TAB, sign, visible
from lmkit.units import Unit, unit_activations

__all__ = [
    "END", "INFINITE", "NO_HIT", "OOV", "TOP_UNIT", "UNIT", "Block", "Columns", "Likely", "blocks", "fields",
    "packed",
]  # fmt: skip

UNIT, TOP_UNIT = 1024, 256  # probabilities are right within 0.04 %, those of the most probable tokens within 0.2 %
INFINITE = 65535
LEAST, MOST = 1200, 4000  # UTF-16 units of a block: it ends with the first line from LEAST on, at MOST in any case
NO_HIT = 255
OOV, END = 1, 2  # flags of tokens: out of vocabulary; `</s>`

Field = tuple[str, str, int]


class Columns:
    """What is known of the tokens of one text.

    Attributes
    ----------
    shown : str
        The text as it can safely be seen.
    lengths : ndarray of int64, shape (T,)
        UTF-16 units of each token in it, with the blanks before it.
    details : list of Details
        Of each model.
    units : ndarray of int8, shape (T, units)
    """

    def __init__(self, models: Sequence[LanguageModel], text: WholeText, units: Sequence[Unit], report):
        self.text, self.shown = text, visible(text.text)
        ends = text.ends
        if len(self.shown.encode("utf-16-le")) != 2 * len(text.text):
            sizes = lengths_by(text.text, lambda c: len(visible(c).encode("utf-16-le")) // 2)
            ends = np.append(0, np.cumsum(sizes))[ends]
        self.lengths = np.diff(ends, prepend=0)
        self.flags = np.where(text.ids == EOS, END, 0)
        self.flags[text.oov] |= OOV
        self.ids = [text.ids, text.other_ids][: len(models)]
        self.details = [details(model, ids, progress=report) for model, ids in zip(models, self.ids, strict=True)]
        self.bits = [in_bits(d.log_p) for d in self.details]
        held = unit_activations(models[0], text, units).T if units else np.zeros((len(ends), 0))
        self.units = np.rint(127 * held).astype(np.int8)


class Likely:
    """The tokens that are named as the most probable ones anywhere: places name them by their numbers here.

    Attributes
    ----------
    ids : ndarray of int32, ascending
    names : list of str
        As they are shown.
    width : int
        How many are named at each place.
    """

    def __init__(self, model: LanguageModel, found: Sequence[Details]):
        self.ids = np.unique(np.concatenate([d.top.ravel() for d in found]))
        self.width = found[0].top.shape[1]
        tokenizer, vocabulary = model.text.settings.tokenizer, model.text.vocabulary
        self.names = [_name(i, vocabulary.token(i), tokenizer) for i in self.ids.tolist()]


def _name(i: int, token: str, tokenizer: str) -> str:
    if i == UNK:
        return "<unk>"
    if i == EOS:
        return f"{sign(True, tokenizer)} end"
    if not token:
        return sign(False, tokenizer)
    if token.isspace():
        token = token.replace("\n", LINE_END).replace("\t", TAB).replace(" ", "␣")
    return visible(token)


@dataclasses.dataclass(frozen=True)
class Block:
    """Some tokens of a text, and the text that they stand in."""

    columns: Columns
    tokens: slice
    shown: str


def blocks(columns: Columns) -> Iterator[Block]:
    """Cut a text into blocks."""
    count = len(columns.lengths)
    ends = np.cumsum(columns.lengths)
    encoded = columns.shown.encode("utf-16-le")
    newlines = np.flatnonzero(np.frombuffer(encoded, "<u2") == ord("\n")) + 1
    follows = np.append(columns.lengths[1:], 1) > 0  # else `</s>` does, and stays with its line
    lines = np.flatnonzero(np.isin(ends, newlines) & follows) + 1
    first = start = 0
    while first < count:
        at = int(np.searchsorted(lines, np.searchsorted(ends, start + LEAST), side="right"))
        last = int(lines[at]) if at < len(lines) else count  # the token before which the block ends
        last = max(first + 1, min(last, int(np.searchsorted(ends, start + MOST, side="right"))))
        end = int(ends[last - 1]) if last < count else len(encoded) // 2
        yield Block(columns, slice(first, last), encoded[2 * start : 2 * end].decode("utf-16-le"))
        first, start = last, end


def fields(columns: Sequence[Columns], likely: Sequence[Likely], units: int) -> list[Field]:
    """Return name, type and numbers a token of the arrays of each block; a digit in a name is the model's."""
    found: list[Field] = [("lengths", _unsigned(c.lengths for c in columns), 1), ("flags", "u1", 1)]
    for m, table in enumerate(likely):
        known = [c.details[m] for c in columns]
        found += [(f"bits{m}", "u2", 1), (f"rank{m}", _unsigned(d.ranks for d in known), 1)]
        if all(d.orders is not None for d in known):
            found.append((f"order{m}", "u1", 1))
        top = _unsigned([np.array([len(table.ids)])])
        found += [(f"hit{m}", "u1", 1), (f"top{m}", top, table.width), (f"topBits{m}", "u2", table.width)]
    return [*found, ("units", "i1", units)]


def _unsigned(arrays: Iterable[np.ndarray]) -> str:
    """Return the smallest type that holds all numbers of some arrays."""
    largest = max(int(array.max(initial=0)) for array in arrays)
    return "u1" if largest < 1 << 8 else "u2" if largest < 1 << 16 else "u4"


def packed(block: Block, likely: Sequence[Likely], fields: Sequence[Field]) -> str:
    """Return the arrays of a block as text without line breaks."""
    columns, part = block.columns, block.tokens
    arrays = {"lengths": columns.lengths[part], "flags": columns.flags[part], "units": columns.units[part]}
    for m, table in enumerate(likely):
        found = columns.details[m]
        top = found.top[part]
        hits = top == columns.ids[m][part, None]
        arrays |= {
            f"bits{m}": _stored(columns.bits[m][part], UNIT),
            f"rank{m}": found.ranks[part],
            f"hit{m}": np.where(hits.any(axis=1), hits.argmax(axis=1), NO_HIT),
            f"top{m}": np.searchsorted(table.ids, top),
            f"topBits{m}": _stored(in_bits(found.top_log_p[part]), TOP_UNIT),
        }
        if found.orders is not None:
            arrays[f"order{m}"] = found.orders[part]
    data = b"".join(arrays[name].astype("<" + kind).tobytes() for name, kind, _ in fields)
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _stored(bits: np.ndarray, unit: int) -> np.ndarray:
    """Return bits in parts of a bit; `INFINITE` for what cannot be."""
    return np.where(np.isposinf(bits), INFINITE, np.clip(np.rint(bits * unit), 0, INFINITE - 1))
