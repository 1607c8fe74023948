"""Drawing from a linear mixture in one kernel, where its members are n-gram models and at most one network."""

from __future__ import annotations

import numpy as np

from lmkit.errors import LmkitError
from lmkit.kernels import mixture_sampling
from lmkit.mixture.vocabularies import Mapping
from lmkit.model import BOS, LanguageModel, State
from lmkit.ngram.model import NGramModel
from lmkit.rnn.model import NO_NUMBER, RNNModel, for_sampling, from_sampling
from lmkit.uniforms import Uniforms

__all__ = ["STUCK", "Drawer"]

STUCK = mixture_sampling.STUCK
NEVER = np.array([BOS], np.int32)
NO_NETWORK = (
    np.zeros((1, 1), np.float32), 0, np.zeros(0, np.float32), 0, np.zeros((1, 5), np.int64),
    np.zeros((1, 8), np.int64), 1, False,
)  # fmt: skip


class Drawer:
    """The members of a linear mixture as the sampling kernel reads them.

    Parameters
    ----------
    members : list of LanguageModel
        For which `serves` is true.
    mappings : list of Mapping
    cumulative : ndarray of float64, shape (M,)
        Their weights, summed up.
    """

    def __init__(self, members: list[LanguageModel], mappings: list[Mapping], cumulative: np.ndarray):
        self.members, self.cumulative = members, cumulative
        self.network = next((m for m, member in enumerate(members) if isinstance(member, RNNModel)), -1)
        self.tries = np.zeros((len(members), 10), np.int64)
        for row, member in zip(self.tries, members, strict=True):
            if isinstance(member, NGramModel):
                trie = member.trie  # whose arrays live as long as `members` do
                arrays = (trie.nodes, trie.leaves, trie.alias)
                row[:6] = [number for array in arrays for number in (array.ctypes.data, len(array))]
                row[6:] = member.order, member.begin(1)[0], member.spreads, member.interpolates
        self.to_own = np.stack([mapping.ids for mapping in mappings])
        meant = [mapping.meant(member.vocabulary_size) for mapping, member in zip(mappings, members, strict=True)]
        self.meant, self.starts = _flat(meant)
        self.lacking, self.ends = _flat([mapping.unknown for mapping in mappings])

    @staticmethod
    def serves(members: list[LanguageModel]) -> bool:
        """Return whether the kernel can draw from these members."""
        networks = sum(type(member) is RNNModel for member in members)
        ngrams = sum(type(m) is NGramModel and m.options["smoothing"] != "stupid-backoff" for m in members)
        return networks <= 1 and networks + ngrams == len(members)

    def draw(
        self, parts: list[State], first: int, ids: np.ndarray, uniforms: Uniforms, forbidden: np.ndarray
    ) -> tuple[int, list[State], np.ndarray]:
        """Write tokens to ids (n, T) from column `first` on; return where they end, and the members' states there.

        Where that is not T, the next tokens of some streams are STUCK, and have to be drawn from whole rows; those of
        the others are there, but not yet fed. The third that is returned says how for each stream: a member, or -1 for
        the mixture, and how many contexts of the member have left it to the next shorter one.

        Raises
        ------
        LmkitError
            A weight of the network is no number.
        """
        streams = len(ids)
        states = np.zeros((len(parts), streams), np.uint32)
        for m, part in enumerate(parts):
            if m != self.network:
                states[m] = part
        if self.network < 0:
            arranged, plan = np.zeros((2, 1, 1, streams, 1), np.float32), NO_NETWORK
        else:
            arranged, plan = for_sampling(parts[self.network]), self.members[self.network].plan().arguments
        stuck = np.zeros((streams, 2), np.int64)
        end = mixture_sampling.draw(
            ids, first, stuck, self.cumulative, self.tries, states, self.to_own, self.meant, self.starts, self.lacking,
            self.ends, forbidden, uniforms.keys, uniforms.counters, self.network, arranged, *plan, NEVER,
        )  # fmt: skip
        if end < ids.shape[1] and (ids[:, end] == mixture_sampling.BROKEN).any():
            raise LmkitError(NO_NUMBER)
        after = list(states)
        if self.network >= 0:
            after[self.network] = from_sampling(arranged, end - first)
        return end, after, stuck


def _flat(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays one after the other, int32, and where each begins and the last ends."""
    return np.concatenate(lists).astype(np.int32), np.cumsum([0, *map(len, lists)])
