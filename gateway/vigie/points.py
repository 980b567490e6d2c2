"""Readings to line protocol; the tables of docs/schema.md, which a test holds against `SCHEMA`.

The same event always gives the same lines, and a reading the same point whichever frame brought it. `time_unsure` and
`time_estimated` are written only when true: a later frame with the same reading must not take the mark off.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .decode import Readings, Rejected
from .events import Ack, Event, Join, Log, Status, TxAck, Up
from .payload import codes
from .payload.air import COLD, Air
from .payload.air import STEP as AIR_STEP
from .payload.bin import STEP as BIN_STEP
from .payload.bin import Bin
from .payload.health import Health
from .payload.meter import Meter
from .rows import Node

Value = int | float | bool | str
_NS = 1_000_000_000
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement's buckets (by their role) and its fields with their one type, in the order of output."""

    buckets: tuple[str, ...]
    fields: dict[str, type]


_TIMED = {"time_unsure": bool, "time_estimated": bool}
SCHEMA = {
    "meter": Measurement(
        ("daily", "hourly"),
        {"count": int, "epoch": int, "least": int, "greatest": int, "hours": int, "flow_reason": int, **_TIMED},
    ),
    "bin": Measurement(("raw",), {"distance": int, "distance_reason": int, "spread": int, "valid": int, **_TIMED}),
    "air": Measurement(
        ("raw",),
        {
            "pm1": int,
            "pm1_reason": int,
            "pm25": int,
            "pm25_reason": int,
            "pm10": int,
            "pm10_reason": int,
            "temperature": float,
            "temperature_reason": int,
            "humidity": float,
            "humidity_reason": int,
            **_TIMED,
        },
    ),
    "health": Measurement(
        ("raw",),
        {
            "battery": int,
            "battery_reason": int,
            "reset_cause": int,
            "firmware": str,
            "uptime": int,
            "queue": int,
            "dropped": int,
            "exceptions": int,
            "boots": int,
            "clock_error": int,
            "adr_refused": int,
            **_TIMED,
        },
    ),
    "report": Measurement(
        ("raw",),
        {
            "f_port": int,
            "mark": int,
            "clock_unsure": bool,
            "clock_unknown": bool,
            "low_battery": bool,
            "leak": bool,
            "epoch_young": bool,
        },
    ),
    "link": Measurement(
        ("raw",),
        {
            "f_cnt": int,
            "f_port": int,
            "dr": int,
            "adr": bool,
            "confirmed": bool,
            "frequency": int,
            "size": int,
            "gateways": int,
            "gateway": str,
            "rssi": int,
            "snr": float,
            "backhaul_ms": int,
        },
    ),
    "join": Measurement(("raw",), {"dev_addr": str}),
    "ack": Measurement(("raw",), {"f_cnt_down": int, "acknowledged": bool, "queue_item": str}),
    "txack": Measurement(("raw",), {"f_cnt_down": int, "gateway": str, "queue_item": str}),
    "log": Measurement(("raw",), {"level": str, "code": str, "description": str}),
    "status": Measurement(("raw",), {"margin": int, "external_power": bool, "battery": float, "battery_unknown": bool}),
    "node": Measurement(("raw",), {"site": str, "district": str, "kind": str, "litres_per_pulse": float}),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One line of line protocol, the role of the bucket that it belongs into ("daily", "hourly" or "raw"), and what the line says.

    `time_ns` is UTC since 1970.
    """

    bucket: str
    measurement: str
    line: str
    dev_eui: str
    fields: dict[str, Value]
    time_ns: int


def points(decoded: Readings | Rejected) -> list[Point]:
    """All points of an event; of a rejected uplink the link point, which holds whatever its payload is."""
    if decoded.event is None:
        return []
    made = list(_event_points(decoded.event))
    if isinstance(decoded, Readings) and decoded.record is not None and isinstance(decoded.event, Up):
        made.append(_report(decoded.event, decoded.record))
        made.extend(_RECORDS[type(decoded.record)](decoded.event, decoded.record))
    return made


def node_point(node: Node, time_ns: int) -> Point:
    """What InfluxDB may know of a device from the register (contract 10)."""
    fields: dict[str, Value] = {"site": node.site, "district": node.district, "kind": node.kind}
    if node.ml_per_pulse is not None:
        fields["litres_per_pulse"] = node.ml_per_pulse / 1000
    return _point("raw", "node", node.dev_eui, fields, time_ns)


def line(measurement: str, dev_eui: str, fields: dict[str, Value], time_ns: int) -> str:
    """Line protocol with one tag. Raises TypeError for a field that the schema does not know with that very type."""
    known = SCHEMA[measurement].fields
    parts = []
    for name, value in fields.items():
        if type(value) is not known.get(name):
            raise TypeError(f"{measurement}.{name} is {value!r}, the schema says {known.get(name)}")
        parts.append(f"{name}={_literal(value)}")
    return f"{measurement},dev_eui={dev_eui} {','.join(parts)} {time_ns}"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _point(bucket: str, measurement: str, dev_eui: str, fields: dict[str, Value], time_ns: int) -> Point:
    return Point(bucket, measurement, line(measurement, dev_eui, fields, time_ns), dev_eui, fields, time_ns)


def _event_points(event: Event) -> Iterator[Point]:
    name: str
    fields: dict[str, Value]
    match event:
        case Up():
            yield _link(event)
            return
        case Join():
            name, fields = "join", {"dev_addr": event.dev_addr}
        case Ack():
            name = "ack"
            fields = {
                "f_cnt_down": event.f_cnt_down,
                "acknowledged": event.acknowledged,
                "queue_item": event.queue_item_id,
            }
        case TxAck():
            name = "txack"
            fields = {"f_cnt_down": event.f_cnt_down, "gateway": event.gateway_id, "queue_item": event.queue_item_id}
        case Log():
            name, fields = "log", {"level": event.level, "code": event.code, "description": event.description}
        case Status():
            name, fields = "status", {"margin": event.margin, "external_power": event.external_power}
            if event.battery is not None:
                fields["battery"] = event.battery
            else:
                fields["battery_unknown"] = not event.external_power
    yield _point("raw", name, event.dev_eui, fields, event.time)


def _link(event: Up) -> Point:
    fields: dict[str, Value] = {
        "f_cnt": event.f_cnt,
        "f_port": event.f_port,
        "dr": event.dr,
        "adr": event.adr,
        "confirmed": event.confirmed,
        "size": len(event.data),
        "gateways": len(event.receptions),
    }
    if event.frequency:
        fields["frequency"] = event.frequency
    if event.receptions:
        best = max(event.receptions, key=lambda one: (one.snr, one.rssi, one.gateway_id))
        fields |= {"gateway": best.gateway_id, "rssi": best.rssi, "snr": best.snr}
        arrivals = [one.ns_time for one in event.receptions if one.ns_time is not None]
        if arrivals:
            fields["backhaul_ms"] = (min(arrivals) - event.time) // 1_000_000
    return _point("raw", "link", event.dev_eui, fields, event.time)


def _report(event: Up, record: Any) -> Point:
    flags = record.flags
    fields: dict[str, Value] = {
        "f_port": event.f_port,
        "clock_unsure": bool(flags & codes.TIME_UNSURE),
        "clock_unknown": bool(flags & codes.TIME_UNKNOWN),
        "low_battery": bool(flags & codes.LOW_BATTERY),
    }
    if record.mark:
        fields["mark"] = record.mark
    if isinstance(record, Meter):
        fields |= {"leak": bool(flags & codes.LEAK), "epoch_young": bool(flags & codes.EPOCH_YOUNG)}
    return _point("raw", "report", event.dev_eui, fields, event.time)


def _time(event: Up, record: Any) -> tuple[int, dict[str, Value]]:
    """The newest reading's time in ns and its marks: the node's own, or the network's where the node does not know it."""
    if record.flags & codes.TIME_UNKNOWN:
        return event.time, {"time_estimated": True}
    return record.mark * _NS, _unsure(record)


def _unsure(record: Any) -> dict[str, Value]:
    return {"time_unsure": True} if record.flags & (codes.TIME_UNSURE | codes.TIME_UNKNOWN) else {}


def _field(name: str, raw: int, value: Callable[[int], Value] = int) -> dict[str, Value]:
    code = codes.reason(raw)
    return {f"{name}_reason": code} if code else {name: value(raw)}


def _meter(event: Up, record: Any) -> Iterator[Point]:
    if record.now is not None:
        time, marks = _time(event, record)
        yield _point("hourly", "meter", event.dev_eui, {"count": record.now, "epoch": record.epoch, **marks}, time)
    for back, day in enumerate(record.days):
        fields: dict[str, Value] = {"count": day.count, "epoch": record.epoch, "hours": day.hours}
        if day.hours:
            fields |= {"least": day.least, "greatest": day.greatest}
        else:
            fields["flow_reason"] = codes.NOT_MEASURED
        if day.unsure:
            fields["time_unsure"] = True
        yield _point("daily", "meter", event.dev_eui, fields, (record.day - back) * _DAY_S * _NS)


def _bin(event: Up, record: Any) -> Iterator[Point]:
    newest, marks = _time(event, record)
    for back, echo in enumerate(record.echoes):
        fields = _field("distance", echo.distance)
        if "distance" in fields:
            fields["spread"] = echo.spread
        fields["valid"] = echo.valid
        yield _point("raw", "bin", event.dev_eui, fields | marks, newest - back * BIN_STEP * _NS)


def _air(event: Up, record: Any) -> Iterator[Point]:
    newest, marks = _time(event, record)
    for back, sample in enumerate(record.samples):
        fields = {
            **_field("pm1", sample.pm1),
            **_field("pm25", sample.pm25),
            **_field("pm10", sample.pm10),
            **_field("temperature", sample.temperature, lambda raw: (raw - COLD) / 100),
            **_field("humidity", sample.humidity, lambda raw: raw / 100),
        }
        yield _point("raw", "air", event.dev_eui, fields | marks, newest - back * AIR_STEP * _NS)


def _health(event: Up, record: Any) -> Iterator[Point]:
    time, marks = _time(event, record)
    fields = {
        **_field("battery", record.battery),
        "reset_cause": record.cause,
        "firmware": f"{record.major}.{record.minor}.{record.patch}",
        "uptime": record.uptime,
        "queue": record.queue,
        "dropped": record.dropped,
        "exceptions": record.exceptions,
        "boots": record.boots,
        "clock_error": record.unsure,
        "adr_refused": record.adr_refused,
    }
    yield _point("raw", "health", event.dev_eui, fields | marks, time)


_RECORDS: dict[type, Callable[[Up, Any], Iterator[Point]]] = {Meter: _meter, Bin: _bin, Air: _air, Health: _health}
