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
lmkit score --errors report web.txt > rows.tsv   # a line that cannot be read stops nothing
"""
ROW, EMPTY = b"%.9g\t%d\t%d\t%.9g\t%b\n", b"\t\t\t\t%b\n"


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
@options.piece_options
@options.log_base_option
@options.model_input_options
@options.format_option("tsv")
@options.output_option
@options.threads_option
@options.quiet_option
def command(
    texts, model, by, nbest, feature, no_bos, no_eos, log_base, errors, form, output, threads, quiet, **reading
):
    """Score lines or tokens of text, a row for each as it arrives.

    A line is scored as the model saw lines. If its sentences are lines: the tokens, the line break where the tokenizer
    has one, and </s>; the rows sum to the total of perplexity --reset sentence. If not: the tokens and the line break,
    after a line break, without </s>. A line does not depend on its neighbours; one that lacks its line break, the last,
    is scored as if it had it. --no-bos and --no-eos are for pieces of a sentence (KenLM's bos and eos).

    text and tsv: log-probability, tokens, tokens out of vocabulary, perplexity, and the line itself; with --by token
    the token, the number of tokens the prediction rests on with it (- where the model has no such number), and its
    log-probability. With --errors report a line that cannot be read has empty fields.

    Reads files (also .gz, .bz2 and .xz) and the standard input (-, or no file named).
    """
    if nbest and (by != "line" or form == "json"):
        raise click.UsageError(
            "--nbest writes lists as it reads them: it goes with neither --by token nor --format json"
        )
    streams.check_output(output, [*(texts or "-"), model])
    names = streams.check_texts(texts)
    from lmkit import api

    with terminal.compile_notice(quiet), streams.BadLines(errors) as bad:
        reading |= {"bos": not no_bos, "eos": not no_eos, "errors": errors, "on_error": bad.on_error}
        loaded = api.load(model, threads=threads)
        if nbest:
            blocks = api.rescore(loaded, names, feature=feature, log_base=log_base, **reading)
        else:
            scored = api.score(loaded, names, **reading)
            blocks = lines(scored, form, log_base) if by == "line" else tokens(scored, loaded, form, log_base)
        streams.write_blocks(output, blocks)


def lines(blocks, form: str, log_base: str) -> Iterator[bytes]:
    """Yield a row for each line; that of one that cannot be read has empty fields."""
    from lmkit.logarithms import in_base

    for block in blocks:
        columns = (in_base(block.log_probabilities, log_base) + 0.0, block.tokens, block.oov, block.perplexities)
        rows = zip(*(column.tolist() for column in columns), block.lines, strict=True)
        if form == "json":
            named = (line_record(*row, block.bad.get(i)) for i, row in enumerate(rows))
            yield b"".join(streams.json_line({**record, "log_base": log_base}) for record in named)
        else:
            spelled = (EMPTY % row[4] if i in block.bad else ROW % row for i, row in enumerate(rows))
            yield b"".join(spelled)


def line_record(log_p: float, tokens: int, oov: int, perplexity: float, line: bytes, error: str | None) -> dict:
    """Return what JSON says of a line."""
    text = {"line": line.decode("utf-8", "surrogateescape")}
    if error is not None:
        return {"log_probability": None, "tokens": None, "oov": None, "perplexity": None, **text, "error": error}
    sizes = {"tokens": tokens, "oov": oov}
    return {**streams.finite("log_probability", log_p), **sizes, **streams.finite("perplexity", perplexity), **text}


def tokens(blocks, model, form: str, log_base: str) -> Iterator[bytes]:
    """Yield a row for each token; an empty one for each line that cannot be read."""
    from lmkit.logarithms import in_base
    from lmkit.text import escape

    vocabulary, names = model.text.vocabulary, {}
    for block in blocks:
        ids, orders = block.encoded.ids.tolist(), block.orders(model)
        orders = [None] * len(ids) if orders is None else orders.tolist()
        numbers = zip(ids, orders, (in_base(block.log_p, log_base) + 0.0).tolist(), strict=True)
        new = {i: vocabulary.token(i) for i in set(ids) - names.keys()}
        if form == "json":
            names |= new
            rows = [
                streams.json_line({
                    "token": names[i], "id": i, "order": n, **streams.finite("log_probability", p),
                    "log_base": log_base,
                })
                for i, n, p in numbers
            ]  # fmt: skip
        else:
            names |= {i: streams.encode(escape(token)) for i, token in new.items()}
            spelled = {n: b"-" if n is None else b"%d" % n for n in set(orders)}
            rows = [b"%b\t%b\t%.9g\n" % (names[i], spelled[n], p) for i, n, p in numbers]
        yield b"".join(with_bad_lines(rows, block, form, log_base) if block.bad else rows)


def with_bad_lines(rows: list[bytes], block, form: str, log_base: str) -> Iterator[bytes]:
    """Yield the rows of the tokens of all lines, or one row for a line that cannot be read."""
    begin = 0
    for i, end in enumerate(block.ends.tolist()):
        if i not in block.bad:
            yield from rows[begin:end]
        elif form == "json":
            empty = dict.fromkeys(("token", "id", "order", "log_probability"))
            yield streams.json_line({**empty, "log_base": log_base, "error": block.bad[i]})
        else:
            yield b"\t\t\n"
        begin = end
