"""A ChirpStack v4 integration event, JSON or Protobuf, as one typed Event.

Both encodings go one way: Protobuf becomes the proto3 JSON mapping first (field names, enums as words, Durations, times with
nanoseconds), so that the same event gives the same points whichever encoding the network server is set to.
What proto3 leaves out is zero: a first uplink of ChirpStack 4.0 has no `fCnt`, no `dr` and no `confirmed`.
The kind is told by content first and by the topic's last word second: some routers publish without `/event/`, and log events
were seen on the `up` topic. Protobuf tells nothing by itself: there the topic decides.
"""

import binascii
import hashlib
import math
from calendar import timegm
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from chirpstack_api.integration import integration_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

KINDS = ("up", "join", "ack", "txack", "log", "status")
_MESSAGES: dict[str, type[Message]] = {
    "up": integration_pb2.UplinkEvent,
    "join": integration_pb2.JoinEvent,
    "ack": integration_pb2.AckEvent,
    "txack": integration_pb2.TxAckEvent,
    "log": integration_pb2.LogEvent,
    "status": integration_pb2.StatusEvent,
}
# Keys that only one kind has, in the order in which they are asked for: a txack has what an ack has, and more.
_MARKS = (
    ("log", ("level", "code", "description")),
    ("txack", ("downlinkId", "gatewayId")),
    ("ack", ("acknowledged", "queueItemId")),
    ("status", ("margin", "batteryLevel", "externalPowerSource", "batteryLevelUnavailable")),
    ("up", ("rxInfo", "txInfo", "data", "fPort", "fCnt")),
)


class BadEvent(ValueError):
    """The event cannot be read; the text is the reason a person reads in the list of dead letters."""


@dataclass(frozen=True, slots=True)
class Reception:
    """One LoRa gateway that heard the frame. RSSI in dBm, SNR in dB; `ns_time` when the network server got it, ns UTC."""

    gateway_id: str
    rssi: int
    snr: float
    ns_time: int | None


@dataclass(frozen=True, slots=True)
class Up:
    """An uplink: `time` is the network's receive time in ns UTC; frequency in Hz (0: not told); `data` is decrypted."""

    dev_eui: str
    time: int
    f_cnt: int
    f_port: int
    dr: int
    adr: bool
    confirmed: bool
    frequency: int
    data: bytes
    receptions: tuple[Reception, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """A device joined (published at its first uplink)."""

    dev_eui: str
    time: int
    dev_addr: str


@dataclass(frozen=True, slots=True)
class Ack:
    """A confirmed downlink was acknowledged by the device, or was not."""

    dev_eui: str
    time: int
    f_cnt_down: int
    acknowledged: bool
    queue_item_id: str


@dataclass(frozen=True, slots=True)
class TxAck:
    """A LoRa gateway sent a downlink."""

    dev_eui: str
    time: int
    f_cnt_down: int
    gateway_id: str
    queue_item_id: str


@dataclass(frozen=True, slots=True)
class Log:
    """ChirpStack's remark about a device: level and code are its words."""

    dev_eui: str
    time: int
    level: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Status:
    """The device's DevStatusAns: margin in dB; `battery` in per cent, None on mains and where the device does not know."""

    dev_eui: str
    time: int
    margin: int
    external_power: bool
    battery: float | None


Event = Up | Join | Ack | TxAck | Log | Status


@dataclass(frozen=True, slots=True)
class Identity:
    """What the spool needs of an event: its kind ("unknown" where it has none) and the key of a duplicate, 16 bytes.

    `unique` is ChirpStack's deduplicationId, "" where it gave none.
    """

    kind: str
    key: bytes
    unique: str = ""


def identify(topic: str, body: bytes) -> Identity:
    """Never fails. The key covers (devEui, kind, deduplicationId); without a deduplicationId (txack, log), the whole body."""
    try:
        kind, fields = _fields(topic, body, full=False)
        unique = fields.get("deduplicationId")
        if kind in KINDS and isinstance(unique, str) and unique:
            device = fields.get("deviceInfo")
            dev_eui = device.get("devEui") if isinstance(device, dict) else ""
            return Identity(kind, _digest(f"{dev_eui}/{kind}/{unique}".encode()), unique)
        return Identity(kind if kind in KINDS else "unknown", _digest(topic.encode() + b"\0" + body))
    except BadEvent:
        return Identity("unknown", _digest(topic.encode() + b"\0" + body))


def parse(topic: str, body: bytes) -> Event:
    """The typed event. Raises BadEvent with a reason for a person."""
    kind, fields = _fields(topic, body, full=True)
    if "applicationID" in fields or "devEUI" in fields:
        raise BadEvent(
            "this is a ChirpStack v3 event (devEUI, applicationID); Vigie reads ChirpStack v4: upgrade the network server"
        )
    if kind not in KINDS:
        raise BadEvent(f"unknown type {_shown(kind)}: this version stores {', '.join(KINDS)}")
    device = _table(fields, "deviceInfo")
    dev_eui = _text(device, "devEui").lower()
    if len(dev_eui) != 16 or not all(digit in "0123456789abcdef" for digit in dev_eui):
        raise BadEvent(f"deviceInfo.devEui is {_shown(dev_eui)}, not 16 hex digits")
    time = _time(fields, "time")
    if time is None:
        raise BadEvent("the event has no time")
    return _BUILDERS[kind](dev_eui, time, fields)


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 UTC of an RFC 3339 time with up to nine decimals (`datetime` keeps six). Raises ValueError."""
    seconds, rest = text[:19], text[19:]
    nanoseconds = 0
    if rest.startswith("."):
        end = 1
        while end < len(rest) and rest[end].isdigit():
            end += 1
        nanoseconds = int(rest[1:end].ljust(9, "0")[:9])
        rest = rest[end:]
    stamp = datetime.fromisoformat(seconds)
    if rest not in ("Z", "z", "+00:00"):
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            raise ValueError(f"{text!r} has no time zone")
        shift = timedelta(hours=int(rest[1:3]), minutes=int(rest[4:6]))
        stamp = stamp - shift if rest[0] == "+" else stamp + shift
    return timegm(stamp.timetuple()) * 1_000_000_000 + nanoseconds


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _fields(topic: str, body: bytes, *, full: bool) -> tuple[str, dict[str, Any]]:
    """Kind and fields by their JSON names; without `full`, of Protobuf only what `identify` needs (the mapping is slow)."""
    word = topic.rpartition("/")[2]
    if body.lstrip()[:1] == b"{":
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadEvent(f"not JSON: {error}") from None
        return _kind(fields, word), fields
    message_type = _MESSAGES.get(word)
    if message_type is None:
        raise BadEvent(f"unknown type {_shown(word)}, and not JSON: this version stores {', '.join(KINDS)}")
    try:
        message: Any = message_type.FromString(body)
    except DecodeError:
        raise BadEvent(f"neither JSON nor the Protobuf message of a ChirpStack {word} event") from None
    if full:
        return word, MessageToDict(message)
    return word, {
        "deduplicationId": getattr(message, "deduplication_id", ""),
        "deviceInfo": {"devEui": message.device_info.dev_eui},
    }


def _kind(fields: dict[str, Any], word: str) -> str:
    for kind, marks in _MARKS:
        if any(mark in fields for mark in marks):
            return kind
    return "join" if "devAddr" in fields else word


def _shown(value: object) -> str:
    """A value in a reason that a person reads in a list: not all of it where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _table(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadEvent(f"{name} is not an object")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise BadEvent(f"{name} is {_shown(value)}, not text")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise BadEvent(f"{name} is {_shown(value)}, neither true nor false")
    return value


def _real(fields: dict[str, Any], name: str) -> float:
    value = fields.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadEvent(f"{name} is {_shown(value)}, not a finite number")
    return float(value)


def _whole(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name, 0)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadEvent(f"{name} is {_shown(value)}, not a whole number")
    return value


def _time(fields: dict[str, Any], name: str) -> int | None:
    text = _text(fields, name)
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise BadEvent(f"{name} is {_shown(text)}, not an RFC 3339 time") from None


def _up(dev_eui: str, time: int, fields: dict[str, Any]) -> Up:
    text = _text(fields, "data")
    try:
        data = binascii.a2b_base64(text.encode(), strict_mode=True) if text else b""
    except ValueError:
        raise BadEvent("data is not base64") from None
    heard = fields.get("rxInfo", [])
    if not isinstance(heard, list) or not all(isinstance(one, dict) for one in heard):
        raise BadEvent("rxInfo is not a list of objects")
    return Up(
        dev_eui,
        time,
        _whole(fields, "fCnt"),
        _whole(fields, "fPort"),
        _whole(fields, "dr"),
        _flag(fields, "adr"),
        _flag(fields, "confirmed"),
        _whole(_table(fields, "txInfo"), "frequency"),
        data,
        tuple(
            Reception(_text(one, "gatewayId"), _whole(one, "rssi"), _real(one, "snr"), _time(one, "nsTime"))
            for one in heard
        ),
    )


def _join(dev_eui: str, time: int, fields: dict[str, Any]) -> Join:
    return Join(dev_eui, time, _text(fields, "devAddr"))


def _ack(dev_eui: str, time: int, fields: dict[str, Any]) -> Ack:
    return Ack(dev_eui, time, _whole(fields, "fCntDown"), _flag(fields, "acknowledged"), _text(fields, "queueItemId"))


def _txack(dev_eui: str, time: int, fields: dict[str, Any]) -> TxAck:
    return TxAck(dev_eui, time, _whole(fields, "fCntDown"), _text(fields, "gatewayId"), _text(fields, "queueItemId"))


def _log(dev_eui: str, time: int, fields: dict[str, Any]) -> Log:
    # proto3 leaves the zero of an enum out: INFO and UNKNOWN are what integration.proto numbers 0
    level, code = _text(fields, "level") or "INFO", _text(fields, "code") or "UNKNOWN"
    return Log(dev_eui, time, level, code, _text(fields, "description"))


def _status(dev_eui: str, time: int, fields: dict[str, Any]) -> Status:
    external = _flag(fields, "externalPowerSource")
    # On mains ChirpStack sends batteryLevel 0.0, which is no empty battery; 255 of DevStatusAns is "unavailable".
    unknown = external or _flag(fields, "batteryLevelUnavailable")
    return Status(dev_eui, time, _whole(fields, "margin"), external, None if unknown else _real(fields, "batteryLevel"))


_BUILDERS: dict[str, Callable[[str, int, dict[str, Any]], Event]] = {
    "up": _up,
    "join": _join,
    "ack": _ack,
    "txack": _txack,
    "log": _log,
    "status": _status,
}
