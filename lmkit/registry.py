"""The families of models, by name: the only place that lists them."""

from __future__ import annotations

import dataclasses
import importlib
import operator
import reprlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lmkit.errors import ModelError, OptionError

if TYPE_CHECKING:
    import numpy as np

    from lmkit.storage import ModelFile
    from lmkit.stored import Stored

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "facts", "load"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What `--arch` can name: where its options and its training are, each as "module:name".

    `train(ids, counts, text, options, progress, held_out)` returns a model. An architecture that is trained `in_steps`
    keeps checkpoints: see `lmkit.rnn.training.train`. Options say whether they need a part of the text held out:
    `holds_out`.
    """

    family: str
    options: str
    train: str
    in_steps: bool = False

    def get(self, what: str) -> Callable[..., Any]:
        """Import and return its "options" or "train"."""
        return _named(getattr(self, what))


def _named(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    return operator.attrgetter(name)(importlib.import_module(module))


RECURRENT = Architecture(
    "rnn",
    "lmkit.rnn.options:RNNOptions",
    "lmkit.rnn.training:train",
    in_steps=True,
)
ARCHITECTURES = {
    "ngram": Architecture("ngram", "lmkit.ngram.options:NGramOptions", "lmkit.ngram.model:train"),
    "elman": RECURRENT,
    "gru": RECURRENT,
    "lstm": RECURRENT,
}
READERS = {  # of the files of each family: from an open one to the model in it
    "ngram": "lmkit.ngram.packed:read_ngrams",
    "rnn": "lmkit.rnn.model:RNNModel.from_file",
    "linear": "lmkit.mixture.linear:LinearMixture.from_file",
    "log-linear": "lmkit.mixture.product:LogLinearMixture.from_file",
    "bucketed": "lmkit.mixture.buckets:BucketedMixture.from_file",
    "unigram-cache": "lmkit.mixture.cache:UnigramCache.from_file",
    "neural-cache": "lmkit.mixture.neural:NeuralCache.from_file",
    "dynamic": "lmkit.mixture.dynamic:DynamicEvaluation.from_file",
}
FACTS = {  # of each family: from settings and tensors to what a person wants to know of a model
    "ngram": "lmkit.ngram.facts:facts",
    "rnn": "lmkit.rnn.facts:facts",
    "linear": "lmkit.mixture.facts:linear",
    "log-linear": "lmkit.mixture.facts:log_linear",
    "bucketed": "lmkit.mixture.facts:bucketed",
    "unigram-cache": "lmkit.mixture.facts:unigram_cache",
    "neural-cache": "lmkit.mixture.facts:neural_cache",
    "dynamic": "lmkit.mixture.facts:dynamic",
}


def architecture(name: str) -> Architecture:
    """Return the architecture of this name.

    Raises
    ------
    OptionError
        If there is none.
    """
    if name not in ARCHITECTURES:
        raise OptionError(f"--arch is {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def load(file: ModelFile) -> Stored:
    """Return the language model that an open model file holds.

    Raises
    ------
    ModelError
        If no architecture here has its family, or the file does not hold a whole model.
    """
    if file.family in READERS:
        model = _named(READERS[file.family])(file)
        model.origin = file.origin
        return model
    raise ModelError(
        f"{file.name} holds a model of the family {reprlib.repr(file.family)}, which this lmkit does not know; "
        "a newer lmkit may have written it"
    )


def facts(family: str, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a model that a file holds, at least its "kind" in words; no model is opened.

    Parameters
    ----------
    config : dict
        Its settings; nothing in them is trusted.
    """
    return _named(FACTS[family])(config, tensors) if family in FACTS else {"kind": family}
