"""Read damaged ARPA files, counts and vocabularies, and use what comes of them: see `tests/fuzzing.py`.

python tests/ngram/damaged_texts.py ROUNDS [SEED]

Each round damages one file. It is refused on purpose, or gives a model that is saved, opens again, and answers with
numbers; where it was estimated here, its distributions sum to one.
"""

from __future__ import annotations

import gzip
import pathlib
import sys
import tempfile

import numpy as np

TESTS = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import fuzzing  # noqa: E402

import lmkit  # noqa: E402
from lmkit import storage  # noqa: E402
from lmkit.errors import LmkitError  # noqa: E402
from lmkit.text import TOKENIZERS, escape  # noqa: E402

TEXT = "the cat sat on the mat\nthe dog sat\n\ncats saw \\theta and \\\\ \\ 100 <UNK>\nthe cat saw the dog\n"
STATES = 40  # contexts whose distributions are looked at
QUESTIONS = 2  # that are asked of a model
NUMBERS = [
    "0", "-0", "1", "-1", "-99", "-99.5", "-100", "-999", "-1e30", "-1e38", "-1e39", "-1e300", "-1e999", "1e-7", "9",
    "9.1", "1e300", "inf", "-inf", "+inf", "nan", "-nan", "0x1p3", "1e", "1e+", ".", "-", "-.", "1.2.3", "1,5", "-0e9",
    "0000", "\u0661", "4294967295", "4294967296", "18446744073709551616", "9" * 30,
]  # fmt: skip
RESERVED = ["<unk>", "<UNK>", "<Unk>", "<s>", "<S>", "</s>", "</S>"]
WORDS = [*RESERVED, "##lmkit-escaped", "\\\\", "\\", r"\j", r"\s", r"\x00", r"\xff", r"\ud800"]
PIECES = [
    b"\0", b"\r", b"\n", b"\t", b" ", b"\n\n", b"\x0b", b"\xef\xbb\xbf", b"\xff", b"\xc3", "\u2028".encode(), b"\\",
    b"\\end\\\n", b"\\data\\\n", b"\\2-grams:\n", b"ngram 1=5\n", b"iARPA\n", b"##lmkit-escaped\t0\n", b"w" * 5000,
    b" a" * 40, b"\n" * 50,
]  # fmt: skip


def originals() -> list[tuple[str, bytes]]:
    """Return whole files, each with what it is."""
    found = [("arpa", path.read_bytes()) for path in sorted((TESTS / "goldens").glob("*.arpa"))]
    for tokenizer in ("whitespace", "word"):
        text = [("t", TEXT.encode())]
        model = lmkit.train(text, tokenizer=tokenizer, order=3, smoothing="witten-bell")
        found.append(("arpa", b"".join(lmkit.arpa(model))))
        tables, layer = lmkit.count(text, [1, 2, 3], tokenizer=tokenizer)
        names = [escape(token) for token in layer.vocabulary.tokens()]
        for write in (names, layer.vocabulary.tokens()) if tokenizer == "whitespace" else (names,):
            grams = [(" ".join(write[i] for i in gram), n) for ngrams, counts in tables.values()
                     for gram, n in zip(ngrams.tolist(), counts.tolist(), strict=True)]  # fmt: skip
            found.append(("counts", "".join(f"{gram}\t{n}\n" for gram, n in grams).encode()))
            found.append(("vocabulary", "".join(f"{word}\n" for word in write[3:]).encode()))
            found.append(("vocabulary", "".join(f"{word}\t{n}\n" for n, word in enumerate(write)).encode()))
    return found


def spoil(data: bytes, rng) -> bytes:
    """Damage a file in one way."""
    lines = data.split(b"\n")
    i, j = (int(rng.integers(len(lines))) for _ in range(2))
    fields = lines[i].replace(b"\t", b" ").split(b" ")
    k = int(rng.integers(len(fields)))
    match rng.integers(13):
        case 0:
            changed = np.frombuffer(data, np.uint8).copy()
            if len(changed):
                changed[rng.integers(0, len(changed), 3)] ^= np.uint8(1 << rng.integers(8))
            return changed.tobytes()
        case 1:
            del lines[i]
        case 2:
            lines.insert(j, lines[i])
        case 3:
            lines[i], lines[j] = lines[j], lines[i]
        case 4:
            return data[: rng.integers(len(data) + 1)]
        case 5:
            at = rng.integers(len(data) + 1)
            return data[:at] + PIECES[rng.integers(len(PIECES))] + data[at:]
        case 6:
            number = NUMBERS[rng.integers(len(NUMBERS))].encode()
            lines[i] = lines[i].replace(fields[0 if rng.random() < 0.5 else -1], number, 1) if fields[0] else number
        case 7:
            fields[k] = WORDS[rng.integers(len(WORDS))].encode()
            lines[i] = b" ".join(fields)
        case 8:
            lines[i] = lines[i].replace(fields[k], fields[k] + b" " + fields[k]) if fields[k] else lines[i] * 2
        case 9:
            which = [n for n, line in enumerate(lines) if line.startswith(b"ngram")] or [i]
            n = which[rng.integers(len(which))]
            lines[n] = (
                lines[n].partition(b"=")[0] + b"=" + str(int(rng.choice([0, 1, 2, 9, 10**6, 10**12, 10**17]))).encode()
            )
        case 10:
            old, new = (PIECES[n] for n in rng.integers(0, 6, 2))
            return data.replace(old, new)
        case 11:
            rng.shuffle(lines)
        case _:
            old, new = (word.encode() for word in rng.choice(RESERVED, 2))
            return data.replace(old, new)
    return b"\n".join(lines)


def read(kind: str, path: pathlib.Path, rng):
    """Return the model of a file."""
    tokenizer = str(rng.choice(["whitespace", "whitespace", *TOKENIZERS]))
    reading = {"tokenizer": tokenizer, "errors": str(rng.choice(["strict", "keep"]))}
    if rng.random() < 0.1:
        reading["encoding"] = str(rng.choice(["latin-1", "utf-16", "utf-8-sig", "cp1252"]))
    if kind == "arpa":
        return lmkit.from_arpa(path, **reading)
    reading |= {"escaped": [None, None, True, False][rng.integers(4)], "order": int(rng.integers(1, 5))}
    reading["smoothing"] = str(rng.choice(["witten-bell", "add-k", "absolute", "katz", "modified-kneser-ney", "mle"]))
    if kind == "counts":
        return lmkit.train(path, from_counts=True, **reading)
    reading.pop("encoding", None)
    given = "limit_vocabulary" if rng.random() < 0.3 else "vocabulary"
    return lmkit.train(("t", TEXT.encode()), **{given: path}, lowercase=bool(rng.random() < 0.2), **reading)


def use(model, kind: str, folder: pathlib.Path, rng) -> None:
    """See that a model opens as it was saved, and that it answers with numbers."""
    model.save(folder / "m")
    again = lmkit.load(folder / "m")
    size, nodes = model.vocabulary_size, model.language_model.trie.internal
    states = np.unique(np.concatenate([model.begin(), rng.integers(0, nodes, STATES)])).astype(np.uint32)
    rows = model.log_probs(states)
    np.testing.assert_array_equal(again.log_probs(states), rows)
    assert not np.isnan(rows).any() and (rows < np.inf).all()
    assert (rows[:, 1] == -np.inf).all()
    if kind != "arpa":
        sums = np.exp(rows, dtype=np.float64).sum(axis=1)
        mle = model.language_model.options["smoothing"] == "mle"  # after what was cut off, it has nothing
        assert (np.abs(sums - 1) < 1e-3).all() or (mle and (sums < 1.001).all()), (sums, model.language_model.options)
    ids = rng.integers(0, size, (1, 50)).astype(np.int32)
    scores = model.score(model.begin(), ids)[0]
    assert not np.isnan(scores).any() and (scores < np.inf).all()
    m, t, form = folder / "m", folder / "t", rng.choice(["json", "tsv"])
    listed = [
        ["next", "-q", "-m", m, "--top", 0, "--format", "json"],
        ["next", "-q", "-m", m, "the cat", "--format", "json"],
        ["perplexity", "-m", m, t, "--reserved", "keep", "--format", form],
        ["score", "-m", m, t, "--reserved", "keep", "--by", "token", "--format", form],
        ["sample", "-m", m, "--n", 20, "--seed", 1, "--allow-unk", "--format", "json"],
        ["sample", "-m", m, "--n", 9, "--seed", 1, "--temperature", 0.5, "--format", "json"],
        ["explain", "-m", m, t, "--reserved", "keep"],
        ["nearest", "-m", m, "the", "--format", form],
        ["info", m, "--verify", "--format", form],
        ["prune", m, "-o", folder / "made", "--threshold", "1e-4"],
        ["prune", m, "-o", folder / "made", "--quantize", 6],
        ["convert", m, folder / "m.arpa"],
    ]  # fmt: skip
    for i in rng.choice(len(listed), QUESTIONS, replace=False):
        done = fuzzing.run(*listed[i])
        if listed[i][0] == "convert" and not done:
            fuzzing.run("convert", folder / "m.arpa", folder / "made", "--errors", "keep")


def drive(rounds, seed):
    storage.VERIFY_BELOW = 64 * 2**20
    rng = np.random.default_rng(seed)
    answers = {"refused": 0, "answered": 0}
    files = originals()
    with tempfile.TemporaryDirectory() as name:
        folder = fuzzing.prepared(name, TEXT)
        path = folder / "damaged"
        for number in range(rounds):
            kind, data = files[rng.integers(len(files))]
            for _ in range(rng.integers(1, 3)):
                data = spoil(data, rng)
            if rng.random() < 0.05:
                packed = bytearray(gzip.compress(data, 1))
                packed[rng.integers(len(packed))] ^= 1 << rng.integers(8)
                data = bytes(packed)
            path.write_bytes(data)
            fuzzing.next_file(f"{kind}, round {number}")
            try:
                model = read(kind, path, rng)
            except LmkitError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000, error
                answers["refused"] += 1
                continue
            try:
                use(model, kind, folder, rng)
            except LmkitError as error:  # of a model that could not be opened
                assert "could open" in str(error), error
                answers["refused"] += 1
                continue
            answers["answered"] += 1
    return answers


if __name__ == "__main__":
    fuzzing.main(drive)
