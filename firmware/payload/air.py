"""Air frame: particles, temperature and humidity of each quarter of an hour, newest first, as many as fit."""

import struct
from collections import namedtuple

from .codes import PayloadError
from .wire import HEAD, fits, head, read_head

PORT = 30
STEP = 900  # seconds between two readings; each stands on a multiple of it
COLD = 10000  # temperatures travel as hundredths of a degree Celsius above -100 degrees

# mark: UTC s of the newest reading. samples: Sample, newest first, STEP apart (none taken: NOT_MEASURED).
Air = namedtuple("Air", ("mark", "flags", "samples"))

# Each a value or codes.failure(reason). pm1, pm25, pm10: ug/m3 as the sensor gives them for atmospheric use.
# temperature: 0.01 degrees Celsius + COLD. humidity: 0.01 % relative, as measured.
Sample = namedtuple("Sample", ("pm1", "pm25", "pm10", "temperature", "humidity"))

_SAMPLE = "<HHHHH"
_SIZE = 10


def encode(record: Air, room: int) -> bytes:
    """The frame, with as many earlier samples as `room` bytes allow; PayloadError if not even the newest fits."""
    if not record.samples:
        raise PayloadError("no sample to send")
    if room < HEAD + _SIZE:
        raise PayloadError("%d bytes do not fit the room of %d" % (HEAD + _SIZE, room))
    out = head(record.flags, record.mark)
    for sample in record.samples[: (room - HEAD) // _SIZE]:
        for value in sample:
            out += struct.pack("<H", fits("field", value, 16))
    return out


def decode(data: bytes) -> Air:
    """The Air in a frame; PayloadError names what is wrong."""
    flags, mark = read_head(data, HEAD + _SIZE)
    if (len(data) - HEAD) % _SIZE:
        raise PayloadError("%d bytes are not whole readings" % len(data))
    samples = [Sample(*struct.unpack_from(_SAMPLE, data, at)) for at in range(HEAD, len(data), _SIZE)]
    return Air(mark, flags, tuple(samples))
