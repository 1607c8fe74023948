"""lmkit filter."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit filter --max-perplexity 300 web.txt > clean.txt
lmkit filter --keep 0.2 web.txt.gz > best.txt
zcat web.txt.gz | lmkit filter -m news.lmkit --max-perplexity 300 | head
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@option("--max-perplexity", type=float, metavar="X", help="Pass lines of at most this perplexity on.")
@option("--keep", type=float, metavar="SHARE", help="Pass this share of the lines on, the least surprising ones.")
@options.piece_options
@options.model_input_options
@options.output_option
@options.threads_option
@options.quiet_option
def command(texts, model, max_perplexity, keep, no_bos, no_eos, errors, output, threads, quiet, **reading):
    """Pass on the lines of text that a model finds likely, in their order: cleaning of large collections.

    A line's perplexity is that of `lmkit score`: a line is scored as the model saw lines. --keep reads the files twice,
    so it takes no standard input.
    """
    if (max_perplexity is None) == (keep is None):
        raise click.UsageError("give either --max-perplexity or --keep")
    if keep is not None and (not texts or "-" in texts):
        raise click.UsageError("--keep reads the text twice: name files, or give --max-perplexity for a pipe")
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet), streams.BadLines(errors) as bad:
        reading |= {"bos": not no_bos, "eos": not no_eos, "errors": errors, "on_error": bad.on_error}
        blocks = api.filter_lines(
            api.load(model, threads=threads), names, max_perplexity=max_perplexity, keep=keep, **reading
        )
        streams.write_blocks(output, blocks)
