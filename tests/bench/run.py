"""What `make bench` prints: the speed, memory and waiting times of lmkit, beside those of KenLM in `$KENLM_BIN`.

    make bench TEXT=corpus.txt          # one sentence a line, tokens between blanks; 100 MB make the figures stable
    KENLM_BIN=/opt/kenlm/bin make bench TEXT=corpus.txt

Runs alternate between the programs, and medians and ratios are printed: machines drift. Without TEXT, the State of the
Union addresses of `make corpora` serve.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LMKIT = [sys.executable, "-m", "lmkit"]
TAIL = 10_000_000  # bytes of the text that are scored
PARTS = ["training", "threads", "bounded", "scoring", "pipes", "drawing", "waiting"]


def run(command: list[str], stdin: Path | None = None, stdout: Path | None = None) -> tuple[float, float]:
    """Run a program and return its wall seconds and its peak memory in MiB."""
    with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
        _, errors = process.stderr.read(), process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {errors}")
    return wall, usage.ru_maxrss / 1024


def alternate(runs: int, **jobs) -> dict[str, list]:
    """Run the jobs in turn, A B A B ..., and return each one's results."""
    results: dict[str, list] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            results[name].append(job())
    return results


def report(what: str, values: list[float], unit: str, baseline: list[float] | None = None) -> None:
    """Print the median, the range and, pair by pair, the ratio to a baseline."""
    line = f"{what:58s} {statistics.median(values):9.3f} {unit:12s} [{min(values):.3f} - {max(values):.3f}]"
    if baseline:
        line += f"   x {statistics.median([a / b for a, b in zip(values, baseline, strict=True)]):.2f}"
    print(line, flush=True)


def lmkit_json(script: str, *arguments: str) -> dict:
    """Run a script that prints one JSON object, in a new process."""
    printed = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(printed.stdout)


SCORING = """
import json, sys, time, lmkit
lmkit.load(sys.argv[1])  # imports and page tables
started = time.perf_counter()
model = lmkit.load(sys.argv[1])
opening = time.perf_counter() - started
rates = []
for threads in (1, 2):
    model.language_model.threads = threads
    model.perplexity([sys.argv[2]])
    started = time.perf_counter()
    result = model.perplexity([sys.argv[2]])
    rates.append(result.tokens / (time.perf_counter() - started) / 1e6)
print(json.dumps({"opening": opening * 1e3, "one": rates[0], "two": rates[1], "tokens": result.tokens}))
"""


def training(text: Path, folder: Path, kenlm: Path | None, runs: int) -> None:
    """Text to finished, saved model; peak memory; size."""
    model, arpa = folder / "bench.lmkit", folder / "bench.arpa"
    train = [*LMKIT, "train", "-q", "--order", "5", "--tokenizer", "whitespace", str(text), "-o", str(model)]
    jobs = {"lmkit": lambda: run(train)}
    if kenlm:
        lmplz = [str(kenlm / "lmplz"), "-o", "5", "-S", "4G", "-T", str(folder)]
        jobs["lmplz"] = lambda: run(lmplz, text, arpa)
    run(train)
    found = alternate(runs, **jobs)
    walls = {name: [wall for wall, _ in values] for name, values in found.items()}
    for name, values in found.items():
        report(f"{name}: text to saved 5-gram", walls[name], "s", walls.get("lmplz") if name == "lmkit" else None)
        report(f"{name}: peak memory", [memory for _, memory in values], "MiB")
    facts = json.loads(
        subprocess.run([*LMKIT, "info", str(model), "--format", "json"], check=True, capture_output=True).stdout
    )
    size = model.stat().st_size
    ngrams = sum(facts["config"]["ngrams"][1:])
    print(f"{'model file':58s} {size / 1e6:9.1f} MB, {ngrams} n-grams, {size / ngrams:.1f} bytes an n-gram", flush=True)


def bounded(text: Path, folder: Path, kenlm: Path | None, runs: int) -> None:
    """The same training in 512 MB."""
    model, arpa = folder / "bounded.lmkit", folder / "bounded.arpa"
    train = [*LMKIT, "train", "-q", "--tokenizer", "whitespace", "--memory", "512M", "--temp", str(folder), str(text)]
    jobs = {"lmkit": lambda: run([*train, "-o", str(model)])}
    if kenlm:
        lmplz = [str(kenlm / "lmplz"), "-o", "5", "-S", "512M", "-T", str(folder)]
        jobs["lmplz"] = lambda: run(lmplz, text, arpa)
    jobs["lmkit"]()
    found = alternate(runs, **jobs)
    walls = {name: [wall for wall, _ in values] for name, values in found.items()}
    for name, values in found.items():
        report(f"{name}: in 512 MB", walls[name], "s", walls.get("lmplz") if name == "lmkit" else None)
        report(f"{name}: peak memory", [memory for _, memory in values], "MiB")


COUNTING = """
import json, sys, time
from lmkit import arguments
from lmkit.ngram.model import train
from lmkit.ngram.options import NGramOptions
from lmkit.text import TextSettings
ids, text, counts, _ = arguments.read_texts(sys.argv[1], TextSettings(tokenizer="whitespace"))
seconds = {1: [], 2: []}
for _ in range(int(sys.argv[2]) + 1):
    for threads, found in seconds.items():
        started = time.perf_counter()
        train(ids, counts, text, NGramOptions(threads=threads))
        found.append(time.perf_counter() - started)
print(json.dumps([found[1:] for found in seconds.values()]))
"""


def threads(text: Path, runs: int) -> None:
    """Counting and estimation, from ids to a model in memory, with one thread and with two."""
    one, two = lmkit_json(COUNTING, str(text), str(runs))
    report("lmkit: ids to model, one thread", one, "s")
    report("lmkit: ids to model, two threads", two, "s", one)


def pipes(text: Path, folder: Path, runs: int) -> None:
    """The filters, from pipe to pipe, start-up included."""
    model, tail = folder / "bench.lmkit", folder / "tail.txt"
    run([*LMKIT, "score", "-m", str(model)], tail)
    tokens = lmkit_json(SCORING, str(model), str(tail))["tokens"]
    for command in ("score", "score --by token", "filter --max-perplexity 100", "tokenize", "tokenize --ids"):
        seconds = [run([*LMKIT, *command.split(), "-m", str(model)], tail)[0] for _ in range(runs)]
        report(f"lmkit {command}", [tokens / s / 1e6 for s in seconds], "M tokens/s")


def scoring(text: Path, folder: Path, kenlm: Path | None, runs: int) -> None:
    """Score the end of the text: text included, model open."""
    model, tail, binary = folder / "bench.lmkit", folder / "tail.txt", folder / "bench.probing"
    with open(text, "rb") as source:
        source.seek(max(0, text.stat().st_size - TAIL))
        data = source.read()
    tail.write_bytes(data[data.index(b"\n") + 1 :])
    jobs = {"lmkit": lambda: lmkit_json(SCORING, str(model), str(tail))}
    if kenlm:
        run([str(kenlm / "build_binary"), "probing", str(folder / "bench.arpa"), str(binary)])
        empty = folder / "empty.txt"
        empty.write_bytes(b"\n")
        query = [str(kenlm / "query"), "-v", "summary", str(binary)]
        # What opening costs is taken off: the same on one empty line.
        jobs["query"] = lambda: run(query, tail)[0] - run(query, empty)[0]
    found = alternate(runs, **jobs)
    tokens = found["lmkit"][0]["tokens"]
    baseline = [tokens / seconds / 1e6 for seconds in found["query"]] if kenlm else None
    report("lmkit: opening the model", [f["opening"] for f in found["lmkit"]], "ms")
    report("lmkit: scoring, one thread", [f["one"] for f in found["lmkit"]], "M tokens/s", baseline)
    report("lmkit: scoring, two threads", [f["two"] for f in found["lmkit"]], "M tokens/s", baseline)
    if baseline:
        report("KenLM query probing", baseline, "M tokens/s")


def drawing(folder: Path, runs: int) -> None:
    """Draw 64 samples of 125,000 tokens as a command, start-up taken off."""
    sample = [*LMKIT, "sample", "-m", str(folder / "bench.lmkit"), "--count", "64", "--seed", "1", "-n"]
    seconds = [run([*sample, "125000"])[0] - run([*sample, "1"])[0] for _ in range(runs)]
    report("lmkit sample --count 64 -n 125000", [8 / s for s in seconds], "M tokens/s")


def waiting(folder: Path, runs: int) -> None:
    """What a person at the keyboard waits for."""
    report("lmkit --help", [run([*LMKIT, "--help"])[0] for _ in range(runs)], "s")
    small, text = folder / "small.lmkit", ROOT / "corpora" / "build" / "shakespeare.train.txt"
    if not text.exists():
        text = ROOT / "corpora" / "the-tide-mill.txt"
    run([*LMKIT, "train", "-q", str(text), "-o", str(small)])
    sample = [*LMKIT, "sample", "-m", str(small), "-n", "200"]
    report(f"lmkit sample -n 200 ({text.stem})", [run(sample)[0] for _ in range(runs)], "s")
    commands = [
        [*LMKIT, "train", "-q", str(ROOT / "corpora" / "the-tide-mill.txt"), "-o", str(small)],
        [*LMKIT, "perplexity", "-m", str(small), str(ROOT / "corpora" / "the-tide-mill.txt")],
        [*LMKIT, "sample", "-m", str(small), "-n", "200"],
    ]
    total = {"cold": 0.0, "warm": 0.0}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        for state in total:
            for command in commands:
                total[state] += run(command)[0]
        del os.environ["NUMBA_CACHE_DIR"]
    report("first train, perplexity and sample, more than later ones", [total["cold"] - total["warm"]], "s")


def main() -> None:
    """Run all, or the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=ROOT / "corpora" / "build" / "sotu.txt")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    options = parser.parse_args()
    if not options.text.exists():
        raise SystemExit(f"{options.text} is missing: run `make corpora`, or name a text with --text")
    kenlm = Path(os.environ["KENLM_BIN"]) if os.environ.get("KENLM_BIN") else None
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.environ["PYTHONPATH"] = str(ROOT)
    parts = options.parts or PARTS
    print(f"# {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.text.name}, "
          f"{options.text.stat().st_size / 1e6:.1f} MB, of {options.runs} [min - max]; x: to KenLM")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=os.environ.get("LMKIT_BENCH_FOLDER")) as name:
        folder = Path(name)
        if {"training", "scoring", "pipes", "drawing"} & set(parts):
            training(options.text, folder, kenlm, options.runs)
        if "threads" in parts:
            threads(options.text, options.runs)
        if "bounded" in parts:
            bounded(options.text, folder, kenlm, options.runs)
        if "scoring" in parts or "pipes" in parts:
            scoring(options.text, folder, kenlm, options.runs)
        if "pipes" in parts:
            pipes(options.text, folder, options.runs)
        if "drawing" in parts:
            drawing(folder, options.runs)
        if "waiting" in parts:
            waiting(folder, options.runs)
    print(f"# peak memory of a child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
