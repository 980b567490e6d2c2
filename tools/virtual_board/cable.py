"""A serial cable between a virtual board and this machine: a pseudo-terminal on which mpremote, or a person, finds the board.

with Live(clock) as live:                 # world time follows the wall clock, in a thread of its own
    cable = live.do(lambda: Cable(board, clock))
    live.do(board.power_on)
    subprocess.run(["mpremote", "connect", cable.port, "fs", "ls"])
    cable.close()                         # the plug is pulled

The board stays the same without a cable. With one, what it prints goes to the port as well as to its log, Ctrl-C ends what it
does, and at its prompt (board/repl.py) it answers. As with a board behind a UART bridge the port stays while the board sleeps,
is reset or has no power; then nobody answers, and what is sent is lost. A pseudo-terminal has no baud rate: bytes come as
fast as they are made unless `baud` is given.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from ..world.clock import Clock
from .machine import Board

T = TypeVar("T")

_POLL = 0.02  # s between two looks at a port that nobody has open, and at what a program has printed
_PATIENCE = 1.0  # s for a reader that does not read; then bytes are lost, as in a bridge's buffer
_STUCK = 0.5  # s of wall time after Ctrl-C in which a board has to say something
_CHUNK = 64  # bytes that take their time at once
_BITS = 10  # of a byte on the line: start, eight, stop
_YEARS = 100 * 365 * 86_400 * 1_000_000_000


class Cable:
    """Plugged in while it exists. To be made where the clock runs (`Live.do`), or while it stands still; `close` from anywhere."""

    def __init__(self, board: Board, clock: Clock, baud: int | None = None) -> None:
        """`baud`: bit/s that bytes take in either direction; None: no time at all."""
        self._board = board
        self._clock = clock
        self._baud = baud
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(slave)
        os.close(slave)  # so that the master can tell whether anybody has the port open
        self._said: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
        self._printed = board.console.printed()
        self._return = False  # the last byte printed was a carriage return
        self._closing = threading.Event()
        board.console.line = self
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._speak)]
        for thread in self._threads:
            thread.start()

    def say(self, printed: int, data: bytes) -> None:
        """For the board: bytes of its prompt, after the first `printed` bytes of its log."""
        self._said.put((printed, data))

    def close(self) -> None:
        """Pulls the plug: whoever has the port open gets an error."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._board.console.line is self:
            self._board.console.line = None
        for thread in self._threads:
            thread.join()
        os.close(self._master)

    def _events(self, wanted: int, seconds: float) -> int:
        poll = select.poll()
        poll.register(self._master, wanted)
        return sum(found for _file, found in poll.poll(1000 * seconds))

    def _line_time(self, count: int) -> None:
        if self._baud is not None:
            time.sleep(count * _BITS / self._baud)

    def _listen(self) -> None:
        """From the port to the board."""
        while not self._closing.is_set():
            events = self._events(select.POLLIN, _POLL)
            if not events & select.POLLIN:
                if events:  # nobody has it open
                    time.sleep(_POLL)
                continue
            with contextlib.suppress(OSError):  # opened and closed meanwhile
                data = os.read(self._master, 4096 if self._baud is None else _CHUNK)
                self._line_time(len(data))
                self._typed(data)

    def _typed(self, data: bytes) -> None:
        heard = threading.Event()

        def hear() -> None:
            heard.set()
            self._board.hear(data)

        def rescue() -> None:
            if not heard.is_set():
                self._board.stuck(0.8 * _STUCK)

        self._clock.call(hear)
        if b"\x03" in data:
            timer = threading.Timer(_STUCK, rescue)
            timer.daemon = True
            timer.start()

    def _speak(self) -> None:
        """From the board to the port, in the order in which it said and printed."""
        while not self._closing.is_set():
            try:
                printed, data = self._said.get(timeout=_POLL)
            except Empty:
                printed, data = self._board.console.printed(), b""
                if not self._said.empty():  # said before the last of this was printed
                    continue
            while self._printed < printed:
                text = os.pread(self._board.console.log_file, min(4096, printed - self._printed), self._printed)
                self._printed += len(text)
                self._write(self._cooked(text))
            self._write(data)

    def _cooked(self, text: bytes) -> bytes:
        """Line ends as the port makes them: a line feed gets its carriage return unless it has one."""
        begun = text.startswith(b"\n") and self._return
        self._return = text.endswith(b"\r")
        cooked = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return cooked[1:] if begun else cooked

    def _write(self, data: bytes) -> None:
        """Lost where nobody has the port open, or does not read."""
        while data and not self._closing.is_set():
            events = self._events(select.POLLOUT, _PATIENCE)
            if events & select.POLLHUP or not events:
                return
            try:
                count = os.write(self._master, data if self._baud is None else data[:_CHUNK])
            except OSError:
                return
            self._line_time(count)
            data = data[count:]


class Live:
    """Runs a world beside the caller, who touches it by `do` only. Leaving the `with` stops it and raises what ended it."""

    def __init__(self, clock: Clock, speed: float = 1) -> None:
        """`speed`: world time per wall time."""
        self._clock = clock
        began, start = time.monotonic_ns(), clock.now
        clock.pace(True, lambda: start + int((time.monotonic_ns() - began) * speed), speed)
        self._error: BaseException | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, action: Callable[[], T]) -> T:
        """What `action` returns or raises, between two events of the world."""
        done = threading.Event()
        result: list[T] = []
        error: list[Exception] = []

        def act() -> None:
            try:
                result.append(action())
            except Exception as raised:  # noqa: BLE001  it is the caller's
                error.append(raised)
            done.set()

        self._clock.call(act)
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise self._error or RuntimeError("the world has stopped; it takes no calls")
        if error:
            raise error[0]
        return result[0]

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._clock.run_until(self._clock.now + _YEARS)
        except BaseException as error:  # noqa: BLE001  told to the caller, who is in another thread
            self._error = error

    def close(self) -> None:
        """Stops the world where it is."""
        self._stopping = True
        self._clock.interrupt()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(Exception):
            self.close()
