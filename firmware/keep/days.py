"""The midnight counts that a meter keeps, in RTC memory and in flash, newest last. Pure.

An entry stands for itself: it carries its epoch, so entries of several epochs lie side by side until they are proven sent.
"""

import struct

VERSION = 1
KEPT = 30
ENTRY = "<HHIHHBB"  # epoch, day since 1970, count, least, most, hours seen, flags
ENTRY_BYTES = struct.calcsize(ENTRY)
LEAK = 1
UNCERTAIN = 2  # the clock may have been off by more than 60 s
PROVEN = 4  # a frame that carried it was answered


def add(body, epoch, day, count, least, most, seen, flags):
    """The body with one more entry; the oldest one leaves when 30 are there."""
    return (body + struct.pack(ENTRY, epoch, day, count, least, most, seen, flags))[-KEPT * ENTRY_BYTES :]


def entries(body):
    """[(epoch, day, count, least, most, seen, flags)], oldest first."""
    return [struct.unpack_from(ENTRY, body, at) for at in range(0, len(body), ENTRY_BYTES)]


def prove(body, epoch, days):
    """The body with the entries of `days` (a list) in `epoch` marked as proven sent."""
    kept = b""
    for entry in entries(body):
        flags = entry[6] | PROVEN if entry[0] == epoch and entry[1] in days else entry[6]
        kept += struct.pack(ENTRY, *entry[:6], flags)
    return kept


def latest_epoch(body):
    """(epoch, count) of the newest entry; (0, 0) if there is none."""
    if not body:
        return 0, 0
    entry = struct.unpack_from(ENTRY, body, len(body) - ENTRY_BYTES)
    return entry[0], entry[2]
