"""lmkit quiz."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lmkit.cli import options, sheets, streams, terminal
from lmkit.cli.options import Command, option

if TYPE_CHECKING:
    from lmkit.quizzes.rounds import Quiz

EXAMPLES = """
lmkit quiz -m bard.lmkit shakespeare.txt
lmkit quiz -m lstm.lmkit -m words.lmkit shakespeare.txt        # which one fools people most?
lmkit quiz -m bard.lmkit --rounds 10 --key key.txt shakespeare.txt > sheet.txt
lmkit quiz --rounds 10 --key key.txt > sheet.txt               # of the text that the model has a record of
"""
LEAST_WIDTH = 20  # columns
LETTERS = "abcdefghi"  # keys that mean the same as 1 to 9
ESCAPED = r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?"  # what an arrow, or another key of its kind, sends


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", metavar="[TEXT]", required=False)
@options.models_option
@option("--rounds", type=click.IntRange(min=1), default=10, metavar="N", help="How often to guess.")
@option(
    "--passages", type=click.IntRange(2, 9), default=2, metavar="N", help="So many in a round: a real one, and others."
)
@option("--lines", type=click.IntRange(min=1), metavar="N", help="Passages of N lines, blank ones not counted.")
@option(
    "--length", type=click.IntRange(min=1), metavar="N", show_default="200",
    help="Or of whole lines until there are N characters.",
)  # fmt: skip
@option(
    "--copied", type=float, default=0.3, metavar="SHARE",
    help="Show no passage of which more than this stands, in one piece, in the text or in what a model was trained on.",
)  # fmt: skip
@options.decoding_options
@options.allow_unk_option
@options.seed_option()
@option("--key", metavar="FILE", show_default="after the rounds", help="Write the answers here.")
@options.model_input_options
@options.format_option()
@options.output_option
@options.threads_option
@options.quiet_option
def command(text, model, lines, length, seed, key, form, output, threads, quiet, **choices):
    """Guess which passage is from TEXT: the others were written by a model.

    At a terminal a key chooses, q stops. Afterwards you see where the real passage stands, how surprised the model was
    by each one (perplexity), what of it stands in one piece in the text or in what the model was trained on, and in the
    end your score, and how probable one as good is by guessing. With several models (-m A -m B) each round has one of
    them, and a table says which one fooled you most often.

    Real passages come from the part of TEXT that was held out of the training, or from all of it if it was not trained
    on. Without TEXT it is what the first model was validated on or trained on, if that is still there. All are cut
    alike: whole lines from the start of a paragraph on. The model is given the first one if it is short and recurs in
    TEXT, as HAMLET: does.

    Without a terminal, and with --format, --key or -o, the rounds are printed, and the answers after them or in the
    --key. json: one object; with --key, the one in there has the answers. tsv: a line for each passage: round, label,
    text, source (real or the model), line, tokens, perplexity, share copied, and the piece; without the last six if
    there is a --key.
    """
    if lines is not None and length is not None:
        raise click.UsageError("--lines and --length both say how long passages are; give one of them")
    named = list(model)
    _check_outputs(output, key, [text, *named])
    playing = _wants_to_play(output, key)
    if text is not None:
        streams.check_texts((text,))
    if seed is None:
        seed = secrets.randbits(32)
        terminal.notice(f"Seed: {seed}", quiet)
    from lmkit import api

    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        quiz = api.quiz(named, text, lines=lines, length=length, seed=seed, threads=threads, progress=bar, **choices)
    if playing:
        play(quiz)
        return
    _check_outputs(output, key, [quiz.text])
    with contextlib.ExitStack() as stack:
        answers = None if key is None else stack.enter_context(streams.open_output(key))
        sheet = stack.enter_context(streams.open_output(output))
        fits = os.environ.get("COLUMNS") or (output == "-" and terminal.is_terminal(sys.stdout))
        sheets.WRITERS[form](quiz, sheet, answers, width() if fits else sheets.SHEET)


def _check_outputs(output: str, key: str | None, inputs: list[str]) -> None:
    """Refuse, before the work, outputs that are inputs, or a key in the same place as the rounds."""
    streams.check_output(output, inputs)
    if key is None:
        return
    streams.check_output(key, inputs, "--key")
    same = os.path.realpath(key) == os.path.realpath(output) if "-" not in (key, output) else key == output
    if same or (output == "-" and streams.is_open_as(key, sys.stdout)):
        raise click.UsageError(f"--key {key} is where the rounds go; name another file, or leave it out")


def _wants_to_play(output: str, key: str | None) -> bool:
    """Whether someone is at the terminal, and has asked for nothing else."""
    source = click.get_current_context().get_parameter_source("form")
    asked = output != "-" or key is not None or source is not click.core.ParameterSource.DEFAULT
    return not asked and terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)


def play(quiz: Quiz) -> None:
    """Let someone at the terminal guess; tell the score, however it ends."""
    from lmkit.quizzes.rounds import Score

    score = Score(quiz.chance)
    with _ended_in_order():
        try:
            for number, each in enumerate(quiz.rounds, 1):
                say("", *sheets.round_lines(quiz, number, width()))
                chosen = ask(len(each.passages))
                if chosen is None:
                    break
                score.add(each.model, chosen == each.answer)
                verdict = "Right" if chosen == each.answer else "Wrong"
                say(f"{verdict}: {each.answer + 1} is real.", *sheets.answer_lines(quiz, number, width()))
        finally:
            say("", *sheets.score_lines(quiz, score, width()))


def width() -> int:
    """Return how many columns the terminal has."""
    return max(LEAST_WIDTH, shutil.get_terminal_size().columns)


def say(*lines: str) -> None:
    """Write lines to the terminal."""
    for line in lines:
        click.echo(streams.encode(line))


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Unwind when the process is told to end, so that the terminal does not stay as it is while it awaits a key."""

    def end(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ask(passages: int) -> int | None:
    """Return the index of the passage that a key chooses; None for q, or where there is nobody any more."""
    digits = "123456789"[:passages]
    click.echo(f"{', '.join(digits[:-1])} or {digits[-1]} (q stops)? ", nl=False)
    while True:
        try:
            pressed = click.getchar()
        except EOFError:
            pressed = ""
        if not pressed:
            click.echo()
            return None
        for key in re.sub(ESCAPED, "", pressed).lower():
            if key == "q":
                click.echo(key)
                return None
            for keys in (digits, LETTERS[:passages]):
                if key in keys:
                    click.echo(digits[keys.index(key)])
                    return keys.index(key)
