"""The list of nodes: who is in it, filtered, sorted, one page of it. All in memory, no query."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from .directory import Known
from .latest import Heard
from .state import SCHEDULE_S, STATES, UNKNOWN_S, Seen, seen

PAGE = 50
KINDS = ("meter", "bin", "air")
SORTS = ("state", "seen", "site", "battery")
_LONGEST_SEARCH = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A node: heard of, in the register, or both."""

    dev_eui: str
    heard: Heard
    known: Known | None
    kind: str | None
    interval_s: int
    seen: Seen

    @property
    def last_ns(self) -> int | None:
        """The network's receive time of its last frame, UTC."""
        return self.heard.link.time_ns if self.heard.link else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address asks for; what it misspells is left out."""

    q: str = ""
    kind: str = ""
    state: str = ""
    sort: str = "state"
    page: int = 1

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Wanted":
        """From an address' query."""
        page = given.get("page", "")
        return cls(
            " ".join(given.get("q", "").split())[:_LONGEST_SEARCH],
            _one_of(given.get("kind", ""), KINDS),
            _one_of(given.get("state", ""), STATES),
            _one_of(given.get("sort", ""), SORTS) or "state",
            max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def address(self, **changed: Any) -> str:
        """The list's address with some of it changed; another filter begins at its first page."""
        new = replace(self, **{"page": 1, **changed})
        parts = {"q": new.q, "kind": new.kind, "state": new.state, "sort": new.sort, "page": new.page}
        said = {name: value for name, value in parts.items() if value not in ("", 1, "state")}
        return f"/?{urlencode(said)}" if said else "/"


def _one_of(word: str, known: tuple[str, ...]) -> str:
    return word if word in known else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page: its entries, how many nodes each state has among those that the other filters leave, how many pages."""

    entries: list[Entry]
    counts: dict[str, int]
    found: int
    pages: int
    page: int


def entry(dev_eui: str, heard: Heard | None, known: Known | None, now_ns: int) -> Entry:
    """One node at `now_ns`, the gateway's clock."""
    heard = heard or Heard(dev_eui)
    kind = known.kind if known else heard.kind
    interval = (known.interval_s if known else None) or SCHEDULE_S.get(kind or "", UNKNOWN_S)
    return Entry(
        dev_eui, heard, known, kind, interval, seen(heard.link.time_ns if heard.link else None, now_ns, interval)
    )


def listing(heard: Iterable[Heard], known: Mapping[str, Known], wanted: Wanted, now_ns: int) -> Listing:
    """The page that is wanted, or the last one there is."""
    entries = [entry(node.dev_eui, node, known.get(node.dev_eui), now_ns) for node in heard]
    have = {one.dev_eui for one in entries}
    entries += [entry(dev_eui, None, of, now_ns) for dev_eui, of in known.items() if dev_eui not in have]
    words = wanted.q.casefold().split()
    entries = [one for one in entries if _matches(one, wanted.kind, words)]
    counts = Counter(one.seen.state for one in entries)
    if wanted.state:
        entries = [one for one in entries if one.seen.state == wanted.state]
    entries.sort(key=_ORDERS[wanted.sort])
    pages = max(1, -(-len(entries) // PAGE))
    page = min(wanted.page, pages)
    return Listing(
        entries[(page - 1) * PAGE : page * PAGE], {name: counts[name] for name in STATES}, len(entries), pages, page
    )


def _matches(one: Entry, kind: str, words: list[str]) -> bool:
    if kind and one.kind != kind:
        return False
    if not words:
        return True
    firmware = one.heard.health.fields.get("firmware", "") if one.heard.health else ""
    place = f"{one.known.site} {one.known.district}" if one.known else ""
    text = f"{one.dev_eui} {place} {firmware}".casefold()
    return all(word in text for word in words)


def _battery(one: Entry) -> float:
    value = one.heard.health.fields.get("battery") if one.heard.health else None
    return float(value) if isinstance(value, int) else float("inf")


_RANK = {name: number for number, name in enumerate(STATES)}
_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "state": lambda one: (_RANK[one.seen.state], one.known.site if one.known else "", one.dev_eui),
    "seen": lambda one: (-(one.last_ns or 0), one.dev_eui),
    "site": lambda one: (one.known is None, one.known.district if one.known else "", one.known.site if one.known else "", one.dev_eui),
    "battery": lambda one: (_battery(one), one.dev_eui),
}  # fmt: skip
