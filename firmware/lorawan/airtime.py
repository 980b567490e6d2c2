"""Time on air, the length of a receive window, and the duty cycle: integers only, so that a board and a test get the same number."""

from micropython import const

_SLOT_MS = const(600000)  # the duty cycle is booked in slots of ten minutes
_SLOTS = const(8)  # the running slot and seven whole ones cover any hour that ends now, on a fast RTC as well
_HOUR_MS = const(3600000)


def symbol_us(sf, bandwidth):
    """Length of one LoRa symbol in microseconds; bandwidth in Hz (SX1261/2 datasheet 6.1.1)."""
    return (8 << sf) * 125 // (bandwidth // 1000)


def low_rate(sf, bandwidth):
    """Low data rate optimisation: mandatory for symbols of 16 ms and more (SX1261/2 datasheet 6.1.1.4)."""
    return symbol_us(sf, bandwidth) >= 16000


def on_air_us(length, sf, bandwidth, crc=True):
    """Time on air in microseconds of `length` bytes: preamble 8, explicit header, CR 4/5 (SX1261/2 datasheet 6.1.4)."""
    bits = 8 * length - 4 * sf + 28 + (16 if crc else 0)
    per_group = 4 * (sf - (2 if low_rate(sf, bandwidth) else 0))
    symbols = 8 + max(0, (bits + per_group - 1) // per_group) * 5
    return (4 * (8 + symbols) + 17) * symbol_us(sf, bandwidth) // 4  # preamble of 8 and 4.25 symbols


def stretched(ms):
    """RTC milliseconds that last at least `ms`: the slow clock that counts in deep sleep may run 5 % fast."""
    return ms + ms // 20


def on_air_ms(length, region, dr):
    """Time on air of an uplink at data rate `dr`, rounded up to milliseconds."""
    return (on_air_us(length, *region.DATA_RATES[dr]) + 999) // 1000


def window(delay_us, sf, bandwidth, ppm, fixed_us, lead_us):
    """(microseconds from the end of the uplink to the opening, symbols until it closes) of a receive window.

    The downlink's preamble may begin `error` early or late: ppm of the delay (the crystal runs from the uplink's end on) and a fixed part.
    The window opens `lead_us` (the receiver's start) before the earliest beginning and still sees six preamble symbols, which the modem
    needs to lock, after the latest one. The modem counts even numbers of symbols up to 62 and multiples of 8 up to 248 exactly.
    """
    error = delay_us // 1000 * ppm // 1000 + fixed_us
    tsym = symbol_us(sf, bandwidth)
    symbols = (lead_us + 2 * error + tsym - 1) // tsym + 6
    step = 2 if symbols <= 62 else 8
    return delay_us - error - lead_us, min(248, (symbols + step - 1) // step * step)


class Budget:
    """Air time of the last hour by sub-band, so that no hour that can be chosen holds more than its share (ETSI EN 300 220-2, 4.3.3).

    `slots`: {(slot number, band index): milliseconds}. A slot counts until its last instant is 70 minutes of RTC time old, which are an hour
    at least: too long at times, never too short. `go_on` comes before any other call at a later time.
    """

    def __init__(self, bands):
        self._bands = bands  # ((low Hz, high Hz, per mille), ...)
        self.slots = {}

    def band(self, frequency):
        """Index of the sub-band that holds `frequency`, or None where nobody may transmit."""
        for i, (low, high, _) in enumerate(self._bands):
            if low <= frequency < high:
                return i
        return None

    def book(self, frequency, air_ms, now):
        """Enter `air_ms` sent on `frequency` at `now` (ms)."""
        key = (now // _SLOT_MS, self.band(frequency))
        self.slots[key] = self.slots.get(key, 0) + air_ms

    def wait_ms(self, frequency, air_ms, now):
        """Milliseconds until `air_ms` more may be sent on `frequency`; 0 = now."""
        band = self.band(frequency)
        excess = (
            sum([ms for (_, b), ms in self.slots.items() if b == band])
            + air_ms
            - self._bands[band][2] * (_HOUR_MS // 1000)
        )
        if excess <= 0:
            return 0
        for slot, b in sorted(self.slots):
            if b == band:
                excess -= self.slots[(slot, b)]
                if excess <= 0:
                    return (slot + _SLOTS) * _SLOT_MS - now
        return _HOUR_MS  # a frame longer than the whole budget: the caller never builds one

    def go_on(self, then, now):
        """From `then` to `now` (ms): drop the slots that no longer count. Where the clock was set back they go with it, as if no time had passed."""
        back = max(0, then // _SLOT_MS - now // _SLOT_MS)
        booked = list(self.slots.items())
        self.slots.clear()
        for (slot, band), ms in booked:
            if slot - back > now // _SLOT_MS - _SLOTS:
                self.slots[(slot - back, band)] = ms
