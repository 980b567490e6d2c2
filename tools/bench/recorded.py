"""The traffic recorded from ChirpStack 4.20 (tests/vectors/chirpstack), as inputs that bring a devnet through the same story.

What the recording leaves to the server's clock, devnet is given as `now`, and the DevAddr as drawn: both are compared like all
other fields.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2, gateway_pb2, tenant_pb2

from ..devnet.devnet import Devnet
from ..devnet.events import Event
from ..devnet.exchange import Answer, Reception, Uplink, seeded_entropy
from ..setup import places

VECTORS = places.ROOT / "tests" / "vectors" / "chirpstack"
# The recordings' LoRa gateways, registered as every gateway of a ChirpStack is; none has a place.
GATEWAYS = ("588727ab182bc19f", "27345c44dee7ad94", "7cd281062c91a4d2", "f3828a427d4de821")
WINDOW_NS = 200_000_000
SCHEDULING_NS = 335_000_000


def transcript(number: int) -> dict[str, Any]:
    """Transcript 1 or 2."""
    return dict(json.loads((VECTORS / f"transcript-{number}.json").read_text()))


def lines(name: str) -> list[dict[str, Any]]:
    """The lines of a recording."""
    return [json.loads(line) for line in (VECTORS / name).read_text().splitlines()]


def kind_of(topic: str) -> str:
    """The last word of an event's topic."""
    return topic.rsplit("/", 1)[1]


def ns(text: str) -> int:
    """The instant, ns UTC, of an RFC 3339 time with up to nine decimals."""
    head, _, rest = text.removesuffix("+00:00").partition(".")
    seconds = int(datetime.fromisoformat(head + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int(rest.ljust(9, "0") or 0)


def receptions(body: dict[str, Any]) -> tuple[Reception, ...]:
    """An `up` event's receptions, as devnet's inputs."""
    return tuple(
        Reception(
            rx["gatewayId"],
            rx.get("rssi", 0),
            rx.get("snr", 0.0),
            rx["uplinkId"],
            base64.b64decode(rx["context"]),
            ns(rx["gwTime"]),
            ns(rx["nsTime"]),
        )
        for rx in body["rxInfo"]
    )


def provision(
    devnet: Devnet,
    dev_eui: str,
    app_key: str,
    *,
    name: str = "compteur-0042",
    adr: str = "default",
    tags: dict[str, str] | None = None,
    flush: bool = False,
    tenant: str = "",
) -> tuple[str, str, str]:
    """A tenant with the gateways, application, profile, device and its key, as in the recordings; (tenant id, application id, profile id)."""
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
    add_device(devnet, application, profile, dev_eui, app_key, name, tags)
    devnet.changed()
    return tenant, application, profile


def add_device(
    devnet: Devnet,
    application: str,
    profile: str,
    dev_eui: str,
    app_key: str,
    name: str,
    tags: dict[str, str] | None = None,
) -> None:
    """One device and its key."""
    device = device_pb2.Device(
        dev_eui=dev_eui, name=name, application_id=application, device_profile_id=profile, tags=tags or {}
    )
    devnet.registry.create("device", device)
    zero = "00" * 16
    devnet.registry.create_keys(device_pb2.DeviceKeys(dev_eui=dev_eui, nwk_key=app_key, app_key=zero, gen_app_key=zero))


class Step(NamedTuple):
    """One uplink of a transcript and what followed: the downlink's items, the join-accept's content, the downlink's plain content.

    `events`: (kind, body) with this frame's deduplication id; `txack_ns`: when the gateway's TxAck came, None without a queue item.
    """

    uplink: Uplink
    items: list[dict[str, Any]] | None
    accept: dict[str, Any] | None
    plain: dict[str, Any] | None
    events: list[tuple[str, dict[str, Any]]]
    now_ns: int
    txack_ns: int | None


def steps(number: int, events: list[tuple[str, dict[str, Any]]]) -> list[Step]:
    """The transcript's uplinks with what followed each, joined with the events, [(kind, body)], by their order."""
    told = transcript(number)
    frames = told["frames"]
    answers = [e for e in events if e[0] in ("join", "up") or e[1].get("code", "").startswith("UPLINK")]
    txacks = iter([ns(body["time"]) for kind, body in events if kind == "txack"])
    refused = iter([ns(body["time"]) for _, body in events if body.get("code") == "DOWNLINK_PAYLOAD_SIZE"])
    ups = [i for i, f in enumerate(frames) if f.get("dir") == "up"]
    out = []
    for n, at in enumerate(ups):
        up = frames[at]
        after = frames[at + 1 : ups[n + 1] if n + 1 < len(ups) else None]
        items = next((f["items"] for f in after if f.get("dir") == "down"), None)
        accept = next((f for f in after if f.get("note") == "join-accept body"), None)
        plain = next((f for f in after if f.get("note") == "plain"), None)
        main = answers[n][1]
        mine = [e for e in events if _deduplication_id(e[1]) == _deduplication_id(main)]
        time_ns = ns(main["time"])
        copy = Reception(told["gateway_id"], up.get("rssi", -60), up.get("snr", 7.5), 1, bytes(4))
        heard = receptions(main) if "rxInfo" in main else (copy,)
        modulation = (up.get("freq", 868_100_000), 125_000, up.get("sf", 7))
        uplink = Uplink(bytes.fromhex(up["phy"]), *modulation, heard, time_ns)
        too_long = _is_too_long(n, uplink)
        now_ns = next(refused) if too_long else time_ns + WINDOW_NS
        txack_ns = next(txacks) if plain and plain.get("port") else None
        out.append(Step(uplink, items, accept, plain, mine, now_ns, txack_ns))
    return out


def _is_too_long(n: int, uplink: Uplink) -> bool:
    """The one uplink at SF12 before which the recording's application had queued 230 bytes."""
    return uplink.spreading_factor == 12 and n == 12


def _deduplication_id(body: dict[str, Any]) -> str | None:
    found = body.get("deduplicationId") or body.get("context", {}).get("deduplication_id")
    return str(found) if found else None


class Replayed(NamedTuple):
    """A devnet after one step: what it answered and, if the gateway sent the downlink, what that led to."""

    devnet: Devnet
    step: Step
    answer: Answer
    after: list[Event]


def replay(
    number: int, events: list[tuple[str, dict[str, Any]]], *, until: int | None = None, seed: str = "seed"
) -> Iterator[Replayed]:
    """A devnet goes through the transcript, step by step, up to step `until`."""
    told = transcript(number)
    story = steps(number, events)
    addrs = {
        step.uplink.phy[17:19]: int(body["devAddr"], 16)
        for step in story
        for kind, body in step.events
        if kind == "join"
    }
    chance = seeded_entropy(seed)

    def entropy(purpose: str, data: bytes) -> bytes:
        return addrs[data[8:10]].to_bytes(4, "little") if purpose == "dev_addr" else chance(purpose, data)

    devnet = Devnet(":memory:", seed, entropy=entropy)
    provision(devnet, told["dev_eui"], told["app_key"], tags={"kind": "meter", "district": "centre"})
    for n, step in enumerate(story[:until]):
        queue(devnet, told["dev_eui"], n, step)
        answer = devnet.uplink(step.uplink, step.now_ns)
        after = []
        if answer.downlinks:
            when = step.txack_ns or step.uplink.time_ns + SCHEDULING_NS
            after = devnet.transmitted(answer.downlinks[0].downlink_id, 0, "OK", when)
        yield Replayed(devnet, step, answer, after)


def queue(devnet: Devnet, dev_eui: str, n: int, step: Step) -> None:
    """What the recording's application queued before uplink `n`."""
    items = []
    if step.plain and step.plain.get("port"):
        confirmed = step.items is not None and step.items[0]["phy"].startswith("a0")
        items.append((bytes.fromhex(step.plain["data"]), confirmed, step.plain["port"]))
        if step.plain["fctrl"] & 0x10:  # another one waits
            items.append((bytes(10), False, step.plain["port"]))
    if _is_too_long(n, step.uplink):
        items.append((bytes(230), False, 22))
    waiting = len(devnet.registry.queue(dev_eui))
    for data, confirmed, port in items[waiting:]:
        item = device_pb2.DeviceQueueItem(dev_eui=dev_eui, f_port=port, data=data, confirmed=confirmed)
        devnet.registry.enqueue(item)
    devnet.changed()
