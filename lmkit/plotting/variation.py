"""How the loss of n-gram models goes with their order, their size, or the size of the training text.

All models of a chart know the same words, those of the whole training text, and are scored on the same held-out tokens:
else their perplexities would not compare. So more text means more counts here, never more words.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmkit import arguments
from lmkit.arguments import Progress
from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.model import LanguageModel
from lmkit.ngram.options import MAX_ORDER, NGramOptions
from lmkit.ngram.several import train_several
from lmkit.plotting.chart import AXES, HELD_OUT, Chart, Curve, shortened
from lmkit.text import Corpus, TextLayer, TextSettings

__all__ = ["COLUMNS", "VARIED", "Material", "Study", "levels_of", "read_material"]

VARIED = ("order", "size", "ngrams", "text")
COLUMNS = ("order", "share", "tokens", "ngrams", "bytes")
MOST_LEVELS = 100
KILO = 1024
NAMED = 24  # characters of a title that names take
PARAGRAPH = re.compile(rb"\n\s*\n")
ENDLESS = 10_000  # bytes of a paragraph within which its end is looked for; else it is that of a line
PIECES, LEAST_PIECE = 50, 16_384  # of a text of which a share is taken; bytes
WANTED = {
    "order": ((int, np.integer), MAX_ORDER, f"whole numbers from 1 to {MAX_ORDER}"),
    "size": ((int, float, np.number), 2**62, "numbers over 0"),
    "ngrams": ((int, float, np.number), 2**62, "numbers over 0"),
    "text": ((int, float, np.number), 1, "shares over 0 and at most 1"),
}
EXAMPLES = {
    "order": "1-7, or 1,2,5",
    "size": "100K-10M (doubled each time), 1M,2M,5M, or shares of the whole model such as 0.1-1",
    "ngrams": "1000-1000000x10 (times 10 each time), 5000,20000, or shares of the whole model such as 0.1-1",
    "text": "0.1-1 (doubled each time), 0.001-1x10, or 0.25,0.5,1",
}


def levels_of(what: str, levels: str | float | Iterable[float]) -> list[float]:
    """Return the numbers that are meant, growing: a list, or a text such as 1-7, 0.1-1, 1K-1Mx10 or 1,2,5.

    A range of orders has all of them. Other ranges are doubled from number to number, or multiplied by what stands
    behind the x, and end with their end. K, M and G are powers of 1024, for `size`.

    Raises
    ------
    OptionError

    >>> levels_of("order", "1-3,5"), levels_of("text", "0.1-1")
    ([1, 2, 3, 5], [0.1, 0.2, 0.4, 0.8, 1.0])
    """
    if what not in VARIED:
        raise OptionError(f"--vary is {what!r}; choose one of {', '.join(VARIED)}")
    if isinstance(levels, str):
        numbers = [number for part in levels.split(",") for number in _spelled(what, part.strip(), levels)]
    else:
        numbers = list(levels) if isinstance(levels, Iterable) else [levels]
    kind, most, wanted = WANTED[what]
    for number in numbers:
        if isinstance(number, bool) or not (isinstance(number, kind) and 0 < number <= most):
            shown = f"{number:g}" if isinstance(number, float) else number
            raise OptionError(f"--vary {what} has {shown}; it takes {wanted}, such as {EXAMPLES[what]}")
    if not numbers or len(set(numbers)) > MOST_LEVELS:
        raise OptionError(f"--vary {what} names {len(set(numbers))} levels; give from 1 to {MOST_LEVELS}")
    return sorted(set(numbers))


def _spelled(what: str, part: str, levels: str) -> list[float]:
    """Return the numbers of a part of a list."""
    number = r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)" + ("([KMG]?)" if what == "size" else "()")
    found = re.fullmatch(rf"{number}(?:-{number}(?:x(\d+(?:\.\d+)?))?)?", part, re.IGNORECASE)
    bad = OptionError(f"--vary {what} {levels!r}: {part!r} is no number and no range; give {EXAMPLES[what]}")
    if not found:
        raise bad
    first, first_unit, last, last_unit, factor = found.groups()
    low = _number(what, first, first_unit, bad)
    if last is None:
        return [low]
    high, times = _number(what, last, last_unit, bad), float(factor or 2)
    if high < low or (what == "order" and factor) or times <= 1:
        raise bad
    if what == "order":
        return list(range(int(low), min(int(high), MAX_ORDER + 1) + 1))
    if low <= 0 or math.log(high / low) > MOST_LEVELS * math.log(times):
        raise bad
    steps = math.ceil(math.log(high / low) / math.log(times) - 1e-9)
    return [*(round(low * times**i, 12) for i in range(steps)), high]


def _number(what: str, digits: str, unit: str | None, bad: OptionError) -> float:
    if what == "order":
        if not digits.isdigit():
            raise bad
        return int(digits)
    number = float(digits) * 1024 ** " KMG".index((unit or " ").upper())
    if not math.isfinite(number):
        raise bad
    return number


@dataclasses.dataclass(frozen=True)
class Material:
    """A text to learn from and a text to score, in the tokens of one vocabulary.

    Attributes
    ----------
    parts : list of (str, bytes)
        The training text: names and UTF-8.
    ids, counts : ndarray
        Of it: see `lmkit.text.learn`.
    text : TextLayer
    held_out : ndarray of int32
    title : str
        What it is, for a chart.
    """

    parts: list[tuple[str, bytes]]
    ids: np.ndarray
    counts: np.ndarray
    text: TextLayer
    held_out: np.ndarray
    title: str


def read_material(
    corpora: Sequence[Corpus],
    valid: float | str,
    settings: TextSettings,
    progress: Progress | None = None,
    **reading: Any,
) -> Material:
    """Read texts into memory, and hold out their end or another text.

    Parameters
    ----------
    valid : float or path
        A share of the text, its end, from the beginning of a line on, or of a paragraph where those are sentences; or
        a text of its own.
    reading
        vocabulary, escaped, vocab_size, min_count, encoding and errors (of the vocabulary) as in `lmkit.api.train`.

    Raises
    ------
    CorpusError, OptionError, ModelError
    """
    share, errors = arguments.share_of(valid), corpora[0].errors
    if share == 0:
        raise OptionError(f"--valid is {valid}: nothing would be left to score; give a larger share, or a text")
    report = arguments.reading(progress, corpora)
    parts = arguments.whole(corpora, report)
    names = _title(corpora)
    if share is None:
        (scored,) = arguments.corpora(valid, corpora[0].encoding, errors)
        held_out = [scored]
    else:
        parts, rest = cut(parts, 1 - share, settings.sentence == "paragraph")
        held_out = [Corpus(name, "utf-8", errors, data) for name, data in rest]
        if not any(data.strip() for _, data in parts) or not any(data.strip() for _, data in rest):
            raise CorpusError(
                f"{names}: too few lines to hold out {share:g} of them and to learn from the others; give more text, "
                "another share or a text of its own (--valid)"
            )
    ids, text, counts, _ = arguments.read_texts(
        [Corpus(name, "utf-8", errors, data) for name, data in parts], settings, **reading
    )
    encoded = [block for corpus in held_out for block in text.encode_corpus(corpus)]
    scored_ids = np.concatenate([np.empty(0, np.int32), *(block.ids for block in encoded)])
    if not len(scored_ids):
        raise CorpusError(f"{held_out[0].title}: holds no tokens to score; give another text with --valid")
    unknown = sum(len(block.oov) for block in encoded)
    of = names if share is not None else f"{names}, scored: {_title(held_out)}"
    some = f", {unknown / len(scored_ids):.1%} unknown" if unknown else ""
    title = f"{of} ({settings.tokenizer} tokens, {len(scored_ids):,} held out{some})"
    return Material(parts, ids, counts, text, scored_ids, title)


def _title(corpora: Sequence[Corpus]) -> str:
    return shortened(", ".join(os.path.basename(corpus.title) for corpus in corpora), NAMED)


def cut(
    parts: Sequence[tuple[str, bytes]], share: float, paragraphs: bool
) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    r"""Cut texts in two: a share of the bytes, up to the end of a line, and the rest.

    Parameters
    ----------
    paragraphs : bool
        Go on to the end of a paragraph, if one ends.

    >>> cut([("a", b"one\ntwo\n"), ("b", b"three\nfour\n")], 0.5, False)
    ([('a', b'one\ntwo\n'), ('b', b'three\n')], [('b', b'four\n')])
    """
    left = round(share * sum(len(data) for _, data in parts))
    before: list[tuple[str, bytes]] = []
    for i, (name, data) in enumerate(parts):
        if left < len(data) or i == len(parts) - 1:
            at = _line_end(data, left, paragraphs) if share < 1 else len(data)
            after = [(name, data[at:]), *parts[i + 1 :]]
            return [*before, (name, data[:at])], [(name, data) for name, data in after if data]
        before.append((name, data))
        left -= len(data)
    return before, []


def _line_end(data: bytes, least: int, paragraphs: bool) -> int:
    """Return where to cut a text in two, none of them empty if it has two lines."""
    for unit in (paragraphs, False):
        end = _end(data, least, unit)
        if end < len(data):
            return end
    return data.rfind(b"\n", 0, max(len(data) - 1, 0)) + 1


def _end(data: bytes, place: int, paragraph: bool) -> int:
    """Return where the line that a place is in ends, or the paragraph, if it is no endless one."""
    found = PARAGRAPH.search(data, max(place - 2, 0), place + ENDLESS) if paragraph else None
    if found:
        return found.end()
    return data.find(b"\n", max(place - 1, 0)) + 1 or len(data)


def _spread(data: bytes, share: float, size: int, paragraphs: bool) -> bytes:
    """Return a share of a text: the beginning of each of its pieces of about this size, whole lines or paragraphs.

    So it is like the whole text, as the beginning of that may not be; and a larger share holds all of a smaller one.

    >>> _spread(b"1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n", 0.5, 8, False)
    b'1\\n2\\n5\\n6\\n'
    """
    chosen, start = [], 0
    while start < len(data):
        end = _end(data, start + size, paragraphs)
        chosen.append(data[start : _end(data[:end], start + round(share * (end - start)), paragraphs)])
        start = end
    return b"".join(chosen)


class Study:
    """What varies, and the models that are trained for it.

    Parameters
    ----------
    what : {'order', 'size', 'ngrams', 'text'}
    levels
        See `levels_of`.
    smoothings : iterable of str
        See `lmkit.ngram.options`; a curve for each.
    options : dict
        What else `NGramOptions` takes.
    measure : str
        See `lmkit.plotting.chart`.

    Raises
    ------
    OptionError
        They make no sense.
    """

    def __init__(self, what: str, levels: Any, smoothings: Iterable[str], options: dict[str, Any], measure: str):
        self.what, self.levels = what, levels_of(what, levels)
        known = {field.name for field in dataclasses.fields(NGramOptions)} - {"smoothing"}
        if what == "order" and "order" in options:
            raise OptionError("--order is what varies: --vary order says which ones; leave it out")
        arguments.check_names(options, sorted(known), "a variation")
        self.smoothings = list(dict.fromkeys(smoothings))
        if not self.smoothings:
            raise OptionError("no --smoothing is named")
        orders = self.levels if what == "order" else [options.get("order", NGramOptions.order)]
        cutoffs = tuple(options.get("cutoffs", NGramOptions.cutoffs))
        self.choices = [
            NGramOptions(**{**options, "order": order, "smoothing": smoothing, "cutoffs": cutoffs[:order]})
            for order in orders
            for smoothing in self.smoothings
        ]
        self.empty = Chart([], (AXES[what],), COLUMNS, measure, paired=False)

    def chart(
        self,
        material: Material,
        progress: Progress | None = None,
        *,
        prune: Callable[..., LanguageModel],
        file_size: Callable[[LanguageModel], int],
    ) -> Chart:
        """Train a model for each level and smoothing, score it, and return the chart.

        Parameters
        ----------
        prune : callable
            prune(model, size=bytes) and prune(model, ngrams=number): see `lmkit.api.prune`.
        file_size : callable
            The bytes that a model has as a file.

        Raises
        ------
        CorpusError, OptionError

        Warns
        -----
        LmkitWarning
            What the trainings warn of, the first of it.
        """
        rows: dict[str, list[tuple]] = {smoothing: [] for smoothing in self.smoothings}
        watch = Watch(progress, len(self.levels) * len(self.smoothings))
        models = {"order": self._orders, "text": self._texts}.get(self.what, self._sizes)
        for options, share, tokens, model in models(material, watch, prune, file_size):
            place = options.order, share, tokens, sum(model.trie.sizes[1:]), file_size(model)
            rows[options.smoothing].append((*place, _loss(model, material.held_out)))
        watch.warn()
        if "stupid-backoff" in rows:
            scores = "stupid-backoff gives scores, no probabilities: its numbers are too good"
            warnings.warn(scores, LmkitWarning, stacklevel=3)
        curves = []
        for number, (smoothing, points) in enumerate(rows.items()):
            *columns, losses = zip(*points, strict=True)
            curves.append(Curve(smoothing, number, HELD_OUT, losses, dict(zip(COLUMNS, columns, strict=True))))
        return dataclasses.replace(self.empty, curves=curves, title=material.title)

    def _orders(self, material: Material, watch: Watch, *_: Any) -> Iterator[tuple]:
        """Yield (options, share of the training text, its tokens, model) for each point."""
        for choices in _kinds(self.choices):
            names = (f"order {options.order}, {options.smoothing}" for options in choices)
            made = watch.models(_trained(material, material.ids, choices), names)
            for options, model in zip(choices, made, strict=True):
                yield options, 1.0, len(material.ids), model

    def _texts(self, material: Material, watch: Watch, *_: Any) -> Iterator[tuple]:
        for share in self.levels:
            ids = material.ids if share == 1 else _part(material, share)
            for choices in _kinds(self.choices):
                names = (f"{share:.3g} of it, {options.smoothing}" for options in choices)
                made = watch.models(_trained(material, ids, choices), names)
                for options, model in zip(choices, made, strict=True):
                    yield options, round(len(ids) / len(material.ids), 6), len(ids), model

    def _sizes(self, material: Material, watch: Watch, prune, file_size) -> Iterator[tuple]:
        for options in self.choices:
            made = self._pruned(_trained(material, material.ids, [options]), prune, file_size)
            names = (f"{level:.4g}, {options.smoothing}" for level in self.levels)
            for model in watch.models(made, names):
                yield options, 1.0, len(material.ids), model

    def _pruned(self, trained: Iterator[LanguageModel], prune, file_size) -> Iterator[LanguageModel]:
        """Yield the one model that is trained, pruned to each level; up to 1 they are shares of what it has."""
        (whole,) = trained
        full = file_size(whole) if self.what == "size" else sum(whole.trie.sizes[1:])
        for level in self.levels:
            limit = max(1, int(level * full if level < 1 else level))
            yield whole if level == 1 else self._smaller(whole, limit, prune, file_size)

    def _smaller(self, whole: LanguageModel, limit: int, prune, file_size) -> LanguageModel:
        """Return a model pruned to a limit; say where a level could begin if none is so small."""
        try:
            return prune(whole, **{self.what: limit})
        except OptionError:
            words = whole.trie.sizes[1]  # which pruning keeps
            smallest = prune(whole, ngrams=words)  # or what is wrong is not the limit
        level, least = f"{limit} n-grams", f"{words}"
        if self.what == "size":
            level, least = f"{limit} bytes", f"{file_size(smallest) // KILO + 2}K"  # room for any header
        raise OptionError(
            f"--vary {self.what} has a level of {level}, which is too small: the {words} single tokens of this text "
            f"are never dropped; begin at {least} or more"
        )


class Watch:
    """Tells how far a variation is, and gathers warnings that many of its models give."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0
        self.heard: list[tuple[str, str]] = []

    def models(self, made: Iterable[Any], names: Iterable[str]) -> Iterator[Any]:
        """Yield what is made, each under its name."""
        waiting = iter(made)
        for name in names:
            if self.progress is not None:
                self.progress(name, self.done, self.total, "models")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", LmkitWarning)
                model = next(waiting)
            for warning in caught:
                if issubclass(warning.category, LmkitWarning):
                    self.heard.append((name, str(warning.message)))
                else:
                    warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            self.done += 1
            yield model

    def warn(self) -> None:
        """Say the first of the warnings, and for how many models there were some."""
        if self.heard:
            name, message = self.heard[0]
            others = len({of for of, _ in self.heard}) - 1
            more = f" (and {others} more)" if others else ""
            warnings.warn(f"{name}{more}: {message}", LmkitWarning, stacklevel=4)


def _kinds(choices: Sequence[NGramOptions]) -> list[list[NGramOptions]]:
    """Return those that learn from all the text, and those that need a part of it held out for themselves."""
    kinds = [[o for o in choices if o.holds_out == holds_out] for holds_out in (False, True)]
    return [kind for kind in kinds if kind]


def _trained(material: Material, ids: np.ndarray, choices: Sequence[NGramOptions]) -> Iterator[LanguageModel]:
    """Yield models of a text; weights are found on a part of it, never on what is scored."""
    held_out = None
    if choices[0].holds_out:
        share = arguments.DEFAULT_VALID
        split = arguments.hold_out(ids, material.text, [], share, "utf-8", "keep", sentences=True)
        ids, held_out = split.ids, split.held_out
    counts = material.counts if ids is material.ids else np.bincount(ids, minlength=len(material.counts))
    yield from train_several(ids, counts, material.text, choices, held_out)


def _part(material: Material, share: float) -> np.ndarray:
    """Return the ids of a share of the training text."""
    size = max(sum(len(data) for _, data in material.parts) // PIECES, LEAST_PIECE)
    paragraphs = material.text.settings.sentence == "paragraph"
    corpora = [Corpus(n, "utf-8", "keep", _spread(data, share, size, paragraphs)) for n, data in material.parts]
    encoded = [block.ids for corpus in corpora for block in material.text.encode_corpus(corpus)]
    ids = np.concatenate([np.empty(0, np.int32), *encoded])
    if not len(ids):
        raise CorpusError(f"{share:g} of the training text holds no tokens; give larger shares to --vary text")
    return ids


def _loss(model: LanguageModel, ids: np.ndarray) -> float:
    """Return the mean loss of a text, nats a token."""
    log_p, _ = model.score(model.begin(1), ids[None, :])
    return -float(log_p.sum(dtype=np.float64)) / len(ids) + 0.0
