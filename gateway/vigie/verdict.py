"""InfluxDB's answer to a write, judged: written, wait, hold, split, dead or put off.

| answer | alone in its request | with others |
|-|-|-|
| 204 | written | written |
| 400, 413, 422 | dead | split |
| 429, 503 | wait, for Retry-After where given | the same |
| 500, six times in a row | put off | split |
| other 5xx, 408, no answer | wait | wait |
| 401, 403, 404 and all else | hold | hold |

A partial write (422 "partial write … dropped=1") stored the other lines, but its message names one of the refused only: so it
is split like a refusal, which writes the good lines again, the same points.
"Hold" is a wait for a person (token, bucket, URL): it is logged as an error and never loses an event.
"""

from enum import Enum, auto

BACKOFF_FIRST_S = 0.5
BACKOFF_LIMIT_S = 30.0
PATIENCE_500 = 6  # an engine that answers 500 to one line for ever must not hold up all others


class Verdict(Enum):
    """What becomes of the lines of one request."""

    WRITTEN = auto()
    WAIT = auto()
    HOLD = auto()
    SPLIT = auto()
    DEAD = auto()
    PUT_OFF = auto()


def judge(status: int | None, lines: int, attempt: int) -> Verdict:
    """`status` of the answer (None: no answer), how many lines it carried, how many times in a row they failed before."""
    if status == 204:
        return Verdict.WRITTEN
    if status in (400, 413, 422):
        return Verdict.DEAD if lines == 1 else Verdict.SPLIT
    if status == 500 and attempt + 1 >= PATIENCE_500:
        return Verdict.PUT_OFF if lines == 1 else Verdict.SPLIT
    if status is None or status >= 500 or status in (408, 429):
        return Verdict.WAIT
    return Verdict.HOLD


def delay_s(attempt: int, retry_after: str | None, jitter: float) -> float:
    """Seconds before the next try: Retry-After where InfluxDB gave seconds, else doubling; `jitter` in 0..1 takes off up to half."""
    if retry_after is not None and retry_after.strip().isdecimal():
        return float(retry_after)
    return float(min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 16)) * (1.0 - jitter / 2.0))
