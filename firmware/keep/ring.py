"""The readings that a bin or an air node keeps until they are proven sent, oldest first. Pure. In RTC memory only.

An entry is its UTC mark (s), how far it has got and whether the clock was unsure, and the bytes of its frame entry.
"""

import struct

VERSION = 2  # of the record `past`, that a meter's days (version 1) share
WAITING, SENT, PROVEN = 0, 1, 2
_UNSURE = 0x80  # in the byte of the state: the clock may have been off by more than 60 s when the reading was taken
_HEAD_BYTES = 5


class Ring:
    """At most `kept` entries of `size` bytes each; `dropped` counts those pushed out before they were sent."""

    def __init__(self, size, kept, body=None):
        """From `pack()`'s bytes or empty; bytes of another size of entry are forgotten."""
        self._bytes = size + _HEAD_BYTES
        self._kept = kept
        self._entries = []
        self.dropped = 0
        if body and len(body) % self._bytes == 0:
            for at in range(0, len(body), self._bytes):
                mark, state = struct.unpack_from("<IB", body, at)
                self._entries.append([mark, state, bytes(body[at + _HEAD_BYTES : at + self._bytes])])

    def pack(self):
        """The body of the record."""
        return b"".join([struct.pack("<IB", mark, state) + data for mark, state, data in self._entries])

    def add(self, mark, data, unsure=False):
        """A reading at UTC second `mark`. One not later than the newest (the clock was set back) is ignored."""
        if self._entries and mark <= self._entries[-1][0]:
            return
        self._entries.append([mark, WAITING | (_UNSURE if unsure else 0), data])
        if len(self._entries) > self._kept:
            self.dropped += _progress(self._entries.pop(0)) == WAITING

    def waiting(self):
        """How many entries no frame has carried yet."""
        return len([entry for entry in self._entries if _progress(entry) == WAITING])

    def newest(self, only_waiting=False):
        """The mark of the newest entry (or of the newest that waits); None if there is none."""
        marks = [entry[0] for entry in self._entries if not only_waiting or _progress(entry) == WAITING]
        return marks[-1] if marks else None

    def unsure(self, mark):
        """Whether the clock was unsure at the entry with this mark."""
        return any(entry[1] & _UNSURE for entry in self._entries if entry[0] == mark)

    def history(self, mark, step, most):
        """[data or None] of `mark`, `mark - step`, …: at most `most`, none behind the last that is there.

        Nor any behind one that was taken with a clock of another certainty, because a frame has one flag for all.
        """
        unsure = self.unsure(mark)
        known = {entry[0]: entry for entry in self._entries}
        found = []
        for i in range(most):
            entry = known.get(mark - i * step)
            if entry and bool(entry[1] & _UNSURE) != unsure:
                break
            found.append(entry and entry[2])
        while found and found[-1] is None:
            found.pop()
        return found

    def advance(self, marks, state):
        """The entries with these marks have got at least as far as `state`."""
        for entry in self._entries:
            if entry[0] in marks:
                entry[1] = entry[1] & _UNSURE | max(_progress(entry), state)


def _progress(entry):
    return entry[1] & ~_UNSURE
