"""Build the pictures of the README: `make pictures`, or `python docs/pictures.py NAME...` for some of them.

A picture is a function here that writes one file, entered in PICTURES under the name of that file. Each is made of the
play in corpora/ alone, with fixed seeds and without times or dates, so that it comes out the same again.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import lmkit
from lmkit.cli.sheets import answer_lines, round_lines

HERE = Path(__file__).resolve().parent
PLAY = HERE.parent / "corpora" / "the-tide-mill.txt"
HELD_OUT = 10  # the last of so many parts, from the next paragraph on
WIDTH = 80  # letters of a terminal
ADVANCE, LINE, MARGIN = 8.4, 19, 16  # pixels of a monospaced letter 14 pixels high


def parts() -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Return what models learn from and what is held out, each with its name."""
    play = PLAY.read_bytes()
    cut = play.index(b"\n\n", len(play) * (HELD_OUT - 1) // HELD_OUT) + 2
    return ("the play", play[:cut]), ("the play's last scenes", play[cut:])


def learning_curve(path: Path, steps: int = 600, hidden: int = 128) -> None:
    """Draw two recurrent networks learning characters, and what a 5-gram model of the same text reaches."""
    learnt, (_, held_out) = parts()
    with tempfile.TemporaryDirectory() as folder:
        valid = Path(folder, "held-out.txt")
        valid.write_bytes(held_out)
        options = {"tokenizer": "char", "sentence": "text", "vocabulary": sorted(set(PLAY.read_text()))}
        network = {"layers": 1, "hidden": hidden, "dropout": 0.3, "steps": steps, "validate_every": 30, "valid": valid}
        models = {
            "Elman": lmkit.train(learnt, arch="elman", **network, **options),
            "LSTM": lmkit.train(learnt, arch="lstm", **network, learning_rate=0.008, **options),
            "5-gram": lmkit.train(learnt, order=5, **options),
        }
    for name, model in models.items():
        model.path = name
    chart = lmkit.learning_curves(models.values(), texts=("held out", held_out), axis="tokens", measure="bits")
    lmkit.plot(chart, path)


def quiz_round(path: Path) -> None:
    """Show a round of a quiz and its answer as a terminal does."""
    (_, learnt), held_out = parts()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "learnt.txt")  # to be read again for copies
        text.write_bytes(learnt)
        model = lmkit.train(text, order=8, tokenizer="char")
        model.path = "a character 8-gram"
        quiz = lmkit.quiz(model, held_out, rounds=1, seed=3, temperature=0.7)
    path.write_text(terminal([*round_lines(quiz, 1, WIDTH), *answer_lines(quiz, 1, WIDTH)]))


def terminal(lines: list[str]) -> str:
    """Return lines of a terminal as SVG."""
    size = f'width="{2 * MARGIN + ADVANCE * WIDTH:.0f}" height="{2 * MARGIN + LINE * len(lines)}"'
    texts = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE * row - 5}" xml:space="preserve">{escape(line)}</text>'
        for row, line in enumerate(lines, 1)
        if line
    ]
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="14" fill="#1a1a1a">'
    return "\n".join([opening, '<rect width="100%" height="100%" rx="6" fill="#f6f4ee"/>', *texts, "</svg>"]) + "\n"


def explained_lines(path: Path) -> None:
    """Show the surprisal of some words that a model has not seen."""
    learnt, held_out = parts()
    model = lmkit.train(learnt, order=5, tokenizer="char", sentence="text")
    speech = held_out[1].decode().split("\n\n")[2]
    path.write_text(lmkit.explained_svg(model, ("a speech", speech.encode())))


PICTURES: dict[str, Callable[[Path], None]] = {
    "explained-lines.svg": explained_lines,
    "learning-curve.svg": learning_curve,
    "quiz-round.svg": quiz_round,
}


def main(names: list[str]) -> None:
    """Build the pictures of these names, or all."""
    for name in names or PICTURES:
        if name not in PICTURES:
            sys.exit(f"there is no picture {name}; choose from {', '.join(PICTURES)}")
        path = HERE / "pictures" / name
        PICTURES[name](path)
        print(f"{path.relative_to(HERE.parent)}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
