"""The only reader of InfluxDB: the readings of a node or of all, as rows in the order of the schema."""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.query_api import QueryApi
from influxdb_client.rest import ApiException

from .errors import InfluxError, UsageError
from .files import read_secret
from .points import SCHEMA
from .rows import Count
from .settings import Settings

_SINCE = re.compile(r"[0-9]{1,6}(s|m|h|d|w|mo|y)")
_DEV_EUI = re.compile(r"[0-9a-f]{16}")
_TIMEOUT_MS = 60_000
_NS = 1_000_000_000

Row = dict[str, Any]  # "time": datetime UTC, "dev_eui", then the measurement's fields; None where a point has none


@dataclass(frozen=True, slots=True)
class Query:
    """What to read: a measurement, one node's DevEUI or None for all, and how far back (checked)."""

    measurement: str
    dev_eui: str | None
    since: str


def make_query(measurement: str, dev_eui: str | None, *, every: bool, since: str) -> Query:
    """Checks what a person typed; UsageError says what is wrong with it."""
    if (dev_eui is None) != every:
        raise UsageError(f"query {measurement}: give a node's DevEUI, or --all, not both")
    if dev_eui is not None:
        dev_eui = dev_eui.lower()
        if not _DEV_EUI.fullmatch(dev_eui):
            raise UsageError(f"query {measurement}: {dev_eui!r} is not a DevEUI: 16 hex digits, as on the node's label")
    if not _SINCE.fullmatch(since):
        since = moment(measurement, "--since", since).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Query(measurement, dev_eui, since)


def moment(measurement: str, name: str, text: str) -> datetime:
    """A time that has passed, UTC where it says no zone; UsageError with the `name` of what was given."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"query {measurement}: {name} {text!r}: give a span such as 12h, 2d or 3w, or a UTC time such as 2026-11-24T00:00:00Z"
        ) from None
    given = given.replace(tzinfo=UTC) if given.tzinfo is None else given
    if given > datetime.now(UTC):
        raise UsageError(f"query {measurement}: {name} {text!r} lies in the future; give a time that has passed")
    return given.astimezone(UTC)


def columns(measurement: str) -> list[str]:
    """The columns of a measurement's rows."""
    return ["time", "dev_eui", *SCHEMA[measurement].fields]


def read(settings: Settings, query: Query) -> list[Row]:
    """The rows, oldest first; InfluxError where InfluxDB does not answer."""
    roles = SCHEMA[query.measurement].buckets
    rows = [row for role in roles for row in _rows(settings, _flux(getattr(settings.buckets, role), query))]
    return sorted(rows, key=lambda row: (row["time"], row["dev_eui"]))


NODE_COLUMNS = {
    "dev_eui": ("link", "dev_eui"),
    "kind": ("report", "f_port"),
    "last_seen": ("link", "time"),
    "f_cnt": ("link", "f_cnt"),
    "dr": ("link", "dr"),
    "rssi": ("link", "rssi"),
    "snr": ("link", "snr"),
    "battery": ("health", "battery"),
    "firmware": ("health", "firmware"),
    "clock_error": ("health", "clock_error"),
    "boots": ("health", "boots"),
    "exceptions": ("health", "exceptions"),
    "leak": ("report", "leak"),
    "low_battery": ("report", "low_battery"),
}
"""The columns of `read_nodes`: the measurement and the field whose newest value they show."""
_KINDS = {10: "meter", 20: "bin", 30: "air"}


def read_nodes(settings: Settings, query: Query) -> list[Row]:
    """What is known of each node that was seen, by DevEUI: its last frame, its last health report, its last readings' flags."""
    found: dict[str, Row] = {}
    for measurement in ("link", "health", "report"):
        wanted = [(column, name) for column, (place, name) in NODE_COLUMNS.items() if place == measurement]
        for row in read(settings, Query(measurement, query.dev_eui, query.since)):
            if measurement == "report" and row.get("f_port") not in _KINDS:
                continue
            node = found.setdefault(row["dev_eui"], {})
            node.update((column, row[name]) for column, name in wanted if row.get(name) is not None)
    for node in found.values():
        node["kind"] = _KINDS.get(node.get("kind", 0))
    return [found[dev_eui] for dev_eui in sorted(found)]


class Last(NamedTuple):
    """The newest point of a node in a measurement, or one of its last midnights; `fields` as in the schema, `time_ns` UTC."""

    bucket: str
    measurement: str
    dev_eui: str
    fields: dict[str, Any]
    time_ns: int


_LAST = {
    "link": ("f_cnt", "f_port", "dr", "gateways", "rssi", "snr"),
    "health": ("battery", "battery_reason", "firmware", "clock_error", "boots", "exceptions", "reset_cause"),
    "report": ("low_battery", "leak", "clock_unknown"),
    "status": ("battery", "external_power"),
    "bin": ("distance", "distance_reason"),
    "air": ("pm25", "pm25_reason", "pm10", "pm10_reason"),
}
"""Of each measurement what `read_last` reads of its newest point."""


def read_last(settings: Settings, midnights: int) -> Iterator[Last]:
    """Of every node the newest value of each field that the page shows, and a meter's midnights of the last `midnights` days.

    Two queries in all. Fields of one time come in one `Last`.
    """
    wanted = " or ".join(
        f'(r._measurement == "{name}" and ({" or ".join(_field_is(field) for field in fields)}))'
        for name, fields in _LAST.items()
    )
    raw = (
        f"from(bucket: {_text(settings.buckets.raw)}) |> range(start: 0, stop: 2d) |> filter(fn: (r) => {wanted})"
        ' |> last() |> keep(columns: ["_time", "_measurement", "dev_eui", "_field", "_value"])'
    )
    # Each field of the newest point that has it; one that a newer point lacks has its own, older time.
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for record in _records(settings, raw):
        key = (record["_measurement"], record["dev_eui"], _ns(record["_time"]))
        found.setdefault(key, {})[record["_field"]] = record["_value"]
    for (measurement, dev_eui, time_ns), fields in found.items():
        yield Last("raw", measurement, dev_eui, fields, time_ns)
    daily = (
        f"from(bucket: {_text(settings.buckets.daily)}) |> range(start: -{midnights}d, stop: 2d)"
        ' |> filter(fn: (r) => r._measurement == "meter" and (r._field == "count" or r._field == "epoch" or r._field == "time_unsure"))'
        ' |> keep(columns: ["_time", "dev_eui", "_field", "_value"])'
    )
    days: dict[tuple[str, int], dict[str, Any]] = {}
    for record in _records(settings, daily):
        days.setdefault((record["dev_eui"], _ns(record["_time"])), {})[record["_field"]] = record["_value"]
    for (dev_eui, time_ns), fields in days.items():
        yield Last("daily", "meter", dev_eui, fields, time_ns)


def read_span(settings: Settings, measurement: str, dev_eui: str, span: tuple[int, int], *, role: str) -> list[Row]:
    """A node's rows from one bucket, oldest first; `span` is (from, until), s UTC since 1970, `until` excluded."""
    return sorted(
        _rows(settings, _span(settings, measurement, dev_eui, span, role) + _PIVOT), key=lambda row: row["time"]
    )


def read_newest(settings: Settings, measurement: str, dev_eui: str, span: tuple[int, int], number: int) -> list[Row]:
    """The newest `number` rows of a node in the raw bucket within `span` (as `read_span`), newest first."""
    flux = f"{_span(settings, measurement, dev_eui, span, 'raw')} |> tail(n: {number}){_PIVOT}"
    return sorted(_rows(settings, flux), key=lambda row: row["time"], reverse=True)[:number]


def read_counts(settings: Settings, span: tuple[int, int], dev_euis: Collection[str] | None) -> Iterator[Count]:
    """The counts of meters within (from, until), ns UTC, `until` excluded; of all devices where `dev_euis` is None.

    Midnight counts and counts of the moment, a device's in no order. InfluxDB's CSV is read as it comes: records of the client
    take many times as long, and a city has a hundred thousand counts a week.
    """
    if dev_euis is not None and not dev_euis:
        return
    # one alternative a device: a list with contains() would be looked through for every point
    devices = "" if dev_euis is None else f" |> filter(fn: (r) => r.dev_eui =~ /^({'|'.join(dev_euis)})$/)"
    for role in SCHEMA["meter"].buckets:
        flux = (
            f"from(bucket: {_text(getattr(settings.buckets, role))})"
            f" |> range(start: time(v: {span[0]}), stop: time(v: {span[1]}))"
            f' |> filter(fn: (r) => r._measurement == "meter" and ({" or ".join(map(_field_is, _COUNTED))})){devices}'
            ' |> keep(columns: ["_time", "dev_eui", "_field", "_value"])'
        )
        yield from _counts(settings, flux)


class Value(NamedTuple):
    """One field of one point, as InfluxDB writes it; `time_ns` UTC."""

    field: str
    dev_eui: str
    time_ns: int
    text: str


def read_values(settings: Settings, query: Query, start: str, stop: str, role: str) -> Iterator[Value]:
    """Every field of every point of one bucket from `start` until `stop` (Flux), field by field, as it comes.

    A point's missing field is not there; an empty text is one that was stored. What is read is not kept, however long the span.
    """
    node = "" if query.dev_eui is None else f" and r.dev_eui == {_text(query.dev_eui)}"
    flux = (
        f"from(bucket: {_text(getattr(settings.buckets, role))}) |> range(start: {start}, stop: {stop})"
        f" |> filter(fn: (r) => r._measurement == {_text(query.measurement)}{node})"
        ' |> keep(columns: ["_time", "dev_eui", "_field", "_value"])'
    )
    with _asking(settings) as api:
        head = True
        field, dev_eui, time, value = 0, 0, 0, 0
        rows = iter(api.query_csv(flux))
        for cells in rows:
            if not cells or cells[0].startswith("#"):
                head = True  # a table of another type follows, with a header of its own
            elif head and "error" in cells:  # InfluxDB gave up after it had begun to answer with 200
                said = ", ".join(filter(None, next(rows, [])))
                raise InfluxError(f"InfluxDB: {settings.influxdb.url}: {said}; ask for a shorter span")
            elif head:
                field, dev_eui, time, value = (cells.index(name) for name in ("_field", "dev_eui", "_time", "_value"))
                head = False
            else:
                yield Value(cells[field], cells[dev_eui], _exact_ns(cells[time]), cells[value])


_CHUNK = 1 << 20
_COUNTED = ("count", "epoch", "time_unsure")


def _counts(settings: Settings, flux: str) -> Iterator[Count]:
    values: dict[str, dict[tuple[str, str], str]] = {name: {} for name in _COUNTED}
    with _asking(settings) as api:
        place: dict[str, int] = {}
        for line in _lines(api.query_raw(flux)):
            cells = line.split(",")  # neither a time nor a DevEUI nor a number is ever quoted
            if "_time" in cells:  # each kind of value begins with a header of its own
                place = {name: number for number, name in enumerate(cells)}
            elif len(cells) > 1 and not cells[0].startswith("#"):
                values[cells[place["_field"]]][cells[place["dev_eui"]], cells[place["_time"]]] = cells[place["_value"]]
    epochs, unsure = values["epoch"], values["time_unsure"]
    moments: dict[str, int] = {}
    for key, pulses in values["count"].items():
        dev_eui, text = key
        if (time_ns := moments.get(text)) is None:
            time_ns = moments[text] = _exact_ns(text)
        epoch = epochs.get(key)
        yield Count(dev_eui, time_ns, None if epoch is None else int(epoch), int(pulses), key in unsure)


def _lines(answer: Any) -> Iterator[str]:
    """The lines of an answer as it comes."""
    rest = ""
    for part in answer.stream(_CHUNK):
        *lines, rest = (rest + part.decode("ascii")).split("\r\n")
        yield from lines
    if rest:
        yield rest


def _exact_ns(text: str) -> int:
    """InfluxDB's time, to the nanosecond."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())  # whole seconds: exact as a float
    return seconds * _NS + int(fraction.ljust(9, "0"))


def _span(settings: Settings, measurement: str, dev_eui: str, span: tuple[int, int], role: str) -> str:
    return (
        f"from(bucket: {_text(getattr(settings.buckets, role))}) |> range(start: {span[0]}, stop: {span[1]})"
        f" |> filter(fn: (r) => r._measurement == {_text(measurement)} and r.dev_eui == {_text(dev_eui)})"
    )


def _field_is(name: str) -> str:
    return f'r._field == "{name}"'


def _text(value: str) -> str:
    """A Flux string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ns(moment: datetime) -> int:
    """Exact to the microsecond, which is what the client keeps."""
    return int((moment - _EPOCH) / timedelta(microseconds=1)) * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PIVOT = ' |> pivot(rowKey: ["_time", "dev_eui"], columnKey: ["_field"], valueColumn: "_value")'


def _flux(bucket: str, query: Query) -> str:
    start = query.since if query.since.endswith("Z") else f"-{query.since}"
    node = "" if query.dev_eui is None else f' and r.dev_eui == "{query.dev_eui}"'
    # The stop lies ahead: a node's clock may be a minute fast, and its reading must not be missed.
    return (
        f"from(bucket: {_text(bucket)}) |> range(start: {start}, stop: 2d)"
        f' |> filter(fn: (r) => r._measurement == "{query.measurement}"{node}){_PIVOT}'
    )


def _rows(settings: Settings, flux: str) -> Iterator[Row]:
    for record in _records(settings, flux):
        yield {
            ("time" if name == "_time" else name): value
            for name, value in record.items()
            if name == "_time" or not name.startswith("_")
        }


def _records(settings: Settings, flux: str) -> Iterator[dict[str, Any]]:
    with _asking(settings) as api:
        for record in api.query_stream(flux):
            yield record.values


@contextmanager
def _asking(settings: Settings) -> Iterator[QueryApi]:
    """InfluxDB for one question; what goes wrong becomes an InfluxError."""
    influxdb = settings.influxdb
    token = read_secret(influxdb.read_token_file, "[influxdb] read_token_file")
    try:
        with InfluxDBClient(influxdb.url, token, org=influxdb.org, timeout=_TIMEOUT_MS) as client:
            yield client.query_api()
    except ApiException as error:
        raise InfluxError(
            f"InfluxDB: {influxdb.url}: {error.status} {_sentence(error)}; check [influxdb] org, read_token_file and [buckets]"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise InfluxError(f"InfluxDB: {influxdb.url}: {error}; is it running, and is [influxdb] url right?") from None


def _sentence(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
