"""ChirpStack's gRPC API as far as the project uses it, with the messages of `chirpstack-api`; the rest answers UNIMPLEMENTED.

A call is checked in ChirpStack's order: token present, token valid, identifiers well formed, caller allowed, then the database.
The calls run in threads of their own; what the radio side sees of a change goes through the hand-over list (registry.py).
"""

from __future__ import annotations

from collections.abc import Iterable
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
from google.protobuf import message_factory
from google.protobuf.empty_pb2 import Empty

from .access import ApiError, Caller, allow, uuid_id
from .api_devices import DeviceCalls
from .api_gateways import GatewayCalls
from .api_objects import Call, objects
from .devnet import Devnet

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
        return self._devnet.registry.access.caller(given.removeprefix("Bearer "))


def calls(devnet: Devnet) -> dict[str, Call]:
    """The served methods by their full name."""
    served: dict[str, Call] = {}
    for kind in ("tenant", "application", "device_profile"):
        served |= objects(devnet, kind)
    return served | _internal(devnet) | GatewayCalls(devnet).table() | DeviceCalls(devnet).table()


def _internal(devnet: Devnet) -> dict[str, Call]:
    """Login and API keys."""
    registry = devnet.registry

    def login(request: Any, _: Caller) -> Any:
        return internal_pb2.LoginResponse(jwt=registry.access.login(request.email, request.password))

    def create(request: Any, caller: Caller) -> Any:
        if not request.HasField("api_key"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "api_key is missing")
        key = request.api_key
        tenant_id = "" if key.is_admin else uuid_id(key.tenant_id)
        allow(caller, tenant_id, write=True)
        key_id, token = registry.access.create_api_key(
            key.name, tenant_id, is_admin=key.is_admin, is_read_only=key.is_read_only
        )
        return internal_pb2.CreateApiKeyResponse(id=key_id, token=token)

    def list_(request: Any, caller: Caller) -> Any:
        tenant_id = "" if request.is_admin else uuid_id(request.tenant_id)
        allow(caller, tenant_id, write=False)
        keys = registry.access.api_keys(tenant_id, is_admin=request.is_admin)
        page = keys[request.offset : request.offset + request.limit]
        result = [internal_pb2.ApiKey(id=i, name=n, tenant_id=t, is_admin=a, is_read_only=r) for i, n, t, a, r in page]
        return internal_pb2.ListApiKeysResponse(total_count=len(keys), result=result)

    def delete(request: Any, caller: Caller) -> Any:
        key_id = uuid_id(request.id)
        allow(caller, registry.tenant_of("api_key", key_id), write=True)
        registry.access.delete_api_key(key_id)
        return Empty()

    methods: Iterable[tuple[str, Call]] = (
        ("Login", login), ("CreateApiKey", create), ("ListApiKeys", list_), ("DeleteApiKey", delete)
    )  # fmt: skip
    return {f"api.InternalService/{method}": call for method, call in methods}
