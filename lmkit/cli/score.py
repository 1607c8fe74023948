"""lmkit score."""

from __future__ import annotations

from collections.abc import Iterator

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit score corpus.txt | sort -g | head          # the least probable lines
lmkit score news.txt | awk -F'\\t' '$4 < 100' | cut -f5-
lmkit score --by token --format json line.txt
lmkit score --nbest hypotheses.txt > rescored.txt
"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@options.model_option
@option("--by", type=click.Choice(["line", "token"]), default="line", help="A row for each line, or for each token.")
@option(
    "--nbest", is_flag=True, show_default=False,
    help="Read lists of `id ||| text ||| features ||| score` (Moses), and write them with the model's score of the "
    "text among the features.",
)  # fmt: skip
@option("--feature", default="lmkit", metavar="NAME", help="The feature of --nbest; one of this name is replaced.")
@options.input_options
@options.format_option("tsv")
@options.output_option
@options.threads_option
@options.quiet_option
def command(texts, model, by, nbest, feature, encoding, errors, form, output, threads, quiet):
    """Score lines or tokens of text, a row for each as it arrives.

    A line is one sentence, whatever sentences the model was trained on: it begins anew, its newline is not scored, the
    </s> after it is. text and tsv: log-probability (natural), tokens, tokens out of vocabulary, perplexity, and the
    line itself; with --by token the token, the number of tokens the prediction rests on with it (- where the model has
    no such number), and its log-probability.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named).
    """
    if nbest and (by != "line" or form == "json"):
        raise click.UsageError(
            "--nbest writes lists as it reads them: it goes with neither --by token nor --format json"
        )
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet):
        loaded = api.load(model, threads=threads)
        if nbest:
            blocks = api.rescore(loaded, names, feature=feature, encoding=encoding, errors=errors)
        else:
            scored = api.score(loaded, names, encoding=encoding, errors=errors)
            blocks = (lines(block, form) for block in scored) if by == "line" else tokens(scored, loaded, form)
        streams.write_blocks(output, blocks)


def lines(block, form: str) -> bytes:
    """Return a row for each line."""
    columns = (block.log_probabilities + 0.0, block.tokens, block.oov, block.perplexities)
    rows = zip(*(column.tolist() for column in columns), block.lines, strict=True)
    if form != "json":
        return b"".join([b"%.9g\t%d\t%d\t%.9g\t%b\n" % row for row in rows])
    return b"".join(
        streams.json_line({
            **streams.finite("log_probability", log_p), "tokens": tokens, "oov": oov,
            **streams.finite("perplexity", perplexity),
            "line": line.decode("utf-8", "surrogateescape"),
        })
        for log_p, tokens, oov, perplexity, line in rows
    )  # fmt: skip


def tokens(blocks, model, form: str) -> Iterator[bytes]:
    """Yield a row for each token."""
    from lmkit.text import escape

    vocabulary, names = model.text.vocabulary, {}
    for block in blocks:
        ids, orders = block.encoded.ids.tolist(), model.orders(block.encoded.ids)
        orders = [None] * len(ids) if orders is None else orders.tolist()
        rows = zip(ids, orders, (block.log_p + 0.0).tolist(), strict=True)
        new = {i: vocabulary.token(i) for i in set(ids) - names.keys()}
        if form == "json":
            names |= new
            yield b"".join(
                streams.json_line({"token": names[i], "id": i, "order": n, **streams.finite("log_probability", p)})
                for i, n, p in rows
            )
        else:
            names |= {i: streams.encode(escape(token)) for i, token in new.items()}
            spelled = {n: b"-" if n is None else b"%d" % n for n in set(orders)}
            yield b"".join([b"%b\t%b\t%.9g\n" % (names[i], spelled[n], p) for i, n, p in rows])
