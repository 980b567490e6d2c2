"""Whether a frame survives others on the air beside it, at one receiver.

The rule is that of M. Bor, U. Roedig, T. Voigt and J. Alonso, "Do LoRa Low-Power Wide-Area Networks Scale?", MSWiM 2016:
a frame is hurt by what overlaps it from the last five symbols of its preamble on, and of two frames with the same
spreading factor the one that is 6 dB stronger survives, whichever came first. Frames of other spreading factors hurt by
their power alone, as measured by D. Croce, M. Gucciardo, S. Mangione, G. Santaromita and I. Tinnirello, "Impact of LoRa
Imperfect Orthogonality: Analysis of Link-Level Performance", IEEE Communications Letters 22(4), 2018.

What is no measurement: a frame of another bandwidth, or of the same spreading factor with the other IQ, counts like the
worst of the other spreading factors; SF5 and SF6 count like SF7; powers of one kind at one instant add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import inf

from .frame import Frame, Transmission

REJECTION_DB = {
    7: (0, -8, -9, -9, -9, -9),
    8: (-11, 0, -11, -12, -13, -13),
    9: (-15, -13, 0, -13, -14, -15),
    10: (-19, -18, -17, 0, -17, -18),
    11: (-22, -22, -21, -20, 0, -20),
    12: (-25, -25, -25, -24, -23, 0),
}
"""Least level in dB of a frame (row: its spreading factor) over an interferer's (columns: SF7 to SF12), Croce et al. Table II.

The diagonal is `Rules.capture_db`'s.
"""


def alike(one: Transmission, other: Transmission) -> bool:
    """Whether a demodulator cannot tell the two frames' chirps apart."""
    return (one.spreading_factor, one.bandwidth_hz, one.iq_inverted) == (
        other.spreading_factor,
        other.bandwidth_hz,
        other.iq_inverted,
    )


@dataclass(frozen=True)
class Rules:
    """What two frames at once do to each other; the defaults are the published figures."""

    capture_db: float | None = 6.0
    """How much stronger a frame must be than those of its own spreading factor; None: no capture, each is lost."""
    lock_symbols: int = 5
    """Last symbols of the preamble that must be clear; the whole preamble makes it pure ALOHA."""
    orthogonal: bool = False
    """True: other spreading factors do not disturb."""

    def margin_db(self, wanted: Transmission, other: Transmission) -> float | None:
        """How far above `other` a frame must be, in dB; None: it is lost whatever the level."""
        if alike(wanted, other):
            return self.capture_db
        if self.orthogonal:
            return -inf
        factor, disturber = (min(12, max(7, each.spreading_factor)) for each in (wanted, other))
        row = REJECTION_DB[factor]
        if factor != disturber and wanted.bandwidth_hz == other.bandwidth_hz:
            return row[disturber - 7]
        return max(row[: factor - 7] + row[factor - 6 :])

    def needed_from(self, frame: Frame) -> int:
        """Instant in ns from which on the frame must be clear."""
        return frame.start + max(0, frame.what.preamble - self.lock_symbols) * frame.what.symbol_ns


# Of a quarter dB, scaled; whole numbers, as logarithms and powers differ between machines in the last digit.
_QUARTERS = [int(Decimal(10) ** (Decimal(step) / 40) * 10**9) for step in range(40)]
_LEAST_DBM = -400


def _linear(level_db: float) -> int:
    """Power in proportion, of a level in dB over -400 dBm."""
    decades, quarter = divmod(round((level_db - _LEAST_DBM) * 4), 40)
    scaled: int = _QUARTERS[quarter] * 10**decades
    return scaled


def disturbed(rules: Rules, frame: Frame, level_dbm: Callable[[Frame], float], until: int) -> str:
    """What others do, before `until` (ns), to that part of a frame which its receiver needs.

    `level_dbm`: a frame's level at this receiver. Returns "collision" (with frames of its own spreading factor),
    "interference" (by others) or "".
    """
    since = rules.needed_from(frame)
    hurting = [other for other in frame.rivals if other.end > since and other.start < until]
    if not hurting:
        return ""
    wanted = _linear(level_dbm(frame))
    found = ""
    for moment in sorted({max(since, other.start) for other in hurting}):
        sums: dict[float, int] = {}
        for other in hurting:
            margin = rules.margin_db(frame.what, other.what)
            if margin is None:
                return "collision"
            if margin > -inf and other.start <= moment < other.end:
                sums[margin] = sums.get(margin, 0) + _linear(level_dbm(other) + margin)
        if any(total > wanted for margin, total in sums.items() if margin == rules.capture_db):
            return "collision"
        if any(total > wanted for total in sums.values()):
            found = "interference"
    return found
