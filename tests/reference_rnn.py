"""Slow, obvious twins of the recurrent kernels: the textbook in NumPy, float64, without panels and padding.

Shapes are those of `lmkit.kernels.recurrent`, but gates have an axis of their own: z is (T, B, G, H), W_h (H, G, H).
Each twin returns what the forward kernel computes, and what the backward kernel makes of `dh`, the gradients that come
from above. Gradients through time stop at the first step, and where a stream begins anew: where `starts` (T, B) is
true, the state before a step is zero.
"""

import numpy as np

from lmkit.model import BOS

WORD = 2**64


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def before(state, starts):
    """The state (B, H) that a step sees, zero for the streams that begin anew."""
    return np.where(starts[:, None], 0, state)


def elman(z, h0, w, dh, starts):
    """Elman (1990): h_t = tanh(z_t + W_h h_(t-1)). Return h (T + 1, B, H) and dz."""
    h, dz, later = [h0], np.zeros_like(z), np.zeros_like(h0)
    for t in range(len(z)):
        h.append(np.tanh(z[t, :, 0] + before(h[t], starts[t]) @ w[:, 0]))
    for t in reversed(range(len(z))):
        dz[t, :, 0] = (dh[t] + later) * (1 - h[t + 1] ** 2)
        later = before(dz[t, :, 0] @ w[:, 0].T, starts[t])
    return np.array(h), dz


def lstm(z, h0, c0, w, dh, starts):
    """Hochreiter and Schmidhuber (1997), with forget gates; order i, f, g, o. Return h, c (T + 1, B, H) and dz."""
    h, c, gates = [h0], [c0], []
    for t in range(len(z)):
        i, f, g, o = np.moveaxis(z[t] + np.einsum("bh,hgk->bgk", before(h[t], starts[t]), w), 1, 0)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c.append(f * before(c[t], starts[t]) + i * g)
        h.append(o * np.tanh(c[t + 1]))
        gates.append((i, f, g, o))
    dz, dh_later, dc_later = np.zeros_like(z), np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(len(z))):
        i, f, g, o = gates[t]
        dh_t = dh[t] + dh_later
        dc = dc_later + dh_t * o * (1 - np.tanh(c[t + 1]) ** 2)
        di, df, dg, do = dc * g, dc * before(c[t], starts[t]), dc * i, dh_t * np.tanh(c[t + 1])
        dz[t] = np.stack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], 1)
        dh_later = before(np.einsum("bgk,hgk->bh", dz[t], w), starts[t])
        dc_later = before(dc * f, starts[t])
    return np.array(h), np.array(c), dz


def gru(z, b_hn, h0, w, dh, starts):
    """Cho et al. (2014), the reset gate after the product; order r, u, n. Return h (T + 1, B, H), dz and da.

    a = W_hn h_(t-1) + b_hn is what the reset gate multiplies.
    """
    h, gates = [h0], []
    for t in range(len(z)):
        seen = before(h[t], starts[t])
        r = sigmoid(z[t, :, 0] + seen @ w[:, 0])
        u = sigmoid(z[t, :, 1] + seen @ w[:, 1])
        a = seen @ w[:, 2] + b_hn
        n = np.tanh(z[t, :, 2] + r * a)
        h.append((1 - u) * n + u * seen)
        gates.append((r, u, a, n))
    dz, da, later = np.zeros_like(z), np.zeros_like(dh), np.zeros_like(h0)
    for t in reversed(range(len(z))):
        r, u, a, n = gates[t]
        dh_t = dh[t] + later
        dn = dh_t * (1 - u) * (1 - n**2)
        du = dh_t * (before(h[t], starts[t]) - n) * u * (1 - u)
        dr = dn * a * r * (1 - r)
        dz[t], da[t] = np.stack([dr, du, dn], 1), dn * r
        later = before(dh_t * u + dr @ w[:, 0].T + du @ w[:, 1].T + da[t] @ w[:, 2].T, starts[t])
    return np.array(h), dz, da


def gather(table, bias, ids, d_out):
    """Rows of a table, as a product with one-hot vectors. Return them and dtable."""
    one_hot = np.eye(len(table))[ids]
    return one_hot @ table + bias, one_hot.T @ d_out


def random_bits(key, counter):
    """SplitMix64 (Steele, Lea and Flood 2014) in whole numbers: the counter-th 64 bits of a key."""
    z = (key + counter * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def dropout_mask(key, shape, keep, locked):
    """Which numbers of (T, B, P) stay: each has 16 random bits, and they are below keep 2^16."""
    mask = np.zeros(shape, bool)
    words = -(-shape[2] // 4)  # of a row
    for t, b, j in np.ndindex(shape):
        row = b if locked else t * shape[1] + b
        bits = random_bits(key, row * words + j // 4) >> 16 * (j % 4)
        mask[t, b, j] = bits % 2**16 < int(keep * 2**16)
    return mask


def log_softmax(y):
    """log p over the last axis; -inf where y is."""
    y = y - y.max(-1, keepdims=True)
    return y - np.log(np.exp(y).sum(-1, keepdims=True))


def softmax(h, w, bias, targets, share):
    """p = softmax(W h + b); `bias` is -inf where nothing can come.

    Return the losses -log p(target) (R,), and `share` times the gradients of their sum: dh, dW and db.
    """
    rows = np.arange(len(h))
    log_p = log_softmax(h @ w + bias)
    dy = np.exp(log_p)
    dy[rows, targets] -= 1
    dy *= share
    return -log_p[rows, targets], dy @ w.T, h.T @ dy, dy.sum(0)


def factorised(h, tensors, cutoffs, vocabulary):
    """log p of every token (R, V), `<s>` at -inf, by the chain rule: p(w) = p(cluster) p(w | cluster).

    Without cutoffs the full softmax. `tensors` are the weights by name, as in a file.
    """
    weight = tensors["output.weight"] if "output.weight" in tensors else tensors["embedding"].T
    y = h @ weight + tensors["output.bias"]
    y[:, BOS] = -np.inf
    head = log_softmax(y)
    ends = [*cutoffs, vocabulary]
    log_p = [head[:, : ends[0]]]
    for k in range(1, len(ends)):
        projected = h @ tensors[f"cluster{k}.projection"]
        inside = log_softmax(projected @ tensors[f"cluster{k}.weight"] + tensors[f"cluster{k}.bias"])
        log_p.append(head[:, ends[0] + k - 1, None] + inside)
    return np.concatenate(log_p, 1)


def network(shape, tensors, ids, state, starts=None):
    """Read ids (T, B) from a state (L, parts, B, H). Return log p of what follows each (T, B, V), and the new state."""
    starts = np.zeros(ids.shape, bool) if starts is None else starts
    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
    x = np.eye(shape.vocabulary)[ids]
    if shape.embedding:
        x = x @ tensors["embedding"]
    after = []
    for layer, before in enumerate(np.asarray(state, np.float64)):
        part = {name.split(".")[1]: t for name, t in tensors.items() if name.startswith(f"layer{layer}.")}
        z = (x @ part["input"] + part["bias"]).reshape(*ids.shape, -1, shape.hidden)
        w, nothing = part["recurrent"].reshape(shape.hidden, -1, shape.hidden), np.zeros((*ids.shape, shape.hidden))
        if shape.arch == "elman":
            h, _ = elman(z, before[0], w, nothing, starts)
            after.append([h[-1]])
        elif shape.arch == "gru":
            h, _, _ = gru(z, part["recurrent_bias"], before[0], w, nothing, starts)
            after.append([h[-1]])
        else:
            h, c, _ = lstm(z, before[0], before[1], w, nothing, starts)
            after.append([h[-1], c[-1]])
        x = h[1:]
    log_p = factorised(x.reshape(ids.size, -1), tensors, shape.cutoffs, shape.vocabulary)
    return log_p.reshape(*ids.shape, -1), np.array(after)
