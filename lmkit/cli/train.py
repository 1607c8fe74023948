"""lmkit train."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time

import click
from click.core import ParameterSource

from lmkit import registry
from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option
from lmkit.cli.train_options import ngram_options, rnn_options
from lmkit.errors import LmkitError

EXAMPLES = """
lmkit train corpus.txt
lmkit train --order 3 --tokenizer whitespace -o news.lmkit part1.txt.gz part2.txt.gz
lmkit train --arch lstm --tokenizer char --time-limit 10m corpus.txt -o bard.lmkit
lmkit train --resume bard.lmkit
zcat corpus.txt.gz | lmkit train -
"""


class Train(Command):
    """The command, whose options belong to families of models."""

    def flags(self, ctx: click.Context) -> dict[str, str]:
        """Return the options of the family in question; none of a training that is resumed, which has its own."""
        if ctx.params["resume"] is not None:
            return {}
        of_family = {name for kind in registry.ARCHITECTURES for name in option_names(kind)}
        others = of_family - option_names(ctx.params["arch"])
        return {name: flag for name, flag in super().flags(ctx).items() if name not in others}


@click.command(cls=Train, examples=EXAMPLES)
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1)
@option("-o", "--output", env=False, default="model.lmkit", metavar="FILE", help="Write the model here.")
@option(
    "--force",
    is_flag=True,
    show_default=False,
    help="Let the training of a recurrent model replace a finished model of other texts or options; those of n-gram "
    "models do so anyway, with a notice.",
)
@option("--arch", type=click.Choice(list(registry.ARCHITECTURES)), default="ngram", help="The kind of model.")
@options.vocabulary_options
@options.input_options
@options.seed_option("1")
@options.threads_option
@options.quiet_option
@ngram_options
@rnn_options
@click.pass_context
def command(context, corpora, output, arch, quiet, resume, **_):
    """Train a language model on text.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named), and writes one model file: whole,
    or not at all.

    Recurrent models learn step by step and keep a checkpoint, OUTPUT.checkpoint, which is a model, too. After
    Ctrl-C, SIGTERM, SIGHUP or a crash --resume goes on from it.
    """
    chosen = given(context, arch if resume is None else None)
    if resume is not None:
        train_on(context, resume, corpora, chosen, output, quiet)
        return
    if not corpora and terminal.is_terminal(sys.stdin):
        raise click.UsageError("nothing to read: name a text file, or pipe text in")
    started = time.monotonic()
    from lmkit import api, replacement, storage

    storage.check_target(output, corpora or ["-"])
    texts = streams.check_texts(corpora)
    before = replacement.record_at(output)
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        model = api.train(texts, arch, output=output, progress=bar, **chosen)
    different = None if before is None else replacement.difference(before, model.metadata["training"])
    if different:
        terminal.notice(f"{output} was the model of another training, and is replaced: {different}", quiet)
    report(model, output, started, quiet)


def train_on(context, resume, corpora, chosen, output, quiet) -> None:
    """Go on with a training."""
    named = context.get_parameter_source("output") is ParameterSource.COMMANDLINE
    if named and os.path.realpath(output) != os.path.realpath(resume):
        raise click.UsageError(f"--resume {resume} writes {resume}; leave out -o {output}")
    if context.get_parameter_source("arch") is ParameterSource.COMMANDLINE:
        chosen["arch"] = context.params["arch"]
    texts, started = streams.check_texts(corpora) if corpora else None, time.monotonic()
    from lmkit import api

    if texts is None and terminal.is_terminal(sys.stdin) and was_piped(api, resume):
        raise click.UsageError(
            "the training that is resumed read the standard input: pipe the same text in, or name it"
        )
    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        model = api.resume(resume, texts, progress=bar, **chosen)
    report(model, resume, started, quiet)


def was_piped(api, resume: str) -> bool:
    """Whether the text of a training that was interrupted came by the standard input."""
    with contextlib.suppress(LmkitError, KeyError, TypeError):  # a damaged checkpoint is told of when it is read
        return any(corpus["name"] == "-" for corpus in api.info(resume + ".checkpoint")["training"]["corpora"])
    return False


def report(model, output: str, started: float, quiet: bool) -> None:
    """Say what was made."""
    record = model.metadata["training"]
    words = [f"{output}: {os.path.getsize(output) / 1e6:.1f} MB", f"{time.monotonic() - started:.1f} s"]
    if record.get("best_loss") is not None:
        words.append(f"validation loss {record['best_loss']:.4f} nats a token, at step {record['best_step']}")
    terminal.notice(", ".join(words), quiet)


def given(context: click.Context, arch: str | None) -> dict:
    """Return the options that were given, under the names of `lmkit.api.train`.

    Those of another family than the architecture's are refused, or left out if they come from the environment. No
    architecture: those from the command line only, of any, and those that may change when a training is resumed.
    """
    of_family = {name: kind for kind in registry.ARCHITECTURES for name in option_names(kind)}
    own = option_names(arch) if arch else set(of_family)
    chosen = {}
    for parameter in context.command.params:
        source, name = context.get_parameter_source(parameter.name), parameter.name
        if source is ParameterSource.DEFAULT or name in ("corpora", "output", "arch", "quiet", "resume"):
            continue
        if arch is None and (source is ParameterSource.ENVIRONMENT or name == "force") and name not in FREE:
            continue
        if name == "valid" and arch == "ngram" and context.params["smoothing"] != "jelinek-mercer":
            if source is ParameterSource.ENVIRONMENT:
                continue
            raise click.UsageError("--valid goes with --arch elman, gru or lstm, and with --smoothing jelinek-mercer")
        if name in of_family and name not in own:
            if source is ParameterSource.ENVIRONMENT:
                continue
            kinds = [kind for kind in registry.ARCHITECTURES if name in option_names(kind)]
            raise click.UsageError(f"{parameter.opts[-1]} goes with --arch {' or '.join(kinds)}, not with {arch}")
        chosen[API_NAMES.get(name, name)] = context.params[name]
    return chosen


FREE = ("threads", "checkpoint_every")  # options that may change when a training is resumed
API_NAMES = {"vocab": "vocabulary", "limit_vocab": "limit_vocabulary"}


def option_names(arch: str) -> set[str]:
    """Return the names of the command's options that belong to the family of an architecture."""
    architecture = registry.architecture(arch)
    names = {field.name for field in dataclasses.fields(architecture.get("options"))} - {"limit_vocabulary"}
    return names | {"valid"} | (set() if architecture.in_steps else {"limit_vocab", "from_counts"})
