"""Numbers to bytes and back, with the range checks that `struct` on MicroPython does not make."""

import struct

from .codes import TIME_UNKNOWN, VERSION, PayloadError

HEAD = 6  # version, flags, mark


def fits(name: str, value: int, bits: int) -> int:
    """`value`, if it is an unsigned number of `bits` bits; MicroPython's struct would cut it silently."""
    if not 0 <= value < 1 << bits:
        raise PayloadError("%s %d does not fit %d bits" % (name, value, bits))
    return value


def head(flags: int, mark: int) -> bytes:
    """The first six bytes of every frame: version, flags, time mark (UTC seconds since 1970, 0 if unknown)."""
    if (mark == 0) != bool(flags & TIME_UNKNOWN):
        raise PayloadError("time mark %d and flags %d disagree" % (mark, flags))
    return struct.pack("<BBI", VERSION << 4, fits("flags", flags, 8), fits("mark", mark, 32))


def read_head(data: bytes, least: int) -> tuple[int, int]:
    """(flags, mark) of a frame of at least `least` bytes; PayloadError for another version or a short frame."""
    if len(data) == 0:
        raise PayloadError("empty payload")
    if data[0] != VERSION << 4:
        raise PayloadError("payload version byte 0x%02x, not 0x%02x" % (data[0], VERSION << 4))
    if len(data) < least:
        raise PayloadError("%d bytes, at least %d expected" % (len(data), least))
    _, flags, mark = struct.unpack_from("<BBI", data, 0)
    if (mark == 0) != bool(flags & TIME_UNKNOWN):
        raise PayloadError("time mark %d and flags %d disagree" % (mark, flags))
    return flags, mark


def put_varint(value: int) -> bytes:
    """Unsigned LEB128, at most five bytes."""
    fits("number", value, 32)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def take_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, index after it) of the unsigned LEB128 number at `at`."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise PayloadError("frame ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            raise PayloadError("number longer than five bytes")
    if value >= 1 << 32 or (shift and byte == 0):
        raise PayloadError("number not in its shortest form")
    return value, at
