"""Meter frame: count epoch, time mark, midnight counts with the day's figures, newest first, as many as fit.

A count is a number of pulses that nobody ever sets (design: one truth for a reading). Day number d names the UTC
midnight at which day d begins (days since 1970-01-01); its count is the count at that midnight, its figures are those
of the UTC day that ended there.
"""

import struct
from collections import namedtuple

from .codes import DAYS, NOW, PayloadError
from .wire import fits, head, put_varint, read_head, take_varint

PORT = 10

# epoch: u16. mark: UTC s, 0 if unknown. flags: codes. now: the count at `mark`, or None. day: number of the newest
# midnight in `days`, 0 if there is none. days: Days, newest first, one a midnight without a gap.
Meter = namedtuple("Meter", ("epoch", "mark", "flags", "now", "day", "days"))

# count: pulses at the midnight. least, greatest: pulses in the emptiest and the fullest hour of the UTC day that ended
# there, of those hours that were seen whole; -1 if hours is 0. hours: how many were seen, 0..24. unsure: 1 if the clock
# may have been off by more than 60 s at that midnight (the frame's flag speaks of the time mark).
Day = namedtuple("Day", ("count", "least", "greatest", "hours", "unsure"))


def encode(meter: Meter, room: int) -> bytes:
    """The frame, with as many earlier days as `room` bytes allow; PayloadError if not even the newest day fits."""
    if (meter.now is not None) != bool(meter.flags & NOW) or bool(meter.days) != bool(meter.flags & DAYS):
        raise PayloadError("flags %d do not say what is in the frame" % meter.flags)
    out = head(meter.flags, meter.mark) + struct.pack("<H", fits("epoch", meter.epoch, 16))
    if meter.now is not None:
        out += struct.pack("<I", fits("count", meter.now, 32))
    later = None
    for day in meter.days:
        if later is None:
            part = struct.pack("<HI", fits("day", meter.day, 16), fits("count", day.count, 32))
        elif day.count > later:
            raise PayloadError("count %d of an earlier day above %d" % (day.count, later))
        else:
            part = put_varint(later - day.count)
        part += _figures(day)
        if len(out) + len(part) > room and later is not None:
            break
        out += part
        later = day.count
    if len(out) > room:
        raise PayloadError("%d bytes do not fit the room of %d" % (len(out), room))
    return out


def decode(data: bytes) -> Meter:
    """The Meter in a frame; PayloadError names what is wrong."""
    flags, mark = read_head(data, 8)
    (epoch,) = struct.unpack_from("<H", data, 6)
    at = 8
    now = None
    day = 0
    days = []
    if flags & NOW:
        if len(data) < at + 4:
            raise PayloadError("frame ends inside the count of the moment")
        (now,) = struct.unpack_from("<I", data, at)
        at += 4
    if flags & DAYS:
        if len(data) < at + 6:
            raise PayloadError("frame ends inside the midnight count")
        day, count = struct.unpack_from("<HI", data, at)
        at += 6
        while True:
            least, greatest, hours, unsure, at = _read_figures(data, at)
            days.append(Day(count, least, greatest, hours, unsure))
            if at == len(data):
                break
            used, at = take_varint(data, at)
            count -= used
            if count < 0 or len(days) > day:
                raise PayloadError("history goes back behind zero")
    if at != len(data):
        raise PayloadError("%d bytes too many" % (len(data) - at))
    return Meter(epoch, mark, flags, now, day, tuple(days))


def _figures(day: Day) -> bytes:
    # The usual day has all 24 hours: then no byte is spent on them.
    if not 0 <= day.hours <= 24 or day.unsure not in (0, 1):
        raise PayloadError("%d hours, unsure %d" % (day.hours, day.unsure))
    bits = day.unsure << 1 | (day.hours != 24)
    if day.hours == 0 and day.least == -1 and day.greatest == -1:
        return bytes((bits, 0))
    if day.hours == 0 or not 0 <= day.least <= day.greatest:
        raise PayloadError("least %d, greatest %d in %d hours" % (day.least, day.greatest, day.hours))
    hours = b"" if day.hours == 24 else bytes((day.hours,))
    return put_varint(day.least << 2 | bits) + hours + put_varint(day.greatest - day.least)


def _read_figures(data: bytes, at: int) -> tuple[int, int, int, int, int]:
    least, at = take_varint(data, at)
    unsure = least >> 1 & 1
    hours = 24
    if least & 1:
        if at >= len(data):
            raise PayloadError("frame ends inside a day's figures")
        hours = data[at]
        at += 1
        if hours > 23:
            raise PayloadError("%d hours in a partly seen day" % hours)
        if hours == 0:
            if least > 3:
                raise PayloadError("figures of a day that was not seen")
            return -1, -1, 0, unsure, at
    least >>= 2
    more, at = take_varint(data, at)
    return least, least + more, hours, unsure, at
