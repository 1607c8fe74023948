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
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import lmkit
from lmkit import arguments, registry, storage
from lmkit.arguments import DEFAULT_VALID, Progress, Texts
from lmkit.comparison import Comparison
from lmkit.comparison import compare as compare_models
from lmkit.description import FACTS, described
from lmkit.drafts import Rules
from lmkit.errors import ModelError, OptionError
from lmkit.evaluation import Evaluation, evaluate
from lmkit.explanation import Explained, WholeText, read_whole
from lmkit.explanation import explain as explain_texts
from lmkit.lockstep import Candidate
from lmkit.model import LanguageModel, State
from lmkit.passages import Shape, Text
from lmkit.rounds import DECODING, Quiz, make_quiz
from lmkit.sampling import OPTIONS, sample_pieces
from lmkit.scoring import LineScores, likely_lines, rescore_lists, score_lines, threshold
from lmkit.similarity import Neighbour
from lmkit.similarity import nearest as nearest_tokens
from lmkit.text import TextLayer, TextSettings
from lmkit.text.listing import listed_ids, listed_tokens, text_of_ids, text_of_tokens
from lmkit.threads import available
from lmkit.uniforms import Uniforms
from lmkit.vectors import TokenVectors

if TYPE_CHECKING:
    from lmkit.plotting.chart import Chart
    from lmkit.units import Unit

DEFAULT_PASSAGE = 200  # characters
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
    "explain",
    "explain_page",
    "explained_svg",
    "filter_lines",
    "from_arpa",
    "info",
    "learning_curves",
    "load",
    "mix",
    "nearest",
    "neurons",
    "next_tokens",
    "perplexity",
    "plot",
    "prune",
    "quiz",
    "rescore",
    "resume",
    "sample",
    "score",
    "tokenize",
    "train",
    "vary",
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

    def rows(self, state: State, ids: np.ndarray) -> tuple[np.ndarray, State]:
        return self.language_model.rows(state, ids)

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

    def token_vectors(self) -> tuple[TokenVectors, TokenVectors] | None:
        return self.language_model.token_vectors()

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

    def nearest(self, word: str, **options) -> list[Neighbour]:
        """Return the tokens that the model takes for most like a word; see `nearest`."""
        return nearest(self, word, **options)

    def log_prob(self, text: str) -> float:
        """Return the natural logarithm of the probability of a text and of the end of its last sentence."""
        ids = self.text.encode_text(text).ids
        log_p, _ = self.score(self.begin(), ids[None, :])
        return float(log_p.sum(dtype=np.float64))

    def save(self, path: str | os.PathLike, *, by_reference: bool = False) -> None:
        """Write the model file: whole or not at all.

        Parameters
        ----------
        by_reference : bool
            A mixture only names its members, which have files of their own, instead of holding them: see
            `lmkit.mixture.members`.

        Raises
        ------
        OptionError, ModelError
        """
        family, metadata, tensors = self._contents()
        if by_reference:
            from lmkit.mixture.members import naming

            config, tensors = naming(self.language_model, metadata["config"], tensors, path)
            metadata = {**metadata, "config": config}
        storage.save(path, family, metadata, tensors)
        self.path = os.fspath(path)
        self.language_model.origin = storage.open_model_file(path, verify_small=False).origin

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


def quiz(
    models: Iterable[LanguageModel | str | os.PathLike] | LanguageModel | str | os.PathLike,
    text: Texts,
    *,
    rounds: int = 10,
    passages: int = 2,
    lines: int | None = None,
    length: int | None = None,
    copied: float = 0.3,
    seed: int | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
    progress: Progress | None = None,
    **decoding,
) -> Quiz:
    """Return a quiz: which passage is from the text, and which did a model write? See `lmkit.rounds`.

    The real ones come from the part that was held out of the training, or all of a text that was not trained on.

    Parameters
    ----------
    models : path, model, or iterable of these
        Each has its own rounds, as many as the others or one more.
    text : path, (name, bytes) pair or Corpus
        One text.
    passages : int
        Of a round: a real one, and those of a model.
    lines, length : int, optional
        How long a passage is: so many lines, or whole lines until there are so many characters (200 by default).
    copied : float
        The largest share of a passage that may stand in one piece in the text, or in what the models were trained on.
    seed : int, optional
        Same seed, same quiz. None picks one.
    threads : int, optional
        Of models that are given as paths: see `load`.
    decoding
        temperature, top_k, top_p, min_p, allow_unk as in `lmkit.decoding.generate`.

    Raises
    ------
    OptionError, CorpusError, ModelError
    LmkitError
        A model wrote nothing that may be shown.

    Warns
    -----
    LmkitWarning
        Where a model knows the real passages, or copies cannot be told.

    >>> bottles = "".join(f"{n}:\\n{n} green bottles\\nhanging on the wall\\n\\n" for n in range(99)).encode()
    >>> m = train(("bottles", bottles), tokenizer="char", order=5, smoothing="jelinek-mercer", valid=0.2)
    >>> [round] = quiz(m, ("bottles", bottles), rounds=1, lines=2, copied=1, seed=1).rounds
    >>> [passage.model for passage in round.passages], round.answer
    ([None, 'model 1'], 0)
    """
    arguments.check_names(decoding, DECODING, "quiz")
    (corpus,) = arguments.corpora([text], encoding, errors)
    if isinstance(models, (str, os.PathLike, LanguageModel)):
        models = [models]
    loaded = [given if isinstance(given, LanguageModel) else load(given, threads=threads) for given in models]
    named = [
        (getattr(model, "path", None) or f"model {number}", getattr(model, "language_model", model))
        for number, model in enumerate(loaded, 1)
    ]
    shape = Shape(lines, DEFAULT_PASSAGE if lines is None and length is None else length)
    seed = secrets.randbits(32) if seed is None else seed
    rng = arguments.generator(seed)
    read = Text.read(corpus, progress=arguments.reading(progress, [corpus]))
    made = make_quiz(
        named, read, Rules(shape, copied, decoding), rounds=rounds, passages=passages, rng=rng,
        progress=progress,
    )  # fmt: skip
    return dataclasses.replace(made, settings={"seed": seed, **made.settings, "lmkit_version": lmkit.__version__})


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


def explain(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[Explained]:
    """Yield texts, some lines at a time, with the surprisal of each token as it stands: see `lmkit.explanation`.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens.

    Raises
    ------
    CorpusError
    OptionError
        The two models see different tokens.

    >>> m = train([("rows", b"row row row your boat\\n")], order=2, smoothing="mle", tokenizer="whitespace")
    >>> [piece] = explain(m, ("line", b"row  row your boat\\n"))
    >>> piece.tokens, piece.surprisal.round(1).tolist()
    (['row', '  row', ' your', ' boat', '\\n'], [0.0, 0.6, 1.6, 0.0, 0.0])
    """
    models, names = _side_by_side(model, against)
    return explain_texts(models, names, arguments.corpora(texts, encoding, errors))


def neurons(
    model: LanguageModel,
    texts: Texts,
    units: str = "best",
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> tuple[list[Unit], list[tuple[WholeText, np.ndarray]]]:
    """Return what units of a recurrent model track in texts, and their activations: see `lmkit.units`.

    Parameters
    ----------
    units : str
        "best", or names with commas between them: 57 of the last layer, 1.57 of the first one.

    Returns
    -------
    units : list of Unit
    texts : list of (WholeText, ndarray)
        Each text with its tokens, and the activation of each unit after each token, float32 (units, T).

    Raises
    ------
    ModelError
        The model has no hidden units.
    CorpusError, OptionError
    """
    from lmkit.units import find_units, recurrent_part, unit_activations

    models, names = _side_by_side(model, None)
    recurrent_part(models[0])
    read = read_whole(models, names, arguments.corpora(texts, encoding, errors))
    report = arguments.explaining(progress, read)
    found = find_units(models[0], read, units, report)
    return found, [(text, unit_activations(models[0], text, found)) for text in read]


def explain_page(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    units: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yield a page of HTML that shows texts as models see them, piece by piece: one file that needs no other.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens.
    units : str, optional
        Units of a recurrent model whose activations can be shown, too: see `neurons`.

    Raises
    ------
    CorpusError
        A text cannot be read, or they are longer than `lmkit.explanation.LONGEST` bytes.
    OptionError, ModelError
    """
    from lmkit.pages.page import page
    from lmkit.units import recurrent_part

    models, names = _side_by_side(model, against)
    if units is not None:
        recurrent_part(models[0])
    read = read_whole(models, names, arguments.corpora(texts, encoding, errors))
    report = arguments.explaining(progress, read, len(models) + (units is not None))
    return page(models, names, read, units, lmkit.__version__, report)


def explained_svg(
    model: LanguageModel,
    texts: Texts,
    *,
    against: LanguageModel | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> str:
    """Return a picture of some lines of text, each token on the colour of its surprisal: SVG, for light and dark.

    Parameters
    ----------
    against : LanguageModel, optional
        Another model, which must see the same tokens: then the colours are of the difference.

    Raises
    ------
    CorpusError
    OptionError
        The two models see different tokens, or there are more than `lmkit.pages.svg.LONGEST` characters.
    """
    from lmkit.pages.svg import svg

    pieces = explain(model, texts, against=against, encoding=encoding, errors=errors)
    return svg(pieces, model.text.settings.tokenizer)


def _side_by_side(model, against):
    """Return one or two models of their families, and their names."""
    models = [model] if against is None else [model, against]
    names = [getattr(m, "path", None) or f"model {i}" for i, m in enumerate(models, 1)]
    return [getattr(m, "language_model", m) for m in models], names


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
    rule: str = "linear",
    weights: Iterable[float] | None = None,
    weights_by: str | None = None,
    cache: str | None = None,
    dynamic: bool = False,
    static: bool = False,
    output: str | os.PathLike | None = None,
    by_reference: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
    report: Callable[[str], object] | None = None,
) -> Model:
    """Return a mixture of models, or one that adapts to the running text, and save it if `output` is given.

    Parameters
    ----------
    models
        Of two and more a mixture is made.
    tune
        The text under which weights and parameters are chosen: what none of the models was trained on.
    rule : {'linear', 'log-linear'}
        Predict with the weighted mean of what the models predict, or with their weighted product.
    weights : iterable of float
        Or the weights themselves: from 0 to 1 with the sum 1, of log-linear mixtures exponents from 0 to 100.
    weights_by : {'context'}, optional
        Choose weights for each bucket of contexts of the first n-gram model: see `lmkit.mixture.buckets`.
    cache : {'unigram', 'neural'}, optional
        Let the model, or the mixture, expect words again that came a little while ago; `neural` goes by the hidden
        vectors of a recurrent model.
    dynamic : bool
        Let a recurrent model learn from the text that it reads.
    static : bool
        Compile a mixture of n-gram models into one n-gram model (Stolcke 2002): see `lmkit.mixture.static`. The
        mixture may be a single model that was made before.
    by_reference : bool
        Name the models in the file, by where their own files lie, instead of embedding them: see
        `lmkit.mixture.members`.
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
    from lmkit.mixture.members import check_origins

    listed = [models] if isinstance(models, (Model, str, os.PathLike)) else list(models)
    if output is not None:
        storage.check_target(output, [m for m in listed if not isinstance(m, Model)])
    loaded = [m if isinstance(m, Model) else load(m) for m in listed]
    names = [m.path or f"model {i + 1}" for i, m in enumerate(loaded)]
    if by_reference:
        if static:
            raise OptionError("--static makes one model of all, which has no members that --by-reference could name")
        if output is None:
            raise OptionError("by_reference says what the file of a mixture holds; give it an output")
        for model, name in zip(loaded, names, strict=True):
            check_origins(model.language_model, name, output)
    texts = None if tune is None else arguments.corpora(tune, encoding, errors)
    mixed, record = made(
        [m.language_model for m in loaded], names, texts, rule, None if weights is None else list(weights), weights_by,
        cache, dynamic, static, report or (lambda line: None),
    )  # fmt: skip
    mixed.metadata["training"] = {**record, "lmkit_version": lmkit.__version__}
    model = Model(mixed)
    if output is not None:
        model.save(output, by_reference=by_reference)
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


def nearest(
    model: LanguageModel, words: str | Iterable[str], *, top: int | None = 10, side: str = "both"
) -> list[Neighbour] | list[list[Neighbour]]:
    """Return the tokens that a model takes for most like a word, or a list of them for each of several words.

    How they are compared is told in `lmkit.similarity`.

    Parameters
    ----------
    top : int, optional
        How many; None for all that have something in common with the word.
    side : {'both', 'before', 'after'}
        Compare what stands before tokens, what comes after them, or both.

    Raises
    ------
    ModelError
        A word is no token of the model, or the model knows single tokens only, or is damaged.
    OptionError

    >>> m = train(("farm", b"cows eat hay\\nhens eat corn\\n"), order=2, smoothing="mle", tokenizer="whitespace")
    >>> nearest(m, "cows", top=1)
    [Neighbour(token='hens', id=7, similarity=1.0, before=1.0, after=1.0)]
    """
    if top is not None:
        arguments.at_least(0, "top", top)
    name = getattr(model, "path", None) or "the model"
    listed = [words] if isinstance(words, str) else list(words)
    found = nearest_tokens(model, listed, top=top, side=side, name=name)
    return found[0] if isinstance(words, str) else found


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


def learning_curves(
    models: Iterable[Model | str | os.PathLike],
    *,
    texts: Texts | None = None,
    axis: str | None = None,
    measure: str = "nats",
    encoding: str = "utf-8",
    errors: str = "strict",
    threads: int | None = None,
) -> Chart:
    """Return the learning curves of models, for `plot`, or to be read: see `lmkit.plotting.chart`.

    Parameters
    ----------
    models : iterable of paths or models
        Recurrent ones, or checkpoints of trainings that run. Others have no curve.
    texts : optional
        What models without a curve are scored on: their loss is a horizontal line.
    axis : {'time', 'tokens', 'steps'}, optional
        None: time and tokens.
    measure : {'nats', 'bits', 'perplexity'}
        Of each token.
    threads : int, optional
        See `load`.

    Raises
    ------
    ModelError
        A model has no curve, and there is no text; or its record is damaged.
    OptionError, CorpusError

    Warns
    -----
    LmkitWarning
        The models' tokens differ: then their losses do not compare.
    """
    from lmkit.plotting.learning import chart_of

    listed = [models] if isinstance(models, (Model, str, os.PathLike)) else list(models)
    read = None if texts is None else arguments.corpora(texts, encoding, errors)
    trained = [_trained(model, number, threads) for number, model in enumerate(listed, 1)]
    return chart_of(trained, read, axis, measure)


def _trained(model, number, threads):
    """Return what is known of a model's training; a path is opened no further than that needs."""
    from lmkit.plotting.learning import Trained

    if isinstance(model, Model):
        metadata = {**model.text.metadata(), "training": model.metadata.get("training")}
        return Trained(model.path or f"model {number}", metadata, lambda: model)
    path = os.fspath(model)
    running = f"{path}.checkpoint"
    if not os.path.exists(path) and os.path.exists(running):
        raise ModelError(f"{path}: not there yet, its training runs or was interrupted; name {running}")
    return Trained(path, storage.open_model_file(path).metadata, lambda: load(path, threads=threads))


def vary(
    texts: Texts,
    what: str,
    levels: str | float | Iterable[float],
    *,
    smoothing: str | Iterable[str] = "modified-kneser-ney",
    valid: float | str | os.PathLike = DEFAULT_VALID,
    measure: str = "perplexity",
    tokenizer: str = "word",
    sentence: str | None = None,
    lowercase: bool = False,
    reserved: str = "error",
    vocabulary: str | os.PathLike | list[str] | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
    **options,
) -> Chart:
    """Return how the loss of n-gram models goes with one thing, a curve for each smoothing: see `plot`.

    All know the words of the whole training text, and are scored on the same tokens.

    Parameters
    ----------
    texts
        As in `train`.
    what : {'order', 'size', 'ngrams', 'text'}
        What varies: n; the bytes or the n-grams to which models are pruned; the share of the training text.
    levels : str or iterable of float
        See `lmkit.plotting.variation.levels_of`: "1-7", [0.25, 0.5, 1].
    smoothing : str or iterable of str
    valid : float or path
        What is scored: the end of the text, so much of it or the rest of a line (of a paragraph) more, or another text.
    measure : {'nats', 'bits', 'perplexity'}
    tokenizer, sentence, lowercase, reserved, vocabulary, vocab_size, min_count, encoding, errors
        As in `train`.
    options
        order, cutoffs, k, ... as in `lmkit.ngram.options.NGramOptions`.

    Raises
    ------
    CorpusError, OptionError, ModelError

    >>> rows = ("rows", b"row row row your boat\\n" * 20)
    >>> chart = vary(rows, "order", "1-3", smoothing="witten-bell", tokenizer="whitespace")
    >>> [(row["order"], round(row["perplexity"], 2)) for row in chart.rows()]
    [(1, 3.49), (2, 1.41), (3, 1.27)]
    """
    from lmkit.plotting import variation

    study = variation.Study(what, levels, [smoothing] if isinstance(smoothing, str) else smoothing, options, measure)
    settings = TextSettings(tokenizer=tokenizer, sentence=sentence, lowercase=lowercase, reserved=reserved)
    material = variation.read_material(
        arguments.corpora(texts, encoding, errors), valid, settings, progress, vocabulary=vocabulary,
        vocab_size=vocab_size, min_count=min_count,
    )  # fmt: skip
    return study.chart(
        material, progress, prune=lambda model, **to: prune(Model(model), **to).language_model,
        file_size=lambda model: Model(model).file_size(),
    )  # fmt: skip


def plot(
    chart: Chart,
    output: str | os.PathLike,
    *,
    scale: str = "auto",
    dimensions: tuple[float, float] | None = None,
) -> None:
    """Draw a chart (`learning_curves`, `vary`) into a file, PNG, SVG or PDF by its name; it needs matplotlib.

    In text it is drawn by `lmkit.plotting.text.draw_text`.

    Parameters
    ----------
    scale : {'auto', 'linear', 'log'}
        Of the horizontal axes.
    dimensions : (float, float), optional
        Width and height in inches.

    Raises
    ------
    OptionError
        The name has another ending, matplotlib is missing, or the chart does not fit.
    LmkitError
        All losses are infinite.
    """
    from lmkit.files import check_place, replacing
    from lmkit.plotting.figure import draw_figure, format_of

    form = format_of(output)
    check_place(output)
    picture = draw_figure(chart, form, scale=scale, dimensions=dimensions)
    with replacing(output) as file:
        file.write(picture)


def info(path: str | os.PathLike, *, verify: bool = False) -> dict[str, Any]:
    """Return what a model file holds: its metadata, and what `lmkit.description` makes of them; all is untrusted.

    Parameters
    ----------
    verify : bool
        Whether every byte is read, and each damaged tensor named.

    Of a mixture also its members; with `verify` also what is wrong with the files of those that it names.

    Raises
    ------
    ModelError
        If it is no model file, or too damaged to be opened.
    """
    file = storage.open_model_file(path, verify_small=not verify)
    found = {"path": file.name, "family": file.family, "bytes": file.size}
    own = (*found, *FACTS, "tensors", "damaged")  # names that metadata cannot take
    found |= described(file.family, file.metadata, file.tensors, file.size)
    found |= {name: value for name, value in file.metadata.items() if name not in own}
    found["tensors"] = {
        name: {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "bytes": tensor.nbytes}
        for name, tensor in file.tensors.items()
    }
    if verify:
        found["damaged"] = list(file.damaged())
        if "members" in found:
            from lmkit.mixture.members import damage

            found["damaged_members"] = list(damage(file))
    return found


def _most_frequent_first(ngrams, counts):
    order = np.argsort(-counts, kind="stable")
    return ngrams[order], counts[order]
