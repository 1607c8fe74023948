"""lmkit sample."""

from __future__ import annotations

import codecs
import math
import secrets

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit sample --n 200
lmkit sample --prompt "ROMEO:" --temperature 0.8 --sentences 3
lmkit sample --count 64 --n 1000 --separator "----" --seed 1 > samples.txt
lmkit sample --show                       # coloured by surprisal, as lmkit explain does
"""


@click.command(cls=Command, examples=EXAMPLES)
@options.model_option
@option(
    "-n", "--n", type=click.IntRange(min=0), metavar="N", show_default="200; with --sentences 10,000 for each",
    help="Exactly N tokens; a sentence end counts as one, and the text goes on after it. A line break ends the "
    "text, added where the last token is none.",
)  # fmt: skip
@option("--sentences", type=click.IntRange(min=0), metavar="N", help="Stop after N sentences.")
@option(
    "--count",
    type=click.IntRange(min=1),
    default=1,
    metavar="C",
    help="So many independent samples, one after another.",
)
@option(
    "--separator",
    default="",
    metavar="TEXT",
    show_default="an empty line",
    help="A line to print between samples; escapes as in --prompt.",
)
@option(
    "--prompt", metavar="TEXT|-",
    help="Begin with this; printed too. \\n is a line feed, \\t a tab, \\\\ a backslash, and so on as in tables. "
    "- reads the standard input, as it is.",
)  # fmt: skip
@options.decoding_options
@option(
    "--repetition-penalty",
    type=float,
    metavar="X",
    help="Above 1: tokens that came before become less likely.",
)
@option(
    "--stop", metavar="STRING", multiple=True,
    help="End a sample before STRING; of several, before the first that is complete. Escapes as in --prompt.",
)  # fmt: skip
@option("--keep-stop", is_flag=True, show_default=False, help="End a sample after that STRING, not before it.")
@options.reserved_option(show_default="the model's")
@options.allow_unk_option
@option(
    "--show", is_flag=True, show_default=False,
    help="Show how surprising each token is, as lmkit explain does: -log2 p in bits, before temperature and filters.",
)  # fmt: skip
@options.color_option
@options.seed_option()
@options.log_base_option
@options.format_option()
@options.output_option
@options.threads_option
@options.quiet_option
def command(
    model, count, separator, prompt, stop, show, color, seed, reserved, log_base, form, output, threads, quiet,
    **choices,
):  # fmt: skip
    """Generate text from a model.

    text: the prompt and what follows it, as it is generated. tsv and json: a line for each token with token,
    id, log-probability (before temperature and filters), in json probability, and number of the sample.

    After Ctrl-C, SIGTERM or SIGHUP the file of -o holds what was generated until then.
    """
    if show and form != "text":
        raise click.UsageError(f"--show colours text: it does not go with --format {form}, which has log-probabilities")
    streams.check_output(output, [model, "-" if prompt == "-" else None])
    prompt, separator = streams.read_prompt(prompt), streams.unescaped(separator)
    if seed is None:
        seed = secrets.randbits(32)
        terminal.notice(f"Seed: {seed}", quiet)
    from lmkit import api, arguments
    from lmkit.sampling import sample_pieces, shown_prompt

    with terminal.compile_notice(quiet):
        loaded = api.load(model, threads=threads).reading(reserved)
        terminal.say_unknown(loaded.text.unknown_tokens(prompt), quiet)
        pieces = sample_pieces(
            loaded.language_model,
            count=count,
            prompt=prompt,
            stop=[streams.unescaped(string) for string in stop],
            rng=arguments.generator(seed),
            log_probs=show or form != "text",
            **choices,
        )
        with streams.open_output(output, drawn=show, keep_interrupted=True) as file:
            if show:
                show_tokens(file, pieces, loaded.text, prompt, separator, color, output)
            elif form == "text":
                write_text(file, pieces, shown_prompt(loaded.text, prompt), separator)
            else:
                write_tokens(file, pieces, loaded.text.vocabulary, log_base, json=form == "json")


def write_text(file, pieces, prompt: bytes, separator: str) -> None:
    """Write each sample after the prompt, and the separator line between them."""
    between = separator.encode("utf-8", "surrogateescape") + b"\n"
    stream, last = None, b""
    for piece in pieces:
        if piece.stream != stream:
            if stream is not None:
                file.write(_line_end(last) + between)
            stream, last = piece.stream, prompt
            file.write(prompt)
        file.write(piece.text)
        file.flush()
        last = piece.text or last
    file.write(_line_end(last))


def show_tokens(file, pieces, layer, prompt: str, separator: str, color: str, output: str) -> None:
    """Write each sample after the prompt with the surprisal of its tokens, and the separator line between them."""
    import numpy as np

    from lmkit.cli import colours
    from lmkit.explanation import in_bits
    from lmkit.model import EOS
    from lmkit.sampling import shown_prompt
    from lmkit.text.visible import sign

    kind = colours.surprisal()
    sheet = colours.open_sheet(file, kind, color, output)
    sheet.introduce()
    read = layer.encode_text(prompt, complete=False).ids
    before = shown_prompt(layer, prompt).decode("utf-8", "surrogateescape")
    stream = None
    for piece in pieces:
        if piece.stream != stream:
            if stream is not None:
                sheet.line(separator)
            stream = piece.stream
            spelling = layer.decoder().primed(read)
            characters = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            sheet.text(before)
        bits = in_bits(piece.log_probs) if len(piece.ids) else np.empty(0)
        levels, size = kind.scale.levels(bits).tolist(), 0
        for i, (token, level, number) in enumerate(zip(piece.ids.tolist(), levels, bits.tolist(), strict=True)):
            data = spelling.feed(piece.ids[i : i + 1])
            size += len(data)
            sheet.token(characters.decode(data), sign(token == EOS, layer.settings.tokenizer), level, number)
        sheet.text(characters.decode(piece.text[size:]))  # of a token in which a stop string begins
        sheet.flush()
    sheet.end()
    sheet.flush()


def _line_end(text):
    return b"" if not text or text.endswith(b"\n") else b"\n"


def write_tokens(file, pieces, vocabulary, log_base: str, *, json: bool) -> None:
    """Write a line for each token."""
    from lmkit.logarithms import in_base
    from lmkit.text import escape

    for piece in pieces:
        lines = []
        log_probs = (piece.log_probs + 0.0).tolist() if len(piece.ids) else []  # 0, not -0, for what is sure
        for i, log_p in zip(piece.ids.tolist(), log_probs, strict=True):
            token = vocabulary.token(i)
            if json:
                row = {
                    "token": token,
                    "id": i,
                    **streams.finite("log_probability", in_base(log_p, log_base)),
                    "probability": math.exp(log_p),
                    "stream": piece.stream,
                    "log_base": log_base,
                }
                lines.append(streams.json_line(row))
            else:
                lines.append(streams.tsv_line(escape(token), i, f"{in_base(log_p, log_base):.9g}", piece.stream))
        file.write(b"".join(lines))
        file.flush()
