"""The map: places, the published path loss, shadowing that stays, and what share of a distance each data rate covers."""

from math import erf, log10

import pytest
from air_world import START, Clock, uplink

from tools.world import lora
from tools.world.air import Air, LoRaGateway
from tools.world.map import (
    DISTRICT_M,
    DISTRICTS,
    GATEWAY_DBI,
    NODE_DBI,
    PIT_DB,
    RADIUS_M,
    SHADOWING_DB,
    STREET_DB,
    CityMap,
    Place,
    free_space_db,
    macro_loss_db,
)
from tools.world.sites import GATEWAY_ID, plan

SITES = plan(5, 60)


def names(count):
    return [f"{number:016x}" for number in range(count)]


@pytest.fixture
def town():
    return CityMap(5, SITES, 3)


def test_everything_follows_from_the_seed(town):
    again, other = CityMap(5, SITES, 3), CityMap(6, SITES, 3)
    ids = [site.dev_eui for site in SITES]
    for name in [*ids, *town.gateways, "foreign-07"]:
        assert again.place(name) == town.place(name)
    assert [again.loss_db(each, GATEWAY_ID) for each in ids] == [town.loss_db(each, GATEWAY_ID) for each in ids]
    assert [other.place(each) for each in ids] != [town.place(each) for each in ids]
    assert again.gateways == town.gateways != other.gateways
    assert again.degrees(ids[0]) == town.degrees(ids[0])


def test_who_asks_first_changes_nothing(town):
    again = CityMap(5, SITES, 3)
    pairs = [(one.dev_eui, gateway) for one in SITES[:10] for gateway in town.gateways]
    assert [town.loss_db(*pair) for pair in pairs] == [again.loss_db(*pair) for pair in reversed(pairs)][::-1]


def test_sites_stand_in_their_quarter_and_gateways_apart_inside_the_city(town):
    for site in SITES:
        middle, place = DISTRICTS[site.district], town.place(site.dev_eui)
        assert (place.east_m - middle[0]) ** 2 + (place.north_m - middle[1]) ** 2 <= DISTRICT_M**2
        assert place.cover_db == (PIT_DB if site.kind == "meter" else 0)
    assert town.gateways[0] == GATEWAY_ID
    for number, one in enumerate(town.gateways):
        assert town.place(one).roof
        assert len(one) == 16
        assert town.distance_m(one, GATEWAY_ID) <= RADIUS_M
        assert all(town.distance_m(one, other) > 700 for other in town.gateways[:number])
    assert len(set(CityMap(1, SITES, 8).gateways)) == 8


def test_degrees_are_metres_on_the_ground(town):
    town.put("one", Place(0, 0))
    town.put("two", Place(1000, 1000))
    (south, west), (north, east) = town.degrees("one"), town.degrees("two")
    assert (north - south) * 40_007_863 / 360 == pytest.approx(1000, rel=0.01)
    assert (east - west) * 40_075_017 / 360 * 0.5**0.5 == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("distance", [100, 500, 1000, 3000, 10_000])
def test_the_median_is_the_published_formula(distance):
    assert macro_loss_db(distance) == pytest.approx(120.9 + 37.6 * log10(distance / 1000))
    # Friis: (4 pi d / wavelength) squared.
    wave = 299_792_458 / 868e6
    assert free_space_db(distance) == pytest.approx(20 * log10(4 * 3.14159265 * distance / wave), abs=0.05)


def test_no_path_is_shorter_than_the_coupling_loss(town):
    town.put("near", Place(0, 1))
    assert macro_loss_db(0) == macro_loss_db(1) == 70
    assert town.loss_db("near", GATEWAY_ID) >= 70 - NODE_DBI - GATEWAY_DBI
    town.put("same", Place(0, 1))
    assert town.loss_db("near", "same") >= 70 - 2 * NODE_DBI


def test_shadowing_has_its_spread_and_half_of_it_is_the_places_own(town):
    one, two = town.gateways[:2]
    pairs = [(town.shadowing_db(name, one), town.shadowing_db(name, two)) for name in names(3000)]
    firsts, seconds = zip(*pairs, strict=True)
    for values in (firsts, seconds):
        mean = sum(values) / len(values)
        assert abs(mean) < 0.6
        assert (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 == pytest.approx(
            SHADOWING_DB, rel=0.05
        )
    together = sum(first * second for first, second in pairs) / len(pairs)
    assert together / SHADOWING_DB**2 == pytest.approx(0.5, abs=0.05)


def test_a_path_is_the_same_both_ways_but_for_the_gateways_antenna(town):
    node = SITES[0].dev_eui
    assert town.loss_db(GATEWAY_ID, node) - town.loss_db(node, GATEWAY_ID) == GATEWAY_DBI
    assert town.loss_db(node, "foreign-01") == town.loss_db("foreign-01", node)
    assert town.loss_db(*town.gateways[:2]) == town.loss_db(*reversed(town.gateways[:2]))
    assert town.loss_db(node, GATEWAY_ID) * 4 % 1 == 0


def test_a_pit_costs_what_it_says(town):
    town.put("street", Place(400, 300))
    open_db = town.loss_db("street", GATEWAY_ID)
    town.put("street", Place(400, 300, cover_db=PIT_DB))
    assert town.loss_db("street", GATEWAY_ID) == open_db + PIT_DB


def test_two_boards_in_the_street_lose_more_than_to_a_roof(town):
    town.put("one", Place(0, 0))
    town.put("two", Place(0, 400))
    expected = macro_loss_db(400) + STREET_DB + town.shadowing_db("one", "two") - 2 * NODE_DBI
    assert STREET_DB == 20
    assert town.loss_db("two", "one") == pytest.approx(expected, abs=0.125)


@pytest.mark.parametrize("distance", [250, 500, 1000, 2000, 4000, 8000])
def test_the_share_that_is_covered_falls_with_the_distance_as_the_model_says(town, distance):
    nodes = names(1500)
    for number, name in enumerate(nodes):
        # Four points of the compass, so that only the distance counts.
        east, north = ((1, 0), (0, 1), (-1, 0), (0, -1))[number % 4]
        town.put(name, Place(distance * east, distance * north))
    for sf in (7, 12):
        limit = 14 + NODE_DBI + GATEWAY_DBI - lora.NOISE_FLOOR_DBM[125_000] - lora.SNR_LIMIT_DB[sf]
        covered = sum(
            14 - town.loss_db(name, GATEWAY_ID) - lora.NOISE_FLOOR_DBM[125_000] >= lora.SNR_LIMIT_DB[sf]
            for name in nodes
        )
        expected = (1 + erf((limit - macro_loss_db(distance)) / SHADOWING_DB / 2**0.5)) / 2
        spread = (expected * (1 - expected) / len(nodes)) ** 0.5
        assert abs(covered / len(nodes) - expected) < 4 * spread + 0.01, (sf, covered, expected)


def test_the_air_on_a_map_hears_far_nodes_with_a_high_spreading_factor_only(town):
    clock = Clock()
    air = Air(clock, 5, keep=10_000, ground=town)
    gateway = LoRaGateway(air, GATEWAY_ID)
    heard = {}
    for distance in (300, 2500, 9000):
        for sf in (7, 12):
            for number in range(100):
                name = f"{distance}-{number}"
                town.put(name, Place(0, distance))
                frame = air.transmit(name, uplink(sf=sf))
                clock.run(frame.end)
            heard[distance, sf] = sum(entry.outcome[0][1] == "" for entry in list(air.log)[-100:])
    assert heard[300, 7] == heard[300, 12] == 100
    assert heard[2500, 7] < heard[2500, 12] - 10
    assert heard[9000, 7] < heard[9000, 12] < 50
    assert gateway.gateway_id == GATEWAY_ID
    assert clock.now > START


def test_a_fixed_loss_wins_over_the_map(town):
    air = Air(Clock(), 5, ground=town)
    node = SITES[3].dev_eui
    assert air.path_loss(node, GATEWAY_ID) == town.loss_db(node, GATEWAY_ID)
    air.set_path_loss(node, GATEWAY_ID, 101.0)
    assert air.path_loss(node, GATEWAY_ID) == air.path_loss(GATEWAY_ID, node) == 101.0


def test_without_a_map_the_seed_gives_the_losses_and_both_ways_are_the_same():
    air = Air(Clock(), 5)
    for gateway_id in names(2):
        LoRaGateway(air, gateway_id)
    losses = [air.path_loss(f"b{number}", names(1)[0]) for number in range(300)]
    assert (min(losses) >= 100, max(losses) <= 130, len(set(losses)) > 80) == (True, True, True)
    assert [air.path_loss(names(1)[0], f"b{number}") for number in range(300)] == losses
    assert 120 <= air.path_loss("b1", "b2") == air.path_loss("b2", "b1") <= 150
    assert 120 <= air.path_loss(*names(2)) <= 150
