"""Checkpoints: a training that was stopped goes on to the same bits, or says in one line why it does not."""

import errno
import json
import os
import resource
import signal
import threading

import numpy as np
import pytest
from trainings import (
    OPTIONS,
    TEXT,
    Crash,
    after_steps,
    contents,
    crash,
    ctrl_c,
    interrupted,
    rewrite,
    trained,
    unchanged,
)

import lmkit
from lmkit import files, storage
from lmkit.errors import CorpusError, LmkitError, ModelError, OptionError
from lmkit.rnn import checkpoint, trainer
from lmkit.rnn.network import Shard
from lmkit.rnn.trainer import Trainer


@pytest.fixture
def output(tmp_path):
    return tmp_path / "model.lmkit"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def stopped(output, corpus):
    """The checkpoint of a training that was interrupted after 25 of 60 steps."""
    interrupted(output, corpus)
    return output.with_name("model.lmkit.checkpoint")


class TestSameBits:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"arch": "gru", "optimizer": "adamw", "locked_dropout": True, "shards": 3},
            {"arch": "elman", "optimizer": "sgd", "learning_rate": 0.3, "decay": "plateau", "valid": 0},
            {"tokenizer": "word", "tie_weights": True, "decay": "plateau", "patience": 8, "validate_every": 3},
            {"tokenizer": "whitespace", "clusters": (8, 20), "lowercase": True, "shards": 1, "vocab_size": 30},
            {"tokenizer": "byte", "decay": "none", "steps": None, "epochs": 3, "dropout": 0.0},
        ],
        ids=str,
    )
    def test_crashed_again_and_again_it_reaches_what_it_would_have_reached(self, tmp_path, corpus, options):
        """Checkpoints every three steps, so that the steps after the last one are done twice; threads change, too."""
        trained(tmp_path / "whole", corpus, checkpoint_every="3steps", threads=2, **options)
        output = tmp_path / "crashed"
        interrupted(output, corpus, 8, crash, Crash, checkpoint_every="3steps", threads=1, **options)
        for threads, steps in ((2, 11), (1, 4)):
            with pytest.raises(Crash):
                lmkit.resume(output, progress=after_steps(steps, crash), threads=threads, checkpoint_every="3steps")
        resumed = lmkit.resume(output)
        assert contents(output) == contents(tmp_path / "whole")
        assert json.dumps(resumed.metadata["training"]) == json.dumps(lmkit.load(output).metadata["training"])
        assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.txt", "crashed", "whole"]

    def test_stopped_at_a_validation_or_at_the_end_of_the_text(self, tmp_path, corpus):
        """Steps 10, 20, ... are followed by a validation; 33 windows are the text."""
        trained(tmp_path / "whole", corpus)
        for steps in (1, 20, 33, 40, 59):
            interrupted(tmp_path / "part", corpus, steps)
            lmkit.resume(tmp_path / "part")
            assert contents(tmp_path / "part") == contents(tmp_path / "whole"), steps

    def test_stopped_between_the_model_and_the_end_of_its_checkpoint(self, tmp_path, corpus, monkeypatch):
        trained(tmp_path / "whole", corpus)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "forget", lambda output: crash())
            with pytest.raises(Crash):
                trained(tmp_path / "part", corpus, checkpoint_every="7steps")
        assert contents(tmp_path / "part") == contents(tmp_path / "whole")
        lmkit.resume(tmp_path / "part")
        assert contents(tmp_path / "part") == contents(tmp_path / "whole")
        assert not (tmp_path / "part.checkpoint").exists()

    def test_several_texts_and_one_to_validate_on(self, tmp_path, corpus):
        (tmp_path / "held.txt").write_text(TEXT[::-1][:500])
        texts, options = [corpus, ("more", b"and more\n\n" * 9)], {"valid": tmp_path / "held.txt"}
        trained(tmp_path / "whole", texts, **options)
        interrupted(tmp_path / "part", texts, **options)
        lmkit.resume(tmp_path / "part", texts)
        assert contents(tmp_path / "part") == contents(tmp_path / "whole")

    def test_a_time_limit_counts_on(self, output, corpus):
        """No promise of bits, but the seconds before the interruption count."""
        interrupted(output, corpus, 5, steps=None, time_limit="0.3s", patience=0)
        before = lmkit.info(f"{output}.checkpoint")["checkpoint"]
        record = lmkit.resume(output).metadata["training"]
        assert record["training_seconds"] >= 0.3 > before["seconds"] > 0
        assert record["steps"] > before["step"] == 5
        assert record["training_seconds"] < 3


class TestStoppedWithin:
    """Ctrl-C does not wait for a step or a validation to end; what is given up is done again by who resumes."""

    @pytest.fixture
    def whole(self, tmp_path, corpus):
        trained(tmp_path / "whole", corpus)
        return contents(tmp_path / "whole")

    def stopped_in(self, monkeypatch, method, at, output, corpus, wait):
        """Press Ctrl-C in a call of a method of `Shard`, as soon as `at()`; it ends only when that was answered."""
        pressed, answered, usual = threading.Event(), threading.Event(), getattr(Shard, method)

        def pressing(shard, *arguments):
            if at() and not pressed.is_set():
                pressed.set()
                ctrl_c()
                assert not wait or answered.wait(30)
            return usual(shard, *arguments)

        with monkeypatch.context() as patch, pytest.raises(lmkit.Interrupted) as caught:
            patch.setattr(Shard, method, pressing)
            try:
                trained(output, corpus)
            finally:
                answered.set()
        return str(caught.value)

    @pytest.mark.parametrize("step", [3, 25, 33])
    def test_a_long_step(self, monkeypatch, output, corpus, whole, step):
        """There are 33 windows in the text."""
        monkeypatch.setattr(trainer, "LONG", 0)
        steps, usual = [], Trainer.step
        monkeypatch.setattr(Trainer, "step", lambda t: steps.append(t.progress.step) or usual(t))
        said = self.stopped_in(monkeypatch, "backward", lambda: steps[-1] == step, output, corpus, wait=True)
        assert f"at step {step}. " in said
        lmkit.resume(output)
        assert contents(output) == whole

    @pytest.mark.parametrize("long", [False, True])
    def test_a_validation(self, monkeypatch, output, corpus, whole, long):
        monkeypatch.setattr(trainer, "LONG", 0 if long else 1e9)
        done, usual = [], Trainer.validate
        monkeypatch.setattr(Trainer, "validate", lambda t: done.append(t.progress.step) or usual(t))
        said = self.stopped_in(monkeypatch, "losses", lambda: done == [10, 20], output, corpus, wait=long)
        assert "at step 20. " in said
        lmkit.resume(output)
        assert done == [10, 20, 20, 30, 40, 50, 60]
        assert contents(output) == whole


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="tells what is mapped")
def test_the_old_checkpoint_is_let_go(output, corpus, stopped):
    """Else a full disk would have to hold three of them: the old one, the new one, and that which is being written."""
    seen = []

    def look(phase, *_):
        if phase.startswith("epoch"):
            with open("/proc/self/maps") as file:
                seen.append(stopped.name in file.read())

    lmkit.resume(output, progress=look, checkpoint_every="5steps")
    assert len(seen) == 35 and not any(seen)


def test_two_trainings_onto_one_output(output, corpus, stopped):
    """The second is refused, begun anew or resumed; to another output it is free to go."""
    told = []

    def second(phase, *_):
        if phase.startswith("epoch") and not told:
            for again in (lambda: trained(output, corpus), lambda: lmkit.resume(output)):
                with unchanged(stopped), pytest.raises(OptionError) as caught:
                    again()
                told.append(str(caught.value))
            trained(output.with_name("other"), corpus)

    lmkit.resume(output, progress=second)
    assert told == [
        f"{output} is being written by another training; wait for its end, or choose another -o"
    ] * 2  # fmt: skip
    assert sorted(p.name for p in output.parent.iterdir()) == ["corpus.txt", "model.lmkit", "other"]


def test_a_save_that_was_killed_is_forgotten_with_the_checkpoint(output, corpus, stopped):
    random = "0123456789abcdef"
    left = output.with_name(f".{stopped.name}.{random}{files._seal(random, stopped.name)}")
    left.write_bytes(b"half a checkpoint")
    lmkit.resume(output, checkpoint_every="1d")
    assert not left.exists() and output.exists()


class TestWhatItIs:
    def test_a_whole_model_for_every_command(self, stopped):
        """With the best weights so far: those of the best validation."""
        record = lmkit.load(stopped).metadata["training"]
        assert [entry["step"] for entry in record["history"]] == [10, 20] and record["steps"] == 25
        best = min(record["history"], key=lambda entry: entry["valid_loss"])
        assert (record["best_loss"], record["best_step"]) == (best["valid_loss"], best["step"])
        assert lmkit.load(stopped).sample(n=20, seed=1)
        assert lmkit.perplexity(lmkit.load(stopped), ("text", TEXT.encode())).perplexity < 40

    def test_the_best_weights_are_those_of_the_model_that_stops_there(self, tmp_path, corpus, stopped):
        trained(tmp_path / "short", corpus, decay="none", steps=20)
        interrupted(tmp_path / "long", corpus, decay="none")
        assert lmkit.info(f"{tmp_path}/long.checkpoint")["training"]["best_step"] == 20
        short, long = (lmkit.load(tmp_path / name).language_model for name in ("short", "long.checkpoint"))
        np.testing.assert_array_equal(short.flat, long.flat)

    def test_before_the_first_validation_it_has_the_latest_weights(self, output, corpus, stopped, tmp_path):
        interrupted(tmp_path / "early", corpus, 9)
        file = storage.open_model_file(tmp_path / "early.checkpoint")
        for name in ("layer0.bias", "layer1.recurrent", "output.weight"):
            np.testing.assert_array_equal(file.tensors[name], file.tensors[f"training.w.{name}"])
        assert file.metadata["training"]["best_loss"] is None

    def test_the_message_says_how_to_go_on(self, tmp_path, corpus):
        output = tmp_path / "a b.lmkit"
        assert interrupted(output, corpus) == (
            f"Interrupted at step 25. Go on with: lmkit train --resume '{output}'; or use the best model so far: "
            f"-m '{output}.checkpoint'"
        )

    def test_it_comes_every_so_many_steps_or_seconds(self, output, corpus, monkeypatch):
        saved = []
        monkeypatch.setattr(checkpoint, "save", lambda path, trainer, model: saved.append(trainer.progress.step))
        for every, expected in (("7steps", [7, 14, 21, 28, 35, 42, 49, 56]), ("0.000001s", range(1, 60)), ("1d", [])):
            saved.clear()
            trained(output, corpus, checkpoint_every=every)
            assert saved == list(expected)

    def test_the_old_model_stays_until_the_new_one_is_whole(self, output, corpus, stopped):
        with unchanged(output):
            assert not output.exists()
        stopped.unlink()
        trained(output, ("other", b"another text\n" * 20))
        with unchanged(output):
            interrupted(output, corpus, force=True)
        lmkit.resume(output)
        assert lmkit.info(output)["training"]["corpora"][0]["name"] == str(corpus) and not stopped.exists()

    def test_without_an_output_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert interrupted(None) == "Interrupted."
        assert list(tmp_path.iterdir()) == []


class TestResuming:
    def test_the_texts_have_to_be_the_same(self, output, corpus, stopped, tmp_path):
        moved = corpus.rename(tmp_path / "moved.txt")
        with unchanged(stopped):
            with pytest.raises(CorpusError, match=rf"{corpus}: no such file"):
                lmkit.resume(output)
            with pytest.raises(OptionError, match=r"read 1 texts, not 2: .*corpus\.txt"):
                lmkit.resume(output, [moved, moved])
            for change in (TEXT + "x", TEXT[:-1], TEXT.replace("sun", "son"), "", "\xff"):
                corpus.write_text(change, "latin-1")
                with pytest.raises(CorpusError, match=rf"{corpus}"):
                    lmkit.resume(output)
            with pytest.raises(CorpusError, match=r"corpus\.txt is not the text .*sha256 [0-9a-f]{16}\.\.\., expected"):
                corpus.write_text(TEXT.lower())
                lmkit.resume(output)
        assert lmkit.resume(output, moved).metadata["training"]["steps"] == 60

    def test_so_does_the_text_to_validate_on_wherever_it_is_now(self, tmp_path, corpus, output):
        held = tmp_path / "held.txt"
        held.write_text(TEXT[:300])
        interrupted(output, corpus, valid=held)
        held.write_text(TEXT[:301])
        with pytest.raises(CorpusError, match=r"held\.txt is not the text that was validated on"):
            lmkit.resume(output)
        with pytest.raises(
            OptionError, match=r"--valid is 0\.05, and in the training that is resumed it is .*held\.txt"
        ):
            lmkit.resume(output, valid=0.05)
        (tmp_path / "moved.txt").write_text(TEXT[:300])
        assert lmkit.resume(output, valid=str(tmp_path / "moved.txt")).metadata["training"]["steps"] == 60

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"hidden": 9}, "--hidden is 9, and in the training that is resumed it is 8"),
            ({"arch": "gru"}, "--arch is gru, and in the training that is resumed it is lstm"),
            ({"tokenizer": "word"}, "--tokenizer is word, and in the training that is resumed it is char"),
            ({"valid": 0.1}, "--valid is 0.1, and in the training that is resumed it is 0.05"),
            ({"valid": "corpus.txt"}, "--valid is corpus.txt, and in the training that is resumed it is 0.05"),
            ({"seed": 2}, "--seed is 2, and in the training that is resumed it is 1"),
            ({"time_limit": "5m"}, "--time-limit is 300.0, and in the training that is resumed it is None"),
            ({"epochs": 5}, "--epochs is 5, and in the training that is resumed it is None"),
            ({"steps": 61}, "--steps is 61, and in the training that is resumed it is 60"),
            ({"preset": "tiny"}, "--preset is tiny, and in the training that is resumed it is small"),
            ({"optimizer": "sgd"}, "--optimizer is sgd, and in the training that is resumed it is adam"),
            ({"shards": 3}, "--shards is 3, and in the training that is resumed it is 2"),
            ({"tie_weights": True}, "--tie-weights is True, and in the training that is resumed it is False"),
            ({"lowercase": True}, "--lowercase is True, and in the training that is resumed it is False"),
            ({"vocab_size": 5}, "--vocab-size is 5, and in the training that is resumed it is None"),
            ({"encoding": "latin-1"}, "--encoding is latin-1, and in the training that is resumed it is utf-8"),
            ({"vocabulary": ["a", "b"]}, "--vocab has other tokens than the training that is resumed"),
            ({"hidden": "8"}, "--hidden is '8'; it must be a whole number"),
            ({"order": 3}, "order is no option of lstm; it has arch, preset, layers, hidden"),
            ({"hiden": None}, "hiden is no option of lstm"),
        ],
        ids=str,
    )
    def test_changed_options_are_refused_by_name_with_both_values(self, output, stopped, changed, message):
        with unchanged(stopped), pytest.raises(OptionError) as caught:
            lmkit.resume(output, **changed)
        assert message in str(caught.value) and "\n" not in str(caught.value)

    def test_the_same_options_may_be_given_again(self, output, stopped, tmp_path, corpus):
        trained(tmp_path / "whole", corpus)
        lmkit.resume(output, corpus, **OPTIONS, valid="5e-2", threads=1, checkpoint_every="9steps", encoding="utf-8")
        assert contents(output) == contents(tmp_path / "whole")

    def test_all_kinds_of_options_may_be_given_again(self, output, corpus):
        """As they are typed: durations, lists, a vocabulary, a text."""
        options = {
            "optimizer": "adamw", "weight_decay": 0.1, "clusters": (6, 9), "softmax": "adaptive", "time_limit": "9m",
            "steps": 30, "vocabulary": ["<unk>", *"aeiou \nrst"], "valid": str(corpus), "preset": "tiny", "patience": 3,
            "checkpoint_every": "1000000steps", "lowercase": True,
        }  # fmt: skip
        interrupted(output, corpus, **options)
        assert lmkit.resume(output, **{**OPTIONS, **options}).metadata["training"]["steps"] == 30

    def test_there_must_be_one(self, output, corpus, stopped):
        lmkit.resume(output)
        for name in (output, "nowhere"):
            with pytest.raises(ModelError, match=rf"{name}\.checkpoint: no such checkpoint; there is one while"):
                lmkit.resume(name)

    def test_a_finished_model_is_none(self, output, corpus, stopped):
        lmkit.resume(output)
        output.rename(stopped)
        with unchanged(stopped), pytest.raises(ModelError, match=r"a model, but no checkpoint of a training"):
            lmkit.resume(output)

    def test_an_ngram_model_is_none(self, output, corpus, stopped):
        stopped.unlink()
        lmkit.train(corpus, smoothing="mle", output=stopped)
        with unchanged(stopped), pytest.raises(LmkitError):
            lmkit.resume(output)

    def test_no_training_begins_over_one(self, output, corpus, stopped):
        told = r"checkpoint is there.*--resume .*remove it, or choose another -o"
        with unchanged(stopped, output), pytest.raises(OptionError, match=told):
            trained(output, corpus)
        lmkit.train(corpus, smoothing="mle", output=output)  # has no checkpoints


def test_a_full_disk_costs_nothing_that_was_there(output, corpus, stopped):
    """A file that may not grow stands for it: the write fails in the middle."""
    lmkit.train(corpus, smoothing="mle", output=output)
    limits, usual = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with unchanged(output, stopped):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        try:
            with pytest.raises(ModelError, match=r"model\.lmkit\.checkpoint: cannot write the model: .*is unchanged"):
                lmkit.resume(output, checkpoint_every="3steps")
            with pytest.raises(ModelError, match=r"model\.lmkit: cannot write the model: .*is unchanged"):
                lmkit.resume(output)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, usual)
        assert sorted(p.name for p in output.parent.iterdir()) == ["corpus.txt", output.name, stopped.name]
    assert lmkit.resume(output).metadata["training"]["steps"] == 60


def test_a_full_disk_is_called_so(output, corpus, stopped, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "_write", full)
    with unchanged(stopped), pytest.raises(ModelError, match=r"checkpoint: cannot write the model: the disk is full"):
        lmkit.resume(output, checkpoint_every="3steps")


def put(entry, *names):
    """Return a change of the metadata's entry `names[0]`, of what it holds under `names[1]`, and so on."""

    def change(tensors, metadata):
        place = metadata
        for name in names[:-1]:
            place = place[name]
        if entry is ...:
            del place[names[-1]]
        else:
            place[names[-1]] = entry

    return change


def tensor(name, what):
    def change(tensors, metadata):
        tensors[name] = what(tensors[name])
        if tensors[name] is None:
            del tensors[name]

    return change


def spoil(value):
    def what(array):
        array.reshape(-1)[0] = value
        return array

    return what


NAN, INFINITE = float("nan"), float("inf")
DAMAGES = {
    **{
        f"{name} = {value!r}": put(value, "checkpoint", name)
        for name, value in [
            ("step", -1), ("step", 26), ("step", 10**400), ("step", 2.5), ("step", "25"), ("step", None),
            ("step", True), ("step", ...), ("epoch", 1), ("epoch", 10**9), ("window", -1), ("window", 24),
            ("window", 33), ("window", 10**9),
            ("tokens", -5), ("tokens", NAN), ("seconds", NAN), ("seconds", -1.0), ("seconds", INFINITE),
            ("seconds", "1"), ("step_seconds", []), ("best_loss", NAN), ("best_loss", "low"), ("best_loss", -1.0),
            ("best_step", None), ("without_gain", -1), ("rate_factor", INFINITE), ("rate_factor", None),
            ("loss_sum", NAN), ("loss_tokens", 0.5), ("history", None), ("history", {}), ("history", "none"),
            ("history", [1, 2]), ("history", [{"step": "ten"}]), ("history", [{"valid_loss": NAN}]),
            ("history", [{"valid_loss": [1.0]}]), ("shards", 3), ("shards", "2"), ("shards", ...), ("shards", None),
            ("surprise", 1),
        ]
    },
    **{
        f"options.{name} = {value!r}": put(value, "training", "options", name)
        for name, value in [
            ("hidden", "8"), ("hidden", []), ("layers", 0), ("dropout", "much"), ("dropout", NAN),
            ("locked_dropout", "yes"), ("tie_weights", 1), ("clusters", 5), ("clusters", ["a"]), ("seed", -1),
            ("optimizer", []), ("batch", 7), ("batch", 2.0), ("shards", 3), ("learning_rate", {}),
            ("time_limit", {}), ("steps", "many"), ("preset", None),
            ("checkpoint_every", {}), ("checkpoint_every", [1]), ("arch", "gru"), ("arch", "ngram"), ("arch", ...),
            ("arch", []), ("encoding", ...), ("encoding", 5), ("errors", None),
        ]
    },
    **{
        f"{'.'.join(map(str, names))} = {value!r}": put(value, *names)
        for value, *names in [
            (None, "checkpoint"), ([], "checkpoint"), (..., "checkpoint"), (None, "training"), (..., "training"),
            ("x", "training", "options"), (..., "training", "options"), (..., "training", "corpora"),
            ([], "training", "corpora"), (5, "training", "corpora"), ([{}], "training", "corpora"),
            (7, "training", "corpora", 0, "name"), (None, "training", "corpora", 0, "sha256"),
            (..., "training", "held_out"), (None, "training", "held_out"), ({}, "training", "held_out"),
            ("0.05", "training", "held_out", "share"), (None, "training", "held_out", "share"),
            (True, "training", "held_out", "share"), (7, "training", "held_out", "file"),
            (0.5, "training", "held_out", "share"), (..., "config"), (9, "config", "hidden"), (1, "config", "layers"),
            ("gru", "config", "arch"), (10**6, "config", "hidden"), (..., "text"),
        ]
    },
    **{
        f"tensor {name}: {how}": tensor(name, what)
        for name in ("training.w.layer0.bias", "training.m.layer1.recurrent", "training.v.output.weight",
                     "training.state.1", "layer0.recurrent")
        for how, what in {
            "missing": lambda array: None, "another shape": lambda array: array[:1].copy() if array.ndim > 1 else
            array[:-1].copy(), "no numbers": spoil(np.nan), "infinite": spoil(np.inf),
            "another type": lambda array: array.astype(np.float64),
        }.items()
    },
    "second moments below zero": tensor("training.v.output.weight", spoil(-1.0)),
    "no vocabulary": tensor("vocabulary.bytes", lambda array: None),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A checkpoint to damage copies of."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "corpus.txt").write_text(TEXT)
    interrupted(folder / "m", folder / "corpus.txt", hidden=4)
    return folder / "m.checkpoint"


class TestDamage:
    @pytest.fixture
    def copy(self, sound, output):
        path = output.with_name("model.lmkit.checkpoint")
        path.write_bytes(sound.read_bytes())
        return path

    def refused(self, output, copy):
        with unchanged(output, copy), pytest.raises(LmkitError) as caught:
            lmkit.resume(output)
        assert not isinstance(caught.value, OptionError) and "\n" not in str(caught.value)
        assert len(list(output.parent.iterdir())) == 1
        return str(caught.value)

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_each_is_told_of(self, output, copy, damage):
        """As a whole file with the right checksums, which only who means it can make."""
        rewrite(copy, DAMAGES[damage])
        assert str(copy) in self.refused(output, copy)

    def test_cut_short(self, output, copy):
        whole = copy.read_bytes()
        for size in (0, 1, 8, 100, 3000, len(whole) // 2, len(whole) - 1):
            copy.write_bytes(whole[:size])
            assert str(copy) in self.refused(output, copy)

    def test_changed_bytes(self, output, copy):
        whole = copy.read_bytes()
        for place in np.random.default_rng(3).integers(0, len(whole), 80).tolist():
            changed = bytearray(whole)
            changed[place] ^= 0x10
            copy.write_bytes(changed)
            assert str(copy) in self.refused(output, copy), place

    def test_sound_it_goes_on(self, output, copy):
        assert lmkit.resume(output).metadata["training"]["steps"] == 60
