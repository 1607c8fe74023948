"""Streams cover a text exactly: each token is predicted once, from the token before it."""

import numpy as np
import pytest

from lmkit.model import EOS
from lmkit.rnn.windows import Streams, fit


@pytest.mark.parametrize(
    ("tokens", "count", "steps"), [(100, 4, 7), (101, 4, 25), (7, 7, 3), (64, 1, 64), (50, 3, 100)]
)
@pytest.mark.parametrize("whole", [False, True])
def test_each_token_is_a_target_once_and_the_input_is_the_token_before(tokens, count, steps, whole):
    ids = np.arange(10, 10 + tokens, dtype=np.int32)
    streams = Streams(ids, count, steps, whole)
    seen = []
    for first, last in streams.shares(2):
        for number in range(streams.windows):
            inputs, targets = streams.window(number, first, last)
            assert inputs.shape == targets.shape and inputs.shape[1] == last - first and len(inputs) <= steps
            real = streams.real(number, first, last)
            expected = np.where(targets == 10, EOS, targets - 1)
            np.testing.assert_array_equal(inputs[real], expected[real])
            assert (targets[~real] == EOS).all()
            seen.append(targets[real])
    seen = np.sort(np.concatenate(seen))
    np.testing.assert_array_equal(seen, ids if whole else ids[: tokens // count * count])


def test_windows_follow_each_other_in_a_stream():
    streams = Streams(np.arange(60, dtype=np.int32), 3, 8)
    columns = np.concatenate([streams.window(n, 0, 3)[1] for n in range(streams.windows)])
    np.testing.assert_array_equal(columns.T.ravel(), np.arange(60))


def test_short_texts_get_fewer_and_shorter_streams():
    assert fit(10**6, 32, 64) == (32, 64)
    assert fit(65, 32, 64) == (1, 64)
    assert fit(2, 32, 64) == (1, 2)
    assert fit(640, 32, 64) == (10, 64)


def test_shares_are_nearly_equal_and_none_is_empty():
    streams = Streams(np.arange(100, dtype=np.int32), 5, 4)
    assert streams.shares(2) == [(0, 2), (2, 5)]
    assert streams.shares(8) == [(i, i + 1) for i in range(5)]
