"""lmkit train."""

from __future__ import annotations

import os
import sys

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit train corpus.txt
lmkit train --order 3 --tokenizer whitespace -o news.lmkit part1.txt.gz part2.txt.gz
zcat corpus.txt.gz | lmkit train -
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1)
@option("-o", "--output", env=False, default="model.lmkit", metavar="FILE", help="Write the model here.")
@option("--arch", type=click.Choice(["ngram"]), default="ngram", help="The kind of model.")
@option(
    "--order",
    type=click.IntRange(1, 32),
    default=5,
    metavar="N",
    help="A token is predicted from the N - 1 before it.",
)
@option(
    "--smoothing",
    type=click.Choice(["modified-kneser-ney", "mle", "add-k"]),
    default="modified-kneser-ney",
    help="How probability gets to what was not seen; mle leaves it without.",
)
@option("--k", type=float, show_default="1 for add-k", metavar="K", help="What add-k adds to each count.")
@option(
    "--interpolate-unigrams/--no-interpolate-unigrams",
    default=True,
    help="Give each word, or <unk> alone, the mass that the unigrams leave.",
)
@option(
    "--discount-fallback",
    type=options.FloatList(),
    metavar="D1,D2,D3",
    show_default="0.5,1,1.5 with a warning",
    help="Discounts where the counts of counts yield none.",
)
@option(
    "--cutoffs",
    type=options.IntList(),
    default="0",
    metavar="C1,C2,...",
    help="Drop n-grams seen so often or less, per order; the last number holds for all higher orders.",
)
@option("--limit-vocab", metavar="FILE|MODEL", help="After counting, drop n-grams with other words than these.")
@options.vocabulary_options
@options.input_options
@option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="all",
    metavar="N",
    help="Cores to use; the model is the same.",
)
@options.quiet_option
def command(corpora, output, quiet, vocab, limit_vocab, threads, **choices):
    """Train a language model on text.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named), and writes one model
    file: whole, or not at all.
    """
    if not corpora and terminal.is_terminal(sys.stdin):
        raise click.UsageError("nothing to read: name a text file, or pipe text in")
    texts = streams.check_texts(corpora)
    check_output(output)
    from lmkit import api

    if threads is not None:
        choices["threads"] = threads
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        model = api.train(texts, output=output, vocabulary=vocab, limit_vocabulary=limit_vocab, progress=bar, **choices)
    seconds = model.metadata["training"]["seconds"]
    terminal.notice(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB, {seconds:.1f} s", quiet)


def check_output(path: str) -> None:
    """Refuse now what would fail after the work is done."""
    folder = os.path.dirname(os.path.realpath(path))
    if path == "-":
        raise click.UsageError("a model is a file: name one with -o")
    if os.path.isdir(path):
        raise click.UsageError(f"{path} is a directory: name a file in it with -o")
    if not os.path.isdir(folder):
        raise click.UsageError(f"there is no directory {folder}: make it, or choose another with -o")
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "no permission to write here", folder)
