"""What happens to an exception: it is stored, counted and slept off; after several in a row the node only counts and reports."""

import io
import sys

from keep import core as records
from keep.core import Core
from keep.flash import Flash
from keep.rtc import CORE, Memory, now

ROW = 5  # so many wakes in a row that failed: safe mode
SAFE_MS = 86_400_000
_NAP_MS = 60_000
_LONGEST_NAP_MS = 3_600_000
_TEXT_BYTES = 400


class Starts:
    """The flash record `starts`: starts that were not wakes, exceptions ever, failed wakes in a row, the last traceback.

    Written at such a start, at an exception, and once when a wake succeeds after failed ones.
    """

    def __init__(self, flash):
        self._flash = flash
        data = flash.get("starts") or bytes(5)
        self.boots = int.from_bytes(data[0:2], "little")
        self.exceptions = int.from_bytes(data[2:4], "little")
        self.row = data[4]
        self.text = data[5:]

    def put(self):
        """Makes the fields durable."""
        head = min(self.boots, 0xFFFF).to_bytes(2, "little") + min(self.exceptions, 0xFFFF).to_bytes(2, "little")
        self._flash.put("starts", head + bytes([min(self.row, 255)]) + self.text)


def nap_ms(row):
    """How long the row-th failed wake in a row is slept off: 1, 2, 4 … minutes, at most an hour."""
    return min(_NAP_MS << min(row - 1, 6), _LONGEST_NAP_MS)


def survive(fault):
    """Stores an exception and goes to deep sleep. Pulses counted up to it are kept. Never returns."""
    text = io.StringIO()
    sys.print_exception(fault, text)
    print(text.getvalue())
    application = sys.modules.get("node.app")
    node = application.running if application else None
    memory = node.memory if node else Memory()
    body = memory.get(CORE, records.VERSION)
    core = node.core if node else Core(body) if body else Core()
    if node:
        node.take_pulses(True)
        node.keep()
    core.faults = min(255, core.faults + 1)
    core.wake_at = now() + nap_ms(core.faults)
    try:
        starts = Starts(Flash())
        starts.exceptions += 1
        starts.row = core.faults
        starts.text = text.getvalue().encode()[-_TEXT_BYTES:]
        starts.put()
        if node:
            node.work.exceptions = starts.exceptions
            node.keep()
    except OSError as failed:  # a full or failing flash must not end the night's count
        print("starts: not stored:", failed)
    from node.boot import sleep

    sleep(memory, core)
