"""A small city whose truth is known, planted in an InfluxDB: a week of October 2026 with the end of summer time in it.

The page for analysts prints what its queries find here; the tests of that page, of `vigie.frame` and of the dashboard ask for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vigie.points import line
from vigie.settings import Influxdb, Settings
from vigie.writer import InfluxWriter

from tests.gateway.support import Influx
from tools.run import servers

NOW = datetime(2026, 10, 27, 6, tzinfo=UTC)
MIDNIGHTS = [datetime(2026, 10, day, tzinfo=UTC) for day in range(20, 28)]

# by site: DevEUI, district, kind, litres per pulse
NODES = {
    "M-1": ("70b3d57ed0000001", "Nord", "meter", 1.0),
    "M-2": ("70b3d57ed0000002", "Nord", "meter", 10.0),
    "M-3": ("70b3d57ed0000003", "Sud", "meter", 1.0),
    "M-4": ("70b3d57ed0000004", "Sud", "meter", 0.5),
    "B-1": ("70b3d57ed0000011", "Nord", "bin", None),
    "B-2": ("70b3d57ed0000012", "Sud", "bin", None),
    "A-1": ("70b3d57ed0000021", "Nord", "air", None),
    "A-2": ("70b3d57ed0000022", "Sud", "air", None),  # mounted and never heard
}
DEV = {site: node[0] for site, node in NODES.items()}

# Pulses of the UTC days 20 to 26 October.
USED = {
    "M-1": [120, 130, 90, 110, 150, 140, 125],
    "M-2": [12, 15, 11, 9, 14, 16, 13],
    "M-3": [80, 70, 60, 50, 40, 30, 20],
    "M-4": [240, 240, 250, 240, 260, 240, 240],
}
FIRST = {"M-1": 5000, "M-2": 40_000, "M-3": 0, "M-4": 9_000_000_000}  # beyond 32 bits: no query may lose a digit
EPOCH_LOST = (
    4,
    25,
)  # M-2 lost power in the fifth day: its next midnight, of the 25th, is of a new epoch, which begins with the last stored count
MISSING = ("M-3", 23)  # the count of the midnight that ends the 22nd never came
HOUR_USED = [1 + (7 * hour) % 5 for hour in range(24 * 5)]
AUTUMN, SPRING = datetime(2026, 10, 23, 22, tzinfo=UTC), datetime(2026, 3, 27, 23, tzinfo=UTC)  # local midnights
HOURS = {AUTUMN: 24 + 25 + 24, SPRING: 24 + 23 + 24}  # three local days round either change


def ns(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def meters() -> Iterator[tuple[str, str]]:
    for site, used in USED.items():
        count, epoch = FIRST[site], 3
        for number, midnight in enumerate(MIDNIGHTS):
            if number:
                lost = site == "M-2" and number - 1 == EPOCH_LOST[0]
                count, epoch = (count, 4) if lost else (count + used[number - 1], epoch)
            if (site, midnight.day) == MISSING:
                continue
            least = {"M-4": 5, "M-1": 3 if midnight.day == 24 else 0}.get(site, 0)
            hours = 20 if (site, midnight.day) == ("M-1", 24) else 24
            fields = {"count": count, "epoch": epoch, "least": least, "greatest": 40, "hours": hours}
            yield "daily", line("meter", DEV[site], fields, ns(midnight))
    for start, hours in HOURS.items():
        count = FIRST["M-1"]
        for hour in range(hours + 1):
            fields = {"count": count, "epoch": 3}
            yield "hourly", line("meter", DEV["M-1"], fields, ns(start + timedelta(hours=hour)))
            count += HOUR_USED[hour]


def bins() -> Iterator[tuple[str, str]]:
    for hour in range(24):
        at = ns(NOW - timedelta(hours=24 - hour))
        first = (
            {"distance_reason": 5, "valid": 0} if hour == 9 else {"distance": 800 - 20 * hour, "spread": 8, "valid": 9}
        )
        second = 700 - 20 * hour if hour < 12 else 1200 - 10 * (hour - 12)  # emptied between hours 11 and 12
        yield "raw", line("bin", DEV["B-1"], first, at)
        yield "raw", line("bin", DEV["B-2"], {"distance": second, "spread": 4, "valid": 9}, at)


AIR = {10: [10, 12, 14, 16], 11: [40, 44, 48, 52], 12: [90, None, None, 90]}  # 26 October, PM2.5 by hour and quarter


def air() -> Iterator[tuple[str, str]]:
    for hour, quarters in AIR.items():
        for quarter, pm25 in enumerate(quarters):
            measured = {"pm25_reason": 2} if pm25 is None else {"pm25": pm25, "pm10": pm25 + 5}
            at = datetime(2026, 10, 26, hour, 15 * quarter, tzinfo=UTC)
            yield "raw", line("air", DEV["A-1"], {**measured, "temperature": 11.25, "humidity": 80.0}, ns(at))


# B-1: f_cnt, minutes after 26 October 20:00, data rate. 102 was lost; 103 came twice; 104 was held up and its time is right all the same.
FRAMES = [(100, 0, 5), (101, 60, 5), (103, 180, 5), (103, 181, 5), (104, 240, 5), (105, 300, 5)]
REJOINED = [(1, 400, 3), (2, 420, 3), (5, 480, 3)]  # after a join at minute 390: 0, 3 and 4 were lost


def frame(dev_eui: str, f_cnt: int, at: datetime, **more: object) -> str:
    fields = {"f_cnt": f_cnt, "f_port": 10, "dr": 5, "adr": True, "confirmed": False, "size": 20, "gateways": 2}
    best = {"gateway": "7cd281062c91a4d2", "rssi": -90, "snr": 8.0, "frequency": 868_100_000}
    return line("link", dev_eui, {**fields, **best, **more}, ns(at))


def links() -> Iterator[tuple[str, str]]:
    start = datetime(2026, 10, 26, 20, tzinfo=UTC)
    for f_cnt, minutes, dr in FRAMES + REJOINED:
        weak = {"dr": dr, "snr": -4.5, "rssi": -110} if dr == 3 else {"dr": dr}
        yield "raw", frame(DEV["B-1"], f_cnt, start + timedelta(minutes=minutes), f_port=20, **weak)
    yield "raw", line("join", DEV["B-1"], {"dev_addr": "00e7016e"}, ns(start + timedelta(minutes=390)))
    heard = {
        "M-1": NOW - timedelta(hours=5),
        "M-2": NOW - timedelta(hours=6),
        "M-3": datetime(2026, 10, 25, 3, tzinfo=UTC),
    }
    heard |= {"M-4": NOW - timedelta(hours=2), "B-2": NOW - timedelta(hours=1), "A-1": NOW - timedelta(minutes=30)}
    for site, at in heard.items():
        yield "raw", frame(DEV[site], 7, at)


def reports() -> Iterator[tuple[str, str]]:
    flags = {"f_port": 10, "clock_unsure": False, "clock_unknown": False, "low_battery": False, "epoch_young": False}
    for site in USED:
        for midnight in MIDNIGHTS:
            hours = 9.5 if (site, midnight.day) == ("M-4", 26) else 1
            if site == "M-3" and midnight.day > 24:
                continue
            leak = site == "M-4" or (site, midnight.day) == ("M-1", 24)
            yield "raw", line("report", DEV[site], {**flags, "leak": leak}, ns(midnight + timedelta(hours=hours)))


def health() -> Iterator[tuple[str, str]]:
    rest = {"firmware": "0.4.0", "boots": 1, "queue": 0}
    for day in range(30):
        at = ns(datetime(2026, 9, 27, 12, tzinfo=UTC) + timedelta(days=day))
        if not 10 <= day < 16:  # reports that were lost
            yield "raw", line("health", DEV["B-1"], {"battery": 3600 - 2 * day, **rest}, at)
        yield "raw", line("health", DEV["M-1"], {"battery": 3580, **rest}, at)


def nodes() -> Iterator[tuple[str, str]]:
    for site, (dev_eui, district, kind, litres) in NODES.items():
        fields = {"site": site, "district": district, "kind": kind}
        if litres is not None:
            fields["litres_per_pulse"] = litres
        yield "raw", line("node", dev_eui, fields, ns(MIDNIGHTS[-1]))


@contextmanager
def planted(folder: Path) -> Iterator[tuple[Influx, Settings]]:
    """A server of its own, whose buckets keep everything, with the city in it."""
    server = servers.start_influxdb(folder)
    try:
        forever = dict.fromkeys(servers.RETENTION_S, 0)
        access = servers.influx_setup(server.url, folder / "secrets", retention_s=forever)
        tokens = {"write_token_file": access.write_token_file, "read_token_file": access.read_token_file}
        settings = Settings(influxdb=Influxdb(url=server.url, org=access.org, **tokens))
        writer = InfluxWriter(settings.influxdb, access.write_token_file.read_text().strip())
        by_bucket: dict[str, list[str]] = {}
        for part in (meters, bins, air, links, reports, health, nodes):
            for bucket, text in part():
                by_bucket.setdefault(bucket, []).append(text)
        for bucket, lines in by_bucket.items():
            answer = writer.write(bucket, lines)
            assert answer.status == 204, answer
        yield Influx(server, access), settings
    finally:
        server.stop()
