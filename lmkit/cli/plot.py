"""lmkit plot."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from lmkit.characters import one_line
from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option
from lmkit.cli.train_options import estimation_options, order_option, smoothing_option, valid_option

EXAMPLES = """
lmkit plot elman.lmkit lstm.lmkit -o curves.png
lmkit plot lstm.lmkit.checkpoint                      # of a training that runs
lmkit plot lstm.lmkit words.lmkit --text valid.txt --measure bits --axis tokens -o curves.svg
lmkit plot --vary order 1-7 --smoothing modified-kneser-ney --smoothing witten-bell corpus.txt
lmkit plot --vary size 0.1-1 --tokenizer char --order 7 corpus.txt -o sizes.pdf
lmkit plot --vary text 0.01-1 --valid valid.txt --format tsv corpus.txt > sizes.tsv
"""
PICTURES, DRAWINGS, DATA = (".png", ".svg", ".pdf"), (".txt",), (".tsv", ".json")
CURVES = ("texts", "axis")  # options of learning curves alone
COMMON = (
    "names", "vary", "measure", "scale", "dimensions", "reserved", "encoding", "errors", "form", "output", "threads",
    "quiet",
)  # fmt: skip
PASSED_ON = ("measure", "reserved", "encoding", "errors")  # of these, to `lmkit.api` with the options of one kind
API_NAMES = {"vocab": "vocabulary"}
FILE_WIDTH = 80  # columns of a drawing in a file
NO_BRAILLE = ("linux", "dumb")  # terminals without these characters in their font


class Dimensions(click.ParamType):
    """Width and height: 8x5."""

    name = "WIDTHxHEIGHT"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d*)?)x(\d+(?:\.\d*)?)", value.strip().lower())
        if not found:
            self.fail(f"{value!r} is no width and height in inches, such as 8x5", param, ctx)
        return float(found[1]), float(found[2])


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("names", metavar="MODEL...|[CORPUS]...", nargs=-1)
@option(
    "--vary", type=(click.Choice(["order", "size", "ngrams", "text"]), str), metavar="WHAT LEVELS",
    help="Train n-gram models on CORPUS and plot their loss against their order (1-7), the bytes (100K-10M) or n-grams "
    "(1000-1000000) that they are pruned to, or the share of the text that they learn from (0.1-1).",
)  # fmt: skip
@options.text_option(show_default=False)
@option(
    "--axis", type=click.Choice(["time", "tokens", "steps"]), show_default="time and tokens",
    help="What learning curves go along.",
)  # fmt: skip
@option(
    "--measure", type=click.Choice(["nats", "bits", "perplexity"]), show_default="nats; with --vary perplexity",
    help="What a loss is told in, of each token.",
)  # fmt: skip
@option(
    "--scale", type=click.Choice(["auto", "linear", "log"]), default="auto",
    help="Of the horizontal axis; auto is log where the largest number is over 30 times the smallest.",
)  # fmt: skip
@option("--dimensions", type=Dimensions(), metavar="WxH", help="Inches of a picture, 150 pixels each.")
@valid_option
@order_option
@smoothing_option(default=["modified-kneser-ney"], multiple=True)
@estimation_options
@options.vocabulary_options
@options.input_options
@options.format_option()
@options.output_option
@options.threads_option
@options.quiet_option
@click.pass_context
def command(context, names, vary, form, output, threads, quiet, **_):
    """Plot learning curves of trainings, or what n-gram models gain with order, size or text.

    Reads the record of recurrent models and of checkpoints: the loss in training (since the validation before) and in
    validation. Models without one, such as n-grams, are horizontal lines at their loss on --text.

    --vary trains a model for each level and each --smoothing, and scores all of them on what --valid holds out: the
    end of the text, whole lines, or another file. All know the words of the whole training text, so that perplexities
    compare. Levels are numbers with commas between them, or ranges: of orders all (1-7), else doubled from one to the
    next (0.1-1 is 0.1,0.2,0.4,0.8,1) or multiplied (0.001-1x10). Sizes of up to 1 are shares of the whole model.

    -o FILE.png, .svg or .pdf draws a picture (pip install 'lmkit[plot]'), .txt one in text. Without a file it is drawn
    in the terminal: a letter for each model, a small one for its training; in a pipe it is a table. tsv has its
    columns: model (or smoothing), part (training, validation, a text), then step, epoch, seconds, tokens, or with
    --vary order, share of the text, its tokens, n-grams, bytes; then the loss. - is for what a line has not.
    """
    chosen = given(context, vary is not None)
    kind = kind_of(output, form, context.get_parameter_source("form") is ParameterSource.COMMANDLINE)
    scale, dimensions = context.params["scale"], context.params["dimensions"]
    if kind not in PICTURES and context.get_parameter_source("dimensions") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--dimensions is for pictures: name one with -o, such as curves.png")
    inputs = [*names, *context.params["texts"]]
    if vary is not None:
        inputs += [*(() if names else "-"), context.params["vocab"], context.params["valid"]]
    streams.check_output(output, inputs)
    if vary is None and not names:
        raise click.UsageError("no model is named; name some, or give --vary and a text")
    if vary is not None and not names and terminal.is_terminal(sys.stdin):
        raise click.UsageError("nothing to read: name a text file, or pipe text in")
    from lmkit import api

    if kind in PICTURES:
        from lmkit.plotting import figure

        figure.check_drawing()
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        if vary is not None:
            chart = api.vary(streams.check_texts(names), *vary, progress=bar, threads=threads, **chosen)
        else:
            texts = streams.check_texts(chosen.pop("texts")) if "texts" in chosen else None
            chart = api.learning_curves(names, texts=texts, threads=threads, **chosen)
    if kind in PICTURES:
        api.plot(chart, output, scale=scale, dimensions=dimensions)
        terminal.notice(f"{output}: {os.path.getsize(output) / 1e3:.0f} kB", quiet)
        return
    with streams.open_output(output, drawn=kind == ".txt") as file:
        file.writelines(lines(chart, kind, scale, surroundings(output)))


def given(context: click.Context, varies: bool) -> dict[str, Any]:
    """Return the options that were given, under the names of `lmkit.api`.

    Those of the other kind of plot are refused, or left out if they come from the environment.
    """
    chosen = {}
    for parameter in context.command.params:
        name, source = parameter.name, context.get_parameter_source(parameter.name)
        if source is ParameterSource.DEFAULT or (name in COMMON and name not in PASSED_ON):
            continue
        if name not in COMMON and (name in CURVES) == varies:
            if source is ParameterSource.ENVIRONMENT:
                continue
            other = "without --vary only: what is scored is --valid" if name == "texts" else (
                "without --vary only" if varies else "with --vary only"
            )  # fmt: skip
            raise click.UsageError(f"{parameter.opts[-1]} goes {other}")
        chosen[API_NAMES.get(name, name)] = context.params[name]
    return chosen


def kind_of(output: str, form: str, asked: bool) -> str:
    """Return what to write: an ending of PICTURES, DRAWINGS or DATA, or "table"; asked: --format is on the line."""
    if output == "-":
        drawn = ".txt" if terminal.is_terminal(sys.stdout) else "table"
        return drawn if form == "text" else f".{form}"
    ending = os.path.splitext(output)[1].lower()
    if asked and form != "text" and ending not in PICTURES:
        return f".{form}"
    if asked and ending in (*PICTURES, *DATA):
        raise click.UsageError(f"--format {form} does not go with {output}; leave it out, or choose another -o")
    if ending not in (*PICTURES, *DRAWINGS, *DATA):
        known = ", ".join((*PICTURES, *DRAWINGS, *DATA))
        raise click.UsageError(f"{output} says not what to write: its name must end with one of {known}")
    return ending


def lines(chart, kind: str, scale: str, looks: dict[str, Any]) -> Iterator[bytes]:
    """Yield what a terminal, a pipe or a file gets; looks: see `surroundings`."""
    if kind == ".txt":
        from lmkit.plotting.text import draw_text

        yield draw_text(chart, **looks, scale=scale).encode("utf-8", "replace")
    elif kind == ".json":
        for row in chart.rows():
            loss = streams.finite(chart.measure, row.pop(chart.measure))
            yield streams.json_line({**row, **loss})
    else:
        rows = [[spelled(value) for value in row.values()] for row in chart.rows()]
        if kind == ".tsv":
            for row in rows:
                yield streams.tsv_line(*(field.replace("\\", "\\\\") for field in row))
        else:
            yield from table([["model", "part", *chart.columns, chart.measure], *rows])


def surroundings(output: str) -> dict[str, Any]:
    """Return how a drawing can look in a file, or in the terminal."""
    if output != "-" or not terminal.is_terminal(sys.stdout):
        return {"width": FILE_WIDTH}
    size, kind = shutil.get_terminal_size(), os.environ.get("TERM", "")
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return {
        "width": size.columns,
        "height": size.lines - 1,
        "braille": encoding == "utf8" and kind not in NO_BRAILLE,
        "colour": not os.environ.get("NO_COLOR") and kind != "dumb",
    }


def spelled(value: Any) -> str:
    """Return a field of a row; - where there is nothing."""
    if value is None:
        return "-"
    return f"{value:.9g}" if isinstance(value, float) else one_line(str(value))


def table(rows: list[list[str]]) -> Iterator[bytes]:
    """Yield aligned rows: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sides = "<" * 2 + ">" * (len(row) - 2)
        fields = (f"{field:{side}{width}}" for field, side, width in zip(row, sides, widths, strict=True))
        yield streams.encode("  ".join(fields) + "\n")


for parameter in command.params:
    if isinstance(parameter, options.Option) and parameter.name not in COMMON:
        parameter.section = "Learning curves" if parameter.name in CURVES else "Variations of n-gram models (--vary)"
