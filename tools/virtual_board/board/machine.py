"""`machine` of the MicroPython port for the ESP32-S3: pins, converters, clock, sleep; the buses are in buses.py.

Names, arguments and errors follow ports/esp32 of MicroPython 1.25; an argument that the port does not know fails here too.
"""

# ruff: noqa: A002, D102, D103, F401  names and members are the port's, its manual describes them

import time
from struct import pack

import costs
import link
import wire
from buses import ADC, I2C, SPI, UART, SoftI2C
from pins import Pin, Signal, sources

SLEEP = 2
DEEPSLEEP = 4

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6

RTC_MEMORY = 2048

_frequency = 160_000_000


class RTC:
    """The real-time clock: it runs on through deep sleep and resets, and starts at 2000-01-01 when power comes."""

    def datetime(self, date=None):
        """(year, month, day, weekday, hour, minute, second, microsecond)."""
        if date is None:
            us = link.rtc()
            year, month, day, hour, minute, second, weekday, _ = time.gmtime(us // 1000000)
            return (year, month, day, weekday, hour, minute, second, us % 1000000)
        if len(date) != 8:
            raise ValueError("requested length 8 but object has length %d" % len(date))
        year, month, day, _, hour, minute, second, us = date
        link.set_rtc(time.mktime((year, month, day, hour, minute, second, 0, 0)) * 1000000 + us)
        return None

    def init(self, date) -> None:
        """(year, month, day, hour, minute, second, microsecond, ...), the port's other order."""
        self.datetime((date[0], date[1], date[2], 0, date[3], date[4], date[5], date[7]))

    def memory(self, data=None):
        """Up to 2048 bytes that outlive deep sleep and resets, not the loss of power."""
        if data is None:
            link.spend(costs.RTC_MEMORY)
            return link.demand(wire.RTC_GET, 0, 0, None) or b""
        if len(data) > RTC_MEMORY:
            raise ValueError("buffer too long")
        link.spend(costs.RTC_MEMORY)
        link.demand(wire.RTC_SET, 0, 0, data)  # not a copy: the port writes straight from the buffer
        return None


class WDT:
    """The watchdog: once started it cannot be stopped, only fed."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        link.post(wire.WDT, 0, timeout)
        link.spend(costs.SETUP)

    def feed(self) -> None:
        link.post(wire.FEED, 0, 0)
        link.spend(costs.PIN)


def _sleep_request(kind: int, ms) -> bytes:
    if ms is not None and ms < 0:
        ms += 1 << 32  # as the port: cast to unsigned
    ext0 = sources.ext0_pin if sources.ext0_types & kind else -1
    return pack(
        wire.SLEEP, -1 if ms is None else ms * 1000, ext0, sources.ext0_level, sources.ext1_pins, sources.ext1_high
    )


def lightsleep(time_ms=None) -> None:
    """Stops until the time or a wake-up source; memory and pins stay. Pin.irq alone does not wake."""
    link.doze(_sleep_request(SLEEP, time_ms))


sleep = lightsleep


def deepsleep(time_ms=None) -> None:
    """Never returns: the chip starts anew at the wake."""
    link.last_words(wire.DEEPSLEEP, 0, _sleep_request(DEEPSLEEP, time_ms))


def reset() -> None:
    link.last_words(wire.RESET, HARD_RESET, None)


def soft_reset() -> None:
    link.last_words(wire.RESET, SOFT_RESET, None)


def reset_cause() -> int:
    return link.reset_cause


def wake_reason() -> int:
    return link.wake_reason


def wake_pins() -> tuple:
    """Pins of ext1 that woke the chip."""
    return tuple([pin for pin in range(64) if link.wake_mask >> pin & 1])


def unique_id() -> bytes:
    return link.mac


def freq(hz=None):
    global _frequency
    if hz is None:
        return _frequency
    if hz // 1000000 not in (20, 40, 80, 160, 240):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _frequency = hz // 1000000 * 1000000
    return None


def idle() -> None:
    """Gives the processor away until an interrupt, at most for one tick."""
    link.request(wire.WAIT, 0, 1000, None)


def disable_irq() -> bool:
    return link.mask(True)


def enable_irq(state: bool = False) -> None:
    link.mask(state)
