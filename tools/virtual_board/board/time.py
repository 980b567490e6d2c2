"""`time` of the ESP32 port on the world's clock: epoch 2000, whole seconds, ticks wrapping at 2**30."""

# ruff: noqa: D103, F401  functions are the port's, its manual describes them

import costs
import link
from utime import ticks_diff  # pure arithmetic on 32 bits: the interpreter's own

_PERIOD = 0x40000000
_DAYS = b"\x1f\x1c\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"


def ticks_us() -> int:
    link.spend(costs.TICKS)
    return link.now() & 0x3FFFFFFF


def ticks_ms() -> int:
    link.spend(costs.TICKS)
    return link.now() // 1000 & 0x3FFFFFFF


def ticks_cpu() -> int:
    link.spend(costs.TICKS)
    return link.now() * 160 & 0x3FFFFFFF  # 160 MHz


def ticks_add(ticks: int, delta: int) -> int:
    if not -_PERIOD // 2 < delta < _PERIOD // 2:
        raise OverflowError("ticks interval overflow")
    return ticks + delta & 0x3FFFFFFF


def sleep(seconds: float) -> None:
    sleep_ms(int(1000 * seconds))


def sleep_ms(ms: int) -> None:
    ms = max(ms, 0)
    link.spend(costs.TICKS)
    link.wait(1000 * ms)


def sleep_us(us: int) -> None:
    link.spend(costs.TICKS)
    link.wait(us)


def time() -> int:
    link.spend(costs.TICKS)
    return link.rtc() // 1000000


def time_ns() -> int:
    link.spend(costs.TICKS)
    return link.rtc() * 1000


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def gmtime(secs=None):
    """(year, month, day, hour, minute, second, weekday, yearday)."""
    seconds = time() if secs is None else int(secs)
    days = seconds // 86400
    seconds -= days * 86400
    weekday = (days + 5) % 7  # 2000-01-01 was a Saturday
    year = 2000 + days // 146097 * 400
    days %= 146097
    while days >= (366 if _leap(year) else 365):
        days -= 366 if _leap(year) else 365
        year += 1
    yearday = days + 1
    month = 1
    while True:
        length = _DAYS[month - 1] + (month == 2 and _leap(year))
        if days < length:
            break
        days -= length
        month += 1
    return (year, month, days + 1, seconds // 3600, seconds // 60 % 60, seconds % 60, weekday, yearday)


localtime = gmtime  # the port knows no time zone


def mktime(date) -> int:
    if not 8 <= len(date) <= 9:
        raise TypeError("mktime needs a tuple of length 8 or 9")
    year, month, day, hour, minute, second = date[:6]
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    last = year - 1
    days = 365 * (year - 2000) + (last // 4 - last // 100 + last // 400) - 484
    for m in range(1, month):
        days += _DAYS[m - 1] + (m == 2 and _leap(year))
    return ((days + day - 1) * 24 + hour) * 3600 + minute * 60 + second
