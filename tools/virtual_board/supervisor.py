"""Runs boards: one interpreter process a wake, everything that outlives it (RTC memory, flash, NVS) kept here.

clock = Clock(start)
with Supervisor(clock, seed="...") as supervisor:
    board = supervisor.add(0, dev_eui, wiring, image)
    board.power_on()
    clock.run_until(end)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..setup import places
from ..world.clock import Clock
from .machine import Board, BoardError
from .process import Process, compile_stand_ins
from .wiring import Wiring

CACHE = places.CACHE / "virtual_board"

CRYSTAL_PPB = 40_000  # ±40 ppm: tolerance, temperature and ageing of a module's 40 MHz crystal together
SLEEP_PPM = 30_000  # spread of the calibrated RC oscillator from chip to chip; with temperature up to ±5 %
_SLEEP_PPM_PER_K = 400
_SLEEP_LIMIT_PPM = 50_000


class Supervisor:
    """All boards of a world. Leaving the `with` ends every process, whatever happened."""

    def __init__(
        self,
        clock: Clock,
        seed: str,
        micropython: Path = places.MICROPYTHON,
        cache: Path = CACHE,
        timeout: float = 20.0,
        *,
        start_ahead: bool = True,
    ) -> None:
        """`timeout`: s of wall time after which a silent board is an error.

        `start_ahead`: a sleeping board's next process is started at once and waits, with nothing of its boot known to
        it (about 3 MB each): no run depends on it.
        """
        if not micropython.exists():
            raise BoardError(f"{micropython}: no MicroPython there; `make setup` builds it")
        self.clock = clock
        self.seed = seed
        self.start_ahead = start_ahead
        self.boards: list[Board] = []
        self.wakes = 0
        self._micropython = micropython.resolve()
        self._stand_ins = compile_stand_ins(cache)
        self._timeout = timeout
        self._computing: dict[int, Board] = {}
        self._zombies: list[Process] = []
        clock.add_barrier(self._collect)

    def add(
        self,
        number: int,
        dev_eui: str,
        wiring: Wiring,
        image: Path,
        crystal_ppb: int | None = None,
        sleep_clock_ppm: Callable[[int], int] | None = None,
    ) -> Board:
        """A board without power.

        `crystal_ppb`: error of its clock while awake, `sleep_clock_ppm(world ns)`: asleep, positive is fast; both
        from the seed unless given. `number` orders what boards do at one instant.
        """
        if any(board.number == number for board in self.boards):
            raise BoardError(f"board {number}: the number is taken; give each board its own")
        draw = hashlib.sha256(f"{self.seed}/{dev_eui}/clocks".encode()).digest()
        if crystal_ppb is None:
            crystal_ppb = int.from_bytes(draw[:4]) % (2 * CRYSTAL_PPB + 1) - CRYSTAL_PPB
        if sleep_clock_ppm is None:
            own = int.from_bytes(draw[4:8]) % (2 * SLEEP_PPM + 1) - SLEEP_PPM

            def sleep_clock_ppm(when: int) -> int:
                drift = (wiring.temperature(when) - 20_000) * _SLEEP_PPM_PER_K // 1000
                return max(-_SLEEP_LIMIT_PPM, min(_SLEEP_LIMIT_PPM, own + drift))

        board = Board(self, number, dev_eui, wiring, image, crystal_ppb, sleep_clock_ppm)
        self.boards.append(board)
        return board

    def start(self, board: Board) -> Process:
        """A fresh interpreter for a board, blocked before its boot."""
        self._zombies = [process for process in self._zombies if not process.reap(wait=False)]
        return Process(
            self._micropython,
            self._stand_ins,
            board.flash.path,
            board.flash.size,
            board.console.log_file,
            self._timeout,
        )

    def end(self, process: Process) -> None:
        """Ends an interpreter."""
        process.kill()
        self._zombies.append(process)

    def computing(self, board: Board, *, on: bool) -> None:
        """Whether the world must wait for the board's next message before it moves."""
        if on:
            self._computing[board.number] = board
        else:
            self._computing.pop(board.number, None)

    def _collect(self) -> None:
        while self._computing:
            _number, board = self._computing.popitem()
            try:
                board.take_message()
            except BaseException:
                self._computing[board.number] = board
                raise

    def state_digest(self) -> str:
        """SHA-256 over what every board keeps, in the order of their numbers."""
        digest = hashlib.sha256()
        for board in sorted(self.boards, key=lambda each: each.number):
            digest.update(board.state_digest().encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Ends every process by its own id and waits for it. The boards are then without power."""
        for board in self.boards:
            board.abandon()
        for process in self._zombies:
            process.reap(wait=True)
        self._zombies = []
        for board in self.boards:
            board.flash.close()
            board.console.close()
        self.boards = []
        self._computing = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
