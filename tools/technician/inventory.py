"""Which devices: a technician's list (CSV, or a number of one kind), and the keys file that remembers what was drawn for them.

The keys file is the memory of the whole: a row without a DevEUI finds its own again by its name. It is a CSV with mode 0600,
replaced in one step and on the disk before anything is registered, so that no power cut leaves a device whose key nobody knows.
"""

from __future__ import annotations

import csv
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from ..setup.say import Problem

KINDS = ("meter", "bin", "air")
JOIN_EUI = "0" * 16
COLUMNS = ("kind", "dev_eui", "join_eui", "app_key", "name", "site", "district")
_DIGITS = {"dev_eui": 16, "join_eui": 16, "app_key": 32}
# Letters of a code, and no blank: an address or a person's name does not pass (design: privacy by default).
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = re.compile(r"[0-9a-f]{6,14}")


@dataclass(frozen=True)
class Row:
    """One device. `dev_eui`, `join_eui`: 16 hex digits, `app_key`: 32, each "" while it is to be found or drawn."""

    kind: str
    name: str
    dev_eui: str = ""
    join_eui: str = ""
    app_key: str = ""
    site: str = ""
    district: str = ""
    line: int = 0
    """Of the list that it comes from; 0 for none."""

    @property
    def tags(self) -> dict[str, str]:
        """For the network server: codes only."""
        return {name: value for name in ("kind", "site", "district") if (value := getattr(self, name))}

    @property
    def where(self) -> str:
        """How a person finds it."""
        return f"line {self.line}: {self.name}" if self.line else self.name


def read_list(path: Path) -> list[Row]:
    """The rows of a technician's CSV. Problem with every wrong line, its number and what belongs there."""
    rows, wrong = [], []
    for line, values in _table(path, COLUMNS, ("kind",)):
        try:
            rows.append(_row(values, line))
        except ValueError as error:
            wrong.append(f"{path}:{line}: {error}")
    for field in ("dev_eui", "name"):
        seen: dict[str, int] = {}
        for row in rows:
            value = getattr(row, field)
            if value and seen.setdefault(value, row.line) != row.line:
                wrong.append(
                    f"{path}:{row.line}: {field} {value} stands in line {seen[value]} already; give each device its own"
                )
    if wrong:
        raise Problem("\n".join(wrong))
    if not rows:
        raise Problem(f"{path}: no device in it; below the line of column names each line is one")
    return rows


def _row(values: dict[str, str], line: int) -> Row:
    """ValueError says which column is wrong and what belongs there."""
    kind = values.get("kind", "")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; one of {', '.join(KINDS)} is needed")
    for column, digits in _DIGITS.items():
        given = values.get(column, "")
        if given and not re.fullmatch(f"[0-9a-f]{{{digits}}}", given.lower()):
            # a key is a secret, right or wrong; a spreadsheet likes to make 2.4E+15 of a DevEUI
            shown = "wrong" if column == "app_key" else repr(given)
            raise ValueError(f"{column} is {shown}; {digits} hex digits are needed (in a spreadsheet: column as text)")
    for column in ("name", "site", "district"):
        given = values.get(column, "")
        if given and not _CODE.fullmatch(given):
            raise ValueError(
                f"{column} is {given!r}; a code of letters, digits, '.', '_', '-' is needed, no name and no address"
            )
    dev_eui, site = values.get("dev_eui", "").lower(), values.get("site", "")
    name = values.get("name", "") or (f"{kind}-{site or dev_eui}" if site or dev_eui else "")
    if not name:
        raise ValueError("no dev_eui, name or site; one of them is needed to know the device again")
    return Row(
        kind,
        name,
        dev_eui,
        values.get("join_eui", "").lower(),
        values.get("app_key", "").lower(),
        site,
        values.get("district", ""),
        line,
    )


def counted(kind: str, count: int) -> list[Row]:
    """`count` devices of a kind, numbered from 1: the same ones each time."""
    return [Row(kind, f"{kind}-{number:04d}") for number in range(1, count + 1)]


def _table(path: Path, known: Sequence[str], needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column -> text without blanks around it) of a CSV with a line of column names; comma or semicolon."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}; name a CSV file") from None
    except UnicodeDecodeError:
        raise Problem(f"{path}: not UTF-8 text; save it as CSV UTF-8") from None
    first = text.split("\n", 1)[0]
    reader = csv.reader(StringIO(text), delimiter=";" if ";" in first and "," not in first else ",")
    names = [name.strip().lower() for name in next(reader, [])]
    for name in names:
        if name not in known:
            raise Problem(f"{path}:1: column {name!r} is not known; known are {', '.join(known)}")
    if missing := [name for name in needed if name not in names]:
        raise Problem(f"{path}:1: no column {', '.join(missing)}; the first line names the columns: {', '.join(known)}")
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise Problem(f"{path}:{reader.line_num}: {len(cells)} cells, {len(names)} expected; one for each column")
        yield reader.line_num, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}


class Keys:
    """The keys file at `path`: every device with its EUIs and key. Not there: empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if not path.exists():
            return
        if path.stat().st_mode & 0o077:
            raise Problem(f"{path}: others may read these keys; chmod 600 {path}")
        for line, values in _table(path, COLUMNS, ("kind", "dev_eui", "app_key", "name")):
            try:
                row = _row(values, 0)
            except ValueError as error:
                raise Problem(f"{path}:{line}: {error}; put the file back from a copy") from None
            if not row.dev_eui or not row.app_key:
                raise Problem(f"{path}:{line}: no dev_eui or no app_key; put the file back from a copy")
            self.rows[row.dev_eui] = row

    def named(self, name: str) -> Row | None:
        """The device of that name."""
        return next((row for row in self.rows.values() if row.name == name), None)

    def add(self, rows: Iterable[Row]) -> None:
        """Takes these rows and replaces the file, on the disk when it returns."""
        self.rows |= {row.dev_eui: row for row in rows}
        self._write()

    def drop(self, dev_euis: Iterable[str]) -> None:
        """Forgets devices that are another's."""
        for dev_eui in dev_euis:
            self.rows.pop(dev_eui, None)
        self._write()

    def _write(self) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii", newline=""
        ) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([getattr(row, column) for column in COLUMNS] for row in self.rows.values())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """The keys file for this process alone: two runs at once would lose each other's keys."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}; name a keys file (--keys) in a folder where you may write") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"{path}: another run is at work with it; wait for its end") from None
        yield
    finally:
        os.close(lock)


class Drawing:
    """DevEUIs that nobody has: numbered in a block of the city's own, or by chance and marked as locally administered."""

    def __init__(self, prefix: str, used: Iterable[str]) -> None:
        """`prefix`: the first 6 to 14 hex digits of the block, "" for none; `used`: DevEUIs that are taken."""
        if prefix and not _PREFIX.fullmatch(prefix):
            raise Problem(f"--dev-eui-prefix {prefix}: the first 6 to 14 hex digits of a block of DevEUIs are needed")
        self._prefix = prefix
        self._used = set(used)
        mine = [int(each[len(prefix) :], 16) for each in self._used if prefix and each.startswith(prefix)]
        self._next = max(mine, default=0) + 1

    def dev_eui(self) -> str:
        """One more. Problem: the block is full."""
        digits = 16 - len(self._prefix)
        if self._prefix:
            found = f"{self._next:0{digits}x}"
            if len(found) > digits:
                raise Problem(f"--dev-eui-prefix {self._prefix}: the block is full; name another one")
            self._next += 1
            return self._prefix + found
        while True:
            first, *rest = secrets.token_bytes(8)
            found = bytes([first & 0xFC | 2, *rest]).hex()  # EUI-64: bit 1 local, bit 0 one device
            if found not in self._used:
                self._used.add(found)
                return found


def complete(row: Row, drawing: Drawing) -> Row:
    """The row with everything drawn that it lacks; keys come from the system's random source."""
    return replace(
        row,
        dev_eui=row.dev_eui or drawing.dev_eui(),
        join_eui=row.join_eui or JOIN_EUI,
        app_key=row.app_key or secrets.token_hex(16),
    )
