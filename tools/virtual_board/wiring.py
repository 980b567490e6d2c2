"""What may sit on a virtual board's pins, and how.

Devices are found by the pins they are soldered to, not by a bus number: the ESP32 routes any bus to any pin, and a driver
that opens the right bus on the wrong pins must meet silence. World time is an `int` of nanoseconds UTC since 1970, a level
is 0 or 1, `None` is a line that nobody drives (high impedance).

Order of calls to a model: `attach` once, `power(True)` when the board's supply comes up, then what the wires carry, each at
its exact world time (`host.now`), `power(False)` at a power cut. Deep sleep is neither: devices stay powered, and every
output of the board that is not held floats (an `output(pin, None)`, a deselected chip).
"""

# ruff: noqa: FBT001  a level, a supply, a chip select are on or off

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

Level = int | None


class Timer(Protocol):
    """A call that was asked for with `Host.at`."""

    @property
    def when(self) -> int:
        """World time in ns at which it happens."""

    def cancel(self) -> None:
        """Takes it back; no effect once it has happened."""


class Host(Protocol):
    """What a model may ask of the board that it sits on. Valid for the whole life of the world, deep sleep included."""

    @property
    def number(self) -> int:
        """The board's number in its world."""

    @property
    def dev_eui(self) -> str:
        """16 hex digits, lower case."""

    @property
    def now(self) -> int:
        """World time in ns of the edge, transfer or timer that is being handled."""

    def at(self, when: int, action: Callable[[], None]) -> Timer:
        """Calls `action` at world time `when` (ns, not before `now`), even while the board sleeps or has no power."""

    def drive(self, pin: int, level: Level) -> None:
        """The model drives `pin` from now on; `None` lets go. Against an output of the board with the other level the run ends."""

    def level(self, pin: int) -> int:
        """What a meter would show on `pin`: whoever drives it, else the pull resistor, else 0."""

    def output(self, pin: int) -> Level:
        """What the board itself drives on `pin`; `None` for an input, a released open drain, a sleeping or powerless board."""

    def send(self, rx_pin: int, data: bytes) -> int:
        """Bytes start on the serial line into the board's `rx_pin` now, or behind those still under way.

        10 bits each at the line's baud rate. Returns the world time in ns of the last stop bit. Lost where no UART
        listens.
        """

    def random(self, name: str) -> random.Random:
        """A generator of the model's own, seeded by the world's seed, the board and `name`; a new one each call."""

    def fault(self, text: str) -> NoReturn:
        """The board did what a datasheet forbids: ends the run with board, world time and `text`, the datasheet's sentence."""


class Device(Protocol):
    """What all models have."""

    def attach(self, host: Host) -> None:
        """Called once, before anything else. Keep the host; drive no pin yet."""

    def power(self, on: bool) -> None:
        """The board's supply came up or went away.

        All state in the device is lost then, and it lets go of its pins (a contact or a button, which needs no
        supply, does not).
        """


class SpiDevice(Device, Protocol):
    """A chip on an SPI bus with a chip select, active low."""

    def select(self, on: bool) -> None:
        """NSS fell (`True`) or rose or was let go (`False`)."""

    def transfer(self, mosi: bytes, baudrate: int, mode: int) -> bytes:
        """Bytes clocked while selected; returns as many on MISO.

        Called at the time of the first bit; the board goes on 8·len/baudrate later. One NSS frame may come in several
        transfers. `mode` is 2·polarity + phase.
        """


class I2cDevice(Device, Protocol):
    """A chip at one address of an I²C bus."""

    def write(self, data: bytes, stop: bool) -> int | None:
        """A write addressed to the device, called at its start.

        Returns how many bytes it acknowledged; `None` when it did not even acknowledge its address. `stop` is False
        when a repeated start follows.
        """

    def read(self, length: int, stop: bool) -> bytes | None:
        """A read of `length` bytes, called at its start; returns exactly so many, `None` when the address is not acknowledged."""


class UartDevice(Device, Protocol):
    """A device on a serial line; it talks with `host.send(rx_pin, ...)`."""

    def receive(self, data: bytes) -> None:
        """The board sent bytes at the line's baud rate; called at the end of the last stop bit. At another rate they are lost."""


class OutputListener(Device, Protocol):
    """A device that sees an output of the board: a reset line, a supply switch, a mode pin."""

    def output(self, pin: int, level: Level) -> None:
        """The level that the board drives on `pin` changed; `None` = let go (floating, or pulled by a resistor: ask `host.level`)."""


class AdcSource(Device, Protocol):
    """A voltage on an ADC pin."""

    def microvolts(self, pin: int) -> int:
        """Voltage at the pin in µV, now."""


@dataclass(frozen=True)
class SpiLine:
    """One chip on three bus pins and its chip select."""

    sck: int
    mosi: int
    miso: int
    cs: int
    device: SpiDevice


@dataclass(frozen=True)
class I2cLine:
    """One chip at a 7-bit address on two bus pins."""

    scl: int
    sda: int
    address: int
    device: I2cDevice


@dataclass(frozen=True)
class UartLine:
    """A serial device: `tx` and `rx` are the board's pins (`None`: not connected), `baudrate` is the device's."""

    tx: int | None
    rx: int | None
    baudrate: int
    device: UartDevice


def _twenty_degrees(_when: int) -> int:
    return 20_000


@dataclass
class Wiring:
    """Everything that is soldered to one board. A device may stand in several lists; it is attached once."""

    spi: list[SpiLine] = field(default_factory=list)
    i2c: list[I2cLine] = field(default_factory=list)
    uart: list[UartLine] = field(default_factory=list)
    outputs: list[tuple[int, OutputListener]] = field(default_factory=list)
    adc: list[tuple[int, AdcSource]] = field(default_factory=list)
    others: list[Device] = field(default_factory=list)
    """Devices that only drive pins, a reed contact or a button."""
    pulls: dict[int, int] = field(default_factory=dict)
    """Resistors on the board, pin to level; stronger than the chip's own pulls."""
    temperature: Callable[[int], int] = _twenty_degrees
    """Temperature of the board in m°C at a world time in ns."""

    def devices(self) -> list[Device]:
        """Every device once, in the order of the lists."""
        found: list[Device] = []
        named: list[Device] = [line.device for line in self.spi]
        named += [line.device for line in self.i2c]
        named += [line.device for line in self.uart]
        named += [listener for _pin, listener in self.outputs]
        named += [source for _pin, source in self.adc]
        for device in [*named, *self.others]:
            if not any(device is known for known in found):
                found.append(device)
        return found
