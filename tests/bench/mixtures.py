"""What mixing brings, and what it costs: losses on text that nobody has seen, and rates of sampling.

    python tests/bench/mixtures.py losses --text tinyshakespeare.txt --folder /tmp/mixtures --minutes 12
    python tests/bench/mixtures.py rates --text tinyshakespeare.txt

Every row of `losses` is the command that is shown, run in FOLDER by itself, and `lmkit perplexity` on the test text.
A model that is there already is not made again: its row shows no time.

penn      the Penn Treebank as Mikolov prepared it, words
tiny      tinyshakespeare, characters: the first 90 % to train on, the next 5 % to choose by, the last 5 % to test
late      tinyshakespeare: all that is learnt and chosen comes from the first 90 %, of which the first twentieth of the
          text is to choose by; the last 10 % is the text on which nanoGPT's README gives 1.4697 nats for a GPU

`rates` draws from networks that have learnt nothing, which takes as long, and from mixtures of them with an n-gram
model, in turn.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from quality import CHARACTERS, Texts, cut, penn, read, tiny, write
from run import LMKIT, ROOT, alternate, report

import lmkit
from lmkit.uniforms import Uniforms

WORDS = "--tokenizer whitespace --sentence line --reserved keep"
CHARS = "--tokenizer char --sentence text"
STEPS = {  # texts: model, and the command that makes it; {minutes} of training for each network
    "penn": [
        ("kn5", f"train {WORDS} --order 5 penn.train.txt"),
        ("kn5-cache", "mix kn5.lmkit --cache unigram --tune penn.valid.txt"),
        ("lstm", f"train {WORDS} --arch lstm --vocab kn5.lmkit --valid penn.valid.txt --time-limit {{minutes}}m "
         "penn.train.txt"),
        ("lstm-neural", "mix lstm.lmkit --cache neural --tune penn.valid.txt"),
        ("mixed", "mix kn5.lmkit lstm.lmkit --tune penn.valid.txt"),
        ("mixed-product", "mix kn5.lmkit lstm.lmkit --rule log-linear --tune penn.valid.txt"),
        ("mixed-context", "mix kn5.lmkit lstm.lmkit --weights-by context --tune penn.valid.txt"),
        ("mixed-cache", "mix mixed.lmkit --cache unigram --tune penn.valid.txt"),
    ],
    **{
        name: [
            ("kn7", f"train {CHARS} --order 7 {name}.train.txt"),
            ("lstm", f"train {CHARS} --arch lstm --valid {name}.valid.txt --time-limit {{minutes}}m {name}.train.txt"),
            ("mixed", f"mix kn7.lmkit lstm.lmkit --tune {name}.valid.txt"),
            ("mixed-product", f"mix kn7.lmkit lstm.lmkit --rule log-linear --tune {name}.valid.txt"),
            ("mixed-context", f"mix kn7.lmkit lstm.lmkit --weights-by context --tune {name}.valid.txt"),
            ("dynamic", f"mix lstm.lmkit --dynamic --tune {name}.valid.txt"),
            ("mixed-dynamic", f"mix kn7.lmkit dynamic.lmkit --tune {name}.valid.txt"),
        ]
        for name in ("tiny", "late")
    },
}  # fmt: skip
SHAPES = {"LSTM 1x256": (1, 256), "LSTM 2x256": (2, 256), "LSTM 2x512": (2, 512)}
BANNED = np.zeros(1, np.int32)  # <unk>


def late(folder: Path, path: Path) -> Texts:
    """The last tenth to test on; to choose by the first twentieth, so that what stands before the test is learnt."""
    valid, train, test = cut(read(path), 0.05, 0.9)
    return write(folder, "late", CHARACTERS, train, valid, test)


def renamed_tiny(folder: Path, path: Path) -> Texts:
    texts = tiny(folder, path)
    return write(folder, "tiny", CHARACTERS, *(read(part) for part in (texts.train, texts.valid, texts.test)))


TEXTS = {"penn": penn, "tiny": renamed_tiny, "late": late}


def row(texts: Texts, folder: Path, model: str, command: str) -> None:
    """Make a model where it is not there, score it, and print both."""
    took = ""
    if not (folder / f"{model}.lmkit").exists():
        started = time.perf_counter()
        made = [*LMKIT, *shlex.split(command), "-o", f"{model}.lmkit", "--quiet"]
        subprocess.run(made, cwd=folder, check=True, stderr=subprocess.PIPE)
        took = f"{time.perf_counter() - started:.0f} s"
    scoring = [*LMKIT, "perplexity", "-q", "-m", f"{model}.lmkit", "--format", "json", str(texts.test)]
    found = json.loads(subprocess.run(scoring, cwd=folder, check=True, capture_output=True).stdout)
    loss = -found["log_probability"] / found["tokens"]
    shown = f"{found['perplexity']:.2f}" if texts.words else f"{loss:.4f} nats, {loss / math.log(2):.3f} bits"
    print(f"| `lmkit {command} -o {model}.lmkit` | {shown} | {took} |", flush=True)


def losses(options: argparse.Namespace) -> None:
    """Print a table for each text."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lmkit-mixtures-"))
    for name in options.corpora.split(","):
        place = folder / name
        texts = TEXTS[name](place, options.text)
        print(f"\n| {name} | test {'perplexity' if texts.words else 'loss'} | took |\n|---|---|---|")
        for model, command in STEPS[name]:
            row(texts, place, model, command.format(minutes=options.minutes))
    print(f"# all is in {folder}")


def rate(model, streams: int, tokens: int) -> float:
    """Return tokens a second, of all streams together."""
    state, dice = model.begin(streams), Uniforms(np.arange(streams))
    model.draw(state, 3, dice, BANNED)
    started = time.perf_counter()
    model.draw(state, tokens, dice, BANNED)
    return streams * tokens / (time.perf_counter() - started)


def rates(options: argparse.Namespace) -> None:
    """Print the rates of networks and of mixtures with them, and of n-gram models and what is compiled of them."""
    text = (options.text.name, options.text.read_bytes())
    settings = {"tokenizer": "char", "sentence": "text"}
    ngrams = [lmkit.train(text, order=order, **settings, discount_fallback=(0.5, 1, 1.5)) for order in (7, 5)]
    for name, (layers, hidden) in SHAPES.items():
        network = lmkit.train(text, "lstm", layers=layers, hidden=hidden, steps=1, warmup=0, **settings)
        mixed = lmkit.mix([ngrams[0], network], weights=[0.3, 0.7])
        for streams, tokens in ((1, 3_000_000 // hidden // layers // 4), (64, 24_000_000 // hidden // layers // 256)):
            compare(name, f"{name} + 7-gram", network, mixed, streams, tokens, options.runs)
    static = lmkit.mix(ngrams, weights=[0.5, 0.5], static=True)
    for streams, tokens in ((1, 1_000_000), (64, 60_000)):
        compare("7-gram", "7-gram + 5-gram, static", ngrams[0], static, streams, tokens, options.runs)


def compare(first: str, second: str, base, mixed, streams: int, tokens: int, runs: int) -> None:
    """Print the rates of two models that draw in turn."""
    found = alternate(
        runs,
        base=lambda: rate(base.language_model, streams, tokens) / 1000,
        mixed=lambda: rate(mixed.language_model, streams, tokens) / 1000,
    )
    report(f"{first}, {streams} streams", found["base"], "k tokens/s")
    report(f"{second}, {streams} streams", found["mixed"], "k tokens/s", found["base"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["losses", "rates"])
    parser.add_argument("--text", type=Path, default=ROOT / "corpora" / "build" / "tinyshakespeare.txt")
    parser.add_argument("--folder", type=Path, help="for texts and models; else a new one")
    parser.add_argument("--corpora", default=",".join(STEPS), help="with commas (default: %(default)s)")
    parser.add_argument("--minutes", type=int, default=12, help="of training for each network")
    parser.add_argument("--runs", type=int, default=5, help="of each rate")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    losses(options) if options.part == "losses" else rates(options)


if __name__ == "__main__":
    main()
