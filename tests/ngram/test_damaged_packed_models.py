"""A damaged packed model may answer nonsense, and no worse than that; see `test_damaged_models.py`."""

from fuzzing import answers_of


def test_damaged_packed_models_answer_or_refuse():
    """No crash, no hang, no error but those on purpose."""
    answered, refused = answers_of("ngram/damaged_packed_models.py", rounds=15, seed=3)
    assert answered > 60 and refused > 20
