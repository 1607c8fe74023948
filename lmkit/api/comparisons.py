"""Models measured on the same texts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import lmkit
from lmkit import arguments
from lmkit.api.models import load
from lmkit.arguments import Texts
from lmkit.comparison import Comparison
from lmkit.comparison import compare as compare_models
from lmkit.lockstep import Candidate
from lmkit.model import LanguageModel
from lmkit.threads import aside

MAX_RESAMPLES = 1_000_000  # more would change the interval by less than its third digit, and run for hours


def compare(
    models: Iterable[LanguageModel | str | os.PathLike],
    texts: Texts,
    *,
    reset: str = "file",
    resamples: int = 1000,
    confidence: float = 0.95,
    block: int | None = None,
    seed: int = 1,
    common: bool = False,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
) -> Comparison:
    """Return what models make of the same texts, and how sure their differences to the first one are.

    What compares with what, and how, is told in `lmkit.comparison`; options are those of `lmkit.comparison.compare`.

    Parameters
    ----------
    models : iterable of paths or models
        Two or more.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the texts are, as in `train`; by default what they are to each model.
    threads : int, optional
        Of models that are given as paths: see `load`.

    Raises
    ------
    OptionError
        If two models do not compare.
    CorpusError, ModelError

    >>> rows = ("rows", b"row row row your boat\\n" * 20)
    >>> a, b = (lmkit.train(rows, order=n, smoothing="mle", tokenizer="whitespace") for n in (1, 2))
    >>> [difference] = compare([a, b], rows).differences
    >>> difference.baseline, difference.model, round(difference.as_dict()["ratio"], 3)
    ('model 1', 'model 2', 0.397)
    """
    read = arguments.corpora(texts, encoding, errors)
    arguments.at_least(1, "resamples", resamples, MAX_RESAMPLES)
    arguments.at_least(1, "block", 1 if block is None else block)
    if isinstance(models, (str, os.PathLike, LanguageModel)):
        models = [models]
    candidates = []
    for number, given in enumerate(models, 1):
        model = given if isinstance(given, LanguageModel) else load(given, threads=threads)
        path = getattr(model, "path", None)
        size = None if path is None else os.path.getsize(path)
        candidates.append(Candidate(f"model {number}" if path is None else path, model.reading(reserved), size))
    compared = aside(
        compare_models, candidates, read, reset=reset, resamples=resamples, confidence=confidence, block=block,
        seed=seed, common=common,
    )  # fmt: skip
    return dataclasses.replace(compared, settings={**compared.settings, "lmkit_version": lmkit.__version__})
