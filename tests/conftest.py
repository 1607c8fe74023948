"""What the tests share. `tests/` is on the path: `from reference import ...`, `from contract import ...`."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))  # `-m lmkit`


def pytest_collection_modifyitems(items):
    """Begin with the commands of the README, which take longest: several workers are then done at the same time."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)
