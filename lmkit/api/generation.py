"""What a model writes, and what it expects next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from lmkit import arguments
from lmkit.model import EOS, LanguageModel, State
from lmkit.sampling import OPTIONS, sample_pieces


@dataclasses.dataclass(frozen=True)
class NextToken:
    """One row of a distribution p(token | context); count and total are None where the model does not keep
    counts."""

    token: str
    id: int
    probability: float
    count: int | None
    total: int | None


class NextTokens(list[NextToken]):
    """The rows of a distribution p(token | context), and what of the context they rest on.

    Attributes
    ----------
    context : list of str
        The tokens at the end of the context that the distribution rests on: all that came, for a recurrent model; for
        an n-gram model the longest part that was seen in training, at most order - 1 of them. `<unk>` stands for each
        token that is out of vocabulary.
    unseen : bool
        Whether the model could take a longer part of the context, which was never seen.
    unknown : list of str
        The different tokens of the context that are out of vocabulary.
    """

    def __init__(self, rows: Iterable[NextToken], context: list[str], unseen: bool, unknown: list[str]):
        super().__init__(rows)
        self.context, self.unseen, self.unknown = context, unseen, unknown

    def __reduce__(self):
        return NextTokens, (list(self), self.context, self.unseen, self.unknown)


def sample(
    model: LanguageModel,
    *,
    seed: int | None = None,
    count: int | None = None,
    prompt: str = "",
    reserved: str | None = None,
    **options,
) -> str | list[str]:
    """Return text that the model generates, after a prompt if there is one (not repeated in the result).

    Parameters
    ----------
    seed : int, optional
        Same seed, same text. None picks one.
    count : int, optional
        Return a list of so many samples.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the prompt are, as in `train`; by default what they are to the model.
    options
        n, sentences, stop, keep_stop as in `lmkit.sampling.sample_pieces`; temperature, top_k, top_p, min_p,
        repetition_penalty, allow_unk as in `lmkit.decoding.generate`.

    Warns
    -----
    LmkitWarning
        As `lmkit.sampling.sample_pieces`.
    """
    arguments.check_names(options, OPTIONS, "sample")
    rng = arguments.generator(seed)
    samples = [bytearray() for _ in range(1 if count is None else count)]
    model = model.reading(reserved)
    for piece in sample_pieces(model, count=1 if count is None else count, prompt=prompt, rng=rng, **options):
        samples[piece.stream] += piece.text
    texts = [bytes(s).decode("utf-8", "surrogateescape") for s in samples]
    return texts[0] if count is None else texts


def next_tokens(
    model: LanguageModel, context: str = "", *, top: int | None = 10, reserved: str | None = None
) -> NextTokens:
    """Return the distribution p(token | context), the most probable tokens first, of equals the smaller id.

    The list that is returned says, too, what of the context was known and seen: see `NextTokens`.

    Parameters
    ----------
    top : int, optional
        How many rows; None for every token that can come.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the context are, as in `train`; by default what they are to the model.
    """
    if top is not None:
        arguments.at_least(0, "top", top)
    state, text = model.begin(), model.text.reading(reserved)
    ids = text.encode_text(context, complete=False).ids if context else np.empty(0, np.int32)
    if len(ids):
        state = model.score(state, ids[None, :])[1]
    row = model.log_probs(state)[0]
    counts = model.context_counts(state)
    counts = None if counts is None else counts[0]
    total = None if counts is None else int(counts.sum())
    order = np.argsort(-row, kind="stable")
    order = order[np.isfinite(row[order])][:top]
    rows = [
        NextToken(
            token=text.vocabulary.token(i),
            id=i,
            probability=float(np.exp(np.float64(row[i]))),
            count=None if counts is None else int(counts[i]),
            total=total,
        )
        for i in order.tolist()
    ]
    rests_on, unseen = _resting_on(model, state, ids)
    unknown = text.unknown_tokens(context) if context else []
    return NextTokens(rows, [text.vocabulary.token(i) for i in rests_on.tolist()], unseen, unknown)


def _resting_on(model: LanguageModel, state: State, ids: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the last ids of a context on which the next prediction rests, and whether more could do so."""
    lengths = model.context_lengths(state)
    if lengths is None:
        return ids, False
    sentence = ids[np.flatnonzero(ids == EOS)[-1] + 1 :] if (ids == EOS).any() else ids
    most = min(len(sentence), model.longest_context)
    length = min(int(lengths[0]), most)
    return sentence[len(sentence) - length :], length < most
