"""Whether a row may stand in the register beside what stands there already: the reason why not, or None. Pure."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..rows import BinShape, Commissioning, DeviceRow, Dial, Segment, SiteRow
from .cells import LITRES, written_time
from .sheets import Row

_AHEAD_NS = 86_400 * 1_000_000_000  # a clock that is off, or a zone forgotten; more is a typing error
_EPOCHS = 65_536


class Facts(NamedTuple):
    """What the register knows round a row, the entry that the row takes the place of left out.

    `site`, `device`: those that it names. `devices`: those of its site. `segments`: all that share its site, its device or its
    serial. `readings`: dial readings of its site.
    """

    now_ns: int
    site: SiteRow | None = None
    device: DeviceRow | None = None
    devices: Sequence[DeviceRow] = ()
    segments: Sequence[Segment] = ()
    readings: Sequence[Dial | Commissioning] = ()


def refusal(row: Row, facts: Facts) -> str | None:
    """Why the row may not be taken, None if it may."""
    match row:
        case SiteRow():
            return _site(row, facts)
        case DeviceRow():
            return _device(row, facts)
        case Segment():
            return _segment(row, facts)
        case Dial():
            return _at_site(row.site, "meter", facts) or _dial(row, facts)
        case BinShape():
            return _at_site(row.site, "bin", facts) or _bin(row)
        case Commissioning():
            return _commissioning(row, facts)


def withdrawal(row: Row, facts: Facts, named_by: Sequence[str]) -> str | None:
    """Why the row may not be taken out, None if it may. `named_by`: kinds of entries that name the site or the device."""
    if named_by:
        return f"{', '.join(named_by)} still name it; withdraw or correct those first"
    if isinstance(row, Segment):
        return _fall(row.site, row.serial, facts.segments, facts.readings)
    return None


def _site(row: SiteRow, facts: Facts) -> str | None:
    if (row.lat is None) != (row.lon is None):
        return "lat and lon are given together or not at all"
    if wrong := next((device for device in facts.devices if device.kind != row.kind), None):
        return f"kind is {row.kind!r}, but the device {wrong.dev_eui} there is a {wrong.kind}"
    if row.kind != "meter" and (facts.segments or facts.readings):
        return f"kind is {row.kind!r}, but the register has a meter there"
    return None


def _device(row: DeviceRow, facts: Facts) -> str | None:
    if row.site is not None and (why := _at_site(row.site, row.kind, facts)):
        return why
    if row.kind != "meter" and facts.segments:
        return f"kind is {row.kind!r}, but it has meter segments"
    return None


def _at_site(site: str, kind: str, facts: Facts) -> str | None:
    if facts.site is None:
        return f"the site {site!r} is not in the register; import sites first"
    if facts.site.kind != kind:
        return f"the site {site!r} is of kind {facts.site.kind!r}, not {kind!r}"
    return None


def _known(dev_eui: str, facts: Facts) -> str | None:
    return None if facts.device else f"the device {dev_eui} is not in the register; import devices first"


def _segment(row: Segment, facts: Facts) -> str | None:
    why = _at_site(row.site, "meter", facts) or _known(row.dev_eui, facts)
    if why is None and facts.device is not None and facts.device.kind != "meter":
        why = f"the device {row.dev_eui} is of kind {facts.device.kind!r}, not 'meter'"
    return (
        why
        or _span(row, facts.now_ns)
        or next((why for other in facts.segments if (why := _clash(row, other))), None)
        or _fall(row.site, row.serial, [*facts.segments, row], facts.readings)
    )


def _span(row: Segment, now_ns: int) -> str | None:
    anchor = (row.anchor_ml, row.anchor_ns, row.anchor_count)
    if any(part is None for part in anchor) and any(part is not None for part in anchor):
        return "anchor_dial_l, anchor_time and anchor_count are given together or not at all"
    if row.since_ns > now_ns + _AHEAD_NS:
        return f"since is {written_time(row.since_ns)}, in the future"
    if row.until_ns is not None and row.until_ns <= row.since_ns:
        return f"until ({written_time(row.until_ns)}) is not after since ({written_time(row.since_ns)})"
    if row.out_ml is not None and row.until_ns is None:
        return "out_dial_l is the dial at until, which is empty"
    if row.anchor_ns is not None and not row.since_ns <= row.anchor_ns <= (row.until_ns or row.anchor_ns):
        return f"anchor_time ({written_time(row.anchor_ns)}) lies outside since and until"
    return None


def _clash(row: Segment, other: Segment) -> str | None:
    """Why two segments cannot both be: a count or an index would have two meanings."""
    if not _overlap(row, other):
        return None
    there = f"the segment of {other.dev_eui} at {other.site!r}, meter {other.serial!r}, {_spoken(other)}"
    cure = "close the earlier one (until, out_dial_l) first"
    if row.dev_eui != other.dev_eui:
        return f"it overlaps {there}; {cure}"
    if row.epoch is None or other.epoch is None or row.epoch == other.epoch:
        return f"it overlaps {there}, in the same count epoch; {cure}"
    if (row.site, row.serial) != (other.site, other.serial):
        return f"it overlaps {there}: a device counts one meter at a time; {cure}"
    # The end of an epoch is not known to the minute, so its segment may be left open; the order is.
    later, earlier = (row, other) if row.since_ns > other.since_ns else (other, row)
    grown = ((later.epoch or 0) - (earlier.epoch or 0)) % _EPOCHS
    if later.since_ns == earlier.since_ns or grown >= _EPOCHS // 2:
        return f"epoch {row.epoch} does not follow in time as epochs do, beside {there}"
    return None


def _overlap(one: Segment, other: Segment) -> bool:
    return (other.until_ns is None or one.since_ns < other.until_ns) and (
        one.until_ns is None or other.since_ns < one.until_ns
    )


def _spoken(segment: Segment) -> str:
    end = "on" if segment.until_ns is None else f"until {written_time(segment.until_ns)}"
    return f"from {written_time(segment.since_ns)} {end}"


def _dial(row: Dial | Commissioning, facts: Facts) -> str | None:
    if row.time_ns > facts.now_ns + _AHEAD_NS:
        return f"time is {written_time(row.time_ns)}, in the future"
    if isinstance(row, Commissioning) and row.dial_ml is None:
        return None
    here = [segment for segment in facts.segments if segment.site == row.site]
    mine = [segment for segment in here if segment.serial == row.serial]
    if here and not mine:
        serials = ", ".join(sorted({segment.serial for segment in here}))
        return f"the meter {row.serial!r} has no segment at {row.site!r} (there: {serials}); import its segment first"
    if mine and all(segment.until_ns is not None and segment.until_ns < row.time_ns for segment in mine):
        return f"the meter {row.serial!r} was taken out before; import the segment of the one that hangs there now"
    return _fall(row.site, row.serial, mine, [*facts.readings, row])


def _bin(row: BinShape) -> str | None:
    if row.full_mm >= row.depth_mm:
        return f"full_mm ({row.full_mm}) must be less than depth_mm ({row.depth_mm}): both are seen from the sensor"
    return None if row.volume_l else "volume_l is 0"


def _commissioning(row: Commissioning, facts: Facts) -> str | None:
    if facts.site is None:
        return f"the site {row.site!r} is not in the register; import sites first"
    if (row.lat is None) != (row.lon is None):
        return "lat and lon are given together or not at all"
    if row.dial_ml is not None and not row.serial:
        return "dial_l needs the meter's serial"
    return _known(row.dev_eui, facts) or _dial(row, facts)


class _Point(NamedTuple):
    """What a dial showed: on which meter (the how manieth that hangs there by closed segments), when, how much."""

    turn: int
    time_ns: int
    ml: int


def _fall(site: str, serial: str, segments: Iterable[Segment], readings: Iterable[Dial | Commissioning]) -> str | None:
    """The first fall of a meter's dial that no closed segment explains. A dial goes back only by being another, or past its last digit."""
    mine = [segment for segment in segments if (segment.site, segment.serial) == (site, serial)]
    ends = [segment.until_ns for segment in mine if segment.until_ns is not None and segment.out_ml is not None]
    points = []
    for segment in mine:
        if segment.until_ns is not None and segment.out_ml is not None:
            points.append(_point(ends, segment.until_ns, segment.out_ml, ending=True))
        if segment.anchor_ns is not None and segment.anchor_ml is not None:
            points.append(_point(ends, segment.anchor_ns, segment.anchor_ml, ending=False))
    points += [
        _point(ends, reading.time_ns, ml, ending=True)
        for reading in readings
        if (reading.site, reading.serial) == (site, serial)
        and (ml := reading.ml if isinstance(reading, Dial) else reading.dial_ml) is not None
    ]
    points.sort()
    for before, after in pairwise(points):
        if before.turn == after.turn and before.ml > after.ml:
            return (
                f"the dial of {serial!r} falls from {LITRES.write(before.ml)} L ({written_time(before.time_ns)}) to "
                f"{LITRES.write(after.ml)} L ({written_time(after.time_ns)}); if the meter was replaced, close its segment "
                "(until, out_dial_l) and import the new one's, else mend the line"
            )
    return None


def _point(ends: Sequence[int], time_ns: int, ml: int, *, ending: bool) -> _Point:
    """`ending`: at the very instant of a change it still shows the meter that goes."""
    return _Point(sum(end < time_ns if ending else end <= time_ns for end in ends), time_ns, ml)
