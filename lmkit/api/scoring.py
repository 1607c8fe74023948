"""What a model makes of texts, of their lines, and of the texts of n-best lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import lmkit
from lmkit import arguments
from lmkit.arguments import Texts
from lmkit.errors import OptionError
from lmkit.evaluation import Evaluation, evaluate
from lmkit.model import LanguageModel
from lmkit.scoring import LineRule, LineScores, likely_lines, rescore_lists, score_lines, threshold


def perplexity(
    model: LanguageModel,
    texts: Texts,
    *,
    reset: str = "file",
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Evaluation:
    """Return how surprised the model is by texts: perplexity, bits per character, and the settings of the
    score.

    Parameters
    ----------
    reset : {'file', 'sentence'}
        Where the model, and the tokenizer, begin anew.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the texts are, as in `train`; by default what they are to the model.

    Raises
    ------
    CorpusError
        If a text cannot be read, or there is nothing to score.
    """
    evaluation = evaluate(model.reading(reserved), arguments.corpora(texts, encoding, errors), reset=reset)
    settings = {"model": getattr(model, "path", None), **evaluation.settings, "lmkit_version": lmkit.__version__}
    return dataclasses.replace(evaluation, settings=settings)


def score(
    model: LanguageModel,
    texts: Texts,
    *,
    bos: bool = True,
    eos: bool = True,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    on_error: Callable[[str], object] | None = None,
) -> Iterator[LineScores]:
    """Yield the scores of the lines of texts, some lines at a time, as they arrive.

    A line is scored as the model saw lines: see `lmkit.scoring`.

    Parameters
    ----------
    bos, eos : bool
        Whether lines begin and end as the model saw lines, as KenLM's `bos` and `eos`; without them they are pieces of
        sentences.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the texts are, as in `train`; by default what they are to the model.
    errors : {'strict', 'keep', 'report'}
        What a line is that is not in its encoding: an error, or what its bytes are. With 'report' such a line, and one
        with a reserved word that is an error, has no score, and all others have theirs.
    on_error : callable, optional
        Called with a message for each line that is reported; by default a warning is given.

    Raises
    ------
    CorpusError

    >>> m = lmkit.train([("rows", b"row row row your boat\\n")], order=2, smoothing="mle", tokenizer="whitespace")
    >>> blocks = list(score(m, ("lines", b"row row\\nyour boat\\n")))
    >>> [line for block in blocks for line in block.lines], [n for block in blocks for n in block.tokens.tolist()]
    ([b'row row', b'your boat'], [3, 3])
    """
    read, report = arguments.lines(texts, encoding, errors, on_error)
    return score_lines(model.reading(reserved), read, LineRule(bos, eos, report))


def rescore(
    model: LanguageModel,
    texts: Texts,
    *,
    feature: str = "lmkit",
    log_base: str = "e",
    bos: bool = True,
    eos: bool = True,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    on_error: Callable[[str], object] | None = None,
) -> Iterator[bytes]:
    """Yield n-best lists (Moses) with the model's score of each text, which is a line, among its features.

    Parameters
    ----------
    log_base : {'e', '10', '2'}
        The base of the logarithm that a score is.
    bos, eos, reserved, encoding, errors, on_error
        As in `score`; what is reported has no value.

    Raises
    ------
    CorpusError, OptionError
    """
    read, report = arguments.lines(texts, encoding, errors, on_error)
    return rescore_lists(model.reading(reserved), read, feature, LineRule(bos, eos, report), log_base)


def filter_lines(
    model: LanguageModel,
    texts: Texts,
    *,
    max_perplexity: float | None = None,
    keep: float | None = None,
    bos: bool = True,
    eos: bool = True,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    on_error: Callable[[str], object] | None = None,
) -> Iterator[bytes]:
    """Yield the lines of texts that a model finds likely, some at a time, each with its newline.

    Parameters
    ----------
    max_perplexity : float
        The largest perplexity of a line.
    keep : float
        Or the share of all lines, the least surprising ones; the texts are then read twice. Equal ones all pass.
    bos, eos, reserved, encoding, errors, on_error
        As in `score`; what is reported does not pass.

    Raises
    ------
    CorpusError, OptionError
    """
    if (max_perplexity is None) == (keep is None):
        raise OptionError("give either max_perplexity or keep")
    read, report = arguments.lines(texts, encoding, errors, on_error)
    model, rule = model.reading(reserved), LineRule(bos, eos, report)
    if keep is not None:
        if not 0 <= keep <= 1:
            raise OptionError(f"--keep is {keep:g}; it must be a share of the lines, 0 to 1")
        silent = dataclasses.replace(rule, on_error=None if report is None else lambda message: None)
        first, _ = arguments.lines(texts, encoding, errors, on_error)
        max_perplexity = threshold(model, first, keep, silent)
    return likely_lines(model, read, max_perplexity, rule)
