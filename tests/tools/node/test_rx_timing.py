"""Receive windows on virtual boards: MAC, runner and driver against the chip's model and the air, with all clock errors at once.

One board does all exchanges of a crystal: each uplink meets a downlink at a chosen moment, or none. The board's view (what
it took) and the world's (when its receiver was on) are both read.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tools.devnet.frame import data_downlink
from tools.setup.places import MICROPYTHON
from tools.virtual_board.chips import sx1262_facts, sx1276_facts
from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.chips.sx1276 import Sx1276
from tools.virtual_board.flash import build_image, compile_source
from tools.virtual_board.supervisor import Supervisor
from tools.virtual_board.wiring import SpiLine, Wiring
from tools.world import air, lora
from tools.world.clock import Clock

ROOT = Path(__file__).parents[3]
MS, S = 1_000_000, 1_000_000_000
START = 1_780_012_800 * S
DEV_EUI = "70b3d5e75e000a01"
DEV_ADDR = 0x26011F2A
NWK_KEY, APP_KEY = bytes(range(16)), bytes(range(16, 32))
FACTORS = range(7, 13)
DELAYS = (1, 5, 15)
PPM, FIXED_US = 40, 10_000  # what the firmware allows for


@dataclass(frozen=True)
class Radio:
    """A modem: its model, its driver as the board makes it, and what its driver tells the runner."""

    chip: Callable[[air.Air], Any]
    driver: str
    lead_us: int
    detection: int
    """Preamble symbols that the model must see."""


RADIOS = {
    "SX1262": Radio(
        lambda world: Sx1262(world, busy=14, dio1=4, reset=9),
        """
from boards import bare_s3
from radio.sx126x import Sx126x
pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OUT, value=1), Pin(14, Pin.IN), Pin(4, Pin.IN))
modem = Sx126x(SPI(1, 2_000_000, sck=Pin(12), mosi=Pin(11), miso=Pin(13)), pins, bare_s3)
""",
        200,
        sx1262_facts.DETECTION_SYMBOLS,
    ),
    "SX1276": Radio(
        lambda world: Sx1276(world, dio0=4, dio1=14, reset=9),
        """
from boards import bare_s3_rfm95
from radio.sx127x import Sx127x
pins = (Pin(10, Pin.OUT, value=1), Pin(9, Pin.OPEN_DRAIN, value=1), Pin(4, Pin.IN), Pin(14, Pin.IN))
modem = Sx127x(SPI(1, 2_000_000, sck=Pin(12), mosi=Pin(11), miso=Pin(13)), pins, bare_s3_rfm95)
""",
        300,
        sx1276_facts.DETECTION_SYMBOLS,
    ),
}

MAIN = """
import os, time
from machine import SPI, Pin
from lorawan import eu868
from lorawan.mac import Mac
from radio.runner import Runner

LATE_US = {late_us}
irq = Pin.irq
def late(pin, handler, trigger):
    # the ESP32 runs a pin's handler when its interpreter gets to it
    def later(which):
        time.sleep_us(LATE_US)
        handler(which)
    return irq(pin, later, trigger)
if LATE_US:
    Pin.irq = late
{driver}
class Store:
    def put(self, name, data):
        pass

mac = Mac.abp(eu868, "{dev_addr:08x}", "{nwk}", "{app}", os.urandom, None)
runner = Runner(modem, mac, Store())
print("lead", modem.lead_us)
state = mac._state
for number, (delay, window, sf) in enumerate({plan}):
    mac._budget.slots.clear()
    mac.use_data_rate(12 - sf)
    state.rx_delay = delay
    state.rx2_dr = 12 - sf
    outcome = runner.send(1, b"")
    print("exchange", number, outcome.sent, outcome.received)
print("done")
"""


class Watched(air.Air):
    """An air that notes when the board's receiver was on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, 7)
        self.on: list[tuple[int, int]] = []
        self._since = 0

    def listen(self, receiver: air.Receiver) -> None:
        super().listen(receiver)
        self._since = self.clock.now

    def close(self, receiver: air.Receiver) -> None:
        super().close(receiver)
        self.on.append((self._since, self.clock.now))


@dataclass
class Exchange:
    """One uplink: RX1's delay in s, the window that counts, and its spreading factor; the downlink's lateness in ns (None: none)."""

    delay: int
    window: int
    factor: int
    late: int | None = None
    stray: bytes | None = None
    """PHYPayload that somebody else's frame brings into RX1, to the moment."""
    heard: bool = False
    end: int = 0
    """World ns at which the uplink ended."""
    on: list[tuple[int, int]] = field(default_factory=list)
    """The receiver's times after it, (opened, closed) in ns after `end`."""

    @property
    def nominal(self) -> int:
        """ns from the uplink's end to the window's moment."""
        return (self.delay + self.window - 1) * S

    @property
    def symbol(self) -> int:
        """ns of a symbol."""
        return lora.symbol_ns(self.factor, 125_000)


@cache
def _windows(lead_us: int) -> dict[tuple[int, int], tuple[int, int]]:
    """The firmware's formula, asked once in the boards' own interpreter: (s, spreading factor) -> (µs to the opening, symbols)."""
    moments = sorted({delay + later for delay in DELAYS for later in (0, 1)})
    asked = "{(d, f): window(d * 1000000, f, 125000, %d, %d, %d) for d in %r for f in range(7, 13)}"
    program = "from lorawan.airtime import window\nprint(" + asked % (PPM, FIXED_US, lead_us, moments) + ")"
    firmware = {"MICROPYPATH": f".frozen:{ROOT / 'firmware'}"}
    told = subprocess.run([MICROPYTHON, "-c", program], capture_output=True, text=True, check=True, env=firmware)
    found: dict[tuple[int, int], tuple[int, int]] = ast.literal_eval(told.stdout)
    return found


def due(radio: Radio, nominal: int, factor: int) -> tuple[int, int]:
    """(ns from the uplink's end to the opening, symbols) of a window by the firmware's formula; `nominal`: its moment in ns."""
    opens, symbols = _windows(radio.lead_us)[nominal // S, factor]
    return opens * 1000, symbols


def downlink(number: int) -> bytes:
    """What the network says in exchange `number`."""
    data = bytes([number & 255])
    return data_downlink(NWK_KEY, APP_KEY, DEV_ADDR, 0, number, b"", 9, data, confirmed=False)


def _files(radio: Radio) -> dict[str, bytes]:
    """The stack without the node: what somebody has on a board who takes only that."""
    firmware = ROOT / "firmware"
    driver = radio.driver.split("from radio.")[1].split()[0]
    names = [f"radio/{name}.py" for name in ("__init__", "runner", "trait", driver)]
    names += ["boards/__init__.py", "boards/bare_s3.py", "boards/bare_s3_rfm95.py"]
    names += [str(path.relative_to(firmware)) for path in sorted(firmware.glob("lorawan/*.py"))]
    return {name.replace(".py", ".mpy"): compile_source(firmware / name, name) for name in names}


def run(folder: Path, radio: Radio, plan: list[Exchange], ppm: int = 0, late_us: int = 0) -> list[Exchange]:
    """Carries the plan out on one board, whose crystal is `ppm` fast and whose pin handlers run `late_us` late."""
    clock = Clock(START)
    world = Watched(clock)
    gateway = air.LoRaGateway(world, "00800000a0000001")
    world.set_path_loss(DEV_EUI, gateway.gateway_id, 110)
    done: list[Exchange] = []

    def answer(frame: air.Frame, _receptions: list[air.Reception], end: int) -> None:
        exchange = plan[len(done)]
        done.append(exchange)
        exchange.end = end
        low_rate = lora.low_data_rate(exchange.factor, 125_000)

        def send(phy: bytes, window: int, when: int) -> None:
            hertz = frame.channel_hz if window == 1 else 869_525_000
            what = air.Transmission(
                hertz, exchange.factor, 125_000, phy, 14.0, iq_inverted=True, crc=False, optimised=low_rate
            )
            clock.at(end + when, partial(world.start_downlink, gateway.gateway_id, what))

        if exchange.stray is not None:
            send(exchange.stray, 1, exchange.delay * S)
        if exchange.late is not None:
            send(downlink(len(done) - 1), exchange.window, exchange.nominal + exchange.late)

    world.on_uplink = answer
    main = MAIN.format(
        late_us=late_us,
        driver=radio.driver,
        dev_addr=DEV_ADDR,
        nwk=NWK_KEY.hex(),
        app=APP_KEY.hex(),
        plan=[(each.delay, each.window, each.factor) for each in plan],
    )
    image = folder / "flash.img"
    build_image(image, {**_files(radio), "main.py": main.encode()})
    chip = radio.chip(world)
    wiring = Wiring(spi=[SpiLine(12, 11, 13, 10, chip)], outputs=[(9, chip)])
    with Supervisor(clock, "timing", cache=folder / "cache") as supervisor:
        board = supervisor.add(0, DEV_EUI, wiring, image, crystal_ppb=1000 * ppm)
        board.power_on()
        while board.state == "running":
            clock.run_until(clock.now + 60 * S)
        said = board.log()
    assert said.endswith("done\n"), said[-2000:]
    assert f"lead {radio.lead_us}\n" in said
    for number, received in re.findall(r"exchange (\d+) True (\[.*\])", said):
        exchange = plan[int(number)]
        exchange.heard = received == f"[(9, {bytes([int(number) & 255])!r})]"
        assert exchange.heard or received == "[]"
    ends = [each.end for each in plan] + [clock.now]
    for exchange, (begin, end) in zip(plan, pairwise(ends), strict=True):
        exchange.on = [(opened - begin, closed - begin) for opened, closed in world.on if begin < opened < end]
    return plan


@pytest.mark.parametrize("name", RADIOS)
@pytest.mark.parametrize(("ppm", "late_us"), [(-40, 0), (0, 0), (40, 0), (-40, 10_000), (40, 10_000)])
def test_no_downlink_is_missed_and_no_window_is_longer_than_its_formula(
    tmp_path: Path, name: str, ppm: int, late_us: int
) -> None:
    radio = RADIOS[name]
    chances = (-10 * MS, 0, 10 * MS, None)
    delays = DELAYS[::2] if late_us else DELAYS
    plan = [Exchange(d, w, f, late) for d in delays for w in (1, 2) for f in FACTORS for late in chances]
    for each in run(tmp_path, radio, plan, ppm, late_us):
        assert each.heard == (each.late is not None), each
        windows = each.on if each.late is None else each.on[:-1]  # the last one lasted as long as the frame in it
        assert len(each.on) == (each.window if each.heard else 2), each
        for place, (opened, closed) in enumerate(windows):
            nominal = (each.delay + place) * S
            opens, symbols = due(radio, nominal, each.factor)
            assert closed - opened <= symbols * each.symbol, each  # either chip counts what the formula gives
            # `opens` by the board's crystal; with a late handler the runner goes by the frame's greatest length
            error = nominal * abs(ppm) // 1_000_000 + 10_000
            late = MS + 2 * S * PPM // 1_000_000 if late_us else 0
            assert opens - error <= opened <= opens + 1000 * radio.lead_us + error + late, each


@pytest.mark.parametrize("name", RADIOS)
def test_a_downlink_outside_the_window_is_missed_by_half_a_millisecond(tmp_path: Path, name: str) -> None:
    """What was heard above was heard because the window is where it is, not because it is long."""
    radio = RADIOS[name]
    plan, expected = [], []
    for factor in FACTORS:
        for window in (1, 2):
            opens, symbols = due(radio, window * S, factor)
            symbol = lora.symbol_ns(factor, 125_000)
            opens += 1000 * radio.lead_us - window * S
            first, last = opens - (8 - radio.detection) * symbol, opens + (symbols - radio.detection) * symbol
            for late, heard in (
                (first - MS // 2, False),
                (first + MS // 2, True),
                (last - MS // 2, True),
                (last + MS // 2, False),
            ):
                plan.append(Exchange(1, window, factor, late))
                expected.append(heard)
    found = run(tmp_path, radio, plan)
    assert [(each.factor, each.window, each.late, each.heard) for each in found] == [
        (each.factor, each.window, each.late, heard) for each, heard in zip(plan, expected, strict=True)
    ]
    # three times the allowance is outside wherever a symbol is shorter than what is left of it
    assert all(abs(each.late or 0) < 30 * MS for each in found if each.heard and each.factor <= 9)


@pytest.mark.parametrize("name", RADIOS)
def test_a_stray_frame_in_rx1_leaves_rx2_alive(tmp_path: Path, name: str) -> None:
    mine = downlink(0)
    strays = [
        data_downlink(NWK_KEY, APP_KEY, DEV_ADDR ^ 1, 0, 0, b"", 9, b"x", confirmed=False),  # foreign
        mine[:-1] + bytes([mine[-1] ^ 1]),  # corrupted
        mine,  # an echo: heard in the exchange before
        mine[:8],  # no frame at all
    ]
    plan = [Exchange(1, 2, 7, 0)] + [Exchange(1, 2, factor, 0, stray) for stray in strays for factor in (7, 9)]
    for each in run(tmp_path, RADIOS[name], plan):
        assert each.heard, each
        assert len(each.on) == 2, each


def table() -> list[str]:
    """The windows as docs/lorawan.md has them."""
    lines = [
        "| delay | opens earlier by (SX126x or SX127x) | "
        + " | ".join(f"SF{factor}" for factor in reversed(FACTORS))
        + " |",
        "|-" * (2 + len(FACTORS)) + "|",
    ]
    for delay in (1, 2, 5, 6, 15, 16):
        early = [f"{delay * 1000 - due(radio, delay * S, 7)[0] / MS:.2f}" for radio in RADIOS.values()]
        counts = [due(radio, delay * S, factor)[1] for radio in RADIOS.values() for factor in reversed(FACTORS)]
        assert counts[: len(FACTORS)] * len(RADIOS) == counts  # one row for all modems
        cells = [
            f"{count}: {count * lora.symbol_ns(factor, 125_000) / MS:.0f} ms"
            for count, factor in zip(counts, reversed(FACTORS), strict=False)
        ]
        lines.append(f"| {delay} s | {' or '.join(early)} ms | {' | '.join(cells)} |")
    return lines


def references() -> str:
    """What two other stacks open, by the formulas of LoRaMac-node's RegionCommon.c and of SWL2001's smtc_real.c."""
    loramac, basics = [], []
    for factor in reversed(FACTORS):
        symbol = lora.symbol_ns(factor, 125_000) // 1000
        loramac.append(max(-(-(4 * symbol + 2 * FIXED_US) // symbol), 6))
        span_ms = max((1000 * 2 * PPM // 1000 + 6 * symbol) // 1000, 16)
        even = max(span_ms * 1000 // symbol, 6)
        basics.append(even + even % 2)
    return (
        f"For a delay of 1 s and an error of 10 ms, LoRaMac-node opens SF12 to SF7 for {', '.join(map(str, loramac))} symbols;\n"
        f"LoRa Basics Modem, whose least window is 16 ms and which has no other allowance but the crystal's, for {', '.join(map(str, basics))}."
    )


def test_the_windows_in_the_documentation_are_these() -> None:
    said = (ROOT / "docs" / "lorawan.md").read_text()
    assert "\n".join(table()) in said, "\n".join(table())
    assert references() in said, references()
