"""A damaged mixture may answer nonsense, and no worse than that; see `tests/ngram/test_damaged_models.py`."""

from fuzzing import answers_of


def test_damaged_mixtures_answer_or_refuse():
    """No crash, no hang, no error but those on purpose."""
    answered, refused = answers_of("mixture/damaged_mixtures.py", rounds=4, seed=3)
    assert answered > 30 and refused > 60
