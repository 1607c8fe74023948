"""lmkit convert."""

from __future__ import annotations

import gzip
import os

import click
from click.core import ParameterSource

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit convert news.lmkit news.arpa.gz
lmkit convert other.arpa other.lmkit
lmkit convert --encoding latin-1 old.arpa old.lmkit
lmkit convert model.lmkit - | head
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@options.tokenizer_option(show_default="whitespace")
@options.sentence_option(show_default="line for whitespace, else paragraph")
@options.input_options
@options.threads_option
@options.quiet_option
@click.pass_context
def command(context, source, target, threads, quiet, **choices):
    """Turn an n-gram model into an ARPA file, or an ARPA file into a model.

    IN is a model, or an ARPA file of KenLM, SRILM, IRSTLM, MITLM ... (also .gz, .bz2 and .xz). Of a model OUT becomes
    an ARPA file, compressed if it ends in .gz, - is the standard output; of an ARPA file it becomes a model. Words
    between blanks stand in ARPA files as they are; tokens of the word, char and byte tokenizers are escaped as in all
    tables, and --tokenizer says so. <UNK>, <S> and </S> are taken for <unk>, <s> and </s>. --encoding and --errors are
    for ARPA files that are read; what is written is UTF-8.
    """
    from lmkit import api, storage
    from lmkit.errors import CorpusError

    if storage.is_model_file(source):
        for name in choices:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} is for ARPA files that are read; {source} is a model")
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
    if source != "-" and not os.path.exists(source):
        raise CorpusError(f"{source}: no such file; give the path of a model or of an ARPA file")
    storage.check_target(target, [source])
    if source == "-":
        streams.announce_stdin()
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        choices["tokenizer"] = choices["tokenizer"] or "whitespace"
        api.from_arpa(source, output=target, threads=threads, progress=bar, **choices)
    terminal.notice(f"{target}: {os.path.getsize(target) / 1e6:.1f} MB", quiet)
