import pytest
from air_world import BOARD, MS, ONE, OTHER, START, TWO, Ear, Item, World, uplink

from tools.world import chance, lora
from tools.world.air import LoRaGateway


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("length", "sf", "width", "crc", "us"),
    [
        (23, 12, 125_000, True, 1_482_752),
        (23, 7, 125_000, True, 61_696),
        (51, 12, 125_000, True, 2_465_792),
        (33, 12, 125_000, False, 1_810_432),
        (13, 7, 250_000, True, 23_168),
    ],
)
def test_time_on_air(length, sf, width, crc, us):
    assert lora.time_on_air_ns(length, sf, width, crc=crc) == us * 1000


def test_an_uplink_is_told_at_its_end_with_a_reception_a_gateway(world):
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, TWO, 120.0)
    frame = world.send(uplink(freq_hz=868_099_999))
    ((told, receptions, end),) = world.heard
    assert (told, end, told.channel_hz) == (frame, START + frame.what.air_ns, 868_100_000)
    assert [reception.gateway_id for reception in receptions] == [ONE, TWO]
    assert abs(receptions[0].rssi_dbm + 101) <= 9
    assert receptions[0].snr_db <= 12
    assert len({reception.uplink_id for reception in receptions}) == 2


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (uplink(freq_hz=868_700_000), "no channel"),
        (uplink(sf=8, bandwidth_hz=250_000), "no channel"),
        (uplink(iq_inverted=True), "IQ"),
        (uplink(sync_word=0x1424), "sync word"),
        (uplink(crc=False), "no CRC or header"),
        (uplink(sf=12, optimised=False), "low data rate optimisation"),
        (uplink(power_dbm=-20.0), "below sensitivity"),
        (uplink(spoiled="IQ erratum"), "IQ erratum"),
    ],
)
def test_an_uplink_that_does_not_fit_is_not_heard(world, what, why):
    world.send(what)
    assert (world.heard, world.air.log[0].outcome) == ([], ((ONE, why),))


def test_a_higher_spreading_factor_reaches_farther(world):
    world.air.set_path_loss(BOARD, ONE, 146.0 - 3)
    world.send(uplink(sf=7))
    world.send(uplink(sf=12))
    assert [frame.what.spreading_factor for frame, _, _ in world.heard] == [12]


def test_loss_by_chance_has_its_rate_its_time_and_no_order():
    def lost(order):
        world = World()
        world.air.set_loss(BOARD, 0.3, since=START, until=START + 1000 * 100 * MS)
        return {n for n in order if world.air._lost(BOARD, "up", START + n * 100 * MS)}

    forward, backward = lost(range(1200)), lost(reversed(range(1200)))
    assert forward == backward
    assert 250 <= len(forward) <= 350
    assert max(forward) < 1000


def test_the_last_loss_rule_wins_and_a_bad_rate_is_refused(world):
    world.air.set_loss(None, 1.0)
    world.send(uplink())
    world.air.set_loss(BOARD, 0.0)
    world.send(uplink())
    assert [entry.outcome[0][1] for entry in world.air.log] == ["lost by chance", ""]
    with pytest.raises(ValueError, match=r"loss rate 30 .*share from 0 to 1"):
        world.air.set_loss(None, 30)


def test_the_gateway_takes_the_first_item_whose_moment_has_not_passed(world):
    end = world.clock.now
    world.clock.run(end + 1500 * MS)
    answer = world.one.schedule([Item(1000 * MS), Item(2000 * MS)], end)
    assert (answer.index, answer.start, answer.statuses) == (1, end + 2000 * MS, ("TOO_LATE", "OK"))
    late = world.one.schedule([Item(1000 * MS)], end)
    assert (late.index, late.status) == (None, "TOO_LATE")
    clash = world.one.schedule([Item(2010 * MS)], end)
    assert (clash.index, clash.status) == (None, "COLLISION_PACKET")
    after = world.one.schedule([Item(2010 * MS), Item(3000 * MS)], end)
    assert after.index == 1


def test_the_gateway_is_deaf_while_it_sends(world):
    world.one.schedule([Item(10 * MS)], world.clock.now)
    world.send(uplink())
    world.clock.run(world.clock.now + 50 * MS)
    world.send(uplink())
    outcomes = [dict(entry.outcome).get(ONE) for entry in world.air.log if entry.sender == BOARD]
    assert outcomes == ["gateway was sending", ""]


def test_a_downlink_reaches_who_listens_also_when_it_was_under_way(world):
    early, late = Ear(world.air), Ear(world.air, OTHER)
    off, wrong = Ear(world.air, "00000000000000a3"), Ear(world.air, "00000000000000a4", "data rate")
    world.air.listen(early)
    world.air.listen(wrong)
    answer = world.one.schedule([Item(1000 * MS)], world.clock.now)
    world.clock.run(answer.start + 1 * MS)
    world.air.listen(late)
    world.clock.run(answer.start + 1000 * MS)
    assert (early.got, late.got, off.got, wrong.got) == ([b"down"], [b"down"], [], [])
    assert world.air.log[0].outcome == ((BOARD, ""), (OTHER, ""), ("00000000000000a4", "data rate"))


def test_a_receiver_closed_inside_the_frame_gets_nothing(world):
    ear = Ear(world.air)
    world.air.listen(ear)
    answer = world.one.schedule([Item(1000 * MS)], world.clock.now)
    world.clock.run(answer.start + 10 * MS)
    world.air.close(ear)
    world.clock.run(answer.start + 1000 * MS)
    assert (ear.got, world.air.log[0].outcome) == ([], ((BOARD, "receiver closed during the frame"),))


def test_boards_do_not_hear_each_other(world):
    ear = Ear(world.air, OTHER)
    world.air.listen(ear)
    world.send(uplink())
    assert ear.got == []


def test_the_digest_tells_any_difference():
    def digest(payload, seed=1):
        world = World(seed)
        world.send(uplink())
        world.send(uplink(payload))
        return world.air.log_digest()

    assert digest(b"a") == digest(b"a")
    assert digest(b"a") != digest(b"b")


def test_draws_depend_on_seed_words_and_kinds_only():
    assert chance.draw(1, "a", 2) == chance.draw(1, "a", 2)
    draws = {chance.draw(1, "a", 2), chance.draw(2, "a", 2), chance.draw(1, "a", "2"), chance.draw(1, "a2")}
    assert len(draws) == 4
    values = [chance.bell(1, "x", n) for n in range(2000)]
    mean = sum(values) / 2000
    spread = (sum((value - mean) ** 2 for value in values) / 2000) ** 0.5
    assert (abs(mean) < 0.1, 0.95 < spread < 1.05) == (True, True)
    assert all(0 <= chance.below(1, 7, n) < 7 and 0 <= chance.unit(1, n) < 1 for n in range(100))
