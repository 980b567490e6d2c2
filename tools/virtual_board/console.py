"""A board's serial port as its processor sees it: who is at the other end, what was typed and not yet read, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

_LOG_LIMIT = 64 * 1024
_TYPED = 4096  # bytes that wait for a program which does not read them; the port's buffer has 260, and a UART fills it slowly


class Line(Protocol):
    """What is plugged in."""

    def say(self, printed: int, data: bytes) -> None:
        """The board says `data`, after the first `printed` bytes of its log file."""

    def close(self) -> None:
        """The world ends."""


class Console:
    """`log`: the file where the interpreter prints, cable or not."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.log_file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.line: Line | None = None
        self.interrupt = False  # Ctrl-C that the program has not been told
        self.raw = False  # which of its prompts the board showed last
        self._typed = b""

    def boot(self, *, soft: bool) -> None:
        """A soft reset keeps what was typed and goes back to the prompt that asked for it."""
        self.interrupt = False
        if soft:
            self.say(b"MPY: soft reboot\r\n")
        else:
            self.raw, self._typed = False, b""
        if self.line is None and self.printed() > _LOG_LIMIT:
            kept = self._log.read_bytes()[-_LOG_LIMIT // 2 :]
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, kept)

    def log(self) -> str:
        """The last tens of kilobytes of what the board printed."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Pulls the cable and closes the log."""
        if self.line is not None:
            self.line.close()
        with contextlib.suppress(OSError):
            os.close(self.log_file)

    def printed(self) -> int:
        """Length of the log file."""
        return os.fstat(self.log_file).st_size

    def say(self, data: bytes) -> None:
        """To the other end; nowhere without a cable."""
        if self.line is not None:
            self.line.say(self.printed(), data)

    def type(self, data: bytes, *, prompt: bool) -> None:
        """Bytes for the board; at its prompt Ctrl-C is one of them."""
        if not prompt:
            self.interrupt = self.interrupt or b"\x03" in data
            data = data.replace(b"\x03", b"")
        self._typed = (self._typed + data)[:_TYPED]

    def take(self) -> bytes:
        """What the prompt reads; a Ctrl-C that came when the program had just ended is for it."""
        taken = b"\x03" * self.interrupt + self._typed
        self.interrupt, self._typed = False, b""
        return taken
