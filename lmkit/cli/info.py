"""lmkit info."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option
from lmkit.errors import ModelError

EXAMPLES = """
lmkit info
lmkit info --verify news.lmkit
lmkit info --format json news.lmkit | jq .training
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("path", metavar="[MODEL]", required=False)
@options.model_option
@option(
    "--verify",
    is_flag=True,
    show_default=False,
    help="Check every checksum, also of members that are named, and name each damaged tensor; exit 1.",
)
@options.format_option()
@options.output_option
@options.quiet_option
def command(path, model, verify, form, output, quiet):
    """Say what a model file holds: its kind, sizes, vocabulary, texts, and how it was trained.

    A recurrent model's course of losses is drawn as a line of bars, from the first validation to the last. options are
    those of `lmkit train` that were not what they are by default. tsv and json hold all that the file says.
    """
    if path is not None:
        given = click.get_current_context().get_parameter_source("model")
        if given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("name the model once: as MODEL or with -m")
        model = path
    streams.check_output(output, [model])
    from lmkit import api

    found = api.info(model, verify=verify)
    with streams.open_output(output) as file:
        try:
            if form == "text":
                write_page(file, found, output)
            else:
                streams.write_record(file, found, form)
        except RecursionError:
            raise ModelError(f"{model}: the metadata are nested too deep to be shown; train the model anew") from None
    damaged = found.get("damaged")
    for name in damaged or ():
        terminal.say(f"Error: {model}: {name} is damaged: its checksum is wrong; train again, or copy it anew")
    of_members = found.get("damaged_members")
    for line in of_members or ():
        terminal.say(f"Error: {line}")
    return 1 if damaged or of_members else 0


def write_page(file, found: dict[str, Any], output: str) -> None:
    """Write a page as wide as the terminal, its curves in blocks if who reads it can show them."""
    from lmkit.cli import page, people

    encoding = (output == "-" and getattr(sys.stdout, "encoding", None)) or "utf-8"
    bars = people.BARS
    try:
        bars.encode(encoding)
    except UnicodeEncodeError:
        bars = people.ASCII_BARS
    for line in page.page(found, shutil.get_terminal_size().columns, bars):
        file.write(streams.encode(line + "\n"))
