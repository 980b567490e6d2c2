"""The story of faults.jsonl, done to a devnet: six devices, two gateways, and what went wrong.

The recording has events and notes but no frames: the frames here are built so that they carry what the events say. Nor does it have
the codec's script: this one has its error where the recorded stack says that it stood.
"""

from __future__ import annotations

import base64
from collections import defaultdict, deque
from typing import Any

from chirpstack_api.api import device_pb2, device_profile_pb2

from ..devnet import frame
from ..devnet.access import Caller
from ..devnet.api_devices import DeviceCalls
from ..devnet.devnet import Devnet
from ..devnet.events import Event, timestamp
from ..devnet.exchange import Downlink, Reception, Uplink, seeded_entropy
from . import recorded
from .device import Device
from .recorded import GATEWAYS, WINDOW_NS, ns

METER, OTHER, WITH_CODEC, QUEUE, FAR, QUICK = (
    "e1831ea5e2c5b663", "417bdf35d3d2998a", "1f5f55085bd8e24e", "0bf86435bd65988f", "911c2c72245cb4fa", "c88b4e912260478d"
)  # fmt: skip
NAMES = {
    METER: "compteur-e183", OTHER: "compteur-417b", WITH_CODEC: "capteur-1f5f", QUEUE: "file-0bf8", FAR: "loin-911c",
    QUICK: "rapide-c88b",
}  # fmt: skip
_CODEC = """function decodeUplink(input) { if(input.fPort==99)throw new Error("no such port");
  return input.fPort === 98 ? {errors: ["refused by codec"]} : {data: {nested: {x: 1.5, y: null}, words: ["a", "b"], flag: true, first: input.bytes[0], n: input.bytes.length}}; }
function encodeDownlink(input) { return {bytes: [input.data.value], fPort: 20}; }"""  # noqa: E501  the recorded stack says that it has three lines
_MS = 1_000_000


def _key(dev_eui: str) -> str:
    return dev_eui * 2


class Faults:
    """Runs the story; `events` is what devnet published."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._told: dict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        for line in recorded.lines("faults.jsonl"):
            if "topic" in line:
                body = line["json"]
                self._told[body["deviceInfo"]["devEui"], recorded.kind_of(line["topic"])].append(body)
        addrs: dict[str, deque[int]] = {
            dev_eui: deque(int(body["devAddr"], 16) for body in self._told[dev_eui, "join"]) for dev_eui in NAMES
        }
        chance = seeded_entropy("faults")

        def entropy(purpose: str, data: bytes) -> bytes:
            return (
                addrs[data[:8].hex()].popleft().to_bytes(4, "little")
                if purpose == "dev_addr"
                else chance(purpose, data)
            )

        self.devnet = Devnet(":memory:", "faults", self, entropy=entropy)
        self._calls, self._admin = DeviceCalls(self.devnet), Caller(is_admin=True, tenant_id="", is_read_only=False)
        self._devices = {dev_eui: Device(dev_eui, _key(dev_eui)) for dev_eui in NAMES}
        self._next: dict[str, int] = dict.fromkeys(NAMES, 0)
        self._provision()

    def publish(self, event: Event) -> None:
        """The story is its devnet's publisher."""
        self.events.append(event)

    def run(self) -> list[Event]:
        """All of it."""
        self._copies_and_counters()
        self._nonces_and_keys()
        self._codec()
        self._queue()
        self._refusals()
        self._adr()
        self._twenty()
        return self.events

    def _provision(self) -> None:
        tenant, application, profile = recorded.provision(self.devnet, METER, _key(METER), name=NAMES[METER])
        with_codec = self.devnet.registry.get("device_profile", profile).message
        with_codec.name, with_codec.tenant_id = "avec-codec", tenant
        with_codec.payload_codec_runtime, with_codec.payload_codec_script = device_profile_pb2.JS, _CODEC
        codec_profile = self.devnet.registry.create("device_profile", with_codec)
        for dev_eui in list(NAMES)[1:]:
            chosen = codec_profile if dev_eui == WITH_CODEC else profile
            recorded.add_device(self.devnet, application, chosen, dev_eui, _key(dev_eui), NAMES[dev_eui])
        self.devnet.changed()

    # -- what happened

    def _copies_and_counters(self) -> None:
        self._join(METER, 1)
        self._up(METER)
        self._up(METER)  # heard by two gateways
        first = self._up(METER)
        log = self._take(METER, "log")
        self._air(
            first._replace(receptions=(Reception(GATEWAYS[0], -60, 7.5, 1, b"", ns(log["time"])),)),
            ns(log["time"]) + _MS,
        )
        self._up(METER, data=b"\x02")  # LinkCheckReq on port 0, over two gateways
        wrong = bytearray(self._devices[METER].phy(4))
        wrong[-1] ^= 1
        self._send(bytes(wrong), ns(log["time"]) + 6_000 * _MS)
        log = self._take(METER, "log")
        self._send(self._devices[METER].phy(0), ns(log["time"]))
        self._up(METER)  # 20,000 further

    def _nonces_and_keys(self) -> None:
        used = self._take(METER, "log")
        self._send(self._devices[METER].join_request(1), ns(used["time"]) - WINDOW_NS, now_ns=ns(used["time"]))
        self._join(OTHER, 1000)
        self._up(OTHER)
        self._join(OTHER, 5)
        self._calls.flush_dev_nonces(device_pb2.FlushDevNoncesRequest(dev_eui=METER), self._admin)
        self._join(METER, 1)
        wrong = self._take(METER, "log")
        request = self._devices[METER].join_request(2, bytes(16))
        self._send(request, ns(wrong["time"]) - WINDOW_NS, now_ns=ns(wrong["time"]))

    def _codec(self) -> None:
        self._join(WITH_CODEC, 1)
        self._up(WITH_CODEC)
        for _ in ("throws", "returns errors"):
            self._up(WITH_CODEC, now_ns=ns(self._take(WITH_CODEC, "log")["time"]))
        self._enqueue(WITH_CODEC, object={"value": 42}, f_port=1)
        self._up(WITH_CODEC)

    def _queue(self) -> None:
        self._join(QUEUE, 1)
        self._up(QUEUE)
        for n in range(3):
            self._enqueue(QUEUE, data=bytes([n]))
        for _ in range(3):
            self._up(QUEUE)
        self._enqueue(QUEUE, data=b"\xaa", confirmed=True)
        self._up(QUEUE)
        self._up(QUEUE, now_ns=ns(self._take(QUEUE, "ack")["time"]))  # no acknowledgement
        self._up(QUEUE)
        expired = ns(self._take(QUEUE, "log")["time"])
        self._enqueue(QUEUE, data=b"\1", expires_at=timestamp(expired - 3_600_000 * _MS))
        self._up(QUEUE, now_ns=expired)
        self._enqueue(QUEUE, data=b"\1")
        self._up(QUEUE, sent=1)  # RX1 is refused
        self._enqueue(QUEUE, data=b"\1")
        self._up(QUEUE, sent=None)

    def _refusals(self) -> None:
        device = self.devnet.registry.get("device", QUEUE).message
        at = self.devnet.core.session(QUEUE).f_cnt_up
        for disabled in (True, False):
            device.is_disabled = disabled
            self.devnet.registry.update("device", device)
            self.devnet.changed()
            if disabled:
                self._send(self._devices[QUEUE].phy(at), ns(self._told[FAR, "join"][0]["time"]) - 5_000 * _MS)
        stranger = Device(QUEUE, _key(QUEUE))
        stranger.session = (0x01FFFFFF, bytes(16), bytes(16))
        self._send(stranger.phy(0), ns(self._told[FAR, "join"][0]["time"]) - 3_000 * _MS)

    def _adr(self) -> None:
        self._join(FAR, 1)
        self._up(FAR)
        self._up(FAR, f_opts=b"\x03\x05\x06\xff\x0a")  # the data rate refused; battery unknown, margin 10 dB
        while self._told[FAR, "up"]:
            first = len(self._told[FAR, "up"]) == 22
            self._up(FAR, f_opts=b"\x03\x05" if first else b"")

    def _twenty(self) -> None:
        self._join(QUICK, 1)
        self._up(QUICK)
        while self._told[QUICK, "up"]:
            self._enqueue(QUICK, data=b"\1")
            self._up(QUICK)

    # -- how

    def _take(self, dev_eui: str, kind: str) -> dict[str, Any]:
        """The next recorded event of a kind."""
        return self._told[dev_eui, kind].popleft()

    def _join(self, dev_eui: str, dev_nonce: int) -> None:
        at = ns(self._take(dev_eui, "join")["time"])
        device = self._devices[dev_eui]
        downlinks = self._send(device.join_request(dev_nonce), at)
        device.accept(downlinks[0].items[0].phy, dev_nonce)
        self._transmitted(downlinks[0], 0, at + 400 * _MS)

    def _up(
        self,
        dev_eui: str,
        *,
        data: bytes | None = None,
        f_opts: bytes = b"",
        now_ns: int | None = None,
        sent: int | None = 0,
    ) -> Uplink:
        """The next recorded uplink; its downlink is sent as item `sent`, or (None) refused. `now_ns`: when the server handles it."""
        told = self._take(dev_eui, "up")
        lora = told["txInfo"]["modulation"]["lora"]
        phy = self._devices[dev_eui].phy(
            told["fCnt"],
            base64.b64decode(told["data"]) if data is None else data,
            told["fPort"],
            f_opts=f_opts,
            f_ctrl=frame.ADR if told["adr"] else 0,
            confirmed=told["confirmed"],
        )
        modulation = (told["txInfo"]["frequency"], lora["bandwidth"], lora["spreadingFactor"])
        uplink = Uplink(phy, *modulation, recorded.receptions(told), ns(told["time"]))
        downlinks = self._air(uplink, now_ns=now_ns)
        if downlinks:
            self._answer(dev_eui, downlinks[0], sent, uplink.time_ns)
        return uplink

    def _answer(self, dev_eui: str, downlink: Downlink, sent: int | None, at: int) -> None:
        told = self._told[dev_eui, "log" if sent is None else "txack"]
        recorded_too = sent is None or self._has_port(downlink, sent)
        when = ns(told.popleft()["time"]) if recorded_too else at + 340 * _MS
        self._transmitted(downlink, sent, when)

    def _has_port(self, downlink: Downlink, sent: int) -> bool:
        """Whether the frame carries a queue item: only then a `txack` was recorded."""
        phy = downlink.items[sent].phy
        end = 8 + (phy[5] & 0x0F)
        return end < len(phy) - 4 and phy[end] != 0

    def _transmitted(self, downlink: Downlink, sent: int | None, when: int) -> None:
        self.devnet.transmitted(downlink.downlink_id, sent, "OK" if sent is not None else "TOO_LATE", when)

    def _send(self, phy: bytes, at: int, *, now_ns: int | None = None) -> list[Downlink]:
        """A frame that no `up` event tells of, heard by the first gateway."""
        copy = Reception(GATEWAYS[0], -60, 7.5, 1, bytes(4), at)
        return self._air(Uplink(phy, 868_100_000, 125_000, 7, (copy,), at), now_ns=now_ns)

    def _air(self, uplink: Uplink, at: int | None = None, *, now_ns: int | None = None) -> list[Downlink]:
        """Each gateway's copy at the server's time for it, then the end of the window, or `now_ns` after it."""
        due = None
        for copy in uplink.receptions:
            came = at or copy.server_ns or uplink.time_ns
            opened = self.devnet.reception(uplink._replace(receptions=(copy,)), came)
            due = due or opened
        if due is None:
            raise AssertionError("the copies opened no window")
        return self.devnet.due(max(now_ns or due, due)).downlinks

    def _enqueue(self, dev_eui: str, *, f_port: int = 20, object: dict[str, Any] | None = None, **item: Any) -> None:  # noqa: A002  the API's name
        made = device_pb2.DeviceQueueItem(dev_eui=dev_eui, f_port=f_port, **item)
        if object is not None:
            made.object.update(object)
        self._calls.enqueue(device_pb2.EnqueueDeviceQueueItemRequest(queue_item=made), self._admin)
