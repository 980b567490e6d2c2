"""The page's one account, which can read and nothing else: its password's file, its sessions, and patience with wrong passwords.

The file holds a scrypt hash, mode 0600; the password itself is nowhere. Sessions live in memory: a restart ends them, and so does
a new password. Tokens are kept as hashes, so that nobody who reads the memory's dump can use one.
"""

import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError, UsageError

LEAST_LENGTH = 10
_LONGEST = 1024
_SESSION_S = 7 * 86_400.0
_MOST_SESSIONS = 200
_FREE_TRIES = 5  # wrong passwords of one address before it must wait
_FIRST_WAIT_S = 10.0
_LONGEST_WAIT_S = 900.0
_MOST_ADDRESSES = 10_000
# RFC 7914 with N = 2^15, r = 8, p = 3: 32 MB and about a quarter of a second a try.
_N, _R, _P = 2**15, 8, 3
_MEMORY = 64 * 1024 * 1024
_MOST_P = 16


def set_password(path: Path, password: str) -> None:
    """Writes the hash, readable by the owner only. UsageError for a password that is too short, SettingsError where it cannot."""
    if not LEAST_LENGTH <= len(password) <= _LONGEST:
        raise UsageError(f"web password: it has {len(password)} characters; give {LEAST_LENGTH} to {_LONGEST}")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise UsageError("web password: it is not UTF-8; a browser sends it as that, so give it as that") from None
    salt = secrets.token_bytes(16)
    text = json.dumps({"scrypt": [_N, _R, _P], "salt": salt.hex(), "hash": _hash(password, salt, _N, _R, _P).hex()})
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise SettingsError(
            f"web password: {error.filename or path}: {error.strerror}; "
            "mend that or change [web] password_file, and run it as the gateway's user"
        ) from None


def _hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


@dataclass(slots=True)
class _Failures:
    number: int
    until: float  # no try before


class Account:
    """Checks passwords and keeps sessions. Safe from several threads; `monotonic` is in seconds."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()  # a try takes 32 MB
        self._sessions: dict[bytes, tuple[float, str]] = {}  # by the token's hash: when it ends, and for which file
        self._failures: dict[str, _Failures] = {}

    def trouble(self) -> str | None:
        """None, or the word for why nobody can sign in: "missing" or "unreadable"."""
        try:
            self._read()
        except FileNotFoundError:
            return "missing"
        except (OSError, ValueError):
            return "unreadable"
        return None

    def wait_s(self, address: str) -> float:
        """How long this address must wait before its next try, 0 for not at all."""
        with self._lock:
            known = self._failures.get(address)
            return 0.0 if known is None else max(0.0, known.until - self._monotonic())

    def sign_in(self, address: str, password: str) -> str | None:
        """A new session's token, None for a wrong password. The caller asks `wait_s` and `trouble` first."""
        with self._one_at_a_time:
            text = self._read()
            stored = json.loads(text)
            n, r, p = stored["scrypt"]
            tried = _hash(password[:_LONGEST], bytes.fromhex(stored["salt"]), n, r, p)
        right = hmac.compare_digest(tried, bytes.fromhex(stored["hash"]))
        with self._lock:
            if not right:
                self._note_failure(address)
                return None
            self._failures.pop(address, None)
            token = secrets.token_urlsafe(32)
            while len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[_name(token)] = (self._monotonic() + _SESSION_S, text)
            return token

    def signed_in(self, token: str | None) -> bool:
        """Whether the token's session goes on: not over, not signed out, the password still the same."""
        if not token:
            return False
        try:
            text = self._read()
        except (OSError, ValueError):
            return False
        with self._lock:
            until, of = self._sessions.get(_name(token), (0.0, ""))
            return self._monotonic() < until and of == text

    def sign_out(self, token: str | None) -> None:
        """Ends the session."""
        with self._lock:
            self._sessions.pop(_name(token or ""), None)

    def _note_failure(self, address: str) -> None:
        now = self._monotonic()
        known = self._failures.pop(address, _Failures(0, now))
        known.number += 1
        over = known.number - _FREE_TRIES
        known.until = now + (min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(over, 20)) if over >= 0 else 0.0)
        while len(self._failures) >= _MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        self._failures[address] = known

    def _read(self) -> str:
        """The file's text, ValueError for one that is none; it is read each time, 200 bytes, so that a new password holds at once."""
        text = self._path.read_text(encoding="ascii")
        try:
            found = json.loads(text)
            bytes.fromhex(found["salt"] + found["hash"])
            n, r, p = map(int, found["scrypt"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a password's file: {error}") from None
        if n * r * 128 >= _MEMORY or p > _MOST_P:
            raise ValueError("its hash would take more memory or time than a try may")
        return text


def _name(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
