"""Charts as the tests draw them, and what is in a picture."""

import math

from lmkit.plotting.chart import AXES, HELD_OUT, TRAINING, VALIDATION, Chart, Curve
from lmkit.plotting.learning import COLUMNS

BLANK = 0x2800


def curve(number, name, part, losses, pace=1.0):
    steps = tuple(range(50, 50 * len(losses) + 1, 50))
    columns = {"step": steps, "epoch": steps, "seconds": tuple(pace * s for s in steps), "tokens": steps}
    return Curve(name, number, part, tuple(losses), columns)


def falling(count, end=1.4):
    return [end + 2.5 * math.exp(-i / 4) for i in range(count)]


def learning(models=2, points=8, axes=("time", "tokens"), measure="nats", name="m{}.lmkit"):
    curves = [
        curve(i, name.format(i), part, falling(points, 1 + i / 4 + (part == VALIDATION) / 9), 1 + i)
        for i in range(models)
        for part in (TRAINING, VALIDATION)
    ]
    return Chart(curves, tuple(AXES[axis] for axis in axes), COLUMNS, measure)


def orders(*losses, names=("mle", "katz", "absolute"), measure="perplexity"):
    curves = [
        Curve(name, i, HELD_OUT, tuple(of), {"order": tuple(range(1, len(of) + 1))})
        for i, (name, of) in enumerate(zip(names, losses, strict=False))
    ]
    return Chart(curves, (AXES["order"],), ("order",), measure, "a text", paired=False)
