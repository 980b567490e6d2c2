"""ChirpStack's gRPC API as far as devices are registered in it: tenant, application, device profile, devices, keys.

Nothing that exists is changed, except what a device profile of ours lacks. Two facts of ChirpStack 4 shape the calls: an object
that exists already is answered with INTERNAL and the database's text; the AppKey of LoRaWAN 1.0.x is called nwk_key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from chirpstack_api import api
from chirpstack_api.common import common_pb2

from ..setup.say import Problem

CODEC = Path(__file__).parent / "codec.js"
TENANT, APPLICATION, PROFILE = "Ville", "vigie", "vigie-class-a-eu868"
HERE = "this application"
_DEADLINE_S = 10.0
_REACH_S = 5.0
_RETRIES = 3
_PAUSE_S = 0.5
_PAGE = 1000
# Database's texts, of SQLite and of PostgreSQL.
_EXISTS = ("UNIQUE constraint failed", "duplicate key value")
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Api:
    """A channel with a token. Problem names the call that failed, what the server said and what to do."""

    def __init__(self, address: str, token: str = "", *, tls: bool = False) -> None:
        """`address`: host:port of the API; `tls`: encrypted, the server's certificate checked against the system's."""
        # gRPC's own lines about each handshake are nothing for a person; it reads this with the first channel.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials()) if tls else grpc.insecure_channel(address)
        )
        self._address = address
        self._metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token}"),) if token else ()

    def reach(self) -> None:
        """Problem at once where nobody answers at the address: a typing error should not cost the calls' patience."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=_REACH_S)
        except grpc.FutureTimeoutError:
            raise Problem(
                f"network server at {self._address}: nobody answers there; check the address (host:port of the API, with or "
                "without TLS) and that it runs"
            ) from None

    def login(self, email: str, password: str) -> None:
        """Takes the token of one of ChirpStack's users."""
        request = api.LoginRequest(email=email, password=password)
        login = self.call(api.InternalServiceStub(self._channel).Login, request)
        self._metadata = (("authorization", f"Bearer {login.jwt}"),)

    @property
    def channel(self) -> grpc.Channel:
        """For the service stubs."""
        return self._channel

    def call(
        self,
        method: Callable[..., Any],
        request: object,
        *,
        may_exist: bool = False,
        may_miss: bool = False,
        again: bool = False,
    ) -> Any:
        """The answer, of each call's own type.

        None if the object exists already and `may_exist`, or is not there (or not this token's to see) and `may_miss`.
        With either, or with `again`, the call may be made twice, so it is tried again while the server is away.
        """
        tries = _RETRIES if may_exist or may_miss or again else 1
        while True:
            try:
                return method(request, metadata=self._metadata, timeout=_DEADLINE_S, wait_for_ready=True)
            except grpc.RpcError as error:
                tries -= 1
                code, text = error.code(), error.details() or ""
                if (may_exist and text.startswith(_EXISTS)) or (may_miss and _unseen(code, text)):
                    return None
                if code not in _AWAY or tries <= 0:
                    raise self._problem(type(request).__name__.removesuffix("Request"), code, text) from None
                time.sleep(_PAUSE_S)

    def _problem(self, name: str, code: grpc.StatusCode, text: str) -> Problem:
        cure = "check its address and log"
        if code == grpc.StatusCode.UNAUTHENTICATED:
            cure = "the token is refused, read-only or of another tenant: make an API key that may do this"
        elif code in _AWAY:
            cure = "it does not answer: check the address (host:port of the API) and that it runs, then run this again"
        return Problem(f"network server at {self._address}: {name}: {code.name} {text}".rstrip() + f"; {cure}")

    def close(self) -> None:
        """Ends the channel."""
        self._channel.close()

    def pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """All rows of a List call."""
        request.limit = _PAGE
        while True:
            rows = self.call(method, request, again=True).result
            yield from rows
            request.offset += len(rows)
            if len(rows) < _PAGE:
                return


def _unseen(code: grpc.StatusCode, text: str) -> bool:
    """Not there; or there, but a tenant's key may not see it: then ChirpStack refuses without a word."""
    return code == grpc.StatusCode.NOT_FOUND or (code == grpc.StatusCode.UNAUTHENTICATED and not text)


@dataclass(frozen=True)
class Place:
    """Where devices are registered: the ids of tenant, application and device profile; "" for what is not there yet."""

    tenant: str
    application: str
    profile: str


def find(
    connection: Api,
    tenant: str = TENANT,
    application: str = APPLICATION,
    profile: str = PROFILE,
    *,
    tenant_id: str = "",
) -> Place:
    """The ids behind the names. `tenant_id` serves where the token is a tenant's own, which may not list tenants."""
    if not tenant_id:
        tenants = api.TenantServiceStub(connection.channel)
        tenant_id = _named(connection, tenants.List, api.ListTenantsRequest(search=tenant), tenant)
    if not tenant_id:
        return Place("", "", "")
    applications = api.ApplicationServiceStub(connection.channel)
    profiles = api.DeviceProfileServiceStub(connection.channel)
    wanted = api.ListApplicationsRequest(search=application, tenant_id=tenant_id)
    wanted_profile = api.ListDeviceProfilesRequest(search=profile, tenant_id=tenant_id)
    return Place(
        tenant_id,
        _named(connection, applications.List, wanted, application),
        _named(connection, profiles.List, wanted_profile, profile),
    )


def complete(
    connection: Api, place: Place, tenant: str = TENANT, application: str = APPLICATION, profile: str = PROFILE
) -> tuple[Place, list[str]]:
    """(the place with all that was missing made, what was made or mended in words)."""
    done = []
    tenant_id, application_id, profile_id = place.tenant, place.application, place.profile
    if not tenant_id:
        made = api.Tenant(name=tenant, can_have_gateways=True)
        tenants = api.TenantServiceStub(connection.channel)
        tenant_id = str(connection.call(tenants.Create, api.CreateTenantRequest(tenant=made)).id)
        done.append(f"tenant {tenant}")
    if not application_id:
        wanted = api.Application(name=application, tenant_id=tenant_id)
        applications = api.ApplicationServiceStub(connection.channel)
        request = api.CreateApplicationRequest(application=wanted)
        application_id = str(connection.call(applications.Create, request).id)
        done.append(f"application {application}")
    profiles = api.DeviceProfileServiceStub(connection.channel)
    if not profile_id:
        new = api.DeviceProfile(name=profile, tenant_id=tenant_id, uplink_interval=21_600, **_RADIO, **_settings())
        profile_id = str(connection.call(profiles.Create, api.CreateDeviceProfileRequest(device_profile=new)).id)
        done.append(f"device profile {profile}")
    elif mended := _mend(connection, profiles, profile_id):
        done.append(f"device profile {profile} ({', '.join(mended)})")
    return Place(tenant_id, application_id, profile_id), done


# What a device cannot do without; a profile that says otherwise is somebody's decision.
_RADIO: dict[str, Any] = {
    "region": common_pb2.EU868,
    "mac_version": common_pb2.LORAWAN_1_0_4,
    "reg_params_revision": common_pb2.RP002_1_0_3,
}


def _settings() -> dict[str, Any]:
    """What ChirpStack leaves empty in a new profile, and the codec."""
    return {
        "adr_algorithm_id": "default",
        "supports_otaa": True,
        "device_status_req_interval": 1,
        "payload_codec_runtime": api.CodecRuntime.JS,
        "payload_codec_script": CODEC.read_text(encoding="utf-8"),
    }


def _mend(connection: Api, profiles: Any, profile_id: str) -> list[str]:
    """Sets what an existing profile lacks and renews the codec; the names of the fields. Problem: it is for another radio."""
    found = connection.call(profiles.Get, api.GetDeviceProfileRequest(id=profile_id), again=True).device_profile
    for name, value in _RADIO.items():
        if getattr(found, name) != value:
            field = found.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number
            raise Problem(
                f"device profile {found.name}: {name} is {field[getattr(found, name)].name}, these devices need "
                f"{field[value].name}; name another profile (--profile)"
            )
    wanted = _settings()
    # an interval or an algorithm that somebody has chosen stays
    changed = [
        name
        for name, value in wanted.items()
        if not getattr(found, name) or (name in _OURS and getattr(found, name) != value)
    ]
    for name in changed:
        setattr(found, name, wanted[name])
    if changed:
        connection.call(profiles.Update, api.UpdateDeviceProfileRequest(device_profile=found), again=True)
    return changed


_OURS = {"payload_codec_runtime", "payload_codec_script"}


def _named(connection: Api, method: Callable[..., Any], request: Any, name: str) -> str:
    """The id of the row of that name, "" if there is none; Problem where two have it."""
    ids = [str(row.id) for row in connection.pages(method, request) if row.name == name]
    if len(ids) > 1:
        raise Problem(
            f"network server: {len(ids)} objects are called {name} ({', '.join(ids)}); give one of them another name"
        )
    return ids[0] if ids else ""


class Devices:
    """The devices of one application."""

    def __init__(self, connection: Api, place: Place) -> None:
        self._connection, self._place = connection, place
        self._stub = api.DeviceServiceStub(connection.channel)

    def listed(self) -> dict[str, Any]:
        """DevEUI -> the row of the List call (name, device_profile_id); of this application only."""
        if not self._place.application:
            return {}
        request = api.ListDevicesRequest(application_id=self._place.application)
        return {str(row.dev_eui): row for row in self._connection.pages(self._stub.List, request)}

    def key(self, dev_eui: str) -> str | None:
        """The AppKey that the network has; None if it has none."""
        request = api.GetDeviceKeysRequest(dev_eui=dev_eui)
        found = self._connection.call(self._stub.GetKeys, request, may_miss=True)
        return None if found is None else str(found.device_keys.nwk_key)

    def create(self, dev_eui: str, join_eui: str, name: str, tags: dict[str, str]) -> bool:
        """False if the DevEUI exists already, here or elsewhere."""
        device = api.Device(
            dev_eui=dev_eui,
            join_eui=join_eui,
            name=name,
            application_id=self._place.application,
            device_profile_id=self._place.profile,
            tags=tags,
        )
        request = api.CreateDeviceRequest(device=device)
        return self._connection.call(self._stub.Create, request, may_exist=True) is not None

    def create_key(self, dev_eui: str, app_key: str) -> bool:
        """False if the device has a key already; it stays as it is."""
        request = api.CreateDeviceKeysRequest(device_keys=api.DeviceKeys(dev_eui=dev_eui, nwk_key=app_key))
        return self._connection.call(self._stub.CreateKeys, request, may_exist=True) is not None

    def join_eui(self, dev_eui: str) -> str:
        """The JoinEUI of a device of this application."""
        return str(
            self._connection.call(self._stub.Get, api.GetDeviceRequest(dev_eui=dev_eui), again=True).device.join_eui
        )

    def holder(self, dev_eui: str) -> str:
        """Who has this DevEUI, for a person: an application's name, or that it is not for this token to see; "" for nobody."""
        found = self._connection.call(self._stub.Get, api.GetDeviceRequest(dev_eui=dev_eui), may_miss=True)
        if found is None:
            return ""
        application = str(found.device.application_id)
        if application == self._place.application:
            return HERE
        stub = api.ApplicationServiceStub(self._connection.channel)
        named = self._connection.call(stub.Get, api.GetApplicationRequest(id=application), may_miss=True)
        return (
            f"application {application}" if named is None else f"application {named.application.name} ({application})"
        )
