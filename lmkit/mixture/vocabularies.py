"""Members that number their tokens each in its own way, made to speak of the same ones."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from lmkit.errors import OptionError
from lmkit.model import RESERVED, UNK
from lmkit.text import TextLayer, Vocabulary

__all__ = ["Mapping", "union"]


@dataclasses.dataclass(frozen=True)
class Mapping:
    """From the tokens of a mixture to those of a member.

    Attributes
    ----------
    ids : ndarray of int32, shape (V,)
        The member's id of each token; that of `<unk>` for the k tokens that it lacks.
    unknown : ndarray of int32, shape (k + 1,)
        `<unk>`, and the tokens that the member lacks: each has the share 1 / (k + 1) of its p(`<unk>`).
    """

    ids: np.ndarray
    unknown: np.ndarray

    @classmethod
    def between(cls, text: TextLayer, member: TextLayer) -> Mapping:
        """Return the mapping from one text layer's tokens to those of another."""
        if text.vocabulary == member.vocabulary:
            return cls(np.arange(len(text.vocabulary), dtype=np.int32), np.array([UNK], np.int32))
        ids = member.vocabulary.ids_of(text.vocabulary)
        ids[ids < 0] = UNK
        return cls(ids, np.flatnonzero(ids == UNK).astype(np.int32))

    @functools.cached_property
    def same(self) -> bool:
        """Whether the member numbers all tokens as the mixture does."""
        return len(self.unknown) == 1 and bool((self.ids == np.arange(len(self.ids))).all())

    @property
    def log_share(self) -> float:
        """log 1 / (k + 1)."""
        return -math.log(len(self.unknown))

    def meant(self, size: int) -> np.ndarray:
        """Return the mixture's token that each of the member's `size` ids means; `<unk>` where it lacks several."""
        meant = np.zeros(size, np.int32)
        known = np.setdiff1d(np.arange(len(self.ids)), self.unknown)
        meant[self.ids[known]] = known
        return meant

    @property
    def log_shares(self) -> np.ndarray:
        """The logarithm of the share that each token has of the probability of the member's, float64 (V,)."""
        shares = np.zeros(len(self.ids))
        shares[self.unknown] = self.log_share
        return shares

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return log p over the member's tokens (..., V of the member) as rows over those of the mixture."""
        if self.same:
            return rows
        mapped = np.take(rows, self.ids, axis=-1)
        mapped[..., self.unknown] += np.float32(self.log_share)
        return mapped

    def scores(self, log_p: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return log p of tokens of the mixture, from those of the member's tokens that stand for them."""
        if len(self.unknown) == 1:
            return log_p
        return log_p + self.log_shares.astype(np.float32)[ids]


def union(layers: list[TextLayer], names: list[str]) -> TextLayer:
    """Return a text layer that has the tokens of all.

    The tokenizers `byte` and `char` have no words that one lexicon could cut in another way, so that members may know
    different tokens: what a member gives to an unknown character is shared out among those that it lacks.

    Parameters
    ----------
    names : list of str
        Of the models, for messages.

    Raises
    ------
    OptionError
        They cut texts into different tokens, or know different words.
    """
    first = layers[0]
    for layer, name in zip(layers[1:], names[1:], strict=True):
        for what in ("tokenizer", "sentence", "lowercase"):
            here, there = getattr(layer.settings, what), getattr(first.settings, what)
            if here != there:
                raise OptionError(
                    f"{name} was trained with --{what} {here}, {names[0]} with {there}: they see different tokens; "
                    f"train both alike"
                )
    vocabulary = first.vocabulary
    for layer, name in zip(layers[1:], names[1:], strict=True):
        if layer.vocabulary == vocabulary:
            continue
        lacking = np.flatnonzero(vocabulary.ids_of(layer.vocabulary) < 0)
        same = not len(lacking) and len(layer.vocabulary) == len(vocabulary)
        if first.settings.tokenizer not in ("byte", "char") and not same:
            other = min(set(layer.vocabulary.tokens()) ^ set(vocabulary.tokens()))
            raise OptionError(
                f"{name} and {names[0]} know different words, such as {other[:40]!r}, so that a mixture would be no "
                f"distribution; train the second with --vocab {names[0]}"
            )
        if len(lacking):
            added = [layer.vocabulary.token_bytes(i) for i in lacking.tolist()]
            vocabulary = Vocabulary.from_tokens([*vocabulary.tokens()[len(RESERVED) :], *added])
    if vocabulary is first.vocabulary:
        return first
    return TextLayer(first.settings, vocabulary, first.unicode_version, first.lowercase_version)
