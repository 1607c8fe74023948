"""Making mixtures: weights and parameters that a text chooses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.mixture.cache import UnigramCache, tune_unigram
from lmkit.mixture.dynamic import DynamicEvaluation, tune_dynamic
from lmkit.mixture.linear import LinearMixture, check_weights
from lmkit.mixture.neural import NeuralCache, tune_neural
from lmkit.mixture.weights import fit_weights
from lmkit.model import LanguageModel
from lmkit.text import Corpus

__all__ = ["CACHES", "made"]

CACHES = {"unigram": (UnigramCache, tune_unigram), "neural": (NeuralCache, tune_neural)}


def made(
    models: list[LanguageModel],
    names: list[str],
    texts: list[Corpus] | None,
    weights: list[float] | None,
    cache: str | None,
    dynamic: bool,
    report: Callable[[str], object],
) -> tuple[LanguageModel, dict[str, Any]]:
    """Return what `lmkit.api.mix` makes of models, and a record of it.

    Raises
    ------
    OptionError, CorpusError
    """
    _check(models, texts, weights, cache, dynamic)
    for model, name in zip(models, names, strict=True):
        if model.settings().get("smoothing") == "stupid-backoff":
            raise OptionError(
                f"{name} gives scores, no probabilities (stupid back-off): it cannot be mixed; train another"
            )
    record: dict[str, Any] = {"mixed": names}
    mixed, ids = models[0], None
    if len(models) > 1:
        mixed = LinearMixture(models, weights or [1 / len(models)] * len(models), names)
        if weights is None:
            ids = _ids(mixed, texts)
            _warn_of_training_texts(models, names, texts)
            mixed = _weighted(mixed, ids, report)
    if dynamic or cache:
        ids = _ids(mixed, texts) if ids is None else ids
    if dynamic:
        mixed = _tuned(mixed, DynamicEvaluation, tune_dynamic, ids, report)
    if cache:
        mixed = _tuned(mixed, *CACHES[cache], ids, report)
    if texts is not None:
        record["tuned_on"] = [{"name": corpus.name, "sha256": corpus.sha256} for corpus in texts]
    return mixed, record


def _check(models, texts, weights, cache, dynamic):
    if not models:
        raise OptionError("no model is named")
    if cache is not None and cache not in CACHES:
        raise OptionError(f"--cache is {cache!r}; choose one of {', '.join(CACHES)}")
    if len(models) == 1 and not (cache or dynamic):
        raise OptionError("one model alone is no mixture: name another one, or give --cache or --dynamic")
    if weights is not None:
        check_weights(weights, len(models))
    if texts is None and (cache or dynamic or (len(models) > 1 and weights is None)):
        raise OptionError("weights and parameters are chosen under a text; name one with --tune, or give --weights")
    if texts is not None and weights is not None and not (cache or dynamic):
        raise OptionError("--weights are given: --tune has nothing to choose")
    if dynamic and len(models) > 1:
        raise OptionError("--dynamic goes with one recurrent model; mix the model that it makes with the others")


def _ids(model: LanguageModel, texts: list[Corpus]) -> np.ndarray:
    parts = [encoded.ids for corpus in texts for encoded in model.text.encode_corpus(corpus)]
    ids = np.concatenate([np.empty(0, np.int32), *parts])
    if not len(ids):
        raise CorpusError(f"{', '.join(corpus.title for corpus in texts)}: holds no tokens to tune on")
    return ids


def _warn_of_training_texts(models, names, texts):
    """Warn where a model knows the text already: its weight would be too large.

    The record of a training says what it read.
    """
    for model, name in zip(models, names, strict=True):
        training = model.metadata.get("training")
        corpora = training.get("corpora") if isinstance(training, dict) else None
        known = {entry.get("sha256") for entry in corpora or [] if isinstance(entry, dict)}
        for corpus in texts:
            if corpus.sha256 in known:
                warnings.warn(
                    f"{name} was trained on {corpus.title}, so that its weight comes out too large; tune on another "
                    "text", LmkitWarning, stacklevel=4,
                )  # fmt: skip


def _weighted(mixture: LinearMixture, ids: np.ndarray, report) -> LinearMixture:
    """Return the mixture with the weights that a text chooses."""
    scores, _ = mixture.member_scores(mixture.begin(1), ids[None, :])
    scores = scores[:, 0]
    if not np.isfinite(scores.max(axis=0)).all():
        raise CorpusError("a token of the text to tune on has no probability in any of the models")
    weights, trace = fit_weights(scores)
    for i, log_likelihood in enumerate(trace):
        report(f"EM {i}: {log_likelihood:.6f} nats a token")
    return LinearMixture(mixture.members, weights.tolist())


def _tuned(base, kind, tune, ids, report) -> LanguageModel:
    """Return a model that adapts, with the parameters that a text chooses."""
    found = tune(base, ids)
    for trial in found.trials:
        described = ", ".join(f"{key} {value:.6g}" for key, value in trial.parameters.describe().items())
        report(f"{kind.family}: {described}: {trial.log_likelihood:.6f} nats a token")
    return kind(base, found.parameters)
