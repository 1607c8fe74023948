"""Slow, obvious language models: the twins that the fast ones are compared with.

`NGramReference` is the textbook written down with dictionaries; `ElmanReference` is the textbook network in
NumPy. Both keep the whole contract of `lmkit.model`, so everything that stands on the contract is tested with
two families that share no code.
"""

from __future__ import annotations

import collections

import numpy as np

from lmkit.errors import LmkitError
from lmkit.model import BOS, EOS, LanguageModel

NOTHING = -1  # fills the unused left part of a context


class SlowModel(LanguageModel):
    """What follows from `begin`, `log_probs` and `advance` alone: score and draw, one token at a time."""

    def score(self, state, ids):
        log_p = np.empty(ids.shape)
        for t in range(ids.shape[1]):
            log_p[:, t] = np.take_along_axis(self.log_probs(state), ids[:, t : t + 1].astype(int), 1)[:, 0]
            state = self.advance(state, ids[:, t])
        return log_p, state

    def draw(self, state, t, uniforms, banned):
        ids = np.empty((len(uniforms.keys), t), np.int32)
        for i in range(t):
            p = np.exp(self.log_probs(state))
            p[:, banned] = 0
            total = p.sum(1)
            if not total.all():
                raise LmkitError("only banned tokens can follow; allow them")
            cumulative = np.cumsum(p, 1)
            u = uniforms.floats() * cumulative[:, -1]
            for j in range(len(ids)):
                ids[j, i] = np.searchsorted(cumulative[j], u[j], side="right")
            state = self.advance(state, ids[:, i])
        return ids, state


class ElmanReference(SlowModel):
    """Elman (1990): h = tanh(W_xh[w] + W_hh h + b_h), p = softmax(W_hy h + b_y), never `<s>`."""

    family = "elman-reference"

    def __init__(self, text, hidden=5, seed=0, scale=1.0):
        self.text, self.metadata = text, {}
        rng = np.random.default_rng(seed)
        size = len(text.vocabulary)
        self.w_xh = rng.normal(0, scale, (size, hidden))
        self.w_hh = rng.normal(0, scale, (hidden, hidden))
        self.b_h = rng.normal(0, scale, hidden)
        self.w_hy = rng.normal(0, scale, (hidden, size))
        self.b_y = rng.normal(0, scale, size)

    def begin(self, n=1):
        return self.advance(np.zeros((n, len(self.b_h))), np.full(n, EOS, np.int32))

    def log_probs(self, state):
        logits = state @ self.w_hy + self.b_y
        logits[:, BOS] = -np.inf
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def advance(self, state, ids):
        return np.tanh(self.w_xh[ids] + state @ self.w_hh + self.b_h)


class NGramReference(SlowModel):
    """Count models over dictionaries: maximum likelihood, add-k, interpolated modified Kneser-Ney.

    Chen & Goodman (1998), with lmplz's conventions (Heafield et al. 2013): one `<s>` before each sentence;
    lower orders count distinct left neighbours, except n-grams that start with `<s>`; unigrams are
    interpolated with 1/(V - 1), `<s>` left out.
    """

    family = "ngram-reference"

    def __init__(
        self,
        text,
        ids,
        order=3,
        smoothing="modified-kneser-ney",
        k=1.0,
        fallback=None,
        interpolate_unigrams=True,
    ):
        self.text, self.metadata, self.order, self.smoothing, self.k = text, {}, order, smoothing, k
        self.interpolate_unigrams = interpolate_unigrams
        self.raw = [None, *(raw_counts(ids, n) for n in range(1, order + 1))]
        self.counts = adjusted_counts(self.raw) if smoothing == "modified-kneser-ney" else self.raw
        self.children = collections.defaultdict(dict)  # context -> {word: count}
        for table in self.counts[1:]:
            for gram, count in table.items():
                if gram != (BOS,):
                    self.children[gram[:-1]][gram[-1]] = count
        if smoothing == "modified-kneser-ney":
            self.discounts = [None] + [discount(t, fallback) for t in self.counts[1:]]
        self.rows = {}

    def begin(self, n=1):
        context = [NOTHING] * (self.order - 2) + [BOS] if self.order > 1 else []
        return np.tile(np.array(context, np.int64), (n, 1))

    def advance(self, state, ids):
        start = np.asarray(ids) == EOS
        moved = np.concatenate([state, np.asarray(ids, np.int64)[:, None]], 1)[:, 1:]
        return np.where(start[:, None], self.begin(len(state)), moved)

    def log_probs(self, state):
        with np.errstate(divide="ignore"):
            return np.log([self.row(tuple(w for w in context if w != NOTHING)) for context in state.tolist()])

    def context_counts(self, state):
        if self.smoothing == "modified-kneser-ney":
            return None
        counts = np.zeros((len(state), self.vocabulary_size), np.int64)
        for i, context in enumerate(state.tolist()):
            for word, count in self.children[self.seen(tuple(w for w in context if w != NOTHING))].items():
                counts[i, word] = count
        return counts

    def seen(self, context):
        """The longest part of a context that something followed in training."""
        while context and context not in self.children:
            context = context[1:]
        return context

    def row(self, context):
        context = self.seen(context)
        if context not in self.rows:
            estimate = {"mle": self.likelihood, "add-k": self.additive}.get(self.smoothing, self.kneser_ney)
            self.rows[context] = estimate(context)
        return self.rows[context]

    def likelihood(self, context):
        p = np.zeros(self.vocabulary_size)
        for word, count in self.children[context].items():
            p[word] = count
        return p / p.sum()

    def additive(self, context):
        p = np.full(self.vocabulary_size, self.k)
        for word, count in self.children[context].items():
            p[word] += count
        p[BOS] = 0
        return p / p.sum()

    def kneser_ney(self, context):
        size = self.vocabulary_size
        discounts = self.discounts[len(context) + 1]
        children = self.children[context]
        total = sum(children.values())
        gamma = sum(discounts[min(count, 3)] for count in children.values()) / total
        if context:
            p = gamma * self.row(context[1:])
        elif self.interpolate_unigrams:
            p = np.full(size, gamma / (size - 1))
        else:
            p = np.zeros(size)
            p[0] = gamma
        for word, count in children.items():
            p[word] += (count - discounts[min(count, 3)]) / total
        p[BOS] = 0
        return p


def sentences(ids):
    """Cut a text of ids after each `</s>` and put `<s>` before each sentence."""
    sentence = [BOS]
    for w in np.asarray(ids).tolist():
        sentence.append(w)
        if w == EOS:
            yield tuple(sentence)
            sentence = [BOS]


def raw_counts(ids, n):
    """How often each n-gram stands in the text."""
    return collections.Counter(s[i : i + n] for s in sentences(ids) for i in range(len(s) - n + 1))


def adjusted_counts(raw):
    """Kneser & Ney (1995): below the highest order, the number of distinct words seen to the left."""
    adjusted = list(raw)
    for n in range(1, len(raw) - 1):
        left = collections.Counter(gram[1:] for gram in raw[n + 1])
        adjusted[n] = {gram: raw[n][gram] if gram[0] == BOS else left[gram] for gram in raw[n]}
    return adjusted


def discount(counts, fallback=None):
    """Chen & Goodman (1998), equation 26: what to take off n-grams seen once, twice, three times or more."""
    n = collections.Counter(count for gram, count in counts.items() if gram != (BOS,))
    if n[1] and n[2] and n[3]:
        y = n[1] / (n[1] + 2 * n[2])
        found = [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
        if all(0 <= d <= j for j, d in enumerate(found, 1)):
            return [0.0, *found]
    if fallback is None:
        raise LmkitError("the counts of counts allow no discounts")
    return [0.0, *fallback]


def read_arpa(lines):
    """Read an ARPA file, given as lines of bytes: n-gram -> (log10 p, log10 back-off)."""
    found, order = {}, 0
    for line in lines:
        line = line.rstrip(b"\n")
        if line.endswith(b"-grams:"):
            order = int(line[1:-7])
        elif order and line and not line.startswith(b"\\"):
            log_p, gram, *backoff = line.split(b"\t")
            found[tuple(gram.split(b" "))] = float(log_p), float(backoff[0]) if backoff else 0.0
    return found
