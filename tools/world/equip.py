"""What is soldered to a site's board, and the truth that its sensors see (pins: docs/internals.md, the bare-module board)."""

from __future__ import annotations

from collections.abc import Callable

from ..virtual_board.chips.sx1262 import Sx1262
from ..virtual_board.chips.sx1276 import Sx1276
from ..virtual_board.sensors.a02yyuw import A02yyuw
from ..virtual_board.sensors.battery import Battery
from ..virtual_board.sensors.pms5003 import Pms5003
from ..virtual_board.sensors.reed import Reed
from ..virtual_board.sensors.sht31 import Sht31
from ..virtual_board.wiring import I2cLine, SpiLine, UartLine, Wiring
from . import truth
from .air import Air
from .sites import Site

_SUPPLY = 7
_BAD_EVENING = (17, 22)
"""Hours UTC of the evening of bad air, on the first day of the world that has them whole."""


def house(site: Site, seed: int, since: int) -> truth.House:
    """The household behind a meter; `since` (ns): begin of the city's truth."""
    return truth.House(seed, site.dev_eui, since, leak_from=since if site.leaks else None)


def bin_(site: Site, seed: int) -> truth.Bin:
    """A bin; the centre's fill quickly and are emptied every day without fail."""
    if site.district == "centre":
        return truth.Bin(seed, site.dev_eui, daily_mm=900, rounds=(0, 1, 2, 3, 4, 5, 6), fails=0)
    return truth.Bin(seed, site.dev_eui)


def street(site: Site, seed: int, since: int) -> truth.Street:
    """A street, with its evening of bad air within the world's first two days."""
    first, last = _BAD_EVENING
    day = since // truth.DAY * truth.DAY
    if since > day + first * truth.HOUR:
        day += truth.DAY
    return truth.Street(seed, site.dev_eui, day + first * truth.HOUR, day + last * truth.HOUR)


def radio(board: str, air: Air) -> Sx1262 | Sx1276:
    """The module on a board, by the board's file."""
    if board == "bare_s3_rfm95":
        return Sx1276(air, dio0=4, dio1=14, reset=9)
    return Sx1262(air, busy=14, dio1=4, reset=9)


def equip(site: Site, air: Air, seed: int, since: int) -> tuple[Wiring, Callable[[int], int]]:
    """The wiring of a site's board, and the error of its sleep clock in ppm at a world time in ns."""
    modem = radio(site.board, air)
    wiring = Wiring(
        spi=[SpiLine(sck=12, mosi=11, miso=13, cs=10, device=modem)],
        outputs=[(9, modem)],
        adc=[(6, Battery(since))],
    )
    if site.kind == "meter":
        wiring.others.append(Reed(house(site, seed, since), 5))
    elif site.kind == "bin":
        ultrasonic = A02yyuw(bin_(site, seed).level_mm, rx_pin=16, tx_pin=15, supply_pin=_SUPPLY)
        wiring.uart.append(UartLine(tx=15, rx=16, baudrate=9600, device=ultrasonic))
        wiring.outputs.append((_SUPPLY, ultrasonic))
    else:
        weather = street(site, seed, since)
        particles = Pms5003(weather.pm, rx_pin=18, set_pin=8, supply_pin=_SUPPLY)
        wiring.uart.append(UartLine(tx=17, rx=18, baudrate=9600, device=particles))
        wiring.outputs += [(_SUPPLY, particles), (8, particles)]
        wiring.i2c.append(I2cLine(scl=2, sda=1, address=0x44, device=Sht31(weather.climate)))
    outside = truth.meter_pit if site.kind == "meter" else truth.outdoor

    def temperature(when: int) -> int:
        return outside(seed, site.dev_eui, when)

    def sleep_clock(when: int) -> int:
        return truth.sleep_clock_ppm(seed, site.dev_eui, temperature(when))

    wiring.temperature = temperature
    return wiring, sleep_clock
