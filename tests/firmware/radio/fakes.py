"""Stand-ins of the radio tests: a clock that moves only when someone waits, and the modules `time` and `machine` made of it."""

import sys


class Clock:
    """Microseconds since the fake board's start; `at(us, call)` runs `call` when a wait reaches that moment."""

    def __init__(self):
        self.us = 0
        self.calls = []

    def at(self, us, call):
        self.calls.append((us, call))

    def sleep_us(self, us):
        end = self.us + us
        while True:
            due = sorted([c[0] for c in self.calls if c[0] <= end])
            if not due:
                break
            i = [c[0] for c in self.calls].index(due[0])
            when, call = self.calls.pop(i)
            self.us = max(self.us, when)
            call()
        self.us = end

    def sleep_ms(self, ms):
        self.sleep_us(ms * 1000)

    def ticks_us(self):
        self.us += 1  # looking takes time too
        return self.us & 0x3FFFFFFF

    def ticks_add(self, a, b):
        return (a + b) & 0x3FFFFFFF

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def time_ns(self):
        return self.us * 1000


class Pin:
    IRQ_RISING = 1

    def __init__(self, level=0, on_set=None):
        self.level = level
        self.on_set = on_set
        self.handler = None

    def __call__(self, level=None):
        if level is None:
            return self.level
        self.level = level
        if self.on_set:
            self.on_set(level)
        return None

    def irq(self, handler, _trigger):
        self.handler = handler

    def rise(self):
        self.level = 1
        self.handler(self)


class Module:
    pass


def install(clock):
    """Put `clock` in the place of `time`, and the fake Pin into `machine`, for modules imported from here on."""
    time = Module()
    for name in ("sleep_us", "sleep_ms", "ticks_us", "ticks_add", "ticks_diff", "time_ns"):
        setattr(time, name, getattr(clock, name))
    machine = Module()
    machine.Pin = Pin
    sys.modules["time"] = time
    sys.modules["machine"] = machine
