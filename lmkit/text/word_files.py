"""Files of words: vocabularies, one token a line or between blanks, and what they share with files of counts.

Tokens may be escaped, as `lmkit.text.escape` writes them, or stand as they are. Those of the word, char and byte
tokenizers are escaped, since many are blanks. Words of the whitespace tokenizer stand as other toolkits have them,
unless a line that `lmkit count` writes, ESCAPED, says otherwise; a vocabulary without that line is taken for escaped if
all its backslashes begin escapes of such words.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from lmkit.errors import CorpusError, OptionError
from lmkit.memory import in_bytes, memory_limit
from lmkit.model import RESERVED
from lmkit.text.corpus import LONGEST_ENTRY, Corpus
from lmkit.text.layer import TextLayer
from lmkit.text.settings import TextSettings
from lmkit.text.vocabulary import escape, is_word, to_str, unescape

__all__ = ["ESCAPED", "read_vocabulary"]

ESCAPED = "##lmkit-escaped"  # beside a count of 0: SRILM takes it for a comment, and no sum of counts changes
MOST_BYTES = 1 << 30  # of a vocabulary file
TOKEN_BYTES = 200  # that a token takes here in memory
_WORD = re.compile(rb"[^\0\t\n\r ]+")
_COUNTED = re.compile(rb"(?m)^([^\t\n]+)\t[\0 ]*[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?[\0\r ]*$")


def read_vocabulary(
    path: str, settings: TextSettings, *, encoding: str = "utf-8", errors: str = "strict", escaped: bool | None = None
) -> list[str]:
    r"""Read the different tokens of a vocabulary file, for `learn`: between blanks, or those of a model file.

    Of a line with one tab and a number behind it (`word<TAB>count`) the number is left out. Where the settings say
    lower case, so are the tokens: otherwise those with capitals would never be met.

    Parameters
    ----------
    encoding, errors : str
        How a file that is no model is read; see `Corpus`.
    escaped : bool, optional
        Whether tokens are escaped or stand as they are, by default as said above.

    Raises
    ------
    CorpusError, ModelError
        Where it cannot be read, holds none, or does not end.
    OptionError
        Where a model has another tokenizer, or `encoding` or `errors` is none.
    """
    corpus = Corpus(path, encoding, errors)
    tokens = _tokens_of_model(path, settings) if _is_model(path) else _listed_tokens(corpus, settings, escaped)
    return list(dict.fromkeys(token.lower() for token in tokens)) if settings.lowercase else tokens


def _is_model(path: str) -> bool:
    if os.path.isfile(path):  # a pipe can be read once only
        with contextlib.suppress(OSError), open(path, "rb") as file:  # the corpus says what is wrong
            head = file.read(9)
            return len(head) == 9 and head[5:8] == b"\0\0\0" and head[8:] == b"{"
    return False


def _tokens_of_model(path: str, settings: TextSettings) -> list[str]:
    from lmkit.storage import open_model_file

    model = open_model_file(path)
    layer = TextLayer.from_tensors(model.tensors, model.metadata)
    if layer.settings.tokenizer != settings.tokenizer:
        raise OptionError(
            f"{path} has the tokens of the {layer.settings.tokenizer} tokenizer; "
            f"expected those of the {settings.tokenizer} tokenizer"
        )
    return layer.vocabulary.tokens()[len(RESERVED) :]


def _listed_tokens(corpus: Corpus, settings: TextSettings, escaped: bool | None) -> list[str]:
    """Return the tokens of a text, each once."""
    corpus.most, corpus.longest_line = MOST_BYTES, LONGEST_ENTRY
    free, found = memory_limit(), {}
    for block in corpus.blocks():
        found.update(dict.fromkeys(_WORD.findall(_COUNTED.sub(rb"\1", block.tobytes()))))
        if free is not None and len(found) * TOKEN_BYTES > free:
            raise CorpusError(
                f"{corpus.title}: {len(found):,} tokens or more, which do not fit into the {in_bytes(free)} of memory "
                "that are free"
            )
    words = [to_str(word) for word in found]
    if ESCAPED in words:
        words.remove(ESCAPED)
        escaped = True if escaped is None else escaped
    if not words:
        raise CorpusError(f"{corpus.title}: holds no tokens; give one token a line")
    plain = settings.tokenizer == "whitespace"
    if escaped is None:
        escaped = not plain or _all_escaped(words)
    tokens = list(dict.fromkeys(map(unescape, words))) if escaped else words
    if plain and escaped and (wrong := next((token for token in tokens if not is_word(token)), None)) is not None:
        raise CorpusError(f"{corpus.title}: {escape(wrong)} is no token of the whitespace tokenizer")
    return tokens


def _all_escaped(words: Iterable[str]) -> bool:
    """Return whether words look as `escape` writes the words of the whitespace tokenizer."""
    meant = ((word, unescape(word)) for word in words if "\\" in word)
    return all(is_word(token) and escape(token) == word for word, token in meant)
