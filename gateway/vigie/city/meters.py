"""A site's meters as the register knows them: segments and dial readings made into readings of one meter, never across a change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..rows import Count, Dial, Segment, SiteRow
from .readings import Reading, most_ml

_WRAP = 1 << 32  # counts are 32 bits
_EPOCHS = 1 << 16

Counts = Mapping[str, Sequence[Count]]


class Rules(NamedTuple):
    """`q4_ml_per_h`: the greatest flow of a meter; `foreign_ns`: how far from a day's end a foreign device's count may lie."""

    q4_ml_per_h: int = 3_125_000
    foreign_ns: int = 3 * 3600 * 1_000_000_000


class Site(NamedTuple):
    """A place with what the register has of its meters, both by time."""

    site: str
    segments: tuple[Segment, ...]
    dials: tuple[Dial, ...]


class Anchored(NamedTuple):
    """A segment with the anchor that makes litres of its counts: its own, or that of the epoch before, as counts go on.

    `missing_ml`: what may have been lost since that anchor as far as the register accepts it; `accepted` False: it does not, and
    the litres are a lower bound.
    """

    segment: Segment
    ml: int
    time_ns: int
    pulses: int
    missing_ml: int
    accepted: bool


class Meter(NamedTuple):
    """The meter of a site at an instant: its segments by time and the span in which readings of this serial are its own.

    `segment` is the one at that instant, None for a meter that is read by hand only.
    """

    site: str
    serial: str
    segment: Segment | None
    segments: tuple[Segment, ...]
    dials: tuple[Dial, ...]
    since_ns: int
    until_ns: int


def sites(rows: Iterable[SiteRow], segments: Iterable[Segment], dials: Iterable[Dial]) -> list[Site]:
    """Every site that has, or should have, a meter; by name."""
    by_site: dict[str, tuple[list[Segment], list[Dial]]] = {row.site: ([], []) for row in rows if row.kind == "meter"}
    for segment in segments:
        by_site.setdefault(segment.site, ([], []))[0].append(segment)
    for dial in dials:
        by_site.setdefault(dial.site, ([], []))[1].append(dial)
    return [
        Site(
            name,
            tuple(sorted(by_site[name][0], key=lambda one: one.since_ns)),
            tuple(sorted(by_site[name][1], key=lambda one: one.time_ns)),
        )
        for name in sorted(by_site)
    ]


def meter_at(site: Site, at_ns: int) -> Meter | None:
    """The meter whose segment covers the instant, or ended there; else one that was read by hand before and after it.

    Segments of two epochs may overlap, as nobody knows the minute in which one ended: the younger one stands for both.
    """
    covering = [
        one for one in site.segments if one.since_ns <= at_ns and (one.until_ns is None or at_ns < one.until_ns)
    ]
    covering = covering or [one for one in site.segments if one.until_ns == at_ns and one.out_ml is not None]
    if covering:
        youngest = max(covering, key=lambda one: one.since_ns)
        return _meter(site, youngest.serial, youngest, at_ns)
    before = [one.serial for one in site.dials if one.time_ns <= at_ns]
    after = [one.serial for one in site.dials if one.time_ns >= at_ns]
    if before and after and before[-1] == after[0]:
        found = _meter(site, after[0], None, at_ns)
        if found.dials[0].time_ns <= at_ns <= found.dials[-1].time_ns:
            return found
    return None


def _meter(site: Site, serial: str, segment: Segment | None, at_ns: int) -> Meter:
    others = [one for one in site.segments if one.serial != serial]
    since = max((one.until_ns for one in others if one.until_ns is not None and one.until_ns <= at_ns), default=0)
    until = min((one.since_ns for one in others if one.since_ns > at_ns), default=1 << 63)
    return Meter(
        site.site,
        serial,
        segment,
        tuple(one for one in site.segments if one.serial == serial and since <= one.since_ns < until),
        tuple(one for one in site.dials if one.serial == serial and since <= one.time_ns <= until),
        since,
        until,
    )


def anchored(segments: Sequence[Segment]) -> Iterator[Anchored]:
    """The segments of one meter for which there is an anchor, their own or one handed on from the epoch before."""
    last: Anchored | None = None
    for segment in segments:
        if segment.anchor_ml is not None and segment.anchor_ns is not None and segment.anchor_count is not None:
            last = Anchored(segment, segment.anchor_ml, segment.anchor_ns, segment.anchor_count, 0, accepted=True)
        elif last is not None and goes_on(last.segment, segment):
            last = last._replace(
                segment=segment,
                missing_ml=last.missing_ml + 1000 * (segment.tolerance_l or 0),
                accepted=last.accepted and segment.tolerance_l is not None,
            )
        else:
            last = None
            continue
        yield last


def goes_on(before: Segment, after: Segment) -> bool:
    """Whether counts of `after` go on from those of `before` (contract 7: a new epoch starts at the last stored count)."""
    return (
        before.dev_eui == after.dev_eui
        and before.ml_per_pulse == after.ml_per_pulse
        and before.epoch is not None
        and after.epoch is not None
        and newer(after.epoch, before.epoch)
    )


def newer(epoch: int, than: int) -> bool:
    """Whether a count epoch of 16 bits is a later one."""
    return 0 < (epoch - than) % _EPOCHS < _EPOCHS // 2


def counts_of(segment: Segment, counts: Counts) -> list[Count]:
    """The counts that belong to a segment: of its device and epoch, within its time."""
    return [
        one for one in counts.get(segment.dev_eui, ()) if one.epoch == segment.epoch and within(segment, one.time_ns)
    ]


def within(segment: Segment, at_ns: int) -> bool:
    """Whether the segment covers the instant."""
    return segment.since_ns <= at_ns and (segment.until_ns is None or at_ns < segment.until_ns)


def pulses_between(before: Count, after: Count, q4_ml_per_h: int, ml_per_pulse: int) -> int:
    """Pulses from one count to a later one, over the 32-bit rollover; negative where the count went back."""
    return _step(before.pulses, after.pulses, after.time_ns - before.time_ns, q4_ml_per_h, ml_per_pulse)


def _step(before: int, after: int, span_ns: int, q4_ml_per_h: int, ml_per_pulse: int) -> int:
    over = (after - before) % _WRAP
    return (
        over
        if after >= before or over * ml_per_pulse <= most_ml(span_ns, q4_ml_per_h) + ml_per_pulse
        else after - before
    )


def through(anchor: Anchored, count: Count, q4_ml_per_h: int) -> Reading:
    """A count as the dial that stood above it."""
    grain = anchor.segment.ml_per_pulse
    span = count.time_ns - anchor.time_ns
    if span >= 0:
        step = _step(anchor.pulses, count.pulses, span, q4_ml_per_h, grain)
    else:
        step = -_step(count.pulses, anchor.pulses, -span, q4_ml_per_h, grain)
    return Reading(
        count.time_ns,
        anchor.ml + step * grain,
        "count",
        (count.dev_eui, count.epoch, anchor.segment.since_ns),
        grain,
        anchor.missing_ml,
        count.unsure,
        count.pulses,
    )


def readings_of(meter: Meter, counts: Counts, q4_ml_per_h: int) -> list[Reading]:
    """All that says where the meter's dial stood; counts that the register gives no litres for are not among them."""
    found = [Reading(one.time_ns, one.ml, "dial") for one in meter.dials]
    for one in anchored(meter.segments):
        if one.accepted:
            found += [through(one, count, q4_ml_per_h) for count in counts_of(one.segment, counts)]
    for segment in meter.segments:
        if segment.anchor_ml is not None and segment.anchor_ns is not None:
            found.append(Reading(segment.anchor_ns, segment.anchor_ml, "anchor"))
        if segment.out_ml is not None and segment.until_ns is not None:
            found.append(Reading(segment.until_ns, segment.out_ml, "out"))
    return found
