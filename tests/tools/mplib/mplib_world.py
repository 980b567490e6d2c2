"""One board with micropython-lib's driver, a LoRa gateway and the air; the board runs a script, the test sends and looks."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.chips.sx1276 import Sx1276
from tools.virtual_board.flash import build_image, firmware_files
from tools.virtual_board.supervisor import Board, Supervisor
from tools.virtual_board.wiring import SpiLine, Wiring
from tools.world.air import Air, LogEntry, LoRaGateway, Transmission
from tools.world.clock import Clock

ROOT = Path(__file__).parents[3]
US, MS, S = 1_000, 1_000_000, 1_000_000_000
START = 1_780_012_800 * S
DEV_EUI = "70b3d5e75e000a01"
GATEWAY = "00800000a0000001"
GAIN_DB = 2  # ANTENNA_GAIN_DB of the board files

PRELUDE = """
import os
from time import sleep_ms, sleep_us, ticks_add, ticks_diff, ticks_us
from boards import load
from machine import SPI, Pin
from radio.trait import Closed, Frame, RadioError, Sent

board = load("{board}")
spi = SPI(1, baudrate=board.SPI_BAUD, sck=Pin(12), mosi=Pin(11), miso=Pin(13))
{pins}
modem = Modem(spi, pins, board)

def until(us):
    while ticks_diff(us, ticks_us()) > 0:
        sleep_us(min(1000000, ticks_diff(us, ticks_us())))

def await_event(ms):
    for _ in range(ms // 5):
        event = modem.poll()
        if event is not None:
            return event
        sleep_ms(5)
    return None

def listen(at, sf, symbols, frequency=869525000):
    modem.prepare_receive(frequency, sf, 125000, symbols)
    until(at)
    modem.start()
    print("started", ticks_us() - at)
    event = await_event(15000)
    if isinstance(event, Frame):
        print("frame", event.ticks_us, event.phy.hex(), event.snr_db, event.rssi_dbm)
    elif isinstance(event, Closed):
        print("closed", event.ticks_us)
    else:
        print("nothing")
        modem.abort()

def send(phy, frequency, sf, eirp):
    modem.prepare_transmit(phy, frequency, sf, 125000, eirp)
    modem.start()
    event = await_event(5000)
    print("sent", event.ticks_us)
"""


@dataclass(frozen=True)
class Chip:
    """A chip: its model, its wiring, how the board makes its driver."""

    board: str
    pins: str
    wire: Callable[[Air], tuple[Any, Wiring]]


def _sx1262(air: Air) -> tuple[Any, Wiring]:
    chip = Sx1262(air, busy=14, dio1=4, reset=9)
    return chip, Wiring(spi=[SpiLine(12, 11, 13, 10, chip)], outputs=[(9, chip)])


def _sx1276(air: Air) -> tuple[Any, Wiring]:
    chip = Sx1276(air, dio0=4, dio1=14, reset=9)
    return chip, Wiring(spi=[SpiLine(12, 11, 13, 10, chip)], outputs=[(9, chip)])


CHIPS = {
    "sx1262": Chip(
        "bare_s3",
        "from radio.mplib import Sx126x as Modem\n"
        "pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OUT, value=1), Pin(14, Pin.IN), Pin(4, Pin.IN))",
        _sx1262,
    ),
    "sx1276": Chip(
        "bare_s3_rfm95",
        "from radio.mplib import Sx127x as Modem\n"
        "pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OPEN_DRAIN, value=1), Pin(4, Pin.IN), Pin(14, Pin.IN))",
        _sx1276,
    ),
}


def _sx1261(air: Air) -> tuple[Any, Wiring]:
    chip = Sx1262(air, busy=14, dio1=4, reset=9, tcxo_mv=None, antenna_switch=(21, 38), sx1261=True, coil=False)
    return chip, Wiring(spi=[SpiLine(12, 11, 13, 10, chip)], outputs=[(9, chip), (21, chip), (38, chip)])


def _sx1276_rfo(air: Air) -> tuple[Any, Wiring]:
    chip = Sx1276(air, dio0=4, dio1=14, reset=9, tcxo_startup_ns=3 * MS, boost=False, rfo=True)
    return chip, Wiring(spi=[SpiLine(12, 11, 13, 10, chip)], outputs=[(9, chip)])


SWITCH = "\nfrom boards import {0}\n{0}.ANTENNA_SWITCH = (21, 38)\nswitch = (Pin(21), Pin(38))\n"
OTHERS = {
    "sx1261 with a switch, a crystal and no coil": Chip(
        "bare_s3",
        CHIPS["sx1262"].pins
        + SWITCH.format("bare_s3")
        + "bare_s3.SX1261, bare_s3.DCDC, bare_s3.TCXO_MILLIVOLTS = True, False, 0",
        _sx1261,
    ),
    "sx1276 with a switch, a tcxo and rfo": Chip(
        "bare_s3_rfm95",
        CHIPS["sx1276"].pins
        + SWITCH.format("bare_s3_rfm95")
        + "bare_s3_rfm95.PA_BOOST, bare_s3_rfm95.TCXO_START_US = False, 3000",
        _sx1276_rfo,
    ),
}


@cache
def _firmware() -> dict[str, bytes]:
    return firmware_files(ROOT / "firmware")


def board_files(name: str, library: dict[str, bytes], script: str) -> dict[str, bytes]:
    """A flash with the stack, its radio drivers and the library, whose main.py is the prelude and this script."""
    chip = (CHIPS | OTHERS)[name]
    main = PRELUDE.format(board=chip.board, pins=chip.pins) + textwrap.dedent(script)
    rooms = ("radio", "lorawan", "boards")
    files = {path: content for path, content in _firmware().items() if path.split("/")[0] in rooms}
    return {**files, **library, "main.py": main.encode()}


@dataclass
class World:
    """`run(script, seconds)` gives what the board printed, by lines; board microseconds count from START."""

    folder: Path
    name: str
    library: dict[str, bytes]
    boards: list[Board] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = (CHIPS | OTHERS)[self.name]
        self.restart()

    def restart(self) -> None:
        """A world anew, back at START."""
        if self.boards:
            self.supervisor.close()
            self.boards = []
        self.clock = Clock(START)
        self.air = Air(self.clock, 7, keep=1000)
        self.gateway = LoRaGateway(self.air, GATEWAY)
        self.air.set_path_loss(DEV_EUI, GATEWAY, 110)
        self.chip, self.wiring = self.kind.wire(self.air)
        self.supervisor = Supervisor(self.clock, "mplib", cache=self.folder / "cache")

    def board(self, script: str) -> Board:
        """A board with power that runs this."""
        image = self.folder / f"flash{len(self.boards)}.img"
        build_image(image, board_files(self.name, self.library, script))
        options = {"crystal_ppb": 0, "sleep_clock_ppm": lambda _when: 0}
        board = self.supervisor.add(len(self.boards), DEV_EUI, self.wiring, image, **options)
        self.boards.append(board)
        board.power_on()
        return board

    def run(self, script: str, seconds: int) -> list[list[str]]:
        """The board's lines, each in its words."""
        board = self.board(script)
        self.clock.run_until(START + seconds * S)
        return [line.split() for line in board.log().splitlines()]

    def downlink(self, payload: bytes, start: int, sf: int, **changes: Any) -> int:
        """A gateway's frame that begins at world time `start`; returns its end."""
        options = {"iq_inverted": True, "crc": False, "optimised": sf >= 11, "freq_hz": 869_525_000} | changes
        what = Transmission(spreading_factor=sf, bandwidth_hz=125_000, payload=payload, power_dbm=27.0, **options)
        self.clock.at(start, lambda: self.air.start_downlink(GATEWAY, what))
        return start + what.air_ns

    def uplinks(self) -> list[LogEntry]:
        """What the board sent."""
        return [entry for entry in self.air.log if entry.sender == DEV_EUI]
