"""lmkit nearest."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit nearest king
lmkit nearest king queen love --top 5 -m bard.lmkit
lmkit nearest --side before --format json king | jq -r .token
printf 'king queen' | lmkit nearest - --format tsv
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("words", metavar="WORD...", nargs=-1, required=True)
@options.model_option
@options.top_option(default=10)
@option(
    "--side",
    type=click.Choice(["both", "before", "after"]),
    default="both",
    help="Compare what stands before tokens, what comes after them, or both.",
)
@options.format_option()
@options.output_option
@options.quiet_option
def command(words, model, top, side, form, output, quiet):
    """Show the tokens that the model takes for most like WORD: those it expects in the same places.

    A row for each, the most similar first: 1 is used just alike, 0 has nothing in common. n-gram models compare the
    neighbours that a token has, before it and after it, by their probabilities; recurrent ones the output embedding and
    the input embedding (where the input is one-hot, the token's row of the first layer's weights); mixtures the
    weighted mean of what their members find, caches what the model in them does.

    A WORD is a token of the model, a character where it was trained on those; - reads them from the standard input,
    with blanks or line feeds between them. They are written as in tables: \\s is a blank, \\n a line feed, \\t a tab,
    \\r a return, \\\\ a backslash, and \\xNN or \\uNNNN any other character; \\j is the joiner.

    tsv: word, token, similarity, and what that is before and after.
    """
    streams.check_output(output, [model, "-" if "-" in words else None])
    if words.count("-") > 1:
        raise click.UsageError("the standard input (-) can be read only once")
    if "" in words:
        raise click.UsageError(r"a WORD is empty; name a token of the model, or \j for the joiner")
    from lmkit import api
    from lmkit.text import escape, unescape

    listed = [unescape(word) for name in words for word in (read_words() if name == "-" else [name])]
    with terminal.compile_notice(quiet):
        found = api.nearest(api.load(model), listed, top=top or None, side=side)
    write = {"text": write_text, "tsv": write_tsv, "json": write_json}[form]
    with streams.open_output(output) as file:
        for number, (word, rows) in enumerate(zip(listed, found, strict=True)):
            if not rows:
                terminal.say(f"Warning: {word!r} has nothing in common with any other token of the model")
            if form == "text" and len(listed) > 1:
                file.write(streams.encode("\n" * (number > 0) + f"{escape(word)}\n"))
            write(file, word, rows)


def read_words() -> list[str]:
    """Return the words that the standard input holds."""
    return [word for line in streams.read_prompt("-").splitlines() for word in line.split(" ") if word]


def write_text(file, word, rows) -> None:
    """Write the tokens and their similarities in columns."""
    from lmkit.text import escape

    width = max((len(escape(row.token)) for row in rows), default=0)
    for row in rows:
        file.write(streams.encode(f"{escape(row.token):<{width}}  {row.similarity:.3f}\n"))


def write_tsv(file, word, rows) -> None:
    """Write a line for each token."""
    from lmkit.text import escape

    for row in rows:
        numbers = (f"{number:.6f}" for number in (row.similarity, row.before, row.after))
        file.write(streams.tsv_line(escape(word), escape(row.token), *numbers))


def write_json(file, word, rows) -> None:
    """Write an object for each token."""
    import dataclasses

    for row in rows:
        file.write(streams.json_line({"word": word, **dataclasses.asdict(row)}))
