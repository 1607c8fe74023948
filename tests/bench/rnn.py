"""What `make bench` prints of recurrent models: their speed beside that of PyTorch, and beside what the machine can do.

    python tests/bench/rnn.py                                  # rate, training, sampling, neighbour, start
    python tests/bench/rnn.py training --cases "lstm 1x256" --runs 5
    python tests/bench/rnn.py curve --text tinyshakespeare.txt --minutes 1,2,5,10
    python tests/bench/rnn.py quality --text tinyshakespeare.txt --time-limit 10m --folder /tmp/quality

Each measurement is a process of its own, so that no thread pool disturbs another; processes alternate, and medians,
[min - max] and, pair by pair, ratios are printed: machines drift. `rnn_cases.py` has the networks, `rnn_lmkit.py`
and `rnn_torch.py` the two sides, `quality.py` the tables of losses.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import itertools
import json
import os
import platform
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import quality
from rnn_cases import CASES, SAMPLED, TOGETHER, flops
from run import LMKIT, ROOT, alternate, run

HERE = Path(__file__).resolve().parent
THREADS = (2, 1)
NAMES = {"lmkit": "lmkit", "torch": "PyTorch"}
FORMS = {
    "loop": "tensors, step by step",
    "script": "the same in TorchScript",
    "module": "nn module, as people write it",
}
STREAMS = 64


def worker(side: str, function: str, **arguments) -> dict:
    """Call a function of one side in a new process."""
    command = [sys.executable, str(HERE / f"rnn_{side}.py"), function, json.dumps(arguments)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout)


def job(*arguments, **named) -> functools.partial:
    """Return a call of `worker` for later."""
    return functools.partial(worker, *arguments, **named)


def rates(found: dict[str, list[dict]], *keys: str) -> list[float]:
    """Return for each run the best rate of these jobs."""
    return [max(results) for results in zip(*([f["rate"] for f in found[key]] for key in keys), strict=True)]


def ratios(values: list[float], others: list[float]) -> list[float]:
    """Return the ratios, pair by pair."""
    return [a / b for a, b in zip(values, others, strict=True)]


def kilo(values: list[float]) -> list[float]:
    """Return thousands."""
    return [value / 1e3 for value in values]


def show(what: str, values: list[float], unit: str, baseline: list[float] | None = None, note: str = "") -> None:
    """Print the median, the range, and the ratio to a baseline."""
    line = f"  {what:44s} {statistics.median(values):9.2f} {unit:11s} [{min(values):.2f} - {max(values):.2f}]"
    if baseline:
        line += f"  x {statistics.median(ratios(values, baseline)):.2f}"
    print(line + note, flush=True)


def rate(options: argparse.Namespace) -> None:
    """What the machine can do, and what a token of each network costs."""
    print("\nrate: our product on data in the first-level cache, float32")
    jobs = {f"rate {threads}": job("lmkit", "rate", threads=threads, seconds=options.seconds) for threads in THREADS}
    for key, found in alternate(options.runs, **jobs).items():
        show(f"{key.removeprefix('rate ')} thread(s)", [f["rate"] for f in found], "GFLOP/s")
    print("  a token, forward and backward = 6 FLOP x the weights it touches; one-hot inputs and embeddings are rows")
    for name in options.cases:
        print(f"  {name:44s} {cost(name) / 1e6:9.3f} MFLOP/token")


@functools.cache
def cost(name: str) -> float:
    """Return the FLOPs of a token."""
    counts = np.bincount(CASES[name].ids(), minlength=CASES[name].vocabulary)
    return flops(CASES[name].shape(counts), counts)


def training(options: argparse.Namespace) -> None:
    """Full steps with Adam and clipping; x: to PyTorch's better number of threads in the same round."""
    print("\ntraining: x: to the better PyTorch of the same round; then GFLOP/s, and their share of the machine's rate")
    for together in TOGETHER:
        names = [name for name in together if name in options.cases]
        jobs = {f"rate {threads}": job("lmkit", "rate", threads=threads, seconds=1) for threads in THREADS}
        for name, side, threads in itertools.product(names, NAMES, THREADS):
            settings = {"case": name, "threads": threads, "seconds": options.seconds}
            jobs[f"{name} {side} {threads}"] = job(side, "train", **settings)
        found = alternate(options.runs if names else 0, **jobs)
        for name in names:
            show_training(name, found)
        if len(names) == 2:
            full, adaptive = (rates(found, *(f"{name} lmkit {t}" for t in THREADS)) for name in names)
            show("lmkit: adaptive over full", ratios(adaptive, full), "times")


def show_training(name: str, found: dict[str, list[dict]]) -> None:
    """Print the four lines of a network."""
    case, best = CASES[name], rates(found, *(f"{name} torch {threads}" for threads in THREADS))
    work = f"{cost(name) / 1e6:.3f} MFLOP/token"
    print(f"  {name}: batch {case.batch}, window {case.bptt}, V = {case.vocabulary}, {work}")
    for side, threads in itertools.product(NAMES, THREADS):
        values = rates(found, f"{name} {side} {threads}")
        reached = [value * cost(name) / 1e9 for value in values]
        share = statistics.median(ratios(reached, rates(found, f"rate {threads}")))
        note = f"  {statistics.median(reached):7.1f} GFLOP/s  {share:.2f}"
        show(f"{NAMES[side]}, {threads} thread(s)", kilo(values), "k tokens/s", kilo(best), note)


def sampling(options: argparse.Namespace) -> None:
    """Characters drawn from random networks, one stream and many."""
    print(f"\nsampling: one stream and {STREAMS}; x: to the better of PyTorch's two careful forms in the same round")
    for name in (name for name in SAMPLED if name in options.cases):
        alone = sample(name, 1, options)
        many = sample(name, STREAMS, options)
        show(f"lmkit: {STREAMS} streams over one", ratios(many, alone), "times")


def sample(name: str, streams: int, options: argparse.Namespace) -> list[float]:
    """Print the rates of a network's samplers; return lmkit's."""
    settings = {"case": name, "streams": streams, "seconds": options.seconds / 2}
    jobs = {f"lmkit {threads}": job("lmkit", "sample", threads=threads, **settings) for threads in THREADS}
    for form, threads in itertools.product(FORMS, THREADS):
        jobs[f"{form} {threads}"] = job("torch", "sample", form=form, threads=threads, **settings)
    found = alternate(options.runs, **jobs)
    best = rates(found, *(f"{form} {threads}" for form in ("loop", "script") for threads in THREADS))
    ours = rates(found, *(f"lmkit {threads}" for threads in THREADS))
    lines = {"lmkit: model.draw": ours}
    for form, words in FORMS.items():
        lines[f"PyTorch: {words}"] = rates(found, *(f"{form} {threads}" for threads in THREADS))
    print(f"  {name}, {streams} stream(s); each with the better of 1 and 2 threads")
    for what, values in lines.items():
        show(what, kilo(values), "k tokens/s", kilo(best))
    return ours


def neighbour(options: argparse.Namespace) -> None:
    """Training while another program uses one core fully."""
    name = "lstm 1x256"
    print(f"\nneighbour: {name} beside a program that keeps one core busy; x: of the speed alone")
    jobs = {}
    for side, threads in itertools.product(NAMES, THREADS):
        alone = job(side, "train", case=name, threads=threads, seconds=options.seconds)
        jobs[f"{side} {threads}"] = alone
        jobs[f"{side} {threads} busy"] = functools.partial(beside, alone)
    found = alternate(options.runs, **jobs)
    for side, threads in itertools.product(NAMES, THREADS):
        key, what = f"{side} {threads}", f"{NAMES[side]}, {threads} thread(s)"
        alone, busy = (kilo(rates(found, k)) for k in (key, f"{key} busy"))
        show(f"{what}, alone", alone, "k tokens/s", note=longest(found[key]))
        show(f"{what}, beside it", busy, "k tokens/s", alone, longest(found[f"{key} busy"]))


def longest(found: list[dict]) -> str:
    """Say how long the longest steps of the runs were."""
    values = [f["longest"] for f in found]
    return f"  longest step {statistics.median(values):.1f} ms [{min(values):.1f} - {max(values):.1f}]"


def beside(measure: functools.partial) -> dict:
    """Measure while another process computes."""
    with busy_core():
        return measure()


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def start(options: argparse.Namespace) -> None:
    """From the command to the first loss on a terminal, with kernels to compile and with cached ones."""
    print("\nstart: from the command `lmkit train --arch lstm --tokenizer char` to the first loss on the terminal")
    found: dict[str, list[float]] = {"nothing compiled yet (new NUMBA_CACHE_DIR)": [], "compiled before": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            for values in found.values():
                values.append(first_progress(Path(folder)))
    for what, values in found.items():
        show(what, values, "s")


def first_progress(folder: Path) -> float:
    """Return the seconds from the start of a training to its first loss, then end it."""
    text, model = ROOT / "corpora" / "the-tide-mill.txt", folder / "model.lmkit"
    command = [*LMKIT, "train", "--arch", "lstm", "--tokenizer", "char", "--epochs", "1", str(text), "-o", str(model)]
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))  # without a width no bar is drawn
    started, seen = time.perf_counter(), b""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=end,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
    )  # fmt: skip
    os.close(end)
    try:
        while b" nats," not in seen:
            seen += os.read(terminal, 65536)
    except OSError:  # the other end is closed
        raise SystemExit(f"{' '.join(command)} showed no loss: {seen.decode()}") from None
    finally:
        elapsed = time.perf_counter() - started
        process.kill()
        process.wait()
        os.close(terminal)
        Path(f"{model}.checkpoint").unlink(missing_ok=True)
    return elapsed


def curve(options: argparse.Namespace) -> None:
    """Validation loss after so many minutes: for each limit a training of its own, whose schedule follows it."""
    print(f"\ncurve: {options.text.name}, LSTM, preset {options.preset}: best validation loss, nats a character")
    print("  (time of training and validation; lmkit's compilation is left out, and PyTorch's start)")
    if not options.text.exists():
        print(f"  {options.text} is missing; name tinyshakespeare with --text")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        texts = quality.tiny(folder, options.text)
        for minutes, seed in itertools.product(options.minutes, range(1, options.seeds + 1)):
            seconds, model = minutes * 60, folder / f"curve.{options.preset}.{minutes:g}m.seed{seed}.lmkit"
            ours = curve_lmkit(texts, model, seconds, seed, options)
            theirs = worker(
                "torch", "curve", train=str(texts.train), valid=str(texts.valid), arch="lstm", preset=options.preset,
                seconds=seconds, threads=max(THREADS), seed=seed,
            )  # fmt: skip
            print(
                f"  {minutes:g} min, seed {seed}: lmkit {ours['loss']:.4f} ({ours['steps']} steps, process "
                f"{ours['wall']:.1f} s), PyTorch {theirs['loss']:.4f} ({theirs['steps']} steps)", flush=True,
            )  # fmt: skip


def curve_lmkit(texts: quality.Texts, model: Path, seconds: float, seed: int, options: argparse.Namespace) -> dict:
    """Train with the command; its record has the loss, read in parallel streams from zero states."""
    more = ["--arch", "lstm", "--preset", options.preset, "--seed", str(seed), "--threads", str(max(THREADS))]
    limits = ["--valid", str(texts.valid), "--time-limit", f"{seconds:g}s"]
    _, wall = quality.lmkit_train(texts, model, *more, *limits)
    command = [*LMKIT, "info", str(model), "--format", "json"]
    record = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["training"]
    total = record["best_loss"] * record["held_out"]["tokens"]
    return {"loss": total / len(quality.read(texts.valid)), "steps": record["steps"], "wall": wall}


PARTS = {
    "rate": rate,
    "training": training,
    "sampling": sampling,
    "neighbour": neighbour,
    "start": start,
    "curve": curve,
    "quality": quality.measure,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS)[:5], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=3, help="rounds of what is measured in turn")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement, half for sampling")
    parser.add_argument("--cases", default=",".join(CASES), help="networks, with commas (default: %(default)s)")
    parser.add_argument("--minutes", default="1,2,5,10", help="of the curve (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings for each point of the curve")
    parser.add_argument("--preset", default="small", help="of the curve")
    quality.add_arguments(parser)
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    options.minutes = [float(minutes) for minutes in options.minutes.split(",")]
    for name, known in ((options.parts, PARTS), (options.cases, CASES)):
        for unknown in set(name) - set(known):
            parser.error(f"{unknown!r} is none of {', '.join(known)}")
    return options


def processor() -> str:
    """Return the name of the processor, as far as the system says."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Run the parts that are named."""
    options = arguments()
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ["PYTHONPATH"] = str(ROOT)
    run([*LMKIT, "--version"])
    print(f"# {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, of {options.runs} [min - max]")
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
