"""What is written of a quiz: its rounds, the answers, the score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from lmkit.characters import one_line
from lmkit.cli import columns, streams

if TYPE_CHECKING:
    from lmkit.quizzes.rounds import Passage, Quiz, Score

__all__ = ["SHEET", "WRITERS", "answer_lines", "round_lines", "score_lines"]

SHEET = 80  # columns of what goes to no terminal
SHOWN = 40  # characters of a piece that stands elsewhere
ANSWERS = ("line", "tokens", "perplexity", "copied", "run")


def round_lines(quiz: Quiz, number: int, width: int) -> list[str]:
    """Return a round, counted from 1, as a player sees it."""
    passages = [passage.text for passage in quiz.rounds[number - 1].passages]
    heading = columns.folded(f"Round {number} of {len(quiz.rounds)}. Which one is from {named(quiz.text)}?", width)
    labels = [f"[{i}]" for i in range(1, len(passages) + 1)]
    return [*heading, "", *columns.columns(labels, passages, width), ""]


def answer_lines(quiz: Quiz, number: int, width: int) -> list[str]:
    """Return what is to be said of the passages of a round."""
    return [
        line
        for i, passage in enumerate(quiz.rounds[number - 1].passages, 1)
        for line in columns.folded(f"[{i}] {_source(quiz, passage)}; {_measured(passage)}", width)
    ]


def _source(quiz: Quiz, passage: Passage) -> str:
    return f"{named(quiz.text)}, line {passage.line}" if passage.model is None else named(passage.model)


def _measured(passage: Passage) -> str:
    surprise = f"perplexity {passage.perplexity:.2f}"
    if passage.copied is None:
        return surprise
    run = " ".join(columns.harmless(passage.run).split())
    return f'{surprise}; copied {100 * passage.copied:.0f} %: "{run[:SHOWN]}{"..." * (len(run) > SHOWN)}"'


def score_lines(quiz: Quiz, score: Score, width: int) -> list[str]:
    """Return what a player has reached, and which of several models fooled them most often."""
    if not score.rounds:
        return ["No round was answered."]
    lines = columns.folded(
        f"{score.right} of {score.rounds} right. Guessing gets {score.chance * score.rounds:.3g} on average, and so "
        f"many or more with probability {score.by_guessing:.3g}.",
        width,
    )
    if len(quiz.models) > 1:
        lines += ["", "fooled  rounds   share  model"]
        for each in score.ranking():
            share = f"{100 * each.fooled / each.rounds:.0f} %"
            lines += columns.folded(f"{each.fooled:6}  {each.rounds:6}  {share:>6}  {named(each.model)}", width)
    return lines


def named(name: str) -> str:
    """Return a name as it can be shown."""
    return columns.harmless(name)


def write_text(quiz: Quiz, sheet: BinaryIO, key: BinaryIO | None, width: int) -> None:
    """Write the rounds, and the answers into the key, or behind them."""
    numbers = range(1, len(quiz.rounds) + 1)
    _write(sheet, (line for number in numbers for line in [*round_lines(quiz, number, width), ""]))
    _write(sheet if key is None else key, _answers(quiz, width))


def _answers(quiz: Quiz, width: int) -> Iterator[str]:
    yield from columns.folded(f"Answers. Seed: {quiz.settings['seed']}", width)
    for number, each in enumerate(quiz.rounds, 1):
        yield from ["", f"Round {number}: {each.answer + 1}", *answer_lines(quiz, number, width)]


def _write(file: BinaryIO, lines: Iterable[str]) -> None:
    file.write(b"".join(streams.encode(line + "\n") for line in lines))


def write_tsv(quiz: Quiz, sheet: BinaryIO, key: BinaryIO | None, width: int) -> None:
    """Write a line for each passage; into the key all of it, and then the rounds are without the answers."""
    for number, each in enumerate(quiz.rounds, 1):
        for label, passage in enumerate(each.passages, 1):
            values = passage.as_dict()
            seen = [str(number), str(label), _field(passage.text)]
            told = ["real" if passage.model is None else _field(passage.model), *(_field(values[a]) for a in ANSWERS)]
            (sheet if key is None else key).write(streams.tsv_line(*seen, *told))
            if key is not None:
                sheet.write(streams.tsv_line(*seen))


def _field(value: Any) -> str:
    from lmkit.text import escape

    if value is None:
        return "-"
    return one_line(escape(value)) if isinstance(value, str) else format(value, ".9g")


def write_json(quiz: Quiz, sheet: BinaryIO, key: BinaryIO | None, width: int) -> None:
    """Write an object; into the key all of it, and then the rounds are without the answers."""
    if key is not None:
        key.write(streams.json_line(quiz.as_dict()))
    sheet.write(streams.json_line(quiz.as_dict(answers=key is None)))


WRITERS = {"text": write_text, "tsv": write_tsv, "json": write_json}
