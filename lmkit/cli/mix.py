"""lmkit mix."""

from __future__ import annotations

import os

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit mix words.lmkit lstm.lmkit --tune valid.txt -o mixed.lmkit
lmkit mix a.lmkit b.lmkit --weights 0.3,0.7 -o mixed.lmkit
lmkit mix words.lmkit lstm.lmkit --weights-by context --tune valid.txt -o mixed.lmkit
lmkit mix words.lmkit lstm.lmkit --rule log-linear --tune valid.txt -o product.lmkit
lmkit mix a.lmkit b.lmkit --tune valid.txt --static -o one.lmkit
lmkit mix large.lmkit lstm.lmkit --tune valid.txt --by-reference -o mixed.lmkit
lmkit mix lstm.lmkit --cache neural --tune valid.txt -o cached.lmkit
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@option(
    "-o",
    "--output",
    env=False,
    required=True,
    metavar="FILE",
    help="Write the model here; it holds all others (but see --by-reference).",
)
@option("--tune", multiple=True, metavar="FILE", help="Choose weights and parameters under this text; may be repeated.")
@option(
    "--rule",
    type=click.Choice(["linear", "log-linear"]),
    default="linear",
    help="Predict with the weighted mean of what the models predict, or with their product, each to its exponent.",
)
@option(
    "--weights",
    type=options.FloatList(),
    metavar="W1,W2,...",
    help="Or the weights of the models, which sum to one; of log-linear mixtures exponents, each from 0 to 100.",
)
@option(
    "--weights-by",
    type=click.Choice(["context"]),
    help="Other weights where the first n-gram model has seen the context more often (linear mixtures).",
)
@option(
    "--cache",
    type=click.Choice(["unigram", "neural"]),
    help="Expect words again that came a little while ago, after similar hidden vectors of a network (neural).",
)
@option("--dynamic", is_flag=True, show_default=False, help="Let a network learn from the text that it reads.")
@option(
    "--static",
    is_flag=True,
    show_default=False,
    help="Compile n-gram models, or a mixture of such, into one n-gram model that says nearly the same.",
)
@option(
    "--by-reference",
    is_flag=True,
    show_default=False,
    help="Name the models in the file instead of holding them: they must stay where and as they are.",
)
@options.model_input_options
@options.threads_option
@options.quiet_option
def command(models, output, tune, threads, quiet, **choices):
    """Mix models, or let one adapt to the running text.

    A mixture predicts with the weighted mean of what its members predict (Jelinek and Mercer 1980), or with their
    product, divided by its sum over the vocabulary (Klakow 1998), which is slower. They must see the same tokens: train
    the second with --vocab FIRST; byte and char models mix with each other as they are. All other commands take what is
    made. What adapts goes by all that it has read: mind --reset of perplexity.

    With --static the mixture becomes an n-gram model like any other (Stolcke 2002): as fast as one, to be pruned and
    converted. N-grams of its members have the mixture's probabilities; all else backs off, whoever would have said it.
    """
    streams.check_output(output, [*models, *tune])
    texts = streams.check_texts(tune) if tune else None
    from lmkit import api

    with terminal.compile_notice(quiet):
        loaded = [api.load(model, threads=threads) for model in models]
        api.mix(loaded, tune=texts, output=output, report=lambda line: terminal.notice(line, quiet), **choices)
    terminal.notice(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB", quiet)
