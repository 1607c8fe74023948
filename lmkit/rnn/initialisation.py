"""The weights that a training begins with."""

from __future__ import annotations

import itertools
import math

import numpy as np

from lmkit.model import BOS
from lmkit.rnn.network import Shape
from lmkit.rnn.parameters import Layout

__all__ = ["initialise"]


def initialise(shape: Shape, layout: Layout, counts: np.ndarray, init: str, rng: np.random.Generator) -> np.ndarray:
    """Return a flat float32 array of weights.

    - Recurrent weights, gate by gate: orthogonal (Saxe, McClelland and Ganguli 2014), or uniform within
      1 / sqrt(hidden) (LeCun et al. 1998).
    - Input weights and the output's: uniform within 1 / sqrt(n), n inputs of a unit; for one-hot inputs, of which one
    is
      on, n is hidden. Embeddings: uniform within 0.1 (Zaremba et al. 2014).
    - Biases zero, but 1 for the LSTM's forget gate (Jozefowicz, Zaremba and Sutskever 2015), and log p(w) for the
      output: the network begins as a unigram model.

    Parameters
    ----------
    counts : ndarray, shape (V,)
        How often each token stands in the text.
    """
    flat = np.zeros(layout.size, np.float32)
    for name, part in layout.parts.items():
        values, kind = part.true(flat), name.split(".")[-1]
        if kind == "recurrent" and init == "orthogonal":
            for gate in range(part.gates):
                values[:, gate] = orthogonal(part.units, rng)
        elif part.rows:
            one_hot = kind == "input" and part.rows == shape.vocabulary and not shape.embedding
            bound = 0.1 if name == "embedding" else 1 / math.sqrt(shape.hidden if one_hot else part.rows)
            values[:] = rng.uniform(-bound, bound, values.shape)
        elif kind == "bias" and name.startswith("layer") and shape.arch == "lstm":
            values[0, 1] = 1
    _unigram_biases(shape, layout, flat, counts)
    return flat


def orthogonal(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random orthogonal matrix, uniformly distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _unigram_biases(shape, layout, flat, counts):
    seen = counts.astype(np.float64) + 1  # every token may come
    seen[BOS] = 1
    ends = [0, *shape.cutoffs, shape.vocabulary]
    clusters = [seen[a:b] for a, b in itertools.pairwise(ends)]
    head = np.concatenate([clusters[0], [cluster.sum() for cluster in clusters[1:]]])
    for name, values in [("output", head), *((f"cluster{k}", c) for k, c in enumerate(clusters) if k)]:
        layout[f"{name}.bias"].true(flat)[0, 0] = np.log(values / values.sum())
