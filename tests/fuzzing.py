"""What the drivers share that ask damaged files everything: each is a process of its own, so that a crash, a hang or a
stray error does not take pytest along.

    python tests/.../damaged_SOMETHING.py ROUNDS [SEED]

The last line on stderr says which file a crash came from. With NUMBA_BOUNDSCHECK=1 (and a NUMBA_CACHE_DIR of its own)
every index of every kernel is checked, too; `make fuzz` does that.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import warnings

import numpy as np

from lmkit import cli, storage
from lmkit.errors import LmkitError, LmkitWarning

CPU_SECONDS = 120  # that one file may take: kernels may have to be compiled
MEMORY = 4 << 30  # bytes
ODD = [
    None, True, -1, 0, 1, 3, 33, 60, 2**31, 10**400, 1.5, 1e308, float("nan"), float("inf"), "", "mle", "add-k", "arpa",
    "x" * 500, [], {}, [1, 3], [float("nan")], {"a": [float("inf")]},
]  # fmt: skip
SAID = ("Error: ", "Warning: ", "Interrupted")  # how each line on stderr begins


def begin() -> None:
    """Make a hang and a memory bomb end the process, and let all that is said go wrong loudly."""
    faulthandler.enable()
    faulthandler.register(signal.SIGXCPU, chain=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", LmkitWarning)
    os.fsync = lambda file: None  # files of a test need not survive a power failure
    for name in [name for name in os.environ if name.startswith("LMKIT_")]:
        del os.environ[name]


def next_file(what: object) -> None:
    """Say what the next file is, and give it its time: seconds of the processor, however busy the machine is."""
    print(what, file=sys.stderr, flush=True)
    limit = int(time.process_time()) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def run(*arguments: object, stdin: bytes = b"") -> int:
    """Run a command in this process; return its exit code.

    It must end with 0, 1 or 2, say nothing but lines of its own, and write what JSON allows where it writes JSON.
    """
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    usual = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(stdin)), out, err
    try:
        code = cli.run([str(argument) for argument in arguments])
    except Exception:
        print(*arguments, file=usual[2], flush=True)
        raise
    finally:
        sys.stdin, sys.stdout, sys.stderr = usual
    said = err.getvalue().splitlines()
    assert code in (0, 1, 2), (arguments, code, said)
    assert all(line.startswith(SAID) and len(line) < 1000 for line in said) and (code == 0 or said), (arguments, said)
    if "json" in arguments:
        for line in out.buffer.getvalue().splitlines():
            json.loads(line, parse_constant=_no_json)
    return code


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@contextlib.contextmanager
def size_of_files(large: bool):
    """Let all files in a `with` block count as large ones, whose numbers are not checked when they are opened."""
    usual = storage.VERIFY_BELOW
    storage.VERIFY_BELOW = 0 if large else usual
    try:
        yield
    finally:
        storage.VERIFY_BELOW = usual


def ask(questions, rng, some: int | None = None) -> None:
    """Ask some of the questions, or all: callables without arguments, of which each may answer or refuse."""
    chosen = questions if some is None else [questions[i] for i in rng.choice(len(questions), some, replace=False)]
    for question in chosen:
        with contextlib.suppress(LmkitError):
            question()


def spoil_vocabulary(tensors, rng):
    """Turn bits of the tokens."""
    flat = tensors[rng.choice(["vocabulary.bytes", "vocabulary.offsets"])].reshape(-1)
    flat.view(np.uint8)[rng.integers(0, flat.nbytes, 3)] ^= np.uint8(1 << rng.integers(8))


def spoil_metadata(metadata, rng):
    """Give an entry another value, or none: what the model is, its text layer, or the record of its training."""
    place = metadata
    while True:
        key = rng.choice(sorted(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.8:
            place = place[key]
            continue
        if isinstance(place, dict) and rng.random() < 0.1:
            del place[key]
        else:
            place[key] = ODD[rng.integers(len(ODD))]
        return


def copied(value):
    """Return a deep copy of what JSON can hold."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


def prepared(folder, text):
    """Put what commands need besides the damaged model into a folder, and return it."""
    folder = pathlib.Path(folder)
    (folder / "t").write_text(text)
    return folder


def commands(folder, words, rng):
    """Return the commands that a model may be named in: m is the damaged one, o a whole one, t a text of its words."""
    m, o, t, made, page = (folder / name for name in ("m", "o", "t", "made", "page.html"))
    form = rng.choice(["json", "json", "tsv", "text"])
    listed = [
        ["sample", "-m", m, "--n", 20, "--seed", 1, "--format", "json"],
        ["sample", "-m", m, "--n", 9, "--seed", 1, "--temperature", 0.5, "--count", 2, "--format", form],
        ["perplexity", "-m", m, t, "--format", form],
        ["perplexity", "-m", m, t, "--format", form, "--reset", "sentence"],
        ["compare", m, o, "--text", t, "--resamples", 9, "--format", form],
        ["score", "-m", m, t, "--format", form, "--by", rng.choice(["line", "token"])],
        ["filter", "-m", m, t, "--keep", 0.5],
        ["explain", "-m", m, t],
        ["explain", "-m", m, t, "--against", o],
        ["explain", "-m", o, t, "--against", m, "--html", page],
        ["explain", "-m", m, t, "--html", page],
        ["explain", "-m", m, t, "--svg", page],
        ["next", "-q", "-m", m, words, "--top", 0, "--format", form],
        ["nearest", "-m", m, *words.split(), "--format", form],
        ["tokenize", "-m", m, t, "--ids"],
        ["convert", m, folder / "m.arpa"],
        ["prune", m, "-o", made, "--threshold", rng.choice(["0", "1e-7", "0.01"])],
        ["prune", m, "-o", made, "--ngrams", 20],
        ["prune", m, "-o", made, "--size", 4000, "--quantize", 4],
        ["prune", m, "-o", made, "--cutoffs", "0,1"],
        ["prune", m, "-o", made, "--quantize", 8],
        ["mix", m, o, "-o", made, "--tune", t],
        ["mix", m, o, "-o", made, "--rule", "log-linear", "--tune", t],
        ["mix", m, o, "-o", made, "--weights-by", "context", "--tune", t],
        ["mix", m, o, "-o", made, "--static", "--weights", "0.5,0.5"],
        ["mix", m, "-o", made, "--cache", "unigram", "--tune", t],
        ["mix", m, o, "-o", made, "--by-reference", "--weights", "0.5,0.5"],
        ["plot", m, "--format", form],
        ["info", m, "--format", form],
        ["info", m, "--verify"],
        ["train", t, "-o", made, "--tokenizer", "whitespace", "--order", 2, "--smoothing", "mle", "--vocab", m],
    ]  # fmt: skip
    if rng.random() < 0.1:  # it tries long until passages are like the text's
        listed.append(["quiz", "-m", m, t, "--rounds", 1, "--passages", 2, "--lines", 1, "--key", folder / "key"])
    return [lambda arguments=arguments: run(*arguments) for arguments in listed]


def answers_of(driver: str, rounds: int, seed: int) -> tuple[int, int]:
    """Run a driver as a process of its own; return how many files were answered and refused.

    Each file has its seconds of the processor, so the limit of the process is there only for what sleeps for ever.
    """
    command = [sys.executable, pathlib.Path(__file__).parent / driver, str(rounds), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    answered, refused = (int(word) for word in done.stdout.split() if word.isdigit())
    return answered, refused


def main(drive) -> None:
    """Call drive(rounds, seed) with what the command line says, and print how many files were answered and refused."""
    begin()
    answers = drive(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{answers['answered']} answered, {answers['refused']} refused")
