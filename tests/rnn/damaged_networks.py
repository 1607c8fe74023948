"""Ask damaged recurrent models everything, as a process of its own: see `tests/ngram/damaged_models.py`.

    python tests/rnn/damaged_networks.py ROUNDS [SEED]

With NUMBA_BOUNDSCHECK=1 (and a NUMBA_CACHE_DIR of its own) every index of every kernel is checked, too, but for those
of the tiles written in LLVM's vectors.
"""

from __future__ import annotations

import contextlib
import faulthandler
import pathlib
import sys
import tempfile

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

from test_contract import recurrent  # noqa: E402

import lmkit  # noqa: E402
from lmkit import storage  # noqa: E402
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


def spoil_vocabulary(tensors, rng):
    """Turn bits of the tokens."""
    flat = tensors[rng.choice(["vocabulary.bytes", "vocabulary.offsets"])].reshape(-1)
    flat.view(np.uint8)[rng.integers(0, flat.nbytes, 3)] ^= np.uint8(1 << rng.integers(8))


def ask(path, rng):
    """Open the file and do all that can be done with a model; only errors on purpose may come."""
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            model = Model(lmkit.registry.load(storage.open_model_file(path, verify_small=False)))
        except ModelError as error:
            message = str(error)
            assert message.startswith(str(path)) and "\n" not in message and len(message) < 400, message
            return "refused"
    size, network = model.vocabulary_size, model.language_model
    state = model.begin(14)
    ids = rng.integers(0, size, (14, 20)).astype(np.int32)
    ids[ids == 1] = 2
    for threads in (1, 2):
        network.threads = threads
        log_p, after = model.score(state, ids)
        assert log_p.shape == ids.shape and not np.isnan(log_p).any() and np.isfinite(after).all()
    rows = model.log_probs(after)
    assert not np.isnan(rows).any()
    np.testing.assert_allclose(np.exp(rows.astype(float)).sum(1), 1, atol=1e-4)
    for banned in ([], [0], [0, 2, 3, 4], list(range(4, size)), [size - 1], list(range(size))):
        dice = Uniforms.from_generator(rng, len(state))
        try:
            drawn, after = model.draw(state, 8, dice, np.array(banned, np.int32))
        except LmkitError:
            assert len(banned) == size
            continue
        assert drawn.min() >= 0 and drawn.max() < size and not np.isin(drawn, [1, *banned]).any()
        model.text.decode(drawn.ravel())
    for call in (
        lambda: model.next("a b", top=3),
        lambda: model.nearest("a", top=3),
        lambda: model.perplexity([("text", b"a b\ne\n")]),
        lambda: model.sample(n=20, seed=1, prompt="a"),
        lambda: model.sample(n=5, seed=1, temperature=0.5, top_k=3),
        lambda: model.sample(n=5, seed=1, temperature=1e35),
    ):
        with contextlib.suppress(LmkitError):
            call()
    return "answered"


def main(rounds, seed):
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.lmkit")
        for name, make in MODELS.items():
            model = make()
            for number in range(rounds):
                tensors = {key: np.array(t) for key, t in model.tensors().items()}
                metadata = {"config": model.config(), **model.text.metadata()}
                what = ("whole", "settings", "shapes", "numbers", "numbers", "vocabulary")[number and 1 + number % 5]
                if what == "settings":
                    spoil_settings(metadata["config"], rng)
                elif what != "whole":
                    {"shapes": spoil_shapes, "numbers": spoil_numbers, "vocabulary": spoil_vocabulary}[what](
                        tensors, rng
                    )
                print(name, what, number, file=sys.stderr, flush=True)  # the last line says what a crash came from
                storage.save(path, "rnn", metadata, tensors)
                answer = ask(path, rng)
                assert answer == "answered" or what != "whole"
                answers[answer] += 1
    print(f"{answers['answered']} answered, {answers['refused']} refused")


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(sys.argv[3]) if len(sys.argv) > 3 else 100, exit=True)
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
