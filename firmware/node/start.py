"""A start that is not a wake: the time for the cable, the count from flash, a new count epoch."""

import os
import time

from keep import days
from keep.core import NO_CONTACT, Core
from keep.flash import unpack_count
from keep.midnights import store_count
from keep.rtc import PAST, now
from keep.work import Work
from machine import HARD_RESET, PWRON_RESET, Pin, reset_cause

from node.faults import Starts

CABLE_MS = 10_000
MAINTENANCE_MS = 600_000
SPREAD_MS = 30_000


def cable(board):
    """After power-on or the reset button: 10 s with the LED blinking, in which Ctrl-C reaches a prompt.

    BOOT pressed then: ten minutes with the LED on, without sleep and without watchdog.
    """
    if reset_cause() not in (PWRON_RESET, HARD_RESET):
        return
    led = Pin(board.LED, Pin.OUT, value=0)
    button = Pin(board.BUTTON, Pin.IN, Pin.PULL_UP)
    print("vigie: starts in {} s; Ctrl-C for a prompt, BOOT for ten minutes of maintenance".format(CABLE_MS // 1000))
    for half in range(CABLE_MS // 100):
        led.value(half // 2 & 1)
        time.sleep_ms(100)
        if button.value() == 0:
            print("vigie: maintenance, {} minutes".format(MAINTENANCE_MS // 60_000))
            led.value(1)
            for _ in range(MAINTENANCE_MS // 1000):
                time.sleep_ms(1000)
            break
    led.value(0)


def misconfigured(board):
    """Three short flashes: config.json has to be mended."""
    led = Pin(board.LED, Pin.OUT, value=0)
    for _ in range(3):
        led.value(1)
        time.sleep_ms(100)
        led.value(0)
        time.sleep_ms(200)


def revive(memory, core, kind, board, flash):
    """(core, work) of a node that starts without having slept; `core` is what RTC memory still held, or None.

    A meter's pulses may have been lost: its count goes on from the greatest that is stored anywhere, in a new epoch that
    is in flash before anything else happens. Worst moment: a cut before that write repeats it, one after it skips an epoch.
    """
    started = now()
    starts = Starts(flash)
    starts.boots += 1
    starts.put()
    fresh = Core()
    fresh.faults = starts.row
    if kind == "meter":
        _restore(memory, core, fresh, board, flash, started)
    work = Work()
    work.start = started
    work.cause = reset_cause()
    work.boots = starts.boots
    work.exceptions = starts.exceptions
    # When the current comes back to a whole street, its nodes must not all speak, and be answered, in one second.
    work.ask_at = work.moment_at = started + int.from_bytes(os.urandom(2), "little") * SPREAD_MS // 0x10000
    return fresh, work


def _restore(memory, core, fresh, board, flash, rtc):
    from pulse.contact import pin, settled

    fresh.contact = board.CONTACT
    fresh.closed = settled(pin(board.CONTACT))
    stored = [unpack_count(flash.get("count"))]
    body = memory.get(PAST, days.VERSION)
    if body is None:
        body = flash.get("days") or b""
        memory.put(PAST, days.VERSION, body)
    stored.append(days.latest_epoch(body))
    if core is not None and core.contact != NO_CONTACT:
        stored.append((core.epoch, core.count))
    fresh.epoch = max([epoch for epoch, _ in stored]) + 1 & 0xFFFF
    fresh.count = max([count for _, count in stored])
    store_count(fresh, rtc, flash)
