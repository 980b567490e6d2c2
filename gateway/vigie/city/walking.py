"""The walking list: meters whose dial somebody has to read, by district and address, as rows and as a page to print."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from typing import NamedTuple

from ..rows import SiteRow
from .days import iso
from .water import Index


class Stop(NamedTuple):
    """A line of the list; `last_ml` is the greatest dial that is sure, to tell a slip of the pen by."""

    district: str
    address: str
    site: str
    serial: str
    last_ml: int | None
    reason: str


def walking_list(unread: Iterable[Index], rows: Mapping[str, SiteRow]) -> list[Stop]:
    """The meters that still hang where they were, in the order of a walk: district, street, number."""
    stops = []
    for one in unread:
        if not one.present:
            continue
        row = rows.get(one.site)
        since = "" if one.since_ns is None else f" {iso(one.since_ns)}"
        district, address = (row.district, row.address) if row else ("", "")
        stops.append(Stop(district, address, one.site, one.serial, one.at_least_ml, one.reason + since))
    return sorted(stops, key=lambda one: (one.district, _street(one.address), one.site, one.serial))


def _street(address: str) -> tuple[str, int]:
    """Street, then house number, which stands before or behind it."""
    number = re.search(r"\d+", address)
    return re.sub(r"[\d\W]+", " ", address).strip().casefold(), int(number[0]) if number else 0


_STYLE = """
body { font: 11pt sans-serif; margin: 1em; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #555; padding: 0.35em 0.5em; text-align: left; vertical-align: top; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
.blank { min-width: 6em; }
.number { text-align: right; }
section + section { break-before: page; }
@page { size: A4 landscape; margin: 12mm; }
"""


def page(stops: Iterable[Stop], day: str) -> str:
    """HTML that prints: a district begins a page, the head stands on each; room for the dial and the time of its reading."""
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>Dials to read for {escape(day)}</title><style>{_STYLE}</style></head><body>",
    ]
    for district, group in groupby(stops, key=lambda one: one.district):
        lines = list(group)
        title = f"{district or 'no district'}: {len(lines)} to read, for {day}"
        parts.append(
            f"<section><h1>{escape(title)}</h1><table><thead><tr><th>address</th><th>site</th><th>meter</th>"
            "<th>at least, m³</th><th>dial, L</th><th>day and time</th><th>why</th></tr></thead><tbody>"
        )
        for one in lines:
            last = "" if one.last_ml is None else str(one.last_ml // 1_000_000)
            parts.append(
                f"<tr><td>{escape(one.address)}</td><td>{escape(one.site)}</td><td>{escape(one.serial)}</td>"
                f'<td class="number">{last}</td><td class="blank"></td><td class="blank"></td><td>{escape(one.reason)}</td></tr>'
            )
        parts.append("</tbody></table></section>")
    return "\n".join([*parts, "</body></html>\n"])
