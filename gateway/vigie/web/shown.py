"""A node in words: what the list and the node's page say of it, in one language."""

from dataclasses import dataclass

from markupsafe import Markup

from .language import Language
from .latest import Stamped, days_used
from .listing import Entry
from .state import fill_percent, margin_db, strength

_ML = 1000
_UNKNOWN_CLOCK = 0xFFFF  # docs/schema.md, health.clock_error


@dataclass(frozen=True, slots=True)
class Cell:
    """A sentence, a shorter line under it, and whether it deserves attention."""

    text: str
    detail: str = ""
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the list; the node's page has the same and more."""

    dev_eui: str
    site: str
    district: str
    registered: bool
    kind: str
    state: str
    state_text: Markup
    last_seen: Markup | None
    value: Cell
    signal: Cell
    battery: Cell
    firmware: str
    leak: str


def shown(one: Entry, to: Language, now_ns: int) -> Shown:
    """The words of one node; times far from `now_ns` have their year."""
    health, leak = one.heard.health, one.heard.leak
    return Shown(
        one.dev_eui,
        one.known.site if one.known else "",
        one.known.district if one.known else "",
        one.known is not None,
        to.say(f"kind_{one.kind or 'unknown'}"),
        one.seen.state,
        _state(one, to, now_ns),
        None if one.last_ns is None else to.time(one.last_ns, now_ns),
        _value(one, to, now_ns),
        _signal(one.heard.link, to),
        _battery(one, to),
        str(health.fields.get("firmware", "")) if health else "",
        to.say("leak") if leak and leak.fields["leak"] else "",
    )


def _state(one: Entry, to: Language, now_ns: int) -> Markup:
    if one.seen.state in ("late", "silent"):
        return to.mark(f"{one.seen.state}_since", time=to.local_time(one.seen.since_ns, now_ns))
    return to.mark(f"state_{one.seen.state}")


def _value(one: Entry, to: Language, now_ns: int) -> Cell:
    if one.kind == "meter":
        return _last_day(one, to)
    if one.heard.reading is None:
        return Cell("")
    fields, detail = one.heard.reading.fields, to.moment(one.heard.reading.time_ns, now_ns).local
    if fields.get("time_unsure"):
        detail += f", {to.say('unsure')}"
    if one.kind == "bin":
        distance = fields.get("distance")
        if not isinstance(distance, int):
            return Cell(failed(fields.get("distance_reason"), to), detail, attention=True)
        shape = one.known.shape if one.known else None
        if shape is None:
            return Cell(to.say("distance", number=to.number(distance)), detail)
        return Cell(to.say("full", number=to.number(fill_percent(shape, distance))), detail)
    parts = []
    for name in ("pm25", "pm10"):
        value = fields.get(name)
        text = f"{to.number(value)} µg/m³" if isinstance(value, int) else failed(fields.get(f"{name}_reason"), to)
        parts.append(f"{to.say(name)} {text}")
    return Cell(", ".join(parts), detail, attention="pm25" not in fields)


def _last_day(one: Entry, to: Language) -> Cell:
    known = [used for used in days_used(one.heard.days) if used.pulses is not None]
    if not known:
        return Cell(to.say("no_day")) if one.heard.link else Cell("")
    used = known[-1]
    pulses = used.pulses or 0
    rate = one.known.ml_per_pulse(used.day_ns) if one.known else None
    detail = to.say("unsure") if used.unsure else ""
    if rate is None:
        return Cell(to.say("pulses_day", number=to.number(pulses), day=to.day(used.day_ns)), detail)
    return Cell(to.say("litres_day", number=to.number(pulses * rate / _ML), day=to.day(used.day_ns)), detail)


def failed(code: object, to: Language) -> str:
    """Why there is no value: the reason code of docs/schema.md in words."""
    known = isinstance(code, int) and 1 <= code <= 8
    return to.say("no_value", reason=to.say(f"reason_{code}") if known else to.say("unknown"))


def _signal(link: Stamped | None, to: Language) -> Cell:
    if link is None:
        return Cell("")
    rssi, snr, rate = (link.fields.get(name) for name in ("rssi", "snr", "dr"))
    if not isinstance(rssi, int) or not isinstance(snr, int | float) or not isinstance(rate, int):
        return Cell(to.say("unknown"))
    detail = to.say("signal_detail", rssi=to.number(rssi), snr=to.number(snr, 1))
    margin = margin_db(rate, snr)
    if margin is None:
        return Cell(detail)
    word = strength(margin)
    return Cell(to.say(f"signal_{word}"), f"{detail}, {to.say('rate', sf=12 - rate)}", attention=word == "weak")


def _battery(one: Entry, to: Language) -> Cell:
    low = bool(one.heard.report and one.heard.report.fields.get("low_battery"))
    health = one.heard.health.fields if one.heard.health else {}
    millivolts = health.get("battery")
    if isinstance(millivolts, int):
        return Cell(f"{to.number(millivolts / 1000, 2)} V", to.say("low") if low else "", attention=low)
    if "battery_reason" in health:
        return Cell(failed(health["battery_reason"], to), to.say("low") if low else "", attention=True)
    # another maker's node: what it answered to the network's DevStatusReq
    told = one.heard.status.fields if one.heard.status else {}
    if told.get("external_power"):
        return Cell(to.say("mains"))
    percent = told.get("battery")
    return Cell(f"{to.number(percent)} %") if isinstance(percent, int | float) else Cell("")


def facts(one: Entry, to: Language) -> list[tuple[str, Markup | str]]:
    """What the node's page lists beside the row's: (name, text)."""
    rows: list[tuple[str, Markup | str]] = [
        (to.say("schedule"), to.say("every", time=to.span(one.interval_s))),
    ]
    link, health = one.heard.link, one.heard.health
    if link is not None:
        rate, snr, heard_by = (link.fields.get(name) for name in ("dr", "snr", "gateways"))
        margin = margin_db(rate, snr) if isinstance(rate, int) and isinstance(snr, int | float) else None
        parts = [] if margin is None else [to.say("margin", number=to.number(margin, 1))]
        if isinstance(heard_by, int):
            parts.append(to.say("gateways_one") if heard_by == 1 else to.say("gateways", number=to.number(heard_by)))
        rows.append((to.say("signal"), ", ".join(parts)))
    if health is not None:
        error = health.fields.get("clock_error")
        if isinstance(error, int):
            unknown = error >= _UNKNOWN_CLOCK
            text = to.say("clock_unknown") if unknown else to.say("clock_error", number=to.number(error))
            rows.append((to.say("clock"), text))
        boots, exceptions = health.fields.get("boots"), health.fields.get("exceptions")
        if isinstance(boots, int) and isinstance(exceptions, int):
            rows.append(
                (
                    to.say("boots"),
                    to.say("boots_value", number=to.number(boots), exceptions=to.number(exceptions)),
                )
            )
    return rows
