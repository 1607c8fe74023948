"""lmkit explain."""

from __future__ import annotations

import math

import click

from lmkit.characters import one_line
from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit explain -m bard.lmkit text.txt
lmkit explain --html page.html text.txt               # for the browser: alternatives, ranks, orders
lmkit explain -m a.lmkit --against b.lmkit text.txt   # where is b more surprised than a?
lmkit explain -m bard.lmkit --neurons best text.txt   # what do single units keep track of?
head -n 4 text.txt | lmkit explain --color always | less -R
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@option("--against", metavar="FILE", help="Another model, which must see the same tokens: show the difference.")
@option(
    "--neurons", metavar="best|U,...",
    help="Show what hidden units of a recurrent model hold, -1 to 1: those that best track the position in the line, "
    "names of speakers and quotes (in 1,000 tokens or more), or those named: 57 of the last layer, 1.57 of the first.",
)  # fmt: skip
@option("--html", metavar="FILE", env=False, help="Write a page for browsers, one file; - is the standard output.")
@option("--svg", metavar="FILE", env=False, help="Write a picture of some lines; - is the standard output.")
@options.color_option
@options.model_input_options
@options.output_option
@options.threads_option
@options.quiet_option
def command(texts, model, against, neurons, html, svg, color, output, threads, quiet, **reading):
    """Show text coloured by how surprising each token is to a model: -log2 p(token | all before it), in bits.

    Without colours a row of marks stands under each row of text. Signs: ↵ a line ends, ¶ a sentence ends (</s>), · a
    part of the character after it, ‿ no blank where one is expected. The model begins anew with each text, as in
    perplexity. Texts are shown as they are read; with --html, --svg and --neurons they are read first, and may have
    2 MB.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named).
    """
    if html is not None and svg is not None:
        raise click.UsageError("give either --html or --svg")
    if (html or svg) is not None and output != "-":
        raise click.UsageError("--html and --svg name their output themselves: leave out -o")
    if neurons is not None and (against is not None or svg is not None):
        raise click.UsageError("--neurons goes with neither --against nor --svg")
    for named, place in (("--html", html), ("--svg", svg), ("-o", output)):
        if place is not None:
            streams.check_output(place, [*(texts or "-"), model, against], named)
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        loaded = api.load(model, threads=threads)
        other = None if against is None else api.load(against, threads=threads)
        if html is not None:
            streams.write_blocks(
                html, api.explain_page(loaded, names, against=other, units=neurons, progress=bar, **reading)
            )
        elif svg is not None:
            streams.write_blocks(svg, [api.explained_svg(loaded, names, against=other, **reading).encode()])
        elif neurons is not None:
            units, found = api.neurons(loaded, names, neurons, progress=bar, **reading)
            with streams.open_output(output, drawn=True) as file:
                show_units(file, loaded, units, found, color, output)
        else:
            with streams.open_output(output, drawn=True) as file:
                pieces = api.explain(loaded, names, against=other, **reading)
                show(file, loaded, other, pieces, names, color, output)


def show(file, model, other, pieces, names: list[str], color: str, output: str) -> None:
    """Write the text of all pieces, and at the end what it comes to."""
    from lmkit.cli import colours
    from lmkit.errors import CorpusError
    from lmkit.evaluation import Totals
    from lmkit.explanation import NOTHING

    kind = colours.surprisal() if other is None else colours.difference(model.path, other.path)
    sheet = colours.open_sheet(file, kind, color, output)
    title, totals = None, [Totals(), Totals()]
    try:
        for piece in pieces:
            if title is None:
                sheet.introduce()
            if len(names) > 1 and title != piece.title:
                if title is not None:
                    sheet.line()
                sheet.line(f"==> {one_line(piece.title)} <==")
            title = piece.title
            lay(sheet, model, piece, piece.surprisal if other is None else piece.difference)
            for total, log_p in zip(totals, (piece.log_p, piece.other_log_p), strict=True):
                if log_p is not None:
                    total.add(piece, log_p)
            if "-" in names:  # who types a line waits for it; a sentence end that is known only now is on the next row
                sheet.end()
            sheet.flush()
    except CorpusError:
        sheet.end()  # what can be read is shown before the error
        sheet.flush()
        raise
    if not totals[0].tokens:
        raise CorpusError(f"the text {NOTHING}")
    sheet.end()
    for each, total in zip((model, other), totals, strict=True):
        if each is not None:
            sheet.line()
            summarise(sheet, total, each.path if other else None)
    sheet.flush()


def show_units(file, model, units, texts, color: str, output: str) -> None:
    """Write all texts for each unit, coloured by what it holds."""
    from lmkit.cli import colours

    for i, unit in enumerate(units):
        kind = colours.activation(f"{unit.title}, {unit.strength}")
        sheet = colours.open_sheet(file, kind, color, output)
        if i:
            sheet.line()
        sheet.introduce()
        for text, held in texts:
            if len(texts) > 1:
                sheet.line(f"==> {one_line(text.title)} <==")
            lay(sheet, model, text, held[i])
        sheet.end()
        sheet.flush()


def lay(sheet, model, placed, numbers) -> None:
    """Lay down a text with the number of each token, and what stands after the last one."""
    from lmkit.model import EOS
    from lmkit.text.visible import sign

    tokenizer, unknown = model.text.settings.tokenizer, set(placed.oov.tolist())
    levels = sheet.kind.scale.levels(numbers).tolist()
    rows = zip(placed.tokens, placed.ids.tolist(), levels, numbers.tolist(), strict=True)
    for i, (text, token, level, number) in enumerate(rows):
        sheet.token(text, sign(token == EOS, tokenizer), level, number, i in unknown)
    sheet.text(placed.rest)


def summarise(sheet, total, name: str | None) -> None:
    """Write what the surprisal of all tokens comes to."""
    from lmkit.evaluation import perplexity

    log_p = total.known + total.unknown
    rows = [("model", name)] if name else []
    rows.append(("tokens", f"{total.tokens:,}"))
    if total.oov:
        rows.append(("out of vocabulary", f"{total.oov:,}"))
    rows.append(("bits per token", f"{0.0 - log_p / total.tokens / math.log(2):.4g}"))
    rows.append(("perplexity", f"{perplexity(log_p, total.tokens):.5g}"))
    width = max(len(row[0]) for row in rows)
    for row in rows:
        sheet.line(f"{row[0]:<{width}}  {row[1]}")
