"""A model and its file: opened, looked into, written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmkit import registry, storage, stored
from lmkit.api.generation import NextTokens, next_tokens, sample
from lmkit.api.scoring import perplexity
from lmkit.api.similarity import nearest
from lmkit.arguments import Texts
from lmkit.description import FACTS, described
from lmkit.errors import LmkitWarning, OptionError
from lmkit.evaluation import Evaluation
from lmkit.model import EOS, LanguageModel, State
from lmkit.similarity import Neighbour
from lmkit.threads import aside, usable
from lmkit.uniforms import Uniforms
from lmkit.vectors import TokenVectors


class Model(LanguageModel):
    """A language model with all that one can do with it; the contract of `lmkit.model` is passed on to its
    family.

    Attributes
    ----------
    language_model : LanguageModel
        The model of its family.
    path : str or None
        The file it came from or went to.
    pickles_as_path : bool
        Whether a pickle holds the path and checksum of the file, see `by_path`, and not the whole model.
    """

    pickles_as_path = False

    def __init__(self, language_model: LanguageModel, path: str | os.PathLike | None = None):
        self.language_model = language_model
        self.path = None if path is None else os.fspath(path)
        self.text, self.family, self.metadata = language_model.text, language_model.family, language_model.metadata

    def __reduce__(self) -> tuple:
        if self.pickles_as_path:
            return _opened_again, (self.origin, stored.chosen_threads(self.language_model))
        return Model, (self.language_model, self.path)

    @property
    def origin(self) -> storage.Origin | None:
        """The file that the model was read from or went to, with its checksum."""
        return self.language_model.origin

    def begin(self, n: int = 1) -> State:
        return self.language_model.begin(n)

    def begin_after(self, ids: Sequence[int], n: int = 1) -> State:
        return self.language_model.begin_after(ids, n)

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

    def orders(self, ids: np.ndarray, after: Sequence[int] | None = None) -> np.ndarray | None:
        return self.language_model.orders(ids, after)

    def reading(self, reserved: str | None) -> Model:
        return self if reserved is None else Model(self.language_model.reading(reserved), self.path)

    @property
    def longest_context(self) -> int | None:
        return self.language_model.longest_context

    def context_lengths(self, state: State) -> np.ndarray | None:
        return self.language_model.context_lengths(state)

    def made_of(self) -> list[LanguageModel]:
        return self.language_model.made_of()

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

    def next(self, context: str = "", **options) -> NextTokens:
        """Return the most probable next tokens; see `next_tokens`."""
        return next_tokens(self, context, **options)

    def nearest(self, word: str, **options) -> list[Neighbour]:
        """Return the tokens that the model takes for most like a word; see `nearest`."""
        return nearest(self, word, **options)

    def log_prob(self, text: str, *, bos: bool = True, eos: bool = True) -> float:
        """Return the natural logarithm of the probability of a text and of the end of its last sentence.

        Parameters
        ----------
        bos : bool
            Whether the text begins with a sentence; if not, nothing is known of what stands before it.
        eos : bool
            Whether the `</s>` with which the text ends counts.
        """
        ids = self.text.encode_text(text).ids
        if not eos and len(ids) and ids[-1] == EOS:
            ids = ids[:-1]
        log_p, _ = self.score(self.begin() if bos else self.begin_after(()), ids[None, :])
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
        storage.save(path, family, metadata, tensors, _check)
        self.path = os.fspath(path)
        self.language_model.origin = storage.open_model_file(path, verify_small=False).origin

    def by_path(self) -> Model:
        """Return the same model, but pickled as the path and checksum of its file: for processes that see the same
        disk.

        Unpickling opens the file and, as here, raises ModelError where it is missing or not the one that it was. What
        comes out of a pickle is again pickled so.

        Raises
        ------
        OptionError
            The model was never saved.
        ModelError
        """
        if self.origin is None:
            raise OptionError("the model has no file that a pickle could name; save it first, or pickle it whole")
        storage.reopen(self.origin, verify_small=False)
        model = Model(self.language_model, self.path)
        model.pickles_as_path = True
        return model

    def file_size(self) -> int:
        """Return how many bytes the model file has, or would have."""
        return storage.file_size(*self._contents())

    def _contents(self):
        model = self.language_model
        return model.family, model.description(), model.tensors()


def _check(file: storage.ModelFile) -> None:
    """See that a file that was written holds a whole model whose tokens differ, which opening one does not ask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LmkitWarning)  # was told when the model was opened
        model = registry.load(file)
    if model.text.settings.tokenizer != "byte":
        model.text.vocabulary.check_different()


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
    model = aside(registry.load, storage.open_model_file(path))
    if threads is not None and hasattr(model, "threads"):
        model.threads = usable(threads)
    return Model(model, path)


def _opened_again(origin: storage.Origin, threads: int | None) -> Model:
    """Open the file of a model that was pickled by its path."""
    inside = origin.members
    opened = registry.load(storage.reopen(origin))
    found = next(part for part in stored.parts(opened) if part.origin.members == inside) if inside else opened
    if threads is not None:
        found.threads = threads
    model = Model(found, origin.path)
    model.pickles_as_path = True
    return model


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
    own = (*found, *FACTS, "tensors", "damaged", "damaged_members")  # names that metadata cannot take
    folder = os.path.dirname(os.path.realpath(file.origin.path))
    found |= described(file.family, file.metadata, file.tensors, file.size, folder=folder)
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
