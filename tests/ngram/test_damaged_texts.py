"""ARPA files, counts and vocabularies from anywhere; see `damaged_texts.py`."""

from fuzzing import answers_of


def test_damaged_files_are_read_or_refused():
    """No crash, no hang, no error but those on purpose, and no model that answers with anything but numbers."""
    answered, refused = answers_of("ngram/damaged_texts.py", rounds=60, seed=5)
    assert answered > 10 and refused > 10
