"""Registers the city in the network server through ChirpStack's own gRPC API; safe to run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from chirpstack_api import api
from chirpstack_api.common import common_pb2

from ..setup.say import Problem
from ..world.sites import GATEWAY_ID, JOIN_EUI, Site

TENANT, APPLICATION, PROFILE = "Ville", "vigie", "vigie-class-a-eu868"
_DEADLINE_S = 10.0
_PAGE = 1000
# ChirpStack answers INTERNAL with its database's text where an object exists already.
_EXISTS = ("UNIQUE constraint failed", "duplicate key value")


class Api:
    """A channel with a token. Problem names the call that failed and what the server said."""

    def __init__(self, address: str, email: str, password: str) -> None:
        """`address`: host:port of the API. Logs in as ChirpStack's user."""
        self._channel = grpc.insecure_channel(address)
        self._address = address
        self._metadata: tuple[tuple[str, str], ...] = ()
        login = self.call(
            api.InternalServiceStub(self._channel).Login, api.LoginRequest(email=email, password=password)
        )
        self._metadata = (("authorization", f"Bearer {login.jwt}"),)

    @property
    def channel(self) -> grpc.Channel:
        """For the service stubs."""
        return self._channel

    def call(self, method: Callable[..., Any], request: object, *, may_exist: bool = False) -> Any:
        """The answer, of each call's own type; None if the object exists already and `may_exist`."""
        try:
            return method(request, metadata=self._metadata, timeout=_DEADLINE_S, wait_for_ready=True)
        except grpc.RpcError as error:
            if may_exist and (error.details() or "").startswith(_EXISTS):
                return None
            name = type(request).__name__.removesuffix("Request")
            raise Problem(
                f"network server at {self._address}: {name}: {error.code().name} {error.details()}; check its address and log"
            ) from None

    def close(self) -> None:
        """Ends the channel."""
        self._channel.close()


def provision(address: str, sites: Sequence[Site], email: str = "admin", password: str = "admin") -> str:  # noqa: S107 - ChirpStack's first user
    """Tenant, application, device profile, LoRa gateway, devices and keys, each unless it is there; returns the application's id."""
    connection = Api(address, email, password)
    try:
        tenants = api.TenantServiceStub(connection.channel)
        tenant = _named(connection.call(tenants.List, api.ListTenantsRequest(limit=_PAGE, search=TENANT)), TENANT)
        if tenant is None:
            made = api.Tenant(name=TENANT, can_have_gateways=True)
            tenant = connection.call(tenants.Create, api.CreateTenantRequest(tenant=made)).id
        applications = api.ApplicationServiceStub(connection.channel)
        wanted = api.ListApplicationsRequest(limit=_PAGE, search=APPLICATION, tenant_id=tenant)
        application = _named(connection.call(applications.List, wanted), APPLICATION)
        if application is None:
            request = api.CreateApplicationRequest(application=api.Application(name=APPLICATION, tenant_id=tenant))
            application = connection.call(applications.Create, request).id
        profile = _profile(connection, tenant)
        gateway = api.Gateway(gateway_id=GATEWAY_ID, name="mairie", tenant_id=tenant, stats_interval=30)
        gateways = api.GatewayServiceStub(connection.channel)
        connection.call(gateways.Create, api.CreateGatewayRequest(gateway=gateway), may_exist=True)
        devices = api.DeviceServiceStub(connection.channel)
        for site in sites:
            device = api.Device(
                dev_eui=site.dev_eui,
                name=site.name,
                application_id=application,
                device_profile_id=profile,
                join_eui=JOIN_EUI,
                tags={"kind": site.kind, "district": site.district},
            )
            connection.call(devices.Create, api.CreateDeviceRequest(device=device), may_exist=True)
            # ChirpStack keeps the AppKey of LoRaWAN 1.0 in nwk_key.
            keys = api.DeviceKeys(dev_eui=site.dev_eui, nwk_key=site.app_key)
            connection.call(devices.CreateKeys, api.CreateDeviceKeysRequest(device_keys=keys), may_exist=True)
        return str(application)
    finally:
        connection.close()


def _profile(connection: Api, tenant: str) -> str:
    profiles = api.DeviceProfileServiceStub(connection.channel)
    wanted = api.ListDeviceProfilesRequest(limit=_PAGE, search=PROFILE, tenant_id=tenant)
    profile = _named(connection.call(profiles.List, wanted), PROFILE)
    if profile is None:
        made = api.DeviceProfile(
            name=PROFILE,
            tenant_id=tenant,
            region=common_pb2.EU868,
            mac_version=common_pb2.LORAWAN_1_0_4,
            reg_params_revision=common_pb2.RP002_1_0_3,
            adr_algorithm_id="default",
            supports_otaa=True,
            uplink_interval=21_600,
            device_status_req_interval=1,
        )
        profile = connection.call(profiles.Create, api.CreateDeviceProfileRequest(device_profile=made)).id
    return str(profile)


def _named(page, name: str) -> str | None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - any of the API's List answers
    return next((str(row.id) for row in page.result if row.name == name), None)
