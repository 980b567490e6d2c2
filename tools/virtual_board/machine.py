"""One virtual board: an ESP32-S3 whose processor is a MicroPython process and whose memory, pads and clocks live here.

States: `off` → power_on → `running` → deepsleep → `asleep` → wake → `running`; a main.py that ends leaves a board at its
`prompt`, where only a person at its cable (cable.py), the watchdog or a power cut helps it.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..world.clock import Clock, Event
from . import protocol
from .clocks import SleepClock, next_tick, to_board, to_world
from .console import Console
from .flash import Flash
from .nvs import NOT_FOUND, Nvs
from .pads import Pads
from .peripherals import Peripherals, Reply
from .process import Process, ProcessEnded, ProcessHung
from .protocol import Record
from .wiring import Level, Wiring

if TYPE_CHECKING:
    from .supervisor import Supervisor

_HORIZON = 1000  # board µs after which a computing board must ask for news
_EDGES = 100  # pin records of one answer; the scheduler takes eight interrupts anyway
_RTC_MEMORY = 2048
# Requests of the file system: littlefs must not be interrupted in the midst of its work. Before READY there is no program.
_NO_INTERRUPT = frozenset({protocol.FLASH_ERASE, protocol.FLASH_PROGRAM, protocol.READY})


class BoardError(Exception):
    """The run cannot go on: which board, when, and why, in one sentence."""


class Board:
    """See the module; made by Supervisor.add. Implements wiring.Host for its models."""

    def __init__(
        self,
        supervisor: Supervisor,
        number: int,
        dev_eui: str,
        wiring: Wiring,
        image: Path,
        crystal_ppb: int,
        sleep_clock_ppm: Callable[[int], int],
    ) -> None:
        self.number = number
        self.dev_eui = dev_eui
        self.wiring = wiring
        self.crystal_ppb = crystal_ppb
        self.flash = Flash(image.absolute())
        self.nvs = Nvs(image.with_suffix(image.suffix + ".nvs"))
        self.rtc_memory = b""
        self.state = "off"
        self.wakes = 0
        self.booted = 0  # world ns of the last boot's first instant
        self.console = Console(image.with_suffix(image.suffix + ".log"))
        self._supervisor = supervisor
        self._clock: Clock = supervisor.clock
        self._sleep_clock_ppm = sleep_clock_ppm
        self._pads = Pads(wiring.pulls, self._output_changed, self._level_changed, self._clash)
        self._peripherals = Peripherals(wiring, lambda: self._clock.now, self._pads.output, self._later, self.fault)
        self._process: Process | None = None
        self._ahead: Process | None = None
        self._events: list[Event] = []  # of this boot: bytes that it sends
        self._inbox: deque[Record] = deque()  # of the last message, not yet served
        self._inbox_event: Event | None = None
        self._request: Record | None = None
        self._wait: Event | None = None
        self._watchdog: Event | None = None
        self._watchdog_ms = 0
        self._cause = (0, 0, 0)
        self._anchor = 0  # world ns and board µs of the same instant, for the crystal
        self._anchor_us = 0
        self._us = 0  # board µs at the last answer or at the request that is being served
        self._rtc_boot = 0  # RTC µs at board µs 0
        self._irq: dict[int, int] = {}
        self._watched: set[int] = set()
        self._edges: list[tuple[int, int]] = []
        self._digital_hold = False
        self._sources: tuple[int, int, int, int] | None = None  # ext0 pin, ext0 level, ext1 pins, ext1 any-high
        self._tear: int | None = None
        for device in wiring.devices():
            device.attach(self)

    # What models ask; the sentences are those of wiring.Host

    @property
    def now(self) -> int:
        """World time in ns."""
        return self._clock.now

    def at(self, when: int, action: Callable[[], None]) -> Event:
        """Calls `action` at world time `when`, before what the board asks for at the same instant."""
        return self._clock.at(when, action, 2 * self.number + 2)

    def drive(self, pin: int, level: Level) -> None:
        """A model drives a pin or lets go."""
        self._pads.drive(pin, level)

    def level(self, pin: int) -> int:
        """The level on a pin."""
        return self._pads.level(pin)

    def output(self, pin: int) -> Level:
        """What the board drives on a pin."""
        return self._pads.output(pin)

    def send(self, rx_pin: int, data: bytes) -> int:
        """A device sends to the board."""
        sent = self._peripherals.send(rx_pin, data)
        if self._request is not None and self._request.op == protocol.UART_READ:
            self._schedule_read(self._request)
        return sent

    def random(self, name: str) -> random.Random:
        """A generator seeded by world, board and name."""
        return random.Random(f"{self._supervisor.seed}/{self.dev_eui}/{name}")  # noqa: S311  no secrets

    def fault(self, text: str) -> NoReturn:
        """Ends the run."""
        raise BoardError(f"board {self.number} ({self.dev_eui}) at {self._clock.now} ns: {text}")

    # What the world does with a board

    def power_on(self) -> None:
        """The supply comes: devices first, then the chip from its reset vector, with an RTC that starts at 2000-01-01."""
        if self.state != "off":
            raise BoardError(f"board {self.number}: it has power already; cut it first")
        for device in self.wiring.devices():
            device.power(True)
        self._rtc_boot = 0
        self._boot(protocol.PWRON_RESET)

    def power_cut(self, after_blocks: int | None = None) -> None:
        """The supply goes: RTC memory, RTC time and what was not committed are lost, flash stays as it stands.

        With `after_blocks` it goes in the midst of that following flash program operation (1: the next one), half of
        which is done.
        """
        if after_blocks is not None:
            self._tear = after_blocks
            return
        self._stop()
        self._drop_ahead()
        self.state = "off"
        self._sources = None
        self._tear = None
        self.rtc_memory = b""
        for device in self.wiring.devices():
            device.power(False)
        self._pads.power_off()
        self._digital_hold = False

    def hear(self, data: bytes) -> None:
        """Bytes from the cable; lost where nobody listens: without power, asleep. Ctrl-C ends what the program does."""
        request = self._inbox[-1] if self._inbox else self._request
        if self._process is None or (request is not None and request.op == protocol.LIGHTSLEEP):
            return
        self.console.type(data, prompt=request is not None and request.op == protocol.CONSOLE)
        ends = self._request
        if ends is not None and ends.op == protocol.CONSOLE:
            self._read_console()
        elif ends is not None and self.console.interrupt and self._wait is not None:
            self._wait.cancel()
            self._wait = self._after(
                self._clock.now, self._waited if ends.op == protocol.WAIT else lambda: self._read(ends)
            )

    def stuck(self, seconds: float) -> None:
        """Ctrl-C for a program that computes without end: the world waits for it and hears nothing else. Any thread may call.

        Only after so many s of wall time without a word, which the work between two messages never takes.
        """
        process = self._process
        if process is not None and process.silent() > seconds:
            process.interrupt()

    def log(self) -> str:
        """The last tens of kilobytes of what the board printed, tracebacks included."""
        return self.console.log()

    def state_digest(self) -> str:
        """SHA-256 over flash, NVS and RTC memory."""
        digest = hashlib.sha256(self.flash.contents())
        digest.update(self.nvs.contents() + b"\0" + self.rtc_memory)
        return digest.hexdigest()

    def abandon(self) -> None:
        """Ends the board's processes; for Supervisor.close."""
        self._stop()
        self._drop_ahead()
        self.state = "off"

    # A boot and its end

    def _boot(self, cause: int, reason: int = 0, mask: int = 0) -> None:
        self.state = "running"
        self.wakes += 1
        self.booted = self._clock.now
        self._cause = (cause, reason, mask)
        self._sources = None
        self._anchor, self._anchor_us, self._us = self._clock.now, 0, 0
        self._irq, self._watched, self._edges = {}, set(), []
        self.console.boot(soft=cause == protocol.SOFT_RESET)
        self._process, self._ahead = self._ahead or self._supervisor.start(self), None
        self._supervisor.computing(self, on=True)

    def _stop(self, *, keep_watchdog: bool = False) -> None:
        """The processor stops: process, timers and unwritten storage go."""
        if self._process is not None:
            self._supervisor.end(self._process)
            self._process = None
        self._supervisor.computing(self, on=False)
        self._inbox.clear()
        for event in [*self._events, self._inbox_event, self._wait, None if keep_watchdog else self._watchdog]:
            if event is not None:
                event.cancel()
        self._events, self._request, self._wait = [], None, None
        self._peripherals.reset()
        self.nvs.reset()

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._supervisor.end(self._ahead)
            self._ahead = None

    def _restart(self, cause: int) -> None:
        """A reset without loss of power: the RTC runs on. A soft reset restarts the interpreter only: pads and watchdog stay."""
        self._rtc_boot += self._board_us()
        soft = cause == protocol.SOFT_RESET
        self._stop(keep_watchdog=soft)
        if not soft:
            self._pads.reset()
        self._boot(cause)

    # Time

    def _board_us(self) -> int:
        """Board µs now, on a running crystal."""
        return self._anchor_us + to_board(self._clock.now - self._anchor, self.crystal_ppb)

    def _world(self, us: int) -> int:
        return self._anchor + to_world(us - self._anchor_us, self.crystal_ppb)

    def _after(self, when: int, action: Callable[[], None]) -> Event:
        return self._clock.at(when, action, 2 * self.number + 3)

    def _later(self, when: int, action: Callable[[], None]) -> None:
        self._events = [event for event in self._events if not event.cancelled]
        self._events.append(self.at(when, action))

    # Messages

    def take_message(self) -> None:
        """Blocks until the board has said what it wants next and puts it in the clock's queue."""
        process = self._process
        if process is None:
            return
        try:
            records = process.receive()
        except ProcessHung:
            self.fault(f"no answer from its interpreter in time; its last request was {self._last_request()}")
        except ProcessEnded:
            self._ended()
        self._inbox.extend(records)
        self._next_record()

    def _next_record(self) -> None:
        self._inbox_event = self._after(self._world(self._us + self._inbox[0].elapsed), self._serve_inbox)

    def _serve_inbox(self) -> None:
        """Serves what the message carries, each record at its time; `_stop` empties the inbox."""
        inbox = self._inbox
        while True:
            self._serve(inbox.popleft())
            if not inbox:
                return
            if not self._clock.step_to(self._world(self._us + inbox[0].elapsed)):
                self._next_record()
                return

    def _ended(self) -> NoReturn:
        lines = self.log().strip().splitlines()[-3:]
        self.fault(f"its interpreter ended by itself after {self._last_request()}; it said: {' | '.join(lines)}")

    def _last_request(self) -> str:
        return "none" if self._last is None else protocol.NAMES[self._last.op]

    _last: Record | None = None

    def _serve(self, record: Record) -> None:
        op = record.op
        if op < protocol.REQUEST:
            self._posted(op, record.line, record.argument)
            return
        self._us += record.elapsed
        self._request = self._last = record
        peripheral = self._peripherals.actions.get(op)
        if peripheral is not None:
            self._answer(peripheral(record))
        else:
            self._own(op, record)

    def _posted(self, op: int, pin: int, argument: int) -> None:
        if op == protocol.OUT:
            self._pads.set(pin, argument)
        elif op == protocol.FEED:
            self._feed()
        elif op == protocol.PIN:
            hold = bool(argument >> 9 & 1) if argument >> 10 & 1 else None
            self._pads.configure(pin, argument & 0xF, argument >> 4 & 0xF, argument >> 8 & 1, hold=hold)
            if pin not in self._watched:
                self._watched.add(pin)
                self._edges.append((pin, self._pads.level(pin)))
        elif op == protocol.IRQ:
            self._irq[pin] = argument
        elif op == protocol.WDT:
            self._watchdog_ms = argument
            self._feed()
        else:
            self._digital_hold = bool(argument)

    def _own(self, op: int, record: Record) -> None:
        payload = record.payload
        reply = Reply()
        if op == protocol.WAIT:
            end = self._clock.now if self.console.interrupt else self._world(self._us + record.argument)
            self._wait = self._after(end, self._waited)
            return
        if op == protocol.UART_READ:
            self._deadline = self._world(self._us + (0 if self.console.interrupt else struct.unpack("<I", payload)[0]))
            self._schedule_read(record)
            return
        if op in (protocol.LIGHTSLEEP, protocol.DEEPSLEEP):
            self._sleep(op, payload)
            return
        if op == protocol.RESET:
            self._restart(record.argument)
            return
        if op == protocol.CONSOLE:
            self._console(record)
            return
        if op == protocol.READY:
            reply = Reply(payload=self._boot_message())
        elif op == protocol.RTC_GET:
            reply = Reply(payload=self.rtc_memory)
        elif op == protocol.RTC_SET:
            self.rtc_memory = payload[:_RTC_MEMORY]
        elif op == protocol.RTC_TIME:
            self._rtc_boot = struct.unpack("<q", payload)[0] - self._us
        elif op == protocol.NVS_GET:
            value = self.nvs.get(record.line, payload)
            reply = Reply(NOT_FOUND) if value is None else Reply(payload=value)
        elif op == protocol.NVS_SET:
            namespace, key, value = payload.split(b"\0", 2)
            reply = Reply(self.nvs.set(record.line, namespace + b"\0" + key, value))
        elif op == protocol.NVS_ERASE:
            reply = Reply(self.nvs.erase(payload))
        elif op == protocol.NVS_COMMIT:
            self.nvs.commit()
        elif op == protocol.FLASH_ERASE:
            self.flash.erase(record.argument)
        elif op == protocol.FLASH_PROGRAM and self._torn(record):
            return
        self._answer(reply)

    def _torn(self, record: Record) -> bool:
        """Programs flash; True when the power went in the midst of it."""
        data = record.payload
        if self._tear is not None:
            self._tear -= 1
            if self._tear <= 0:
                self.flash.program(record.argument, data[: len(data) // 2])
                self.power_cut()
                return True
        self.flash.program(record.argument, data)
        return False

    def _boot_message(self) -> bytes:
        cause, reason, mask = self._cause
        eui = bytes.fromhex(self.dev_eui)
        entropy = hashlib.sha256(f"{self._supervisor.seed}/{self.dev_eui}/{self._anchor}".encode()).digest()[:16]
        return protocol.BOOT.pack(cause, reason, self._rtc_boot, mask, eui[:3] + eui[5:], entropy, self.console.raw)

    def _answer(self, reply: Reply) -> None:
        process = self._process
        if process is None or self._request is None:  # the request itself made the power go
            return
        op, self._request = self._request.op, None
        clock = self._clock
        us = max(self._us + reply.passed, self._anchor_us + next_tick(clock.now - self._anchor, self.crystal_ppb))
        horizon = _HORIZON
        upcoming = clock.next_event()
        if upcoming is not None:
            due = self._anchor_us + to_board(upcoming - self._anchor, self.crystal_ppb) - us
            horizon = max(0, min(due, _HORIZON))
        edges = self._edges
        if len(edges) > _EDGES:
            edges = edges[:_EDGES] + [(pin, self._pads.level(pin)) for pin in sorted(self._watched)]
        if self.console.interrupt and op not in _NO_INTERRUPT:
            self.console.interrupt = False
            edges = [*edges, (protocol.INTERRUPT, 0)]
        header = protocol.RECORD.pack(reply.status, len(edges), len(reply.payload), us - self._us, horizon)
        self._us = us
        self._edges = []
        self._supervisor.computing(self, on=True)
        try:
            process.send(header + b"".join([bytes(edge) for edge in edges]) + reply.payload)
        except ProcessEnded:
            self._ended()

    # Waiting, pins, watchdog

    def _waited(self) -> None:
        self._wait = None
        self._answer(Reply())

    def _schedule_read(self, record: Record) -> None:
        """One driver read ends when all its bytes are there or its time is up; bytes may still be announced meanwhile."""
        uart = self._peripherals.uarts[record.line]
        full = uart.full_at(self._clock.now, record.argument)
        when = self._deadline if full is None else min(full, self._deadline)
        if self._wait is not None:
            self._wait.cancel()
        self._wait = self._after(when, lambda: self._read(record))

    _deadline = 0

    def _read(self, record: Record) -> None:
        self._wait = None
        uart = self._peripherals.uarts[record.line]
        self._answer(Reply(payload=uart.read(self._clock.now, record.argument)))

    def _feed(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        end = self._clock.now + to_world(self._watchdog_ms * 1000, self.crystal_ppb)
        self._watchdog = self._after(end, lambda: self._restart(protocol.WDT_RESET))

    def _output_changed(self, pin: int, level: Level) -> None:
        for line in self.wiring.spi:
            if line.cs == pin:
                line.device.select(level == 0)
        for listened, listener in self.wiring.outputs:
            if listened == pin:
                listener.output(pin, level)

    def _level_changed(self, pin: int, level: int) -> None:
        if self._sources is not None:
            self._check_sources()
        if self._process is None or pin not in self._watched:
            return
        fires = self._irq.get(pin, 0) & (1 if level else 2)
        if pin not in self._irq:  # nobody counts its edges: only the last level matters
            self._edges = [edge for edge in self._edges if edge[0] != pin]
        self._edges.append((pin, level | 2 if fires else level))
        waiting = self._request is not None and self._request.op == protocol.WAIT
        if fires and waiting and self._wait is not None:
            self._wait.cancel()
            self._wait = self._after(self._clock.now, self._waited)

    def _clash(self, pin: int) -> None:
        self.fault(f"pin {pin}: the board and a device on it drive against each other")

    # Sleep

    def _sleep(self, op: int, payload: bytes) -> None:
        us, *sources = protocol.SLEEP.unpack(payload)
        self._sleep_start = SleepClock(self._clock.now, self._sleep_clock_ppm)
        deep = op == protocol.DEEPSLEEP
        if deep:
            self._rtc_boot += self._us
            self._stop()
            self.state = "asleep"
            self._pads.sleep(digital_hold=self._digital_hold)
            if self._supervisor.start_ahead:
                self._ahead = self._supervisor.start(self)
        ext0, ext0_level, ext1, ext1_high = sources
        self._sources = (ext0, ext0_level, ext1, ext1_high)
        if us >= 0:
            self._wait = self._after(self._sleep_start.wake(us), lambda: self._wake(protocol.TIMER_WAKE, 0))
        self._check_sources()

    _sleep_start: SleepClock

    def _check_sources(self) -> None:
        """Wake-up is by level: a source that is active already wakes at once (ESP-IDF, Sleep Modes)."""
        if self._sources is None:
            return
        ext0, ext0_level, ext1, ext1_high = self._sources
        reason = mask = 0
        if ext0 >= 0 and self._pads.level(ext0) == ext0_level:
            reason = protocol.EXT0_WAKE
        else:
            # On this chip "all low" means any low (esp_sleep.h, ESP_EXT1_WAKEUP_ANY_LOW).
            mask = sum(1 << pin for pin in range(64) if ext1 >> pin & 1 and self._pads.level(pin) == ext1_high)
            if mask:
                reason = protocol.EXT1_WAKE
        if reason:
            self._sources = None
            if self._wait is not None:
                self._wait.cancel()
            self._wait = self._after(self._clock.now, lambda: self._wake(reason, mask))

    def _wake(self, reason: int, mask: int) -> None:
        self._wait = None
        self._sources = None
        slept = self._sleep_start.counted(self._clock.now)
        if self.state == "asleep":
            self._rtc_boot += slept
            self._pads.reset()
            self._digital_hold = False
            self._boot(protocol.DEEPSLEEP_RESET, reason, mask)
            return
        self._anchor, self._anchor_us = self._clock.now, self._us + slept
        self._answer(Reply(passed=slept))

    # The prompt

    def _console(self, record: Record) -> None:
        """main.py has ended or raised. The watchdog still runs; without a cable the prompt waits for ever."""
        self.state = "prompt"
        self.console.raw = bool(record.argument & protocol.RAW)
        self.console.say(record.payload)
        if record.argument & protocol.AT_ONCE:
            self._answer(Reply())
        else:
            self._read_console()

    def _read_console(self) -> None:
        typed = self.console.take()
        if typed:
            self._answer(Reply(payload=typed))
