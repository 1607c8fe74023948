"""Passages for a quiz: real ones, cut out of a text, and others, cut out of what a model writes."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lmkit.decoding import generate
from lmkit.errors import CorpusError, LmkitError
from lmkit.model import EOS, UNK, LanguageModel, State
from lmkit.quizzes.copying import Run, longest_runs
from lmkit.quizzes.passages import SIMILAR, Shape, Text, next_start, tokens_within
from lmkit.quizzes.unseen import Library
from lmkit.text import TextLayer
from lmkit.text.table import padded
from lmkit.text.vocabulary import to_bytes, to_str
from lmkit.uniforms import Uniforms

__all__ = ["Author", "Draft", "Rules", "real_drafts", "written_drafts"]

STREAMS, TRIES = 4, 16  # passages that are drawn at once for each that is wanted, and how often
LANES = 64  # streams that a model works on at a time
WARMING = 2048  # tokens after which a model has come to the next paragraph
UNFINISHED = 4  # bytes at the end of what is drawn that may yet become one character
MOST_GIVEN = 40  # characters of a line that is given to a model: a name, no sentence
WINDOW = 8  # lines in which the end of a passage is looked for first
UNKNOWN, CUT_SHORT, KNOWN = "for unknown tokens", "at the end of the text", "as models have read them"
OTHER_LENGTH, COPIED, AGAIN = "not as long as the real one", "copied", "written before"
TOO_LONG, LONGEST = "for lines too long", 5000  # characters that a passage may have beyond what is asked for
MOST_UNKNOWN = 0.5  # a text more of whose tokens are unknown to a model is foreign to it
LOOKED_AT = 1 << 14  # lines that tell


@dataclasses.dataclass(frozen=True)
class Rules:
    """What passages have to be.

    Attributes
    ----------
    shape : Shape
    copied : float
        Share of a passage that may stand in another text in one piece.
    decoding : dict
        Options of `lmkit.decoding.generate`.
    """

    shape: Shape
    copied: float
    decoding: dict

    def copies(self, text: str, run: Run) -> bool:
        """Whether too much of a passage stands elsewhere."""
        return run.length > self.copied * len(text)


@dataclasses.dataclass(frozen=True)
class Draft:
    """A passage.

    Attributes
    ----------
    text : str
        Without a line feed at its end.
    ids : ndarray of int32
        Its tokens.
    line : int or None
        The line of the text with which it begins, if it is real.
    lines : int
        How many lines of the text it takes up.
    given : ndarray of int32
        The first of the ids, where they spell a short line that recurs in the text, with its end.
    run : Run or None
        What of it stands elsewhere; None where nothing was searched.
    """

    text: str
    ids: np.ndarray
    line: int | None = None
    lines: int = 0
    given: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int32))
    run: Run | None = None


class Author:
    """A model that takes part in a quiz on a text whose passages begin with paragraphs, or lines.

    Attributes
    ----------
    name : str
    model : LanguageModel
    unit : str
    starts : bool
        Whether the model begins where a passage does; if not, its passages are cut out of what it writes after that.
    state : State
        Of one stream, where a passage begins: after a blank line, or a line feed.
    """

    def __init__(self, name: str, model: LanguageModel, unit: str):
        self.name, self.model, self.unit = name, model, unit
        sentence = model.text.settings.sentence
        self.starts = sentence == unit
        self.state = model.begin(1)
        if not self.starts:
            blank = "\n\n" if (sentence, unit) == ("text", "paragraph") else "\n"
            self.state = model.begin_after(model.text.encode_text(blank, complete=False).ids.tolist())

    def after(self, ids: np.ndarray) -> State:
        """Return the state after the first tokens of a passage."""
        return self.model.score(self.state, ids[None, :])[1] if len(ids) else self.state

    def log_probabilities(self, passages: Sequence[np.ndarray]) -> list[float]:
        """Return the natural logarithm of the probability of each passage, given its ids."""
        found = []
        for some in _chunks(passages):
            ids = np.full((len(some), max(map(len, some))), EOS, np.int32)
            for row, passage in zip(ids, some, strict=True):
                row[: len(passage)] = passage
            log_p, _ = self.model.score(_joined([self.state] * len(some)), ids)
            found += [float(row[: len(p)].sum(dtype=np.float64)) for row, p in zip(log_p, some, strict=True)]
        return found


def real_drafts(authors: Sequence[Author], library: Library, rules: Rules, rng: np.random.Generator) -> list[Draft]:
    """Return a real passage for each round, given whose it is; none shares a line with another.

    Raises
    ------
    CorpusError
        There are too few of them, or the text is foreign to a model.
    """
    text, left_out = library.text, collections.Counter()
    starts = rng.permutation(text.starts(library.first)).tolist()
    streams = {}
    for author in authors:
        if author.name not in streams:
            _refuse_foreign(author, library)
            streams[author.name] = _cut_out(author.model.text, text, starts, rules, left_out)
    chosen: dict[int, Draft] = {}
    taken: set[int] = set()
    while len(chosen) < len(authors):
        new, short = {}, None
        for i in sorted(set(range(len(authors))) - chosen.keys()):
            free = (d for d in streams[authors[i].name] if taken.isdisjoint(range(d.line, d.line + d.lines)))
            draft = next(free, None)
            if draft is None:
                short = authors[i]
                break
            taken.update(range(draft.line, draft.line + draft.lines))
            new[i] = draft
        for i, draft in _searched(new, authors, library.seen).items():
            if draft.run is not None and rules.copies(draft.text, draft.run):
                taken.difference_update(range(draft.line, draft.line + draft.lines))
                left_out[KNOWN] += 1
            else:
                chosen[i] = draft
        if short is not None:
            raise _too_few(short, library, rules, len(chosen), len(authors), left_out)
    return [chosen[i] for i in range(len(authors))]


def _searched(drafts: dict[int, Draft], authors: Sequence[Author], texts: Callable) -> dict[int, Draft]:
    """Return drafts with what of them stands in the texts of a library."""
    found = {}
    for name in dict.fromkeys(authors[i].name for i in drafts):
        mine = [i for i in drafts if authors[i].name == name]
        searched = texts(authors[mine[0]].model.text)
        runs = longest_runs([drafts[i].text for i in mine], searched) if searched else [None] * len(mine)
        found.update({i: dataclasses.replace(drafts[i], run=run) for i, run in zip(mine, runs, strict=True)})
    return found


def _cut_out(
    layer: TextLayer, text: Text, starts: list[int], rules: Rules, left_out: collections.Counter
) -> Iterator[Draft]:
    """Yield the passages that begin with these lines, as a model with this layer would write them."""
    for line in starts:
        draft = cut_out(layer, text, line, rules.shape)
        if draft is None:
            left_out[CUT_SHORT] += 1
        elif len(draft.text) > LONGEST + (rules.shape.length or 0):
            left_out[TOO_LONG] += 1
        elif (draft.ids == UNK).any() and not rules.decoding.get("allow_unk"):
            left_out[UNKNOWN] += 1
        else:
            yield draft


def cut_out(layer: TextLayer, text: Text, line: int, shape: Shape) -> Draft | None:
    """Return the passage that begins with a line of a text, as a model with this layer would write it.

    None where the text ends before.
    """
    window, cut = WINDOW, None
    while cut is None:
        last = min(line + window, len(text))
        block = text.block(line, last)
        encoder = layer.encoder(f"{text.name} (from line {line + 1} on)")
        ids = np.concatenate([encoder.feed(padded(block), len(block)).ids, encoder.finish().ids])
        shown = to_str(layer.decode(ids))
        cut = shape.cut(shown)
        if cut is None and last == len(text):
            return None
        window *= 2
    passage = shown[: cut[1]]
    lines = passage.count("\n") + 1 if shown == to_str(block) else last - line
    given, end = 0, shown.index("\n") + 1
    if layer.settings.keeps_lines and end <= min(len(passage), MOST_GIVEN) and text.recurs(text.line(line)):
        given = tokens_within(layer, ids, len(to_bytes(passage[:end])))
    ids = ids[: tokens_within(layer, ids, len(to_bytes(passage)))]
    return Draft(passage, ids, line, lines, ids[:given])


def _refuse_foreign(author: Author, library: Library) -> None:
    text, layer = library.text, author.model.text
    block = text.block(library.first, min(library.first + LOOKED_AT, len(text)))
    encoded = layer.encoder(text.name).feed(padded(block), len(block))
    share = len(encoded.oov) / max(1, len(encoded.ids))
    if share > MOST_UNKNOWN:
        raise CorpusError(
            f"{text.name}: {100 * share:.0f} % of its tokens are unknown to {author.name}, which was trained on other "
            "text; give a text that is like it"
        )


def _too_few(author, library, rules, found, wanted, left_out) -> CorpusError:
    text, shape = library.text, rules.shape
    where = f"{text.name} from line {library.first + 1} on" if library.first else text.name
    reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common())
    hints = {
        UNKNOWN: f"; or let {author.name} see unknown tokens as <unk>, with --allow-unk",
        KNOWN: f"; or let more of them stand elsewhere, with a higher --copied (now {rules.copied:g})",
    }
    hint = "".join(hints.get(reason, "") for reason, _ in left_out.most_common(1))
    return CorpusError(
        f"{where} has only {found} of the {wanted} passages of {shape} that are wanted"
        + f" (left out: {reasons})" * bool(reasons)
        + f"; give another text, fewer --rounds, or a smaller --{shape.option}{hint}"
    )


def written_drafts(
    author: Author, like: Sequence[Draft], library: Library, rules: Rules, rng: np.random.Generator,
) -> list[Draft]:  # fmt: skip
    """Return a passage that a model writes for each real one that it is to be like.

    Raises
    ------
    LmkitError
        Nothing that it wrote may be shown.
    """
    chosen: dict[int, Draft] = {}
    found: list[tuple[int, Draft]] = []
    texts, left_out = set(), collections.Counter()
    for turn in range(1, TRIES + 1):
        missing = set(range(len(like))) - chosen.keys() - {i for i, _ in found}
        wanted = [i for i in sorted(missing) for _ in range(STREAMS)]
        drafts = _draw(author, [like[i] for i in wanted], rules, rng)
        found += [(i, draft) for i, draft in zip(wanted, drafts, strict=True) if draft is not None]
        left_out[OTHER_LENGTH] += drafts.count(None)
        if turn < TRIES and missing - {i for i, _ in found}:
            continue  # to draw is quick, to search a long text is not
        runs = longest_runs([draft.text for _, draft in found], library.all(author.model.text)) if found else []
        for (i, draft), run in zip(found, runs, strict=True):
            if rules.copies(draft.text, run):
                left_out[COPIED] += 1
            elif draft.text in texts:
                left_out[AGAIN] += 1
            elif i not in chosen:
                chosen[i] = dataclasses.replace(draft, run=run)
                texts.add(draft.text)
        if len(chosen) == len(like):
            return [chosen[i] for i in range(len(like))]
        found = []
    reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common() if n)
    hints = {
        OTHER_LENGTH: f"another --{rules.shape.option} or --temperature may bring it nearer to that",
        COPIED: f"a higher --copied (now {rules.copied:g}) or --temperature lets more pass",
        AGAIN: "a higher --temperature makes them differ",
    }
    raise LmkitError(
        f"{author.name} wrote only {len(chosen)} of the {len(like)} passages wanted, of {STREAMS * TRIES} tries "
        f"each (left out: {reasons}); {hints[left_out.most_common(1)[0][0]]}"
    )


def _draw(author: Author, like: Sequence[Draft], rules: Rules, rng: np.random.Generator) -> list[Draft | None]:
    """Draw a passage to be like each real one; None where it gets longer, or is shorter, than it may be.

    Those whose states are of one shape are drawn together. What remembers all that it has read has many shapes.
    """
    streams = [_Stream(author, real, rules.shape) for real in like]
    after = {real.given.tobytes(): author.after(real.given) for real in like}
    states = [author.model.begin(1) if s.warming else after[s.like.given.tobytes()] for s in streams]
    keys = Uniforms.from_generator(rng, len(streams)).keys
    alike: list[Sequence[int]] = []
    most = WARMING + 2 * max(len(to_bytes(real.text)) for real in like)
    for shape in dict.fromkeys(map(_shape, states)):
        alike.extend(_chunks([i for i, state in enumerate(states) if _shape(state) == shape]))
    for rows in alike:
        state = _joined([states[i] for i in rows])
        for block in generate(author.model, state, n=most, uniforms=Uniforms(keys[rows]), **rules.decoding):
            for i, ids in zip(rows, block, strict=True):
                if not streams[i].done:
                    streams[i].feed(ids)
            if all(streams[i].done for i in rows):
                break
    return [stream.draft for stream in streams]


def _chunks(items: Sequence) -> Iterator[Sequence]:
    """Yield the items, no more than `LANES` at a time."""
    return (items[first : first + LANES] for first in range(0, len(items), LANES))


def _shape(state: State) -> tuple:
    """Return the shape of the state of a stream."""
    return tuple(map(_shape, state)) if isinstance(state, tuple) else state.shape


def _joined(states: Sequence[State]) -> State:
    """Return the states of several streams as one."""
    if isinstance(states[0], tuple):
        return tuple(_joined(parts) for parts in zip(*states, strict=True))
    return np.concatenate(states)


class _Stream:
    """A passage in the making: what comes before it, while the model warms up, and its beginning."""

    def __init__(self, author: Author, like: Draft, shape: Shape):
        self.layer, self.unit, self.like, self.shape = author.model.text, author.unit, like, shape
        self.warming = not (author.starts or len(like.given))
        self.ids, self.draft, self.done = like.given, None, False

    def feed(self, ids: np.ndarray) -> None:
        """Take the next tokens, or as many as belong to the passage."""
        self.ids = np.concatenate([self.ids, ids])
        text = to_str(self.layer.decode(self.ids))
        first = next_start(text, self.unit) if self.warming else 0
        if first is None:
            return
        cut = self.shape.cut(text[first:])
        if cut is None:
            self.done = len(text[first:].strip()) > SIMILAR * len(self.like.text) + UNFINISHED
            return
        self.done = True
        passage = text[first:][slice(*cut)]
        if self._alike(len(passage)):
            start, end = (tokens_within(self.layer, self.ids, len(to_bytes(text[: first + place]))) for place in cut)
            self.draft = Draft(passage, self.ids[start:end])

    def _alike(self, length: int) -> bool:
        longer, shorter = max(length, len(self.like.text)), min(length, len(self.like.text))
        return longer <= SIMILAR * shorter
