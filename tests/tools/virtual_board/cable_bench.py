"""At the far end of a board's cable: mpremote as a program and as a library, and a person."""

import contextlib
import os
import select
import subprocess
import sys
import time

from mpremote.transport_serial import SerialTransport


@contextlib.contextmanager
def transport(port, *, soft_reset=False):
    serial = SerialTransport(port, timeout=5)
    try:
        serial.enter_raw_repl(soft_reset=soft_reset)
        yield serial
        serial.exit_raw_repl()
    finally:
        serial.close()


def mpremote(port, *arguments, code=0):
    """What it prints; asserts that it ends with `code`."""
    command = [sys.executable, "-m", "mpremote", "connect", port, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def until(condition, seconds=10):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come in time"
        time.sleep(0.01)


class Person:
    """Types into the port and reads what comes."""

    def __init__(self, port):
        self.file = os.open(port, os.O_RDWR | os.O_NOCTTY)

    def type(self, text):
        os.write(self.file, text.encode("latin-1"))

    def reads(self, ending, seconds=10):
        """Everything up to `ending`."""
        got = b""
        limit = time.monotonic() + seconds
        while not got.endswith(ending.encode("latin-1")):
            ready, _, _ = select.select([self.file], [], [], max(0, limit - time.monotonic()))
            assert ready, got
            got += os.read(self.file, 1)
        return got.decode("latin-1")

    def hears_nothing(self, seconds):
        return not select.select([self.file], [], [], seconds)[0]

    def close(self):
        os.close(self.file)
