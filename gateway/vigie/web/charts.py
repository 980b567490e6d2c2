"""The readings of one node as a chart's table: one row a day, an hour's echo, an hour's mean; holes are rows with their reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

from ..rows import BinShape
from .directory import Known
from .language import Language
from .latest import DAY_NS, Midnight, days_used
from .shown import failed
from .state import fill_percent

HOUR_NS = 3_600_000_000_000
SPANS = {"meter": (31, 92, 366), "bin": (7, 31), "air": (3, 7, 31)}
"""The time spans on offer, days, the first one unasked."""
_A_QUARTER = 4  # readings of an air node an hour


@dataclass(frozen=True, slots=True)
class Row:
    """One instant: `values` one a column, None where there is none; `note` says why, or what is wrong with it."""

    time_ns: int
    values: tuple[float | None, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and its table, oldest first. `shape` "bars" or "lines"; `columns` the names of the values; `daily`: UTC days."""

    key: str
    shape: str
    unit: str
    columns: tuple[str, ...]
    rows: list[Row]
    digits: int = 0
    daily: bool = False
    most: float | None = None  # the axis' end, where it has one

    def statistics(self, to: Language) -> list[tuple[str, str]]:
        """(column, sentence) of each column that has values."""
        told = []
        for number, name in enumerate(self.columns):
            values = [value for row in self.rows if (value := row.values[number]) is not None]
            if values:
                text = to.say(
                    "statistics",
                    least=to.number(min(values), self.digits),
                    mean=to.number(fmean(values), 1),
                    greatest=to.number(max(values), self.digits),
                    unit=self.unit,
                    number=to.number(len(values)),
                )
                told.append((name, text))
        return told


def meter(points: Iterable[Mapping[str, Any]], known: Known | None, to: Language) -> Chart:
    """Litres of each UTC day from the midnight counts; pulses where the register knows no meter of this node."""
    days = {
        ns(point["time"]): Midnight(point["count"], point["epoch"], bool(point.get("time_unsure")))
        for point in points
        if point.get("count") is not None and point.get("epoch") is not None
    }
    litres = known is not None and bool(known.meters)
    rows = []
    for used in days_used(days):
        rate = known.ml_per_pulse(used.day_ns) if known and litres else 1000
        if used.pulses is None or rate is None:
            rows.append(Row(used.day_ns, (None,), to.say(used.reason or "no_meter")))
        else:
            rows.append(Row(used.day_ns, (used.pulses * rate / 1000,), to.say("unsure") if used.unsure else ""))
    column, unit = (to.say("litres"), "L") if litres else (to.say("pulses"), to.say("pulses").lower())
    return Chart("chart_meter", "bars", unit, (column,), rows, daily=True)


def bin_(points: Iterable[Mapping[str, Any]], shape: BinShape | None, to: Language) -> Chart:
    """How full at each hour, %; mm where the register does not know the shape."""
    rows = []
    for point in points:
        distance = point.get("distance")
        note = to.say("unsure") if point.get("time_unsure") or point.get("time_estimated") else ""
        if distance is None:
            rows.append(Row(ns(point["time"]), (None,), failed(point.get("distance_reason"), to)))
        else:
            value = float(distance) if shape is None else float(fill_percent(shape, distance))
            rows.append(Row(ns(point["time"]), (value,), note))
    rows = _without_gaps(rows, to)
    if shape is None:
        return Chart("chart_bin_mm", "lines", "mm", (to.say("millimetres"),), rows)
    return Chart("chart_bin", "lines", "%", (to.say("percent"),), rows, most=100)


def air(points: Iterable[Mapping[str, Any]], to: Language) -> Chart:
    """PM2.5 and PM10, mean of each hour; an hour of fewer than four readings says so."""
    hours: dict[int, list[Mapping[str, Any]]] = {}
    for point in points:
        hours.setdefault(ns(point["time"]) // HOUR_NS * HOUR_NS, []).append(point)
    rows = []
    for hour, quarters in sorted(hours.items()):
        seen = {name: [one[name] for one in quarters if one.get(name) is not None] for name in ("pm25", "pm10")}
        number = min(len(values) for values in seen.values())
        notes = []
        if number == 0:
            notes.append(failed(quarters[-1].get("pm25_reason"), to))
        elif number < _A_QUARTER:
            notes.append(to.say("few", number=number))
        if any(one.get("time_unsure") or one.get("time_estimated") for one in quarters):
            notes.append(to.say("unsure"))
        values = tuple(fmean(found) if found else None for found in seen.values())
        rows.append(Row(hour, values, ", ".join(notes)))
    return Chart("chart_air", "lines", "µg/m³", (to.say("pm25"), to.say("pm10")), _without_gaps(rows, to), digits=1)


def _without_gaps(rows: list[Row], to: Language) -> list[Row]:
    """A row for each hour of which nothing came, so that no line leads across it (contract 9)."""
    if not rows:
        return rows
    have = {row.time_ns // HOUR_NS for row in rows}
    nothing = (None,) * len(rows[0].values)
    missing = [
        Row(hour * HOUR_NS, nothing, to.say("missing")) for hour in range(min(have), max(have)) if hour not in have
    ]
    return sorted([*rows, *missing], key=lambda row: row.time_ns)


def span_s(until_ns: int, days: int) -> tuple[int, int]:
    """The span of a chart of `days` that ends with the hour of `until_ns`: (from, until) in s; from a UTC midnight."""
    until = until_ns // HOUR_NS * 3600 + 3600
    return (until_ns // DAY_NS - days) * (DAY_NS // 1_000_000_000), until


def ns(moment: datetime) -> int:
    """UTC, s exact."""
    return int(moment.timestamp()) * 1_000_000_000
