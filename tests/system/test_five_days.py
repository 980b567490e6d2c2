"""The whole chain over five virtual days with a third of the frames lost, a gateway killed and a meter without power.

What counts as expected is taken from the frames that the LoRa gateway received and from the world's ground truth; what is
stored is read from InfluxDB with a client of its own.
"""

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from influxdb_client import InfluxDBClient
from vigie.payload import air, codes, health, meter
from vigie.payload import bin as bin_

from tools.run import servers
from tools.run.chain import Chain, Ports
from tools.run.settle import read_metric
from tools.run.state import Var, World
from tools.virtual_board.sensors.a02yyuw import A02yyuw
from tools.virtual_board.sensors.pms5003 import Pms5003
from tools.virtual_board.sensors.sht31 import Sht31
from tools.world.city import DAY, HOUR, MINUTE, SECOND
from tools.world.equip import house
from tools.world.truth import House

SEED = 11
START = 1_780_282_800 * SECOND  # 2026-06-01, 03:00 UTC
BOARDS = 6
CUT_METER = 5
BETWEEN = MINUTE  # contract 8: a stated time is within 60 s of the true one, or flagged


@dataclass
class Lived:
    """Everything that the test looks at when the days are over."""

    start: int = 0
    end: int = 0
    digest: str = ""
    events: list = field(default_factory=list)
    received: int = 0
    lost: int = 0
    stored: dict = field(default_factory=dict)
    tables: list = field(default_factory=list)
    houses: dict[str, House] = field(default_factory=dict)
    power: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    served: dict[str, dict[str, list]] = field(default_factory=dict)
    joined_at: dict[str, int] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    dead: int = 0


class Recorder:
    """Keeps a copy of every event on its way to the broker."""

    def __init__(self, publisher, kept):
        self._publisher, self._kept = publisher, kept

    def publish(self, event):
        self._kept.append(event)
        self._publisher.publish(event)


def served(city):
    """Each sensor's record of what it served, without an end."""
    found = {}
    for number, board in city.boards.items():
        kinds = {}
        for device in board.wiring.devices():
            if isinstance(device, A02yyuw | Pms5003 | Sht31):
                device.record.served = kinds[type(device).__name__] = deque()
        found[city.sites[number].dev_eui] = kinds
    return found


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Lived:
    days = Lived()
    days.start = START
    var = Var(Path(tmp_path_factory.mktemp("five-days")))
    var.lock()
    with Chain(var, Ports(), say=lambda _text: None) as chain:
        # The days are the same whenever the test runs; no bucket must think them too old.
        chain.start_servers(dict.fromkeys(servers.RETENTION_S, 36_500 * 86_400))
        chain.start_network(SEED)
        chain.start_gateway()
        chain.devnet.publisher = Recorder(chain.publisher, days.events)
        sites = chain.build_city(World(SEED, days.start, days.start), BOARDS, days.start, keep=100_000)
        city = chain.city
        days.served = served(city)
        days.houses = {site.dev_eui: house(site, SEED, days.start) for site in sites if site.kind == "meter"}
        city.air.set_loss(None, 0.3, until=days.start + 5 * DAY)
        settling = chain.settling()
        mounted = {}
        for number in city.boards:
            mounted[number] = days.start + (1 + number) * MINUTE
            city.power_on(number, mounted[number])

        killed, back = days.start + 26 * HOUR, days.start + 33 * HOUR
        cut, restored = days.start + 50 * HOUR + 17 * MINUTE, days.start + 54 * HOUR + 3 * MINUTE
        days.end = days.start + 5 * DAY + 14 * HOUR
        board = city.boards[CUT_METER]
        city.clock.at(cut, board.power_cut, 2 * CUT_METER + 2)
        city.power_on(CUT_METER, restored)

        city.run_until(killed, settling.settle)
        chain.stop_gateway(kill=True)
        city.run_until(back)
        chain.start_gateway()
        settling.attach()
        settling.settle()
        city.run_until(days.end, settling.settle)

        for number, site in city.sites.items():
            ends = [(mounted[number], days.end)]
            if number == CUT_METER:
                ends = [(mounted[number], cut), (restored, days.end)]
            days.power[site.dev_eui] = ends
            days.logs[site.dev_eui] = city.boards[number].log()
        gateway_id = city.gateway.gateway_id
        for entry in city.air.log:
            if entry.sender != gateway_id:
                got = "" in dict(entry.outcome).values()
                days.received += got
                days.lost += not got
        days.tables = read(chain)
        days.dead = int(read_metric(chain.metrics_url, "vigie_dead_letters"))
    return days


def read(chain):
    """(bucket, measurement, dev_eui, time in ns, field, value) of everything stored."""
    rows = []
    with InfluxDBClient(chain.influxdb.url, chain.access.read_token(), org=chain.access.org, timeout=60_000) as client:
        for bucket in ("daily", "hourly", "raw"):
            for table in client.query_api().query(f'from(bucket: "{bucket}") |> range(start: 0)'):
                for record in table.records:
                    when = round(record.get_time().timestamp() * 1000) * 1_000_000
                    rows.append(
                        (
                            bucket,
                            record.get_measurement(),
                            record["dev_eui"],
                            when,
                            record.get_field(),
                            record.get_value(),
                        )
                    )
    return rows


def points(lived, measurement):
    """(bucket, dev_eui, time in ns) -> fields."""
    found = defaultdict(dict)
    for bucket, name, dev_eui, when, field_name, value in lived.tables:
        if name == measurement:
            assert field_name not in found[bucket, dev_eui, when], (bucket, dev_eui, when, field_name)
            found[bucket, dev_eui, when][field_name] = value
    return found


def uplinks(lived, port):
    """(dev_eui, network time in ns, payload) of every frame on this port that reached the network."""
    for event in lived.events:
        if event.topic.endswith("/up") and event.body.f_port == port:
            stamp = event.body.time
            yield event.body.device_info.dev_eui, stamp.seconds * 10**9 + stamp.nanos, event.body.data


def flagged(fields):
    return fields.get("time_unsure", False) or fields.get("time_estimated", False)


def test_the_days_were_as_hard_as_they_claim(lived):
    assert lived.lost / (lived.lost + lived.received) > 0.2
    assert lived.received > 800
    assert lived.dead == 0
    for dev_eui, log in lived.logs.items():
        assert "Traceback" not in log, (dev_eui, log[-2000:])


def test_every_frame_has_one_link_point(lived):
    ups = [event for event in lived.events if event.topic.endswith("/up")]
    assert len(points(lived, "link")) == len(ups)


def expected_bins(lived):
    for dev_eui, _when, data in uplinks(lived, bin_.PORT):
        record = bin_.decode(data)
        for back, echo in enumerate(record.echoes):
            if record.mark:
                yield (dev_eui, (record.mark - back * bin_.STEP) * SECOND), echo


def expected_air(lived):
    for dev_eui, _when, data in uplinks(lived, air.PORT):
        record = air.decode(data)
        for back, sample in enumerate(record.samples):
            if record.mark:
                yield (dev_eui, (record.mark - back * air.STEP) * SECOND), sample


def test_every_bin_reading_is_stored_once_and_true(lived):
    stored = points(lived, "bin")
    wanted = dict(expected_bins(lived))
    assert {key[1:] for key in stored} >= set(wanted)
    seen = 0
    for (bucket, dev_eui, when), fields in stored.items():
        assert bucket == "raw"
        if (dev_eui, when) in wanted and not flagged(fields):
            echo = wanted[dev_eui, when]
            code = codes.reason(echo.distance)
            assert fields.get("distance_reason", 0) == code
            assert fields.get("distance") == (None if code else echo.distance)
        if flagged(fields) or "distance" not in fields:
            continue
        near = [one.values[0] for one in lived.served[dev_eui]["A02yyuw"] if abs(one.when - when) <= BETWEEN]
        assert fields["distance"] in near, (dev_eui, when, fields, near)
        seen += 1
    assert seen > 200


def test_every_air_reading_is_stored_once_and_true(lived):
    stored = points(lived, "air")
    wanted = dict(expected_air(lived))
    assert {key[1:] for key in stored} >= set(wanted)
    by_minute = {
        dev_eui: {kind: group(list(each)) for kind, each in kinds.items()} for dev_eui, kinds in lived.served.items()
    }
    seen = 0
    for (bucket, dev_eui, when), fields in stored.items():
        assert bucket == "raw"
        if flagged(fields):
            continue
        if "pm25" in fields:
            near = around(by_minute[dev_eui]["Pms5003"], when)
            for place, name in enumerate(("pm1", "pm25", "pm10")):
                assert fields[name] in {one.values[place] for one in near}, (dev_eui, when, name, fields)
        if "temperature" in fields:
            near = around(by_minute[dev_eui]["Sht31"], when)
            assert any(
                abs(one.values[0] / 1000 - fields["temperature"]) <= 0.011
                and abs(one.values[1] / 1000 - fields["humidity"]) <= 0.011
                for one in near
            ), (dev_eui, when, fields, near)
            seen += 1
    assert seen > 700


def group(records):
    found = defaultdict(list)
    for one in records:
        found[one.when // MINUTE].append(one)
    return found


def around(by_minute, when):
    minute = when // MINUTE
    return [one for each in range(minute - 1, minute + 2) for one in by_minute[each] if abs(one.when - when) <= BETWEEN]


def test_within_an_epoch_all_differences_are_exact(lived):
    stored = points(lived, "meter")
    for dev_eui, truth in lived.houses.items():
        bases = {}
        for (_bucket, eui, when), fields in sorted(stored.items(), key=lambda item: item[0][2]):
            if eui != dev_eui or flagged(fields):
                continue
            # The true count at some instant within 60 s of the stated one, less what the epoch began with.
            possible = {
                truth.pulse_count(when + shift) - fields["count"] for shift in range(-BETWEEN, BETWEEN + 1, SECOND)
            }
            base = bases.setdefault(fields["epoch"], possible)
            bases[fields["epoch"]] = base & possible
            assert bases[fields["epoch"]], (dev_eui, when, fields, possible, base)
        assert len(bases) == (2 if lived.power[dev_eui][1:] else 1), (dev_eui, bases)


def test_the_first_epoch_counts_from_the_power_on(lived):
    stored = points(lived, "meter")
    for dev_eui, truth in lived.houses.items():
        first = truth.pulse_count(lived.power[dev_eui][0][0])
        found = {
            (when, fields["count"])
            for (_b, eui, when), fields in stored.items()
            if eui == dev_eui and fields["epoch"] == 1 and not flagged(fields)
        }
        assert found
        for when, count in found:
            assert truth.pulse_count(when - BETWEEN) - first <= count <= truth.pulse_count(when + BETWEEN) - first


def knew_the_time(lived, dev_eui, since, until):
    """When the node first said in a received frame of this period that it knows the time."""
    for port in (meter.PORT, health.PORT):
        for eui, when, data in uplinks(lived, port):
            if eui == dev_eui and since <= when < until and not data[1] & codes.TIME_UNKNOWN:
                yield when


def test_every_midnight_that_a_meter_lived_through(lived):
    stored = points(lived, "meter")
    midnights = 0
    for dev_eui in lived.houses:
        for since, until in lived.power[dev_eui]:
            knows = min(knew_the_time(lived, dev_eui, since, until))
            for midnight in range((knows // DAY + 1) * DAY, until, DAY):
                assert ("daily", dev_eui, midnight) in stored, (dev_eui, time.gmtime(midnight // SECOND))
                midnights += 1
    assert midnights >= 9


def test_every_midnight_that_a_frame_carried_is_stored(lived):
    stored = points(lived, "meter")
    carried = 0
    for dev_eui, _when, data in uplinks(lived, meter.PORT):
        record = meter.decode(data)
        for back, day in enumerate(record.days):
            fields = stored["daily", dev_eui, (record.day - back) * DAY]
            assert fields["count"] == day.count
            assert fields["epoch"] == record.epoch
            assert fields["hours"] == day.hours
            carried += 1
    assert carried > 30


def test_least_and_greatest_flow_are_true(lived):
    """Of days that were seen whole: the truth's hours, within what 60 s at both ends of an hour may move."""
    stored = points(lived, "meter")
    whole = 0
    for (bucket, dev_eui, when), fields in stored.items():
        if bucket != "daily" or fields.get("hours") != 24 or flagged(fields):
            continue
        truth = lived.houses[dev_eui]
        hours = [when - DAY + hour * HOUR for hour in range(24)]
        low = [truth.pulse_count(hour + HOUR - BETWEEN) - truth.pulse_count(hour + BETWEEN) for hour in hours]
        high = [truth.pulse_count(hour + HOUR + BETWEEN) - truth.pulse_count(hour - BETWEEN) for hour in hours]
        assert min(low) <= fields["least"] <= min(high)
        assert max(low) <= fields["greatest"] <= max(high)
        whole += 1
    assert whole >= 4


def test_the_leak_is_told_and_only_there(lived):
    told = dict.fromkeys(lived.houses, False)
    for (_bucket, dev_eui, _when), fields in points(lived, "report").items():
        if fields.get("leak"):
            told[dev_eui] = True
    leaking = {dev_eui: truth.leak_from is not None for dev_eui, truth in lived.houses.items()}
    assert told == leaking


def test_the_power_cut_is_reported(lived):
    periods = {dev_eui: times for dev_eui, times in lived.power.items() if len(times) == 2}
    ((dev_eui, times),) = periods.items()
    after = [
        fields for (_b, eui, when), fields in points(lived, "health").items() if eui == dev_eui and when > times[1][0]
    ]
    assert after
    assert all(fields["reset_cause"] == 1 for fields in after)
    assert {fields["boots"] for fields in after} == {2}
