"""The seal round every record that survives: version, length and CRC-32, so that a damaged one is never believed.

byte 0      version of the record's layout
bytes 1–2   length of the body, little-endian
bytes 3–6   CRC-32 (ISO-HDLC, as zlib) of version, length and body, little-endian
then        the body
"""

import struct
from binascii import crc32

HEAD_BYTES = 7


def head_of(version, body):
    """The seal that goes before a body of at most 65,535 bytes."""
    head = struct.pack("<BH", version, len(body))
    return head + struct.pack("<I", crc32(body, crc32(head)))


def seal(version, body):
    """The whole record."""
    return head_of(version, body) + body


def unseal(version, data):
    """The body of a record that may be followed by other bytes; None if it is absent, of another version or damaged."""
    if len(data) < HEAD_BYTES:
        return None
    found, length, check = struct.unpack("<BHI", data[:HEAD_BYTES])
    body = bytes(data[HEAD_BYTES : HEAD_BYTES + length])
    if found != version or len(body) != length or crc32(body, crc32(bytes(data[:3]))) != check:
        return None
    return body
