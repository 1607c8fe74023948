"""What single units of a recurrent network keep track of (Karpathy, Johnson and Fei-Fei 2015).

A unit is looked for by the correlation (Pearson's r) of its activation with a feature of the text, over all tokens:

    position    how many characters of the line have been read
    speaker     1 in the name of a speaker: a line that ends with a colon, in capitals or at the start of a paragraph
    quote       1 inside quotation marks: straight or curly double ones, or guillemets; a blank line ends all

An activation belongs to the token that was read last.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.explanation import WholeText
from lmkit.mixture.linear import LinearMixture
from lmkit.mixture.wrapper import Wrapper
from lmkit.model import LanguageModel
from lmkit.rnn.model import RNNModel
from lmkit.text.places import code_points

__all__ = ["BEST", "FEATURES", "Unit", "find_units", "recurrent_part", "text_features", "unit_activations"]

BEST = "best"
FEATURES = {"position": "position in the line", "speaker": "names of speakers", "quote": "inside quotation marks"}
BLOCK = 4096  # tokens whose activations are held at once
MOST_UNITS = 16
LEAST_TOKENS = 1000  # with fewer, the largest of many correlations is large by chance
LONGEST_NAME = 60  # characters of a line that may be a speaker's name
NEWLINE = ord("\n")
EVENTS = re.compile('["“”«»]|\n[ \t\r]*(?=\n)')


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit, counted from 1 as its layer is, and the feature of the text that it tracks best.

    Attributes
    ----------
    layer, number : int
    feature : str or None
        One of `FEATURES`; None where the text has none of them, or the unit never moves.
    correlation : float
        From -1 to 1.
    """

    layer: int
    number: int
    feature: str | None
    correlation: float

    @property
    def name(self) -> str:
        """Layer and number: 2.57."""
        return f"{self.layer}.{self.number}"

    @property
    def title(self) -> str:
        """The name, and what it tracks."""
        return f"unit {self.name}" + ("" if self.feature is None else f": {FEATURES[self.feature]}")

    @property
    def strength(self) -> str:
        """How well it tracks that."""
        return "no correlation" if self.feature is None else f"r = {self.correlation:+.2f}"


def recurrent_part(model: LanguageModel) -> tuple[RNNModel, np.ndarray | None]:
    """Return the recurrent network of a model, and its id for each token of the model where they differ.

    Raises
    ------
    ModelError
        The model has no network, or more than one.
    """
    found = list(_networks(model, None))
    if not found:
        raise ModelError(
            f"models of the family {model.family} have no hidden units; --neurons goes with recurrent models "
            "(lmkit train --arch lstm)"
        )
    if len(found) > 1:
        raise ModelError(f"the mixture has {len(found)} recurrent networks; give the one that is meant with -m")
    return found[0]


def _networks(model, ids) -> Iterator[tuple[RNNModel, np.ndarray | None]]:
    if isinstance(model, RNNModel):
        yield model, ids
    elif isinstance(model, Wrapper):
        yield from _networks(model.base, ids)
    elif isinstance(model, LinearMixture):
        for member, mapping in zip(model.members, model.mappings, strict=True):
            yield from _networks(member, mapping.ids if ids is None else mapping.ids[ids])


def find_units(
    model: LanguageModel, texts: Sequence[WholeText], which: str = BEST, progress: Callable[[int], object] | None = None
) -> list[Unit]:
    """Return the units that are meant, with what each tracks best in some texts.

    Parameters
    ----------
    which : str
        "best": for each feature that the texts have, the unit that tracks it best. Or units with commas between them:
        57 of the last layer, 1.57 of the first.
    progress : callable, optional
        Called with the number of tokens of each block.

    Raises
    ------
    ModelError
        The model has no hidden units.
    OptionError
        There is no such unit; or the best are asked for, and the texts have nothing to track, or fewer than
        `LEAST_TOKENS` tokens.
    """
    shape = recurrent_part(model)[0].shape
    named = None if which == BEST else _parsed(which, shape)
    tokens = sum(len(text.ids) for text in texts)
    if named is None and tokens < LEAST_TOKENS:
        raise OptionError(
            f"the text has {tokens:,} token{'s' * (tokens != 1)}, and --neurons {BEST} needs {LEAST_TOKENS:,} or more: "
            "in fewer, some units track anything by chance; give more text, or name units, such as --neurons 1,2"
        )
    r = _correlations(model, texts, progress)
    strength = np.nan_to_num(np.abs(r))
    if named is not None:
        return [_unit(r, int(strength[(slice(None), *place)].argmax()), place) for place in named]
    units = []
    for feature in np.flatnonzero(strength.any(axis=(1, 2))).tolist():
        layer, number = np.unravel_index(strength[feature].argmax(), strength.shape[1:])
        units.append(_unit(r, feature, (int(layer), int(number))))
        strength[:, layer, number] = 0  # each feature has a unit of its own
    if not units:
        raise OptionError(
            "nothing in the text could be tracked: no lines, names of speakers or quotes; name units, such as "
            "--neurons 1,2"
        )
    return units


def _unit(r, feature, place):
    layer, number = place
    correlation = float(r[feature, layer, number])
    if np.isnan(correlation):
        return Unit(layer + 1, number + 1, None, 0.0)
    return Unit(layer + 1, number + 1, list(FEATURES)[feature], correlation)


def _parsed(which, shape):
    """Return (layer, unit) from 0 for each unit that is named."""
    found = []
    for part in which.split(","):
        named = re.fullmatch(r"\s*(?:(\d{1,9})\.)?(\d{1,9})\s*", part)
        layer, number = (int(named[1] or shape.layers), int(named[2])) if named else (0, 0)
        if not (1 <= layer <= shape.layers and 1 <= number <= shape.hidden):
            layers = f", with 1. to {shape.layers}. before it for a layer" if shape.layers > 1 else ""
            raise OptionError(
                f"--neurons {which}: {part!r} is no unit; name them by numbers from 1 to {shape.hidden}{layers}, with "
                f"commas between them, or say {BEST}"
            )
        found.append((layer - 1, number - 1))
    if len(found) > MOST_UNITS:
        raise OptionError(f"--neurons names {len(found)} units; {MOST_UNITS} can be shown at once")
    return found


def unit_activations(model: LanguageModel, text: WholeText, units: Sequence[Unit]) -> np.ndarray:
    """Return the activations of some units after each token of a text, float32 (units, T)."""
    layers, numbers = [unit.layer - 1 for unit in units], [unit.number - 1 for unit in units]
    chosen = (block[:, layers, numbers] for block in _activations(model, text))
    blocks = [np.empty((0, len(units)), np.float32), *chosen]
    return np.ascontiguousarray(np.concatenate(blocks).T)


def _activations(model, text) -> Iterator[np.ndarray]:
    """Yield the activations of all units, (t, layers, H), some tokens at a time."""
    network, mapping = recurrent_part(model)
    ids = text.ids if mapping is None else mapping[text.ids]
    state = network.begin()
    for begin in range(0, len(ids), BLOCK):
        held, state = network.activations(state, ids[None, begin : begin + BLOCK])
        yield held[0]


def _correlations(model, texts, progress):
    """Return r of each feature and unit, (features, layers, H); NaN where one of the two never changes."""
    shape = recurrent_part(model)[0].shape
    units = shape.layers * shape.hidden
    features, n = len(FEATURES), 0
    sums, squares = np.zeros(units), np.zeros(units)
    feature_sums, feature_squares, products = np.zeros(features), np.zeros(features), np.zeros((features, units))
    for text in texts:
        f, begin = text_features(text.text, text.ends), 0
        for held in _activations(model, text):
            a = held.reshape(len(held), units).astype(np.float64)
            part = f[:, begin : begin + len(held)]
            begin, n = begin + len(held), n + len(held)
            sums, squares = sums + a.sum(axis=0), squares + (a * a).sum(axis=0)
            feature_sums, feature_squares = feature_sums + part.sum(axis=1), feature_squares + (part * part).sum(axis=1)
            products = products + part @ a
            if progress is not None:
                progress(len(held))
    spread = np.sqrt(np.maximum(n * squares - sums**2, 0))
    feature_spread = np.sqrt(np.maximum(n * feature_squares - feature_sums**2, 0))
    spread[spread < 1e-6 * n] = 0  # what is left of rounding
    spreads = np.outer(feature_spread, spread)
    r = (n * products - np.outer(feature_sums, sums)) / np.where(spreads > 0, spreads, np.nan)
    return r.reshape(features, shape.layers, shape.hidden)


def text_features(text: str, ends: np.ndarray) -> np.ndarray:
    r"""Return each feature after each token, float64 (features, T), in the order of `FEATURES`.

    Parameters
    ----------
    ends : ndarray of int64, shape (T,)
        See `lmkit.text.places.Placed`.

    >>> text_features('MIA:\n"No"', np.arange(1, 10)).astype(int).tolist()
    [[1, 2, 3, 4, 0, 1, 2, 3, 4], [1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1, 0]]
    """
    codes = code_points(text)
    newlines = np.flatnonzero(codes == NEWLINE)
    begins = np.append(0, newlines + 1)
    position = ends - begins[np.searchsorted(newlines, ends, side="left")]
    marks = np.zeros((2, len(codes) + 1))  # after the last one for a text that is empty
    for begin, end in _speakers(text):
        marks[0, begin:end] = 1
    for begin, end in _quotes(text):
        marks[1, begin:end] = 1
    inside = np.where(ends > 0, marks[:, np.maximum(ends - 1, 0)], 0)
    return np.stack([position.astype(np.float64), *inside])


def _speakers(text) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each line that is the name of a speaker."""
    begin, fresh = 0, True
    for line in text.split("\n"):
        name = line.strip()
        if name.endswith(":") and len(name) <= LONGEST_NAME and (fresh or name.isupper()):
            yield begin, begin + len(line)
        fresh = not name
        begin += len(line) + 1


def _quotes(text) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what stands in quotation marks, with the first mark and without the last."""
    opened = None
    for event in EVENTS.finditer(text):
        mark = event[0]
        if mark[0] == "\n":
            opened = None
        elif opened is None:
            opened = event.start() if mark in '"“«' else None
        elif mark in '"”»':
            yield opened, event.start()
            opened = None
