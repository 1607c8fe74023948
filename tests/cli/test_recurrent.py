"""Recurrent models by the commands: training, its bar, Ctrl-C and kill, resuming, and what bad input gets."""

import json
import math
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from fcntl import ioctl

import pytest
from trainings import TEXT, contents, unchanged

import lmkit
from lmkit.cli import terminal

TRAIN = ["train", "--arch", "lstm", "--tokenizer", "char"]
SMALL = ["--layers", 1, "--hidden", 8, "--batch", 8, "--bptt", 10, "--warmup", 5, "--learning-rate", 0.02]
SHORT = [*SMALL, "--steps", 40, "--validate-every", 10]


def but(options, *others):
    """Options without those of which other values follow, and these."""
    kept = [i for i, word in enumerate(options) if word not in others or not str(word).startswith("--")]
    kept = [i for i in kept if i == 0 or i - 1 in kept or not str(options[i - 1]).startswith("--")]
    return [*(options[i] for i in kept), *others]


@pytest.fixture(autouse=True)
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def refused(result, code, *words):
    assert result.code == code, result
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1, result.err
    assert result.out == b""
    for word in words:
        assert word in result.err, result.err


class TestCommands:
    @pytest.mark.parametrize(
        ("arch", "tokenizer"),
        [("lstm", "char"), ("gru", "word"), ("elman", "byte"), ("lstm", "whitespace"), ("elman", "char")],
    )
    def test_all_work(self, succeed, arch, tokenizer):
        assert succeed("train", "--arch", arch, "--tokenizer", tokenizer, *SHORT, "corpus.txt").out == b""
        one = succeed("sample", "--n", 30, "--seed", 1).out
        assert one == succeed("sample", "--n", 30, "--seed", 1, "--threads", 1).out and len(one) > 20
        row = succeed("perplexity", "corpus.txt", "--format", "json").row
        assert row["perplexity"] < row["tokens"] and (row["arch"], row["hidden"]) == (arch, 8)
        assert (row["bits_per_character"] is None) == (tokenizer == "whitespace")
        rows = succeed("next", "And ", "-q", "--format", "json", "--top", 0).rows
        assert sum(row["probability"] for row in rows) == pytest.approx(1, abs=1e-5)
        assert all(row["count"] is None for row in rows)

    def test_info_has_the_training_record(self, succeed):
        succeed(*TRAIN, *SHORT, "corpus.txt")
        row = succeed("info", "--format", "json").row
        record = row["training"]
        assert row["family"] == "rnn" and row["config"]["arch"] == "lstm" and "checkpoint" not in row
        assert [entry["step"] for entry in record["history"]] == [10, 20, 30, 40]
        assert record["best_loss"] == min(entry["valid_loss"] for entry in record["history"])
        assert record["best_step"] in (10, 20, 30, 40) and record["tokens_per_second"] > 0
        assert record["best_bits_per_character"] == pytest.approx(record["best_loss"] / math.log(2), rel=0.1)
        tsv = dict(line.split("\t") for line in succeed("info", "--format", "tsv").text.splitlines())
        assert float(tsv["training.best_loss"]) == record["best_loss"]
        assert float(tsv["training.history.4.valid_loss"]) == record["history"][3]["valid_loss"]
        assert tsv["training.best_step"] == str(record["best_step"])
        assert float(tsv["training.tokens_per_second"]) == record["tokens_per_second"]
        text = succeed("info").text
        assert f"best        loss {record['best_loss']:.4f} nats" in text and f"step {record['best_step']}\n" in text
        assert succeed("info", "--verify", "--format", "json").row["damaged"] == []

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--softmax", "adaptive", "--clusters", "8,20"], {"clusters": [8, 20], "softmax": "adaptive"}),
            (["--softmax", "adaptive"], {"clusters": None}),
            (["--tie-weights"], {"tie_weights": True, "embedding": 8}),
            (["--embedding", "none", "--init", "uniform"], {"embedding": 0, "init": "uniform"}),
            (["--layers", 2, "--dropout", 0.5, "--locked-dropout"], {"layers": 2, "locked_dropout": True}),
            (["--optimizer", "sgd", "--learning-rate", 0.5], {"optimizer": "sgd", "momentum": 0.9}),
            (["--optimizer", "adamw", "--weight-decay", 0.1], {"optimizer": "adamw", "weight_decay": 0.1}),
            (["--decay", "plateau", "--patience", 1], {"decay": "plateau", "patience": 1}),
            (["--epochs", 1, "--steps", 1000], {"epochs": 1, "steps": 1000}),
            (["--time-limit", "0.2s", "--steps", 10**6], {"time_limit": 0.2}),
            (["--valid", 0], {}),
            (["--valid", "corpus.txt"], {}),
            (["--preset", "tiny"], {"preset": "tiny", "dropout": 0.0, "hidden": 8}),
            (["--shards", 3, "--threads", 2, "--seed", 7, "--clip", 0], {"shards": 3, "seed": 7, "clip": 0.0}),
            (["--lowercase", "--vocab-size", 9, "--sentence", "line"], {"lowercase": True, "vocab_size": 9}),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
    )
    def test_options_reach_the_training(self, succeed, options, expected):
        succeed(*TRAIN, *but(SHORT, *options), "corpus.txt")
        record = succeed("info", "--format", "json").row["training"]
        assert {name: record["options"][name] for name in expected} == expected
        assert ("valid_loss" in record["history"][0]) == (options != ["--valid", 0])
        assert succeed("sample", "--n", 9, "--seed", 1).out

    def test_the_perplexity_of_what_was_held_out_is_the_recorded_loss(self, succeed, tmp_path):
        (tmp_path / "held.txt").write_text(TEXT[-400:])
        (tmp_path / "corpus.txt").write_text(TEXT[:-400])
        succeed(*TRAIN, *SMALL, "--steps", 200, "--validate-every", 50, "corpus.txt", "--valid", "held.txt")
        record = succeed("info", "--format", "json").row["training"]
        row = succeed("perplexity", "held.txt", "--format", "json").row
        assert math.log(row["perplexity"]) == pytest.approx(record["best_loss"], abs=0.1) and record["best_loss"] < 2.5
        assert row["bits_per_character"] == pytest.approx(record["best_bits_per_character"], rel=0.05)
        assert record["held_out"]["file"] == "held.txt" and record["held_out"]["tokens"] == row["tokens"]

    def test_the_text_may_be_piped_in(self, succeed, tmp_path):
        succeed(*TRAIN, *SHORT, "corpus.txt", "-o", "one")
        succeed(*TRAIN, *SHORT, "-o", "two", stdin=TEXT.encode())
        assert contents(tmp_path / "one")[1] == contents(tmp_path / "two")[1]

    def test_same_options_same_file_but_for_the_seconds(self, succeed, tmp_path):
        for name, threads in (("one", 1), ("two", 2)):
            succeed(*TRAIN, *SHORT, "corpus.txt", "-o", name, "--threads", threads)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "lmkit", *map(str, arguments)], cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_change(path, process):
    """Wait until a file is there, or is another one than it was; it is replaced by renaming."""

    def found():
        return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None

    before = found()
    for _ in range(6000):
        if found() != before or process.poll() is not None:
            break
        time.sleep(0.01)


def finish(process):
    out, err = process.communicate(timeout=60)
    assert out == b""
    return process.returncode, err.decode()


class TestProcesses:
    def test_killed_again_and_again_it_comes_to_the_same_bits(self, tmp_path, succeed):
        """With SIGKILL at any moment, dropout, and other numbers of threads; the old model stays until the end."""
        options = [
            *TRAIN, *but(SMALL, "--layers", 2), "--dropout", 0.3, "--shards", 2, "--steps", 2000, "--patience", 0,
            "--decay", "plateau", "--validate-every", 20, "corpus.txt",
        ]  # fmt: skip
        succeed(*options, "--checkpoint-every", "1d", "--threads", 2, "-o", "whole")
        succeed("train", "--smoothing", "mle", "corpus.txt", "-o", "killed")
        output, checkpoint = tmp_path / "killed", tmp_path / "killed.checkpoint"
        moments, reached = random.Random(5), [0]
        with unchanged(output):
            for i in range(4):
                begin = [*options, "-o", "killed", "--force"] if i == 0 else ["train", "--resume", "killed"]
                process = start(tmp_path, *begin, "--checkpoint-every", "3steps", "--threads", 1 + i % 2)
                wait_for_change(checkpoint, process)
                time.sleep(moments.uniform(0, 0.1))
                process.kill()
                assert finish(process) == (-signal.SIGKILL, "")
                row = succeed("info", checkpoint, "--format", "json").row
                reached.append(row["checkpoint"]["step"])
                assert reached[-1] > reached[-2] and succeed("sample", "-m", checkpoint, "--n", 9, "--seed", 1).out
        assert reached[-1] < 2000
        succeed("train", "--resume", "killed", "--checkpoint-every", "1d", "corpus.txt")
        assert contents(output) == contents(tmp_path / "whole") and not checkpoint.exists()

    def test_ctrl_c_saves_and_says_how_to_go_on(self, tmp_path, run, succeed):
        options = [*TRAIN, *SMALL, "--steps", 10**6, "--time-limit", "1h", "--patience", 0, "--validate-every", 10]
        succeed("train", "--smoothing", "mle", "corpus.txt", "-o", "a b")
        output, checkpoint = tmp_path / "a b", tmp_path / "a b.checkpoint"
        with unchanged(output):
            process = start(tmp_path, *options, "corpus.txt", "-o", "a b", "--force", "--checkpoint-every", "50steps")
            wait_for_change(checkpoint, process)
            process.send_signal(signal.SIGINT)
            code, err = finish(process)
            said = re.fullmatch(
                r"Interrupted at step (\d+)\. Go on with: lmkit train --resume 'a b'; "
                r"or use the best model so far: -m 'a b\.checkpoint'\n",
                err,
            )
            assert code == 130 and said, err
            row = succeed("info", "a b.checkpoint", "--format", "json").row
            assert row["checkpoint"]["step"] == int(said[1]) >= 50
            assert succeed("sample", "-m", "a b.checkpoint", "--n", 20, "--seed", 1).out
            perplexity = succeed("perplexity", "-m", "a b.checkpoint", "corpus.txt", "--format", "json").row
            assert perplexity["perplexity"] < 40
            refused(
                run(*options, "corpus.txt", "-o", "a b"), 2, "a b.checkpoint is there", "--resume a b", "another -o"
            )
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a b", "a b.checkpoint", "corpus.txt"]

    def test_a_second_training_onto_one_output_is_refused(self, tmp_path, run, succeed):
        """As long as the first one lives; what a kill leaves disturbs nobody."""
        options = [*TRAIN, *SMALL, "--steps", 10**6, "--patience", 0, "--checkpoint-every", "20steps", "corpus.txt"]
        process = start(tmp_path, *options, "-o", "m")
        wait_for_change(tmp_path / "m.checkpoint", process)
        for again in ([*options, "-o", "./m"], ["train", "--resume", "m"], [*options, "--force", "-o", "m"]):
            refused(run(*again), 2, "m is being written by another training; wait for its end, or choose another -o")
        process.kill()
        finish(process)
        assert ".m.lock" in [p.name for p in tmp_path.iterdir()]
        refused(run(*options, "-o", "m"), 2, "m.checkpoint is there")
        (tmp_path / "m.checkpoint").unlink()
        succeed(*TRAIN, *SHORT, "corpus.txt", "-o", "m")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.txt", "m"]


@pytest.fixture
def stop(run, monkeypatch):
    """Begin a training in this process and press Ctrl-C after so many steps."""

    def stop(*arguments, at=25, stdin=b"", output="model.lmkit"):
        from lmkit.rnn.training import Session

        def report(session):
            if session.trainer.progress.step == at:
                signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr(Session, "_report", report)
            result = run(*arguments, "-o", output, stdin=stdin)
        assert result.code == 130 and result.err.count("\n") == 1, result
        return result.err

    return stop


class TestResume:
    def test_to_the_end_and_no_further(self, run, succeed, stop, tmp_path):
        succeed(*TRAIN, *SHORT, "corpus.txt", "-o", "whole")
        assert "--resume model.lmkit; or" in stop(*TRAIN, *SHORT, "corpus.txt")
        assert not (tmp_path / "model.lmkit").exists()
        succeed("train", "--resume", "model.lmkit")
        assert contents(tmp_path / "model.lmkit") == contents(tmp_path / "whole")
        for arguments in (["--resume", "model.lmkit"], ["--resume", "nowhere"]):
            refused(run("train", *arguments), 1, f"{arguments[1]}.checkpoint: no such checkpoint")

    def test_what_was_typed_may_be_typed_again(self, succeed, stop, monkeypatch):
        """And what is in the environment is only heard where it may change."""
        stop(*TRAIN, *SHORT, "corpus.txt", "--time-limit", "10m", "--valid", ".05")
        monkeypatch.setenv("LMKIT_HIDDEN", "99")
        monkeypatch.setenv("LMKIT_ARCH", "gru")
        monkeypatch.setenv("LMKIT_ORDER", "3")
        monkeypatch.setenv("LMKIT_CHECKPOINT_EVERY", "1000000steps")
        again = ["--time-limit", "600s", "--valid", "0.050", "--threads", 1, "-o", "./model.lmkit"]
        succeed(*TRAIN, *SHORT, *again, "corpus.txt", "--resume", "model.lmkit")
        assert succeed("info", "--format", "json").row["training"]["steps"] == 40

    def test_a_bad_interval_in_the_environment_is_told_of(self, run, stop, monkeypatch):
        stop(*TRAIN, *SHORT, "corpus.txt")
        monkeypatch.setenv("LMKIT_CHECKPOINT_EVERY", "often")
        refused(run("train", "--resume", "model.lmkit"), 2, "--checkpoint-every is 'often'")

    def test_what_may_not_change_is_refused_by_name_and_values(self, run, stop, tmp_path):
        stop(*TRAIN, *SHORT, "corpus.txt")
        checkpoint = tmp_path / "model.lmkit.checkpoint"
        with unchanged(checkpoint):
            for option, value, old in (
                ("--hidden", 9, 8), ("--tokenizer", "byte", "char"), ("--valid", 0.1, 0.05),
                ("--valid", "corpus.txt", 0.05),
                ("--seed", 3, 1), ("--time-limit", 600.0, None), ("--arch", "gru", "lstm"), ("--steps", 50, 40),
                ("--min-count", 2, 1), ("--sentence", "line", "paragraph"), ("--clip", 2.0, 1.0),
            ):  # fmt: skip
                result = run("train", "--resume", "model.lmkit", option, value)
                refused(result, 2, f"{option} is {value}, and in the training that is resumed it is {old};")
            refused(run("train", "--resume", "model.lmkit", "--order", 3), 2, "order is no option of lstm")
            refused(run("train", "--resume", "model.lmkit", "-o", "other"), 2, "writes model.lmkit; leave out -o other")
        assert not (tmp_path / "other").exists() and not (tmp_path / "model.lmkit").exists()

    def test_the_text_must_be_there_and_the_same(self, run, succeed, stop, tmp_path, corpus):
        stop(*TRAIN, *SHORT, "corpus.txt")
        corpus.rename(tmp_path / "moved.txt")
        with unchanged(tmp_path / "model.lmkit.checkpoint"):
            refused(run("train", "--resume", "model.lmkit"), 1, "corpus.txt: no such file")
            corpus.write_text(TEXT + "!")
            refused(run("train", "--resume", "model.lmkit"), 1, "corpus.txt is not the text whose training", "sha256")
            refused(run("train", "--resume", "model.lmkit", "moved.txt", "corpus.txt"), 2, "read 1 texts, not 2")
        succeed("train", "--resume", "model.lmkit", "moved.txt")
        assert succeed("info", "--format", "json").row["training"]["steps"] == 40

    def test_a_piped_text_must_be_piped_again(self, run, succeed, stop, tmp_path, monkeypatch):
        said = stop(*TRAIN, *SHORT, stdin=TEXT.encode())
        assert "--resume model.lmkit (and the same text piped in); or use" in said
        refused(run("train", "--resume", "model.lmkit"), 1, "standard input is not the text")
        with monkeypatch.context() as patch:
            patch.setattr(terminal, "is_terminal", lambda stream: stream is sys.stdin)
            refused(
                run("train", "--resume", "model.lmkit"), 2, "read the standard input: pipe the same text in, or name"
            )
        succeed("train", "--resume", "model.lmkit", stdin=TEXT.encode())
        stop(*TRAIN, *SHORT, stdin=TEXT.encode(), output="other")
        succeed("train", "--resume", "other", "corpus.txt")
        for name in ("model.lmkit", "other"):
            assert succeed("info", name, "--format", "json").row["training"]["steps"] == 40

    def test_a_damaged_checkpoint_is_told_of(self, run, stop, tmp_path):
        stop(*TRAIN, *SHORT, "corpus.txt")
        checkpoint = tmp_path / "model.lmkit.checkpoint"
        whole = checkpoint.read_bytes()
        for damaged in (whole[:-1], whole[:50], b"", whole[:-9] + b"?" + whole[-8:], b"\\data\\\n" * 9):
            checkpoint.write_bytes(damaged)
            with unchanged(checkpoint):
                refused(run("train", "--resume", "model.lmkit"), 1, "model.lmkit.checkpoint")
        assert not (tmp_path / "model.lmkit").exists()

    def test_a_word_vocabulary_may_be_named_again(self, run, succeed, stop, tmp_path):
        (tmp_path / "words").write_text("the sun is\nfair Romeo \\n\n")
        (tmp_path / "more").write_text("the sun is\nfair Romeo moon\n")
        options = ["train", "--arch", "gru", *SHORT, "--vocab", "words"]
        stop(*options, "corpus.txt")
        refused(run("train", "--resume", "model.lmkit", "--vocab", "more"), 2, "--vocab has other tokens")
        succeed(*options, "corpus.txt", "--resume", "model.lmkit")


def test_a_finished_model_is_replaced_with_force_only(run, succeed, tmp_path):
    succeed(*TRAIN, *SHORT, "corpus.txt")
    succeed(*TRAIN, *SHORT, "corpus.txt", "--checkpoint-every", "5steps")  # the same training
    with unchanged(tmp_path / "model.lmkit"):
        refused(
            run(*TRAIN, *SHORT, "--clip", 2, "corpus.txt"), 2,
            "model.lmkit is the model of another training, and would be lost (--clip was 1.0, and is 2.0)", "--force",
        )  # fmt: skip
    succeed(*TRAIN, *SHORT, "--clip", 2, "--force", "corpus.txt")
    assert succeed("info", "--format", "json").row["training"]["options"]["clip"] == 2


class TestMemory:
    """Messages name options that the command has, for what it is asked to do."""

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ([*TRAIN, "corpus.txt"], "; a smaller --hidden, --layers, --batch, --bptt or --vocab-size needs less"),
            (["train", "corpus.txt"], "; a smaller --order, --memory or --vocab-size needs less"),
            (["train", "--resume", "x"], ""),
            (["count", "corpus.txt"], "; a smaller --orders or --vocab-size needs less"),
            (["perplexity", "corpus.txt"], ""),
        ],
    )
    def test_advice(self, run, monkeypatch, arguments, named):
        from lmkit import api

        def exhausted(*_, **__):
            raise MemoryError

        for name in ("train", "resume", "count", "load"):
            monkeypatch.setattr(api, name, exhausted)
        refused(run(*arguments), 1, f"Error: not enough memory for this{named}\n")


class TestBadInput:
    def test_options_of_the_other_family(self, run):
        for arguments, named in (
            ([*TRAIN, "--order", 3], "--order goes with --arch ngram, not with lstm"),
            ([*TRAIN, "--limit-vocab", "words"], "--limit-vocab goes with --arch ngram, not with lstm"),
            (["train", "--hidden", 8], "--hidden goes with --arch elman or gru or lstm, not with ngram"),
            (["train", "--valid", 0.1], "--valid goes with --arch elman, gru or lstm, and with"),
            (["train", "--tie-weights"], "--tie-weights goes with"),
        ):
            refused(run(*arguments, "corpus.txt"), 2, named)

    def test_the_environment_disturbs_no_other_family(self, succeed, monkeypatch):
        for name, value in {
            "ORDER": "2", "SMOOTHING": "mle", "HIDDEN": "5", "LAYERS": "1", "STEPS": "12", "VALID": "0.2",
            "TIE_WEIGHTS": "1", "CUTOFFS": "0,1",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"LMKIT_{name}", value)
        succeed("train", "corpus.txt")
        assert succeed("info", "--format", "json").row["config"]["order"] == 2
        succeed("train", "--arch", "gru", "--force", "corpus.txt")
        row = succeed("info", "--format", "json").row
        assert (row["config"]["hidden"], row["config"]["tied"], row["training"]["steps"]) == (5, True, 12)
        assert row["training"]["held_out"]["share"] == 0.2

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--hidden", 1000000], ["would need", "TB to train", "weights x 8 copies x 4 bytes", "smaller --hidden"]),
            (["--layers", 64, "--hidden", 100000], ["would need", "TB to train", "are free"]),
            (["--hidden", 2**21], ["--hidden is 2097152; it must be from 1 to 1048576"]),
            (["--layers", 65], ["--layers is 65"]),
            (["--hidden", "many"], ["--hidden", "'many'"]),
            (["--embedding", "some"], ["--embedding", "neither a whole number nor none"]),
            (["--dropout", 1], ["--dropout is 1.0; it must be a number from 0 to below 1"]),
            (["--learning-rate", 0], ["--learning-rate is 0.0"]),
            (["--time-limit", "soon"], ["--time-limit is 'soon'; it takes a duration such as 90s, 10m or 2h"]),
            (["--checkpoint-every", "0steps"], ["--checkpoint-every is '0steps'; it takes 30s, 10m or 500steps"]),
            (["--valid", 1], ["--valid is 1; it must be a share of the text"]),
            (["--valid", 0.9999], ["too few tokens are left to learn from (0)"]),
            (["--clusters", "9,9"], ["--clusters is '9,9'; it takes growing numbers over 3"]),
            (["--clusters", "9,5000"], ["--clusters names 5000, and the vocabulary has"]),
            (["--tie-weights", "--embedding", 5], ["--tie-weights makes the embedding"]),
            (["--momentum", 0.5], ["--momentum goes with --optimizer sgd, not with adam"]),
            (["--resume", "x", "--hidden", 0], ["x.checkpoint: no such checkpoint"]),
        ],
        ids=lambda value: " ".join(map(str, value)) if str(value[0]).startswith("--") else "",
    )
    def test_wrong_values_are_refused_before_the_training(self, run, options, words, tmp_path):
        refused(run(*TRAIN, *but(SHORT, *options), "corpus.txt"), 1 if "--resume" in options else 2, *words)
        assert [p.name for p in tmp_path.iterdir()] == ["corpus.txt"]

    def test_texts_to_validate_on(self, run, tmp_path):
        (tmp_path / "void").touch()
        refused(run(*TRAIN, *SHORT, "corpus.txt", "--valid", "nowhere"), 1, "nowhere: no such file")
        refused(
            run(*TRAIN, *SHORT, "corpus.txt", "--valid", "void"),
            1,
            "void: holds no tokens",
        )

    @pytest.mark.parametrize("text", [b"a", b"ab", b"aaaa", b"aaaa" * 200, b"a\n\nb"], ids=len)
    def test_short_texts_train_on_what_there_is(self, succeed, text):
        succeed(*TRAIN, *SHORT, stdin=text)
        assert succeed("sample", "--n", 5, "--seed", 1).out
        assert succeed("perplexity", "--format", "json", stdin=text).row["perplexity"] >= 1

    def test_nothing_to_learn_from(self, run):
        for text in (b"", b"\n \n"):
            refused(run(*TRAIN, *SHORT, stdin=text), 1, "standard input: holds no tokens")

    def test_a_diverging_training_leaves_everything_as_it_was(self, run, succeed, tmp_path):
        wild = ["--learning-rate", 1e20, "--optimizer", "sgd", "--clip", 0, "--warmup", 0]
        succeed(*TRAIN, *SHORT, "corpus.txt")
        with unchanged(tmp_path / "model.lmkit"):
            for more in ([], ["--valid", 0], ["--validate-every", 1], ["--learning-rate", 1e300]):
                words = but(but(SHORT, *wild), *more)
                refused(run(*TRAIN, *words, "--force", "corpus.txt"), 1, "training has diverged", "--learning-rate")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.txt", "model.lmkit"]

    def test_the_best_model_before_it_diverged_is_kept(self, run, succeed, tmp_path):
        late = ["--learning-rate", 1e7, "--optimizer", "sgd", "--clip", 0, "--warmup", 10**6, "--validate-every", 1]
        result = run(*TRAIN, *but(SHORT, *late, "--steps", 500), "corpus.txt")
        refused(result, 1, "training has diverged", "The best model, of step", "is model.lmkit.checkpoint")
        assert not (tmp_path / "model.lmkit").exists()
        assert (
            succeed("perplexity", "-m", "model.lmkit.checkpoint", "corpus.txt", "--format", "json").row["perplexity"]
            < 45
        )


class TestBar:
    def watch(self, monkeypatch, arguments, columns=80):
        """Run with stderr at a terminal; return the exit code and what was seen, drawing by drawing."""
        from lmkit import cli

        master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        seen = []

        def read():
            while True:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    return
                if not data:
                    return
                seen.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        with open(slave, "w") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            patch.setattr(terminal, "REDRAW", 0)
            code = cli.run([str(a) for a in arguments])
        reader.join(10)
        os.close(master)
        return code, re.split(r"[\r\n]+", b"".join(seen).decode())

    def test_it_shows_epoch_losses_speed_and_time_left(self, monkeypatch, tmp_path):
        """In 80 columns."""
        monkeypatch.chdir(tmp_path)
        code, lines = self.watch(monkeypatch, [*TRAIN, *but(SHORT, "--steps", 150), "corpus.txt"])
        assert code == 0 and all(len(line) <= 80 for line in lines)
        shape = (
            r"epoch \d+, \d\.\d{3} nats, \d\.\d{3} bits/char(, best \d\.\d{3})?, [\d.]+[kM]? tokens/s, [\d:]+ left .*"
        )
        drawn = [line for line in lines if line.startswith("epoch ")]
        fit = [line for line in drawn if re.fullmatch(shape, line)]
        assert len(drawn) > 20 and len(fit) >= len(drawn) - 4, drawn[-3:]
        assert any("best" in line for line in fit) and fit[-1].startswith("epoch 5")
        assert re.fullmatch(
            r"model\.lmkit: 0\.0 MB, [\d.]+ s, validation loss \d\.\d{4} nats a token, at step \d+", lines[-2]
        )

    def test_a_time_limit_has_a_speed_too(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        _, lines = self.watch(monkeypatch, [*TRAIN, *SMALL, "--time-limit", "0.2s", "corpus.txt"])
        assert any(re.match(r"epoch .* nats, .* bits/char.*, \d+ tokens/s, .* left", line) for line in lines)

    def test_it_begins_where_the_training_was(self, monkeypatch, tmp_path, stop):
        """So that the time left is not that of a training that has done all this in a moment."""
        stop(*TRAIN, *SHORT, "corpus.txt")
        code, lines = self.watch(monkeypatch, ["train", "--resume", "model.lmkit"])
        assert code == 0
        first = next(line for line in lines if line.startswith("epoch "))
        assert ", ? tokens/s, ? left" in first and "best" in first

    def test_quiet(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert self.watch(monkeypatch, [*TRAIN, *SHORT, "-q", "corpus.txt"]) == (0, [""])

    def test_ctrl_c_leaves_a_clean_line(self, monkeypatch, tmp_path):
        from lmkit.rnn.training import Session

        monkeypatch.chdir(tmp_path)
        usual = Session._report

        def report(session):
            usual(session)
            if session.trainer.progress.step == 25:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Session, "_report", report)
        code, lines = self.watch(monkeypatch, [*TRAIN, *SHORT, "corpus.txt"])
        assert code == 130 and lines[-2].startswith("Interrupted at step 25. Go on with: ")


def test_the_record_is_json_that_other_programs_read(succeed):
    succeed(*TRAIN, *SHORT, "corpus.txt", "-o", "m")
    assert json.loads(succeed("info", "m", "--format", "json").out)["training"] == lmkit.info("m")["training"]
