"""Texts to ids and back: the fast layer says what the slow twin says, however the text comes in."""

import codecs
import collections
import json
import math

import numpy as np
import pytest
import reference_text as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from text_strategies import all_settings, raw_bytes, reserved_texts, texts

from lmkit.errors import CorpusError, LmkitWarning, ModelError, OptionError
from lmkit.kernels import text as text_kernels
from lmkit.kernels import vocabulary as vocabulary_kernels
from lmkit.model import BOS, EOS, RESERVED, UNK
from lmkit.text import (
    Corpus,
    TextLayer,
    TextSettings,
    UnknownTokens,
    Vocabulary,
    learn,
    learning,
    read_vocabulary,
    word_files,
)
from lmkit.text import corpus as corpus_module
from lmkit.text import layer as layer_module
from lmkit.text import tokenizers as tokenizers_module
from lmkit.text import unknown as unknown_module

TOKENIZERS = ["word", "char", "byte", "whitespace"]


def as_bytes(text):
    return text.encode("utf-8", "surrogateescape")


def a_corpus(text, name="x.txt"):
    data = text if isinstance(text, bytes) else as_bytes(text)
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""  # a first one would be skipped
    return Corpus(name, errors="keep", data=mark + data)


def tokens_of(layer):
    return layer.vocabulary.tokens()


def encode(layer, corpus):
    """The pieces of a corpus as one."""
    ids, oov, start = [], [], 0
    for encoded in layer.encode_corpus(corpus):
        ids += encoded.ids.tolist()
        oov += (encoded.oov + start).tolist()
        start += len(encoded.ids)
    return ids, oov


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Blocks of a few bytes and batches of few spans, so that every boundary is met."""
    monkeypatch.setattr(corpus_module, "BLOCK", 7)
    monkeypatch.setattr(tokenizers_module, "BATCH", 193)


# --- learning


@given(first=texts, second=texts, rules=all_settings)
@settings(max_examples=200)
def test_learn_is_the_slow_learn(first, second, rules):
    try:
        ids, layer, counts, records = learn([a_corpus(first), a_corpus(second)], rules)
    except CorpusError:
        assert not (first + second).strip("\t\n\v\f\r ") or not reference.split(first + second, "whitespace")
        return
    if rules.tokenizer != "byte":
        assert tokens_of(layer) == reference.learn([first, second], rules)
    expected = [reference.encode(text, rules, tokens_of(layer))[0] for text in (first, second)]
    assert ids.tolist() == expected[0] + expected[1]
    assert ids.dtype == np.int32
    assert counts.tolist() == np.bincount(ids, minlength=len(layer.vocabulary)).tolist()
    assert [record["tokens"] for record in records] == [len(piece) for piece in expected]
    assert [record["sentences"] for record in records] == [piece.count(2) for piece in expected]
    assert [record["characters"] for record in records] == [len(first), len(second)]


@given(text=reserved_texts, rules=all_settings)
def test_reserved_tokens_in_the_text(text, rules):
    try:
        expected = reference.encode(text, rules, reference.learn([text], rules))[0]
    except ValueError as error:
        with pytest.raises(CorpusError, match=f"reserved token {error}"):
            learn([a_corpus(text)], rules)
        return
    try:
        ids, layer, _, _ = learn([a_corpus(text)], rules)
    except CorpusError as error:
        assert "holds no tokens" in str(error)
        return
    if rules.tokenizer != "byte":
        assert ids.tolist() == expected
    assert encode(layer, a_corpus(text)) == (ids.tolist(), [])


@pytest.mark.parametrize("tokenizer", ["word", "char", "whitespace"])
@given(text=texts, size=st.none() | st.integers(1, 5), count=st.integers(1, 3))
def test_restricted_vocabularies(tokenizer, text, size, count):
    rules = TextSettings(tokenizer)
    try:
        ids, layer, counts, _ = learn([a_corpus(text)], rules, vocab_size=size, min_count=count)
    except CorpusError:
        return
    assert tokens_of(layer) == reference.learn([text], rules, size, count)
    expected, oov = reference.encode(text, rules, tokens_of(layer))
    assert ids.tolist() == expected
    assert encode(layer, a_corpus(text)) == (expected, oov)
    assert counts.tolist() == np.bincount(ids, minlength=len(counts)).tolist()
    assert len(layer.vocabulary) <= 3 + (size or len(ids))


def test_a_given_vocabulary():
    text = "to be or not to be\n"
    ids, layer, counts, _ = learn(
        [a_corpus(text)],
        TextSettings("whitespace"),
        vocabulary=["zz", "or", "be", b"be", "to", "<unk>", "aa"],
    )
    assert tokens_of(layer) == [*reference.RESERVED, "be", "to", "or", "aa", "zz"]
    assert ids.tolist() == [4, 3, 5, 0, 4, 3, 2]
    assert counts.tolist() == [1, 0, 1, 2, 2, 1, 0, 0]


def test_a_given_vocabulary_in_lower_case():
    given = ["To", "TO", b"Be", "caf\u00c9", "A\udcff", "<UNK>"]
    ids, layer, _, _ = learn(
        [a_corpus("to BE CAF\u00c9 or")], TextSettings("whitespace", lowercase=True), vocabulary=given
    )
    assert tokens_of(layer)[3:] == ["be", "caf\u00e9", "to", "a\udcff"]
    assert ids.tolist() == [5, 3, 4, UNK, EOS]


def test_kernels_mean_the_same_ids_as_the_contract():
    for module in (text_kernels, vocabulary_kernels):
        assert (EOS, len(RESERVED)) == (module.EOS, module.FIRST_TOKEN)
    assert text_kernels.UNK == UNK
    spelled = [-1 - token for token in (UNK, BOS, EOS)]
    assert min(spelled) > vocabulary_kernels.MISSING


def test_a_text_is_as_long_as_a_model_can_hold(monkeypatch):
    from lmkit.ngram.counts import MAX_TOKENS

    assert learning.MOST_TOKENS == MAX_TOKENS
    monkeypatch.setattr(learning, "MOST_TOKENS", 3)
    with pytest.raises(CorpusError, match=r"x\.txt: more than 3 tokens"):
        learn([a_corpus("a b c")], TextSettings("char"))


def test_ties_are_ordered_by_bytes():
    tokens = ["a" * n + c for n in (0, 7, 8, 15, 16, 40) for c in ("", "\x01", "b", "\u00e9", "\udcff")][1:]
    _, layer, _, _ = learn([a_corpus(" ".join(tokens[::-1]))], TextSettings("whitespace"))
    assert tokens_of(layer)[3:] == sorted(tokens, key=as_bytes)


def test_many_types_and_long_tokens():
    """The table grows, and tokens that agree in their first bytes stay apart."""
    words = [f"{'x' * (i % 40)}{i}" for i in range(60_000)]
    text = " ".join(words) + "\n" + " ".join(words[:30_000]) + "\n"
    ids, layer, counts, _ = learn([a_corpus(text)], TextSettings("whitespace"))
    assert len(layer.vocabulary) == 60_003
    assert counts[3:].tolist() == [2] * 30_000 + [1] * 30_000
    assert layer.decode(ids) == text.encode()
    assert layer.vocabulary.ids(words[:100]).tolist() == ids[:100].tolist()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("text", ["", "\n \r\n\t\x0b\x0c\n"])
def test_a_text_of_nothing_is_refused(tokenizer, text):
    with pytest.raises(CorpusError, match=r"x\.txt: holds no tokens"):
        learn([a_corpus(text)], TextSettings(tokenizer))
    learn([a_corpus(text), a_corpus("word")], TextSettings(tokenizer))


def test_no_corpus_is_refused():
    with pytest.raises(CorpusError, match="no corpus: holds no tokens"):
        learn([], TextSettings())


def test_a_nul_is_text():
    ids, layer, _, _ = learn([a_corpus("\0")], TextSettings("word"))
    assert layer.decode(ids) == b"\0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "min_count is 0"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"vocabulary": ["a"], "vocab_size": 5}, "leave out vocab_size"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        learn([a_corpus("a")], TextSettings(), **options)


def test_bytes_cannot_be_restricted():
    with pytest.raises(OptionError, match="256 bytes"):
        learn([a_corpus("a")], TextSettings("byte"), min_count=2)


def test_a_reserved_token_is_named_with_file_and_line(tiny_pieces):
    with pytest.raises(CorpusError, match=r"x\.txt: line 4: reserved token </s> .* --reserved space"):
        learn([a_corpus("a\nb b b b b\n\nc </s>\n")], TextSettings("whitespace"))


def test_progress_counts_the_bytes(tiny_pieces):
    seen = []
    learn([a_corpus("ab cd\nef gh\nij")], TextSettings(), progress=seen.append)
    assert sum(seen) == 14 and len(seen) > 1


# --- encoding


@given(text=texts, other=texts, rules=all_settings)
@settings(max_examples=200)
def test_encoding_is_the_slow_encoding(text, other, rules):
    vocabulary = Vocabulary.all_bytes()
    if rules.tokenizer != "byte":
        vocabulary = Vocabulary.from_tokens(reference.learn([other], rules)[3:])
    layer = TextLayer(rules, vocabulary)
    expected = reference.encode(text, rules, vocabulary.tokens())
    assert encode(layer, a_corpus(text)) == expected
    whole = layer.encode_text(text)
    assert (whole.ids.tolist(), whole.oov.tolist()) == expected


@given(text=texts, other=texts, rules=all_settings)
@settings(max_examples=200)
def test_unknown_tokens_are_counted_and_measured(text, other, rules):
    """Each with its number of characters and bytes; a byte that is not UTF-8 is a character."""
    if rules.tokenizer == "byte":
        return
    layer = TextLayer(rules, Vocabulary.from_tokens(reference.learn([other], rules)[3:]))
    unknown = reference.unknown(text, rules, tokens_of(layer))
    missing = UnknownTokens()
    spelled = [encoded.spelled for encoded in layer.encode_corpus(a_corpus(text), missing=missing)]
    assert np.concatenate(spelled or [[]]).tolist() == [[len(t), len(as_bytes(t))] for t in unknown]
    assert missing.tokens() == list(dict.fromkeys(unknown))
    assert missing.most_frequent(2) == dict(collections.Counter(unknown).most_common(2))


def test_only_so_many_different_unknown_tokens_are_named(monkeypatch):
    monkeypatch.setattr(unknown_module, "MAX_TYPES", 5)
    layer, missing = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens([])), UnknownTokens()
    for text in ("a b", "b c", "a d"):
        assert len(layer.encode_text(text, missing=missing).oov) == 2
    assert missing.most_frequent(9) == {"a": 2, "b": 2}


def test_what_it_costs_to_spell_unknown_tokens():
    """Of a character log(0x110000 - known); of a word its characters and an end mark, log(0x110000) each."""
    for tokenizer, text, expected in (
        ("char", "aé€", [math.log(0x110000 - 1)] * 2),
        ("word", "a euro\n€", [5 * math.log(0x110000), 2 * math.log(0x110000), 2 * math.log(0x110000)]),
        ("byte", "aé€", []),
    ):
        vocabulary = Vocabulary.all_bytes() if tokenizer == "byte" else Vocabulary.from_tokens(["a"])
        layer = TextLayer(TextSettings(tokenizer, "text"), vocabulary)
        assert layer.spelling_costs(layer.encode_text(text)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("sentence", ["line", "paragraph", "text"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_any_cutting_gives_the_same_ids(tokenizer, sentence, monkeypatch):
    rng = np.random.default_rng(5)
    pieces = ["word", " ", "  ", "\n", "\n\n", " \n", '"', ",", "\u00e9", "<", "w" * 70, "\r\n"]
    text = "".join(pieces[i] for i in rng.integers(0, len(pieces), 3000))
    rules = TextSettings(tokenizer, sentence)
    whole, layer, _, _ = learn([a_corpus(text)], rules)
    assert whole.tolist() == reference.encode(text, rules, tokens_of(layer))[0]
    for block, batch in [(1, 193), (50, 200), (1000, 256), (1 << 22, 194)]:
        monkeypatch.setattr(corpus_module, "BLOCK", block)
        monkeypatch.setattr(tokenizers_module, "BATCH", batch)
        assert encode(layer, a_corpus(text)) == (whole.tolist(), [])
        assert learn([a_corpus(text)], rules)[0].tolist() == whole.tolist()


def test_many_empty_lines_in_small_batches(tiny_pieces):
    text = "a" + "\n" * 1000 + "b" * 500 + "\n" * 500
    ids, layer, _, _ = learn([a_corpus(text)], TextSettings("whitespace"))
    assert ids.tolist() == reference.encode(text, layer.settings, tokens_of(layer))[0]


def test_an_empty_line_is_a_sentence_of_the_whitespace_tokenizer():
    layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(["a"]))
    assert encode(layer, a_corpus("\na\n \n\na"))[0] == [2, 3, 2, 2, 2, 3, 2]


@pytest.mark.parametrize(
    ("text", "reserved", "tokens"),
    [
        (b"the cat sat\n\n   \nthe  dog\tran \r\n  a bird ", "error", "the cat sat|||the dog ran|a bird"),
        (b"\xff\xfe bad\nword\xe2\x80\x83em space\n", "error", "\udcff\udcfe bad|word\u2003em space"),
        (b"vt\x0bff\x0cend\n", "error", "vt\x0bff\x0cend"),
        (b"<s> the cat </s>\nthe <unk> ran\n", "space", "the cat|the ran"),
        (b"the <unk> ran\n", "keep", "the <unk> ran"),
    ],
)
def test_what_kenlm_reads(text, reserved, tokens):
    """Tokens and sentences that lmplz of KenLM (commit 4cb443e6) counts in these texts; `|` is `</s>`."""
    ids, layer, _, _ = learn([a_corpus(text)], TextSettings("whitespace", reserved=reserved))
    assert layer.decode(ids) == as_bytes(tokens.replace("|", "\n") + "\n")
    assert np.count_nonzero(ids == 2) == tokens.count("|") + 1


def test_kept_unk_is_not_out_of_vocabulary():
    layer = TextLayer(TextSettings("whitespace", reserved="keep"), Vocabulary.from_tokens(["a"]))
    assert encode(layer, a_corpus("a <unk> b <unk>\n")) == ([3, 0, 0, 0, 2], [2])


@pytest.mark.parametrize(
    ("tokenizer", "sentence", "prompt", "tokens"),
    [
        ("word", "paragraph", "I am", ["I", "am"]),
        ("word", "paragraph", "I am ", ["I", "am"]),
        ("word", "paragraph", "I am  ", ["I", "am", " "]),
        ("word", "paragraph", "I (", ["I", "("]),
        ("word", "paragraph", "I ( ", ["I", "(", " "]),
        ("word", "paragraph", "I\n", ["I", "\n"]),
        ("word", "paragraph", "I\n\n", ["I", "\n", "\n", "</s>"]),
        ("word", "paragraph", "I\n\nam", ["I", "\n", "\n", "</s>", "am"]),
        ("word", "line", "I\n", ["I", "\n", "</s>"]),
        ("word", "text", "I\n\n", ["I", "\n", "\n"]),
        ("char", "paragraph", "I ", ["I", " "]),
        ("whitespace", "line", "I am ", ["I", "am"]),
        ("whitespace", "line", "I\n", ["I", "</s>"]),
        ("word", "paragraph", "", []),
    ],
)
def test_prompts(tokenizer, sentence, prompt, tokens):
    vocabulary = Vocabulary.from_tokens(["I", "am", "(", "\n", " "])
    layer = TextLayer(TextSettings(tokenizer, sentence), vocabulary)
    ids = layer.encode_text(prompt, complete=False).ids
    assert [vocabulary.token(i) for i in ids.tolist()] == tokens


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(CorpusError, match="character 2"):
        TextLayer(TextSettings(), Vocabulary.from_tokens("a")).encode_text("a\ud800")


# --- decoding


@pytest.mark.parametrize("sentence", ["line", "paragraph", "text"])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte"])
@given(data=raw_bytes)
def test_decoding_gives_the_bytes_again(tokenizer, sentence, data):
    try:
        ids, layer, _, _ = learn([a_corpus(data)], TextSettings(tokenizer, sentence))
    except CorpusError:
        return
    assert layer.decode(ids) == data


@given(data=st.data(), rules=all_settings, text=texts)
def test_streaming_is_the_slow_decoding(data, rules, text):
    """Any ids, also such as no text has, in any pieces."""
    vocabulary = Vocabulary.all_bytes()
    if rules.tokenizer != "byte":
        vocabulary = Vocabulary.from_tokens(reference.learn([text], rules)[3:])
    layer = TextLayer(rules, vocabulary)
    ids = data.draw(st.lists(st.integers(2, len(vocabulary) - 1), max_size=40))
    whole = layer.decode(np.array(ids, np.int32))
    assert whole == as_bytes(reference.decode(ids, rules, vocabulary.tokens()))
    decoder, parts, rest = layer.decoder(), [], ids
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        parts.append(decoder.feed(np.array(rest[:cut])))
        rest = rest[cut:]
    assert b"".join([*parts, decoder.finish()]) == whole
    cut = data.draw(st.integers(0, len(ids)))
    prompt = layer.decode(np.array(ids[:cut], np.int32))
    assert prompt + layer.decoder().primed(ids[:cut]).feed(ids[cut:]) == whole


def test_unknown_words_and_impossible_ids_are_shown():
    layer = TextLayer(TextSettings("word"), Vocabulary.from_tokens(["a", ","]))
    assert layer.decode(np.array([3, 0, 4, 5, -1, 2**31 - 1, -(2**31), 1, 3])) == (
        b"a <unk>, <unk> <unk> <unk> <unk> a"
    )


def test_decoding_more_than_a_buffer():
    layer = TextLayer(TextSettings("whitespace"), Vocabulary.from_tokens(["ab", "c" * 5000]))
    ids = np.random.default_rng(1).integers(2, 5, 5000)
    assert layer.decode(ids) == reference.decode(ids.tolist(), layer.settings, tokens_of(layer)).encode()


# --- the model file


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_layer_survives_the_model_file(tokenizer):
    text = "'Tis the caf\udce9  \u00e9t\u00e9.\n\nNow."
    ids, layer, _, _ = learn([a_corpus(text)], TextSettings(tokenizer, "line", True, "keep"))
    metadata = json.loads(json.dumps(layer.metadata()))
    again = TextLayer.from_tensors(layer.tensors(), metadata)
    assert again.settings == layer.settings
    assert again.vocabulary == layer.vocabulary
    assert again.unicode_version == layer.unicode_version
    assert encode(again, a_corpus(text)) == (ids.tolist(), [])


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"text": None},
        {"text": "word"},
        {"text": {}},
        {"text": {"tokenizer": [], "sentence": "line", "lowercase": False, "reserved": "error"}},
        {"text": {"tokenizer": "word", "sentence": "line", "lowercase": "no", "reserved": "error"}},
        {"text": {"tokenizer": "words", "sentence": "line", "lowercase": False, "reserved": "error"}},
    ],
)
def test_damaged_metadata(metadata):
    with pytest.raises(ModelError):
        TextLayer.from_tensors(Vocabulary.from_tokens("a").tensors(), metadata)


@pytest.mark.parametrize(
    ("settings", "changed", "said"),
    [
        (TextSettings("word"), "unicode_version", "cut into words"),
        (TextSettings("char", lowercase=True), "lowercase_version", "turned to lower case"),
    ],
)
def test_another_unicode_version_is_told_of(settings, changed, said):
    _, layer, _, _ = learn([a_corpus("to be")], settings)
    metadata = layer.metadata()
    metadata["text"][changed] = "1.1.5\n" + 1000 * "x"
    with pytest.warns(LmkitWarning, match=f"text was {said} by Unicode '1.1.5") as caught:
        again = TextLayer.from_tensors(layer.tensors(), metadata)
    assert len(caught) == 1 and len(str(caught[0].message)) < 200 and "\n" not in str(caught[0].message)
    assert again.metadata() == metadata  # what is saved again is what the model was made with
    del metadata["text"][changed]
    with pytest.warns(LmkitWarning, match="by Unicode 'unknown'"):
        TextLayer.from_tensors(layer.tensors(), metadata)


def test_unicode_versions_that_do_not_matter():
    _, layer, _, _ = learn([a_corpus("to be")], TextSettings("whitespace"))
    metadata = layer.metadata()
    assert "lowercase_version" not in metadata["text"]
    metadata["text"]["unicode_version"] = "1.1.5"
    assert TextLayer.from_tensors(layer.tensors(), metadata).metadata() == metadata


def test_the_version_of_python_is_that_of_lower_case(monkeypatch):
    monkeypatch.setattr(layer_module.unicodedata, "unidata_version", "99.0.0")
    layer = TextLayer(TextSettings("char", lowercase=True), Vocabulary.from_tokens("a"))
    with pytest.warns(LmkitWarning, match=r"by '99\.0\.0'"):
        TextLayer.from_tensors(layer.tensors(), layer.metadata())


def test_the_byte_tokenizer_has_its_own_vocabulary():
    metadata = TextLayer(TextSettings("byte"), Vocabulary.all_bytes()).metadata()
    with pytest.raises(ModelError, match="256 bytes"):
        TextLayer.from_tensors(Vocabulary.from_tokens("a").tensors(), metadata)


@given(data=st.data())
def test_no_damage_breaks_a_layer(data):
    """Whatever bytes a model file holds, the layer refuses them or works on them."""
    rules = TextSettings("word", reserved="keep")
    _, layer, _, _ = learn([a_corpus('a b"c  d\n\n\n\u00e9')], rules)
    tensors = {name: array.copy() for name, array in layer.tensors().items()}
    for _ in range(data.draw(st.integers(1, 4))):
        raw = tensors[data.draw(st.sampled_from(sorted(tensors)))].view(np.uint8)
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        damaged = TextLayer.from_tensors(tensors, layer.metadata())
        damaged.decode(np.arange(-2, 40))
        damaged.encode_text("a b c \u00e9 <unk>")
        damaged.vocabulary.tokens()
    except ModelError as error:
        assert "vocabulary" in str(error)


# --- vocabulary files


def test_a_vocabulary_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("to be\n\\j \\s\\s\tna\u00efve\u00a0x \\n".encode())
    expected = ["to", "be", "", "  ", "na\u00efve\u00a0x", "\n"]
    assert read_vocabulary(str(path), TextSettings("word")) == expected
    assert read_vocabulary(str(path), TextSettings("whitespace"))[2] == "\\j"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_vocabulary_file(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="holds no tokens"):
        read_vocabulary(str(path), TextSettings("word"))


def test_a_vocabulary_file_that_is_missing(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        read_vocabulary(str(tmp_path / "none.txt"), TextSettings("word"))


def test_a_vocabulary_file_in_another_encoding(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("na\u00efve b".encode("latin-1"))
    settings = TextSettings("whitespace")
    assert read_vocabulary(str(path), settings, encoding="latin-1") == ["na\u00efve", "b"]
    assert read_vocabulary(str(path), settings, errors="keep") == ["na\udcefve", "b"]
    with pytest.raises(CorpusError, match=r"words\.txt: line 1, byte offset 2: 0xef"):
        read_vocabulary(str(path), settings)


def test_a_vocabulary_file_in_lower_case(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("To TO \\j \\n BE\u00c9 to".encode())
    assert read_vocabulary(str(path), TextSettings("word", lowercase=True)) == ["to", "", "\n", "be\u00e9"]


VOCABULARIES = {
    "counts": ("the\t100\na\t3.5e+02 \r\nof \t 7\nw\t-3.2\n", ["the", "a", "of", "w"]),
    "n-grams": ("a b\t3\nc\t2\n", ["a", "b", "c"]),
    "numbers": ("100\t5\n7\n8 9\n", ["100", "7", "8", "9"]),
    "tabs": ("a\tb\nc\td\t3\n", ["a", "b", "c", "d", "3"]),
    "not between blanks": ("a\x0bb \u00a0\n", ["a\x0bb", "\u00a0"]),
    "LaTeX": ("\\theta\t5\n\\\\\t3\n\\\t2\n\\x41\t1\n", ["\\theta", "\\\\", "\\", "\\x41"]),
    "escaped": ("\\\\theta \\\\\\\\\n\\\\ \\x0b\n", ["\\theta", "\\\\", "\\", "\x0b"]),
    "as lmkit says": ("a\\q\n##lmkit-escaped\t0\n\\\\\n", ["a\\q", "\\"]),
}


@pytest.mark.parametrize("case", VOCABULARIES)
def test_vocabularies_of_words(tmp_path, case):
    """Lists of other tools stand as they are, those of lmkit are escaped; counts do not matter."""
    text, expected = VOCABULARIES[case]
    (tmp_path / "words").write_bytes(text.encode())
    found = read_vocabulary(str(tmp_path / "words"), TextSettings("whitespace"))
    assert found == expected
    if "\\" not in text:
        assert read_vocabulary(str(tmp_path / "words"), TextSettings("word")) == expected


def test_escaped_or_not_as_the_caller_says(tmp_path):
    path = str(tmp_path / "words")
    (tmp_path / "words").write_text("\\\\ \\t\n")
    assert read_vocabulary(path, TextSettings("whitespace")) == ["\\\\", "\\t"]
    assert read_vocabulary(path, TextSettings("word"), escaped=False) == ["\\\\", "\\t"]
    with pytest.raises(CorpusError, match=r"words: \\t is no token of the whitespace tokenizer"):
        read_vocabulary(path, TextSettings("whitespace"), escaped=True)


def test_escapes_that_stand_for_no_text(tmp_path):
    (tmp_path / "words").write_text("\\ud800 \\udc80 \\xc3\n")
    assert read_vocabulary(str(tmp_path / "words"), TextSettings("char")) == ["\\ud800", "\\udc80", "\udcc3"]


def test_a_vocabulary_that_does_not_end(monkeypatch, tmp_path):
    with pytest.raises(CorpusError, match="/dev/zero: line 1: longer than 67,108,864 bytes"):
        read_vocabulary("/dev/zero", TextSettings("whitespace"))
    (tmp_path / "words").write_text("a few words\n")
    monkeypatch.setattr(word_files, "memory_limit", lambda: 500)
    with pytest.raises(CorpusError, match=r"words: 3 tokens or more, which do not fit into the 0.5 kB of memory"):
        read_vocabulary(str(tmp_path / "words"), TextSettings("word"))
    monkeypatch.setattr(word_files, "MOST_BYTES", 10)
    with pytest.raises(CorpusError, match="words: longer than 10 bytes"):
        read_vocabulary(str(tmp_path / "words"), TextSettings("word"))


def test_the_vocabulary_of_a_model(tmp_path):
    from lmkit.storage import save

    _, layer, _, _ = learn([a_corpus("to be or not to be\n")], TextSettings("word"))
    path = tmp_path / "x.lmkit"
    save(path, "ngram", layer.metadata(), layer.tensors())
    assert read_vocabulary(str(path), layer.settings, encoding="utf-16") == tokens_of(layer)[3:]
    with pytest.raises(OptionError, match="tokens of the word tokenizer"):
        read_vocabulary(str(path), TextSettings("whitespace"))
