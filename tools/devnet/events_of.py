"""Events, from the facts of one exchange."""

from __future__ import annotations

from chirpstack_api.common import common_pb2 as common
from chirpstack_api.gw import gw_pb2 as gw
from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from . import events, frame, region
from .events import Event
from .exchange import Downlink, Reception, Uplink
from .gateways import Gateways
from .state import Device, QueueItem


def event(device: Device, body: Message) -> Event:
    """The event of a body that is this device's."""
    return events.event(device.application_id, device.dev_eui, body)


def log(device: Device, time_ns: int, level: int, code: int, text: str, context: dict[str, str]) -> Event:
    """A log event; `level` and `code` are values of LogLevel and LogCode."""
    return event(device, events.log(device.info, time_ns, level, code, text, context))


def uplink(
    device: Device,
    up: frame.DataUplink,
    uplink: Uplink,
    dr: int,
    f_cnt: int,
    data: bytes,
    object_: struct_pb2.Struct | None,
    gateways: Gateways,
    deduplication_id: str,
    time_ns: int,
) -> integration.UplinkEvent:
    """A data uplink that was taken; `data` is plain, `f_cnt` whole, `object_` what the profile's codec made of them."""
    body = integration.UplinkEvent(
        deduplication_id=deduplication_id,
        time=events.timestamp(time_ns),
        device_info=device.info,
        dev_addr=f"{up.dev_addr:08x}",
        adr=bool(up.f_ctrl & frame.ADR),
        dr=dr,
        f_cnt=f_cnt,
        f_port=up.port or 0,
        confirmed=up.confirmed,
        data=data,
        tx_info=gw.UplinkTxInfo(
            frequency=uplink.freq_hz, modulation=events.lora_modulation(uplink.spreading_factor, uplink.bandwidth_hz)
        ),
        region_config_id=region.REGION_CONFIG_ID,
    )
    if object_ is not None:
        body.object.CopyFrom(object_)
    for reception in uplink.receptions:
        rx = body.rx_info.add()
        _received(rx, reception, uplink.time_ns)
        location = gateways.location(reception)
        if location is not None:  # a registered gateway always has one, empty where it has no place
            rx.location.CopyFrom(location)
    return body


def _received(rx: gw.UplinkRxInfo, reception: Reception, end_ns: int) -> None:
    stamp = end_ns if reception.time_ns is None else reception.time_ns
    if reception.rx_info is not None:
        rx.CopyFrom(reception.rx_info)
    else:
        rx.gateway_id, rx.uplink_id, rx.context = reception.gateway_id, reception.uplink_id, reception.context
        rx.rssi, rx.snr, rx.crc_status = reception.rssi_dbm, reception.snr_db, gw.CRCStatus.CRC_OK
        rx.gw_time.CopyFrom(events.timestamp(stamp))
    rx.ns_time.CopyFrom(events.timestamp(stamp if reception.server_ns is None else reception.server_ns))


def join(device: Device, dev_addr: int, deduplication_id: str, time_ns: int) -> integration.JoinEvent:
    """A join-request that was accepted."""
    return integration.JoinEvent(
        deduplication_id=deduplication_id,
        time=events.timestamp(time_ns),
        device_info=device.info,
        dev_addr=f"{dev_addr:08x}",
        region_config_id=region.REGION_CONFIG_ID,
    )


def ack(
    device: Device, item: QueueItem, deduplication_id: str, time_ns: int, *, acknowledged: bool
) -> integration.AckEvent:
    """The device has acknowledged a confirmed downlink, or has not."""
    return integration.AckEvent(
        deduplication_id=deduplication_id,
        time=events.timestamp(time_ns),
        device_info=device.info,
        queue_item_id=item.id,
        acknowledged=acknowledged,
        f_cnt_down=item.f_cnt_down or 0,
    )


def txack(
    device: Device, downlink: Downlink, index: int, item: QueueItem, f_cnt_down: int, now_ns: int
) -> integration.TxAckEvent:
    """The LoRa gateway sends item `index` of `downlink`, which carries the queue item `item`."""
    way = downlink.items[index]
    return integration.TxAckEvent(
        downlink_id=downlink.downlink_id,
        time=events.timestamp(now_ns),
        device_info=device.txack_info,
        queue_item_id=item.id,
        f_cnt_down=f_cnt_down,
        gateway_id=downlink.gateway_id,
        tx_info=gw.DownlinkTxInfo(
            frequency=way.freq_hz,
            power=way.power_dbm,
            modulation=events.lora_modulation(way.spreading_factor, way.bandwidth_hz, inverted=way.iq_inverted),
            timing=gw.Timing(delay=gw.DelayTimingInfo(delay=Duration(seconds=way.delay_ns // 1_000_000_000))),
            context=downlink.context,
        ),
    )


def status(device: Device, deduplication_id: str, time_ns: int) -> integration.StatusEvent:
    """What the device's DevStatusAns said: battery in percent of 254, or 0 where it has none or cannot tell."""
    battery = device.battery or 0
    return integration.StatusEvent(
        deduplication_id=deduplication_id,
        time=events.timestamp(time_ns),
        device_info=device.info,
        margin=device.margin or 0,
        external_power_source=battery == 0,
        battery_level_unavailable=battery == 255,
        battery_level=battery / 254 * 100 if battery < 255 else 0,
    )


def location(device: Device, place: common.Location, deduplication_id: str, time_ns: int) -> integration.LocationEvent:
    """A position of the device that somebody has resolved."""
    return integration.LocationEvent(
        deduplication_id=deduplication_id,
        time=events.timestamp(time_ns),
        device_info=device.info,
        location=place,
    )
