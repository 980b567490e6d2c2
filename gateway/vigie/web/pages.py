"""The pages as text: what is known, put into templates, in the reader's language."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..errors import InfluxError, SettingsError
from ..query import Row, read_newest, read_span
from ..settings import Settings
from . import charts
from .directory import Directory
from .language import Language, languages
from .latest import Latest
from .listing import KINDS, SORTS, Entry, Wanted, entry, listing
from .shown import facts, shown
from .state import STATES

HERE = Path(__file__).parent
_FRAMES = 20
_FRAME_DAYS = 31
_PORTS = (0, 10, 20, 30, 40)
_log = structlog.get_logger("web")


@dataclass(frozen=True, slots=True)
class Look:
    """How a reader sees it: the language, "auto", "light" or "dark", the address to come back to, whether signed in."""

    to: Language
    theme: str
    back: str
    signed_in: bool


class Frame(NamedTuple):
    """A row of the last frames: its time and its cells, in the order of the table's heads."""

    time_ns: int
    cells: list[str]


class Pages:
    """Makes pages; `now_ns` is the gateway's clock, against which only silence is judged."""

    def __init__(
        self, settings: Settings, latest: Latest, directory: Directory, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        try:
            zone = ZoneInfo(settings.water.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(
                f"settings: {settings.source}: [water] time_zone: there is no {settings.water.time_zone!r}; "
                "give a name of the tz database, such as Europe/Paris"
            ) from None
        self._settings = settings
        self._latest = latest
        self._directory = directory
        self._now_ns = now_ns
        self.languages = languages(zone)
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        digests = {
            str(file.relative_to(HERE / "static")): hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            for file in (HERE / "static").rglob("*")
            if file.is_file()
        }
        self.charts = "vendor/uPlot.iife.min.js" in digests
        """Whether the library that draws charts is there."""
        self._environment.globals["static"] = lambda name: f"/static/{name}?v={digests[name]}"

    def nodes(self, look: Look, query: Mapping[str, str]) -> str:
        """The list of nodes that the address' query wants."""
        now, wanted, version = self._now_ns(), Wanted.of(query), self._latest.version
        made = listing(self._latest.nodes(), self._directory.known(), wanted, now)
        return self._page(
            "nodes.html",
            look,
            now,
            version=version,
            listing=made,
            rows=[shown(one, look.to, now) for one in made.entries],
            wanted=wanted,
            kinds=KINDS,
            states=STATES,
            sorts=SORTS,
            trouble=self._seeding(look.to),
        )

    def node(self, look: Look, dev_eui: str, days: str) -> str | None:
        """One node, None where nobody knows it. Asks InfluxDB for its chart and its frames."""
        now, version = self._now_ns(), self._latest.version
        heard, known = self._latest.node(dev_eui), self._directory.known().get(dev_eui)
        if heard is None and known is None:
            return None
        one = entry(dev_eui, heard, known, now)
        spans = charts.SPANS.get(one.kind or "", ())
        span = int(days) if days in map(str, spans) else next(iter(spans), 0)
        chart, frames, trouble = None, [], self._seeding(look.to)
        try:
            frames = self._frames(one, look.to)
            if spans:
                chart = self._chart(one, span, look.to)
        except InfluxError as error:
            _log.warning("a node's readings cannot be shown", dev_eui=dev_eui, reason=str(error))
            trouble = look.to.say("not_read")
        rows = facts(one, look.to)
        signal = dict(rows).get(look.to.say("signal"), "")
        return self._page(
            "node.html",
            look,
            now,
            version=version,
            row=shown(one, look.to, now),
            signal_more=signal,
            facts=[(name, text) for name, text in rows if name != look.to.say("signal")],
            chart=chart,
            charts=self.charts and chart is not None,
            spans=spans,
            span=span,
            frames=frames,
            frame_days=_FRAME_DAYS,
            trouble=trouble,
        )

    def sign_in(self, look: Look, onward: str, problem: str = "", *, closed: bool = False) -> str:
        """The form, or why there is none."""
        return self._page("sign_in.html", look, self._now_ns(), next=onward, problem=problem, closed=closed)

    def error(self, look: Look, problem: str) -> str:
        """One sentence."""
        return self._page("error.html", look, self._now_ns(), problem=problem)

    def _page(self, name: str, look: Look, now: int, **values: Any) -> str:
        to = look.to
        return self._environment.get_template(name).render(
            say=to.say,
            to=to,
            theme=look.theme,
            other=next(code for code in self.languages if code != to.code),
            back=look.back,
            signed_in=look.signed_in,
            here=name.removesuffix(".html"),
            zone=to.zone.key,
            offset=to.offset(now),
            now=now,
            **values,
        )

    def _seeding(self, to: Language) -> str:
        if self._latest.seeded:
            return ""
        return to.say("not_read_yet" if self._latest.trouble is None else "not_read")

    def _chart(self, one: Entry, days: int, to: Language) -> charts.Chart:
        # it ends where the node was heard last: "now" of readings is the network's receive time (contract 8)
        span = charts.span_s(one.last_ns or self._now_ns(), days)
        role = "daily" if one.kind == "meter" else "raw"
        rows: list[Row] = read_span(self._settings, one.kind or "", one.dev_eui, span, role=role)
        if one.kind == "meter":
            return charts.meter(rows, one.known, to)
        if one.kind == "bin":
            return charts.bin_(rows, one.known.shape if one.known else None, to)
        return charts.air(rows, to)

    def _frames(self, one: Entry, to: Language) -> list[Frame]:
        if one.last_ns is None:
            return []
        span = charts.span_s(one.last_ns, _FRAME_DAYS)
        return [_frame(row, to) for row in read_newest(self._settings, "link", one.dev_eui, span, _FRAMES)]


def _frame(row: Row, to: Language) -> Frame:
    def number(name: str, digits: int = 0, unit: str = "") -> str:
        value = row.get(name)
        return "" if value is None else f"{to.number(value, digits)}{unit}"

    port, rate = row.get("f_port"), row.get("dr")
    known = port in _PORTS
    content = to.say(f"port_{port}") if known else to.say("port_other", number=port)
    return Frame(
        charts.ns(row["time"]),
        [
            number("f_cnt"),
            content,
            to.say("bytes", number=number("size")),
            to.say("rate", sf=12 - rate) if isinstance(rate, int) and 0 <= rate <= 5 else str(rate),
            number("rssi", unit=" dBm"),
            number("snr", 1, " dB"),
            number("gateways"),
        ],
    )
