"""A reed contact against ground with a pull-up: closed is level 0. Bounces count once.

Edges less than `SETTLE_MS` apart are one change, and what counts is the level that stays. Ten litres a pulse at 3.125 m³/h
are 11 s a pulse, so two real closings are never so near.
"""

import time

import esp32
from machine import Pin

SETTLE_MS = 50
_SAMPLE_MS = 10


def pin(number):
    """The contact's pin as an input, let go from the hold of the last sleep."""
    return Pin(number, Pin.IN, Pin.PULL_UP, hold=False)  # type: ignore[call-arg]  # the stubs lack it


def settled(contact):
    """Whether the contact is closed, once it has kept its level for `SETTLE_MS`."""
    level = contact.value()
    since = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), since) < SETTLE_MS:
        time.sleep_ms(_SAMPLE_MS)
        if contact.value() != level:
            level = contact.value()
            since = time.ticks_ms()
    return level == 0


def closings(was_closed, woke_by_contact, closed):
    """Closings that happened while the board slept: it slept with `was_closed`, now finds `closed` settled.

    Woken by the contact and finding it open as before, it missed a closing shorter than its own boot. A short opening of a
    closed contact is no new pulse: no meter turns so fast.
    """
    return int(not was_closed and (closed or woke_by_contact))


def arm(number, closed):
    """Deep sleep ends when the contact leaves its state, so that one that rests closed lets the board sleep.

    Pulls end with the chip's own power in deep sleep; a held RTC pin keeps its pull-up (ESP-IDF, RTC GPIO hold).
    """
    held = Pin(number, Pin.IN, Pin.PULL_UP, hold=True)  # type: ignore[call-arg]
    esp32.wake_on_ext0(held, esp32.WAKEUP_ANY_HIGH if closed else esp32.WAKEUP_ALL_LOW)


class Watch:
    """Counts closings while the board is awake, whatever else it does: both edges interrupt."""

    def __init__(self, number, closed):
        """`closed` is the state the board slept with, or the settled one of now."""
        self._pin = pin(number)
        self._level = 0 if closed else 1
        self._last = time.ticks_ms()
        self._start = 0
        self._times = []
        self.closed = closed
        self._pin.irq(self._edge, Pin.IRQ_FALLING | Pin.IRQ_RISING)
        self._look()

    def _edge(self, contact):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._last) >= SETTLE_MS:
            self._settle()
            self._start = time.time_ns() // 1_000_000
        self._last = now
        self._level = contact.value()

    def _settle(self):
        closed = self._level == 0
        if closed and not self.closed:
            self._times.append(self._start)
        self.closed = closed

    def _look(self):
        """An edge whose interrupt was lost shows in the level."""
        if self._pin.value() != self._level:
            self._edge(self._pin)

    def take(self):
        """RTC ms of the closings since the last call."""
        self._look()
        if time.ticks_diff(time.ticks_ms(), self._last) >= SETTLE_MS:
            self._settle()
        times, self._times = self._times, []
        return times

    def close(self):
        """The last closings, once the contact is quiet; no more are counted. `closed` is then the state to sleep with."""
        times = self.take()
        while time.ticks_diff(time.ticks_ms(), self._last) < SETTLE_MS:
            time.sleep_ms(_SAMPLE_MS)
            times += self.take()
        self._pin.irq(None)
        return times + self.take()
