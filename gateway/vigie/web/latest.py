"""What is known of each node's newest frame and reading, in memory: InfluxDB is asked once, the writer tells the rest.

So the list of nodes costs no query, however many look at it. 15,000 nodes take under 80 MB, reading them 3 s of processor time. Times are ns UTC.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

DAY_NS = 86_400_000_000_000
DAYS_KEPT = 8

Value = int | float | bool | str


class Fact(Protocol):
    """What `Latest` takes of a stored point (vigie.points.Point, vigie.query.Last)."""

    @property
    def bucket(self) -> str:
        """The bucket's role."""

    @property
    def measurement(self) -> str:
        """As in the schema."""

    @property
    def dev_eui(self) -> str:
        """16 hex digits."""

    @property
    def fields(self) -> dict[str, Value]:
        """By name; absent ones are not there."""

    @property
    def time_ns(self) -> int:
        """UTC."""


class Stamped(NamedTuple):
    """A point's fields with its time."""

    time_ns: int
    fields: dict[str, Value]


class Midnight(NamedTuple):
    """A meter's count at a UTC midnight."""

    pulses: int
    epoch: int
    unsure: bool


@dataclass(slots=True)
class Heard:
    """A node as it was heard. `days` is replaced, never changed, so that a reader needs no lock."""

    dev_eui: str
    link: Stamped | None = None
    health: Stamped | None = None
    report: Stamped | None = None
    leak: Stamped | None = None  # the newest report that says whether there is one: a meter's, not its health report's
    status: Stamped | None = None
    reading: Stamped | None = None
    kind: str | None = None  # what its readings say it is
    days: dict[int, Midnight] = field(default_factory=dict)


class Latest:
    """All nodes heard of. The writer's thread and the reader of InfluxDB put in, the page's threads take out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, Heard] = {}
        self.version = 0
        """Grows with every `take`: a page that was made at another version lacks something."""
        self.seeded = False
        """Whether what InfluxDB holds is in it."""
        self.trouble: str | None = None
        """Why InfluxDB could not be read, while it cannot."""

    def take(self, facts: Iterable[Fact]) -> set[str]:
        """Newer points replace older ones, in whichever order they come; the DevEUIs that they are of."""
        touched = set()
        with self._lock:
            for fact in facts:
                node = self._nodes.get(fact.dev_eui)
                if node is None:
                    node = self._nodes[fact.dev_eui] = Heard(fact.dev_eui)
                _take(node, fact)
                touched.add(fact.dev_eui)
            self.version += 1
        return touched

    def nodes(self) -> list[Heard]:
        """All of them, in no order."""
        with self._lock:
            return list(self._nodes.values())

    def node(self, dev_eui: str) -> Heard | None:
        """One."""
        with self._lock:
            return self._nodes.get(dev_eui)


def _take(node: Heard, fact: Fact) -> None:
    match fact.measurement:
        case "meter" if fact.bucket == "daily":
            node.kind = "meter"
            _take_day(node, fact)
        case "meter":
            # The count of the moment is finer than a day: the page does not show it (contract 10).
            node.kind = "meter"
        case "bin" | "air":
            node.kind = fact.measurement
            node.reading = _newer(node.reading, fact)
        case "link":
            node.link = _newer(node.link, fact)
        case "health":
            node.health = _newer(node.health, fact)
        case "report":
            node.report = _newer(node.report, fact)
            if "leak" in fact.fields:
                node.leak = _newer(node.leak, fact)
        case "status":
            node.status = _newer(node.status, fact)


def _newer(known: Stamped | None, fact: Fact) -> Stamped:
    return known if known is not None and known.time_ns > fact.time_ns else Stamped(fact.time_ns, fact.fields)


def _take_day(node: Heard, fact: Fact) -> None:
    pulses, epoch = fact.fields.get("count"), fact.fields.get("epoch")
    if isinstance(pulses, int) and isinstance(epoch, int):
        midnight = Midnight(pulses, epoch, bool(fact.fields.get("time_unsure", False)))
        newest = sorted({**node.days, fact.time_ns: midnight}.items())[-DAYS_KEPT:]
        node.days = dict(newest)


class Used(NamedTuple):
    """What a meter counted in the UTC day that began at `day_ns`; None where it is not known, with the reason's word."""

    day_ns: int
    pulses: int | None
    reason: str  # "" or "hole" (a midnight is missing) or "epoch" (the count began anew)
    unsure: bool


def days_used(days: dict[int, Midnight]) -> Iterator[Used]:
    """Each UTC day up to the newest midnight known, oldest first, holes included."""
    if not days:
        return
    first, last = min(days), max(days)
    for start in range(first, last, DAY_NS):
        before, after = days.get(start), days.get(start + DAY_NS)
        if before is None or after is None:
            yield Used(start, None, "hole", unsure=False)
        elif before.epoch != after.epoch:
            yield Used(start, None, "epoch", unsure=False)
        else:
            yield Used(start, after.pulses - before.pulses, "", before.unsure or after.unsure)
