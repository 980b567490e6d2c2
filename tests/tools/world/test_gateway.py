"""A gateway's limits: demodulators, one radio for both directions, duty cycle; and what it tells about each reception."""

import pytest
from air_world import BOARD, MS, ONE, OTHER, START, TWO, Item, S, World, uplink

from tools.world import lora
from tools.world.air import EU868_CHANNELS, LoRaGateway
from tools.world.gateway import HOUR, SUB_BANDS

CHANNELS = [freq for freq, width in EU868_CHANNELS if width == 125_000]
LONG = bytes(100)


def crowd(world, senders):
    """One frame each, 1 ms apart, on eight channels and then with the next spreading factor; levels alike."""
    for number in range(senders):
        board = f"00000000000000{number:02x}"
        world.air.set_path_loss(board, ONE, 110.0)
        world.at(number * MS, board, uplink(LONG, 7 + number // 8, freq_hz=CHANNELS[number % 8]))
    world.clock.run(START + 10 * S)
    return list(world.outcomes().values())


def test_eight_channels_at_once_are_eight_frames():
    assert crowd(World().steady(), 8) == [""] * 8


def test_a_ninth_frame_finds_no_demodulator():
    assert sorted(crowd(World().steady(), 10)) == [""] * 8 + ["no demodulator free"] * 2
    assert crowd(World(gateway={"demodulators": 10}).steady(), 10) == [""] * 10


def test_a_demodulator_is_free_after_its_frame():
    world = World(gateway={"demodulators": 1}).steady()
    air_ns = uplink(b"a").air_ns
    world.at(0, BOARD, uplink(b"a"))
    world.at(air_ns, OTHER, uplink(b"b"))
    world.clock.run(START + S)
    assert world.outcomes() == {BOARD: "", OTHER: ""}


def test_what_is_not_found_takes_no_demodulator():
    world = World(gateway={"demodulators": 1}).steady()
    world.air.set_path_loss("00000000000000b1", ONE, 150.0)
    world.at(0, "00000000000000b1", uplink(LONG))
    world.at(0, "00000000000000b2", uplink(LONG, freq_hz=867_100_000, sync_word=0x1424))
    for board in ("00000000000000b4", "00000000000000b5"):  # neither preamble is seen
        world.air.set_path_loss(board, ONE, 110.0)
        world.at(0, board, uplink(LONG, freq_hz=867_700_000))
    world.at(20 * MS, BOARD, uplink(LONG, freq_hz=867_300_000))
    aborted = world.air.transmit("00000000000000b3", uplink(LONG, freq_hz=867_500_000))
    world.clock.run(START + 15 * MS)
    world.air.abort(aborted)
    world.clock.run(START + S)
    assert world.outcomes()[BOARD] == ""


def test_250_khz_has_a_demodulator_of_its_own():
    world = World(gateway={"demodulators": 1}).steady()
    wide = {"freq_hz": 868_300_000, "bandwidth_hz": 250_000}
    world.at(0, BOARD, uplink(LONG))
    world.at(0, OTHER, uplink(LONG, **wide))
    world.clock.run(START + S)
    assert world.outcomes() == {BOARD: "", OTHER: ""}


def test_the_demodulator_for_250_khz_is_one():
    world = World().steady()
    world.air.set_path_loss(OTHER, ONE, 105.0)
    for number, board in enumerate((BOARD, OTHER)):
        world.at(number * 20 * MS, board, uplink(LONG, freq_hz=868_300_000, bandwidth_hz=250_000))
    world.clock.run(START + S)
    assert world.outcomes() == {BOARD: "collision", OTHER: "no demodulator free"}


def test_spreading_factors_below_seven_are_not_demodulated():
    world = World()
    world.send(uplink(sf=6, preamble=12))
    assert world.outcomes() == {BOARD: "no channel"}


@pytest.mark.parametrize("start_ms", [20, 40])
def test_a_downlink_that_begins_inside_an_uplink_ends_it_and_frees_its_demodulator(start_ms):
    world = World(gateway={"demodulators": 1}).steady()
    world.at(0, BOARD, uplink(LONG))
    world.one.schedule([Item(start_ms * MS)], START)
    world.at((start_ms + 60) * MS, OTHER, uplink(freq_hz=868_500_000))
    world.clock.run(START + S)
    assert world.outcomes() == {BOARD: "gateway was sending", OTHER: ""}


def test_only_the_gateway_that_sends_is_deaf():
    world = World().steady()
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, TWO, 115.0)
    world.air.set_path_loss(ONE, TWO, 80.0)
    world.one.schedule([Item(10 * MS, spreading_factor=12, freq_hz=869_525_000)], START)
    world.at(20 * MS, BOARD, uplink())
    world.clock.run(START + 5 * S)
    assert [world.outcomes(each)[BOARD] for each in (ONE, TWO)] == ["gateway was sending", ""]


def test_a_gateway_does_not_hear_another_ones_downlink_but_is_disturbed_by_it():
    world = World().steady()
    LoRaGateway(world.air, TWO)
    world.air.set_path_loss(BOARD, TWO, 115.0)
    world.air.set_path_loss(ONE, TWO, 80.0)
    world.one.schedule([Item(10 * MS, spreading_factor=12)], START)
    world.at(20 * MS, BOARD, uplink())
    world.clock.run(START + 5 * S)
    assert world.outcomes(TWO)[BOARD] == "interference"
    assert TWO not in dict(world.air.log[-1].outcome)


# Duty cycle


def fill(gateway, clock, freq_hz, sf=12, step=4 * S, **changes):
    """Downlinks one after the other until one is refused; the ns on air of those that were sent, and the refusal."""
    spent = 0
    for _ in range(2000):
        item = Item(2 * S, bytes(33), freq_hz=freq_hz, spreading_factor=sf, **changes)
        answer = gateway.schedule([item], clock.now)
        if answer.index is None:
            return spent, answer
        spent += lora.time_on_air_ns(33, sf, 125_000, crc=False)
        clock.run(clock.now + step)
    raise AssertionError("never refused")


@pytest.mark.parametrize(
    ("freq_hz", "share", "sf", "step"),
    [(868_100_000, 0.01, 12, 4 * S), (867_900_000, 0.01, 10, 4 * S), (869_525_000, 0.1, 12, 4 * S),
     (868_900_000, 0.001, 9, S), (863_900_000, 0.001, 9, S)],
)  # fmt: skip
def test_a_sub_band_has_its_share_of_an_hour(freq_hz, share, sf, step):
    world = World()
    spent, answer = fill(world.one, world.clock, freq_hz, sf, step)
    assert answer.statuses == ("DUTY_CYCLE_OVERFLOW",)
    frame = lora.time_on_air_ns(33, sf, 125_000, crc=False)
    assert spent <= share * HOUR < spent + frame


def test_each_sub_band_has_its_own_and_an_hour_later_there_is_room():
    world = World()
    spent, _answer = fill(world.one, world.clock, 868_100_000)
    now = world.clock.now
    long, other = Item(0, bytes(33), spreading_factor=12), Item(2 * S, freq_hz=869_525_000)
    answer = world.one.schedule([long, other], now)
    assert (answer.index, answer.statuses) == (1, ("DUTY_CYCLE_OVERFLOW", "OK"))
    # The first frame began 2 s after the start; enough of it must lie more than an hour before the new one's end.
    frame = lora.time_on_air_ns(33, 12, 125_000, crc=False)
    free = START + 2 * S + HOUR + (frame - (HOUR // 100 - spent)) - frame
    world.clock.run(free - 1)
    assert world.one.schedule([long], free - 1).status == "DUTY_CYCLE_OVERFLOW"
    assert world.one.schedule([long], free).status == "OK"
    assert world.one.schedule([long], free + 2 * S).status == "DUTY_CYCLE_OVERFLOW"


def test_a_refused_downlink_costs_nothing_and_the_duty_cycle_can_be_off():
    world = World(gateway={"duty_cycle": False})
    for _ in range(50):
        assert world.one.schedule([Item(S, bytes(33), spreading_factor=12)], world.clock.now).status == "OK"
        assert world.one.schedule([Item(S, bytes(33))], world.clock.now).status == "COLLISION_PACKET"
        world.clock.run(world.clock.now + 4 * S)
    other = LoRaGateway(world.air, TWO)
    for _ in range(400):
        assert other.schedule([Item(-S, bytes(33), spreading_factor=12)], world.clock.now).status == "TOO_LATE"
    assert other.schedule([Item(S, bytes(33), spreading_factor=12)], world.clock.now).status == "OK"


@pytest.mark.parametrize("freq_hz", [862_000_000, 868_650_000, 869_300_000, 870_100_000])
def test_no_sub_band_no_downlink(freq_hz):
    world = World()
    assert world.one.schedule([Item(S, freq_hz=freq_hz)], START).status == "TX_FREQ"


def test_sub_bands_lie_in_order_and_apart():
    edges = [edge for low, high, _share in SUB_BANDS for edge in (low, high)]
    assert edges == sorted(edges)


# What it tells


def test_each_gateway_tells_its_own_receptions():
    world = World()
    two = LoRaGateway(world.air, TWO)
    told = []
    for gateway in (world.one, two):
        gateway.on_reception = lambda frame, reception: told.append((frame.what.payload, reception.gateway_id))
    world.air.on_uplink = lambda *_: told.append("air")
    world.air.set_path_loss(BOARD, TWO, 180.0)
    world.air.set_path_loss(OTHER, TWO, 115.0)
    world.send(uplink(b"a"))
    world.send(uplink(b"b"), OTHER)
    world.send(uplink(b"c", sync_word=0x1424), OTHER)
    assert told == [(b"a", ONE), "air", (b"b", ONE), (b"b", TWO), "air"]


def test_a_gateway_alone_needs_no_listener_of_the_air():
    world = World()
    told = []
    world.air.on_uplink, world.one.on_reception = None, lambda _frame, reception: told.append(reception)
    frame = world.send(uplink(b"a"))
    (reception,) = told
    assert int.from_bytes(reception.context, "big") == frame.end // 1000 & 0xFFFFFFFF
