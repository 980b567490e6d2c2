"""The readings that a bin or an air node keeps until they are proven sent, oldest first. Pure. In RTC memory only.

An entry is its UTC mark (s), how far it has got and whether the clock was unsure, and the bytes of its frame entry.
"""

import struct

VERSION = 2  # of the record `past`, that a meter's days (version 1) share
WAITING, SENT, PROVEN = 0, 1, 2
_UNSURE = 0x80  # in the byte of the state: the clock may have been off by more than 60 s when the reading was taken
_HEAD_BYTES = 5


class Ring:
    """At most `kept` entries of `size` bytes each; `dropped` counts those pushed out before they were sent.

    They stay in the one block that came from RTC memory: a list of small objects would leave the heap full of holes.
    """

    def __init__(self, size, kept, body=None):
        """From `pack()`'s bytes or empty; bytes of another size of entry are forgotten."""
        self._bytes = size + _HEAD_BYTES
        self._most = kept * self._bytes
        self._data = bytearray(body if body and len(body) % self._bytes == 0 else b"")
        self.dropped = 0

    def pack(self):
        """The body of the record: the ring's own block, not a copy."""
        return self._data

    def add(self, mark, data, unsure=False):
        """A reading at UTC second `mark`. One not later than the newest (the clock was set back) is ignored."""
        newest = self.newest()
        if newest is not None and mark <= newest:
            return
        entry = struct.pack("<IB", mark, WAITING | (_UNSURE if unsure else 0)) + data
        if len(self._data) < self._most:
            self._data.extend(entry)
            return
        self.dropped += self._data[4] & ~_UNSURE == WAITING
        block = memoryview(self._data)
        block[: -self._bytes] = block[self._bytes :]
        block[-self._bytes :] = entry

    def waiting(self):
        """How many entries no frame has carried yet."""
        return len([at for at in self._places() if self._data[at + 4] & ~_UNSURE == WAITING])

    def newest(self, only_waiting=False):
        """The mark of the newest entry (or of the newest that waits); None if there is none."""
        found = None
        for at in self._places():
            if not only_waiting or self._data[at + 4] & ~_UNSURE == WAITING:
                found = at
        return None if found is None else self._mark(found)

    def unsure(self, mark):
        """Whether the clock was unsure at the entry with this mark."""
        at = self._find(mark)
        return at is not None and bool(self._data[at + 4] & _UNSURE)

    def history(self, mark, step, most):
        """[data or None] of `mark`, `mark - step`, …: at most `most`, none behind the last that is there.

        Nor any behind one that was taken with a clock of another certainty, because a frame has one flag for all.
        """
        unsure = self.unsure(mark)
        found: list = []
        for i in range(most):
            at = self._find(mark - i * step)
            if at is None:
                found.append(None)
            elif bool(self._data[at + 4] & _UNSURE) != unsure:
                break
            else:
                found.append(bytes(self._data[at + _HEAD_BYTES : at + self._bytes]))
        while found and found[-1] is None:
            found.pop()
        return found

    def advance(self, marks, state):
        """The entries with these marks have got at least as far as `state`."""
        for mark in marks:
            at = self._find(mark)
            if at is not None:
                old = self._data[at + 4]
                self._data[at + 4] = old & _UNSURE | max(old & ~_UNSURE, state)

    def _places(self):
        return range(0, len(self._data), self._bytes)

    def _mark(self, at):
        return struct.unpack_from("<I", self._data, at)[0]

    def _find(self, mark):
        for at in self._places():
            if self._mark(at) == mark:
                return at
        return None
