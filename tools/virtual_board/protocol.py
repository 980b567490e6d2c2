"""The protocol between a board's interpreter and the world, this side; board/wire.py describes it and holds the same words."""

from __future__ import annotations

import struct
from typing import NamedTuple

PIN = 1
OUT = 2
IRQ = 3
SLEEP_HOLD = 4
WDT = 5
FEED = 6

REQUEST = 16
SYNC = 16
WAIT = 17
SPI_INIT = 18
SPI = 19
I2C_INIT = 20
I2C_WRITE = 21
I2C_READ = 22
UART_INIT = 23
UART_CLOSE = 24
UART_WRITE = 25
UART_READ = 26
UART_ANY = 27
ADC = 28
TEMPERATURE = 29
RTC_GET = 30
RTC_SET = 31
RTC_TIME = 32
NVS_GET = 33
NVS_SET = 34
NVS_ERASE = 35
NVS_COMMIT = 36
FLASH_ERASE = 37
FLASH_PROGRAM = 38
LIGHTSLEEP = 39
DEEPSLEEP = 40
RESET = 41
CONSOLE = 42
READY = 43

RAW = 1  # of CONSOLE: the raw REPL asks
AT_ONCE = 2  # the answer is empty and comes at once
INTERRUPT = 255  # in place of a pin: Ctrl-C came by the cable

NAMES = {
    value: name
    for name, value in list(globals().items())
    if name.isupper() and isinstance(value, int) and name not in {"REQUEST", "RAW", "AT_ONCE", "INTERRUPT"}
}

RECORD = struct.Struct("<BBHII")
SLEEP = struct.Struct("<qbBQB")
BOOT = struct.Struct("<BBqQ6s16sB")

# Causes and reasons as machine.reset_cause() and machine.wake_reason() give them.
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
EXT0_WAKE, EXT1_WAKE, TIMER_WAKE = 2, 3, 4


class Record(NamedTuple):
    """One record of a message: `elapsed` in board µs since the last answer."""

    op: int
    line: int
    elapsed: int
    argument: int
    payload: bytes


class Parser:
    """Cuts the byte stream of one board into messages."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, data: bytes) -> list[Record] | None:
        """Returns the records of the message once its request has come whole; a board never sends past its request."""
        data = self._bytes + data
        records = []
        at = 0
        size = RECORD.size
        while len(data) - at >= size:
            op, line, length, elapsed, argument = RECORD.unpack_from(data, at)
            if len(data) - at < size + length:
                break
            records.append(Record(op, line, elapsed, argument, data[at + size : at + size + length]))
            at += size + length
            if op >= REQUEST:
                self._bytes = data[at:]
                return records
        self._bytes = data
        return None
