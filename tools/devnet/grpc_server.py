"""ChirpStack's gRPC API as far as the project uses it, with the messages of `chirpstack-api`; the rest answers UNIMPLEMENTED.

A call is checked in ChirpStack's order: token present, token valid, identifiers well formed, caller allowed, then the database.
The calls run in threads of their own; what the radio side sees of a change goes through the hand-over list (registry.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent import futures
from typing import Any

import grpc
from chirpstack_api.api import (
    application_pb2,
    device_pb2,
    device_profile_pb2,
    gateway_pb2,
    internal_pb2,
    tenant_pb2,
)
from chirpstack_api.common import common_pb2 as common
from google.protobuf import message_factory
from google.protobuf.empty_pb2 import Empty

from . import events
from .api_devices import DeviceCalls
from .devnet import Devnet
from .registry import ApiError, Caller, Stored, allow, hex_id, uuid_id

Call = Callable[[Any, Caller], Any]
_PUBLIC = "api.InternalService/Login"


class Server:
    """Serves `devnet` on `address` (host:port, port 0 for a free one)."""

    def __init__(self, devnet: Devnet, address: str = "127.0.0.1:0", threads: int = 4) -> None:
        """Raises OSError with one line that says what to do if the address cannot be had."""
        self._calls = calls(devnet)
        self._devnet = devnet
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads, "devnet-grpc"), options=(("grpc.so_reuseport", 0),)
        )
        for module in (internal_pb2, tenant_pb2, application_pb2, device_profile_pb2, device_pb2, gateway_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                handlers = {m.name: self._handler(service.full_name, m) for m in service.methods}
                served = {name: handler for name, handler in handlers.items() if handler is not None}
                self._server.add_generic_rpc_handlers(
                    (grpc.method_handlers_generic_handler(service.full_name, served),)
                )
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as e:
            raise OSError(
                f"devnet: cannot serve gRPC on {address}: is the port in use? choose another in the settings"
            ) from e
        self._server.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Lets calls under way end, at most `grace_s` seconds."""
        self._server.stop(grace_s).wait()

    def _handler(self, service: str, method: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        name = f"{service}/{method.name}"
        call = self._calls.get(name)
        if call is None:
            return None  # grpc answers UNIMPLEMENTED

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return call(request, self._caller(name, context))
            except ApiError as e:
                context.abort(e.code, e.text)

        return grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=lambda response: bytes(response.SerializeToString()),
        )

    def _caller(self, name: str, context: grpc.ServicerContext) -> Caller:
        if name == _PUBLIC:
            return Caller(is_admin=False, tenant_id="", is_read_only=True)
        metadata = dict(context.invocation_metadata())
        given = str(metadata.get("authorization", ""))
        if not given:
            raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "no authorization provided")
        return self._devnet.registry.caller(given.removeprefix("Bearer "))


def calls(devnet: Devnet) -> dict[str, Call]:
    """The served methods by their full name."""
    served: dict[str, Call] = {}
    for kind in ("tenant", "application", "device_profile", "gateway"):
        served |= _objects(devnet, kind)
    return served | _internal(devnet) | DeviceCalls(devnet).table()


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
    "gateway": ("Gateway", gateway_pb2),
}


def _objects(devnet: Devnet, kind: str) -> dict[str, Call]:
    """Create, Get, Update, Delete and List of what is stored as it is given."""
    name, api = _API[kind]
    registry = devnet.registry
    key_name = "gateway_id" if kind == "gateway" else "id"
    key_of = hex_id if kind == "gateway" else uuid_id

    def given(request: Any) -> Any:
        if not request.HasField(kind):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"{kind} is missing")
        message = getattr(request, kind)
        if kind != "tenant":
            message.tenant_id = uuid_id(message.tenant_id)
        if kind == "gateway":
            message.gateway_id = hex_id(message.gateway_id)
        if kind == "device_profile" and message.mac_version >= common.MacVersion.LORAWAN_1_1_0:
            raise ApiError(
                grpc.StatusCode.UNIMPLEMENTED, "devnet speaks LoRaWAN 1.0.x; choose mac_version LORAWAN_1_0_4"
            )
        return message

    def create(request: Any, caller: Caller) -> Any:
        message = given(request)
        allow(caller, "" if kind == "tenant" else message.tenant_id, write=True)
        key = registry.create(kind, message)
        return Empty() if kind == "gateway" else getattr(api, f"Create{name}Response")(id=key)

    def get(request: Any, caller: Caller) -> Any:
        key = key_of(getattr(request, key_name))
        allow(caller, registry.tenant_of(kind, key), write=False)
        stored = registry.get(kind, key)
        response = getattr(api, f"Get{name}Response")(**{kind: stored.message})
        response.created_at.CopyFrom(events.timestamp(stored.created_ns))
        response.updated_at.CopyFrom(events.timestamp(stored.updated_ns))
        return response

    def update(request: Any, caller: Caller) -> Any:
        message = given(request)
        setattr(message, key_name, key_of(getattr(message, key_name)))
        allow(caller, registry.tenant_of(kind, getattr(message, key_name)) if kind != "tenant" else "", write=True)
        registry.update(kind, message)
        devnet.changed()
        return Empty()

    def delete(request: Any, caller: Caller) -> Any:
        key = key_of(getattr(request, key_name))
        allow(caller, "" if kind == "tenant" else registry.tenant_of(kind, key), write=True)
        registry.delete(kind, key)
        devnet.changed()
        return Empty()

    def list_(request: Any, caller: Caller) -> Any:
        tenant_id = "" if kind == "tenant" else request.tenant_id
        if tenant_id or kind not in ("tenant", "gateway"):
            tenant_id = uuid_id(tenant_id)
        allow(caller, tenant_id, write=False)
        where = "tenant_id" if tenant_id else ""
        count, page = registry.page(kind, where, tenant_id, request.search, request.limit, request.offset)
        item = getattr(api, f"{name}ListItem")
        plural = f"List{name}sResponse"
        return getattr(api, plural)(total_count=count, result=[fill(item(), stored) for stored in page])

    methods: Iterable[tuple[str, Call]] = (
        ("Create", create), ("Get", get), ("Update", update), ("Delete", delete), ("List", list_)
    )  # fmt: skip
    return {f"api.{name}Service/{method}": call for method, call in methods}


def _internal(devnet: Devnet) -> dict[str, Call]:
    """Login and API keys."""
    registry = devnet.registry

    def login(request: Any, _: Caller) -> Any:
        return internal_pb2.LoginResponse(jwt=registry.login(request.email, request.password))

    def create(request: Any, caller: Caller) -> Any:
        if not request.HasField("api_key"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "api_key is missing")
        key = request.api_key
        tenant_id = "" if key.is_admin else uuid_id(key.tenant_id)
        allow(caller, tenant_id, write=True)
        key_id, token = registry.create_api_key(
            key.name, tenant_id, is_admin=key.is_admin, is_read_only=key.is_read_only
        )
        return internal_pb2.CreateApiKeyResponse(id=key_id, token=token)

    def list_(request: Any, caller: Caller) -> Any:
        tenant_id = "" if request.is_admin else uuid_id(request.tenant_id)
        allow(caller, tenant_id, write=False)
        keys = registry.api_keys(tenant_id, is_admin=request.is_admin)
        page = keys[request.offset : request.offset + request.limit]
        result = [internal_pb2.ApiKey(id=i, name=n, tenant_id=t, is_admin=a, is_read_only=r) for i, n, t, a, r in page]
        return internal_pb2.ListApiKeysResponse(total_count=len(keys), result=result)

    def delete(request: Any, caller: Caller) -> Any:
        key_id = uuid_id(request.id)
        allow(caller, registry.tenant_of("api_key", key_id), write=True)
        registry.delete_api_key(key_id)
        return Empty()

    methods: Iterable[tuple[str, Call]] = (
        ("Login", login), ("CreateApiKey", create), ("ListApiKeys", list_), ("DeleteApiKey", delete)
    )  # fmt: skip
    return {f"api.InternalService/{method}": call for method, call in methods}
