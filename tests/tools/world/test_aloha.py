"""Time on air and throughput against what is published: Semtech AN1200.13, and pure ALOHA's S = G exp(-2 G)."""

from math import ceil, exp

import pytest
from air_world import ONE, START, World, uplink

from tools.world import chance, lora
from tools.world.air import Rules

SENDERS = 200
PAYLOAD = bytes(20)
BATCHES, FRAMES = 40, 4000


def an1200_13_ms(length, sf, width_khz, *, coding_rate, preamble, header, crc, optimised):
    """Semtech AN1200.13 (LoRa Modem Designer's Guide), section 4, in its own symbols."""
    symbol = 2**sf / width_khz
    bits = 8 * length - 4 * sf + 28 + 16 * crc - 20 * (not header)
    symbols = 8 + max(ceil(bits / (4 * (sf - 2 * optimised))) * (coding_rate + 4), 0)
    return (preamble + 4.25) * symbol + symbols * symbol


@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("width_khz", [125, 250])
def test_time_on_air_is_semtechs_formula(sf, width_khz):
    for length in range(0, 256, 5):
        for rate, preamble, crc, header in ((1, 8, True, True), (1, 8, False, True), (4, 12, True, False)):
            optimised = lora.low_data_rate(sf, width_khz * 1000)
            assert optimised == (2**sf / width_khz >= 16)
            found = lora.time_on_air_ns(
                length, sf, width_khz * 1000, coding_rate=rate, preamble=preamble, crc=crc, explicit_header=header
            )
            assert found / 1e6 == pytest.approx(
                an1200_13_ms(
                    length,
                    sf,
                    width_khz,
                    coding_rate=rate,
                    preamble=preamble,
                    header=header,
                    crc=crc,
                    optimised=optimised,
                )
            )


@pytest.mark.parametrize(
    ("length", "sf", "ms"),
    # 13 + 10 bytes, the usual example for EU868, and 13 + 51, the longest at SF12; as public calculators give them.
    [(23, 7, 61.7), (23, 8, 113.2), (23, 9, 205.8), (23, 10, 370.7), (23, 11, 823.3), (23, 12, 1482.8),
     (64, 12, 2793.5), (13, 9, 164.9)],
)  # fmt: skip
def test_time_on_air_is_what_calculators_publish(length, sf, ms):
    assert round(lora.time_on_air_ns(length, sf, 125_000) / 1e6, 1) == ms


def senders(load, seed):
    """Start times of FRAMES frames from SENDERS nodes, each at independent instants; the load is G frames a time on air."""
    air_ns = uplink(PAYLOAD).air_ns
    span = round(FRAMES * air_ns / load)
    return span, [
        (chance.below(seed, span, "when", number), f"{chance.below(seed, SENDERS, 'who', number):016x}")
        for number in range(FRAMES)
    ]


def throughput(load, seed, **rules):
    """Received frames a time on air: mean, and the standard deviation of that mean from BATCHES parts of the time."""
    world = World(seed, rules=Rules(**rules))
    for number in range(SENDERS):
        world.air.set_path_loss(f"{number:016x}", ONE, 90.0 + chance.below(seed, 41, "loss", number))
    span, starts = senders(load, seed)
    for when, sender in starts:
        world.at(when, sender, uplink(PAYLOAD))
    got = [0] * BATCHES

    def heard(frame, _receptions, _end):
        got[(frame.start - START) * BATCHES // span] += 1

    world.air.on_uplink = heard
    world.clock.run(START + 2 * span)
    each = [count * uplink(PAYLOAD).air_ns * BATCHES / span for count in got]
    mean = sum(each) / BATCHES
    return mean, (sum((one - mean) ** 2 for one in each) / (BATCHES - 1) / BATCHES) ** 0.5


@pytest.mark.parametrize("load", [0.05, 0.1, 0.25, 0.5, 1.0, 1.5])
def test_without_capture_the_throughput_is_pure_alohas(load):
    measured, error = throughput(load, 7, capture_db=None, lock_symbols=8)
    expected = load * exp(-2 * load)
    # The load is exact, the instants are uniform: no other frame within two times on air.
    assert error < 0.08 * expected
    assert abs(measured - expected) < 3.5 * error, (measured, expected, error)


def test_the_most_is_at_half_a_frame_a_time_on_air():
    found = {load: throughput(load, 11, capture_db=None, lock_symbols=8)[0] for load in (0.2, 0.5, 1.2)}
    assert max(found, key=found.get) == 0.5
    assert abs(found[0.5] - 1 / (2 * exp(1))) < 0.01


@pytest.mark.parametrize("load", [0.25, 0.5, 1.0])
def test_with_capture_it_lies_above(load):
    measured, error = throughput(load, 7)
    assert measured - 4 * error > load * exp(-2 * load)
    assert measured < load


def test_a_clear_tail_of_the_preamble_alone_gives_its_three_symbols():
    """Frames collide over 2 T less three symbols: S = G exp(-G (2 - 3 symbols / T))."""
    what = uplink(PAYLOAD)
    measured, error = throughput(0.5, 7, capture_db=None)
    expected = 0.5 * exp(-0.5 * (2 - 3 * what.symbol_ns / what.air_ns))
    assert abs(measured - expected) < 3.5 * error, (measured, expected, error)
