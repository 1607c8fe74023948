"""Ask damaged recurrent models everything: see `tests/fuzzing.py`.

    python tests/rnn/damaged_networks.py ROUNDS [SEED]

The indices of the tiles written in LLVM's vectors are not checked.
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
from lmkit.errors import LmkitError, ModelError  # noqa: E402
from lmkit.uniforms import Uniforms  # noqa: E402

MODELS = {
    "elman": lambda: recurrent("elman"),
    "gru": lambda: recurrent("gru", 2, embedding=6),
    "tied": lambda: recurrent("lstm", embedding=10, tied=True),
    "clusters": lambda: recurrent("lstm", cutoffs=(5, 9)),
    "more clusters": lambda: recurrent("gru", 2, embedding=20, cutoffs=(5, 9, 12)),
}
SETTINGS = [
    0, 1, 2, 3, 5, 6, 10, 12, 20, -1, 2**31, 10**9, 2**63, 10**40, 1.5, True, False, None, "", "lstm", "elman", "gru",
    [], [5], [5, 9], [9, 5], [5, 5], [3], [13], [12], [1.5], ["5"], [[5]], [True], {}, {"5": 1}, [10**9],
    list(range(4, 13)),
]  # fmt: skip
RECORD = {
    "corpora": [{"name": "t", "sha256": "0" * 64, "bytes": 9}],
    "seconds": 3.5,
    "options": {"arch": "lstm"},
    "history": [{"step": 1, "tokens": 10, "train_loss": 2.5, "valid_loss": 2.6, "seconds": 1.0}],
}
QUESTIONS = 3  # that are asked of a file, and as many commands
NUMBERS = [0.0, 1.0, -1.0, 1e3, -1e3, 1e13, -1e13, 1e14, 1e30, -3.4e38, 1e-45, np.nan, np.inf, -np.inf]


def spoil_settings(config, rng):
    """Give one or two settings another value, or none."""
    for key in rng.choice(sorted(config), rng.integers(1, 3), replace=False):
        if rng.random() < 0.1:
            del config[key]
        else:
            config[key] = SETTINGS[rng.integers(len(SETTINGS))]


def spoil_shapes(tensors, rng):
    """Lose a tensor, exchange two, or change the shape or the type of one."""
    a, b = rng.choice(sorted(tensors), 2, replace=False)
    kind = rng.integers(6)
    if kind == 0:
        del tensors[a]
    elif kind == 1:
        tensors[a], tensors[b] = tensors[b], tensors[a]
    elif kind == 2:
        tensors[a] = tensors[a].T[None] if rng.random() < 0.5 else tensors[a].reshape(-1)
    elif kind == 3:
        tensors[a] = tensors[a].astype(rng.choice(["f8", "f2", "i4", "u1"]))
    elif kind == 4:
        tensors[a] = tensors[a][: rng.integers(len(tensors[a]) + 1)]
    else:
        tensors[a] = np.concatenate([tensors[a], tensors[a]])


def spoil_numbers(tensors, rng):
    """Change some numbers: a few, a column, everything, or bits."""
    weights = [name for name in sorted(tensors) if tensors[name].dtype == np.float32]
    for name in rng.choice(weights, rng.integers(1, 4)):
        flat, kind = tensors[name].reshape(-1), rng.integers(4)
        if kind == 0:
            where = rng.integers(0, flat.size, rng.integers(1, 5))
            flat[where] = rng.choice(NUMBERS, len(where))
        elif kind == 1:
            tensors[name][..., rng.integers(tensors[name].shape[-1])] = rng.choice(NUMBERS)
        elif kind == 2:
            flat[:] = rng.choice([1, -1], flat.size) * rng.choice(NUMBERS[:7])
        else:
            flat.view(np.uint8)[rng.integers(0, 4 * flat.size, 3)] ^= np.uint8(1 << rng.integers(8))


def ask(folder, rng, large=False, some=QUESTIONS):
    """Open the file and do some of what can be done with a model, or all; only errors on purpose may come."""
    with fuzzing.size_of_files(large):
        fuzzing.ask(fuzzing.commands(folder, "a b", rng), rng, some)
        try:
            model = Model(registry.load(storage.open_model_file(folder / "m")))
        except ModelError as error:
            message = str(error)
            assert message.startswith(str(folder / "m")) and "\n" not in message and len(message) < 400, message
            return "refused"
        fuzzing.ask(questions_of(model, rng), rng, some)
    return "answered"


def questions_of(model, rng):
    """Return what can be asked of an open model; answers make sense."""
    size, network = model.vocabulary_size, model.language_model
    state = model.begin(14)
    ids = rng.integers(0, size, (14, 20)).astype(np.int32)
    ids[ids == 1] = 2

    def scores():
        for threads in (1, 2):
            network.threads = threads
            log_p, after = model.score(state, ids)
            assert log_p.shape == ids.shape and not np.isnan(log_p).any() and np.isfinite(after).all()
        rows = model.log_probs(after)
        assert not np.isnan(rows).any()
        np.testing.assert_allclose(np.exp(rows.astype(float)).sum(1), 1, atol=1e-4)

    def draws():
        for banned in ([], [0], [0, 2, 3, 4], list(range(4, size)), [size - 1], list(range(size))):
            dice = Uniforms.from_generator(rng, len(state))
            try:
                drawn, _ = model.draw(state, 8, dice, np.array(banned, np.int32))
            except LmkitError:
                assert len(banned) == size
                continue
            assert drawn.min() >= 0 and drawn.max() < size and not np.isin(drawn, [1, *banned]).any()
            model.text.decode(drawn.ravel())

    return [
        scores, draws,
        lambda: model.sample(n=20, seed=1, prompt="a"),
        lambda: model.sample(n=5, seed=1, temperature=0.5, top_k=3),
        lambda: model.sample(n=5, seed=1, temperature=1e35),
        lambda: network.activations(state, ids),
        lambda: api.neurons(model, ("t", b"a b c\n" * 20), "best"),
    ]  # fmt: skip


def drive(rounds, seed):
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = fuzzing.prepared(name, "a b d\nc e never\n")
        Model(recurrent("elman")).save(folder / "o")
        for name, make in MODELS.items():
            model = make()
            for number in range(rounds):
                tensors = {key: np.array(t) for key, t in model.tensors().items()}
                metadata = {"config": model.config(), **model.text.metadata(), "training": RECORD}
                what = ("whole", "settings", "metadata", "shapes", "numbers", "numbers", "vocabulary")[
                    number and 1 + number % 6
                ]
                if what == "settings":
                    spoil_settings(metadata["config"], rng)
                elif what == "metadata":
                    metadata = fuzzing.copied(metadata)
                    fuzzing.spoil_metadata(metadata, rng)
                elif what != "whole":
                    {"shapes": spoil_shapes, "numbers": spoil_numbers, "vocabulary": fuzzing.spoil_vocabulary}[what](
                        tensors, rng
                    )
                fuzzing.next_file((name, what, number))
                storage.save(folder / "m", "rnn", metadata, tensors)
                answer = ask(folder, rng, large=rng.random() < 0.3, some=None if what == "whole" else QUESTIONS)
                assert answer == "answered" or what != "whole"
                answers[answer] += 1
    return answers


if __name__ == "__main__":
    fuzzing.main(drive)
