"""lmkit info."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

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
    help="Check every checksum and name each damaged tensor; exit 1.",
)
@options.format_option()
@options.output_option
@options.quiet_option
def command(path, model, verify, form, output, quiet):
    """Say what a model file holds: family, sizes, vocabulary, settings, and how it was trained."""
    if path is not None:
        given = click.get_current_context().get_parameter_source("model")
        if given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("name the model once: as MODEL or with -m")
        model = path
    streams.check_output(output, [model])
    from lmkit import api

    described = api.info(model, verify=verify)
    with streams.open_output(output) as file:
        streams.write_record(file, described, form)
    damaged = described.get("damaged")
    for name in damaged or ():
        terminal.say(f"Error: {model}: {name} is damaged: its checksum is wrong; train again, or copy it anew")
    return 1 if damaged else 0
