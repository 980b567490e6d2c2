"""A board at the end of a cable, caught at its prompt: what it is, what lies on it, files onto it, its restart.

mpremote is used as a library. A cable may be cut at any byte: each file goes to a temporary name, is read back and hashed
there and only then gets its name, so that what is on the board under its own name is whole.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpremote.transport import TransportError, TransportExecError  # type: ignore[import-untyped]  # they come without types
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]
from serial.tools import list_ports  # type: ignore[import-untyped]

from ..setup.say import Problem

Say = Callable[[str], None]
RAW = b"raw REPL; CTRL-B to exit"
TEMPORARY = "/flash.new"
_POLL_S = 0.05
_QUIET_S = 0.2  # without a byte: everything that was on its way has come
_PULSE_S = 1.0  # a board that is awake answers sooner; then its reset line is tried
_PATIENCE_S = 2.0  # then a person is asked for the button
_ANSWER_S = 5.0
_PIECE = 1536  # bytes of a file in one command: 2 KB of base64, which a board's heap takes
_WINDOW_BITS = 12  # the board unpacks with a window of 4 KB
_FAULTS = (TransportError, OSError, struct.error)  # what mpremote lets through when a line breaks

# The scripts below run on the board. Each prints its answer; what it raises comes back as the last line of a traceback.

_FACTS = """
import os,sys,json
try:
 import deflate
 z=1
except ImportError:
 z=0
try:
 with open('/config.json') as f:e=json.load(f).get('dev_eui')
except (OSError,ValueError,AttributeError):
 e=None
u=os.uname()
s=os.statvfs('/')
print(json.dumps([u[0],u[2],u[4],getattr(sys.implementation,'_mpy',0)&255,z,s[1]*s[3],e]))
"""

_LIST = """
import os,hashlib,binascii
def h(p):
 s=hashlib.sha256()
 with open(p,'rb') as f:
  while 1:
   b=f.read(512)
   if not b:return binascii.hexlify(s.digest()).decode()
   s.update(b)
"""

_WALK = """
def w(d):
 for e in os.ilistdir(d or '/'):
  p=d+'/'+e[0]
  if e[1]==0x4000:
   print(p+'/',0)
   w(p)
  else:
   print(p,h(p))
w('')
"""

_PUT = f"""
import io
B=bytearray()
def a(s):
 B.extend(binascii.a2b_base64(s))
def p(path,z,want):
 global B
 i=io.BytesIO(B)
 B=bytearray()
 if z:
  import deflate
  i=deflate.DeflateIO(i,deflate.RAW,{_WINDOW_BITS})
 try:
  d=''
  for n in path.split('/')[1:-1]:
   d+='/'+n
   try:os.mkdir(d)
   except OSError as e:
    if e.errno!=17:raise
  with open({TEMPORARY!r},'wb') as f:
   while 1:
    b=i.read(512)
    if not b:break
    f.write(b)
  if h({TEMPORARY!r})!=want:raise ValueError('not what was sent')
  os.rename({TEMPORARY!r},path)
 except OSError:
  try:os.remove({TEMPORARY!r})
  except OSError:pass
  raise
"""


@dataclass(frozen=True)
class Facts:
    """What a board says of itself. `free`: bytes; `mpy`: version of the bytecode that it loads; `dev_eui`: None without one."""

    platform: str
    release: str
    machine: str
    mpy: int
    deflate: bool
    free: int
    dev_eui: str | None


class Lost(Problem):
    """The line broke or the board fell silent."""


class Full(Problem):
    """The board's flash has no room."""


def catch(port: str, seconds: float, say: Say) -> Board:
    """The board at `port`, at its prompt with a fresh interpreter, main.py not running.

    Tried until `seconds` are over: Ctrl-C all the time, which reaches a node that is awake or in the ten seconds after its
    start; once the reset line (RTS); and a person with the button. A port that is not there is waited for: the USB port of
    a chip goes with its sleep. Problem: it did not come, and what to do.
    """
    until = time.monotonic() + seconds
    while True:
        transport = _open(port, until, say)
        try:
            if _interrupt(transport, until, say):
                return Board(port, transport)
        except _FAULTS:  # the port went with the board's sleep
            _close(transport)
            time.sleep(_POLL_S)
            continue
        _close(transport)
        raise Problem(
            f"{port}: no prompt within {seconds:.0f} s; press the board's reset button and run this again within its 10 s of "
            "blinking; a board without MicroPython needs it first (docs/technician.md)"
        )


def _open(port: str, until: float, say: Say) -> SerialTransport:
    """The port, waited for if it is not there."""
    said = False
    while True:
        there = Path(port).exists()
        if there and not os.access(port, os.R_OK | os.W_OK):
            raise Problem(
                f"{port}: permission denied; join the group that may use it (on Debian dialout) and log in again"
            )
        if there:
            with contextlib.suppress(TransportError):
                return SerialTransport(port, timeout=_ANSWER_S)
        if not said and not there:
            said = True
            say(f"{port} is not there; waiting for it: plug the board in, or press its reset button if it sleeps")
        if time.monotonic() > until:
            if there:
                raise Problem(f"{port}: cannot be opened; another program has it, or it is no serial port")
            ports = ", ".join(sorted(each.device for each in list_ports.comports())) or "none"
            raise Problem(
                f"{port}: it did not appear; ports of this machine: {ports}; plug the board in, or name another port"
            )
        time.sleep(_POLL_S)


def _interrupt(transport: SerialTransport, until: float, say: Say) -> bool:
    serial = transport.serial
    serial.timeout, serial.write_timeout = _POLL_S, _ANSWER_S
    began = time.monotonic()
    pulsed = asked = False
    heard = b""
    while time.monotonic() < until:
        serial.write(b"\r\x03\x01")
        heard = (heard + _take(serial))[-512:]
        if RAW in heard:
            heard = b""
            _drain(serial)
            serial.timeout = _ANSWER_S
            # mpremote prints what it did not expect: a board's bytes are nothing for a person
            with contextlib.suppress(TransportError), contextlib.redirect_stdout(io.StringIO()):
                transport.enter_raw_repl(soft_reset=True)
                return True
            serial.timeout = _POLL_S
        waited = time.monotonic() - began
        if not pulsed and waited > _PULSE_S:
            pulsed = True
            _pulse(serial)
        if not asked and waited > _PATIENCE_S:
            asked = True
            say("the board does not answer yet, it may be asleep: press its reset button (or wait for its next wake)")
    return False


def _pulse(serial: Any) -> None:
    """Resets a chip whose EN hangs on RTS (or its USB-serial unit, which does the same); DTR stays off: no loader."""
    with contextlib.suppress(OSError):  # a line without these wires
        serial.dtr = False
        serial.rts = True
        time.sleep(0.1)
        serial.rts = False


def _take(serial: Any) -> bytes:
    """What has come, waiting for its first byte; asked for more, pyserial would wait for that too."""
    return bytes(serial.read(serial.in_waiting or 1))


def _drain(serial: Any) -> None:
    serial.timeout = _QUIET_S
    while _take(serial):
        pass


def _close(transport: SerialTransport) -> None:
    with contextlib.suppress(OSError):  # mpremote sets the lines once more, of a port that may have gone
        transport.close()
    with contextlib.suppress(OSError):
        transport.serial.close()


class Board:
    """At its prompt; made by `catch`."""

    def __init__(self, port: str, transport: SerialTransport) -> None:
        self.port = port
        self._transport = transport
        self._defined = False
        self._deflate = False

    def facts(self) -> Facts:
        """Asks the board."""
        told = json.loads(self._run(_FACTS))
        self._deflate = bool(told[4])
        return Facts(told[0], told[1], told[2], told[3], self._deflate, told[5], told[6])

    def files(self) -> dict[str, str]:
        """Path -> SHA-256 in hex of every file; a folder's path ends with "/" and has "0". One call."""
        self._define()
        lines = self._run(_WALK).decode(errors="replace").splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line)

    def put(self, path: str, content: bytes) -> None:
        """A file, whole or not at all. Full: no room for it, nothing of it stays."""
        self._define()
        sent = content
        if self._deflate:
            packer = zlib.compressobj(9, zlib.DEFLATED, -_WINDOW_BITS)
            sent = packer.compress(content) + packer.flush()
        for at in range(0, len(sent), _PIECE):
            self._run(f"a({base64.b64encode(sent[at : at + _PIECE]).decode()!r})")
        self._run(f"p({path!r},{self._deflate:d},{hashlib.sha256(content).hexdigest()!r})", path)

    def remove(self, paths: Iterable[str]) -> None:
        """Files, and folders (a path that ends with "/") that are empty by then."""
        for path in paths:
            verb = "rmdir" if path.endswith("/") else "remove"
            self._run(f"import os\nos.{verb}({path.rstrip('/')!r})", path)

    def reset(self) -> None:
        """Restarts the board as its button does."""
        with _asking(self.port):
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")

    def lines(self, seconds: float, say: Say) -> Iterator[str]:
        """What the board prints from now on, line by line, for `seconds`; a port that goes and comes again is opened again."""
        until = time.monotonic() + seconds
        heard = b""
        while time.monotonic() < until:
            try:
                self._transport.serial.timeout = _POLL_S
                heard += _take(self._transport.serial)
            except OSError:
                _close(self._transport)
                self._transport = _open(self.port, until, say)
            *whole, heard = heard.split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").strip()

    def close(self) -> None:
        """Lets the port go."""
        _close(self._transport)

    def _define(self) -> None:
        if not self._defined:
            self._run(_LIST + _PUT)
            self._defined = True

    def _run(self, script: str, what: str = "") -> bytes:
        with _asking(self.port, what):
            return bytes(self._transport.exec(script))


@contextlib.contextmanager
def _asking(port: str, what: str = "") -> Iterator[None]:
    """Turns what mpremote raises into one sentence. Never the script: a configuration has a key in it."""
    try:
        yield
    except TransportExecError as error:
        lines = error.error_output.strip().splitlines() or [""]
        if "ENOSPC" in lines[-1] or "OSError: 28" in lines[-1]:
            raise Full(f"{what}: no room for it in the board's flash") from None
        raise Problem(
            f"{port}: {what or 'the board'}: {lines[-1][:200]}; run this again, or set the board up anew (erase_flash)"
        ) from None
    except _FAULTS:
        raise Lost(
            f"{port}: the line to the board broke; plug it in again and run this again: it completes what is missing"
        ) from None
