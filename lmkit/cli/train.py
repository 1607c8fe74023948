"""lmkit train."""

from __future__ import annotations

import os
import sys

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option
from lmkit.ngram.options import MAX_ORDER, SMOOTHINGS
from lmkit.registry import ARCHITECTURES

EXAMPLES = """
lmkit train corpus.txt
lmkit train --order 3 --tokenizer whitespace -o news.lmkit part1.txt.gz part2.txt.gz
zcat corpus.txt.gz | lmkit train -
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1)
@option("-o", "--output", env=False, default="model.lmkit", metavar="FILE", help="Write the model here.")
@option("--arch", type=click.Choice(list(ARCHITECTURES)), default="ngram", help="The kind of model.")
@option(
    "--order",
    type=click.IntRange(1, MAX_ORDER),
    default=5,
    metavar="N",
    help="A token is predicted from the N - 1 before it.",
)
@option(
    "--smoothing",
    type=click.Choice(SMOOTHINGS),
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
@options.threads_option
@options.quiet_option
def command(corpora, output, quiet, vocab, limit_vocab, threads, **choices):
    """Train a language model on text.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named), and writes one model
    file: whole, or not at all.
    """
    if not corpora and terminal.is_terminal(sys.stdin):
        raise click.UsageError("nothing to read: name a text file, or pipe text in")
    from lmkit import api, storage

    storage.check_target(output, corpora or ["-"])
    texts = streams.check_texts(corpora)

    if threads is not None:
        choices["threads"] = threads
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        model = api.train(texts, output=output, vocabulary=vocab, limit_vocabulary=limit_vocab, progress=bar, **choices)
    seconds = model.metadata["training"]["seconds"]
    terminal.notice(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB, {seconds:.1f} s", quiet)
