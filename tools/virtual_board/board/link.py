"""The board's line to the world and its clock: every other stand-in goes through here. Protocol: wire.py."""

# ruff: noqa: D103, SIM115  the line stays open until the process ends

import sys
from struct import calcsize, pack, pack_into, unpack, unpack_from

import costs
import uos
import wire

_RECORD = "<BBHII"
_SIZE = 12
_ROOM = 1200  # posted records and small payloads before a message must leave
_QUEUE = 8  # scheduler slots of the ESP32 port (MICROPY_SCHEDULER_DEPTH); further interrupts are lost

_out = bytearray(_ROOM)
_in = bytearray(_SIZE)
_file = open("/dev/null", "r+b")  # until open_line
_fill = 0
_base = 0  # board µs since reset at the last answer
_elapsed = 0
_horizon = 0
levels = bytearray(64)
handlers: dict = {}  # pin -> (handler, Pin)
_pending: list = []
_handling = False
_masked = False

reset_cause = 0
wake_reason = 0
rtc_offset = 0  # RTC µs since 2000 less board µs since reset
wake_mask = 0
mac = b""
entropy = b""
raw = 0  # a soft reset from the raw REPL: back to it, without main.py


def open_line(fd: int) -> None:
    global _file
    _file = open(fd, "r+b")


def now() -> int:
    """Board µs since reset."""
    return _base + _elapsed


def spend(us: int) -> None:
    """Processor work; asks the world for news when its next event is due."""
    global _elapsed
    _elapsed += us
    if _elapsed >= _horizon:
        request(wire.SYNC, 0, 0, None)


def charge(us: int) -> None:
    """Processor work in the midst of which nothing may happen: the next request tells of it."""
    global _elapsed
    _elapsed += us


def post(op: int, line: int, arg: int) -> None:
    """A message without an answer; leaves with the next request."""
    global _fill
    if _fill > _ROOM - 2 * _SIZE:
        request(wire.SYNC, 0, 0, None)
    pack_into(_RECORD, _out, _fill, op, line, 0, _elapsed, arg)
    _fill += _SIZE


def refresh() -> None:
    """Makes `levels` true for this moment: a posted output or a due event may have changed an input."""
    if _fill or _elapsed >= _horizon:
        request(wire.SYNC, 0, 0, None)


def _vanish() -> None:
    # The world is gone. sys.exit can be swallowed by the program under test, a signal cannot.
    uos.system("kill -9 $PPID")


def request(op: int, line: int, arg: int, payload):
    """Sends what was posted and one request; returns (status, payload or None)."""
    global _fill, _base, _elapsed, _horizon
    fill = _fill
    if payload is None:
        pack_into(_RECORD, _out, fill, op, line, 0, _elapsed, arg)
        _file.write(_out, 0, fill + _SIZE)
    else:
        length = len(payload)
        pack_into(_RECORD, _out, fill, op, line, length, _elapsed, arg)
        fill += _SIZE
        if fill + length <= _ROOM:
            _out[fill : fill + length] = payload
            _file.write(_out, 0, fill + length)
        else:
            _file.write(_out, 0, fill)
            _file.write(payload)
    _fill = 0
    heard = None
    while heard is None:
        try:
            heard = _file.readinto(_in)
        except OSError:  # reset by a world that was killed
            heard = 0
        except KeyboardInterrupt:  # the signal for a program that computes without end came too late
            pass
    if heard != _SIZE:
        _vanish()
    status, pins, length, passed, horizon = unpack_from(_RECORD, _in, 0)
    _base += _elapsed + passed
    _elapsed = 0
    _horizon = horizon
    if pins:
        records = _file.read(2 * pins)
        for i in range(0, 2 * pins, 2):
            _edge(records[i], records[i + 1])
    answer = _file.read(length) if length else None
    if _pending:
        run_handlers()
    return status, answer


def demand(op: int, line: int, arg: int, payload):
    """A request whose answer's payload is returned; a status that is not 0 is raised as OSError."""
    status, answer = request(op, line, arg, payload)
    if status:
        raise OSError(status)
    return answer


def number(op: int, line: int, arg: int) -> int:
    """A request that is answered with one integer."""
    return unpack("<i", demand(op, line, arg, None))[0]


def last_words(op: int, arg: int, payload) -> None:
    """A request without an answer: the supervisor ends this process."""
    request(op, 0, arg, payload)
    _vanish()


def _keyboard_interrupt(_) -> None:
    raise KeyboardInterrupt


def _edge(pin: int, level: int) -> None:
    if pin == wire.INTERRUPT:
        _pending.append((_keyboard_interrupt, None))
        return
    levels[pin] = level & 1
    entry = handlers.get(pin)
    if level & 2 and entry and len(_pending) < _QUEUE:
        _pending.append(entry)


def run_handlers() -> None:
    """Interrupt handlers, one after the other in the order of their edges.

    One that raises is printed and gone on from, as the scheduler of MicroPython does.
    """
    global _handling
    if _handling or _masked:
        return
    _handling = True
    try:
        while _pending:
            handler, pin = _pending.pop(0)
            spend(costs.IRQ)
            try:
                handler(pin)
            except Exception as error:  # noqa: BLE001  the port goes on whatever a handler raises
                print("Unhandled exception in callback")
                sys.print_exception(error)
    finally:
        _handling = False


def mask(on: bool) -> bool:
    """Interrupts off or on; returns whether they were off."""
    global _masked
    was = _masked
    _masked = on
    if was and not on:
        run_handlers()
    return was


def wait(us: int) -> None:
    """Lets time pass; interrupt handlers run at their moment and the wait goes on."""
    end = _base + _elapsed + us
    while True:
        left = end - _base - _elapsed
        if left <= 0:
            return
        request(wire.WAIT, 0, min(left, 0x3FFFFFFF), None)


def doze(payload: bytes) -> None:
    """Light sleep: like a wait that only wake-up sources end."""
    request(wire.LIGHTSLEEP, 0, 0, payload)


def begin() -> None:
    """Blocks until the supervisor lets this boot happen."""
    global reset_cause, wake_reason, rtc_offset, wake_mask, mac, entropy, raw
    answer = request(wire.READY, 0, 0, None)[1]
    reset_cause, wake_reason, rtc_offset, wake_mask, mac, entropy, raw = unpack(wire.BOOT, answer)


def set_rtc(us: int) -> None:
    """Sets the RTC to µs since 2000."""
    global rtc_offset
    request(wire.RTC_TIME, 0, 0, pack("<q", us))
    rtc_offset = us - now()


def rtc() -> int:
    """RTC µs since 2000."""
    return rtc_offset + _base + _elapsed


if calcsize(wire.RECORD) != _SIZE:
    raise ValueError("record size")
