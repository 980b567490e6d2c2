"""The spool: every event as it came, from the commit that precedes its acknowledgement until InfluxDB has all of its points.

One SQLite file in WAL mode, `synchronous=FULL`: when `add` returns, the batch is on disk. An event is waiting, or dead with a
reason. Keys of the last 500,000 events are remembered after an event is forgotten, so that a redelivery is known as one.
An instance is one connection; it may be used from several threads (a lock serialises them), and each room opens its own.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from .errors import SpoolError, SpoolFull

REMEMBERED_KEYS = 500_000
_BUSY_TIMEOUT_S = 30.0
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE seen (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,          -- as in seen: the order of arrival
    received_ns INTEGER NOT NULL,    -- the gateway's clock: for the age of the oldest event only
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    body BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_ns INTEGER NOT NULL DEFAULT 0,
    reason TEXT                      -- NULL: waiting; else dead, and why
);
CREATE INDEX waiting ON events (id) WHERE reason IS NULL;
CREATE INDEX dead ON events (id) WHERE reason IS NOT NULL;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event to keep: its kind and its duplicate's key (events.identify), topic and body as they came."""

    kind: str
    key: bytes
    topic: str
    body: bytes


class Kept(NamedTuple):
    """An event's number in the spool; `fresh` False: it is known already, under that number."""

    id: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event in the spool; `attempts` counts how often it was put off."""

    id: int
    kind: str
    topic: str
    body: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be stored, and the reason."""

    id: int
    received_ns: int
    kind: str
    topic: str
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The spool at one instant; `oldest_ns` is the arrival of the oldest waiting event, `last_ns` of the last of all, or None."""

    waiting: int
    dead: int
    bytes: int
    oldest_ns: int | None
    last_ns: int | None


class Spool:
    """One connection to the spool's file, made if it is not there. Raises SpoolError where that fails."""

    def __init__(self, path: Path, max_bytes: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._now_ns = now_ns
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._create()
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"spool: {path}: {error}; check [spool] path, its rights and its disk") from None

    def close(self) -> None:
        """Ends the connection; what was added is on disk already."""
        with self._lock:
            self._db.close()

    def add(self, arrivals: Sequence[Arrival]) -> list[Kept]:
        """Commits a batch; each event's number, and whether it is new. Raises SpoolFull and keeps none of it.

        Full is: at `max_bytes`, or the disk refuses. The caller must then acknowledge nothing.
        """
        size = sum(len(arrival.body) + len(arrival.topic) for arrival in arrivals)
        now = self._now_ns()
        kept: list[Kept] = []
        with self._lock, self._transaction() as db:
            if self._used_bytes() + size > self.max_bytes:
                raise SpoolFull(
                    f"spool: {self.path} is at its limit of {self.max_bytes} bytes; bring InfluxDB back, "
                    "drop dead letters (`vigie dead drop`) or raise [spool] max_bytes"
                )
            for arrival in arrivals:
                cursor = db.execute("INSERT OR IGNORE INTO seen (key) VALUES (?)", (arrival.key,))
                fresh = cursor.rowcount == 1
                (number,) = db.execute("SELECT id FROM seen WHERE key = ?", (arrival.key,)).fetchone()
                kept.append(Kept(number, fresh))
                if fresh:
                    db.execute(
                        "INSERT INTO events (id, received_ns, kind, topic, body) VALUES (?, ?, ?, ?, ?)",
                        (number, now, arrival.kind, arrival.topic, arrival.body),
                    )
            db.execute("DELETE FROM seen WHERE id <= (SELECT max(id) FROM seen) - ?", (REMEMBERED_KEYS,))
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('last event', ?)", (str(now),))
        return kept

    def take(self, limit: int) -> list[Spooled]:
        """The oldest waiting events whose next try has come; they stay in the spool until `settle`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, kind, topic, body, attempts FROM events "
                "WHERE reason IS NULL AND next_try_ns <= ? ORDER BY id LIMIT ?",
                (self._now_ns(), limit),
            ).fetchall()
        return [Spooled(*row) for row in rows]

    def settle(
        self, stored: Iterable[int], dead: Iterable[tuple[int, str]] = (), put_off: Iterable[tuple[int, int]] = ()
    ) -> None:
        """Commits what became of events: stored ones are forgotten, dead ones (id, reason) kept, others put off by (id, ns)."""
        now = self._now_ns()
        with self._lock, self._transaction() as db:
            db.executemany("DELETE FROM events WHERE id = ?", ((event,) for event in stored))
            db.executemany("UPDATE events SET reason = ? WHERE id = ?", ((reason, event) for event, reason in dead))
            db.executemany(
                "UPDATE events SET attempts = attempts + 1, next_try_ns = ? WHERE id = ?",
                ((now + delay, event) for event, delay in put_off),
            )

    def counts(self) -> Counts:
        """Waiting events (those in flight to InfluxDB too), dead ones, bytes in use, the oldest."""
        with self._lock:
            waiting, dead = self._db.execute(
                "SELECT (SELECT count(*) FROM events WHERE reason IS NULL),"
                " (SELECT count(*) FROM events WHERE reason IS NOT NULL)"
            ).fetchone()
            oldest = self._db.execute(
                "SELECT received_ns FROM events WHERE reason IS NULL ORDER BY id LIMIT 1"
            ).fetchone()
            last = self._db.execute("SELECT value FROM facts WHERE name = 'last event'").fetchone()
            return Counts(
                waiting, dead, self._used_bytes(), oldest[0] if oldest else None, int(last[0]) if last else None
            )

    def dead_letters(self, ids: Sequence[int] | None = None) -> list[DeadLetter]:
        """All dead letters, or those with the given numbers, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, received_ns, kind, topic, body, reason FROM events WHERE reason IS NOT NULL ORDER BY id"
            ).fetchall()
        letters = [DeadLetter(*row) for row in rows]
        return letters if ids is None else [letter for letter in letters if letter.id in set(ids)]

    def dead_reasons(self) -> list[tuple[str, int]]:
        """Each reason of the dead letters and how many have it, the most frequent first."""
        with self._lock:
            return self._db.execute(
                "SELECT reason, count(*) FROM events WHERE reason IS NOT NULL GROUP BY reason ORDER BY count(*) DESC, reason"
            ).fetchall()

    def replay(self, ids: Iterable[int]) -> int:
        """Makes dead letters wait again; how many there were."""
        return self._change_dead("UPDATE events SET reason = NULL, attempts = 0, next_try_ns = 0", ids)

    def drop(self, ids: Iterable[int]) -> int:
        """Forgets dead letters for good; how many there were."""
        return self._change_dead("DELETE FROM events", ids)

    def fact(self, name: str) -> str | None:
        """A small fact that must outlive the process, such as the topic subscribed last."""
        with self._lock:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_fact(self, name: str, value: str) -> None:
        """Commits a fact."""
        with self._lock, self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def probe(self) -> None:
        """Raises SpoolFull unless a commit goes through and there is room below the limit."""
        with self._lock, self._transaction() as db:
            if self._used_bytes() >= self.max_bytes:
                raise SpoolFull(f"spool: {self.path} is at its limit of {self.max_bytes} bytes")
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('probe', ?)", (str(self._now_ns()),))

    def damage(self) -> str | None:
        """SQLite's quick check: None, or its first finding."""
        with self._lock:
            finding = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        return None if finding == "ok" else finding

    def _create(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"its schema is version {version}, this gateway knows {_SCHEMA_VERSION}")

    def _change_dead(self, change: str, ids: Iterable[int]) -> int:
        with self._lock, self._transaction() as db:
            return sum(db.execute(f"{change} WHERE id = ? AND reason IS NOT NULL", (event,)).rowcount for event in ids)

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            # the primary code is the low byte of the extended one
            if error.sqlite_errorcode & 0xFF in _FULL_CODES:
                raise SpoolFull(
                    f"spool: {self.path} cannot be written: {error}; free its disk or mend its rights"
                ) from None
            raise SpoolError(f"spool: {self.path}: {error}") from None


def owner(path: Path) -> str | None:
    """The process id of the gateway that has the spool, None without one."""
    try:
        with path.with_name(path.name + ".lock").open(encoding="ascii") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return handle.read().strip() or "unknown"
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpoolError(f"spool: {path}: {error.strerror}; run this as the gateway's user") from None
    return None


@contextmanager
def sole_owner(path: Path) -> Iterator[None]:
    """Holds the spool against a second gateway; SpoolError naming the process that has it. A crash lets go of it."""
    lock_path = path.with_name(path.name + ".lock")
    handle: IO[str]
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        handle = lock_path.open("a+", encoding="ascii")
    except OSError as error:
        raise SpoolError(f"spool: {lock_path}: {error.strerror}; check [spool] path and its rights") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise SpoolError(
                f"spool: {path} is in use by process {handle.read().strip() or 'unknown'}; "
                "stop that gateway, or give this one its own [spool] path and [mqtt] client_id"
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield
