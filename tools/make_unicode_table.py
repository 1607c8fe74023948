"""Make lmkit/text/unicode_table.py from the Unicode database of the Python that runs this.

    python tools/make_unicode_table.py > lmkit/text/unicode_table.py

The table is in the project, not taken from the running Python, so that a model cuts text into the same words
everywhere. `character_class` below is its definition.
"""

import sys
import unicodedata

UNSPACED_SCRIPTS = (
    "CJK UNIFIED",
    "CJK COMPATIBILITY IDEOGRAPH",
    "HIRAGANA",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
)

# One letter a class: see lmkit/text/classes.py for what each means.
BY_CHARACTER = {
    " ": "b",
    "\n": "n",
    "\r": "r",
    '"': "Q",
    **dict.fromkeys("'\u2019", "q"),
    **dict.fromkeys(".,", "p"),
    **dict.fromkeys("$#`\u00a1\u00bf\u00a7", "o"),
    **dict.fromkeys("%\u00b0\u00ae\u2122", "c"),
    **dict.fromkeys("/\\@\u00b7", "h"),
    **dict.fromkeys("&*\u00b6\u2020\u2021\u2022", "s"),
    **dict.fromkeys("\u00ad\u200c\u200d", "x"),  # soft hyphen, zero-width non-joiner and joiner
    "\u3007": "i",  # the ideographic zero, a number by category
}

BY_CATEGORY = {
    **dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "No", "Cn", "Co"), "a"),
    "Nd": "d",
    **dict.fromkeys(("Mn", "Mc", "Me"), "x"),
    **dict.fromkeys(("Ps", "Pi", "Sc"), "o"),
    **dict.fromkeys(("Pe", "Pf", "Po"), "c"),
    **dict.fromkeys(("Pd", "Pc"), "h"),
    **dict.fromkeys(("Sm", "Sk", "So"), "s"),
    **dict.fromkeys(("Zs", "Zl", "Zp", "Cc", "Cf", "Cs"), "g"),
}


def character_class(code: int) -> str:
    """Return the class letter of a code point; U+DC80 to U+DCFF stand for bytes that are not UTF-8."""
    character = chr(code)
    if character in BY_CHARACTER:
        return BY_CHARACTER[character]
    if 0xDC80 <= code <= 0xDCFF:
        return "a"  # most often a letter of another encoding
    if 0x1F3FB <= code <= 0x1F3FF:
        return "x"  # emoji skin tones
    category = unicodedata.category(character)
    if category == "Cn" and 0x1F000 <= code <= 0x1FAFF:
        return "s"  # emoji to come
    if category[0] == "L" and unicodedata.name(character, "").startswith(UNSPACED_SCRIPTS):
        return "i"
    return BY_CATEGORY[category]


def runs() -> str:
    """Return the classes of all code points as run lengths: `g9p3` is nine of class g, then three of p."""
    parts, start, current = [], 0, character_class(0)
    for code in range(1, sys.maxunicode + 2):
        following = character_class(code) if code <= sys.maxunicode else None
        if following != current:
            parts.append(f"{current}{code - start}")
            start, current = code, following
    return "".join(parts)


def main() -> None:
    """Print the module."""
    text = runs()
    print('"""Classes of all code points as run lengths; made by tools/make_unicode_table.py."""\n')
    print('__all__ = ["RUNS", "UNICODE_VERSION"]\n')
    print(f'UNICODE_VERSION = "{unicodedata.unidata_version}"\n')
    print("RUNS = (")
    for start in range(0, len(text), 100):
        print(f'    "{text[start : start + 100]}"')
    print(")")


if __name__ == "__main__":
    main()
