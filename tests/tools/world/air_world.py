"""A clock, an air, LoRa gateways and frames for tests of the air."""

import heapq
from dataclasses import dataclass

from tools.world import lora
from tools.world.air import Air, Level, LoRaGateway, Transmission

MS, S = 1_000_000, 1_000_000_000
START = 1_790_000_000_000_000_000
BOARD, OTHER = "00000000000000a1", "00000000000000a2"
ONE, TWO = "00000000000000f1", "00000000000000f2"


class Timer:
    def __init__(self, action):
        self.action = action

    def cancel(self):
        self.action = None


class Clock:
    def __init__(self):
        self.now, self.queue, self.sequence = START, [], 0

    def at(self, when, action):
        assert when >= self.now
        self.sequence += 1
        timer = Timer(action)
        heapq.heappush(self.queue, (when, self.sequence, timer))
        return timer

    def run(self, until):
        while self.queue and self.queue[0][0] <= until:
            self.now, _, timer = heapq.heappop(self.queue)
            if timer.action is not None:
                timer.action()
        self.now = until


class Ear:
    """A receiver that locks on whatever it hears."""

    def __init__(self, air, name=BOARD, why=""):
        self.air, self.name, self.why = air, name, why
        self.got, self.wrecked = [], []

    def hear(self, frame, level):
        if not self.why:
            self.air.lock(frame, self, level)
        return self.why

    def received(self, frame, level):
        self.got.append(frame.what.payload)
        self.wrecked.append(frame.wrecked.get(self.name, ""))
        return ""


@dataclass
class Item:
    delay_ns: int
    phy: bytes = b"down"
    freq_hz: int = 868_100_000
    bandwidth_hz: int = 125_000
    spreading_factor: int = 7
    power_dbm: float = 14.0
    iq_inverted: bool = True


def uplink(payload=b"hello", sf=7, **changes):
    options = {"freq_hz": 868_100_000, "bandwidth_hz": 125_000, "power_dbm": 14.0, "optimised": sf >= 11} | changes
    return Transmission(spreading_factor=sf, payload=payload, **options)


class World:
    """One gateway that hears two boards alike; `options` are the air's."""

    def __init__(self, seed=1, gateway=None, **options):
        self.clock = Clock()
        self.air = Air(self.clock, seed, keep=1000, **options)
        self.one = LoRaGateway(self.air, ONE, **(gateway or {}))
        self.heard = []
        self.air.on_uplink = lambda frame, receptions, end: self.heard.append((frame, receptions, end))
        for board in (BOARD, OTHER):
            self.air.set_path_loss(board, ONE, 115.0)

    def send(self, what, board=BOARD):
        frame = self.air.transmit(board, what)
        self.clock.run(frame.end)
        return frame

    def at(self, when, board, what):
        """An uplink `when` ns from the start."""
        self.clock.at(START + when, lambda: self.air.transmit(board, what))

    def outcomes(self, gateway_id=ONE):
        """Sender -> what became of its last frame at a gateway."""
        found = {entry.sender: dict(entry.outcome).get(gateway_id) for entry in self.air.log}
        return {sender: why for sender, why in found.items() if why is not None}

    def steady(self):
        """Levels without fading: exact differences."""
        self.air._level = lambda sender, receiver, frame: level(frame.what, self.air.path_loss(sender, receiver))
        return self


def level(what, loss):
    rssi = what.power_dbm - loss
    return Level(rssi, min(12.0, rssi - lora.NOISE_FLOOR_DBM[what.bandwidth_hz]))
