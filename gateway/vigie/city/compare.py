"""The radio against the dial, for the days when the round on foot and the radio run side by side (docs/water.md)."""

from typing import NamedTuple

from ..rows import Dial
from .days import DAY_NS
from .meters import Counts, Rules, Site, meter_at, readings_of
from .readings import judge

AGREES, DIFFERS, OPEN = "agrees", "differs", "open"


class Compared(NamedTuple):
    """A dial reading and what the radio says of the same instant, ml.

    `radio_ml` lies on the line between the readings before and after, which allow `least_ml` to `most_ml`: one pulse more than the
    later one, as a count is behind by up to a pulse. `verdict` "open": there is no radio to compare with, `reason` says why.
    """

    dial: Dial
    dev_eui: str
    verdict: str
    radio_ml: int | None = None
    least_ml: int | None = None
    most_ml: int | None = None
    reason: str = ""

    @property
    def difference_ml(self) -> int | None:
        """Radio less dial."""
        return None if self.radio_ml is None else self.radio_ml - self.dial.ml


def compare(
    dial: Dial, site: Site, counts: Counts, rules: Rules, within_ml: int, span_ns: int | None
) -> tuple[Compared, bool]:
    """One dial reading against the counts of its site's device, and whether counts further away than `span_ns` could change nothing.

    `within_ml`: how far both may be apart beside what the counts allow.
    """
    meter = meter_at(site, dial.time_ns)
    if meter is None or meter.segment is None:
        return Compared(dial, "", OPEN, reason="no device counts there at that time"), True
    dev_eui = meter.segment.dev_eui
    if meter.serial != dial.serial:
        return Compared(dial, dev_eui, OPEN, reason=f"the register has meter {meter.serial} there at that time"), True
    radio = [one for one in readings_of(meter, counts, rules.q4_ml_per_h) if one.kind != "dial"]
    used, odd = judge(radio, rules.q4_ml_per_h)
    before = max((one for one in used if one.time_ns <= dial.time_ns), key=lambda one: one.time_ns, default=None)
    after = min((one for one in used if one.time_ns >= dial.time_ns), key=lambda one: one.time_ns, default=None)
    if before is None or after is None:
        reason = "no count " + ("before it" if before is None else "after it yet")
        return Compared(dial, dev_eui, OPEN, reason=reason), span_ns is None
    span = after.time_ns - before.time_ns
    rise = max(after.ml - before.ml, 0)
    ml = before.ml + (rise * (dial.time_ns - before.time_ns) // span if span else 0)
    most = before.ml + rise + meter.segment.ml_per_pulse + after.missing_ml
    agrees = before.ml - within_ml <= dial.ml <= most + within_ml
    near = span_ns is None or (not odd and span + DAY_NS <= span_ns)
    return Compared(dial, dev_eui, AGREES if agrees else DIFFERS, ml, before.ml, most), near
