"""The bodies of events, from the facts of one exchange."""

from __future__ import annotations

from chirpstack_api.gw import gw_pb2 as gw
from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf.duration_pb2 import Duration

from . import events, frame, region
from .exchange import Downlink, Uplink
from .state import Device, QueueItem


def uplink(
    device: Device,
    up: frame.DataUplink,
    uplink: Uplink,
    dr: int,
    f_cnt: int,
    data: bytes,
    deduplication_id: str,
    time_ns: int,
) -> integration.UplinkEvent:
    """A data uplink that was taken; `data` is plain, `f_cnt` whole."""
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
    for reception in uplink.receptions:
        stamp = uplink.time_ns if reception.time_ns is None else reception.time_ns
        rx = body.rx_info.add(
            gateway_id=reception.gateway_id,
            uplink_id=reception.uplink_id,
            gw_time=events.timestamp(stamp),
            ns_time=events.timestamp(stamp if reception.server_ns is None else reception.server_ns),
            rssi=reception.rssi_dbm,
            snr=reception.snr_db,
            context=reception.context,
            crc_status=gw.CRCStatus.CRC_OK,
        )
        rx.location.SetInParent()  # ChirpStack always has one, empty where the gateway has no place
    return body


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
