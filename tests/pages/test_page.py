"""What stands in a page, read back without a browser."""

import base64
import hashlib
import html.parser
import json
import math
import re
import zlib

import numpy as np
import pytest
from test_contract import recurrent
from texts import COWS

import lmkit
from lmkit import api
from lmkit.colours import contrast
from lmkit.explanation import details
from lmkit.pages.page import GROUNDS
from lmkit.text import TextLayer, TextSettings, Vocabulary

NASTY = (
    "<script>alert(1)</script>\n</script></div>&amp;&lt;\u2028\u2029 ]]> <!-- --> {{data}}\n"
    "\x1b[31m\0\r\n日本 \U0001f44d é\n"
)


def trained(text=COWS * 5, **options):
    options = {"tokenizer": "char", "smoothing": "add-k", "order": 3, **options}
    return lmkit.train(("t", text.encode("utf-8", "surrogateescape")), **options)


class Reader(html.parser.HTMLParser):
    """What a browser would see: the blocks of text, and what is in script, style, title and meta."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.inside, self.blocks, self.found, self.metas, self.tags = [], [], {}, {}, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "meta":
            self.metas[attributes.get("http-equiv") or attributes.get("name")] = attributes.get("content")
        elif tag not in ("link", "meta"):
            self.inside.append(attributes.get("id") or (tag if attributes.get("class") != "b" else "block"))
            if self.inside[-1] == "block":
                self.blocks.append("")

    def handle_endtag(self, tag):
        self.inside.pop()

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "block":
            self.blocks[-1] += data
        elif self.inside:
            self.found[self.inside[-1]] = self.found.get(self.inside[-1], "") + data


class Page:
    """A page, unpacked as its script does it."""

    def __init__(self, model, *texts, **options):
        self.bytes = b"".join(lmkit.explain_page(model, list(texts), **options))
        self.reader = Reader()
        self.reader.feed(self.bytes.decode())
        assert self.reader.inside == []
        self.meta = json.loads(self.reader.found["meta"])
        self.blocks, self.data = self.reader.blocks, [self.unpack(*p) for p in enumerate(self.lines)]

    @property
    def lines(self):
        return self.reader.found["data"].split()

    def unpack(self, number, line):
        data, at, found = zlib.decompress(base64.b64decode(line)), 0, {}
        for name, kind, width in self.meta["fields"]:
            n = self.meta["sizes"][number] * width
            array = np.frombuffer(data, "<" + kind, n, at)
            at += array.nbytes
            found[name] = array.reshape(-1, width) if width > 1 else array
        assert at == len(data)
        return found

    def column(self, name):
        return np.concatenate([block[name] for block in self.data])

    def tokens(self):
        """The text of each token as the script cuts it."""
        found = []
        for text, data in zip(self.blocks, self.data, strict=True):
            encoded, ends = text.encode("utf-16-le"), np.cumsum(data["lengths"], dtype=int).tolist()
            found += [encoded[2 * a : 2 * b].decode("utf-16-le") for a, b in zip([0, *ends], ends, strict=False)]
        return found


@pytest.fixture(scope="module")
def model():
    return trained()


def test_numbers_are_those_of_the_model(model):
    text = COWS * 30 + "weed cats woo rich\n"
    page = Page(model, ("text", text.encode()))
    assert len(page.blocks) > 3
    ids = model.text.encode_text(text).ids
    expected = details(model.language_model, ids)
    bits = -expected.log_p.astype(float) / math.log(2)
    np.testing.assert_allclose(page.column("bits0") / page.meta["unit"], bits, atol=0.5 / 1024 + 1e-6)
    np.testing.assert_array_equal(page.column("rank0"), expected.ranks)
    np.testing.assert_array_equal(page.column("order0"), expected.orders)
    top_bits = -expected.top_log_p.astype(float) / math.log(2)
    np.testing.assert_allclose(page.column("topBits0") / page.meta["topUnit"], top_bits, atol=0.5 / 256 + 1e-6)
    (described,) = page.meta["models"]
    assert described["bits"] == pytest.approx(bits.sum(), rel=1e-6)
    assert (described["vocabulary"], described["order"]) == (model.vocabulary_size - 1, 3)
    names = np.array(described["tokens"])[page.column("top0")]
    known = {" ": "␣", "\n": "↵", "</s>": "¶ end"}
    tokens = [model.text.vocabulary.token(i) for i in expected.top.ravel().tolist()]
    assert names.ravel().tolist() == [known.get(token, token) for token in tokens]
    hits, places = page.column("hit0"), np.arange(len(ids))
    there = hits < 5
    assert there.any() and not there.all()
    np.testing.assert_array_equal(expected.top[places[there], hits[there]], ids[there])
    assert not (expected.top[~there] == ids[~there, None]).any()
    assert "".join(page.blocks) == text


def test_blocks_end_with_lines_and_long_lines_are_cut(model):
    page = Page(model, ("text", (COWS * 40 + "cows " * 3000 + "\n\n" + COWS).encode()))
    lengths = [len(block) for block in page.blocks]
    assert max(lengths) <= 4000 and min(lengths[:-1]) >= 1200
    assert "".join(page.blocks) == COWS * 40 + "cows " * 3000 + "\n\n" + COWS
    assert sum(not block.endswith("\n") for block in page.blocks) == len([n for n in lengths if n == 4000])
    flags = page.column("flags")
    starts = np.cumsum([0, *page.meta["sizes"][:-1]])
    assert flags[flags == 2].size == 2 and not (flags[starts] == 2).any()  # a sentence end stays with its line


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "whitespace"])
def test_text_stays_text(tokenizer):
    model = trained(NASTY + COWS, tokenizer=tokenizer)
    page = Page(model, ("</title><script>alert(2)</script>", NASTY.encode()))
    shown = "".join(page.blocks)
    assert shown == NASTY.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x1b", "␛").replace(
        "\0", "␀"
    ).replace("\r", "␍")
    assert [tag for tag, _ in page.reader.tags].count("script") == 3
    assert page.reader.found["title"] == "</title><script>alert(2)</script>: surprisal"
    joined = "".join(page.tokens())
    assert shown.startswith(joined) and not shown[len(joined) :].strip("\n")
    if tokenizer == "byte":
        assert page.tokens().count("日") == 1 and page.tokens().count("👍") == 1


def test_bytes_that_are_no_text_are_shown(model):
    page = Page(model, ("x", b"cows \xff\xfe\n"), errors="keep")
    assert page.blocks == ["cows \\xff\\xfe\n"] and page.column("flags").tolist()[:9] == [0] * 5 + [1, 1, 0, 2]


def test_the_page_may_load_nothing_and_run_only_its_own(model):
    page = Page(model, ("text", COWS.encode()))
    policy = dict(part.strip().split(" ", 1) for part in page.reader.metas["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        content = page.reader.found[tag]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[kind] == f"'sha256-{digest}'"
    markup = page.bytes.decode()
    assert not re.search(
        r"https?:|@import|url\(|\bon[a-z]+=|style=", re.sub(r'id="data">.*?</script>', "", markup, flags=re.S)
    )


def test_what_a_screen_reader_needs_is_there(model):
    page = Page(model, ("text", COWS.encode()))
    tags = page.reader.tags
    assert ("html", {"lang": "en"}) in tags
    ids = {attributes.get("id") for _, attributes in tags}
    for _, attributes in tags:
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name) is None or attributes[name] in ids
    assert [tag for tag, _ in tags if tag in ("main", "header", "aside", "footer", "h1")] == [
        "header", "h1", "main", "aside", "footer",
    ]  # fmt: skip
    assert page.reader.metas["viewport"].startswith("width=device-width")


@pytest.mark.parametrize("ground", GROUNDS)
def test_contrast_of_the_page(ground):
    colours = GROUNDS[ground]
    for ink in ("ink", "muted", "accent"):
        for back in ("page", "raised"):
            assert contrast(colours[ink], colours[back]) >= 4.5


def test_no_colour_is_used_but_those_that_are_checked(model):
    page = Page(model, ("text", COWS.encode()))
    style = page.reader.found["style"]
    named = {colour for ground in GROUNDS.values() for colour in ground.values()}
    outside = re.sub(r"--[sd]\d(-ink)?: #[0-9a-f]{6};", "", style)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", outside)) == named
    assert set(re.findall(r"var\(--([a-z]+)", outside)) <= {"tall", "s", "d", *GROUNDS["light"]}


class TestTwoModels:
    def test_stand_side_by_side(self, model):
        other = trained(COWS[::-1] * 5, order=2)
        page = Page(model, ("text", COWS.encode()), against=other)
        assert [view["kind"] for view in page.meta["views"]] == ["difference", "both", "surprisal", "surprisal"]
        ids = other.text.encode_text(COWS).ids
        expected = details(other.language_model, ids)
        bits = -expected.log_p.astype(float) / math.log(2)
        np.testing.assert_allclose(page.column("bits1") / page.meta["unit"], bits, atol=0.5 / 1024 + 1e-6)
        np.testing.assert_array_equal(page.column("rank1"), expected.ranks)
        assert page.meta["models"][1]["order"] == 2

    def test_must_see_the_same_tokens(self, model):
        with pytest.raises(lmkit.OptionError, match="see different tokens"):
            Page(model, ("text", COWS.encode()), against=trained(tokenizer="byte"))


@pytest.fixture(scope="module")
def network():
    tokens = sorted(set(COWS))
    made = recurrent("lstm", 2, tokens=tokens)
    made.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens(tokens))
    return api.Model(made)


class TestNetworks:
    def test_units_are_there(self, network):
        page = Page(network, ("text", COWS.encode()), units="2.3,1")
        _, [(_, held)] = lmkit.neurons(network, ("text", COWS.encode()), "2.3,1")
        np.testing.assert_allclose(page.column("units").T / 127, held, atol=0.5 / 127 + 1e-6)
        assert [view["name"].split(":")[0] for view in page.meta["views"]] == ["surprisal", "unit 2.3", "unit 2.1"]
        assert page.meta["units"] == ["2.3", "2.1"]

    def test_have_no_orders(self, network):
        page = Page(network, ("text", COWS.encode()))
        assert page.meta["models"][0]["order"] == 0 and "order0" not in page.data[0]


def test_what_cannot_be_is_marked():
    model = trained("ab\nab\n", smoothing="mle", order=2)
    page = Page(model, ("text", b"bba\n"))
    stored = page.column("bits0")
    assert stored[0] == 65535 and page.meta["models"][0]["bits"] is None
    assert "inf" in page.bytes.decode() and math.isfinite(page.meta["views"][0]["notable"])


def test_several_texts_have_headings(model):
    page = Page(model, ("one <1>", COWS.encode()), ("two", COWS.encode()))
    assert page.reader.found["h2"].startswith("one <1>two") and len(page.blocks) == 2
    assert sum(page.meta["sizes"]) == 2 * len(model.text.encode_text(COWS).ids)


def test_progress_covers_all_models(model):
    seen = []
    Page(model, ("text", COWS.encode()), against=model, progress=lambda *report: seen.append(report))
    assert seen[-1] == ("explaining", 2 * len(model.text.encode_text(COWS).ids), seen[-1][1], "tokens")
