"""The gateway protocol on the server's side: LoRa gateways reach devnet over MQTT as they reach ChirpStack 4.

Protobuf messages of `gw` on `<prefix>/gateway/<id>/event/{up,stats,ack}` and `<prefix>/gateway/<id>/command/down`, as in ChirpStack's
gateway/backend/mqtt.rs; JSON gateways, mesh, configuration and exec are not served. One thread does all the radio side's work.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from chirpstack_api.gw import gw_pb2 as gw
from google.protobuf.message import DecodeError
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from .devnet import Devnet
from .exchange import Answer, Downlink, received

SCHEDULING_NS = 150_000_000
"""From the end of the de-duplication window to the command; both together as recorded from a real ChirpStack (330 to 370 ms)."""
_IDLE_S = 1.0


def command(downlink: Downlink) -> gw.DownlinkFrame:
    """A downlink as a gateway gets it: each way to send it timed from the uplink that `context` stands for."""
    frame = gw.DownlinkFrame(downlink_id=downlink.downlink_id, gateway_id=downlink.gateway_id)
    for item in downlink.items:
        made = frame.items.add(phy_payload=item.phy)
        info = made.tx_info
        info.frequency, info.power, info.context = item.freq_hz, item.power_dbm, downlink.context
        info.modulation.lora.CopyFrom(
            gw.LoraModulationInfo(
                bandwidth=item.bandwidth_hz,
                spreading_factor=item.spreading_factor,
                code_rate=gw.CR_4_5,
                polarization_inversion=item.iq_inverted,
            )
        )
        info.timing.delay.delay.FromNanoseconds(item.delay_ns)
    return frame


def verdict(ack: gw.DownlinkTxAck) -> tuple[int | None, str]:
    """(the item that is sent, "OK"), or (None, the last item's refusal), as ChirpStack reads a TxAck."""
    status = "IGNORED"
    for index, item in enumerate(ack.items):
        status = gw.TxAckStatus.Name(item.status)
        if status == "OK":
            return index, status
    return None, status


class Backend:
    """Between a broker and a devnet. Connects in the background and keeps trying."""

    def __init__(
        self,
        devnet: Devnet,
        host: str,
        port: int,
        *,
        topic_prefix: str = "eu868",
        username: str | None = None,
        password: str | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        say: Callable[[str], None] = print,
    ) -> None:
        """`say` gets a line for each message that is none of the protocol's, and when the broker goes and comes."""
        self._devnet = devnet
        self._where = f"{host}:{port}"
        self._prefix = topic_prefix
        self._now = now_ns
        self._say = say
        self._came: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._waiting: list[tuple[int, int, gw.DownlinkFrame]] = []  # (when, number, frame)
        self._number = 0
        self._trouble = ""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="devnet-gateways", protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 2)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_message = self._on_message
        self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._work, name="devnet-gateways", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once a defect has ended the radio side's thread; it has printed its traceback."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Leaves the broker."""
        self._client.disconnect()
        self._client.loop_stop()
        self._came.put(None)
        self._thread.join()

    # The radio side's thread

    def _work(self) -> None:
        while True:
            try:
                message = self._came.get(timeout=self._patience())
            except Empty:
                pass
            else:
                if message is None:
                    return
                self._take(*message)
            self._answer(self._devnet.due(self._now()))
            while self._waiting and self._waiting[0][0] <= self._now():
                frame = heapq.heappop(self._waiting)[2]
                topic = f"{self._prefix}/gateway/{frame.gateway_id}/command/down"
                self._client.publish(topic, frame.SerializeToString())

    def _patience(self) -> float:
        moments = [when for when, _number, _frame in self._waiting[:1]]
        if (due := self._devnet.core.next_due) is not None:
            moments.append(due)
        return max(0.0, min([_IDLE_S, *((when - self._now()) / 1e9 for when in moments)]))

    def _take(self, topic: str, payload: bytes) -> None:
        now = self._now()
        try:
            match topic.rsplit("/", 1)[1]:
                case "up":
                    uplink = received(gw.UplinkFrame.FromString(payload), now)
                    if uplink is not None:
                        self._devnet.reception(uplink, now)
                case "stats":
                    self._devnet.stats(gw.GatewayStats.FromString(payload), now)
                case "ack":
                    ack = gw.DownlinkTxAck.FromString(payload)
                    self._devnet.transmitted(ack.downlink_id, *verdict(ack), now)
        except DecodeError as error:
            self._say(f"devnet: {topic}: no message of the gateway protocol in Protobuf: {error}; it is ignored")

    def _answer(self, answer: Answer) -> None:
        for downlink in answer.downlinks:
            self._number += 1
            heapq.heappush(self._waiting, (self._now() + SCHEDULING_NS, self._number, command(downlink)))

    # The MQTT client's thread

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._came.put((message.topic, bytes(message.payload)))

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(f"the broker at {self._where} refuses the gateways' side: {reason}")
            return
        client.subscribe(f"{self._prefix}/gateway/+/event/+")

    def _on_subscribe(self, _client: Any, _data: Any, _id: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._tell(f"the broker at {self._where} does not grant {self._prefix}/gateway/+/event/+: {reasons[0]}")
            return
        self._tell(f"takes LoRa gateways from {self._prefix}/gateway/+ of the broker at {self._where}")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(f"the broker at {self._where} is lost: {reason}; tried again each second")

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._tell(f"the broker at {self._where} does not answer; tried again each second")

    def _tell(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._say(f"devnet: {text}")
