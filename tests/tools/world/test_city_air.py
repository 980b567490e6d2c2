"""A city's boards in a crowded air: thirty that get power within one second; several gateways on a map, and others' frames."""

from collections import Counter

import pytest

from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server
from tools.run.provision import provision
from tools.world.city import HOUR, MINUTE, SECOND, City
from tools.world.map import CityMap
from tools.world.sites import GATEWAY_ID, plan

START = 1_779_926_400 * SECOND  # 2026-05-28 00:00:00 UTC
SEED = 2026
BOARDS = 30


@pytest.fixture
def new_city(tmp_path):
    """A city whose boards are registered and placed; all is closed at the end."""
    opened = []

    def make(boards, gateways=0):
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        devnet = Devnet(folder / "devnet.sqlite", str(SEED), None, paced=False)
        server = Server(devnet, "127.0.0.1:0")
        sites = plan(SEED, boards)
        try:
            provision(f"127.0.0.1:{server.port}", sites)
        finally:
            server.stop()
        devnet.apply_pending()
        ground = CityMap(SEED, sites, gateways) if gateways else None
        city = City(folder / "boards", SEED, START, devnet, keep=10_000, ground=ground)
        opened.append((city, devnet))
        city.place(sites, START)
        return city, {site.dev_eui for site in sites}

    yield make
    for city, devnet in opened:
        city.close()
        devnet.close()


def sent(city, euis):
    """(kind, outcome at a gateway) of all frames of our boards; kind: join or data."""
    found = Counter()
    for entry in city.air.log:
        if entry.sender in euis:
            kind = "data" if entry.what.payload[0] else "join"
            found.update((kind, why) for _gateway, why in entry.outcome)
    return found


def test_thirty_boards_powered_within_one_second_have_joined_within_ten_minutes(new_city):
    city, euis = new_city(BOARDS)
    city.mount(SECOND)
    joined = []
    while city.clock.now < START + 10 * MINUTE and joined[-1:] != [BOARDS]:
        city.run_until(city.clock.now + 10 * SECOND)
        joined.append(city.devnet.joined(euis))
    assert joined[-1] == BOARDS
    # Half of them by the first minute: a lost join-request is sent again soon, at another data rate.
    assert joined[5] >= BOARDS // 2
    frames = sent(city, euis)
    assert frames["join", "collision"] > 0
    assert frames["join", "gateway was sending"] > 0
    factors = {entry.what.spreading_factor for entry in city.air.log if entry.what.payload[0] == 0}
    assert factors >= {7, 9}


def test_several_gateways_on_a_map_share_the_work_and_a_seed_gives_one_log(new_city):
    def live():
        city, euis = new_city(9, gateways=3)
        foreign = city.add_foreign_networks(1200)
        told = Counter()
        for gateway in city.gateways.values():
            gateway.on_reception = lambda _frame, reception: told.update([reception.gateway_id])
        city.mount(MINUTE)
        city.run_until(START + HOUR // 4)
        assert city.devnet.joined(euis) == 9
        assert foreign.frames > 250
        senders = Counter(entry.sender for entry in city.air.log)
        assert len(city.gateways) == 3
        # More than one of them sends, and each hands on what it heard itself.
        assert sum(senders[gateway_id] > 0 for gateway_id in city.gateways) > 1
        assert set(told) == set(city.gateways)
        assert city.gateway is city.gateways[GATEWAY_ID]
        for entry in city.air.log:
            if entry.sender in euis:
                assert [gateway_id for gateway_id, _why in entry.outcome] == list(city.gateways)
        return city.digest(), city.air.log_digest()

    assert live() == live()
