"""`make remove`: takes the virtual city out of a ChirpStack and its broker again. The data here stays."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chirpstack_api import api

from ..setup import places
from ..setup.say import Problem
from ..technician import chirpstack
from ..technician.chirpstack import Api, Place
from ..world.forwarder import Broker
from ..world.sites import plan
from .external import client_id, gateway_ids, reach_api, session, state_topic
from .network_file import MOST_GATEWAYS, NetworkFile, load
from .state import MOST_BOARDS, Var, folder_of


def remove(network: NetworkFile, var: Var) -> list[str]:
    """What was removed, in words. Only this folder's devices and gateways; tenant, application and profile where a run here made them."""
    world = var.read_world()
    if world is None:
        raise Problem(f"{places.short(var.folder)}: no run was made there; nothing to remove")
    reach_api(network.api.address)
    connection = Api(network.api.address, network.token(), tls=network.api.tls)
    ids = gateway_ids(world.seed, MOST_GATEWAYS)
    try:
        done = _from_chirpstack(connection, network, var, world.seed, ids)
    finally:
        connection.close()
    _from_broker(network.broker(), network.mqtt.topic_prefix, ids, world.seed)
    return [
        *done,
        f"what broker {network.mqtt.host}:{network.mqtt.port} kept of the LoRa gateways and the Vigie gateway",
    ]


def _from_chirpstack(connection: Api, network: NetworkFile, var: Var, seed: int, ids: Sequence[str]) -> list[str]:
    where = network.chirpstack
    place = chirpstack.find(
        connection, where.tenant, where.application, where.device_profile, tenant_id=str(where.tenant_id or "")
    )
    devices = chirpstack.Devices(connection, place)
    ours = sorted(devices.listed().keys() & {site.dev_eui for site in plan(seed, MOST_BOARDS)})
    stub = api.DeviceServiceStub(connection.channel)
    for dev_eui in ours:
        connection.call(stub.Delete, api.DeleteDeviceRequest(dev_eui=dev_eui), may_miss=True)
    done = [f"{len(ours)} devices of application {where.application}"]
    gateways = api.GatewayServiceStub(connection.channel)
    for gateway_id in ids:
        found = connection.call(gateways.Get, api.GetGatewayRequest(gateway_id=gateway_id), may_miss=True)
        if found is not None and found.gateway.tenant_id == place.tenant:
            connection.call(gateways.Delete, api.DeleteGatewayRequest(gateway_id=gateway_id), may_miss=True)
            done.append(f"LoRa gateway {gateway_id}")
    made = var.made()
    for text, request, method in _objects(connection, network, place):
        if text in made and request.id:
            connection.call(method, request, may_miss=True)
            done.append(text)
    var.write_made([])
    return done


def _objects(connection: Api, network: NetworkFile, place: Place) -> list[tuple[str, Any, Any]]:
    """The words by which a run noted what it made, and how it is removed; contents first."""
    where, channel = network.chirpstack, connection.channel
    return [
        (
            f"application {where.application}",
            api.DeleteApplicationRequest(id=place.application),
            api.ApplicationServiceStub(channel).Delete,
        ),
        (
            f"device profile {where.device_profile}",
            api.DeleteDeviceProfileRequest(id=place.profile),
            api.DeviceProfileServiceStub(channel).Delete,
        ),
        (f"tenant {where.tenant}", api.DeleteTenantRequest(id=place.tenant), api.TenantServiceStub(channel).Delete),
    ]


def _from_broker(broker: Broker, prefix: str, ids: Sequence[str], seed: int) -> None:
    """The retained state of each LoRa gateway, and the session that waits for the Vigie gateway."""
    with session(broker, client_id(seed)) as client:
        for gateway_id in ids:
            client.publish(state_topic(prefix, gateway_id), b"", qos=1, retain=True).wait_for_publish(5.0)


def _held(folder: Path) -> Var:
    """The folder of a run, for this process alone; none is made."""
    if not folder.exists():
        raise Problem(f"{places.short(folder)}: no run was made there; nothing to remove")
    var = Var(folder)
    var.lock()
    return var


def main(words: list[str]) -> int:
    """0 when it is gone, 1 with one sentence when something is wrong."""
    parser = argparse.ArgumentParser(prog="make remove", description="Takes the virtual city out of ChirpStack again.")
    parser.add_argument("--var", type=Path, metavar="FOLDER", help="where the run's data lies (var/external/)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="as of the run (network.toml)")
    given = parser.parse_args(words)
    try:
        network = load(given.settings or places.ROOT / "network.toml")
        var = _held((given.var or folder_of("external")).absolute())
        for each in remove(network, var):
            print(f"  removed: {each}", flush=True)
    except Problem as problem:
        print(f"make remove: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
