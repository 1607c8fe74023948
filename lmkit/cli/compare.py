"""lmkit compare."""

from __future__ import annotations

from typing import Any

import click

from lmkit.characters import one_line
from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit compare a.lmkit b.lmkit mixed.lmkit --text test.txt
lmkit compare --format json a.lmkit b.lmkit --text test.txt | jq .differences
cat *.txt | lmkit compare --block 1 --resamples 10000 a.lmkit b.lmkit
"""
MEASURES = {  # how a difference is measured
    "perplexity": "{unit} a token", "perplexity_without_oov": "{unit} a token without OOVs",
    "bits_per_character": "bits a character", "bits_per_byte": "bits a byte",
    "bits_per_character_upper_bound": "bits a character, upper bound",
    "bits_per_byte_upper_bound": "bits a byte, upper bound",
}  # fmt: skip
NUMBERS = (
    "tokens", "oov", "perplexity", "perplexity_without_oov", "bits_per_character", "bits_per_byte", "tokens_per_second",
    "bytes", "bits_per_character_upper_bound", "bits_per_byte_upper_bound",
)  # fmt: skip


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@options.text_option(show_default="-")
@options.reset_option
@option("--resamples", type=click.IntRange(min=1), default=1000, metavar="N", help="How often lines are drawn anew.")
@option("--confidence", type=float, default=0.95, metavar="P", help="Probability that an interval is to have.")
@option(
    "--block", type=click.IntRange(min=1), metavar="LINES", show_default="cube root of their number",
    help="Lines that are drawn together, as neighbours are alike; 1 is right for lines that are not.",
)  # fmt: skip
@option(
    "--common",
    is_flag=True,
    show_default=False,
    help="Count only lines whose tokens all models know. They read the others, too, as context.",
)
@options.seed_option("1")
@options.log_base_option
@options.model_input_options
@options.format_option()
@options.output_option
@options.threads_option
@options.quiet_option
def command(models, texts, seed, log_base, form, output, quiet, **choices):
    """Compare models on a text: perplexity, bits, speed, size, and how sure each difference to the first one is.

    Perplexities compare over the same tokens only: same tokenizer, sentences and unknown words. Models whose tokens
    differ compare by bits per character and byte, if their tokens hold the whole text; where something is unknown to
    one of them, by upper bounds of these, which pay for its spelling (see lmkit perplexity -h). Those that do not
    compare at all are refused; --common may help.

    Below zero a difference says that the model is less surprised than the first: by so many nats a token (logarithms of
    the perplexities, natural unless --log-base says otherwise) or bits. Intervals come from a paired bootstrap of
    blocks of lines; agreeing is the share of resamples in which the difference has the same sign. Speed is that of
    scoring alone.

    tsv: rows that begin with model (name, tokens, tokens out of vocabulary, perplexity, without those, bits per
    character, bits per byte, tokens a second, bytes of the file, upper bounds of both bits), difference (model,
    baseline, measure, difference, low, high, ratio of perplexities, low, high, agreeing), note or setting; -
    where there is nothing.
    """
    streams.check_output(output, [*(texts or "-"), *models])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet):
        comparison = api.compare(models, names, seed=1 if seed is None else seed, **choices)
    with streams.open_output(output) as file:
        values = comparison.as_dict(finite=form == "json", log_base=log_base)
        if form == "json":
            file.write(streams.json_line(values))
        else:
            (write_tsv if form == "tsv" else write_text)(file, values)


def write_tsv(file, values: dict[str, Any]) -> None:
    """Write a line for each model, difference, note and setting; the first column says which."""
    rows = [("model", row["model"], *(row[name] for name in NUMBERS)) for row in values.pop("models")]
    rows += [("difference", *row.values()) for row in values.pop("differences")]
    rows += [("note", note) for note in values.pop("notes")]
    rows += [("setting", *pair) for pair in streams.flat(values)]
    for row in rows:
        fields = (spelled(field, ".9g") if not isinstance(field, str) else field for field in row)
        file.write(streams.tsv_line(*(one_line(field.replace("\\", "\\\\")) for field in fields)))


def write_text(file, values: dict[str, Any]) -> None:
    """Write two tables, models and differences, then notes and settings."""
    from lmkit.logarithms import unit
    from lmkit.memory import in_bytes

    models, differences, notes = (values.pop(name) for name in ("models", "differences", "notes"))
    some_oov = any(row["oov"] for row in models)
    bounds = any(row["bits_per_byte"] is None and row["bits_per_byte_upper_bound"] is not None for row in models)
    upper = "_upper_bound" * bounds
    bits = [f"{'upper bound: ' * bounds}bits/{unit}" for unit in ("character", "byte")]
    heads = ("model", "perplexity", *["without OOVs"] * some_oov, *bits, "tokens/s", "size")
    write_columns(file, heads, (
        (
            row["model"], spelled(row["perplexity"], ".2f"),
            *[spelled(row["perplexity_without_oov"], ".2f")] * some_oov,
            spelled(row[f"bits_per_character{upper}"], ".4f"),
            spelled(row[f"bits_per_byte{upper}"], ".4f"),
            roughly(row["tokens_per_second"]), "-" if row["bytes"] is None else in_bytes(row["bytes"]),
        )
        for row in models
    ))  # fmt: skip
    if differences:
        measures = {name: shown.format(unit=unit(values["log_base"])) for name, shown in MEASURES.items()}
        between = f"{100 * values['confidence']:g} % between"
        heads = (f"against {models[0]['model']}", "difference", between, "perplexity ratio", between, "agreeing")
        write_columns(file, heads, (
            (
                f"{row['model']}: {measures[row['measure']]}", spelled(row["difference"], "+.4f"),
                spread(row["low"], row["high"], "+.4f"), spelled(row["ratio"], ".4f"),
                spread(row["ratio_low"], row["ratio_high"], ".4f"), share(row["agreeing"]),
            )
            for row in differences
        ))  # fmt: skip
    for note in notes:
        file.write(streams.encode(one_line(note) + "\n"))
    file.write(b"\n" * bool(notes))
    streams.write_record(file, values, "text")


def write_columns(file, heads: tuple[str, ...], rows) -> None:
    """Write a table, the first column to the left and all others to the right, and an empty line."""
    table = [tuple(map(one_line, row)) for row in (heads, *rows)]
    first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
    for name, *fields in table:
        line = [f"{name:<{first}}", *(f"{field:>{width}}" for field, width in zip(fields, widths, strict=True))]
        file.write(streams.encode("  ".join(line) + "\n"))
    file.write(b"\n")


def spelled(number: float | None, form: str) -> str:
    """Return a number in a format, or - where there is none."""
    return "-" if number is None else format(number, form)


def roughly(number: float) -> str:
    """Return a rate to two digits: how fast a program runs is not known better.

    >>> roughly(2397074.3), roughly(14804), roughly(7.26)
    ('2,400,000', '15,000', '7.3')
    """
    return f"{float(f'{number:.2g}'):,.{0 if number >= 10 else 1}f}"


def spread(low: float | None, high: float | None, form: str) -> str:
    """Return both ends of an interval, or - where there is none."""
    return "-" if low is None or high is None else f"{low:{form}} and {high:{form}}"


def share(of_one: float | None) -> str:
    """Return a share in percent, or - where there is none."""
    return "-" if of_one is None else f"{100 * of_one:.1f} %"
