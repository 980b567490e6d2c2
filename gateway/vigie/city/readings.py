"""Which readings of one meter may be believed: those that agree with one another, by time and by the flow that a meter can pass.

A reading that goes back, or is further ahead than the greatest flow allows, is odd: a failed look-up, a slip of the pen, a
counter that began again. It is named and never used, so that no consumption is negative and none is invented.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .days import HOUR_NS, NS

_CLOCK_NS = 60 * NS  # how far two clocks may be apart: a node's (contract 8), a person's watch
MOST_ODD = 3
"""So many odd readings in a row are taken for slips; more of them, and the counter began again."""
_TRUSTED = 1_000_000  # what an anchor weighs against any number of counts


class Reading(NamedTuple):
    """A meter's dial at an instant, ml.

    `kind`: "count" (a device's, through its segment), "dial" (a person's), "anchor" or "out" (a segment's begin and end).
    `source` (DevEUI, epoch, the segment's begin) is the same for counts whose differences are exact; `grain_ml` is what one pulse is worth, 0 for a dial.
    `missing_ml`: so much more there may be, where the register accepted a loss. `pulses` is the count itself.
    """

    time_ns: int
    ml: int
    kind: str
    source: tuple[str, int | None, int] = ("", None, 0)
    grain_ml: int = 0
    missing_ml: int = 0
    unsure: bool = False
    pulses: int | None = None

    @property
    def trusted(self) -> bool:
        """Whether the register vouches for it."""
        return self.kind in {"anchor", "out"}


class Judged(NamedTuple):
    """Readings by time: those that agree, and the odd ones."""

    used: list[Reading]
    odd: list[Reading]


def most_ml(span_ns: int, q4_ml_per_h: int) -> int:
    """The most water that passes in `span_ns`, clocks a minute apart."""
    return q4_ml_per_h * (span_ns + _CLOCK_NS) // HOUR_NS


def fits(before: Reading, after: Reading, q4_ml_per_h: int) -> bool:
    """Whether one meter can show both.

    Counts of one source never go back. A dial and a count are read by two clocks and a count is behind by up to a pulse, so
    between those a pulse and a minute's greatest flow are let pass.
    """
    step, span = after.ml - before.ml, after.time_ns - before.time_ns
    grain = max(before.grain_ml, after.grain_ml)
    if before.kind == after.kind == "count" and before.source == after.source:
        return step == 0 if span == 0 else 0 <= step <= most_ml(span, q4_ml_per_h) + grain
    back = grain + most_ml(0, q4_ml_per_h) + before.missing_ml
    return -back <= step <= most_ml(span, q4_ml_per_h) + grain + after.missing_ml


def judge(readings: Sequence[Reading], q4_ml_per_h: int) -> Judged:
    """The longest chain of readings of which each fits the next and that has the anchors in it.

    Where two chains are as long, only what they share. After more than `MOST_ODD` odd ones in a row nothing is believed until
    the register vouches again.
    """
    ordered = sorted(set(readings), key=lambda one: (one.time_ns, one.ml))
    if all(fits(before, after, q4_ml_per_h) for before, after in pairwise(ordered)):
        return Judged(ordered, [])
    believed = ordered
    while True:
        kept = _chain(believed, q4_ml_per_h)
        until = _began_again(believed, kept)
        if until is None:
            break
        believed = believed[:until]
    chosen = {believed[number] for number in kept}
    return Judged([one for one in ordered if one in chosen], [one for one in ordered if one not in chosen])


def _chain(readings: Sequence[Reading], q4_ml_per_h: int) -> set[int]:
    """Numbers of the readings that every heaviest chain has."""
    weights = [_TRUSTED if one.trusted else 1 for one in readings]
    to: list[int] = []  # the weight of the heaviest chain that ends with a reading, and how many there are
    ways_to: list[int] = []
    links: list[list[int]] = []  # what stands before it there
    most = [0]  # the greatest of `to` up to each reading
    for n, one in enumerate(readings):
        best = 0
        links_here: list[int] = []
        for k in range(n - 1, -1, -1):
            if most[k + 1] < best:  # as nearly all fit, the search ends at the neighbour
                break
            if to[k] >= best and fits(readings[k], one, q4_ml_per_h):
                links_here = [k] if to[k] > best else [*links_here, k]
                best = to[k]
        to.append(weights[n] + best)
        ways_to.append(sum(ways_to[k] for k in links_here) or 1)
        links.append(links_here)
        most.append(max(most[-1], to[-1]))
    ways = sum(w for w, one in zip(ways_to, to, strict=True) if one == most[-1])
    ways_from = [int(one == most[-1]) for one in to]
    for n in range(len(readings) - 1, -1, -1):
        if ways_from[n]:
            for k in links[n]:
                ways_from[k] += ways_from[n]
    return {n for n in range(len(readings)) if ways_to[n] * ways_from[n] == ways}


def _began_again(readings: Sequence[Reading], kept: set[int]) -> int | None:
    """Where belief ends: behind the first long run of odd readings that others follow, unless the register vouches for one of these."""
    run = 0
    for number in range(len(readings)):
        if number not in kept:
            run += 1
            continue
        if run > MOST_ODD and not any(readings[later].trusted for later in kept if later >= number):
            return number
        run = 0
    return None
