"""The calls of ChirpStack's TenantService, ApplicationService and DeviceProfileService that devnet serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from chirpstack_api.api import application_pb2, device_profile_pb2, tenant_pb2
from chirpstack_api.common import common_pb2 as common
from google.protobuf.empty_pb2 import Empty

from . import events
from .access import ApiError, Caller, allow, uuid_id
from .devnet import Devnet
from .listing import Wanted
from .registry import Stored

Call = Callable[[Any, Caller], Any]


def fill(message: Any, stored: Stored, **more: object) -> Any:
    """A list item from a stored object: the fields that both have, and the times."""
    ours = {f.name for f in stored.message.DESCRIPTOR.fields}
    for field in message.DESCRIPTOR.fields:
        if field.name in more:
            setattr(message, field.name, more[field.name])
        elif field.name in ours and field.name not in ("created_at", "updated_at"):
            value = getattr(stored.message, field.name)
            if field.message_type is None:
                setattr(message, field.name, value)
            elif field.message_type.GetOptions().map_entry:
                getattr(message, field.name).update(value)
            elif stored.message.HasField(field.name):
                getattr(message, field.name).CopyFrom(value)
    message.created_at.CopyFrom(events.timestamp(stored.created_ns))
    message.updated_at.CopyFrom(events.timestamp(stored.updated_ns))
    return message


_API: dict[str, tuple[str, Any]] = {
    "tenant": ("Tenant", tenant_pb2),
    "application": ("Application", application_pb2),
    "device_profile": ("DeviceProfile", device_profile_pb2),
}


def unserved(request: Any, *names: str) -> None:
    """Refuses a list request with a filter over what devnet does not have."""
    given = [name for name in names if getattr(request, name, "")]
    if given:
        raise ApiError(grpc.StatusCode.UNIMPLEMENTED, f"devnet cannot filter by {given[0]}; leave it out")


def objects(devnet: Devnet, kind: str) -> dict[str, Call]:
    """Create, Get, Update, Delete and List of what is stored as it is given."""
    name, api = _API[kind]
    registry = devnet.registry

    def given(request: Any) -> Any:
        if not request.HasField(kind):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"{kind} is missing")
        message = getattr(request, kind)
        if kind != "tenant":
            message.tenant_id = uuid_id(message.tenant_id)
        if kind == "device_profile" and message.mac_version >= common.MacVersion.LORAWAN_1_1_0:
            raise ApiError(
                grpc.StatusCode.UNIMPLEMENTED, "devnet speaks LoRaWAN 1.0.x; choose mac_version LORAWAN_1_0_4"
            )
        if kind == "device_profile" and message.payload_codec_runtime == device_profile_pb2.CAYENNE_LPP:
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "devnet runs codecs in JavaScript only")
        return message

    def create(request: Any, caller: Caller) -> Any:
        message = given(request)
        allow(caller, "" if kind == "tenant" else message.tenant_id, write=True)
        return getattr(api, f"Create{name}Response")(id=registry.create(kind, message))

    def get(request: Any, caller: Caller) -> Any:
        key = uuid_id(request.id)
        allow(caller, registry.tenant_of(kind, key), write=False)
        stored = registry.get(kind, key)
        response = getattr(api, f"Get{name}Response")(**{kind: stored.message})
        response.created_at.CopyFrom(events.timestamp(stored.created_ns))
        response.updated_at.CopyFrom(events.timestamp(stored.updated_ns))
        return response

    def update(request: Any, caller: Caller) -> Any:
        message = given(request)
        message.id = uuid_id(message.id)
        allow(caller, registry.tenant_of(kind, message.id) if kind != "tenant" else "", write=True)
        registry.update(kind, message)
        devnet.changed()
        return Empty()

    def delete(request: Any, caller: Caller) -> Any:
        key = uuid_id(request.id)
        allow(caller, "" if kind == "tenant" else registry.tenant_of(kind, key), write=True)
        registry.delete(kind, key)
        devnet.changed()
        return Empty()

    def list_(request: Any, caller: Caller) -> Any:
        unserved(request, "user_id")
        of_all = kind == "tenant" or (kind == "device_profile" and request.global_only)
        tenant_id = "" if of_all else uuid_id(request.tenant_id)
        allow(caller, tenant_id, write=False)
        where = (
            {"tenant_id": tenant_id} if kind != "tenant" else {}
        )  # no profile of devnet's is without a tenant, global
        count, page = registry.page(kind, Wanted(where, request.search, request.limit, request.offset))
        item = getattr(api, f"{name}ListItem")
        plural = f"List{name}sResponse"
        return getattr(api, plural)(total_count=count, result=[fill(item(), stored) for stored in page])

    methods: Iterable[tuple[str, Call]] = (
        ("Create", create), ("Get", get), ("Update", update), ("Delete", delete), ("List", list_)
    )  # fmt: skip
    return {f"api.{name}Service/{method}": call for method, call in methods}
