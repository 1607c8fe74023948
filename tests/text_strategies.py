"""Texts that try the text layer: every kind of character, in every neighbourhood."""

from hypothesis import strategies as st

from lmkit.text import TextSettings

PIECES = [
    " ", "  ", "   ", "\n", "\r\n", "\r", "\n\n", "\n \t\n", "\t", "\0", "\x0b", "\x0c", "\x1b", "\x85",
    "\u2028", "\u00a0", "\u2003", "\u3000", "\ufeff", "a", "I", "The", "don't", "o'er", "'tis", "th'",
    "rock'n'roll", "''", "\u2019", "\u2018", "'", '"', '"Hi,"', ",", ".", "...", "!", "?", ":", ";", "--",
    "-", "\u2014", "/", "_", "@", "(", ")", "[", "}", "\u00ab", "\u00bb", "\u201c", "\u201d", "$", "%",
    "#", "&", "*", "+", "=", "<", "3", "3.14", "1,000", "1.", ".5", "10", "\u0663", "\u00bd", "e\u0301",
    "\u0301", "\u200d", "\ufe0f", "\U0001f469\u200d\U0001f4bb", "\U0001f44d\U0001f3fd",
    "\U0001f1e9\U0001f1ea", "\u4e2d\u6587", "\u3002", "\u300c\u304b\u306a\u300d", "\u30ab\u30ca",
    "\ud55c\uad6d\uc5b4", "\u0e44\u0e17\u0e22", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u05e9\u05dc\u05d5\u05dd", "\ue000", "\U000e0001", "\udcff", "\udc80", "caf\udce9", "\udcc3", "<unk",
    "s>",
]  # fmt: skip
LONG = ["w" * n for n in (6, 7, 8, 9, 14, 15, 16, 17, 23, 24, 25, 31, 62, 63, 64, 65, 127, 128, 300)]


def _as_bytes_say(text):
    """The str for the same bytes: escaped bytes that are UTF-8 together become their character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


texts = (
    st.lists(
        st.sampled_from(PIECES) | st.sampled_from(LONG) | st.text(max_size=8).filter(str.isprintable),
        max_size=60,
    )
    .map("".join)
    .map(_as_bytes_say)
)
raw_bytes = st.binary(max_size=60) | st.lists(
    st.sampled_from([piece.encode("utf-8", "surrogateescape") for piece in PIECES]) | st.binary(min_size=1, max_size=4),
    max_size=40,
).map(b"".join)
all_settings = st.builds(
    TextSettings,
    st.sampled_from(["word", "char", "byte", "whitespace"]),
    st.sampled_from(["line", "paragraph", "text"]),
    st.booleans(),
    st.sampled_from(["error", "space", "keep"]),
)
reserved_texts = st.lists(
    st.sampled_from(["<unk>", "<s>", "</s>", " ", "\n", "\t", "a", "b", "<UNK>", "\n\n", "x<s>"]), max_size=12
).map("".join)
