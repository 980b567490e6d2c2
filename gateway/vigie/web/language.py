"""A language of the page: its texts, and dates, numbers and spans as it writes them. Babel knows the locales."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time, get_timezone_gmt
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from .texts import EN, FR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEN_MONTHS_NS = 300 * 86_400 * 10**9


class Moment(NamedTuple):
    """An instant for a person: in the city's zone, in UTC, and for machines."""

    iso: str
    local: str
    utc: str


class Language:
    """`code` is the `lang` attribute's; `zone` the city's."""

    def __init__(self, code: str, locale: str, texts: dict[str, str], zone: ZoneInfo) -> None:
        self.code = code
        self.zone = zone
        self._locale = locale
        self._texts = texts

    def say(self, key: str, **values: object) -> str:
        """A text with its values put in; KeyError for one that there is not."""
        return self._texts[key].format(**values)

    def mark(self, key: str, **values: object) -> Markup:
        """The same for values that are elements; what is none is escaped."""
        return escape(self._texts[key]).format(**values)

    def number(self, value: float, digits: int = 0) -> str:
        """With the language's separators."""
        return str(
            format_decimal(
                round(value, digits), format=f"#,##0{'.' if digits else ''}{'0' * digits}", locale=self._locale
            )
        )

    def moment(self, ns: int, now_ns: int | None = None) -> Moment:
        """To the minute; without the year where `now_ns` is less than ten months away."""
        when = at(ns)
        near = now_ns is not None and abs(now_ns - ns) < _TEN_MONTHS_NS
        return Moment(
            when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            str(
                format_datetime(
                    when, "d MMM, HH:mm" if near else "d MMM y, HH:mm", tzinfo=self.zone, locale=self._locale
                )
            ),
            str(format_datetime(when, self._utc_form(when), tzinfo=UTC, locale=self._locale)),
        )

    def _utc_form(self, when: datetime) -> str:
        """The day too where it is another one in UTC."""
        same = when.astimezone(self.zone).date() == when.date()
        return "HH:mm 'UTC'" if same else "d MMM, HH:mm 'UTC'"

    def time(self, ns: int, now_ns: int | None = None) -> Markup:
        """A moment as an element: local time and, beside it, UTC."""
        moment = self.moment(ns, now_ns)
        return Markup('<time datetime="{}">{}</time> <span class="utc">({})</span>').format(*map(escape, moment))

    def local_time(self, ns: int, now_ns: int | None = None) -> Markup:
        """The local time only, as an element."""
        moment = self.moment(ns, now_ns)
        return Markup('<time datetime="{}">{}</time>').format(moment.iso, moment.local)

    def utc_time(self, ns: int) -> str:
        """Day and time in UTC."""
        return str(format_datetime(at(ns), "d MMM y, HH:mm", tzinfo=UTC, locale=self._locale))

    def clock(self, ns: int) -> str:
        """Local hours, minutes and seconds."""
        return str(format_time(at(ns), "HH:mm:ss", tzinfo=self.zone, locale=self._locale))

    def day(self, ns: int) -> str:
        """The UTC day."""
        return str(format_date(at(ns), "d MMM y", locale=self._locale))

    def offset(self, ns: int) -> str:
        """The zone's offset at that instant, such as UTC+01:00."""
        return str(get_timezone_gmt(at(ns).astimezone(self.zone), width="long", locale="en")).replace("GMT", "UTC")

    def span(self, seconds: float) -> str:
        """A length of time in its greatest whole unit."""
        for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
            if seconds >= unit and (unit == 60 or seconds % unit == 0):
                return self.say(name, number=self.number(seconds // unit))
        return self.say("seconds", number=self.number(max(1, seconds)))


def at(ns: int) -> datetime:
    """UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def languages(zone: ZoneInfo) -> dict[str, Language]:
    """Both, by their code."""
    return {"en": Language("en", "en_GB", EN, zone), "fr": Language("fr", "fr_FR", FR, zone)}


def preferred(accept: str, known: list[str]) -> str:
    """The best language for an Accept-Language header (RFC 9110, 12.5.4); the first known one where it names none of them."""
    best, weight = known[0], 0.0
    for part in accept.split(",")[:50]:
        name, _, quality = part.partition(";")
        code = name.strip().lower().partition("-")[0]
        try:
            given = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        if code in known and given > weight:
            best, weight = code, given
    return best
