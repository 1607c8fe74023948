"""The n-gram model as a trie laid out in arrays, with failure links.

Nodes are numbered level by level (breadth first): 0 is the root (the empty context), 1 + w the unigram w, then the
bigrams, and so on; within a level in the order of their words. So the children of a node are neighbours,

    children(c) = begin(c), ..., begin(c + 1) - 1,

sorted by word, and one row more than there are nodes closes the last range. A record is six uint32 (24 bytes); the
n-grams of the highest order have no children and keep the first four (16 bytes):

    word      the last word of the n-gram
    suffix    the node of the longest proper suffix that is a context (the failure link of Aho and Corasick 1975)
    log_p     float32 bits: natural logarithm of p(word | context)
    mass      discounted mass of this and the earlier children, as a fraction of 2**32, at most 2**32 - 1: the sampler
              picks a child by it, after gamma has said that the context and not a shorter one speaks; the mass of all
              is 1 - gamma, or, where a context backs off and does not interpolate, all of their probability
    begin     the first child
    backoff   float32 bits: natural logarithm of gamma

A context's state is its node. With w the next word:  p = p(w | c) if c has the child w, else gamma(c) p(w | suffix(c)).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lmkit.errors import ModelError
from lmkit.threads import ranges

__all__ = [
    "BACKOFF", "BEGIN", "COUNT", "INTERNAL_COLUMNS", "LARGEST_LOG", "LEAF_COLUMNS", "LOG_P", "MASS", "MOST", "SUFFIX",
    "WORD", "Trie", "check_logarithms", "words_climb",
]  # fmt: skip

WORD, SUFFIX, LOG_P, MASS, BEGIN, BACKOFF = range(6)
COUNT = LOG_P  # until the probabilities are known, their column holds the counts
LEAF_COLUMNS, INTERNAL_COLUMNS = 4, 6
MOST = 2**32 - 64  # n-grams: a node's number is a uint32
LARGEST_LOG = 64.0  # natural; a model that sums badly may exceed 0 a little, and e**64 is still a float32


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written: kernels are compiled for such arrays, from a file or not."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def words_climb(words: np.ndarray, begins: np.ndarray) -> bool:
    """Return whether the words of the children of each context climb.

    Parameters
    ----------
    words : ndarray, shape (m,)
        Of all n-grams of one length.
    begins : ndarray of integers, not decreasing, at most m
        Where the children of each context begin among them.

    >>> words_climb(np.array([3, 5, 4, 6]), np.array([0, 2, 4])), words_climb(np.array([3, 5, 5, 6]), np.array([0, 4]))
    (True, False)
    """
    first = np.zeros(len(words) + 1, bool)
    first[begins] = True
    return bool((first[1:-1] | (words[1:] > words[:-1])).all())


def check_logarithms(values: np.ndarray, name: str) -> None:
    """Check that values can be logarithms of probabilities or of back-off weights; -inf stands for 0.

    Parameters
    ----------
    values : ndarray of float32
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        One of them is NaN or above `LARGEST_LOG`.
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN is as wrong as any other
        largest = values.max(initial=-np.inf)
    if not largest <= LARGEST_LOG:
        raise ModelError(
            f"{name}: the n-grams of the model are damaged: {largest:g} is not the logarithm of a probability or of a "
            "back-off weight; get the file again or train the model anew"
        )


@dataclasses.dataclass(frozen=True)
class Trie:
    """The arrays of an n-gram model.

    Attributes
    ----------
    nodes : ndarray of uint32, shape (1 + nodes below the highest order + 1, 6)
    leaves : ndarray of uint32, shape (n-grams of the highest order, 4)
    alias : ndarray of uint32, shape (V, 2)
        Walker's (1977) alias table of the unigram distribution: threshold and alias of each column.
    counts : ndarray of uint32
        Occurrences of each node (root included), for models that keep them; else empty.
    sizes : tuple of int
        Number of k-grams for k = 0 (the root), 1, ..., n.
    """

    nodes: np.ndarray
    leaves: np.ndarray
    alias: np.ndarray
    counts: np.ndarray
    sizes: tuple[int, ...]

    def __post_init__(self):
        for name in ("nodes", "leaves", "alias", "counts"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @property
    def order(self) -> int:
        """n, the length of the longest n-grams."""
        return len(self.sizes) - 1

    @property
    def internal(self) -> int:
        """Number of nodes below the highest order: the first leaf's number."""
        return len(self.nodes) - 1

    @property
    def firsts(self) -> np.ndarray:
        """The first node of each level, the root's first, and the end."""
        return np.cumsum([0, *self.sizes])

    def level(self, k: int) -> np.ndarray:
        """Return the records of the k-grams, a view."""
        return self.leaves if k == self.order else self.nodes[self.firsts[k] : self.firsts[k + 1]]

    def cut(self, k: int, parts: int) -> list[tuple[int, int]]:
        """Cut the nodes of a level into so many ranges."""
        return ranges(int(self.firsts[k]), int(self.firsts[k + 1]), parts)

    def check(self, name: str) -> None:
        """Check all links and numbers: queries clamp what they read, walks over the whole trie trust it.

        Raises
        ------
        ModelError
            A word, a link or a range of children of a damaged file leads elsewhere, the children of a context are out
            of order, or a number is not a logarithm.
        """
        firsts = self.firsts
        begins = self.nodes[:, BEGIN]
        sound = bool((begins[1:] >= begins[:-1]).all()) and begins[-1] == firsts[-1]
        for k in range(1, self.order + 1):
            words, suffixes = self.level(k)[:, WORD], self.level(k)[:, SUFFIX]
            sound = sound and begins[firsts[k - 1]] == firsts[k]
            sound = sound and bool((words < self.sizes[1]).all() and (suffixes < firsts[k]).all())
            sound = sound and words_climb(words, begins[firsts[k - 1] : firsts[k]] - firsts[k])
        if not sound:
            raise ModelError(f"{name}: the n-grams of the model are damaged; train or convert it anew")
        self.check_numbers(name)

    def check_numbers(self, name: str) -> None:
        """Check that all probabilities and back-off weights are logarithms of such.

        Raises
        ------
        ModelError
        """
        floats = self.nodes.view(np.float32)[1:-1]  # the root and the last row are no n-grams
        for values in (floats[:, LOG_P], floats[:, BACKOFF], self.leaves.view(np.float32)[:, LOG_P]):
            check_logarithms(values, name)

    def bigrams(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the first and second words of all bigrams, int64, and log p(second | first).

        Raises
        ------
        ModelError
            As `check`, of the bigrams alone.
        """
        records, firsts = self.level(2), self.firsts
        children = np.diff(self.nodes[1 : firsts[2] + 1, BEGIN].astype(np.int64))
        sound = (children >= 0).all() and children.sum() == len(records) and self.nodes[1, BEGIN] == firsts[2]
        if not sound or (records[:, WORD] >= self.sizes[1]).any():
            raise ModelError(f"{name}: the bigrams of the model are damaged; train or convert it anew")
        check_logarithms(records.view(np.float32)[:, LOG_P], name)
        first = np.repeat(np.arange(self.sizes[1]), children)
        return first, records[:, WORD].astype(np.int64), records.view(np.float32)[:, LOG_P]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names they have in a model file."""
        named = {"ngram.nodes": self.nodes, "ngram.leaves": self.leaves, "ngram.alias": self.alias}
        if self.counts.size:
            named["ngram.counts"] = self.counts
        return named

    @staticmethod
    def bytes_of(sizes: list[int], counts: bool) -> int:
        """Return the bytes of a trie with so many k-grams for k = 0, 1, ..., with counts or without."""
        numbers = INTERNAL_COLUMNS * (sum(sizes[:-1]) + 1) + LEAF_COLUMNS * sizes[-1] + 2 * sizes[1]
        return 4 * (numbers + sum(sizes) * counts)

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray], sizes: list[int], vocabulary_size: int, name: str) -> Trie:
        """Take the arrays out of a model file, untrusted: shapes are checked here, numbers where they are used.

        Raises
        ------
        ModelError
            A tensor is missing or has another shape or type than `sizes` and the vocabulary call for.
        """
        if len(sizes) < 2 or any(type(s) is not int or s < 0 for s in sizes) or sizes[:2] != [1, vocabulary_size]:
            raise ModelError(
                f"{name}: the numbers of n-grams {sizes} do not fit {vocabulary_size} words; train it anew"
            )
        expected = {
            "ngram.nodes": (sum(sizes[:-1]) + 1, INTERNAL_COLUMNS),
            "ngram.leaves": (sizes[-1], LEAF_COLUMNS),
            "ngram.alias": (vocabulary_size, 2),
            "ngram.counts": (sum(sizes),),
        }
        arrays = []
        for key, shape in expected.items():
            array = tensors.get(key, np.zeros(0, np.uint32) if key == "ngram.counts" else None)
            if array is None:
                raise ModelError(f"{name}: tensor {key} is missing; train the model anew")
            if array.dtype != np.uint32 or (array.shape != shape and not (key == "ngram.counts" and not array.size)):
                raise ModelError(
                    f"{name}: tensor {key} is {array.dtype}{list(array.shape)}, expected uint32{list(shape)}; "
                    "train the model anew"
                )
            arrays.append(array)
        return cls(*arrays, tuple(sizes))
