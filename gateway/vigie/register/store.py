"""The register's file: entries and an audit trail that only ever grow. SQLite, WAL, `synchronous=FULL`.

An entry is a row, or the withdrawal of one. An entry may take the place of another one, once; both stay. The current view is every
row whose place no other has taken. An instance is one connection for one thread.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from ..errors import RegisterError
from ..rows import BinShape, Commissioning, DeviceRow, Dial, Node, Segment, SiteRow
from .judge import Facts
from .sheets import KINDS, OF_ROW, Row, key

_BUSY_TIMEOUT_S = 30.0
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,               -- what it is about
    site TEXT, dev_eui TEXT, serial TEXT,
    body TEXT,                       -- the row's fields, JSON (gateway/vigie/rows.py); NULL: withdrawn
    made_ns INTEGER NOT NULL,        -- when it was entered
    who TEXT NOT NULL,
    source TEXT NOT NULL,            -- the file or the command
    reason TEXT NOT NULL,            -- of a correction or a withdrawal, else empty
    supersedes INTEGER UNIQUE REFERENCES entries (id)
);
CREATE INDEX entries_key ON entries (kind, key);
CREATE INDEX entries_site ON entries (kind, site);
CREATE INDEX entries_dev_eui ON entries (kind, dev_eui);
CREATE INDEX entries_serial ON entries (kind, serial);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    made_ns INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    personal INTEGER NOT NULL,       -- 1: personal data left the register
    detail TEXT NOT NULL
);
CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TRIGGER entries_hold BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is never deleted'); END;
CREATE TRIGGER audit_holds BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END;
"""
_ENTRY = (
    "SELECT e.id, e.kind, e.key, e.body, e.made_ns, e.who, e.source, e.reason, e.supersedes,"
    " (SELECT n.id FROM entries n WHERE n.supersedes = e.id) AS superseded_by FROM entries e"
)
_CURRENT = "e.body IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entries n WHERE n.supersedes = e.id)"
_R = TypeVar("_R", SiteRow, DeviceRow, Segment, Dial, BinShape, Commissioning)


class Entry(NamedTuple):
    """An entry; `row` None: it withdraws the entry that it supersedes."""

    id: int
    kind: str
    key: str
    row: Row | None
    made_ns: int
    who: str
    source: str
    reason: str
    supersedes: int | None
    superseded_by: int | None

    @property
    def current(self) -> bool:
        """Whether it belongs to the current view."""
        return self.row is not None and self.superseded_by is None


class Audit(NamedTuple):
    """A line of the audit trail; `personal`: personal data left the register."""

    id: int
    made_ns: int
    who: str
    action: str
    personal: bool
    detail: str


class Origin(NamedTuple):
    """Who enters something, from where (a file's name, a command), and why if it changes what stood there."""

    who: str
    source: str
    reason: str = ""


class Register:
    """One connection to the register's file, made (readable by its owner only) if it is not there. RegisterError where that fails."""

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self.now_ns = now_ns
        try:
            if not path.exists():
                _make(path)
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._check()
        except (OSError, sqlite3.Error) as error:
            raise RegisterError(f"register: {path}: {error}; check [register] path, its rights and its disk") from None

    def close(self) -> None:
        """Ends the connection."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sites(self) -> list[SiteRow]:
        """All sites, by their id."""
        return sorted(self._rows(SiteRow), key=lambda row: row.site)

    def devices(self) -> list[DeviceRow]:
        """All devices, by DevEUI."""
        return sorted(self._rows(DeviceRow), key=lambda row: row.dev_eui)

    def segments(self) -> list[Segment]:
        """All meter segments, by site and begin."""
        return sorted(self._rows(Segment), key=lambda row: (row.site, row.since_ns, row.dev_eui))

    def dials(self) -> list[Dial]:
        """All dial readings, by site and time."""
        return sorted(self._rows(Dial), key=lambda row: (row.site, row.time_ns, row.serial))

    def bins(self) -> list[BinShape]:
        """All bins, by site."""
        return sorted(self._rows(BinShape), key=lambda row: row.site)

    def commissionings(self) -> list[Commissioning]:
        """All commissioning records, by site and time."""
        return sorted(self._rows(Commissioning), key=lambda row: (row.site, row.time_ns, row.dev_eui))

    def nodes(self, at_ns: int) -> list[Node]:
        """What may leave the register of each device that hangs at a site, by DevEUI; its meter is the one of `at_ns`."""
        sites = {row.site: row for row in self._rows(SiteRow)}
        pulse: dict[str, int] = {}
        for segment in self.segments():
            if segment.since_ns <= at_ns and (segment.until_ns is None or at_ns < segment.until_ns):
                pulse[segment.dev_eui] = segment.ml_per_pulse
        return [
            Node(row.dev_eui, row.site, sites[row.site].district, row.kind, pulse.get(row.dev_eui))
            for row in self.devices()
            if row.site is not None
        ]

    def version(self) -> int:
        """Number of the newest entry, 0 without one: another one than before means that the view may have changed."""
        return int(self._one("SELECT coalesce(max(id), 0) FROM entries")[0])

    def entry(self, number: int) -> Entry:
        """The entry of that number; RegisterError if there is none."""
        found = self._entries("e.id = ?", number)
        if not found:
            raise RegisterError(f"register: there is no entry {number}; `vigie register history` has them all")
        return found[0]

    def entries(self, kind: str | None = None, site: str | None = None, *, current: bool = False) -> list[Entry]:
        """Entries in the order in which they were made, of a kind, of a site; only the current view if `current`."""
        asked = {"e.kind = ?": kind, "e.site = ?": site}
        wheres = [where for where, value in asked.items() if value is not None]
        values = [value for value in asked.values() if value is not None]
        return self._entries(" AND ".join([*wheres, _CURRENT if current else "1"]), *values)

    def about(self, row: Row) -> list[Entry]:
        """Every entry that was ever made about the same thing (kind and key), oldest first."""
        return self._entries("e.kind = ? AND e.key = ?", OF_ROW[type(row)].name, key(row))

    def facts(self, row: Row, instead_of: int | None) -> Facts:
        """What the register knows round a row that is to take the place of entry `instead_of`."""
        site, dev_eui, serial = _places(row)
        rest = instead_of or 0

        def some(kind: type[_R], column: str, value: str | None) -> list[_R]:
            return self._rows(kind, f"e.{column} = ? AND e.id != ?", value, rest) if value else []

        segments = {
            segment: None
            for column, value in (("site", site), ("dev_eui", dev_eui), ("serial", serial))
            if column != "serial" or isinstance(row, Segment)
            for segment in some(Segment, column, value)
        }
        return Facts(
            self.now_ns(),
            next(iter(some(SiteRow, "site", site)), None),
            next(iter(some(DeviceRow, "dev_eui", dev_eui)), None),
            some(DeviceRow, "site", site),
            list(segments),
            [*some(Dial, "site", site), *some(Commissioning, "site", site)],
        )

    def named_by(self, row: Row) -> list[str]:
        """Kinds of current entries that name a site or a device; none for other rows."""
        column = "site" if isinstance(row, SiteRow) else "dev_eui" if isinstance(row, DeviceRow) else None
        if column is None:
            return []
        found = {entry.kind for entry in self._entries(f"e.{column} = ? AND {_CURRENT}", getattr(row, column))}
        return [name for name in KINDS if name in found - {OF_ROW[type(row)].name}]

    def append(self, row: Row, origin: Origin, supersedes: int | None = None) -> int:
        """Adds an entry, inside a transaction; its number."""
        return self._append(row, json.dumps(row._asdict(), ensure_ascii=False), origin, supersedes)

    def append_withdrawal(self, row: Row, origin: Origin, supersedes: int) -> int:
        """Adds the withdrawal of an entry and its row, inside a transaction; its number."""
        return self._append(row, None, origin, supersedes)

    def note(self, who: str, action: str, detail: str, *, personal: bool = False) -> None:
        """Adds a line to the audit trail, in a transaction of its own unless one is under way."""
        values = (self.now_ns(), who, action, int(personal), detail)
        sentence = "INSERT INTO audit (made_ns, who, action, personal, detail) VALUES (?, ?, ?, ?, ?)"
        try:
            self._db.execute(sentence, values)
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def audit(self) -> list[Audit]:
        """The audit trail, oldest first."""
        rows = self._all("SELECT id, made_ns, who, action, personal, detail FROM audit ORDER BY id")
        return [
            Audit(n, made_ns, who, action, bool(personal), detail) for n, made_ns, who, action, personal, detail in rows
        ]

    def backup(self, target: Path) -> None:
        """A whole copy in one file, taken while others may write; RegisterError if the target is there or cannot be made."""
        try:
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            copy = sqlite3.connect(target)
            try:
                self._db.backup(copy)
            finally:
                copy.close()
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or error
            raise RegisterError(f"register: backup to {target}: {why}; give a new file in a folder with room") from None

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Iterator[None]:
        """All of it or nothing; nothing stays either if `keep` is False."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT" if keep else "ROLLBACK")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def _check(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise sqlite3.DatabaseError("it is no register; move it away or name another file")
        if version != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"its schema is version {version}, this version knows {_SCHEMA_VERSION}")

    def _append(self, row: Row, body: str | None, origin: Origin, supersedes: int | None) -> int:
        cursor = self._db.execute(
            "INSERT INTO entries (kind, key, site, dev_eui, serial, body, made_ns, who, source, reason, supersedes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (OF_ROW[type(row)].name, key(row), *_places(row), body, self.now_ns(), *origin, supersedes),
        )
        return int(cursor.lastrowid or 0)

    def _rows(self, kind: type[_R], where: str = "1", *values: object) -> list[_R]:
        sentence = f"SELECT e.body FROM entries e WHERE e.kind = ? AND {where} AND {_CURRENT} ORDER BY e.id"  # noqa: S608 - of this file's own words
        return [kind(**json.loads(body)) for (body,) in self._all(sentence, OF_ROW[kind].name, *values)]

    def _entries(self, where: str, *values: object) -> list[Entry]:
        made = []
        for number, kind, about, body, *rest in self._all(f"{_ENTRY} WHERE {where} ORDER BY e.id", *values):
            row = None if body is None else KINDS[kind].row(**json.loads(body))
            made.append(Entry(number, kind, about, row, *rest))
        return made

    def _all(self, sentence: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(sentence, values).fetchall()
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def _one(self, sentence: str) -> Any:
        return self._all(sentence)[0]

    def _trouble(self, error: sqlite3.Error) -> RegisterError:
        return RegisterError(f"register: {self.path}: {error}; free its disk or mend its rights")


def _make(path: Path) -> None:
    """Makes the file, whole or not at all: gateway and command may do so at the same moment, and the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    fresh.unlink(missing_ok=True)
    try:
        # SQLite gives its -wal and -shm files the rights of this one; that it is WAL stands in the file.
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(fresh, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        finally:
            db.close()
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _places(row: Row) -> tuple[str | None, str | None, str | None]:
    """Site, device and meter that a row names. A node's own serial is not a meter's."""
    serial = None if isinstance(row, DeviceRow) else getattr(row, "serial", None)
    return getattr(row, "site", None), getattr(row, "dev_eui", None), serial
