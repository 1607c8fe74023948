"""Ask damaged packed models everything, as `damaged_models.py` does plain ones: in a process of its own.

    python tests/ngram/damaged_packed_models.py ROUNDS [SEED [SECONDS]]

With NUMBA_BOUNDSCHECK=1 (and a NUMBA_CACHE_DIR of its own) every index of every kernel is checked, too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import pathlib
import sys
import tempfile
import warnings

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent.parent)]

from ngram.damaged_models import SOME, write_raw  # noqa: E402
from ngram.reference_ngram import a_text, model_of  # noqa: E402

import lmkit  # noqa: E402
from lmkit import api, storage  # noqa: E402
from lmkit.api import Model  # noqa: E402
from lmkit.errors import LmkitError  # noqa: E402
from lmkit.uniforms import Uniforms  # noqa: E402

SIZE = 300  # words: some have more children than a block
MODELS = [({"order": 1}, 8), ({"order": 2}, 3), ({"order": 4}, 6), ({"order": 5, "cutoffs": (0, 0, 10**6)}, 16)]
NAMES = ["ngram.words", "ngram.packed", "ngram.begins", "ngram.samples", "ngram.codebooks"]


def spoil(table, rng):
    """Change some numbers, or all."""
    flat = table.reshape(-1).view(np.uint8)
    wide = flat[: len(flat) // 4 * 4].view(np.uint32)
    kind = rng.integers(5)
    if kind == 0 and len(wide):
        wide[rng.integers(0, len(wide), rng.integers(1, 9))] = rng.choice(np.array(SOME, np.uint32))
    elif kind == 1:
        flat[:] = rng.choice([0, 255, 1, 85])
    elif kind == 2:
        flat[:] = rng.integers(0, 256, len(flat), dtype=np.uint8)
    elif kind == 3:
        flat[:] = np.roll(flat, rng.integers(1, 64))
    else:
        flat[rng.integers(0, len(flat), 20)] ^= rng.integers(0, 256, 20).astype(np.uint8)


def ask(path, rng):
    """Open the file without checksums and do all that can be done with a model; only errors on purpose may come."""
    try:
        model = Model(lmkit.registry.load(storage.open_model_file(path, verify_small=False)))
    except LmkitError:
        return "refused"
    size, width = model.vocabulary_size, model.begin().shape[1]
    state = np.concatenate([model.begin(2), rng.integers(0, 400, (10, width)), rng.choice(SOME, (10, width))])
    state = state.astype(np.uint32)
    n = len(state)
    assert model.log_probs(state).shape == (n, size)
    ids = rng.integers(-3, size + 3, (n, 40)).astype(np.int32)
    ids[0, :4] = [2**31 - 1, -(2**31), size, -1]
    sizes = model.language_model.context_sizes(state)
    assert sizes.shape == (n,) and sizes.min() >= 0
    assert model.advance(state, ids[:, 0]).shape == state.shape
    for threads in (1, 2):
        model.language_model.threads = threads
        log_p, after = model.score(state, ids)
        assert model.rows(state, ids[:, :9])[0].shape == (n, 9, size)
        assert log_p.shape == ids.shape and after.shape == state.shape
    model.score(state[:1], np.resize(ids, (1, 3000)))
    assert model.orders(ids[0]).max() <= model.language_model.order
    for banned in ([], [0], list(range(4, size)), list(range(size))):
        dice = Uniforms.from_generator(rng, n)
        with contextlib.suppress(LmkitError):
            drawn, _ = model.draw(state, 8, dice, np.array(banned, np.int32))
            assert drawn.min() >= 0 and drawn.max() < size and not np.isin(drawn, [1, *banned]).any()
    for call in (
        lambda: model.next("w3 w4", top=3),
        lambda: model.nearest("w3", top=3),
        lambda: model.perplexity([("text", b"w3 w4\nw7\n")]),
        lambda: model.sample(n=20, seed=1, prompt="w3"),
        lambda: list(api.arpa(model)),
        lambda: api.prune(model, ngrams=2 * SIZE, quantize=4),
    ):
        with contextlib.suppress(LmkitError):
            call()
    return "answered"


def main(rounds, seed):
    storage.VERIFY_BELOW = 0
    warnings.simplefilter("ignore", RuntimeWarning)  # numbers that are none may be told of, if nothing worse happens
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.lmkit")
        for options, bits in MODELS:
            api.prune(Model(model_of(a_text(SIZE, 4000, 41, ends=0.02), SIZE, **options)), quantize=bits, output=path)
            file = storage.open_model_file(path)
            data = path.read_bytes()
            whole = {name: np.array(tensor) for name, tensor in file.tensors.items() if tensor.size}
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            places = {name: 8 + length + header[name]["data_offsets"][0] for name in whole}
            assert ask(path, rng) == "answered"
            for number in range(rounds):
                tensors = {name: t.copy() for name, t in whole.items()}
                for name in rng.choice([name for name in NAMES if name in whole], rng.integers(1, 3)):
                    spoil(tensors[name], rng)
                write_raw(path, data, places, tensors)
                print(options, bits, f"round {number}", file=sys.stderr, flush=True)
                answers[ask(path, rng)] += 1
    print(f"{answers['answered']} answered, {answers['refused']} refused")


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(sys.argv[3]) if len(sys.argv) > 3 else 100, exit=True)
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
