"""One page of HTML: texts, what models expected at each place, and the script that shows it.

The page needs nothing else and may ask for nothing: its policy lets it run its own script and style, known by their
hashes, and load nothing. The text stands in it once, as text. What is known of its tokens is packed beside it
(`lmkit.pages.columns`); only what is near the window is unpacked.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmkit.colours import ACTIVATION, DIFFERENCE, SURPRISAL, on
from lmkit.evaluation import perplexity
from lmkit.explanation import WholeText
from lmkit.model import LanguageModel
from lmkit.pages.columns import TOP_UNIT, UNIT, Block, Columns, Field, Likely, blocks, fields, packed
from lmkit.text.visible import sign, visible
from lmkit.units import Unit, find_units

__all__ = ["GROUNDS", "page"]

PALETTES = {"s": SURPRISAL, "d": DIFFERENCE}
NOTABLE = 0.98  # of all tokens are less notable
GROUNDS = {  # and what is written on them: contrasts of 4.5 and more; of "line", a mere ornament, less
    "light": {
        "page": "#ffffff", "raised": "#f6f6f8", "ink": "#17171a", "muted": "#56565f", "accent": "#0b5cad",
        "line": "#c9c9d1",
    },
    "dark": {
        "page": "#1b1b1f", "raised": "#26262c", "ink": "#ececf1", "muted": "#a9a9b5", "accent": "#7ab8ff",
        "line": "#4a4a55",
    },
}  # fmt: skip


def page(
    models: Sequence[LanguageModel],
    names: Sequence[str],
    texts: Sequence[WholeText],
    which: str | None,
    version: str,
    report: Callable[[int], object] | None = None,
) -> Iterator[bytes]:
    """Yield the page, piece by piece.

    Parameters
    ----------
    models : sequence of LanguageModel
        One or two.
    names : sequence of str
        Of the models.
    texts : sequence of WholeText
    which : str or None
        Hidden units to be shown: see `lmkit.units.find_units`.
    version : str
        Of lmkit.
    report : callable, optional
        Called with the number of tokens of each block that a model has been asked about.
    """
    units = [] if which is None else find_units(models[0], texts, which, report)
    columns = [Columns(models, text, units, report) for text in texts]
    likely = [Likely(model, [c.details[m] for c in columns]) for m, model in enumerate(models)]
    parts = [list(blocks(c)) for c in columns]
    layout = fields(columns, likely, len(units))
    names, titles = [visible(name) for name in names], ", ".join(visible(text.title) for text in texts)
    told = [f"{name}: {_settings(model)}." for model, name in zip(models, names, strict=True)]
    meta = {
        **_tokens(models[0], parts, layout),
        "units": [unit.name for unit in units],
        "views": list(_views(names, columns, units)),
        "scales": _scales(),
        "models": [_model(model, names[m], m, columns, likely[m]) for m, model in enumerate(models)],
    }
    places = {
        "policy": [_policy()],
        "version": [version],
        "title": [_escaped(f"{titles}: surprisal")],
        "style": [_style()],
        "class": [models[0].text.settings.tokenizer],
        "heading": [_escaped(f"How surprising is {titles}?")],
        "totals": [_totals(name, m, columns) for m, name in enumerate(names)],
        "text": (_section(c, own, len(texts) > 1) for c, own in zip(columns, parts, strict=True)),
        "settings": [_escaped(" ".join([*told, f"lmkit {version}."]))],
        "meta": [_json(meta)],
        "data": (packed(block, likely, layout) + "\n" for own in parts for block in own),
        "script": [_resource("page.js")],
    }
    for i, part in enumerate(re.split(r"{{(\w+)}}", _resource("page.html"))):
        for piece in places[part] if i % 2 else [part]:
            yield piece.encode()


def _tokens(model: LanguageModel, parts: Iterable[list[Block]], layout: list[Field]) -> dict[str, Any]:
    """Return how blocks are packed, and what is said of tokens without text."""
    tokenizer = model.text.settings.tokenizer
    return {
        "fields": layout,
        "unit": UNIT,
        "topUnit": TOP_UNIT,
        "sizes": [block.tokens.stop - block.tokens.start for own in parts for block in own],
        "joined": sign(False, tokenizer),
        "joinedName": "no blank here" if tokenizer == "word" else "part of a character",
    }


def _model(model: LanguageModel, name: str, m: int, columns: list[Columns], likely: Likely) -> dict[str, Any]:
    """Return what is said of a model."""
    bits = sum(float(c.bits[m].sum()) for c in columns)
    ordered = all(c.details[m].orders is not None for c in columns)
    return {
        "name": name,
        "vocabulary": model.vocabulary_size - 1,  # `<s>` is never predicted
        "order": model.settings().get("order", 0) if ordered else 0,
        "bits": bits if math.isfinite(bits) else None,
        "tokens": likely.names,
        "top": likely.width,
    }


def _scales() -> dict[str, dict[str, Any]]:
    """Return where the levels of each scale begin, and what is written on them."""
    return {
        "surprisal": {"bounds": SURPRISAL.bounds, "labels": SURPRISAL.labels},
        "difference": {"bounds": DIFFERENCE.bounds, "labels": DIFFERENCE.labels},
        "unit": {"bounds": ACTIVATION.bounds, "labels": ACTIVATION.labels},
    }


def _views(names: list[str], columns: list[Columns], units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
    """Yield what the text can be coloured by."""
    if len(names) > 1:
        meaning = f"orange: more bits for {names[1]} than for {names[0]}, blue: fewer"
        with np.errstate(invalid="ignore"):
            differences = [c.bits[1] - c.bits[0] for c in columns]
        yield _view("difference", "difference", meaning, 0, differences)
        yield _view("both", "both, side by side", "bits of surprisal, from", 0, [c.bits[0] for c in columns])
    for m, name in enumerate(names if len(names) > 1 else ["surprisal"]):
        yield _view("surprisal", name, "bits of surprisal, from", m, [c.bits[m] for c in columns])
    for i, unit in enumerate(units):
        held = [c.units[:, i] / 127 for c in columns]
        yield _view("unit", unit.title, f"activation, {unit.strength}", i, held)


def _view(kind: str, name: str, meaning: str, index: int, numbers: list[np.ndarray]) -> dict[str, Any]:
    strength = np.abs(np.concatenate(numbers))
    finite = strength[np.isfinite(strength)]
    notable = float(np.quantile(finite, NOTABLE)) if len(finite) else 0.0
    return {"kind": kind, "name": name, "meaning": meaning, "index": index, "notable": notable}


def _totals(name: str, m: int, columns: list[Columns]) -> str:
    """Return the row of a model in the table of totals."""
    bits = np.concatenate([c.bits[m] for c in columns])
    mean = float(bits.mean())
    cells = (
        f"{len(bits):,}",
        f"{sum(len(c.text.oov) for c in columns):,}",
        f"{mean:.4g}",
        f"{perplexity(-mean * math.log(2), 1):.5g}",
    )
    return f'<tr><th scope="row">{_escaped(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _settings(model: LanguageModel) -> str:
    """Return the settings of a model that are words and numbers."""
    plain = {k: v for k, v in model.settings().items() if isinstance(v, (str, int, float)) and v is not False}
    return visible(", ".join(f"{key} {value}" for key, value in plain.items()))


def _section(columns: Columns, own: list[Block], titled: bool) -> str:
    """Return a text itself."""
    title = f"<h2>{_escaped(visible(columns.text.title))}</h2>" if titled else ""
    return title + "".join(f'<div class="b" dir="auto">{_escaped(block.shown)}</div>' for block in own)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _json(values: dict) -> str:
    """Return JSON that holds nothing which HTML could take for its own."""
    return json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _resource(name: str) -> str:
    return importlib.resources.files("lmkit.pages").joinpath(name).read_text("utf-8")


def _style() -> str:
    """Return the style, the palettes first."""
    rules = []
    for ground, values in GROUNDS.items():
        colours = dict(values)
        for letter, scale in PALETTES.items():
            for level, colour in enumerate(getattr(scale, ground)):
                colours |= {f"{letter}{level}": colour, f"{letter}{level}-ink": on(colour)}
        declared = " ".join(f"--{name}: {colour};" for name, colour in colours.items())
        rule = f":root {{ {declared} }}"
        rules.append(rule if ground == "light" else f"@media (prefers-color-scheme: dark) {{ {rule} }}")
    for letter, scale in PALETTES.items():
        rules += [
            f".{letter}{level} {{ background: var(--{letter}{level}); color: var(--{letter}{level}-ink); }}"
            for level in range(len(scale.terminal))
        ]
    return "\n".join([*rules, _resource("page.css")])


def _policy() -> str:
    """Return the policy: nothing is loaded, and no other script or style than these is used."""
    script, style = (
        base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for content in (_resource("page.js"), _style())
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
