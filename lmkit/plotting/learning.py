"""Learning curves: the record of a training, as it stands in a model file or a checkpoint."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lmkit.arguments import whole
from lmkit.errors import LmkitWarning, ModelError, OptionError
from lmkit.evaluation import evaluate
from lmkit.model import LanguageModel
from lmkit.plotting.chart import AXES, TRAINING, VALIDATION, Chart, Curve
from lmkit.text import Corpus

__all__ = ["HORIZONTAL", "COLUMNS", "Trained", "chart_of", "curves_of"]

HORIZONTAL = ("time", "tokens", "steps")
COLUMNS = ("step", "epoch", "seconds", "tokens")
MOST = 2.0**62  # a count, a time or a loss beyond it is none


@dataclasses.dataclass(frozen=True)
class Point:
    """One validation: how far the training was, and its losses in nats a token.

    `train_loss` is the mean since the validation before; `valid_loss` is None where nothing is held out, `seconds`
    where the file was to be reproducible.
    """

    step: int
    epoch: float
    seconds: float | None
    tokens: int
    train_loss: float
    valid_loss: float | None


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model whose training is of interest, not opened yet.

    Attributes
    ----------
    name : str
    metadata : dict
        Of its file, untrusted.
    open : callable
        Returns the model.
    """

    name: str
    metadata: dict[str, Any]
    open: Callable[[], LanguageModel]


def chart_of(models: Sequence[Trained], corpora: Sequence[Corpus] | None, axis: str | None, measure: str) -> Chart:
    """Return the learning curves of models, and the losses on a text, if there is one, of those without a curve.

    Parameters
    ----------
    axis : {'time', 'tokens', 'steps'}, optional
        None: time and tokens, without time where a model has no record of it.

    Raises
    ------
    ModelError
        A record is damaged; a model has no curve, and there is no text.
    OptionError, CorpusError

    Warns
    -----
    LmkitWarning
        The models' tokens differ: then their losses do not compare. A text is known to a model, or of no use.
    """
    if axis not in (None, *HORIZONTAL):
        raise OptionError(f"--axis is {axis!r}; choose one of {', '.join(HORIZONTAL)}")
    if not models:
        raise OptionError("no model is named")
    found = [curves_of(model.metadata, model.name, number) for number, model in enumerate(models)]
    timeless = [model.name for model, curves in zip(models, found, strict=True) if curves and not _has_times(curves)]
    if axis == "time" and timeless:
        raise OptionError(
            f"{timeless[0]} has no record of time, as it was trained with SOURCE_DATE_EPOCH; choose --axis tokens"
        )
    axes = [axis] if axis else [name for name in HORIZONTAL[:2] if name != "time" or not timeless]
    chart = Chart([], tuple(AXES[name] for name in axes), COLUMNS, measure)
    without = [model.name for model, curves in zip(models, found, strict=True) if not curves]
    if without and corpora is None:
        raise ModelError(
            f"{without[0]} has no learning curve: it was not trained in steps, or is not validated yet; name a text "
            "with --text, and its loss there is drawn as a line"
        )
    if corpora is not None and not without:
        unused = "--text is for models without a learning curve, and all of these have one: it is not read"
        warnings.warn(unused, LmkitWarning, stacklevel=3)
    parts = whole(corpora) if corpora is not None and without else []
    for number, (model, curves) in enumerate(zip(models, found, strict=True)):
        chart.curves.extend(curves or [_level(model, number, parts)])
    _compare_tokens(models)
    return chart


def _has_times(curves: Sequence[Curve]) -> bool:
    return AXES["time"].name in curves[0].columns


def _level(model: Trained, number: int, parts: list[tuple[str, bytes]]) -> Curve:
    """Return the loss of a model on a text."""
    corpora = [Corpus(name, "utf-8", "keep", data) for name, data in parts]
    evaluation = evaluate(model.open(), corpora)
    record = model.metadata.get("training")
    learnt = record.get("corpora") if isinstance(record, dict) else None
    known = {entry.get("sha256") for entry in learnt if isinstance(entry, dict)} if isinstance(learnt, list) else set()
    for corpus in corpora:
        if corpus.sha256 in known:
            warnings.warn(
                f"{model.name} was trained on {corpus.title}: its loss there is too small; give another --text",
                LmkitWarning,
                stacklevel=4,
            )
    loss = -evaluation.log_probability / evaluation.tokens
    return Curve(model.name, number, ", ".join(name for name, _ in parts), (loss,))


def _compare_tokens(models: Sequence[Trained]) -> None:
    """Warn of models that cut text into other tokens than the first one."""
    settings = ("tokenizer", "sentence", "lowercase")
    first, *others = [model.metadata.get("text") for model in models]
    for model, other in zip(models[1:], others, strict=True):
        if not isinstance(first, dict) or not isinstance(other, dict):
            continue
        for name in settings:
            if first.get(name) != other.get(name):
                warnings.warn(
                    f"the losses of {models[0].name} and {model.name} are of different tokens and do not compare: "
                    f"{name} is {first.get(name)} and {other.get(name)}",
                    LmkitWarning,
                    stacklevel=4,
                )
                return


def curves_of(metadata: dict[str, Any], name: str, number: int) -> list[Curve]:
    """Return the curves of a training: its own loss, and that of the validation if there was any.

    Parameters
    ----------
    metadata : dict
        Of a model file, untrusted.
    name : str
        Of the model.
    number : int
        Of the model among those of a chart.

    Returns
    -------
    list of Curve
        Empty for a model that was not trained in steps, or whose training has not been validated yet.

    Raises
    ------
    ModelError
        The record is damaged.
    """
    record = metadata.get("training")
    history = record.get("history") if isinstance(record, dict) else None
    if history is None:
        return []
    try:
        points = _points(record, history)
    except (KeyError, TypeError, ValueError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ModelError(f"{name}: the record of its training is damaged: {missing}; train it anew") from None
    if not points:
        return []
    known = [column for column in COLUMNS if getattr(points[0], column) is not None]
    columns = {column: tuple(getattr(point, column) for point in points) for column in known}
    curves = [Curve(name, number, TRAINING, tuple(point.train_loss for point in points), columns)]
    if points[0].valid_loss is not None:
        curves.append(Curve(name, number, VALIDATION, tuple(point.valid_loss for point in points), columns))
    return curves


def _points(record: dict[str, Any], history: Any) -> list[Point]:
    """Return the validations of a record.

    Records of lmkit 0.1.0 say of tokens only how many there were in the end: as many in each step, but for those at
    the end of a pass, which may be shorter.
    """
    if not isinstance(history, list):
        raise TypeError(f"its history is {type(history).__name__}, not a list")
    points: list[Point] = []
    for i, entry in enumerate(history, 1):
        if not isinstance(entry, dict):
            raise TypeError(f"entry {i} of its history is no record")
        step = _number(entry, "step", i, whole=True)
        if "tokens" in entry:
            tokens = _number(entry, "tokens", i, whole=True)
        else:
            steps, all_tokens = (_number(record, key, None, whole=True) for key in ("steps", "tokens_trained"))
            tokens = round(step / max(steps, step, 1) * all_tokens)
        valid = _number(entry, "valid_loss", i) if "valid_loss" in entry else None
        seconds = _number(entry, "seconds", i) if "seconds" in entry else None
        epoch, train = (_number(entry, key, i) for key in ("epoch", "train_loss"))
        point = Point(step, epoch, seconds, tokens, train, valid)
        _check_follows(point, points[-1] if points else None, i)
        points.append(point)
    return points


def _number(entry: dict, key: str, i: int | None, whole: bool = False) -> Any:
    value = entry[key]
    if type(value) is not int and (whole or type(value) is not float):
        raise TypeError(f"{_place(i)}{key} is {str(value)[:40]!r}, no number")
    if not (0 <= value < MOST and math.isfinite(value)):
        raise ValueError(f"{_place(i)}{key} is {str(value)[:40]}")
    return value


def _place(i: int | None) -> str:
    return "" if i is None else f"entry {i} of its history: "


def _check_follows(point: Point, before: Point | None, i: int) -> None:
    if before is None:
        return
    if (point.valid_loss is None) != (before.valid_loss is None):
        raise ValueError(f"{_place(i)}some entries have a valid_loss and some have none")
    if (point.seconds is None) != (before.seconds is None):
        raise ValueError(f"{_place(i)}some entries have seconds and some have none")
    if point.step <= before.step or (point.seconds or 0) < (before.seconds or 0):
        raise ValueError(f"{_place(i)}step {point.step} does not follow step {before.step}")
