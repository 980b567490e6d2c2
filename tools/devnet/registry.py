"""What ChirpStack's API stores: tenants, applications, profiles, gateways, devices, keys, queue.

Takes and gives `chirpstack_api.api` messages. Errors carry ChirpStack's gRPC code and text (recorded: grpc-answers.json); those of
SQLite are handed on as ChirpStack does with its SQLite build. A change that the radio side sees is put on the hand-over list in
the same transaction; it takes effect when `Devnet.apply_pending` runs.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2, gateway_pb2, tenant_pb2
from chirpstack_api.common import common_pb2 as common
from chirpstack_api.gw import gw_pb2 as gw

from . import events, listing
from .access import Access, ApiError, hex_id, not_found
from .exchange import uuid_text
from .listing import Wanted
from .state import Session
from .store import Store

MESSAGES: dict[str, Any] = {
    "tenant": tenant_pb2.Tenant,
    "application": application_pb2.Application,
    "device_profile": device_profile_pb2.DeviceProfile,
    "gateway": gateway_pb2.Gateway,
    "device": device_pb2.Device,
}
_KEY = {"tenant": "id", "application": "id", "device_profile": "id", "gateway": "gateway_id", "device": "dev_eui"}


class Stored(NamedTuple):
    """A stored object with its times (ns UTC)."""

    message: Any
    created_ns: int
    updated_ns: int


def stored_place(place: common.Location) -> common.Location:
    """Of a gateway's place what ChirpStack stores: degrees, and the altitude in single precision."""
    (altitude,) = struct.unpack("<f", struct.pack("<f", place.altitude))
    return common.Location(latitude=place.latitude, longitude=place.longitude, altitude=altitude)


def _check(kind: str, message: Any) -> None:
    """What ChirpStack validates before it stores; a device may be without a name."""
    text = ""
    if kind != "device" and not message.name:
        text = "name is not set"
    elif kind == "device_profile" and message.rx1_delay > 15:
        text = "RX1 Delay must be between 0 - 15"
    elif kind == "gateway" and not message.downlink_priority:
        text = "downlink_priority must be > 0"
    if text:
        twice = "Validation error: " if kind == "device_profile" else ""
        raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"{twice}Validation error: {text}")


class Registry:
    """The API's storage over a Store. `now_ns()`: for created_at and updated_at; `entropy`: as the core's, for ids."""

    def __init__(self, store: Store, entropy: Callable[[str, bytes], bytes], now_ns: Callable[[], int]) -> None:
        self._store, self._entropy, self._now_ns = store, entropy, now_ns
        self.access = Access(store, self._new_id, now_ns)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._store.transaction() as db:
                yield db
        except sqlite3.IntegrityError as e:
            raise ApiError(grpc.StatusCode.INTERNAL, str(e)) from e

    def _new_id(self, kind: str, data: bytes = b"") -> str:
        return uuid_text(self._entropy(kind, data + self._store.next(kind + data.hex()).to_bytes(8, "big")))

    # -- tenants, applications, device profiles, gateways, devices

    def create(self, kind: str, message: Any) -> str:
        """Stores a new object and returns its key; ids of tenants, applications and profiles are made here."""
        _check(kind, message)
        with self._writing() as db:
            stored = MESSAGES[kind]()
            stored.CopyFrom(message)
            key_name = _KEY[kind]
            if key_name == "id":
                stored.id = self._new_id(kind)
            key = str(getattr(stored, key_name))
            if kind in ("device", "gateway"):
                self._within_limits(kind, message)
            columns = self._columns(kind, stored)
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            now = self._now_ns()
            db.execute(  # names are ours
                f"INSERT INTO {kind} ({names}, message, created_ns, updated_ns) VALUES ({marks}, ?, ?, ?)",  # noqa: S608
                (*columns.values(), stored.SerializeToString(), now, now),
            )
            if kind == "device":
                self._store.hand_over(key)
            elif kind == "gateway":
                self._store.hand_over(key, "gateway")
        return key

    def update(self, kind: str, message: Any) -> None:
        """Replaces an object."""
        _check(kind, message)
        key = str(getattr(message, _KEY[kind]))
        with self._writing() as db:
            columns = self._columns(kind, message)
            sets = ", ".join(f"{name} = ?" for name in columns)
            found = db.execute(
                f"UPDATE {kind} SET {sets}, message = ?, updated_ns = ? WHERE {_KEY[kind]} = ?",  # noqa: S608
                (*columns.values(), message.SerializeToString(), self._now_ns(), key),
            )
            if not found.rowcount:
                raise not_found(key)
            for (dev_eui,) in self._devices_of(kind, key):
                self._store.hand_over(dev_eui)
            if kind in ("gateway", "tenant"):  # a tenant says for whom its gateways work
                self._store.hand_over(key, "gateway")

    def delete(self, kind: str, key: str) -> None:
        """Removes an object and what hangs on it."""
        with self._writing() as db:
            gone = [r[0] for r in self._devices_of(kind, key)]
            if not db.execute(f"DELETE FROM {kind} WHERE {_KEY[kind]} = ?", (key,)).rowcount:  # noqa: S608
                raise not_found(key)
            for dev_eui in gone:
                self._store.hand_over(dev_eui, "delete")
            if kind in ("gateway", "tenant"):
                self._store.hand_over(key, "gateway")

    def get(self, kind: str, key: str) -> Stored:
        """One object."""
        rows = self._store.rows(
            f"SELECT message, created_ns, updated_ns FROM {kind} WHERE {_KEY[kind]} = ?",  # noqa: S608
            key,
        )
        if not rows:
            raise not_found(key)
        return Stored(MESSAGES[kind].FromString(rows[0][0]), *rows[0][1:])

    def page(self, kind: str, wanted: Wanted) -> tuple[int, list[Stored]]:
        """(number in all, one page) of a kind of objects."""
        count, rows = listing.page(self._store, kind, wanted)
        return count, [Stored(MESSAGES[kind].FromString(m), c, u) for m, c, u in rows]

    def gateway_stats(self, stats: gw.GatewayStats, now_ns: int) -> None:
        """A registered gateway is alive; where it says where it is, this replaces what was registered (uplink/stats.rs)."""
        key, place = stats.gateway_id.lower(), stats.location
        with self._writing() as db:
            if not db.execute("SELECT 1 FROM gateway WHERE gateway_id = ?", (key,)).fetchall():
                return
            properties = json.dumps(dict(stats.metadata), sort_keys=True)
            db.execute("INSERT OR REPLACE INTO gateway_stats VALUES (?, ?, ?)", (key, now_ns, properties))
            if place.latitude or place.longitude or place.altitude:
                gateway = self.get("gateway", key).message
                gateway.location.CopyFrom(stored_place(place))
                db.execute("UPDATE gateway SET message = ? WHERE gateway_id = ?", (gateway.SerializeToString(), key))
                self._store.hand_over(key, "gateway")

    def gateway_seen(self, gateway_id: str) -> tuple[int | None, dict[str, str]]:
        """(when a gateway's stats came last, ns; the metadata in them), (None, {}) until some have come."""
        sql = "SELECT last_seen_ns, properties FROM gateway_stats WHERE gateway_id = ?"
        rows = self._store.rows(sql, gateway_id)
        return (rows[0][0], json.loads(rows[0][1])) if rows else (None, {})

    def _within_limits(self, kind: str, message: Any) -> None:
        """What the tenant may have."""
        if kind == "device":
            found = self._store.rows("SELECT tenant_id FROM application WHERE id = ?", message.application_id)
            if not found:
                raise ApiError(grpc.StatusCode.INTERNAL, "Record not found")
            sql = "SELECT count(*) FROM device d JOIN application a ON a.id = d.application_id WHERE a.tenant_id = ?"
            tenant_id = found[0][0]
        else:
            sql, tenant_id = "SELECT count(*) FROM gateway WHERE tenant_id = ?", message.tenant_id
        tenant, count = self.get("tenant", tenant_id).message, self._store.rows(sql, tenant_id)[0][0]
        if kind == "gateway" and not tenant.can_have_gateways:
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "Not allowed (Tenant can not have gateways)")
        limit = getattr(tenant, f"max_{kind}_count")
        if limit and count >= limit:
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"Not allowed (Max number of {kind}s exceeded for tenant)")

    def _columns(self, kind: str, message: Any) -> dict[str, str]:
        names = {"tenant": ("id", "name"), "device": ("dev_eui", "application_id", "device_profile_id", "name")}
        chosen = names.get(kind, (_KEY[kind], "tenant_id", "name"))
        columns = {name: str(getattr(message, name)) for name in chosen}
        if kind == "device":
            columns["tags"] = json.dumps(dict(message.tags))
        return columns

    def _devices_of(self, kind: str, key: str) -> list[tuple[Any, ...]]:
        where = {
            "device": "d.dev_eui = ?",
            "application": "d.application_id = ?",
            "device_profile": "d.device_profile_id = ?",
            "tenant": "a.tenant_id = ?",
        }.get(kind)
        if where is None:
            return []
        sql = f"SELECT d.dev_eui FROM device d JOIN application a ON a.id = d.application_id WHERE {where}"  # noqa: S608
        return self._store.rows(sql, key)

    # -- keys and session of a device

    def create_keys(self, keys: device_pb2.DeviceKeys) -> None:
        """The root keys; a 1.0.x AppKey is in nwk_key."""
        values = self._key_values(keys)
        with self._writing() as db:
            now = self._now_ns()
            db.execute("INSERT INTO device_keys VALUES (?, ?, ?, ?, ?, ?)", (*values, now, now))
            self._store.hand_over(values[0], "new_keys")

    def _key_values(self, keys: device_pb2.DeviceKeys) -> tuple[str, str, str, str]:
        roots = (hex_id(k or "00" * 16, 16) for k in (keys.nwk_key, keys.app_key, keys.gen_app_key))
        return (keys.dev_eui, *roots)

    def update_keys(self, keys: device_pb2.DeviceKeys) -> None:
        """Other root keys; DevNonces and JoinNonce go on."""
        dev_eui, *values = self._key_values(keys)
        with self._writing() as db:
            sql = "UPDATE device_keys SET nwk_key = ?, app_key = ?, gen_app_key = ?, updated_ns = ? WHERE dev_eui = ?"
            if not db.execute(sql, (*values, self._now_ns(), dev_eui)).rowcount:
                raise not_found(dev_eui)
            self._store.hand_over(dev_eui)

    def keys(self, dev_eui: str) -> Stored:
        """The root keys."""
        sql = "SELECT nwk_key, app_key, gen_app_key, created_ns, updated_ns FROM device_keys WHERE dev_eui = ?"
        rows = self._store.rows(sql, dev_eui)
        if not rows:
            raise not_found(dev_eui)
        nwk_key, app_key, gen_app_key, created_ns, updated_ns = rows[0]
        message = device_pb2.DeviceKeys(dev_eui=dev_eui, nwk_key=nwk_key, app_key=app_key, gen_app_key=gen_app_key)
        return Stored(message, created_ns, updated_ns)

    def delete_keys(self, dev_eui: str) -> None:
        """No root keys, no join; the session goes on."""
        with self._writing() as db:
            if not db.execute("DELETE FROM device_keys WHERE dev_eui = ?", (dev_eui,)).rowcount:
                raise not_found(dev_eui)
            self._store.hand_over(dev_eui)

    def flush_dev_nonces(self, dev_eui: str) -> None:
        """Used DevNonces may be used again."""
        self.keys(dev_eui)
        with self._writing():
            self._store.hand_over(dev_eui, "flush_nonces")

    def session(self, dev_eui: str) -> Session | None:
        """The session as last committed by the radio side, or None."""
        rows = self._store.rows("SELECT session FROM radio WHERE dev_eui = ? AND session IS NOT NULL", dev_eui)
        return Session.from_json(rows[0][0]) if rows else None

    def set_session(self, dev_eui: str, session: Session | None) -> None:
        """Activation by personalisation, or (None) deactivation with an empty queue."""
        self.get("device", dev_eui)
        with self._writing():
            text = None if session is None else session.to_json()
            self._store.hand_over(dev_eui, "session", json.dumps({"session": text}))
            if session is None:
                self.flush_queue(dev_eui)

    def radio(self, dev_eui: str) -> tuple[int | None, int | None, int | None]:
        """(last seen, ns; margin, dB; battery as in DevStatusAns) of a device, each None until known."""
        rows = self._store.rows("SELECT last_seen_ns, margin, battery FROM radio WHERE dev_eui = ?", dev_eui)
        return rows[0] if rows else (None, None, None)

    # -- queue

    def enqueue(self, item: device_pb2.DeviceQueueItem) -> str:
        """Puts a downlink at the end of the queue and returns its id, which is the same for the same seed and order of arrival."""
        dev_eui, port = item.dev_eui, item.f_port & 0xFF
        if not port:
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "Validation error: FPort must be between 1 - 255")
        expires_ns = item.expires_at.ToNanoseconds() if item.HasField("expires_at") else None
        with self._writing() as db:
            item_id = self._new_id("queue", bytes.fromhex(dev_eui))
            db.execute(
                "INSERT INTO device_queue_item (id, dev_eui, f_port, data, confirmed, expires_ns) VALUES (?, ?, ?, ?, ?, ?)",
                (item_id, dev_eui, port, item.data, item.confirmed, expires_ns),
            )
            self._store.hand_over(dev_eui, "queue")
        return item_id

    def queue(self, dev_eui: str) -> list[device_pb2.DeviceQueueItem]:
        """The queue as the API's callers see it: with what is not applied yet, without what is flushed."""
        rows = self._store.rows(
            "SELECT id, f_port, data, confirmed, expires_ns, pending, f_cnt_down FROM device_queue_item "
            "WHERE dev_eui = ? AND NOT flushed ORDER BY arrival",
            dev_eui,
        )
        out = []
        for item_id, port, data, confirmed, expires_ns, pending, f_cnt_down in rows:
            item = device_pb2.DeviceQueueItem(
                id=item_id,
                dev_eui=dev_eui,
                confirmed=bool(confirmed),
                f_port=port,
                data=data,
                is_pending=bool(pending),
                f_cnt_down=f_cnt_down or 0,
            )
            if expires_ns is not None:
                item.expires_at.CopyFrom(events.timestamp(expires_ns))
            out.append(item)
        return out

    def flush_queue(self, dev_eui: str, *, keep_pending: bool = False) -> None:
        """Empties the queue; `keep_pending` spares an item that awaits its acknowledgement."""
        with self._writing() as db:
            condition = " AND NOT pending" if keep_pending else ""
            db.execute(f"UPDATE device_queue_item SET flushed = 1 WHERE dev_eui = ?{condition}", (dev_eui,))  # noqa: S608
            self._store.hand_over(dev_eui, "queue")

    def tenant_of(self, kind: str, key: str) -> str:
        """The tenant that an object belongs to, "" for one that is not there."""
        if kind == "tenant":
            return key
        if kind == "device":
            sql = "SELECT a.tenant_id FROM device d JOIN application a ON a.id = d.application_id WHERE d.dev_eui = ?"
        else:
            sql = f"SELECT tenant_id FROM {kind} WHERE {_KEY.get(kind, 'id')} = ?"  # noqa: S608
        rows = self._store.rows(sql, key)
        return str(rows[0][0]) if rows else ""
