"""How a node does, judged from what was heard of it: against its schedule, its link, its bin. No words yet, and no clock."""

from dataclasses import dataclass

from ..rows import BinShape

NS = 1_000_000_000
# How often a node of each kind reports unless the register says otherwise, s (firmware/schedule.py); without a kind: the daily health report.
SCHEDULE_S = {"meter": 21_600, "bin": 3600, "air": 900}
UNKNOWN_S = 86_400
STATES = ("silent", "late", "never", "on_time")
"""From bad to good: the order of the list."""
_SILENT_AFTER = 4  # reports missed: radio loses one now and then, hardly four in a row
_LEAST_GRACE_S = 300
# SNR in dB that each data rate of EU868 needs, DR0 (SF12) to DR5 (SF7): SX1276/77/78/79 datasheet, revision 7, table 13.
_NEEDED_DB = (-20.0, -17.5, -15.0, -12.5, -10.0, -7.5)
_WEAK_DB, _FAIR_DB = 5.0, 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One of STATES; `since_ns`: since when it is late (the report that did not come) or silent (the last frame), else 0."""

    state: str
    since_ns: int = 0


def seen(last_ns: int | None, now_ns: int, interval_s: int) -> Seen:
    """On time: the next report is not overdue by more than a quarter of the interval (5 minutes at least). Silent: four are missing."""
    if last_ns is None:
        return Seen("never")
    grace_s = max(_LEAST_GRACE_S, interval_s // 4)
    age_s = (now_ns - last_ns) / NS
    if age_s <= interval_s + grace_s:
        return Seen("on_time")
    if age_s <= _SILENT_AFTER * interval_s + grace_s:
        return Seen("late", last_ns + interval_s * NS)
    return Seen("silent", last_ns)


def margin_db(dr: int, snr: float) -> float | None:
    """How far the SNR (dB) lies over what the data rate needs; None for a rate without one (FSK)."""
    return snr - _NEEDED_DB[dr] if 0 <= dr < len(_NEEDED_DB) else None


def strength(margin: float) -> str:
    """A link margin's word: "weak", "fair" or "good"."""
    return "weak" if margin < _WEAK_DB else "fair" if margin < _FAIR_DB else "good"


def fill_percent(shape: BinShape, distance_mm: int) -> int:
    """How full the bin is, 0 to 100, from the distance (mm) of what the sensor sees."""
    height = shape.depth_mm - shape.full_mm
    filled = shape.depth_mm - distance_mm
    return max(0, min(100, round(100 * filled / height)))
