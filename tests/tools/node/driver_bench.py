"""A radio driver on a virtual board, without MAC and application: one module on the bus, one LoRa gateway in the air."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.setup.places import ROOT
from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.chips.sx1276 import Sx1276
from tools.virtual_board.flash import build_image, compile_source
from tools.virtual_board.supervisor import Supervisor
from tools.virtual_board.wiring import SpiLine, Wiring
from tools.world.air import Air, LoRaGateway, Transmission
from tools.world.clock import Clock

MS, S = 1_000_000, 1_000_000_000
START = 1_780_012_800 * S
DEV_EUI = "70b3d5e75e000a01"
GATEWAY = "00800000a0000001"


class DriverBench:
    """One board with the module that `module(air)` makes; 5 ms after each uplink the gateway answers with the same bytes.

    `main`: the board's main.py with places for {facts} and {script}; `driver`: the firmware's files that it needs.
    """

    def __init__(
        self, folder: Path, main: str, driver: tuple[str, ...], module: Callable[[Air], Sx1262 | Sx1276]
    ) -> None:
        self.folder, self.main, self.driver = folder, main, driver
        self.clock = Clock(START)
        self.air = Air(self.clock, 7, keep=50)
        self.gateway = LoRaGateway(self.air, GATEWAY)
        self.air.set_path_loss(DEV_EUI, GATEWAY, 110)
        self.air.on_uplink = lambda frame, _receptions, _end: self.answer(frame.what)
        self.chip = module(self.air)
        self.before: Callable[[], None] = lambda: None

    def answer(self, uplink: Transmission) -> None:
        what = Transmission(869_525_000, 7, 125_000, uplink.payload, 14.0, iq_inverted=True, crc=False)
        self.clock.at(self.clock.now + 5 * MS, lambda: self.air.start_downlink(GATEWAY, what) and None)

    def says(self, script: str, facts: str = "", seconds: int = 30) -> list[str]:
        files = {f"{name}.mpy": compile_source(ROOT / "firmware" / f"{name}.py", name) for name in self.driver}
        image = self.folder / "flash.img"
        build_image(image, {**files, "main.py": self.main.format(script=script, facts=facts or "pass").encode()})
        wiring = Wiring(spi=[SpiLine(12, 11, 13, 10, self.chip)], outputs=[(9, self.chip)])
        with Supervisor(self.clock, "module", cache=self.folder / "cache") as supervisor:
            board = supervisor.add(0, DEV_EUI, wiring, image, crystal_ppb=0, sleep_clock_ppm=lambda _when: 0)
            board.power_on()
            self.before()
            self.clock.run_until(self.clock.now + seconds * S)
            return board.log().splitlines()

    def uplinks(self) -> list[tuple[float, str]]:
        """(dBm, why nobody heard it or "") of each uplink."""
        return [(each.what.power_dbm, each.outcome[0][1]) for each in self.air.log if each.sender == DEV_EUI]
