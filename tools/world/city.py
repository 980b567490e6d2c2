"""A city in the world: boards at their sites, the air, the LoRa gateways and the network server round one clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..devnet.devnet import Devnet
from ..devnet.exchange import Downlink, Uplink
from ..devnet.exchange import Reception as Heard
from ..virtual_board.flash import build_image, firmware_files
from ..virtual_board.machine import Board
from ..virtual_board.supervisor import Supervisor
from . import chance
from .air import Air, Frame, LoRaGateway, Reception
from .clock import Clock
from .equip import equip
from .foreign import ForeignNetworks
from .map import CityMap
from .sites import GATEWAY_ID, Site

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
DEDUPLICATION = 200_000_000
"""ns that the network server waits for copies of an uplink."""
SCHEDULING = 150_000_000
"""ns from there to the downlink's arrival at the LoRa gateway; both together as recorded from a real ChirpStack."""
# Events of the network come after what boards do at the same instant.
_RANK = 1_000_000


class City:
    """One world. Leaving the `with` ends every board's process; flash images and database stay."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        start: int,
        devnet: Devnet | None,
        wall: Callable[[], int] | None = None,
        keep: int = 0,
        ground: CityMap | None = None,
    ) -> None:
        """`folder` holds the boards' flash images, `start` is the world time in ns, `keep` the air's log for tests.

        `ground` puts sites and its LoRa gateways on a map; None: one gateway, which hears every board.
        `devnet` None: the network server is somebody else's, reached by the gateways' `on_reception` (`forwarder.py`).
        """
        self.folder = folder
        self.seed = seed
        self.clock = Clock(start) if wall is None else Clock(start, wall)
        self.devnet = devnet
        self.air = Air(self.clock, seed, keep, ground)
        ids = [GATEWAY_ID] if ground is None else ground.gateways
        self.gateways = {gateway_id: LoRaGateway(self.air, gateway_id) for gateway_id in ids}
        self.gateway = self.gateways[GATEWAY_ID]
        if devnet is not None:
            self.air.on_uplink = _Wire(devnet, self.clock, self.gateways).heard
        self.supervisor = Supervisor(self.clock, str(seed))
        self.boards: dict[int, Board] = {}
        self.sites: dict[int, Site] = {}

    def place(self, sites: Sequence[Site], since: int) -> None:
        """Sets up the boards of these sites, without power. `since`: world time in ns at which the city's truth begins.

        A board that has a flash image already keeps it.
        """
        files: dict[str, bytes] | None = None
        for site in sites:
            image = self.folder / site.dev_eui / "flash.img"
            if not image.exists():
                files = files if files is not None else firmware_files(ROOT / "firmware")
                build_image(image, {**files, "config.json": site.config_file()})
            wiring, sleep_clock = equip(site, self.air, self.seed, since)
            board = self.supervisor.add(site.number, site.dev_eui, wiring, image, sleep_clock_ppm=sleep_clock)
            self.boards[site.number] = board
            self.sites[site.number] = site

    def power_on(self, number: int, when: int) -> None:
        """Gives a board its supply at world time `when` (ns)."""
        self.clock.at(when, self.boards[number].power_on, number)

    def mount(self, spread: int) -> dict[int, int]:
        """Powers every board, spread over the next `spread` ns as technicians come round; when, by its number."""
        now = self.clock.now
        whens = {
            number: now + chance.below(self.seed, spread, "mount", site.dev_eui) for number, site in self.sites.items()
        }
        for number, when in whens.items():
            self.power_on(number, when)
        return whens

    def add_foreign_networks(self, frames_an_hour: int) -> ForeignNetworks:
        """From now on others send as well, at this rate over all channels."""
        return ForeignNetworks(self.air, frames_an_hour)

    def digest(self) -> str:
        """SHA-256 over the ordered radio frames, the network's events and every board's flash and RTC memory."""
        events = "" if self.devnet is None else self.devnet.core.log_digest()
        parts = (self.air.log_digest(), events, self.supervisor.state_digest())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def run_until(self, end: int, settle: Callable[[], None] | None = None, step: int = HOUR) -> bool:
        """Runs to world time `end` (ns), stopping at each multiple of `step` to settle and to take up what came by the API.

        False: `clock.interrupt` ended it sooner.
        """
        while self.clock.now < end:
            stop = min(end, (self.clock.now // step + 1) * step)
            if not self.clock.run_until(stop):
                return False
            if settle is not None:
                settle()
            if self.devnet is not None:
                self.devnet.apply_pending()
        return True

    def close(self) -> None:
        """The boards are without power from here on."""
        self.supervisor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Wire:
    """Between the LoRa gateways and a network server in this process."""

    def __init__(self, devnet: Devnet, clock: Clock, gateways: Mapping[str, LoRaGateway]) -> None:
        self._devnet, self._clock, self._gateways = devnet, clock, gateways

    def heard(self, frame: Frame, receptions: list[Reception], end: int) -> None:
        what = frame.what
        heard = tuple(
            Heard(each.gateway_id, each.rssi_dbm, each.snr_db, each.uplink_id, each.context) for each in receptions
        )
        uplink = Uplink(what.payload, frame.channel_hz, what.bandwidth_hz, what.spreading_factor, heard, end)
        self._clock.at(end + DEDUPLICATION, lambda: self._collected(uplink), _RANK)

    def _collected(self, uplink: Uplink) -> None:
        for downlink in self._devnet.uplink(uplink, self._clock.now).downlinks:
            self._send(downlink, uplink.time_ns)

    def _send(self, downlink: Downlink, uplink_end: int) -> None:
        def schedule() -> None:
            done = self._gateways[downlink.gateway_id].schedule(downlink.items, uplink_end)
            self._devnet.transmitted(downlink.downlink_id, done.index, done.status, self._clock.now)

        self._clock.after(SCHEDULING, schedule, _RANK)
