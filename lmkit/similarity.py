"""The tokens that a model takes for most like a given one.

Two tokens are alike if the model expects them in the same places and expects the same things after them. Each model
that can has two vectors for a token (`LanguageModel.token_vectors`), of what stands before it and of what comes after
it, and

    similarity(v, w) = (cos(before(v), before(w)) + cos(after(v), after(w))) / 2

For n-grams these are distributions over neighbours (`lmkit.ngram.contexts`), for recurrent models the output and the
input embeddings, for mixtures the weighted means of their members' similarities.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.model import EOS, RESERVED, LanguageModel
from lmkit.text import TextLayer, escape, split

__all__ = ["SIDES", "Neighbour", "nearest"]

SIDES = ("both", "before", "after")
CLOSE = 3  # spellings that are suggested
MOST_PIECES = 8  # tokens of what was taken for one that are shown
SEARCHED = 50_000  # tokens, the most frequent ones, that are compared with a misspelt one
BLOCK = 2**22  # similarities that are held at once


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A token that is like another one: from 0, nothing in common, to 1.

    Attributes
    ----------
    token : str
    id : int
    similarity : float
        What is asked for: the mean of the two others, or one of them.
    before, after : float
        By what stands before both tokens, and by what comes after them.
    """

    token: str
    id: int
    similarity: float
    before: float
    after: float


def nearest(
    model: LanguageModel, words: Iterable[str], *, top: int | None = 10, side: str = "both", name: str = "the model"
) -> list[list[Neighbour]]:
    """Return for each word the tokens most like it, the most similar first, of equals the smaller id.

    Reserved tokens are not among them, nor those that have nothing in common with the word.

    Parameters
    ----------
    top : int, optional
        How many; None for all.
    side : {'both', 'before', 'after'}
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        A word is no token of the model, or the model knows no contexts, or is damaged.
    OptionError
    """
    if side not in SIDES:
        raise OptionError(f"--side is {side!r}; choose one of {', '.join(SIDES)}")
    ids = np.array([_id(model.text, word, name) for word in words], np.int64)
    vectors = model.token_vectors()
    if vectors is None:
        raise ModelError(
            f"{name} knows single tokens only, no contexts by which to compare them; train one of --order 2 or more"
        )
    weight = {"both": 0.5, "before": 1.0, "after": 0.0}[side]
    found: list[list[Neighbour]] = []
    for block in np.array_split(ids, -(-len(ids) * model.vocabulary_size // BLOCK) or 1):
        before, after = (of_side.cosines(block) for of_side in vectors)
        similarity = weight * before + (1 - weight) * after
        similarity[:, : len(RESERVED)] = 0
        similarity[np.arange(len(block)), block] = 0
        for row in range(len(block)):
            order = np.argsort(-similarity[row], kind="stable")[:top]
            found.append([
                Neighbour(
                    model.text.vocabulary.token(i), i, float(similarity[row, i]), float(before[row, i]),
                    float(after[row, i]),
                )
                for i in order[similarity[row, order] > 0].tolist()
            ])  # fmt: skip
    return found


def _id(text: TextLayer, word: str, name: str) -> int:
    """Return the id of a word; if it has none, say why and what it could have been."""
    spelled = word.lower() if text.settings.lowercase else word
    found = text.vocabulary.id(spelled)
    if found is not None and found > EOS:
        return found
    if found is not None:
        raise ModelError(f"{word} is a reserved token, which is compared with no other")
    pieces = split(spelled, text.settings.tokenizer)
    if len(pieces) > 1:
        listed = " ".join(escape(piece) for piece in pieces[:MOST_PIECES])
        raise ModelError(
            f"{word!r} is {len(pieces)} tokens of the tokenizer {text.settings.tokenizer} ({listed}); name one"
        )
    close = " or ".join(map(escape, _close_spellings(text, spelled)))
    raise ModelError(f"{name} does not know the token {word!r}" + (f"; did you mean {close}?" if close else ""))


def _close_spellings(text: TextLayer, word: str) -> list[str]:
    """Return tokens that are spelled like a word, capital letters aside: of equals the more frequent ones."""
    spelled: dict[str, str] = {}
    for i in range(len(RESERVED), min(len(text.vocabulary), SEARCHED)):
        token = text.vocabulary.token(i)
        spelled.setdefault(token.lower(), token)
    ranks = {key: rank for rank, key in enumerate(spelled)}
    found = difflib.get_close_matches(word.lower(), spelled, 8 * CLOSE)
    found.sort(key=lambda key: (-difflib.SequenceMatcher(None, key, word.lower()).ratio(), ranks[key]))
    return [spelled[key] for key in found[:CLOSE]]
