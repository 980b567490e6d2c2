"""Readings on their way from a sensor to the payload: medians and the fields of a frame. Pure.

A sensor answers with a value in the unit of its frame or with a reason, one of the payload's reason codes; 0 is no reason.
"""

from payload.codes import (
    BAD_CHECKSUM,
    BLIND_ZONE,
    NO_ECHO,
    NOT_MEASURED,
    OUT_OF_RANGE,
    SHORT_READ,
    SILENCE,
    UNSTEADY,
    failure,
)

__all__ = (
    "BAD_CHECKSUM",
    "BLIND_ZONE",
    "NOT_MEASURED",
    "NO_ECHO",
    "OUT_OF_RANGE",
    "SHORT_READ",
    "SILENCE",
    "UNSTEADY",
    "commonest",
    "failure",
    "field",
    "median",
)


def median(values):
    """The middle of an odd number of integers; the lower middle of an even one, so that it is always a measured value."""
    return sorted(values)[(len(values) - 1) // 2]


def commonest(reasons):
    """The reason given most often in a list; the first of equals."""
    return max(reasons, key=lambda reason: (reasons.count(reason), -reasons.index(reason)))


def field(value, reason, above=0):
    """A frame's 16-bit field: `value` + `above`, or the reason code; a value that no field can hold is out of range."""
    if reason:
        return failure(reason)
    return value + above if 0 <= value + above < 0xFFF0 else failure(OUT_OF_RANGE)
