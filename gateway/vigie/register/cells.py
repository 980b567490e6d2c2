"""One cell of a register's sheet: text to value and back. Pure; the zone of local times is handed in.

A reader raises ValueError whose text is the reason, to be read after the column's name. Numbers may have a decimal comma or point
and spaces between groups of three digits; nothing else separates thousands.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(?:(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)|(?P<d2>\d\d)/(?P<m2>\d\d)/(?P<y2>\d{4}))"
    r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<offset>Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?: \d{3})+)(?:[.,]\d+)?", re.ASCII)
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})
# What a spreadsheet would take for the begin of a formula; the apostrophe guards, and so has to be guarded.
_GUARDED = ("=", "+", "-", "@", "'")
# What it makes a number, a date or a time of: 0012, 12-3, 1e5, a DevEUI of digits.
_NO_TEXT = re.compile(r"[0-9][0-9 .,:/+-]*([eE][+-]?[0-9]+)?", re.ASCII)

Reader = Callable[[str, tzinfo | None], Any]
Writer = Callable[[Any], str]


class Cell(NamedTuple):
    """A kind of cell: how it is read (never from an empty text), how it is written, and whether it is text or a number."""

    read: Reader
    write: Writer
    text: bool = False
    decimal: bool = False


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_SPACES).strip()


def guarded(text: str, *, french: bool = False) -> str:
    """Text that a spreadsheet takes for text: an apostrophe before a first character that would begin a formula.

    `french`: the sheet is opened by a double click, so a tab stands before what would become a number or a date.
    """
    if french and _NO_TEXT.fullmatch(text):
        return f"\t{text}"
    return f"'{text}" if text.startswith(_GUARDED) else text


def unguarded(text: str) -> str:
    """The text before `guarded`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_GUARDED) else text


def _words(longest: int, lines: str = "") -> Reader:
    def read(text: str, _zone: tzinfo | None) -> str:
        found = unicodedata.normalize("NFC", text)
        if len(found) > longest:
            raise ValueError(f"has {len(found)} characters, at most {longest} are kept")
        if wrong := next((c for c in found if unicodedata.category(c) == "Cc" and c not in lines), None):
            raise ValueError(f"contains the control character U+{ord(wrong):04X}; take it out")
        return found

    return read


def _one_of(*words: str) -> Reader:
    def read(text: str, _zone: tzinfo | None) -> str:
        if text.lower() not in words:
            raise ValueError(f"is {text!r}; give {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return read


def _dev_eui(text: str, _zone: tzinfo | None) -> str:
    found = re.sub(r"[-: ]", "", text).lower()
    if re.fullmatch(r"\d+(?:[.,]\d+)?e\+?\d+", found) and len(found) < 16:
        raise ValueError(
            f"is {text!r}: a spreadsheet made a number of it; format the column as text and enter it again"
        )
    if not re.fullmatch(r"[0-9a-f]{16}", found):
        raise ValueError(f"is {text!r}; a DevEUI has 16 hex digits, as on the node's label")
    return found


def _number(text: str) -> Decimal:
    # longer ones would be rounded to Decimal's 28 digits
    if len(text) > 24 or not _NUMBER.fullmatch(text):
        raise ValueError(f"is {text!r}; give a number such as 1234.5 or 1234,5")
    return Decimal(text.replace(" ", "").replace(",", "."))


def _integer(least: int, most: int) -> Reader:
    def read(text: str, _zone: tzinfo | None) -> int:
        number = _number(text)
        if number != int(number):
            raise ValueError(f"is {text!r}; give a whole number")
        if not least <= number <= most:
            raise ValueError(f"is {text!r}; it lies between {least} and {most}")
        return int(number)

    return read


def scaled(text: str, factor: int, least: int, most: int) -> int:
    """A decimal number times `factor`, exact; ValueError where something finer is left over or it is out of bounds (scaled)."""
    number = _number(text) * factor
    if number != int(number):
        raise ValueError(f"is {text!r}, finer than a millilitre")
    if not least <= number <= most:
        raise ValueError(f"is {text!r}; it lies between {_decimal(least, factor)} and {_decimal(most, factor)}")
    return int(number)


def _decimal(value: int, factor: int) -> str:
    whole, part = divmod(value, factor)
    digits = len(str(factor)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")


def _degrees(most: int) -> Reader:
    def read(text: str, _zone: tzinfo | None) -> float:
        number = float(_number(text))
        if not -most <= number <= most:
            raise ValueError(f"is {text!r}; degrees lie between -{most} and {most}")
        return number

    return read


def instant(text: str, zone: tzinfo | None) -> int:
    """Nanoseconds UTC of a date and time with an offset or Z, or of a local one in `zone`; ValueError with the reason."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"is {text!r}; give a time such as 2026-06-30T18:20:00+02:00, or 2026-06-30 18:20 with --zone")
    if found["hour"] is None:
        raise ValueError(f"is {text!r}, a day without its time; give the time of the reading too")
    try:
        moment = datetime(  # noqa: DTZ001 - its zone comes below
            int(found["y"] or found["y2"]),
            int(found["m"] or found["m2"]),
            int(found["d"] or found["d2"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"] or 0),
        )
    except ValueError as error:
        raise ValueError(f"is {text!r}: {error}") from None
    moment = _placed(text, moment, found["offset"], zone)
    whole = (moment - _EPOCH) // timedelta(seconds=1)
    if whole < 0:
        raise ValueError(f"is {text!r}; times begin with 1970")
    return whole * _NS + int((found["fraction"] or "").ljust(9, "0"))


def _placed(text: str, moment: datetime, offset: str | None, zone: tzinfo | None) -> datetime:
    if offset == "Z":
        return moment.replace(tzinfo=UTC)
    if offset is not None:
        hours, minutes = int(offset[1:3]), int(offset[-2:])
        if hours > 14 or minutes > 59:
            raise ValueError(f"is {text!r}: no place on earth has the offset {offset}")
        span = timedelta(hours=hours, minutes=minutes)
        return moment.replace(tzinfo=timezone(span if offset[0] == "+" else -span))
    if zone is None:
        raise ValueError(f"is {text!r}, without an offset; add one (+02:00, or Z for UTC) or state the file's --zone")
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        # before a gap the earlier reading of the clock (fold 0) has the smaller offset, in a doubled hour the greater one
        doubled = early.utcoffset() > late.utcoffset()  # type: ignore[operator] # a zone always has an offset
        why = "comes twice that day" if doubled else "does not exist that day"
        raise ValueError(f"is {text!r}, which {why} (the clock changes); write it with an offset")
    return early


def written_time(ns: int) -> str:
    """UTC with Z, the fraction as far as there is one."""
    seconds, fraction = divmod(ns, _NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


MOST_ML = 10**13
"""The greatest dial: ten million m³."""

CODE = Cell(_words(64), str, text=True)
TEXT = Cell(_words(500, "\n"), str, text=True)
KIND = Cell(_one_of("meter", "bin", "air"), str)
DEV_EUI = Cell(_dev_eui, str, text=True)
EPOCH = Cell(_integer(0, 65_535), str)
COUNT = Cell(_integer(0, 2**32 - 1), str)
SECONDS = Cell(_integer(10, 366 * 86_400), str)
MILLIMETRES = Cell(_integer(1, 20_000), str)
WHOLE_LITRES = Cell(_integer(0, 10**9), str)
LITRES = Cell(lambda text, _zone: scaled(text, 1000, 0, MOST_ML), lambda ml: _decimal(ml, 1000), decimal=True)
CUBIC_METRES = Cell(lambda text, _zone: scaled(text, 10**6, 0, MOST_ML), lambda ml: _decimal(ml, 10**6), decimal=True)
PULSE_LITRES = Cell(lambda text, _zone: scaled(text, 1000, 1, 10**8), lambda ml: _decimal(ml, 1000), decimal=True)
LATITUDE = Cell(_degrees(90), repr, decimal=True)
LONGITUDE = Cell(_degrees(180), repr, decimal=True)
TIME = Cell(instant, written_time)


def read(cell: Cell, text: str, zone: tzinfo | None) -> Any:
    """The value of a text that is not empty; ValueError with the reason."""
    return cell.read(text if cell.text else _tidy(text), zone)
