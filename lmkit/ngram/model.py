"""The n-gram model: the contract of `lmkit.model` over a trie."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from lmkit.errors import LmkitError, ModelError, OptionError
from lmkit.kernels import ngram_query, ngram_sampling
from lmkit.memory import allowed, resident
from lmkit.model import BOS, EOS, RESERVED
from lmkit.ngram.contexts import context_vectors
from lmkit.ngram.count_files import Counts, levels_of
from lmkit.ngram.counts import NOTHING, link_levels
from lmkit.ngram.estimators import ESTIMATORS
from lmkit.ngram.external import bytes_in_memory, estimate_on_disk
from lmkit.ngram.options import MAX_ORDER, SMOOTHINGS, NGramOptions
from lmkit.ngram.pieces import check_streams, match_in_parts, rows_in_parts, score_in_pieces
from lmkit.ngram.smoothing import estimate
from lmkit.ngram.trie import BACKOFF, BEGIN, LARGEST_LOG, LOG_P, MASS, SUFFIX, WORD, Trie, check_logarithms, read_only
from lmkit.stored import Stored
from lmkit.text import TextLayer, Vocabulary
from lmkit.threads import available, in_threads
from lmkit.uniforms import Uniforms
from lmkit.vectors import SparseVectors

__all__ = [
    "ARPA", "COUNTS", "FOLLOWERS", "IMPOSSIBLE", "MIXTURE", "NGramModel", "read_settings", "train", "train_from_counts",
]  # fmt: skip

ARPA, MIXTURE = "arpa", "mixture"  # the smoothing of a model that was not estimated here
COUNTS, FOLLOWERS = "counts", "followers"  # what the sizes of contexts are
NOBODY = np.zeros(0, np.uint32)
IMPOSSIBLE = 1.001  # a probability above this (or no number) comes from a damaged file
COMPANY = 8  # streams a thread draws at least: they wait for memory together


class NGramModel(Stored):
    """p(w | the n - 1 tokens before it), from counts.

    The state of a stream is a node of the trie: the longest part of the history that occurs as a context.

    Attributes
    ----------
    trie : Trie
    options : dict
        Order, smoothing and what else shaped the numbers.
    blanks : ndarray of uint32
        Nodes that are there only because longer n-grams begin with them: what they predict is what backing off gives.
    interpolates : bool
        Whether contexts mix what followed them with what a shorter one says; if not, they back off to it.
    spreads : bool
        Whether contexts give what they leave to all words equally, not as a shorter context says.
    uniform : float
        The logarithm of what each word then has of it; else NaN.
    threads : int
        At most this many threads score and draw; the numbers are the same for every number of them.
    """

    family = "ngram"
    remembers = False

    def __init__(
        self, text: TextLayer, trie: Trie, options: dict, metadata: dict | None = None, blanks: np.ndarray = NOBODY
    ):
        self.text = text
        self.trie = trie
        self.blanks = read_only(blanks)
        self.options = options
        self.metadata = metadata or {}
        self.threads = available()
        bos = 1 + BOS
        begins = trie.order > 1 and (
            trie.nodes[bos, BEGIN] != trie.nodes[bos + 1, BEGIN] or trie.nodes[bos, BACKOFF] != 0
        )
        self._begin = bos if begins else 0  # cut-offs may leave `<s>` without children: then it is no context
        interpolates = bool(options.get("interpolate", True))  # what models of the first version do
        self.spreads = options["smoothing"] == "add-k" and interpolates
        self.uniform = -math.log(self.vocabulary_size - 1) if self.spreads else math.nan
        self.interpolates = interpolates
        self._scores = options["smoothing"] == "stupid-backoff"

    @property
    def order(self) -> int:
        """n: a token is predicted from the n - 1 before it."""
        return self.trie.order

    @functools.cached_property
    def _unigrams(self) -> np.ndarray:
        """log p of the unigrams, side by side."""
        return read_only(self.trie.level(1).view(np.float32)[:, LOG_P])

    def settings(self) -> dict:
        return {**super().settings(), **{k: v for k, v in self.options.items() if k not in ("discounts", "weights")}}

    def begin(self, n: int = 1) -> np.ndarray:
        return np.full(n, self._begin, np.uint32)

    def begin_after(self, ids: Sequence[int], n: int = 1) -> np.ndarray:
        return self._advanced(np.zeros(n, np.uint32), ids, n)

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        rows = np.empty((len(state), self.vocabulary_size), np.float32)
        shared = (self.trie.nodes, self.trie.leaves, self.order, self.uniform, self._unigrams)
        rows_in_parts(ngram_query.log_prob_rows, shared, state, rows, self.threads)
        check_logarithms(rows, self.name)
        if self._scores:  # are no distribution until they are divided by their sum
            totals = np.exp(rows, dtype=np.float64).sum(axis=1, keepdims=True)
            rows -= np.log(np.where(totals > 0, totals, 1))
        return rows

    def advance(self, state: np.ndarray, ids: np.ndarray) -> np.ndarray:
        after = np.empty(len(state), np.uint32)
        ids = read_only(np.asarray(ids, np.int32))
        check_streams(ids.shape == (len(state),), state, "ids", ids.shape)
        ngram_query.advance(
            self.trie.nodes,
            self.trie.leaves,
            self.order,
            self.vocabulary_size,
            self._begin,
            read_only(state),
            ids,
            after,
        )
        return after

    def score(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shared = (self.trie.nodes, self.trie.leaves, self.order, self.vocabulary_size, self._begin, self.uniform)
        log_p, after = score_in_pieces(ngram_query.score_pieces, shared, self.order, state, ids, self.threads)
        check_logarithms(log_p, self.name)
        return log_p, after

    def states(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the state before each token of a text, uint32 (n, T), and that after the last."""
        shared = (self.trie.nodes, self.trie.leaves, self.order, self.vocabulary_size, self._begin)
        return score_in_pieces(ngram_query.state_pieces, shared, self.order, state, ids, self.threads, np.uint32)

    def rows(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before, after = self.states(state, ids)
        return self.log_probs(before.ravel()).reshape(*before.shape, self.vocabulary_size), after

    @property
    def context_measure(self) -> str:
        """What `context_sizes` are: counts, or numbers of followers where no counts are kept."""
        return COUNTS if self.trie.counts.size else FOLLOWERS

    def context_sizes(self, state: np.ndarray) -> np.ndarray:
        """Return how often what a state remembers was followed by a token in training, int64 (n,).

        Where no counts are kept, by how many different tokens it is followed in the model. 0 for the empty context.
        """
        nodes, context = self.trie.nodes, self._followed(state)
        if self.context_measure == COUNTS:
            begin, end = 1 + BOS, 1 + EOS  # no token is `<s>`, so it was not counted: it stands behind each `</s>`
            sizes = self.trie.counts[np.where(context == begin, end, context)].astype(np.int64)
        else:
            sizes = nodes[context + 1, BEGIN].astype(np.int64) - nodes[context, BEGIN]
        return np.where(context == 0, 0, np.maximum(sizes, 0))

    def _followed(self, state: np.ndarray) -> np.ndarray:
        """Return the longest contexts of what states remember that are followed by a token, not by a weight alone."""
        nodes, last = self.trie.nodes, self.trie.internal - 1
        context = np.minimum(state, last)
        for _ in range(self.order):
            ends = nodes[context, BEGIN] == nodes[context + 1, BEGIN]
            if not ends.any():
                break
            context = np.where(ends, np.minimum(nodes[context, SUFFIX], last), context)
        return context

    @property
    def longest_context(self) -> int:
        return self.order - 1

    def context_lengths(self, state: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.trie.firsts, self._followed(state), side="right") - 1

    def draw(self, state: np.ndarray, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        streams = len(state)
        shape = uniforms.keys.shape
        check_streams(shape == uniforms.counters.shape == (streams,), state, "uniforms", shape)
        ids = np.empty((streams, t), np.int32)
        done = np.zeros(streams, np.int64)
        forbidden = np.zeros(self.vocabulary_size, np.uint8)
        forbidden[banned] = 1
        forbidden[BOS] = 1
        state = np.array(state, np.uint32)
        levels = np.zeros(streams, np.int64)
        while (done < t).any():
            if not self._scores:
                self._draw(state, t, uniforms, forbidden, ids, done, levels)
            for i in np.flatnonzero(done < t):  # the kernel met banned or refused tokens again and again
                ids[i, done[i]], state[i] = self._draw_from_rows(state[i], uniforms, forbidden, i, int(levels[i]))
                done[i] += 1
        return ids, state

    def _draw(self, state, t, uniforms, forbidden, ids, done, levels):
        """Let the kernel draw, in place, until each stream has t tokens or needs help."""
        trie, streams = self.trie, len(state)
        after = np.empty_like(state)
        parts = np.array_split(
            np.arange(streams), max(1, min(self.threads, streams // COMPANY)) if streams * t > 2048 else 1
        )
        shared = (trie.nodes, trie.leaves, trie.alias, self.order, self._begin, self.spreads, self.interpolates)
        jobs = []
        for p in parts:
            s = slice(p[0], p[-1] + 1)
            own = (uniforms.keys[s], uniforms.counters[s], state[s], t, ids[s], done[s], after[s], levels[s])
            jobs.append((*shared, forbidden, *own))
        in_threads(self.threads, ngram_sampling.draw, jobs)
        state[:] = after

    def draw_left(self, state: np.ndarray, level: int, uniforms: Uniforms) -> np.ndarray:
        """Draw a token for one stream that the `level` longest contexts have left to the next shorter one, (1,).

        For who draws with `ngram_sampling.speak_backing_off`.
        """
        forbidden = np.zeros(self.vocabulary_size, np.uint8)
        forbidden[BOS] = 1
        return np.array([self._draw_from_rows(state[0], uniforms, forbidden, 0, int(level))[0]], np.int32)

    def _draw_from_rows(self, state, uniforms, forbidden, stream, level):
        """Draw a token from whole rows; return it and the state after.

        `level` contexts, of a model that backs off, have left it to the next shorter one: each takes a token that it
        does not refuse. Where none is allowed, the shorter context answers.
        """
        path = [np.array([state], np.uint32)]
        for _ in range(level):
            shorter = self.shorten(path[-1])
            path.append(path[-1] if shorter is None else shorter)
        token = self._roll(path[level], uniforms, stream, path[level - 1] if level else None, forbidden)
        for j in reversed(range(level - 1)):
            if token is not None and token in self._refused(path[j]):
                token = self._roll(path[j + 1], uniforms, stream, path[j], forbidden)
        context = path[0]
        while token is None or forbidden[token]:
            if context is None:
                raise LmkitError("nothing can be drawn: the model knows no token but <unk>; --allow-unk lets it come")
            token = self._roll(context, uniforms, stream, None, forbidden)
            context = self.shorten(context)
        return token, self.advance(path[0], np.array([token], np.int32))[0]

    def _roll(self, context, uniforms, stream, refusing, forbidden):
        """Draw from the distribution after a context: of what is allowed, or of what the context `refusing` takes;
        None where there is nothing."""
        row = np.exp(self.log_probs(context)[0].astype(np.float64))
        row[~(row <= IMPOSSIBLE)] = 0
        if refusing is None:
            row[forbidden != 0] = 0
        else:
            row[self._refused(refusing)] = 0
        cumulative = np.cumsum(row)
        if not cumulative[-1] > 0:
            return None
        one = Uniforms(uniforms.keys[stream : stream + 1], uniforms.counters[stream : stream + 1])
        u = one.floats()[0]
        uniforms.counters[stream] = one.counters[0]
        return int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))

    def _refused(self, context):
        """Return the words that a context does not take from the shorter one, as `lmkit.kernels.ngram_walk.refuses`
        says: those that were seen after it, or none; of a damaged file's only those that there are."""
        trie, c = self.trie, min(int(context[0]), self.trie.internal - 1)
        low, high = int(trie.nodes[c, BEGIN]), int(trie.nodes[c + 1, BEGIN])
        if low < trie.internal:
            children = trie.nodes[low : min(high, trie.internal)]
        else:
            children = trie.leaves[low - trie.internal : max(high - trie.internal, 0)]
        weight = float(trie.nodes[c, BACKOFF : BACKOFF + 1].view(np.float32)[0])
        spoken = min(max((1 - math.exp(min(weight, LARGEST_LOG))) * 2.0**32, 0.0), 2.0**32 - 1)
        words = children[:, WORD]
        return words[(words < self.vocabulary_size) & (abs(children[-1:, MASS].astype(float) - spoken) > 1)]

    def shorten(self, state: np.ndarray) -> np.ndarray | None:
        """Return the next shorter contexts; None where all are empty already."""
        if not state.any():
            return None
        nodes = self.trie.nodes
        shorter = np.minimum(nodes[np.minimum(state, self.trie.internal - 1), SUFFIX], self.trie.internal - 1)
        return np.where(shorter < state, shorter, 0).astype(np.uint32)  # links lead back; a damaged file's may not

    def context_counts(self, state: np.ndarray) -> np.ndarray | None:
        if not self.trie.counts.size:
            return None
        rows = np.empty((len(state), self.vocabulary_size), np.int64)
        ngram_query.count_rows(self.trie.nodes, self.trie.leaves, self.trie.counts, read_only(state), rows)
        return rows

    def orders(self, ids: np.ndarray, after: Sequence[int] | None = None) -> np.ndarray:
        trie, found = self.trie, np.empty(len(ids), np.int64)
        begin = self._begin if after is None else int(self.begin_after(after)[0])
        blank = np.zeros(sum(trie.sizes) if len(self.blanks) else 0, np.uint8)
        blank[self.blanks] = 1
        shared = (trie.nodes, trie.leaves, self.order, self.vocabulary_size, begin, blank)
        match_in_parts(ngram_query.matches, shared, ids, found, self.threads)
        return np.searchsorted(np.cumsum(trie.sizes), found, side="right")

    def token_vectors(self) -> tuple[SparseVectors, SparseVectors] | None:
        """See `lmkit.ngram.contexts`; a damaged model raises ModelError."""
        if self.order == 1:
            return None
        first, second, log_p = self.trie.bigrams(self.name)
        check_logarithms(self._unigrams, self.name)
        _, _, begin, end = self.trie.firsts[:4]
        seen = np.ones(end - begin, bool)
        seen[self.blanks[(self.blanks >= begin) & (self.blanks < end)] - begin] = False
        return context_vectors((first[seen], second[seen], log_p[seen]), self._unigrams)

    def unpacked(self) -> NGramModel:
        """Return this model: only packed ones (`lmkit.ngram.packed`) have to be unpacked."""
        return self

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the model, for its file."""
        blanks = {"ngram.blanks": self.blanks} if len(self.blanks) else {}
        return {**self.trie.tensors(), **blanks, **self.text.tensors()}

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        return {**self.options, "ngrams": list(self.trie.sizes)}

    @classmethod
    def from_file(cls, file) -> NGramModel:
        """Build the model over a file's memory-mapped tensors (`lmkit.storage.ModelFile`).

        Raises
        ------
        ModelError
            The file does not hold a whole n-gram model.
        """
        text, options, sizes = read_settings(file)
        trie = Trie.from_tensors(file.tensors, sizes, len(text.vocabulary), file.name)
        blanks = file.tensors.get("ngram.blanks", NOBODY)
        if blanks.dtype != np.uint32 or blanks.ndim != 1 or (len(blanks) and blanks.max() >= sum(trie.sizes)):
            raise ModelError(f"{file.name}: tensor ngram.blanks is damaged; train or convert the model anew")
        if file.verified:
            trie.check_numbers(file.name)
        return cls(text, trie, options, file.metadata, blanks)


def read_settings(file) -> tuple[TextLayer, dict, list]:
    """Return the text layer, the options and the numbers of n-grams (as they stand there) that a model file holds.

    Raises
    ------
    ModelError
        It is no n-gram model.
    """
    try:
        text = TextLayer.from_tensors(file.tensors, file.metadata)
    except ModelError as error:
        raise ModelError(f"{file.name}: {error}") from None
    config = file.metadata.get("config")
    options = dict(config) if isinstance(config, dict) else {}
    sizes = options.pop("ngrams", None)
    if not isinstance(sizes, list) or options.get("smoothing") not in (*SMOOTHINGS, ARPA, MIXTURE):
        raise ModelError(f"{file.name}: its settings are not those of an n-gram model; train it anew")
    if len(sizes) > MAX_ORDER + 1:
        raise ModelError(
            f"{file.name}: it says that it has n-grams of {len(sizes) - 1} words; lmkit knows up to {MAX_ORDER}"
        )
    options["order"] = len(sizes) - 1  # whatever else the file says
    return text, options, sizes


def train(
    ids: np.ndarray,
    counts: np.ndarray,
    text: TextLayer,
    options: NGramOptions,
    progress: Callable[[str, int, int], None] | None = None,
    held_out: np.ndarray | None = None,
) -> NGramModel:
    """Count and smooth: turn a text as ids (`</s>` at each sentence's end) into a model.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
    counts : ndarray of int64, shape (V,)
        How often each id stands in the text.
    progress : callable, optional
        Called with a phase, the steps done and all steps.
    held_out : ndarray of int32, optional
        A text on which Jelinek-Mercer smoothing finds its weights.

    Warns
    -----
    LmkitWarning
        Discounts had to fall back.

    Raises
    ------
    CorpusError, OptionError
    """
    done = 0

    def report(phase: str, steps: int = options.order + 2) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(phase, done, steps)

    excluded = _excluded(text, options)
    memory = allowed(options.memory)
    needed = bytes_in_memory(len(ids), len(counts), options.order)
    if options.order > 1 and memory is not None and needed > memory - resident():
        room = memory - resident()
        estimated = estimate_on_disk(ids, counts, options, excluded, room, held_out, report)
    else:
        levels = link_levels(
            ids, options.order, counts, adjusted=ESTIMATORS[options.smoothing].adjusted,
            occurrences=options.keeps_counts, cutoffs=options.cutoffs, excluded=excluded, threads=options.threads,
            progress=report,
        )  # fmt: skip
        estimated = estimate(levels, options, held_out)
        report("probabilities")
    return _model(*estimated, text, options, excluded)


def train_from_counts(
    counts: Counts, text: TextLayer, options: NGramOptions, name: str, held_out: np.ndarray | None = None
) -> NGramModel:
    """Smooth counts that were read from files: see `train`.

    Parameters
    ----------
    counts : Counts
        Of all orders up to that of the options; the vocabulary of `text` is theirs.
    name : str
        Of the files, for messages.

    Raises
    ------
    CorpusError, OptionError
    """
    excluded = _excluded(text, options)
    levels = levels_of(
        counts, adjusted=ESTIMATORS[options.smoothing].adjusted, occurrences=options.keeps_counts,
        cutoffs=options.cutoffs, excluded=excluded, name=name, threads=options.threads,
    )  # fmt: skip
    return _model(*estimate(levels, options, held_out), text, options, excluded)


def _excluded(text: TextLayer, options: NGramOptions) -> np.ndarray:
    """Return which words are dropped with all their n-grams, uint8 (V,); empty for none."""
    if options.limit_vocabulary is None:
        return NOTHING
    if text.settings.tokenizer == "byte":
        raise OptionError("--limit-vocab does not go with --tokenizer byte, whose vocabulary is all 256 bytes")
    excluded = np.ones(len(text.vocabulary), np.uint8)
    excluded[:3] = 0
    known = (text.vocabulary.id(token) for token in options.limit_vocabulary)
    excluded[[i for i in known if i is not None]] = 0
    return excluded


def _model(trie: Trie, facts: dict, text: TextLayer, options: NGramOptions, excluded: np.ndarray) -> NGramModel:
    if excluded.any():
        kept = [text.vocabulary.token(i) for i in np.flatnonzero(excluded == 0) if i >= len(RESERVED)]
        text = TextLayer(text.settings, Vocabulary.from_tokens(kept))
    model = NGramModel(text, trie, {**options.describe(), **facts})
    model.threads = options.threads
    return model
