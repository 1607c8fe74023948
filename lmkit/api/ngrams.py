"""What only n-gram models can: n-grams counted, ARPA files, and models made smaller."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import lmkit
from lmkit import arguments, storage
from lmkit.api.models import Model, load
from lmkit.arguments import Progress, Texts
from lmkit.errors import ModelError, OptionError
from lmkit.text import TextSettings
from lmkit.threads import aside, usable

SPARE_HEADER = 1024  # bytes by which a header may grow where a model is pruned
WASTE, ROUNDS = 0.02, 3  # the share of a wanted size that may be left over, and how often it is tried to be less


def count(
    texts: Texts,
    orders: Iterable[int] = (1,),
    *,
    tokenizer: str = "word",
    sentence: str | None = None,
    lowercase: bool = False,
    reserved: str = "error",
    threads: int | None = None,
    **reading,
) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], Any]:
    """Count n-grams; one `<s>` stands before each sentence.

    Parameters
    ----------
    texts, tokenizer, sentence, lowercase, reserved
        As in `train`.
    orders : iterable of int
        The lengths of the n-grams.
    threads : int, optional
        At most so many count, by default one per core.
    reading
        vocabulary, escaped, vocab_size, min_count, encoding, errors and progress as in `train`.

    Returns
    -------
    tables : dict
        order -> (n-grams, int32 (m, order); counts, int64 (m,)), the most frequent first, of equals by ids.
    text : TextLayer
        Its vocabulary says what the ids mean.

    >>> tables, text = count([("cows", b"cows eat corn\\ncows eat grass\\n")], [2], tokenizer="whitespace")
    >>> ngrams, counts = tables[2]
    >>> [text.vocabulary.token(i) for i in ngrams[0]], int(counts[0])
    (['<s>', 'cows'], 2)
    """
    from lmkit.ngram.counts import count_ngrams
    from lmkit.ngram.options import MAX_ORDER

    if isinstance(orders, int):
        raise OptionError(f"orders is {orders}; give a list such as [{orders}]")
    threads = usable(threads)
    orders = sorted(set(orders))
    if not orders or orders[0] < 1 or orders[-1] > MAX_ORDER:
        raise OptionError(f"orders are {orders}; they must be from 1 to {MAX_ORDER}")
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    ids, text, _, _ = arguments.read_texts(texts, settings, **reading)
    tables = aside(count_ngrams, ids, orders[-1], len(text.vocabulary), threads)
    return {k: aside(_most_frequent_first, *tables[k - 1]) for k in orders}, text


def _most_frequent_first(ngrams, counts):
    order = np.argsort(-counts, kind="stable")
    return ngrams[order], counts[order]


def arpa(model: Model | str | os.PathLike) -> Iterator[bytes]:
    """Yield the ARPA file of an n-gram model, piece by piece.

    Raises
    ------
    ModelError
        If the model is no n-gram model, or cannot be read.
    OptionError
        If it has no such form.
    """
    from lmkit.ngram.arpa import arpa_lines

    return arpa_lines(aside(_ngram(model).language_model.unpacked))


def from_arpa(
    path: str | os.PathLike,
    *,
    output: str | os.PathLike | None = None,
    tokenizer: str = "whitespace",
    sentence: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Model:
    """Return the n-gram model that an ARPA file (also .gz, .bz2, .xz) holds, and save it if `output` is given.

    Parameters
    ----------
    tokenizer, sentence
        How text becomes the tokens of this model: see `lmkit.text.TextSettings`. Of other tokenizers than `whitespace`
        tokens are unescaped. A reserved word in a text is taken as the model has it (`keep`).
    encoding, errors
        As in `train`.

    Raises
    ------
    ModelError
        It is no ARPA file; the message names the line.
    CorpusError, OptionError

    Warns
    -----
    LmkitWarning
        It has no unknown word.
    """
    from lmkit.ngram.arpa import read_arpa

    if output is not None:
        storage.check_target(output, [path])
    (corpus,) = arguments.corpora(path, encoding, errors)
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, reserved="keep")
    read = aside(read_arpa, corpus, settings, arguments.reading(progress, [corpus]), threads)
    read.metadata["training"] = {
        "arpa": {"name": corpus.title, "sha256": corpus.sha256}, "held_out": None, "options": settings.describe(),
        "lmkit_version": lmkit.__version__,
    }  # fmt: skip
    model = Model(read)
    if output is not None:
        model.save(output)
    return model


def prune(
    model: Model | str | os.PathLike,
    *,
    threshold: float | None = None,
    ngrams: int | None = None,
    size: int | None = None,
    cutoffs: Iterable[int] | None = None,
    quantize: int | None = None,
    output: str | os.PathLike | None = None,
) -> Model:
    """Return a smaller n-gram model, and save it if `output` is given.

    Without the n-grams that it can best do without, by one of the first four, or with fewer bits for its numbers, or
    both.

    Parameters
    ----------
    threshold : float
        Drop what raises the perplexity by less than this share (Stolcke 1998).
    ngrams : int
        Or so much that at most so many n-grams are left.
    size : int
        Or so much that the file has at most so many bytes.
    cutoffs : iterable of int
        Or what was seen no more than so often, per order, the last number for all higher ones; the model must have been
        trained with `keep_counts`.
    quantize : int
        Bits of probabilities and back-off weights, 2 to 16, in a compact form (`lmkit.ngram.packed`) without counts.
        Its distributions sum to one up to rounding: with 8 bits within 0.0005 on average.

    Raises
    ------
    ModelError, OptionError
    """
    from lmkit.ngram import packed

    ways = sum(way is not None for way in (threshold, ngrams, size, cutoffs))
    if ways > 1 or not (ways or quantize is not None):
        raise OptionError("give one of threshold, ngrams, size and cutoffs, or quantize, or quantize and one of them")
    if threshold is not None and not 0 <= threshold < 1:
        raise OptionError(f"--threshold is {threshold:g}; it must be a share, 0 to below 1, such as 1e-7")
    if quantize is not None:
        packed.check_bits(quantize)
    if output is not None:
        storage.check_target(output)
    pruned = Model(aside(_pruned, _ngram(model).language_model, threshold, ngrams, size, cutoffs, quantize))
    if output is not None:
        pruned.save(output)
    return pruned


def _pruned(model, threshold, ngrams, size, cutoffs, quantize):
    """Return a smaller model by one of the ways of `prune`."""
    from lmkit.ngram import packed, pruning

    small = model.unpacked()
    if threshold is not None:
        small = pruning.prune(small, threshold)
    elif ngrams is not None:
        small = pruning.prune(
            small, None, lambda sizes: sum(sizes[1:]) <= ngrams, f"the {ngrams} n-grams that may be left"
        )
    elif size is not None:
        small = _to_size(small, size, quantize)
    elif cutoffs is not None:
        small = pruning.cut_off(small, tuple(cutoffs))
    return small if quantize is None else packed.pack(small, quantize)


def _to_size(model, size, quantize):
    """Return a model without so many n-grams that its file, or that of its packed form, is no larger than `size`."""
    from lmkit.ngram.packed import pack, packed_bytes
    from lmkit.ngram.pruning import prune
    from lmkit.ngram.trie import Trie

    counts = bool(model.trie.counts.size)
    others = Model(model).file_size() - sum(t.nbytes for t in model.tensors().values()) + SPARE_HEADER
    room = size - others - sum(t.nbytes for t in model.text.tensors().values())

    def pruned(room):
        if quantize is None:
            return prune(model, None, lambda sizes: Trie.bytes_of(sizes, counts) <= room, f"fit into {size} bytes")
        return prune(model, None, lambda sizes: packed_bytes(sizes, quantize) <= room, f"fit into {size} bytes")

    found = pruned(room)
    for _ in range(ROUNDS if quantize is not None else 0):  # `packed_bytes` takes all codebooks to be full
        spare = size - Model(pack(found, quantize)).file_size()
        if spare < size * WASTE or found.trie.sizes == model.trie.sizes:
            break
        room += spare
        larger = pruned(room)
        if Model(pack(larger, quantize)).file_size() > size:
            break
        found = larger
    return found


def _ngram(model):
    """Return an n-gram model, opened if it is a path."""
    loaded = model if isinstance(model, Model) else load(model)
    if loaded.family != "ngram":
        raise ModelError(f"{loaded.path or 'the model'} is of the family {loaded.family}; this is for n-gram models")
    return loaded
