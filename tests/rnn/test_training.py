"""A training from text to model: what is learnt, recorded, told of on the way, and refused."""

import math
import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from trainings import (
    OPTIONS,
    PAIR,
    TEXT,
    Crash,
    after_steps,
    contents,
    crash,
    ctrl_c,
    interrupted,
    trained,
    without_seconds,
)

import lmkit
from lmkit.errors import OptionError
from lmkit.rnn import training
from lmkit.rnn.options import RNNOptions
from lmkit.rnn.trainer import Diverged, Trainer

WILD = {"learning_rate": 1e20, "optimizer": "sgd", "clip": 0, "warmup": 0, "dropout": 0.0}


class TestShape:
    def shape(self, tokens, **options):
        counts = np.sort(np.random.default_rng(1).zipf(1.5, tokens).clip(0, 10**6))[::-1]
        return training.shape_of("lstm", counts, RNNOptions(**options))

    def test_small_vocabularies_need_no_embedding(self):
        assert [self.shape(v, hidden=16).embedding for v in (20, 512, 513)] == [0, 0, 16]
        assert self.shape(20, hidden=16, embedding=5).embedding == 5
        assert self.shape(2000, hidden=16, embedding=0).embedding == 0

    def test_large_vocabularies_have_clusters(self):
        assert self.shape(3000).cutoffs == () != self.shape(20_000).cutoffs
        assert self.shape(20_000, softmax="full").cutoffs == () != self.shape(30, softmax="adaptive").cutoffs
        assert self.shape(30, clusters=(7, 9)).cutoffs == (7, 9)
        assert self.shape(20_000, tie_weights=True, hidden=16).cutoffs == ()

    def test_clusters_begin_inside_the_vocabulary(self):
        with pytest.raises(OptionError, match="--clusters names 30, and the vocabulary has 30 tokens"):
            self.shape(30, clusters=(7, 30))


class TestMemory:
    def test_what_would_not_fit_is_refused_with_the_arithmetic(self, monkeypatch):
        """
        One LSTM layer of 16 units (no padding at widths of 16), V = 20: recurrent 16 x 64, input 20 x 64, bias 64,
        output 16 x 32 (20 in two panels) and 32 biases = 2912 weights; 6 copies and 2 of gradients.
        """
        options = RNNOptions(layers=1, hidden=16, batch=4, bptt=8)
        shape = training.shape_of("lstm", np.full(20, 9), options)
        monkeypatch.setattr(training, "memory_limit", lambda: 50_000)
        with pytest.raises(OptionError) as caught:
            training.check_memory(shape, options, 1000)
        size = shape.layout(training.products.WIDTH).size
        assert f"{size:,} weights x 8 copies x 4 bytes (2 of them gradients) = {32 * size / 1000:.3g} kB" in str(
            caught.value
        )
        assert "4 streams x 8 steps x" in str(caught.value) and "and 50 kB are free" in str(caught.value)
        for free in (10**6, None):
            monkeypatch.setattr(training, "memory_limit", lambda free=free: free)
            training.check_memory(shape, options, 1000)

    @pytest.mark.parametrize("size", [{"hidden": 10**6}, {"layers": 64, "hidden": 10**5}])
    def test_absurd_sizes(self, size):
        with pytest.raises(
            OptionError, match=r"would need [0-9.]+ [TP]B to train, and .* are free: .* choose a smaller"
        ):
            trained(None, **size)

    def test_windows_and_streams_that_the_text_does_not_fill_cost_nothing(self):
        """64 steps of one stream are all there is."""
        assert trained(None, batch=10**6, bptt=10**6).metadata["training"]["epochs"] == OPTIONS["steps"]


class TestRecord:
    def test_all_that_was_measured(self, tmp_path):
        record = trained(tmp_path / "m").metadata["training"]
        assert record == lmkit.info(tmp_path / "m")["training"]
        steps = [entry["step"] for entry in record["history"]]
        assert steps == [10, 20, 30, 40, 50, 60] and record["steps"] == 60
        for entry in record["history"]:
            assert set(entry) == {"step", "epoch", "tokens", "train_loss", "valid_loss", "learning_rate", "seconds"}
        tokens = [entry["tokens"] for entry in record["history"]]
        assert tokens == sorted(tokens) and tokens[-1] == record["tokens_trained"]
        losses = [entry["valid_loss"] for entry in record["history"]]
        assert record["best_loss"] == min(losses) == losses[steps.index(record["best_step"])]
        assert losses[-1] < losses[0] < math.log(40) and record["history"][-1]["learning_rate"] == 0
        corpus, held_out = record["corpora"][0], record["held_out"]
        assert (held_out["share"], held_out["tokens"]) == (0.05, round(corpus["tokens"] * 0.05))
        assert held_out["first_token"] == corpus["tokens"] - held_out["tokens"]
        assert held_out["part"] == f"the last 0.05 of the tokens, from token {held_out['first_token']} on"
        windows = math.ceil(held_out["first_token"] // 8 / 10)
        assert record["epochs"] == pytest.approx(60 / windows, abs=1e-3)
        assert 60 * 70 < record["tokens_trained"] <= 60 * 80
        assert record["seconds"] >= record["training_seconds"] > 0
        assert record["options"]["hidden"] == 8 and record["options"]["learning_rate"] == 0.02
        assert record["parameters"] == sum(
            entry["bytes"] // 4
            for name, entry in lmkit.info(tmp_path / "m")["tensors"].items()
            if entry["dtype"] == "float32" and name != "resting"
        )

    def test_tokens_a_second_are_those_of_the_steps_alone(self, monkeypatch):
        """Validation and what a callback does are not in it."""
        usual = Trainer.reading
        monkeypatch.setattr(Trainer, "reading", lambda self: (time.sleep(0.05), usual(self))[1])
        record = trained(None).metadata["training"]
        assert record["training_seconds"] > 6 * 0.05
        assert record["tokens_trained"] / record["tokens_per_second"] < record["training_seconds"] - 5.9 * 0.05

    def test_the_loss_is_what_the_model_says_of_the_held_out_text(self):
        """Read in two streams from zero states and in one that goes on: nearly the same."""
        options = {"steps": 300, "batch": 2, "learning_rate": 0.06, "validate_every": 50, "dropout": 0.0}
        model = trained(None, valid=0.2, **options)
        record, first = model.metadata["training"], model.metadata["training"]["held_out"]["first_token"]
        ids = model.text.encode_text(TEXT).ids
        log_p = model.score(model.begin(), ids[None, :])[0][0, first:]
        assert record["best_loss"] < 2 and -log_p.mean() == pytest.approx(record["best_loss"], abs=0.05)
        characters = len(model.text.decode(ids[first:]))
        bits = -log_p.sum() / math.log(2) / characters
        assert record["best_bits_per_character"] == pytest.approx(bits, rel=0.03)

    def test_one_stream_is_read_as_the_model_reads_it(self, tmp_path):
        """Then the loss is the same number."""
        held = TEXT[:200].encode()
        model = trained(None, batch=1, valid=("held", held))
        model.language_model.resting = None  # validation begins in the zero state
        evaluation = model.perplexity(("held", held))
        record = model.metadata["training"]
        assert math.log(evaluation.perplexity) == pytest.approx(record["best_loss"], abs=1e-5)
        assert evaluation.bits_per_character == pytest.approx(record["best_bits_per_character"], abs=1e-5)
        assert record["held_out"]["file"] == "held" and record["held_out"]["tokens"] == evaluation.tokens

    def test_nothing_held_out_is_nothing_measured(self):
        record = trained(None, valid=0).metadata["training"]
        assert record["best_loss"] is None and record["best_step"] == 60 and record["held_out"]["tokens"] == 0
        assert all("valid_loss" not in entry for entry in record["history"])

    def test_tokens_that_do_not_hold_the_text_have_no_bits(self):
        for options in ({"tokenizer": "whitespace"}, {"lowercase": True}, {"vocab_size": 10}):
            assert trained(None, **options).metadata["training"]["best_bits_per_character"] is None

    def test_a_time_limit_ends_it(self):
        record = trained(None, steps=None, time_limit="0.3s", patience=0).metadata["training"]
        assert 0.3 <= record["training_seconds"] < 3 and record["options"]["time_limit"] == 0.3
        assert record["history"][-1]["step"] == record["steps"] and record["history"][-1]["learning_rate"] < 0.002

    def test_epochs_end_it(self):
        record = trained(None, steps=None, epochs=2).metadata["training"]
        assert record["epochs"] == 2 and record["tokens_trained"] == 2 * (record["held_out"]["first_token"] // 8 * 8)

    def test_patience_ends_it_with_the_best_weights(self):
        options = {"learning_rate": 0.3, "decay": "none", "dropout": 0.0, "validate_every": 5, "steps": 500}
        record = trained(None, patience=3, **options).metadata["training"]
        assert record["best_step"] == record["steps"] - 3 * 5 < 485


class TestSameAgain:
    def test_same_seed_same_file(self, tmp_path):
        for name, options in (("one", {}), ("two", {"threads": 1}), ("other", {"seed": 2})):
            trained(tmp_path / name, **options)
        one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
        assert one == two and one[1].keys() == other[1].keys()
        assert one[1]["layer0.recurrent"] != other[1]["layer0.recurrent"]

    def test_only_the_seconds_differ(self, tmp_path):
        """The data of the files, all after the headers, are the same bytes."""
        for name in ("one", "two"):
            trained(tmp_path / name)
        one, two = ((tmp_path / name).read_bytes() for name in ("one", "two"))
        assert one[8 + int.from_bytes(one[:8], "little") :] == two[8 + int.from_bytes(two[:8], "little") :]

    def test_neither_progress_nor_checkpoints_change_it(self, tmp_path):
        quiet = trained(None)
        trained(tmp_path / "m", progress=lambda *_: None, checkpoint_every="1steps", threads=2)
        loaded = lmkit.load(tmp_path / "m")
        np.testing.assert_array_equal(loaded.language_model.flat, quiet.language_model.flat)
        losses = [without_seconds(model.metadata["training"])["history"] for model in (loaded, quiet)]
        assert losses[0] == losses[1]


class TestShortTexts:
    @pytest.mark.parametrize("tokenizer", ["char", "word", "byte", "whitespace"])
    @pytest.mark.parametrize("text", ["a", "ab", "a b\nc", "aaaa", "a" * 500])
    def test_what_there_is_is_trained_on(self, text, tokenizer):
        model = trained(None, ("short", text.encode()), tokenizer=tokenizer)
        assert model.metadata["training"]["steps"] >= 10 and model.metadata["training"]["history"]
        assert len(model.sample(n=4, seed=1, allow_unk=True)) <= 4 * max(len(text), 1)
        rows = model.next(top=None)
        assert sum(row.probability for row in rows) == pytest.approx(1, abs=1e-5)
        assert math.isfinite(model.perplexity(("short", text.encode())).perplexity)

    def test_too_little_is_left(self):
        with pytest.raises(
            OptionError, match=r"too few tokens are left to learn from \(0\); give more text, or less to"
        ):
            trained(None, ("short", b"abc"), valid=0.99)

    def test_a_vocabulary_of_unknown_words_alone(self):
        with pytest.warns(lmkit.LmkitWarning, match="only <unk> is left"):
            model = trained(None, min_count=10**6)
        assert {row.token for row in model.next(top=None)} == {"<unk>", "</s>"}
        assert model.sample(n=5, seed=1).strip() == "" and "<unk>" in model.sample(n=50, seed=1, allow_unk=True)


class TestDiverging:
    @pytest.mark.parametrize("options", [{}, {"validate_every": 1}, {"valid": 0}, {"learning_rate": 1e300}], ids=str)
    def test_it_is_told_and_nothing_is_written(self, tmp_path, options):
        with pytest.raises(
            Diverged, match=r"^training has diverged: the .* at step \d+.*; try a smaller --learning-rate"
        ):
            trained(tmp_path / "m", **{**WILD, **options})
        assert list(tmp_path.iterdir()) == []

    def test_adam_too(self):
        with pytest.raises(Diverged):
            trained(None, learning_rate=1e30, valid=0)

    def test_the_best_model_until_then_is_kept(self, tmp_path):
        """The rate grows until it is too large."""
        options = {**WILD, "learning_rate": 1e7, "warmup": 10**6, "validate_every": 1, "steps": 500}
        trained(tmp_path / "m", ("other", b"another text\n" * 20))
        before = (tmp_path / "m").read_bytes()
        with pytest.raises(Diverged, match=r"best model, of step \d+, is .*m\.checkpoint$") as caught:
            trained(tmp_path / "m", **options, force=True)
        kept = lmkit.load(tmp_path / "m.checkpoint")
        record = kept.metadata["training"]
        assert f"of step {record['best_step']}," in str(caught.value) and record["best_loss"] < math.log(40)
        assert kept.perplexity(PAIR).perplexity < 45
        assert (tmp_path / "m").read_bytes() == before

    def test_a_text_unlike_what_was_learnt_is_no_divergence(self):
        """p(b) becomes small, and should."""
        for text, valid in ((b"a" * 900, ("b", b"b" * 100)), (b"a" * 900 + b"b" * 100, 0.1)):
            model = trained(None, ("text", text), valid=valid, dropout=0.0)
            assert model.metadata["training"]["history"][-1]["valid_loss"] > 1.5 * math.log(5)


class TestInterrupts:
    def test_the_first_is_noted_and_the_second_interrupts(self):
        usual = signal.getsignal(signal.SIGINT)
        with training.interruptible() as stop:
            ctrl_c()
            assert stop.signal == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                ctrl_c()
        assert signal.getsignal(signal.SIGINT) is usual

    def test_two_interrupt_at_once_without_a_checkpoint(self, tmp_path):
        def twice():
            ctrl_c()
            ctrl_c()

        with pytest.raises(KeyboardInterrupt) as caught:
            trained(tmp_path / "m", progress=after_steps(7, twice))
        assert type(caught.value) is KeyboardInterrupt and list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("saved", [False, True])
    def test_it_carries_the_model_so_far(self, tmp_path, saved):
        output = tmp_path / "m" if saved else None
        with pytest.raises(lmkit.Interrupted) as caught:
            trained(output, progress=after_steps(25, ctrl_c))
        model = caught.value.model
        assert isinstance(model, lmkit.Model) and caught.value.signal == signal.SIGINT
        assert model.metadata["training"]["steps"] == 25 and model.path == (f"{output}.checkpoint" if saved else None)
        assert model.perplexity(PAIR).perplexity < 40
        if saved:
            assert lmkit.load(model.path).log_prob(TEXT) == model.log_prob(TEXT)
        model.save(tmp_path / "kept")
        assert lmkit.load(tmp_path / "kept").log_prob(TEXT) == model.log_prob(TEXT)

    def test_where_nothing_is_learnt_there_is_none(self, tmp_path, monkeypatch):
        usual = training.Session

        def interrupted(*arguments):
            ctrl_c()
            return usual(*arguments)

        monkeypatch.setattr(training, "Session", interrupted)
        with pytest.raises(lmkit.Interrupted, match=r"^Interrupted\.$") as caught:
            trained(tmp_path / "m")
        assert caught.value.model is None and list(tmp_path.iterdir()) == []

    def test_while_the_finished_model_is_saved_is_too_late(self, tmp_path, monkeypatch):
        """What was learnt since the last checkpoint would be lost."""
        usual = lmkit.Model.save

        def save(model, *arguments, **options):
            ctrl_c()
            usual(model, *arguments, **options)

        monkeypatch.setattr(lmkit.Model, "save", save)
        trained(tmp_path / "m")
        assert [p.name for p in tmp_path.iterdir()] == ["m"]

    def test_ignored_signals_stay_ignored(self):
        usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with training.interruptible() as stop:
                assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                ctrl_c()
            assert stop.signal is None
        finally:
            signal.signal(signal.SIGINT, usual)

    def test_one_at_the_last_step_is_too_late(self, tmp_path):
        trained(tmp_path / "m", progress=after_steps(60, ctrl_c))
        assert [p.name for p in tmp_path.iterdir()] == ["m"]

    def test_while_kernels_are_compiled_there_is_nothing_to_save(self, tmp_path, monkeypatch):
        monkeypatch.setattr(training, "compile_kernels", lambda *_: ctrl_c())
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "m")
        assert list(tmp_path.iterdir()) == []

    def test_a_thread_trains_without_signals(self):
        models = []
        thread = threading.Thread(target=lambda: models.append(trained(None)))
        thread.start()
        thread.join(30)
        assert models[0].metadata["training"]["steps"] == 60

    def test_threads_end_with_the_training(self, tmp_path):
        before = threading.active_count()
        trained(None, threads=2)
        interrupted(tmp_path / "m", threads=2)
        assert threading.active_count() == before


class TestProgress:
    def calls(self, run):
        calls = []
        run(lambda *call: calls.append(call))
        return calls, [call for call in calls if call[0].startswith("epoch")]

    def test_it_says_how_far_it_is(self, tmp_path):
        calls, steps = self.calls(lambda progress: trained(tmp_path / "m", progress=progress))
        assert calls[0][0] == "reading" and calls[-1][0] == "saving"
        assert len(steps) == 60 and {call[3] for call in steps} == {"tokens"}
        done, totals = [call[1] for call in steps], {call[2] for call in steps}
        assert done == sorted(set(done)) and len(totals) == 1 and done[-1] == pytest.approx(totals.pop(), rel=0.05)
        assert steps[0][0].startswith("epoch 1, 3.") and " nats, " in steps[0][0] and "best" not in steps[0][0]
        assert steps[-1][0].startswith("epoch 2, ") and " bits/char, best " in steps[-1][0]

    def test_it_goes_on_where_it_was(self, tmp_path):
        interrupted(tmp_path / "m")
        _, steps = self.calls(lambda progress: lmkit.resume(tmp_path / "m", PAIR, progress=progress))
        assert len(steps) == 35 and steps[0][1] > 25 * 70 and "best" in steps[0][0]

    def test_a_time_limit_counts_seconds(self):
        run = {"steps": None, "time_limit": "0.2s"}
        _, steps = self.calls(lambda progress: trained(None, progress=progress, **run))
        assert {call[2:] for call in steps} == {(1, "s")} and all(" tokens/s" in call[0] for call in steps)


class TestOptions:
    @pytest.mark.parametrize(
        ("arch", "options", "message"),
        [
            ("lstm", {"order": 3}, r"order is no option of lstm; it has preset, layers, hidden"),
            ("lstm", {"smoothing": "mle"}, r"smoothing is no option of lstm"),
            ("ngram", {"hidden": 8}, r"hidden is no option of ngram; it has order, smoothing"),
            ("ngram", {"valid": 0.1}, r"--valid goes with recurrent models and --smoothing jelinek-mercer"),
            ("gru", {"hiden": 8}, r"hiden is no option of gru"),
            ("lstm", {"valid": 1.5}, r"--valid is 1\.5; it must be a share of the text, 0 to below 1, or a file"),
            ("lstm", {"clusters": 5}, r"--clusters is 5; it takes whole numbers"),
            ("lstm", {"clusters": ("a",)}, r"--clusters is \('a',\); it takes whole numbers"),
            ("lstm", {"locked_dropout": "yes"}, r"--locked-dropout is 'yes'; it must be true or false"),
            ("rnn", {}, r"--arch is 'rnn'; choose one of ngram, elman, gru, lstm"),
        ],
    )
    def test_wrong_ones_are_named(self, arch, options, message):
        with pytest.raises(OptionError, match=message):
            lmkit.train(PAIR, arch, **options)

    def test_a_place_is_checked_before_the_work(self, tmp_path):
        for output in ("/nonexist/m", tmp_path, os.devnull):
            with pytest.raises(OptionError):
                trained(output, "nowhere.txt")
        (tmp_path / "m.checkpoint").write_text("of someone else")
        with pytest.raises(OptionError, match=r"m\.checkpoint is there"):
            trained(tmp_path / "m", "nowhere.txt")
        assert (tmp_path / "m.checkpoint").read_text() == "of someone else"

    def test_a_callback_that_fails_is_heard(self):
        with pytest.raises(Crash):
            trained(None, progress=after_steps(3, crash))


def test_samples_begin_as_well_as_they_go_on():
    """Names a line: the first letters of samples, which all begin anew, against a state that training never met."""
    rng = np.random.default_rng(5)
    first, rest = ("Ba", "Ke", "Lo", "Mi", "Sa", "Tu"), ("dor", "lin", "mek", "ran", "sa", "tha")
    names = "".join(f"{rng.choice(first)}{rng.choice(rest)}{rng.choice(rest)}\n" for _ in range(300))
    options = {"tokenizer": "char", "sentence": "line", "layers": 1, "hidden": 32, "steps": 120, "dropout": 0.0}
    model = lmkit.train(("names", names.encode()), arch="gru", learning_rate=0.02, **options)

    def well_formed():
        return np.mean([bool(re.fullmatch("[A-Z][a-z]+\n", t)) for t in model.sample(sentences=1, count=200, seed=3)])

    small = [t.probability for t in model.next(top=None) if t.token.islower()]
    assert well_formed() > 0.95 and max(small) < 0.01
    model.language_model.resting = None
    assert well_formed() < 0.9
