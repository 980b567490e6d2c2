"""How the tests of the index ask: a segment to change, counts by day, one question."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from vigie.city import days, meters, water
from vigie.rows import Count, Segment

PARIS = ZoneInfo("Europe/Paris")
H = 3600 * 1_000_000_000
D = 24 * H
DEV = "00000000000000c1"
RULES = meters.Rules()
L = 1000
M3 = 1_000_000


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


T0 = utc("2026-01-01")  # where the segments of this page begin


def segment(**changed):
    made = Segment("S1", "M1", DEV, 1, 10 * L, 100 * M3, T0, 1000, T0, None, None, None)
    return made._replace(**changed)


def counts(*pairs, epoch=1, dev=DEV):
    """(day after T0, pulses)"""
    return [Count(dev, T0 + int(day * D), epoch, pulses) for day, pulses in pairs]


def ask(at, segments, found, dials=(), foreign=(), rules=RULES):
    """The answer for the local day before the midnight `at` days after T0."""
    by_device = {}
    for one in sorted(found, key=lambda one: one.time_ns):
        by_device.setdefault(one.dev_eui, []).append(one)
    site = meters.Site("S1", tuple(segments), tuple(dials))
    day = days.local_day(date(2025, 12, 31).fromordinal(date(2025, 12, 31).toordinal() + at), PARIS)
    assert day.instant_ns == T0 + at * D
    return water.index_of(site, day, by_device, rules, frozenset(foreign)).found
