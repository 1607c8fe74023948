"""Everything the commands do, as calls.

>>> import lmkit
>>> rows = ("rows", b"row row row your boat\\n")
>>> m = lmkit.train([rows], order=2, smoothing="mle", tokenizer="whitespace")
>>> m.sample(n=3, prompt="row your", temperature=0, seed=1)
' boat\\nrow'
>>> round(m.log_prob("row your boat"), 4)      # log 1/3: after "row" come "row", "row" and "your"
-1.0986
>>> m.next("row", top=1)
[NextToken(token='row', id=3, probability=0.666..., count=2, total=3)]

Progress: calls that take long accept `progress(phase, done, total, unit)`, called now and then, from any
thread: `phase` is a word or two ("reading", "counting"), `done` and `total` are numbers of `unit` ("B",
"tokens", "n-grams"), and `total` is None where it is not known.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import lmkit
from lmkit import arguments, registry, storage
from lmkit.arguments import Progress, Texts
from lmkit.comparison import Comparison
from lmkit.comparison import compare as compare_models
from lmkit.errors import ModelError, OptionError
from lmkit.evaluation import Evaluation, evaluate
from lmkit.lockstep import Candidate
from lmkit.model import LanguageModel, State
from lmkit.sampling import OPTIONS, sample_pieces
from lmkit.scoring import LineScores, likely_lines, rescore_lists, score_lines, threshold
from lmkit.text import TextLayer, TextSettings
from lmkit.text.listing import listed_ids, listed_tokens, text_of_ids, text_of_tokens
from lmkit.threads import available
from lmkit.uniforms import Uniforms

DEFAULT_VALID = 0.05  # of the text is held out for validation
NO_MATTER = ("threads", "memory", "temp")  # options that do not shape the model
SPARE_HEADER = 1024  # bytes by which a header may grow where a model is pruned
WASTE, ROUNDS = 0.02, 3  # the share of a wanted size that may be left over, and how often it is tried to be less

__all__ = [
    "Model",
    "NextToken",
    "arpa",
    "compare",
    "count",
    "detokenize",
    "filter_lines",
    "from_arpa",
    "info",
    "load",
    "mix",
    "next_tokens",
    "perplexity",
    "prune",
    "rescore",
    "resume",
    "sample",
    "score",
    "tokenize",
    "train",
]


@dataclasses.dataclass(frozen=True)
class NextToken:
    """One row of a distribution p(token | context); count and total are None where the model does not keep
    counts."""

    token: str
    id: int
    probability: float
    count: int | None
    total: int | None


class Model(LanguageModel):
    """A language model with all that one can do with it; the contract of `lmkit.model` is passed on to its
    family.

    Attributes
    ----------
    language_model : LanguageModel
        The model of its family.
    path : str or None
        The file it came from or went to.
    """

    def __init__(self, language_model: LanguageModel, path: str | os.PathLike | None = None):
        self.language_model = language_model
        self.path = None if path is None else os.fspath(path)
        self.text, self.family, self.metadata = language_model.text, language_model.family, language_model.metadata

    def begin(self, n: int = 1) -> State:
        return self.language_model.begin(n)

    def log_probs(self, state: State) -> np.ndarray:
        return self.language_model.log_probs(state)

    def advance(self, state: State, ids: np.ndarray) -> State:
        return self.language_model.advance(state, ids)

    def score(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        return self.language_model.score(state, ids)

    @property
    def tempers(self) -> bool:
        return self.language_model.tempers

    def draw(
        self, state: State, t: int, uniforms: Uniforms, banned: np.ndarray, **tempered
    ) -> tuple[np.ndarray, State]:
        return self.language_model.draw(state, t, uniforms, banned, **tempered)

    def shorten(self, state: State) -> State | None:
        return self.language_model.shorten(state)

    def settings(self) -> dict:
        return self.language_model.settings()

    def context_counts(self, state: State) -> np.ndarray | None:
        return self.language_model.context_counts(state)

    def orders(self, ids: np.ndarray) -> np.ndarray | None:
        return self.language_model.orders(ids)

    @property
    def remembers(self) -> bool:
        return self.language_model.remembers

    def __repr__(self) -> str:
        listed = ", ".join(f"{key}={value!r}" for key, value in self.settings().items())
        return f"<lmkit.Model {listed}, vocabulary={self.vocabulary_size}>"

    def sample(self, **options) -> str | list[str]:
        """Return generated text; see `sample`."""
        return sample(self, **options)

    def perplexity(self, texts: Texts, **options) -> Evaluation:
        """Return how surprised the model is by texts; see `perplexity`."""
        return perplexity(self, texts, **options)

    def next(self, context: str = "", **options) -> list[NextToken]:
        """Return the most probable next tokens; see `next_tokens`."""
        return next_tokens(self, context, **options)

    def log_prob(self, text: str) -> float:
        """Return the natural logarithm of the probability of a text and of the end of its last sentence."""
        ids = self.text.encode_text(text).ids
        log_p, _ = self.score(self.begin(), ids[None, :])
        return float(log_p.sum(dtype=np.float64))

    def save(self, path: str | os.PathLike) -> None:
        """Write the model file: whole or not at all."""
        storage.save(path, *self._contents())
        self.path = os.fspath(path)

    def file_size(self) -> int:
        """Return how many bytes the model file has, or would have."""
        return storage.file_size(*self._contents())

    def _contents(self):
        model = self.language_model
        metadata = {"config": model.config(), **model.text.metadata(), "training": model.metadata.get("training")}
        return model.family, metadata, model.tensors()


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
    """
    started = time.monotonic()
    texts = arguments.corpora(texts, encoding, errors)
    if output is not None:
        storage.check_target(output, [corpus.name for corpus in texts if corpus.data is None])
    architecture = registry.architecture(arch)
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    if limit_vocabulary is not None:
        options["limit_vocabulary"] = tuple(arguments.tokens(limit_vocabulary, settings, encoding, errors))
    choices = arguments.choices(architecture.get("options"), arch, options)
    if valid is not None and not choices.holds_out:
        raise OptionError("--valid goes with recurrent models and --smoothing jelinek-mercer: else nothing is held out")
    if from_counts:
        if architecture.in_steps or vocabulary is not None or vocab_size is not None or min_count != 1:
            raise OptionError("--from-counts goes with --arch ngram, and without --vocab, --vocab-size and --min-count")
        if choices.memory is not None or choices.temp is not None:
            raise OptionError("--from-counts goes without --memory and --temp: the counts have to fit into memory")
        return _train_from_counts(texts, settings, choices, valid, output, started, progress)
    if output is not None and architecture.in_steps:
        _checkpoints().check_free(output)
    waiting = {} if architecture.in_steps else arguments.waiting_room(choices)
    ids, text, counts, records = arguments.read_texts(
        texts, settings, vocabulary=vocabulary, vocab_size=vocab_size, min_count=min_count,
        encoding=encoding, errors=errors, progress=progress, **waiting,
    )  # fmt: skip
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
        trained = architecture.get("train")(
            ids, counts, text, choices, progress=arguments.training(progress, len(ids)), held_out=held_out
        )
        trained.metadata["training"] = record
    del ids  # the file's pages can take this memory over: to touch new memory costs more than to write
    return _finished(trained, output, started, progress)


def _train_from_counts(texts, settings, choices, valid, output, started, progress):
    from lmkit.ngram.count_files import read_counts
    from lmkit.ngram.model import train_from_counts

    counts = read_counts(texts, choices.order, arguments.reading(progress, texts))
    text, held_out, found = TextLayer(settings, counts.vocabulary), None, None
    if choices.holds_out:
        if valid is None or arguments.share_of(valid) is not None:
            raise OptionError("counts have no text to hold out for jelinek-mercer; name one with --valid")
        split = arguments.hold_out(np.empty(0, np.int32), text, [], valid, texts[0].encoding, texts[0].errors)
        held_out, found = split.held_out, split.record
    names = ", ".join(corpus.title for corpus in texts)
    trained = train_from_counts(counts, text, choices, names, held_out)
    trained.metadata["training"] = {
        "corpora": [{"name": c.name, "sha256": c.sha256, "bytes": c.bytes, "lines": c.lines} for c in texts],
        "held_out": found,
        "options": {"arch": "ngram", **choices.describe(), **settings.describe(), "from_counts": True},
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
    arguments.check_names(expected, [*record["options"], "threads", "valid"], record["options"]["arch"])
    valid, vocabulary = expected.pop("valid", None), expected.pop("vocabulary", None)
    options = checkpoint.agreed_options(expected)
    split = arguments.read_again(
        text, record, texts, checkpoint.path, valid=valid, vocabulary=vocabulary, progress=progress
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


def load(path: str | os.PathLike, *, threads: int | None = None) -> Model:
    """Open a model file; large tables stay on disk and are shared between processes.

    Parameters
    ----------
    threads : int, optional
        At most so many threads score and draw, by default one per core; the numbers are the same for all.

    Raises
    ------
    ModelError
        If it cannot be read, is damaged, or is not a model file.
    """
    model = registry.load(storage.open_model_file(path))
    if threads is not None and hasattr(model, "threads"):
        model.threads = arguments.at_least(1, "threads", threads)
    return Model(model, path)


def sample(
    model: LanguageModel, *, seed: int | None = None, count: int | None = None, prompt: str = "", **options
) -> str | list[str]:
    """Return text that the model generates, after a prompt if there is one (not repeated in the result).

    Parameters
    ----------
    seed : int, optional
        Same seed, same text. None picks one.
    count : int, optional
        Return a list of so many samples.
    options
        n, sentences, stop as in `lmkit.sampling.sample_pieces`; temperature, top_k, top_p, min_p,
        repetition_penalty, allow_unk as in `lmkit.decoding.generate`.
    """
    arguments.check_names(options, OPTIONS, "sample")
    rng = arguments.generator(seed)
    samples = [bytearray() for _ in range(1 if count is None else count)]
    for piece in sample_pieces(model, count=1 if count is None else count, prompt=prompt, rng=rng, **options):
        samples[piece.stream] += piece.text
    texts = [bytes(s).decode("utf-8", "surrogateescape") for s in samples]
    return texts[0] if count is None else texts


def perplexity(
    model: LanguageModel,
    texts: Texts,
    *,
    reset: str = "file",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Evaluation:
    """Return how surprised the model is by texts: perplexity, bits per character, and the settings of the
    score.

    Raises
    ------
    CorpusError
        If a text cannot be read, or there is nothing to score.
    """
    evaluation = evaluate(model, arguments.corpora(texts, encoding, errors), reset=reset)
    settings = {"model": getattr(model, "path", None), **evaluation.settings, "lmkit_version": lmkit.__version__}
    return dataclasses.replace(evaluation, settings=settings)


def compare(
    models: Iterable[LanguageModel | str | os.PathLike],
    texts: Texts,
    *,
    reset: str = "file",
    resamples: int = 1000,
    confidence: float = 0.95,
    block: int | None = None,
    seed: int = 1,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
) -> Comparison:
    """Return what models make of the same texts, and how sure their differences to the first one are.

    What compares with what, and how, is told in `lmkit.comparison`; options are those of `lmkit.comparison.compare`.

    Parameters
    ----------
    models : iterable of paths or models
        Two or more.
    threads : int, optional
        Of models that are given as paths: see `load`.

    Raises
    ------
    OptionError
        If two models do not compare.
    CorpusError, ModelError

    >>> rows = ("rows", b"row row row your boat\\n" * 20)
    >>> a, b = (train(rows, order=n, smoothing="mle", tokenizer="whitespace") for n in (1, 2))
    >>> [difference] = compare([a, b], rows).differences
    >>> difference.baseline, difference.model, round(difference.as_dict()["ratio"], 3)
    ('model 1', 'model 2', 0.397)
    """
    read = arguments.corpora(texts, encoding, errors)
    arguments.at_least(1, "resamples", resamples)
    arguments.at_least(1, "block", 1 if block is None else block)
    if isinstance(models, (str, os.PathLike, LanguageModel)):
        models = [models]
    candidates = []
    for number, given in enumerate(models, 1):
        model = given if isinstance(given, LanguageModel) else load(given, threads=threads)
        path = getattr(model, "path", None)
        size = None if path is None else os.path.getsize(path)
        candidates.append(Candidate(f"model {number}" if path is None else path, model, size))
    compared = compare_models(
        candidates, read, reset=reset, resamples=resamples, confidence=confidence, block=block, seed=seed
    )
    return dataclasses.replace(compared, settings={**compared.settings, "lmkit_version": lmkit.__version__})


def score(
    model: LanguageModel, texts: Texts, *, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[LineScores]:
    """Yield the scores of the lines of texts, some lines at a time, as they arrive: see `lmkit.scoring`.

    A line is one sentence, whatever sentences the model was trained on.

    Raises
    ------
    CorpusError

    >>> m = train([("rows", b"row row row your boat\\n")], order=2, smoothing="mle", tokenizer="whitespace")
    >>> blocks = list(score(m, ("lines", b"row row\\nyour boat\\n")))
    >>> [line for block in blocks for line in block.lines], [n for block in blocks for n in block.tokens.tolist()]
    ([b'row row', b'your boat'], [3, 3])
    """
    return score_lines(model, arguments.corpora(texts, encoding, errors))


def rescore(
    model: LanguageModel, texts: Texts, *, feature: str = "lmkit", encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[bytes]:
    """Yield n-best lists (Moses) with the model's score of each text among its features.

    Raises
    ------
    CorpusError
    """
    return rescore_lists(model, arguments.corpora(texts, encoding, errors), feature)


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

    return arpa_lines(_ngram(model).language_model.unpacked())


def from_arpa(
    path: str | os.PathLike,
    *,
    output: str | os.PathLike | None = None,
    tokenizer: str = "whitespace",
    sentence: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Model:
    """Return the n-gram model that an ARPA file (also .gz, .bz2, .xz) holds, and save it if `output` is given.

    Parameters
    ----------
    tokenizer, sentence
        How text becomes the tokens of this model: see `lmkit.text.TextSettings`. Of other tokenizers than `whitespace`
        tokens are unescaped.

    Raises
    ------
    ModelError
        It is no ARPA file; the message names the line.
    CorpusError, OptionError
    """
    from lmkit.ngram.arpa import read_arpa

    started = time.monotonic()
    if output is not None:
        storage.check_target(output, [path])
    (corpus,) = arguments.corpora(path, "utf-8", "keep")
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence)
    read = read_arpa(corpus, settings, arguments.reading(progress, [corpus]), threads)
    read.metadata["training"] = {
        "arpa": {"name": corpus.title, "sha256": corpus.sha256}, "held_out": None, "options": settings.describe(),
        "lmkit_version": lmkit.__version__, "seconds": round(time.monotonic() - started, 3),
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
    from lmkit.ngram import packed, pruning

    ways = sum(way is not None for way in (threshold, ngrams, size, cutoffs))
    if ways > 1 or not (ways or quantize is not None):
        raise OptionError("give one of threshold, ngrams, size and cutoffs, or quantize, or quantize and one of them")
    if threshold is not None and not 0 <= threshold < 1:
        raise OptionError(f"--threshold is {threshold:g}; it must be a share, 0 to below 1, such as 1e-7")
    if quantize is not None:
        packed.check_bits(quantize)
    if output is not None:
        storage.check_target(output)
    small = _ngram(model).language_model.unpacked()
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
    pruned = Model(small if quantize is None else packed.pack(small, quantize))
    if output is not None:
        pruned.save(output)
    return pruned


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


def mix(
    models: Iterable[Model | str | os.PathLike],
    *,
    tune: Texts | None = None,
    weights: Iterable[float] | None = None,
    cache: str | None = None,
    dynamic: bool = False,
    output: str | os.PathLike | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    report: Callable[[str], object] | None = None,
) -> Model:
    """Return a linear mixture of models, or one that adapts to the running text, and save it if `output` is given.

    Parameters
    ----------
    models
        Of two and more a linear mixture is made. They are embedded in its file.
    tune
        The text under which weights and parameters are chosen: what none of the models was trained on.
    weights : iterable of float
        Or the weights themselves.
    cache : {'unigram', 'neural'}, optional
        Let the model, or the mixture, expect words again that came a little while ago; `neural` goes by the hidden
        vectors of a recurrent model.
    dynamic : bool
        Let a recurrent model learn from the text that it reads.
    report : callable, optional
        Called with a line for each step of the search.

    Raises
    ------
    OptionError, ModelError, CorpusError

    >>> cows = lmkit.train(("cows", b"cows eat corn\\n" * 9), order=2, tokenizer="byte", smoothing="witten-bell")
    >>> hens = lmkit.train(("hens", b"hens eat corn\\n" * 9), order=2, tokenizer="byte", smoothing="witten-bell")
    >>> both = mix([cows, hens], tune=("tune", b"hens eat corn\\n"))
    >>> [round(w, 2) for w in both.language_model.weights]
    [0.0, 1.0]
    """
    from lmkit.mixture.making import made

    listed = [models] if isinstance(models, (Model, str, os.PathLike)) else list(models)
    if output is not None:
        storage.check_target(output, [m for m in listed if not isinstance(m, Model)])
    loaded = [m if isinstance(m, Model) else load(m) for m in listed]
    names = [m.path or f"model {i + 1}" for i, m in enumerate(loaded)]
    texts = None if tune is None else arguments.corpora(tune, encoding, errors)
    mixed, record = made(
        [m.language_model for m in loaded], names, texts, None if weights is None else list(weights), cache, dynamic,
        report or (lambda line: None),
    )  # fmt: skip
    mixed.metadata["training"] = {**record, "lmkit_version": lmkit.__version__}
    model = Model(mixed)
    if output is not None:
        model.save(output)
    return model


def _ngram(model):
    """Return an n-gram model, opened if it is a path."""
    loaded = model if isinstance(model, Model) else load(model)
    if loaded.family != "ngram":
        raise ModelError(f"{loaded.path or 'the model'} is of the family {loaded.family}; this is for n-gram models")
    return loaded


def filter_lines(
    model: LanguageModel,
    texts: Texts,
    *,
    max_perplexity: float | None = None,
    keep: float | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[bytes]:
    """Yield the lines of texts that a model finds likely, some at a time, each with its newline.

    Parameters
    ----------
    max_perplexity : float
        The largest perplexity of a line.
    keep : float
        Or the share of all lines, the least surprising ones; the texts are then read twice. Equal ones all pass.

    Raises
    ------
    CorpusError, OptionError
    """
    if (max_perplexity is None) == (keep is None):
        raise OptionError("give either max_perplexity or keep")
    if keep is not None:
        if not 0 <= keep <= 1:
            raise OptionError(f"--keep is {keep:g}; it must be a share of the lines, 0 to 1")
        max_perplexity = threshold(model, arguments.corpora(texts, encoding, errors), keep)
    return likely_lines(model, arguments.corpora(texts, encoding, errors), max_perplexity)


def tokenize(
    texts: Texts,
    model: str | os.PathLike | Model | None = None,
    *,
    ids: bool = False,
    tokenizer: str | None = None,
    sentence: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[bytes]:
    """Yield the tokens of texts, a sentence a line, escaped, blanks between them; or their ids.

    Parameters
    ----------
    model : path or Model, optional
        Says how text becomes tokens, where the next two do not; ids are of its vocabulary.

    Raises
    ------
    CorpusError, ModelError, OptionError

    >>> b"".join(tokenize(("t", b"To be,\\nor not."), tokenizer="word"))
    b'To be , \\\\n or not .\\n'
    """
    read = arguments.corpora(texts, encoding, errors)
    if ids:
        return listed_ids(_layer(model, tokenizer, sentence), read)
    return listed_tokens(_text_settings(model, tokenizer, sentence), read)


def detokenize(
    texts: Texts,
    model: str | os.PathLike | Model | None = None,
    *,
    ids: bool = False,
    tokenizer: str | None = None,
    sentence: str | None = None,
) -> Iterator[bytes]:
    """Yield the text of tokens or ids as `tokenize` writes them.

    Raises
    ------
    CorpusError, ModelError, OptionError
    """
    read = arguments.corpora(texts, "utf-8", "keep")
    if ids:
        return text_of_ids(_layer(model, tokenizer, sentence), read)
    return text_of_tokens(_text_settings(model, tokenizer, sentence), read)


def _layer(model, tokenizer, sentence):
    """Return the text layer of a model, which ids need."""
    if model is None:
        raise OptionError("ids are those of a model; name one with -m")
    text = (model if isinstance(model, LanguageModel) else load(model)).text
    if tokenizer not in (None, text.settings.tokenizer):
        raise OptionError(f"--tokenizer is {tokenizer}, and the model's ids are of {text.settings.tokenizer}")
    settings = text.settings if sentence is None else dataclasses.replace(text.settings, sentence=sentence)
    return TextLayer(settings, text.vocabulary, text.unicode_version, text.lowercase_version)


def _text_settings(model, tokenizer, sentence):
    """Return what says how text becomes tokens."""
    if model is not None:
        return _layer(model, tokenizer, sentence).settings
    return TextSettings(tokenizer=tokenizer or "word", sentence=sentence)


def next_tokens(model: LanguageModel, context: str = "", *, top: int | None = 10) -> list[NextToken]:
    """Return the distribution p(token | context), the most probable tokens first, of equals the smaller id.

    Parameters
    ----------
    top : int, optional
        How many rows; None for every token that can come.
    """
    if top is not None:
        arguments.at_least(0, "top", top)
    state = model.begin()
    ids = model.text.encode_text(context, complete=False).ids if context else np.empty(0, np.int32)
    if len(ids):
        state = model.score(state, ids[None, :])[1]
    row = model.log_probs(state)[0]
    counts = model.context_counts(state)
    counts = None if counts is None else counts[0]
    total = None if counts is None else int(counts.sum())
    order = np.argsort(-row, kind="stable")
    order = order[np.isfinite(row[order])][:top]
    return [
        NextToken(
            token=model.text.vocabulary.token(i),
            id=i,
            probability=float(np.exp(np.float64(row[i]))),
            count=None if counts is None else int(counts[i]),
            total=total,
        )
        for i in order.tolist()
    ]


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
        vocabulary, vocab_size, min_count, encoding, errors and progress as in `train`.

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
    threads = available() if threads is None else arguments.at_least(1, "threads", threads)
    orders = sorted(set(orders))
    if not orders or orders[0] < 1 or orders[-1] > MAX_ORDER:
        raise OptionError(f"orders are {orders}; they must be from 1 to {MAX_ORDER}")
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    ids, text, _, _ = arguments.read_texts(texts, settings, **reading)
    tables = count_ngrams(ids, orders[-1], len(text.vocabulary), threads)
    return {k: _most_frequent_first(*tables[k - 1]) for k in orders}, text


def info(path: str | os.PathLike, *, verify: bool = False) -> dict[str, Any]:
    """Return what a model file holds; with `verify`, also every damaged tensor by name.

    Raises
    ------
    ModelError
        If it is no model file, or too damaged to be opened.
    """
    file = storage.open_model_file(path, verify_small=not verify)
    described = {"path": file.name, "family": file.family, "bytes": file.size, **_sizes(file), **file.metadata}
    described["tensors"] = {
        name: {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "bytes": tensor.nbytes}
        for name, tensor in file.tensors.items()
    }
    if verify:
        described["damaged"] = list(file.damaged())
    return described


def _sizes(file):
    """Return how many tokens and n-grams a model file holds, as far as it says so."""
    sizes = {}
    if "vocabulary.offsets" in file.tensors:
        sizes["vocabulary"] = len(file.tensors["vocabulary.offsets"]) - 1
    config = file.metadata.get("config")
    levels = config.get("ngrams") if isinstance(config, dict) else None
    if isinstance(levels, list) and all(isinstance(n, int) for n in levels) and sum(levels[1:]):  # 0 is the root
        sizes["ngrams"] = {str(k): n for k, n in enumerate(levels) if k}
        sizes["bytes_per_ngram"] = round(file.size / sum(levels[1:]), 2)
    return sizes


def _most_frequent_first(ngrams, counts):
    order = np.argsort(-counts, kind="stable")
    return ngrams[order], counts[order]
