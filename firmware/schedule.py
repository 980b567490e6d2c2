"""When a node samples and sends. Pure; times in UTC ms since 1970.

Samples are taken on exact boundaries, frames leave at the device's own offset behind them, so that a city's nodes neither
miss a boundary nor all speak at once.
"""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

SAMPLE_EVERY = {"bin": HOUR_MS, "air": 15 * MINUTE_MS}
REPORT_EVERY = {"meter": 6 * HOUR_MS, "bin": HOUR_MS, "air": 15 * MINUTE_MS}
_AFTER_MS = 40_000  # after a boundary until a sample is taken and stored
_BEFORE_MS = {
    "meter": 60_000,
    "bin": 120_000,
    "air": 120_000,
}  # a frame, its windows and a warm-up before the next boundary


def digest(dev_eui, salt):
    """FNV-1a, 32 bits, of a DevEUI (hex) and a word: spreads devices whose EUIs follow each other."""
    value = 0x811C9DC5
    for byte in (dev_eui + salt).encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def report_offset(dev_eui, kind):
    """The device's own place in the report interval: ms after the interval's boundary, clear of the samples at both ends."""
    return _AFTER_MS + digest(dev_eui, "report") % (REPORT_EVERY[kind] - _AFTER_MS - _BEFORE_MS[kind])


def health_offset(dev_eui):
    """The device's own place in the day for its health report, ms after midnight UTC."""
    return digest(dev_eui, "health") % DAY_MS


def following(after, every, offset=0):
    """The first instant `offset` behind a multiple of `every` that is later than `after`."""
    return (after - offset) // every * every + every + offset
