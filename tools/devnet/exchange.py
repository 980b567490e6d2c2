"""What passes between the air and the network server, and the ids that are drawn for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from chirpstack_api.gw import gw_pb2 as gw

from . import region
from .events import Event

GPS_EPOCH_NS, LEAP_SECONDS = 315_964_800_000_000_000, 18  # 1980-01-06; GPS is ahead of UTC since 2017
MAX_DRIFT_NS = 30_000_000_000  # ChirpStack's rx_timestamp_max_drift


class Reception(NamedTuple):
    """One LoRa gateway's copy of an uplink. `time_ns`: its own stamp (None: the uplink's); `server_ns`: when the server had it.

    `rx_info` is what the gateway said in the gateway protocol, if it spoke that: the events carry it as it is, absent time included.
    """

    gateway_id: str
    rssi_dbm: int
    snr_db: float
    uplink_id: int
    context: bytes
    time_ns: int | None = None
    server_ns: int | None = None
    rx_info: gw.UplinkRxInfo | None = None


class Uplink(NamedTuple):
    """One frame with all receptions within the de-duplication window; `time_ns`: its end on the air."""

    phy: bytes
    freq_hz: int
    bandwidth_hz: int
    spreading_factor: int
    receptions: tuple[Reception, ...]
    time_ns: int


class Way(NamedTuple):
    """A receive window of a device: Hz, data rate, seconds from the end of the uplink."""

    freq_hz: int
    dr: int
    delay_s: int


class DownlinkItem(NamedTuple):
    """One way to send a downlink; `delay_ns` counts from the end of the uplink."""

    phy: bytes
    freq_hz: int
    bandwidth_hz: int
    spreading_factor: int
    power_dbm: int
    delay_ns: int
    iq_inverted: bool = True


class Downlink(NamedTuple):
    """What one gateway is asked to send: the first item whose moment has not passed. `context`: the reception's, given back."""

    downlink_id: int
    gateway_id: str
    items: tuple[DownlinkItem, ...]
    context: bytes


class Answer(NamedTuple):
    """What an uplink leads to."""

    events: list[Event]
    downlinks: list[Downlink]


def seeded_entropy(seed: str) -> Callable[[str, bytes], bytes]:
    """32 bytes for (purpose, input), the same for the same seed."""
    head = hashlib.sha256(f"devnet/{seed}".encode()).digest()
    return lambda purpose, data: hashlib.sha256(head + purpose.encode() + b"\0" + data).digest()


def uuid_text(data: bytes) -> str:
    """16 bytes as a version 4 UUID, as ChirpStack's are (but from a hash)."""
    raw = bytearray(data[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def rx_time(uplink: Uplink, now_ns: int) -> int:
    """GPS time where a gateway gives it, else the first stamp that lies within 30 s of the server's clock, else the server's clock."""
    for reception in uplink.receptions:
        if reception.rx_info is not None and reception.rx_info.HasField("time_since_gps_epoch"):
            return gps_ns(reception.rx_info.time_since_gps_epoch.ToNanoseconds())
    stamped = (r for r in uplink.receptions if r.rx_info is None or r.rx_info.HasField("gw_time"))
    stamps = (uplink.time_ns if r.time_ns is None else r.time_ns for r in stamped)
    return next((t for t in stamps if abs(now_ns - t) < MAX_DRIFT_NS), now_ns)


def gps_ns(since_epoch_ns: int) -> int:
    """The instant, ns UTC since 1970, of so many ns since the GPS epoch."""
    return since_epoch_ns + GPS_EPOCH_NS - LEAP_SECONDS * 1_000_000_000


def received(frame: gw.UplinkFrame, now_ns: int) -> Uplink | None:
    """One gateway's copy as the gateway protocol has it; None where it is no LoRa frame or lacks its facts."""
    if not frame.HasField("rx_info") or frame.tx_info.modulation.WhichOneof("parameters") != "lora":
        return None
    rx, lora = frame.rx_info, frame.tx_info.modulation.lora
    time_ns = rx.gw_time.ToNanoseconds() if rx.HasField("gw_time") else now_ns
    copy = Reception(rx.gateway_id.lower(), rx.rssi, rx.snr, rx.uplink_id, rx.context, time_ns, now_ns, rx)
    return Uplink(frame.phy_payload, frame.tx_info.frequency, lora.bandwidth, lora.spreading_factor, (copy,), time_ns)


def windows(ways: tuple[Way, Way], phys: tuple[bytes, bytes]) -> tuple[DownlinkItem, ...]:
    """The RX1 and the RX2 variant of a downlink."""
    out = []
    for phy, way in zip(phys, ways, strict=True):
        sf, bandwidth_hz = region.modulation(way.dr)
        power = region.downlink_power_dbm(way.freq_hz)
        out.append(DownlinkItem(phy, way.freq_hz, bandwidth_hz, sf, power, way.delay_s * 1_000_000_000))
    return tuple(out)
