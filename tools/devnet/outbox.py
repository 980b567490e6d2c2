"""Downlinks on their way: each device's queue, and what was given to LoRa gateways and awaits their TxAck."""

from __future__ import annotations

from typing import NamedTuple

from chirpstack_api.integration import integration_pb2 as integration

from . import events_of
from .events import Event
from .exchange import Downlink
from .state import Device, QueueItem
from .store import Store

_KEPT = 1_000  # awaiting their TxAck; older ones are forgotten
_ERROR = integration.LogLevel.ERROR


class Sent(NamedTuple):
    """A downlink awaiting its TxAck. `ports`: by item, None for MAC commands only; `is_data`: no join-accept."""

    downlink: Downlink
    dev_eui: str
    is_data: bool
    f_cnt_down: int
    ports: tuple[int | None, ...]
    queue_item: QueueItem | None


class Outbox:
    """Both, over the store; calls are made inside a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sent: dict[int, Sent] = {}

    def next_item(
        self, device: Device, room: int, deduplication_id: str, now_ns: int, out: list[Event]
    ) -> QueueItem | None:
        """The first item that can go; those before it are dropped, and `out` gets the event that says why."""
        while device.queue:
            item = device.queue[0]
            context = {"queue_item_id": item.id}
            if item.pending:  # sent confirmed, and this uplink does not acknowledge it: one attempt only
                body = events_of.ack(device, item, deduplication_id, now_ns, acknowledged=False)
                out.append(events_of.event(device, body))
            elif item.expires_ns is not None and item.expires_ns < now_ns:
                text = "Device queue-item discarded because it has expired"
                out.append(events_of.log(device, now_ns, _ERROR, integration.LogCode.EXPIRED, text, context))
            elif len(item.data) > room:
                text = "Device queue-item discarded because it exceeds the max. payload size"
                context |= {"item_size": str(len(item.data)), "max_payload_size": str(room)}
                code = integration.LogCode.DOWNLINK_PAYLOAD_SIZE
                out.append(events_of.log(device, now_ns, _ERROR, code, text, context))
            else:
                return item
            self.drop(device, item)
        return None

    def acknowledged(self, device: Device, deduplication_id: str, time_ns: int) -> list[Event]:
        """The device has acknowledged the item that is pending, if one is."""
        item = next((i for i in device.queue if i.pending), None)
        if item is None:
            return []
        self.drop(device, item)
        return [events_of.event(device, events_of.ack(device, item, deduplication_id, time_ns, acknowledged=True))]

    def drop(self, device: Device, item: QueueItem) -> None:
        """An item is done with."""
        device.queue = [i for i in device.queue if i.id != item.id]
        self._store.delete_item(item.id)

    def empty(self, device: Device) -> None:
        """All items of a device are done with."""
        for item in device.queue:
            self._store.delete_item(item.id)
        device.queue = []

    def hand_out(self, sent: Sent) -> None:
        """A downlink goes to its gateway."""
        self.sent[sent.downlink.downlink_id] = sent
        if len(self.sent) > _KEPT:
            del self.sent[next(iter(self.sent))]

    def forget(self, dev_eui: str) -> None:
        """TxAcks of a session that has ended lead to nothing."""
        self.sent = {i: s for i, s in self.sent.items() if s.dev_eui != dev_eui}

    def transmitted(self, device: Device, sent: Sent, index: int, now_ns: int) -> list[Event]:
        """A gateway sends item `index`: a queue item it carries is done with, or pending until the device acknowledges it."""
        if not sent.ports[index] or sent.queue_item is None:
            return []
        same = (i for i in device.queue if i.id == sent.queue_item.id)  # the queue may have been read anew
        item = next(same, sent.queue_item)
        if item.confirmed:
            item.pending = True
            self._store.save_item(item)
        else:
            self.drop(device, item)
        return [events_of.event(device, events_of.txack(device, sent.downlink, index, item, sent.f_cnt_down, now_ns))]
