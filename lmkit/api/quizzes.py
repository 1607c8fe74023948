"""Which passage did a model write?"""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Iterable

import lmkit
from lmkit import arguments
from lmkit.api.models import load
from lmkit.arguments import Progress, Texts
from lmkit.errors import OptionError
from lmkit.model import LanguageModel
from lmkit.quizzes.drafts import Rules
from lmkit.quizzes.passages import Shape, Text
from lmkit.quizzes.rounds import DECODING, Quiz, make_quiz
from lmkit.quizzes.unseen import recorded_text
from lmkit.threads import aside

DEFAULT_PASSAGE = 200  # characters


def quiz(
    models: Iterable[LanguageModel | str | os.PathLike] | LanguageModel | str | os.PathLike,
    text: Texts | None = None,
    *,
    rounds: int = 10,
    passages: int = 2,
    lines: int | None = None,
    length: int | None = None,
    copied: float = 0.3,
    seed: int | None = None,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
    progress: Progress | None = None,
    **decoding,
) -> Quiz:
    """Return a quiz: which passage is from the text, and which did a model write? See `lmkit.quizzes.rounds`.

    The real ones come from the part that was held out of the training, or all of a text that was not trained on.

    Parameters
    ----------
    models : path, model, or iterable of these
        Each has its own rounds, as many as the others or one more.
    text : path, (name, bytes) pair or Corpus, optional
        One text; by default what the first model was validated on or, failing that, trained on, as its record says.
    passages : int
        Of a round: a real one, and those of a model.
    lines, length : int, optional
        How long a passage is: so many lines, or whole lines until there are so many characters (200 by default).
    copied : float
        The largest share of a passage that may stand in one piece in the text, or in what the models were trained on.
    seed : int, optional
        Same seed, same quiz. None picks one.
    reserved : {'error', 'space', 'keep'}, optional
        What reserved words in the text are, as in `train`; by default what they are to each model.
    threads : int, optional
        Of models that are given as paths: see `load`.
    decoding
        temperature, top_k, top_p, min_p, allow_unk as in `lmkit.decoding.generate`.

    Raises
    ------
    OptionError, CorpusError, ModelError
    LmkitError
        A model wrote nothing that may be shown.

    Warns
    -----
    LmkitWarning
        Where a model knows the real passages, or copies cannot be told.

    >>> bottles = "".join(f"{n}:\\n{n} green bottles\\nhanging on the wall\\n\\n" for n in range(99)).encode()
    >>> m = lmkit.train(("bottles", bottles), tokenizer="char", order=5, smoothing="jelinek-mercer", valid=0.2)
    >>> [round] = quiz(m, ("bottles", bottles), rounds=1, lines=2, copied=1, seed=1).rounds
    >>> [passage.model for passage in round.passages], round.answer
    ([None, 'model 1'], 0)
    """
    arguments.check_names(decoding, DECODING, "quiz")
    if isinstance(models, (str, os.PathLike, LanguageModel)):
        models = [models]
    loaded = [given if isinstance(given, LanguageModel) else load(given, threads=threads) for given in models]
    named = [
        (getattr(model, "path", None) or f"model {number}", getattr(model, "language_model", model).reading(reserved))
        for number, model in enumerate(loaded, 1)
    ]
    shape = Shape(lines, DEFAULT_PASSAGE if lines is None and length is None else length)
    seed = secrets.randbits(32) if seed is None else seed
    rng = arguments.generator(seed)
    if not named:
        raise OptionError("no model is named")
    if text is None:
        read = recorded_text(named[0][1])
    else:
        (corpus,) = arguments.corpora([text], encoding, errors)
        read = Text.read(corpus, progress=arguments.reading(progress, [corpus]))
    made = aside(
        make_quiz, named, read, Rules(shape, copied, decoding), rounds=rounds, passages=passages, rng=rng,
        progress=progress,
    )  # fmt: skip
    return dataclasses.replace(made, settings={"seed": seed, **made.settings, "lmkit_version": lmkit.__version__})
