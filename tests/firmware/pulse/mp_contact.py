"""The contact: bounces count once, closings are counted while the board works, lost interrupts are made up for."""

import sys


class Time:
    now = 0

    def ticks_ms(self):
        return Time.now

    def ticks_diff(self, later, earlier):
        return later - earlier

    def time_ns(self):
        return Time.now * 1_000_000

    def sleep_ms(self, ms):
        run(Time.now + ms)


class Pin:
    IN, PULL_UP, IRQ_FALLING, IRQ_RISING = 0, 2, 2, 1
    level = 1
    handler = None

    def __init__(self, *args, **kwargs):
        pass

    def value(self):
        return Pin.level

    def irq(self, handler, trigger=0):
        Pin.handler = handler


class Machine:
    Pin = Pin


class Esp32:
    WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True
    armed = None

    @staticmethod
    def wake_on_ext0(_pin, level):
        Esp32.armed = level


sys.modules["machine"] = Machine
sys.modules["esp32"] = Esp32

from pulse import contact  # noqa: E402

contact.time = Time()
edges = []


def run(until):
    while edges and edges[0][0] <= until:
        when, level, heard = edges.pop(0)
        Time.now = max(Time.now, when)
        Pin.level = level
        if heard and Pin.handler:
            Pin.handler(Pin())
    Time.now = until


def plan(*changes, heard=True):
    """Edges at ms with the level after them, each with two bounces 1 and 2 ms behind."""
    for when, level in changes:
        for step, value in enumerate((level, 1 - level, level)):
            edges.append((Time.now + when + step, value, heard))


def watch(closed=False):
    edges.clear()
    Pin.level = 0 if closed else 1
    return contact.Watch(5, closed)


def test_a_bouncing_closing_is_one():
    seen = watch()
    plan((100, 0), (400, 1), (800, 0))
    run(Time.now + 1000)
    assert len(seen.take()) == 2 and seen.closed
    assert seen.take() == []


def test_times_are_those_of_the_first_edge():
    seen = watch()
    began = Time.now
    plan((100, 0), (400, 1))
    run(Time.now + 600)
    assert seen.take() == [began + 100]


def test_a_glitch_is_no_closing():
    seen = watch()
    edges.extend([(Time.now + 100, 0, True), (Time.now + 105, 1, True)])
    run(Time.now + 300)
    assert seen.close() == [] and not seen.closed


def test_one_that_starts_just_before_sleep_is_waited_for():
    seen = watch()
    plan((10, 0))
    run(Time.now + 12)
    assert len(seen.close()) == 1 and seen.closed
    assert Pin.handler is None


def test_lost_interrupts_show_in_the_level():
    seen = watch()
    plan((10, 0), heard=False)
    run(Time.now + 100)
    assert len(seen.close()) == 1 and seen.closed


def test_an_opening_counts_nothing():
    seen = watch(closed=True)
    plan((10, 1))
    run(Time.now + 100)
    assert seen.close() == [] and not seen.closed


def test_what_a_sleeping_board_missed():
    assert contact.closings(False, True, True) == 1
    assert contact.closings(False, False, True) == 1
    assert contact.closings(False, True, False) == 1  # shorter than the boot
    assert contact.closings(False, False, False) == 0
    assert contact.closings(True, True, True) == 0
    assert contact.closings(True, True, False) == 0


def test_sleep_waits_for_the_other_level():
    contact.arm(5, True)
    assert Esp32.armed is True
    contact.arm(5, False)
    assert Esp32.armed is False


def test_settled_waits_for_quiet():
    watch()
    plan((5, 0))
    began = Time.now
    assert contact.settled(Pin()) is True
    assert Time.now - began >= 50
