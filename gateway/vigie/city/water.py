"""The index of a water meter at the end of a local day: read, estimated between two readings, or unread with the reason.

docs/water.md has the meaning of each word. Whole numbers only: times in ns, water in ml, rounded down.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from ..rows import Count, Segment
from .days import Day, iso
from .meters import (
    Anchored,
    Counts,
    Meter,
    Rules,
    Site,
    anchored,
    counts_of,
    goes_on,
    meter_at,
    newer,
    pulses_between,
    readings_of,
    through,
    within,
)
from .readings import Judged, Reading, fits, judge

READ, ESTIMATED, UNREAD = "read", "estimated", "unread"
_SILENT = "no count since"


class Index(NamedTuple):
    """One meter's answer. `index_ml` None: unread, then `since_ns` says since when and `at_least_ml` what is sure, if anything is.

    `instant_ns`: the instant that the index holds for. `from_*`, `to_*`: the two readings of an estimate.
    `present`: whether the meter still hangs there, so that its dial can be read.
    """

    site: str
    serial: str
    dev_eui: str
    day: date
    instant_ns: int
    quality: str
    index_ml: int | None = None
    from_ns: int | None = None
    from_ml: int | None = None
    to_ns: int | None = None
    to_ml: int | None = None
    reason: str = ""
    since_ns: int | None = None
    at_least_ml: int | None = None
    present: bool = False


class Answer(NamedTuple):
    """An index, the readings that were not believed, and whether counts further away could change nothing."""

    found: Index
    odd: list[Reading]
    settled: bool


def index_of(
    site: Site,
    day: Day,
    counts: Counts,
    rules: Rules,
    foreign: frozenset[str],
    *,
    span_ns: int | None = None,
    last: bool = True,
) -> Answer:
    """The index of the site's meter at the end of `day`.

    `counts` has those of the site's devices, of all times or of `span_ns` to either side of the day's instant: then dial readings
    further away stay out too, and an answer that more counts could change is not settled. `last`: no count lies behind the span.
    `foreign`: DevEUIs of foreign devices.
    """
    at = day.instant_ns
    meter = meter_at(site, at)
    if meter is None:
        return Answer(_without_meter(site, day), [], settled=True)
    segment = meter.segment
    found = readings_of(meter, counts, rules.q4_ml_per_h)
    if span_ns is not None:
        found = [one for one in found if one.kind == "anchor" or abs(one.time_ns - at) <= span_ns]
    judged = judge([one for one in found if one.ml >= 0], rules.q4_ml_per_h)
    odd = sorted([*judged.odd, *(one for one in found if one.ml < 0)], key=lambda one: one.time_ns)
    is_foreign = segment is not None and (segment.epoch is None or segment.dev_eui in foreign)
    index = Index(
        site.site,
        meter.serial,
        segment.dev_eui if segment else "",
        day.day,
        at,
        UNREAD,
        present=segment is None or any(one.until_ns is None for one in meter.segments),
    )
    index = _answered(index, judged, odd, day, rules.foreign_ns if is_foreign else None)
    if index.quality == UNREAD:
        index = _unread(index, meter, judged, odd, counts, rules)
    return Answer(
        index, odd, settled=span_ns is None or (_settled(index, at, span_ns, last=last) and not odd and not is_foreign)
    )


def _settled(index: Index, at_ns: int, span_ns: int, *, last: bool) -> bool:
    """Whether no reading outside the span can lie nearer than those of the answer, given that all of them fit."""
    if index.quality != UNREAD:
        return all(one is None or abs(one - at_ns) <= span_ns for one in (index.from_ns, index.to_ns))
    return last and index.reason == _SILENT and index.since_ns is not None and at_ns - index.since_ns <= span_ns


def _answered(index: Index, judged: Judged, odd: Sequence[Reading], day: Day, foreign_ns: int | None) -> Index:
    """The index read or estimated; as it was where neither can be."""
    at = day.instant_ns
    exact = [one for one in judged.used if one.time_ns == at]
    if not exact and foreign_ns is not None:
        near = [one for one in judged.used if one.kind == "count" and abs(one.time_ns - day.end_ns) <= foreign_ns]
        exact = sorted(near, key=lambda one: abs(one.time_ns - day.end_ns))[:1]
    if exact:
        best = min(exact, key=lambda one: (one.unsure, one.missing_ml, one.kind != "count"))
        if not best.unsure and not best.missing_ml:
            return index._replace(quality=READ, index_ml=best.ml, instant_ns=best.time_ns)
        return _estimated(index, best, best, odd)
    before = max((one for one in judged.used if one.time_ns < at), key=lambda one: one.time_ns, default=None)
    after = min((one for one in judged.used if one.time_ns > at), key=lambda one: one.time_ns, default=None)
    if before is None or after is None:
        return index
    return _estimated(index, before, after, odd)


def _estimated(index: Index, before: Reading, after: Reading, odd: Sequence[Reading]) -> Index:
    """On the straight line between two readings, rounded down; at one of them where both are the same."""
    span, past = after.time_ns - before.time_ns, index.instant_ns - before.time_ns
    # a dial and a count may cross by a pulse (readings.fits): the dial does not turn back
    ml = before.ml + max(after.ml - before.ml, 0) * past // span if span else before.ml
    notes = []
    if before.unsure or after.unsure:
        notes.append("the node's clock may be off by more than 60 s")
    if missing := max(before.missing_ml, after.missing_ml):
        notes.append(f"a count epoch without an anchor: up to {missing // 1000} L more, as the register accepts")
    if not notes:
        notes.append("no count at that instant")
    notes += [_named(one) for one in odd if before.time_ns <= one.time_ns <= after.time_ns][:1]
    return index._replace(
        quality=ESTIMATED,
        index_ml=ml,
        from_ns=before.time_ns,
        from_ml=before.ml,
        to_ns=after.time_ns,
        to_ml=max(after.ml, before.ml),
        reason="; ".join(notes),
    )


def _named(odd: Reading) -> str:
    what = f"count {odd.pulses}" if odd.kind == "count" else f"{odd.kind} {odd.ml // 1000} L"
    return f"{what} of {iso(odd.time_ns)} does not fit: reset?"


def _without_meter(site: Site, day: Day) -> Index:
    at = day.instant_ns
    index = Index(site.site, "", "", day.day, at, UNREAD)
    past = [one for one in site.segments if one.until_ns is not None and one.until_ns <= at]
    ahead = [one for one in site.segments if one.since_ns > at]
    if past:
        last = max(past, key=lambda one: one.since_ns)
        out = "" if last.out_ml is None else f" at {last.out_ml // 1_000_000} m³"
        return index._replace(
            reason=f"meter {last.serial} was taken out{out}, no other is there", since_ns=last.until_ns
        )
    if ahead:
        first = ahead[0]
        return index._replace(reason=f"the register has no meter here before {first.serial} of {iso(first.since_ns)}")
    if not site.dials:
        return index._replace(reason="the register has no meter here")
    last_dial = max(
        (one for one in site.dials if one.time_ns <= at), key=lambda one: one.time_ns, default=site.dials[0]
    )
    known = last_dial.time_ns <= at
    return index._replace(
        serial=last_dial.serial,
        reason="read by hand only, " + ("not since" if known else f"not before {iso(last_dial.time_ns)}"),
        since_ns=last_dial.time_ns if known else None,
        at_least_ml=last_dial.ml if known else None,
        present=True,
    )


class _Loose(NamedTuple):
    """Counts of an epoch for which the register gives no litres; `floor`: the anchor of the epoch before, if there is one."""

    segment: Segment
    registered: bool
    floor: Anchored | None
    counts: list[Count]


def _loose(meter: Meter, counts: Counts) -> list[_Loose]:
    by_segment = {one.segment: one for one in anchored(meter.segments)}
    found = []
    for segment in meter.segments:
        anchor = by_segment.get(segment)
        if anchor is None or not anchor.accepted:
            found.append(_Loose(segment, True, anchor, counts_of(segment, counts)))
        known = {one.epoch for one in meter.segments if one.dev_eui == segment.dev_eui}
        heard = {one.epoch for one in counts.get(segment.dev_eui, ()) if within(segment, one.time_ns)}
        for epoch in heard - known:
            # an older epoch's counts come late, a newer one's are what the register has not heard of
            if epoch is not None and segment.epoch is not None and not newer(epoch, segment.epoch):
                continue
            new = segment._replace(epoch=epoch)
            handed_on = anchor._replace(segment=new) if anchor is not None and goes_on(segment, new) else None
            found.append(_Loose(new, False, handed_on, counts_of(new, counts)))
    return found


def _unread(index: Index, meter: Meter, judged: Judged, odd: Sequence[Reading], counts: Counts, rules: Rules) -> Index:
    at, segment = index.instant_ns, meter.segment
    before = max((one for one in judged.used if one.time_ns <= at), key=lambda one: one.time_ns, default=None)
    loose = [one for one in _loose(meter, counts) if one.segment.since_ns <= at]
    lost = next((one for one in loose if one.segment == segment), None)
    new = [one for one in loose if not one.registered and one.counts and one.counts[0].time_ns <= at]
    strange = [one for one in odd if before is None or one.time_ns > before.time_ns]
    if lost is not None:
        reason, since = (
            f"count epoch {lost.segment.epoch} has no anchor, and no loss is accepted",
            lost.segment.since_ns,
        )
    elif new:
        first = min(new, key=lambda one: one.counts[0].time_ns)
        reason, since = f"count epoch {first.segment.epoch} is not in the register", first.counts[0].time_ns
    elif strange and strange[0].kind == "count":
        reason, since = _named(strange[0]), strange[0].time_ns
    elif before is None:
        after = min((one.time_ns for one in judged.used), default=None)
        reason = "nothing heard yet" if after is None else f"no reading before that of {iso(after)}"
        since = segment.since_ns if segment else at
    else:
        reason = _SILENT if before.kind == "count" else f"nothing heard since the {before.kind}"
        since = before.time_ns
    if strange and strange[0].kind != "count":
        reason += "; " + _named(strange[0])
    floors = [_floor(one, before, at, rules.q4_ml_per_h) for one in loose]
    floors += [before.ml] if before is not None else []
    return index._replace(
        reason=reason, since_ns=since, at_least_ml=max((one for one in floors if one is not None), default=None)
    )


def _floor(loose: _Loose, before: Reading | None, at_ns: int, q4_ml_per_h: int) -> int | None:
    """What the dial shows at least: the last sure reading and the pulses since, or the counts as if no pulse had been lost."""
    heard = [one for one in loose.counts if one.time_ns <= at_ns]
    if not heard:
        return None
    start = Anchored(loose.segment, 0, heard[0].time_ns, heard[0].pulses, 0, accepted=False)
    fit = {one.time_ns for one in judge([through(start, one, q4_ml_per_h) for one in heard], q4_ml_per_h).used}
    heard = [one for one in heard if one.time_ns in fit]
    if not heard:
        return None
    found = []
    if loose.floor is not None:
        found.append(through(loose.floor, heard[-1], q4_ml_per_h))
    since = [one for one in heard if before is not None and one.time_ns >= before.time_ns]
    if before is not None and since:
        grain = loose.segment.ml_per_pulse
        counted = pulses_between(since[0], since[-1], q4_ml_per_h, grain) * grain
        found.append(before._replace(time_ns=since[-1].time_ns, ml=before.ml + counted, kind="dial"))
    return max(
        (one.ml for one in found if one.ml >= 0 and (before is None or fits(before, one, q4_ml_per_h))), default=None
    )
