"""Local days and the instants that stand for them (contract 8); times are int ns UTC since 1970."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

NS = 1_000_000_000
HOUR_NS = 3600 * NS
DAY_NS = 24 * HOUR_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Day(NamedTuple):
    """A local day: `start_ns` and `end_ns` are its local midnights, in Europe 23, 24 or 25 hours apart.

    `instant_ns` is the first UTC midnight at or after its end, whose count is the index of that day.
    """

    day: date
    start_ns: int
    end_ns: int
    instant_ns: int


def local_day(day: date, zone: tzinfo) -> Day:
    """The day in `zone`."""
    start, end = (_midnight(one, zone) for one in (day, day + timedelta(days=1)))
    return Day(day, start, end, -(-end // DAY_NS) * DAY_NS)


def _midnight(day: date, zone: tzinfo) -> int:
    # Where a clock change swallows midnight, fold 0 is the change itself: the first moment of that day.
    moment = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (moment - _EPOCH) // timedelta(seconds=1) * NS


def iso(ns: int) -> str:
    """UTC, to the second, with Z."""
    return (_EPOCH + timedelta(seconds=ns // NS)).strftime("%Y-%m-%dT%H:%M:%SZ")
