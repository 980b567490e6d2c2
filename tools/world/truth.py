"""The ground truth: what really happens at a site, as pure functions of (seed, site, world time).

Nothing here has to be saved: the same question gives the same answer after any restart. World time is ns UTC; habits follow
UTC+1. Only whole-number arithmetic, so that all machines agree. Caches hold days that were asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from . import chance

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND

# What a household opens: (first and last start hour UTC, most times a day, ml/s, shortest and longest run in s).
_HABITS = (
    ("shower", 5, 7, 3, 130, 200, 420),
    ("breakfast", 5, 8, 4, 60, 20, 60),
    ("toilet", 5, 21, 9, 100, 60, 70),
    ("kitchen", 10, 12, 3, 70, 30, 120),
    ("machine", 16, 18, 1, 90, 500, 700),
    ("dinner", 17, 19, 5, 70, 40, 150),
    ("bath", 18, 20, 1, 160, 500, 900),
)
_ABSENT_ONE_DAY_IN = 12


@dataclass(frozen=True)
class _Day:
    """A day as steps of constant flow: starts (ns), flows (ml/s), volume before each start (ml·s⁻¹·ns) and in all."""

    starts: list[int]
    flows: list[int]
    before: list[int]
    total: int


@dataclass
class House:
    """A household behind a meter with a contact every `litres_per_pulse`, running since the day of `installed` (ns).

    No water runs from 22:00 to 05:00 UTC unless it leaks: `leak_ml_s` (5 = 18 L/h) without a pause from `leak_from` (ns) on.
    """

    seed: int
    site: str
    installed: int
    leak_from: int | None = None
    leak_ml_s: int = 5
    litres_per_pulse: int = 10
    _totals: list[int] = field(default_factory=lambda: [0], repr=False)
    _days: dict[int, _Day] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._first = self.installed // DAY
        self._pulse = self.litres_per_pulse * 1000 * SECOND

    def volume_ml(self, when: int) -> int:
        """Volume in ml since the installation."""
        return self._volume(when) // SECOND

    def pulse_count(self, when: int) -> int:
        """How many pulses the meter had given at `when`, that instant included."""
        return self._volume(when) // self._pulse

    def pulses(self, since: int, until: int) -> list[int]:
        """Exact instants (ns) in [since, until) at which a pulse is complete: the contact begins to close."""
        first, last = self.pulse_count(since - 1) + 1, self.pulse_count(until - 1)
        return [self._reached(number * self._pulse) for number in range(first, last + 1)]

    def contact_edges(self, since: int, until: int) -> list[tuple[int, bool]]:
        """(instant, closed) in [since, until): closed for the first 30 % of a revolution, at rest wherever the water stops."""
        edges = [(when, True) for when in self.pulses(since, until)]
        gap = self._pulse * 3 // 10
        first = (self._volume(since - 1) - gap) // self._pulse + 1
        last = (self._volume(until - 1) - gap) // self._pulse
        edges += [(self._reached(number * self._pulse + gap), False) for number in range(max(first, 1), last + 1)]
        return sorted(edges)

    def contact_closed(self, when: int) -> bool:
        """Whether the contact is closed at an instant; before the first pulse it is open."""
        volume = self._volume(when)
        return volume >= self._pulse and volume % self._pulse < self._pulse * 3 // 10

    def _volume(self, when: int) -> int:
        number = when // DAY
        if number < self._first:
            return 0
        day = self._day(number)
        place = bisect_right(day.starts, when) - 1
        return self._total(number) + day.before[place] + day.flows[place] * (when - day.starts[place])

    def _reached(self, volume: int) -> int:
        """First instant (ns) at which the volume is reached; only asked for what already ran."""
        place = bisect_right(self._totals, volume - 1) - 1
        day, rest = self._day(self._first + place), volume - self._totals[place]
        step = bisect_right(day.before, rest - 1) - 1
        return day.starts[step] - (day.before[step] - rest) // day.flows[step]

    def _total(self, number: int) -> int:
        while len(self._totals) <= number - self._first + 1:
            self._totals.append(self._totals[-1] + self._day(self._first + len(self._totals) - 1).total)
        return self._totals[number - self._first]

    def _day(self, number: int) -> _Day:
        if number not in self._days:
            self._days[number] = self._make(number)
        return self._days[number]

    def _make(self, number: int) -> _Day:
        changes: dict[int, int] = {number * DAY: 0}
        for start, end, flow in self._runs(number):
            changes[start] = changes.get(start, 0) + flow
            changes[end] = changes.get(end, 0) - flow
        if self.leak_from is not None and self.leak_from < (number + 1) * DAY:
            start = max(self.leak_from, number * DAY)
            changes[start] = changes.get(start, 0) + self.leak_ml_s
        starts = sorted(changes)
        flows, before, flow, total = [], [], 0, 0
        for place, start in enumerate(starts):
            flow += changes[start]
            flows.append(flow)
            before.append(total)
            end = starts[place + 1] if place + 1 < len(starts) else (number + 1) * DAY
            total += flow * (end - start)
        return _Day(starts, flows, before, total)

    def _runs(self, number: int) -> list[tuple[int, int, int]]:
        """What is opened on a day: (start, end) in ns and ml/s; all ends before 22:00 UTC."""
        if chance.below(self.seed, _ABSENT_ONE_DAY_IN, "absent", self.site, number) == 0:
            return []
        runs = []
        for name, first, last, most, flow, shortest, longest in _HABITS:
            for turn in range(chance.below(self.seed, most + 1, "times", self.site, number, name)):
                bits = chance.draw(self.seed, "run", self.site, number, name, turn)
                start = first * 3600 + (bits & 0xFFFFFF) % ((last - first) * 3600)
                lasts = shortest + (bits >> 24 & 0xFFFFFF) % (longest - shortest + 1)
                begin = number * DAY + start * SECOND
                runs.append((begin, begin + lasts * SECOND, flow))
        return runs


_WEEK = (90, 90, 95, 100, 125, 150, 130)
"""How much more a bin gets on a weekday, Monday first, per cent."""
_BIN_DAY = (1, 1, 1, 1, 1, 2, 4, 7, 8, 7, 7, 9, 10, 8, 7, 7, 8, 10, 11, 9, 6, 4, 2, 1)
"""How much more a bin gets in an hour (UTC)."""


@dataclass(frozen=True)
class Bin:
    """A street bin under an ultrasonic sensor, `depth_mm` from sensor to floor; steps of 60 s.

    Rounds come on the weekdays `rounds` (Monday is 0) between 05:00 and 07:00 UTC, one in `fails` fails (0: none does); a bin
    is never fuller than 120 mm below the sensor.
    """

    seed: int
    site: str
    depth_mm: int = 1500
    daily_mm: int = 300
    rounds: tuple[int, ...] = (0, 3)
    fails: int = 10

    def emptied(self, when: int) -> int:
        """Instant (ns, a whole minute) of the last round at or before `when`."""
        day = when // DAY
        while True:
            round_at = self._round(day)
            if round_at is not None and round_at <= when:
                return round_at
            day -= 1

    def level_mm(self, when: int) -> int:
        """Distance in mm from the sensor to the content, constant within a minute."""
        minute = when // MINUTE * MINUTE
        since = self.emptied(minute)
        filled, hour = 0, since // HOUR
        while hour * HOUR < minute:
            seconds = (min(minute, (hour + 1) * HOUR) - max(since, hour * HOUR)) // SECOND
            filled += self._hourly_um(hour) * seconds // 3600
            hour += 1
        return max(120, self.depth_mm - filled // 1000)

    def _hourly_um(self, hour: int) -> int:
        """Growth in an hour, in µm."""
        share = _BIN_DAY[hour % 24] * _WEEK[(hour // 24 + 3) % 7] * 10 // sum(_BIN_DAY)
        return self.daily_mm * share * (60 + chance.below(self.seed, 81, "fill", self.site, hour)) // 100

    def _round(self, day: int) -> int | None:
        if (day + 3) % 7 not in self.rounds or (
            self.fails and chance.below(self.seed, self.fails, "missed round", self.site, day) == 0
        ):
            return None
        return day * DAY + 5 * HOUR + chance.below(self.seed, 120, "round", self.site, day) * MINUTE


def _wave(position: int, period: int, height: int) -> int:
    """A daily wave of two parabolas, from -height to height, 0 and rising at position 0."""
    half = period // 2
    phase = position % period
    sign, inside = (1, phase) if phase < half else (-1, phase - half)
    return sign * 4 * height * inside * (half - inside) // (half * half)


@dataclass(frozen=True)
class Street:
    """A street's air, in steps of 15 s; an evening of bad air from `bad_from` to `bad_until` (ns)."""

    seed: int
    site: str
    bad_from: int = 0
    bad_until: int = 0

    def pm(self, when: int) -> tuple[int, int, int]:
        """PM1, PM2.5 and PM10 in µg/m³."""
        step = when // (15 * SECOND)
        at = step * 15 * SECOND
        day = 8 + chance.below(self.seed, 9, "pm", self.site, at // DAY)
        rush = max(0, _wave(at % DAY - 4 * HOUR, 12 * HOUR, 6))
        middle = day + rush + chance.below(self.seed, 5, "pm step", self.site, step) - 2
        if self.bad_from <= at < self.bad_until:
            middle += 60 + chance.below(self.seed, 11, "bad air", self.site, step)
        return middle * 7 // 10, middle, middle * 14 // 10 + 2

    def climate(self, when: int) -> tuple[int, int]:
        """Temperature in m°C and relative humidity in 0.001 %."""
        step = when // (15 * SECOND)
        temperature = outdoor(self.seed, self.site, step * 15 * SECOND)
        temperature += chance.below(self.seed, 41, "breath", self.site, step) - 20
        return temperature, min(99_000, max(20_000, 62_000 - (temperature - 15_000) * 5 // 2))


def outdoor(seed: int, site: str, when: int) -> int:
    """Temperature in m°C outside: 15 °C and ±8 °C over the day, coldest at 04:00 UTC, days up to 2 °C apart from it."""
    return 13_000 + _day_shift(seed, site, when) + _wave(when - 10 * HOUR, DAY, 8000)


def meter_pit(seed: int, site: str, when: int) -> int:
    """Temperature in m°C in a meter's pit: 12 °C and ±1.5 °C over the day, behind the air by four hours."""
    return 11_500 + _day_shift(seed, site, when) // 4 + _wave(when - 14 * HOUR, DAY, 1500)


def _day_shift(seed: int, site: str, when: int) -> int:
    """0 to 4000 m°C, going evenly from one day's draw to the next one's."""
    day, into = divmod(when, DAY)
    here, there = (_day_draw(seed, site, number) for number in (day, day + 1))
    return here + (there - here) * into // DAY


@lru_cache(maxsize=256)
def _day_draw(seed: int, site: str, day: int) -> int:
    return chance.below(seed, 4001, "day shift", site, day)


def crystal_ppm(seed: int, board: str) -> int:
    """Error of a board's 40 MHz crystal, -40 to 40 ppm."""
    return chance.below(seed, 81, "crystal", board) - 40


def sleep_clock_ppm(seed: int, board: str, temperature_mc: int) -> int:
    """Error of a board's sleep clock in ppm: its own, ±4 %, and 500 ppm a kelvin from 20 °C on; never beyond ±5 %."""
    own = chance.below(seed, 80_001, "sleep clock", board) - 40_000
    return max(-50_000, min(50_000, own + (temperature_mc - 20_000) // 2))
