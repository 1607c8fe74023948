"""Work in threads, and what becomes of its errors."""

import pytest

from lmkit.errors import CorpusError
from lmkit.threads import ahead


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
