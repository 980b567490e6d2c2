"""How far a paced world is behind the wall clock, and what the time went into.

Looked at every 50 ms of world time: a downlink has 630 ms between a network server's answer and its first window, of which a
world that lags takes its share.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .clock import Clock

LOOK_NS = 50_000_000
LIMIT_NS = 100_000_000
"""A greater lag is told."""
AGAIN_NS = 10_000_000_000
"""Of wall time, between two lines."""
_MS = 1_000_000


@dataclass(frozen=True)
class _Spent:
    """Where both clocks stood, and what had gone by then, in ns: waiting for boards, holding, this process' processor time."""

    wall: int
    world: int
    boards: int
    held: int
    processor: int


class Pace:
    """Watches a clock from now on, once `Clock.pace` is on."""

    def __init__(self, clock: Clock, say: Callable[[str], None], wall: Callable[[], int] = time.time_ns) -> None:
        """`say` gets a line for a lag over 100 ms, at most one in ten seconds, with the part that took the most."""
        self._clock = clock
        self._say = say
        self._wall = wall
        self.most_ns = 0
        """The greatest lag so far."""
        self._recent_ns = 0
        self._told = -AGAIN_NS
        self._before = self._spent()
        clock.after(LOOK_NS, self._look)

    def recent(self) -> int:
        """The greatest lag in ns since the last call."""
        recent, self._recent_ns = self._recent_ns, 0
        return recent

    def _look(self) -> None:
        now = self._spent()
        lag = now.wall - self._clock.now
        self.most_ns = max(self.most_ns, lag)
        self._recent_ns = max(self._recent_ns, lag)
        if lag <= LIMIT_NS:
            self._before = now
        elif now.wall - self._told >= AGAIN_NS:
            self._told = now.wall
            self._say(
                f"world time is {lag // _MS} ms behind the wall clock ({self._part(now)}); downlinks may come too late: "
                "run fewer boards, or leave this machine more to itself"
            )
        self._clock.after(LOOK_NS, self._look)

    def _spent(self) -> _Spent:
        return _Spent(self._wall(), self._clock.now, self._clock.waited_ns, self._clock.held_ns, time.process_time_ns())

    def _part(self, now: _Spent) -> str:
        """What took the most since the world was last on time."""
        before = self._before
        wall, held = now.wall - before.wall, now.held - before.held
        boards = now.boards - before.boards
        own = wall - held - boards
        late = held - (now.world - before.world)  # it held for the wall clock and was woken too late
        if boards >= max(own, late):
            return f"the boards' interpreters took {boards // _MS} ms"
        if own >= late and (now.processor - before.processor) * 2 >= own:
            return f"the world's own work took {own // _MS} ms"
        return f"this machine gave it no time for {max(own, late) // _MS} ms: busy with something else, or asleep"
