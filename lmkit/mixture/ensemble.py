"""What models share that are made of several others: each member sees every token, in a state of its own."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.mixture import members as stored
from lmkit.mixture.vocabularies import Mapping, union
from lmkit.model import UNK, LanguageModel, State
from lmkit.stored import Stored
from lmkit.text import TextLayer
from lmkit.threads import in_threads
from lmkit.vectors import TokenVectors

__all__ = ["Ensemble", "common_text", "dissolved"]

NUMBERS = 2**21  # of the rows of a member that are held at once: eight megabytes
ROWS = 4096  # at most: more are not done faster, and networks keep what they need of each


class Ensemble(Stored):
    """Several models that share a text layer. The state is those of all members, one after another.

    Parameters
    ----------
    members : list of LanguageModel
    text : TextLayer
        It has the tokens of all: see `common_text`.
    shares : sequence of float
        How much each member counts, where one number has to do for all histories.
    """

    def __init__(self, members: list[LanguageModel], text: TextLayer, shares: Sequence[float]):
        self.text, self.members, self.shares = text, members, tuple(shares)
        self.mappings = [Mapping.between(text, member.text) for member in members]
        starts = [member.begin(1) for member in members]
        self._parts = [len(start) if isinstance(start, tuple) else None for start in starts]
        self.metadata: dict = {}

    @property
    def remembers(self) -> bool:
        return any(member.remembers for member in self.members)

    @property
    def longest_context(self) -> int | None:
        longest = [member.longest_context for member in self.members]
        return None if None in longest else max(longest)

    def context_lengths(self, state: State) -> np.ndarray | None:
        """Return the longest of the members' contexts."""
        if self.longest_context is None:
            return None
        parts = zip(self.members, self._split(state), strict=True)
        return np.max([member.context_lengths(part) for member, part in parts], axis=0)

    @property
    def threads(self) -> int:
        """At most this many threads work for a member; the numbers are the same for every number of them."""
        return max(getattr(member, "threads", 1) for member in self.members)

    @threads.setter
    def threads(self, threads: int) -> None:
        for member in self.members:
            if hasattr(member, "threads"):
                member.threads = threads

    def _split(self, state: State) -> list[State]:
        parts, at = [], 0
        for size in self._parts:
            parts.append(state[at] if size is None else tuple(state[at : at + size]))
            at += size or 1
        return parts

    def part(self, state: State, member: int) -> State:
        """Return the state of one member."""
        return self._split(state)[member]

    @staticmethod
    def _join(parts: list[State]) -> State:
        return tuple(array for part in parts for array in (part if isinstance(part, tuple) else (part,)))

    def begin(self, n: int = 1) -> State:
        return self._join([member.begin(n) for member in self.members])

    def begin_after(self, ids: Sequence[int], n: int = 1) -> State:
        known = np.asarray(ids, np.int32)
        parts = zip(self.members, self.mappings, strict=True)
        return self._join([member.begin_after(mapping.ids[known].tolist(), n) for member, mapping in parts])

    def advance(self, state: State, ids: np.ndarray) -> State:
        parts = zip(self.members, self.mappings, self._split(state), strict=True)
        return self._join([member.advance(part, mapping.ids[ids]) for member, mapping, part in parts])

    def member_scores(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        """Return log p_m of each token, (members, n, T), and the state after the last."""
        scores, after = [], []
        for member, mapping, part in zip(self.members, self.mappings, self._split(state), strict=True):
            log_p, part = member.score(part, mapping.ids[ids])
            scores.append(mapping.scores(log_p, ids))
            after.append(part)
        return np.stack(scores), self._join(after)

    def member_log_probs(self, state: State) -> list[np.ndarray]:
        """Return log p_m of every token, float32 (n, V) for each member."""
        parts = zip(self.members, self.mappings, self._split(state), strict=True)
        return [mapping.rows(member.log_probs(part)) for member, mapping, part in parts]

    def member_rows(self, state: State, ids: np.ndarray) -> tuple[list[np.ndarray], State]:
        """Return `rows` of each member, float32 (n, T, V), and the state after the last.

        Members work at the same time: the steps of a network wait for each other, those of others need not.
        """

        def of_member(member, mapping, part):
            rows, after = member.rows(part, mapping.ids[ids])
            return mapping.rows(rows), after

        parts = list(zip(self.members, self.mappings, self._split(state), strict=True))
        found = in_threads(self.threads, of_member, parts)
        return [rows for rows, _ in found], self._join([after for _, after in found])

    def pieces(self, ids: np.ndarray) -> Iterator[slice]:
        """Yield the parts of a text (n, T) whose rows are held at once."""
        steps = max(1, min(ROWS, NUMBERS // self.vocabulary_size) // max(len(ids), 1))
        for begin in range(0, ids.shape[1], steps):
            yield slice(begin, begin + steps)

    def shorten(self, state: State) -> State | None:
        parts = self._split(state)
        shorter = [member.shorten(part) for member, part in zip(self.members, parts, strict=True)]
        if all(part is None for part in shorter):
            return None
        return self._join([part if new is None else new for part, new in zip(parts, shorter, strict=True)])

    def made_of(self) -> list[LanguageModel]:
        return self.members

    def token_vectors(self) -> tuple[TokenVectors, TokenVectors] | None:
        """Return vectors whose cosines are the members', weighted by their shares, without members that have none."""
        known = [
            (share, mapping.ids, vectors)
            for share, mapping, member in zip(self.shares, self.mappings, self.members, strict=True)
            if share and (vectors := member.token_vectors())
        ]
        if not known:
            return None
        before, after = ([(share, ids, vectors[side]) for share, ids, vectors in known] for side in (0, 1))
        return _MixedVectors(before), _MixedVectors(after)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays of all members and of the common text layer, for the file."""
        return {**self.text.tensors(), **stored.tensors(self.members)}

    @classmethod
    @abc.abstractmethod
    def of_config(cls, members: list[LanguageModel], config: dict[str, Any]) -> Ensemble:
        """Return the model of these members that a file's `config` describes, which is not trusted.

        Raises
        ------
        OptionError
            It describes none.
        """

    @classmethod
    def from_file(cls, file) -> Ensemble:
        """Build the mixture over a file's memory-mapped tensors (`lmkit.storage.ModelFile`).

        Raises
        ------
        ModelError
            The file does not hold a whole mixture.
        """
        members = stored.read(file)
        try:
            mixture = cls.of_config(members, file.metadata["config"])
        except OptionError as error:
            raise ModelError(f"{file.name}: the mixture is damaged: {error}; make it anew") from None
        mixture.metadata = file.metadata
        return mixture


class _MixedVectors(TokenVectors):
    """The members' vectors, each as long as its share says, side by side.

    Parameters
    ----------
    parts : list of (float, ndarray of int32, TokenVectors)
        Share, the member's id of each token, and the member's vectors.
    """

    def __init__(self, parts: list[tuple[float, np.ndarray, TokenVectors]]):
        self._parts, self._total = parts, math.fsum(weight for weight, _, _ in parts)

    def cosines(self, ids: np.ndarray) -> np.ndarray:
        found = None
        for weight, own, vectors in self._parts:
            part = vectors.cosines(own[ids])[:, own] * np.float32(weight / self._total)
            part[own[ids] == UNK] = 0  # nothing is known of what a member lacks
            part[:, own == UNK] = 0
            found = part if found is None else found + part
        return found


def common_text(members: list[LanguageModel], names: list[str] | None = None) -> TextLayer:
    """Return a text layer that has the tokens of all members.

    Parameters
    ----------
    names : list of str, optional
        Of the members, for messages.

    Raises
    ------
    OptionError
        They see different tokens.
    """
    return union([member.text for member in members], names or [f"member {i + 1}" for i in range(len(members))])


def dissolved(
    kind: type[Ensemble], members: list[LanguageModel], numbers: list[float], text: TextLayer, name: str
) -> tuple[list[LanguageModel], tuple[float, ...]]:
    """Put the members of those of this kind in their places, if they know the same tokens: else their shares would
    change.

    Parameters
    ----------
    numbers : list of float
        What each member counts; those of a member's members, its attribute `name`, are multiplied by its own.
    """
    found: list[tuple[LanguageModel, float]] = []
    for member, number in zip(members, numbers, strict=True):
        if isinstance(member, kind) and set(member.text.vocabulary.tokens()) == set(text.vocabulary.tokens()):
            found += [(m, number * n) for m, n in zip(member.members, getattr(member, name), strict=True)]
        else:
            found.append((member, number))
    return [m for m, _ in found], tuple(n for _, n in found)
