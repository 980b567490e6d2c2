"""RTC memory: 2,048 bytes that live through deep sleep and die with the power.

Three records at fixed places, each with its own seal, so that a wake on the contact touches only the first:

    0      core   (keep/core.py)      clock, contact, count, next wake
    192    work   (keep/work.py)      agenda, LoRaWAN session, figures for the health report
    768    past   (keep/days.py of a meter, keep/ring.py of a bin or an air node)   what may still have to be sent

Worst moment: a reset in the middle of a write tears a record; its seal tells, and what follows is as after a power loss.
"""

import time

from machine import RTC

from keep.record import HEAD_BYTES, head_of, unseal

SIZE = 2048
CORE, WORK, PAST = 0, 192, 768
_ENDS = {CORE: WORK, WORK: PAST, PAST: SIZE}


def now():
    """RTC ms since power-on."""
    return time.time_ns() // 1_000_000


class Memory:
    """A copy of the RTC memory, one block for the whole wake; `save` writes it back in one call."""

    def __init__(self):
        kept = RTC().memory()
        self._data = bytearray(SIZE)
        self._data[: len(kept)] = kept

    def get(self, place, version):
        """The body at `place`, or None."""
        return unseal(version, memoryview(self._data)[place : _ENDS[place]])

    def put(self, place, version, body):
        """Sets the body at `place`; ValueError if it is longer than `room(place)`."""
        start = place + HEAD_BYTES
        if start + len(body) > _ENDS[place]:
            raise ValueError("RTC record at %d is %d bytes too long" % (place, start + len(body) - _ENDS[place]))
        self._data[place:start] = head_of(version, body)
        self._data[start : start + len(body)] = body

    def save(self):
        """From here the records survive deep sleep."""
        RTC().memory(self._data)


def room(place):
    """Longest body at `place`, in bytes."""
    return _ENDS[place] - place - HEAD_BYTES
