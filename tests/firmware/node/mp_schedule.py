"""Offsets spread the fleet and stay clear of samples; bad config.json gives one line."""

import boards
import schedule
from node import config
from node.config import Config, ConfigError

GOOD = {
    "kind": "meter",
    "board": "bare_s3",
    "dev_eui": "70B3D5E75E000A01",
    "join_eui": "0000000000000001",
    "app_key": "2b7e151628aed2a6abf7158809cf4f3c",
    "region": "eu868",
}


def test_offsets_spread_neighbouring_devices():
    for kind, every in (("meter", 6 * schedule.HOUR_MS), ("bin", schedule.HOUR_MS), ("air", 15 * schedule.MINUTE_MS)):
        tenths = [0] * 10
        for number in range(400):
            offset = schedule.report_offset("70b3d5e75e{:06x}".format(number), kind)
            assert 40_000 <= offset <= every - 60_000
            if kind != "meter":
                assert offset <= every - 120_000
            tenths[offset * 10 // every] += 1
        assert max(tenths) <= 80 and min(tenths[1:9]) >= 20, (kind, tenths)


def test_following_is_later():
    assert schedule.following(0, 100) == 100
    assert schedule.following(99, 100) == 100
    assert schedule.following(100, 100) == 200
    assert schedule.following(100, 100, 30) == 130
    assert schedule.following(129, 100, 30) == 130
    assert schedule.following(10, 100, 30) == 30


def test_config_is_checked():
    assert Config(GOOD).dev_eui == "70b3d5e75e000a01"
    for key, value, said in (
        ("kind", "gas", "config.json: kind is 'gas'; one of meter, bin, air is needed"),
        ("app_key", "2b7e", "config.json: app_key is wrong; 32 hex digits are needed"),
        ("join_eui", None, "config.json: join_eui is missing; 16 hex digits are needed"),
    ):
        values = dict(GOOD)
        values[key] = value
        try:
            Config(values)
        except ConfigError as error:
            assert str(error) == said, error
        else:
            assert False, key


def test_each_board_that_config_knows_has_its_file():
    for name in config.BOARDS:
        board = boards.load(name)
        assert board.RADIO in ("sx126x", "sx127x", "mplib"), name
        assert board.CONTACT <= 21, name  # an RTC pin
