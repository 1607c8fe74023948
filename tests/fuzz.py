"""Ask many damaged files everything, on all cores, with every index of every kernel checked.

    python tests/fuzz.py [FILES] [SEED]

FILES is about how many there are of all kinds together, by default 100,000. The seed is by default drawn; it is
printed, so that what goes wrong can be run again. Each job is a driver (see `tests/fuzzing.py`) in a process of its
own.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import secrets
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).parent
DRIVERS = {  # each with its share of the files and the models that it damages in each of its rounds
    "ngram/damaged_models.py": (0.35, 13),
    "ngram/damaged_packed_models.py": (0.2, 4),
    "rnn/damaged_networks.py": (0.15, 5),
    "mixture/damaged_mixtures.py": (0.15, 12),
    "ngram/damaged_texts.py": (0.15, 1),
}
FILES_OF_A_JOB = 1500  # so that the cores are done at about the same time
CACHE = TESTS / "__pycache__" / "checked"  # of kernels with checked indices; `make clean` removes it


Job = tuple[str, int, int]  # driver, rounds, seed


def run(job: Job) -> tuple[Job, subprocess.CompletedProcess]:
    """Run a driver; return how it ended."""
    driver, rounds, seed = job
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(CACHE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["nice", sys.executable, TESTS / driver, str(rounds), str(seed)],
        env=environment, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    return job, done


def jobs(files: int, seed: int) -> list[Job]:
    """Share so many files out among the drivers."""
    known = {driver: of for driver, of in DRIVERS.items() if (TESTS / driver).exists()}
    total, found = sum(share for share, _ in known.values()), []
    for driver, (share, models) in known.items():
        wanted = files * share / total
        count = max(1, round(wanted / FILES_OF_A_JOB))
        found += [(driver, max(1, round(wanted / count / models)), seed + i) for i in range(count)]
    return sorted(found, key=lambda job: job[2])  # the first of each driver compile its kernels


def main(files: int, seed: int) -> int:
    print(f"seed {seed}", flush=True)
    started, failed, totals = time.monotonic(), 0, {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for job, done in pool.map(run, jobs(files, seed)):
            driver, rounds, own = job
            if done.returncode:
                failed += 1
                print(f"\nFAILED: python tests/{driver} {rounds} {own} (exit code {done.returncode})")
                print(done.stderr[-3000:], flush=True)
                continue
            found = [int(n) for n in re.findall("[0-9]+", done.stdout)]
            totals[driver] = [a + b for a, b in zip(totals.get(driver, [0, 0]), found, strict=True)]
            print(f"{driver}: {done.stdout.strip()}; {time.monotonic() - started:.0f} s", flush=True)
    for driver, (answered, refused) in totals.items():
        print(f"{driver:<32}{answered + refused:>8} files: {answered} answered, {refused} refused")
    minutes = (time.monotonic() - started) / 60
    print(f"{sum(map(sum, totals.values()))} files in {minutes:.1f} minutes, {failed} jobs failed")
    return 1 if failed else 0


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers else 100_000, numbers[1] if len(numbers) > 1 else secrets.randbelow(10**6)))
