"""Answers for many sites out of as few counts as will do: those near the instant first, further away only for whom that left open."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from ..rows import Count, Dial
from .compare import Compared, compare
from .days import DAY_NS, Day
from .meters import Counts, Rules, Site
from .water import Answer, index_of

Fetch = Callable[[Collection[str] | None, int, int], Iterable[Count]]
"""(DevEUIs or None for all, from ns, until ns) -> counts."""
Progress = Callable[[int, int], None]
"""(sites that wait, sites in all), now and then."""

A = TypeVar("A")
_SPANS_NS = (3 * DAY_NS, 45 * DAY_NS, 400 * DAY_NS, None)
_WHOLE_CITY_NS = 45 * DAY_NS  # what fits into memory of all meters at once
_FEW = 200  # devices whose counts of all times are asked for at once: a hundred thousand counts in two years
_MANY = 2000  # from so many devices on, all are read for one answer


class Asked(NamedTuple, Generic[A]):
    """What is asked about each site: `answer(site, counts, span)` and whether counts further away than `span` could change nothing.

    With a span of None it has all counts before `until_ns`, and the last word.
    """

    at_ns: int
    until_ns: int
    answer: Callable[[Site, Counts, int | None], tuple[A, bool]]


def index_round(
    sites: Sequence[Site],
    day: Day,
    rules: Rules,
    foreign: frozenset[str],
    until_ns: int,
    fetch: Fetch,
    progress: Progress,
) -> list[Answer]:
    """The index of every site at the end of `day`, in their order; no count lies behind `until_ns`."""

    def answer(site: Site, counts: Counts, span: int | None) -> tuple[Answer, bool]:
        last = span is None or day.instant_ns + span >= until_ns
        found = index_of(site, day, counts, rules, foreign, span_ns=span, last=last)
        return found, found.settled

    return ask(sites, Asked(day.instant_ns, until_ns, answer), fetch, progress)


def compare_round(
    sites: Sequence[Site],
    dials: Mapping[str, Sequence[Dial]],
    day: Day,
    rules: Rules,
    within_ml: int,
    until_ns: int,
    fetch: Fetch,
    progress: Progress,
) -> list[Compared]:
    """The dial readings of each site, all of them within `day`, against the radio; in the order of the sites."""

    def answer(site: Site, counts: Counts, span: int | None) -> tuple[list[Compared], bool]:
        found = [compare(dial, site, counts, rules, within_ml, span) for dial in dials[site.site]]
        return [one for one, _ in found], all(settled for _, settled in found)

    middle = (day.start_ns + day.end_ns) // 2
    return [one for group in ask(sites, Asked(middle, until_ns, answer), fetch, progress) for one in group]


def ask(sites: Sequence[Site], asked: Asked[A], fetch: Fetch, progress: Progress) -> list[A]:
    """The answers in the order of the sites."""
    answers: dict[str, A] = {}
    waiting = list(sites)
    for span in _SPANS_NS:
        start = 0 if span is None else asked.at_ns - span
        stop = asked.until_ns if span is None else min(asked.at_ns + span + 1, asked.until_ns)
        size = _FEW if span is None or span > _WHOLE_CITY_NS else len(waiting) or 1
        left: list[Site] = []
        for first in range(0, len(waiting), size):
            progress(len(waiting) - first + len(left), len(sites))
            part = waiting[first : first + size]
            counts = _by_device(part, start, stop, fetch)
            for site in part:
                answers[site.site], settled = asked.answer(site, counts, span)
                if not settled:
                    left.append(site)
        waiting = left
    return [answers[site.site] for site in sites]


def _by_device(sites: Sequence[Site], start_ns: int, stop_ns: int, fetch: Fetch) -> Counts:
    devices = {segment.dev_eui for site in sites for segment in site.segments}
    found: dict[str, list[Count]] = {dev_eui: [] for dev_eui in devices}
    batches: list[Collection[str] | None] = [None]
    if len(devices) < _MANY:
        ordered = sorted(devices)
        batches = [ordered[first : first + _FEW] for first in range(0, len(ordered), _FEW)]
    for batch in batches:
        for one in fetch(batch, start_ns, stop_ns):
            if one.dev_eui in found:
                found[one.dev_eui].append(one)
    for counts in found.values():
        counts.sort(key=lambda one: one.time_ns)
    return found
