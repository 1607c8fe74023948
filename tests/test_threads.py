"""Work in threads, and what becomes of its errors."""

import contextvars
import os
import signal
import threading

import pytest

from lmkit import threads
from lmkit.errors import CorpusError, OptionError
from lmkit.threads import ahead, aside, available, in_threads, pool, usable


@pytest.fixture
def listening(monkeypatch):
    """Let Ctrl-C raise, whatever the process was started with, and do not wait for what it leaves behind."""
    monkeypatch.setattr(threads, "GRACE", 0.01)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_answered_while_a_kernel_runs(listening):
    """What stands for the kernel does not end before the interrupt has been answered; then its thread ends, too."""
    answered, ended = threading.Event(), threading.Event()

    def work():
        try:
            press_ctrl_c()
            answered.wait(30)
            for _ in range(10**9):
                pass
        except KeyboardInterrupt:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        aside(work)
    assert not ended.is_set()
    answered.set()
    assert ended.wait(30)


def test_what_is_interrupted_leaves_its_context_managers_first(listening, monkeypatch):
    monkeypatch.setattr(threads, "GRACE", 30)
    left = []

    def work():
        try:
            press_ctrl_c()
            while True:
                pass
        finally:
            left.append(True)

    with pytest.raises(KeyboardInterrupt):
        aside(work)
    assert left


def test_results_errors_and_context_go_through():
    variable = contextvars.ContextVar("variable")
    variable.set(3)
    assert aside(lambda a, *, b: (a, b, variable.get(), threading.current_thread().name), 1, b=2) == (
        1, 2, 3, "lmkit-work",
    )  # fmt: skip

    def fail():
        raise CorpusError("line 7")

    with pytest.raises(CorpusError, match="line 7"):
        aside(fail)


def test_in_another_thread_it_is_a_plain_call():
    names = in_threads(2, lambda i: aside(lambda: threading.current_thread().name), [(0,), (1,)])
    assert all(name.startswith("ThreadPoolExecutor") for name in names)


def test_an_exception_does_not_wait_for_a_pool():
    go_on = threading.Event()
    with pytest.raises(KeyboardInterrupt), pool(1) as workers:
        running, waiting = workers.submit(go_on.wait, 30), workers.submit(int)
        raise KeyboardInterrupt
    assert waiting.cancelled() and not running.done()
    go_on.set()
    assert running.result()


def test_threads_are_bounded_by_the_cores():
    assert usable(None) == available() and usable(1) == 1
    assert available() <= usable(10**5) == usable(10**30) <= 4 * available()
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(OptionError, match=r"threads is .*at least 1"):
            usable(wrong)


def test_running_ahead_passes_exceptions_on():
    def items():
        yield 1
        raise CorpusError("line 2")

    run = ahead(items())
    assert next(run) == 1
    with pytest.raises(CorpusError, match="line 2"):
        next(run)


def test_running_ahead_stops_with_its_reader():
    seen = []

    def items():
        for i in range(10**9):
            seen.append(i)
            yield i

    run = ahead(items(), depth=1)
    next(run)
    run.close()
    length = len(seen)
    assert length < 10 and len(seen) == length
