"""Models of all architectures, learnt from texts."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterable

import numpy as np

import lmkit
from lmkit import arguments, registry, storage
from lmkit.api.models import Model
from lmkit.arguments import DEFAULT_VALID, Progress, Texts
from lmkit.errors import OptionError
from lmkit.text import TextLayer, TextSettings
from lmkit.threads import aside

NO_MATTER = ("threads", "memory", "temp")  # options that do not shape the model


def train(
    texts: Texts,
    arch: str = "ngram",
    *,
    output: str | os.PathLike | None = None,
    tokenizer: str = "word",
    sentence: str | None = None,
    lowercase: bool = False,
    reserved: str = "error",
    vocabulary: str | os.PathLike | list[str] | None = None,
    escaped: bool | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    limit_vocabulary: str | os.PathLike | Iterable[str] | None = None,
    from_counts: bool = False,
    valid: float | str | os.PathLike | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
    **options,
) -> Model:
    """Train a language model, and save it if `output` is given.

    A recurrent model is trained in steps, and keeps a checkpoint beside `output` until it is done; see `resume`.

    The model holds a record of its training. Same texts and options give the same file, but for the seconds
    in that record.

    Parameters
    ----------
    texts
        Paths, "-" for the standard input, (name, bytes) pairs; one or a list.
    arch : str
        One of `lmkit.registry.ARCHITECTURES`.
    tokenizer, sentence, lowercase, reserved
        See `lmkit.text.TextSettings`.
    vocabulary : path or list of str, optional
        The only tokens there are besides `<unk>`: from a list, a file, or a model file.
    escaped : bool, optional
        Whether tokens in files of vocabularies and counts are escaped or stand as they are. By default files of the
        whitespace tokenizer say so themselves, see `lmkit.text.word_files`, and those of the others are escaped.
    vocab_size, min_count : int
        Keep so many token types, those seen so often; the others become `<unk>`.
    limit_vocabulary : path or list of str, optional
        Drop n-grams with other words after counting.
    from_counts : bool
        The texts are n-gram counts of all orders, as `count` and SRILM write them and Google's collections have them.
    valid : float or path
        What is held out: a share of the text, its end (0.05 by default), or a text of its own. Recurrent models are
        validated on it, Jelinek-Mercer smoothing finds its weights there.
    options
        Of the architecture: order, smoothing, k, ... as in `lmkit.ngram.options.NGramOptions`, or hidden, layers,
        epochs, ... as in `lmkit.rnn.options.RNNOptions`.

    Raises
    ------
    CorpusError, OptionError, ModelError
    Diverged
        The training of a recurrent model got nowhere.
    Interrupted
        By Ctrl-C; a checkpoint was written.

    Warns
    -----
    LmkitWarning
        The texts have so many lines for each paragraph that sentences seem to be lines, and `sentence` does not say.
    """
    started = time.monotonic()
    texts = arguments.corpora(texts, encoding, errors)
    if output is not None:
        storage.check_target(output, [corpus.name for corpus in texts if corpus.data is None])
    architecture = registry.architecture(arch)
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    if limit_vocabulary is not None:
        options["limit_vocabulary"] = tuple(arguments.tokens(limit_vocabulary, settings, encoding, errors, escaped))
    choices = arguments.choices(architecture.get("options"), arch, options)
    if valid is not None and not choices.holds_out:
        raise OptionError("--valid goes with recurrent models and --smoothing jelinek-mercer: else nothing is held out")
    if from_counts:
        if architecture.in_steps or vocabulary is not None or vocab_size is not None or min_count != 1:
            raise OptionError("--from-counts goes with --arch ngram, and without --vocab, --vocab-size and --min-count")
        if choices.memory is not None or choices.temp is not None:
            raise OptionError("--from-counts goes without --memory and --temp: the counts have to fit into memory")
        return _train_from_counts(texts, settings, choices, escaped, valid, output, started, progress)
    if output is not None and architecture.in_steps:
        _checkpoints().check_free(output)
    waiting = {} if architecture.in_steps else arguments.waiting_room(choices)
    ids, text, counts, records = arguments.read_texts(
        texts, settings, vocabulary=vocabulary, escaped=escaped, vocab_size=vocab_size, min_count=min_count,
        encoding=encoding, errors=errors, progress=progress, **waiting,
    )  # fmt: skip
    if sentence is None:
        arguments.warn_of_long_sentences(records, settings)
    record = {
        "corpora": records,
        "held_out": None,
        "options": {
            "arch": arch,
            **{name: value for name, value in dataclasses.asdict(choices).items() if name not in NO_MATTER},
            **choices.describe(),
            **settings.describe(),
            "vocabulary": None if vocabulary is None else len(text.vocabulary),
            "vocab_size": vocab_size,
            "min_count": min_count,
            "encoding": encoding,
            "errors": errors,
        },
        "lmkit_version": lmkit.__version__,
    }
    split = None
    if choices.holds_out:
        share = DEFAULT_VALID if valid is None else valid
        split = arguments.hold_out(
            ids, text, records, share, encoding=encoding, errors=errors, sentences=not architecture.in_steps
        )
    if architecture.in_steps:
        trained = architecture.get("train")(
            arch, split, counts, text, choices, record, output=output, progress=progress
        )
    else:
        held_out = None
        if split is not None:
            ids, held_out, record["held_out"] = split.ids, split.held_out, split.record
            if len(ids) < sum(corpus["tokens"] for corpus in records):
                counts = counts - np.bincount(held_out, minlength=len(counts))
        trained = aside(
            architecture.get("train"), ids, counts, text, choices, progress=arguments.training(progress, len(ids)),
            held_out=held_out,
        )  # fmt: skip
        trained.metadata["training"] = record
    del ids  # the file's pages can take this memory over: to touch new memory costs more than to write
    return _finished(trained, output, started, progress)


def _train_from_counts(texts, settings, choices, escaped, valid, output, started, progress):
    from lmkit.ngram.count_files import read_counts
    from lmkit.ngram.model import train_from_counts

    counts = aside(
        read_counts, texts, choices.order, settings.tokenizer, escaped=escaped,
        progress=arguments.reading(progress, texts),
    )  # fmt: skip
    text, held_out, found = TextLayer(settings, counts.vocabulary), None, None
    if choices.holds_out:
        if valid is None or arguments.share_of(valid) is not None:
            raise OptionError("counts have no text to hold out for jelinek-mercer; name one with --valid")
        split = arguments.hold_out(np.empty(0, np.int32), text, [], valid, texts[0].encoding, texts[0].errors)
        held_out, found = split.held_out, split.record
    names = ", ".join(corpus.title for corpus in texts)
    trained = aside(train_from_counts, counts, text, choices, names, held_out)
    trained.metadata["training"] = {
        "corpora": [{"name": c.name, "sha256": c.sha256, "bytes": c.bytes, "lines": c.lines} for c in texts],
        "held_out": found,
        "options": {
            "arch": "ngram",
            **choices.describe(),
            **settings.describe(),
            "from_counts": True,
            "escaped": escaped,
        },
        "lmkit_version": lmkit.__version__,
    }
    return _finished(trained, output, started, progress)


def resume(
    output: str | os.PathLike,
    texts: Texts | None = None,
    *,
    progress: Progress | None = None,
    **expected,
) -> Model:
    """Go on with the training of a recurrent model that was interrupted, from the checkpoint beside its output.

    The outcome is the same, to the bit, as if it had not been, unless it has a time limit.

    Parameters
    ----------
    output : path
        Where the model will be.
    texts
        The same texts; by default they are read from where they were.
    expected
        Options as in `train`, which must be those of the checkpoint; `threads` and `checkpoint_every` may differ, and
        a text to validate on may have moved.

    Raises
    ------
    ModelError
        There is no checkpoint, or it is damaged.
    OptionError
        An option differs.
    CorpusError
        A text cannot be read, or is another one.
    """
    started = time.monotonic()
    checkpoint = _checkpoints().load(output)
    storage.check_target(output)
    record, text = checkpoint.record, checkpoint.model.text
    arguments.check_names(expected, [*record["options"], "threads", "valid", "escaped"], record["options"]["arch"])
    valid, vocabulary, escaped = (expected.pop(name, None) for name in ("valid", "vocabulary", "escaped"))
    options = checkpoint.agreed_options(expected)
    split = arguments.read_again(
        text, record, texts, checkpoint.path, valid=valid, vocabulary=vocabulary, escaped=escaped, progress=progress
    )
    train_in_steps = registry.architecture(checkpoint.model.shape.arch).get("train")
    trained = train_in_steps(
        checkpoint.model.shape.arch, split, None, text, options, record, output=output, progress=progress,
        resumed=checkpoint,
    )  # fmt: skip
    return _finished(trained, output, started, progress)


def _checkpoints():
    from lmkit.rnn import checkpoint  # and the kernels of recurrent networks, only where they are used

    return checkpoint


def _finished(trained, output, started, progress):
    """Complete the record, save the model if there is a place for it, and forget its checkpoints."""
    record = trained.metadata["training"]
    record["seconds"] = round(time.monotonic() - started, 3)
    trained.metadata["training"] = json.loads(json.dumps(record))  # as it will be read from the file
    model = Model(trained)
    if output is not None:
        if progress is not None:
            progress("saving", 0, None, "B")
        model.save(output)
        if registry.architecture(record["options"]["arch"]).in_steps:
            _checkpoints().forget(output)
    return model
