"""UTC from the RTC, and how far it may be off.

The RTC counts milliseconds; awake it runs on the crystal (± 40 ppm), asleep on an RC oscillator (± 5 %, some 500 ppm/K).
Two DeviceTime answers far enough apart give the ratio of the sleep clock over the time between them. The ratio then
drifts with temperature: `wander` is the fastest drift seen lately, in ppm an hour. A ratio learned over an interval P is
P/2 old in the middle, so after a further time t the mean ratio is off by at most wander · (P + t) / 2.

Integers only: UTC in ms since 1970, RTC in ms since power-on, ratios in parts per 10⁹.
"""

import struct

CRYSTAL_PPM = 50  # ± 40 ppm and ageing
RAW_SLEEP_PPM = 53_000  # sleep clock before its ratio is known: 5 % slow loses 1 ms in 19
ANSWER_MS = 500  # a DeviceTime answer's own error: radio, interrupt, network server
KEEP_MS = 45_000  # ask again before the clock may be off by so much
FLAG_MS = 60_000  # beyond it a reading's time is flagged
STALE_MS = 20 * 3_600_000  # ask at least so often, well within a day
LEARN_MS = 600_000  # shortest sleep that teaches a ratio: ± 1 s of 600 s is 1,700 ppm
WANDER_FIRST = 1_500  # ppm/h: 3 K an hour, a housing as the sun comes round
WANDER_LEAST = 60  # ppm/h: a pit under the road
WANDER_MEMORY_MS = 48 * 3_600_000
SWING_PPM = 15_000  # no more than 30 K between two answers
_LAYOUT = "<BqqIiIIIHq"  # state, utc, rtc, slept, ratio, error, ends, before, wander, doubt
SIZE = struct.calcsize(_LAYOUT)

GPS_EPOCH_MS = 315_964_800_000  # 1980-01-06 in UTC ms
LEAP_MS = 18_000  # GPS − UTC since 2017-01-01; no leap second has been announced since
EARLIEST_MS = 1_735_689_600_000  # 2025-01-01: an older time is a network's mistake
LATEST_MS = 2_366_841_600_000  # 2045-01-01

_KNOWN = 1
_LEARNED = 2
_DOUBTED = 4


def utc_of_gps(seconds, fraction_256):
    """UTC ms of a DeviceTimeAns (TS001-1.0.4, 5.9): 1353221399 s is 2022-11-23 06:49:41Z."""
    return GPS_EPOCH_MS - LEAP_MS + seconds * 1000 + fraction_256 * 1000 // 256


class Clock:
    """The node's clock. Until a first answer it runs from 0 at power-on and `known` is False."""

    def __init__(self, data=None):
        """From `pack()`'s bytes, or a clock that knows nothing."""
        if data is None:
            data = struct.pack(_LAYOUT, 0, 0, 0, 0, 0, 0, 0, 0, WANDER_FIRST, 0)
        (
            self._state,
            self._utc,
            self._rtc,
            self._slept,
            self._ratio,
            self._error,
            self._ends,
            self._before,
            self._wander,
            self._doubt,
        ) = struct.unpack(_LAYOUT, data)

    def pack(self):
        """`SIZE` bytes."""
        return struct.pack(
            _LAYOUT,
            self._state,
            self._utc,
            self._rtc,
            min(self._slept, 0xFFFFFFFF),
            self._ratio,
            min(self._error, 0xFFFFFFFF),
            min(self._ends, 0xFFFFFFFF),
            min(self._before, 0xFFFFFFFF),
            min(self._wander, 0xFFFF),
            self._doubt,
        )

    @property
    def known(self):
        """Whether a network has told the time since power-on."""
        return bool(self._state & _KNOWN)

    @property
    def learned(self):
        """Whether the ratio of the sleep clock is known."""
        return bool(self._state & _LEARNED)

    @property
    def doubted(self):
        """Whether an answer was not believed and a second one should come soon."""
        return bool(self._state & _DOUBTED)

    def slept(self, rtc_ms):
        """So many RTC ms have just passed asleep."""
        self._slept += max(0, rtc_ms)

    def now(self, rtc):
        """UTC ms; time since power-on while not `known`."""
        return self._utc + (rtc - self._rtc) + self._slept * self._ratio // 1_000_000_000

    def rtc_span(self, true_ms):
        """RTC ms that pass asleep in so many true ms."""
        return true_ms * 1_000_000_000 // (1_000_000_000 + self._ratio)

    def uncertainty(self, rtc, ahead_ms=0):
        """How many ms `now` may be off, at present or after `ahead_ms` more of sleep."""
        slept = self._slept + ahead_ms
        awake = max(0, rtc - self._rtc - self._slept)
        drift = self._ends + min(self._wander * (self._before + slept) // 7_200_000, SWING_PPM)
        return self._error + (slept * (drift if self.learned else RAW_SLEEP_PPM) + awake * CRYSTAL_PPM) // 1_000_000

    def uncertain(self, rtc):
        """Whether a reading taken now must be flagged: the time is not known within 60 s."""
        return not self.known or self.uncertainty(rtc) > FLAG_MS

    def good_for(self, rtc):
        """True ms from now until the clock should be set again: 0 if at once, never more than `STALE_MS`."""
        if not self.known or self.doubted:
            return 0
        ahead = max(0, STALE_MS - (rtc - self._rtc))
        low = 0
        while ahead - low > 60_000:
            middle = (low + ahead) // 2
            if self.uncertainty(rtc, middle) > KEEP_MS:
                ahead = middle
            else:
                low = middle
        return low

    def set(self, rtc, utc):
        """Takes an answer: it was `utc` at `rtc`.

        Returns how many ms the clock was moved, or None if the answer was not believed: what lies
        beyond three times the uncertainty and 10 s needs a second answer that agrees with it.
        """
        if not EARLIEST_MS <= utc < LATEST_MS:
            return None
        if not self.known:
            self._base(rtc, utc, _KNOWN)
            return 0
        miss = utc - self.now(rtc)
        bound = 3 * self.uncertainty(rtc) + 10_000
        if abs(miss) > bound:
            agrees = self.doubted and abs(miss - self._doubt) <= bound
            self._doubt = miss
            self._state |= _DOUBTED
            if not agrees:
                return None
            self._base(rtc, utc, self._state & ~_DOUBTED)
            return miss
        if self._slept >= LEARN_MS:
            self._learn(rtc, utc, abs(miss))
        self._base(rtc, utc, self._state & ~_DOUBTED)
        return miss

    def _learn(self, rtc, utc, miss):
        awake = rtc - self._rtc - self._slept
        ends = (self._error + ANSWER_MS) * 1_000_000 // self._slept
        if self.learned:
            # what the answers' own errors explain is no drift; a half more than what was seen, for what was not
            drift = max(0, miss * 1_000_000 // self._slept - ends - self._ends) * 3 // 2
            seen = drift * 7_200_000 // (self._before + self._slept)
            faded = self._wander - self._wander * min(self._slept, WANDER_MEMORY_MS) // WANDER_MEMORY_MS
            self._wander = max(WANDER_LEAST, faded, min(seen, 0xFFFF))
        self._ratio = (utc - self._utc - awake - self._slept) * 1_000_000_000 // self._slept
        self._ends = ends
        self._before = self._slept
        self._state |= _LEARNED

    def _base(self, rtc, utc, state):
        self._state = state
        self._utc = utc
        self._rtc = rtc
        self._slept = 0
        self._error = ANSWER_MS
        self._doubt = 0
