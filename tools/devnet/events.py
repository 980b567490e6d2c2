"""Integration events: `chirpstack_api.integration` messages, and the JSON that ChirpStack makes of them.

ChirpStack writes top-level (`integration`) fields always, zero or not, and leaves out zeros in the gateway's (`gw`) messages;
absent messages are left out everywhere; times carry 0, 3, 6 or 9 decimals and `+00:00`; floats are single precision.
Held against recorded events in tests/vectors/chirpstack.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from chirpstack_api.gw import gw_pb2 as gw
from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

KINDS: dict[type, str] = {
    integration.JoinEvent: "join",
    integration.UplinkEvent: "up",
    integration.AckEvent: "ack",
    integration.TxAckEvent: "txack",
    integration.StatusEvent: "status",
    integration.LogEvent: "log",
    integration.LocationEvent: "location",
}


@dataclass(slots=True)
class Event:
    """One event. `topic`: application/{id}/device/{dev_eui}/event/{kind}; `body`: its `integration` message."""

    topic: str
    body: Message
    _json: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def json(self) -> bytes:
        """ChirpStack's JSON of the body, made once."""
        if self._json is None:
            self._json = marshal(self.body)
        return self._json

    @property
    def protobuf(self) -> bytes:
        """The body as ChirpStack publishes it with `json=false`."""
        return self.body.SerializeToString(deterministic=True)


def event(application_id: str, dev_eui: str, body: Message) -> Event:
    """The event of a body, under ChirpStack's default topic."""
    return Event(f"application/{application_id}/device/{dev_eui}/event/{KINDS[type(body)]}", body)


def timestamp(time_ns: int) -> Timestamp:
    """A protobuf Timestamp of ns UTC since 1970."""
    return Timestamp(seconds=time_ns // 1_000_000_000, nanos=time_ns % 1_000_000_000)


def log(
    info: integration.DeviceInfo, time_ns: int, level: int, code: int, text: str, context: Mapping[str, str]
) -> integration.LogEvent:
    """A log event; `level` and `code` are values of LogLevel and LogCode."""
    return integration.LogEvent(
        time=timestamp(time_ns),
        device_info=info,
        level=cast("integration.LogLevel", level),
        code=cast("integration.LogCode", code),
        description=text,
        context=context,
    )


def lora_modulation(spreading_factor: int, bandwidth_hz: int, *, inverted: bool = False) -> gw.Modulation:
    """LoRa at coding rate 4/5, as LoRaWAN uses it."""
    info = gw.LoraModulationInfo(
        bandwidth=bandwidth_hz,
        spreading_factor=spreading_factor,
        code_rate=gw.CodeRate.CR_4_5,
        polarization_inversion=inverted,
    )
    return gw.Modulation(lora=info)


def marshal(body: Message) -> bytes:
    """The JSON text of an event as ChirpStack publishes it with `json=true`: its fields, their order, UTF-8, no spaces."""
    return json.dumps(_message(body), separators=(",", ":"), ensure_ascii=False).encode()


@cache
def _fields(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, str, bool], ...]:
    """(field, JSON name, written even when zero) in the order of the .proto file."""
    always = descriptor.file.package == "integration"
    return tuple((f, f.json_name, always and f.containing_oneof is None) for f in descriptor.fields)


def _message(message: Message) -> Any:
    if isinstance(message, Timestamp):
        return _time(message.seconds, message.nanos)
    if isinstance(message, Duration):
        return (
            f"{message.seconds}s" if not message.nanos else f"{message.seconds}.{message.nanos:09d}".rstrip("0") + "s"
        )
    if isinstance(message, struct_pb2.Struct):
        return {key: struct_value(value) for key, value in message.fields.items()}
    out: dict[str, Any] = {}
    for descriptor, name, always in _fields(message.DESCRIPTOR):
        value = getattr(message, descriptor.name)
        if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
            if always or value:
                out[name] = {key: value[key] for key in sorted(value)}
        elif descriptor.is_repeated:
            if always or value:
                out[name] = [_value(descriptor, item) for item in value]
        elif descriptor.message_type is not None:
            if message.HasField(descriptor.name):
                out[name] = _message(value)
        elif always or value or (descriptor.containing_oneof is not None and message.HasField(descriptor.name)):
            out[name] = _value(descriptor, value)
    return out


def _value(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.message_type is not None:
        return _message(value)
    if descriptor.enum_type is not None:
        return descriptor.enum_type.values_by_number[value].name
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if descriptor.type == FieldDescriptor.TYPE_FLOAT:
        return _shortest(value)
    return value


def struct_value(value: struct_pb2.Value) -> Any:
    """The value as JSON has it: numbers are floats, a value of no kind is null."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _message(value.struct_value)
    if kind == "list_value":
        return [struct_value(v) for v in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _shortest(value: float) -> float:
    """The double whose shortest text is the shortest text of a single-precision float (4.2, not 4.199999809)."""
    for digits in range(1, 9):
        candidate = float(f"{value:.{digits}g}")
        if struct.pack("<f", candidate) == struct.pack("<f", value):
            return candidate
    return value


def _time(seconds: int, nanos: int) -> str:
    """RFC 3339 as chrono writes it: as many groups of three decimals as the value needs."""
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if nanos % 1_000:
        return f"{text}.{nanos:09d}+00:00"
    if nanos % 1_000_000:
        return f"{text}.{nanos // 1_000:06d}+00:00"
    return f"{text}.{nanos // 1_000_000:03d}+00:00" if nanos else f"{text}+00:00"


def tags(*layers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Tags of application, profile and device; the later layer wins."""
    merged: dict[str, str] = {}
    for layer in layers:
        merged.update(layer)
    return merged
