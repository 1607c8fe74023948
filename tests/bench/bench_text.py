"""Speed of the text layer on one core, best of five: `python tests/bench/bench_text.py [TEXT]...`

Without a text it takes the largest of corpora/, twenty times over where it is short. Seconds are those of the
processor; compilation is not counted, checking and hashing are.
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
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
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
        spacing = [i for i, token in enumerate(layer.vocabulary.tokens()) if not token.strip(" ")]
        joiners = np.isin(ids, spacing).mean() if tokenizer == "word" else 0
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
        data = path.read_bytes()[: int(100 * MEGABYTE)]
        bench(path.name, data if len(data) > 10 * MEGABYTE else data * 20)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
