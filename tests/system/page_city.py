"""A small city for the page's tests: the world's truth as ChirpStack's events, by broker, gateway and InfluxDB; boards are left out.

Nine sites: three of each kind. One meter was never heard, one is silent, one bin is late, one bin gets no echo, one air node is not
in the register.
"""

import base64
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import orjson
from vigie.payload import air, codes, health, meter
from vigie.payload import bin as bin_

from tests.gateway.support import Publisher
from tools.run.chain import Chain, Ports
from tools.run.fill import fill
from tools.run.settle import read_counters
from tools.run.state import Var, World
from tools.world import equip
from tools.world.sites import plan

SEED = 2026
NS, HOUR, DAY = 10**9, 3600, 86_400
DAYS = 35
PASSWORD = "a password for tests"
UNREGISTERED, LATE, SILENT, DEAF, NEVER = 6, 4, 5, 7, 8
_LINK = {"dr": 5, "rssi": -71, "snr": 9.2}
_LINKS = {
    0: {"dr": 5, "rssi": -84, "snr": 8.5},
    1: {"dr": 3, "rssi": -112, "snr": -3.8},
    2: {"dr": 0, "rssi": -119, "snr": -17.2},
}


class PageCity:
    """Leaving the `with` stops the servers."""

    def __init__(self, folder: Path) -> None:
        self.var = Var(folder)
        self.chain = Chain(self.var, Ports(), say=lambda _text: None)
        self.now = int(time.time())
        self.until = self.now - 40
        """When the newest frames came."""
        self.since = (self.now // DAY - DAYS) * DAY
        self.sites = plan(SEED, 9)
        self._sent = 0
        self._counters = {}

    def __enter__(self):
        self.chain.start_servers()
        self.chain.start_gateway()
        self.publisher = Publisher(self.chain.mosquitto.port)
        self.command("web", "password", typed=PASSWORD)
        start = self.since * NS
        kept = [site for site in self.sites if site.number != UNREGISTERED]
        fill(self.var, World(SEED, start, start), kept, {site.number: start for site in kept}, lambda _text: None)
        for site in self.sites:
            if site.number != NEVER:
                self._history(site)
        self.settle()
        return self

    def __exit__(self, *_):
        self.publisher.close()
        self.chain.close()

    @property
    def url(self) -> str:
        return self.chain.metrics_url.removesuffix("/metrics")

    def command(self, *words: str, typed: str = "") -> str:
        run = [sys.executable, "-m", "vigie", "--settings", str(self.var.settings_file), *words]
        return subprocess.run(run, input=typed, capture_output=True, text=True, check=True, timeout=60).stdout

    def settle(self) -> None:
        self.publisher.flush()
        until = time.monotonic() + 60
        while True:
            counters = read_counters(self.chain.metrics_url)
            if counters and counters.received >= self._sent and counters.waiting == 0:
                return
            assert time.monotonic() < until, counters
            time.sleep(0.05)

    def send(self, site, port: int, data: bytes, at: int) -> None:
        """An uplink with this payload, received `at`, s UTC."""
        number = self._counters[site.number] = self._counters.get(site.number, -1) + 1
        link = _LINKS.get(site.number, _LINK)
        body = {
            "deduplicationId": f"{site.number:08d}-0000-4000-8000-{number:012d}",
            "time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at)),
            "deviceInfo": {"devEui": site.dev_eui, "deviceName": site.name, "tags": {}},
            "adr": True,
            "dr": link["dr"],
            "fCnt": number,
            "fPort": port,
            "data": base64.b64encode(data).decode(),
            "rxInfo": [{"gatewayId": "7cd281062c91a4d2", "rssi": link["rssi"], "snr": link["snr"] + number % 3 / 4}],
            "txInfo": {"frequency": 868_100_000},
        }
        self.publisher.send(f"application/a/device/{site.dev_eui}/event/up", orjson.dumps(body))
        self._sent += 1

    def air(self, site, mark: int, samples: int = 1, at: int | None = None) -> None:
        street = equip.street(site, SEED, (self.now - 2 * DAY) * NS)
        made = []
        for back in range(samples):
            when = (mark - back * air.STEP) * NS
            pm1, pm25, pm10 = street.pm(when)
            temperature, humidity = street.climate(when)
            made.append(air.Sample(pm1, pm25, pm10, temperature // 10 + air.COLD, humidity // 10))
        self.send(site, air.PORT, air.encode(air.Air(mark, 0, tuple(made)), 51), at or mark + 50)

    def _history(self, site) -> None:
        until = self.until
        if site.number == SILENT:
            until -= 3 * DAY + 5 * HOUR
        elif site.number == LATE:
            until -= 2 * HOUR
        firmware = (0, 1, 0) if site.number % 2 else (0, 2, 0)
        for day in range(self.since, until, DAY):
            getattr(self, f"_day_of_{site.kind}")(site, day, min(day + DAY, until))
            at = day + DAY - 200
            if at < until or day + DAY > until:
                battery = 3650 - site.number * 40 - (day - self.since) // DAY
                report = health.Health(min(at, until), 0, battery, 1, *firmware, at - self.since, 0, 0, 0, 1, 12, 0)
                self.send(site, health.PORT, health.encode(report, 51), min(at, until))

    def _day_of_meter(self, site, day: int, until: int) -> None:
        home = equip.house(site, SEED, self.since * NS)
        counts = [
            home.pulse_count(at * NS) - home.pulse_count(self.since * NS)
            for at in (day, *range(day - DAY, day + 1, HOUR))
        ]
        if day == self.since:
            return
        flows = [after - before for before, after in pairwise(counts[1:])]
        figures = meter.Day(counts[0], min(flows), max(flows), 24, 0)
        flags = codes.DAYS | (codes.LEAK if site.leaks else 0)
        first = min(day + 120, until)  # just after midnight the day has its first frame all the same
        data = meter.encode(meter.Meter(1, first, flags, None, day // DAY, (figures,)), 51)
        for at in range(first, until + 1, 6 * HOUR):
            self.send(site, meter.PORT, data, at)

    def _day_of_bin(self, site, day: int, until: int) -> None:
        place = equip.bin_(site, SEED)
        for hour in range(day, until - 30, HOUR):
            distance = place.level_mm(hour * NS)
            if site.number == DEAF and hour > self.now - 9 * HOUR:
                distance = codes.failure(codes.NO_ECHO)
            self.send(site, bin_.PORT, bin_.encode(bin_.Bin(hour, 0, (bin_.Echo(distance, 4, 7),)), 51), hour + 30)

    def _day_of_air(self, site, day: int, until: int) -> None:
        if day < self.now - 8 * DAY:
            return
        for mark in range(day + 2700, until - 50, HOUR):
            self.air(site, mark, 4)
        if until < day + DAY:  # today: up to the last quarter
            for mark in range((until - 50) // HOUR * HOUR, until - 50, air.STEP):
                self.air(site, mark)
