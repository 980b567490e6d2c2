"""An event to what it says: Readings, or Rejected with a reason that a person understands."""

from dataclasses import dataclass
from typing import Any

from .events import BadEvent, Event, Up, parse
from .payload import air, bin, codes, health, meter  # noqa: A004 - the payload's modules are named after their kinds

_CODECS: dict[int, Any] = {codec.PORT: codec for codec in (meter, bin, air, health)}
_AHEAD_LIMIT_S = (
    86_400  # a node's clock that is further ahead than this is broken, and its readings would lie in the future
)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Readings:
    """An event and, for an uplink with readings, the payload's record (payload.meter.Meter, bin.Bin, air.Air, health.Health)."""

    event: Event
    record: Any = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why there are no readings; `event` where at least that could be read. `code` is one word, for the metric."""

    code: str
    reason: str
    event: Event | None = None


def decode(topic: str, body: bytes) -> Readings | Rejected:
    """What the event says. Never raises for what an event contains."""
    try:
        event = parse(topic, body)
    except BadEvent as error:
        return Rejected("event", str(error))
    # fPort 0 carries MAC commands only, and an empty frame is a sign of life: seen, but nothing read.
    if not isinstance(event, Up) or event.f_port == 0 or not event.data:
        return Readings(event)
    codec = _CODECS.get(event.f_port)
    if codec is None:
        known = ", ".join(str(port) for port in sorted(_CODECS))
        return Rejected(
            "port", f"fPort {event.f_port} is none of a Vigie node's ({known}): another maker's device?", event
        )
    try:
        record = codec.decode(event.data)
    except codes.PayloadError as error:
        whose = "" if event.data[0] == codes.VERSION << 4 else ": another maker's device, or a newer node?"
        return Rejected("payload", f"payload on fPort {event.f_port}: {error}{whose}", event)
    reason = _wrong_time(record, event)
    return Rejected("time", reason, event) if reason else Readings(event, record)


def _wrong_time(record: Any, event: Up) -> str | None:
    received = event.time // _NS
    newest = max(record.mark, 86_400 * getattr(record, "day", 0))
    if newest > received + _AHEAD_LIMIT_S:
        return f"the node's time is {newest - received} s ahead of the network's: its clock is wrong"
    history = getattr(record, "echoes", getattr(record, "samples", ()))
    if record.flags & codes.TIME_UNKNOWN and len(history) > 1:
        return "history from a node that does not know the time"
    return None
