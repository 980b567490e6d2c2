"""The sensor models against their makers' own examples, and their ways to fail."""

from itertools import pairwise

import pytest

from tools.virtual_board.sensors import a02yyuw, pms5003, sht31
from tools.virtual_board.sensors.battery import Battery
from tools.virtual_board.sensors.reed import Reed
from tools.world.truth import DAY, House

MS, S = 1_000_000, 1_000_000_000
RX, SET, SUPPLY, TX = 18, 8, 7, 15


def put(host, model, pin, level):
    host.outputs[pin] = level
    model.output(pin, level)


# PMS5003


@pytest.fixture
def pms(host):
    model = pms5003.Pms5003(lambda _when: (12, 20, 31), rx_pin=RX, set_pin=SET, supply_pin=SUPPLY)
    model.attach(host)
    model.power(True)
    return model


def start(host, model):
    put(host, model, SUPPLY, 1)
    put(host, model, SET, 1)


def test_a_pms5003_frame_has_32_bytes_and_the_sum_of_30():
    data = pms5003.frame((12, 20, 31))
    assert (len(data), data[:4]) == (32, b"BM\x00\x1c")
    assert [int.from_bytes(data[place : place + 2], "big") for place in range(4, 16, 2)] == [12, 20, 31, 12, 20, 31]
    assert int.from_bytes(data[30:], "big") == sum(data[:30])
    assert sum(data[:30]) == 0x42 + 0x4D + 28 + 2 * (12 + 20 + 31) + sum(data[16:30])


def test_the_pms5003_lies_low_for_thirty_seconds_and_tells_the_truth_after(host, clock, pms):
    start(host, pms)
    clock.run(clock.now + 60 * S)
    began = host.sent[0][0] - (host.sent[0][0] - pms._started)
    early = [data[12:14] for when, _pin, data in host.sent if when - began < 30 * S]
    late = [data[12:14] for when, _pin, data in host.sent if when - began >= 30 * S]
    assert all(int.from_bytes(value, "big") < 20 for value in early)
    assert [int.from_bytes(value, "big") for value in early] == sorted(int.from_bytes(value, "big") for value in early)
    assert {int.from_bytes(value, "big") for value in late} == {20}
    gaps = [after[0] - before[0] for before, after in pairwise(host.sent)]
    assert 800 * MS <= min(gaps) <= max(gaps) <= 2300 * MS
    assert len(pms.record.served) == len(host.sent)
    assert pms.record.served[0].values == (12, 20, 31)


def test_the_pms5003_is_silent_without_supply_or_with_set_low(host, clock, pms):
    put(host, pms, SET, 1)
    clock.run(clock.now + 10 * S)
    assert host.sent == []
    put(host, pms, SUPPLY, 1)
    clock.run(clock.now + 40 * S)
    heard = len(host.sent)
    assert heard > 10
    put(host, pms, SET, 0)
    clock.run(clock.now + 10 * S)
    put(host, pms, SET, 1)
    put(host, pms, SUPPLY, None)
    clock.run(clock.now + 10 * S)
    assert len(host.sent) == heard
    put(host, pms, SUPPLY, 1)
    clock.run(clock.now + 3 * S)
    assert int.from_bytes(host.sent[-1][2][12:14], "big") < 3


@pytest.mark.parametrize("kind", ["silent", "bad_checksum", "short"])
def test_a_pms5003_fault_lasts_from_to(host, clock, pms, kind):
    start(host, pms)
    since, until = clock.now + 40 * S, clock.now + 50 * S
    pms.record.inject(kind, since, until)
    clock.run(clock.now + 60 * S)

    def good(data):
        return len(data) == 32 and int.from_bytes(data[30:], "big") == sum(data[:30])

    inside = [data for when, _pin, data in host.sent if since <= when < until]
    outside = [data for when, _pin, data in host.sent if not since <= when < until]
    assert (len(inside) == 0) == (kind == "silent")
    assert not any(good(data) for data in inside)
    assert all(good(data) for data in outside)
    assert {served.fault for served in pms.record.served if since <= served.when < until} == {kind}


def test_an_unknown_fault_is_refused(pms):
    with pytest.raises(ValueError, match="'deaf': give one of silent"):
        pms.record.inject("deaf", 0, 1)


# A02YYUW


@pytest.mark.parametrize(("data", "distance"), [("FF039D9F", 925), ("FF07A1A7", 1953)])
def test_the_makers_a02yyuw_frames(data, distance):
    assert a02yyuw.frame(distance) == bytes.fromhex(data)


@pytest.mark.parametrize(("distance", "told"), [(925, 925), (30, 30), (29, 0), (4500, 4500), (4501, a02yyuw.NO_ECHO)])
def test_a02yyuw_frames_come_every_100_to_300_ms_with_its_limits(host, clock, distance, told):
    model = a02yyuw.A02yyuw(lambda _when: distance, rx_pin=16, tx_pin=TX, supply_pin=SUPPLY)
    model.attach(host)
    model.power(True)
    clock.run(clock.now + S)
    assert host.sent == []
    host.outputs[TX] = 1
    put(host, model, SUPPLY, 1)
    clock.run(clock.now + 5 * S)
    gaps = [after[0] - before[0] for before, after in pairwise(host.sent)]
    assert 100 * MS <= min(gaps) < max(gaps) <= 300 * MS
    assert {data for _when, _pin, data in host.sent} == {a02yyuw.frame(told)}
    assert model.record.served[-1].values == (distance,)
    heard = len(host.sent)
    put(host, model, SUPPLY, 0)
    clock.run(clock.now + 5 * S)
    assert len(host.sent) == heard


# SHT31


@pytest.fixture
def sht(host, clock):
    model = sht31.Sht31(lambda _when: (21_500, 43_210))
    model.attach(host)
    model.power(True)
    clock.run(clock.now + 2 * MS)
    return model


def test_the_crc_of_the_makers_example():
    assert sht31.crc(b"\xbe\xef") == 0x92  # SHT3x-DIS datasheet, Table 20


def test_a_single_shot_is_not_acknowledged_before_it_is_ready(clock, sht):
    assert sht.write(b"\x24\x00", stop=True) == 2
    for _ in range(15):
        clock.run(clock.now + 1 * MS)
        assert sht.read(6, stop=True) is None
        assert sht.write(b"\xf3\x2d", stop=True) is None
    clock.run(clock.now + 1 * MS)
    data = sht.read(6, stop=True)
    assert data[2] == sht31.crc(data[:2])
    assert data[5] == sht31.crc(data[3:5])
    assert abs(-45_000 + 175_000 * int.from_bytes(data[:2], "big") / 65_535 - 21_500) < 2
    assert abs(100_000 * int.from_bytes(data[3:5], "big") / 65_535 - 43_210) < 1
    assert sht.read(6, stop=True) is None
    assert [served.values for served in sht.record.served] == [(21_500, 43_210)]


def test_status_heater_and_soft_reset(clock, sht):
    def status():
        sht.write(b"\xf3\x2d", stop=False)
        data = sht.read(3, stop=True)
        assert data[2] == sht31.crc(data[:2])
        return int.from_bytes(data[:2], "big")

    assert status() == 0x8010
    sht.write(b"\x30\x41", stop=True)
    assert status() == 0
    sht.write(b"\x30\x6d", stop=True)
    assert status() == 0x2000
    sht.write(b"\x30\xa2", stop=True)
    assert sht.write(b"\xf3\x2d", stop=False) is None
    clock.run(clock.now + 2 * MS)
    assert status() == 0x8010


def test_what_the_sht31_has_not_is_a_fault(fault, sht):
    with pytest.raises(fault, match="0x1234"):
        sht.write(b"\x12\x34", stop=True)
    with pytest.raises(fault, match="2 bytes, got 1"):
        sht.write(b"\x24", stop=True)


@pytest.mark.parametrize("kind", ["silent", "bad_checksum", "short"])
def test_sht31_faults(clock, sht, kind):
    sht.record.inject(kind, clock.now, clock.now + S)
    acknowledged = sht.write(b"\x24\x16", stop=True)
    clock.run(clock.now + 5 * MS)
    data = sht.read(6, stop=True)
    if kind == "silent":
        assert (acknowledged, data) == (None, None)
    else:
        assert len(data) == 6
        assert data[5] != sht31.crc(data[3:5])


# Reed contact and battery


@pytest.fixture
def house(clock):
    return House(7, "meter-1", clock.now - 20 * DAY)


def test_the_reed_bounces_at_both_ends_and_settles_on_the_truth(host, clock, house):
    reed = Reed(house, 5)
    reed.attach(host)
    began = clock.now
    reed.power(True)
    clock.run(began + 5 * DAY)
    edges = house.contact_edges(began + 1, began + 5 * DAY)
    assert len(edges) > 60
    assert [served.when for served in reed.record.served] == [when for when, closed in edges if closed]
    for number, (when, closed) in enumerate(edges):
        after = edges[number + 1][0] if number + 1 < len(edges) else began + 5 * DAY
        moves = [(at - when, level) for at, _pin, level in host.edges if when <= at < after]
        assert moves[0] == (0, 0 if closed else None)
        assert moves[-1] == (moves[-1][0], 0 if closed else None)
        assert len(moves) in (3, 5, 7)
        assert moves[-1][0] < 5 * MS


def test_the_reed_can_rest_closed_through_a_power_cut(host, clock, house):
    closed = next(when for when, shut in house.contact_edges(clock.now, clock.now + 2 * DAY) if shut)
    clock.run(closed + 10 * MS)
    reed = Reed(house, 5)
    reed.attach(host)
    reed.power(True)
    assert host.pins[5] == 0
    reed.power(False)
    assert host.pins[5] is None
    clock.run(clock.now + DAY)
    assert host.pins[5] is None
    reed.power(True)
    assert host.pins[5] == (0 if house.contact_closed(clock.now) else None)


def test_a_silent_reed_loses_the_pulse(host, clock, house):
    reed = Reed(house, 5)
    reed.attach(host)
    reed.power(True)
    reed.record.inject("silent", clock.now, clock.now + 2 * DAY)
    before = len(host.edges)
    clock.run(clock.now + 2 * DAY)
    assert len(host.edges) == before
    assert {served.fault for served in reed.record.served} == {"silent"}


def test_the_battery_falls_slowly(host, clock):
    battery = Battery(clock.now)
    battery.attach(host)
    assert battery.microvolts(6) == 1_800_000
    clock.run(clock.now + 1000 * DAY)
    assert battery.microvolts(6) == 1_750_000
