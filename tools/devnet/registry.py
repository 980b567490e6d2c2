"""What ChirpStack's API stores: tenants, applications, profiles, gateways, devices, keys, queue, API keys.

Takes and gives `chirpstack_api.api` messages. Errors carry ChirpStack's gRPC code and text (recorded: grpc-answers.json); those of
SQLite are handed on as ChirpStack does with its SQLite build. A change that the radio side sees is put on the hand-over list in
the same transaction; it takes effect when `Devnet.apply_pending` runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2, gateway_pb2, tenant_pb2

from . import events
from .exchange import uuid_text
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
ADMIN, ADMIN_PASSWORD = "admin", "admin"  # ChirpStack's first user; devnet has no other


class ApiError(Exception):
    """A refusal: gRPC code and ChirpStack's text."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Caller(NamedTuple):
    """Who calls: the admin user or an API key. `tenant_id` is empty for an admin key."""

    is_admin: bool
    tenant_id: str
    is_read_only: bool


class Stored(NamedTuple):
    """A stored object with its times (ns UTC)."""

    message: Any
    created_ns: int
    updated_ns: int


def not_found(key: str) -> ApiError:
    """ChirpStack's NOT_FOUND."""
    return ApiError(grpc.StatusCode.NOT_FOUND, f"Object does not exist (id: {key})")


def hex_id(text: str, size: int = 8) -> str:
    """An EUI (8 bytes) or key (16) in lower case; ChirpStack's text for every fault is about the length."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != size or len(text) != 2 * size:
        raise ApiError(grpc.StatusCode.INTERNAL, "Invalid string length")
    return raw.hex()


def uuid_id(text: str) -> str:
    """A UUID in canonical form; errors in the words of Rust's `uuid` crate."""
    bare = text.replace("-", "").lower()
    wrong = next((i for i, c in enumerate(text) if c not in "0123456789abcdefABCDEF-"), None)
    if wrong is not None:
        raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"invalid character: found `{text[wrong]}` at {wrong}")
    if len(bare) != 32:
        raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, f"invalid length: found {len(text)}")
    return str(uuid.UUID(bare))


def allow(caller: Caller, tenant_id: str, *, write: bool) -> None:
    """An admin may do all, a tenant's key what is its tenant's, a read-only key read; ChirpStack refuses without a text."""
    ours = caller.is_admin or (tenant_id and caller.tenant_id == tenant_id)
    if not ours or (write and caller.is_read_only):
        raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "")


class Registry:
    """The API's storage over a Store. `now_ns()`: for created_at and updated_at; `entropy`: as the core's, for ids."""

    def __init__(self, store: Store, entropy: Callable[[str, bytes], bytes], now_ns: Callable[[], int]) -> None:
        self._store, self._entropy, self._now_ns = store, entropy, now_ns
        with store.transaction() as db:
            db.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
        self._secret: bytes = store.rows("SELECT value FROM secret")[0][0]

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
        with self._writing() as db:
            stored = MESSAGES[kind]()
            stored.CopyFrom(message)
            key_name = _KEY[kind]
            if key_name == "id":
                stored.id = self._new_id(kind)
            key = str(getattr(stored, key_name))
            if (
                kind == "device"
                and not db.execute("SELECT 1 FROM application WHERE id = ?", (message.application_id,)).fetchall()
            ):
                raise ApiError(grpc.StatusCode.INTERNAL, "Record not found")
            columns = self._columns(kind, stored)
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            now = self._now_ns()
            db.execute(  # names are ours
                f"INSERT INTO {kind} ({names}, message, created_ns, updated_ns) VALUES ({marks}, ?, ?, ?)",  # noqa: S608
                (*columns.values(), stored.SerializeToString(), now, now),
            )
            if kind == "device":
                self._store.hand_over(key)
        return key

    def update(self, kind: str, message: Any) -> None:
        """Replaces an object."""
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
            self._touched(kind, key)

    def delete(self, kind: str, key: str) -> None:
        """Removes an object and what hangs on it."""
        with self._writing() as db:
            gone = [r[0] for r in self._devices_of(kind, key)]
            if not db.execute(f"DELETE FROM {kind} WHERE {_KEY[kind]} = ?", (key,)).rowcount:  # noqa: S608
                raise not_found(key)
            for dev_eui in gone:
                self._store.hand_over(dev_eui, "delete")

    def get(self, kind: str, key: str) -> Stored:
        """One object."""
        rows = self._store.rows(
            f"SELECT message, created_ns, updated_ns FROM {kind} WHERE {_KEY[kind]} = ?",  # noqa: S608
            key,
        )
        if not rows:
            raise not_found(key)
        return Stored(MESSAGES[kind].FromString(rows[0][0]), *rows[0][1:])

    def page(self, kind: str, where: str, value: str, search: str, limit: int, offset: int) -> tuple[int, list[Stored]]:
        """(number in all, one page by name) of the objects whose column `where` has `value` (all, if `where` is empty)."""
        condition = f"{where} = ?" if where else "? = ''"
        sql = f"FROM {kind} WHERE {condition} AND name LIKE ?"
        values = (value, f"%{search}%")
        count = self._store.rows(f"SELECT count(*) {sql}", *values)[0][0]
        rows = self._store.rows(
            f"SELECT message, created_ns, updated_ns {sql} ORDER BY name, {_KEY[kind]} LIMIT ? OFFSET ?",
            *values,
            limit,
            offset,
        )
        return int(count), [Stored(MESSAGES[kind].FromString(m), c, u) for m, c, u in rows]

    def _columns(self, kind: str, message: Any) -> dict[str, str]:
        names = {"tenant": ("id", "name"), "device": ("dev_eui", "application_id", "device_profile_id", "name")}
        chosen = names.get(kind, (_KEY[kind], "tenant_id", "name"))
        return {name: str(getattr(message, name)) for name in chosen}

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

    def _touched(self, kind: str, key: str) -> None:
        for (dev_eui,) in self._devices_of(kind, key):
            self._store.hand_over(dev_eui)

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

    # -- who may do what

    def login(self, email: str, password: str) -> str:
        """A token for the admin user."""
        if email != ADMIN or password != ADMIN_PASSWORD:
            raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "Invalid username or password")
        return self._token({"typ": "user", "sub": ADMIN})

    def create_api_key(self, name: str, tenant_id: str, *, is_admin: bool, is_read_only: bool) -> tuple[str, str]:
        """(id, token) of a new key; tenant_id is empty for an admin key."""
        with self._writing() as db:
            if not is_admin:
                self.get("tenant", tenant_id)
            key_id = self._new_id("api_key")
            values = (key_id, name, "" if is_admin else tenant_id, is_admin, is_read_only, self._now_ns())
            db.execute("INSERT INTO api_key VALUES (?, ?, ?, ?, ?, ?)", values)
        return key_id, self._token({"typ": "key", "sub": key_id})

    def api_keys(self, tenant_id: str, *, is_admin: bool) -> list[tuple[str, str, str, bool, bool]]:
        """(id, name, tenant id, is admin, is read-only) of the admin keys or of a tenant's."""
        rows = self._store.rows(
            "SELECT id, name, tenant_id, is_admin, is_read_only FROM api_key WHERE is_admin = ? AND tenant_id = ? ORDER BY name, id",
            is_admin,
            "" if is_admin else tenant_id,
        )
        return [(i, n, t, bool(a), bool(r)) for i, n, t, a, r in rows]

    def delete_api_key(self, key_id: str) -> None:
        """The token made with it is refused from now on."""
        with self._writing() as db:
            if not db.execute("DELETE FROM api_key WHERE id = ?", (key_id,)).rowcount:
                raise not_found(key_id)

    def caller(self, token: str) -> Caller:
        """Who holds this token."""
        try:
            head, claims, signature = token.split(".")
            signed = f"{head}.{claims}".encode()
            genuine = hmac.compare_digest(_unbase64(signature), hmac.digest(self._secret, signed, "sha256"))
            fields = json.loads(_unbase64(claims)) if genuine else None
        except ValueError:
            fields = None
        if fields is None:
            raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "InvalidToken")
        if fields["typ"] == "user":
            return Caller(is_admin=True, tenant_id="", is_read_only=False)
        rows = self._store.rows("SELECT is_admin, tenant_id, is_read_only FROM api_key WHERE id = ?", fields["sub"])
        if not rows:
            raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "")
        return Caller(bool(rows[0][0]), rows[0][1], bool(rows[0][2]))

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

    def _token(self, claims: dict[str, str]) -> str:
        """A JWT, HS256, as ChirpStack's tokens are."""
        head = _base64(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        body = _base64(json.dumps({"aud": "chirpstack", "iss": "chirpstack", **claims}).encode())
        return f"{head}.{body}.{_base64(hmac.digest(self._secret, f'{head}.{body}'.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
