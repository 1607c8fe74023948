"""lmkit count."""

from __future__ import annotations

import itertools

import click

from lmkit.cli import options, streams, terminal
from lmkit.cli.options import Command, option

EXAMPLES = """
lmkit count corpus.txt | head
lmkit count --orders 2,3 --tokenizer whitespace --lowercase corpus.txt > counts.tsv
lmkit count --orders 1-3 --top 20 --format json corpus.txt
"""
ROWS = 10000  # written at once


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1)
@option("--orders", type=options.RangeList(), default="1", metavar="N,...", help="Which n: 2, or 1,3, or 1-3.")
@options.top_option(default=0)
@options.vocabulary_options
@options.input_options
@options.format_option("tsv")
@options.output_option
@options.threads_option
@options.quiet_option
def command(corpora, orders, top, vocab, form, output, threads, quiet, **choices):
    """Count n-grams, the most frequent first.

    <s> stands before each sentence, </s> after it. text and tsv: the tokens with blanks between them, a tab,
    the count. Within tokens, \\s is a blank, \\n a line feed, \\t a tab, \\r a return, \\\\ a backslash, and
    \\xNN or \\uNNNN what else cannot be seen; \\j is the joiner: no blank where one is expected. If words of the
    whitespace tokenizer have such escapes, the first line says so: ##lmkit-escaped, with a count of 0.
    """
    streams.check_output(output, [*(corpora or "-"), vocab])
    texts = streams.check_texts(corpora)
    from lmkit import api
    from lmkit.text import ESCAPED

    with terminal.compile_notice(quiet), terminal.Bar(quiet) as bar:
        tables, text = api.count(texts, orders, vocabulary=vocab, threads=threads, progress=bar, **choices)
    with streams.open_output(output) as file:
        if form != "json" and says_escaped(tables.values(), text, top):
            file.write(streams.tsv_line(ESCAPED, 0))
        for ngrams, counts in tables.values():
            write_counts(file, ngrams[: top or None], counts[: top or None], text.vocabulary, json=form == "json")


def says_escaped(tables, text, top) -> bool:
    """Whether readers have to be told that words are escaped: by default they stand as they are."""
    import numpy as np

    from lmkit.text import escape

    if text.settings.tokenizer != "whitespace":
        return False
    shown = {i for ngrams, _ in tables for i in np.unique(ngrams[: top or None]).tolist()}
    return any(escape(token) != token for token in map(text.vocabulary.token, shown))


def write_counts(file, ngrams, counts, vocabulary, *, json: bool) -> None:
    """Write a line for each n-gram."""
    import numpy as np

    from lmkit.text import escape

    names = {i: vocabulary.token(i) if json else escape(vocabulary.token(i)) for i in np.unique(ngrams).tolist()}
    for start in range(0, len(ngrams), ROWS):
        rows = zip(ngrams[start : start + ROWS].tolist(), counts[start : start + ROWS].tolist(), strict=True)
        if json:
            lines = (streams.json_line({"ngram": [names[i] for i in gram], "count": n}) for gram, n in rows)
        else:
            lines = itertools.starmap(streams.tsv_line, ((" ".join([names[i] for i in gram]), n) for gram, n in rows))
        file.write(b"".join(lines))
