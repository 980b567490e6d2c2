"""Events to an MQTT broker at QoS 1, with account of what the broker has acknowledged.

Nothing is lost while the broker is away: unacknowledged events wait in memory, in their order, and go again when it is back (a
broker that had one already then delivers it twice, as QoS 1 allows). A killed devnet loses those not yet acknowledged, as
ChirpStack does; a world that stops until `wait_acknowledged` returns has none.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from .events import Event

_IN_FLIGHT = (
    200  # handed to the MQTT client and not acknowledged; the rest waits here, so that no packet id is used twice
)


class PublishError(Exception):
    """The broker did not take the events; the text says which broker, how many and why."""


class Publisher:
    """Connects in the background and keeps trying; `publish` never waits."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str = "devnet",
        username: str | None = None,
        password: str | None = None,
        json: bool = True,
    ) -> None:
        """`json`: as in ChirpStack's `[integration.mqtt]`; False: the `integration` messages in Protobuf."""
        self._json = json
        self._where = f"{host}:{port}"
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()  # its lock is never held while the MQTT client is called
        self._published = self._handed = self._acknowledged = 0
        self._trouble = "not connected yet"
        self._closing = False
        # Between CONNACK and its own repetitions the MQTT client would let a new event overtake those that it has still to send.
        self._open = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        self._client.reconnect_delay_set(1, 2)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_publish = self._on_publish
        self._client.connect_async(host, port, keepalive=10, clean_start=False)
        self._client.loop_start()
        self._feeder = threading.Thread(target=self._feed, name="devnet-publisher", daemon=True)
        self._feeder.start()

    @property
    def published(self) -> int:
        """Events given to `publish` so far."""
        return self._published

    @property
    def acknowledged(self) -> int:
        """Events that the broker has acknowledged (PUBACK) so far."""
        return self._acknowledged

    def publish(self, event: Event) -> None:
        """Puts an event behind those before it."""
        with self._changed:
            self._waiting.append(event)
            self._published += 1
            self._changed.notify_all()

    def wait_acknowledged(self, timeout_s: float) -> None:
        """Returns when the broker has acknowledged all that was published; PublishError after `timeout_s` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._acknowledged >= self._published, timeout_s):
                missing = self._published - self._acknowledged
                raise PublishError(
                    f"devnet: the MQTT broker at {self._where} has not acknowledged {missing} of {self._published} events "
                    f"within {timeout_s:g} s ({self._trouble}); check that it runs and lets devnet publish to application/#"
                )

    def close(self) -> None:
        """Leaves the broker; what is not acknowledged is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._feeder.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _feed(self) -> None:
        """The one thread that hands events to the MQTT client, so that they keep their order."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._closing
                        or (self._open and self._waiting and self._handed - self._acknowledged < _IN_FLIGHT)
                    )
                )
                if self._closing:
                    return
                event = self._waiting.popleft()
                self._handed += 1
            sent = self._client.publish(event.topic, event.json if self._json else event.protobuf, qos=1)
            if sent.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
                with self._changed:
                    self._handed -= 1
                    self._trouble = f"the MQTT client refused an event: {mqtt.error_string(sent.rc)}"

    def _on_publish(self, _client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._open = True
            if reason.is_failure:
                self._handed -= 1
                self._trouble = f"the broker refused an event: {reason}"
            else:
                self._acknowledged += 1
            self._changed.notify_all()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._open = not reason.is_failure and self._handed == self._acknowledged
            self._trouble = f"the broker refused the connection: {reason}" if reason.is_failure else "connected"
            self._changed.notify_all()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._open = False
            self._trouble = f"connection lost: {reason}"

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        with self._changed:
            self._trouble = "no connection"
