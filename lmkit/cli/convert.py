"""lmkit convert."""

from __future__ import annotations

import gzip
import os

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit convert news.lmkit news.arpa.gz
lmkit convert other.arpa other.lmkit
lmkit convert model.lmkit - | head
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@options.tokenizer_option(show_default="whitespace")
@options.sentence_option(show_default="line for whitespace, else paragraph")
@options.threads_option
@options.quiet_option
def command(source, target, tokenizer, sentence, threads, quiet):
    """Turn an n-gram model into an ARPA file, or an ARPA file into a model.

    IN is a model, or an ARPA file of KenLM, SRILM, IRSTLM, MITLM ... (also .gz, .bz2 and .xz). Of a model OUT becomes
    an ARPA file, compressed if it ends in .gz, - is the standard output; of an ARPA file it becomes a model. Tokens of
    the word, char and byte tokenizers are escaped in ARPA files as in all tables; --tokenizer says that they are.
    """
    from lmkit import api, storage

    if storage.is_model_file(source):
        if tokenizer or sentence:
            raise click.UsageError("--tokenizer and --sentence are for ARPA files; a model knows its own")
        streams.check_output(target, [source])
        with terminal.compile_notice(quiet):
            pieces = api.arpa(source)
            with streams.open_output(target) as file:
                if target.endswith(".gz"):
                    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                        packed.writelines(pieces)
                else:
                    for piece in pieces:
                        file.write(piece)
        return
    storage.check_target(target, [source])
    if source == "-":
        streams.announce_stdin()
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        api.from_arpa(
            source, output=target, tokenizer=tokenizer or "whitespace", sentence=sentence, threads=threads, progress=bar
        )
    terminal.notice(f"{target}: {os.path.getsize(target) / 1e6:.1f} MB", quiet)
