"""The register's sheets: which columns each kind has, CSV to rows and rows to CSV. Pure.

docs/register.md has the tables of `KINDS`; a test holds them against each other.
"""

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from ..errors import RegisterError
from ..rows import BinShape, Commissioning, DeviceRow, Dial, Segment, SiteRow
from . import cells
from .cells import Cell

Row = SiteRow | DeviceRow | Segment | Dial | BinShape | Commissioning
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_QUOTE = 20  # lines that one quoted cell may span


class Column(NamedTuple):
    """A column: its name in a sheet, its cells, whether a cell must be filled, whether it is personal data."""

    name: str
    cell: Cell
    needed: bool = False
    personal: bool = False


class Kind(NamedTuple):
    """A kind of entry. Columns stand in the order of the row's fields; `key`: the fields that say what an entry is about.

    `ignored`: columns that a sheet may carry for its reader's eyes.
    """

    name: str
    row: type[Row]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    ignored: frozenset[str] = frozenset()


class Line(NamedTuple):
    """A line of a sheet (numbered from 1, the header's line): its row, or the reason why there is none."""

    number: int
    row: Row | None
    reason: str = ""


_SITE = Column("site", cells.CODE, needed=True)
_DEVICE = Column("dev_eui", cells.DEV_EUI, needed=True)
_KIND = Column("kind", cells.KIND, needed=True)
_SERIAL = Column("serial", cells.CODE, needed=True)
_POSITION = (Column("lat", cells.LATITUDE, personal=True), Column("lon", cells.LONGITUDE, personal=True))
_WHO = Column("who", cells.CODE, needed=True, personal=True)
_NOTE = Column("note", cells.TEXT, personal=True)

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "sites",
            SiteRow,
            (
                _SITE,
                _KIND,
                Column("district", cells.CODE),
                Column("household_ref", cells.CODE, personal=True),
                Column("address", cells.TEXT, personal=True),
                *_POSITION,
                _NOTE,
            ),
            ("site",),
        ),
        Kind(
            "devices",
            DeviceRow,
            (
                _DEVICE,
                _KIND,
                Column("site", cells.CODE),
                Column("interval_s", cells.SECONDS),
                Column("model", cells.CODE),
                Column("serial", cells.CODE),
                _NOTE,
            ),
            ("dev_eui",),
        ),
        Kind(
            "segments",
            Segment,
            (
                _SITE,
                _SERIAL,
                _DEVICE,
                Column("epoch", cells.EPOCH),
                Column("litres_per_pulse", cells.PULSE_LITRES, needed=True),
                Column("anchor_dial_l", cells.LITRES),
                Column("anchor_time", cells.TIME),
                Column("anchor_count", cells.COUNT),
                Column("since", cells.TIME, needed=True),
                Column("until", cells.TIME),
                Column("out_dial_l", cells.LITRES),
                Column("tolerance_l", cells.WHOLE_LITRES),
            ),
            ("dev_eui", "epoch", "since_ns"),
        ),
        Kind(
            "dials",
            Dial,
            (
                _SITE,
                _SERIAL,
                Column("time", cells.TIME, needed=True),
                Column("dial_l", cells.LITRES, needed=True),
                _WHO,
            ),
            ("site", "serial", "time_ns"),
            # what the walking list says beside the columns to fill in
            frozenset({"district", "address", "note", "reason", "last", "last_m3"}),
        ),
        Kind(
            "bins",
            BinShape,
            (
                _SITE,
                Column("depth_mm", cells.MILLIMETRES, needed=True),
                Column("full_mm", cells.MILLIMETRES, needed=True),
                Column("volume_l", cells.WHOLE_LITRES, needed=True),
            ),
            ("site",),
        ),
        Kind(
            "commissioning",
            Commissioning,
            (
                _SITE,
                _DEVICE,
                Column("time", cells.TIME, needed=True),
                _WHO,
                *_POSITION,
                Column("serial", cells.CODE),
                Column("dial_l", cells.LITRES),
                Column("count", cells.COUNT),
                Column("epoch", cells.EPOCH),
                Column("photo", cells.CODE, personal=True),
                _NOTE,
            ),
            ("site", "dev_eui", "time_ns"),
        ),
    )
}
OF_ROW: dict[type, Kind] = {kind.row: kind for kind in KINDS.values()}


def kind_named(name: str) -> Kind:
    """The kind; RegisterError naming the nearest one."""
    if name not in KINDS:
        raise RegisterError(f"register: there is no kind {name!r}{_near(name, KINDS)}; kinds are {', '.join(KINDS)}")
    return KINDS[name]


def key(row: Row) -> str:
    """What an entry is about, as text."""
    return "\x1f".join(str(getattr(row, name)) for name in OF_ROW[type(row)].key)


def parse(data: bytes, kind: Kind, zone: tzinfo | None, name: str) -> Iterator[Line]:
    """Each line of a sheet that is not empty, in order; `zone`: of local times. RegisterError where no line can be read at all."""
    if data.startswith(_UTF16):
        raise RegisterError(f"{name}: it is UTF-16; save it as CSV in UTF-8")
    records = _records(data.removeprefix(b"\xef\xbb\xbf"))
    number, head = next(((n, raw) for n, raw in records if raw.strip()), (1, b""))
    try:
        text = head.decode()
    except UnicodeDecodeError:
        raise RegisterError(f"{name}: line {number}: it is not UTF-8; save it as CSV in UTF-8") from None
    separator = max(";,", key=text.count)
    header = _header(text, separator, kind, name, number)
    for number, raw in records:
        try:
            found = _cells(raw, separator)
            if any(cell.strip() for cell in found):
                yield Line(number, _row(found, header, kind, zone))
        except ValueError as error:
            yield Line(number, None, str(error))


def from_cells(texts: dict[str, str], kind: Kind, zone: tzinfo | None) -> Row:
    """A row from texts by column; ValueError with the reason."""
    values: list[Any] = []
    for column in kind.columns:
        text = texts.get(column.name, "").strip()
        if not text:
            if column.needed:
                raise ValueError(f"{column.name} is empty")
            values.append("" if column.cell is cells.TEXT or (column.cell is cells.CODE and _blank(column)) else None)
            continue
        try:
            values.append(cells.read(column.cell, text, zone))
        except ValueError as error:
            raise ValueError(f"{column.name} {error}") from None
    return kind.row(*values)


def to_cells(row: Row) -> dict[str, str]:
    """A row's texts by column, as `from_cells` reads them; "" for what is not known."""
    columns = OF_ROW[type(row)].columns
    return {
        column.name: "" if value is None else column.cell.write(value)
        for column, value in zip(columns, row, strict=True)
    }


def render(kind: Kind, names: Sequence[str], table: Iterable[dict[str, str]], *, french: bool) -> Iterator[str]:
    """CSV, header first. Comma, point; `french`: semicolon, decimal comma, a byte order mark, as its spreadsheets open right."""
    written = csv.writer(_Out(), delimiter=";" if french else ",", lineterminator="\r\n" if french else "\n")
    by_name = {column.name: column.cell for column in kind.columns}
    yield ("\ufeff" if french else "") + _written(written, names)
    for texts in table:
        row = []
        for name in names:
            cell, text = by_name.get(name), texts[name]
            if cell is None or cell.text:  # None: an entry's origin, which has numbers too
                row.append(cells.guarded(text, french=french and cell is not None))
            else:
                row.append(text.replace(".", ",") if french and cell.decimal else text)
        yield _written(written, row)


class _Out:
    """Where csv.writer writes to: it hands back what `write` returns."""

    def write(self, text: str) -> str:
        return text


def _written(writer: Any, row: Sequence[str]) -> str:
    return str(writer.writerow(row))


def _blank(column: Column) -> bool:
    """A site that is not given is none; any other code is an empty text."""
    return column.name != "site"


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Records with the number of their first line. A quote that is not closed within some lines costs its own line only."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    at = 0
    while at < len(lines):
        end, quotes = at + 1, lines[at].count(b'"')
        while quotes % 2 and end < min(len(lines), at + _LONGEST_QUOTE):
            quotes += lines[end].count(b'"')
            end += 1
        if quotes % 2:
            end = at + 1
        yield at + 1, b"\n".join(lines[at:end])
        at = end


def _cells(raw: bytes, separator: str) -> list[str]:
    try:
        return next(csv.reader([raw.decode()], delimiter=separator, strict=True), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"byte 0x{raw[error.start]:02X} is not UTF-8; save the file as CSV in UTF-8") from None
    except csv.Error as error:
        why = "a quote is opened and not closed" if raw.count(b'"') % 2 else str(error)
        raise ValueError(f"it is not CSV: {why}") from None


def _header(text: str, separator: str, kind: Kind, name: str, number: int) -> list[tuple[str, Cell | None]]:
    """Each column of the sheet: its name among the kind's, and the cells if they are not the column's own; "" is ignored."""
    known = {column.name: column.cell for column in kind.columns}
    aliases = {n.removesuffix("_l") + "_m3": n for n, cell in known.items() if cell is cells.LITRES}
    try:
        found = [cell.strip().lower() for cell in _cells(text.encode(), separator)]
    except ValueError as error:
        raise RegisterError(f"{name}: line {number}: {error}") from None
    header: list[tuple[str, Cell | None]] = []
    for column in found:
        if column in known:
            header.append((column, None))
        elif column in aliases:
            header.append((aliases[column], cells.CUBIC_METRES))
        elif column in kind.ignored or not column:
            header.append(("", None))
        elif "\t" in column:
            raise RegisterError(f"{name}: line {number}: tabs are its separator; save it with commas or semicolons")
        else:
            raise RegisterError(
                f"{name}: line {number}: {kind.name} have no column {column!r}{_near(column, known)}; "
                f"they have {', '.join(known)}"
            )
    names = [column for column, _ in header if column]
    if twice := next((column for column in names if names.count(column) > 1), None):
        raise RegisterError(f"{name}: line {number}: the column {twice} is there twice; keep one")
    if missing := [column.name for column in kind.columns if column.needed and column.name not in names]:
        raise RegisterError(f"{name}: line {number}: the header lacks {', '.join(missing)} (docs/register.md)")
    return header


def _row(found: list[str], header: list[tuple[str, Cell | None]], kind: Kind, zone: tzinfo | None) -> Row:
    if len(found) != len(header):
        raise ValueError(
            f"it has {len(found)} cells, the header has {len(header)}; text with the separator in it, or a decimal comma "
            "between commas, stands in quotes"
        )
    texts: dict[str, str] = {}
    for text, (name, cell) in zip(found, header, strict=True):
        if cell is not None and text.strip():
            try:
                texts[name] = cells.LITRES.write(cells.read(cell, text, zone))
            except ValueError as error:
                raise ValueError(f"{name.removesuffix('_l')}_m3 {error}") from None
        elif name:
            texts[name] = cells.unguarded(text.strip())
    return from_cells(texts, kind, zone)


def _near(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
