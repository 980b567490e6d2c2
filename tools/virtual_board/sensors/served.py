"""What all sensor models share: faults that a test orders, and the memory of what was served."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Served:
    """A frame or conversion: world time in ns at which the sensor took its values, the true values, the fault if any."""

    when: int
    values: tuple[int, ...]
    fault: str = ""


@dataclass
class Record:
    """Faults by world time, and the newest frames or conversions."""

    kinds: tuple[str, ...] = ("silent", "bad_checksum", "short")
    served: deque[Served] = field(default_factory=lambda: deque(maxlen=4096))
    _faults: list[tuple[str, int, int]] = field(default_factory=list)

    def inject(self, kind: str, since: int, until: int) -> None:
        """From `since` to `until` (ns) the sensor fails in this way."""
        if kind not in self.kinds:
            raise ValueError(f"sensor fault {kind!r}: give one of {', '.join(self.kinds)}")
        self._faults.append((kind, since, until))

    def fault(self, when: int) -> str:
        """The kind of fault at an instant, or ""."""
        return next((kind for kind, since, until in reversed(self._faults) if since <= when < until), "")

    def note(self, when: int, values: tuple[int, ...]) -> None:
        """Remembers what was served."""
        self.served.append(Served(when, values, self.fault(when)))


def spoil(data: bytes, fault: str) -> bytes:
    """A frame as the fault leaves it: nothing, a wrong check sum in its last byte, or the first half."""
    if fault == "silent":
        return b""
    if fault == "bad_checksum":
        return data[:-1] + bytes([data[-1] ^ 0xFF])
    return data[: len(data) // 2] if fault == "short" else data
