"""The page of lmkit info: what it says, how wide it is, and what becomes of odd metadata."""

import json
import os

import pytest
from texts import COWS, VERSES
from trainings import rewrite

from lmkit.cli import people

LSTM = ["--arch", "lstm", "--tokenizer", "char", "--hidden", 8, "--layers", 1, "--batch", 4, "--bptt", 10]


@pytest.fixture
def page(succeed, monkeypatch):
    """Return the page of a model as rows: label -> what is said, in one line."""

    def page(*arguments, width=200):
        monkeypatch.setenv("COLUMNS", str(width))
        rows = {}
        for line in succeed("info", *arguments).text.splitlines():
            label, said = line[:12].strip(), line[12:]
            if line[:12].strip():
                last = label
            rows[last] = f"{rows[last]} {said}" if last in rows and not label else said
        return rows

    return page


@pytest.fixture
def network(succeed, tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(VERSES) * 12)
    succeed("train", *LSTM, "--steps", 40, "--validate-every", 5, "--lowercase", "corpus.txt")
    return tmp_path / "model.lmkit"


def test_of_ngrams(page, cows):
    rows = page(cows)
    assert list(rows) == [
        "file", "kind", "size", "n-grams", "vocabulary", "tokens", "text", "trained", "options",
    ]  # fmt: skip
    assert rows["file"] == str(cows) and rows["kind"] == "maximum likelihood 3-gram"
    assert rows["size"].startswith(f"{people.size(cows.stat().st_size)}, ") and " n-grams, " in rows["size"]
    assert rows["n-grams"].startswith("11 of 1, ") and rows["n-grams"].endswith(" of 3")
    assert rows["vocabulary"].startswith(r"11 tokens, most frequent \n cows eat corn grass ")
    assert rows["tokens"] == "tokenizer word, a sentence is a paragraph"
    assert rows["text"].startswith(str(cows.parent)) and f", {len(COWS)} B, " in rows["text"]
    assert ", 45 tokens, 1 sentence, sha256 " in rows["text"] and rows["trained"].startswith("by lmkit ")
    assert rows["options"] == "--order 3 --smoothing mle"


def test_of_a_network(page, succeed, network):
    rows, record = page(network), succeed("info", "--format", "json").row["training"]
    assert rows["kind"] == "LSTM, 1 layer of 8, reset after some sentences in training"
    assert f"{record['parameters']:,} weights" in rows["size"]
    assert rows["held out"] == f"the last 5 %, {record['held_out']['tokens']} tokens"
    assert rows["best"].startswith(f"loss {record['best_loss']:.4f} nats a token, perplexity ")
    assert "n-grams" not in rows and rows["tokens"].endswith(", in lower case")
    first, curve, last = rows["loss"].split()
    losses = [entry["valid_loss"] for entry in record["history"]]
    assert (first, last) == (f"{losses[0]:.4g}", f"{losses[-1]:.4g}")
    assert len(curve) == len(losses) == 8 and curve == people.sparkline(losses, 8)
    assert ", 40 steps, " in rows["trained"] and " tokens a second, by lmkit " in rows["trained"]
    assert "--lowercase" in rows["options"] and "--arch lstm" in rows["options"] and "--dropout" not in rows["options"]


def test_of_a_mixture_and_a_cache(succeed, cows, monkeypatch):
    succeed("train", "--order", 2, "--smoothing", "witten-bell", "--vocab", cows, stdin=COWS.encode())
    succeed("mix", cows, "model.lmkit", "--weights", "0.25,0.75", "-o", "both.lmkit")
    succeed("mix", "both.lmkit", "--cache", "unigram", "--tune", cows.parent / "corpus.txt", "-o", "cached.lmkit")
    lines = succeed("info", "cached.lmkit").text.splitlines()
    assert lines[1].startswith("kind        unigram cache, weight ") and ", decay " in lines[1]
    assert lines[lines.index("member 1") + 1] == "  kind        linear mixture of 2 models"
    assert lines[lines.index("  member 1, of weight 0.25") + 1] == "    kind        maximum likelihood 3-gram"
    assert lines[lines.index("  member 2, of weight 0.75") + 1] == "    kind        Witten-Bell 2-gram"
    assert sum(line.split()[0] == "vocabulary" for line in lines) == 1


def test_of_what_came_from_an_arpa_file_and_of_a_checkpoint(page, succeed, verse, network):
    succeed("convert", verse, "verse.arpa")
    succeed("convert", "verse.arpa", "again.lmkit", "--tokenizer", "word")
    rows = page("again.lmkit")
    assert rows["kind"] == "imported 3-gram" and rows["ARPA file"].startswith("verse.arpa, sha256 ")
    assert "made" in rows and "options" not in rows and "most frequent" not in rows["vocabulary"]
    rewrite(network, lambda tensors, metadata: metadata.update(checkpoint={"step": 1234}))
    assert page(network)["checkpoint"] == "of a training that is not done, at step 1,234"


@pytest.mark.parametrize("width", [1, 20, 40, 61, 80, 300])
def test_lines_fit(succeed, network, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = succeed("info", "--verify").text.splitlines()
    assert max(map(len, lines)) <= max(width, 28) and min(map(len, lines)) > 12
    assert lines[-1].split()[-1] in ("be", "as they should be") and " " not in {line[-1] for line in lines}
    curve = next(line for line in lines if line.startswith("loss"))
    assert 1 <= len(curve.split()[2]) <= 8


def test_verify_is_told(page, run, cows, tmp_path):
    assert page(cows, "--verify")["checksums"] == "all as they should be" and "checksums" not in page(cows)
    data = bytearray(cows.read_bytes())
    data[-3] ^= 0x40
    (tmp_path / "bad.lmkit").write_bytes(data)
    result = run("info", "bad.lmkit", "--verify")
    assert result.code == 1 and result.text.splitlines()[-1].startswith("checksums   wrong: vocabulary.")


@pytest.fixture
def named(succeed, cows, tmp_path):
    """Return a mixture that names `cows` and a second model in a folder, which is not the working directory."""
    (tmp_path / "models").mkdir()
    succeed("train", "--order", 2, "--smoothing", "witten-bell", "--vocab", cows, "-o", "models/b.lmkit",
            stdin=COWS.encode())  # fmt: skip
    succeed("mix", cows, "models/b.lmkit", "--weights", "0.5,0.5", "--by-reference", "-o", "models/both.lmkit")
    return tmp_path / "models" / "both.lmkit"


def test_a_member_that_is_not_there(page, run, succeed, named):
    def files(lines):
        return [line for line in lines.splitlines() if line.startswith("  file")]

    assert len(files(succeed("info", named).text)) == 2 and "not there" not in succeed("info", named).text
    assert page(named, "--verify")["checksums"] == "all as they should be"
    member = named.parent / "b.lmkit"
    member.rename(named.parent / "c.lmkit")
    found = files(succeed("info", named).text)
    assert found[1] == "  file        b.lmkit (not there)" and "not there" not in found[0]
    members = succeed("info", named, "--format", "json").row["members"]
    assert [member.get("missing") for member in members] == [None, True]
    result = run("info", named, "--verify")
    assert result.code == 1 and "all as they should be" not in result.text and f"{member} is not there" in result.err
    said = " ".join(result.text[result.text.index("checksums") :].split())
    assert said.startswith("checksums as they should be in this file ") and f"{member} is not there" in said


@pytest.mark.parametrize("how", ["changed", "damaged"])
def test_a_member_that_is_another_one_or_damaged(run, succeed, named, how):
    member = named.parent / "b.lmkit"
    if how == "changed":
        rewrite(member, lambda tensors, metadata: metadata.update(training={}))
    else:
        data = bytearray(member.read_bytes())
        data[-3] ^= 0x40
        member.write_bytes(data)
    result = run("info", named, "--verify")
    said = " ".join(result.text[result.text.index("checksums") :].split())
    assert result.code == 1 and "all as they should be" not in said and f"{how}" in said and "b.lmkit" in said
    assert "not there" not in succeed("info", named).text


@pytest.mark.parametrize("path", ["", ".", "a\0b", "\ud800", "x" * 5000, "../" * 500])
def test_odd_paths_of_members_are_not_there(succeed, named, path):
    rewrite(named, lambda tensors, metadata: metadata["config"]["members"][1].update(path=path))
    said = "".join(succeed("info", named).text.split())
    assert said.endswith("(notthere)") and said.count("(notthere)") == 1


def test_metadata_cannot_say_that_members_are_damaged(succeed, cows):
    rewrite(cows, lambda tensors, metadata: metadata.update(damaged_members=["no"], damaged=["no"]))
    assert "damaged_members" not in succeed("info", cows, "--format", "json").row
    assert not succeed("info", cows, "--verify").err


def test_many_mixed_models_are_cut_short(page, succeed, named):
    rewrite(named, lambda tensors, metadata: metadata["training"].update(mixed=[f"m{i}" for i in range(11)]))
    assert page(named)["mixed"] == "m0, m1, m2, m3, m4, m5, m6, m7, and 3 more"
    rewrite(named, lambda tensors, metadata: metadata["training"].update(mixed=[f"m{i}" for i in range(8)]))
    assert page(named)["mixed"].endswith(", m7")


def test_weights_that_count_nothing_are_0(succeed, cows):
    succeed("mix", cows, cows, "--weights", "1,7.831e-98", "-o", "both.lmkit")
    lines = succeed("info", "both.lmkit").text.splitlines()
    assert "member 1, of weight 1" in lines and "member 2, of weight 0" in lines


@pytest.fixture
def bucketed(succeed, cows, tmp_path):
    """Return a mixture with weights by context whose weights are set by hand."""
    succeed("train", "--order", 2, "--smoothing", "witten-bell", "--vocab", cows, stdin=COWS.encode())
    (tmp_path / "tune.txt").write_text("cows eat corn\n")
    succeed("mix", cows, "model.lmkit", "--weights-by", "context", "--tune", "tune.txt", "-o", "by.lmkit")

    def change(tensors, metadata):
        metadata["config"]["buckets"] = {"measure": "followers", "bounds": [2, 8]}
        metadata["config"]["weights"] = [[0.25, 0.75], [1, 0.0], [1e-98, 1.0]]

    rewrite(tmp_path / "by.lmkit", change)
    return tmp_path / "by.lmkit"


def test_weights_by_context(succeed, bucketed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = succeed("info", bucketed).text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("weights"))
    assert lines[start : start + 3] == [
        "weights     0.250 0.750 for no context, or one with up to 1 different followers",
        "            1.000 0.000 for contexts with 2-7 different followers",
        "            0.000 1.000 for contexts with 8 or more different followers",
    ]
    assert "member 1, of mean weight 0.4167" in lines and "member 2, of mean weight 0.5833" in lines
    buckets = succeed("info", bucketed, "--format", "json").row["buckets"]
    assert buckets[1] == {"contexts": "contexts with 2-7 different followers", "weights": [1, 0.0]}


@pytest.mark.parametrize(
    "weights", [None, 3, [], [[1, 0]], [[1, 0], [1, 0], [1]], [[1, 0], [1, 0], [1, "0"]], [[1, 0], [1, 0], None],
                [[1, 0], [1, 0], [float("nan"), 0]], [[1, 0], [1, 0], [10**400, 0]]],
)  # fmt: skip
def test_odd_weights_by_context_are_left_out(succeed, bucketed, weights):
    rewrite(bucketed, lambda tensors, metadata: metadata["config"].update(weights=weights))
    text = succeed("info", bucketed).text
    assert "\nweights" not in text and "mean weight" not in text and "in 3 buckets" in " ".join(text.split())


@pytest.mark.parametrize(
    "buckets", [None, [], {}, {"measure": {}, "bounds": [2, 8]}, {"measure": "followers", "bounds": 2},
                {"measure": "followers", "bounds": [8, 2]}, {"measure": "followers", "bounds": [2, "8"]}],
)  # fmt: skip
def test_odd_buckets_are_left_out(succeed, bucketed, buckets):
    rewrite(bucketed, lambda tensors, metadata: metadata["config"].update(buckets=buckets))
    text = succeed("info", bucketed).text
    assert "\nweights" not in text and "mean weight" not in text and " buckets" not in text


def test_many_buckets_are_cut_short(succeed, bucketed):
    def change(tensors, metadata):
        metadata["config"]["buckets"]["bounds"] = list(range(1, 20))
        metadata["config"]["weights"] = [[0.5, 0.5]] * 20

    rewrite(bucketed, change)
    text = succeed("info", bucketed).text
    assert text.count("0.500 0.500 for ") == 16 and "\n            and 4 buckets more\n" in text


def test_options_are_spelled_as_train_takes_them(page, succeed, network):
    def change(tensors, metadata):
        metadata["training"]["options"].update(
            checkpoint_every=[20, "steps"], time_limit=3_000_000.0, steps=1_234_567, learning_rate=0.00123456789
        )

    rewrite(network, change)
    options = f"{page(network)['options']} "
    for flag in ("checkpoint-every 20steps", "time-limit 3000000", "steps 1234567", "learning-rate 0.00123456789"):
        assert f"--{flag} " in options
    rewrite(network, lambda t, metadata: metadata["training"]["options"].update(checkpoint_every=[90.0, "s"]))
    assert "--checkpoint-every 90s " in f"{page(network)['options']} "


def test_a_single_validation_is_no_curve(page, network):
    rewrite(network, lambda tensors, metadata: metadata["training"].update(history=[{"valid_loss": 1.875}]))
    assert page(network)["loss"] == "1.875, one validation"
    rewrite(network, lambda tensors, metadata: metadata["training"].update(history=[{"train_loss": 1.875}]))
    assert page(network)["loss"] == "1.875, of the text learnt from"


def test_a_terminal_without_unicode_has_a_curve_too(process, network):
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    line = next(line for line in process("info", env=env).out.splitlines() if line.startswith(b"loss"))
    assert set(line.split()[2].decode()) <= set(people.ASCII_BARS) and len(line.split()[2]) == 8
    shown = next(line for line in process("info").out.decode().splitlines() if line.startswith("loss"))
    assert set(shown.split()[2]) <= set(people.BARS)


def test_what_older_versions_did_not_say_is_left_out(page, cows, tmp_path):
    (tmp_path / "old.lmkit").write_bytes(cows.read_bytes())

    def older(tensors, metadata):
        metadata.update(training=None, text={})
        del metadata["config"]["ngrams"]

    rewrite(tmp_path / "old.lmkit", older)
    rows = page("old.lmkit")
    assert list(rows) == ["file", "kind", "size", "vocabulary"] and rows["vocabulary"] == "11 tokens"


EVIL = "\x1b[31mred\x9b0m\x07\r\nnext\u202e\u2028\x7f"


def evil(value):
    """Put an escape sequence wherever a text can stand."""
    if isinstance(value, dict):
        return {name + EVIL: evil(each) for name, each in value.items()} | {n: evil(each) for n, each in value.items()}
    return [evil(each) for each in value] if isinstance(value, list) else value + EVIL if type(value) is str else value


def test_no_control_characters_reach_the_terminal(succeed, network):
    def change(tensors, metadata):
        for name in ("config", "training", "text"):
            metadata[name] = evil(metadata[name])
        metadata["training"]["options"]["arch"] = "lstm"

    rewrite(network, change)
    for form in ("text", "tsv", "json"):
        out = succeed("info", "--format", form).text
        controls = {c for c in out if not c.isprintable()} - {"\n", "\t"}
        assert "red" in out and not controls & set("\x1b\x9b\x07\r\x7f\x85"), (form, controls)
        if form == "text":
            assert not controls and out.count("\n") < 120
    assert EVIL in json.loads(succeed("info", "--format", "json").out)["training"]["corpora"][0]["name"]


def test_what_no_utf_8_has_is_an_escape(succeed, cows):
    rewrite(cows, lambda t, metadata: metadata["training"]["corpora"][0].update(name="a\ud800b\udfffc"))
    assert r"a\ud800b\udfffc" in succeed("info", cows).text
    assert r"a\ud800b\udfffc" in succeed("info", cows, "--format", "tsv").text
    assert succeed("info", cows, "--format", "json").row["training"]["corpora"][0]["name"] == "a\ud800b\udfffc"


ODD = [None, True, -1, 3, 10**400, 1e308, float("nan"), float("inf"), "x" * 2000, [], {}, [3, "a", None], {"a": [1]}]


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_odd_metadata_are_left_out_or_shown_but_never_a_crash(succeed, network, odd):
    def put(value):
        return {name: put(each) for name, each in value.items()} if isinstance(value, dict) else ODD[odd]

    def change(tensors, metadata):
        for name in ("config", "training", "text"):
            metadata[name] = put(metadata[name])
        metadata["training"]["history"] = [{"valid_loss": ODD[odd]}, {"valid_loss": 2.0}, ODD[odd]]
        metadata["checkpoint"] = {"step": ODD[odd]}
        metadata["kind"] = metadata["members"] = metadata["bytes"] = ODD[odd]

    rewrite(network, change)
    text = succeed("info").text
    assert "kind        " in text and "Traceback" not in text and max(map(len, text.splitlines())) < 120
    assert succeed("info", "--format", "json").row["bytes"] == network.stat().st_size
    assert succeed("info", "--format", "tsv").out


def test_many_texts_and_options_are_cut_short(page, succeed, network):
    def change(tensors, metadata):
        corpus = metadata["training"]["corpora"][0]
        metadata["training"]["corpora"] = [{**corpus, "name": f"text{i}"} for i in range(50)]

    rewrite(network, change)
    lines = succeed("info").text.splitlines()
    assert sum(line.startswith("text ") for line in lines) == 9 and any("and 42 more, " in line for line in lines)


def test_what_is_nested_too_deep_is_one_line(run, network):
    deep = []
    for _ in range(900):
        deep = {"x": deep}
    rewrite(network, lambda tensors, metadata: metadata.update(deep=deep))
    for form in ("text", "tsv", "json"):
        result = run("info", "--format", form)
        assert result.code in (0, 1) and result.err.count("\n") <= 1 and "Traceback" not in result.err
    assert run("info").code == 0


def test_a_page_goes_to_a_file(succeed, cows, tmp_path):
    succeed("info", cows, "-o", "page.txt")
    assert (tmp_path / "page.txt").read_text().startswith(f"file        {cows}"[:40])
