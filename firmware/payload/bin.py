"""Bin frame: the echo of each full hour, newest first, as many as fit."""

import struct
from collections import namedtuple

from .codes import PayloadError
from .wire import HEAD, fits, head, read_head

PORT = 20
STEP = 3600  # seconds between two readings; each stands on a multiple of it

# mark: UTC s of the newest reading. echoes: Echo, newest first, STEP apart (an hour without one: NOT_MEASURED).
Bin = namedtuple("Bin", ("mark", "flags", "echoes"))

# distance: mm from the sensor to what it sees (median), or codes.failure(reason). spread: greatest less least of the
# valid echoes, mm, 255 = that or more. valid: how many echoes the median was taken of.
Echo = namedtuple("Echo", ("distance", "spread", "valid"))

_ECHO = "<HBB"
_SIZE = 4


def encode(record: Bin, room: int) -> bytes:
    """The frame, with as many earlier hours as `room` bytes allow; PayloadError if not even the newest fits."""
    if not record.echoes:
        raise PayloadError("no echo to send")
    if room < HEAD + _SIZE:
        raise PayloadError("%d bytes do not fit the room of %d" % (HEAD + _SIZE, room))
    out = head(record.flags, record.mark)
    for echo in record.echoes[: (room - HEAD) // _SIZE]:
        out += struct.pack(
            _ECHO, fits("distance", echo.distance, 16), fits("spread", echo.spread, 8), fits("valid", echo.valid, 8)
        )
    return out


def decode(data: bytes) -> Bin:
    """The Bin in a frame; PayloadError names what is wrong."""
    flags, mark = read_head(data, HEAD + _SIZE)
    if (len(data) - HEAD) % _SIZE:
        raise PayloadError("%d bytes are not whole readings" % len(data))
    echoes = []
    for at in range(HEAD, len(data), _SIZE):
        distance, spread, valid = struct.unpack_from(_ECHO, data, at)
        echoes.append(Echo(distance, spread, valid))
    return Bin(mark, flags, tuple(echoes))
