"""Puts a meter's closed days and its count where a power loss cannot take them."""

from keep import days
from keep.flash import pack_count
from keep.rtc import PAST


def close(memory, core, closed, rtc, flash):
    """Keeps the days that `Hours.advance` returned, in RTC memory and in flash, in this wake."""
    if not closed:
        return
    body = memory.get(PAST, days.VERSION) or b""
    uncertain = days.UNCERTAIN if core.clock.uncertain(rtc) else 0
    for day, count, least, most, seen, leak in closed:
        body = days.add(body, core.epoch, day, count, least, most, seen, uncertain | (days.LEAK if leak else 0))
    memory.put(PAST, days.VERSION, body)
    flash.put("days", body)


def store_count(core, rtc, flash):
    """The count goes to flash; a frame may carry it from here on."""
    flash.put("count", pack_count(core.epoch, core.count))
    core.stored = core.count
    core.stored_at = rtc
