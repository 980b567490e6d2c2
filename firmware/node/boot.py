"""The first and, on most wakes of a meter, the only part of the application: counts what woke the board and sleeps again."""

import machine
from keep import core as records
from keep.core import NO_CONTACT, Core
from keep.rtc import CORE, Memory, now

STORE_MS = 3_600_000  # the count goes to flash at most so often, frames and midnights aside
SOON_MS = 1_500  # a planned wake nearer than a boot and a half is served now


def boot():
    """One pass. Returns only when the application asks for a console (maintenance)."""
    memory = Memory()
    body = memory.get(CORE, records.VERSION)
    core = None if body is None else Core(body)
    slept = False
    if core is not None and not core.awake and machine.reset_cause() == machine.DEEPSLEEP_RESET:
        slept = True
        rtc = now()
        core.clock.slept(rtc - core.asleep_at)
        core.boots += 1
        if core.contact != NO_CONTACT:
            count(memory, core, rtc)
        if core.wake_at - now() > SOON_MS:
            sleep(memory, core)
    from node.app import run

    run(memory, core, slept)


def count(memory, core, rtc):
    """Takes what happened to the contact while the board slept; days that ended go to flash at once."""
    from pulse import contact

    woke = machine.wake_reason() in (machine.PIN_WAKE, machine.EXT0_WAKE, machine.EXT1_WAKE)
    was_closed, core.closed = core.closed, contact.settled(contact.pin(core.contact))
    days = core.pulse(rtc) if contact.closings(was_closed, woke, core.closed) else core.pass_time(rtc)
    if days or (core.count != core.stored and rtc - core.stored_at >= STORE_MS):
        from keep import midnights
        from keep.flash import Flash

        flash = Flash()
        midnights.close(memory, core, days, rtc, flash)
        midnights.store_count(core, rtc, flash)


def sleep(memory, core):
    """Deep sleep until `core.wake_at` or the contact's next change. Never returns."""
    if core.contact != NO_CONTACT:
        from pulse.contact import arm

        arm(core.contact, core.closed)
    core.awake = False
    core.asleep_at = now()
    memory.put(CORE, records.VERSION, core.pack())
    memory.save()
    machine.deepsleep(max(1, core.wake_at - core.asleep_at))
