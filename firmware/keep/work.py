"""What longer wakes need and a power loss may take: the agenda, the LoRaWAN session, figures for the health report. Pure.

In RTC memory only. After a power loss the agenda starts anew, and the session comes back from flash with its reserved counters.
"""

import struct

VERSION = 1
_LAYOUT = "<qqqqqqqqBBHHHB"
_FIXED = struct.calcsize(_LAYOUT)
NEVER = 0x7FFFFFFFFFFFFFFF


class Work:
    """Fields, all integers; an instant of `NEVER` does not come.

    sample, report, health      UTC ms of the next one; `NEVER` while the time is unknown
    join_at, ask_at, moment_at  RTC ms of the next join-request, time request, count of the moment
    start                       RTC ms of the last start that was not a wake
    safe_until                  RTC ms; until then only pulses and health
    cause, misses               that start's `machine.reset_cause()`; time requests in a row without an answer
    boots, exceptions, dropped  starts that were not wakes, exceptions ever; readings that the full ring lost
    announced                   the count of the moment has been sent since the join
    session                     bytes of `Mac.session()`, None before the first
    """

    def __init__(self, data=None):
        """From `pack()`'s bytes, or an agenda that is empty."""
        if data is None:
            data = struct.pack(_LAYOUT, NEVER, NEVER, NEVER, 0, 0, NEVER, 0, 0, 0, 0, 0, 0, 0, 0)
        fields = struct.unpack_from(_LAYOUT, data, 0)
        self.sample, self.report, self.health, self.join_at, self.ask_at, self.moment_at, self.start = fields[:7]
        self.safe_until, self.cause, self.misses, self.boots, self.exceptions, self.dropped = fields[7:13]
        self.announced = bool(fields[13])
        self.session = bytes(data[_FIXED:]) or None

    def pack(self):
        """The fixed fields, then the session."""
        fixed = struct.pack(
            _LAYOUT,
            self.sample,
            self.report,
            self.health,
            self.join_at,
            self.ask_at,
            self.moment_at,
            self.start,
            self.safe_until,
            self.cause,
            min(self.misses, 255),
            min(self.boots, 0xFFFF),
            min(self.exceptions, 0xFFFF),
            min(self.dropped, 0xFFFF),
            self.announced,
        )
        return fixed + (self.session or b"")
