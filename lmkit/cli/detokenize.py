"""lmkit detokenize."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit tokenize corpus.txt | grep -v thou | lmkit detokenize
lmkit detokenize -m news.lmkit --ids ids.txt
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@options.way_options
@options.output_option
@options.quiet_option
def command(texts, model, tokenizer, sentence, ids, output, quiet):
    """Turn tokens, as tokenize writes them, into text again."""
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet):
        chosen = {"tokenizer": tokenizer, "sentence": sentence}
        blocks = api.detokenize(names, options.model_unless(model, tokenizer), ids=ids, **chosen)
        streams.write_blocks(output, blocks)
