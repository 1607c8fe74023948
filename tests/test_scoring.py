"""Scores of lines, at their edges."""

import numpy as np

from lmkit.scoring import LineScores


def test_perplexities_that_float32_does_not_hold_are_infinite():
    """Without a warning: exp(100) is a float64 only."""
    scores = LineScores([b"a", b"b"], None, np.array([-100.0, -2.0]), np.array([1, 2]))
    assert scores.rounded_perplexities.tolist() == [np.inf, np.float32(np.exp(2))]
