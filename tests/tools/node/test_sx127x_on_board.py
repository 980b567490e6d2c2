"""The SX127x driver against the chip's model on a virtual board: kinds of module, wrong board files, chips found in a bad state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver_bench import MS, START, DriverBench, S

from tools.virtual_board.chips.sx1276 import Sx1276
from tools.virtual_board.machine import BoardError

MAIN = """
import time
from machine import RTC, SPI, Pin, deepsleep, reset, soft_reset
from radio.sx127x import Sx127x
from radio.trait import RadioError

class Board:
    PA_BOOST = True
    ANTENNA_GAIN_DB = 0
    {facts}

pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OPEN_DRAIN, value=1), Pin(4, Pin.IN), Pin(14, Pin.IN))
modem = Sx127x(SPI(1, 2_000_000, sck=Pin(12), mosi=Pin(11), miso=Pin(13)), pins, Board)

def wait():
    while True:
        event = modem.poll()
        if event:
            return event
        time.sleep_ms(5)

def transmit(power=14, sf=7, bandwidth=125000):
    modem.prepare_transmit(b"hello", 868100000, sf, bandwidth, power)
    modem.start()

def exchange(power=14):
    transmit(power)
    wait()
    modem.prepare_receive(869525000, 7, 125000, 20)
    modem.start()
    event = wait()
    modem.sleep()
    return getattr(event, "phy", None)

{script}
"""
DRIVER = ("lorawan/__init__", "lorawan/airtime", "radio/__init__", "radio/sx127x", "radio/trait")
SAFE = """
try:
    try:
        print(exchange())
    finally:
        modem.sleep()
except RadioError as error:
    print(error)
deepsleep(2000)
"""


class Bench(DriverBench):
    """An SX1276 module."""

    def __init__(self, folder: Path, chip: type[Sx1276] = Sx1276, **module: Any) -> None:
        super().__init__(folder, MAIN, DRIVER, lambda air: chip(air, dio0=4, dio1=14, reset=9, **module))


RFO = {"boost": False, "rfo": True}


@pytest.mark.parametrize(
    ("module", "facts", "powers"),
    [
        ({}, "", {16: 16, 14: 14, 12: 12, 10: 10, 8: 8, 6: 6, 4: 4, 2: 2, 0: 2, 20: 17}),
        (RFO, "PA_BOOST = False", {16: 14, 14: 14, 12: 12, 10: 10, 8: 8, 6: 6, 4: 4, 2: 2, 0: 0, -2: -2.2, -9: -4.2}),
        ({"tcxo_startup_ns": 5 * MS}, "TCXO_START_US = 5_000", {14: 14}),
    ],
    ids=["PA_BOOST", "RFO", "TCXO"],
)
def test_each_kind_of_module_sends_with_the_power_asked_for_and_hears(
    tmp_path: Path, module: dict[str, Any], facts: str, powers: dict[int, float]
) -> None:
    bench = Bench(tmp_path, **module)
    lines = bench.says(f"for power in {list(powers)}:\n    print(exchange(power))", facts)
    assert lines == ["b'hello'"] * len(powers)
    assert bench.uplinks() == [(power, "") for power in powers.values()]


def test_the_wrong_amplifier_is_not_heard(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.says("print(exchange())", "PA_BOOST = False") == ["None"]
    assert bench.uplinks() == [(14, "the antenna is not on RFO")]


@pytest.mark.parametrize(
    ("module", "facts"), [({"tcxo_startup_ns": 5 * MS}, ""), ({}, "TCXO_START_US = 5_000")], ids=["TCXO", "crystal"]
)
def test_a_board_file_with_another_clock_is_a_fault(tmp_path: Path, module: dict[str, Any], facts: str) -> None:
    with pytest.raises(BoardError, match="before the oscillator runs"):
        Bench(tmp_path, **module).says("exchange()", facts)


@pytest.mark.parametrize("bandwidth", [125_000, 250_000, 500_000])
def test_every_bandwidth_of_the_field_is_sent(tmp_path: Path, bandwidth: int) -> None:
    bench = Bench(tmp_path)
    assert bench.says(f"transmit(sf=12, bandwidth={bandwidth})\nprint(type(wait()).__name__)") == ["Sent"]
    entry = bench.air.log[0]
    assert (entry.what.bandwidth_hz, entry.what.optimised) == (bandwidth, bandwidth < 500_000)


@pytest.mark.parametrize(
    "leave", ["transmit(sf=12)", "modem.prepare_receive(869525000, 12, 125000, 1023); modem.start()"]
)
@pytest.mark.parametrize("how", ["reset()", "soft_reset()"])
def test_a_modem_that_a_reset_left_busy_is_taken_over(tmp_path: Path, leave: str, how: str) -> None:
    script = f"""
if not RTC().memory():
    RTC().memory(b"once")
    {leave}
    time.sleep_ms(300)
    {how}
print(exchange())
"""
    assert Bench(tmp_path).says(script) == ["b'hello'"]


@pytest.mark.parametrize("shown", [0x00, 0xFF])
def test_a_chip_that_does_not_answer_is_one_sentence_and_the_next_wake_works(tmp_path: Path, shown: int) -> None:
    class Loose(Sx1276):
        """A chip whose MISO is broken for two seconds."""

        def transfer(self, mosi: bytes, baudrate: int, mode: int) -> bytes:
            answer = super().transfer(mosi, baudrate, mode)
            return answer if self.host.now >= START + 2 * S else bytes([shown]) * len(mosi)

    bench = Bench(tmp_path, Loose)
    assert bench.says(SAFE, seconds=4) == [
        f"SX127x: version 0x{shown:02x} instead of 0x12; check SPI, NSS, RESET and the supply",
        "b'hello'",
    ]


def test_a_chip_that_started_anew_in_an_exchange_is_one_sentence(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def browns_out() -> None:
        bench.chip.power(False)
        bench.chip.power(True)

    script = """
transmit()
wait()
time.sleep_ms(2000)
try:
    modem.prepare_receive(869525000, 7, 125000, 20)
except RadioError as error:
    print(error)
modem.sleep()
print(exchange())
"""
    bench.before = lambda: bench.clock.at(bench.clock.now + S, browns_out) and None
    lines = bench.says(script, seconds=5)
    assert lines == ["SX127x: mode 0x09 instead of 0x81; check SPI, NSS and the supply", "b'hello'"]


def test_a_window_with_nothing_in_it_closes_and_after_each_exchange_the_chip_sleeps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.air.on_uplink = lambda *_: None
    assert bench.says(SAFE, seconds=1) == ["None"]
    assert (bench.chip.mode, bench.chip.long_range) == (0, True)
