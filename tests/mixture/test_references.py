"""Mixtures whose files name their members: what is stored, what is noticed, and what is refused."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from test_contract import recurrent

import lmkit
from lmkit import storage
from lmkit.errors import ModelError, OptionError
from lmkit.mixture import members
from lmkit.mixture.dynamic import DynamicEvaluation
from lmkit.mixture.neural import NeuralCache

TEXTS = {"a": "abba acca.\nadda abca\n" * 9, "b": "abab cac.\nbaab\n" * 9, "c": "xyab yxba.\nabxy\n" * 9}
TUNE = ("tune", b"abba xy\n")
TEXT = ("text", b"abba acca xy ab\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three models in the folder `models`, one of them in a folder in it; the working directory is another."""
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for order, (name, text) in enumerate(TEXTS.items(), 2):
        lmkit.train(
            (name, text.encode()), order=order, tokenizer="char", smoothing="witten-bell",
            output=tmp_path / "models" / ("deep/c" if name == "c" else name),
        )  # fmt: skip
    return tmp_path / "models"


def mixed(folder, *names, output="mixed", **options):
    options = options or {"weights": [1 / len(names)] * len(names)}
    return lmkit.mix([folder / name for name in names], output=folder / output, by_reference=True, **options)


def same(a, b):
    assert a.perplexity(TEXT).log_probability == b.perplexity(TEXT).log_probability
    assert a.sample(n=30, seed=3) == b.sample(n=30, seed=3)


def named(path):
    return lmkit.info(path)["config"]["members"]


def rewritten(path, change):
    """Let a member of a mixture's file say something else of itself."""
    file = storage.open_model_file(path)
    change(file.metadata["config"]["members"])
    storage.save(path, file.family, file.metadata, {name: np.array(t) for name, t in file.tensors.items()})


# What is stored


def test_the_file_names_its_members(folder):
    made = mixed(folder, "a", "b", tune=TUNE)
    embedding = lmkit.mix([folder / "a", folder / "b"], tune=TUNE, output=folder / "embedding")
    loaded = lmkit.load(folder / "mixed")
    same(made, loaded)
    same(embedding, loaded)
    file = storage.open_model_file(folder / "mixed")
    assert set(file.tensors) == {"vocabulary.bytes", "vocabulary.offsets"}
    data = (folder / "a").read_bytes()
    header = data[: 8 + int.from_bytes(data[:8], "little")]
    assert named(folder / "mixed")[0] == {
        "family": "ngram", "path": "a", "header_sha256": hashlib.sha256(header).hexdigest(),
    }  # fmt: skip
    found = lmkit.info(folder / "mixed", verify=True)
    weights = list(made.language_model.weights)
    told = {"family": "ngram", "kind": "ngram, in a file of its own"}
    assert found["members"] == [{**told, "weight": w, "path": p} for w, p in zip(weights, "ab", strict=True)]
    assert found["damaged"] == found["damaged_members"] == []
    assert not loaded.language_model.members[0].trie.nodes.flags.owndata  # of the mapped file


def test_what_lies_below_moves_along_and_what_does_not_stays(folder, tmp_path):
    shutil.copy(folder / "b", tmp_path / "elsewhere")
    made = mixed(folder, "a", "deep/c", "../elsewhere")
    assert [entry["path"] for entry in named(folder / "mixed")] == ["a", "deep/c", str(tmp_path / "elsewhere")]
    folder.rename(tmp_path / "moved")
    same(lmkit.load(tmp_path / "moved" / "mixed"), made)


def test_links(folder, tmp_path):
    """A member is named as it was, through its link; a mixture's folder is where its file is, not a link to it."""
    (folder / "link").symlink_to("a")
    made = mixed(folder, "link", "b")
    assert [entry["path"] for entry in named(folder / "mixed")] == ["link", "b"]
    (tmp_path / "linked").symlink_to(folder / "mixed")
    same(lmkit.load(tmp_path / "linked"), made)
    (tmp_path / "also").symlink_to(folder)
    same(mixed(tmp_path / "also", "a", "b", output="another"), mixed(folder, "a", "b"))
    assert [entry["path"] for entry in named(folder / "another")] == ["a", "b"]


def test_mixtures_of_mixtures(folder):
    """Members of a mixture become members: each by its own file, or by its place in the file that holds it."""
    mixed(folder, "a", "b", output="named")
    lmkit.mix([folder / "a", folder / "b"], weights=[0.5, 0.5], output=folder / "holding")
    listed = []
    for inner in ("named", "holding"):
        made = mixed(folder, inner, "a", output=f"of {inner}")
        same(lmkit.load(folder / f"of {inner}"), made)
        assert len(made.language_model.members) == 3
        listed.append(named(folder / f"of {inner}"))
    assert [entry["path"] for entry in listed[0]] == ["a", "b", "a"]
    assert [(entry["path"], entry.get("member")) for entry in listed[1]] == [
        ("holding", [0]), ("holding", [1]), ("a", None),
    ]  # fmt: skip
    again = mixed(folder, "of holding", "b", output="again")
    same(lmkit.load(folder / "again"), again)
    assert [entry.get("member") for entry in named(folder / "again")] == [[0], [1], None, None]


def test_mixtures_that_stay_members(folder):
    """One that knows fewer characters is no sum of members any more: it is named as a whole, and so are its own."""
    mixed(folder, "a", "b", output="inner")
    made = mixed(folder, "inner", "deep/c", output="outer")
    assert [entry["family"] for entry in named(folder / "outer")] == ["linear", "ngram"]
    same(lmkit.load(folder / "outer"), made)
    with_fresh_inner = lmkit.mix(
        [lmkit.mix([folder / "a", folder / "b"], weights=[0.5, 0.5]), folder / "deep/c"], weights=[0.5, 0.5],
        output=folder / "fresh", by_reference=True,
    )  # fmt: skip
    same(lmkit.load(folder / "fresh"), with_fresh_inner)
    inner, c = named(folder / "fresh")
    assert [entry["path"] for entry in inner["config"]["members"]] == ["a", "b"] and c["path"] == "deep/c"
    assert not any("ngram" in name for name in storage.open_model_file(folder / "fresh").tensors)
    (folder / "b").unlink()
    assert len(lmkit.info(folder / "fresh", verify=True)["damaged_members"]) == 1
    with pytest.raises(ModelError, match=r"fresh \(member 1\): its member .*b is not there"):
        lmkit.load(folder / "fresh")


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_caches(folder, names):
    made = mixed(folder, *names, cache="unigram", tune=TUNE)
    same(lmkit.load(folder / "mixed"), made)
    (entry,) = named(folder / "mixed")
    assert entry["family"] == ("ngram" if len(names) == 1 else "linear")
    listed = [entry] if len(names) == 1 else entry["config"]["members"]
    assert [e["path"] for e in listed] == list(names)
    more = mixed(folder, "mixed", "deep/c", output="more")
    assert [e["path"] for e in named(folder / "more")] == ["mixed", "deep/c"]
    same(lmkit.load(folder / "more"), more)


@pytest.mark.parametrize("kind", [DynamicEvaluation, NeuralCache])
def test_networks_that_adapt(folder, kind):
    lmkit.Model(recurrent("elman", 1, "abcdef")).save(folder / "network")
    base = lmkit.load(folder / "network").language_model
    numbers = {"learning_rate": 0.1, "decay": 0.01, "segment": 9} if kind is DynamicEvaluation else {
        "weight": 0.3, "theta": 0.5, "size": 9,
    }  # fmt: skip
    made = lmkit.Model(kind(base, kind.kind(**numbers)))
    made.save(folder / "adapting", by_reference=True)
    loaded = lmkit.load(folder / "adapting")
    assert loaded.family == made.family and loaded.log_prob("a b c") == made.log_prob("a b c")
    assert [entry["path"] for entry in named(folder / "adapting")] == ["network"]
    assert not any(name.startswith("0.") for name in storage.open_model_file(folder / "adapting").tensors)


def test_embedding_is_what_happens_otherwise(folder):
    mixed(folder, "a", "b")
    loaded = lmkit.load(folder / "mixed")
    loaded.save(folder / "copy")
    for name in ("a", "b", "mixed"):
        (folder / name).unlink()
    same(lmkit.load(folder / "copy"), loaded)
    assert "path" not in named(folder / "copy")[0]


def test_models_that_were_saved_have_files(folder):
    texts = (("t", text.encode()) for text in TEXTS.values())
    models = [lmkit.train(text, order=2, tokenizer="char", smoothing="witten-bell") for text in texts]
    models[0].save(folder / "saved")
    for model in (models[0], lmkit.mix(models[1:], weights=[0.5, 0.5])):
        both = [lmkit.load(folder / "a"), model]
        if model is models[0]:
            lmkit.mix(both, weights=[0.5, 0.5], output=folder / "m", by_reference=True)
            assert [entry["path"] for entry in named(folder / "m")] == ["a", "saved"]
        else:
            with pytest.raises(OptionError, match="model 2 has no file that a mixture could name; save it first"):
                lmkit.mix(both, weights=[0.5, 0.5], output=folder / "x", by_reference=True)
            with pytest.raises(OptionError, match="member 2 has no file"):
                lmkit.mix(both, weights=[0.5, 0.5]).save(folder / "x", by_reference=True)
    assert not (folder / "x").exists()


def test_opening_does_not_read_large_members(folder, monkeypatch):
    """As if all files were over 64 MB: there is no summing up of bytes."""
    made = mixed(folder, "a", "b")
    monkeypatch.setattr(storage, "VERIFY_BELOW", 0)
    monkeypatch.setattr(storage, "_checksum", None)
    assert lmkit.load(folder / "mixed").log_prob("ab") == made.log_prob("ab")


# What is noticed


def test_members_that_are_missing_or_others(folder):
    mixed(folder, "a", "b")
    data = (folder / "a").read_bytes()
    lmkit.train(("t", b"abc\n" * 9), order=2, tokenizer="char", smoothing="witten-bell", output=folder / "a")
    changed = f"{folder}/mixed: its member {folder}/a has changed since they were mixed; put it back, or mix anew"
    with pytest.raises(ModelError) as caught:
        lmkit.load(folder / "mixed")
    assert str(caught.value) == changed
    assert lmkit.info(folder / "mixed", verify=True)["damaged_members"] == [changed]
    (folder / "a").unlink()
    with pytest.raises(ModelError) as caught:
        lmkit.load(folder / "mixed")
    missing = f"{folder}/mixed: its member {folder}/a is not there; put it back, or mix anew"
    assert str(caught.value) == missing
    assert [member["path"] for member in lmkit.info(folder / "mixed")["members"]] == ["a", "b"]
    (folder / "a").write_bytes(data)
    lmkit.load(folder / "mixed")


@pytest.mark.parametrize("threshold", [0, 2**26])
def test_data_that_changed_behind_its_header(folder, monkeypatch, threshold):
    """Small members are read when they are opened, large ones on demand."""
    mixed(folder, "a", "b")
    mixed(folder, "mixed", cache="unigram", tune=TUNE, output="cached")
    data = bytearray((folder / "b").read_bytes())
    data[data.index(storage.open_model_file(folder / "b").tensors["ngram.leaves"].tobytes()) + 9] ^= 1
    (folder / "b").write_bytes(data)
    monkeypatch.setattr(storage, "VERIFY_BELOW", threshold)
    if threshold:
        with pytest.raises(ModelError, match=f"mixed: its member {folder}/b: tensor .* is damaged"):
            lmkit.load(folder / "mixed")
    else:
        lmkit.load(folder / "mixed")
    for name in ("mixed", "cached"):
        (line,) = lmkit.info(folder / name, verify=True)["damaged_members"]
        assert line.startswith(f"{folder}/b: tensor ") and line.endswith("put it back, or mix anew")


def test_a_member_that_is_cut_off(folder):
    mixed(folder, "a", "b")
    os.truncate(folder / "a", 1000)
    with pytest.raises(ModelError, match=f"mixed: its member {folder}/a: the file is truncated"):
        lmkit.load(folder / "mixed")


def test_a_file_that_changed_before_it_was_named(folder):
    models = [lmkit.load(folder / name) for name in "ab"]
    lmkit.train(("t", b"abc\n" * 9), order=2, tokenizer="char", smoothing="witten-bell", output=folder / "a")
    with pytest.raises(ModelError, match=f"{folder}/a: the file has changed since the model was read or saved"):
        lmkit.mix(models, weights=[0.5, 0.5], output=folder / "m", by_reference=True)


# Untrusted files


def test_circles(folder):
    mixed(folder, "a", "b", output="one")
    mixed(folder, "one", cache="unigram", tune=TUNE, output="two")

    def back(entries):
        entries[0]["path"] = "two"

    rewritten(folder / "one", back)
    digest = storage.open_model_file(folder / "one").origin.sha256
    rewritten(folder / "two", lambda entries: entries[0].update(header_sha256=digest))
    with pytest.raises(ModelError, match=f"two: its member {folder}/one: its member {folder}/two is made of it again"):
        lmkit.load(folder / "two")
    assert any("is made of it again" in line for line in lmkit.info(folder / "two", verify=True)["damaged_members"])

    def to_itself(entries):
        entries[0]["path"] = "./deep/../one"

    rewritten(folder / "one", to_itself)
    with pytest.raises(ModelError, match="is made of it again"):
        lmkit.load(folder / "one")


def test_chains_end(folder):
    before = "a"
    for i in range(members.DEEPEST):
        mixed(folder, before, cache="unigram", tune=TUNE, output=f"chain {i}")
        before = f"chain {i}"
    lmkit.load(folder / before)
    entry = {**named(folder / before)[0], "path": before}
    entry["header_sha256"] = storage.open_model_file(folder / before).origin.sha256
    shutil.copy(folder / before, folder / "last")
    rewritten(folder / "last", lambda entries: entries.__setitem__(0, entry))
    with pytest.raises(ModelError, match="more than 16 mixtures are named, each in the one before"):
        lmkit.load(folder / "last")
    assert any("more than 16" in line for line in lmkit.info(folder / "last", verify=True)["damaged_members"])


def test_small_files_that_stand_for_many_models(folder, monkeypatch):
    """Each names the one before three times."""
    monkeypatch.setattr(members, "MOST", 30)
    mixed(folder, "a", "a", "a", output="level 0")
    for i in range(1, 4):
        entry = {"family": "linear", "path": f"level {i - 1}"}
        entry["header_sha256"] = storage.open_model_file(folder / f"level {i - 1}").origin.sha256
        shutil.copy(folder / "level 0", folder / f"level {i}")
        rewritten(folder / f"level {i}", lambda entries, entry=entry: entries.__setitem__(slice(None), [entry] * 3))
    assert len(lmkit.load(folder / "level 2").language_model.members) == 27
    with pytest.raises(ModelError, match="level 3: it is made of more than 30 models"):
        lmkit.load(folder / "level 3")
    assert lmkit.info(folder / "level 3", verify=True)["damaged_members"] == []


def count_openings(monkeypatch):
    opened, usual = [], members.open_model_file

    def counted(path, **options):
        opened.append(os.path.basename(path))
        return usual(path, **options)

    monkeypatch.setattr(members, "open_model_file", counted)
    return opened


def many(folder, name, entry, output):
    """Let a mixture name one file a thousand times."""
    shutil.copy(folder / name, folder / output)
    file = storage.open_model_file(folder / output)
    config = {**file.metadata["config"], "members": [entry] * 1000, "weights": [0.001] * 1000}
    storage.save(folder / output, file.family, {**file.metadata, "config": config}, dict(file.tensors))


def test_one_file_that_is_named_a_thousand_times_is_opened_once(folder, monkeypatch):
    mixed(folder, "a", "a", output="two")
    many(folder, "two", named(folder / "two")[0], "many")
    opened = count_openings(monkeypatch)
    mixture = lmkit.load(folder / "many").language_model
    assert opened == ["a"] and len(mixture.members) == 1000
    assert len({id(member) for member in mixture.members}) == 1
    same(lmkit.load(folder / "a"), lmkit.api.Model(mixture.members[0]))


def test_members_are_counted_before_they_are_read(folder, monkeypatch):
    """A thousand mixtures of a thousand models each, all in a few kilobytes."""
    mixed(folder, "a", "a", output="two")
    many(folder, "two", named(folder / "two")[0], "many")
    entry = {"family": "linear", "path": "many"}
    entry["header_sha256"] = storage.open_model_file(folder / "many").origin.sha256
    many(folder, "two", entry, "many times many")
    opened = count_openings(monkeypatch)
    monkeypatch.setattr("lmkit.ngram.packed.read_ngrams", lambda file: pytest.fail("a member was read"))
    with pytest.raises(ModelError, match="many times many: it is made of more than 1000 models"):
        lmkit.load(folder / "many times many")
    assert opened == ["many", "a"]


WRONG = {
    "no path": {"path": 3},
    "an empty path": {"path": ""},
    "a path with a zero in it": {"path": "a\0"},
    "half a character": {"path": "\ud800"},
    "no digest": {"header_sha256": None},
    "numbers that are none": {"member": 0},
    "numbers below zero": {"member": [-1]},
    "numbers that are words": {"member": ["x"]},
    "true numbers": {"member": [True]},
    "too many numbers": {"member": [0] * 99},
    "a member of what has none": {"member": [0]},
    "another digest": {"header_sha256": "0" * 64},
    "a folder": {"path": "."},
    "a device": {"path": "/dev/zero"},
    "a pipe": {"path": "pipe"},
    "a text": {"path": "text"},
    "nothing": {"path": "../nowhere/at all"},
    "a name too long": {"path": "x" * 5000},
}


@pytest.mark.parametrize("what", WRONG)
def test_entries_that_make_no_sense(folder, what):
    """One line that names the mixture; pipes are not even opened, which would wait for who writes."""
    os.mkfifo(folder / "pipe")
    (folder / "text").write_text("To be, or not to be, that is the question.\n")
    mixed(folder, "a", "b")
    rewritten(folder / "mixed", lambda entries: entries[0].update(WRONG[what]))
    with pytest.raises(ModelError, match=r"^\S+/mixed: \S.*$"):
        lmkit.load(folder / "mixed")
    lmkit.info(folder / "mixed", verify=True)


def test_a_number_that_no_member_has(folder):
    lmkit.mix([folder / "a", folder / "b"], weights=[0.5, 0.5], output=folder / "holding")
    mixed(folder, "holding", "a")
    rewritten(folder / "mixed", lambda entries: entries[0].update(member=[2]))
    with pytest.raises(ModelError, match="holding: it has no member 3"):
        lmkit.load(folder / "mixed")
    rewritten(folder / "mixed", lambda entries: entries[0].update(member=[1, 0]))
    with pytest.raises(ModelError, match=r"mixed: its member \S+holding \(member 2\): its list of members is damaged"):
        lmkit.load(folder / "mixed")


# Refusals


def test_what_cannot_be_named(folder):
    mixed(folder, "a", "b")
    mixed(folder, "mixed", cache="unigram", tune=TUNE, output="cached")
    with pytest.raises(OptionError, match=f"cached is made of {folder}/a, which would be replaced; choose another -o"):
        lmkit.mix([folder / "cached", folder / "b"], weights=[0.5, 0.5], output=folder / "a", by_reference=True)
    with pytest.raises(OptionError, match="--static makes one model of all"):
        mixed(folder, "a", "b", weights=[0.5, 0.5], static=True)
    with pytest.raises(OptionError, match="give it an output"):
        lmkit.mix([folder / "a", folder / "b"], weights=[0.5, 0.5], by_reference=True)
    with pytest.raises(OptionError, match="family ngram is no mixture: it has no members to name"):
        lmkit.load(folder / "a").save(folder / "x", by_reference=True)
    with pytest.raises(OptionError, match="which would be replaced"):
        lmkit.load(folder / "mixed").save(folder / "a", by_reference=True)
    same(lmkit.load(folder / "mixed"), lmkit.mix([folder / "a", folder / "b"], weights=[0.5, 0.5]))
