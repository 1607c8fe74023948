"""The options of `lmkit train` that belong to one family of models."""

from __future__ import annotations

import functools

import click

from lmkit.cli import options
from lmkit.cli.options import together
from lmkit.ngram.options import MAX_ORDER, SMOOTHINGS
from lmkit.rnn.options import DECAYS, INITIALISATIONS, OPTIMIZERS, PRESETS, RESETS, SOFTMAXES

__all__ = ["estimation_options", "ngram_options", "order_option", "rnn_options", "smoothing_option", "valid_option"]

NGRAM = "n-gram models (--arch ngram)"
ngram = functools.partial(options.option, section=NGRAM)
network = functools.partial(options.option, section="Recurrent models (--arch elman, gru, lstm)")
training = functools.partial(options.option, section="Training of recurrent models")

valid_option = training(
    "--valid", metavar="SHARE|FILE", show_default="0.05",
    help="What to hold out, to validate on: a share of the text, its end, or a text of its own. For n-gram models: "
    "what lmkit plot scores, and lmkit train --smoothing jelinek-mercer finds its weights on.",
)  # fmt: skip


class Embedding(click.ParamType):
    """A size, or none."""

    name = "N|none"

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        if value == "none":
            return 0
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor none", param, ctx)


order_option = ngram(
    "--order",
    type=click.IntRange(1, MAX_ORDER),
    default=5,
    metavar="N",
    help="A token is predicted from the N - 1 before it.",
)
smoothing_option = functools.partial(
    ngram,
    "--smoothing",
    type=click.Choice(list(SMOOTHINGS)),
    help="How probability gets to what was not seen; mle leaves it without.",
)
estimation_options = together(
    ngram(
        "--interpolate/--back-off",
        default=None,
        show_default="what the smoothing is known for",
        help="Mix seen n-grams with the shorter context, or ask it for unseen ones only.",
    ),
    ngram("--k", type=float, show_default="1 for add-k", metavar="K", help="What add-k adds to each count."),
    ngram(
        "--discount",
        type=float,
        metavar="D",
        show_default="estimated",
        help="What absolute and kneser-ney take off each count.",
    ),
    ngram(
        "--alpha",
        type=float,
        metavar="A",
        show_default="0.4 for stupid-backoff",
        help="What a shorter context's score counts.",
    ),
    ngram(
        "--interpolate-unigrams/--no-interpolate-unigrams",
        default=True,
        help="Give each word, or <unk> alone, what the unigrams leave.",
    ),
    ngram(
        "--discount-fallback",
        type=options.FloatList(),
        metavar="D1,D2,D3",
        show_default="0.5,1,1.5 with a warning",
        help="Discounts where the counts of counts yield none.",
    ),
    options.cutoffs_option(default="0", section=NGRAM),
)
ngram_options = together(
    order_option,
    smoothing_option(default="modified-kneser-ney"),
    estimation_options,
    ngram(
        "--keep-counts",
        is_flag=True,
        show_default=False,
        help="Keep how often each n-gram was seen: next shows it, prune --cutoffs goes by it.",
    ),
    ngram(
        "--from-counts",
        is_flag=True,
        show_default=False,
        help="The texts are n-gram counts of all orders, as lmkit count and SRILM write them.",
    ),
    ngram("--limit-vocab", metavar="FILE|MODEL", help="After counting, drop n-grams with other words than these."),
    ngram(
        "--memory",
        type=options.ByteSize(),
        metavar="SIZE",
        show_default="4/5 of what is free",
        help="Take no more, such as 512M or 8G: what does not fit waits on the disk. The model is the same.",
    ),
    ngram("--temp", metavar="DIR", show_default="the system's", help="The folder of temporary files."),
)

rnn_options = together(
    network(
        "--preset", type=click.Choice(list(PRESETS)), default="small",
        help="Sizes and lengths that go together, with time on two cores and validation loss on tinyshakespeare. tiny: "
        "1 layer of 256, 2000 steps (a minute 1.49, two 1.43); small: 2 of 256, 9000 steps (five minutes 1.42, ten "
        "1.37); medium: 2 of 512, 10000 steps (1.58 in ten minutes), for larger texts and an hour or more.",
    ),
    network("--layers", type=int, metavar="N", show_default="preset", help="Recurrent layers."),
    network("--hidden", type=int, metavar="N", show_default="preset", help="Units of each layer."),
    network(
        "--embedding",
        type=Embedding(),
        metavar="N|none",
        show_default="none up to 512 tokens, else as --hidden",
        help="Size of the vectors that stand for tokens; none: one-hot vectors.",
    ),
    network(
        "--dropout", type=float, metavar="P", show_default="preset",
        help="Drop this share of the connections between layers while training.",
    ),
    network(
        "--locked-dropout", is_flag=True, show_default=False,
        help="Drop the same ones in all steps of a window (variational dropout).",
    ),
    network("--tie-weights", is_flag=True, show_default=False, help="The output's weights are the embeddings."),
    network(
        "--softmax", type=click.Choice(SOFTMAXES), default="auto",
        help="full, or adaptive: frequent tokens first, rarer ones in clusters; auto is the faster one.",
    ),
    network(
        "--clusters", type=options.IntList(), metavar="N,...", show_default="by the counts of the text",
        help="Where the clusters of --softmax adaptive begin, of the tokens ordered by count.",
    ),
    network(
        "--init", type=click.Choice(INITIALISATIONS), default="orthogonal",
        help="How recurrent weights begin.",
    ),
    training(
        "--reset", type=click.Choice(RESETS), default="some",
        help="Where the state begins anew: nowhere (file), after each sentence, or after some: one in ten, so that the "
        "model knows the beginning of a sample as well as a running text.",
    ),
    training(
        "--steps", type=int, metavar="N", show_default="preset; none with --epochs or --time-limit",
        help="Stop after so many windows of all streams.",
    ),
    training(
        "--epochs", type=int, metavar="N", help="Stop after so many passes over the text."
    ),
    training(
        "--time-limit", metavar="TIME", help="Stop after 90s, 10m or 2h of training; the learning rate follows it."
    ),
    valid_option,
    training(
        "--validate-every", type=int, metavar="STEPS", show_default="an epoch, 50 to 500", help="Validate so often."
    ),
    training(
        "--patience", type=int, default=10, metavar="N",
        help="Stop after N validations without a better one; 0 for never.",
    ),
    training("--batch", type=int, default=32, metavar="N", help="Streams that are read side by side."),
    training("--bptt", type=int, default=64, metavar="N", help="Steps that gradients go back."),
    training("--optimizer", type=click.Choice(OPTIMIZERS), default="adam", help="How weights follow gradients."),
    training("--learning-rate", type=float, metavar="R", show_default="preset; sgd: 1", help="Size of the steps."),
    training("--momentum", type=float, metavar="M", show_default="0.9 for sgd", help="What sgd keeps of a step."),
    training(
        "--weight-decay", type=float, metavar="D", show_default="0.01 for adamw", help="Pull adamw's weights to zero."
    ),
    training("--clip", type=float, default=1.0, metavar="X", help="Shorten longer gradients to X; 0 for never."),
    training("--warmup", type=int, default=100, metavar="STEPS", help="The learning rate grows from 0 first."),
    training(
        "--decay", type=click.Choice(DECAYS), default="cosine",
        help="Lower the learning rate: to 0 at the end, by half when validation gains nothing, or not.",
    ),
    training(
        "--shards", type=int, default=2, metavar="N",
        help="Parts of the batch, each for one thread; another number gives other last digits.",
    ),
    training(
        "--checkpoint-every", default="30s", metavar="TIME", help="Save OUTPUT.checkpoint: 30s, 5m or 500steps."
    ),
    training(
        "--resume", metavar="OUTPUT", env=False,
        help="Go on with an interrupted training, from OUTPUT.checkpoint; CORPUS if it has moved.",
    ),
)  # fmt: skip
