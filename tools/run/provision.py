"""Registers the city in the network server, by the technicians' own calls (tools/technician); safe to run again."""

from __future__ import annotations

from collections.abc import Sequence

from chirpstack_api import api

from ..technician import chirpstack
from ..technician.chirpstack import Api
from ..world.sites import GATEWAY_ID, JOIN_EUI, Site


def provision(address: str, sites: Sequence[Site], email: str = "admin", password: str = "admin") -> str:  # noqa: S107 - ChirpStack's first user
    """Tenant, application, device profile, LoRa gateway, devices and keys, each unless it is there; returns the application's id."""
    connection = Api(address)
    try:
        connection.login(email, password)
        place, _ = chirpstack.complete(connection, chirpstack.find(connection))
        gateway = api.Gateway(gateway_id=GATEWAY_ID, name="mairie", tenant_id=place.tenant, stats_interval=30)
        gateways = api.GatewayServiceStub(connection.channel)
        connection.call(gateways.Create, api.CreateGatewayRequest(gateway=gateway), may_exist=True)
        devices = chirpstack.Devices(connection, place)
        for site in sites:
            devices.create(site.dev_eui, JOIN_EUI, site.name, {"kind": site.kind, "district": site.district})
            devices.create_key(site.dev_eui, site.app_key)
        return place.application
    finally:
        connection.close()
