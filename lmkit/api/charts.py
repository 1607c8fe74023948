"""Curves of losses, and pictures of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lmkit import arguments, storage
from lmkit.api.models import Model, load
from lmkit.api.ngrams import prune
from lmkit.arguments import DEFAULT_VALID, Progress, Texts
from lmkit.errors import ModelError
from lmkit.text import TextSettings
from lmkit.threads import aside

if TYPE_CHECKING:
    from lmkit.plotting.chart import Chart


def learning_curves(
    models: Iterable[Model | str | os.PathLike],
    *,
    texts: Texts | None = None,
    axis: str | None = None,
    measure: str = "nats",
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
) -> Chart:
    """Return the learning curves of models, for `plot`, or to be read: see `lmkit.plotting.chart`.

    Parameters
    ----------
    models : iterable of paths or models
        Recurrent ones, or checkpoints of trainings that run. Others have no curve.
    texts : optional
        What models without a curve are scored on: their loss is a horizontal line.
    axis : {'time', 'tokens', 'steps'}, optional
        None: time and tokens.
    measure : {'nats', 'bits', 'perplexity'}
        Of each token.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the texts are, as in `train`; by default what they are to each model.
    threads : int, optional
        See `load`.

    Raises
    ------
    ModelError
        A model has no curve, and there is no text; or its record is damaged.
    OptionError, CorpusError

    Warns
    -----
    LmkitWarning
        The models' tokens differ: then their losses do not compare.
    """
    from lmkit.plotting.learning import chart_of

    listed = [models] if isinstance(models, (Model, str, os.PathLike)) else list(models)
    read = None if texts is None else arguments.corpora(texts, encoding, errors)
    trained = [_trained(model, number, threads, reserved) for number, model in enumerate(listed, 1)]
    return chart_of(trained, read, axis, measure)


def _trained(model, number, threads, reserved):
    """Return what is known of a model's training; a path is opened no further than that needs."""
    from lmkit.plotting.learning import Trained

    if isinstance(model, Model):
        metadata = {**model.text.metadata(), "training": model.metadata.get("training")}
        return Trained(model.path or f"model {number}", metadata, lambda: model.reading(reserved))
    path = os.fspath(model)
    running = f"{path}.checkpoint"
    if not os.path.exists(path) and os.path.exists(running):
        raise ModelError(f"{path}: not there yet, its training runs or was interrupted; name {running}")
    return Trained(path, storage.open_model_file(path).metadata, lambda: load(path, threads=threads).reading(reserved))


def vary(
    texts: Texts,
    what: str,
    levels: str | float | Iterable[float],
    *,
    smoothing: str | Iterable[str] = "modified-kneser-ney",
    valid: float | str | os.PathLike = DEFAULT_VALID,
    measure: str = "perplexity",
    tokenizer: str = "word",
    sentence: str | None = None,
    lowercase: bool = False,
    reserved: str = "error",
    vocabulary: str | os.PathLike | list[str] | None = None,
    escaped: bool | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
    **options,
) -> Chart:
    """Return how the loss of n-gram models goes with one thing, a curve for each smoothing: see `plot`.

    All know the words of the whole training text, and are scored on the same tokens.

    Parameters
    ----------
    texts
        As in `train`.
    what : {'order', 'size', 'ngrams', 'text'}
        What varies: n; the bytes or the n-grams to which models are pruned; the share of the training text.
    levels : str or iterable of float
        See `lmkit.plotting.variation.levels_of`: "1-7", [0.25, 0.5, 1].
    smoothing : str or iterable of str
    valid : float or path
        What is scored: the end of the text, so much of it or the rest of a line (of a paragraph) more, or another text.
    measure : {'nats', 'bits', 'perplexity'}
    tokenizer, sentence, lowercase, reserved, vocabulary, escaped, vocab_size, min_count, encoding, errors
        As in `train`.
    options
        order, cutoffs, k, ... as in `lmkit.ngram.options.NGramOptions`.

    Raises
    ------
    CorpusError, OptionError, ModelError

    >>> rows = ("rows", b"row row row your boat\\n" * 20)
    >>> chart = vary(rows, "order", "1-3", smoothing="witten-bell", tokenizer="whitespace")
    >>> [(row["order"], round(row["perplexity"], 2)) for row in chart.rows()]
    [(1, 3.49), (2, 1.41), (3, 1.27)]
    """
    from lmkit.plotting import variation

    study = variation.Study(what, levels, [smoothing] if isinstance(smoothing, str) else smoothing, options, measure)
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    material = variation.read_material(
        arguments.corpora(texts, encoding, errors), valid, settings, progress, vocabulary=vocabulary, escaped=escaped,
        vocab_size=vocab_size, min_count=min_count, encoding=encoding, errors=errors,
    )  # fmt: skip
    return aside(
        study.chart, material, progress, prune=lambda model, **to: prune(Model(model), **to).language_model,
        file_size=lambda model: Model(model).file_size(),
    )  # fmt: skip


def plot(
    chart: Chart,
    output: str | os.PathLike,
    *,
    scale: str = "auto",
    dimensions: tuple[float, float] | None = None,
) -> None:
    """Draw a chart (`learning_curves`, `vary`) into a file, PNG, SVG or PDF by its name; it needs matplotlib.

    In text it is drawn by `lmkit.plotting.text.draw_text`.

    Parameters
    ----------
    scale : {'auto', 'linear', 'log'}
        Of the horizontal axes.
    dimensions : (float, float), optional
        Width and height in inches.

    Raises
    ------
    OptionError
        The name has another ending, matplotlib is missing, or the chart does not fit.
    LmkitError
        All losses are infinite.
    """
    from lmkit.files import check_place, replacing
    from lmkit.plotting.figure import draw_figure, format_of

    form = format_of(output)
    check_place(output)
    picture = draw_figure(chart, form, scale=scale, dimensions=dimensions)
    with replacing(output) as file:
        file.write(picture)
