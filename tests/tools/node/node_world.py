"""One node alone in a small world: a virtual board with its radio, a LoRa gateway, devnet's core, a contact that the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chirpstack_api.api import application_pb2, device_pb2, device_profile_pb2
from chirpstack_api.integration import integration_pb2
from vigie.payload import air as air_frame
from vigie.payload import bin as bin_frame
from vigie.payload import health, meter

from tools.devnet.core import Core
from tools.devnet.exchange import Reception, Uplink
from tools.devnet.store import Store
from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.chips.sx1276 import Sx1276
from tools.virtual_board.flash import build_image, firmware_files
from tools.virtual_board.supervisor import Board, Supervisor
from tools.virtual_board.wiring import Host, SpiLine, Wiring
from tools.world.air import Air, Frame, LoRaGateway
from tools.world.air import Reception as Heard
from tools.world.clock import Clock
from tools.world.equip import equip
from tools.world.sites import Kind, Site

ROOT = Path(__file__).parents[3]
S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR
START = 1_780_012_800 * S  # 2026-05-29 00:00:00 UTC
DEV_EUI = "70b3d5e75e000a01"
JOIN_EUI = "0000000000000001"
APP_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
CONTACT = 5
DECODERS: dict[int, Callable[[bytes], Any]] = {
    meter.PORT: meter.decode,
    bin_frame.PORT: bin_frame.decode,
    air_frame.PORT: air_frame.decode,
    health.PORT: health.decode,
}


class Reed:
    """A contact to ground that bounces for 3 ms at each change."""

    def __init__(self, pin: int) -> None:
        self._pin = pin
        self.closings: list[int] = []

    def attach(self, host: Host) -> None:
        self._host = host

    def power(self, on: bool) -> None:
        pass

    def close(self, when: int, lasts: int) -> None:
        """Closes at world time `when` (ns) for `lasts` ns."""
        self.closings.append(when)
        for start, level in ((when, 0), (when + lasts, None)):
            for step in range(4):
                there = level if step % 2 == 0 else (None if level == 0 else 0)
                self._host.at(start + step * 700_000, lambda value=there: self._host.drive(self._pin, value))
            self._host.at(start + 3_000_000, lambda value=level: self._host.drive(self._pin, value))


class Cell:
    """A battery of 3.6 V behind the board's divider by 2."""

    def attach(self, host: Host) -> None:
        pass

    def power(self, on: bool) -> None:
        pass

    def microvolts(self, _pin: int) -> int:
        return 1_800_000


@dataclass
class World:
    """The clock runs with `run(until)`; `frames` has (world ns, fPort, decoded record) of what the network server accepted."""

    folder: Path
    kind: Kind = "meter"
    seed: str = "node"
    board_file: str = "bare_s3"
    """A meter's; the others are as `equip` makes them."""
    frames: list[tuple[int, int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock(START)
        self.air = Air(self.clock, 7, keep=10_000)
        self.gateway = LoRaGateway(self.air, "00800000a0000001")
        self.air.set_path_loss(DEV_EUI, self.gateway.gateway_id, 110)
        self.air.on_uplink = self._heard
        self.store = Store(self.folder / "devnet.sqlite")
        _register(self.store)
        self.core = Core(self.store, self.seed)
        self.supervisor = Supervisor(self.clock, seed=self.seed, cache=self.folder / "cache")
        self.reed = Reed(CONTACT)
        self.clocks: dict[str, Any] = {}
        if self.kind != "meter":
            site = Site(1, self.kind, DEV_EUI, APP_KEY)
            self.wiring, self.clocks["sleep_clock_ppm"] = equip(site, self.air, 7, START)
            return
        self.wiring = Wiring()
        radio: Sx1262 | Sx1276 = Sx1262(self.air, busy=14, dio1=4, reset=9)
        if self.board_file == "bare_s3_rfm95":
            radio = Sx1276(self.air, dio0=4, dio1=14, reset=9)
        self.wiring.spi.append(SpiLine(12, 11, 13, 10, radio))
        self.wiring.outputs.append((9, radio))
        self.wiring.adc.append((6, Cell()))
        self.wiring.others.append(self.reed)

    def board(self, missing: str = "") -> Board:
        """Builds the flash and adds the board, without power; `missing`: a file that the copy left out."""
        config = {
            "kind": self.kind,
            "board": self.board_file,
            "dev_eui": DEV_EUI,
            "join_eui": JOIN_EUI,
            "app_key": APP_KEY,
            "region": "eu868",
        }
        image = self.folder / "flash.img"
        files = {**firmware_files(ROOT / "firmware"), "config.json": json.dumps(config).encode()}
        files.pop(missing, None)
        build_image(image, files)
        return self.supervisor.add(0, DEV_EUI, self.wiring, image, **self.clocks)

    def run(self, until: int) -> None:
        """Up to world time `until` (ns)."""
        assert self.clock.run_until(until)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.close()

    def _heard(self, frame: Frame, receptions: list[Heard], end: int) -> None:
        what = frame.what
        heard = tuple(Reception(r.gateway_id, r.rssi_dbm, r.snr_db, r.uplink_id, r.context) for r in receptions)
        uplink = Uplink(what.payload, frame.channel_hz, what.bandwidth_hz, what.spreading_factor, heard, end)
        self.clock.at(end + 200_000_000, lambda: self._collected(uplink))

    def _collected(self, uplink: Uplink) -> None:
        answer = self.core.uplink(uplink, self.clock.now)
        for event in answer.events:
            if isinstance(event.body, integration_pb2.UplinkEvent) and event.body.f_port in DECODERS:
                record = DECODERS[event.body.f_port](event.body.data)
                self.frames.append((uplink.time_ns, event.body.f_port, record))
        for downlink in answer.downlinks:
            done = self.gateway.schedule(downlink.items, uplink.time_ns)
            self.core.transmitted(downlink.downlink_id, done.index, done.status, self.clock.now)


def _register(store: Store) -> None:
    tenant, application, profile = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
    with store.transaction() as db:
        db.execute("INSERT INTO tenant VALUES (?, 'city', x'', 0, 0)", (tenant,))
        message = application_pb2.Application(name="vigie").SerializeToString()
        db.execute("INSERT INTO application VALUES (?, ?, 'vigie', ?, 0, 0)", (application, tenant, message))
        settings = device_profile_pb2.DeviceProfile(name="node", supports_otaa=True, adr_algorithm_id="default")
        db.execute(
            "INSERT INTO device_profile VALUES (?, ?, 'node', ?, 0, 0)", (profile, tenant, settings.SerializeToString())
        )
        device = device_pb2.Device(name="node", dev_eui=DEV_EUI).SerializeToString()
        db.execute(
            "INSERT INTO device (dev_eui, application_id, device_profile_id, name, message) VALUES (?, ?, ?, 'node', ?)",
            (DEV_EUI, application, profile, device),
        )
        db.execute("INSERT INTO device_keys VALUES (?, ?, '', '', 0, 0)", (DEV_EUI, APP_KEY))
