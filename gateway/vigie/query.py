"""The only reader of InfluxDB: the readings of a node or of all, as rows in the order of the schema."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException

from .errors import InfluxError, UsageError
from .files import read_secret
from .points import SCHEMA
from .settings import Settings

_SINCE = re.compile(r"[0-9]{1,6}(s|m|h|d|w|mo|y)")
_DEV_EUI = re.compile(r"[0-9a-f]{16}")
_TIMEOUT_MS = 60_000

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
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise UsageError(
                f"query {measurement}: --since {since!r}: give a span such as 12h, 2d or 3w, or a UTC time such as 2026-11-24T00:00:00Z"
            ) from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if moment > datetime.now(UTC):
            raise UsageError(f"query {measurement}: --since {since!r} lies in the future; give a time that has passed")
        since = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Query(measurement, dev_eui, since)


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


def _flux(bucket: str, query: Query) -> str:
    start = query.since if query.since.endswith("Z") else f"-{query.since}"
    node = "" if query.dev_eui is None else f' and r.dev_eui == "{query.dev_eui}"'
    quoted = bucket.replace("\\", "\\\\").replace('"', '\\"')
    # The stop lies ahead: a node's clock may be a minute fast, and its reading must not be missed.
    return (
        f'from(bucket: "{quoted}") |> range(start: {start}, stop: 2d)'
        f' |> filter(fn: (r) => r._measurement == "{query.measurement}"{node})'
        ' |> pivot(rowKey: ["_time", "dev_eui"], columnKey: ["_field"], valueColumn: "_value")'
    )


def _rows(settings: Settings, flux: str) -> Iterator[Row]:
    influxdb = settings.influxdb
    token = read_secret(influxdb.read_token_file, "[influxdb] read_token_file")
    try:
        with InfluxDBClient(influxdb.url, token, org=influxdb.org, timeout=_TIMEOUT_MS) as client:
            for record in client.query_api().query_stream(flux):
                yield {
                    ("time" if name == "_time" else name): value
                    for name, value in record.values.items()
                    if name == "_time" or not name.startswith("_")
                }
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
