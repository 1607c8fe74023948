"""What a model makes of texts, of their lines, and of the texts of n-best lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import lmkit
from lmkit import arguments
from lmkit.arguments import Texts
from lmkit.errors import OptionError
from lmkit.evaluation import Evaluation, evaluate
from lmkit.model import LanguageModel
from lmkit.scoring import LineScores, likely_lines, rescore_lists, score_lines, threshold


def perplexity(
    model: LanguageModel,
    texts: Texts,
    *,
    reset: str = "file",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Evaluation:
    """Return how surprised the model is by texts: perplexity, bits per character, and the settings of the
    score.

    Raises
    ------
    CorpusError
        If a text cannot be read, or there is nothing to score.
    """
    evaluation = evaluate(model, arguments.corpora(texts, encoding, errors), reset=reset)
    settings = {"model": getattr(model, "path", None), **evaluation.settings, "lmkit_version": lmkit.__version__}
    return dataclasses.replace(evaluation, settings=settings)


def score(
    model: LanguageModel, texts: Texts, *, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[LineScores]:
    """Yield the scores of the lines of texts, some lines at a time, as they arrive: see `lmkit.scoring`.

    A line is one sentence, whatever sentences the model was trained on.

    Raises
    ------
    CorpusError

    >>> m = lmkit.train([("rows", b"row row row your boat\\n")], order=2, smoothing="mle", tokenizer="whitespace")
    >>> blocks = list(score(m, ("lines", b"row row\\nyour boat\\n")))
    >>> [line for block in blocks for line in block.lines], [n for block in blocks for n in block.tokens.tolist()]
    ([b'row row', b'your boat'], [3, 3])
    """
    return score_lines(model, arguments.corpora(texts, encoding, errors))


def rescore(
    model: LanguageModel, texts: Texts, *, feature: str = "lmkit", encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[bytes]:
    """Yield n-best lists (Moses) with the model's score of each text among its features.

    Raises
    ------
    CorpusError
    """
    return rescore_lists(model, arguments.corpora(texts, encoding, errors), feature)


def filter_lines(
    model: LanguageModel,
    texts: Texts,
    *,
    max_perplexity: float | None = None,
    keep: float | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[bytes]:
    """Yield the lines of texts that a model finds likely, some at a time, each with its newline.

    Parameters
    ----------
    max_perplexity : float
        The largest perplexity of a line.
    keep : float
        Or the share of all lines, the least surprising ones; the texts are then read twice. Equal ones all pass.

    Raises
    ------
    CorpusError, OptionError
    """
    if (max_perplexity is None) == (keep is None):
        raise OptionError("give either max_perplexity or keep")
    if keep is not None:
        if not 0 <= keep <= 1:
            raise OptionError(f"--keep is {keep:g}; it must be a share of the lines, 0 to 1")
        max_perplexity = threshold(model, arguments.corpora(texts, encoding, errors), keep)
    return likely_lines(model, arguments.corpora(texts, encoding, errors), max_perplexity)
