"""Buses and converters of one board: which device a transaction reaches, what comes back and how long it takes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, NoReturn

from . import protocol
from .protocol import Record
from .serial import Uart, Wire
from .wiring import I2cDevice, Wiring

_ENODEV = 19
_SPI = struct.Struct("<bbbBI")
_I2C = struct.Struct("<bbI")
_UART = struct.Struct("<bbIHH")


class Reply(NamedTuple):
    """Answer to a request; `passed` is board µs from the request to the answer."""

    status: int = 0
    payload: bytes = b""
    passed: int = 0


_DONE = Reply()


class Peripherals:
    """`driven(pin)` gives the board's own output, `later(ns, action)` calls at a world time while this boot lives.

    `fault` ends the run.
    """

    def __init__(
        self,
        wiring: Wiring,
        now: Callable[[], int],
        driven: Callable[[int], int | None],
        later: Callable[[int, Callable[[], None]], None],
        fault: Callable[[str], NoReturn],
    ) -> None:
        self._wiring = wiring
        self._now = now
        self._driven = driven
        self._later = later
        self._fault = fault
        self._wires = {line.rx: Wire(line.baudrate) for line in wiring.uart if line.rx is not None}
        self._spi: dict[int, tuple[int, int, int, int, int]] = {}
        self._i2c: dict[int, tuple[int, int, int]] = {}
        self.uarts: dict[int, Uart] = {}
        self.actions: dict[int, Callable[[Record], Reply]] = {
            protocol.SPI_INIT: self._spi_init,
            protocol.SPI: self._spi_transfer,
            protocol.I2C_INIT: self._i2c_init,
            protocol.I2C_WRITE: self._i2c_write,
            protocol.I2C_READ: self._i2c_read,
            protocol.UART_INIT: self._uart_init,
            protocol.UART_CLOSE: self._uart_close,
            protocol.UART_WRITE: self._uart_write,
            protocol.UART_ANY: self._uart_any,
            protocol.ADC: self._adc,
            protocol.TEMPERATURE: self._temperature,
        }

    def reset(self) -> None:
        """All buses closed."""
        self._spi, self._i2c, self.uarts = {}, {}, {}

    def send(self, rx_pin: int, data: bytes) -> int:
        """A device's bytes to the board; see Host.send."""
        wire = self._wires.get(rx_pin)
        if wire is None:
            self._fault(f"a device sends to pin {rx_pin}, where the wiring has no serial line")
        return wire.send(self._now(), data)

    def _spi_init(self, record: Record) -> Reply:
        self._spi[record.line] = _SPI.unpack(record.payload)
        return _DONE

    def _spi_transfer(self, record: Record) -> Reply:
        sck, mosi, miso, mode, baudrate = self._spi[record.line]
        data = record.payload
        chosen = [
            line
            for line in self._wiring.spi
            if (line.sck, line.mosi, line.miso) == (sck, mosi, miso) and self._driven(line.cs) == 0
        ]
        if len(chosen) > 1:
            self._fault(f"SPI: {len(chosen)} chips selected at once, on pins {[line.cs for line in chosen]}")
        answer = chosen[0].device.transfer(data, baudrate, mode) if chosen else bytes(len(data))
        if len(answer) != len(data):
            self._fault(f"SPI model on pin {chosen[0].cs} answered {len(answer)} bytes for {len(data)}")
        return Reply(payload=answer if record.argument >> 31 else b"", passed=record.argument & 0x7FFFFFFF)

    def _i2c_init(self, record: Record) -> Reply:
        self._i2c[record.line] = _I2C.unpack(record.payload)
        return _DONE

    def _i2c_device(self, record: Record) -> I2cDevice | None:
        scl, sda, _frequency = self._i2c[record.line]
        for line in self._wiring.i2c:
            if (line.scl, line.sda, line.address) == (scl, sda, record.argument & 0x7F):
                return line.device
        return None

    def _i2c_time(self, record: Record, count: int) -> int:
        """µs of start, address, `count` bytes with their acknowledge bits, stop."""
        return -(-(2 + 9 * (1 + count)) * 1_000_000 // self._i2c[record.line][2])

    def _i2c_write(self, record: Record) -> Reply:
        device = self._i2c_device(record)
        taken = None if device is None else device.write(record.payload, bool(record.argument >> 8 & 1))
        if taken is None:
            return Reply(_ENODEV, passed=self._i2c_time(record, 0))
        passed = self._i2c_time(record, min(taken + 1, len(record.payload)))
        # The hardware driver reports a byte that is not acknowledged like an address (ESP_FAIL), software I2C counts.
        if taken < len(record.payload) and record.line < 2:
            return Reply(_ENODEV, passed=passed)
        return Reply(payload=struct.pack("<i", taken), passed=passed)

    def _i2c_read(self, record: Record) -> Reply:
        device = self._i2c_device(record)
        count = record.argument >> 16
        data = None if device is None else device.read(count, bool(record.argument >> 8 & 1))
        if data is None:
            return Reply(_ENODEV, passed=self._i2c_time(record, 0))
        if len(data) != count:
            self._fault(f"I2C model at 0x{record.argument & 0x7F:02x} answered {len(data)} bytes for {count}")
        return Reply(payload=data, passed=self._i2c_time(record, count))

    def _uart_init(self, record: Record) -> Reply:
        tx, rx, baudrate, rx_size, tx_size = _UART.unpack(record.payload)
        self.uarts[record.line] = Uart(self._now(), tx, rx, baudrate, rx_size, tx_size, self._wires.get(rx))
        return _DONE

    def _uart_close(self, record: Record) -> Reply:
        self.uarts.pop(record.line, None)
        return _DONE

    def _uart_write(self, record: Record) -> Reply:
        """Also with no data, to learn when the line is idle."""
        uart = self.uarts[record.line]
        now = self._now()
        data = record.payload
        sent, returns = uart.write(now, data)
        if data:
            for line in self._wiring.uart:
                if line.tx == uart.tx and line.baudrate == uart.baudrate:
                    self._later(sent, partial(line.device.receive, data))
        return Reply(payload=struct.pack("<I", -(-(sent - now) // 1000)), passed=-(-max(0, returns - now) // 1000))

    def _uart_any(self, record: Record) -> Reply:
        return Reply(payload=struct.pack("<i", self.uarts[record.line].waiting(self._now())))

    def _adc(self, record: Record) -> Reply:
        microvolts = 0
        for pin, source in self._wiring.adc:
            if pin == record.line:
                microvolts = source.microvolts(pin)
        return Reply(payload=struct.pack("<i", microvolts))

    def _temperature(self, _record: Record) -> Reply:
        return Reply(payload=struct.pack("<i", self._wiring.temperature(self._now())))
