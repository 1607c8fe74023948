"""What a model file holds, as a person wants to know it. Nothing in a file is trusted, and no model is opened."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lmkit import registry, untrusted
from lmkit.errors import OptionError
from lmkit.model import RESERVED
from lmkit.text import TOKENIZERS, TextSettings
from lmkit.text.vocabulary import to_str

__all__ = ["FACTS", "changed_options", "described"]

FACTS = ("vocabulary", "ngrams", "bytes_per_ngram", "kind", "parameters", "buckets", "frequent", "changed", "members")

FREQUENT = 10  # tokens that are named
LONGEST = 100  # bytes of one
DEEPEST = 16  # mixtures within mixtures
USUAL_ARCH, READING = "ngram", {"encoding": "utf-8", "errors": "strict"}
LEADING = ("order", "smoothing", "preset", "optimizer", "tie_weights")  # others' defaults depend on them


def described(
    family: str,
    metadata: dict[str, Any],
    tensors: Mapping[str, np.ndarray],
    size: int,
    depth: int = 0,
    folder: str | None = None,
) -> dict[str, Any]:
    """Return the facts of a model, those of `FACTS` that are known.

    Parameters
    ----------
    metadata : dict
        Of the file, or of a member of a mixture.
    tensors : mapping of str to ndarray
        Of the model alone.
    size : int
        Bytes of the file or of these tensors.
    folder : str, optional
        Of the file: where members with files of their own are looked for. They are not opened.

    Returns
    -------
    dict
        "kind" in words, always; "vocabulary": tokens; "ngrams": how many of each order; "parameters": weights of a
        network; "buckets" of weights by context; "frequent": the most frequent tokens; "changed": see
        `changed_options`; "members" of a mixture: the same of each, with its "weight" or "exponent", "family" and
        "bytes", or of one in a file of its own the "path" of that, and "missing" if it is not there.
    """
    config, training = untrusted.entry(metadata, "config"), untrusted.entry(metadata, "training")
    facts = {**_sizes(metadata, tensors, size), **registry.facts(family, config, tensors)}
    frequent = _frequent_tokens(metadata, tensors)
    if frequent:
        facts["frequent"] = frequent
    if "arch" in untrusted.entry(training, "options"):
        facts["changed"] = changed_options(untrusted.entry(training, "options"))
    members = untrusted.entries(config, "members")
    if members and depth < DEEPEST:
        facts["members"] = [_member(i, member, config, tensors, depth, folder) for i, member in enumerate(members)]
    return facts


def _sizes(metadata: dict[str, Any], tensors: Mapping[str, np.ndarray], size: int) -> dict[str, Any]:
    """Return how many tokens and n-grams a model has, as far as it says so."""
    found: dict[str, Any] = {}
    offsets = tensors.get("vocabulary.offsets")
    if offsets is not None and offsets.ndim == 1 and len(offsets):
        found["vocabulary"] = len(offsets) - 1
    levels = untrusted.entry(metadata, "config").get("ngrams")
    if isinstance(levels, list):
        counts = {str(k): untrusted.whole({k: n}, k) for k, n in enumerate(levels) if k}  # 0 is the root
        if None not in counts.values() and sum(counts.values()):
            found["ngrams"] = counts
            found["bytes_per_ngram"] = round(size / sum(counts.values()), 2)
    return found


def _member(
    i: int, member: dict[str, Any], config: dict[str, Any], tensors, depth: int, folder: str | None
) -> dict[str, Any]:
    prefix = f"{i}."
    own = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    size, family = sum(tensor.nbytes for tensor in own.values()), untrusted.text(member, "family") or "unknown"
    told = {}
    for name in ("weight", "exponent"):
        numbers = config.get(f"{name}s")
        number = untrusted.number(dict(enumerate(numbers)), i) if isinstance(numbers, list) else None
        told |= {} if number is None else {name: number}
    path = untrusted.text(member, "path")
    if path is not None:
        missing = folder is not None and not os.path.isfile(os.path.join(folder, path))
        told |= {"family": family, "path": path, "kind": f"{family}, in a file of its own"}
        return {**told, "missing": True} if missing else told
    return {**told, "family": family, "bytes": size, **described(family, member, own, size, depth + 1, folder)}


def _frequent_tokens(metadata: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Return the most frequent tokens of a vocabulary that was learnt from a text: it is in their order."""
    options = untrusted.entry(untrusted.entry(metadata, "training"), "options")
    learnt = "min_count" in options and options.get("vocabulary") is None and options.get("tokenizer") != "byte"
    offsets, pool = (tensors.get(f"vocabulary.{name}") for name in ("offsets", "bytes"))
    if not learnt or offsets is None or pool is None or (offsets.ndim, pool.ndim) != (1, 1):
        return []
    if (offsets.dtype, pool.dtype) != (np.int64, np.uint8):
        return []
    ends = offsets[len(RESERVED) : len(RESERVED) + FREQUENT + 1].tolist()
    pairs = itertools.pairwise(ends)
    return [to_str(pool[a:b].tobytes()) for a, b in pairs if 0 <= a <= b <= len(pool) and b - a <= LONGEST]


def changed_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of a record's options that are not what they are by default, in the order of the record.

    What follows from others is left out: a preset's layers are no change besides it.

    >>> changed_options({"arch": "ngram", "order": 3, "smoothing": "modified-kneser-ney", "tokenizer": "word"})
    {'order': 3}
    """
    usual = _usual_options(options)
    return {name: value for name, value in options.items() if value is not None and value != usual.get(name)}


def _usual_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return what a record would say if only its leading options had been given, and those had not either."""
    tokenizer, arch = untrusted.text(options, "tokenizer"), untrusted.text(options, "arch")
    text = TextSettings(tokenizer if tokenizer in TOKENIZERS else TextSettings.tokenizer).describe()
    usual = {**text, "tokenizer": TextSettings.tokenizer, "arch": USUAL_ARCH, "min_count": 1, **READING}
    if arch in registry.ARCHITECTURES:
        kind = registry.architecture(arch).get("options")
        names = [field.name for field in dataclasses.fields(kind) if field.name in LEADING]
        given = {name: options[name] for name in names if options.get(name) is not None}
        try:
            made = kind(**given)
        except (OptionError, TypeError):  # they are no options at all
            made = kind()
        usual |= {**dataclasses.asdict(made), **made.describe(), **{name: getattr(kind, name) for name in names}}
    return json.loads(json.dumps(usual))  # as records are read
