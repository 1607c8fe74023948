"""lmkit tokenize."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit tokenize --tokenizer word corpus.txt | head
lmkit tokenize -m news.lmkit --ids corpus.txt > ids.txt
lmkit tokenize --tokenizer char a.txt | lmkit detokenize --tokenizer char | cmp - a.txt
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@options.way_options
@options.model_input_options
@options.output_option
@options.quiet_option
def command(texts, model, tokenizer, sentence, ids, errors, output, quiet, **reading):
    """Cut text into tokens: a sentence a line, blanks between tokens.

    Within tokens, \\s is a blank, \\n a line feed, \\t a tab, \\r a return, \\\\ a backslash, and \\xNN or \\uNNNN what
    else cannot be seen; \\j is the joiner: no blank where one is expected. The end of a line is </s>. Of the tokenizers
    that keep the whole text detokenize gives it back. With --errors report a line that cannot be read has no tokens.
    """
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet), streams.BadLines(errors) as bad:
        reading |= {"tokenizer": tokenizer, "sentence": sentence, "errors": errors, "on_error": bad.on_error}
        blocks = api.tokenize(names, options.model_unless(model, tokenizer), ids=ids, **reading)
        streams.write_blocks(output, blocks)
