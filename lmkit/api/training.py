"""Models of all architectures, learnt from texts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import time
from collections.abc import Iterable, Iterator

import numpy as np

import lmkit
from lmkit import arguments, registry, storage
from lmkit.api.models import Model
from lmkit.arguments import DEFAULT_VALID, Progress, Texts
from lmkit.errors import Interrupted, OptionError
from lmkit.files import sole_writer
from lmkit.interruption import interruptible
from lmkit.replacement import check_replacement
from lmkit.text import TextLayer, TextSettings
from lmkit.threads import aside

NO_MATTER = ("threads", "memory", "temp")  # options that do not shape the model
REPRODUCIBLE = "SOURCE_DATE_EPOCH"  # in the environment: builds are to give the same bytes (reproducible-builds.org)
MEASURED = ("training_seconds", "tokens_per_second")  # in records of trainings in steps


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
    force: bool = False,
    progress: Progress | None = None,
    **options,
) -> Model:
    """Train a language model, and save it if `output` is given.

    A recurrent model is trained in steps, and keeps a checkpoint beside `output` until it is done; see `resume`.

    The model holds a record of its training. Same texts and options give the same file, but for the times that
    recurrent models have in that record: where the environment has a SOURCE_DATE_EPOCH, these are left out.
    (A `time_limit` gives a training an end, and so a model, that depends on the machine's speed.)

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
    force : bool
        Let the training of a recurrent model replace a finished model of other texts or options.
    options
        Of the architecture: order, smoothing, k, ... as in `lmkit.ngram.options.NGramOptions`, or hidden, layers,
        epochs, ... as in `lmkit.rnn.options.RNNOptions`.

    Raises
    ------
    CorpusError, OptionError, ModelError
    Diverged
        The training of a recurrent model got nowhere.
    Interrupted
        By Ctrl-C; a checkpoint was written, if there is an output, and the best model so far is its `model`.

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
        return _train_from_counts(texts, settings, choices, escaped, valid, output, progress)
    learning = {
        "vocabulary": vocabulary, "vocab_size": vocab_size, "min_count": min_count, "encoding": encoding,
        "errors": errors,
    }  # fmt: skip
    read = functools.partial(_read, texts, settings, sentence is None, escaped=escaped, progress=progress, **learning)
    if not architecture.in_steps:
        return _train_by_counting(read, settings, choices, learning, valid, output, progress)
    with _training_in_steps(output):
        if output is not None:
            _checkpoints().check_free(output)
        return _train_in_steps(read, arch, settings, choices, learning, valid, output, force, started, progress)


def _read(texts, settings, ask, **options):
    """Read texts to learn from; ask, if need be, whether their lines are meant to be sentences."""
    learned = arguments.read_texts(texts, settings, **options)
    if ask:
        *_, records = learned
        arguments.warn_of_long_sentences(records, settings)
    return learned


def _train_by_counting(read, settings, choices, learning, valid, output, progress):
    ids, text, counts, records = read(**arguments.waiting_room(choices))
    record, held_out = _record("ngram", choices, settings, text, learning, records), None
    if choices.holds_out:
        split = _hold_out(ids, text, records, valid, learning, sentences=True)
        ids, held_out, record["held_out"] = split.ids, split.held_out, split.record
        if len(ids) < sum(corpus["tokens"] for corpus in records):
            counts = counts - np.bincount(held_out, minlength=len(counts))
    trained = aside(
        registry.architecture("ngram").get("train"), ids, counts, text, choices,
        progress=arguments.training(progress, len(ids)), held_out=held_out,
    )  # fmt: skip
    trained.metadata["training"] = record
    del ids  # the file's pages can take this memory over: to touch new memory costs more than to write
    return _finished(trained, output, progress)


def _train_in_steps(read, arch, settings, choices, learning, valid, output, force, started, progress):
    ids, text, counts, records = read()
    record = _record(arch, choices, settings, text, learning, records)
    split = _hold_out(ids, text, records, valid, learning)
    if output is not None and not force:
        check_replacement(output, {**record, "held_out": split.record})
    trained = registry.architecture(arch).get("train")(
        arch, split, counts, text, choices, record, output=output, progress=progress
    )
    return _finished_in_steps(trained, output, started, progress)


def _record(arch, choices, settings, text, learning, records):
    """Return what the model file will say of its training."""
    return {
        "corpora": records,
        "held_out": None,
        "options": {
            "arch": arch,
            **{name: value for name, value in dataclasses.asdict(choices).items() if name not in NO_MATTER},
            **choices.describe(),
            **settings.describe(),
            **learning,
            "vocabulary": None if learning["vocabulary"] is None else len(text.vocabulary),
        },
        "lmkit_version": lmkit.__version__,
    }


def _hold_out(ids, text, records, valid, learning, sentences=False):
    share, encoding, errors = DEFAULT_VALID if valid is None else valid, learning["encoding"], learning["errors"]
    return arguments.hold_out(ids, text, records, share, encoding=encoding, errors=errors, sentences=sentences)


def _train_from_counts(texts, settings, choices, escaped, valid, output, progress):
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
    return _finished(trained, output, progress)


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
    Interrupted
        See `train`.
    """
    started = time.monotonic()
    storage.check_target(output)
    with _training_in_steps(output):
        checkpoint = _checkpoints().load(output)
        record, text = checkpoint.record, checkpoint.model.text
        arguments.check_names(expected, [*record["options"], "threads", "valid", "escaped"], record["options"]["arch"])
        valid, vocabulary, escaped = (expected.pop(name, None) for name in ("valid", "vocabulary", "escaped"))
        options = checkpoint.agreed_options(expected)
        split = arguments.read_again(
            text, record, texts, checkpoint.path, valid=valid, vocabulary=vocabulary, escaped=escaped, progress=progress
        )
        arch = checkpoint.model.shape.arch
        trained = registry.architecture(arch).get("train")(
            arch, split, None, text, options, record, output=output, progress=progress, resumed=checkpoint
        )
        return _finished_in_steps(trained, output, started, progress)


@contextlib.contextmanager
def _training_in_steps(output) -> Iterator[None]:
    """Keep others from writing the output meanwhile, and let an interruption carry a model of this API."""
    with contextlib.nullcontext() if output is None else sole_writer(output):
        try:
            yield
        except Interrupted as interrupt:
            if interrupt.model is not None:
                path = None if output is None else _checkpoints().checkpoint_path(output)
                interrupt.model = Model(interrupt.model, path)
            raise


def _checkpoints():
    from lmkit.rnn import checkpoint  # and the kernels of recurrent networks, only where they are used

    return checkpoint


def _finished_in_steps(trained, output, started, progress):
    """Complete the record of a training in steps with the time it took, unless the file is to be reproducible."""
    record = trained.metadata["training"]
    if REPRODUCIBLE in os.environ:
        record = {name: value for name, value in record.items() if name not in MEASURED}
        record["history"] = [{k: v for k, v in entry.items() if k != "seconds"} for entry in record["history"]]
    else:
        record["seconds"] = round(time.monotonic() - started, 3)
    trained.metadata["training"] = record
    with interruptible():  # too late to be interrupted
        model = _finished(trained, output, progress)
        if output is not None:
            _checkpoints().forget(output)
    return model


def _finished(trained, output, progress):
    """Save a model if there is a place for it."""
    trained.metadata["training"] = json.loads(json.dumps(trained.metadata["training"]))  # as it is read from the file
    model = Model(trained)
    if output is not None:
        if progress is not None:
            progress("saving", 0, None, "B")
        model.save(output)
    return model
