"""Power that goes in the midst of a flash write, wherever in a meter's join and reports: it boots again, nothing is used twice.

Meters beside their LoRa gateway and the network server, without other servers; each cut leaves one program operation half done.
"""

from collections import defaultdict

import pytest
from chirpstack_api.integration import integration_pb2
from vigie.payload import meter

from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server
from tools.run.provision import provision
from tools.world.city import HOUR, MINUTE, SECOND, City
from tools.world.equip import house
from tools.world.sites import plan

SEED = 5
START = 1_779_926_400 * 10**9  # 2026-05-28 00:00:00 UTC
CUTS = (*range(1, 17), *range(18, 29, 2))
DARK = 90 * SECOND
JOINED = 15 * MINUTE
END = START + 11 * HOUR


class Kept:
    """Every event of the network server."""

    def __init__(self):
        self.events = []

    def publish(self, event):
        self.events.append(event)


class Cutter:
    """Cuts a meter's power three times: in its join, in its reports once it has joined, in the start from its flash that follows."""

    def __init__(self, city, number, after_blocks, first):
        self.city, self.number, self.after_blocks = city, number, after_blocks
        # (when to begin to count flash writes, ns after power-on; in which of them the power goes)
        self.plan = [(0, after_blocks), (JOINED, after_blocks % 8 + 1), (0, after_blocks % 12 + 1)]
        self.cuts = []
        self.last_start = 0
        city.clock.at(first, self.live)

    def live(self):
        board = self.city.boards[self.number]
        board.power_on()
        self.last_start = self.city.clock.now
        if len(self.cuts) < len(self.plan):
            delay, after_blocks = self.plan[len(self.cuts)]
            self.city.clock.after(delay, lambda: board.power_cut(after_blocks=after_blocks))
            self.city.clock.after(delay + SECOND, self.watch)

    def watch(self):
        if self.city.boards[self.number].state == "off":
            self.cuts.append(self.city.clock.now)
            self.city.clock.after(DARK, self.live)
        else:
            self.city.clock.after(SECOND, self.watch)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuts")
    kept = Kept()
    devnet = Devnet(folder / "devnet.sqlite", str(SEED), kept, paced=False)
    server = Server(devnet, "127.0.0.1:0")
    try:
        sites = [site for site in plan(SEED, 3 * len(CUTS)) if site.kind == "meter"]
        provision(f"127.0.0.1:{server.port}", sites)
        devnet.apply_pending()
        with City(folder / "boards", SEED, START, devnet, keep=100_000) as city:
            city.place(sites, START)
            cutters = {
                site.dev_eui: Cutter(city, site.number, n, START + n * 7 * SECOND)
                for n, site in zip(CUTS, sites, strict=True)
            }
            assert city.run_until(END)
            logs = {site.dev_eui: city.boards[site.number].log() for site in sites}
            states = {site.dev_eui: city.boards[site.number].state for site in sites}
            frames = [entry for entry in city.air.log if entry.sender != city.gateway.gateway_id]
        houses = {site.dev_eui: house(site, SEED, START) for site in sites}
        return kept.events, cutters, logs, states, frames, houses
    finally:
        server.stop()
        devnet.close()


def test_each_write_was_cut(lived):
    cutters = lived[1]
    for dev_eui, cutter in cutters.items():
        assert len(cutter.cuts) == len(cutter.plan), (dev_eui, cutter.after_blocks, cutter.cuts)


def test_every_board_boots_and_sleeps(lived):
    _events, cutters, logs, states, _frames, _houses = lived
    for dev_eui, log in logs.items():
        assert "Traceback" not in log, (cutters[dev_eui].after_blocks, log[-1500:])
        assert states[dev_eui] == "asleep", cutters[dev_eui].after_blocks


def test_every_board_delivers_after_its_last_cut(lived):
    events, cutters = lived[:2]
    last = {}
    for event in events:
        if isinstance(event.body, integration_pb2.UplinkEvent) and event.body.f_port == meter.PORT:
            last[event.body.device_info.dev_eui] = event.body.time.ToNanoseconds()
    for dev_eui, cutter in cutters.items():
        assert last[dev_eui] > cutter.last_start, cutter.after_blocks


def test_the_network_refuses_nothing(lived):
    events, cutters = lived[:2]
    refused = [
        (cutters[event.body.device_info.dev_eui].after_blocks, event.body.description)
        for event in events
        if isinstance(event.body, integration_pb2.LogEvent)
        and event.body.code in (integration_pb2.OTAA, integration_pb2.UPLINK_F_CNT_RESET)
    ]
    assert refused == []


def test_no_counter_is_in_the_air_twice(lived):
    """DevNonce (TS001-1.0.4, 6.2.5) of each device, FCntUp under each DevAddr, in the frames as sent."""
    cutters, frames = lived[1], lived[4]
    seen = set()
    joins = 0
    for entry in frames:
        phy = entry.what.payload
        join = phy[0] >> 5 == 0
        joins += join
        counter = (entry.sender, "join", phy[17:19]) if join else (entry.sender, phy[1:5], phy[6:8])
        assert counter not in seen, (cutters[entry.sender].after_blocks, counter)
        seen.add(counter)
    assert joins >= len(cutters)


def test_no_count_goes_back_and_each_loss_begins_an_epoch(lived):
    events, cutters, _logs, _states, _frames, houses = lived
    heard = defaultdict(list)
    for event in events:
        if isinstance(event.body, integration_pb2.UplinkEvent) and event.body.f_port == meter.PORT:
            frame = meter.decode(event.body.data)
            heard[event.body.device_info.dev_eui].append((event.body.time.ToNanoseconds(), frame))
    assert set(heard) == set(cutters)
    for dev_eui, cutter in cutters.items():
        reported = [(frame.epoch, frame.now) for _when, frame in heard[dev_eui] if frame.now is not None]
        assert reported == sorted(reported), cutter.after_blocks
        assert all(count <= houses[dev_eui].pulse_count(END) for _epoch, count in reported)
        for _when, frame in heard[dev_eui]:
            history = [day.count for day in reversed(frame.days)]
            assert history == sorted(history)
        for cut in cutter.cuts:
            before = [frame.epoch for when, frame in heard[dev_eui] if when < cut]
            after = [frame.epoch for when, frame in heard[dev_eui] if when > cut]
            assert max(before, default=0) < min(after), cutter.after_blocks
