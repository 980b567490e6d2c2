"""devnet's one SQLite file: what the API wrote (tenants, devices, keys, queue) and what the radio side knows (`radio`, nonces).

One connection, guarded by `lock`; a transaction is an uplink, a TxAck or an API call, committed before its answer leaves.
WAL with synchronous=NORMAL: a killed process loses nothing; only a power cut of the machine may lose the last transactions.
Then LoRaWAN's counters cover it: an older FCntUp takes later frames, DevNonces only grow, an older FCntDown or JoinNonce costs
downlinks that the device refuses as repeated until it is passed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2
from chirpstack_api.common import common_pb2 as common
from chirpstack_api.integration import integration_pb2 as integration

from . import events
from .state import Device, Profile, QueueItem, Session

_VERSION = 3
# Names of tables and columns are ChirpStack's where SQLite puts them into an error that the API hands on.
_SCHEMA = """
CREATE TABLE tenant (id TEXT PRIMARY KEY, name TEXT, message BLOB, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE application (id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenant ON DELETE CASCADE,
  name TEXT, message BLOB, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE device_profile (id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenant ON DELETE CASCADE,
  name TEXT, message BLOB, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE gateway (gateway_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenant ON DELETE CASCADE,
  name TEXT, message BLOB, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE gateway_stats (gateway_id TEXT PRIMARY KEY REFERENCES gateway ON DELETE CASCADE, last_seen_ns INTEGER, properties TEXT);
CREATE TABLE device (dev_eui TEXT PRIMARY KEY, application_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
  device_profile_id TEXT NOT NULL REFERENCES device_profile ON DELETE CASCADE,
  name TEXT, tags TEXT, message BLOB, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE device_keys (dev_eui TEXT PRIMARY KEY REFERENCES device ON DELETE CASCADE,
  nwk_key TEXT, app_key TEXT, gen_app_key TEXT, created_ns INTEGER, updated_ns INTEGER);
CREATE TABLE device_queue_item (arrival INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, dev_eui TEXT NOT NULL REFERENCES device
  ON DELETE CASCADE, f_port INTEGER, data BLOB, confirmed INTEGER, expires_ns INTEGER, pending INTEGER DEFAULT 0, f_cnt_down INTEGER,
  flushed INTEGER DEFAULT 0);
CREATE INDEX queue_of ON device_queue_item (dev_eui, arrival);
CREATE TABLE api_key (id TEXT PRIMARY KEY, name TEXT, tenant_id TEXT, is_admin INTEGER, is_read_only INTEGER, created_ns INTEGER);
CREATE TABLE radio (dev_eui TEXT PRIMARY KEY, join_nonce INTEGER DEFAULT 0, session TEXT, last_seen_ns INTEGER, margin INTEGER,
  battery INTEGER);
CREATE TABLE dev_nonce (dev_eui TEXT, join_eui TEXT, dev_nonce INTEGER, PRIMARY KEY (dev_eui, join_eui, dev_nonce)) WITHOUT ROWID;
CREATE TABLE handover (arrival INTEGER PRIMARY KEY AUTOINCREMENT, dev_eui TEXT, kind TEXT, body TEXT);
CREATE TABLE secret (id INTEGER PRIMARY KEY, value BLOB);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER);
"""


class StoreError(Exception):
    """The file cannot be used; the text says which, why and what to do."""


class Store:
    """The file at `path` (":memory:" for none), made where it is not there."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.lock = threading.RLock()
        try:
            self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.execute("PRAGMA foreign_keys=ON")
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self.db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
            elif version != _VERSION:
                raise StoreError(
                    f"devnet: {path} has format {version}, this program knows {_VERSION}; move the file away to start anew"
                )
        except sqlite3.Error as e:
            raise StoreError(f"devnet: cannot open {path}: {e}; check that its folder exists and is writable") from e

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time; a nested one joins the outer. StoreError where the disk refuses."""
        with self.lock:
            if self.db.in_transaction:
                yield self.db
                return
            try:
                self.db.execute("BEGIN IMMEDIATE")
                try:
                    yield self.db
                    self.db.commit()
                except BaseException:
                    self.db.rollback()
                    raise
            except sqlite3.OperationalError as e:
                raise StoreError(f"devnet: {self._path}: {e}; make room or mend its rights, then run it again") from e

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def next(self, name: str) -> int:
        """1, 2, 3 ... for each name; inside a transaction."""
        sql = "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return int(self.db.execute(sql, (name,)).fetchall()[0][0])

    def close(self) -> None:
        """Ends the connection; the WAL is folded into the file."""
        with self.lock:
            self.db.close()

    # -- what API calls hand to the radio side

    def hand_over(self, dev_eui: str, kind: str = "device", body: str = "") -> None:
        """Notes that the radio side has something to take up; inside a transaction."""
        self.db.execute("INSERT INTO handover (dev_eui, kind, body) VALUES (?, ?, ?)", (dev_eui, kind, body))

    def take_handover(self) -> list[tuple[str, str, str]]:
        """(DevEUI, kind, body) in the order (DevEUI, arrival); empties the list. Inside a transaction."""
        rows = self.db.execute("SELECT dev_eui, kind, body FROM handover ORDER BY dev_eui, arrival").fetchall()
        self.db.execute("DELETE FROM handover")
        return rows

    # -- the radio side

    def device(self, dev_eui: str) -> Device | None:
        """A device with its keys, session and queue, or None."""
        found = self.rows(
            "SELECT d.message, a.id, a.message, p.id, p.message, t.id, t.name FROM device d JOIN application a ON a.id = d.application_id "
            "JOIN device_profile p ON p.id = d.device_profile_id JOIN tenant t ON t.id = a.tenant_id WHERE d.dev_eui = ?",
            dev_eui,
        )
        if not found:
            return None
        return self._build(dev_eui, *found[0])

    def _build(
        self, dev_eui: str, d: bytes, app_id: str, a: bytes, profile_id: str, p: bytes, tenant_id: str, tenant: str
    ) -> Device:
        device, application = device_pb2.Device.FromString(d), application_pb2.Application.FromString(a)
        profile = device_profile_pb2.DeviceProfile.FromString(p)
        info = integration.DeviceInfo(
            tenant_id=tenant_id,
            tenant_name=tenant,
            application_id=app_id,
            application_name=application.name,
            device_profile_id=profile_id,
            device_profile_name=profile.name,
            device_name=device.name,
            dev_eui=dev_eui,
            device_class_enabled=common.DeviceClass.CLASS_A,
            tags=events.tags(application.tags.items(), profile.tags.items(), device.tags.items()),
        )
        txack_info = integration.DeviceInfo()
        txack_info.CopyFrom(info)
        txack_info.tags.clear()  # ChirpStack leaves the application's tags out of txack events
        txack_info.tags.update(events.tags(profile.tags.items(), device.tags.items()))
        keys = self.rows("SELECT nwk_key FROM device_keys WHERE dev_eui = ?", dev_eui)
        radio = self.rows(
            "SELECT join_nonce, session, last_seen_ns, margin, battery FROM radio WHERE dev_eui = ?", dev_eui
        )
        join_nonce, session, last_seen_ns, margin, battery = radio[0] if radio else (0, None, None, None, None)
        queue = self.rows(
            "SELECT id, f_port, data, confirmed, expires_ns, pending, f_cnt_down FROM device_queue_item "
            "WHERE dev_eui = ? AND NOT flushed ORDER BY arrival",
            dev_eui,
        )
        return Device(
            dev_eui=dev_eui,
            application_id=app_id,
            info=info,
            txack_info=txack_info,
            profile=Profile(
                adr=profile.adr_algorithm_id == "default",
                status_interval=profile.device_status_req_interval,
                rx1_delay=profile.rx1_delay,
                flush_queue_on_activate=profile.flush_queue_on_activate,
                supports_otaa=profile.supports_otaa,
                codec=profile.payload_codec_script if profile.payload_codec_runtime == device_profile_pb2.JS else "",
            ),
            disabled=device.is_disabled,
            skip_fcnt_check=device.skip_fcnt_check,
            variables=dict(device.variables),
            app_key=bytes.fromhex(keys[0][0]) if keys else None,
            nonces=set(self.rows("SELECT join_eui, dev_nonce FROM dev_nonce WHERE dev_eui = ?", dev_eui)),
            join_nonce=join_nonce,
            session=Session.from_json(session) if session else None,
            queue=[QueueItem(i, f, d, bool(c), e, bool(pending), n) for i, f, d, c, e, pending, n in queue],
            last_seen_ns=last_seen_ns,
            margin=margin,
            battery=battery,
        )

    def save_radio(self, device: Device) -> None:
        """Session and counters of a device; inside a transaction."""
        session = device.session.to_json() if device.session else None
        values = (device.dev_eui, device.join_nonce, session, device.last_seen_ns, device.margin, device.battery)
        self.db.execute("INSERT OR REPLACE INTO radio VALUES (?, ?, ?, ?, ?, ?)", values)

    def add_nonce(self, dev_eui: str, join_eui: str, dev_nonce: int) -> None:
        """A DevNonce used; inside a transaction."""
        self.db.execute("INSERT INTO dev_nonce VALUES (?, ?, ?)", (dev_eui, join_eui, dev_nonce))

    def save_item(self, item: QueueItem) -> None:
        """`pending` and `f_cnt_down` of a queue item; inside a transaction."""
        sql = "UPDATE device_queue_item SET pending = ?, f_cnt_down = ? WHERE id = ?"
        self.db.execute(sql, (item.pending, item.f_cnt_down, item.id))

    def delete_item(self, item_id: str) -> None:
        """A queue item is done with; inside a transaction."""
        self.db.execute("DELETE FROM device_queue_item WHERE id = ?", (item_id,))

    def apply(self, dev_eui: str, kind: str, body: str) -> None:
        """What one hand-over changes on the radio side before the device is read again; inside a transaction."""
        if kind == "flush_nonces":
            self.db.execute("DELETE FROM dev_nonce WHERE dev_eui = ?", (dev_eui,))
        elif kind == "delete":
            self.db.execute("DELETE FROM dev_nonce WHERE dev_eui = ?", (dev_eui,))
            self.db.execute("DELETE FROM radio WHERE dev_eui = ?", (dev_eui,))
        elif kind == "new_keys":  # the counter of JoinNonces goes with the keys, as in ChirpStack's device_keys row
            self.db.execute("DELETE FROM dev_nonce WHERE dev_eui = ?", (dev_eui,))
            self.db.execute("UPDATE radio SET join_nonce = 0 WHERE dev_eui = ?", (dev_eui,))
        elif kind == "session":
            session = json.loads(body)["session"]
            self.db.execute("INSERT OR IGNORE INTO radio (dev_eui) VALUES (?)", (dev_eui,))
            self.db.execute("UPDATE radio SET session = ? WHERE dev_eui = ?", (session, dev_eui))
        elif kind == "queue":
            self.db.execute("DELETE FROM device_queue_item WHERE dev_eui = ? AND flushed", (dev_eui,))
