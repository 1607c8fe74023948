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
from lmkit.threads import in_threads

__all__ = ["Level", "Structure", "assemble", "structure"]


@dataclasses.dataclass
class Level:
    """The n-grams of one length.

    Attributes
    ----------
    grams : ndarray of int32, shape (m, n)
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

    def sorted_by(self, order: np.ndarray) -> Level:
        return Level(self.grams[order], self.log_p[order], self.backoffs[order], self.blank[order])


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
    """Sort n-grams into the order of a trie, with blanks for contexts that are missing, and link them.

    Raises
    ------
    ModelError
        An n-gram is there twice.
    """
    levels, n, order = list(levels), 2, len(levels)
    firsts = [0, 1, 1 + len(levels[0].grams)]
    parents: list[np.ndarray] = []
    while n <= order:
        found = Structure(levels[: n - 1], firsts[: n + 1], parents, threads).parents_of(levels[n - 1].grams)
        if not found.all():  # go back to where the missing prefixes belong
            levels[n - 2] = levels[n - 2].with_blanks(np.unique(levels[n - 1].grams[found == 0, :-1], axis=0))
            n = max(n - 1, 2)
            del firsts[n + 1 :], parents[n - 2 :]
            continue
        keys = found.astype(np.uint64) << np.uint64(32) | levels[n - 1].grams[:, -1].astype(np.uint64)
        by_key = np.argsort(keys, kind="stable")
        twice = np.flatnonzero(keys[by_key[1:]] == keys[by_key[:-1]])
        if len(twice):
            raise ModelError(f"{name}: a {n}-gram is there twice: {levels[n - 1].grams[by_key[twice[0]]].tolist()}")
        levels[n - 1] = levels[n - 1].sorted_by(by_key)
        parents.append(found[by_key])
        firsts.append(firsts[-1] + len(by_key))
        n += 1
    built = Structure(levels, firsts, parents, threads)
    built.link()
    return built


class Structure:
    """The records of some complete levels.

    Attributes
    ----------
    levels : list of Level
        In the order of the records.
    firsts : list of int
        The first node of each level, the root's first, and the end.
    parents : list of ndarray
        The parents of the nodes of the second level, the third, ...
    nodes, leaves : ndarray
        See `lmkit.ngram.trie`; `log_p` stands in the column of that name, whatever it is.
    """

    def __init__(self, levels: list[Level], firsts: list[int], parents: list[np.ndarray], threads: int):
        self.levels, self.firsts, self.parents, self.threads = levels, firsts, parents, threads
        order = len(levels)
        internal = firsts[order]
        self.nodes = np.zeros((internal + 1, INTERNAL_COLUMNS), np.uint32)
        self.leaves = np.zeros((firsts[order + 1] - internal, LEAF_COLUMNS), np.uint32)
        self.nodes[0, BEGIN] = 1
        for k, level in enumerate(levels, 1):
            records = self.records(k)
            records[:, WORD] = level.grams[:, -1]
            records.view(np.float32)[:, LOG_P] = level.log_p
            if k < order:
                records.view(np.float32)[:, BACKOFF] = level.backoffs
        for k in range(1, order):
            kernels.place_children(self.nodes, firsts[k], firsts[k + 1], parents[k - 1], firsts[k + 1])
        self.nodes[internal, BEGIN] = firsts[order + 1]

    def records(self, k: int) -> np.ndarray:
        """Return the records of a level, a view."""
        if k == len(self.levels):
            return self.leaves
        return self.nodes[self.firsts[k] : self.firsts[k + 1]]

    def parents_of(self, grams: np.ndarray) -> np.ndarray:
        """Return the nodes of n-grams one longer than these levels without their last words, 0 where there are none."""
        parents = np.zeros(len(grams), np.int64)
        jobs = [(self.nodes, self.leaves, grams, a, b, parents) for a, b in self._cut(len(grams))]
        in_threads(self.threads, kernels.find_prefixes, jobs)
        return parents

    def link(self) -> None:
        """Write the suffix links: to the longest suffix that is there."""
        for k, level in enumerate(self.levels, 1):
            records = self.records(k)
            jobs = [(self.nodes, self.leaves, level.grams, a, b, records, 0) for a, b in self._cut(len(records))]
            in_threads(self.threads, kernels.link_suffixes, jobs)

    def finished(self) -> tuple[Trie, np.ndarray]:
        """Fill the blanks, sum what sampling needs, let links skip what is no context; return also the blanks."""
        nodes, leaves, firsts, order = self.nodes, self.leaves, self.firsts, len(self.levels)
        blanks = []
        for k, level in enumerate(self.levels, 1):
            where = np.flatnonzero(level.blank)
            if len(where):
                kernels.fill_blanks(nodes, leaves, order, where, level.grams, self.records(k), 0)
            blanks.append(firsts[k] + where)
        for k in range(1, order):
            offset = firsts[k + 1]
            kernels.sum_masses(firsts[k], offset, nodes, self.records(k + 1), offset)
        for k in range(1, order + 1):
            kernels.skip_leaves(firsts[k], firsts[k + 1], nodes, self.records(k), firsts[k])
        unigrams = np.exp(self.records(1).view(np.float32)[:, LOG_P].astype(np.float64))
        unigrams[BOS] = 0
        sizes = (1, *(int(b - a) for a, b in itertools.pairwise(firsts[1:])))
        trie = Trie(nodes, leaves, alias_table(unigrams / unigrams.sum()), np.zeros(0, np.uint32), sizes)
        return trie, np.concatenate(blanks).astype(np.uint32)

    def _cut(self, size: int) -> list[tuple[int, int]]:
        cuts = np.linspace(0, size, self.threads + 1).astype(int).tolist()
        return list(itertools.pairwise(cuts))
