"""Named records in flash that survive power loss: `get` and `put` are the `store` that LoRaWAN's runner asks for.

`put` writes a temporary file and renames it; littlefs makes both durable and the rename atomic, so that a power cut at any
step leaves the old record or the new one, whole. A damaged record reads as absent.

Names, their writes, and the worst moment of each: docs/technician.md, "Power loss".
"""

import os

from keep.record import seal, unseal

VERSION = 1
_FOLDER = "/keep"


class Flash:
    """The records of one node; at most a few KB in all."""

    def __init__(self, folder=_FOLDER):
        self._folder = folder
        self.writes = 0

    def _path(self, name):
        return self._folder + "/" + name

    def get(self, name):
        """The record's bytes, or None if it was never written or is damaged."""
        try:
            with open(self._path(name), "rb") as file:
                return unseal(VERSION, file.read())
        except OSError:
            return None

    def put(self, name, data):
        """Durable and atomic when it returns. An unchanged record is not written again. OSError: the flash is full or failing."""
        if self.get(name) == data:
            return
        temporary = self._path(name) + ".new"
        try:
            os.mkdir(self._folder)
        except OSError:  # it is there since the first record of all
            pass
        with open(temporary, "wb") as file:
            file.write(seal(VERSION, data))
        os.rename(temporary, self._path(name))
        self.writes += 1


def pack_count(epoch, count):
    """The record `count`."""
    return epoch.to_bytes(2, "little") + count.to_bytes(4, "little")


def unpack_count(data):
    """(epoch, count); (0, 0) for None."""
    return (0, 0) if data is None else (int.from_bytes(data[:2], "little"), int.from_bytes(data[2:6], "little"))
