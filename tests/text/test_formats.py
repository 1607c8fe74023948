"""What is no text is named; text in another encoding is recognised; compressed bombs stay small and are seen."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from lmkit.errors import CorpusError
from lmkit.text import Corpus
from lmkit.text import corpus as corpus_module
from lmkit.text.formats import unmarked_encoding

TEXTS = {
    "English": "It was the best of times, it was the worst of times,\n" * 40,
    "Russian": "Все счастливые семьи похожи друг на друга, каждая несчастливая\n" * 40,
    "Greek": "Ἄνδρα μοι ἔννεπε, Μοῦσα, πολύτροπον, ὃς μάλα πολλὰ\n" * 40,
    "Chinese": "我从乡下跑到京城里,一转眼已经六年了.\n其间耳闻目睹的所谓国家大事\n" * 20,
    "a word": "hi\n",
    "with U+0100": ("Ā ē ī ō ū, said the Latvian teacher, and wrote them down\n") * 40,
}
UTF = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


def read(corpus):
    return b"".join(block.tobytes() for block in corpus.blocks())


def archives():
    packed, tarred, base = io.BytesIO(), io.BytesIO(), sqlite3.connect(":memory:")
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", "text\n")
    with tarfile.open(fileobj=tarred, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.txt"))
    base.execute("CREATE TABLE t (x)")
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    return {
        "zip": (packed.getvalue(), "ZIP archive; .*unzip -p"),
        "tar": (tarred.getvalue(), "tar archive; .*tar -xOf"),
        "tar.gz": (gzip.compress(tarred.getvalue()), "tar archive"),
        "zst": (b"\x28\xb5\x2f\xfd\x04\x00\x29\x00\x00text\n", r"Zstandard \(.zst\); .*zstdcat FILE \| lmkit"),
        "skippable zst": (b"\x50\x2a\x4d\x18\x04\x00\x00\x00text", "Zstandard"),
        "Z": (b"\x1f\x9d\x90t\xcaa\x01", r"compress \(.Z\); .*zcat FILE"),
        "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7", "LZ4"),
        "lzma": (lzma.compress(b"text\n", lzma.FORMAT_ALONE), r"LZMA \(.lzma\); .*xzcat"),
        "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z archive"),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF document; .*pdftotext"),
        "sqlite": (base.serialize() if hasattr(base, "serialize") else b"SQLite format 3\0", "SQLite database"),
        "npy": (array.getvalue(), "NumPy array"),
        "model": (b"\x10\x02\0\0\0\0\0\0" + b'{"__metadata__":{}}', "model file"),
    }


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("kind", archives())
def test_other_formats_are_named(kind, encoding):
    data, said = archives()[kind]
    with pytest.raises(CorpusError, match=f"^x: is .*{said}"):
        read(Corpus("x", encoding, data=data))


def test_who_keeps_invalid_bytes_may_read_any_file():
    data = archives()["zip"][0]
    assert read(Corpus("x", errors="keep", data=data)) == data


@pytest.mark.parametrize("own", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("encoding", UTF)
@pytest.mark.parametrize("text", TEXTS)
def test_utf_16_without_a_mark_is_recognised(text, encoding, own):
    with pytest.raises(CorpusError, match=f"{encoding.upper()[:6]} text without .*; give --encoding {encoding}"):
        read(Corpus("x", own, data=TEXTS[text].encode(encoding)))
    assert read(Corpus("x", encoding, data=TEXTS[text].encode(encoding))).decode() == TEXTS[text]


@pytest.mark.parametrize("length", range(9, 60))
def test_a_head_that_ends_in_a_character_is_recognised(length):
    assert unmarked_encoding("naïve 👍 text\n".encode("utf-16-le")[:length]) == "utf-16-le"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", *UTF])
def test_text_that_is_what_it_says_is_read(text, encoding):
    assert read(Corpus("x", encoding, data=TEXTS[text].encode(encoding))).decode() == TEXTS[text]


@pytest.mark.parametrize(
    "data", [b"a\0b\n", b"\0", b"\0" * 5000, b"a.txt\0b.txt\0" * 500, b"one\0two\0three\0", b"PK, said he", b"BZ"]
)
def test_text_with_nuls_is_read(data):
    assert read(Corpus("x", data=data)) == data


@pytest.mark.parametrize("start", ["utf-16", "utf-32"])
def test_the_mark_says_which_encoding(start):
    with pytest.raises(CorpusError, match=f"begins as {start.upper()} does: give --encoding {start}"):
        read(Corpus("x", data="text\n".encode(start)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_line_that_is_too_long_is_named(pack, monkeypatch):
    """Of the text after its beginning no more is held than the longest line and a block."""
    monkeypatch.setattr(corpus_module, "BLOCK", 1000)
    monkeypatch.setattr(corpus_module, "LONGEST_LINE", 5000)
    corpus = Corpus("bomb", data=pack(b"a\nb\n" + b"\0" * 10**6))
    with pytest.raises(CorpusError, match="bomb: line 3: longer than 5,000 bytes"):
        read(corpus)
    assert corpus._read <= 7000
    assert len(read(Corpus("x", data=pack(b"a\n" + b"b" * 5000)))) == 5002


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("byte", [b"\0", b"\n"])
def test_progress_is_that_of_the_file_on_the_disk(pack, byte, monkeypatch):
    """It goes on within a line that does not end."""
    monkeypatch.setattr(corpus_module, "BLOCK", 1000)
    data = pack(byte * 10**5)
    seen = []
    for _ in Corpus("x", data=data).blocks(seen.append):
        pass
    assert sum(seen) == len(data) and min(seen) >= 0 and len(seen) >= 100
