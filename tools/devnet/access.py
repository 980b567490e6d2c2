"""Who may call: the admin user, API keys and their tokens; identifiers as callers write them; refusals in ChirpStack's words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Callable
from typing import NamedTuple

import grpc

from .store import Store

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


class Access:
    """The users and API keys of a store. `new_id(kind)` makes an id, inside a transaction; `now_ns()`: for created_at."""

    def __init__(self, store: Store, new_id: Callable[[str], str], now_ns: Callable[[], int]) -> None:
        self._store, self._new_id, self._now_ns = store, new_id, now_ns
        with store.transaction() as db:
            db.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
        self._secret: bytes = store.rows("SELECT value FROM secret")[0][0]

    def login(self, email: str, password: str) -> str:
        """A token for the admin user."""
        if email != ADMIN or password != ADMIN_PASSWORD:
            raise ApiError(grpc.StatusCode.UNAUTHENTICATED, "Invalid username or password")
        return self._token({"typ": "user", "sub": ADMIN})

    def create_api_key(self, name: str, tenant_id: str, *, is_admin: bool, is_read_only: bool) -> tuple[str, str]:
        """(id, token) of a new key; tenant_id is empty for an admin key."""
        with self._store.transaction() as db:
            if not is_admin and not db.execute("SELECT 1 FROM tenant WHERE id = ?", (tenant_id,)).fetchall():
                raise not_found(tenant_id)
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
        with self._store.transaction() as db:
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

    def _token(self, claims: dict[str, str]) -> str:
        """A JWT, HS256, as ChirpStack's tokens are."""
        head = _base64(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        body = _base64(json.dumps({"aud": "chirpstack", "iss": "chirpstack", **claims}).encode())
        return f"{head}.{body}.{_base64(hmac.digest(self._secret, f'{head}.{body}'.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
