"""The scales can be read: by contrast, by lightness, and by those who do not see all colours."""

import itertools

import numpy as np
import pytest

from lmkit.cli.colours import _style
from lmkit.colours import ACTIVATION, DIFFERENCE, SURPRISAL, contrast, luminance, on, terminal_colour

# Machado, Oliveira and Fernandes (2009): what is left of linear RGB without one of the three kinds of cones
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
PALETTES = {
    (name, ground): [terminal_colour(i) for i in scale.terminal] if ground == "terminal" else getattr(scale, ground)
    for name, scale in (("surprisal", SURPRISAL), ("difference", DIFFERENCE))
    for ground in ("terminal", "light", "dark")
}


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE 1976 L*a*b* of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ rgb / [0.9505, 1, 1.089], 0.001))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("palette", PALETTES.values(), ids=map("-".join, PALETTES))
def test_text_has_contrast_on_every_level(palette):
    for colour in palette:
        assert contrast(on(colour), colour) >= 4.5


def test_contrast_of_known_pairs():
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("ground", ["terminal", "light", "dark"])
def test_surprisal_goes_one_way_in_lightness(ground):
    """So it can be read without seeing colours at all; both sides of a difference do, from the middle."""
    steps = np.diff([luminance(colour) for colour in PALETTES["surprisal", ground]])
    assert (steps > 0).all() or (steps < 0).all()
    steps = np.diff([luminance(colour) for colour in PALETTES["difference", ground]])
    away = -1 if ground == "light" else 1
    assert (away * steps[:4] < 0).all() and (away * steps[4:] > 0).all()


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("palette", PALETTES.values(), ids=map("-".join, PALETTES))
def test_levels_can_be_told_apart(palette, blindness):
    seen = [lab(np.clip(np.array(BLINDNESS[blindness]) @ linear(colour), 0, 1)) for colour in palette]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 8


def test_both_ends_of_a_difference_differ_in_hue_for_all():
    for ground, blindness in itertools.product(("terminal", "light", "dark"), BLINDNESS):
        ends = PALETTES["difference", ground][0], PALETTES["difference", ground][-1]
        one, other = (lab(np.clip(np.array(BLINDNESS[blindness]) @ linear(colour), 0, 1)) for colour in ends)
        assert np.linalg.norm((one - other)[1:]) > 25


@pytest.mark.parametrize("scale", [SURPRISAL, DIFFERENCE, ACTIVATION])
def test_levels_begin_at_their_bounds(scale):
    numbers = np.array([0, *scale.bounds])
    expected = np.arange(len(numbers))
    assert scale.levels(numbers).tolist() == (expected + scale.neutral).tolist()
    assert scale.levels(numbers - 1e-9).tolist() == (np.maximum(expected - 1, 0) + scale.neutral).tolist()
    if scale.two_sided:
        assert scale.levels(-numbers).tolist() == (scale.neutral - expected).tolist()
    assert scale.levels(np.array([np.nan, np.inf])).tolist() == [scale.neutral, len(scale.terminal) - 1]
    for palette in (scale.terminal, scale.light, scale.dark, scale.labels):
        assert len(palette) == len(scale.bounds) * (1 + scale.two_sided) + 1
    assert max(map(len, scale.labels)) <= 4


def test_terminal_colours_are_those_that_no_theme_changes():
    for scale in (SURPRISAL, DIFFERENCE):
        assert all(16 <= colour <= 255 for colour in scale.terminal)
        for colour in scale.terminal:
            text = {"38;5;16": "#000000", "38;5;231": "#ffffff"}[_style(colour).split(";48;")[0]]
            assert contrast(text, terminal_colour(colour)) >= 4.5
