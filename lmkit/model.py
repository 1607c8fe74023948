"""The contract every language model keeps, and the first file to read.

A language model gives, after any history of tokens, a distribution over the next one:

    p(w_1 ... w_T) = product over t of p(w_t | w_1 ... w_(t-1))

The history enters only through a *state*. For an n-gram model the state is the longest part of the history that it has
counts for; for a recurrent network it is the vector h_t. Everything else in lmkit (sampling, perplexity, the command
line) is written once, against the five methods below, and serves every family.

Token ids are int32. Three of them are fixed, here (kernels, which import nothing, repeat them; tests compare):
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from lmkit.storage import Origin
    from lmkit.text import TextLayer
    from lmkit.uniforms import Uniforms
    from lmkit.vectors import TokenVectors

__all__ = ["BOS", "EOS", "RESERVED", "UNK", "LanguageModel", "State"]

UNK, BOS, EOS = 0, 1, 2
RESERVED = ("<unk>", "<s>", "</s>")

State = Any
"""What a model remembers of the history, for n parallel streams: an array or a tuple of arrays, first axis n."""


class LanguageModel(abc.ABC):
    """A distribution over the next token given a state, for n parallel streams at once.

    States are values: no method changes the one it is given. Logarithms are natural. `<s>` is never predicted: its
    log-probability is -inf. Advancing over `</s>` is legal and leads to the start of the next sentence; an n-gram
    model then forgets all before it, a recurrent one keeps its hidden state.

    Attributes
    ----------
    text : TextLayer
        The tokenizer, sentence rule and vocabulary that turn text into the ids this model was trained on.
    family : str
        The name under which `lmkit.registry` finds the class that reads this model's file.
    metadata : dict
        What the model file says of itself: settings and training record.
    origin : Origin or None
        The file that the model was read from or went to.
    """

    text: TextLayer
    family: str
    metadata: dict
    origin: Origin | None = None

    tempers: bool = False
    """Whether `draw` takes a `temperature`, too; where it does not, callers work on rows of log-probabilities."""

    remembers: bool = True
    """Whether what comes after `</s>` may depend on what stood before it."""

    @property
    def name(self) -> str:
        """What messages call the model: the file that it was read from or went to, if there is one."""
        return self.origin.path if self.origin else "the model"

    @property
    def longest_context(self) -> int | None:
        """How many tokens before it a prediction rests on at most; None where it is all of them."""
        return None

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids V, reserved ones included."""
        return len(self.text.vocabulary)

    @abc.abstractmethod
    def begin(self, n: int = 1) -> State:
        """Return the state of n streams at the start of a sentence, that is after `<s>`."""

    def begin_after(self, ids: Sequence[int], n: int = 1) -> State:
        """Return the state of n streams somewhere in a text of which only the last tokens are known.

        An n-gram model has these as its context, without `<s>` before them. Families that have no state for the middle
        of a text, as recurrent ones, begin a sentence and read the tokens.

        Parameters
        ----------
        ids : sequence of int
            The tokens, the same for all streams; none of them, and nothing is known.
        """
        return self._advanced(self.begin(n), ids, n)

    def _advanced(self, state: State, ids: Sequence[int], n: int) -> State:
        """Return the states of n streams after the same tokens for each."""
        import numpy as np  # only here: help texts are shown without it

        for i in ids:
            state = self.advance(state, np.full(n, i, np.int32))
        return state

    @abc.abstractmethod
    def log_probs(self, state: State) -> np.ndarray:
        """Return log p(w | state) for every w, shape (n, V); each row's exp sums to one."""

    @abc.abstractmethod
    def advance(self, state: State, ids: np.ndarray) -> State:
        """Return the state after each stream has seen one more token, ids of shape (n,)."""

    @abc.abstractmethod
    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        """Return log p of each of the ids (n, T) given all before it, shape (n, T), and the state after the last.

        Cutting a text anywhere and scoring the pieces in turn gives the same numbers as scoring it whole.
        """

    def rows(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        """Return log p of every token at each place of a text, float32 (n, T, V), and the state after the last.

        Row t is that of `log_probs` before ids[:, t] is seen, ids being (n, T). Families whose kernels do many steps in
        one call override this loop. Callers cut long texts: rows take V times the memory of tokens.
        """
        import numpy as np  # only here: help texts are shown without it

        ids = np.asarray(ids, np.int32)
        rows = np.empty((*ids.shape, self.vocabulary_size), np.float32)
        for t in range(ids.shape[1]):
            rows[:, t] = self.log_probs(state)
            state = self.advance(state, ids[:, t])
        return rows, state

    @abc.abstractmethod
    def draw(self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray) -> tuple[np.ndarray, State]:
        """Roll the weighted die t times per stream: ids (n, t), drawn exactly from p (temperature 1), and the state.

        Parameters
        ----------
        uniforms : Uniforms
            One counter-based source of uniform numbers per stream; it moves on. A stream's tokens depend on its own
            key and counter only, so neither chunking nor the number of streams changes what is drawn.
        banned : ndarray of int32
            Ids that never come; the rest of the distribution is renormalised. Where nothing is left of it, a
            shorter memory answers (`shorten`); if none has an answer, LmkitError is raised.
        """

    def shorten(self, state: State) -> State | None:
        """Return states that remember less, or None where there are none: who asks has banned all that could come."""
        return None

    def settings(self) -> dict:
        """Return what is needed to read a score of this model: tokenizer, sentence rule, order, smoothing and so on."""
        return {"family": self.family, **self.text.settings.describe()}

    def context_counts(self, state: State) -> np.ndarray | None:
        """Return how often each token followed the state in training, shape (n, V), or None where it is not kept."""
        return None

    def context_lengths(self, state: State) -> np.ndarray | None:
        """Return how many tokens before it, `<s>` included, the next prediction of each stream rests on, int64 (n,).

        Fewer than `longest_context` where a longer context was never seen; None where there is no such bound.
        """
        return None

    def orders(self, ids: np.ndarray, after: Sequence[int] | None = None) -> np.ndarray | None:
        """Return how many tokens each prediction of a text rests on, itself included, (T,); None where it is all.

        Parameters
        ----------
        after : sequence of int, optional
            What stands before the text, see `begin_after`; by default it begins with a sentence.
        """
        return None

    def reading(self, reserved: str | None) -> LanguageModel:
        """Return this model with another rule for reserved words in the texts that it reads; None leaves its own.

        Raises
        ------
        OptionError
            It is none of `lmkit.text.RESERVED_RULES`.
        """
        if reserved is None:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.text = self.text.reading(reserved)
        return other

    def made_of(self) -> list[LanguageModel]:
        """Return the models that this one is directly made of; none for one that was trained."""
        return []

    def sources(self) -> list[LanguageModel]:
        """Return the trained models that this one is made of at last; itself, if it was trained."""
        return [source for model in self.made_of() for source in model.sources()] or [self]

    def token_vectors(self) -> tuple[TokenVectors, TokenVectors] | None:
        """Return vectors of what stands before tokens and of what comes after them; None where neither is known."""
        return None
