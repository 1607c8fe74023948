"""lmkit prune."""

from __future__ import annotations

import os

import click

from lmkit.cli import options, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit prune news.lmkit --threshold 1e-7 -o small.lmkit
lmkit prune news.lmkit --ngrams 1000000 -o small.lmkit
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
@options.threads_option
@options.quiet_option
def command(source, output, threshold, ngrams, threads, quiet):
    """Make an n-gram model smaller: without the n-grams that it can best do without.

    By relative entropy (Stolcke 1998), as `ngram -prune` of SRILM.
    """
    if (threshold is None) == (ngrams is None):
        raise click.UsageError("give either --threshold or --ngrams")
    if os.path.exists(output) and os.path.exists(source) and os.path.samefile(output, source):
        raise click.UsageError(f"{output} is what is read; choose another -o")
    from lmkit import api

    with terminal.compile_notice(quiet):
        model = api.prune(api.load(source, threads=threads), threshold=threshold, ngrams=ngrams, output=output)
    kept, before = sum(model.language_model.trie.sizes[1:]), api.info(source).get("ngrams", {})
    terminal.notice(
        f"{output}: {kept:,} of {sum(before.values()):,} n-grams, {os.path.getsize(output) / 1e6:.1f} MB", quiet
    )
