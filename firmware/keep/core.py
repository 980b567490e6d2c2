"""What every wake needs: clock, contact, count, and when the next planned wake is. Pure. In RTC memory only.

A wake on the contact reads and writes this record and nothing else.
"""

import struct

from keep.clock import SIZE as CLOCK_BYTES
from keep.clock import Clock
from keep.hours import SIZE as HOURS_BYTES
from keep.hours import Hours

VERSION = 1
NO_CONTACT = 255
_LAYOUT = "<BBBqqIHIqH"
_FIXED = struct.calcsize(_LAYOUT)
SIZE = _FIXED + CLOCK_BYTES + HOURS_BYTES
_AWAKE = 1
_CLOSED = 2


class Core:
    """The fields, all integers or bools.

    awake     True from the start of a longer wake to its end: found at a boot, it says that a wake was cut short
    closed    the contact's state when the node fell asleep
    contact   its pin, `NO_CONTACT` for a node without one
    faults    wakes in a row that ended with an exception
    boots     wakes since power-on, for nobody but a technician (wraps at 65,536)
    asleep_at, wake_at      RTC ms at which the node fell asleep and means to wake
    count, epoch            pulses and their epoch
    stored, stored_at       the count in flash, and RTC ms of that
    """

    def __init__(self, data=None):
        """From `pack()`'s bytes, or a node that has just got power."""
        if data is None:
            data = struct.pack(_LAYOUT, 0, NO_CONTACT, 0, 0, 0, 0, 0, 0, 0, 0) + Clock().pack() + Hours().pack()
        fields = struct.unpack_from(_LAYOUT, data, 0)
        flags, self.contact, self.faults, self.asleep_at, self.wake_at, self.count = fields[:6]
        self.epoch, self.stored, self.stored_at, self.boots = fields[6:]
        self.awake = bool(flags & _AWAKE)
        self.closed = bool(flags & _CLOSED)
        self.clock = Clock(data[_FIXED : _FIXED + CLOCK_BYTES])
        self.hours = Hours(data[_FIXED + CLOCK_BYTES :])

    def pack(self):
        """`SIZE` bytes."""
        flags = (_AWAKE if self.awake else 0) | (_CLOSED if self.closed else 0)
        fixed = struct.pack(
            _LAYOUT,
            flags,
            self.contact,
            min(self.faults, 255),
            self.asleep_at,
            self.wake_at,
            self.count,
            self.epoch,
            self.stored,
            self.stored_at,
            self.boots & 0xFFFF,
        )
        return fixed + self.clock.pack() + self.hours.pack()

    def pulse(self, rtc):
        """One closing at RTC ms `rtc`. Returns the days that ended before it (see `Hours.advance`)."""
        days = self.pass_time(rtc)
        self.count = (self.count + 1) & 0xFFFFFFFF
        return days

    def pass_time(self, rtc):
        """Closes hours and days up to RTC ms `rtc`; nothing while the time is not known."""
        return self.hours.advance(self.clock.now(rtc), self.count) if self.clock.known else []
