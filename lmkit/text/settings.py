"""The choices that decide how a text becomes tokens and sentences."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import Any

from lmkit.errors import OptionError

__all__ = ["RESERVED_RULES", "SENTENCES", "TOKENIZERS", "TextSettings"]

TOKENIZERS = ("word", "char", "byte", "whitespace")
SENTENCES = ("line", "paragraph", "text")
RESERVED_RULES = ("error", "space", "keep")


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How text is cut into tokens and sentences; a model keeps this and treats every later text the same way.

    Parameters
    ----------
    tokenizer : {'word', 'char', 'byte', 'whitespace'}
        'whitespace' cuts at NUL, tab, newline, return and blank only, as KenLM does. The others lose nothing.
    sentence : {'line', 'paragraph', 'text'} or None
        Where `</s>` goes: after each line, after the blank lines that end a paragraph, or at the end of each
        text. None means 'line' for whitespace and 'paragraph' for the others.
    lowercase : bool
        Whether text is turned to lower case first.
    reserved : {'error', 'space', 'keep'}
        What `<unk>`, `<s>` and `</s>` spelled in the text are: an error, white space, or the token (only
        `<unk>`). Only the whitespace tokenizer can meet them.

    Raises
    ------
    OptionError
        Where a value is none of these.

    >>> TextSettings("whitespace").sentence
    'line'
    >>> TextSettings("word").lossless
    True
    """

    tokenizer: str = "word"
    sentence: str | None = None
    lowercase: bool = False
    reserved: str = "error"

    def __post_init__(self):
        if self.sentence is None:
            object.__setattr__(self, "sentence", "line" if self.tokenizer == "whitespace" else "paragraph")
        _check("tokenizer", self.tokenizer, TOKENIZERS)
        _check("sentence", self.sentence, SENTENCES)
        _check("lowercase", self.lowercase, (False, True))
        _check("reserved", self.reserved, RESERVED_RULES)

    @property
    def lossless(self) -> bool:
        """Whether the tokens of a text say every byte of it."""
        return self.tokenizer != "whitespace" and not self.lowercase

    @property
    def keeps_lines(self) -> bool:
        """Whether the tokens of a text say where its lines end."""
        return self.tokenizer != "whitespace" or self.sentence == "line"

    def describe(self) -> dict[str, Any]:
        """Return the settings as a dict that JSON can hold; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextSettings:
        """Return the settings a dict holds; keys that are no settings are ignored.

        Raises
        ------
        OptionError
            Where a setting is missing or has a value that is none of those above.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if not isinstance(values, dict) or name not in values]
        if missing:
            raise OptionError(f"text settings lack {', '.join(missing)}")
        return cls(**{name: values[name] for name in names})


def _check(name: str, value: Any, choices: tuple) -> None:
    if not isinstance(value, (str, bool)) or value not in choices:
        expected = ", ".join(str(choice).lower() for choice in choices)
        raise OptionError(f"{name} is {reprlib.repr(value)}; expected one of: {expected}")
