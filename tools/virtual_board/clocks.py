"""A board's two clocks against world time, in exact integer arithmetic: one run is the same on every machine.

Awake, a board counts microseconds of its crystal; asleep, of its slow RC oscillator, whose error follows the temperature.
"""

from __future__ import annotations

from collections.abc import Callable

_BILLION = 1_000_000_000
# A sleeping board's rate is looked up this often: the temperature of a street moves by far less than 1 K in ten minutes.
_STRETCH = 600 * _BILLION


def to_world(us: int, ppb: int) -> int:
    """World ns that `us` of a clock take which runs `ppb` (parts per billion) fast; rounded up, so that `to_board` of it is `us`."""
    return -(-us * 1000 * _BILLION // (_BILLION + ppb))


def to_board(ns: int, ppb: int) -> int:
    """Whole µs that such a clock has counted after `ns` of world time."""
    return ns * (_BILLION + ppb) // (1000 * _BILLION)


def next_tick(ns: int, ppb: int) -> int:
    """The first µs of such a clock that does not lie before `ns` of world time."""
    return -(-ns * (_BILLION + ppb) // (1000 * _BILLION))


class SleepClock:
    """The slow clock of one sleep that began at world time `start`; `ppm` gives its error (positive: fast) at a world time."""

    def __init__(self, start: int, ppm: Callable[[int], int]) -> None:
        self._start = start
        self._ppm = ppm

    def wake(self, us: int) -> int:
        """World time in ns at which it has counted `us`."""
        at = self._start
        while True:
            ppb = 1000 * self._ppm(at)
            stretch = to_board(_STRETCH, ppb)
            if us <= stretch:
                return at + to_world(us, ppb)
            us -= stretch
            at += _STRETCH

    def counted(self, when: int) -> int:
        """µs that it has counted at world time `when`."""
        at = self._start
        us = 0
        while when - at > _STRETCH:
            us += to_board(_STRETCH, 1000 * self._ppm(at))
            at += _STRETCH
        return us + to_board(when - at, 1000 * self._ppm(at))
