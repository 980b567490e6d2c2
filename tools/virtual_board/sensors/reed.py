"""The reed contact of a water meter: it closes for 30 % of each revolution, bounces at both ends, rests where the water stops."""

from __future__ import annotations

from functools import partial

from ...world.truth import HOUR, House
from ..wiring import Host, Timer
from .served import Record

US = 1000
LONGEST_BOUNCE_NS = 5_000 * US


class Reed:
    """Pulls `pin` to ground while closed. The magnet turns with the water, whether the board has power or not."""

    def __init__(self, house: House, pin: int) -> None:
        """`house` is the truth behind the meter."""
        self.record = Record(kinds=("silent",))
        """`served` has (count,) at each true pulse; while "silent" a pulse is lost, as with a magnet too far away."""
        self._house = house
        self._pin = pin
        self._planned: Timer | None = None

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self._host = host

    def power(self, on: bool) -> None:
        """`Device.power`: the contact is where the water left it."""
        if on:
            self._host.drive(self._pin, 0 if self._house.contact_closed(self._host.now) else None)
            if self._planned is None:
                self._plan(self._host.now + 1)
        else:
            self._host.drive(self._pin, None)
            if self._planned is not None:
                self._planned.cancel()
                self._planned = None

    def _plan(self, since: int) -> None:
        """Looks an hour ahead; without an edge there it looks again."""
        edges = self._house.contact_edges(since, since + HOUR)
        if edges:
            when, closed = edges[0]
            self._planned = self._host.at(when, lambda: self._edge(closed=closed))
        else:
            self._planned = self._host.at(since + HOUR - 1, lambda: self._plan(since + HOUR))

    def _edge(self, *, closed: bool) -> None:
        """The true edge, then one to three pairs of bounces within 1 to 5 ms."""
        now = self._host.now
        if closed:
            self.record.note(now, (self._house.pulse_count(now),))
        if not self.record.fault(now):
            final = 0 if closed else None
            draw = self._host.random(f"reed {now}")
            count = 2 * draw.randrange(1, 4)
            moments = sorted(draw.sample(range(50 * US, draw.randrange(1_000 * US, LONGEST_BOUNCE_NS)), count))
            self._host.drive(self._pin, final)
            for place, after in enumerate(moments):
                level = final if place % 2 else (None if closed else 0)
                self._host.at(now + after, partial(self._bounce, level))
        self._plan(now + 1)

    def _bounce(self, level: int | None) -> None:
        if self._planned is not None:
            self._host.drive(self._pin, level)
