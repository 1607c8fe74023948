"""Recognise by its first bytes what a file holds instead of text: archives, databases, UTF-16 without a mark."""

from __future__ import annotations

import codecs
import re
import unicodedata

__all__ = ["HEAD", "explain_format", "unmarked_encoding"]

HEAD = 4096  # bytes that are looked at

_PIPE = "decompress it in a pipe: {} FILE | lmkit ... -"
_UNPACK = "unpack it and name the texts in it"
_EXPORT = "export its text and give that"
_FORMATS = {  # what a file begins with: what it is, what to do
    rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18": ("is compressed with Zstandard (.zst)", _PIPE.format("zstdcat")),
    rb"\x04\x22\x4d\x18": ("is compressed with LZ4 (.lz4)", _PIPE.format("lz4cat")),
    rb"\x1f[\x9d\xa0]": ("is compressed with compress (.Z)", _PIPE.format("zcat")),
    rb"LZIP\x01": ("is compressed with lzip (.lz)", _PIPE.format("lzip -dc")),
    rb"\x5d\x00\x00.{2}(\xff{8}|.{5}\x00{3})": ("is compressed with LZMA (.lzma)", _PIPE.format("xzcat")),
    rb"PK(\x03\x04|\x05\x06|\x07\x08)": ("is a ZIP archive", "unpack it: unzip -p FILE | lmkit ... -"),
    rb"7z\xbc\xaf\x27\x1c": ("is a 7z archive", _UNPACK),
    rb"Rar!\x1a\x07": ("is a RAR archive", _UNPACK),
    rb".{257}ustar[\x00 ]": ("is a tar archive", "unpack it: tar -xOf FILE | lmkit ... -"),
    rb"%PDF-\d": ("is a PDF document", "extract its text: pdftotext FILE - | lmkit ... -"),
    rb"\{\\rtf\d": ("is an RTF document", _EXPORT),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("is an old Microsoft Office document", _EXPORT),
    rb"SQLite format 3\x00": ("is an SQLite database", _EXPORT),
    rb"PAR1[\x00-\x1f]": ("is a Parquet file", _EXPORT),
    rb"ARROW1\x00\x00": ("is an Arrow file", _EXPORT),
    rb"Obj\x01": ("is an Avro file", _EXPORT),
    rb"\x89HDF\r\n\x1a\n": ("is an HDF5 file", _EXPORT),
    rb"\x93NUMPY": ("is a NumPy array", _EXPORT),
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a": ("is a picture", "give a text"),
    rb"\x7fELF": ("is a program", "give a text"),
    rb".{5}\x00{3}\{\"": ("is a model file", "give a text"),
}
_RULES = [(re.compile(magic, re.DOTALL), *said) for magic, said in _FORMATS.items()]
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32 LE begins as UTF-16
_BLANKS = "\t\n\v\f\r"
_ODD_SHARE = 0.05  # of the NULs that may stand at the other places: the lower bytes of characters such as U+0100
_ODD_SHARE_IF_INVALID = 0.45  # the same for bytes that are not UTF-8 anyway: U+4E00 is frequent in Chinese
_ENOUGH = 16  # NULs at places of one kind that cannot be chance
_FEWEST = 2  # NULs that count where they are a quarter of the text
_UNASSIGNED_SHARE = 0.02  # of the characters of a text: those of a newer Unicode than Python's


def explain_format(head: bytes) -> str | None:
    """Say what a file is that begins so, and what to do about it; None where it may be text.

    >>> explain_format(b"PK\\x03\\x04")
    'is a ZIP archive; unpack it: unzip -p FILE | lmkit ... -'
    """
    return next((f"{found}; {advice}" for magic, found, advice in _RULES if magic.match(head)), None)


def unmarked_encoding(head: bytes) -> str | None:
    """Return the encoding of a text that is UTF-16 or UTF-32 without a byte order mark; None where it is not.

    >>> unmarked_encoding("to be\\n".encode("utf-16-le"))
    'utf-16-le'
    """
    head = head[:HEAD]
    if head.startswith(_MARKS) or 0 not in head:
        return None
    return next((name for name in ("utf-32-le", "utf-32-be") if _is_text(head, name)), None) or _utf_16_by_nuls(head)


def _utf_16_by_nuls(head: bytes) -> str | None:
    """Tell UTF-16 by its NULs, which are the upper bytes of line feeds, blanks and Latin letters."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    found = even + odd
    if min(even, odd) > (_ODD_SHARE if _decoded(head, "utf-8") else _ODD_SHARE_IF_INVALID) * found:
        return None
    if found < _FEWEST or (found < _ENOUGH and 4 * found < len(head)):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    return name if _is_text(head, name) else None


def _is_text(data: bytes, encoding: str) -> bool:
    """Whether bytes are text without control characters."""
    text = _decoded(data, encoding)
    categories = [unicodedata.category(c) for c in text or "" if c not in _BLANKS]
    unassigned = sum(category in ("Cn", "Co", "Cs") for category in categories)
    return bool(text) and "Cc" not in categories and unassigned <= _UNASSIGNED_SHARE * len(text)


def _decoded(data: bytes, encoding: str) -> str | None:
    """Return bytes as text, without a last character of which a part is missing; None where they are invalid."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return None
