"""The estimators: how often n-grams were counted, and what share of a context's probability each of them gets.

An estimator is a function from what was counted of the n-grams of one length (`Order`) to a `Recipe`: numbers by which
one kernel fills a level of the trie. With n(c w) the count of the word w after the context c, n(c .) the sum of these
counts and T(c) the number of different words,

    share(w | c) = weight(n(c .)) max(n(c w) - discount(n(c w)), 0) / (n(c .) + types T(c) + spread)
    left(c) = 1 - sum over w of share(w | c)

What is left goes to the shorter context s(c), which is c without its first word:

    interpolated   p(w | c) = share(w | c) + left(c) p(w | s(c))
    backing off    p(w | c) = share(w | c)               where c w was seen, else
                   p(w | c) = alpha(c) p(w | s(c)),      alpha(c) = left(c) / (1 - sum over seen v of p(v | s(c)))

The unigrams leave their rest to the uniform distribution over all words but `<s>`. A new estimator is a function here,
a line in ESTIMATORS, and one in `lmkit.ngram.options.SMOOTHINGS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from lmkit.errors import CorpusError
from lmkit.ngram.options import NGramOptions

__all__ = ["ESTIMATORS", "Estimator", "Order", "Recipe", "discounts_from_counts"]

KATZ_LIMIT = 7  # larger counts are trusted as they are
DISCOUNTS, DISCOUNT = (0.5, 1.0, 1.5), 0.5  # where the counts of counts yield none


@dataclasses.dataclass(frozen=True)
class Order:
    """What was counted of the n-grams of one length.

    Attributes
    ----------
    n : int
    t : ndarray of int64, shape (KATZ_LIMIT + 2,)
        t[j] is the number of n-grams with the count j.
    words : int
        Words that can come: all but `<s>`.
    options : NGramOptions
    """

    n: int
    t: np.ndarray
    words: int
    options: NGramOptions


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers in the formulas above.

    Attributes
    ----------
    discounts : tuple of float
        For counts 0, 1, ...; the last one holds for all larger counts, too. Below 0 something is added.
    types, spread : float
        What is added to the divisor, for each different word and once.
    """

    discounts: tuple[float, ...] = (0.0,)
    types: float = 0.0
    spread: float = 0.0


def discounts_from_counts(counts_of_counts: np.ndarray) -> tuple[float, float, float] | None:
    """Return D1, D2, D3+ from the numbers t[j] of n-grams with count j = 0 ... 4, or None where they are impossible.

    D_j = j - (j + 1) Y t_(j+1) / t_j,  Y = t_1 / (t_1 + 2 t_2)   (Chen and Goodman 1998, equation 26)

    >>> [round(d, 4) for d in discounts_from_counts([0, 100, 40, 20, 10])]
    [0.5556, 1.1667, 1.8889]
    >>> discounts_from_counts([0, 100, 0, 20, 10]) is None
    True
    """
    t = np.asarray(counts_of_counts, np.float64)
    if not t[1:4].all():
        return None
    y = t[1] / (t[1] + 2 * t[2])
    discounts = tuple(float(j - (j + 1) * y * t[j + 1] / t[j]) for j in (1, 2, 3))
    return discounts if all(0 <= d <= j for j, d in enumerate(discounts, start=1)) else None


def modified_kneser_ney(order: Order) -> Recipe | None:
    """Kneser and Ney (1995) with three discounts (Chen and Goodman 1998, section 4.1.6): n-grams of lower orders count
    the different words to their left instead of their occurrences.

    The numbers are those of lmplz; SRILM's `-kndiscount -interpolate` and MITLM's `ModKN` agree with it, SRILM's
    `-kndiscount` with `--back-off`.
    """
    found = discounts_from_counts(order.t)
    return None if found is None else Recipe((0.0, *found))


def one_discount(order: Order) -> Recipe | None:
    """Kneser and Ney (1995) where lower orders count different left neighbours, absolute discounting (Ney, Essen and
    Kneser 1994) where they count occurrences: the same number is taken off every count.

    D = t_1 / (t_1 + 2 t_2). SRILM's `-ukndiscount` and `-cdiscount`, MITLM's `KN`; there `<unk>` has no share of what
    the unigrams leave.
    """
    given = order.options.discount
    if given is None and not order.t[1:3].all():
        return None
    return Recipe((0.0, order.t[1] / (order.t[1] + 2 * order.t[2]) if given is None else given))


def witten_bell(order: Order) -> Recipe:
    """Witten and Bell (1991), method C: a word that is new after a context is expected as often as words were new
    there, T(c) times of n(c .) + T(c).

    As SRILM's `-wbdiscount`; there `<unk>` has no share of what the unigrams leave.
    """
    return Recipe(types=1.0)


def katz(order: Order) -> Recipe:
    """Katz (1987): the count r becomes d_r r, by the estimate r* = (r + 1) t_(r+1) / t_r of Good (1953).

    d_r = (r* / r - A) / (1 - A),  A = (K + 1) t_(K+1) / t_1,  for r <= K = 7; larger counts stay. As in SRILM, K sinks
    to where t_(K+1) is not 0, a d_r outside of 0 to 1 is none, and unigrams are not discounted; but here an unseen word
    comes once, as a context's does where no discount bites, so that `<unk>` has a probability.

    Raises
    ------
    CorpusError
        No n-gram of two words or more was seen once.
    """
    t = order.t.astype(np.float64)
    if order.n == 1:
        return Recipe(spread=1.0)
    if not t[1]:
        raise CorpusError(
            f"--smoothing katz guesses at the unseen from what was seen once, and no {order.n}-gram was; choose "
            "another smoothing or a lower --order"
        )
    limit = KATZ_LIMIT
    while limit and not t[limit + 1]:
        limit -= 1
    rest = (limit + 1) * t[limit + 1] / t[1]
    discounts = [0.0]
    for r in range(1, limit + 1):
        ratio = (r + 1) * t[r + 1] / (r * t[r]) if t[r] else 1.0
        kept = (ratio - rest) / (1 - rest) if rest != 1 else 1.0
        discounts.append((1 - kept) * r if 0 < kept <= 1 and ratio <= 1 else 0.0)
    return Recipe((*discounts, 0.0))


def additive(order: Order) -> Recipe:
    """Lidstone (1920): p(w | c) = (n(c w) + k) / (n(c .) + k V); interpolated with the uniform distribution.

    Backing off, the k (V - T(c)) / (n(c .) + k V) that unseen words would get together are shared out as the shorter
    context says: SRILM's `-addsmooth`.
    """
    k = order.options.k
    return Recipe((0.0 if order.options.interpolate else -k,), spread=k * order.words)


def counted(order: Order) -> Recipe:
    """The share is n(c w) / n(c .): maximum likelihood; the weights of Jelinek and Mercer (1980) are found by
    `lmkit.ngram.held_out`; stupid back-off (Brants et al. 2007)."""
    return Recipe()


@dataclasses.dataclass(frozen=True)
class Estimator:
    """How a smoothing works.

    Attributes
    ----------
    recipe : function of an Order
        It returns None where the counts do not allow its discounts; `fallback` are then used.
    adjusted : bool
        Lower orders count different words to the left (Kneser and Ney 1995).
    fallback : tuple of float
    flag : str
        How a user sets others.
    """

    recipe: Callable[[Order], Recipe | None]
    adjusted: bool = False
    fallback: tuple[float, ...] = ()
    flag: str = ""


ESTIMATORS = {
    "modified-kneser-ney": Estimator(modified_kneser_ney, True, DISCOUNTS, "--discount-fallback D1,D2,D3 sets others"),
    "kneser-ney": Estimator(one_discount, True, (DISCOUNT,), "--discount D sets another"),
    "absolute": Estimator(one_discount, False, (DISCOUNT,), "--discount D sets another"),
    "witten-bell": Estimator(witten_bell),
    "katz": Estimator(katz),
    "jelinek-mercer": Estimator(counted),
    "stupid-backoff": Estimator(counted),
    "add-k": Estimator(additive),
    "mle": Estimator(counted),
}
