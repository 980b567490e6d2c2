"""What the radio side knows of LoRa gateways: their place, their tenant's rules, and which one sends a downlink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chirpstack_api.api import gateway_pb2, tenant_pb2
from chirpstack_api.common import common_pb2 as common

from . import region
from .exchange import Reception
from .store import Store

GOOD_MARGIN_DB = 10.0  # ChirpStack's gateway_prefer_min_margin
_UNKNOWN_PRIORITY = 1


class Gateway(NamedTuple):
    """A registered gateway. `private_up`, `private_down`: its tenant keeps it to its own devices, for uplinks, for downlinks."""

    tenant_id: str
    location: common.Location
    private_up: bool
    private_down: bool
    priority: int


class Gateways:
    """The registered gateways, and ChirpStack 4.20's rules over receptions (uplink/mod.rs, downlink/helpers.rs)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Gateway] = {}
        self.reload()

    def reload(self) -> None:
        """Reads them anew."""
        self._known = {}
        sql = "SELECT g.message, t.message FROM gateway g JOIN tenant t ON t.id = g.tenant_id"
        for message, tenant_message in self._store.rows(sql):
            gateway, tenant = gateway_pb2.Gateway.FromString(message), tenant_pb2.Tenant.FromString(tenant_message)
            private = (tenant.private_gateways_up, tenant.private_gateways_down)
            self._known[gateway.gateway_id] = Gateway(
                gateway.tenant_id, gateway.location, *private, gateway.downlink_priority or _UNKNOWN_PRIORITY
            )

    def location(self, reception: Reception) -> common.Location | None:
        """Where the copy was heard: what the gateway itself said, else its registered place, empty or not; None for an unknown gateway."""
        if reception.rx_info is not None and reception.rx_info.HasField("location"):
            return reception.rx_info.location
        gateway = self._known.get(reception.gateway_id)
        return None if gateway is None else gateway.location

    def heard(self, receptions: Sequence[Reception], tenant_id: str, *, unknown: bool) -> tuple[Reception, ...]:
        """The copies that count for a tenant's device; `unknown`: those of gateways that are not registered, too."""
        return tuple(r for r in receptions if self._may(r.gateway_id, tenant_id, "private_up", unknown=unknown))

    def sender(self, receptions: Sequence[Reception], tenant_id: str, sf: int, chance: int) -> Reception | None:
        """The copy whose gateway answers: one of those with a good link margin, by `chance` (0 to 2^32 - 1) weighted with their priority.

        Without a good one the best. None: no gateway may send for this tenant.
        """
        may = [r for r in receptions if self._may(r.gateway_id, tenant_id, "private_down", unknown=True)]
        if not may:
            return None
        may.sort(key=lambda r: (-r.snr_db, -r.rssi_dbm))
        good = [r for r in may if r.snr_db - region.REQUIRED_SNR_DB[sf] >= GOOD_MARGIN_DB]
        if not good:
            return may[0]
        weights = [self._priority(r.gateway_id) for r in good]
        at = chance * sum(weights) >> 32
        for reception, weight in zip(good, weights, strict=True):
            if at < weight:
                return reception
            at -= weight
        raise AssertionError("chance lies below 2^32")

    def _may(self, gateway_id: str, tenant_id: str, rule: str, *, unknown: bool) -> bool:
        gateway = self._known.get(gateway_id)
        if gateway is None:
            return unknown
        return gateway.tenant_id == tenant_id or not getattr(gateway, rule)

    def _priority(self, gateway_id: str) -> int:
        gateway = self._known.get(gateway_id)
        return _UNKNOWN_PRIORITY if gateway is None else gateway.priority
