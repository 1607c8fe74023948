"""lmkit next."""

from __future__ import annotations

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command

EXAMPLES = """
lmkit next "to be or not to"
lmkit next --top 3 --format json "cows eat"
lmkit next
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("context", default="")
@options.model_option
@options.top_option(default=10)
@options.reserved_option(show_default="the model's")
@options.format_option()
@options.output_option
@options.quiet_option
def command(context, model, top, reserved, form, output, quiet):
    """Show what may come next: the distribution p(token | CONTEXT).

    A row for each token, the most probable first: token, probability, and how often it followed the context
    of how many times in training, where the model keeps counts (mle, add-k). Without CONTEXT: the start of a
    sentence; - reads it from the standard input. Where an n-gram model has never seen CONTEXT, the longest part at its
    end that it has seen answers, and the standard error says which; it names tokens that the model does not know, too.

    Except in json, \\s is a blank, \\n a line feed, \\t a tab, \\r a return, \\\\ a backslash, and \\xNN or
    \\uNNNN what else cannot be seen; \\j is the joiner: no blank where one is expected.
    """
    streams.check_output(output, [model, "-" if context == "-" else None])
    from lmkit import api
    from lmkit.text import escape

    with terminal.compile_notice(quiet):
        rows = api.next_tokens(api.load(model), streams.read_prompt(context), top=top or None, reserved=reserved)
    terminal.say_unknown(rows.unknown, quiet)
    if rows.unseen and not quiet:
        end = f"for its end: {' '.join(map(escape, rows.context))}" if rows.context else "without any context"
        terminal.say(f"This context was not seen in training; the answer is {end}")
    with streams.open_output(output) as file:
        if form == "json":
            for r in rows:
                row = {
                    "token": r.token,
                    "id": r.id,
                    "probability": r.probability,
                    "count": r.count,
                    "total": r.total,
                }
                file.write(streams.json_line(row))
        elif form == "tsv":
            for r in rows:
                counts = ("", "") if r.count is None else (r.count, r.total)
                file.write(streams.tsv_line(escape(r.token), f"{r.probability:.9g}", *counts))
        else:
            width = max((len(escape(r.token)) for r in rows), default=0)
            for r in rows:
                counts = "" if r.count is None else f"  {r.count}/{r.total}"
                probability = f"{r.probability:.6f}" if r.probability >= 1e-4 else f"{r.probability:.2e}"
                file.write(streams.encode(f"{escape(r.token):<{width}}  {probability}{counts}\n"))
