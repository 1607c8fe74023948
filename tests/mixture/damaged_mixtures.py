"""Ask damaged mixtures and models that adapt everything: see `tests/fuzzing.py`.

python tests/mixture/damaged_mixtures.py ROUNDS [SEED]
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

import fuzzing  # noqa: E402
from test_contract import recurrent  # noqa: E402

from lmkit import api, registry, storage  # noqa: E402
from lmkit.api import Model  # noqa: E402
from lmkit.errors import LmkitError  # noqa: E402
from lmkit.mixture.buckets import BucketedMixture, Buckets  # noqa: E402
from lmkit.mixture.cache import UnigramCache, UnigramParameters  # noqa: E402
from lmkit.mixture.dynamic import DynamicEvaluation, DynamicParameters, gradient_rms  # noqa: E402
from lmkit.mixture.linear import LinearMixture  # noqa: E402
from lmkit.mixture.neural import NeuralCache, NeuralParameters  # noqa: E402
from lmkit.mixture.product import LogLinearMixture  # noqa: E402
from lmkit.ngram.model import train  # noqa: E402
from lmkit.ngram.options import NGramOptions  # noqa: E402
from lmkit.uniforms import Uniforms  # noqa: E402

NETWORK = recurrent("lstm", embedding=6)
CLUSTERS = recurrent("gru", cutoffs=(5, 9))
TEXT = "a b d e\nc e never\nb a\n"
QUESTIONS = 2  # that are asked of a file, and as many commands
SOME = [0, 1, 2, 3, 12, 13, 2**31, 2**32 - 1, 0x7FC00000, 0x7FA00000, 0xFF800000, 0x7F800000, 0x7F7FFFFF, 0x447A0000]


def ngram(order, seed, **options):
    """Return an n-gram model of the words of the networks."""
    ids = np.random.default_rng(seed).integers(2, 13, 200).astype(np.int32)
    ids[-1] = 2
    options = NGramOptions(order=order, **{"smoothing": "witten-bell", **options})
    return train(ids, np.bincount(ids, minlength=13), NETWORK.text, options)


def rms():
    return gradient_rms(NETWORK, np.random.default_rng(1).integers(2, 13, 50).astype(np.int32), 10)


MODELS = {
    "linear": lambda: LinearMixture([ngram(3, 1), ngram(2, 2, interpolate=False)], [0.3, 0.7]),
    "linear with a network": lambda: LinearMixture([ngram(2, 1), NETWORK], [0.3, 0.7]),
    "linear of two networks": lambda: LinearMixture([CLUSTERS, NETWORK], [0.3, 0.7]),
    "log-linear": lambda: LogLinearMixture([ngram(3, 1), ngram(2, 2, smoothing="add-k")], [0.5, 1.0]),
    "log-linear with a network": lambda: LogLinearMixture([ngram(2, 1), CLUSTERS], [0.5, 1.0]),
    "bucketed": lambda: BucketedMixture(
        [ngram(3, 1), ngram(2, 2)], [[0.2, 0.8], [0.9, 0.1]], Buckets("followers", (2,))
    ),
    "unigram cache": lambda: UnigramCache(ngram(2, 1), UnigramParameters(0.1, 0.01)),
    "neural cache": lambda: NeuralCache(NETWORK, NeuralParameters(0.1, 0.3, 50)),
    "dynamic": lambda: DynamicEvaluation(NETWORK, DynamicParameters(0.1, 0.01, 5)),
    "dynamic by root mean squares": lambda: DynamicEvaluation(NETWORK, DynamicParameters(0.001, 0.01, 5), rms()),
    "nested": lambda: UnigramCache(
        LogLinearMixture([LinearMixture([ngram(2, 1), NETWORK], [0.5, 0.5]), ngram(2, 3)], [0.5, 0.6]),
        UnigramParameters(0.1, 0.01),
    ),
    "named": None,
}
WEIGHTS = [
    None, [], [0.5], [0.5, 0.5, 0.5], [float("nan")] * 2, [float("inf"), 0], [-1, 2], [1e-320, 1], [0, 0], [1, 0],
    [True, False], ["1", 0], [[1], [0]], [10**400, 0], [100, 100], [1e308, 1e308], {"0": 1}, "11",
]  # fmt: skip


def spoil_numbers(tensors, rng):
    """Change some numbers of a tensor: a few, bits, or all."""
    name = rng.choice(sorted(name for name in tensors if tensors[name].size))
    flat = tensors[name].reshape(-1).view(np.uint8)
    wide = flat[: len(flat) // 4 * 4].view(np.uint32)
    kind = rng.integers(4)
    if kind < 2 and len(wide):
        wide[rng.integers(0, len(wide), rng.integers(1, 9))] = rng.choice(np.array(SOME, np.uint32))
    elif kind == 2:
        flat[:] = rng.choice([0, 255, 127, 85])
    else:
        flat[rng.integers(0, len(flat), 9)] ^= rng.integers(0, 256, 9).astype(np.uint8)


def spoil_references(config, folder, rng):
    """Let the entries of members that are named say something else."""
    entries, kind = config["members"], rng.integers(6)
    if kind == 0:
        config["members"] = entries[:1] * 1000
        config["weights"] = [0.001] * 1000
    elif kind == 1:
        entries[0]["path"] = str(rng.choice(["m", "t", ".", "", "\0", "/dev/zero", "nothing", "../" * 300 + "etc"]))
    elif kind == 2:
        entries[0]["member"] = [[0], [-1], [1] * 20, "0", [True], [2**70]][rng.integers(6)]
    elif kind == 3:  # mixtures of mixtures
        digest = storage.open_model_file(folder / "many", verify_small=False).origin.sha256
        config["members"] = [{"family": "linear", "path": "many", "header_sha256": digest}] * int(rng.integers(1, 1001))
        config["weights"] = [1 / len(config["members"])] * len(config["members"])
    elif kind == 4:
        entries[0]["header_sha256"] = fuzzing.ODD[rng.integers(len(fuzzing.ODD))]
    else:
        config["members"] = [fuzzing.ODD[rng.integers(len(fuzzing.ODD))], *entries]


def questions_of(model, rng):
    """Return what can be asked of an open model; answers have the right shape and make sense."""
    size, n = model.vocabulary_size, 3
    ids = rng.integers(0, size, (n, 12)).astype(np.int32)
    ids[ids == 1] = 2

    def scores():
        log_p, after = model.score(model.begin(n), ids)
        assert log_p.shape == ids.shape and not np.isnan(log_p).any()
        rows = model.log_probs(after)
        assert rows.shape == (n, size) and not np.isnan(rows).any()
        assert not np.isnan(model.rows(after, ids[:, :3])[0]).any()
        model.advance(after, ids[:, 0])

    def draws():
        for banned in ([], [0], [0, 2, 3, 4], list(range(size))):
            dice = Uniforms.from_generator(rng, n)
            try:
                drawn, _ = model.draw(model.begin(n), 8, dice, np.array(banned, np.int32))
            except LmkitError:
                continue
            assert drawn.min() >= 0 and drawn.max() < size and not np.isin(drawn, [1, *banned]).any()

    return [
        scores, draws,
        lambda: model.sample(n=9, seed=1, prompt="a"),
        lambda: api.mix([model, model], weights=[0.5, 0.5]),
    ]  # fmt: skip


def ask(folder, rng, large, some=QUESTIONS):
    """Open the file and do some of what can be done with a model, or all; only errors on purpose may come."""
    with fuzzing.size_of_files(large):
        fuzzing.ask(fuzzing.commands(folder, "a b", rng), rng, some)
        try:
            model = Model(registry.load(storage.open_model_file(folder / "m")))
        except LmkitError:
            return "refused"
        fuzzing.ask(questions_of(model, rng), rng, some)
    return "answered"


def whole_files(folder):
    """Write the models that others name, and yield the name, the family, the metadata and the tensors of each."""
    Model(ngram(2, 5)).save(folder / "o")
    Model(ngram(3, 6)).save(folder / "p")
    api.mix([folder / "p"] * 40, weights=[1 / 40] * 40, output=folder / "many", by_reference=True)
    for name, make in MODELS.items():
        if make is None:
            api.mix([folder / "o", folder / "p"], weights=[0.4, 0.6], output=folder / "m", by_reference=True)
        else:
            Model(make()).save(folder / "m")
        file = storage.open_model_file(folder / "m")
        yield name, file.family, file.metadata, file.tensors


def drive(rounds, seed):
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = fuzzing.prepared(name, TEXT)
        for name, family, known, arrays in whole_files(folder):
            fuzzing.next_file((name, "whole"))
            assert ask(folder, rng, large=False, some=None) == "answered"
            weighed = "exponents" if family == "log-linear" else "weights"
            for number in range(-len(WEIGHTS) if weighed in known["config"] else 0, rounds):
                tensors = {name: np.array(tensor) for name, tensor in arrays.items()}
                metadata = fuzzing.copied({key: known[key] for key in ("config", "text", "training")})
                what = rng.choice(["metadata", "numbers", "numbers", "numbers", "vocabulary"])
                if number < 0:
                    what = f"{weighed} {WEIGHTS[number]}"
                    metadata["config"][weighed] = WEIGHTS[number]
                elif name == "named" and rng.random() < 0.6:
                    what = "references"
                    spoil_references(metadata["config"], folder, rng)
                elif what == "metadata":
                    fuzzing.spoil_metadata(metadata, rng)
                elif what == "vocabulary":
                    fuzzing.spoil_vocabulary(tensors, rng)
                else:
                    spoil_numbers(tensors, rng)
                fuzzing.next_file((name, what, number))
                storage.save(folder / "m", family, metadata, tensors)
                answers[ask(folder, rng, large=rng.random() < 0.7)] += 1
    return answers


if __name__ == "__main__":
    fuzzing.main(drive)
