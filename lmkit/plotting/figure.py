"""Charts as pictures: PNG, SVG and PDF by matplotlib, which is imported here only.

Curves are told apart three times: by colour, out of the palette of Okabe and Ito (2008), which colour-blind readers can
use; by marker; and by the line, dashed for trainings. The same chart gives the same bytes. No font of the system is
needed: matplotlib brings DejaVu Sans along, and SVG keeps text as text, for whatever font its reader has.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

from lmkit.characters import one_line
from lmkit.errors import OptionError
from lmkit.plotting.chart import TRAINING, Axis, Chart, Curve, shortened
from lmkit.plotting.scales import Scale, scales_of

__all__ = ["FORMATS", "check_drawing", "draw_figure", "format_of"]

FORMATS = ("png", "svg", "pdf")
# Okabe and Ito (2008), those first that differ most from white; their yellow is too light for a line
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", ">", "<", "*")  # 11 and 7: curves are alike after 77 models
INK, GRID = "#222222", "#DDDDDD"  # contrast of 16:1 to white, and lines to be overlooked
PANEL, HEIGHT = 4.6, 3.4  # inches, without the legend
FONT, LETTER, LINE = 9.0, 0.08, 0.18  # points; inches of a letter, and of a line of the legend
HANDLE = 0.55  # inches of the line before a name
AROUND = {"x": 1.0, "y": 0.9}  # inches that labels take
LEAST, MOST = 1.5, 60.0  # inches
MARKED = 24  # markers of a curve at most
DPI, PALETTE = 150, 128
SETTINGS = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": FONT, "axes.titlesize": FONT,
    "text.color": INK, "text.parse_math": False, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.linewidth": 0.8, "savefig.dpi": DPI, "svg.fonttype": "none", "svg.hashsalt": "lmkit",
    "pdf.fonttype": 42,
}  # fmt: skip
NO_DATES = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def format_of(path: str | os.PathLike) -> str:
    """Return the format that the name of a picture asks for.

    Raises
    ------
    OptionError
        It asks for none of FORMATS.
    """
    name = os.fspath(path)
    found = os.path.splitext(name)[1].lower().lstrip(".")
    if found not in FORMATS:
        ends = f"ends with .{found}" if found else "has no ending"
        raise OptionError(f"{name}: a picture is a .png, .svg or .pdf file, and this name {ends}; choose another -o")
    return found


def check_drawing() -> None:
    """See that matplotlib is there.

    Raises
    ------
    OptionError
        It is not, with the command that installs it.
    """
    with quietly():
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise OptionError(
                f"pictures need matplotlib ({error}): pip install 'lmkit[plot]'; or leave out -o for a plot in text"
            ) from None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let matplotlib not talk of fonts, caches and letters that no font has."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
            yield
    finally:
        logger.setLevel(before)


def draw_figure(
    chart: Chart, form: str, *, scale: str = "auto", dimensions: tuple[float, float] | None = None
) -> bytes:
    """Return a picture of a chart.

    Parameters
    ----------
    form : {'png', 'svg', 'pdf'}
    scale : {'auto', 'linear', 'log'}
        Of the horizontal axes: see `lmkit.plotting.scales`.
    dimensions : (float, float), optional
        Width and height in inches, 150 pixels each; by default what the panels and the legend need.

    Raises
    ------
    OptionError
        matplotlib is missing, or the chart does not fit.
    LmkitError
        Nothing in it can be drawn.
    """
    check_drawing()
    layout = Layout(chart, dimensions)
    horizontals, vertical = scales_of(chart, scale, layout.across, layout.up)
    with quietly():
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # whatever the settings of this user are
            matplotlib.rcParams.update(SETTINGS)
            figure = Figure(figsize=(layout.width, layout.height), layout="constrained")
            panels = figure.subplots(1, len(chart.axes), sharey=True, squeeze=False)[0]
            for panel, axis, horizontal in zip(panels, chart.axes, horizontals, strict=True):
                _draw_panel(panel, chart, axis, horizontal, vertical)
            panels[0].set_ylabel(vertical.label.replace(" (", "\n(") if layout.low else vertical.label)
            if chart.title:
                figure.suptitle(shortened(one_line(chart.title), int(layout.width / LETTER)), fontsize=FONT)
            _draw_legend(figure, panels[0], chart, layout)
            file = io.BytesIO()
            title = chart.title or "Learning curves"
            figure.savefig(file, format=form, metadata={**NO_DATES[form], "Title": one_line(title)})
    return _with_palette(file) if form == "png" else file.getvalue()


def _with_palette(file: io.BytesIO) -> bytes:
    """Return a PNG of few colours: a third of the bytes, and no difference to be seen."""
    from PIL import Image  # which matplotlib writes PNG with

    small = io.BytesIO()
    with Image.open(file) as image:
        few = image.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
        few.save(small, "png", optimize=True, dpi=(DPI, DPI))
    return small.getvalue()


class Layout:
    """How large a figure is, and what finds room in it.

    Attributes
    ----------
    width, height : float
        Inches.
    across, up : int
        Ticks of a panel.
    letters : int
        Of a name in the legend.
    in_line : int
        Names beside each other.
    low : bool
        Whether there is little room for the name of the vertical axis.
    """

    def __init__(self, chart: Chart, dimensions: tuple[float, float] | None):
        panels, names = len(chart.axes), [chart.name(curve) for curve in chart.curves]
        self.width = PANEL * panels + AROUND["x"] * (panels == 1) if dimensions is None else dimensions[0]
        self.letters = max(8, int((self.width - HANDLE - 0.3) / LETTER))
        longest = min(max(map(len, names)), self.letters)
        self.in_line = max(1, min(len(names), int((self.width - 0.2) / (longest * LETTER + HANDLE))))
        legend = LINE * -(-len(names) // self.in_line) + 0.1
        self.height = HEIGHT + legend + 0.2 * bool(chart.title) if dimensions is None else dimensions[1]
        for inches in (self.width, self.height):
            if not LEAST <= inches <= MOST:
                raise OptionError(
                    f"a picture of {self.width:g} x {self.height:g} inches: each must be from {LEAST:g} to {MOST:g}"
                )
        left = (self.width - AROUND["x"]) / panels, self.height - legend - AROUND["y"]
        self.low = left[1] < 1.7
        if min(left) < 0.7:
            raise OptionError(
                f"a picture of {self.width:g} x {self.height:g} inches has no room for {len(names)} names and "
                f"{panels} panel{'s' * (panels > 1)}; give larger --dimensions"
            )
        self.across, self.up = max(2, int(left[0] / 0.55)), max(2, int(left[1] / 0.35))


def _draw_panel(panel, chart: Chart, axis: Axis, horizontal: Scale, vertical: Scale) -> None:
    for curve in chart.curves:
        if curve.level:
            for y in chart.heights(curve):
                panel.plot([0, 0.5, 1], [y] * 3, transform=panel.get_yaxis_transform(), **_style(curve))
        else:
            points = chart.points(axis, curve)
            places = [horizontal.place(x) if y == y else None for x, y in points]
            panel.plot(*zip(*points, strict=True), **_style(curve), markevery=_apart(places))
    panel.set_xlabel(horizontal.label)
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for of, set_scale, scale in (
        (panel.xaxis, panel.set_xscale, horizontal), (panel.yaxis, panel.set_yscale, vertical)
    ):  # fmt: skip
        if scale.log:
            set_scale("log")
        of.set_ticks([tick * scale.unit for tick in scale.ticks], scale.written)
        of.set_ticks([], minor=True)
    panel.set_xlim(horizontal.low, horizontal.high)
    panel.set_ylim(vertical.low, vertical.high)


def _apart(places: list[float | None]) -> list[int]:
    """Return which of climbing places have a marker: those that are far enough from the one before, and the last.

    Beside gaps all have one, so that none is alone without it.
    """
    if None in places:
        return [i for i, place in enumerate(places) if place is not None]
    chosen = [0]
    for i, place in enumerate(places):
        if place - places[chosen[-1]] >= 1 / MARKED:
            chosen.append(i)
    return chosen if chosen[-1] == len(places) - 1 else [*chosen, len(places) - 1]


def _style(curve: Curve) -> dict:
    """Return how a curve looks: the model chooses colour and marker, trainings are dashed, levels dotted."""
    colour = COLOURS[curve.number % len(COLOURS)]
    training = curve.part == TRAINING
    return {
        "color": colour,
        "linestyle": ":" if curve.level else "--" if training else "-",
        "linewidth": 1.2 if training else 1.6,
        "marker": MARKERS[curve.number % len(MARKERS)],
        "markersize": 7.0 if training else 4.5,
        "markerfacecolor": "none" if training else colour,
        "markeredgewidth": 1.0,
        "clip_on": not curve.level,
    }


def _draw_legend(figure, panel, chart: Chart, layout: Layout) -> None:
    """Put the names under the panels."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **_style(curve)) for curve in chart.curves]
    legend = figure.legend(
        lines, ["."] * len(lines), loc="outside lower center", ncols=layout.in_line, frameon=False, handlelength=3.2,
        columnspacing=1.5,
    )  # fmt: skip
    for text, curve in zip(legend.get_texts(), chart.curves, strict=True):
        text.set_text(chart.name(curve, layout.letters))
