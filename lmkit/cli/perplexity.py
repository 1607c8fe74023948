"""lmkit perplexity."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit perplexity held-out.txt
lmkit perplexity -m news.lmkit --format json *.txt | jq .perplexity
lmkit sample --n 1000 | lmkit perplexity
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@options.reset_option
@options.log_base_option
@options.model_input_options
@options.format_option()
@options.output_option
@options.threads_option
@options.quiet_option
def command(texts, model, log_base, form, output, threads, quiet, **choices):
    """Say how surprised a model is by text: perplexity, with and without words it does not know.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named). tokens counts words and
    sentence ends.

    Bits per character and byte take a text that is known whole. Where tokens are out of vocabulary there are bits of
    what is known (without_oov), and an upper bound: the bits of the whole text if each unknown character is told from
    all those that are not known, log2(0x110000 - known), and an unknown word is spelled, log2(0x110000) for each
    character and its end. The ten most frequent of these tokens are named (oov_tokens).
    """
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api
    from lmkit.text import escape

    with terminal.compile_notice(quiet):
        evaluation = api.perplexity(api.load(model, threads=threads), names, **choices)
    with streams.open_output(output) as file:
        values = evaluation.as_dict(finite=form == "json", log_base=log_base)
        if form != "json":
            values["oov_tokens"] = {escape(token): n for token, n in values["oov_tokens"].items()}
        streams.write_record(file, values, form)
