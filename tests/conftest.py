"""What the tests share. `tests/` is on the path: `from reference import ...`, `from contract import ...`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
