"""Processes that take the cores beside a test whose result must not depend on them."""

import contextlib
import subprocess
import sys

# by itself it ends too, where a test is killed
_LOOP = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"


@contextlib.contextmanager
def busy(number):
    """`number` of them while the `with` lasts."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(number)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()
