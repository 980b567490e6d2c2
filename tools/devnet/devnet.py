"""The network server as the world and the tests use it: core, database, API storage and publisher in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from chirpstack_api.common import common_pb2 as common
from chirpstack_api.gw import gw_pb2 as gw

from .core import Core
from .events import Event
from .exchange import Answer, Uplink, seeded_entropy
from .region import Network
from .registry import Registry
from .store import Store


class Publishes(Protocol):
    """Where events go (publisher.Publisher)."""

    def publish(self, event: Event) -> None:
        """Takes an event; must not wait for the network."""


class Devnet:
    """One network server. `paced`: changes made by the API take effect at once; else at the next `apply_pending`.

    Each event is in the database's wake: state is committed, then the event is published, then the answer leaves.
    """

    def __init__(
        self,
        path: str | Path,
        seed: str,
        publisher: Publishes | None = None,
        *,
        paced: bool = True,
        now_ns: Callable[[], int] = time.time_ns,
        entropy: Callable[[str, bytes], bytes] | None = None,
        network: Network | None = None,
    ) -> None:
        """`path`: the SQLite file; `now_ns`: for what the API says of times (created_at, a gateway's state) only."""
        draw = entropy or seeded_entropy(seed)
        self.store = Store(path)
        self.registry = Registry(self.store, draw, now_ns)
        self.core = Core(self.store, seed, draw, network)
        self.publisher = publisher
        self.paced = paced
        self.now_ns = now_ns
        self.apply_pending()  # what was accepted before a stop

    def apply_pending(self) -> list[str]:
        """Takes up what came by the API since the last time, in the order (DevEUI, arrival); returns the DevEUIs."""
        with self.store.lock:
            with self.store.transaction():
                pending = self.store.take_handover()
                for dev_eui, kind, body in pending:
                    self.store.apply(dev_eui, kind, body)
            if any(kind == "gateway" for _, kind, _ in pending):
                self.core.gateways.reload()
            touched = sorted({dev_eui for dev_eui, kind, _ in pending if kind != "gateway"})
            for dev_eui in touched:
                self.core.reload(dev_eui)
        return touched

    def changed(self) -> None:
        """The API changed something."""
        if self.paced:
            self.apply_pending()

    def uplink(self, uplink: Uplink, now_ns: int) -> Answer:
        """`Core.uplink`, its events published."""
        answer = self.core.uplink(uplink, now_ns)
        self._publish(answer.events)
        return answer

    def reception(self, uplink: Uplink, now_ns: int) -> int | None:
        """`Core.reception`."""
        return self.core.reception(uplink, now_ns)

    def due(self, now_ns: int) -> Answer:
        """`Core.due`, its events published."""
        answer = self.core.due(now_ns)
        self._publish(answer.events)
        return answer

    def locate(self, dev_eui: str, place: common.Location, now_ns: int) -> Event:
        """`Core.locate`, its event published."""
        event = self.core.locate(dev_eui, place, now_ns)
        self._publish([event])
        return event

    def stats(self, stats: gw.GatewayStats, now_ns: int) -> None:
        """What a LoRa gateway tells of itself every 30 s or so: it is alive, and perhaps its place. An unknown gateway's is ignored."""
        self.registry.gateway_stats(stats, now_ns)
        self.changed()

    def transmitted(self, downlink_id: int, item_index: int | None, status: str, now_ns: int) -> list[Event]:
        """`Core.transmitted`, its events published."""
        happened = self.core.transmitted(downlink_id, item_index, status, now_ns)
        self._publish(happened)
        return happened

    def joined(self, dev_euis: Collection[str]) -> int:
        """How many of these devices have a session."""
        rows = self.store.rows("SELECT dev_eui FROM radio WHERE session IS NOT NULL")
        return sum(dev_eui in dev_euis for (dev_eui,) in rows)

    def close(self) -> None:
        """Ends the database connection; the publisher is its owner's."""
        self.store.close()

    def _publish(self, happened: list[Event]) -> None:
        if self.publisher is not None:
            for event in happened:
                self.publisher.publish(event)
