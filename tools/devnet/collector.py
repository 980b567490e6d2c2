"""De-duplication: copies of one frame by several LoRa gateways, each at its own time, become one uplink.

As ChirpStack 4.20 does it in Redis (uplink/mod.rs): the first copy locks the frame for 400 ms and opens a window of 200 ms; a copy that
comes between them is lost, one that comes after the lock begins anew, and then has with it what came less than 400 ms before.
"""

from __future__ import annotations

from typing import NamedTuple

from .exchange import Reception, Uplink

WINDOW_NS = 200_000_000  # ChirpStack's network.deduplication_delay
_KEPT_NS = 2 * WINDOW_NS

_Key = tuple[bytes, int, int, int]


class _Copies(NamedTuple):
    """Of one frame. `kept_until` moves with each copy, `locked_until` does not."""

    receptions: tuple[Reception, ...]
    time_ns: int
    kept_until: int
    locked_until: int


class Collector:
    """The windows that are open."""

    def __init__(self) -> None:
        self._copies: dict[_Key, _Copies] = {}
        self._windows: list[tuple[int, int, _Key]] = []  # (end, number, frame), in order
        self._opened = 0

    def add(self, uplink: Uplink, now_ns: int) -> int | None:
        """One or more copies of a frame; returns the instant at which its window ends, if this opened one."""
        self._copies = {key: c for key, c in self._copies.items() if now_ns < max(c.kept_until, c.locked_until)}
        key = (uplink.phy, uplink.freq_hz, uplink.bandwidth_hz, uplink.spreading_factor)
        held = self._copies.get(key)
        before, time_ns = ((), uplink.time_ns) if held is None or now_ns >= held.kept_until else held[:2]
        receptions = before + tuple(r for r in uplink.receptions if r not in before)
        locked = held is not None and now_ns < held.locked_until
        locked_until = held.locked_until if held is not None and locked else now_ns + _KEPT_NS
        self._copies[key] = _Copies(receptions, time_ns, now_ns + _KEPT_NS, locked_until)
        if locked:
            return None
        self._opened += 1
        self._windows.append((now_ns + WINDOW_NS, self._opened, key))
        return now_ns + WINDOW_NS

    @property
    def next_due(self) -> int | None:
        """When the first open window ends."""
        return self._windows[0][0] if self._windows else None

    def due(self, now_ns: int) -> list[Uplink]:
        """The frames whose window has ended, in that order."""
        ended = [w for w in self._windows if w[0] <= now_ns]
        self._windows = self._windows[len(ended) :]
        out = []
        for _, _, key in ended:
            copies = self._copies[key]
            out.append(Uplink(*key, copies.receptions, copies.time_ns))
        return out
