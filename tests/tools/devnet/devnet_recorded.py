"""The traffic recorded from ChirpStack 4.20, as inputs for devnet."""

import base64
import json
from datetime import datetime
from pathlib import Path

from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2, gateway_pb2, tenant_pb2
from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf import json_format

VECTORS = Path(__file__).parents[2] / "vectors" / "chirpstack"
# The recordings' LoRa gateways, registered as every gateway of a ChirpStack is; none has a place.
GATEWAYS = ("588727ab182bc19f", "27345c44dee7ad94", "7cd281062c91a4d2", "f3828a427d4de821")
KINDS = {
    "join": integration.JoinEvent,
    "up": integration.UplinkEvent,
    "ack": integration.AckEvent,
    "txack": integration.TxAckEvent,
    "status": integration.StatusEvent,
    "log": integration.LogEvent,
}


def transcript(number):
    return json.loads((VECTORS / f"transcript-{number}.json").read_text())


def lines(name):
    return [json.loads(line) for line in (VECTORS / name).read_text().splitlines()]


def kind_of(topic):
    return topic.rsplit("/", 1)[1]


def event_dicts(number):
    """The events of transcript 1 (published as JSON) or 2 (published as Protobuf), as [(kind, dict in ChirpStack's JSON)]."""
    if number == 1:
        return [(kind_of(e["topic"]), e["json"]) for e in lines("events-json.jsonl")]
    from tools.devnet.events import marshal

    out = []
    for e in lines("events-protobuf.jsonl"):
        kind = kind_of(e["topic"])
        message = KINDS[kind].FromString(base64.b64decode(e["protobuf"]))
        out.append((kind, json.loads(marshal(message))))
    return out


def parsed(kind, text):
    return json_format.Parse(text, KINDS[kind]())


def ns(text):
    """ns UTC of an RFC 3339 time with up to nine decimals."""
    head, _, rest = text.removesuffix("+00:00").partition(".")
    seconds = int(datetime.fromisoformat(head + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int(rest.ljust(9, "0") or 0)


def provision(devnet, dev_eui, app_key, *, name="compteur-0042", adr="default", tags=None, flush=False, tenant=None):
    """A tenant, application, profile, device and its key, as in the recordings; returns (tenant id, application id, profile id)."""
    registry = devnet.registry
    if not tenant:
        tenant = registry.create("tenant", tenant_pb2.Tenant(name="Ville", can_have_gateways=True))
        for gateway_id in GATEWAYS:
            gateway = gateway_pb2.Gateway(
                gateway_id=gateway_id, name=gateway_id, tenant_id=tenant, downlink_priority=10
            )
            registry.create("gateway", gateway)
    application = registry.create("application", application_pb2.Application(tenant_id=tenant, name="capteurs"))
    profile = registry.create(
        "device_profile",
        device_profile_pb2.DeviceProfile(
            tenant_id=tenant,
            name="class-a-eu868",
            adr_algorithm_id=adr,
            supports_otaa=True,
            device_status_req_interval=1,
            flush_queue_on_activate=flush,
        ),
    )
    device = device_pb2.Device(
        dev_eui=dev_eui, name=name, application_id=application, device_profile_id=profile, tags=tags or {}
    )
    registry.create("device", device)
    registry.create_keys(
        device_pb2.DeviceKeys(dev_eui=dev_eui, nwk_key=app_key, app_key="00" * 16, gen_app_key="00" * 16)
    )
    devnet.changed()
    return tenant, application, profile
