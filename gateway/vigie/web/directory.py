"""What the register knows of the nodes, without a name: read now and then, so that a page costs no reading of all sites."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from ..errors import VigieError
from ..rows import BinShape

_FRESH_S = 20.0
_DAY_NS = 86_400_000_000_000
_log = structlog.get_logger("web")


class Meter(NamedTuple):
    """A meter that a node counted, from `since_ns` until `until_ns` (None: it still does)."""

    since_ns: int
    until_ns: int | None
    ml_per_pulse: int


class Known(NamedTuple):
    """A node of the register: no household, no address, no position (contract 10). `interval_s`: None where the kind's own holds."""

    site: str
    district: str
    kind: str
    interval_s: int | None = None
    meters: tuple[Meter, ...] = ()
    shape: BinShape | None = None

    def ml_per_pulse(self, day_ns: int) -> int | None:
        """Of the meter that was counted all through the UTC day that begins at `day_ns`; None where there was none."""
        for meter in self.meters:
            if meter.since_ns <= day_ns and (meter.until_ns is None or day_ns + _DAY_NS <= meter.until_ns):
                return meter.ml_per_pulse
        return None


class Directory:
    """The register's nodes by DevEUI, read again when older than 20 s; the last ones where it cannot be read."""

    def __init__(
        self, load: Callable[[], Mapping[str, Known]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: Mapping[str, Known] = {}
        self._read_at: float | None = None
        self._trouble = ""

    def known(self) -> Mapping[str, Known]:
        """By DevEUI; nobody may change it."""
        with self._lock:
            now = self._monotonic()
            if self._read_at is None or now - self._read_at > _FRESH_S:
                self._read_at = now
                try:
                    self._known = self._load()
                    self._trouble = ""
                except VigieError as error:
                    if self._trouble != str(error):
                        _log.error("the register cannot be read; the page shows what it knew", reason=str(error))
                    self._trouble = str(error)
            return self._known
