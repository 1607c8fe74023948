"""What the tests share. `tests/` is on the path: `from reference import ...`, `from contract import ...`."""

import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))  # `-m lmkit`

# nohup, cron and background jobs of shells without job control have some signals ignored, and every process that is
# started from here would inherit that. A handler is not inherited: processes begin with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)  # these tests themselves still outlive their terminal


def pytest_collection_modifyitems(items):
    """Begin with the commands of the README, which take longest: several workers are then done at the same time."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)
