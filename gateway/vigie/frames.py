"""What is stored as a pandas DataFrame: `vigie.frame` says what it has. Imported only there, for pandas is an extra."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from . import query
from .errors import UsageError
from .files import load
from .points import SCHEMA
from .settings import Settings

_AHEAD = "2d"  # a node's clock may be a minute fast, and its reading must not be missed


@dataclass(frozen=True, slots=True)
class _Type:
    """Of a field's type: pandas's name for it, InfluxDB's text to a value, where the values are kept while they come."""

    dtype: str
    value: Callable[[str], Any]
    store: Callable[[], Any]


_TYPES = {
    int: _Type("Int64", int, lambda: array("q")),
    float: _Type("Float64", float, lambda: array("d")),
    bool: _Type("boolean", lambda text: text == "true", list),
    str: _Type("string", lambda text: text.replace("\r\n", "\n"), list),  # InfluxDB's CSV makes CR LF of a line's end
}


@dataclass(slots=True)
class _Column:
    """A field's values with their times and the numbers of their nodes: eight bytes each, where an object takes fifty."""

    kept: Any
    times: "array[int]" = field(default_factory=lambda: array("q"))
    nodes: "array[int]" = field(default_factory=lambda: array("q"))


def read_frame(
    measurement: str,
    dev_eui: str | None,
    since: str | datetime,
    until: str | datetime | None,
    settings: Settings | Path | str | None,
) -> pd.DataFrame:
    """As `vigie.frame` says."""
    if measurement not in SCHEMA:
        raise UsageError(f"frame: there is no measurement {measurement!r}; docs/schema.md has {', '.join(SCHEMA)}")
    first = _written(since)
    asked = query.make_query(measurement, dev_eui, every=dev_eui is None, since=first)
    start = f"-{first}" if asked.since == first else _exact(query.moment(measurement, "since", first))
    stop = _AHEAD if until is None else _exact(query.moment(measurement, "until", _written(until)))
    known = settings if isinstance(settings, Settings) else load(None if settings is None else Path(settings))
    tables = [
        _table(measurement, query.read_values(known, asked, start, stop, role)) for role in SCHEMA[measurement].buckets
    ]
    whole = pd.concat(tables).reset_index()
    return whole.sort_values(["time", "dev_eui"], kind="stable", ignore_index=True).set_index("time")


def _written(moment: str | datetime) -> str:
    return moment if isinstance(moment, str) else moment.isoformat()


def _exact(moment: datetime) -> str:
    """A Flux time, to the microsecond."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _table(measurement: str, values: Iterable[query.Value]) -> pd.DataFrame:
    """A row a point; the index is (time, dev_eui)."""
    types = {name: _TYPES[kind] for name, kind in SCHEMA[measurement].fields.items()}
    columns = {name: _Column(of.store()) for name, of in types.items()}
    numbers: dict[str, int] = {}
    for value in values:
        if (column := columns.get(value.field)) is not None:  # None: a field of another version's schema
            column.times.append(value.time_ns)
            column.nodes.append(numbers.setdefault(value.dev_eui, len(numbers)))
            column.kept.append(types[value.field].value(value.text))
    nodes = pd.Series(list(numbers), dtype="string")
    return pd.concat([_series(name, types[name].dtype, one, nodes) for name, one in columns.items()], axis=1)


def _series(name: str, dtype: Any, column: _Column, nodes: "pd.Series[str]") -> "pd.Series[Any]":
    times = pd.to_datetime(pd.Series(column.times, dtype="int64"), unit="ns", utc=True)
    of_nodes = nodes.take(pd.Series(column.nodes, dtype="int64").to_numpy()).array
    index = pd.MultiIndex.from_arrays([times, of_nodes], names=["time", "dev_eui"])
    values: pd.Series[Any] = pd.Series(column.kept, dtype=dtype)
    return values.set_axis(index).rename(name)
