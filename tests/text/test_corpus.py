"""Bytes come in whole, checked and counted, from wherever they are; what cannot be read is named."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import raw_bytes, texts

from lmkit.errors import CorpusError, OptionError
from lmkit.text import Corpus
from lmkit.text import corpus as corpus_module

ROOT = pathlib.Path(__file__).parents[2]
TEXT = "Caf\u00e9 au lait,\nna\u00efve.\n\n\u4e2d\u6587 \U0001f44d\nno newline"


def read(corpus):
    return b"".join(block.tobytes() for block in corpus.blocks())


def facts(corpus):
    return corpus.bytes, corpus.characters, corpus.lines


@given(text=texts, size=st.integers(1, 40))
def test_blocks_end_after_newlines(text, size):
    data = text.encode("utf-8", "surrogateescape")
    if data.startswith(codecs.BOM_UTF8):
        data = b"x" + data
    before, corpus_module.BLOCK = corpus_module.BLOCK, size
    try:
        corpus = Corpus("x", errors="keep", data=data)
        blocks = [block.tobytes() for block in corpus.blocks()]
    finally:
        corpus_module.BLOCK = before
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1]) and all(blocks)
    lines = data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    assert facts(corpus) == (len(data), len(data.decode("utf-8", "surrogateescape")), lines)
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_files_and_compressed_files(tmp_path, pack):
    path = tmp_path / "text"
    data = TEXT.encode()
    path.write_bytes(pack(data[:20]) + pack(data[20:]))  # two members one after the other are one text
    corpus = Corpus(str(path))
    assert read(corpus) == data
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()
    assert facts(corpus) == (len(data), len(TEXT), 5)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_standard_input(pack):
    code = "from lmkit.text import Corpus\nfor block in Corpus('-').blocks(): print(len(block))"
    result = subprocess.run(
        [sys.executable, "-c", code], input=pack(TEXT.encode()), capture_output=True, cwd=ROOT, check=True
    )
    assert sum(map(int, result.stdout.split())) == len(TEXT.encode())
    assert result.stderr == b""


def test_standard_input_of_a_test(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb")))
    assert read(Corpus("-")) == b"a\nb"


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError, match="standard input is closed"):
        read(Corpus("-"))


@pytest.mark.parametrize("text", [b"BZhang said", b"\x1f\x8bx", b"", b"B"])
def test_text_that_begins_almost_like_a_compressed_file(text):
    assert read(Corpus("x", errors="keep", data=text)) == text


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_nothing_compressed(pack):
    assert read(Corpus("x", data=pack(b""))) == b""


def test_a_pipe_that_trickles():
    ends = os.pipe()

    def write():
        with open(ends[1], "wb", buffering=0) as file:
            for byte in gzip.compress(b"a\nb\n"):
                file.write(bytes([byte]))

    thread = threading.Thread(target=write)
    thread.start()
    with open(ends[0], "rb", buffering=0) as file:
        assert read(Corpus("pipe", data=file)) == b"a\nb\n"
    thread.join()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_encodings_and_byte_order_marks(encoding, mark, monkeypatch):
    """The first mark goes; the second, where Python's encoder adds one of its own, is text."""
    monkeypatch.setattr(corpus_module, "BLOCK", 5)
    data = (mark + TEXT).encode(encoding)
    corpus = Corpus("x", encoding, data=data)
    own_mark = encoding in ("utf-8-sig", "utf-16", "utf-32")
    assert read(corpus).decode() == (mark + TEXT if own_mark else TEXT)
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15"])
def test_single_byte_encodings(encoding):
    corpus = Corpus("x", encoding, data="Caf\u00e9\n".encode(encoding))
    assert read(corpus) == "Caf\u00e9\n".encode()
    assert facts(corpus) == (6, 5, 1)


def test_one_byte_order_mark_is_skipped():
    corpus = Corpus("x", data=codecs.BOM_UTF8 * 2 + b"a")
    assert read(corpus) == codecs.BOM_UTF8 + b"a"
    assert facts(corpus) == (4, 2, 1)


def test_a_line_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK", 10)
    assert [len(block) for block in Corpus("x", data=b"a" * 95 + b"\n" + b"b" * 5).blocks()] == [96, 5]


# --- what cannot be read


@given(before=st.lists(st.sampled_from(["a", "\n", "\u00e9", "\u4e2d"])).map("".join), mark=st.booleans())
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xe4\xb8", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_an_invalid_byte_is_named(bad, before, mark):
    head = codecs.BOM_UTF8 * mark + before.encode()
    with pytest.raises(CorpusError) as caught:
        read(Corpus("x.txt", data=head + bad + b"z\n"))
    line = before.count("\n") + 1
    assert str(caught.value).startswith(
        f"x.txt: line {line}, byte offset {len(head)}: 0x{bad[0]:02x} is not valid utf-8; "
    )
    assert "--errors keep" in str(caught.value) and "--encoding" in str(caught.value)


@pytest.mark.parametrize("block", [3, 4 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_is_known_by_its_mark(order, encoding, block, monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK", block)
    data = "\ufeffto be\n".encode(f"utf-16-{order}")
    with pytest.raises(CorpusError, match=f"line 1, byte offset 0: 0xf[ef].* not valid {encoding}; .*as UTF-16 does"):
        read(Corpus("x", encoding, data=data))
    with pytest.raises(CorpusError) as caught:
        read(Corpus("x", "utf-8", data=b"a" + data))
    assert "as UTF-16 does" not in str(caught.value)


def test_utf_16_that_is_damaged_is_not_advised_again():
    with pytest.raises(CorpusError) as caught:
        read(Corpus("x", "utf-16", data="ab".encode("utf-16") + b"c"))
    assert "as UTF-16 does" not in str(caught.value)


def test_sizes_are_those_of_utf_8():
    corpus = Corpus("x", "utf-16", data="\u00e9\n".encode("utf-16"))
    read(corpus)
    assert corpus.bytes == 3


def test_an_invalid_byte_in_a_later_block(monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK", 4)
    with pytest.raises(CorpusError, match="line 3, byte offset 9: 0xe9"):
        read(Corpus("x", data=b"abc\ndef\ng\xe9\n"))


@given(data=raw_bytes)
def test_kept_bytes_pass_through(data):
    if not data.startswith((codecs.BOM_UTF8, b"\x1f\x8b\x08", b"\xfd7zXZ\0")):
        assert read(Corpus("x", errors="keep", data=data)) == data


@pytest.mark.parametrize(
    ("encoding", "data", "line", "offset"),
    [
        ("ascii", b"abc\n\nd\xe9f", 3, 6),
        ("cp1252", b"a\n\x81", 2, 2),
        ("utf-16-le", "ab\nc".encode("utf-16-le") + b"\x00\xdc\x00\x00", 2, 8),
        ("utf-16", "ab\nc".encode("utf-16") + b"\x00\xdc\x00\x00", 2, 10),
        ("utf-16-le", "ab".encode("utf-16-le") + b"c", 1, 4),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 4, 1000])
def test_invalid_bytes_of_other_encodings(encoding, data, line, offset, block, monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK", block)
    where = f"line {line}, byte offset {offset}: 0x"
    with pytest.raises(CorpusError, match=f"x: {where}.* is not valid {encoding}; .*--encoding"):
        read(Corpus("x", encoding, data=data))


def test_an_encoding_that_needs_a_mark():
    with pytest.raises(CorpusError, match=r"^x: .*utf-16.*--encoding"):
        read(Corpus("x", "utf-16", data="ab".encode("utf-16-be")))
    with pytest.raises(CorpusError, match=r"^x: .*utf-16.*--encoding"):
        read(Corpus("x", "utf-16", data=b"ab" * 50 + b"\x00\xdc\x00\x00"))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.txt: no such file"):
        read(Corpus(str(tmp_path / "none.txt")))
    with pytest.raises(CorpusError, match="is a folder"):
        read(Corpus(str(tmp_path)))
    with pytest.raises(CorpusError, match="cannot be opened"):
        read(Corpus(str(tmp_path / "a\0b")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot be opened: Permission denied"):
        read(Corpus(str(path)))


class Broken(io.RawIOBase):
    def read(self, size=-1):
        raise OSError(5, "Input/output error")


def test_a_device_that_fails():
    with pytest.raises(CorpusError, match="x: cannot be read: Input/output error"):
        read(Corpus("x", data=Broken()))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_files(pack):
    data = bytearray(pack(os.urandom(3000)))
    with pytest.raises(CorpusError, match=r"x\.gz: damaged compressed file"):
        read(Corpus("x.gz", errors="keep", data=bytes(data[:-20])))
    data[len(data) // 2] ^= 255
    with pytest.raises(CorpusError, match=r"x\.gz: damaged compressed file"):
        read(Corpus("x.gz", errors="keep", data=bytes(data)))


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "", "undefined", "a\0b"])
def test_unknown_encodings(encoding):
    with pytest.raises(OptionError, match="unknown encoding"):
        Corpus("x", encoding)


def test_unknown_error_rule():
    with pytest.raises(OptionError, match="errors is 'ignore'; expected one of: strict, keep"):
        Corpus("x", errors="ignore")


def test_stopping_early_ends_the_thread(monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK", 4)
    before = threading.active_count()
    for block in Corpus("x", data=b"abc\n" * 1000).blocks():
        assert isinstance(block, np.ndarray)
        break
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(5)
    assert threading.active_count() <= before
