"""Hours and days of a pulse count, closed when the first wake after them comes. Pure.

Every pulse wakes the node, so at any wake the count before its pulse is the count at every boundary since the last wake.
An hour is seen when the node knew the time at its start and counted without a break until its end.
"""

import struct

HOUR_MS = 3_600_000
NO_FLOW = 0xFFFF  # least and most of a day of which no hour was seen
LEAK_HOURS = 24
_UNKNOWN = 0xFFFFFFFF
_LAYOUT = "<IIBHHBB"  # hour, base, whole, least, most, seen, run
SIZE = struct.calcsize(_LAYOUT)


class Hours:
    """The hour that runs, the day that runs, and for how many hours in a row water has flowed."""

    def __init__(self, data=None):
        """From `pack()`'s bytes, or a counter that knows no time."""
        if data is None:
            data = struct.pack(_LAYOUT, _UNKNOWN, 0, 0, NO_FLOW, 0, 0, 0)
        self.hour, self._base, self._whole, self.least, self.most, self.seen, self.run = struct.unpack(_LAYOUT, data)

    def pack(self):
        """`SIZE` bytes."""
        return struct.pack(_LAYOUT, self.hour, self._base, self._whole, self.least, self.most, self.seen, self.run)

    @property
    def leak(self):
        """Whether the last 24 hours were all seen and none was without flow."""
        return self.run >= LEAK_HOURS

    def advance(self, utc, count):
        """Closes what ended before `utc` (ms) with `count`, the pulses before this instant.

        Returns the days that ended: (day since 1970, count at its end, least and greatest hourly pulses, hours seen, leak);
        least and greatest are `NO_FLOW` and 0 where no hour was seen. A clock set back closes nothing and reopens nothing.
        """
        hour = utc // HOUR_MS
        if self.hour == _UNKNOWN:
            self._begin(hour, count, 0)
            return []
        days = []
        while self.hour < hour:
            if self._whole:
                self._close(count - self._base)
            else:
                self.run = 0
            if (self.hour + 1) % 24 == 0:
                days.append((self.hour // 24, count, self.least, self.most, self.seen, self.leak))
                self.least, self.most, self.seen = NO_FLOW, 0, 0
            self._begin(self.hour + 1, count, 1)
        return days

    def stepped(self, utc, count):
        """The clock was moved by more than it may be off.

        The hours between were not lived through: none is closed, the running one is not whole, and after a step
        back the node waits for the hour after the one it was in.
        """
        hour = utc // HOUR_MS
        if self.hour == _UNKNOWN:
            return
        if hour > self.hour:
            if hour // 24 != self.hour // 24:
                self.least, self.most, self.seen = NO_FLOW, 0, 0
            self._begin(hour, count, 0)
        self._whole = 0
        self.run = 0

    def _begin(self, hour, count, whole):
        self.hour = hour
        self._base = count
        self._whole = whole

    def _close(self, flow):
        flow = min(flow, NO_FLOW - 1)
        self.least = flow if self.seen == 0 else min(self.least, flow)
        self.most = max(self.most, flow)
        self.seen += 1
        self.run = min(self.run + 1, LEAK_HOURS) if flow else 0
