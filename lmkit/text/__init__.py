"""Text to token ids and back: what all families of models share."""

from lmkit.text.corpus import Corpus
from lmkit.text.encoding import Decoder, Encoded, Encoder, concatenate
from lmkit.text.layer import TextLayer
from lmkit.text.learning import learn
from lmkit.text.settings import RESERVED_RULES, SENTENCES, TOKENIZERS, TextSettings
from lmkit.text.tokenizers import join, split
from lmkit.text.unicode_table import UNICODE_VERSION
from lmkit.text.unknown import UnknownTokens
from lmkit.text.vocabulary import Vocabulary, escape, unescape
from lmkit.text.word_files import ESCAPED, read_vocabulary

__all__ = [
    "ESCAPED",
    "RESERVED_RULES",
    "SENTENCES",
    "TOKENIZERS",
    "UNICODE_VERSION",
    "Corpus",
    "Decoder",
    "Encoded",
    "Encoder",
    "TextLayer",
    "TextSettings",
    "UnknownTokens",
    "Vocabulary",
    "concatenate",
    "escape",
    "join",
    "learn",
    "read_vocabulary",
    "split",
    "unescape",
]
