"""The gateway protocol on the gateways' side: the world's LoRa gateways reach a network server over MQTT, as real ones reach ChirpStack 4.

Each gateway has a connection of its own, as with ChirpStack's MQTT Forwarder: `<prefix>/gateway/<id>/event/{up,stats,ack}` go out,
`command/down` comes in, all of them Protobuf messages of `gw` at QoS 0; `state/conn` is retained, OFFLINE is the last will.
World time must be paced: the network server answers by the wall clock. A downlink is timed in world time from its uplink's context.
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chirpstack_api.gw import gw_pb2 as gw
from google.protobuf.message import DecodeError, Message
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from .clock import Clock
from .frame import Frame
from .gateway import LoRaGateway, Reception
from .gateway_protocol import LEAD_NS, counted, uplink_frame, wanted

STATS_NS = 30_000_000_000
KEEPALIVE_S = 30
REFUSES = "it refuses"
"""Begins the trouble that waiting does not end."""


@dataclass(frozen=True)
class Broker:
    """How the broker is reached. `ca_file`: of the broker's certificate, instead of the system's; `cert_file`, `key_file`: the client's own."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def where(self) -> str:
        """For a person."""
        return f"{self.host}:{self.port}"

    def client(self, client_id: str) -> mqtt.Client:
        """An MQTT 5 client with the account and the certificates, not yet connected. OSError (ssl.SSLError) where a file is of no use."""
        made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        if self.username is not None:
            made.username_pw_set(self.username, self.password)
        if self.tls:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
            made.tls_set_context(context)
        return made


def topic_of(prefix: str, gateway_id: str) -> str:
    """A gateway's topics begin with this."""
    return f"{prefix}/gateway/{gateway_id}".lstrip("/")


@dataclass
class Tally:
    """What one LoRa gateway, or all of them, did since the start."""

    uplinks: int = 0
    lost: int = 0
    """Uplinks that were heard while the broker was away."""
    windows: Counter[int] = field(default_factory=Counter)
    """Downlinks sent, by the item's place in the command: 0 is RX1, 1 is RX2."""
    refused: Counter[str] = field(default_factory=Counter)
    """Items that were not sent, by TxAckStatus."""
    unsent: int = 0
    """Commands none of whose items was sent."""
    answers_ns: list[int] = field(default_factory=list)
    """Least and most from an uplink's end to its command, in world time."""

    def answered(self, after_ns: int) -> None:
        """A command came so long after its uplink."""
        self.answers_ns = [min([after_ns, *self.answers_ns]), max([after_ns, *self.answers_ns])]

    def add(self, other: Tally) -> None:
        """Adds another's, which may be at work."""
        self.uplinks += other.uplinks
        self.lost += other.lost
        self.windows.update(dict(other.windows))
        self.refused.update(dict(other.refused))
        self.unsent += other.unsent
        for each in other.answers_ns:
            self.answered(each)


class Forwarder:
    """One LoRa gateway on the air and its connection to the broker. `trouble`: "" while it is connected and subscribed."""

    def __init__(
        self,
        gateway: LoRaGateway,
        gateway_id: str,
        clock: Clock,
        broker: Broker,
        prefix: str,
        changed: Callable[[], None],
        say: Callable[[str], None],
        refuse_rx1: int,
    ) -> None:
        self.gateway_id = gateway_id
        self.tally = Tally()
        self.trouble = "it has not answered yet"
        self._gateway = gateway
        self._clock = clock
        self._topic = topic_of(prefix, gateway_id)
        self._changed = changed
        self._say = say
        self._refuse_rx1 = refuse_rx1
        self._commands = 0
        self._stats = gw.GatewayStats()
        self._client = broker.client(gateway_id)
        self._client.reconnect_delay_set(1, 2)
        self._client.will_set(f"{self._topic}/state/conn", self._state(gw.ConnState.OFFLINE), retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()
        gateway.on_reception = self._heard
        clock.after(1_000_000_000, self._tell_stats)

    def close(self) -> None:
        """Says that it is offline, waits a moment for that to leave, and leaves the broker."""
        self._gateway.on_reception = None
        if not self.trouble:
            with suppress(RuntimeError, ValueError):  # the broker has just gone: its last will says it
                self._publish("state/conn", self._state(gw.ConnState.OFFLINE), retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    # The world's thread

    def _heard(self, frame: Frame, reception: Reception) -> None:
        channel = self._gateway.channels.index((frame.channel_hz, frame.what.bandwidth_hz))
        message = uplink_frame(self.gateway_id, channel, frame, reception)
        self._stats.rx_packets_received += 1
        self._stats.rx_packets_received_ok += 1
        self._stats.rx_packets_per_frequency[frame.channel_hz] += 1
        _count(self._stats.rx_packets_per_modulation, message.tx_info.modulation)
        if self._event("up", message):
            self.tally.uplinks += 1
        else:
            self.tally.lost += 1

    def _tell_stats(self) -> None:
        stats, self._stats = self._stats, gw.GatewayStats()
        stats.gateway_id = self.gateway_id
        stats.time.FromNanoseconds(self._clock.now)
        self._event("stats", stats)
        self._clock.after(STATS_NS, self._tell_stats)

    def _down(self, payload: bytes) -> None:
        try:
            command = gw.DownlinkFrame.FromString(payload)
        except DecodeError as error:
            self._say(f"gateway {self.gateway_id}: a command is no gw.DownlinkFrame: {error}; it is ignored")
            return
        if command.gateway_id != self.gateway_id:
            self._say(f"gateway {self.gateway_id}: a command is for gateway {command.gateway_id}; it is ignored")
            return
        self._commands += 1
        self._stats.tx_packets_received += 1
        ack = gw.DownlinkTxAck(gateway_id=self.gateway_id, downlink_id=command.downlink_id)
        for _ in command.items:
            ack.items.add(status=gw.IGNORED)
        for index, item in enumerate(command.items):
            spared = self._refuse_rx1 > 0 and self._commands % self._refuse_rx1 == 0
            refuse = spared and index == 0 and len(command.items) > 1
            status = "COLLISION_PACKET" if refuse else self._schedule(item)
            ack.items[index].status = gw.TxAckStatus.Value(status)
            self._stats.tx_packets_per_status[status] += 1
            if status == "OK":
                self._stats.tx_packets_emitted += 1
                self._stats.tx_packets_per_frequency[item.tx_info.frequency] += 1
                _count(self._stats.tx_packets_per_modulation, item.tx_info.modulation)
                self.tally.windows[index] += 1
                break
            self.tally.refused[status] += 1
        else:
            self.tally.unsent += 1
        self._event("ack", ack)

    def _schedule(self, item: gw.DownlinkFrameItem) -> str:
        now = self._clock.now
        try:
            way = wanted(item, now)
            if item.tx_info.timing.WhichOneof("parameters") == "delay":
                self.tally.answered(now - counted(item.tx_info.context, now))
        except ValueError as error:
            self._say(f"gateway {self.gateway_id}: {error}; the downlink is refused")
            return "INTERNAL_ERROR"
        if way is None:
            return "TX_FREQ"
        if way.delay_ns < LEAD_NS:
            return "TOO_LATE"
        return self._gateway.schedule([way], now).status

    def _event(self, kind: str, message: Message) -> bool:
        return self._publish(f"event/{kind}", message.SerializeToString()).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _publish(self, topic: str, payload: bytes, *, retain: bool = False) -> mqtt.MQTTMessageInfo:
        return self._client.publish(f"{self._topic}/{topic}", payload, qos=0, retain=retain)

    # The MQTT client's thread

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._clock.call(partial(self._down, bytes(message.payload)))

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._is(f"{REFUSES} the LoRa gateways: {reason}")
            return
        client.subscribe(f"{self._topic}/command/down", qos=0)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._is(f"{REFUSES} the subscription to {self._topic}/command/down: {reasons[0]}")
            return
        self._publish("state/conn", self._state(gw.ConnState.ONLINE), retain=True)
        self._is("")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._is(f"it is lost: {reason}")

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._is("it does not answer")

    def _is(self, trouble: str) -> None:
        self.trouble = trouble
        self._changed()

    def _state(self, state: gw.ConnState.State) -> bytes:
        return bytes(gw.ConnState(gateway_id=self.gateway_id, state=state).SerializeToString())


def _count(counts: Any, modulation: gw.Modulation) -> None:
    for each in counts:
        if each.modulation == modulation:
            each.count += 1
            return
    counts.add(modulation=modulation, count=1)


class Forwarders:
    """All LoRa gateways of a world. The connections are made in the background and tried again each second or two."""

    def __init__(
        self,
        gateways: Mapping[str, LoRaGateway],
        clock: Clock,
        broker: Broker,
        prefix: str,
        say: Callable[[str], None],
        *,
        refuse_rx1: int = 0,
    ) -> None:
        """`gateways` by the ids that the network server knows them by. `say` gets a line when the broker goes and comes.

        `refuse_rx1`: of so many downlinks the last is refused in RX1, so that RX2 is seen to work; 0: none.
        """
        self._where = broker.where
        self._say = say
        self._lock = threading.Lock()
        self._tells = self._away = False
        self._all: list[Forwarder] = []
        for gateway_id, gateway in gateways.items():
            made = Forwarder(gateway, gateway_id, clock, broker, prefix, self._changed, say, refuse_rx1)
            self._all.append(made)

    @property
    def trouble(self) -> str:
        """Why not all are connected, "" when they are."""
        return next((each.trouble for each in self._all if each.trouble), "")

    def tally(self) -> Tally:
        """The sum of all."""
        total = Tally()
        for each in self._all:
            total.add(each.tally)
        return total

    def started(self) -> None:
        """From here on a lost broker is told."""
        self._tells = True

    def close(self) -> None:
        """Leaves the broker."""
        for each in self._all:
            each.close()

    def _changed(self) -> None:
        with self._lock:
            trouble = self.trouble
            if not self._tells or bool(trouble) == self._away:
                return  # an outage changes its words: lost, then no answer
            self._away = bool(trouble)
        if trouble:
            cure = "the LoRa gateways try again each second, uplinks meanwhile are lost"
            self._say(f"broker at {self._where}: {trouble}; {cure}")
        else:
            self._say(f"broker at {self._where}: back; {self.tally().lost} uplinks are lost so far")
