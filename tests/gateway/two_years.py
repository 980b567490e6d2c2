"""Two years of five meters: the truth, the frames that told of it, what the register has of them.

S0 was heard every day, S1's meter was replaced, S2's node lost pulses and began a new count epoch, S3 has a hole of ten days, S4 fell
silent; S9 has no meter. A pulse is 10 L and the water of this city comes in pulses, so that the truth at an instant is one number.
"""

import random
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from vigie.city import days
from vigie.events import identify
from vigie.files import load, read_secret
from vigie.metrics import Metrics
from vigie.payload import meter
from vigie.register import Register, import_sheet, kind_named
from vigie.register.store import Origin
from vigie.settings import Settings
from vigie.spool import Arrival, Spool
from vigie.writer import InfluxWriter, Writer

from tests.gateway.support import Influx, uplink

NS = 1_000_000_000
H, D = 3600 * NS, 86_400 * NS
YEARS = 731  # days
END = (int(time.time()) // 86_400 - 2) * D  # the newest midnight that was heard
START = END - YEARS * D
HOLE = range(300, 310)  # ten midnights that nobody heard
REPLACED = START + 400 * D + 9 * H + 17 * 60 * NS
EPOCH = START + 500 * D + 3 * H  # power lost, some pulses with it
SILENT = START + 700 * D
PLAIN, CHANGED, CUT, GAP, MUTE = DEVS = [f"{number:016x}" for number in range(0x2A00C0, 0x2A00C5)]
LOST = 37  # pulses


class House:
    """The truth: the instants at which ten litres had passed."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.pulses = []
        for hour in range(-24, YEARS * 24 + 24):
            flow = chance.choice((0, 0, 0, 1, 2, 5, 9))
            self.pulses += sorted(START + hour * H + chance.randrange(3600) * NS for _ in range(flow))

    def count(self, at):
        return bisect_right(self.pulses, at)


HOUSES = {dev: House(number) for number, dev in enumerate(DEVS)}


def dial(dev, at):
    """Litres that the meter shows there: each began at some litres, the new one of CHANGED at 0."""
    house = HOUSES[dev]
    if dev == CHANGED and at >= REPLACED:
        return (house.count(at) - house.count(REPLACED)) * 10
    return 120_000 + house.count(at) * 10


def counted(dev, at):
    """(epoch, pulses) that the node has."""
    pulses = HOUSES[dev].count(at) + 500
    return (2, pulses - LOST) if dev == CUT and at >= EPOCH else (1, pulses)


def frames():
    """Each midnight's frame, with up to three midnights of its epoch before; one in four of them twice."""
    number = 0
    for dev in DEVS:
        for day in range(1, YEARS + 1):
            at = START + day * D
            if (dev == GAP and day in HOLE) or (dev == MUTE and at > SILENT):
                continue
            epoch = counted(dev, at)[0]
            back = [at - n * D for n in range(4) if at - n * D > START]
            back = [one for one in back if counted(dev, one)[0] == epoch]
            if dev == GAP and day > HOLE[-1]:  # the history does not fill the hole
                back = [one for one in back if one > START + HOLE[-1] * D]
            history = tuple(meter.Day(counted(dev, one)[1], 0, 9, 24, 0) for one in back)
            made = meter.Meter(epoch, at // NS + 600, 16, None, at // D, history)
            for _ in range(2 if day % 4 == 0 else 1):
                number += 1
                # Received of late, whatever midnight it carries: link points are kept for a year only.
                yield uplink(number, meter.encode(made, 51), dev_eui=dev, at=int(time.time()) - 30_000)


SITES = (
    "site,kind,district,household_ref,address\n"
    + "".join(f"S{number},meter,Q{number % 2},=H-{number},{20 - number} rue du Lac\n" for number in range(5))
    + "S9,meter,Q1,,1 quai Neuf\n"
)
DEVICES = "dev_eui,kind,site\n" + "".join(f"{dev},meter,S{number}\n" for number, dev in enumerate(DEVS))
HEAD = "site,serial,dev_eui,epoch,litres_per_pulse,anchor_dial_l,anchor_time,anchor_count,since,until,out_dial_l,tolerance_l\n"


def segment(number, serial, since, until=None, epoch=1, anchor=None, tolerance=""):
    dev = DEVS[number]
    known = ",," if anchor is None else f"{dial(dev, anchor)},{days.iso(anchor)},{counted(dev, anchor)[1]}"
    end = "," if until is None else f"{days.iso(until)},{dial(dev, until - NS)}"
    return f"S{number},{serial},{dev},{epoch},10,{known},{days.iso(since)},{end},{tolerance}\n"


FIRST = START + 7 * H  # when they were mounted
SEGMENTS = (
    HEAD
    + segment(0, "M0", FIRST, anchor=FIRST)
    + segment(1, "M1", FIRST, REPLACED, anchor=FIRST)
    + segment(1, "M1b", REPLACED, anchor=REPLACED)
    + segment(2, "M2", FIRST, anchor=FIRST)
    + segment(3, "M3", FIRST, anchor=FIRST)
    + segment(4, "M4", FIRST, anchor=FIRST)
)


class City(NamedTuple):
    """A folder with a gateway's settings and register, beside an InfluxDB that has the two years."""

    folder: Path
    settings: Settings

    @property
    def file(self):
        return self.folder / "vigie.toml"

    def register(self):
        return Register(self.folder / "register.sqlite")


def found(folder, influx: Influx):
    """A city in an empty folder; its counts are another's to plant."""
    access = influx.access
    (folder / "vigie.toml").write_text(
        f"[influxdb]\nurl = '{influx.server.url}'\norg = '{access.org}'\n"
        f"write_token_file = '{access.write_token_file}'\nread_token_file = '{access.read_token_file}'\n"
    )
    city = City(folder, load(folder / "vigie.toml"))
    with city.register() as register:
        for kind, text in (("sites", SITES), ("devices", DEVICES), ("segments", SEGMENTS)):
            assert import_sheet(register, kind_named(kind), text.encode(), Origin("clerk", kind)).refused == []
    return city


def plant(city):
    """The frames, some of them twice or redelivered, through spool and writer into InfluxDB."""
    settings = city.settings
    spool = Spool(city.folder / "spool.sqlite", 10**9)
    token = read_secret(settings.influxdb.write_token_file, "write token")
    influx = InfluxWriter(settings.influxdb, token)
    writer = Writer(spool, influx, settings.buckets, Metrics(spool), threading.Event(), threading.Event())
    arrivals = []
    for topic, body in frames():
        known = identify(topic, body)
        arrivals.append(Arrival(known.kind, known.key, topic, body))
    spool.add(arrivals)
    spool.add(arrivals[:100])
    while batch := spool.take(2000):
        writer.write(batch)
    assert [one.reason for one in spool.dead_letters()] == []
    spool.close()
