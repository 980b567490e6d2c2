"""The messages of ChirpStack's gateway protocol (`gw`) from and to what the world has of a frame. Pure. Units: ns of world time, Hz, dBm."""

from __future__ import annotations

from typing import NamedTuple

from chirpstack_api.gw import gw_pb2 as gw

from .frame import Frame
from .gateway import Reception

GPS_EPOCH_NS, LEAP_NS = 315_964_800_000_000_000, 18_000_000_000  # 1980-01-06; GPS is ahead of UTC since 2017
LEAD_NS = 42_500_000
"""Least time from a command's coming to its transmission: what Semtech's packet forwarder takes (jitqueue.c) to programme the chip."""
_COUNTER = 1 << 32
_UPPER_RADIO_HZ = 868_000_000  # of the two radios of a concentrator for Europe the second has the channels from here on


class Item(NamedTuple):
    """One way to send a downlink, as `LoRaGateway.schedule` takes it."""

    phy: bytes
    freq_hz: int
    bandwidth_hz: int
    spreading_factor: int
    power_dbm: float
    delay_ns: int
    iq_inverted: bool


def uplink_frame(gateway_id: str, channel: int, frame: Frame, reception: Reception) -> gw.UplinkFrame:
    """One gateway's copy; the gateway has a GNSS receiver, and so the world's time."""
    what = frame.what
    made = gw.UplinkFrame(phy_payload=what.payload)
    made.tx_info.frequency = frame.channel_hz
    made.tx_info.modulation.lora.CopyFrom(
        gw.LoraModulationInfo(
            bandwidth=what.bandwidth_hz,
            spreading_factor=what.spreading_factor,
            code_rate=gw.CodeRate.Value(f"CR_4_{4 + what.coding_rate}"),
        )
    )
    info = made.rx_info
    info.gateway_id, info.uplink_id, info.context = gateway_id, reception.uplink_id, reception.context
    info.gw_time.FromNanoseconds(frame.end)
    info.time_since_gps_epoch.FromNanoseconds(frame.end - GPS_EPOCH_NS + LEAP_NS)
    info.rssi, info.snr, info.channel = reception.rssi_dbm, reception.snr_db, channel
    info.rf_chain = int(frame.channel_hz >= _UPPER_RADIO_HZ)
    info.crc_status = gw.CRC_OK
    return made


def counted(context: bytes, now: int) -> int:
    """The instant (ns, to a µs) at which the concentrator's counter had this value: the one nearest to `now`. ValueError for a foreign context."""
    if len(context) != 4:
        raise ValueError(f"a context of {len(context)} bytes is none of this gateway's")
    now_us = now // 1000
    behind = (now_us - int.from_bytes(context, "big") + _COUNTER // 2) % _COUNTER - _COUNTER // 2
    return (now_us - behind) * 1000


def wanted(item: gw.DownlinkFrameItem, now: int) -> Item | None:
    """An item with its delay counted from `now`; None for what no LoRa modem sends. ValueError: its timing cannot be read."""
    info = item.tx_info
    if info.modulation.WhichOneof("parameters") != "lora":
        return None
    match info.timing.WhichOneof("parameters"):
        case "delay":
            start = counted(info.context, now) + info.timing.delay.delay.ToNanoseconds()
        case "gps_epoch":
            start = info.timing.gps_epoch.time_since_gps_epoch.ToNanoseconds() + GPS_EPOCH_NS - LEAP_NS
        case _:
            start = now + LEAD_NS
    lora = info.modulation.lora
    return Item(
        item.phy_payload,
        info.frequency,
        lora.bandwidth,
        lora.spreading_factor,
        info.power,
        start - now,
        lora.polarization_inversion,
    )
