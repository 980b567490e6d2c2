"""The air between boards and LoRa gateways.

A board's radio puts a `Transmission` on the air and listens as a `Receiver`; a `LoRaGateway` hears every uplink on its
channels and sends downlinks, one at a time, deaf meanwhile. Whether a frame gets through follows, at each receiver for
itself, from frequency, spreading factor, bandwidth, IQ and sync word, from the level on the path, from other frames at the
same time (`collision.py`) and from chance (`chance.py`: by sender and frame start), so the same frames at the same instants
always fare the same.

Units: ns of world time, Hz, dBm, dB. Levels are multiples of 0.25 dB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from . import chance, lora
from .collision import Rules, disturbed
from .frame import Clock, Frame, Level, LogEntry, Receiver, Timer, Transmission
from .gateway import EU868_CHANNELS, DownlinkItem, LoRaGateway, Reception, Scheduled

__all__ = [
    "EU868_CHANNELS",
    "Air",
    "Clock",
    "DownlinkItem",
    "Frame",
    "Level",
    "LoRaGateway",
    "LogEntry",
    "Receiver",
    "Reception",
    "Rules",
    "Scheduled",
    "Timer",
    "Transmission",
]


class Ground(Protocol):
    """Where everybody stands (`map.py`)."""

    def loss_db(self, sender: str, receiver: str) -> float:
        """From the sender's `power_dbm` to the receiver's demodulator: the path less the antennas, a multiple of 0.25 dB."""


@dataclass(frozen=True)
class _Loss:
    board: str | None
    up: float
    down: float
    since: int
    until: int | None


class Air:
    """All frames between the boards and the LoRa gateways of one world."""

    def __init__(
        self, clock: Clock, seed: int, keep: int = 0, ground: Ground | None = None, rules: Rules | None = None
    ) -> None:
        """`keep`: how many of the newest log entries stay in `log` for tests; `ground`: None takes losses from the seed."""
        self.clock = clock
        self.seed = seed
        self.ground = ground
        self.rules = rules or Rules()
        self.gateways: list[LoRaGateway] = []
        self.on_uplink: Callable[[Frame, list[Reception], int], None] | None = None
        self.log: deque[LogEntry] = deque(maxlen=keep)
        self.frames = 0
        self._digest = sha256()
        self._listening: list[Receiver] = []
        self._on_air: list[Frame] = []
        self._downlinks: list[Frame] = []
        self._ends: dict[int, tuple[Timer, Timer]] = {}
        self._paths: dict[tuple[str, str], float] = {}
        self._losses: list[_Loss] = []

    def log_digest(self) -> str:
        """SHA-256 (hex) over the lines of all frames that ended so far."""
        return self._digest.copy().hexdigest()

    # Levels and chance

    def set_path_loss(self, board: str, gateway_id: str, loss_db: float) -> None:
        """Fixes the loss between two (a board and a gateway), the same both ways, antennas in it."""
        self._paths[board, gateway_id] = self._paths[gateway_id, board] = loss_db

    def path_loss(self, sender: str, receiver: str) -> float:
        """Mean loss in dB: as fixed, else by the ground, else from the seed.

        The seed gives 100 to 130 dB between a board and a gateway, 120 to 150 dB between two boards or two gateways.
        """
        fixed = self._paths.get((sender, receiver))
        if fixed is not None:
            return fixed
        if self.ground is not None:
            return self.ground.loss_db(sender, receiver)
        ids = [gateway.gateway_id for gateway in self.gateways]
        ends = sorted((sender, receiver), key=lambda end: (end in ids, end))
        alike = (sender in ids) == (receiver in ids)
        loss = (120.0 if alike else 100.0) + chance.below(self.seed, 121, "path", *ends) / 4
        self.set_path_loss(sender, receiver, loss)
        return loss

    def set_loss(
        self, board: str | None, up: float, down: float | None = None, *, since: int = 0, until: int | None = None
    ) -> None:
        """From `since` to `until` (ns) a share of the frames of `board` (None: of all boards) is lost by chance.

        The rule that was added last wins; `down` defaults to `up`.
        """
        for rate in (up, up if down is None else down):
            if not 0 <= rate <= 1:
                raise ValueError(f"loss rate {rate} for board {board}: give a share from 0 to 1")
        self._losses.append(_Loss(board, up, up if down is None else down, since, until))

    def _lost(self, board: str, direction: str, start: int) -> bool:
        for rule in reversed(self._losses):
            if rule.board in (None, board) and rule.since <= start and (rule.until is None or start < rule.until):
                rate = rule.up if direction == "up" else rule.down
                return chance.unit(self.seed, "loss", direction, board, start) < rate
        return False

    def _level(self, sender: str, receiver: str, frame: Frame) -> Level:
        """Level at the receiver: mean path and a fading of 2 dB standard deviation; the SNR saturates at 12 dB."""
        fading = round(chance.bell(self.seed, "fading", sender, receiver, frame.start) * 8) / 4
        rssi = frame.what.power_dbm - self.path_loss(sender, receiver) + fading
        return Level(rssi, min(12.0, rssi - lora.NOISE_FLOOR_DBM[frame.what.bandwidth_hz]))

    def _disturbed(self, frame: Frame, receiver: str, until: int) -> str:
        """What other frames did to this one at a receiver before `until` (ns): "collision", "interference" or ""."""
        if not frame.rivals:
            return ""
        return disturbed(self.rules, frame, lambda each: self._level(each.sender, receiver, each).rssi_dbm, until)

    def _begin(self, sender: str, what: Transmission) -> Frame:
        frame = Frame(sender, self.clock.now, self.clock.now + what.air_ns, what)
        for other in self._on_air:
            if what.shares_spectrum(other.what):
                other.rivals.append(frame)
                frame.rivals.append(other)
        self._on_air.append(frame)
        return frame

    def _end(self, frame: Frame, outcome: Iterable[tuple[str, str]]) -> None:
        self._on_air.remove(frame)
        frame.rivals.clear()
        entry = LogEntry(frame.start, frame.end, frame.sender, frame.what, tuple(outcome))
        self.frames += 1
        self._digest.update(entry.line().encode())
        self.log.append(entry)

    # Boards

    def transmit(self, board: str, what: Transmission) -> Frame:
        """A board, or a node of a foreign network, starts an uplink now."""
        frame = self._begin(board, what)
        self._ends[id(frame)] = (
            self.clock.at(min(frame.preamble_end, frame.end), lambda: self._preamble_ended(frame)),
            self.clock.at(frame.end, lambda: self._uplink_ended(frame)),
        )
        return frame

    def abort(self, frame: Frame) -> None:
        """A board stops an uplink that is still under way: nobody can make anything of the rest."""
        timers = self._ends.pop(id(frame), None)
        if timers is None:
            return
        for timer in timers:
            timer.cancel()
        frame.end = self.clock.now
        for gateway in self.gateways:
            gateway.release(frame)
        self._end(frame, [(gateway.gateway_id, "aborted") for gateway in self.gateways])

    def listen(self, receiver: Receiver) -> None:
        """A board's receiver is open from now on; it also hears the rest of what is on the air."""
        self._listening.append(receiver)
        for frame in list(self._downlinks):
            self._offer(frame, receiver)

    def close(self, receiver: Receiver) -> None:
        """The receiver is off; a frame that it was inside of is lost to it."""
        self._listening = [other for other in self._listening if other is not receiver]
        for frame in self._downlinks:
            if any(other is receiver for other, _level in frame.locked):
                frame.locked = [pair for pair in frame.locked if pair[0] is not receiver]
                frame.missed[receiver.name] = "receiver closed during the frame"

    def lock(self, frame: Frame, receiver: Receiver, level: Level) -> None:
        """The receiver has detected the frame's preamble and stays with it."""
        frame.locked.append((receiver, level))

    def _offer(self, frame: Frame, receiver: Receiver) -> None:
        level = self._level(frame.sender, receiver.name, frame)
        if self._lost(receiver.name, "down", frame.start):
            why = "lost by chance"
        else:
            why = frame.what.spoiled or self._disturbed(frame, receiver.name, self.clock.now + 1)
            why = why or receiver.hear(frame, level)
        if why:
            frame.missed[receiver.name] = why

    # Gateways

    def _preamble_ended(self, frame: Frame) -> None:
        """Each gateway has found the frame by now and holds it, or has not."""
        lost = self._lost(frame.sender, "up", frame.start)
        for gateway in self.gateways:
            level = self._level(frame.sender, gateway.gateway_id, frame)
            frame.missed[gateway.gateway_id] = (
                "lost by chance"
                if lost
                else gateway.refusal(frame, level)
                or self._spoiled_at(gateway, frame, self.clock.now)
                or gateway.hold(frame)
            )

    def _spoiled_at(self, gateway: LoRaGateway, frame: Frame, until: int) -> str:
        needed = self.rules.needed_from(frame)
        return gateway.sent_within(needed, until) or self._disturbed(frame, gateway.gateway_id, until)

    def _uplink_ended(self, frame: Frame) -> None:
        del self._ends[id(frame)]
        outcome: list[tuple[str, str]] = []
        heard: list[tuple[LoRaGateway, Reception]] = []
        for gateway in self.gateways:
            gateway.release(frame)
            why = frame.missed[gateway.gateway_id] or self._spoiled_at(gateway, frame, frame.end)
            outcome.append((gateway.gateway_id, why))
            if not why:
                frame.channel_hz = gateway.channel(frame.what) or frame.what.freq_hz
                level = self._level(frame.sender, gateway.gateway_id, frame)
                heard.append((gateway, gateway.reception(frame, level)))
        self._end(frame, outcome)
        for gateway, reception in heard:
            if gateway.on_reception is not None:
                gateway.on_reception(frame, reception)
        if heard and self.on_uplink is not None:
            self.on_uplink(frame, [reception for _gateway, reception in heard], frame.end)

    def start_downlink(self, gateway_id: str, what: Transmission) -> Frame:
        """A gateway starts a downlink now."""
        frame = self._begin(gateway_id, what)
        self._downlinks.append(frame)
        self.clock.at(frame.end, lambda: self._downlink_ended(frame))
        for receiver in list(self._listening):
            self._offer(frame, receiver)
        return frame

    def _downlink_ended(self, frame: Frame) -> None:
        self._downlinks.remove(frame)
        outcome = dict(frame.missed)
        for receiver, level in frame.locked:
            wreck = self._disturbed(frame, receiver.name, frame.end)
            if wreck:
                frame.wrecked[receiver.name] = wreck
            outcome[receiver.name] = receiver.received(frame, level) or wreck
        self._end(frame, sorted(outcome.items()))
