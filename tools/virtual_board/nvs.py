"""The non-volatile storage of one board (ESP-IDF `nvs_flash`): names, sizes and errors as there, kept in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

# ESP-IDF nvs.h, as offsets from ESP_ERR_NVS_BASE 0x1100
NOT_FOUND = 0x02
NO_SPACE = 0x05

# The port's partition of 0x6000 bytes: six pages of 126 entries of 32 bytes, one page kept free for moving (ESP-IDF manual,
# "Non-Volatile Storage", Structure of a Page). A namespace and an integer take one entry; a blob takes an index, a header
# and its data.
_ENTRIES = 5 * 126

I32 = 0
BLOB = 1


class Nvs:
    """Values by (namespace, key, kind). What was set and not committed is lost with the next reset."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        self._values = dict(self._stored)

    def _entries(self) -> int:
        namespaces = {name.split("\0")[1] for name in self._values}
        return len(namespaces) + sum(
            1 if name[0] == str(I32) else 2 + (len(value) // 2 + 31) // 32 for name, value in self._values.items()
        )

    @staticmethod
    def _name(kind: int, key: bytes) -> str:
        return f"{kind}\0{key.decode()}"

    def get(self, kind: int, key: bytes) -> bytes | None:
        """The value; `key` is namespace NUL key."""
        value = self._values.get(self._name(kind, key))
        return None if value is None else bytes.fromhex(value)

    def set(self, kind: int, key: bytes, value: bytes) -> int:
        """Returns 0 or NO_SPACE."""
        name = self._name(kind, key)
        before = self._values.get(name)
        self._values[name] = value.hex()
        self._values.pop(self._name(1 - kind, key), None)
        if self._entries() <= _ENTRIES:
            return 0
        del self._values[name]
        if before is not None:
            self._values[name] = before
        return NO_SPACE

    def erase(self, key: bytes) -> int:
        """Returns 0 or NOT_FOUND."""
        found = [self._values.pop(self._name(kind, key), None) for kind in (I32, BLOB)]
        return 0 if any(value is not None for value in found) else NOT_FOUND

    def commit(self) -> None:
        """Makes what was set durable."""
        if self._values != self._stored:
            self._stored = dict(self._values)
            fresh = self._path.with_suffix(".nvs.new")
            fresh.write_text(json.dumps(self._stored, sort_keys=True))
            fresh.replace(self._path)

    def reset(self) -> None:
        """Forgets what was not committed."""
        self._values = dict(self._stored)

    def contents(self) -> bytes:
        """What is durable, in one order."""
        return json.dumps(self._stored, sort_keys=True).encode()
