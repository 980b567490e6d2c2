"""The calls of ChirpStack's GatewayService that devnet serves: no metrics, no certificates, no relays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from chirpstack_api.api import gateway_pb2 as api
from google.protobuf.empty_pb2 import Empty

from . import events
from .access import ApiError, Caller, allow, hex_id, uuid_id
from .api_objects import fill, unserved
from .devnet import Devnet
from .listing import Wanted
from .registry import Stored, stored_place

_PRIORITY = 10  # ChirpStack's downlink_priority for a gateway created without one


class GatewayCalls:
    """One method a call, each `(request, caller) -> response`."""

    def __init__(self, devnet: Devnet) -> None:
        self._devnet, self._registry = devnet, devnet.registry

    def table(self) -> dict[str, Callable[[Any, Caller], Any]]:
        """The calls by their full name."""
        named = {
            "Create": self.create,
            "Get": self.get,
            "Update": self.update,
            "Delete": self.delete,
            "List": self.list_,
        }
        return {f"api.GatewayService/{name}": call for name, call in named.items()}

    def create(self, request: Any, caller: Caller) -> Any:
        """Create."""
        gateway = self._gateway(request)
        gateway.tenant_id = uuid_id(gateway.tenant_id)
        allow(caller, gateway.tenant_id, write=True)
        gateway.gateway_id = hex_id(gateway.gateway_id)
        gateway.downlink_priority = gateway.downlink_priority or _PRIORITY
        self._registry.create("gateway", gateway)
        return self._changed()

    def get(self, request: Any, caller: Caller) -> Any:
        """Get; `metadata` is what the gateway's stats said, `location` is always there."""
        stored = self._registry.get("gateway", self._allowed(request.gateway_id, caller, write=False))
        seen_ns, properties = self._registry.gateway_seen(stored.message.gateway_id)
        response = api.GetGatewayResponse(
            gateway=stored.message,
            created_at=events.timestamp(stored.created_ns),
            updated_at=events.timestamp(stored.updated_ns),
        )
        response.gateway.metadata.update(properties)
        if seen_ns is not None:
            response.last_seen_at.CopyFrom(events.timestamp(seen_ns))
        return response

    def update(self, request: Any, caller: Caller) -> Any:
        """Update; a gateway stays its tenant's."""
        gateway = self._gateway(request)
        gateway.gateway_id = self._allowed(gateway.gateway_id, caller, write=True)
        gateway.tenant_id = self._registry.get("gateway", gateway.gateway_id).message.tenant_id
        self._registry.update("gateway", gateway)
        return self._changed()

    def delete(self, request: Any, caller: Caller) -> Any:
        """Delete."""
        self._registry.delete("gateway", self._allowed(request.gateway_id, caller, write=True))
        return self._changed()

    def list_(self, request: Any, caller: Caller) -> Any:
        """List: of one tenant, or (admin) of all."""
        unserved(request, "multicast_group_id")
        tenant_id = uuid_id(request.tenant_id) if request.tenant_id else ""
        allow(caller, tenant_id, write=False)
        wanted = Wanted(
            {"tenant_id": tenant_id} if tenant_id else {},
            request.search,
            request.limit,
            request.offset,
            request.order_by,
            request.order_by_desc,
        )
        count, page = self._registry.page("gateway", wanted)
        return api.ListGatewaysResponse(total_count=count, result=[self._item(stored) for stored in page])

    def _item(self, stored: Stored) -> Any:
        seen_ns, properties = self._registry.gateway_seen(stored.message.gateway_id)
        item = fill(api.GatewayListItem(), stored)
        item.properties.update(properties)
        if seen_ns is not None:
            item.last_seen_at.CopyFrom(events.timestamp(seen_ns))
            late = self._devnet.now_ns() - seen_ns > 2 * stored.message.stats_interval * 1_000_000_000
            item.state = api.GatewayState.OFFLINE if late else api.GatewayState.ONLINE
        return item

    # -- shared

    def _gateway(self, request: Any) -> Any:
        if not request.HasField("gateway"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "gateway is missing")
        gateway = request.gateway
        gateway.location.CopyFrom(stored_place(gateway.location))
        gateway.metadata.clear()
        return gateway

    def _allowed(self, gateway_id: str, caller: Caller, *, write: bool) -> str:
        """The id in lower case, if the caller may read or change this gateway."""
        gateway_id = hex_id(gateway_id)
        allow(caller, self._registry.tenant_of("gateway", gateway_id), write=write)
        return gateway_id

    def _changed(self) -> Empty:
        self._devnet.changed()
        return Empty()
