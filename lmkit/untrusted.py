"""What metadata of a model file say, where they say it as expected: anything else counts as not said."""

from __future__ import annotations

from typing import Any

__all__ = ["entries", "entry", "number", "text", "whole"]

LARGEST = 2**63  # beyond it there is nothing to count, and no float to be made of it


def entry(record: Any, name: str) -> dict[str, Any]:
    """Return an entry that is a record itself, {} if there is none.

    >>> entry({"training": {"seconds": 3}}, "training"), entry(["seconds"], "training")
    ({'seconds': 3}, {})
    """
    found = record.get(name) if isinstance(record, dict) else None
    return found if isinstance(found, dict) else {}


def entries(record: Any, name: str) -> list[dict[str, Any]]:
    """Return an entry that is a list of records, without what is none."""
    found = record.get(name) if isinstance(record, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def number(record: Any, name: str) -> float | None:
    """Return an entry that is a number, perhaps not a finite one; None if there is none.

    >>> number({"seconds": 3}, "seconds"), number({"seconds": "3"}, "seconds"), number({"seconds": True}, "seconds")
    (3, None, None)
    """
    found = record.get(name) if isinstance(record, dict) else None
    return found if type(found) is float or (type(found) is int and abs(found) < LARGEST) else None


def whole(record: Any, name: str) -> int | None:
    """Return an entry that is a whole number from 0 on; None if there is none."""
    found = number(record, name)
    return found if type(found) is int and found >= 0 else None


def text(record: Any, name: str) -> str | None:
    """Return an entry that is a text; None if there is none."""
    found = record.get(name) if isinstance(record, dict) else None
    return found if isinstance(found, str) else None
