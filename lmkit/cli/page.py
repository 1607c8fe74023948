"""The page that `lmkit info` prints: rows of a label and what is to be said, as far as a file says it.

All of it may come from a damaged file: what is not as expected is left out, and control characters are escaped.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from lmkit.characters import one_line
from lmkit.cli import people
from lmkit.untrusted import entries, entry, number, text, whole

__all__ = ["page"]

LABEL = 12  # columns
LEAST = 16  # columns for what is said
INDENT = "  "
CURVE = 60  # columns of it at most
LONGEST = 400  # characters of a name
MOST = 8  # texts or members that are listed
MOST_OPTIONS, MOST_ORDERS, MOST_BUCKETS = 50, 32, 16
LARGEST_LOSS = 700  # whose perplexity is a float
DIGITS = 12  # of a checksum
DECIMALS = 4  # of a weight: smaller ones count nothing
FLAGS = {
    "vocabulary": "--vocab",
    "limit_vocabulary": "--limit-vocab",
    ("interpolate", False): "--back-off",
    ("interpolate_unigrams", False): "--no-interpolate-unigrams",
}
FLAGS_OF_COUNTS = ("vocabulary", "limit_vocabulary")  # their record is how many tokens were named

Row = tuple[str, list[str]]  # a label, and phrases that had better not be broken


def page(info: dict[str, Any], width: int, bars: str) -> Iterator[str]:
    """Yield the lines of what `lmkit.api.info` returned, about `width` characters wide.

    Parameters
    ----------
    bars : str
        The characters of a curve, from low to high.
    """
    yield from _laid_out([("file", [shortened(info["path"])])], width)
    yield from _model(info, info, width, bars)
    yield from _laid_out([("checkpoint", _checkpoint(info)), *_checksums(info)], width)


def _model(
    facts: dict[str, Any], record: dict[str, Any], width: int, bars: str, indent: str = "", tokens: int | None = None
) -> Iterator[str]:
    """Yield what is known of a model, and of each of its members with a deeper indent.

    Parameters
    ----------
    tokens : int, optional
        In the vocabulary of the mixture of which it is a member; the same are not told again.
    """
    training = entry(record, "training")
    curve = max(min(width - len(indent) - LABEL, CURVE), LEAST)
    told = tokens is not None and facts.get("vocabulary") == tokens
    yield from _laid_out(
        [
            ("kind", shortened(facts["kind"]).split(", ")),
            ("size", _size(facts) if "bytes" in facts else []),
            ("file", [] if "bytes" in facts else [_member_file(facts)]),
            ("n-grams", [f"{people.amount(n)} of {k}" for k, n in list(facts.get("ngrams", {}).items())[:MOST_ORDERS]]),
            ("vocabulary", [] if told else _vocabulary(facts)),
            ("tokens", [] if told else _tokens(record)),
            *(("text", named) for named in _texts(entries(training, "corpora"))),
            ("ARPA file", _named_text(entry(training, "arpa"))),
            ("mixed", _mixed(training)),
            *(("tuned on", named) for named in _texts(entries(training, "tuned_on"))),
            ("held out", _held_out(training)),
            *_buckets(facts),
            ("best", _best(training)),
            ("loss", _curve(training, curve, bars)),
            ("trained" if "corpora" in training else "made", _trained(training)),
        ],
        width,
        indent,
    )
    yield from _laid_out([("options", _options(facts))], width, indent, by=" ")
    described, recorded = facts.get("members", []), entries(entry(record, "config"), "members")
    for i, (member, of_member) in enumerate(zip(described[:MOST], recorded, strict=False)):
        yield f"{indent}member {i + 1}{_counting(facts, i)}"
        yield from _model(member, of_member, width, bars, indent + INDENT, facts.get("vocabulary"))
    if len(described) > MOST:
        yield f"{indent}and {len(described) - MOST} members more"


def _laid_out(rows: list[Row], width: int, indent: str = "", by: str = ", ") -> Iterator[str]:
    """Yield rows as lines: labels in a column, and beside them what is said, broken between phrases if it can be."""
    for label, phrases in rows:
        said = [one_line(phrase) for phrase in phrases if phrase]
        for i, line in enumerate(_filled(said, max(width - len(indent) - LABEL, LEAST), by)):
            yield f"{indent}{'' if i else label:<{LABEL}}{line}"


def _filled(phrases: list[str], width: int, by: str) -> Iterator[str]:
    """Yield lines of phrases.

    >>> list(_filled(["1.1 MB", "300 k tokens", "sha256 86c4"], 23, ", "))
    ['1.1 MB, 300 k tokens,', 'sha256 86c4']
    """
    line = ""
    for i, phrase in enumerate(phrases):
        end = by.rstrip() * (i < len(phrases) - 1)
        if line and len(line + by + phrase + end) <= width:
            line += by + phrase
            continue
        if line:
            yield line + by.rstrip()
        *whole_lines, line = textwrap.wrap(phrase, width - len(end), break_on_hyphens=False) or [""]
        yield from whole_lines
    if line:
        yield line


def shortened(name: str) -> str:
    """Return a name, without its middle if it is long."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}...{name[-LONGEST // 2 :]}"


def _strings(record: dict[str, Any], name: str) -> list[str]:
    found = record.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _counted(n: int | None, what: str) -> str:
    """Return how many there are of something; nothing where that is not known."""
    return "" if n is None else f"{people.amount(n)} {what.removesuffix('s') if n == 1 else what}"


def _size(facts: dict[str, Any]) -> list[str]:
    ngrams, parameters = facts.get("ngrams"), facts.get("parameters")
    said = [people.size(facts["bytes"]), _counted(parameters, "weights")]
    return said if ngrams is None else [
        *said, _counted(sum(ngrams.values()), "n-grams"), f"{facts['bytes_per_ngram']} bytes each"
    ]  # fmt: skip


def _vocabulary(facts: dict[str, Any]) -> list[str]:
    from lmkit.text import escape

    tokens, frequent = facts.get("vocabulary"), " ".join(escape(token) for token in facts.get("frequent", []))
    return ["" if tokens is None else f"{tokens:,} tokens", frequent and f"most frequent {frequent}"]


def _tokens(record: dict[str, Any]) -> list[str]:
    settings = entry(record, "text")
    tokenizer, sentence = text(settings, "tokenizer"), text(settings, "sentence")
    return [
        tokenizer and f"tokenizer {shortened(tokenizer)}",
        sentence and f"a sentence is a {shortened(sentence)}",
        "in lower case" * (settings.get("lowercase") is True),
    ]


def _texts(corpora: list[dict[str, Any]]) -> list[list[str]]:
    """Return what is known of each of the first texts, and of all if there are more."""
    listed = [_named_text(corpus) for corpus in corpora[:MOST]]
    if len(corpora) > MOST:
        tokens, size = (sum(whole(corpus, name) or 0 for corpus in corpora) for name in ("tokens", "bytes"))
        listed.append([f"and {len(corpora) - MOST} more", f"{people.size(size)} in all", _counted(tokens, "tokens")])
    return listed


def _named_text(corpus: dict[str, Any]) -> list[str]:
    """Return the name of a text, its size and the beginning of its checksum."""
    name, size, checksum = text(corpus, "name") or text(corpus, "file"), whole(corpus, "bytes"), text(corpus, "sha256")
    return [
        "standard input" if name == "-" else name and shortened(name),
        "" if size is None else people.size(size),
        _counted(whole(corpus, "tokens"), "tokens"),
        _counted(whole(corpus, "sentences"), "sentences"),
        checksum and f"sha256 {checksum[:DIGITS]}",
    ]


def _member_file(facts: dict[str, Any]) -> str:
    return shortened(facts["path"]) + " (not there)" * ("missing" in facts)


def _mixed(training: dict[str, Any]) -> list[str]:
    names = _strings(training, "mixed")
    return [*map(shortened, names[:MOST]), f"and {len(names) - MOST} more" * (len(names) > MOST)]


def _buckets(facts: dict[str, Any]) -> list[Row]:
    """Return the first buckets of a mixture with weights by context: the weights of its members, and for what."""
    buckets = facts.get("buckets", [])
    rows = []
    for bucket in buckets[:MOST_BUCKETS]:
        weights = " ".join(f"{weight:.3f}" for weight in bucket["weights"][:MOST])
        more = " ..." * (len(bucket["weights"]) > MOST)
        rows.append(("" if rows else "weights", [f"{weights}{more} for {bucket['contexts']}"]))
    return rows + [("", [f"and {len(buckets) - MOST_BUCKETS} buckets more"])] * (len(buckets) > MOST_BUCKETS)


def _counting(facts: dict[str, Any], i: int) -> str:
    """Return by how much a member counts."""
    member, buckets = facts["members"][i], facts.get("buckets", [])
    known = [(name, number(member, name)) for name in ("weight", "exponent")]
    if buckets:
        known.append(("mean weight", math.fsum(bucket["weights"][i] for bucket in buckets) / len(buckets)))
    return "".join(f", of {name} {round(value, DECIMALS):.4g}" for name, value in known if value is not None)


def _held_out(training: dict[str, Any]) -> list[str]:
    held_out = entry(training, "held_out")
    share = number(held_out, "share")
    return ["" if share is None else f"the last {100 * share:.3g} %", *_named_text(held_out)]


def _best(training: dict[str, Any]) -> list[str]:
    loss, bits = number(training, "best_loss"), number(training, "best_bits_per_character")
    if loss is None:
        return []
    perplexity = math.exp(loss) if loss < LARGEST_LOSS else math.inf
    step = whole(training, "best_step")
    return [
        f"loss {loss:.4f} nats a token",
        f"perplexity {perplexity:.4g}",
        "" if bits is None else f"{bits:.4f} bits a character",
        "" if step is None else f"after step {step:,}",
    ]


def _curve(training: dict[str, Any], width: int, bars: str) -> list[str]:
    """Return the course of the validation loss, or where none was held out of the training loss."""
    history = entries(training, "history")
    for name in ("valid_loss", "train_loss"):
        losses = [float(loss) for loss in (number(each, name) for each in history) if loss is not None]
        if losses:
            first, last = f"{losses[0]:.4g}", f"{losses[-1]:.4g}"
            if len(losses) == 1:
                return [first, "one validation" if name == "valid_loss" else "of the text learnt from"]
            line = people.sparkline(losses, width - len(first) - len(last) - 2, bars)
            return [f"{first} {line} {last}", "of the text learnt from" * (name == "train_loss")]
    return []


def _trained(training: dict[str, Any]) -> list[str]:
    seconds, alone, rate = (_amount(training, name) for name in ("seconds", "training_seconds", "tokens_per_second"))
    epochs, steps, version = number(training, "epochs"), whole(training, "steps"), text(training, "lmkit_version")
    return [
        "" if seconds is None else f"in {people.duration(seconds)}",
        "" if alone is None else f"{people.duration(alone)} of it learning",
        "" if steps is None else f"{steps:,} steps",
        "" if epochs is None else f"{epochs:.4g} epochs",
        "" if rate is None else f"{people.amount(rate)} tokens a second",
        version and f"by lmkit {shortened(version)}",
    ]


def _amount(record: dict[str, Any], name: str) -> float | None:
    """Return a number that is an amount: finite, from 0 on, and not beyond all measure."""
    found = number(record, name)
    return found if found is not None and 0 <= found < 1e15 else None


def _options(facts: dict[str, Any]) -> list[str]:
    """Return the options of `lmkit train` that are not what they are by default."""
    changed = facts.get("changed")
    if changed is None:
        return []
    return [_flag(name, value) for name, value in list(changed.items())[:MOST_OPTIONS]] or ["all as by default"]


def _flag(name: str, value: Any) -> str:
    if value is False:
        return FLAGS.get((name, value), "")
    flag = FLAGS.get(name, "--" + shortened(name).replace("_", "-"))
    if value is True:
        return flag
    if name in FLAGS_OF_COUNTS and whole({name: value}, name) is not None:
        return f"{flag} ({value:,} tokens)"
    values = value[:MOST_ORDERS] if isinstance(value, list) else [value]
    by = "" if name == "checkpoint_every" else ","  # a number and its unit
    return f"{flag} {shortened(by.join(map(_spelled, values)))}"


def _spelled(value: Any) -> str:
    """Return a value as `lmkit train` reads it: with all digits, and whole numbers without a point.

    >>> _spelled(1_000_000), _spelled(30.0), _spelled(0.003)
    ('1000000', '30', '0.003')
    """
    return str(value).removesuffix(".0") if type(value) is float else str(value)


def _checkpoint(info: dict[str, Any]) -> list[str]:
    checkpoint = entry(info, "checkpoint")
    step = whole(checkpoint, "step")
    return [] if not checkpoint else ["of a training that is not done", "" if step is None else f"at step {step:,}"]


def _checksums(info: dict[str, Any]) -> list[Row]:
    """Return what checking every byte has shown, in the file and in those of the members that it names."""
    damaged, of_members = info.get("damaged"), info.get("damaged_members") or []
    if damaged is None:
        return []
    fine = "as they should be in this file" if of_members else "all as they should be"
    rows = [("checksums", [f"wrong: {shortened(name)}" for name in damaged] or [fine])]
    return rows + [("", [shortened(line)]) for line in of_members]
