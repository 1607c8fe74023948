"""Static interpolation: a linear mixture of n-gram models, compiled into one n-gram model (Stolcke 2002).

Every n-gram that any member has gets the probability that the mixture gives it, exactly:

    p(w | h) = sum over members m of weight_m p_m(w | h)

where a member that lacks the n-gram backs off as ever. Then each context gets the back-off weight with which its
distribution sums to one, h' being the next shorter context:

    alpha(h) = (1 - sum of p(w | h)) / (1 - sum of p(w | h')),    w over all that is known after h

What differs from the mixture is what no member has after h. There the mixture sums up how each member backs off by
a gamma of its own; the compiled model has one alpha for all of them. That is the approximation of SRILM's static
interpolation, `ngram -mix-lm` without `-bayes` (Stolcke 2002, "SRILM - an extensible language modeling toolkit"). What
it buys is an n-gram model like any other: as fast as one, to be pruned, packed and written as an ARPA file.

The n-grams of all members are united level by level: a node is the pair of its parent's number and its word, so that
sorted pairs without those that are there twice are the next level in the order of a trie. On the way each member's
state after each node is kept, from which the next level's probabilities are read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from lmkit.errors import ModelError, OptionError
from lmkit.kernels import mixture_static as kernels
from lmkit.kernels import ngram_pruning
from lmkit.mixture.linear import LinearMixture
from lmkit.model import UNK, LanguageModel
from lmkit.ngram.assembly import Level, Structure, structure_of_parents
from lmkit.ngram.model import MIXTURE, NGramModel
from lmkit.ngram.pruning import LEAST, NO_BLANKS
from lmkit.ngram.trie import BACKOFF, BEGIN, MOST, WORD
from lmkit.threads import in_threads, ranges

__all__ = ["check_compiles", "compiled"]


@dataclasses.dataclass
class Member:
    """An n-gram model in a mixture.

    Attributes
    ----------
    model : NGramModel
    weight : float
    ids : ndarray of int32, shape (V,)
        Its word for each of the mixture's.
    log_shares : ndarray of float64, shape (V,)
        The logarithm of the share that the mixture's word has of the probability of that one: 0 but for words it lacks.
    nodes : ndarray of uint32
        The mixture's nodes of its n-grams of the length that was united last.
    states : ndarray of uint32
        Its state after each of the mixture's n-grams of that length.
    """

    model: NGramModel
    weight: float
    ids: np.ndarray
    log_shares: np.ndarray
    nodes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, np.uint32))
    states: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, np.uint32))

    def __post_init__(self):
        self.words = np.zeros(self.model.vocabulary_size, np.int64)  # of the mixture, for each of its own
        self.words[self.ids] = np.arange(len(self.ids))
        self.words[UNK] = UNK  # not one of those that it lacks

    def pairs(self, k: int) -> np.ndarray:
        """Return for each of its k-grams the mixture's parent and word, as one number, uint64."""
        trie = self.model.trie
        if k > trie.order:
            return np.zeros(0, np.uint64)
        begins = trie.nodes[trie.firsts[k - 1] : trie.firsts[k] + 1, BEGIN].astype(np.int64)
        parents = np.repeat(self.nodes.astype(np.uint64), np.diff(begins))
        parents <<= np.uint64(32)
        parents |= self.words[trie.level(k)[:, WORD]].astype(np.uint64)
        return parents

    def leaves_nothing(self, k: int) -> np.ndarray:
        """Return after which of the mixture's k-grams it says that nothing can come but what it knows, bool."""
        trie = self.model.trie
        if k >= trie.order:
            return np.zeros(len(self.states), bool)
        return (self.states >= trie.firsts[k]) & (trie.nodes.view(np.float32)[self.states, BACKOFF] == -np.inf)


def check_compiles(model: LanguageModel, name: str) -> None:
    """Refuse what is neither an n-gram model nor a mixture of such.

    Raises
    ------
    OptionError
    """
    if isinstance(model, LinearMixture):
        for i, member in enumerate(model.members, 1):
            check_compiles(member, f"{name} (member {i})")
    elif model.family != "ngram":
        raise OptionError(
            f"{name} is of the family {model.family}, and --static compiles n-gram models only; mix without it"
        )
    elif model.settings()["smoothing"] == "stupid-backoff":
        raise OptionError(f"{name} gives scores, no probabilities (stupid back-off): it cannot be mixed; train another")


def compiled(mixture: LinearMixture) -> NGramModel:
    """Return one n-gram model that is nearly a mixture of such: see above.

    Its order is the highest of its members; members without any weight do not count. N-grams of words that a member
    lacks are those that other members have: it adds its p(`<unk>`) to them, and its own n-grams with `<unk>` are the
    mixture's with `<unk>`.

    Raises
    ------
    OptionError
        Some member is no n-gram model, or gives scores; the n-grams of all are more than a model holds.
    ModelError
        The n-grams of a member are damaged.
    """
    check_compiles(mixture, "the mixture")
    words = mixture.vocabulary_size
    members = list(_members(mixture, 1.0, np.arange(words, dtype=np.int32), np.zeros(words)))
    order, threads = max(member.model.order for member in members), mixture.threads
    levels, parents, closed = [], [], []
    first, end = 0, 1  # nodes of the level above: the root
    for k in range(1, order + 1):
        above, last = _united(members, k, end) if k > 1 else _all_words(members, words)
        p = np.zeros(len(last))
        for member in members:
            _add(member, p, above, last, first, k < order, threads)
        if np.isnan(p).any():
            raise ModelError("the probabilities of a member are damaged; train or convert it anew")
        with np.errstate(divide="ignore"):
            log_p = np.log(np.minimum(p, 1)).astype(np.float32)  # over 1 goes who backs off by numbers that fit badly
        levels.append(Level(last[:, None], log_p, np.zeros(len(p), np.float32), np.zeros(len(p), bool)))
        parents.append(above)
        if k < order:
            closed.append(np.logical_and.reduce([member.leaves_nothing(k) for member in members]))
        first, end = end, end + len(p)
    built = structure_of_parents(levels, parents[1:], threads)
    _weigh(built, closed, threads)
    options = {"order": order, "smoothing": MIXTURE, "interpolate": False, "weights": [m.weight for m in members]}
    model = NGramModel(mixture.text, built.finished()[0], options)
    model.threads = threads
    return model


def _members(model: LanguageModel, weight: float, ids: np.ndarray, log_shares: np.ndarray) -> Iterator[Member]:
    """Yield the n-gram models that a model is made of, and what the mixture's words are to them."""
    if isinstance(model, LinearMixture):
        for member, w, mapping in zip(model.members, model.weights, model.mappings, strict=True):
            if weight * w > 0:
                yield from _members(member, weight * w, mapping.ids[ids], log_shares + mapping.log_shares[ids])
    else:
        plain = model.unpacked()
        plain.trie.check(model.name)
        yield Member(plain, weight, ids, log_shares)


def _all_words(members: list[Member], words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parents and the words of the first level: all words, whoever knows them."""
    for member in members:
        member.nodes = (1 + member.words).astype(np.uint32)
    return np.zeros(words, np.uint32), np.arange(words, dtype=np.int32)


def _united(members: list[Member], k: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parents and the words of all k-grams that some member has, and tell each its own of them.

    Parameters
    ----------
    first : int
        The number of the first of these nodes.

    Raises
    ------
    OptionError
        They are too many.
    """
    parts = [member.pairs(k) for member in members]
    pairs = np.concatenate(parts)
    order = np.argsort(pairs, kind="stable")  # which merges what is sorted already, part by part
    pairs = pairs[order]
    new = np.diff(pairs, prepend=~pairs[:1]) != 0
    numbers = first - 1 + np.cumsum(new)
    if len(pairs) and numbers[-1] > MOST:
        raise OptionError(f"the members have more than {MOST} different n-grams together; prune them first")
    nodes = np.empty(len(pairs), np.uint32)
    nodes[order] = numbers
    ends = np.cumsum([len(part) for part in parts])
    for member, own in zip(members, np.split(nodes, ends[:-1]), strict=True):
        member.nodes = own
    pairs = pairs[new]
    return (pairs >> np.uint64(32)).astype(np.uint32), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int32)


def _add(member: Member, p, parents, words, first: int, inner: bool, threads: int) -> None:
    """Add what a member says of n-grams, and move its states on, where there are longer ones."""
    model = member.model
    after = np.empty(len(words) if inner else 0, np.uint32)
    shared = (
        parents, words, first, member.states, model.trie.nodes, model.trie.leaves, model.uniform, member.ids,
        member.log_shares, math.log(member.weight), p, after,
    )  # fmt: skip
    in_threads(threads, kernels.add_member, [(a, b, *shared) for a, b in ranges(0, len(words), threads)])
    member.states = after


def _weigh(built: Structure, closed: list[np.ndarray], threads: int) -> None:
    """Write the back-off weights of all contexts, the shorter ones first."""
    for k, of_level in enumerate(closed, 1):
        first, end = built.firsts[k], built.firsts[k + 1]
        shared = (built.nodes, built.leaves, built.records(k + 1), end, NO_BLANKS, LEAST)
        in_threads(threads, ngram_pruning.renormalise, [(a, b, *shared) for a, b in ranges(first, end, threads)])
        built.records(k).view(np.float32)[of_level, BACKOFF] = -np.inf
