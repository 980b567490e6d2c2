"""SHT31 temperature and humidity sensor. Source: Sensirion SHT3x-DIS datasheet, December 2022, section 4."""

from __future__ import annotations

from collections.abc import Callable

from ..wiring import Host
from .served import Record, spoil

US = 1000
SINGLE_SHOT_NS = {0x2400: 15_500 * US, 0x240B: 6_500 * US, 0x2416: 4_500 * US}
"""No clock stretching; longest conversion at high, medium and low repeatability (Tables 4 and 9)."""
RESET_NS = 1_500 * US
POWER_UP_NS = 1_000 * US
SOFT_RESET, HEATER_ON, HEATER_OFF, READ_STATUS, CLEAR_STATUS = 0x30A2, 0x306D, 0x3066, 0xF32D, 0x3041
HEATER_MC = 3000
"""What the heater adds, m°C; the datasheet says "a few degrees" (section 4.10)."""


def crc(data: bytes) -> int:
    """CRC-8, polynomial 0x31, start 0xFF (Table 20): 0xBEEF gives 0x92."""
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x31 if value & 0x80 else value << 1) & 0xFF
    return value


def word(value: int) -> bytes:
    """A 16-bit word and its CRC."""
    data = value.to_bytes(2, "big")
    return data + bytes([crc(data)])


class Sht31:
    """An `I2cDevice`; it acknowledges nothing while it converts or resets."""

    def __init__(self, truth: Callable[[int], tuple[int, int]]) -> None:
        """`truth(ns)` gives temperature in m°C and relative humidity in 0.001 %."""
        self.record = Record()
        self._truth = truth
        self._forget(powered=False)

    def _forget(self, *, powered: bool) -> None:
        self._powered = powered
        self._ready_at = 0
        self._data = b""
        self._heater = False
        self._status = 0x8010

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self._host = host

    def power(self, on: bool) -> None:
        """`Device.power`."""
        self._forget(powered=on)
        self._ready_at = self._host.now + POWER_UP_NS

    def _deaf(self) -> bool:
        now = self._host.now
        return not self._powered or now < self._ready_at or self.record.fault(now) == "silent"

    def write(self, data: bytes, stop: bool) -> int | None:  # noqa: ARG002 - a repeated start changes nothing
        """A 16-bit command."""
        if self._deaf():
            return None
        if len(data) != 2:
            self._host.fault(f"SHT31: a command has 2 bytes, got {len(data)} (SHT3x-DIS datasheet, section 4.3)")
        command, now = int.from_bytes(data, "big"), self._host.now
        self._data = b""
        if command in SINGLE_SHOT_NS:
            self._convert(now + SINGLE_SHOT_NS[command])
        elif command == SOFT_RESET:
            self._forget(powered=True)
            self._ready_at = now + RESET_NS
        elif command in (HEATER_ON, HEATER_OFF):
            self._heater = command == HEATER_ON
            self._status = self._status & ~0x2000 | (0x2000 if self._heater else 0)
        elif command == READ_STATUS:
            self._data = word(self._status)
        elif command == CLEAR_STATUS:
            self._status &= 0x2000
        else:
            self._host.fault(f"SHT31: command 0x{command:04x} is not one of the SHT3x-DIS datasheet that is modelled")
        return 2

    def read(self, length: int, stop: bool) -> bytes | None:  # noqa: ARG002 - a repeated start changes nothing
        """Result of the last command; not acknowledged before it is there, nor a second time (section 4.4)."""
        if self._deaf() or not self._data:
            return None
        data, self._data = self._data, b""
        return (data + b"\xff" * length)[:length]

    def _convert(self, ready_at: int) -> None:
        now = self._host.now
        temperature, humidity = self._truth(now)
        self.record.note(now, (temperature, humidity))
        temperature += HEATER_MC if self._heater else 0
        raw_temperature = min(65_535, max(0, ((temperature + 45_000) * 65_535 + 87_500) // 175_000))
        raw_humidity = min(65_535, max(0, (humidity * 65_535 + 50_000) // 100_000))
        self._ready_at = ready_at
        self._data = spoil(word(raw_temperature) + word(raw_humidity), self.record.fault(now))
