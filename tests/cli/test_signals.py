"""Ctrl-C, SIGTERM and SIGHUP at any moment: one line, the right exit code, nothing lost and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from trainings import TEXT

from lmkit import cli, interruption
from lmkit.cli import interrupts
from lmkit.errors import Interrupted

LMKIT = [sys.executable, "-m", "lmkit"]
TRAIN = [
    "train", "--arch", "gru", "--tokenizer", "char", "--layers", "1", "--hidden", "8", "--batch", "8", "--bptt", "10",
    "--warmup", "5", "--patience", "0", "--steps", "1000000000", "corpus.txt", "--checkpoint-every", "1d",
]  # fmt: skip
SAID = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Interrupted by SIGTERM", signal.SIGHUP: "Interrupted by SIGHUP"}


def start(arguments, folder, *options, **settings):
    return subprocess.Popen(
        [sys.executable, *options, "-m", "lmkit", *map(str, arguments)], cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def imported(cows, tmp_path_factory):
    """What `lmkit next` imports after its first module, in order."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lmkit", "next", "-m", str(cows), "cows eat"], capture_output=True,
    )  # fmt: skip
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr.decode(), re.MULTILINE)
    return names[names.index("lmkit.cli.running") :], done.stdout


@pytest.mark.parametrize("share", [0, 0.15, 0.3, 0.5, 0.7, 0.85, 0.97])
def test_while_modules_are_imported(tmp_path, cows, imported, share):
    """Event by event: as soon as a certain module is there. The signal may come when all is done."""
    names, output = imported
    awaited = f" {names[int(share * len(names))]}\n".encode()
    number = signal.SIGTERM if share == 0.5 else signal.SIGINT
    process = start(["next", "-m", cows, "cows eat"], tmp_path, "-X", "importtime")
    for line in process.stderr:
        if line.endswith(awaited):
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=60)
    said = b"".join(line for line in err.splitlines(True) if not line.startswith(b"import time:")).decode()
    assert (process.returncode, said, out) in ((128 + number, f"{SAID[number]}.\n", b""), (0, "", output))


WATCHED = """
import sys
from lmkit.cli import main
from lmkit.rnn.training import Session

report = Session._report

def tell(session):
    if session.trainer.progress.step == 5:
        print("step 5", file=sys.stderr, flush=True)
    report(session)

Session._report = tell
main(sys.argv[1:])
"""


@pytest.fixture
def training(tmp_path):
    """Start a training of a recurrent model that tells when it has taken steps, and wait until then."""
    (tmp_path / "corpus.txt").write_text(TEXT)
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, *TRAIN, "-o", "m"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr.readline() == b"step 5\n"
    yield process
    process.kill()
    process.communicate()


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != "corpus.txt")


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGINT], 130), ([signal.SIGTERM] * 3, 143), ([signal.SIGHUP, signal.SIGTERM], 129)],
    ids=["Ctrl-C", "SIGTERM as timeout sends it", "SIGHUP as systemd sends it"],
)
def test_a_training_saves_its_checkpoint(tmp_path, training, succeed, numbers, code):
    for number in numbers:
        training.send_signal(number)
    _, err = training.communicate(timeout=60)
    if code != 129:  # of two pending signals Python handles that of the smaller number first
        assert training.returncode == code
    said = re.fullmatch(rf"{SAID[training.returncode - 128]} at step (\d+)\. Go on with: lmkit train --resume m; .*\n",
                        err.decode())  # fmt: skip
    assert said, err
    assert left(tmp_path) == ["m.checkpoint"]
    assert succeed("info", "m.checkpoint", "--format", "json").row["checkpoint"]["step"] == int(said[1])
    assert succeed("sample", "-m", "m.checkpoint", "--n", 9, "--seed", 1).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(tmp_path, number):
    """SIGHUP under nohup, SIGINT of a script's `&`."""
    process = start(["train", "-", "-o", "m"], tmp_path, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    os.write(process.stdin.fileno(), b"a rose is a rose\n" * 10_000)  # more than a pipe holds: it has begun to read
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and b"Interrupted" not in err
    assert left(tmp_path) == ["m"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_while_reading(tmp_path, number):
    process = start(["train", "-"], tmp_path)
    os.write(process.stdin.fileno(), b"x y z\n" * 100_000)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert process.stderr.read().decode() == f"{SAID[number]}.\n" and left(tmp_path) == []
    process.communicate()


@pytest.mark.parametrize(("number", "form"), [(signal.SIGINT, "text"), (signal.SIGTERM, "json")])
def test_a_sample_keeps_what_was_generated(tmp_path, verse, number, form):
    (tmp_path / "out").write_text("what was there\n")
    process = start(["sample", "-m", verse, "--n", 10**9, "--seed", 1, "-o", "out", "--format", form], tmp_path)
    while process.poll() is None and not any(p.stat().st_size > 10**5 for p in tmp_path.glob(".out.*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.decode() == f"{SAID[number]}. out holds what was written until then.\n"
    assert left(tmp_path) == ["out"] and (tmp_path / "out").stat().st_size > 10**5
    if form == "text":
        begin = subprocess.run([*LMKIT, "sample", "-m", str(verse), "--n", "999", "--seed", "1"], capture_output=True)
        assert (tmp_path / "out").read_bytes().startswith(begin.stdout.rstrip()) and len(begin.stdout) > 999
    else:
        assert all(json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines())


class TestHandler:
    @pytest.fixture
    def handler(self, monkeypatch):
        handler, ended = interrupts.Handler(), []
        monkeypatch.setattr(interrupts, "_leave", ended.append)
        return handler, ended

    def test_the_second_ends_at_once(self, handler, monkeypatch):
        handle, ended = handler
        handle.working = True
        with pytest.raises(Interrupted, match=r"^Interrupted by SIGTERM\.$") as caught:
            handle(signal.SIGTERM, sys._getframe())
        assert (caught.value.signal, interrupts.code_of(caught.value), ended) == (signal.SIGTERM, 143, [])
        handle(signal.SIGTERM, sys._getframe())  # the same one once more, as `timeout` sends it
        assert ended == []
        monkeypatch.setattr(interruption, "ECHO", -1)
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(Interrupted):  # as the process does not end here
                handle(number, sys._getframe())
        assert ended == [signal.SIGTERM, signal.SIGINT]

    def test_before_the_work_begins_nothing_is_raised_into(self, handler):
        handle, ended = handler
        with pytest.raises(Interrupted):
            handle(signal.SIGHUP, sys._getframe())
        assert ended == [signal.SIGHUP]

    def test_an_unfinished_file_is_cleaned_up_even_while_modules_are_imported(self, handler, monkeypatch):
        handle, ended = handler
        handle.working = True
        monkeypatch.setattr(interrupts, "_is_importing", lambda frame: True)
        monkeypatch.setattr("lmkit.files.unfinished", {"a file"})
        with pytest.raises(Interrupted):
            handle(signal.SIGINT, None)
        assert ended == []

    def test_exit_codes(self, monkeypatch, capsys):
        for error, code in ((KeyboardInterrupt(), 130), (Interrupted(signal=15), 143), (Interrupted(signal=1), 129)):
            monkeypatch.setattr(cli.running.cli, "invoke", lambda _, error=error: (_ for _ in ()).throw(error))
            assert cli.run(["info"]) == code
        assert capsys.readouterr().err == "Interrupted.\n" * 3
