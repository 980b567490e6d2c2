"""The SX126x driver against the chip's model on a virtual board: kinds of module, and chips found in a bad state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver_bench import DEV_EUI, GATEWAY, MS, START, DriverBench, S

from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.machine import BoardError

RXEN, TXEN = 21, 20

MAIN = """
import time
from machine import RTC, SPI, Pin, deepsleep, reset, soft_reset
from radio.sx126x import Sx126x
from radio.trait import RadioError

class Board:
    TCXO_MILLIVOLTS, TCXO_START_US = 1800, 5_000
    ANTENNA_GAIN_DB = 0
    {facts}

pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OUT, value=1), Pin(14, Pin.IN), Pin(4, Pin.IN))
modem = Sx126x(SPI(1, 2_000_000, sck=Pin(12), mosi=Pin(11), miso=Pin(13)), pins, Board)

def wait():
    while True:
        event = modem.poll()
        if event:
            return event
        time.sleep_ms(5)

def transmit(power=14, sf=7, phy=b"hello"):
    modem.prepare_transmit(phy, 868100000, sf, 125000, power)
    modem.start()

def receive():
    modem.prepare_receive(869525000, 7, 125000, 20)
    modem.start()
    return wait()

def exchange(power=14):
    transmit(power)
    wait()
    event = receive()
    modem.sleep()
    return getattr(event, "phy", None)

{script}
"""
DRIVER = ("boards/__init__", "lorawan/__init__", "lorawan/airtime", "radio/__init__", "radio/sx126x", "radio/trait")


class Bench(DriverBench):
    """An SX1262 module."""

    def __init__(self, folder: Path, **module: Any) -> None:
        super().__init__(folder, MAIN, DRIVER, lambda air: Sx1262(air, busy=14, dio1=4, reset=9, **module))


@pytest.mark.parametrize(
    ("module", "facts", "powers"),
    [
        ({}, "", {14: 14, 16: 16, 20: 20, 22: 22, 2: 2}),
        ({"sx1261": True}, "SX1261 = True", {14: 14, 16: 15, 2: 2}),
        ({"tcxo_mv": None}, "TCXO_MILLIVOLTS = 0", {14: 14}),
        ({"coil": False}, "DCDC = False", {14: 14}),
        (
            {"needs_dio2_switch": False, "antenna_switch": (RXEN, TXEN)},
            f"ANTENNA_SWITCH = ({RXEN}, {TXEN})",
            {14: 14},
        ),
        ({"antenna_switch": (RXEN,)}, f"ANTENNA_SWITCH = ({RXEN},)", {14: 14}),
    ],
    ids=["SX1262", "SX1261", "crystal", "no coil", "switch on two pins", "switch on a pin and DIO2"],
)
def test_each_kind_of_module_sends_with_the_power_asked_for_and_hears(
    tmp_path: Path, module: dict[str, Any], facts: str, powers: dict[int, int]
) -> None:
    bench = Bench(tmp_path, **module)
    lines = bench.says(f"for power in {list(powers)}:\n    print(exchange(power))", facts)
    assert lines == ["b'hello'"] * len(powers)
    assert bench.uplinks() == [(power, "") for power in powers.values()]


def test_the_500_khz_erratum_is_mended_both_ways(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.says(
        "for bandwidth in (125000, 500000, 125000):\n"
        "    modem.prepare_transmit(b'hello', 868100000, 7, bandwidth, 14)\n    modem.start()\n    wait()"
    )
    assert bench.uplinks() == [
        (14, ""),
        (14, "no channel"),
        (14, ""),
    ]  # EU868 has no such channel; the model would say 15.1


@pytest.mark.parametrize(
    ("module", "facts", "sentence"),
    [
        ({"sx1261": True}, "", "deviceSel is 1 for the SX1261, got 0"),
        ({}, "SX1261 = True", "deviceSel is 0 for the SX1262, got 1"),
        ({"coil": False}, "", "DC-DC on a module that has no coil"),
        ({}, "TCXO_MILLIVOLTS = 3300", "the board's TCXO takes 1800 mV"),
    ],
)
def test_a_board_file_of_another_module_is_a_fault(
    tmp_path: Path, module: dict[str, Any], facts: str, sentence: str
) -> None:
    with pytest.raises(BoardError, match=sentence):
        Bench(tmp_path, **module).says("exchange()", facts)


@pytest.mark.parametrize("module", [{"antenna_switch": (RXEN,)}, {"antenna_switch": (RXEN, TXEN)}])
def test_a_switch_that_the_board_file_does_not_name_costs_the_frames(tmp_path: Path, module: dict[str, Any]) -> None:
    bench = Bench(tmp_path, **module)
    assert bench.says("print(exchange())")[0] == "None"
    assert bench.uplinks()[0][1] == ("" if len(module["antenna_switch"]) == 1 else "antenna switch not set to transmit")
    assert all(dict(each.outcome).get(DEV_EUI) for each in bench.air.log if each.sender == GATEWAY)


@pytest.mark.parametrize(
    "leave", ["transmit(sf=12)", "modem.prepare_receive(869525000, 12, 125000, 248); modem.start()"]
)
@pytest.mark.parametrize("how", ["reset()", "soft_reset()"])
def test_a_modem_that_a_reset_left_busy_is_taken_over(tmp_path: Path, leave: str, how: str) -> None:
    bench = Bench(tmp_path)
    script = f"""
if not RTC().memory():
    RTC().memory(b"once")
    {leave}
    time.sleep_ms(300)
    print("left", Pin(14)())
    {how}
print(exchange())
"""
    assert bench.says(script) == ["left 0", "b'hello'"]


def test_a_chip_asleep_at_boot_is_woken(tmp_path: Path) -> None:
    script = "print(exchange(), Pin(14)())\nif len(open('n', 'a+').read()) < 3:\n    open('n', 'a').write('x')\n    deepsleep(1000)"
    bench = Bench(tmp_path)
    assert bench.says(script, seconds=12)[:3] == ["b'hello' 1"] * 3


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


def test_a_tcxo_that_starts_late_is_one_sentence_and_the_next_wake_works(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tcxo_startup_ns=8 * MS)

    def warms_up() -> None:
        bench.clock.at(bench.clock.now + 2 * S, lambda: setattr(bench.chip, "tcxo", (1800, 5 * MS)))

    bench.before = warms_up
    lines = bench.says(SAFE, seconds=4)
    assert lines[0] == (
        "SX126x: device errors 0x0020 after start; check TCXO voltage and start-up time in the board file"
    )
    assert lines[1] == "b'hello'"
    assert bench.uplinks() == [(14, "")]


class Stuck(Sx1262):
    """A chip whose BUSY does not fall until `free`: no supply, or a broken wire that something pulls up."""

    free = 0

    def _not_busy(self) -> None:
        if self.host.now >= self.free:
            super()._not_busy()
        else:
            self.host.at(self.free, super()._not_busy)


def test_busy_that_stays_high_is_one_sentence_and_the_next_wake_works(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.chip = Stuck(bench.air, busy=14, dio1=4, reset=9)
    bench.chip.free = START + 2 * S
    lines = bench.says(SAFE, seconds=4)
    assert lines == ["SX126x: BUSY stays high before command 0x80; check its wiring and the supply", "b'hello'"]


def test_a_tcxo_voltage_that_dio3_does_not_supply_is_one_sentence(tmp_path: Path) -> None:
    lines = Bench(tmp_path).says(SAFE, facts="TCXO_MILLIVOLTS = 1900", seconds=1)
    assert lines == [
        "SX126x: TCXO_MILLIVOLTS is 1900; DIO3 supplies one of (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)"
    ]


class Deaf(Sx1262):
    """A chip that is not there for the bus: MISO is not wired, and pulled to one level."""

    level = 0

    def transfer(self, mosi: bytes, baudrate: int, mode: int) -> bytes:
        super().transfer(mosi, baudrate, mode)
        return bytes([self.level]) * len(mosi)


@pytest.mark.parametrize("level", [0x00, 0xFF])
def test_a_chip_that_does_not_answer_is_one_sentence(tmp_path: Path, level: int) -> None:
    bench = Bench(tmp_path)
    bench.chip = Deaf(bench.air, busy=14, dio1=4, reset=9)
    bench.chip.level = level
    lines = bench.says(SAFE, seconds=1)
    assert lines == ["SX126x: no answer; check SPI, NSS, RESET and the supply"]
    assert bench.uplinks() == []


def test_after_each_exchange_and_each_failure_the_chip_sleeps(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tcxo_startup_ns=8 * MS)
    bench.says(SAFE, seconds=1)
    assert bench.chip.mode == 0
