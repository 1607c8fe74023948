"""What a model writes, and what it expects next."""

from __future__ import annotations

import dataclasses

import numpy as np

from lmkit import arguments
from lmkit.model import LanguageModel
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
) -> list[NextToken]:
    """Return the distribution p(token | context), the most probable tokens first, of equals the smaller id.

    Parameters
    ----------
    top : int, optional
        How many rows; None for every token that can come.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the context are, as in `train`; by default what they are to the model.
    """
    if top is not None:
        arguments.at_least(0, "top", top)
    state = model.begin()
    ids = model.text.reading(reserved).encode_text(context, complete=False).ids if context else np.empty(0, np.int32)
    if len(ids):
        state = model.score(state, ids[None, :])[1]
    row = model.log_probs(state)[0]
    counts = model.context_counts(state)
    counts = None if counts is None else counts[0]
    total = None if counts is None else int(counts.sum())
    order = np.argsort(-row, kind="stable")
    order = order[np.isfinite(row[order])][:top]
    return [
        NextToken(
            token=model.text.vocabulary.token(i),
            id=i,
            probability=float(np.exp(np.float64(row[i]))),
            count=None if counts is None else int(counts[i]),
            total=total,
        )
        for i in order.tolist()
    ]
