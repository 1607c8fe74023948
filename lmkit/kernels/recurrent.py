"""The recurrent cells, forward and backward through time, for one shard of streams.

Shapes: T steps, B streams, H hidden units, rounded up to P so that gates begin where panels do (what lies between is
zero and stays zero). Time comes first. `h` and `c` are (T + 1, B, P): row 0 is the state before the first step. The
input's part of the gates stands in `z` already when a forward kernel is called:

    z[t] = W_x x_t + b       (one product over all steps, or a row of W_x where x_t is a token)

Each backward kernel turns the activations in `z` into the gradient of the sums they were made of, dz, walking from the
last step to the first; `dh` (T, B, P) comes with the gradients from above, and the kernel adds what comes from later
steps: dh[t-1] += W_h' dz[t]. Weight gradients are one product over all rows afterwards. The gradient of the state
before the first step is not wanted: that is where back-propagation is truncated (Williams and Peng 1990).

`starts` (T, B) is true where a stream begins anew: the state before that step counts as zero, whatever row t of `h` and
`c` holds (it is still what step t - 1 put out), and no gradient goes back over it.

`w` and `w_t` are packed (`lmkit.kernels.products`), of W_h and its transpose.
"""

import numpy as np

from lmkit.kernels import kernel, routine
from lmkit.kernels.activations import CONTRACT, sigmoid_in_place, tanh_in_place, tanh_to
from lmkit.kernels.products import add_outer, multiply
from lmkit.kernels.random import random_bits

__all__ = [
    "add_column_sums",
    "add_product",
    "add_weight_gradient",
    "dropout",
    "elman_backward",
    "elman_forward",
    "gather_rows",
    "gru_backward",
    "gru_forward",
    "lstm_backward",
    "lstm_forward",
    "repeat_row",
    "scatter_rows",
]


@routine
def multiply_unless(c, a, b, starts, kept):
    """Add A B to C, but to no row of a stream that begins anew; b is packed, and `kept` has room for C.

    The product takes all rows, as if none began: that is the fastest way, and hardly any does.
    """
    for i in range(starts.size):
        if starts[i]:
            for j in range(c.shape[1]):
                kept[i, j] = c[i, j]
    multiply(c, a, b)
    for i in range(starts.size):
        if starts[i]:
            for j in range(c.shape[1]):
                c[i, j] = kept[i, j]


@kernel
def elman_forward(h, z, w, starts):
    """h_t = tanh(z_t + W_h h_(t-1)): the network of Elman (1990)."""
    kept = np.empty_like(z[0])
    for t in range(z.shape[0]):
        multiply_unless(z[t][:, :], h[t][:, : w.shape[1]], w, starts[t], kept)
        for b in range(z.shape[1]):
            tanh_to(h[t + 1, b], z[t, b, : h.shape[2]])


@kernel(fastmath=CONTRACT)
def elman_backward(z, dh, h, w_t, starts):
    """dz_t = dh_t (1 - h_t^2); `z` becomes dz."""
    kept = np.empty_like(dh[0])
    for t in range(z.shape[0] - 1, -1, -1):
        for b in range(z.shape[1]):
            tanh_gradient(z[t, b, : h.shape[2]], dh[t, b], h[t + 1, b])
        if t > 0:
            multiply_unless(dh[t - 1][:, :], z[t][:, : w_t.shape[1]], w_t, starts[t], kept)


@routine(fastmath=CONTRACT)
def tanh_gradient(dz, dh, h):
    """dz = dh (1 - h^2), written to dz."""
    for j in range(dz.size):
        dz[j] = dh[j] - dh[j] * h[j] * h[j]


@kernel
def lstm_forward(h, c, z, w, starts):
    """i, f, o = sigmoid, g = tanh of z_t + W_h h_(t-1); c_t = f c_(t-1) + i g; h_t = o tanh c_t.

    Hochreiter and Schmidhuber (1997) with the forget gate of Gers, Schmidhuber and Cummins (2000). The gates stand in
    the order i, f, g, o; `z` becomes their activations.
    """
    kept, nothing = np.empty_like(z[0]), np.zeros_like(c[0, 0])
    for t in range(z.shape[0]):
        multiply_unless(z[t][:, :], h[t][:, : w.shape[1]], w, starts[t], kept)
        for b in range(z.shape[1]):
            lstm_cell(h[t + 1, b], c[t + 1, b], z[t, b], nothing if starts[t, b] else c[t, b])


@routine(fastmath=CONTRACT)
def lstm_cell(h, c, z, c_before):
    """Do one step of one stream, given the sums z, which become the gates."""
    size = h.size
    sigmoid_in_place(z[: 2 * size])
    tanh_in_place(z[2 * size : 3 * size])
    sigmoid_in_place(z[3 * size : 4 * size])
    i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size : 4 * size]
    for j in range(size):
        c[j] = f[j] * c_before[j] + i[j] * g[j]
    tanh_to(h, c)
    for j in range(size):
        h[j] = o[j] * h[j]


@kernel
def lstm_backward(z, dh, dc, c, w_t, starts, scratch):
    """Turn the gates into dz. `dc` (B, P) is what comes from the step after the last, zero; scratch is (P,)."""
    kept, nothing = np.empty_like(dh[0]), np.zeros_like(c[0, 0])
    for t in range(z.shape[0] - 1, -1, -1):
        for b in range(z.shape[1]):
            before = nothing if starts[t, b] else c[t, b]
            lstm_cell_backward(z[t, b], dh[t, b], dc[b], c[t + 1, b], before, scratch)
            if starts[t, b]:
                dc[b] = 0
        if t > 0:
            multiply_unless(dh[t - 1][:, :], z[t][:, : w_t.shape[1]], w_t, starts[t], kept)


@routine(fastmath=CONTRACT)
def lstm_cell_backward(z, dh, dc, c, c_before, tanh_c):
    """Turn the gates of one stream and step into dz, and dc into that of the step before.

    In several loops: each has so few arrays that LLVM can check that they do not overlap.
    """
    size = dh.size
    i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size : 4 * size]
    tanh_to(tanh_c, c)
    for j in range(size):
        dc[j] += dh[j] * o[j] * gradient_of_tanh(tanh_c[j])
    for j in range(size):
        o[j] = dh[j] * tanh_c[j] * gradient_of_sigmoid(o[j])
    for j in range(size):
        di = dc[j] * g[j] * gradient_of_sigmoid(i[j])
        g[j] = dc[j] * i[j] * gradient_of_tanh(g[j])
        i[j] = di
    for j in range(size):
        df = dc[j] * c_before[j] * gradient_of_sigmoid(f[j])
        dc[j] *= f[j]
        f[j] = df


@routine(fastmath=CONTRACT)
def gradient_of_sigmoid(s):
    """s (1 - s), for s = sigmoid(x)."""
    return s - s * s


@routine(fastmath=CONTRACT)
def gradient_of_tanh(t):
    """1 - t^2, for t = tanh(x)."""
    one = type(t)(1)
    return one - t * t


@kernel
def gru_forward(h, z, a, w_gates, w_candidate, starts):
    """h_t = (1 - u) n + u h_(t-1), with r, u = sigmoid(z + W_h h_(t-1)) and n = tanh(z_n + r a).

    Cho et al. (2014), the reset gate after the recurrent product, as cuDNN has it: a = W_hn h_(t-1) + b_hn, whose bias
    stands in `a` (T, B, P) already. The gates stand in the order r, u, n; `z` becomes their activations.
    """
    size = h.shape[2]
    kept, nothing = np.empty_like(z[0]), np.zeros_like(h[0, 0])
    for t in range(z.shape[0]):
        multiply_unless(z[t][:, : 2 * size], h[t][:, : w_gates.shape[1]], w_gates, starts[t], kept)
        multiply_unless(a[t][:, :], h[t][:, : w_gates.shape[1]], w_candidate, starts[t], kept)
        for b in range(z.shape[1]):
            gru_cell(h[t + 1, b], z[t, b], a[t, b], nothing if starts[t, b] else h[t, b])


@routine(fastmath=CONTRACT)
def gru_cell(h, z, a, h_before):
    """Do one step of one stream, given the sums z and a; z becomes the gates."""
    size = h.size
    sigmoid_in_place(z[: 2 * size])
    r, u, n = z[:size], z[size : 2 * size], z[2 * size : 3 * size]
    for j in range(size):
        n[j] += r[j] * a[j]
    tanh_in_place(n)
    for j in range(size):
        h[j] = n[j] + u[j] * (h_before[j] - n[j])


@kernel
def gru_backward(z, dh, a, h, w_gates_t, w_candidate_t, starts):
    """Turn the gates in `z` into dz, and `a` into its gradient da = dn r."""
    size = h.shape[2]
    kept, nothing = np.empty_like(dh[0]), np.zeros_like(h[0, 0])
    for t in range(z.shape[0] - 1, -1, -1):
        for b in range(z.shape[1]):
            gru_cell_backward(z[t, b], dh[t, b], a[t, b], nothing if starts[t, b] else h[t, b])
        if t > 0:
            for b in range(z.shape[1]):
                if not starts[t, b]:
                    add(dh[t - 1, b], dh[t, b])
            multiply_unless(dh[t - 1][:, :], z[t][:, : 2 * size], w_gates_t, starts[t], kept)
            multiply_unless(dh[t - 1][:, :], a[t][:, :], w_candidate_t, starts[t], kept)


@routine(fastmath=CONTRACT)
def gru_cell_backward(z, dh, a, h_before):
    """Turn the gates of one stream and step into dz, a into da, and dh into dh u, what goes straight to h_(t-1)."""
    size = dh.size
    r, u, n = z[:size], z[size : 2 * size], z[2 * size : 3 * size]
    for j in range(size):
        kept = dh[j] * u[j]
        new = dh[j] - kept
        du = (h_before[j] - n[j]) * (kept - kept * u[j])
        n[j] = new * gradient_of_tanh(n[j])
        u[j] = du
        dh[j] = kept
    for j in range(size):
        dr = n[j] * a[j] * gradient_of_sigmoid(r[j])
        a[j] = n[j] * r[j]
        r[j] = dr


@routine
def add(y, x):
    """y += x."""
    for j in range(x.size):
        y[j] += x[j]


@kernel
def gather_rows(out, table, bias, ids):
    """out[r] = table[ids[r]] + bias: the product with one-hot vectors, or embeddings. out is (R, N), ids (R,)."""
    for r in range(ids.size):
        row, source = out[r], table[ids[r]]
        for j in range(bias.size):
            row[j] = source[j] + bias[j]


@kernel
def scatter_rows(table, rows, ids):
    """table[ids[r]] += rows[r]: the backward pass of `gather_rows`."""
    for r in range(ids.size):
        add(table[ids[r]], rows[r][: table.shape[1]])


@kernel
def repeat_row(out, row):
    """out[r] = row, for each of the rows."""
    for r in range(out.shape[0]):
        target = out[r]
        for j in range(row.size):
            target[j] = row[j]


@kernel
def add_column_sums(sums, rows):
    """sums += the sum of all rows: the gradient of a bias."""
    for r in range(rows.shape[0]):
        add(sums, rows[r][: sums.size])


@kernel
def add_product(c, a, depth, b):
    """Add A[:, :depth] B to C, all rows at once; b is packed."""
    multiply(c[:, :], a[:, :depth], b)


@kernel
def add_weight_gradient(dw, first, a, b, last, scratch):
    """dw[:, first : first + last] += A' B[:, :last], of the first columns of A as dw has rows; see `add_outer`."""
    add_outer(dw[:, first : first + last], a[:, : dw.shape[0]], b[:, :last], scratch)


@kernel
def dropout(out, x, key, keep, locked):
    """out = x mask / keep, where each number of the mask is 1 with probability `keep` (Srivastava et al. 2014).

    The mask is a function of the key and the place: the backward pass makes it again. x and out are (T, B, P).

    Parameters
    ----------
    key : uint64
    keep : float
        Of the type of the arrays.
    locked : bool
        One mask for all steps (the variational dropout of Gal and Ghahramani 2016), not one a step.
    """
    scale = out.dtype.type(1) / keep
    threshold = int(keep * 65536)
    steps, streams, size = x.shape
    for t in range(steps):
        for b in range(streams):
            place = b if locked else t * streams + b
            drop_row(out[t, b], x[t, b], key, place * ((size + 3) // 4), threshold, scale)


@routine
def drop_row(out, x, key, place, threshold, scale):
    """Do what dropout does for one row: each random word gives four decisions."""
    nothing = x.dtype.type(0)
    for j in range(0, x.size, 4):
        word = random_bits(key, np.uint64(place + j // 4))
        for i in range(j, min(j + 4, x.size)):
            out[i] = x[i] * scale if np.int64(word & np.uint64(0xFFFF)) < threshold else nothing
            word >>= np.uint64(16)
