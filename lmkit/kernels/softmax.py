"""The last layer: logits, softmax and cross entropy, in blocks of rows so that a large vocabulary stays in the
cache."""

import math

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import exp_in_place, largest, total
from lmkit.kernels.products import SPAN, add_outer, multiply
from lmkit.kernels.recurrent import add, repeat_row

__all__ = ["log_softmax", "softmax_backward", "softmax_losses"]


@routine
def log_of_total(row):
    """Turn logits y into e^(y - max y) and return their sum's logarithm, and the largest y."""
    top = largest(row)
    exp_in_place(row, top)
    return math.log(total(row)), top


@routine
def block_size(rows):
    """Return into how many rows at a time, at most SPAN, so many rows fall evenly."""
    blocks = max(1, (rows + SPAN - 1) // SPAN)
    return max(1, (rows + blocks - 1) // blocks)


@kernel
def softmax_losses(losses, h, w, bias, targets, logits):
    """losses[r] = -log p(targets[r]), p = softmax(W h_r + b).

    Parameters
    ----------
    losses : array (R,)
    h : array (R, P)
    w : array (panels, H, width), packed
    bias : array (panels * width,), far below zero where a column is no token
    targets : array of int32, (R,)
    logits : array (SPAN or more, panels * width) to work in
    """
    step = block_size(targets.size)
    for first in range(0, targets.size, step):
        rows = min(step, targets.size - first)
        block = logits[:rows]
        repeat_row(block, bias)
        multiply(block[:, :], h[first : first + rows, : w.shape[1]], w)
        for r in range(rows):
            y = block[r, targets[first + r]]
            log_sum, top = log_of_total(block[r])
            losses[first + r] = log_sum - (y - top)


@kernel
def softmax_backward(losses, dh, dw, db, h, w, w_t, bias, targets, logits, scratch, share, tied):
    """Do what `softmax_losses` does, and add to dh, dw and db the gradients of `share` times the sum of the losses.

    dy = share (p - one-hot(target)); dh += W' dy; dW += dy h'; db += dy.

    Parameters
    ----------
    dh : array (R, P)
    dw : array (H, panels * width); where weights are tied to the embedding, its transpose (V, P)
    w_t : the transpose of w, packed
    scratch : for `add_outer`
    """
    step = block_size(targets.size)
    for first in range(0, targets.size, step):
        rows = min(step, targets.size - first)
        block = logits[:rows]
        repeat_row(block, bias)
        multiply(block[:, :], h[first : first + rows, : w.shape[1]], w)
        for r in range(rows):
            row, target = block[r], targets[first + r]
            y = row[target]
            log_sum, top = log_of_total(row)
            losses[first + r] = log_sum - (y - top)
            scale_by(row, row.dtype.type(share / math.exp(log_sum)))
            row[target] -= share
            add(db, row[: db.size])
        multiply(dh[first : first + rows, :], block[:, : w_t.shape[1]], w_t)
        inputs, outputs = h[first : first + rows, : w.shape[1]], block[:, : dw.shape[1]]
        if tied:
            inputs, outputs = block[:, : dw.shape[0]], h[first : first + rows, : dw.shape[1]]
        add_outer(dw[:, :], inputs, outputs, scratch)  # called once: each call is compiled again


@routine
def scale_by(row, factor):
    """row *= factor."""
    for j in range(row.size):
        row[j] *= factor


@kernel
def log_softmax(logits, h, w, bias, work):
    """Write log p of each token to the rows of `logits`; those that cannot come stay far below zero."""
    repeat_row(logits, bias)
    multiply(logits[:, :], h[:, : w.shape[1]], w)
    for r in range(logits.shape[0]):
        row = logits[r]
        for j in range(row.size):
            work[j] = row[j]
        log_sum, top = log_of_total(work)
        for j in range(row.size):
            row[j] = (row[j] - top) - log_sum  # in this order: beside a huge logit the sum's logarithm is nothing
