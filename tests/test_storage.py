"""The model file: written whole or not at all, and believed in nothing."""

import errno
import gzip
import io
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
import zlib

import numpy as np
import pytest

import lmkit
from lmkit import files, storage
from lmkit.errors import ModelError, OptionError
from lmkit.ngram.model import NGramModel
from lmkit.text import TextLayer, Vocabulary

ROOT = pathlib.Path(__file__).parent.parent
TEXT = ("text", b"the cat sat on the mat\nthe dog ran\na cat ran\n" * 3)


def arrays():
    rng = np.random.default_rng(0)
    return {
        "bytes": rng.integers(0, 256, 13).astype(np.uint8),
        "wide": rng.normal(size=(3, 5)),
        "words": rng.integers(0, 2**32, (7, 4), dtype=np.uint32),
        "floats": np.array([1.5, np.nan, np.inf, -0.0], np.float32),
        "halves": rng.normal(size=(2, 3)).astype(np.float16),
        "small": np.array([-1, 2, -3], np.int16),
        "flags": np.array([True, False, True]),
        "scalar": np.array(7, np.int64),
        "nothing": np.zeros((0, 4), np.uint32),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.lmkit"


@pytest.fixture(scope="module")
def trained():
    return lmkit.train([TEXT], order=3, tokenizer="whitespace", discount_fallback=(0.5, 1, 1.5))


@pytest.fixture
def saved(trained, path):
    trained.save(path)
    return path


# Round trips


def test_tensors_and_metadata_come_back_bit_for_bit(path):
    metadata = {"config": {"order": 5, "ü": [1, None, True]}, "training": None, "text": {"tokenizer": "word"}}
    size = storage.save(path, "some-family", metadata, arrays())
    file = storage.open_model_file(path)
    assert size == path.stat().st_size == file.size
    assert file.family == "some-family"
    assert {key: file.metadata[key] for key in metadata} == metadata
    assert set(file.tensors) == set(arrays())
    for name, tensor in arrays().items():
        found = file.tensors[name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape), name
        assert found.tobytes() == tensor.tobytes(), name
    assert list(file.damaged()) == []


def test_tensors_are_aligned_and_cannot_be_written(path):
    storage.save(path, "f", {}, arrays())
    for name, tensor in storage.open_model_file(path).tensors.items():
        assert tensor.ctypes.data % tensor.dtype.itemsize == 0, name
        if tensor.size:
            with pytest.raises(ValueError, match="read-only"):
                tensor[...] = 0


def test_views_and_other_byte_orders_are_written_as_they_read(path):
    table = np.arange(12, dtype=np.uint32).reshape(3, 4)
    tensors = {"columns": table[:, ::2], "transposed": table.T, "big": table.astype(">u4")}
    storage.save(path, "f", {}, tensors)
    for name, tensor in storage.open_model_file(path).tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_the_layout_is_that_of_safetensors(path):
    """Read with nothing but the format's own description: length, JSON header, bytes without gaps."""
    storage.save(path, "f", {"config": {"a": 1}}, arrays())
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert all(isinstance(value, str) for value in metadata.values())
    assert (metadata["format"], metadata["format_version"], metadata["family"]) == ("lmkit", "1", "f")
    assert json.loads(metadata["config"]) == {"a": 1}
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert begin == at
        at = end
        assert data[8 + length + begin : 8 + length + end] == arrays()[name].tobytes()
    assert 8 + length + at == len(data)


def test_a_real_safetensors_reader_reads_it(path):
    from safetensors.numpy import load_file

    storage.save(path, "f", {}, arrays())
    found = load_file(path)
    assert set(found) == set(arrays())
    for name, tensor in arrays().items():
        assert found[name].dtype == tensor.dtype and found[name].tobytes() == tensor.tobytes()


def test_a_model_comes_back_bit_for_bit(trained, saved):
    again = lmkit.load(saved)
    assert again.metadata["training"] == trained.metadata["training"]
    assert again.settings() == trained.settings()
    for name, tensor in trained.language_model.tensors().items():
        np.testing.assert_array_equal(again.language_model.tensors()[name], tensor)
    ids = np.array([[3, 4, 2, 0, 5, 6, 2]], np.int32)
    np.testing.assert_array_equal(again.score(again.begin(), ids)[0], trained.score(trained.begin(), ids)[0])
    assert again.sample(n=30, seed=1) == trained.sample(n=30, seed=1)


@pytest.mark.parametrize("options", [{"order": 1}, {"order": 2, "smoothing": "mle"}, {"order": 3, "cutoffs": (0, 99)}])
def test_models_with_small_and_empty_parts_come_back(options, path):
    trained = lmkit.train([TEXT], tokenizer="whitespace", output=path, **fallback(options))
    again = lmkit.load(path)
    assert again.sample(n=20, seed=3) == trained.sample(n=20, seed=3)
    np.testing.assert_array_equal(again.log_probs(again.begin()), trained.log_probs(trained.begin()))


def fallback(options):
    return options if "smoothing" in options else {**options, "discount_fallback": (0.5, 1, 1.5)}


def test_same_training_same_file(path, tmp_path):
    both = []
    for name in ("a", "b"):
        model = lmkit.train([TEXT], order=3, tokenizer="whitespace", discount_fallback=(0.5, 1, 1.5))
        model.save(tmp_path / name)
        both.append((tmp_path / name).read_bytes())
    assert both[0] == both[1]


@pytest.mark.parametrize("name", [r"C:\data\notes.txt", "ünï\udcff.txt", 'quo"te', "\\end\\", "a\nb", "x" * 5000])
def test_strange_names_in_the_training_record_do_no_harm(name, path):
    lmkit.train([(name, TEXT[1])], order=1, tokenizer="whitespace", output=path, smoothing="mle")
    assert lmkit.load(path).metadata["training"]["corpora"][0]["name"] == name


# What is no model


def refused(path, match):
    with pytest.raises(ModelError, match=match) as caught:
        lmkit.load(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_a_missing_file(path):
    refused(path, "no such model file; train one")


def test_a_folder(tmp_path):
    refused(tmp_path, "cannot read the model: Is a directory")


def test_an_unreadable_file(saved):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    saved.chmod(0)
    refused(saved, "cannot read the model: Permission denied")


def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen(["sh", "-c", 'echo x > "$0"', str(tmp_path / "pipe")])
    try:
        refused(tmp_path / "pipe", "regular file")
    finally:
        writer.kill()
        writer.wait()


def zipped(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model", data)
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "is empty"),
    "text": (b"To be, or not to be, that is the question.\n", "not an lmkit model"),
    "one byte": (b"{", "not an lmkit model"),
    "gzip": (gzip.compress(b"x" * 100), "compressed"),
    "zip": (zipped(b"x" * 100), "not an lmkit model"),
    "ARPA": (b"\n\\data\\\nngram 1=3\n\n\\1-grams:\n", "ARPA"),
    "zeros": (bytes(1000), "not an lmkit model"),
    "KenLM binary": (b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(100), "not an lmkit model"),
    "huge header": ((2**63).to_bytes(8, "little") + b"{" + bytes(100), "not an lmkit model"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_another_kind(kind, path):
    data, match = FOREIGN[kind]
    path.write_bytes(data)
    refused(path, match)


def test_a_safetensors_file_of_somebody_else(path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(path, "a safetensors file, but not an lmkit model")


def test_truncation_at_every_kind_of_place(saved):
    data = saved.read_bytes()
    length = int.from_bytes(data[:8], "little")
    places = {1, 7, 8, 9, 20, length // 2, 7 + length, 8 + length, 9 + length, len(data) - 1}
    places.update(range(8 + length, len(data), 101))
    for size in sorted(places):
        saved.write_bytes(data[:size])
        message = refused(saved, "truncated|not an lmkit model")
        assert size < 10 or "truncated" in message


def test_bytes_too_many(saved):
    with open(saved, "ab") as file:
        file.write(b"more")
    refused(saved, "4 bytes too many")


def test_cut_while_compressed_and_appended_to_itself(saved):
    data = saved.read_bytes()
    saved.write_bytes(data + data)
    refused(saved, "too many")


# Headers that were never written by lmkit, with a checksum that is right


def craft(path, header, data=b""):
    """Write a file whose header is this JSON text; its checksum is put where "00000000" stands."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    head = len(text).to_bytes(8, "little") + text
    mark = b'"header_checksum": "%s"'
    compact = b'"header_checksum":"%s"'
    blank = head.replace(mark % b"00000000", compact % b"00000000")
    blank += b" " * (len(head) - len(blank))
    blank = blank.replace(compact % b"00000000", compact % (f"{zlib.crc32(blank):08x}".encode()))
    path.write_bytes(blank + data)


def header_of(entries, **changes):
    metadata = {
        "format": "lmkit", "format_version": "1", "family": "ngram", "lmkit_version": "1.0",
        "checksums": json.dumps({name: "00000000" for name in entries}), "header_checksum": "00000000",
    }  # fmt: skip
    metadata.update(changes)
    return {"__metadata__": {k: v for k, v in metadata.items() if v is not None}, **entries}


def u32(n, begin=0, **changes):
    return {"dtype": "U32", "shape": [n], "data_offsets": [begin, begin + 4 * n], **changes}


def test_crafting_makes_files_that_open(path):
    """Otherwise the refusals below would prove nothing."""
    sums = json.dumps({"a": f"{zlib.crc32(bytes(12)):08x}"})
    craft(path, header_of({"a": u32(3)}, checksums=sums), bytes(12))
    assert storage.open_model_file(path).tensors["a"].tolist() == [0, 0, 0]


HOSTILE = {
    "shape too large": ({"a": u32(2**40)}, 12, "truncated|no sense"),
    "shape beyond all bounds": ({"a": u32(10**300)}, 12, "no sense"),
    "negative shape": ({"a": u32(3, shape=[-3])}, 12, "no sense"),
    "shape that does not fit": ({"a": u32(3, shape=[4])}, 12, "no sense"),
    "shape of floats": ({"a": u32(3, shape=[3.0])}, 12, "no sense"),
    "shape of booleans": ({"a": u32(1, shape=[True])}, 4, "no sense"),
    "shape that is no list": ({"a": u32(3, shape=3)}, 12, "no sense"),
    "shape of a hundred ones": ({"a": u32(1, shape=[1] * 100)}, 4, "no sense"),
    "nothing times too much": ({"a": u32(0, shape=[0, 2**47, 2**47])}, 0, "no sense"),
    "huge shape that multiplies to it": ({"a": u32(0, shape=[2**40, 2**40, 0])}, 0, "no sense"),
    "offsets backwards": ({"a": u32(3, data_offsets=[12, 0])}, 12, "no sense"),
    "negative offsets": ({"a": u32(3, data_offsets=[-12, 0])}, 12, "no sense"),
    "three offsets": ({"a": u32(3, data_offsets=[0, 12, 12])}, 12, "no sense"),
    "unknown type": ({"a": u32(3, dtype="U33")}, 12, "no sense"),
    "type that is a list": ({"a": u32(3, dtype=["U32"])}, 12, "no sense"),
    "entry that is no object": ({"a": [1]}, 12, "no sense"),
    "entry without type": ({"a": {"shape": [3], "data_offsets": [0, 12]}}, 12, "no sense"),
    "overlap": ({"a": u32(3), "b": u32(3, 8)}, 20, "overlap or leave gaps"),
    "the same place": ({"a": u32(3), "b": u32(3)}, 12, "overlap or leave gaps"),
    "gap": ({"a": u32(3), "b": u32(3, 16)}, 28, "overlap or leave gaps"),
    "gap before the first": ({"a": u32(3, 4)}, 16, "overlap or leave gaps"),
    "bytes after the last": ({"a": u32(3)}, 16, "4 bytes too many"),
    "past the end": ({"a": u32(3)}, 8, "truncated"),
    "not aligned": ({"b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": u32(3, 1)}, 13, "no sense"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_entries(what, path):
    entries, size, match = HOSTILE[what]
    craft(path, header_of(entries), bytes(size))
    refused(path, match)


CHANGED = {
    "newer version": ({"format_version": "2"}, "written by lmkit 1.0 in format 2.*upgrade"),
    "version that is none": ({"format_version": "one"}, "format version 'one'"),
    "version of many digits": ({"format_version": "9" * 5000}, "header is damaged|upgrade"),
    "no version": ({"format_version": None}, "format version ''"),
    "unknown family": ({"family": "transformer"}, "family 'transformer'"),
    "no family": ({"family": None}, "header is damaged"),
    "no checksums": ({"checksums": None}, "damaged"),
    "checksums that are a list": ({"checksums": "[1]"}, "damaged"),
    "checksums that are no JSON": ({"checksums": "{"}, "damaged"),
    "metadata of numbers": ({"config": 3}, "metadata must be strings"),
    "nested JSON": ({"config": "[" * 100_000}, "entry 'config'"),
    "checksum that is no text": ({"header_checksum": "\ud800"}, "damaged"),
    "no checksum": ({"header_checksum": None}, "damaged"),
    "other format": ({"format": "pt"}, "not an lmkit model"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_hostile_metadata(what, path):
    changes, match = CHANGED[what]
    sums = {"checksums": json.dumps({"a": f"{zlib.crc32(bytes(12)):08x}"})}
    craft(path, header_of({"a": u32(3)}, **{**sums, **changes}), bytes(12))
    refused(path, match)


def duplicated(name):
    header = json.dumps(header_of({"a": u32(3)}))
    return header.replace('"a": {"dtype"', f'"{name}": {json.dumps(u32(3))}, "a": {{"dtype"').encode()


HEADERS = {
    "deep nesting": b'{"a":' * 200_000,
    "no object": b"{1}",
    "a list in disguise": b"{}]",
    "metadata that is a list": b'{"__metadata__": [1]}',
    "not UTF-8": b'{"\xff": 1}',
    "a name twice": duplicated("a"),
    "metadata twice": json.dumps(header_of({})).encode()[:-1] + b', "__metadata__": {"format": "lmkit"}}',
}


@pytest.mark.parametrize("what", HEADERS)
def test_hostile_headers(what, path):
    craft(path, HEADERS[what], bytes(12))
    refused(path, "header is damaged|not an lmkit model")


CONFIGS = {
    "no config": None,
    "a list": [1],
    "a text": "abc",
    "a number": 5,
    "empty": {},
    "no sizes": {"smoothing": "mle", "order": 3},
    "sizes that are none": {"smoothing": "mle", "ngrams": "abc"},
    "negative sizes": {"smoothing": "mle", "ngrams": [1, -5]},
    "too few sizes": {"smoothing": "mle", "ngrams": [1]},
    "huge sizes": {"smoothing": "mle", "ngrams": [1, 10, 2**200]},
    "other sizes": {"smoothing": "mle", "ngrams": [1, 10, 3]},
    "unknown smoothing": {"smoothing": ["mle"], "ngrams": [1, 10]},
}


@pytest.mark.parametrize("what", CONFIGS)
def test_models_whose_settings_make_no_sense(what, trained, path):
    model = trained.language_model
    storage.save(path, "ngram", {"config": CONFIGS[what], **model.text.metadata()}, model.tensors())
    refused(path, "settings|numbers of n-grams|expected uint32")


@pytest.mark.parametrize(
    "name", ["ngram.nodes", "ngram.leaves", "ngram.alias", "vocabulary.bytes", "vocabulary.offsets"]
)
@pytest.mark.parametrize("change", ["missing", "shorter", "other type", "other shape"])
def test_models_with_other_tensors(name, change, trained, path):
    model = trained.language_model
    tensors = dict(model.tensors())
    if change == "missing":
        del tensors[name]
    else:
        tensor = tensors[name]
        tensors[name] = {
            "shorter": tensor[:-1], "other type": tensor.astype(np.int32), "other shape": tensor.reshape(1, -1),
        }[change]  # fmt: skip
    storage.save(path, "ngram", {"config": model.config(), **model.text.metadata()}, tensors)
    refused(path, "missing|expected|damaged vocabulary|do not fit")


# Bytes that changed


def test_every_changed_byte_of_the_header_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    length = 8 + int.from_bytes(data[:8], "little")
    with open(saved, "r+b", buffering=0) as file:
        for i in range(length):
            for flip in (1 << (i % 8), 0x20, 0xFF) if i % 5 == 0 else (1 << (i % 8),):
                os.pwrite(file.fileno(), bytes([data[i] ^ flip]), i)
                with pytest.raises(ModelError):
                    lmkit.load(saved)
            os.pwrite(file.fileno(), data[i : i + 1], i)
    lmkit.load(saved)


def test_changed_bytes_of_the_data_are_noticed_and_named(saved):
    """Opening refuses; `damaged` (lmkit info --verify) names the tensor and no other."""
    data = saved.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    with open(saved, "r+b", buffering=0) as file:
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            for i in {begin, end - 1, *range(begin, end, max(1, (end - begin) // 40))}:
                os.pwrite(file.fileno(), bytes([data[i] ^ (1 << (i % 8))]), i)
                with pytest.raises(ModelError, match=rf"tensor {name} is damaged"):
                    lmkit.load(saved)
                assert list(storage.open_model_file(saved, verify_small=False).damaged()) == [name]
                assert lmkit.info(saved, verify=True)["damaged"] == [name]
                os.pwrite(file.fileno(), data[i : i + 1], i)
    lmkit.load(saved)


def test_random_replacements_are_noticed(saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        changed = bytearray(data)
        at, size = rng.integers(0, len(data)), rng.integers(1, 200)
        piece = bytes(rng.integers(0, 256, min(size, len(data) - at)).astype(np.uint8))
        changed[at : at + len(piece)] = piece
        if changed != data:
            saved.write_bytes(changed)
            with pytest.raises(ModelError):
                lmkit.load(saved)


def test_large_files_are_checked_on_request_only(saved, monkeypatch):
    monkeypatch.setattr(storage, "VERIFY_BELOW", 0)
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    file = storage.open_model_file(saved)
    assert len(list(file.damaged())) == 1


# Saving


def script(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def leftovers(path):
    return [p.name for p in path.parent.iterdir() if p != path]


OLD, NEW = {"a": np.zeros(1000, np.uint32)}, {"a": np.ones(1_000_000, np.uint32)}


@pytest.mark.parametrize(
    ("number", "match"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "Input/output error")],
)
@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_errors_while_saving_leave_the_old_model(number, match, place, path, monkeypatch):
    storage.save(path, "f", {}, OLD)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    if place == "write":
        monkeypatch.setattr(storage, "_write", fail)
    else:
        monkeypatch.setattr(os, place, fail)
    with pytest.raises(ModelError, match=rf"{match}; the model that was there is unchanged") as caught:
        storage.save(path, "f", {}, NEW)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert not storage.open_model_file(path).tensors["a"].any()
    assert leftovers(path) == []


def test_a_model_that_could_not_be_opened_is_not_written(trained, saved, monkeypatch):
    """What stood there stays, and nothing else is left in the folder."""
    before = saved.read_bytes()
    tokens = trained.text.vocabulary.tokens()[3:]
    twice = TextLayer(trained.text.settings, Vocabulary.from_tokens([*tokens[:-1], tokens[0]]))
    inner = trained.language_model
    fewer = TextLayer(trained.text.settings, Vocabulary.from_tokens(tokens[:-1]))
    for text, reason in ((twice, f"the token {tokens[0]!r} is there twice"), (fewer, "do not fit")):
        model = lmkit.api.Model(NGramModel(text, inner.trie, inner.options))
        with pytest.raises(ModelError, match=f"model.lmkit: not written, because .*{re.escape(reason)}") as caught:
            model.save(saved)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(storage, "MAX_HEADER", 10)
    with pytest.raises(ModelError, match=r"model.lmkit: not written, because .*not an lmkit model"):
        storage.save(saved, "ngram", {}, {})
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


def test_a_file_that_may_not_grow(path):
    """As a full disk, and real: the system refuses in the middle of writing."""
    storage.save(path, "f", {}, OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
        with pytest.raises(ModelError, match="cannot write the model: File too large; the model that was there"):
            storage.save(path, "f", {}, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not storage.open_model_file(path).tensors["a"].any()
    assert leftovers(path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for place, match in (
        ("no/model", "no folder"), ("", "is a folder"), ("pipe", "no regular file"), ("/dev/null", "no regular file"),
        ("file/model", "Not a directory"), ("x" * 300, "too long"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=match) as caught:
            storage.save(tmp_path / place, "f", {}, OLD)
        assert "\n" not in str(caught.value)
    for place, match in (("", "no name"), ("-", "is a file"), (f"{tmp_path}/new/", "is a folder")):
        with pytest.raises(OptionError, match=match):
            storage.check_target(place)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "pipe"]


def test_a_folder_that_may_not_be_written(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OptionError, match="no permission to write"):
        storage.check_target(path)


@pytest.mark.parametrize("kind", FOREIGN)
def test_only_models_and_empty_files_are_replaced(kind, path):
    data, _ = FOREIGN[kind]
    path.write_bytes(data)
    if data:
        with pytest.raises(OptionError, match=r"would be lost; choose another -o, or remove it"):
            storage.save(path, "f", {}, OLD)
        assert path.read_bytes() == data
    else:
        storage.save(path, "f", {}, OLD)


def test_what_would_be_lost_is_named(path):
    foreign = b'{"__metadata__":{"format":"pt"}}'
    for data, match in (
        (b"once upon a time", "begins with b'once upo'"), (b"\\data\\\n", "ARPA"), (b"\x1f\x8b\x08", "compressed"),
        (len(foreign).to_bytes(8, "little") + foreign, "safetensors"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(OptionError, match=match):
            storage.check_target(path)


def test_a_damaged_model_may_be_replaced(saved):
    data = saved.read_bytes()
    for damaged in (data[:-5], data[:300], data[:200] + b"?" + data[201:], data + b"more"):
        saved.write_bytes(damaged)
        storage.check_target(saved)


def test_a_model_that_is_replaced_hands_on_its_permissions(saved):
    saved.chmod(0o604)
    storage.save(saved, "f", {}, OLD)
    assert saved.stat().st_mode & 0o777 == 0o604


def test_the_target_is_named_not_the_file_beside_it(tmp_path, monkeypatch):
    def fail(source, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source, None, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError) as caught, files.replacing(tmp_path / "x") as file:
        file.write(b"y")
    assert str(caught.value) == f"[Errno {errno.EACCES}] Permission denied: {str(tmp_path / 'x')!r}"
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_kept_and_its_file_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "model")
    for tensors in (OLD, NEW):
        storage.save(tmp_path / "link", "f", {}, tensors)
        assert (tmp_path / "link").is_symlink()
        assert storage.open_model_file(tmp_path / "real" / "model").tensors["a"].size == tensors["a"].size


def test_a_model_in_use_may_be_replaced(path):
    """Who has the old one open goes on reading it."""
    storage.save(path, "f", {}, OLD)
    file = storage.open_model_file(path)
    storage.save(path, "f", {}, NEW)
    assert not file.tensors["a"].any() and list(file.damaged()) == []


def test_the_file_has_the_usual_permissions(path):
    before = os.umask(0o027)
    try:
        storage.save(path, "f", {}, OLD)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_interrupt_while_saving_leaves_no_trace(path):
    """Ctrl-C after all bytes are written, before they are on the disk."""
    storage.save(path, "f", {}, OLD)
    process = subprocess.Popen(
        script(f"""
            import os, threading, time, numpy as np
            from lmkit import storage
            def fsync(descriptor):
                if threading.current_thread() is threading.main_thread():
                    print("saving", flush=True)
                    time.sleep(60)
            os.fsync = fsync
            storage.save({str(path)!r}, "f", {{}}, {{"a": np.ones(10**6, np.uint32)}})
        """),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == b"saving\n"
    assert len(leftovers(path)) == 1  # the temporary file, which must go
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in error and process.returncode != 0
    assert leftovers(path) == []
    assert not storage.open_model_file(path).tensors["a"].any()


def test_of_two_processes_that_write_one_file_one_wins(path):
    """At every moment there is one whole model, of one of them."""
    writers = [
        subprocess.Popen(
            script(f"""
                import numpy as np
                from lmkit import storage
                print("ready", flush=True)
                for i in range(25):
                    storage.save({str(path)!r}, "f", {{"writer": {number}}}, {{"a": np.full({size}, {number}, "u4")}})
            """),
            stdout=subprocess.PIPE, cwd=ROOT,
        )
        for number, size in ((1, 100_000), (2, 300_000))
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    seen, deadline = [], time.monotonic() + 60
    while any(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
        if path.exists():
            file = storage.open_model_file(path)  # verifies every checksum
            assert (file.tensors["a"] == file.metadata["writer"]).all()
            seen.append(file.metadata["writer"])
    assert [writer.wait(5) for writer in writers] == [0, 0]
    assert len(seen) > 1
    assert leftovers(path) == []
    assert storage.open_model_file(path).metadata["writer"] in (1, 2)
    for writer in writers:
        writer.stdout.close()


def test_messages_name_the_file(path):
    assert refused(path, "no such").startswith(str(path))
