"""Two frames at once, at one receiver: capture, its timing, spreading factors, channels; figures of Bor et al. and Croce et al."""

import pytest
from air_world import BOARD, MS, ONE, OTHER, START, TWO, Ear, S, World, uplink

from tools.world import lora
from tools.world.air import LoRaGateway, Rules, Transmission
from tools.world.collision import REJECTION_DB, alike

FACTORS = range(7, 13)
LONG = bytes(40)


def over(sf):
    return lora.time_on_air_ns(40, sf, 125_000)


def both(db, first=None, second=None, after=5 * MS, **options):
    """What became of a frame and of one that starts `after` ns later and is `db` stronger."""
    world = World(**options).steady()
    world.air.set_path_loss(OTHER, ONE, 115.0 - db)
    world.at(0, BOARD, first or uplink(LONG))
    world.at(after, OTHER, second or uplink(LONG))
    world.clock.run(START + 10 * S)
    return [world.outcomes()[board] for board in (BOARD, OTHER)]


@pytest.mark.parametrize(
    ("db", "outcomes"),
    [
        (0, ["collision", "collision"]),
        (5.75, ["collision", "collision"]),
        (6, ["collision", ""]),
        (-6, ["", "collision"]),
        (-5.75, ["collision", "collision"]),
    ],
)
def test_the_stronger_frame_is_received_from_6_db_on_whichever_came_first(db, outcomes):
    assert both(db) == outcomes


def test_without_capture_both_are_lost_whatever_their_levels():
    assert both(40, rules=Rules(capture_db=None)) == ["collision", "collision"]


@pytest.mark.parametrize(("symbols_left", "outcome"), [(5, ""), (4.75, "collision")])
@pytest.mark.parametrize("capture_db", [6.0, None])
def test_the_last_five_symbols_of_the_preamble_must_be_clear(symbols_left, outcome, capture_db):
    symbol = lora.symbol_ns(7, 125_000)
    start = over(7) - int((8 - symbols_left) * symbol)
    assert both(0, after=start, rules=Rules(capture_db=capture_db))[1] == outcome


def test_a_whole_preamble_may_be_asked_for():
    symbol = lora.symbol_ns(7, 125_000)
    rules = Rules(lock_symbols=8)
    assert both(0, after=over(7) - symbol, rules=rules) == ["collision", "collision"]
    assert both(0, after=over(7), rules=rules) == ["", ""]


@pytest.mark.parametrize("one", FACTORS)
@pytest.mark.parametrize("other", FACTORS)
def test_two_spreading_factors_at_once_are_both_received(one, other):
    lost = "collision" if one == other else ""
    frames = uplink(LONG, one), uplink(LONG, other)
    assert both(0, *frames, 4 * frames[0].symbol_ns) == [lost, lost]


@pytest.mark.parametrize(("one", "other"), [(one, other) for one in FACTORS for other in FACTORS if one != other])
def test_another_spreading_factor_disturbs_from_the_published_level_on(one, other):
    limit = -REJECTION_DB[one][other - 7]
    frames = uplink(LONG, one), uplink(LONG, other)
    after = 4 * frames[0].symbol_ns
    assert both(limit, *frames, after)[0] == ""
    assert both(limit + 0.25, *frames, after)[0] == "interference"
    assert both(60, *frames, after, rules=Rules(orthogonal=True))[0] == ""


def test_the_table_is_the_published_one():
    # Croce et al. 2018, Table II: a column is an interferer; sums as a check of each row.
    assert [sum(REJECTION_DB[factor]) for factor in FACTORS] == [-44, -60, -70, -89, -105, -122]
    assert all(REJECTION_DB[factor][factor - 7] == 0 for factor in FACTORS)
    assert max(max(row[:n] + row[n + 1 :]) for n, row in enumerate(REJECTION_DB.values())) == -8


def test_several_weak_frames_together_disturb_and_count_only_while_they_overlap():
    def lives(starts):
        world = World().steady()
        world.at(0, BOARD, uplink(bytes(200)))
        for number, start in enumerate(starts):
            board = f"00000000000000b{number}"
            world.air.set_path_loss(board, ONE, 115.0 + 8)
            world.at(start, board, uplink(b"x"))
        world.clock.run(START + S)
        return world.outcomes()[BOARD]

    assert lives([20 * MS]) == ""
    assert lives([20 * MS, 80 * MS]) == ""
    # 8 dB and 8 dB below: together 5 dB below.
    assert lives([20 * MS, 25 * MS]) == "collision"


@pytest.mark.parametrize("freq", [868_300_000, 868_500_000, 867_900_000])
def test_other_channels_do_not_interfere(freq):
    assert both(60, second=uplink(LONG, freq_hz=freq)) == ["", ""]


def test_frames_whose_bandwidths_overlap_do():
    assert both(0, second=uplink(LONG, freq_hz=868_200_000)) == ["collision", "no channel"]
    assert both(0, second=uplink(LONG, freq_hz=868_225_000)) == ["", "no channel"]


def test_250_khz_lies_over_the_channel_in_its_middle_only():
    wide = {"freq_hz": 868_300_000, "bandwidth_hz": 250_000}
    for freq in (868_100_000, 868_500_000):
        assert both(60, uplink(LONG, freq_hz=freq), uplink(LONG, **wide))[0] == ""
    middle = uplink(LONG, freq_hz=868_300_000)
    assert both(0, middle, uplink(LONG, **wide)) == ["", ""]
    assert both(8.25, middle, uplink(LONG, **wide))[0] == "interference"


@pytest.mark.parametrize(
    ("wanted", "other", "margin"),
    [
        (uplink(sf=9), uplink(sf=7), -15),
        (uplink(sf=9), uplink(sf=7, bandwidth_hz=250_000), -13),
        (uplink(sf=9), uplink(sf=9, iq_inverted=True), -13),
        (uplink(sf=7, bandwidth_hz=250_000), uplink(sf=12), -8),
        (uplink(sf=5), uplink(sf=12), -9),
        (uplink(sf=9), uplink(sf=9, sync_word=0x1424), 6),
    ],
)
def test_what_was_not_measured_counts_like_the_worst_of_what_was(wanted, other, margin):
    assert Rules().margin_db(wanted, other) == margin


def test_another_sync_word_collides_all_the_same():
    assert both(0, second=uplink(LONG, sync_word=0x1424)) == ["collision", "sync word"]


def test_each_gateway_judges_for_itself():
    world = World().steady()
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, ONE, 100.0)
    world.air.set_path_loss(OTHER, ONE, 120.0)
    world.air.set_path_loss(BOARD, TWO, 120.0)
    world.air.set_path_loss(OTHER, TWO, 100.0)
    world.at(0, BOARD, uplink(LONG))
    world.at(MS, OTHER, uplink(LONG))
    world.clock.run(START + S)
    assert world.outcomes(ONE) == {BOARD: "", OTHER: "collision"}
    assert world.outcomes(TWO) == {BOARD: "collision", OTHER: ""}
    assert [[each.gateway_id for each in receptions] for _, receptions, _ in world.heard] == [[ONE], [TWO]]


def test_an_aborted_frame_disturbs_only_as_long_as_it_lasts():
    world = World().steady()
    frame = world.air.transmit(OTHER, uplink(LONG))
    world.at(2 * MS, BOARD, uplink(LONG))
    world.clock.run(START + 3 * MS)
    world.air.abort(frame)
    world.clock.run(START + S)
    assert world.outcomes() == {OTHER: "aborted", BOARD: ""}


def downlink(payload=b"down", sf=9, **changes):
    options = {"freq_hz": 869_525_000, "bandwidth_hz": 125_000, "power_dbm": 27.0, "iq_inverted": True, "crc": False}
    return Transmission(spreading_factor=sf, payload=payload, **(options | changes))


@pytest.mark.parametrize(
    ("db", "after", "got"),
    [(0, 30 * MS, "collision"), (-6, 30 * MS, ""), (6, 30 * MS, "collision"), (0, 150 * MS, "collision")],
)
def test_downlinks_of_two_gateways_collide_at_a_board(db, after, got):
    world = World().steady()
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, TWO, 115.0 - db)
    ear = Ear(world.air)
    world.air.listen(ear)
    world.air.start_downlink(ONE, downlink(LONG))
    world.clock.run(START + after)
    world.air.start_downlink(TWO, downlink(LONG))
    world.clock.run(START + S)
    first = next(entry for entry in world.air.log if entry.sender == ONE)
    assert dict(first.outcome) == {BOARD: got}
    assert ear.wrecked[0] == got


def test_a_downlink_under_a_stronger_one_is_not_found():
    world = World().steady()
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, TWO, 115.0)
    ear = Ear(world.air)
    world.air.start_downlink(TWO, downlink(LONG))
    world.clock.run(START + 50 * MS)
    world.air.listen(ear)
    world.air.start_downlink(ONE, downlink(LONG))
    world.clock.run(START + S)
    second = next(entry for entry in world.air.log if entry.sender == ONE)
    assert dict(second.outcome) == {BOARD: "collision"}
    assert len(ear.got) == 1


def test_uplinks_beside_a_board_disturb_its_downlink_as_another_chirp():
    # The downlink arrives with 27 - 115 = -88 dBm; SF9 bears 13 dB more of another chirp.
    for loss, got in ((14 + 75.0, ""), (14 + 74.75, "interference")):
        world = World().steady()
        world.air.set_path_loss(BOARD, OTHER, loss)
        ear = Ear(world.air)
        world.air.listen(ear)
        world.air.start_downlink(ONE, downlink(LONG))
        world.at(80 * MS, OTHER, uplink(LONG, sf=9, freq_hz=869_525_000))
        world.clock.run(START + S)
        entry = next(entry for entry in world.air.log if entry.sender == ONE)
        assert dict(entry.outcome) == {BOARD: got}, loss


def test_up_and_down_chirps_are_not_alike():
    assert alike(uplink(), uplink(b"other", freq_hz=868_300_000))
    assert not alike(uplink(), downlink(sf=7))
