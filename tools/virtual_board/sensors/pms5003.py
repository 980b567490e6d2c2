"""PMS5003 particle sensor, active mode. Source: Plantower PMS5003 series data manual V2.3, appendix I and "circuit attentions"."""

from __future__ import annotations

from collections.abc import Callable

from ..wiring import Host, Level, Timer
from .served import Record, spoil

MS = 1_000_000
FAN_NS = 30_000 * MS
"""The manual: data are valid 30 s after the fan starts."""


def frame(pm: tuple[int, int, int]) -> bytes:
    """32 bytes: 42 4D, length 28, PM1/2.5/10 standard and atmospheric, six counts, version and error, sum of the 30 before."""
    _small, middle, large = pm
    counts = [middle * 170, middle * 50, middle * 9, middle, large // 8, large // 20]
    words = [28, *pm, *pm, *counts, 0x9700]
    data = b"\x42\x4d" + b"".join(min(word, 0xFFFF).to_bytes(2, "big") for word in words)
    return data + (sum(data) & 0xFFFF).to_bytes(2, "big")


class Pms5003:
    """Talks on the board's `rx_pin`; runs while its `supply_pin` is high and `set_pin` is not low (inner pull-up)."""

    def __init__(
        self, truth: Callable[[int], tuple[int, int, int]], *, rx_pin: int, set_pin: int, supply_pin: int
    ) -> None:
        """`truth(ns)` gives PM1, PM2.5 and PM10 in µg/m³."""
        self.record = Record()
        self._truth = truth
        self._rx_pin, self._set_pin, self._supply_pin = rx_pin, set_pin, supply_pin
        self._started: int | None = None
        self._next: Timer | None = None

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self._host = host

    def power(self, on: bool) -> None:
        """`Device.power`: the board's supply; the sensor's own hangs on a switch."""
        if not on:
            self._stop()

    def output(self, pin: int, level: Level) -> None:
        """SET or the supply switch changed."""
        if pin in (self._set_pin, self._supply_pin):
            levels = {other: self._host.output(other) for other in (self._supply_pin, self._set_pin)} | {pin: level}
            runs = levels[self._supply_pin] == 1 and levels[self._set_pin] != 0
            if runs and self._started is None:
                self._started = self._host.now
                self._plan()
            elif not runs:
                self._stop()

    def receive(self, data: bytes) -> None:
        """Commands on the sensor's RX: the wiring uses the SET pin instead."""
        self._host.fault(f"PMS5003: command {data.hex()} is not modelled, the board has the SET pin for sleep")

    def _stop(self) -> None:
        self._started = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _plan(self) -> None:
        """The manual: 2.3 s between frames while the air is steady, 200 to 800 ms otherwise; here from 0.8 s on."""
        pause = self._host.random(f"pms5003 {self._host.now}").randrange(800, 2301)
        self._next = self._host.at(self._host.now + pause * MS, self._send)

    def _send(self) -> None:
        now = self._host.now
        values = self._truth(now)
        self.record.note(now, values)
        age = now - (self._started or 0)
        if age < FAN_NS:
            small, middle, large = (value * age // (2 * FAN_NS) for value in values)
            values = small, middle, large
        data = spoil(frame(values), self.record.fault(now))
        if data:
            self._host.send(self._rx_pin, data)
        self._plan()
