"""Speed of the text layer on one core: `python tests/bench/bench_text.py [TEXT]...` prints MB/s, best of five.

Without a text it takes the complete works of Shakespeare or the project's own text, twenty times over. Compilation is
not counted; reading, checking and hashing are.
"""

import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
MEGABYTE = 1e6


def best(function, repeat=5):
    """Return the result and the seconds of the fastest call."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, min(times)


def bench(name, data):
    """Print a row for each tokenizer: learning, encoding and decoding one text."""
    import numpy as np

    from lmkit.text import Corpus, TextSettings, learn

    size = len(data) / MEGABYTE
    for tokenizer in ("whitespace", "byte", "word", "char"):
        settings = TextSettings(tokenizer, reserved="space")

        def corpus():
            return Corpus(name, errors="keep", data=data)

        (ids, layer, _, _), learning = best(lambda settings=settings: learn([corpus()], settings))
        _, encoding = best(lambda layer=layer: [len(e.ids) for e in layer.encode_corpus(corpus())])
        some = ids[: 8 << 20]
        _, decoding = best(lambda layer=layer, some=some: layer.decode(some))
        joiners = np.isin(ids, [i for i, t in enumerate(layer.vocabulary.tokens()) if not t.strip(" ")]).mean()
        print(
            f"{name}\t{tokenizer}\t{len(ids) / 1e6:.2f} M tokens\t{len(layer.vocabulary)} types\t"
            f"learn {size / learning:.0f} MB/s\tencode {size / encoding:.0f} MB/s\t"
            f"decode {len(some) / 1e6 / decoding:.0f} M tokens/s\tjoiners and blanks {100 * joiners:.2f} %"
        )


def main():
    """Bench each text named on the command line."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    paths = [pathlib.Path(argument) for argument in sys.argv[1:]]
    paths = paths or sorted((ROOT / "corpora").glob("**/*.txt"), key=lambda path: -path.stat().st_size)[:1]
    for path in paths:
        data = path.read_bytes()[: 100 << 20]
        bench(path.name, data if len(data) > 20 << 20 else data * 20)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
