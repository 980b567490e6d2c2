"""The interpreter of one wake: start it with its socket, hear it, end it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import struct
import time
from pathlib import Path

from .flash import compile_source
from .protocol import Parser, Record

STAND_INS = Path(__file__).parent / "board"
# What a board leaves to its program (notes of the ESP32 port: 100 to 160 KB) and what the stand-ins and the boot code take of
# it here, where an ESP32 has them in flash; tests measure the second.
HEAP_BOARD = 100 * 1024
HEAP_STAND_INS = 35 * 1024

_RECEIVE = 65536


class ProcessEnded(Exception):
    """The interpreter has gone, which no request of the board explains."""


class ProcessHung(Exception):
    """The interpreter has said nothing within the time-out."""


def compile_stand_ins(cache: Path) -> Path:
    """Folder with the stand-ins as .mpy, made once for each version of their sources."""
    sources = sorted(STAND_INS.glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = (cache / f"stand-ins-{digest.hexdigest()[:16]}").absolute()
    if not folder.exists():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        fresh.mkdir(parents=True, exist_ok=True)
        for source in sources:
            (fresh / f"{source.stem}.mpy").write_bytes(compile_source(source, source.name))
        with contextlib.suppress(OSError):  # another process was quicker
            fresh.rename(folder)
    return folder


class Process:
    """A MicroPython process in a process group of its own (Ctrl-C in the terminal is the world's to handle)."""

    def __init__(self, micropython: Path, stand_ins: Path, image: Path, size: int, log: int, timeout: float) -> None:
        """`log`: descriptor for print and tracebacks; `timeout`: s of wall time after which silence is an error."""
        ours, theirs = socket.socketpair()
        for end in (
            ours,
            theirs,
        ):  # a default time-out set anywhere would make the board's reads return at once, for ever
            end.setblocking(True)
        with theirs:
            heap = HEAP_BOARD + HEAP_STAND_INS
            self.pid = os.posix_spawn(
                micropython,
                [str(micropython), "-X", f"heapsize={heap}", "-m", "boot", str(image), str(size)],
                {"MICROPYPATH": str(stand_ins)},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                ],
                setpgroup=0,
            )
        seconds = int(timeout)
        ours.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, int((timeout - seconds) * 1_000_000))
        )
        self._socket = ours
        self._parser = Parser()
        self._spoke = False
        self._awaited: float | None = None  # since when `receive` waits

    def receive(self) -> list[Record]:
        """Blocks until the next message is whole."""
        self._awaited = time.monotonic()
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                raise ProcessHung from None
            except ConnectionError:
                data = b""
            if not data:
                raise ProcessEnded
            records = self._parser.feed(data)
            if records is not None:
                self._awaited = None
                self._spoke = True
                return records

    def send(self, data: bytes) -> None:
        """Hands over an answer."""
        try:
            self._socket.sendall(data)
        except ConnectionError:
            raise ProcessEnded from None

    def silent(self) -> float:
        """For how many s the world has been waiting for its next message; 0 before its first one."""
        since = self._awaited
        return time.monotonic() - since if self._spoke and since is not None else 0.0

    def interrupt(self) -> None:
        """Ctrl-C by signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once; `reap` later collects what is left."""
        # In this order: an end of file would make it start a shell to end itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._socket.close()

    def reap(self, *, wait: bool) -> bool:
        """Collects the ended process; False: not yet gone."""
        try:
            return os.waitpid(self.pid, 0 if wait else os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True
