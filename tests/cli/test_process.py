"""What only a process of its own can show: pipes, signals, exit codes, full disks, two at once."""

import fcntl
import os
import pty
import resource
import signal
import struct
import subprocess
import sys
import termios

import pytest
from texts import COWS

LMKIT = [sys.executable, "-m", "lmkit"]


def shell(command, folder, **environment):
    return subprocess.run(
        ["bash", "-c", command.replace("lmkit ", f"{sys.executable} -m lmkit ")],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, timeout=60,
    )  # fmt: skip


def test_a_whole_pipeline(tmp_path, verse):
    """Standard output is data only, and exit codes are right, through pipes."""
    done = shell(
        "set -o pipefail; lmkit sample -m $V --n 300 --seed 1 | tee s.txt | lmkit train --smoothing mle - "
        "&& lmkit perplexity s.txt --format json",
        tmp_path, V=str(verse),
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert done.stdout.startswith(b'{"tokens": ')


def test_head_ends_it_silently(tmp_path, verse):
    """An endless sample stops with its reader, says nothing, and dies as if by SIGPIPE."""
    done = shell("lmkit sample -m $V --n 100000000 | head -n 2; echo ${PIPESTATUS[0]}", tmp_path, V=str(verse))
    assert done.stderr == b"" and len(done.stdout.splitlines()) == 3
    assert done.stdout.splitlines()[-1] == b"141"


def test_a_reader_that_left_before_the_last_flush(tmp_path, cows):
    done = shell("(sleep 0.1; lmkit next 'cows eat' -m $V) | true; echo ${PIPESTATUS[0]}", tmp_path, V=str(cows))
    assert (done.stderr, done.stdout) == (b"", b"141\n")


def test_a_full_output_is_an_error(tmp_path, cows):
    for command, named in (
        ("next 'cows eat' -m $V > /dev/full", "standard output"),
        ("sample -m $V --n 9 > /dev/full", "standard output"),
        ("sample -m $V --n 9 -o /dev/full", "/dev/full"),
    ):
        done = shell(f"lmkit {command}", tmp_path, V=str(cows))
        assert (done.returncode, done.stderr) == (1, f"Error: {named}: No space left on device\n".encode())


@pytest.mark.parametrize(
    "output", ["/dev/stdout 1", "/dev/fd/1 1", "/proc/self/fd/1 1", "/dev/stderr 2", "/dev/fd/3 3"]
)
def test_an_open_file_is_written_on_not_replaced(tmp_path, cows, output):
    """What is in it stays, with >>, and it is still the same file."""
    name, descriptor = output.split()
    (tmp_path / "log").write_text("before\n")
    found = (tmp_path / "log").stat().st_ino
    done = shell(f"lmkit next 'cows eat' -m $V --top 1 -o {name} {descriptor}>> log", tmp_path, V=str(cows))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text().split() == ["before", "corn", "0.363636", "4/11"]
    assert (tmp_path / "log").stat().st_ino == found and [p.name for p in tmp_path.iterdir()] == ["log"]


def test_pipes_as_outputs(tmp_path, cows):
    done = shell(
        "mkfifo pipe; lmkit next 'cows eat' -m $V --top 1 -o pipe & cat pipe; wait; test -p pipe "
        "&& lmkit next 'cows eat' -m $V --top 1 -o /dev/stdout | cat",
        tmp_path, V=str(cows),
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.split() == [b"corn", b"0.363636", b"4/11"] * 2, done.stderr


@pytest.mark.parametrize(
    "output", ["/dev/stdout >> log", "/dev/stdout | cat >> log", "/dev/null", "pipe", "log >> log"]
)
def test_a_model_goes_into_files_only(tmp_path, output):
    """It is refused before the work: there is no corpus."""
    (tmp_path / "log").touch()
    os.mkfifo(tmp_path / "pipe")
    done = shell(f"set -o pipefail; lmkit train nowhere.txt -o {output}", tmp_path)
    assert done.returncode == 2 and b"is no regular file" in done.stderr
    assert (tmp_path / "log").read_bytes() == b"" and len(list(tmp_path.iterdir())) == 2


def test_a_closed_output_is_an_error(tmp_path, cows):
    done = shell("lmkit next 'cows eat' -m $V >&-", tmp_path, V=str(cows))
    assert (done.returncode, done.stderr) == (1, b"Error: standard output: it is closed\n")


def test_ctrl_c_while_reading(tmp_path):
    """One line, exit 130, no partial file."""
    process = subprocess.Popen(
        [*LMKIT, "train", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(process.stdin.fileno(), b"x y z\n" * 100_000)  # more than a pipe holds: it has begun to read
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == b"Interrupted.\n"
    assert list(tmp_path.iterdir()) == []
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def small_files_only():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_no_room_for_the_model_leaves_the_old_one(tmp_path, process, cows):
    """A file that may not grow stands for a full disk: the write fails in the middle."""
    (tmp_path / "model.lmkit").write_bytes(cows.read_bytes())
    result = process("train", "--smoothing", "mle", stdin=COWS.encode(), preexec_fn=small_files_only)
    assert result.code == 1 and result.err.startswith("Error: ") and result.err.count("\n") == 1, result.err
    assert "model.lmkit" in result.err
    assert (tmp_path / "model.lmkit").read_bytes() == cows.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["model.lmkit"]


def test_two_trainings_of_one_file(tmp_path):
    """One whole model wins."""
    processes = []
    for word in (b"left", b"right"):
        process = subprocess.Popen([*LMKIT, "train", "--smoothing", "mle"], cwd=tmp_path, stdin=subprocess.PIPE)
        process.stdin.write((word + b" ") * 20_000)
        process.stdin.close()
        processes.append(process)
    assert [p.wait(60) for p in processes] == [0, 0]
    done = shell("lmkit info --verify >&2 && lmkit next --format tsv", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(b"\t")[0] in (b"left", b"right")
    assert [p.name for p in tmp_path.iterdir()] == ["model.lmkit"]


def at_a_terminal(arguments, folder, typed=b"", seconds=60):
    """Run with stdin and stderr at a terminal; return exit code, stdout, and what the person saw."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*LMKIT, *arguments], cwd=folder, stdin=slave, stderr=slave, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(slave)
    os.write(master, typed)
    out = process.stdout.read()
    process.stdout.close()
    process.wait(seconds)
    seen = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(master)
    return process.returncode, out, seen.decode()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_hears_the_seed_and_can_be_told_to_be_quiet(tmp_path, verse, quiet):
    code, out, seen = at_a_terminal(["sample", "-m", str(verse), "--n", "5", *(["-q"] if quiet else [])], tmp_path)
    assert code == 0 and out
    assert ("Seed: " in seen) != quiet


def test_a_terminal_sees_a_bar(tmp_path):
    (tmp_path / "corpus.txt").write_text(COWS * 10)
    code, out, seen = at_a_terminal(["train", "corpus.txt", "--smoothing", "mle"], tmp_path)
    assert (code, out) == (0, b"")
    assert "reading" in seen and "model.lmkit" in seen


def test_a_terminal_hears_that_another_model_is_replaced(tmp_path):
    (tmp_path / "one.txt").write_text(COWS)
    (tmp_path / "two.txt").write_text(COWS[::-1])
    told = "model.lmkit was the model of another training, and is replaced: it learnt from other texts: one.txt"
    for text, heard in (("one.txt", False), ("one.txt", False), ("two.txt", True)):
        code, _, seen = at_a_terminal(["train", text, "--smoothing", "mle"], tmp_path)
        assert code == 0 and (told in seen) == heard and ("another training" in seen) == heard


def test_training_on_nothing_at_a_terminal_is_a_usage_error(tmp_path):
    code, _, seen = at_a_terminal(["train"], tmp_path)
    assert code == 2 and "nothing to read" in seen


def test_who_has_to_type_the_text_is_told(tmp_path, cows):
    code, out, seen = at_a_terminal(
        ["perplexity", "-m", str(cows), "--format", "tsv"], tmp_path, b"cows eat corn\n\x04"
    )
    assert code == 0 and b"tokens\t5\n" in out
    assert "Reading text from the terminal" in seen


def test_a_line_of_100_megabytes_trains(process):
    words = b"all work and no play makes Jack a dull boy "
    text = words * (100_000_000 // len(words))
    result = process("train", "--tokenizer", "whitespace", "--order", 1, "--smoothing", "mle", stdin=text)
    assert (result.code, result.err) == (0, "")
    rows = process("next", "--format", "json", "--top", 0).rows
    assert {row["count"] for row in rows} == {len(text) // len(words), 1} and len(rows) == 11


@pytest.mark.parametrize("megabytes", [150, 300])
def test_too_little_address_space_is_told_before_a_library_aborts(process, cows, megabytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    result = process("next", "cows eat", "-m", cows, preexec_fn=limit)
    assert (result.code, result.out) == (1, b"") and result.err.count("\n") == 1
    assert result.err.startswith("Error: lmkit needs 500 MB of address space") and "ulimit -v 512000" in result.err
