"""What a cache gives to the tokens of a text: shares of weights that are spread over the positions before each."""

import math

import numpy as np

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import exp_in_place, largest, total

__all__ = ["neural_shares", "unigram_shares"]

UNK, BOS = 0, 1  # as in lmkit.model; a test compares them
LARGEST = 1e100  # of a weight: then they are counted anew
NEVER = np.float32(-3e38)  # the score of what is not recalled: below all others, and e to it is 0


@kernel
def unigram_shares(out, tokens, first, decay, window, sums, counts):
    """Write the share of each token in the weights of the tokens before it: out (n, T) of tokens[:, first:].

    A token d positions back weighs e^(-decay (d - 1)), one further back than `window` nothing. All weights shrink by
    one factor a step, so instead the newest grows: the token at step t is counted with e^(decay t), and again
    subtracted when it leaves. Where a token's last occurrence leaves, its sum is zero and not what rounding left.

    Parameters
    ----------
    tokens : array of int32, shape (n, first + T)
        All within the vocabulary. `<unk>` and `<s>` are not counted.
    sums : array of float64, shape (V,)
    counts : array of int32, shape (V,)
        Work space, zero before and after.
    """
    growth, shrunk = math.exp(decay), math.exp(-decay * window)
    for i in range(tokens.shape[0]):
        row = tokens[i]
        begin = max(0, first - window)
        gain, all_, inside = 1.0, 0.0, 0
        for t in range(begin, row.size):
            word = row[t]
            if t >= first:
                out[i, t - first] = sums[word] / all_ if inside else np.nan
            if gain * growth > LARGEST:
                gain, all_ = count_anew(sums, row[max(begin, t - window) : t], growth)
            gain *= growth
            if word > BOS:
                sums[word] += gain
                counts[word] += 1
                all_ += gain
                inside += 1
            gone = t - window
            if gone >= begin and row[gone] > BOS:
                word = row[gone]
                counts[word] -= 1
                sums[word] = sums[word] - gain * shrunk if counts[word] else 0.0
                inside -= 1
                all_ = all_ - gain * shrunk if inside else 0.0
        for t in range(max(begin, row.size - window), row.size):
            sums[row[t]], counts[row[t]] = 0.0, 0


@routine
def count_anew(sums, tokens, growth):
    """Set the sums of the tokens of a window from 1 on; return the weight of the newest, and the sum of all."""
    for word in tokens:
        sums[word] = 0.0
    gain, all_ = 1.0, 0.0
    for word in tokens:
        gain *= growth
        if word > BOS:
            sums[word] += gain
            all_ += gain
    return gain, all_


@kernel
def neural_shares(out, scores, begin, size, values, targets):
    """Write the share of each target in e^score over a window of positions: out (R,); NaN where all are `<unk>`.

    Parameters
    ----------
    scores : array of float32, shape (R, at least K)
        Of each position; they are overwritten.
    begin, size : int
        Target r sees the positions from begin + r - size on (from 0, if that is below), and before begin + r.
    values : array of int32, shape (K,)
        The token that came at each position.
    """
    for r in range(targets.size):
        low, high = max(0, begin + r - size), begin + r
        out[r] = np.nan
        row = scores[r, low:high]
        if not row.size:
            continue
        for j in range(row.size):
            if values[low + j] <= BOS:
                row[j] = NEVER
        top = largest(row)
        if top == NEVER:
            continue
        exp_in_place(row, top)
        found = 0.0
        for j in range(row.size):
            if values[low + j] == targets[r]:
                found += row[j]
        out[r] = found / total(row) if targets[r] > BOS else 0.0
