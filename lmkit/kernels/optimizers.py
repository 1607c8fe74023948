"""From gradients to new weights: one pass over the flat arrays each, in blocks that threads can share out.

What is summed is summed block by block, and the blocks in their order: the numbers are the same for every number of
threads.
"""

import math

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import CONTRACT, REORDER

__all__ = ["BLOCK", "adam", "merge", "sgd"]

BLOCK = 16384  # numbers: two shards' fit the second-level cache


@kernel
def merge(gradients, squares, first, last):
    """Sum the shards' gradients (S, P) into the first row, block by block, and leave the others zero.

    squares[block] becomes the sum of the squares of the block's sums.
    """
    shards, size = gradients.shape
    for block in range(first, last):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, size)
        total = gradients[0, begin:end]
        for s in range(1, shards):
            add_and_clear(total, gradients[s, begin:end])
        squares[block] = sum_of_squares(total)


@routine
def add_and_clear(total, part):
    """total += part; part = 0."""
    nothing = part.dtype.type(0)
    for i in range(part.size):
        total[i] += part[i]
    for i in range(part.size):
        part[i] = nothing


@routine(fastmath=REORDER)
def sum_of_squares(x):
    """Return the sum of x^2."""
    sum_ = x.dtype.type(0)
    for i in range(x.size):
        sum_ += x[i] * x[i]
    return sum_


@kernel
def adam(w, m, v, gradient, first, last, shorten, rate, beta1, beta2, correction, epsilon, decay):
    """Adam (Kingma and Ba 2015, algorithm 1), with the decoupled weight decay of Loshchilov and Hutter (2019).

        g' = shorten g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
        w = (1 - decay) w - rate m / (sqrt(v) correction + epsilon)

    `rate` holds the correction of m already, `correction` is that of sqrt(v), and `decay` the learning rate times the
    decay. The gradient is left zero. All numbers are of the type of the arrays.
    """
    for block in range(first, last):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, w.size)
        adam_moments(m[begin:end], v[begin:end], gradient[begin:end], shorten, beta1, beta2)
        adam_step(w[begin:end], m[begin:end], v[begin:end], rate, correction, epsilon, decay)


@routine(fastmath=CONTRACT)
def adam_moments(m, v, gradient, shorten, beta1, beta2):
    """Move the two moments on, and clear the gradient."""
    one, nothing = m.dtype.type(1), m.dtype.type(0)
    for i in range(gradient.size):
        g = gradient[i] * shorten
        m[i] += (one - beta1) * (g - m[i])
        v[i] += (one - beta2) * (g * g - v[i])
        gradient[i] = nothing


@routine(fastmath=CONTRACT)
def adam_step(w, m, v, rate, correction, epsilon, decay):
    """Move the weights."""
    for i in range(w.size):
        w[i] -= decay * w[i] + rate * m[i] / (math.sqrt(v[i]) * correction + epsilon)


@kernel
def sgd(w, m, gradient, first, last, shorten, rate, momentum):
    """m = momentum m + shorten g; w -= rate m (Polyak 1964, as Sutskever et al. 2013 write it for networks).

    The gradient is left zero.
    """
    for block in range(first, last):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, w.size)
        sgd_step(w[begin:end], m[begin:end], gradient[begin:end], shorten, rate, momentum)


@routine(fastmath=CONTRACT)
def sgd_step(w, m, gradient, shorten, rate, momentum):
    """Move the momentum and the weights on, and clear the gradient."""
    nothing = w.dtype.type(0)
    for i in range(gradient.size):
        m[i] = momentum * m[i] + shorten * gradient[i]
        w[i] -= rate * m[i]
        gradient[i] = nothing
