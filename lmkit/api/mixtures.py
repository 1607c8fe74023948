"""Models made of models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import lmkit
from lmkit import arguments, storage
from lmkit.api.models import Model, load
from lmkit.arguments import Texts
from lmkit.errors import OptionError
from lmkit.threads import aside


def mix(
    models: Iterable[Model | str | os.PathLike],
    *,
    tune: Texts | None = None,
    rule: str = "linear",
    weights: Iterable[float] | None = None,
    weights_by: str | None = None,
    cache: str | None = None,
    dynamic: bool = False,
    static: bool = False,
    output: str | os.PathLike | None = None,
    by_reference: bool = False,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    report: Callable[[str], object] | None = None,
) -> Model:
    """Return a mixture of models, or one that adapts to the running text, and save it if `output` is given.

    Parameters
    ----------
    models
        Of two and more a mixture is made.
    tune
        The text under which weights and parameters are chosen: what none of the models was trained on.
    rule : {'linear', 'log-linear'}
        Predict with the weighted mean of what the models predict, or with their weighted product.
    weights : iterable of float
        Or the weights themselves: from 0 to 1 with the sum 1, of log-linear mixtures exponents from 0 to 100.
    weights_by : {'context'}, optional
        Choose weights for each bucket of contexts of the first n-gram model: see `lmkit.mixture.buckets`.
    cache : {'unigram', 'neural'}, optional
        Let the model, or the mixture, expect words again that came a little while ago; `neural` goes by the hidden
        vectors of a recurrent model.
    dynamic : bool
        Let a recurrent model learn from the text that it reads.
    static : bool
        Compile a mixture of n-gram models into one n-gram model (Stolcke 2002): see `lmkit.mixture.static`. The
        mixture may be a single model that was made before.
    by_reference : bool
        Name the models in the file, by where their own files lie, instead of embedding them: see
        `lmkit.mixture.members`.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the text to tune on are, as in `train`; by default what they are to the models.
    report : callable, optional
        Called with a line for each step of the search.

    Raises
    ------
    OptionError, ModelError, CorpusError

    >>> cows = lmkit.train(("cows", b"cows eat corn\\n" * 9), order=2, tokenizer="byte", smoothing="witten-bell")
    >>> hens = lmkit.train(("hens", b"hens eat corn\\n" * 9), order=2, tokenizer="byte", smoothing="witten-bell")
    >>> both = mix([cows, hens], tune=("tune", b"hens eat corn\\n"))
    >>> [round(w, 2) for w in both.language_model.weights]
    [0.0, 1.0]
    """
    from lmkit.mixture.making import made
    from lmkit.mixture.members import check_origins

    listed = [models] if isinstance(models, (Model, str, os.PathLike)) else list(models)
    if output is not None:
        storage.check_target(output, [m for m in listed if not isinstance(m, Model)])
    loaded = [m if isinstance(m, Model) else load(m) for m in listed]
    names = [m.path or f"model {i + 1}" for i, m in enumerate(loaded)]
    if by_reference:
        if static:
            raise OptionError("--static makes one model of all, which has no members that --by-reference could name")
        if output is None:
            raise OptionError("by_reference says what the file of a mixture holds; give it an output")
        for model, name in zip(loaded, names, strict=True):
            check_origins(model.language_model, name, output)
    texts = None if tune is None else arguments.corpora(tune, encoding, errors)
    mixed, record = aside(
        made, [m.language_model for m in loaded], names, texts, rule, None if weights is None else list(weights),
        weights_by, cache, dynamic, static, report or (lambda line: None), reserved,
    )  # fmt: skip
    mixed.metadata["training"] = {**record, "lmkit_version": lmkit.__version__}
    model = Model(mixed)
    if output is not None:
        model.save(output, by_reference=by_reference)
    return model
