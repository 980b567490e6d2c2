"""What is on the air: a transmission as its sender's modem shapes it, its frame in time, its level, and the log's line.

Units: ns of world time, Hz, dBm, dB. Levels are multiples of 0.25 dB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from . import lora


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
    """A board's at the modem's pin; a gateway's radiated, its antenna in it."""
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

    @property
    def symbol_ns(self) -> int:
        """Length of a symbol in ns."""
        return lora.symbol_ns(self.spreading_factor, self.bandwidth_hz)

    def shares_spectrum(self, other: Transmission) -> bool:
        """Whether the two bandwidths overlap."""
        return 2 * abs(self.freq_hz - other.freq_hz) < self.bandwidth_hz + other.bandwidth_hz


@dataclass(frozen=True)
class Level:
    """How strong a frame arrives."""

    rssi_dbm: float
    snr_db: float


@dataclass(eq=False)
class Frame:
    """A transmission on the air from `start` to `end` (ns); `sender` is a DevEUI, a gateway's id or a foreign node's name."""

    sender: str
    start: int
    end: int
    what: Transmission
    locked: list[tuple[Receiver, Level]] = field(default_factory=list)
    """The boards' receivers that are inside the frame, with the level there."""
    channel_hz: int = 0
    """Centre of the gateways' channel that got an uplink: what they report, whatever the sender's crystal and steps."""
    missed: dict[str, str] = field(default_factory=dict)
    """Listeners that did not get it, and why; of an uplink each gateway that its preamble has reached, "" while it is held."""
    wrecked: dict[str, str] = field(default_factory=dict)
    """Boards that were inside the frame while another one destroyed it there, and how: its payload is garbled."""
    rivals: list[Frame] = field(default_factory=list)
    """Frames that were on the air beside it, in the same spectrum; forgotten at its end."""

    @property
    def preamble_end(self) -> int:
        """When a receiver has detected it at the latest, in ns."""
        return self.start + self.what.preamble * self.what.symbol_ns


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
        """The end of a frame that was locked. Returns "" or what was wrong with it; `frame.wrecked` says what the air did to it."""


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
