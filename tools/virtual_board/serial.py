"""The board's side of a serial line: a UART with its FIFO, its ring buffer, and what is lost when nobody empties them."""

from __future__ import annotations

from collections import deque

_FIFO = 128  # SOC_UART_FIFO_LEN of the ESP32-S3


def byte_ns(baudrate: int) -> int:
    """Duration of start bit, eight data bits and stop bit, rounded up."""
    return -(-10_000_000_000 // baudrate)


class Wire:
    """Bytes under way to one RX pin, by the world time in ns of their stop bit."""

    def __init__(self, baudrate: int) -> None:
        self.baudrate = baudrate
        self.coming: deque[tuple[int, int]] = deque()
        self._busy = 0

    def send(self, now: int, data: bytes) -> int:
        """Appends behind what is under way; returns the end of the last byte."""
        at = max(now, self._busy)
        step = byte_ns(self.baudrate)
        for value in data:
            at += step
            self.coming.append((at, value))
        self._busy = at
        return at


class Uart:
    """An open UART.

    The driver empties the FIFO into the ring buffer while there is room; when both are full the next byte resets the
    FIFO (ESP-IDF uart.c, UART_INTR_RXFIFO_OVF), so the newest 128 bytes are lost, not the oldest.
    """

    def __init__(
        self, now: int, tx: int, rx: int, baudrate: int, rx_size: int, tx_size: int, wire: Wire | None
    ) -> None:
        self.tx = tx
        self.rx = rx
        self.baudrate = baudrate
        self.sent_by = now
        self._rx_size = rx_size
        self._tx_size = tx_size
        self._wire = wire
        self._ring = bytearray()
        self._fifo = bytearray()
        self.lost = 0
        if wire is not None:
            while wire.coming and wire.coming[0][0] <= now:
                wire.coming.popleft()

    def _catch_up(self, now: int) -> None:
        wire = self._wire
        if wire is None:
            return
        while wire.coming and wire.coming[0][0] <= now:
            value = wire.coming.popleft()[1]
            if wire.baudrate != self.baudrate:
                self.lost += 1  # framing errors
            elif len(self._ring) < self._rx_size:
                self._ring.append(value)
            else:
                if len(self._fifo) == _FIFO:
                    self.lost += _FIFO
                    self._fifo.clear()
                self._fifo.append(value)

    def waiting(self, now: int) -> int:
        """Bytes in the ring buffer."""
        self._catch_up(now)
        return len(self._ring)

    def read(self, now: int, count: int) -> bytes:
        """Up to `count` bytes that are there."""
        self._catch_up(now)
        found = b""
        while len(found) < count and self._ring:
            part = bytes(self._ring[: count - len(found)])
            del self._ring[: len(part)]
            found += part
            moved = self._fifo[: self._rx_size - len(self._ring)]
            del self._fifo[: len(moved)]
            self._ring += moved
        return found

    def full_at(self, now: int, count: int) -> int | None:
        """World time in ns at which `count` bytes are there, as far as is known now; None: not yet sent."""
        self._catch_up(now)
        missing = count - len(self._ring) - len(self._fifo)
        if missing <= 0:
            return now
        if self._wire is None or self._wire.baudrate != self.baudrate or len(self._wire.coming) < missing:
            return None
        return self._wire.coming[missing - 1][0]

    def write(self, now: int, data: bytes) -> tuple[int, int]:
        """Queues bytes to send.

        Returns the world time of the last stop bit and of the moment at which all fit in the driver's buffer and the
        FIFO, when the call returns.
        """
        step = byte_ns(self.baudrate)
        self.sent_by = max(now, self.sent_by) + step * len(data)
        return self.sent_by, max(now, self.sent_by - step * (self._tx_size + _FIFO))
