"""A model from n-grams that have their probabilities already, in any order: what an ARPA file holds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from lmkit.errors import ModelError
from lmkit.kernels import ngram_assembly as kernels
from lmkit.kernels.ngram_estimation import alias_table
from lmkit.model import BOS
from lmkit.ngram.trie import BACKOFF, BEGIN, INTERNAL_COLUMNS, LEAF_COLUMNS, LOG_P, WORD, Trie
from lmkit.threads import in_threads, ranges

__all__ = ["Level", "Structure", "assemble", "structure"]


@dataclasses.dataclass
class Level:
    """The n-grams of one length.

    Attributes
    ----------
    grams : ndarray of int32, shape (m, n)
        Or, where their parents are known, the last words alone: (m, 1).
    log_p, backoffs : ndarray of float32, shape (m,)
        Natural logarithms.
    blank : ndarray of bool, shape (m,)
        Which are there only because longer ones begin with them.
    """

    grams: np.ndarray
    log_p: np.ndarray
    backoffs: np.ndarray
    blank: np.ndarray

    def with_blanks(self, grams: np.ndarray) -> Level:
        """Return these n-grams and others, as blanks."""
        m = len(grams)
        return Level(
            np.concatenate([self.grams, grams]),
            np.concatenate([self.log_p, np.zeros(m, np.float32)]),
            np.concatenate([self.backoffs, np.zeros(m, np.float32)]),
            np.concatenate([self.blank, np.ones(m, bool)]),
        )

    def sort(self, name: str, line: int | None = None) -> None:
        """Put the n-grams into the order of their words; `line` is that of the first one in a file, for messages.

        Raises
        ------
        ModelError
            One is there twice.
        """
        n = self.grams.shape[1]
        if kernels.climb(self.grams) == len(self.grams):
            return
        order = row_order(self.grams)
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name).take(order, axis=0))
        twice = kernels.climb(self.grams)
        if twice < len(self.grams):
            where = f"with the words {self.grams[twice].tolist()}" if line is None else f"in line {line + order[twice]}"
            raise ModelError(f"{name}: the {n}-gram {where} is there twice")


def row_order(grams: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows of an array of ids in the order of the rows, uint32 of shape (m,).

    >>> row_order(np.array([[4, 3], [3, 5], [3, 4]], np.int32)).tolist()
    [2, 1, 0]
    """
    bits = int(grams.max(initial=1)).bit_length()
    return kernels.sort_rows(grams, bits, *np.empty((2, len(grams)), np.uint32))


def assemble(levels: list[Level], name: str, threads: int = 1) -> tuple[Trie, np.ndarray]:
    """Return a trie of the n-grams, and the nodes that are blanks: contexts that the model lacks.

    Parameters
    ----------
    levels : list of Level
        For n = 1, 2, ...; the unigrams are all words, in the order of their ids.
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        An n-gram is there twice.
    """
    return structure(levels, name, threads).finished()


def structure(levels: list[Level], name: str, threads: int = 1) -> Structure:
    """Put n-grams into the order of a trie, with blanks for contexts that are missing, and link them.

    The levels are sorted where they are.

    Raises
    ------
    ModelError
        An n-gram is there twice.
    """
    for level in levels[1:]:
        level.sort(name)
    built, n = Structure(levels, threads), 2
    while n <= len(levels):
        parents = built.parents_of(n)
        if parents.all():
            built.place(n, parents)
            n += 1
        else:  # go back to where the missing prefixes belong
            missing = built.levels[n - 1].grams[parents == 0, :-1]
            built.add_blanks(n - 1, missing[(np.diff(missing, axis=0, prepend=-1) != 0).any(axis=1)], name)
            n -= 1
    return built


def structure_of_parents(levels: list[Level], parents: list[np.ndarray], threads: int = 1) -> Structure:
    """Link n-grams that stand in the order of a trie already; the parents of those of two words and more are known."""
    built = Structure(levels, threads)
    for k, of_level in enumerate(parents, 2):
        built.place(k, of_level.astype(np.uint32))
    return built


class Structure:
    """The records of n-grams; levels find their places one after the other, the unigrams at once.

    Attributes
    ----------
    levels : list of Level
        In the order of the records.
    firsts : list of int
        The first node of each level that is placed, the root's first, and the end.
    parents : list of ndarray of uint32
        The parents of the nodes of these levels.
    nodes, leaves : ndarray
        See `lmkit.ngram.trie`; `log_p` stands in the column of that name, whatever it is.
    """

    def __init__(self, levels: list[Level], threads: int):
        self.levels, self.firsts, self.parents, self.threads = list(levels), [0, 1], [], threads
        *below, leaves = (len(level.grams) for level in levels)
        self.nodes = np.zeros((1 + sum(below) + 1, INTERNAL_COLUMNS), np.uint32)
        self.leaves = np.zeros((leaves, LEAF_COLUMNS), np.uint32)
        self.place(1, np.zeros(len(levels[0].grams), np.uint32))

    def records(self, k: int) -> np.ndarray:
        """Return the records of a level, a view."""
        if k == len(self.levels):
            return self.leaves
        return self.nodes[self.firsts[k] : self.firsts[k + 1]]

    def add_blanks(self, k: int, grams: np.ndarray, name: str) -> None:
        """Put n-grams into a level, which is to be placed anew."""
        self.levels[k - 1] = self.levels[k - 1].with_blanks(grams)
        self.levels[k - 1].sort(name)
        self.nodes = np.concatenate([self.nodes, np.zeros((len(grams), INTERNAL_COLUMNS), np.uint32)])

    def parents_of(self, k: int) -> np.ndarray:
        """Return the nodes of the n-grams of a level without their last words, 0 where there are none."""
        grams = self.levels[k - 1].grams
        parents = np.zeros(len(grams), np.uint32)
        jobs = [(self.nodes, grams, a, b, parents) for a, b in ranges(0, len(grams), self.threads)]
        in_threads(self.threads, kernels.find_prefixes, jobs)
        return parents

    def place(self, k: int, parents: np.ndarray) -> None:
        """Write the records of a level, whose parents are known, and link them: to the longest suffixes there are."""
        level = self.levels[k - 1]
        first, end = self.firsts[k], self.firsts[k] + len(parents)
        self.firsts[k + 1 :], self.parents[k - 1 :] = [end], [parents]
        kernels.place_children(self.nodes, self.firsts[k - 1], first, parents, first)
        self.nodes[first, BEGIN] = end  # where the last children end
        records = self.records(k)
        records[:, WORD] = level.grams[:, -1]
        records.view(np.float32)[:, LOG_P] = level.log_p
        if k < len(self.levels):
            records.view(np.float32)[:, BACKOFF] = level.backoffs
        if k > 1:
            jobs = [(self.nodes, parents, a, b, records) for a, b in ranges(0, len(parents), self.threads)]
            in_threads(self.threads, kernels.link_suffixes, jobs)

    def finished(self) -> tuple[Trie, np.ndarray]:
        """Fill the blanks, sum what sampling needs, let links skip what is no context; return also the blanks."""
        nodes, firsts, order = self.nodes, self.firsts, len(self.levels)
        blanks = []
        for k, level in enumerate(self.levels, 1):
            where = np.flatnonzero(level.blank)
            kernels.fill_blanks(nodes, where, self.parents[k - 1], self.records(k))
            blanks.append(firsts[k] + where)
        for k in range(1, order):
            offset = firsts[k + 1]
            parts = ranges(firsts[k], offset, self.threads)
            jobs = [(a, b, nodes, self.records(k + 1), offset) for a, b in parts]
            in_threads(self.threads, kernels.sum_masses, jobs)
        for k in range(1, order + 1):
            kernels.skip_leaves(firsts[k], firsts[k + 1], nodes, self.records(k), firsts[k])
        unigrams = np.exp(self.records(1).view(np.float32)[:, LOG_P].astype(np.float64))
        unigrams[BOS] = 0
        sizes = (1, *(int(b - a) for a, b in itertools.pairwise(firsts[1:])))
        alias = alias_table(unigrams / (unigrams.sum() or 1))  # 0 where no word has a probability
        trie = Trie(nodes, self.leaves, alias, np.zeros(0, np.uint32), sizes)
        return trie, np.concatenate(blanks).astype(np.uint32)
