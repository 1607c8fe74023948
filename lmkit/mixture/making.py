"""Making mixtures: weights and parameters that a text chooses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.evaluation import trained_on
from lmkit.mixture.buckets import BucketedMixture, Buckets, chosen_bounds, context_member, sizes_before
from lmkit.mixture.cache import UnigramCache, tune_unigram
from lmkit.mixture.dynamic import DynamicEvaluation, tune_dynamic
from lmkit.mixture.exponents import fit_exponents
from lmkit.mixture.linear import LinearMixture, check_weights
from lmkit.mixture.neural import NeuralCache, tune_neural
from lmkit.mixture.product import LogLinearMixture, check_exponents
from lmkit.mixture.static import check_compiles, compiled
from lmkit.mixture.weights import fit_bucket_weights, fit_weights
from lmkit.model import LanguageModel
from lmkit.ngram.model import FOLLOWERS
from lmkit.text import Corpus

__all__ = ["CACHES", "RULES", "made"]

CACHES = {"unigram": (UnigramCache, tune_unigram), "neural": (NeuralCache, tune_neural)}
RULES = {"linear": (LinearMixture, check_weights), "log-linear": (LogLinearMixture, check_exponents)}


def made(
    models: list[LanguageModel],
    names: list[str],
    texts: list[Corpus] | None,
    rule: str,
    weights: list[float] | None,
    weights_by: str | None,
    cache: str | None,
    dynamic: bool,
    static: bool,
    report: Callable[[str], object],
    reserved: str | None = None,
) -> tuple[LanguageModel, dict[str, Any]]:
    """Return what `lmkit.api.mix` makes of models, and a record of it.

    Raises
    ------
    OptionError, CorpusError, ModelError
    """
    _check(models, texts, rule, weights, weights_by, cache, dynamic, static)
    for model, name in zip(models, names, strict=True):
        if model.settings().get("smoothing") == "stupid-backoff":
            raise OptionError(
                f"{name} gives scores, no probabilities (stupid back-off): it cannot be mixed; train another"
            )
        if static:
            check_compiles(model, name)
    record: dict[str, Any] = {"mixed": names}
    mixed, ids = models[0], None
    if len(models) > 1:
        mixed = RULES[rule][0](models, weights or [1 / len(models)] * len(models), names)
        if weights_by is not None:
            context_member(mixed.members)
        if weights is None:
            ids = _ids(mixed, texts, reserved)
            _warn_of_training_texts(models, names, texts)
            fitted = _multiplied if rule == "log-linear" else _weighted if weights_by is None else _bucketed
            mixed = fitted(mixed, ids, report)
    if static:
        mixed = compiled(mixed)
        report(f"compiled: {sum(mixed.trie.sizes[1:])} n-grams")
    if dynamic or cache:
        ids = _ids(mixed, texts, reserved) if ids is None else ids
    if dynamic:
        mixed = _tuned(mixed, DynamicEvaluation, tune_dynamic, ids, report)
    if cache:
        mixed = _tuned(mixed, *CACHES[cache], ids, report)
    if texts is not None:
        record["tuned_on"] = [{"name": corpus.name, "sha256": corpus.sha256} for corpus in texts]
    return mixed, record


def _check(models, texts, rule, weights, weights_by, cache, dynamic, static):
    if not models:
        raise OptionError("no model is named")
    if rule not in RULES:
        raise OptionError(f"--rule is {rule!r}; choose one of {', '.join(RULES)}")
    if static and (rule != "linear" or weights_by is not None):
        raise OptionError("--static compiles linear mixtures with one weight for each model")
    if weights_by not in (None, "context"):
        raise OptionError(f"--weights-by is {weights_by!r}; weights can go by the context: --weights-by context")
    if rule != "linear" and weights_by is not None:
        raise OptionError(f"--weights-by {weights_by} goes with --rule linear")
    if (rule != "linear" or weights_by is not None) and len(models) == 1:
        given = f"--rule {rule}" if weights_by is None else f"--weights-by {weights_by}"
        raise OptionError(f"one model alone is no mixture: name another one for {given}")
    if weights is not None and weights_by is not None:
        raise OptionError(f"--weights are given: --weights-by {weights_by} has nothing to choose")
    if cache is not None and cache not in CACHES:
        raise OptionError(f"--cache is {cache!r}; choose one of {', '.join(CACHES)}")
    to_compile = static and models and isinstance(models[0], LinearMixture)
    if len(models) == 1 and not to_compile and (static or not (cache or dynamic)):
        raise OptionError("one model alone is no mixture: name another one, or give --cache or --dynamic")
    if weights is not None and len(models) == 1:
        raise OptionError("--weights are those of several models: name another one")
    if weights is not None:
        RULES[rule][1](weights, len(models))
    if texts is None and (cache or dynamic) and (len(models) == 1 or weights is not None):
        raise OptionError("the parameters of --cache and --dynamic are chosen under a text; name one with --tune")
    if texts is None and (cache or dynamic or (len(models) > 1 and weights is None)):
        raise OptionError("weights and parameters are chosen under a text; name one with --tune, or give --weights")
    if texts is not None and (weights is not None or len(models) == 1) and not (cache or dynamic):
        raise OptionError("the weights are given: --tune has nothing to choose")
    if dynamic and static:
        raise OptionError("--dynamic lets a network learn, and --static compiles n-gram models: give one of them")
    if dynamic and len(models) > 1:
        raise OptionError("--dynamic goes with one recurrent model; mix the model that it makes with the others")


def _ids(model: LanguageModel, texts: list[Corpus], reserved: str | None) -> np.ndarray:
    text = model.text.reading(reserved)
    parts = [encoded.ids for corpus in texts for encoded in text.encode_corpus(corpus)]
    ids = np.concatenate([np.empty(0, np.int32), *parts])
    if not len(ids):
        raise CorpusError(f"{', '.join(corpus.title for corpus in texts)}: holds no tokens to tune on")
    return ids


def _warn_of_training_texts(models, names, texts):
    """Warn where a model knows the text already: its weight would be too large.

    The record of a training says what it read.
    """
    for model, name in zip(models, names, strict=True):
        for corpus in trained_on(model, texts):
            warnings.warn(
                f"{name} was trained on {corpus.title}, so that its weight comes out too large; tune on another "
                "text", LmkitWarning, stacklevel=4,
            )  # fmt: skip


def _weighted(mixture: LinearMixture, ids: np.ndarray, report) -> LinearMixture:
    """Return the mixture with the weights that a text chooses."""
    weights, trace = fit_weights(_scores(mixture, ids))
    _report_trace(trace, report)
    report(f"weights {', '.join(f'{weight:.4f}' for weight in weights)}")
    return LinearMixture(mixture.members, weights.tolist())


def _bucketed(mixture: LinearMixture, ids: np.ndarray, report) -> BucketedMixture:
    """Return a mixture with the weights that a text chooses for each bucket of contexts."""
    scores, first = _scores(mixture, ids), context_member(mixture.members)
    sizes = sizes_before(mixture, first, mixture.begin(1), ids[None, :])[0]
    buckets = Buckets(mixture.members[first].context_measure, chosen_bounds(sizes))
    if buckets.measure == FOLLOWERS:
        report("the n-gram model keeps no counts: contexts go by how many different tokens follow them")
    of_tokens = buckets.of(sizes)
    weights, trace = fit_bucket_weights(scores, of_tokens)
    _report_trace(trace, report)
    for name, tokens, chosen in zip(buckets.names(), np.bincount(of_tokens).tolist(), weights.tolist(), strict=True):
        listed = ", ".join(f"{weight:.4f}" for weight in chosen)
        report(f"{name}: {tokens} tokens, weights {listed}")
    return BucketedMixture(mixture.members, weights.tolist(), buckets)


def _scores(mixture: LinearMixture, ids: np.ndarray) -> np.ndarray:
    """Return log p_m of each token of a text, (members, T)."""
    scores = mixture.member_scores(mixture.begin(1), ids[None, :])[0][:, 0]
    if not np.isfinite(scores.max(axis=0)).all():
        raise CorpusError("a token of the text to tune on has no probability in any of the models")
    return scores


def _report_trace(trace: list[float], report) -> None:
    for i, log_likelihood in enumerate(trace):
        report(f"EM {i}: log-likelihood {log_likelihood:.6f} nats a token")


def _multiplied(mixture: LogLinearMixture, ids: np.ndarray, report) -> LogLinearMixture:
    """Return the product with the exponents that a text chooses."""
    exponents, moments = fit_exponents(mixture, ids, report)
    for i in np.flatnonzero(moments.impossible):
        warnings.warn(
            f"member {i + 1} ({mixture.members[i].family}) gives some token of the text to tune on no probability, so "
            "that its exponent is 0", LmkitWarning, stacklevel=4,
        )  # fmt: skip
    return LogLinearMixture(mixture.members, exponents.tolist())


def _tuned(base, kind, tune, ids, report) -> LanguageModel:
    """Return a model that adapts, with the parameters that a text chooses."""
    found = tune(base, ids)
    for trial in found.trials:
        described = ", ".join(f"{key} {value:.6g}" for key, value in trial.parameters.describe().items())
        report(f"{kind.family}: {described}: log-likelihood {trial.log_likelihood:.6f} nats a token")
    chosen = found.parameters.describe()
    report(f"{kind.family}: {', '.join(f'{key} {value:.6g}' for key, value in chosen.items())}")
    if chosen.get("weight") == 0:
        report(f"{kind.family}: it gains nothing under the text to tune on")
    return kind(base, found.parameters)
