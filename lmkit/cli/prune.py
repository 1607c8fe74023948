"""lmkit prune."""

from __future__ import annotations

import os

import click
from click.core import ParameterSource

from lmkit.cli import options, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit prune news.lmkit --threshold 1e-7 -o small.lmkit
lmkit prune news.lmkit --size 100M --quantize 8 -o small.lmkit
lmkit prune news.lmkit --quantize 8 -o small.lmkit
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("source", metavar="MODEL")
@option("-o", "--output", env=False, required=True, metavar="FILE", help="Write the model here.")
@option(
    "--threshold",
    type=float,
    metavar="X",
    help="Drop n-grams whose loss raises the perplexity by less than this share.",
)
@option(
    "--ngrams", type=click.IntRange(min=1), metavar="N", help="Or drop as many as are too many for so many n-grams."
)
@option(
    "--size",
    type=options.ByteSize(),
    metavar="BYTES",
    help="Or for a file of so many bytes; K, M and G stand for powers of 1024.",
)
@options.cutoffs_option()
@option(
    "--quantize",
    type=click.IntRange(2, 16),
    metavar="BITS",
    help="Round probabilities and back-off weights to so many bits, in a compact file, with or without the above. "
    "Probabilities then sum to one only nearly: at 8 bits within 0.0005 on average, at 4 within 0.02.",
)
@options.threads_option
@options.quiet_option
@click.pass_context
def command(context, source, output, quantize, threads, quiet, **ways):
    """Make an n-gram model smaller: without the n-grams that it can best do without, or with fewer bits for each.

    Give one of --threshold, --ngrams and --size, which go by relative entropy (Stolcke 1998) as `ngram -prune` of
    SRILM, or --cutoffs, for models that were trained with --keep-counts; or --quantize; or both.
    """
    named = [name for name in ways if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    given = {name: ways[name] for name in named or ways if ways[name] is not None}  # over the environment
    if len(given) > 1 or not (given or quantize):
        raise click.UsageError("give one of --threshold, --ngrams, --size and --cutoffs, or --quantize, or both")
    if os.path.exists(output) and os.path.exists(source) and os.path.samefile(output, source):
        raise click.UsageError(f"{output} is what is read; choose another -o")
    from lmkit import api

    with terminal.compile_notice(quiet):
        api.prune(api.load(source, threads=threads), quantize=quantize, output=output, **given)
    kept, before = (sum(api.info(path).get("ngrams", {}).values()) for path in (output, source))
    terminal.notice(f"{output}: {kept:,} of {before:,} n-grams, {os.path.getsize(output) / 1e6:.1f} MB", quiet)
