"""A LoRa gateway: eight demodulators on its channels, one transmitter, deaf while it sends, bound to its duty cycle.

Figures: SX1301 datasheet (eight demodulators of 125 kHz that find SF7 to SF12 on any of eight channels, one more for a
fixed spreading factor at 250 kHz); ETSI EN 300 220-2 Annex B for the duty cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from . import chance, lora
from .frame import Clock, Frame, Level, Transmission

EU868_CHANNELS = tuple(
    [(freq, 125_000) for freq in range(868_100_000, 868_500_001, 200_000)]
    + [(freq, 125_000) for freq in range(867_100_000, 867_900_001, 200_000)]
    + [(868_300_000, 250_000)]
)
"""(Hz, bandwidth) that an eight-channel concentrator for Europe listens to; at 250 kHz SF7 only."""
DEMODULATORS = 8
"""Frames at 125 kHz that one concentrator is inside of at a time."""
HOUR = 3_600_000_000_000
SUB_BANDS = (
    (863_000_000, 865_000_000, 1),
    (865_000_000, 868_000_000, 10),
    (868_000_000, 868_600_000, 10),
    (868_700_000, 869_200_000, 1),
    (869_400_000, 869_650_000, 100),
    (869_700_000, 870_000_000, 10),
)
"""From Hz, to Hz, thousandths of an hour: bands K, L, M, N, P and R of EN 300 220-2 V3.2.1, Table B.1."""


class Medium(Protocol):
    """What a gateway needs of the air."""

    clock: Clock
    seed: int
    gateways: list[LoRaGateway]

    def start_downlink(self, gateway_id: str, what: Transmission) -> Frame:
        """A gateway starts a downlink now."""


@dataclass(frozen=True)
class Reception:
    """An uplink as one LoRa gateway got it."""

    gateway_id: str
    rssi_dbm: int
    snr_db: float
    uplink_id: int
    context: bytes
    """The concentrator's 32-bit microsecond counter at the end of the frame, for the downlink's timing."""


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

    `statuses` has one of ChirpStack's TxAckStatus for each item that was looked at: "OK", "TOO_LATE", "COLLISION_PACKET",
    "TX_FREQ" (no sub-band of Europe) or "DUTY_CYCLE_OVERFLOW".
    """

    index: int | None
    status: str
    start: int
    statuses: tuple[str, ...]


class LoRaGateway:
    """One LoRa gateway: hears on its channels, sends one downlink at a time and is deaf while it sends."""

    def __init__(
        self,
        air: Medium,
        gateway_id: str,
        channels: Sequence[tuple[int, int]] = EU868_CHANNELS,
        *,
        demodulators: int = DEMODULATORS,
        duty_cycle: bool = True,
    ) -> None:
        """`gateway_id`: EUI of 16 hex digits; `channels`: (Hz, bandwidth in Hz) that it demodulates.

        `duty_cycle`: whether it refuses what would go over a sub-band's share of an hour.
        """
        self.air = air
        self.gateway_id = gateway_id
        self.channels = tuple(channels)
        self.on_reception: Callable[[Frame, Reception], None] | None = None
        """Called for each uplink that this gateway hands on, at the frame's end, before `Air.on_uplink`."""
        self._demodulators = demodulators
        self._duty_cycle = duty_cycle
        self._sending: deque[tuple[int, int]] = deque(maxlen=64)
        self._spent: dict[int, deque[tuple[int, int]]] = {}
        self._held: list[Frame] = []
        air.gateways.append(self)

    # Reception

    def channel(self, what: Transmission) -> int | None:
        """Centre in Hz of the channel that demodulates such a frame, SF7 to SF12; a concentrator takes SF7 only at 250 kHz."""
        if what.spreading_factor < 7 or (what.bandwidth_hz == 250_000 and what.spreading_factor != 7):
            return None
        for freq, width in self.channels:
            if width == what.bandwidth_hz and abs(freq - what.freq_hz) * 4 <= width:
                return freq
        return None

    def refusal(self, frame: Frame, level: Level) -> str:
        """Why the gateway cannot find such a frame, or ""."""
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
        return ""

    def sent_within(self, since: int, until: int) -> str:
        """Why nothing that was on the air between these instants (ns) was heard, or ""."""
        return "gateway was sending" if any(start < until and since < end for start, end in self._sending) else ""

    def hold(self, frame: Frame) -> str:
        """A demodulator takes a frame whose preamble is complete; why none does, or ""."""
        wide = frame.what.bandwidth_hz == 250_000
        held = sum((other.what.bandwidth_hz == 250_000) == wide for other in self._held)
        if held >= (1 if wide else self._demodulators):
            return "no demodulator free"
        self._held.append(frame)
        return ""

    def release(self, frame: Frame) -> None:
        """The frame is over; its demodulator, if it has one, is free."""
        if frame in self._held:
            self._held.remove(frame)

    def reception(self, frame: Frame, level: Level) -> Reception:
        """What the gateway hands on; its identifier follows from gateway and frame."""
        counter = (frame.end // 1000) & 0xFFFFFFFF
        identifier = chance.draw(self.air.seed, "uplink", self.gateway_id, frame.sender, frame.start) >> 32
        return Reception(self.gateway_id, round(level.rssi_dbm), level.snr_db, identifier, counter.to_bytes(4, "big"))

    # Transmission

    def schedule(self, items: Sequence[DownlinkItem], uplink_end: int) -> Scheduled:
        """Takes the first item whose moment has not passed, that meets no other transmission of this gateway and that its duty cycle allows."""
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
            statuses.append(self._status(what, start))
            if statuses[-1] == "OK":
                self._sending.append((start, start + what.air_ns))
                self.air.clock.at(start, partial(self._start, what))
                return Scheduled(index, "OK", start, tuple(statuses))
        return Scheduled(None, statuses[0] if statuses else "TOO_LATE", 0, tuple(statuses))

    def _status(self, what: Transmission, start: int) -> str:
        end = start + what.air_ns
        if start < self.air.clock.now:
            return "TOO_LATE"
        if any(other_start < end and start < other_end for other_start, other_end in self._sending):
            return "COLLISION_PACKET"
        return self._spend(what.freq_hz, start, end)

    def _spend(self, freq_hz: int, start: int, end: int) -> str:
        """Books the time on air in its sub-band, where the hour that ends with it has room."""
        band = next((band for band in SUB_BANDS if band[0] <= freq_hz <= band[1]), None)
        if band is None:
            return "TX_FREQ"
        spent = self._spent.setdefault(band[0], deque())
        while spent and spent[0][1] <= self.air.clock.now - HOUR:
            spent.popleft()
        used = sum(until - max(since, end - HOUR) for since, until in spent if until > end - HOUR)
        if self._duty_cycle and (used + end - start) * 1000 > band[2] * HOUR:
            return "DUTY_CYCLE_OVERFLOW"
        spent.append((start, end))
        return "OK"

    def _start(self, what: Transmission) -> None:
        self._held.clear()
        self.air.start_downlink(self.gateway_id, what)
