"""The last layer: softmax and cross entropy, some columns of the logits at a time so that they stay in the cache.

A row's largest logit and its sum are known when the last of its columns is. So each chunk of columns is turned into
e^(y - largest of the chunk), whose sums are put together afterwards; only then become they probabilities.
"""

import math

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import exp_in_place, largest, total
from lmkit.kernels.recurrent import add

__all__ = ["cross_entropy", "exponentials", "gradients", "log_softmax"]


@kernel
def exponentials(logits, targets, start, tops, sums, picked):
    """Turn a chunk of logits y into e^(y - top), and remember what belongs to each row.

    Parameters
    ----------
    logits : array (R, columns)
    targets : array of int32, (R,)
    start : int
        The first column's number.
    tops, sums : array (R,)
        Written: the largest y of the chunk, and the sum of what its logits became.
    picked : array (R,)
        Written where the target is in the chunk: its y.
    """
    for r in range(logits.shape[0]):
        row, at = logits[r], targets[r] - start
        if 0 <= at < row.size:
            picked[r] = row[at]
        tops[r] = largest(row)
        exp_in_place(row, tops[r])
        sums[r] = total(row)


@kernel
def cross_entropy(losses, tops, sums, picked, share):
    """losses[r] = -log p(target) = log(sum over j of e^(y_j - top)) - (y_target - top), top the largest y of the row.

    Parameters
    ----------
    losses, picked : array (R,)
    tops, sums : array (chunks, R)
        As `exponentials` left them. `sums` becomes what turns each chunk of the row into `share` times probabilities.
    """
    chunks = tops.shape[0]
    for r in range(losses.size):
        top = tops[0, r]
        for i in range(1, chunks):
            top = max(top, tops[i, r])
        sum_ = sums[0, r] * math.exp(tops[0, r] - top)
        for i in range(1, chunks):
            sum_ += sums[i, r] * math.exp(tops[i, r] - top)
        losses[r] = math.log(sum_) - (picked[r] - top)
        for i in range(chunks):
            sums[i, r] = share * math.exp(tops[i, r] - top) / sum_


@kernel
def gradients(chunk, factors, targets, start, share, db):
    """Turn what `exponentials` left into dy = share (p - one-hot(target)), and add it to db.

    Parameters
    ----------
    chunk : array (R, columns)
    factors : array (R,)
        From `cross_entropy`.
    db : array, as many as columns or fewer
    """
    for r in range(chunk.shape[0]):
        row, at = chunk[r], targets[r] - start
        scale_by(row, factors[r])
        if 0 <= at < row.size:
            row[at] -= share
        add(db, row[: db.size])


@routine
def scale_by(row, factor):
    """row *= factor."""
    for j in range(row.size):
        row[j] *= factor


@kernel
def log_softmax(logits, work):
    """Turn logits into log p, row by row; those that cannot come stay far below zero. `work` is as long as a row."""
    for r in range(logits.shape[0]):
        row = logits[r]
        for j in range(row.size):
            work[j] = row[j]
        top = largest(work)
        exp_in_place(work, top)
        log_sum = math.log(total(work))
        for j in range(row.size):
            row[j] = (row[j] - top) - log_sum  # in this order: beside a huge logit the sum's logarithm is nothing
