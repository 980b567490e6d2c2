"""The air between boards and LoRa gateways.

A board's radio puts a `Transmission` on the air and listens as a `Receiver`; a `LoRaGateway` hears every uplink on its
channels and sends downlinks, one at a time, deaf meanwhile. Whether a frame gets through follows from frequency,
spreading factor, bandwidth, IQ and sync word, from the level on the path and from chance (`chance.py`: by board and frame
start), so the same frames at the same instants always fare the same. Two frames at once do not disturb each other yet.

Units: ns of world time, Hz, dBm, dB. Levels are multiples of 0.25 dB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Protocol

from . import chance, lora


class Timer(Protocol):
    """A call that was asked for with `Clock.at`."""

    def cancel(self) -> None:
        """Takes it back; no effect once it has happened."""


class Clock(Protocol):
    """The world's clock."""

    @property
    def now(self) -> int:
        """World time in ns."""

    def at(self, when: int, action: Callable[[], None]) -> Timer:
        """Calls `action` at `when` (ns, not before `now`)."""


@dataclass(frozen=True)
class Transmission:
    """One LoRa frame as its sender's modem shapes it."""

    freq_hz: int
    spreading_factor: int
    bandwidth_hz: int
    payload: bytes
    power_dbm: float
    iq_inverted: bool = False
    coding_rate: int = 1
    preamble: int = 8
    crc: bool = True
    explicit_header: bool = True
    optimised: bool = False
    """Low data rate optimisation."""
    sync_word: int = lora.PUBLIC_SYNC_WORD
    spoiled: str = ""
    """Why no receiver can make anything of it: a modem set against its datasheet."""

    @property
    def air_ns(self) -> int:
        """Time on air in ns."""
        return lora.time_on_air_ns(
            len(self.payload),
            self.spreading_factor,
            self.bandwidth_hz,
            coding_rate=self.coding_rate,
            preamble=self.preamble,
            crc=self.crc,
            explicit_header=self.explicit_header,
            optimised=self.optimised,
        )


@dataclass(eq=False)
class Frame:
    """A transmission on the air from `start` to `end` (ns); `sender` is a DevEUI or a gateway's id."""

    sender: str
    start: int
    end: int
    what: Transmission
    locked: list[tuple[Receiver, Level]] = field(default_factory=list)
    """The boards' receivers that are inside the frame, with the level there."""
    channel_hz: int = 0
    """Centre of the gateways' channel that got an uplink: what they report, whatever the sender's crystal and steps."""
    missed: dict[str, str] = field(default_factory=dict)
    """Boards that listened but did not get it, and why."""


@dataclass(frozen=True)
class Level:
    """How strong a frame arrives."""

    rssi_dbm: float
    snr_db: float


class Receiver(Protocol):
    """A board's radio while it listens."""

    @property
    def name(self) -> str:
        """The board's DevEUI."""

    def hear(self, frame: Frame, level: Level) -> str:
        """A downlink is on the air: it starts now, or was under way when the receiver opened.

        Returns why it cannot be received, or "" when it may be: then the receiver calls `Air.lock` once its preamble is
        detected.
        """

    def received(self, frame: Frame, level: Level) -> str:
        """The end of a frame that was locked. Returns "" or what was wrong with it."""


@dataclass(frozen=True)
class Reception:
    """An uplink as one LoRa gateway got it."""

    gateway_id: str
    rssi_dbm: int
    snr_db: float
    uplink_id: int
    context: bytes
    """The concentrator's 32-bit microsecond counter at the end of the frame, for the downlink's timing."""


@dataclass(frozen=True)
class LogEntry:
    """One frame in the order of ends; `outcome` maps each listener to "" (received) or to why not."""

    start: int
    end: int
    sender: str
    what: Transmission
    outcome: tuple[tuple[str, str], ...]

    def line(self) -> str:
        """The entry as the one line that goes into the digest."""
        tx = self.what
        shape = f"{tx.freq_hz} sf{tx.spreading_factor} bw{tx.bandwidth_hz} {tx.power_dbm:.2f}dBm iq{tx.iq_inverted:d}"
        results = ",".join(f"{who}={why or 'ok'}" for who, why in self.outcome)
        return f"{self.start} {self.end} {self.sender} {shape} {tx.payload.hex()} {results}\n"


class DownlinkItem(Protocol):
    """One chance to send a downlink, as the network server gives it; the delay counts from the end of the uplink."""

    @property
    def phy(self) -> bytes:
        """PHYPayload."""

    @property
    def freq_hz(self) -> int:
        """Centre frequency in Hz."""

    @property
    def bandwidth_hz(self) -> int:
        """Bandwidth in Hz."""

    @property
    def spreading_factor(self) -> int:
        """7 to 12."""

    @property
    def power_dbm(self) -> float:
        """Radiated power in dBm."""

    @property
    def delay_ns(self) -> int:
        """From the end of the uplink to the start of the downlink, in ns."""

    @property
    def iq_inverted(self) -> bool:
        """True for every LoRaWAN downlink to a device."""


@dataclass(frozen=True)
class Scheduled:
    """A gateway's answer: the index of the item that it sends at `start` (ns), or `None` and the first item's refusal.

    `statuses` has "OK", "TOO_LATE" or "COLLISION_PACKET" (ChirpStack's TxAckStatus) for each item that was looked at.
    """

    index: int | None
    status: str
    start: int
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class _Loss:
    board: str | None
    up: float
    down: float
    since: int
    until: int | None


EU868_CHANNELS = tuple(
    [(freq, 125_000) for freq in range(868_100_000, 868_500_001, 200_000)]
    + [(freq, 125_000) for freq in range(867_100_000, 867_900_001, 200_000)]
    + [(868_300_000, 250_000)]
)
"""(Hz, bandwidth) that an eight-channel concentrator for Europe listens to; at 250 kHz SF7 only."""


class Air:
    """All frames between the boards and the LoRa gateways of one world."""

    def __init__(self, clock: Clock, seed: int, keep: int = 0) -> None:
        """`keep`: how many of the newest log entries stay in `log` for tests."""
        self.clock = clock
        self.seed = seed
        self.gateways: list[LoRaGateway] = []
        self.on_uplink: Callable[[Frame, list[Reception], int], None] | None = None
        self.log: deque[LogEntry] = deque(maxlen=keep)
        self.frames = 0
        self._digest = sha256()
        self._listening: list[Receiver] = []
        self._downlinks: list[Frame] = []
        self._ends: dict[int, Timer] = {}
        self._paths: dict[tuple[str, str], float] = {}
        self._losses: list[_Loss] = []

    def log_digest(self) -> str:
        """SHA-256 (hex) over the lines of all frames that ended so far."""
        return self._digest.copy().hexdigest()

    # Levels and chance

    def set_path_loss(self, board: str, gateway_id: str, loss_db: float) -> None:
        """Fixes the loss between a board and a gateway; without it the seed gives 100 to 130 dB."""
        self._paths[board, gateway_id] = loss_db

    def path_loss(self, board: str, gateway_id: str) -> float:
        """Mean loss in dB between a board and a gateway, the same both ways."""
        fixed = self._paths.get((board, gateway_id))
        return fixed if fixed is not None else 100.0 + chance.below(self.seed, 121, "path", board, gateway_id) / 4

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

    def _level(self, board: str, gateway_id: str, frame: Frame) -> Level:
        """Level at the other end: mean path and a fading of 2 dB standard deviation; the SNR saturates at 12 dB."""
        fading = round(chance.bell(self.seed, "fading", board, gateway_id, frame.start) * 8) / 4
        rssi = frame.what.power_dbm - self.path_loss(board, gateway_id) + fading
        return Level(rssi, min(12.0, rssi - lora.NOISE_FLOOR_DBM[frame.what.bandwidth_hz]))

    # Boards

    def transmit(self, board: str, what: Transmission) -> Frame:
        """A board starts an uplink now."""
        frame = Frame(board, self.clock.now, self.clock.now + what.air_ns, what)
        self._ends[id(frame)] = self.clock.at(frame.end, lambda: self._uplink_ended(frame))
        return frame

    def abort(self, frame: Frame) -> None:
        """A board stops an uplink that is still under way: nobody can make anything of the rest."""
        timer = self._ends.pop(id(frame), None)
        if timer is None:
            return
        timer.cancel()
        frame.end = self.clock.now
        self._record(frame, [(gateway.gateway_id, "aborted") for gateway in self.gateways])

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
        level = self._level(receiver.name, frame.sender, frame)
        if self._lost(receiver.name, "down", frame.start):
            why = "lost by chance"
        else:
            why = frame.what.spoiled or receiver.hear(frame, level)
        if why:
            frame.missed[receiver.name] = why

    # Gateways

    def _uplink_ended(self, frame: Frame) -> None:
        del self._ends[id(frame)]
        lost = self._lost(frame.sender, "up", frame.start)
        outcome: list[tuple[str, str]] = []
        receptions: list[Reception] = []
        for gateway in self.gateways:
            level = self._level(frame.sender, gateway.gateway_id, frame)
            why = "lost by chance" if lost else gateway.refusal(frame, level)
            outcome.append((gateway.gateway_id, why))
            if not why:
                frame.channel_hz = gateway.channel(frame.what) or frame.what.freq_hz
                receptions.append(gateway.reception(frame, level))
        self._record(frame, outcome)
        if receptions and self.on_uplink is not None:
            self.on_uplink(frame, receptions, frame.end)

    def start_downlink(self, gateway_id: str, what: Transmission) -> Frame:
        """A gateway starts a downlink now."""
        frame = Frame(gateway_id, self.clock.now, self.clock.now + what.air_ns, what)
        self._downlinks.append(frame)
        self.clock.at(frame.end, lambda: self._downlink_ended(frame))
        for receiver in list(self._listening):
            self._offer(frame, receiver)
        return frame

    def _downlink_ended(self, frame: Frame) -> None:
        self._downlinks.remove(frame)
        outcome = dict(frame.missed)
        for receiver, level in frame.locked:
            outcome[receiver.name] = receiver.received(frame, level)
        self._record(frame, sorted(outcome.items()))

    def _record(self, frame: Frame, outcome: Iterable[tuple[str, str]]) -> None:
        entry = LogEntry(frame.start, frame.end, frame.sender, frame.what, tuple(outcome))
        self.frames += 1
        self._digest.update(entry.line().encode())
        self.log.append(entry)


class LoRaGateway:
    """One LoRa gateway: hears on its channels, sends one downlink at a time and is deaf while it sends."""

    def __init__(self, air: Air, gateway_id: str, channels: Sequence[tuple[int, int]] = EU868_CHANNELS) -> None:
        """`gateway_id`: EUI of 16 hex digits; `channels`: (Hz, bandwidth in Hz) that it demodulates."""
        self.air = air
        self.gateway_id = gateway_id
        self.channels = tuple(channels)
        self._sending: deque[tuple[int, int]] = deque(maxlen=64)
        air.gateways.append(self)

    def channel(self, what: Transmission) -> int | None:
        """Centre in Hz of the channel that demodulates such a frame; a concentrator takes SF7 only at 250 kHz."""
        if what.bandwidth_hz == 250_000 and what.spreading_factor != 7:
            return None
        for freq, width in self.channels:
            if width == what.bandwidth_hz and abs(freq - what.freq_hz) * 4 <= width:
                return freq
        return None

    def refusal(self, frame: Frame, level: Level) -> str:
        """Why the gateway does not hand on an uplink that just ended, or ""."""
        what = frame.what
        if what.spoiled:
            return what.spoiled
        if self.channel(what) is None:
            return "no channel"
        if what.iq_inverted:
            return "IQ"
        if what.sync_word != lora.PUBLIC_SYNC_WORD:
            return "sync word"
        if not what.explicit_header or not what.crc:
            return "no CRC or header"
        if what.optimised != lora.low_data_rate(what.spreading_factor, what.bandwidth_hz):
            return "low data rate optimisation"
        if what.preamble < 6:
            return "preamble too short"
        if level.snr_db < lora.SNR_LIMIT_DB[what.spreading_factor]:
            return "below sensitivity"
        if any(start < frame.end and frame.start < end for start, end in self._sending):
            return "gateway was sending"
        return ""

    def reception(self, frame: Frame, level: Level) -> Reception:
        """What the gateway hands on; its identifier follows from gateway and frame."""
        counter = (frame.end // 1000) & 0xFFFFFFFF
        identifier = chance.draw(self.air.seed, "uplink", self.gateway_id, frame.sender, frame.start) >> 32
        return Reception(self.gateway_id, round(level.rssi_dbm), level.snr_db, identifier, counter.to_bytes(4, "big"))

    def schedule(self, items: Sequence[DownlinkItem], uplink_end: int) -> Scheduled:
        """Takes the first item whose moment has not passed and that meets no other transmission of this gateway."""
        now = self.air.clock.now
        statuses: list[str] = []
        for index, item in enumerate(items):
            what = Transmission(
                item.freq_hz,
                item.spreading_factor,
                item.bandwidth_hz,
                bytes(item.phy),
                item.power_dbm,
                iq_inverted=item.iq_inverted,
                crc=not item.iq_inverted,
                optimised=lora.low_data_rate(item.spreading_factor, item.bandwidth_hz),
            )
            start = uplink_end + item.delay_ns
            end = start + what.air_ns
            if start < now:
                statuses.append("TOO_LATE")
            elif any(other_start < end and start < other_end for other_start, other_end in self._sending):
                statuses.append("COLLISION_PACKET")
            else:
                statuses.append("OK")
                self._sending.append((start, end))
                self.air.clock.at(start, partial(_start, self.air, self.gateway_id, what))
                return Scheduled(index, "OK", start, tuple(statuses))
        return Scheduled(None, statuses[0] if statuses else "TOO_LATE", 0, tuple(statuses))


def _start(air: Air, gateway_id: str, what: Transmission) -> None:
    air.start_downlink(gateway_id, what)
