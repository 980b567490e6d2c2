"""`os` of the ESP32 port: the file system, and random bytes from the board's own entropy."""

# ruff: noqa: D103, F401  what the board's os has beside files' own

from hashlib import sha256

import costs
import link
from uos import (
    chdir,
    getcwd,
    ilistdir,
    listdir,
    mkdir,
    mount,
    remove,
    rename,
    rmdir,
    stat,
    statvfs,
    umount,
    unlink,
)
from vfs import VfsLfs2

sep = "/"
_counter = 0


def urandom(n: int) -> bytes:
    """`n` bytes: SHA-256 in counter mode over what the world gave this boot."""
    global _counter
    found = b""
    while len(found) < n:
        found += sha256(link.entropy + _counter.to_bytes(4, "little")).digest()
        _counter += 1
    link.spend(costs.URANDOM_WORD * (1 + n // 4))
    return found[:n]


def sync() -> None:
    """Files are in flash when closed; nothing is left to do."""


def uname():
    return ("esp32", "esp32", "1.25.0", "v1.25.0", "virtual ESP32S3")
