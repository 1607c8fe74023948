"""What of a passage stands in a text, character by character: the longest run that the two have in common.

Passages are few and short, texts are long: so the suffixes that are searched are those of the passages. They make an
automaton (Blumer et al. 1985), over which the texts are read once, at some 75 million characters a second. The run is
exact: nothing is hashed. Memory does not depend on the size of the texts: passages are put together in groups
whose automata take no more than `ROOM` bytes each (a longer passage by itself may), and there are as many as it takes.
"""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lmkit.kernels import common_runs as kernels

__all__ = ["Run", "longest_runs"]

ROOM = 1 << 26  # bytes of the transitions of an automaton
CHARACTERS = 0x110000


@dataclasses.dataclass(frozen=True)
class Run:
    """A part of a passage, in characters."""

    start: int
    length: int

    def of(self, passage: str) -> str:
        """Return the part itself."""
        return passage[self.start : self.start + self.length]


def longest_runs(passages: Sequence[str], texts: Iterable[Iterable[bytes]]) -> list[Run]:
    """Return the longest part of each passage that stands in any of the texts; of equal ones the first.

    Parameters
    ----------
    passages : sequence of str
        U+DC80 to U+DCFF are bytes that are not UTF-8, as in the texts.
    texts : iterable of iterables of bytes-like
        Blocks of UTF-8, each read once. A run goes over the ends of blocks, not of texts.

    >>> [run.of("not to be") for run in longest_runs(["not to be"], [[b"to be, or n", b"ot"]])]
    ['to be']
    """
    groups = [_Automaton(group) for group in _grouped(passages)]
    for blocks in texts:
        for group in groups:
            group.place = (0, 0)
        for characters in _characters(blocks):
            for group in groups:
                group.read(characters)
    return [run for group in groups for run in group.runs()]


class _Automaton:
    """Some passages, and what of them has been met so far."""

    def __init__(self, passages: list[str]):
        self.passages = passages
        points = [_code_points(passage) for passage in passages]
        self.classes = np.zeros(CHARACTERS, np.int32)
        known = np.unique(np.concatenate([np.empty(0, np.uint32), *points]))
        self.classes[known] = np.arange(1, len(known) + 1)
        apart = np.zeros(1, np.int32)  # a symbol that no text has
        self.symbols = np.concatenate([part for p in points for part in (self.classes[p], apart)])
        states = 2 * len(self.symbols) + 1
        self.transitions = np.zeros((states, len(known) + 1), np.int32)
        self.links, self.lengths, self.longest = np.zeros((3, states), np.int32)
        self.states = kernels.build_automaton(self.symbols, self.transitions, self.links, self.lengths)
        self.place = (0, 0)

    def read(self, characters: np.ndarray) -> None:
        """Go on in a text."""
        self.place = kernels.read_text(
            characters, self.classes, self.transitions, self.links, self.lengths, *self.place, self.longest
        )

    def runs(self) -> Iterator[Run]:
        """Yield the longest run of each passage in what has been read."""
        by_length = np.argsort(self.lengths[: self.states], kind="stable")
        suffixes = np.empty(len(self.symbols), np.int32)
        kernels.longest_suffixes(
            self.symbols, self.transitions, self.links, self.lengths, self.longest, by_length, suffixes
        )
        first = 0
        for passage in self.passages:
            own = suffixes[first : first + len(passage)]
            end = int(own.argmax()) if len(own) else 0
            length = int(own[end]) if len(own) else 0
            yield Run(end + 1 - length if length else 0, length)
            first += len(passage) + 1


def _grouped(passages: Sequence[str]) -> Iterator[list[str]]:
    """Yield neighbouring passages whose automaton finds room."""
    group: list[str] = []
    characters: set[str] = set()
    for passage in passages:
        together = characters | set(passage)
        size = sum(map(len, group)) + len(group) + len(passage) + 1
        if group and (2 * size + 1) * (len(together) + 1) * 4 > ROOM:
            yield group
            group, together = [], set(passage)
        group.append(passage)
        characters = together
    if group:
        yield group


def _characters(blocks: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Yield the code points of a text."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in blocks:
        yield _code_points(decoder.decode(block))
    yield _code_points(decoder.decode(b"", final=True))


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
