"""Registers the city in the network server, by the technicians' own calls (tools/technician); safe to run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chirpstack_api import api

from ..setup.say import Problem
from ..technician import chirpstack
from ..technician.chirpstack import Api, Devices, Place
from ..technician.provision import Names
from ..world.sites import GATEWAY_ID, JOIN_EUI, Site

STATS_INTERVAL_S = 30


@dataclass(frozen=True)
class Registered:
    """Where the city stands in the network server, what was made for it in words, and which of its devices are new there."""

    place: Place
    made: list[str]
    fresh: list[Site]


def provision(address: str, sites: Sequence[Site], email: str = "admin", password: str = "admin") -> str:  # noqa: S107 - ChirpStack's first user
    """`register` by a user's name and password, with the one gateway; returns the application's id."""
    connection = Api(address)
    try:
        connection.login(email, password)
        return register(connection, sites, [GATEWAY_ID]).place.application
    finally:
        connection.close()


def register(connection: Api, sites: Sequence[Site], gateways: Sequence[str], names: Names | None = None) -> Registered:
    """Tenant, application, device profile, LoRa gateways, devices and keys, each unless it is there.

    Problem, before anything is made, where a gateway or a device is somebody else's or a device has another key.
    """
    names = names or Names()
    place = chirpstack.find(connection, names.tenant, names.application, names.profile, tenant_id=names.tenant_id)
    missing = [each for each in gateways if not _has_gateway(connection, each, place)]
    devices = Devices(connection, place)
    listed = devices.listed()
    for site in sites:
        _look(devices, site, listed)
    made: list[str] = []
    if place.tenant:  # first, since a tenant's key sees another tenant's gateway only by being refused
        made += _make_gateways(connection, missing, place)
    known = bool(place.tenant)
    place, done = chirpstack.complete(connection, place, names.tenant, names.application, names.profile)
    made += done
    if not known:
        made += _make_gateways(connection, missing, place)
    devices = Devices(connection, place)
    fresh = []
    for site in sites:
        if site.dev_eui not in listed:
            if not devices.create(site.dev_eui, JOIN_EUI, site.name, {"kind": site.kind, "district": site.district}):
                raise _held(site, "somebody else")
            fresh.append(site)
        devices.create_key(site.dev_eui, site.app_key)
    return Registered(place, made, fresh)


def _look(devices: Devices, site: Site, listed: dict[str, Any]) -> None:
    if site.dev_eui not in listed:
        if holder := devices.holder(site.dev_eui):
            raise _held(site, holder)
    elif devices.key(site.dev_eui) not in (None, site.app_key):
        raise Problem(
            f"device {site.name} ({site.dev_eui}) has another AppKey in the network server than its board; nothing is changed: "
            "remove the device there, or put the board's key in"
        )


def _held(site: Site, holder: str) -> Problem:
    return Problem(
        f"device {site.name} ({site.dev_eui}) is held by {holder} in the network server; nothing is changed there: "
        "remove it there, or name that tenant and application"
    )


def _has_gateway(connection: Api, gateway_id: str, place: Place) -> bool:
    stub = api.GatewayServiceStub(connection.channel)
    found = connection.call(stub.Get, api.GetGatewayRequest(gateway_id=gateway_id), may_miss=True)
    if found is not None and found.gateway.tenant_id != place.tenant:
        raise _foreign(gateway_id, f"tenant {found.gateway.tenant_id}")
    return found is not None


def _make_gateways(connection: Api, gateways: Sequence[str], place: Place) -> list[str]:
    stub = api.GatewayServiceStub(connection.channel)
    for number, gateway_id in enumerate(gateways):
        name = "mairie" if number == 0 else f"toit-{number}"
        gateway = api.Gateway(gateway_id=gateway_id, name=name, tenant_id=place.tenant, stats_interval=STATS_INTERVAL_S)
        if connection.call(stub.Create, api.CreateGatewayRequest(gateway=gateway), may_exist=True) is None:
            raise _foreign(gateway_id, "another tenant")
    return [f"LoRa gateway {gateway_id}" for gateway_id in gateways]


def _foreign(gateway_id: str, whose: str) -> Problem:
    return Problem(
        f"LoRa gateway {gateway_id} belongs to {whose} in the network server; nothing is made: "
        "name that tenant in the settings, or remove the gateway there"
    )
