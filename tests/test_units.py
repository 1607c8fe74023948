"""Features of texts by hand, correlations by NumPy, and which units are found."""

import dataclasses

import numpy as np
import pytest
from test_contract import ngram, recurrent

from lmkit import units as units_module
from lmkit.errors import ModelError, OptionError
from lmkit.explanation import WholeText
from lmkit.mixture.cache import UnigramCache, UnigramParameters
from lmkit.mixture.linear import LinearMixture
from lmkit.text import TextLayer, TextSettings, Vocabulary
from lmkit.units import Unit, find_units, recurrent_part, text_features, unit_activations

PLAY = 'ANN:\nI say "no",\nand mean it.\n\nOld Bob:\n“Yes,\nyes” «so»\n\n' * 3
LONG = PLAY * 10  # enough to look for the best units


def whole(text, tokens="abcdefghij"):
    """A text in characters, as ids that a small network knows."""
    ids = np.array([3 + ord(c) % len(tokens) for c in text], np.int32)
    return WholeText(ids, np.zeros(0, np.int64), text, np.arange(1, len(text) + 1), "play")


@pytest.fixture(scope="module")
def network():
    return recurrent("lstm", 2)


def features(text):
    """All features after each character."""
    return dict(zip(units_module.FEATURES, text_features(text, np.arange(1, len(text) + 1)), strict=True))


def marked(text, feature):
    return "".join("x" if on else "." for on in features(text)[feature])


def test_positions_count_from_the_start_of_the_line():
    assert features("ab\n\nc")["position"].tolist() == [1, 2, 0, 0, 1]


def test_tokens_of_any_length_stand_at_their_ends():
    found = text_features("ANN:\nso", np.array([0, 3, 4, 4, 5, 7]))
    assert found[0].tolist() == [0, 3, 4, 4, 0, 2] and found[1].tolist() == [0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ANN:\nso:\n", "xxxx....."),  # a line in small letters within a paragraph is no name
        ("so:\n", "xxx."),
        ("a\n\nSo it:\nB\n", "...xxxxxx..."),
        ("a\nTHE KING: \nb", "..xxxxxxxxxx.."),
        ("a" * 70 + ":\n", "." * 72),
    ],
)
def test_names_of_speakers(text, expected):
    assert marked(text, "speaker") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a "b" c', "..xx..."),
        ("“b” «c»", "xx..xx."),
        ('"a\nb"', "xxxx."),
        ('"a\n\nb "c"', "......xx."),  # what a blank line ends was never closed, and is none
        ("a” b", "...."),
    ],
)
def test_quotes(text, expected):
    assert marked(text, "quote") == expected


def test_correlations_are_pearsons(network):
    texts = [whole(PLAY), whole(PLAY[::-1])]
    r = units_module._correlations(network, texts, None)
    held = np.concatenate(
        [network.activations(network.begin(), text.ids[None])[0][0].reshape(len(text.ids), -1) for text in texts]
    )
    expected = np.concatenate([text_features(text.text, text.ends) for text in texts], axis=1)
    for feature in range(3):
        worked = [np.corrcoef(expected[feature], unit)[0, 1] for unit in held.T]
        np.testing.assert_allclose(r[feature].ravel(), worked, atol=1e-6)


def test_blocks_do_not_matter(network, monkeypatch):
    texts = [whole(LONG)]
    units, r = find_units(network, texts), units_module._correlations(network, texts, None)
    held = unit_activations(network, texts[0], units)
    monkeypatch.setattr(units_module, "BLOCK", 7)
    done = []
    np.testing.assert_allclose(units_module._correlations(network, texts, done.append), r, atol=1e-9)
    np.testing.assert_array_equal(unit_activations(network, texts[0], units), held)
    assert sum(done) == len(LONG) and max(done) == 7


def test_the_best_unit_of_each_feature_is_found(network):
    texts = [whole(LONG)]
    r = units_module._correlations(network, texts, None)
    units = find_units(network, texts)
    assert [unit.feature for unit in units] == ["position", "speaker", "quote"]
    assert len({unit.name for unit in units}) == 3
    best = np.abs(r[0]).max()
    assert abs(units[0].correlation) == pytest.approx(best)
    for unit, feature in zip(units, range(3), strict=True):
        assert unit.correlation == r[feature, unit.layer - 1, unit.number - 1]
    held = unit_activations(network, texts[0], units)
    expected, _ = network.activations(network.begin(), texts[0].ids[None])
    np.testing.assert_array_equal(held[0], expected[0, :, units[0].layer - 1, units[0].number - 1])


def test_a_text_without_quotes_has_units_for_the_rest(network):
    assert [unit.feature for unit in find_units(network, [whole("ANN:\nso it is\n" * 80)])] == ["position", "speaker"]


def test_units_can_be_named(network):
    units = find_units(network, [whole(PLAY)], "3, 1.10")
    assert [(unit.layer, unit.number) for unit in units] == [(2, 3), (1, 10)]
    r = units_module._correlations(network, [whole(PLAY)], None)
    assert abs(units[1].correlation) == np.abs(r[:, 0, 9]).max()
    assert units[0].title.startswith("unit 2.3: ") and units[0].strength.startswith("r = ")


def test_a_text_with_nothing_to_track(network):
    with pytest.raises(OptionError, match="nothing in the text could be tracked"):
        find_units(network, [whole("\n" * 1000)])
    (unit,) = find_units(network, [whole("")], "1")
    assert unit == Unit(2, 1, None, 0.0) and (unit.title, unit.strength) == ("unit 2.1", "no correlation")


def test_a_text_too_short_to_tell(network):
    """Of many units one tracks anything by chance in a few tokens: the best are looked for in enough of them only."""
    text = whole(LONG[:999])
    with pytest.raises(OptionError, match="the text has 999 tokens, and --neurons best needs 1,000 or more"):
        find_units(network, [text])
    with pytest.raises(OptionError, match="the text has 1 token, and"):
        find_units(network, [whole("a")])
    assert find_units(network, [text, whole("a")]) and find_units(network, [text], "1")


@pytest.mark.parametrize("which", ["0", "11", "3.1", "0.1", "x", "", "1,,2", "1-3", "-1", "1.2.3"])
def test_units_that_are_not_there(network, which):
    with pytest.raises(OptionError, match=r"is no unit; name them by numbers from 1 to 10, with 1. to 2. before"):
        find_units(network, [whole(PLAY)], which)


def test_not_too_many_at_once(network):
    with pytest.raises(OptionError, match="16 can be shown"):
        find_units(network, [whole(PLAY)], ",".join(["1"] * 17))


def test_the_recurrent_part_of_mixtures():
    network, counts = recurrent("gru", tokens="fedcba"), ngram(2, smoothing="mle")
    counts.text = network.text  # the same tokens
    mixed = LinearMixture([counts, network], [0.5, 0.5])
    for model in (mixed, UnigramCache(mixed, UnigramParameters(0.1, 0.1))):
        assert recurrent_part(model)[0] is network
    text = whole(PLAY, "abcdef")
    np.testing.assert_array_equal(
        unit_activations(mixed, text, [Unit(1, 4, None, 0.0)]), unit_activations(network, text, [Unit(1, 4, None, 0.0)])
    )
    with pytest.raises(ModelError, match="models of the family ngram have no hidden units"):
        recurrent_part(counts)
    with pytest.raises(ModelError, match="the mixture has 2 recurrent networks"):
        recurrent_part(LinearMixture([network, network], [0.5, 0.5]))


def test_members_that_number_tokens_otherwise_read_the_same_text():
    network = recurrent("gru", tokens="ab")
    network.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens("ab"))
    other = recurrent("elman", tokens="ba")
    other.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens("ba"))
    counted = ngram(1, smoothing="mle")
    counted.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens("badefc"))
    mixed = LinearMixture([counted, network], [0.5, 0.5])
    text = dataclasses.replace(whole("abba"), ids=mixed.text.encode_text("abba", complete=False).ids)
    alone = dataclasses.replace(text, ids=network.text.encode_text("abba", complete=False).ids)
    assert text.ids.tolist() != alone.ids.tolist()
    unit = [Unit(1, 1, None, 0.0)]
    np.testing.assert_array_equal(unit_activations(mixed, text, unit), unit_activations(network, alone, unit))
