"""A clock and a host for models alone; makes `sx1276_bench` importable: with importlib mode a test's folder is not on the path."""

import heapq
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


class Fault(Exception):
    """What `host.fault` raises here."""


class Timer:
    def __init__(self, when, action):
        self.when, self.action = when, action

    def cancel(self):
        self.action = None


class Clock:
    def __init__(self, now):
        self.now, self.queue, self.sequence = now, [], 0

    def at(self, when, action):
        assert when >= self.now
        timer = Timer(when, action)
        self.sequence += 1
        heapq.heappush(self.queue, (when, self.sequence, timer))
        return timer

    def run(self, until):
        while self.queue and self.queue[0][0] <= until:
            self.now, _, timer = heapq.heappop(self.queue)
            if timer.action is not None:
                timer.action()
        self.now = until


class Host:
    """A board of wires only: it remembers who drives what and what was sent."""

    number = 0

    def __init__(self, clock, dev_eui="00000000000000a1"):
        self.clock, self.dev_eui = clock, dev_eui
        self.pins, self.outputs, self.edges, self.sent = {}, {}, [], []
        self.baudrate = 9600

    @property
    def now(self):
        return self.clock.now

    def at(self, when, action):
        return self.clock.at(when, action)

    def drive(self, pin, level):
        if self.pins.get(pin) != level:
            self.edges.append((self.now, pin, level))
        self.pins[pin] = level

    def level(self, pin):
        level = self.pins.get(pin)
        return level if level is not None else self.outputs.get(pin) or 0

    def output(self, pin):
        return self.outputs.get(pin)

    def send(self, rx_pin, data):
        self.sent.append((self.now, rx_pin, bytes(data)))
        return self.now + len(data) * 10 * 1_000_000_000 // self.baudrate

    def random(self, name):
        return random.Random(f"{self.dev_eui} {name}")

    def fault(self, text):
        raise Fault(text)


START = 1_790_000_000_000_000_000


@pytest.fixture
def clock():
    return Clock(START)


@pytest.fixture
def host(clock):
    return Host(clock)


@pytest.fixture
def fault():
    return Fault


@pytest.fixture
def new_host(clock):
    return lambda dev_eui: Host(clock, dev_eui)
