"""A damaged packed model may answer nonsense, and no worse than that; see `test_damaged_models.py`."""

import pathlib
import subprocess
import sys


def test_damaged_packed_models_answer_or_refuse():
    """No crash, no hang, no error but those on purpose."""
    script = pathlib.Path(__file__).parent / "damaged_packed_models.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", script, "25", "3", "90"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[0]) == 100  # all got past the opening: shapes are right, numbers are not
