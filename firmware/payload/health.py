"""Health report: what the node says of itself, after a start and once a day."""

import struct
from collections import namedtuple

from .codes import PayloadError
from .wire import fits, head, read_head

PORT = 40

# battery: mV or codes.failure(reason). cause: machine.reset_cause() of the last start that was not a wake (1 power-on,
# 2 hard reset, 3 watchdog, 5 soft reset). major, minor, patch: firmware version. uptime: s since that start.
# queue: readings that wait. dropped: readings that the full queue lost. exceptions: since the node was commissioned.
# boots: starts that were not wakes. unsure: predicted error of the clock in s, 0xFFFF = 65535 s or more, or unknown.
# adr_refused: LinkADRReq blocks refused since the node was commissioned, at most 65535.
Health = namedtuple(
    "Health",
    (
        "mark",
        "flags",
        "battery",
        "cause",
        "major",
        "minor",
        "patch",
        "uptime",
        "queue",
        "dropped",
        "exceptions",
        "boots",
        "unsure",
        "adr_refused",
    ),
)

_BODY = "<HBBBBIBHHHHH"
_BITS = (16, 8, 8, 8, 8, 32, 8, 16, 16, 16, 16, 16)
SIZE = 27


def encode(record: Health, room: int) -> bytes:
    """The frame; PayloadError if it does not fit `room` bytes or a number does not fit its field."""
    if room < SIZE:
        raise PayloadError("%d bytes do not fit the room of %d" % (SIZE, room))
    values = tuple(record)[2:]
    for value, bits in zip(values, _BITS):
        fits("health field", value, bits)
    return head(record.flags, record.mark) + struct.pack(_BODY, *values)


def decode(data: bytes) -> Health:
    """The Health in a frame; PayloadError names what is wrong."""
    flags, mark = read_head(data, SIZE)
    if len(data) != SIZE:
        raise PayloadError("%d bytes, %d expected" % (len(data), SIZE))
    return Health(mark, flags, *struct.unpack_from(_BODY, data, 6))
