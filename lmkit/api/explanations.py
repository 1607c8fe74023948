"""Texts as models see them, token by token: the numbers, pages and pictures of them, and the hidden units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import lmkit
from lmkit import arguments
from lmkit.arguments import Progress, Texts
from lmkit.explanation import Explained, WholeText, read_whole
from lmkit.explanation import explain as explain_texts
from lmkit.model import LanguageModel

if TYPE_CHECKING:
    from lmkit.units import Unit


def explain(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[Explained]:
    """Yield texts, some lines at a time, with the surprisal of each token as it stands: see `lmkit.explanation`.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the texts are, as in `train`; by default what they are to the models.

    Raises
    ------
    CorpusError
    OptionError
        The two models see different tokens.

    >>> m = lmkit.train([("rows", b"row row row your boat\\n")], order=2, smoothing="mle", tokenizer="whitespace")
    >>> [piece] = explain(m, ("line", b"row  row your boat\\n"))
    >>> piece.tokens, piece.surprisal.round(1).tolist()
    (['row', '  row', ' your', ' boat', '\\n'], [0.0, 0.6, 1.6, 0.0, 0.0])
    """
    models, names = _side_by_side(model, against, reserved)
    return explain_texts(models, names, arguments.corpora(texts, encoding, errors))


def neurons(
    model: LanguageModel,
    texts: Texts,
    units: str = "best",
    *,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> tuple[list[Unit], list[tuple[WholeText, np.ndarray]]]:
    """Return what units of a recurrent model track in texts, and their activations: see `lmkit.units`.

    Parameters
    ----------
    units : str
        "best", or names with commas between them: 57 of the last layer, 1.57 of the first one.
    reserved
        As in `explain`.

    Returns
    -------
    units : list of Unit
    texts : list of (WholeText, ndarray)
        Each text with its tokens, and the activation of each unit after each token, float32 (units, T).

    Raises
    ------
    ModelError
        The model has no hidden units.
    CorpusError, OptionError
    """
    from lmkit.units import find_units, recurrent_part, unit_activations

    models, names = _side_by_side(model, None, reserved)
    recurrent_part(models[0])
    read = read_whole(models, names, arguments.corpora(texts, encoding, errors))
    report = arguments.explaining(progress, read)
    found = find_units(models[0], read, units, report)
    return found, [(text, unit_activations(models[0], text, found)) for text in read]


def explain_page(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    units: str | None = None,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yield a page of HTML that shows texts as models see them, piece by piece: one file that needs no other.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens.
    units : str, optional
        Units of a recurrent model whose activations can be shown, too: see `neurons`.
    reserved
        As in `explain`.

    Raises
    ------
    CorpusError
        A text cannot be read, or they are longer than `lmkit.explanation.LONGEST` bytes.
    OptionError, ModelError
    """
    from lmkit.pages.page import page
    from lmkit.units import recurrent_part

    models, names = _side_by_side(model, against, reserved)
    if units is not None:
        recurrent_part(models[0])
    read = read_whole(models, names, arguments.corpora(texts, encoding, errors))
    report = arguments.explaining(progress, read, len(models) + (units is not None))
    return page(models, names, read, units, lmkit.__version__, report)


def explained_svg(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> str:
    """Return a picture of some lines of text, each token on the colour of its surprisal: SVG, for light and dark.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens: then the colours are of the difference.
    reserved
        As in `explain`.

    Raises
    ------
    CorpusError
        A text cannot be read, or they hold no tokens.
    OptionError
        The two models see different tokens, or there are more than `lmkit.pages.svg.LONGEST` characters.
    """
    from lmkit.pages.svg import svg

    pieces = explain(model, texts, against=against, reserved=reserved, encoding=encoding, errors=errors)
    return svg(pieces, model.text.settings.tokenizer)


def _side_by_side(model, against, reserved):
    """Return one or two models of their families, as they read texts, and their names."""
    models = [model] if against is None else [model, against]
    names = [getattr(m, "path", None) or f"model {i}" for i, m in enumerate(models, 1)]
    return [getattr(m, "language_model", m).reading(reserved) for m in models], names
