"""A02YYUW ultrasonic distance sensor, serial automatic output. Source: DFRobot SEN0311 product manual.

Frame FF, distance in mm high and low, sum of the three before modulo 256; the manual's example: FF 07 A1 A7 is 1953 mm.
Its RX pin high (or open) asks for processed values every 100 to 300 ms, low for raw ones every 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable

from ..wiring import Host, Level, Timer
from .served import Record, spoil

MS = 1_000_000
STARTUP_NS = 500 * MS
BLIND_MM, FARTHEST_MM = 30, 4500
NO_ECHO = 0xFFFD
"""The maker's word for "no object" in this family (DYP-A02/A22); DFRobot's manual is silent on it."""


def frame(distance: int) -> bytes:
    """4 bytes for a distance in mm."""
    data = b"\xff" + distance.to_bytes(2, "big")
    return data + bytes([sum(data) & 0xFF])


class A02yyuw:
    """Talks on the board's `rx_pin` while `supply_pin` is high; `tx_pin` is the board's line to the sensor's RX."""

    def __init__(self, truth: Callable[[int], int], *, rx_pin: int, tx_pin: int, supply_pin: int) -> None:
        """`truth(ns)` gives the distance in mm."""
        self.record = Record()
        self._truth = truth
        self._rx_pin, self._tx_pin, self._supply_pin = rx_pin, tx_pin, supply_pin
        self._next: Timer | None = None

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self._host = host

    def power(self, on: bool) -> None:
        """`Device.power`: the board's supply; the sensor's own hangs on a switch."""
        if not on:
            self._stop()

    def output(self, pin: int, level: Level) -> None:
        """The supply switch changed."""
        if pin != self._supply_pin:
            return
        if level != 1:
            self._stop()
        elif self._next is None:
            self._next = self._host.at(self._host.now + STARTUP_NS, self._send)

    def receive(self, data: bytes) -> None:
        """Bytes on RX are just its level to the sensor: no effect."""

    def _stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _send(self) -> None:
        now = self._host.now
        distance = self._truth(now)
        self.record.note(now, (distance,))
        told = 0 if distance < BLIND_MM else NO_ECHO if distance > FARTHEST_MM else distance
        data = spoil(frame(told), self.record.fault(now))
        if data:
            self._host.send(self._rx_pin, data)
        raw = self._host.output(self._tx_pin) == 0
        pause = 100 if raw else self._host.random(f"a02yyuw {now}").randrange(100, 301)
        self._next = self._host.at(now + pause * MS, self._send)
