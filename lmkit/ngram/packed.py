"""The packed n-gram model: a trie in as few bits as it takes, its numbers rounded to those of codebooks.

The k-grams of each order k > 1 stand in the order of `lmkit.ngram.trie`, side by side without a gap, each in

    word       ceil(log2 V) bits
    log p      as many bits as its codebook needs: natural logarithm of p(word | context); NaN: a blank, a node that is
               there only because longer n-grams begin with it
    back-off   the same, below the highest order: natural logarithm of the weight alpha

Where children begin climbs from node to node, so it is kept as differences in unary: a vector of bits with a zero for
each child and a one behind the last child of each node. The children of node x begin at the zeros before its part;
where that part begins is written down for every 32nd node, the rest is counted. That is 2 to 3 bits a node. Unigrams
have a record of 12 bytes: log p and back-off as float32, and the first child.

There are no links to suffixes. A state is the chain of the nodes of the last 1, 2, ..., n - 1 words, and each of them
looks for the next word among its children: those that are found are the next chain, the longest says p. Rounded numbers
sum to one only nearly, so back-off weights are computed after log p is rounded, from rounded values only, and then
rounded themselves: what is left is the error of that last step.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from lmkit.errors import LmkitError, ModelError, OptionError
from lmkit.kernels import ngram_packed as bits
from lmkit.kernels import ngram_packed_query as queries
from lmkit.kernels import ngram_pruning
from lmkit.kernels.ngram_estimation import alias_table
from lmkit.model import BOS
from lmkit.ngram.assembly import Level, structure_of_parents
from lmkit.ngram.contexts import context_vectors
from lmkit.ngram.model import FOLLOWERS, IMPOSSIBLE, NGramModel, read_settings
from lmkit.ngram.options import MAX_ORDER
from lmkit.ngram.pieces import check_streams, match_in_parts, rows_in_parts, score_in_pieces
from lmkit.ngram.pruning import check_backs_off
from lmkit.ngram.quantization import codebook, encode
from lmkit.ngram.trie import BACKOFF, BEGIN, LOG_P, WORD, check_logarithms, read_only, words_climb
from lmkit.stored import Stored
from lmkit.text import TextLayer
from lmkit.threads import available, in_threads
from lmkit.uniforms import Uniforms
from lmkit.vectors import SparseVectors

__all__ = ["MAX_BITS", "MIN_BITS", "PackedModel", "PackedTrie", "check_bits", "pack", "packed_bytes", "read_ngrams"]

MIN_BITS, MAX_BITS = 2, 16
SPARE = 8  # bytes behind the records: eight are read at once
LIMIT = 2**32  # bits of a vector: the places in it are uint32
SHAPES = {
    "ngram.words": np.uint32, "ngram.packed": np.uint8, "ngram.begins": np.uint64, "ngram.samples": np.uint32,
    "ngram.codebooks": np.float32,
}  # fmt: skip


def layout_of(sizes: tuple[int, ...], codes: list[list[int]]) -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
    """Return where everything is, int64 (n + 1, columns) as kernels read it, and the shapes of the arrays.

    Parameters
    ----------
    sizes : tuple of int
        Number of k-grams for k = 0 (the root), 1, ..., n.
    codes : list of [int, int]
        For k = 2, ..., n the numbers in the codebooks of log p and of back-off weights, 0 for the latter of order n.
    """
    order, word_bits = len(sizes) - 1, max(sizes[1] - 1, 1).bit_length()
    layout = np.zeros((order + 1, bits.SAMPLES_AT + 1), np.int64)
    bit = value = begins = samples = 0
    layout[1, bits.SIZE] = sizes[1]
    for k in range(2, order + 1):
        of_log_p, of_backoffs = codes[k - 2]
        width = word_bits + _width(of_log_p) + _width(of_backoffs)
        layout[k, : bits.LOG_P_AT] = sizes[k], bit, width, word_bits, _width(of_log_p), _width(of_backoffs)
        layout[k, bits.LOG_P_AT : bits.BEGINS_AT] = value, of_log_p, value + of_log_p, of_backoffs
        bit += -(-sizes[k] * width // 8) * 8
        value += of_log_p + of_backoffs
        if k < order:
            words = -(-(sizes[k] + sizes[k + 1]) // 64)
            layout[k, bits.BEGINS_AT :] = begins, words, samples
            begins, samples = begins + words, samples - (-sizes[k] // bits.EVERY)
    shapes = ((sizes[1] + 1, 3), (bit // 8 + SPARE,), (begins,), (samples,), (value,))
    return layout, dict(zip(SHAPES, shapes, strict=True))


def _width(codes: int) -> int:
    """Return the bits of a number below `codes`."""
    return max(codes - 1, 0).bit_length()


def packed_bytes(sizes: list[int], quantize: int) -> int:
    """Return the bytes that packed n-grams take at most, when numbers have so many bits."""
    codes = [[min(2**quantize, size + 2)] * 2 for size in sizes[2:]]  # an empty book has one number, blanks add one
    _, shapes = layout_of(tuple(sizes), codes)
    return sum(int(np.prod(shape)) * np.dtype(SHAPES[name]).itemsize for name, shape in shapes.items())


def check_bits(quantize: int) -> None:
    """Refuse what is no number of bits.

    Raises
    ------
    OptionError
    """
    if not MIN_BITS <= quantize <= MAX_BITS:
        raise OptionError(f"--quantize is {quantize}; numbers have from {MIN_BITS} to {MAX_BITS} bits")


@dataclasses.dataclass(frozen=True)
class PackedTrie:
    """The arrays of a packed model: see above.

    Attributes
    ----------
    words : ndarray of uint32, shape (V + 1, 3)
    records : ndarray of uint8
    begins : ndarray of uint64
    samples : ndarray of uint32
    values : ndarray of float32
        All codebooks, one after another.
    sizes : tuple of int
    codes : list of [int, int]
    layout : ndarray of int64
        Where everything is: see `layout_of`.
    """

    words: np.ndarray
    records: np.ndarray
    begins: np.ndarray
    samples: np.ndarray
    values: np.ndarray
    sizes: tuple[int, ...]
    codes: list[list[int]]
    layout: np.ndarray

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names they have in a model file."""
        arrays = (self.words, self.records, self.begins, self.samples, self.values)
        return dict(zip(SHAPES, arrays, strict=True))

    @classmethod
    def from_tensors(cls, tensors: dict, sizes: list, codes: object, vocabulary_size: int, name: str) -> PackedTrie:
        """Take the arrays out of a model file, untrusted: shapes are checked here, numbers where they are used.

        Raises
        ------
        ModelError
            A tensor is missing or has another shape or type than `sizes` and `codes` call for; a codebook or a unigram
            holds what is not a logarithm (these few numbers are all that there are).
        """
        numbers = [*sizes, *itertools.chain.from_iterable(codes)] if _is_table(codes, len(sizes) - 2) else [None]
        sound = all(type(n) is int and 0 <= n < LIMIT for n in numbers) and sizes[:2] == [1, vocabulary_size]
        if not sound or any(n > 2**MAX_BITS for pair in codes for n in pair) or any(pair[0] < 1 for pair in codes):
            raise ModelError(f"{name}: its numbers of n-grams or codes do not fit its words; pack the model anew")
        if any(pair[1] < 1 for pair in codes[:-1]):
            raise ModelError(f"{name}: a codebook of back-off weights is empty; pack the model anew")
        layout, shapes = layout_of(tuple(sizes), codes)
        for key, shape in shapes.items():
            array = tensors.get(key, np.zeros(0, SHAPES[key]))
            if array.dtype != SHAPES[key] or array.shape != shape:
                raise ModelError(
                    f"{name}: tensor {key} is {array.dtype}{list(array.shape)}, expected "
                    f"{np.dtype(SHAPES[key])}{list(shape)}; pack the model anew"
                )
        arrays = [read_only(tensors.get(key, np.zeros(0, dtype))) for key, dtype in SHAPES.items()]
        trie = cls(*arrays, tuple(sizes), codes, read_only(layout))
        trie.check_numbers(name)
        return trie

    def check_numbers(self, name: str) -> None:
        """Check that all probabilities and back-off weights are logarithms of such.

        Raises
        ------
        ModelError
        """
        unigrams = self.words.view(np.float32)[:-1]
        check_logarithms(unigrams[:, 0], name)
        check_logarithms(unigrams[:, 1], name)
        ends = np.cumsum([n for pair in self.codes for n in pair])
        for i, book in enumerate(np.split(self.values, ends)):
            blanks = i % 2 == 0 and len(book) > 1 and np.isnan(book[0])
            check_logarithms(book[1:] if blanks else book, name)


def _is_table(codes: object, rows: int) -> bool:
    """Whether something from a file is a list of so many pairs, one for each order but the first."""
    return (
        0 <= rows < MAX_ORDER and isinstance(codes, list) and len(codes) == rows
        and all(isinstance(pair, list) and len(pair) == 2 for pair in codes)
    )  # fmt: skip


class PackedModel(Stored):
    """p(w | the n - 1 tokens before it), in little memory and a little less exactly.

    The state of a stream is a chain of nodes: uint32 (streams, max(n - 1, 1)), see `lmkit.kernels.ngram_packed_query`.

    Attributes
    ----------
    trie : PackedTrie
    options : dict
        Order, smoothing and what else shaped the numbers; `quantize`: the most bits that they have.
    threads : int
        At most this many threads score; the numbers are the same for every number of them.
    """

    family = "ngram"
    remembers = False

    def __init__(self, text: TextLayer, trie: PackedTrie, options: dict, metadata: dict | None = None):
        self.text, self.trie, self.options = text, trie, options
        self.metadata = metadata or {}
        self.threads = available()
        self._moves = (trie.words, trie.records, trie.begins, trie.samples, trie.layout, self.order)
        self._numbers = (*self._moves[:4], trie.values, *self._moves[4:])

    @property
    def order(self) -> int:
        """n: a token is predicted from the n - 1 before it."""
        return len(self.trie.sizes) - 1

    def settings(self) -> dict:
        return {**super().settings(), **{k: v for k, v in self.options.items() if k not in ("discounts", "weights")}}

    def begin(self, n: int = 1) -> np.ndarray:
        state = np.zeros((n, max(self.order - 1, 1)), np.uint32)
        if self.order > 1:
            state[:, 0] = 1 + BOS
        return state

    def begin_after(self, ids: Sequence[int], n: int = 1) -> np.ndarray:
        return self._advanced(np.zeros((n, max(self.order - 1, 1)), np.uint32), ids, n)

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        rows = np.empty((len(state), self.vocabulary_size), np.float32)
        rows_in_parts(queries.log_prob_rows, self._numbers, state, rows, self.threads)
        check_logarithms(rows, self.name)
        return rows

    def advance(self, state: np.ndarray, ids: np.ndarray) -> np.ndarray:
        after = np.empty_like(state)
        ids = read_only(np.asarray(ids, np.int32))
        check_streams(ids.shape == (len(state),), state, "ids", ids.shape)
        queries.advance(*self._moves, read_only(state), ids, after)
        return after

    def score(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_p, after = score_in_pieces(queries.score_pieces, self._numbers, self.order, state, ids, self.threads)
        check_logarithms(log_p, self.name)
        return log_p, after

    def states(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the state before each token of a text, uint32 (n, T, max(order - 1, 1)), and that after the last."""
        shape = state.shape[1:]
        return score_in_pieces(
            queries.state_pieces, self._moves, self.order, state, ids, self.threads, np.uint32, shape
        )

    def rows(self, state: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before, after = self.states(state, ids)
        rows = self.log_probs(before.reshape(-1, before.shape[2]))
        return rows.reshape(*before.shape[:2], self.vocabulary_size), after

    @property
    def context_measure(self) -> str:
        """What `context_sizes` are: see `NGramModel`; packed models keep no counts."""
        return FOLLOWERS

    def context_sizes(self, state: np.ndarray) -> np.ndarray:
        """Return by how many different tokens what a state remembers is followed in the model: see `NGramModel`."""
        words, _, begins, samples, layout, order = self._moves
        sizes = np.empty(len(state), np.int64)
        queries.followers(words, begins, samples, layout, order, read_only(state), sizes)
        return sizes

    @property
    def longest_context(self) -> int:
        return self.order - 1

    def context_lengths(self, state: np.ndarray) -> np.ndarray:
        lengths = np.zeros(len(state), np.int64)
        for k in range(1, self.order):
            alone = np.zeros_like(state)
            alone[:, k - 1] = state[:, k - 1]
            lengths[self.context_sizes(alone) > 0] = k
        return lengths

    def draw(self, state: np.ndarray, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = uniforms.keys.shape
        check_streams(shape == uniforms.counters.shape == (len(state),), state, "uniforms", shape)
        ids = np.empty((len(state), t), np.int32)
        done = np.zeros(len(state), np.int64)
        forbidden = np.zeros(self.vocabulary_size, np.uint8)
        forbidden[banned] = 1
        forbidden[BOS] = 1
        state = np.array(state, np.uint32)
        while (done < t).any():
            queries.draw(*self._numbers, *self._dice, forbidden, uniforms.keys, uniforms.counters, t, ids, done, state)
            for i in np.flatnonzero(done < t):  # the kernel met banned or refused tokens again and again
                one = Uniforms(uniforms.keys[i : i + 1], uniforms.counters[i : i + 1])
                ids[i, done[i]] = self._draw_from_rows(state[i : i + 1], one, forbidden)
                uniforms.counters[i] = one.counters[0]
                state[i] = self.advance(state[i : i + 1], ids[i, done[i], None])[0]
                done[i] += 1
        return ids, state

    @functools.cached_property
    def _dice(self) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        """What drawing needs besides: an alias table of the unigrams, their sum, and sums of other probabilities."""
        unigrams = np.exp(self.trie.words.view(np.float32)[:-1, 0].astype(np.float64))
        unigrams[~(unigrams <= IMPOSSIBLE)] = 0
        unigrams[BOS] = 0
        blocks = [0, 0, *(size // queries.BLOCK + 1 for size in self.trie.sizes[2:])]
        at = np.cumsum([0, *blocks])
        sums = np.zeros(at[-1])
        for k in range(2, self.order + 1):
            queries.sum_blocks(*self._numbers[:2], self.trie.values, self.trie.layout, k, sums[at[k] : at[k + 1]])
        return read_only(alias_table(unigrams)), float(unigrams.sum()), read_only(sums), read_only(at[:-1])

    def _draw_from_rows(self, state: np.ndarray, uniforms: Uniforms, forbidden: np.ndarray) -> int:
        """Draw a token from a whole row; where nothing in it is allowed, the shorter context answers."""
        context: np.ndarray | None = state
        while context is not None:
            row = np.exp(self.log_probs(context)[0].astype(np.float64))
            row[~(row <= IMPOSSIBLE) | (forbidden != 0)] = 0
            cumulative = np.cumsum(row)
            if cumulative[-1] > 0:
                return int(np.searchsorted(cumulative, uniforms.floats()[0] * cumulative[-1], side="right"))
            context = self.shorten(context)
        raise LmkitError("nothing can be drawn: the model knows no token but <unk>; --allow-unk lets it come")

    def shorten(self, state: np.ndarray) -> np.ndarray | None:
        """Return the next shorter contexts; None where all are empty already."""
        if not state.any():
            return None
        shorter = state.copy()
        longest = state.shape[1] - 1 - np.argmax(state[:, ::-1] != 0, axis=1)
        shorter[np.arange(len(state)), longest] = 0
        return shorter

    def orders(self, ids: np.ndarray, after: Sequence[int] | None = None) -> np.ndarray:
        found = np.empty(len(ids), np.int64)
        begin = read_only(self.begin() if after is None else self.begin_after(after))
        match_in_parts(queries.matches, (*self._numbers, begin), ids, found, self.threads)
        return found

    def token_vectors(self) -> tuple[SparseVectors, SparseVectors] | None:
        """See `lmkit.ngram.contexts`; a damaged model raises ModelError."""
        if self.order == 1:
            return None
        trie, size = self.trie, self.trie.sizes[2]
        second, log_p = np.empty(size, np.int32), np.empty(size, np.float32)
        nothing = np.zeros(0, np.float32)
        bits.unpack_records(*self._numbers[:2], trie.values, trie.layout, 2, second, log_p, nothing)
        children = np.diff(trie.words[:, 2].astype(np.int64))
        if trie.words[0, 2] or (children < 0).any() or children.sum() != size or (second >= trie.sizes[1]).any():
            raise ModelError(f"{self.name}: the bigrams of the model are damaged; pack it anew")
        first, seen = np.repeat(np.arange(trie.sizes[1]), children), ~np.isnan(log_p)
        return context_vectors((first[seen], second[seen], log_p[seen]), trie.words.view(np.float32)[:-1, 0])

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the model, for its file."""
        return {**self.trie.tensors(), **self.text.tensors()}

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        return {**self.options, "codes": self.trie.codes, "ngrams": list(self.trie.sizes)}

    @classmethod
    def from_file(cls, file) -> PackedModel:
        """Build the model over a file's memory-mapped tensors (`lmkit.storage.ModelFile`).

        Raises
        ------
        ModelError
            The file does not hold a whole packed model.
        """
        text, options, sizes = read_settings(file)
        trie = PackedTrie.from_tensors(file.tensors, sizes, options.pop("codes", None), len(text.vocabulary), file.name)
        return cls(text, trie, options, file.metadata)

    def unpacked(self) -> NGramModel:
        """Return a plain model with the same numbers.

        Raises
        ------
        ModelError
            The n-grams are damaged.
        """
        levels, parents = [], []
        firsts = np.cumsum([0, *self.trie.sizes]).tolist()
        grams, ends = np.zeros((1, 0), np.int32), np.array([self.trie.sizes[1]])
        for k in range(1, self.order + 1):
            size = self.trie.sizes[k]
            found, log_p = np.empty(size, np.int32), np.empty(size, np.float32)
            backoffs = np.zeros(size if k < self.order else 0, np.float32)
            bits.unpack_records(*self._numbers[:2], self.trie.values, self.trie.layout, k, found, log_p, backoffs)
            blank = np.isnan(log_p)
            sound = (ends[-1] if len(ends) else 0) == size and (np.diff(ends) >= 0).all()
            sound = sound and bool((found < self.trie.sizes[1]).all()) and words_climb(found, ends[:-1])
            if not sound:
                raise ModelError(f"{self.name}: the n-grams of the model are damaged; pack it anew")
            above = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
            grams = np.concatenate([grams[above], found[:, None]], axis=1)
            log_p[blank] = 0
            levels.append(Level(grams, log_p, backoffs if k < self.order else np.zeros(size, np.float32), blank))
            if k > 1:
                parents.append(firsts[k - 1] + above)
            if k < self.order:
                ends = np.empty(size, np.int64)
                bits.unpack_begins(self.trie.words, self.trie.begins, self.trie.samples, self.trie.layout, k, ends)
        trie, blanks = structure_of_parents(levels, parents, self.threads).finished()
        options = {key: value for key, value in self.options.items() if key != "quantize"}
        model = NGramModel(self.text, trie, options, self.metadata, blanks)
        model.threads = self.threads
        return model


def pack(model: NGramModel, quantize: int) -> PackedModel:
    """Return a packed model whose log p and back-off weights are numbers of so many bits.

    Order by order, log p is rounded to a codebook; then the weights of its contexts are computed with which what is
    rounded sums to one, and rounded, too. Contexts that leave nothing, as far as rounded numbers say, keep the weights
    that they had.

    Raises
    ------
    OptionError
        `quantize` is out of its range, the model does not back off to shorter contexts, or it has more n-grams of one
        order than places.
    ModelError
        The model is damaged.
    """
    check_bits(quantize)
    check_backs_off(model, "quantization")
    trie = model.trie
    trie.check(model.name)
    if any(a + b >= LIMIT for a, b in itertools.pairwise(trie.sizes)):
        raise OptionError(
            f"the model has more than {LIMIT} n-grams of one order and the next, too many to pack; prune it"
        )
    blank = np.zeros(sum(trie.sizes), np.uint8)
    blank[model.blanks] = 1
    nodes, leaves, firsts = trie.nodes.copy(), trie.leaves.copy(), trie.firsts
    books: list[list[np.ndarray]] = []
    coded: list[list[np.ndarray]] = []
    for k in range(2, trie.order + 1):
        records = leaves if k == trie.order else nodes[firsts[k] : firsts[k + 1]]
        of_level = read_only(blank[firsts[k] : firsts[k + 1]])
        book, codes = _rounded(records.view(np.float32)[:, LOG_P], of_level != 0, quantize)
        shared = (nodes, leaves, records, firsts[k], of_level)
        contexts = trie.cut(k - 1, model.threads)
        weights = nodes[firsts[k - 1] : firsts[k]].view(np.float32)[:, BACKOFF]
        nothing = weights == -np.inf
        in_threads(model.threads, ngram_pruning.renormalise, [(a, b, *shared, 0.0) for a, b in contexts])
        weights[nothing] = -np.inf
        if k > 2:
            books[-1][1], coded[-1][1] = _rounded(weights, np.zeros(len(weights), bool), quantize)
        if of_level.any():
            in_threads(model.threads, ngram_pruning.refill_blanks, [(a, b, *shared) for a, b in contexts])
        books.append([book, np.zeros(0, np.float32)])
        coded.append([codes, np.zeros(0, np.uint16)])
    packed = PackedModel(
        model.text, _packed_trie(nodes, leaves, trie.sizes, books, coded),
        {**model.options, "interpolate": False, "quantize": quantize}, dict(model.metadata),
    )  # fmt: skip
    packed.threads = model.threads
    return packed


def _rounded(values: np.ndarray, blank: np.ndarray, quantize: int) -> tuple[np.ndarray, np.ndarray]:
    """Round values, in place, to those of a codebook; return it and the codes. Blanks have the first, NaN."""
    reserved = int(blank.any())
    known = ~blank if reserved else slice(None)
    chosen = values[known]
    book = codebook(chosen, 2**quantize - reserved) if len(chosen) else np.zeros(1, np.float32)
    codes = np.zeros(len(values), np.uint16)
    codes[known] = encode(chosen, book) + reserved
    values[known] = book[codes[known] - reserved]
    return np.append(np.full(reserved, np.nan, np.float32), book), codes


def _packed_trie(nodes, leaves, sizes, books, coded) -> PackedTrie:
    """Write all arrays."""
    order, firsts = len(sizes) - 1, np.cumsum([0, *sizes])
    codes = [[len(of_log_p), len(of_backoffs)] for of_log_p, of_backoffs in books]
    layout, shapes = layout_of(sizes, codes)
    words, records, begins, samples, values = (np.zeros(shape, SHAPES[name]) for name, shape in shapes.items())
    unigrams = leaves if order == 1 else nodes[1 : firsts[2]]
    words[:-1, 0] = unigrams[:, LOG_P]
    if order > 1:
        words[:-1, 1] = unigrams[:, BACKOFF]
        words[:, 2] = nodes[1 : firsts[2] + 1, BEGIN] - firsts[2]
    values[:] = np.concatenate([np.zeros(0, np.float32), *itertools.chain.from_iterable(books)])
    for k in range(2, order + 1):
        level = leaves if k == order else nodes[firsts[k] : firsts[k + 1]]
        bits.pack_records(records, layout, k, level[:, WORD].copy(), *coded[k - 2])
        if k < order:
            ends = (nodes[firsts[k] + 1 : firsts[k + 1] + 1, BEGIN] - firsts[k + 1]).astype(np.uint32)
            at, size, sample = layout[k, bits.BEGINS_AT :]
            bits.pack_begins(ends, begins[at : at + size], samples[sample : sample - (-sizes[k] // bits.EVERY)])
    arrays = map(read_only, (words, records, begins, samples, values))
    return PackedTrie(*arrays, sizes, codes, read_only(layout))


def read_ngrams(file) -> NGramModel | PackedModel:
    """Return the model that an open file holds, packed or not.

    Raises
    ------
    ModelError
        The file does not hold a whole n-gram model.
    """
    config = file.metadata.get("config")
    packed = isinstance(config, dict) and "quantize" in config
    return (PackedModel if packed else NGramModel).from_file(file)
