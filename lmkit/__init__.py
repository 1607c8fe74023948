"""Language models from n-gram counts and recurrent networks: train, sample and score.

>>> import lmkit
>>> "train" in lmkit.__all__
True
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # without `typing`: the command line is soon ready for signals

__version__ = "0.1.0"

__all__ = [
    "CorpusError",
    "Interrupted",
    "LmkitError",
    "LmkitWarning",
    "Model",
    "ModelError",
    "OptionError",
    "__version__",
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

if TYPE_CHECKING:
    from typing import Any

    from lmkit.api import (
        Model,
        arpa,
        compare,
        count,
        detokenize,
        explain,
        explain_page,
        explained_svg,
        filter_lines,
        from_arpa,
        info,
        learning_curves,
        load,
        mix,
        nearest,
        neurons,
        next_tokens,
        perplexity,
        plot,
        prune,
        quiz,
        rescore,
        resume,
        sample,
        score,
        tokenize,
        train,
        vary,
    )  # fmt: skip
    from lmkit.errors import CorpusError, Interrupted, LmkitError, LmkitWarning, ModelError, OptionError


def __getattr__(name: str) -> Any:
    """Import what is asked for, and NumPy and Numba with it, only now: `lmkit --help` needs neither."""
    if name not in __all__:
        raise AttributeError(f"module 'lmkit' has no attribute {name!r}")
    errors = importlib.import_module("lmkit.errors")
    return getattr(errors if name in errors.__all__ else importlib.import_module("lmkit.api"), name)


def __dir__() -> list[str]:
    return __all__
