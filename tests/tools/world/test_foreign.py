"""Other networks' uplinks: their rate, their shape, what they do to ours."""

from collections import Counter

import pytest
from air_world import ONE, START, World, uplink

from tools.world import chance
from tools.world.foreign import PRIVATE_SYNC_WORD, ForeignNetworks

HOUR = 3_600_000_000_000


def lived(seed=1, rate=600, hours=2, **options):
    world = World(seed)
    foreign = ForeignNetworks(world.air, rate, **options)
    world.clock.run(START + hours * HOUR)
    return world, foreign


def test_the_rate_is_the_stated_one_and_the_seed_says_when():
    world, foreign = lived()
    assert abs(foreign.frames - 1200) <= 1
    times = [entry.start for entry in world.air.log]
    assert len({time % (HOUR // 600) for time in times}) > 900
    assert lived()[0].air.log_digest() == world.air.log_digest()
    assert lived(2)[0].air.log_digest() != world.air.log_digest()


def test_they_are_frames_of_others_on_all_channels():
    world, _foreign = lived()
    frames = [entry.what for entry in world.air.log]
    assert len({frame.freq_hz for frame in frames}) == 8
    factors = Counter(frame.spreading_factor for frame in frames)
    assert set(factors) >= {7, 12}
    private = sum(frame.sync_word == PRIVATE_SYNC_WORD for frame in frames)
    assert 0.05 < private / len(frames) < 0.4
    for frame in frames:
        assert frame.payload[0] == 0x40
        assert frame.payload[4] >> 1 != 0  # NetID 000000, the city's, has NwkID 0
        assert 8 + 1 + 12 <= len(frame.payload) <= 8 + 1 + 35
        assert frame.optimised == (frame.spreading_factor >= 11)
    assert len({frame.payload for frame in frames}) == len(frames)
    # What a node is stays.
    shapes = {}
    for entry in world.air.log:
        shape = (entry.what.spreading_factor, entry.what.sync_word, entry.what.payload[1:5])
        assert shapes.setdefault(entry.sender, shape) == shape


def test_gateways_hand_on_what_is_lorawan():
    world, _foreign = lived()
    assert world.heard
    assert {frame.what.sync_word for frame, _, _ in world.heard} == {0x3444}
    assert set(world.outcomes().values()) >= {"", "sync word"}


def test_they_collide_with_ours():
    def lost(rate):
        world = World()
        if rate:
            ForeignNetworks(world.air, rate, [868_100_000])
        for number in range(600):
            board = f"{number % 20:016x}"
            when = number * (HOUR // 600) + chance.below(3, HOUR // 700, number)
            world.at(when, board, uplink(bytes(20)))
        world.clock.run(START + HOUR + HOUR // 600)
        return sum(dict(entry.outcome)[ONE] != "" for entry in world.air.log if not entry.sender.startswith("foreign"))

    none, many = lost(0), lost(6000)
    assert none == 0
    assert many > 10


def test_a_rate_below_one_is_refused():
    with pytest.raises(ValueError, match=r"0 foreign frames an hour: give 1 or more"):
        ForeignNetworks(World().air, 0)
