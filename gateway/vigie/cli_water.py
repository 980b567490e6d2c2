# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""`vigie water`: the index of every meter at the end of a day, the walking list for the rest, radio against dial."""

import getpass
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, tzinfo
from pathlib import Path
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from . import query
from .city import compare as comparing
from .city import walking, water
from .city.days import Day, iso, local_day
from .city.meters import Rules, Site, sites
from .city.rounds import Progress, compare_round, index_round
from .cli_output import Row, form_of, put
from .errors import EXIT_FAILED, RegisterError, SettingsError, UsageError
from .register import Register, kind_named
from .register.sheets import parse
from .rows import Count, DeviceRow, Dial, SiteRow
from .settings import Settings

water_commands = typer.Typer(help="The round of the water meters, as a file.", no_args_is_help=True)

_At = Annotated[
    str, typer.Option("--at", metavar="DATE", help="The local day, such as 2026-06-30.", show_default=False)
]
_District = Annotated[str | None, typer.Option(help="Only this district.", show_default=False)]
_Csv = Annotated[bool, typer.Option("--csv", help="CSV: comma, decimal point, UTF-8.")]
_French = Annotated[
    bool, typer.Option("--french", help="CSV for a French spreadsheet: semicolon, decimal comma, UTF-8 with its mark.")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON array.")]
_NS = 1_000_000_000
_PROGRESS_S = 2.0
_MANY = 1000  # so many sites take longer than that at once

INDEX_COLUMNS = (
    "site", "serial", "dev_eui", "day", "index_m3", "index_l", "instant", "quality", "from_instant", "from_l", "to_instant",
    "to_l", "reason", "since", "at_least_m3",
)  # fmt: skip
"""The columns of `vigie water index`; --names puts `district`, `household_ref` and `address` behind them."""
WALK_COLUMNS = ("site", "serial", "time", "dial_l", "who", "district", "address", "last_m3", "reason")
"""The walking list's: `vigie register import dials` reads the first five, a person the rest."""
COMPARE_COLUMNS = (
    "site", "serial", "dev_eui", "time", "dial_l", "radio_l", "difference_l", "least_l", "most_l", "verdict", "reason",
)  # fmt: skip
_TEXTS = {"site", "serial", "dev_eui", "district", "household_ref", "address", "reason", "who"}


class _Known(NamedTuple):
    """What the register says of the meters asked about."""

    sites: list[Site]
    rows: dict[str, SiteRow]
    foreign: frozenset[str]


@water_commands.command("index")
def _index(
    context: typer.Context,
    at: _At,
    district: _District = None,
    names: Annotated[bool, typer.Option("--names", help="With household and address; the register notes it.")] = False,
    as_csv: _Csv = False,
    french: _French = False,
    as_json: _Json = False,
) -> None:
    """Every meter's index at the end of a day: read, estimated between two readings, or unread with the reason."""
    settings = context.obj.load()
    form = form_of("water index", as_csv=as_csv, french=french, as_json=as_json)
    day = _day(at, _zone(settings))
    with _register(settings) as register:
        known = _known(register, district)
        if names:
            register.note(_user(), "water index", f"names of {len(known.sites)} sites, {at}", personal=True)
    answers = _answers(settings, known, day)
    columns = [*INDEX_COLUMNS, *(("district", "household_ref", "address") if names else ())]
    put(form, columns, [_index_row(one.found, known.rows.get(one.found.site)) for one in answers], _TEXTS)
    tally = ", ".join(
        f"{sum(one.found.quality == quality for one in answers)} {quality}"
        for quality in (water.READ, water.ESTIMATED, water.UNREAD)
    )
    odd = sum(len(one.odd) for one in answers)
    _say(f"{at}, {iso(day.instant_ns)}: {tally}" + (f"; {odd} readings do not fit and are not used" if odd else ""))


@water_commands.command("unread")
def _unread(
    context: typer.Context,
    at: _At,
    district: _District = None,
    as_csv: _Csv = False,
    french: _French = False,
    html: Annotated[bool, typer.Option("--html", help="A page to print, a district a sheet.")] = False,
) -> None:
    """The walking list: meters without an index at the end of a day, by district and address. The register notes it."""
    settings = context.obj.load()
    form = form_of("water unread", as_csv=as_csv, french=french, as_json=False)
    if html and form != "table":
        raise UsageError("water unread: --html or --csv, not both")
    day = _day(at, _zone(settings))
    with _register(settings) as register:
        known = _known(register, district)
        register.note(_user(), "water unread", f"walking list of {at}, {district or 'all'}", personal=True)
    unread = [one.found for one in _answers(settings, known, day) if one.found.quality == water.UNREAD]
    stops = walking.walking_list(unread, known.rows)
    if html:
        sys.stdout.write(walking.page(stops, at))
    else:
        rows = [{**one._asdict(), "last_m3": _m3(one.last_ml)} for one in stops]
        put(form, WALK_COLUMNS, rows, _TEXTS)
    away = len(unread) - len(stops)
    _say(
        f"{at}: {len(stops)} dials to read"
        + (f"; {away} unread sites have no meter to read (vigie water index)" if away else "")
    )


@water_commands.command("compare")
def _compare(
    context: typer.Context,
    at: _At,
    file: Annotated[
        Path, typer.Argument(metavar="DIAL.CSV", help="Dial readings, as for `vigie register import dials`.")
    ],
    within: Annotated[int, typer.Option(metavar="L", min=0, help="Litres by which both may be apart beside.")] = 0,
    as_csv: _Csv = False,
    french: _French = False,
    as_json: _Json = False,
) -> None:
    """Radio against dial: each dial reading of a day beside what the counts of the same instant say."""
    settings = context.obj.load()
    form = form_of("water compare", as_csv=as_csv, french=french, as_json=as_json)
    zone = _zone(settings)
    day = _day(at, zone, past=False)
    with _register(settings) as register:
        known = _known(register, None)
    dials, refused = _dials(file, day, zone, {one.site for one in known.sites})
    asked = [one for one in known.sites if one.site in dials]
    with _progress("compared") as progress:
        found = compare_round(
            asked, dials, day, _rules(settings), within * 1000, _horizon(), _fetch(settings), progress
        )
    put(form, COMPARE_COLUMNS, [_compare_row(one) for one in found], _TEXTS)
    for line in refused:
        _say(line)
    tally = ", ".join(
        f"{sum(one.verdict == verdict for one in found)} {verdict}"
        for verdict in (comparing.AGREES, comparing.DIFFERS, comparing.OPEN)
    )
    far = max((abs(one.difference_ml) for one in found if one.difference_ml is not None), default=None)
    most = "" if far is None else f"; furthest apart {far // 1000} L"
    _say(
        f"{at}: {len(found)} dial readings: {tally}{most}" + (f"; {len(refused)} lines not compared" if refused else "")
    )
    if refused:
        raise typer.Exit(EXIT_FAILED)


def _zone(settings: Settings) -> ZoneInfo:
    try:
        return ZoneInfo(settings.water.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"settings: {settings.source}: [water] time_zone: this machine knows no time zone {settings.water.time_zone!r}; "
            "write one such as Europe/Paris (package tzdata)"
        ) from None


def _day(at: str, zone: tzinfo, *, past: bool = True) -> Day:
    try:
        day = local_day(date.fromisoformat(at), zone)
    except (ValueError, OverflowError):
        raise UsageError(f"water: --at {at!r}: give a day such as 2026-06-30") from None
    if past and day.instant_ns > time.time_ns():
        raise UsageError(f"water: --at {at!r}: its index is that of {iso(day.instant_ns)}, which is still to come")
    return day


def _horizon() -> int:
    # A node's clock may be a minute fast, and its reading must not be missed.
    return time.time_ns() + 86_400 * _NS


def _rules(settings: Settings) -> Rules:
    return Rules(settings.water.q4_l_per_h * 1000, settings.water.foreign_hours * 3600 * _NS)


@contextmanager
def _register(settings: Settings) -> Iterator[Register]:
    path = Path(settings.register_.path)
    if not path.exists():
        raise RegisterError(
            f"register: {path} does not exist; fill it with `vigie register import`, or set [register] path"
        )
    with Register(path) as register:
        yield register


def _known(register: Register, district: str | None) -> _Known:
    rows = {row.site: row for row in register.sites()}
    # a commissioning record has the dial of its moment
    mounted = [
        Dial(one.site, one.serial, one.time_ns, one.dial_ml, one.who)
        for one in register.commissionings()
        if one.dial_ml is not None and one.serial
    ]
    found = sites(rows.values(), register.segments(), [*register.dials(), *mounted])
    if district is not None:
        districts = sorted({row.district for row in rows.values() if row.district})
        if district not in districts:
            few = ", ".join(districts[:20]) or "none"
            raise UsageError(f"water: --district {district!r} is not in the register; it has {few}")
        found = [one for one in found if one.site in rows and rows[one.site].district == district]
    return _Known(found, rows, frozenset(_foreign(register.devices())))


def _foreign(devices: Iterable[DeviceRow]) -> Iterator[str]:
    return (one.dev_eui for one in devices if one.model)


def _answers(settings: Settings, known: _Known, day: Day) -> list[water.Answer]:
    with _progress("answered") as progress:
        return index_round(known.sites, day, _rules(settings), known.foreign, _horizon(), _fetch(settings), progress)


@dataclass(slots=True)
class _Fetch:
    settings: Settings

    def __call__(self, dev_euis: Collection[str] | None, start_ns: int, stop_ns: int) -> Iterator[Count]:
        return query.read_counts(self.settings, (start_ns, stop_ns), dev_euis)


def _fetch(settings: Settings) -> _Fetch:
    return _Fetch(settings)


@dataclass(slots=True)
class _Told:
    what: str
    last: float | None = None

    def __call__(self, waiting: int, of: int) -> None:
        if self.last is None and of < _MANY:
            self.last = time.monotonic()
        elif self.last is None or time.monotonic() - self.last >= _PROGRESS_S:
            self.last = time.monotonic()
            _say(f"{of - waiting} of {of} {self.what}")


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    yield _Told(what)


def _dials(file: Path, day: Day, zone: tzinfo, known: Collection[str]) -> tuple[dict[str, list[Dial]], list[str]]:
    """The dial readings of that day by site, and a line for each that cannot be compared."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"water compare: {file}: {error.strerror}; give a CSV file of dial readings") from None
    found: dict[str, list[Dial]] = {}
    refused = []
    for line in parse(data, kind_named("dials"), zone, str(file)):
        row = line.row
        if not isinstance(row, Dial):
            refused.append(f"{file}: line {line.number}: {line.reason}")
        elif not day.start_ns <= row.time_ns < day.end_ns:
            refused.append(f"{file}: line {line.number}: {iso(row.time_ns)} is not of {day.day}")
        elif row.site not in known:
            refused.append(f"{file}: line {line.number}: the register has no meter site {row.site!r}")
        else:
            found.setdefault(row.site, []).append(row)
    return found, refused


def _index_row(one: water.Index, site: SiteRow | None) -> Row:
    return {
        "site": one.site,
        "serial": one.serial,
        "dev_eui": one.dev_eui,
        "day": one.day.isoformat(),
        "index_m3": _m3(one.index_ml),
        "index_l": _litres(one.index_ml),
        "instant": iso(one.instant_ns),
        "quality": one.quality,
        "from_instant": _iso(one.from_ns),
        "from_l": _litres(one.from_ml),
        "to_instant": _iso(one.to_ns),
        "to_l": _litres(one.to_ml),
        "reason": one.reason,
        "since": _iso(one.since_ns),
        "at_least_m3": _m3(one.at_least_ml),
        "district": site.district if site else None,
        "household_ref": site.household_ref if site else None,
        "address": site.address if site else None,
    }


def _compare_row(one: comparing.Compared) -> Row:
    return {
        "site": one.dial.site,
        "serial": one.dial.serial,
        "dev_eui": one.dev_eui,
        "time": iso(one.dial.time_ns),
        "dial_l": _litres(one.dial.ml),
        "radio_l": _litres(one.radio_ml),
        "difference_l": None if one.difference_ml is None else one.difference_ml // 1000,
        "least_l": _litres(one.least_ml),
        "most_l": _litres(one.most_ml),
        "verdict": one.verdict,
        "reason": one.reason,
    }


def _m3(ml: int | None) -> int | None:
    return None if ml is None else ml // 1_000_000


def _litres(ml: int | None) -> int | None:
    return None if ml is None else ml // 1000


def _iso(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)


def _user() -> str:
    """Who asks, as the register notes it: behind sudo the one who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
