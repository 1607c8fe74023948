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
    """Count models over dictionaries, a context at a time.

    Chen & Goodman (1998), with lmplz's conventions (Heafield et al. 2013): one `<s>` before each sentence; with
    Kneser-Ney smoothing lower orders count distinct left neighbours, except n-grams that start with `<s>`; unigrams
    are interpolated with 1/(V - 1), `<s>` left out.
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
        interpolate=True,
        discount=None,
        alpha=0.4,
        held_out=None,
    ):
        self.text, self.metadata, self.order, self.smoothing, self.k = text, {}, order, smoothing, k
        self.interpolate_unigrams, self.interpolate, self.alpha = interpolate_unigrams, interpolate, alpha
        self.raw = [None, *(raw_counts(ids, n) for n in range(1, order + 1))]
        self.counts = adjusted_counts(self.raw) if smoothing.endswith("kneser-ney") else self.raw
        self.children = collections.defaultdict(dict)  # context -> {word: count}
        for table in self.counts[1:]:
            for gram, count in table.items():
                if gram != (BOS,):
                    self.children[gram[:-1]][gram[-1]] = count
        if smoothing == "modified-kneser-ney":
            self.discounts = [None] + [three_discounts(t, fallback) for t in self.counts[1:]]
        if smoothing in ("absolute", "kneser-ney"):
            self.discounts = [None] + [one_discount(t) if discount is None else discount for t in self.counts[1:]]
        if smoothing == "katz":
            self.kept = [None] + [good_turing(t) for t in self.counts[1:]]
        if smoothing == "jelinek-mercer":
            self.weights = self.expectation_maximisation(held_out)
        self.known_rows = {}

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
        if self.smoothing not in ("mle", "add-k"):
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
        if context not in self.known_rows:
            estimate = {"mle": self.likelihood, "stupid-backoff": self.scores, "add-k": self.additive}
            estimate = estimate.get(self.smoothing) if self.interpolate or self.smoothing != "add-k" else None
            self.known_rows[context] = (estimate or self.smoothed)(context)
        return self.known_rows[context]

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

    def scores(self, context):
        """Brants et al. (2007), no distribution: `log_probs` of the model divide it by its sum."""
        p = self.alpha * self.row(context[1:]) if context else np.zeros(self.vocabulary_size)
        total = sum(self.children[context].values())
        for word, count in self.children[context].items():
            p[word] = count / total
        if not context and p[0] == 0:
            p[0] = self.alpha / (self.vocabulary_size - 1)
        return p

    def shares(self, context):
        """What each seen word gets from this context's own counts: {word: share}."""
        children, n = self.children[context], len(context) + 1
        total, kept, divisor = sum(children.values()), dict(children), None
        if self.smoothing == "modified-kneser-ney":
            kept = {w: count - self.discounts[n][min(count, 3)] for w, count in children.items()}
        elif self.smoothing in ("absolute", "kneser-ney"):
            kept = {w: count - self.discounts[n] for w, count in children.items()}
        elif self.smoothing == "witten-bell":
            divisor = total + len(children)
        elif self.smoothing == "katz":
            kept = {w: count * self.kept[n].get(count, 1.0) for w, count in children.items()} if context else kept
            divisor = total if context else total + 1
        elif self.smoothing == "jelinek-mercer":
            weight = self.weights[n][total.bit_length()]
            kept = {w: weight * count for w, count in children.items()}
        elif self.smoothing == "add-k":
            kept = {w: count + self.k for w, count in children.items()}
            divisor = total + self.k * (self.vocabulary_size - 1)
        return {w: count / (divisor or total) for w, count in kept.items()}

    def smoothed(self, context):
        """The shares, and what they leave to the shorter context: mixed, or for unseen words only."""
        shares = self.shares(context)
        left = 1 - sum(shares.values())
        if not context:
            p = np.full(self.vocabulary_size, left / (self.vocabulary_size - 1))
            if not self.interpolate_unigrams:
                p[:] = 0
                p[0] = left
            p[BOS] = 0
        else:
            p = left * self.row(context[1:])
        if context and not self.interpolate:
            seen = list(shares)
            unseen = 1 - self.row(context[1:])[seen].sum()
            if left < 1e-7 and unseen > 1e-7:  # Doug Paul's rule: unseen words come once
                total = sum(self.children[context].values())
                shares = {w: share * total / (total + 1) for w, share in shares.items()}
                left = 1 / (total + 1)
            if sum(shares.values()) == 0:
                return self.row(context[1:])
            if unseen < 1e-7:
                shares = {w: share / sum(shares.values()) for w, share in shares.items()}
            p = self.row(context[1:]) * (left / unseen if unseen > 1e-7 else 0)
            p[seen] = 0
        for word, share in shares.items():
            p[word] += share
        return p

    def use_weights(self, weights):
        """Take other weights of Jelinek & Mercer: for each order a list by floor(log2(total))."""
        self.weights = [None, *({bucket + 1: w for bucket, w in enumerate(of_order)} for of_order in weights)]
        self.known_rows = {}

    def expectation_maximisation(self, held_out, rounds=500):
        """Jelinek & Mercer (1980): weights[n][bits of the context's total], a token at a time."""
        tokens = []  # for each token: a list of (n, bits, n(c w) / n(c .)) from the unigrams up
        for sentence in sentences(held_out):
            for i in range(1, len(sentence)):
                levels = []
                for n in range(1, self.order + 1):
                    context = sentence[max(i - n + 1, 0) : i]
                    if len(context) < n - 1 or context not in self.children:
                        break
                    total = sum(self.children[context].values())
                    levels.append((n, total.bit_length(), self.children[context].get(sentence[i], 0) / total))
                tokens.append(levels)
        weights = [collections.defaultdict(lambda: 0.5) for _ in range(self.order + 1)]
        for _ in range(rounds):
            stayed, came = collections.Counter(), collections.Counter()
            for levels in tokens:
                p = [1 / (self.vocabulary_size - 1)]
                for n, bits, share in levels:
                    p.append(weights[n][bits] * share + (1 - weights[n][bits]) * p[-1])
                arrived = 1.0
                for (n, bits, share), of_it in reversed(list(zip(levels, p[1:], strict=True))):
                    stays = weights[n][bits] * share / of_it
                    came[n, bits] += arrived
                    stayed[n, bits] += arrived * stays
                    arrived *= 1 - stays
            for (n, bits), number in came.items():
                weights[n][bits] = stayed[n, bits] / number if number else 0.0
        for of_order in weights[1:]:  # what was never met is like the next smaller one, or the smallest
            met = sorted(of_order)
            for bits in range(64):
                if bits not in of_order and met:
                    smaller = [b for b in met if b < bits]
                    of_order[bits] = of_order[smaller[-1] if smaller else met[0]]
        return weights


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


def three_discounts(counts, fallback=None):
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


def one_discount(counts):
    """Ney, Essen & Kneser (1994)."""
    n = collections.Counter(count for gram, count in counts.items() if gram != (BOS,))
    return n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5


def good_turing(counts):
    """Katz (1987): the share of the counts 1 to 7 that is kept; 1 where it would be none or more."""
    n = collections.Counter(count for gram, count in counts.items() if gram != (BOS,))
    limit = max((k for k in range(8) if n[k + 1] or k == 0), default=0)
    while limit and not n[limit + 1]:
        limit -= 1
    if not n[1]:
        return {}
    rest = (limit + 1) * n[limit + 1] / n[1]
    kept = {}
    for r in range(1, limit + 1):
        ratio = (r + 1) * n[r + 1] / (r * n[r]) if n[r] else 2.0
        value = (ratio - rest) / (1 - rest) if rest != 1 else 1.0
        kept[r] = value if 0 < value <= 1 and ratio <= 1 else 1.0
    return kept


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
