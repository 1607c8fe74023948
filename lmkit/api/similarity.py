"""Words that are alike to a model."""

from __future__ import annotations

from collections.abc import Iterable

from lmkit import arguments
from lmkit.model import LanguageModel
from lmkit.similarity import Neighbour
from lmkit.similarity import nearest as nearest_tokens
from lmkit.threads import aside


def nearest(
    model: LanguageModel, words: str | Iterable[str], *, top: int | None = 10, side: str = "both"
) -> list[Neighbour] | list[list[Neighbour]]:
    """Return the tokens that a model takes for most like a word, or a list of them for each of several words.

    How they are compared is told in `lmkit.similarity`.

    Parameters
    ----------
    top : int, optional
        How many; None for all that have something in common with the word.
    side : {'both', 'before', 'after'}
        Compare what stands before tokens, what comes after them, or both.

    Raises
    ------
    ModelError
        A word is no token of the model, or the model knows single tokens only, or is damaged.
    OptionError

    >>> import lmkit
    >>> m = lmkit.train(("farm", b"cows eat hay\\nhens eat corn\\n"), order=2, smoothing="mle", tokenizer="whitespace")
    >>> nearest(m, "cows", top=1)
    [Neighbour(token='hens', id=7, similarity=1.0, before=1.0, after=1.0)]
    """
    if top is not None:
        arguments.at_least(0, "top", top)
    name = getattr(model, "path", None) or "the model"
    listed = [words] if isinstance(words, str) else list(words)
    found = aside(nearest_tokens, model, listed, top=top, side=side, name=name)
    return found[0] if isinstance(words, str) else found
