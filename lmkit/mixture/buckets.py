"""Linear mixtures whose weights depend on how well an n-gram model knows the context (Jelinek and Mercer 1980).

    p(w | h) = sum over members m of weight_(b(h), m) p_m(w | h)

Where the longest context that the n-gram model remembers of h was seen often, counts are to be trusted, and the
model gets more weight. b(h) is the *bucket* into which the size of that context falls: how often it was followed by a
token in training where the model keeps its counts, else by how many different ones. The empty context has size 0. A
mixture is then a linear mixture for each bucket, all of the same members.
"""

from __future__ import annotations

import dataclasses
import itertools
import reprlib
from typing import Any

import numpy as np

from lmkit.errors import OptionError
from lmkit.mixture import members as stored
from lmkit.mixture.ensemble import Ensemble
from lmkit.mixture.linear import LinearMixture, log_sum
from lmkit.mixture.wrapper import of_streams, some_streams
from lmkit.model import LanguageModel, State
from lmkit.ngram.model import COUNTS, FOLLOWERS
from lmkit.uniforms import Uniforms

__all__ = ["LEAST", "BucketedMixture", "Buckets", "chosen_bounds", "context_member"]

LEAST = 1000  # tokens of the text to tune on that a bucket holds
MOST = 64  # buckets: sizes double from one to the next
MEASURES = {COUNTS: "seen {} times", FOLLOWERS: "with {} different followers"}


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Ranges of the sizes of contexts.

    Attributes
    ----------
    measure : {'counts', 'followers'}
        What sizes are.
    bounds : tuple of int
        The smallest size of each bucket but the first, ascending.

    >>> Buckets("counts", (1, 8)).of(np.array([0, 1, 7, 8, 1000])).tolist()
    [0, 1, 1, 2, 2]
    """

    measure: str
    bounds: tuple[int, ...]

    def __post_init__(self):
        if self.measure not in list(MEASURES):
            raise OptionError(
                f"the sizes of contexts are {reprlib.repr(self.measure)}; expected one of {', '.join(MEASURES)}"
            )
        whole = all(type(bound) is int and 0 < bound < 2**63 for bound in self.bounds)
        if not whole or len(self.bounds) >= MOST or list(self.bounds) != sorted(set(self.bounds)):
            raise OptionError(
                f"bounds of buckets are {reprlib.repr(self.bounds)}; expected ascending whole numbers above 0"
            )

    def of(self, sizes: np.ndarray) -> np.ndarray:
        """Return the bucket of each size, from 0."""
        return np.searchsorted(np.array(self.bounds, np.int64), sizes, side="right")

    def names(self) -> list[str]:
        """Return for each bucket what contexts are in it.

        >>> for name in Buckets("counts", (2, 3, 8)).names():
        ...     print(name)
        no context, or one seen up to 1 times
        contexts seen 2 times
        contexts seen 3-7 times
        contexts seen 8 or more times
        """
        if not self.bounds:
            return ["all contexts"]
        said = MEASURES[self.measure].format
        first, last = self.bounds[0], self.bounds[-1]
        between = [f"{a}" if a + 1 == b else f"{a}-{b - 1}" for a, b in itertools.pairwise(self.bounds)]
        least = f"no context, or one {said(f'up to {first - 1}')}" if first > 1 else "no context"
        return [least, *(f"contexts {said(range_)}" for range_ in between), f"contexts {said(f'{last} or more')}"]


class BucketedMixture(Ensemble):
    """Several models that share a text layer, with weights for each bucket of contexts.

    The contexts are those of the first n-gram model among the members.

    Parameters
    ----------
    members : list of LanguageModel
        Linear mixtures among them are dissolved, as in `LinearMixture`.
    weights : sequence of sequences of float
        For each bucket those of the members, which sum to one.
    buckets : Buckets

    Raises
    ------
    OptionError
        The members see different tokens, none is an n-gram model or the first one does not have such sizes, or the
        weights are none.
    """

    family = "bucketed"

    def __init__(self, members: list[LanguageModel], weights, buckets: Buckets):
        expected = len(buckets.bounds) + 1
        if not isinstance(weights, (list, tuple, np.ndarray)) or len(weights) != expected:
            raise OptionError(f"there are {expected} buckets, and weights are not those of so many")
        self.mixtures = [LinearMixture(members, of_bucket) for of_bucket in weights]
        self.buckets, self.weights = buckets, tuple(mixture.weights for mixture in self.mixtures)
        super().__init__(self.mixtures[0].members, self.mixtures[0].text, np.mean(self.weights, axis=0))
        self.context = context_member(self.members)
        measure = self.members[self.context].context_measure
        if measure != buckets.measure:
            raise OptionError(f"buckets go by {buckets.measure}, and the n-gram model has {measure}")
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.array(self.weights).T)  # (members, buckets)

    def settings(self) -> dict:
        weights = [[round(w, 6) for w in of_member] for of_member in zip(*self.weights, strict=True)]
        listed = [{"family": m.family, "weights": w} for m, w in zip(self.members, weights, strict=True)]
        return {**super().settings(), **dataclasses.asdict(self.buckets), "members": listed}

    def buckets_of(self, state: State) -> np.ndarray:
        """Return the bucket of each stream, (n,)."""
        return self.buckets.of(self.members[self.context].context_sizes(self.part(state, self.context)))

    def buckets_before(self, state: State, ids: np.ndarray) -> np.ndarray:
        """Return the bucket in which each token of a text is predicted, (n, T)."""
        return self.buckets.of(sizes_before(self, self.context, state, ids))

    def log_probs(self, state: State) -> np.ndarray:
        return log_sum(self.member_log_probs(state), self._log_weights[:, self.buckets_of(state), None])

    def rows(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        log_weights = self._log_weights[:, self.buckets_before(state, ids), None]
        rows, after = self.member_rows(state, ids)
        return log_sum(rows, log_weights), after

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        scores, after = self.member_scores(state, ids)
        weighted = scores + self._log_weights[:, self.buckets_before(state, ids)]
        return np.logaddexp.reduce(weighted, axis=0).astype(np.float32), after

    def draw(self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, State]:
        """Let the linear mixture of each stream's bucket draw the next token."""
        ids = np.empty((len(uniforms.keys), t), np.int32)
        for i in range(t):
            buckets, after = self.buckets_of(state), []
            by_bucket = np.argsort(buckets, kind="stable")
            for bucket in np.unique(buckets).tolist():
                streams = np.flatnonzero(buckets == bucket)
                with of_streams(uniforms, streams) as dice:
                    drawn, moved = self.mixtures[bucket].draw(some_streams(state, streams), 1, dice, banned)
                ids[streams, i] = drawn[:, 0]
                after.append(moved)
            back = np.argsort(by_bucket)
            state = tuple(np.concatenate(parts)[back] for parts in zip(*after, strict=True))
        return ids, state

    def config(self) -> dict:
        """Return what besides the arrays makes the model, for its file."""
        buckets = {"measure": self.buckets.measure, "bounds": list(self.buckets.bounds)}
        weights = [list(of_bucket) for of_bucket in self.weights]
        return {"buckets": buckets, "weights": weights, "members": stored.entries(self.members)}

    @classmethod
    def of_config(cls, members: list[LanguageModel], config: dict[str, Any]) -> BucketedMixture:
        found = config.get("buckets")
        if not isinstance(found, dict) or not isinstance(found.get("bounds"), list):
            raise OptionError("what is said of its buckets is damaged")
        return cls(members, config.get("weights"), Buckets(found.get("measure"), tuple(found["bounds"])))


def context_member(members: list[LanguageModel]) -> int:
    """Return the number of the first member that is an n-gram model.

    Raises
    ------
    OptionError
        None is.
    """
    for i, member in enumerate(members):
        if member.family == "ngram":
            return i
    raise OptionError("weights by context go by the contexts of an n-gram model, and none of the models is one")


def sizes_before(ensemble: Ensemble, member: int, state: State, ids: np.ndarray) -> np.ndarray:
    """Return the size of the context in which a member, an n-gram model, predicts each token, int64 (n, T)."""
    model, mapping = ensemble.members[member], ensemble.mappings[member]
    before, _ = model.states(ensemble.part(state, member), mapping.ids[ids])
    return model.context_sizes(before.reshape(-1, *before.shape[2:])).reshape(before.shape[:2])


def chosen_bounds(sizes: np.ndarray, least: int = LEAST) -> tuple[int, ...]:
    """Return bounds of buckets that each hold at least so many of the contexts of a text, as far as it has so many.

    Buckets begin as 0, 1, 2-3, 4-7, 8-15 and so on; from the smallest one on neighbours are put together until they
    hold enough.

    >>> chosen_bounds(np.repeat([0, 1, 2, 3, 5, 900], [5, 3, 2, 2, 1, 9]), least=4)
    (1, 4)
    """
    levels = np.frexp(np.asarray(sizes, np.float64))[1]  # of 0, 1, 2-3, 4-7, ...: 0, 1, 2, 3, ...
    bounds, held = [], 0
    for level, tokens in enumerate(np.bincount(levels).tolist()):
        held += tokens
        if held >= least:
            bounds.append(2**level)
            held = 0
    return tuple(bounds[:-1])  # behind the last one there is less than enough
