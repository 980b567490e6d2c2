"""What all frames share: the version, the flags, reason codes for what could not be measured, and the error.

A measured field travels as one unsigned 16-bit number: 0..0xFFEF is a value in the field's unit, 0xFFF0 + code says
why there is none. So a failure can never be taken for a reading, and a reading never needs a second field.
"""

VERSION = 1

# Flags, the same bits in every kind of frame.
TIME_UNSURE = 1  # a stated time may be off by more than 60 s: the mark, or a reading's
TIME_UNKNOWN = 2  # the node does not know the time: `mark` is 0
LOW_BATTERY = 4
# Flags of a meter frame.
NOW = 8  # the count of the moment is in the frame
DAYS = 16  # midnight counts are in the frame
LEAK = 32  # no hour without flow among the last 24, all of them seen
EPOCH_YOUNG = 64  # the count epoch began less than a day ago

# Reason codes.
NOT_MEASURED = 1
SILENCE = 2
BAD_CHECKSUM = 3
SHORT_READ = 4
NO_ECHO = 5
BLIND_ZONE = 6
OUT_OF_RANGE = 7
UNSTEADY = 8

REASONS = {
    NOT_MEASURED: "not measured",
    SILENCE: "silence",
    BAD_CHECKSUM: "bad checksum",
    SHORT_READ: "short read",
    NO_ECHO: "no echo",
    BLIND_ZONE: "blind zone",
    OUT_OF_RANGE: "out of range",
    UNSTEADY: "unsteady",
}

FAILED = 0xFFF0


class PayloadError(ValueError):
    """A frame that cannot be made or read; the text says what is wrong, in a few words."""


def failure(code: int) -> int:
    """The field that carries reason `code` (1..15)."""
    if not 1 <= code <= 15:
        raise PayloadError("reason code %d is not in 1..15" % code)
    return FAILED | code


def reason(field: int) -> int:
    """The reason code in a field, 0 if the field is a value."""
    return field & 0x0F if field >= FAILED else 0
