"""The MQTT session: one MQTT 5 session that the broker keeps, acknowledged only after the spool's commit.

One thread reads up to BATCH messages from the socket, commits them, acknowledges them, and reads on. Nothing is read while a
batch is being committed, so memory is bounded by one batch whatever the broker sends: Receive Maximum alone would not do that,
because on a resumed session Mosquitto releases another Receive Maximum for each acknowledgement.
When the spool is full the gateway leaves the broker, without acknowledging, and comes back when there is room: the broker keeps
the session and the events. Staying, silent, would end in the broker's keep-alive.
"""

import random
import select
import ssl
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from . import settings as config
from .errors import BrokerError, SettingsError, SpoolFull
from .events import identify
from .files import read_secret
from .metrics import Metrics
from .spool import Arrival, Kept, Spool

BATCH = 1000
KEEPALIVE_S = 30
SESSION_EXPIRY_S = 0xFFFFFFFF  # MQTT 5, 3.1.2.11.2: the session never expires
_ANSWER_TIMEOUT_S = 15.0
_POLL_S = 0.5
_BACKOFF_FIRST_S = 0.5
_BACKOFF_LIMIT_S = 30.0
_SPOOL_BACKOFF_S = 2.0
_TAKEN_OVER = 142  # MQTT 5, 3.14.2.1: another client connected with this client identifier
_log = structlog.get_logger("ingest")


class Session:
    """One connection to the broker: connected when constructed, or BrokerError with the reason.

    `keep` False is for a check: its own clean session, gone when it ends, so that a running gateway keeps its own.
    """

    def __init__(self, settings: config.Mqtt, *, keep: bool = True, client_id: str | None = None) -> None:
        self.settings = settings
        self.where = f"broker: {settings.host}:{settings.port}"
        self.present = False
        self._connack: ReasonCode | None = None
        self._granted: list[ReasonCode] | None = None
        self._lost: str | None = None
        self._deadline = 0.0
        self.taken_over = False
        self._messages: list[mqtt.MQTTMessage] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if settings.username is not None:
            password = None
            if settings.password_file is not None:
                password = read_secret(settings.password_file, "[mqtt] password_file")
            self._client.username_pw_set(settings.username, password)
        if settings.tls:
            self._client.tls_set_context(_tls_context(settings))
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if keep else 0
        properties.ReceiveMaximum = BATCH
        try:
            self._client.connect(settings.host, settings.port, KEEPALIVE_S, clean_start=not keep, properties=properties)
        except (OSError, ValueError) as error:
            raise BrokerError(
                f"{self.where}: {error}; is Mosquitto running, and are [mqtt] host and port right?"
            ) from None
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        while self._connack is None:
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.where}: no CONNACK within {_ANSWER_TIMEOUT_S:.0f} s; is it an MQTT 5 broker?")
            self._turn(0.1)
        if self._connack.is_failure:
            raise BrokerError(
                f"{self.where}: refused: {self._connack}; check [mqtt] username and password_file, and the broker's ACL"
            )

    def subscribe(self, old_topic: str | None = None) -> None:
        """Asks for QoS 1, and leaves `old_topic`, which a kept session would go on delivering.

        The answer comes by `read`: behind a resumed session's backlog, which fills more than one batch.
        """
        topic = self.settings.topic
        if old_topic is not None and old_topic != topic:
            self._client.unsubscribe(old_topic)
        try:
            self._client.subscribe([(topic, SubscribeOptions(qos=1))])
        except ValueError as error:
            raise BrokerError(f"{self.where}: topic {topic!r}: {error}; mend [mqtt] topic") from None
        self._deadline = time.monotonic() + _ANSWER_TIMEOUT_S

    @property
    def subscribed(self) -> bool:
        """Whether the broker granted QoS 1. BrokerError where it granted less, or has not answered in time."""
        if self._granted is None:
            if time.monotonic() > self._deadline:
                raise BrokerError(f"{self.where}: no SUBACK within {_ANSWER_TIMEOUT_S:.0f} s; is it an MQTT 5 broker?")
            return False
        granted = self._granted[0] if self._granted else None
        if granted is None or granted.value != 1:
            raise BrokerError(
                f"{self.where}: {self.settings.topic!r} is granted as {granted}, not QoS 1; "
                "allow it in the broker's ACL and max_qos"
            )
        return True

    def read(self) -> list[mqtt.MQTTMessage]:
        """Up to BATCH messages, waiting at most half a second for the first. BrokerError when the connection is lost."""
        self._turn(_POLL_S)
        while len(self._messages) < BATCH and self._readable(0):
            self._check(self._client.loop_read())
        messages, self._messages = self._messages, []
        if messages:  # what the broker sends before its answer puts the answer off
            self._deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        return messages

    def acknowledge(self, messages: list[mqtt.MQTTMessage]) -> None:
        """Sends the PUBACK of each; BrokerError when the connection is lost (they will come again, as duplicates)."""
        for message in messages:
            if message.qos > 0:
                self._client.ack(message.mid, message.qos)
        while self._client.want_write():
            self._turn(_POLL_S)

    def leave(self) -> None:
        """Disconnects; the broker keeps a kept session."""
        self._client.disconnect()
        self._client.loop_write()

    def _turn(self, timeout_s: float) -> None:
        if self._client.want_write():
            poller = select.poll()
            poller.register(self._fileno(), select.POLLOUT | select.POLLIN)
            poller.poll(timeout_s * 1000)
            self._check(self._client.loop_write())
            timeout_s = 0.0
        if len(self._messages) < BATCH and self._readable(timeout_s):
            self._check(self._client.loop_read())
        self._check(self._client.loop_misc())

    def _fileno(self) -> int:
        sock = self._client.socket()
        if sock is None or self._lost is not None:
            raise BrokerError(f"{self.where}: connection lost: {self._lost or 'closed'}")
        return int(sock.fileno())

    def _readable(self, timeout_s: float) -> bool:
        sock = self._client.socket()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True  # decrypted already, which no poll sees
        poller = select.poll()
        poller.register(self._fileno(), select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS and self._connack is not None and self._connack.is_failure:
            return  # the refusal is the reason, and it is told by whoever waits for it
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._lost is not None:
            raise BrokerError(f"{self.where}: connection lost: {self._lost or mqtt.error_string(code)}")

    def _on_connect(
        self, _client: Any, _data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        self._connack = code
        self.present = flags.session_present

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        self._granted = codes

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._lost = str(code)
        self.taken_over = code.value == _TAKEN_OVER

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._messages.append(message)


def _tls_context(settings: config.Mqtt) -> ssl.SSLContext:
    """SettingsError names the file that is of no use."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise _useless("ca_file", settings.ca_file, error) from None
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as error:
            raise _useless("cert_file and key_file", settings.cert_file, error) from None
    return context


def _useless(name: str, path: object, error: OSError) -> SettingsError:
    return SettingsError(f"[mqtt] {name}: {path}: {error.strerror or error}; give PEM files that the gateway may read")


class Ingest:
    """Keeps the session up and the spool fed until `stop` is set; `wake` is set after each commit, for the writer."""

    def __init__(
        self, settings: config.Mqtt, spool: Spool, metrics: Metrics, stop: threading.Event, wake: threading.Event
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._metrics = metrics
        self._stop = stop
        self._wake = wake
        self.beat = time.monotonic()  # when the loop turned last
        self._failures = 0  # in a row
        self.trouble: str | None = "not yet subscribed"  # None while subscribed and the spool takes events

    def run(self) -> None:
        """Until `stop`: a lost broker and a full spool are waited for, with back-off."""
        while not self._stop.is_set():
            try:
                self._spool.probe()
                session = Session(self._settings)
                try:
                    self._join(session)
                    self._pump(session)
                finally:
                    self._metrics.connected.set(0)
                    session.leave()
            except (BrokerError, SpoolFull) as error:
                if self.trouble != str(error):
                    _log.error("not receiving", reason=str(error))
                self.trouble = str(error)
                # Asking the own spool costs nobody anything; a broker is left in peace longer.
                limit = _SPOOL_BACKOFF_S if isinstance(error, SpoolFull) else _BACKOFF_LIMIT_S
                self._pause(min(limit, _BACKOFF_FIRST_S * 2.0**self._failures))
                self._failures = min(self._failures + 1, 10)

    def _join(self, session: Session) -> None:
        known = self._spool.fact("subscribed")
        session.subscribe(old_topic=known)
        if known is not None and not session.present:
            _log.error(
                "the broker did not know the session any more: events published meanwhile are lost",
                client_id=self._settings.client_id,
                cure="Mosquitto needs persistence and no persistent_client_expiration: docs/administrator.md",
            )

    def _pump(self, session: Session) -> None:
        subscribed = False
        while not self._stop.is_set():
            self.beat = time.monotonic()
            messages = session.read()
            if messages:
                kept = self._keep(messages)
                session.acknowledge(messages)
                for one, message in zip(kept, messages, strict=True):
                    _log.debug("acknowledged", id=one.id, mid=message.mid)
            if not subscribed and session.subscribed:
                subscribed = True
                self._subscribed(session)

    def _subscribed(self, session: Session) -> None:
        self._spool.set_fact("subscribed", self._settings.topic)
        self._metrics.connected.set(1)
        self.trouble = None
        self._failures = 0
        _log.info("subscribed", topic=self._settings.topic, session="resumed" if session.present else "new")

    def _keep(self, messages: list[mqtt.MQTTMessage]) -> list[Kept]:
        arrivals, uniques = [], []
        for message in messages:
            body = bytes(message.payload)
            identity = identify(message.topic, body)
            arrivals.append(Arrival(identity.kind, identity.key, message.topic, body))
            uniques.append(identity.unique)
        kept = self._spool.add(arrivals)
        # Counted after the commit and before the acknowledgement: whoever sees the count may rely on the event.
        for arrival in arrivals:
            self._metrics.messages.labels(arrival.kind).inc()
        self._metrics.duplicates.inc(sum(not one.fresh for one in kept))
        for one, arrival, unique in zip(kept, arrivals, uniques, strict=True):
            # The number that `vigie dead list` and every later line have, beside what ChirpStack calls the event. Never its body.
            said = "committed" if one.fresh else "duplicate"
            _log.debug(said, id=one.id, kind=arrival.kind, unique=unique, topic=arrival.topic, bytes=len(arrival.body))
        self._wake.set()
        return kept

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        while not self._stop.is_set() and time.monotonic() < until:
            self.beat = time.monotonic()
            self._stop.wait(min(1.0, max(0.0, until - time.monotonic())))
