"""The last layer: from h to a distribution over the vocabulary.

Full softmax: p = softmax(W_hy h + b_y).

Factorised (the adaptive softmax of Grave et al. 2017; two levels as in Goodman 2001): the most frequent tokens, the
*head*, and one entry for each *cluster* of rarer ones share a softmax. A token w of cluster k has

    p(w | h) = p(k | h) p(w | k, h),    p(. | k, h) = softmax(W_k P_k h + b_k)

where P_k projects h to fewer numbers, the rarer the cluster the fewer. Every token has its probability and all sum to
one; only clusters that a text needs are computed. Ids are in the order of counts, so clusters are ranges of ids.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from lmkit.kernels import products, recurrent, softmax
from lmkit.model import BOS

if TYPE_CHECKING:
    from lmkit.rnn.network import Network, Shape

__all__ = ["Output", "block_rows", "output_parts"]

CHUNK = 1024  # columns of logits that are worked on at a time, a multiple of every panel's width
BLOCK = 2**18  # numbers of them: measured; smaller ones call too often, larger ones leave the cache
SHRINK = 2  # each cluster's projection has so many times fewer numbers than the one before it
NEVER = -3e38  # the logit of what cannot come: below all that huge weights give, and e to it is 0


def bounds(shape: Shape) -> list[int]:
    """Return where the head and the clusters begin and end: 0, cutoffs, V."""
    return [0, *shape.cutoffs, shape.vocabulary]


def projection(shape: Shape, cluster: int) -> int:
    """Return the size of the projection for a cluster, the first of which is 1."""
    return max(8, shape.hidden // SHRINK**cluster)


def output_parts(shape: Shape) -> list[tuple[str, int, int, int]]:
    """Return (name, rows, gates, units) of the weights."""
    ends = bounds(shape)
    head = ends[1] + len(shape.cutoffs)
    parts = [("output.bias", 0, 1, head)]
    if not shape.tied:
        parts.append(("output.weight", shape.hidden, 1, head))
    for k in range(1, len(ends) - 1):
        size, depth = ends[k + 1] - ends[k], projection(shape, k)
        parts += [
            (f"cluster{k}.projection", shape.hidden, 1, depth),
            (f"cluster{k}.weight", depth, 1, size),
            (f"cluster{k}.bias", 0, 1, size),
        ]
    return parts


class Softmax:
    """One softmax: packed weights (depth, size), and a bias that shuts out what cannot come.

    Parameters
    ----------
    weight, bias : str
        Names of parts. A weight "embedding" is tied: its rows are the columns of the softmax.
    never : int, optional
        A column that cannot come.
    """

    def __init__(self, network: Network, weight: str, bias: str, size: int, depth: int, never: int | None = None):
        self.network, self.weight, self.bias, self.size, self.depth = network, weight, bias, size, depth
        self.never, self.tied = never, weight == "embedding"
        self.w = network.panels(depth, size)
        self.columns = len(self.w) * network.width
        self.chunks = [(start, min(start + CHUNK, self.columns)) for start in range(0, self.columns, CHUNK)]
        self.w_chunks = [self.w[start // network.width : end // network.width] for start, end in self.chunks]
        self.w_t = [network.panels(min(end, size) - start, depth) for start, end in self.chunks]
        self.shut = np.full(self.columns, NEVER, network.flat.dtype)

    def packing(self, training: bool) -> list[tuple]:
        w, jobs = self.network.view(self.weight), [(self._shut,)]
        if self.tied:
            jobs += _in_parts(products.pack_transposed, self.w, w, 0)
        else:
            jobs += _in_parts(products.pack, self.w, w)
        if training:
            for w_t, (start, _) in zip(self.w_t, self.chunks, strict=True):
                if self.tied:
                    jobs.append((products.pack, w_t, w[start:], 0, len(w_t)))
                else:
                    jobs.append((products.pack_transposed, w_t, w, start, 0, len(w_t)))
        return jobs

    def _shut(self) -> None:
        self.shut[: self.size] = self.network.view(self.bias)[: self.size]
        if self.never is not None:
            self.shut[self.never] = NEVER

    def losses(self, losses, h, targets, work):
        for rows in self._blocks(targets.size):
            self._read(losses[rows], h[rows], targets[rows], work, losses.dtype.type(1), keep=False)

    def backward(self, losses, dh, h, targets, work, gradient, scratch, share):
        share = losses.dtype.type(share)
        dw, db = self.network.view(self.weight, gradient), self.network.view(self.bias, gradient)
        for rows in self._blocks(targets.size):
            factors = self._read(losses[rows], h[rows], targets[rows], work, share, keep=True)
            for i, (start, end) in enumerate(self.chunks):
                dy = self._chunk(work, i, rows, keep=True)
                softmax.gradients(dy, factors[i], targets[rows], start, share, db[start:end])
                recurrent.add_product(dh[rows], dy, self.w_t[i].shape[1], self.w_t[i])
                if self.tied:
                    recurrent.add_weight_gradient(dw[start:end], 0, dy, h[rows], dw.shape[1], scratch)
                else:
                    width = min(end, dw.shape[1]) - start
                    recurrent.add_weight_gradient(dw, start, h[rows], dy, width, scratch)

    def _read(self, losses, h, targets, work, share, keep) -> np.ndarray:
        """Write the losses of some rows; return what turns each chunk that was kept into gradients, (chunks, R)."""
        tops, sums = np.empty((2, len(self.chunks), targets.size), losses.dtype)
        picked, rows = np.empty_like(losses), slice(0, targets.size)
        for i, (start, end) in enumerate(self.chunks):
            logits = self._chunk(work, i, rows, keep)
            recurrent.repeat_row(logits, self.shut[start:end])
            recurrent.add_product(logits, h, self.depth, self.w_chunks[i])
            softmax.exponentials(logits, targets, start, tops[i], sums[i], picked)
        softmax.cross_entropy(losses, tops, sums, picked, share)
        return sums

    def _chunk(self, work, i, rows, keep) -> np.ndarray:
        """Return the memory for a chunk of the logits of some rows, each its own or all the same."""
        start, end = self.chunks[i]
        count = rows.stop - rows.start
        first = start * count if keep else 0
        return work[first : first + count * (end - start)].reshape(count, end - start)

    def _blocks(self, rows: int) -> list[slice]:
        """Cut so many rows evenly into blocks of at most `block_rows`."""
        count = -(-rows // block_rows(self.columns))
        return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]

    def log_probs(self, h) -> np.ndarray:
        """Return log p, (R, size)."""
        rows = np.empty((len(h), self.columns), h.dtype)
        recurrent.repeat_row(rows, self.shut)
        recurrent.add_product(rows, h, self.depth, self.w)
        softmax.log_softmax(rows, np.empty(self.columns, h.dtype))
        return rows[:, : self.size]


def block_rows(columns: int) -> int:
    """Return how many rows of logits are worked on at a time."""
    return BLOCK // min(columns, CHUNK)


def _in_parts(function, panels, w, *start) -> list[tuple]:
    """Cut the packing of a large matrix into calls for several threads."""
    cuts = np.linspace(0, len(panels), min(9, len(panels) + 1)).astype(int).tolist()
    return [(function, panels, w, *start, a, b) for a, b in itertools.pairwise(cuts)]


class Output:
    """The head and the clusters."""

    def __init__(self, network: Network):
        self.network = network
        shape = network.shape
        self.ends = bounds(shape)
        weight = "embedding" if shape.tied else "output.weight"
        self.head = Softmax(network, weight, "output.bias", self.ends[1] + len(shape.cutoffs), shape.hidden, BOS)
        self.clusters, self.projections, self.projections_t = [], [], []
        for k in range(1, len(self.ends) - 1):
            depth = projection(shape, k)
            size = self.ends[k + 1] - self.ends[k]
            self.clusters.append(Softmax(network, f"cluster{k}.weight", f"cluster{k}.bias", size, depth))
            self.projections.append(network.panels(shape.hidden, depth))
            self.projections_t.append(network.panels(depth, shape.hidden))

    def packing(self, training: bool) -> list[tuple]:
        """Return the calls that bring the packed copies up to date."""
        jobs = self.head.packing(training)
        for k, cluster in enumerate(self.clusters):
            w = self.network.view(f"cluster{k + 1}.projection")
            jobs += cluster.packing(training)
            jobs.append((products.pack, self.projections[k], w, 0, len(self.projections[k])))
            if training:
                jobs.append((products.pack_transposed, self.projections_t[k], w, 0, 0, len(self.projections_t[k])))
        return jobs

    def vectors(self) -> np.ndarray:
        """Return the vector of each token with which h is multiplied for its logit, float32 (V, H).

        Of a token of a cluster it is the cluster's own and, through the projection, the token's there:

            log p(w | h) = h . (v_k + P_k v_w) + b_k + b_w - log of both softmaxes' sums
        """
        layout, flat, hidden = self.network.layout, self.network.flat, self.network.shape.hidden
        if self.head.tied:
            return layout["embedding"].true(flat)[:, 0]
        columns = layout["output.weight"].true(flat)[:, 0].T
        found = np.empty((self.ends[-1], hidden), columns.dtype)
        found[: self.ends[1]] = columns[: self.ends[1]]
        for k in range(1, len(self.ends) - 1):
            projection, weight = (layout[f"cluster{k}.{part}"].true(flat)[:, 0] for part in ("projection", "weight"))
            found[self.ends[k] : self.ends[k + 1]] = columns[self.ends[1] + k - 1] + (projection @ weight).T
        return found

    def work(self, rows: int, training: bool) -> np.ndarray:
        """Return memory for logits: of a block of rows, or of a chunk of it where they need not be kept."""
        columns = [s.columns if training else min(s.columns, CHUNK) for s in (self.head, *self.clusters)]
        return np.zeros(max(min(rows, block_rows(n)) * n for n in columns), self.network.flat.dtype)

    def losses(self, h: np.ndarray, targets: np.ndarray, work: np.ndarray) -> np.ndarray:
        """Return -log p of the targets (R,), h being (..., P)."""
        h = h.reshape(targets.size, -1)
        losses = np.empty(targets.size, h.dtype)
        self.head.losses(losses, h, self._head_targets(targets), work)
        for k, rows, inside in self._in_clusters(targets):
            projected = self._project(k, h[rows])
            more = np.empty(rows.size, h.dtype)
            self.clusters[k].losses(more, projected, inside, work)
            losses[rows] += more
        return losses

    def backward(self, h, targets, work, dh, gradient, share, scratch) -> np.ndarray:
        """Return the losses; add to dh (R, P) and to the gradients, times `share`."""
        losses = np.empty(targets.size, h.dtype)
        self.head.backward(losses, dh, h, self._head_targets(targets), work, gradient, scratch, share)
        for k, rows, inside in self._in_clusters(targets):
            part = h[rows]
            projected = self._project(k, part)
            more, dprojected, dpart = np.empty(rows.size, h.dtype), np.zeros_like(projected), np.zeros_like(part)
            self.clusters[k].backward(more, dprojected, projected, inside, work, gradient, scratch, share)
            losses[rows] += more
            dw = self.network.view(f"cluster{k + 1}.projection", gradient)
            recurrent.add_weight_gradient(dw, 0, part, dprojected, dprojected.shape[1], scratch)
            recurrent.add_product(dpart, dprojected, self.projections_t[k].shape[1], self.projections_t[k])
            dh[rows] += dpart
        return losses

    def log_probs(self, h: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return log p of every token, (R, V), those that cannot come at -inf; written to `out`, if given."""
        if out is None:
            out = np.empty((len(h), self.network.shape.vocabulary), h.dtype)
        head = self.head.log_probs(h)
        out[:, : self.ends[1]] = head[:, : self.ends[1]]
        out[:, BOS] = -np.inf
        for k, cluster in enumerate(self.clusters):
            inside = cluster.log_probs(self._project(k, h))
            out[:, self.ends[k + 1] : self.ends[k + 2]] = head[:, self.ends[1] + k, None] + inside
        return out

    def _head_targets(self, targets):
        if not self.clusters:
            return targets
        cluster = np.searchsorted(self.ends[1:-1], targets, side="right")  # 0 for the head
        return np.where(cluster == 0, targets, self.ends[1] - 1 + cluster).astype(np.int32)

    def _in_clusters(self, targets):
        """Yield for each cluster that is needed its number from 0, the rows, and the targets within it."""
        for k in range(len(self.clusters)):
            begin, end = self.ends[k + 1], self.ends[k + 2]
            rows = np.flatnonzero((targets >= begin) & (targets < end))
            if rows.size:
                yield k, rows, (targets[rows] - begin).astype(np.int32)

    def _project(self, k, h):
        panels = self.projections[k]
        out = np.zeros((len(h), len(panels) * self.network.width), h.dtype)
        recurrent.add_product(out, h, panels.shape[1], panels)
        return out
