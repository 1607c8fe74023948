"""Rolling the weighted die of a recurrent model: many steps of some streams without returning to Python.

One token costs one pass over all weights, which is what bounds a single stream: the bandwidth of the cache they fit in.
Several streams share each pass.
"""

import numpy as np

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import REORDER, exp_in_place, largest, tanh_to
from lmkit.kernels.products import multiply
from lmkit.kernels.random import random_bits
from lmkit.kernels.recurrent import gather_rows, gru_cell, lstm_cell, repeat_row
from lmkit.kernels.softmax import scale_by

__all__ = ["ELMAN", "GRU", "LSTM", "draw"]

EOS = 2  # as in lmkit.model; a test compares them
ELMAN, GRU, LSTM = range(3)
NOBODY = -1  # the id where weights are no numbers


@kernel
def draw(
    ids, state, feed, cell, weights, hidden, layers, outputs, width, resets, banned, keys, counters, sharpness
):  # fmt: skip
    """Draw tokens one after the other, each from the distribution after those before it.

    Parameters
    ----------
    ids : array of int32, (n, T)
        What is drawn; NOBODY and all after it where what is no number leaves nothing to draw from.
    state : array (2, layers, parts, n, P)
        state[0] is where the streams are; what is drawn is fed, and they end in state[T % 2].
    feed : array (V, columns)
        What a token gives the first layer: its embedding, or the row of W_x where inputs are one-hot.
    cell : int
        ELMAN, GRU or LSTM.
    weights : flat array
        Packed weights and biases of all layers and softmaxes.
    hidden : int
    layers : array of int64, (layers, 5)
        Depth of a dense input, 0 for one-hot; places in `weights` of W_x, W_h, b and the GRU's b_hn.
    outputs : array of int64, (1 + clusters, 8)
        For the head and each cluster: the first id (of the head, the first entry that stands for a cluster), number of
        columns, depth; places of W, b and the projection, the projection's columns (0: there is none); and how many of
        the columns are entries: no other may come, whatever its number.
    width : int
        Of a panel.
    resets : bool
        Whether the state begins anew before `</s>` is fed.
    banned : array of int32
        Entries of the head that never come, not all of them; the clusters have none.
    keys, counters : arrays of uint64, (n,)
        See `lmkit.uniforms`; the counters move on.
    sharpness : float32
        What logits are multiplied by: one over the temperature. 1 where there are clusters, which have no other exact
        way.
    """
    streams = ids.shape[0]
    z, a, fed, logits, projected = work(state, feed, cell, weights, outputs)
    top = state.shape[1] - 1
    for t in range(ids.shape[1]):
        now = t % 2
        head_logits(logits, state[now, top, 0], weights, hidden, outputs, width)
        for i in range(streams):
            ids[i, t] = roll_of(
                logits, i, state[now, top, 0], i, projected, weights, hidden, outputs, width, banned, keys[i], counters,
                i, sharpness,
            )  # fmt: skip
        for i in range(streams):
            if ids[i, t] == NOBODY:
                ids[i, t:] = NOBODY
                return
        step(state, now, ids[:, t].copy(), feed, cell, weights, hidden, layers, width, resets, z, a, fed)


@kernel
def work(state, feed, cell, weights, outputs):
    """Return what `step`, `head_logits` and `roll_of` write their intermediate numbers to."""
    streams, padded = state.shape[3], state.shape[4]
    gates = 1 if cell == ELMAN else 3 if cell == GRU else 4
    z = np.empty((streams, gates * padded), weights.dtype)
    a = np.empty((streams, padded), weights.dtype)
    fed = np.empty((streams, feed.shape[1]), weights.dtype)
    logits = np.empty((streams, outputs[:, 1].max()), weights.dtype)
    projected = np.empty((1, max(1, outputs[:, 6].max())), weights.dtype)
    return z, a, fed, logits, projected


@routine
def head_logits(logits, top, weights, hidden, outputs, width):
    """Write the logits of the head for each row of hidden vectors, top (rows, P)."""
    columns, w, bias = outputs[0, 1], outputs[0, 3], outputs[0, 4]
    repeat_row(logits[: len(top), :columns], weights[bias : bias + columns])
    panels = weights[w : w + columns * hidden].reshape(columns // width, hidden, width)
    multiply(logits[: len(top), :columns], top[:, :hidden], panels)


@routine
def roll_of(
    logits, row, top, top_row, projected, weights, hidden, outputs, width, banned, key, counters, stream, sharpness
):  # fmt: skip
    """Return a token drawn from a row of the head's logits, and where that names a cluster, from the cluster's."""
    token = roll(logits[row, : outputs[0, 7]], banned, key, counters, stream, sharpness)
    if token >= outputs[0, 0]:
        first, columns, depth, w, bias, projection, size, inside = outputs[token - outputs[0, 0] + 1]
        projected[:] = 0
        panels = weights[projection : projection + size * hidden].reshape(size // width, hidden, width)
        multiply(projected[:, :size], top[top_row : top_row + 1, :hidden], panels)
        copy(logits[row, :columns], weights[bias : bias + columns])
        panels = weights[w : w + columns * depth].reshape(columns // width, depth, width)
        multiply(logits[row : row + 1, :columns], projected[:, :depth], panels)
        token = roll(logits[row, :inside], banned[:0], key, counters, stream, sharpness)
        token = token if token == NOBODY else first + token
    return token


@routine
def step(state, now, drawn, feed, cell, weights, hidden, layers, width, resets, z, a, fed):
    """Feed the network a token for each stream: from state[now] to state[1 - now]."""
    after, padded = 1 - now, state.shape[4]
    if resets:
        for i in range(len(drawn)):
            if drawn[i] == EOS:
                state[now, :, :, i] = 0
    for layer in range(state.shape[1]):
        depth, w_x, w_h, bias, own_bias = layers[layer]
        if depth == 0:
            gather_rows(z, feed, weights[bias : bias + z.shape[1]], drawn)
        else:
            repeat_row(z, weights[bias : bias + z.shape[1]])
            dense = weights[w_x : w_x + depth * z.shape[1]].reshape(z.shape[1] // width, depth, width)
            if layer == 0:
                for i in range(len(drawn)):
                    copy(fed[i], feed[drawn[i]])
                multiply(z[:, :], fed[:, :depth], dense)
            else:
                multiply(z[:, :], state[after, layer - 1, 0][:, :depth], dense)
        recurrent = weights[w_h : w_h + hidden * z.shape[1]].reshape(z.shape[1] // width, hidden, width)
        h, h_after = state[now, layer, 0], state[after, layer, 0]
        if cell == GRU:
            gates_end = 2 * padded // width
            repeat_row(a, weights[own_bias : own_bias + padded])
            multiply(z[:, : 2 * padded], h[:, :hidden], recurrent[:gates_end])
            multiply(a[:, :], h[:, :hidden], recurrent[gates_end:])
        else:
            multiply(z[:, :], h[:, :hidden], recurrent)
        for i in range(len(drawn)):
            if cell == LSTM:
                lstm_cell(h_after[i], state[after, layer, 1, i], z[i], state[now, layer, 1, i])
            elif cell == GRU:
                gru_cell(h_after[i], z[i], a[i], h[i])
            else:
                tanh_to(h_after[i], z[i])


@routine
def copy(target, source):
    """target = source."""
    for j in range(target.size):
        target[j] = source[j]


@routine
def roll(logits, banned, key, counters, stream, sharpness):
    """Turn a row of logits into weights and return an id with the probability of its share; NOBODY if there is none.

    Inversion of the cumulated weights (Devroye 1986, section III.2), with the stream's next uniform number. Bans come
    before the largest logit is looked for: one that is far above the others would leave them nothing.
    """
    if sharpness != 1:
        scale_by(logits, sharpness)
    for j in range(banned.size):
        logits[banned[j]] = -np.inf
    exp_in_place(logits, largest(logits))
    total = exact_total(logits)
    counters[stream] += np.uint64(1)
    uniform = np.float64(random_bits(key, counters[stream]) >> np.uint64(11)) * 2.0**-53
    goal, sum_, last = uniform * total, 0.0, NOBODY
    for j in range(logits.size):
        weight = np.float64(logits[j])
        if weight > 0:
            last = j
            sum_ += weight
            if sum_ > goal:
                break
    return last


@routine(fastmath=REORDER)
def exact_total(x):
    """Return the sum of float32 numbers in float64."""
    sum_ = 0.0
    for j in range(x.size):
        sum_ += np.float64(x[j])
    return sum_
