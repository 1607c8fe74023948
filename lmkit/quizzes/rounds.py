"""A quiz: passages of a text beside passages that models wrote, and who can tell.

A round has one real passage, and others by one model. They are cut alike: from the start of a paragraph on (of a line
where a text has no paragraphs), whole lines, until there are enough of them; none is more than 1.5 times as long as the
real one. What would give the answer away is the same on both sides:

- real passages are shown as the model would write them: in lower case or with single blanks, if it sees no other;
- those with tokens that the model does not know are left out, as it never writes `<unk>`;
- where the real passage begins with a short line that recurs in the text, such as the name of a speaker, the model's
  begin with that line, too: it is given to the model, so that names of a cast that is new to it tell nothing.

Real passages come from what no model has read, where that is known (`lmkit.quizzes.unseen`). No passage of either kind
has a part in one piece that makes up more than a certain share of it and stands in a text that the models have read,
nor, if a model wrote it, in the text of the quiz (`lmkit.quizzes.copying`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmkit.errors import OptionError
from lmkit.evaluation import perplexity
from lmkit.model import LanguageModel
from lmkit.quizzes.drafts import Author, Draft, Rules, real_drafts, written_drafts
from lmkit.quizzes.passages import Text
from lmkit.quizzes.unseen import Library

__all__ = ["DECODING", "LABELS", "Passage", "Quiz", "Round", "Score", "Standing", "make_quiz"]

DECODING = ("temperature", "top_k", "top_p", "min_p", "allow_unk")
LABELS = "123456789"
MAX_ROUNDS = 1000


@dataclasses.dataclass(frozen=True)
class Passage:
    """A passage, and what is to be said of it afterwards.

    Attributes
    ----------
    text : str
        Without a line feed at its end.
    model : str or None
        Who wrote it; None for the real one.
    line : int or None
        Where the real one begins in its text, from 1 on.
    tokens : int
    perplexity : float
        Of these tokens under the model of the round, where a paragraph or line begins.
    copied : float or None
        Share of its characters that stand in one piece in a text that was searched. None where there was none.
    run : str or None
        That piece.
    """

    text: str
    model: str | None
    line: int | None
    tokens: int
    perplexity: float
    copied: float | None
    run: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return what there is as a dict, fit for JSON."""
        values = dataclasses.asdict(self)
        return values if math.isfinite(self.perplexity) else {**values, "perplexity": None, "infinite": True}


@dataclasses.dataclass(frozen=True)
class Round:
    """Passages side by side, of which that with the index `answer` is real; the others are by one model."""

    model: str
    passages: tuple[Passage, ...]
    answer: int


@dataclasses.dataclass(frozen=True)
class Quiz:
    """Rounds, and what made them.

    Attributes
    ----------
    text : str
        The name of the text.
    models : list of str
    rounds : list of Round
    settings : dict
        Seed, length of passages, how they were drawn, the texts that were searched for copies, ...
    """

    text: str
    models: list[str]
    rounds: list[Round]
    settings: dict[str, Any]

    @property
    def chance(self) -> float:
        """The probability of being right by guessing."""
        return 1 / len(self.rounds[0].passages)

    def as_dict(self, *, answers: bool = True) -> dict[str, Any]:
        """Return one dict of dicts and lists, fit for JSON; without `answers`, only what a player may see."""
        rounds = [
            {
                "round": number,
                **({"answer": LABELS[each.answer], "model": each.model} if answers else {}),
                "passages": [
                    {"label": label, **(passage.as_dict() if answers else {"text": passage.text})}
                    for label, passage in zip(LABELS, each.passages, strict=False)
                ],
            }
            for number, each in enumerate(self.rounds, 1)
        ]
        return {"text": self.text, "models": self.models, "chance": self.chance, **self.settings, "rounds": rounds}


@dataclasses.dataclass(frozen=True)
class Standing:
    """How many of its rounds a model has won: the player took its passage for the real one."""

    model: str
    fooled: int
    rounds: int


class Score:
    """What a player has answered so far.

    >>> score = Score(chance=0.5)
    >>> for model, right in ("a", True), ("b", True), ("b", False), ("a", True):
    ...     score.add(model, right)
    >>> score.right, score.rounds, score.by_guessing
    (3, 4, 0.3125)
    >>> score.ranking()
    [Standing(model='b', fooled=1, rounds=2), Standing(model='a', fooled=0, rounds=2)]
    """

    def __init__(self, chance: float):
        self.chance, self._answers = chance, []

    def add(self, model: str, right: bool) -> None:
        """Note an answer in a round of a model."""
        self._answers.append((model, right))

    @property
    def rounds(self) -> int:
        """How many rounds were answered."""
        return len(self._answers)

    @property
    def right(self) -> int:
        """How many answers were right."""
        return sum(right for _, right in self._answers)

    @property
    def by_guessing(self) -> float:
        """The probability of so many right answers, or more, by guessing: a tail of the binomial distribution."""
        p, n = self.chance, self.rounds
        return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(self.right, n + 1))

    def ranking(self) -> list[Standing]:
        """Return the models that were met, those that fooled the player in most of their rounds first."""
        answers: dict[str, list[bool]] = {}
        for model, right in self._answers:
            answers.setdefault(model, []).append(right)
        standings = [Standing(model, a.count(False), len(a)) for model, a in answers.items()]
        return sorted(standings, key=lambda s: (-s.fooled / s.rounds, s.model))


def make_quiz(
    models: Iterable[tuple[str, LanguageModel]],
    text: Text,
    rules: Rules,
    *,
    rounds: int,
    passages: int,
    rng: np.random.Generator,
    progress: Callable[[str, int, int | None, str], None] | None = None,
) -> Quiz:
    """Draw the rounds of a quiz: see `lmkit.api.quiz`.

    Raises
    ------
    OptionError
    CorpusError
        The text has too few passages that may be shown, or is foreign to a model.
    LmkitError
        A model wrote nothing that may be shown.
    """
    models = list(models)
    _check(models, text, rules, rounds, passages)
    library = Library(text, models)
    authors = [Author(name, model, text.unit) for name, model in models]
    order, cutting, *writing = rng.spawn(2 + len(authors))
    turns = _turns(len(authors), rounds, order)
    real = real_drafts([authors[turn] for turn in turns], library, rules, cutting)
    drafts: list[list[Draft]] = [[each] for each in real]
    for number, author in enumerate(authors):
        if progress is not None:
            progress("writing", number, len(authors), "models")
        mine = [i for i, turn in enumerate(turns) if turn == number for _ in range(passages - 1)]
        written = written_drafts(author, [real[i] for i in mine], library, rules, writing[number])
        for i, draft in zip(mine, written, strict=True):
            drafts[i].append(draft)
    made: dict[int, Round] = {}
    for number, author in enumerate(authors):
        mine = [i for i, turn in enumerate(turns) if turn == number]
        made.update(zip(mine, _rounds(author, [drafts[i] for i in mine], order), strict=True))
    settings = {
        "lines": rules.shape.lines, "length": rules.shape.length, "begin": text.unit, "first_line": library.first + 1,
        "copied_at_most": rules.copied, "searched": library.names, **rules.decoding,
    }  # fmt: skip
    return Quiz(text.name, [name for name, _ in models], [made[i] for i in range(rounds)], settings)


def _check(models, text: Text, rules: Rules, rounds: int, passages: int) -> None:
    names = [name for name, _ in models]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{name} is named twice; a model takes part once")
    if rounds > MAX_ROUNDS:
        raise OptionError(f"--rounds is {rounds}; it must be at most {MAX_ROUNDS:,}")
    if rounds < max(1, len(names)):
        raise OptionError(f"--rounds is {rounds}; there must be one for each model, {max(1, len(names))} or more")
    if not 2 <= passages <= len(LABELS):
        raise OptionError(f"--passages is {passages}; it must be 2 to {len(LABELS)}")
    if not 0 <= rules.copied <= 1:
        raise OptionError(f"--copied is {rules.copied:g}; it must be a share of a passage, 0 to 1")
    for name, model in models:
        settings = model.text.settings
        if not settings.keeps_lines and settings.sentence != text.unit:
            raise OptionError(
                f"{name} knows no ends of lines (--tokenizer whitespace --sentence {settings.sentence}), and passages "
                "are whole lines; take another model"
            )


def _turns(models: int, rounds: int, rng: np.random.Generator) -> list[int]:
    """Return whose turn it is in each round: all equally often, some once more, in a random order."""
    turns = np.concatenate([rng.permutation(models) for _ in range(-(-rounds // models))])[:rounds]
    return rng.permutation(turns).tolist()


def _rounds(author: Author, drafts: Sequence[Sequence[Draft]], rng: np.random.Generator) -> Iterator[Round]:
    """Yield the rounds of a model, given the real passage of each, and the others after it."""
    together = [draft for each in drafts for draft in each]
    log_probabilities = iter(author.log_probabilities([draft.ids for draft in together]))
    for each in drafts:
        passages = [_passage(author, draft, next(log_probabilities)) for draft in each]
        answer = int(rng.integers(len(passages)))
        passages.insert(answer, passages.pop(0))
        yield Round(author.name, tuple(passages), answer)


def _passage(author: Author, draft: Draft, log_probability: float) -> Passage:
    copied = run = None
    if draft.run is not None:
        copied, run = draft.run.length / len(draft.text), draft.run.of(draft.text)
    model, line = (author.name, None) if draft.line is None else (None, draft.line + 1)
    surprise = perplexity(log_probability, len(draft.ids))
    return Passage(draft.text, model, line, len(draft.ids), surprise, copied, run)
