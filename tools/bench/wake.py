"""How long a node is awake before it transmits: model time from a deep sleep's end to the first symbol."""

from __future__ import annotations

from pathlib import Path

from ..devnet.devnet import Devnet
from ..devnet.grpc_server import Server
from ..run.provision import provision
from ..world.air import Frame, Transmission
from ..world.city import DAY, HOUR, City
from ..world.sites import plan

START = 1_780_012_800_000_000_000  # 2026-05-29 00:00:00 UTC


def wake_to_transmission_ms(folder: Path, seed: int = 7, kind: str = "meter") -> list[int]:
    """Milliseconds from each wake to its first transmission, over a node's first day and two hours.

    They are what internals.md counts as model time: the boot's stated cost, the stand-ins' calls, bus bits, AES, waits
    for the radio's start; the interpreter's own work takes none. `folder` gets the board's flash and the network's file.
    """
    (site,) = [each for each in plan(seed, 3) if each.kind == kind]
    folder.mkdir(parents=True, exist_ok=True)
    devnet = Devnet(folder / "devnet.sqlite", str(seed), None)
    server = Server(devnet, "127.0.0.1:0")
    try:
        provision(f"127.0.0.1:{server.port}", [site])
        with City(folder, seed, START, devnet) as city:
            city.place([site], START)
            node = city.boards[site.number]
            found: dict[int, int] = {}
            transmit = city.air.transmit

            def noted(board: str, what: Transmission) -> Frame:
                if node.wakes > 1:  # the first one is no wake
                    found.setdefault(node.wakes, (city.clock.now - node.booted) // 1_000_000)
                return transmit(board, what)

            city.air.transmit = noted  # type: ignore[method-assign]  # the air has no ear of its own for starts
            city.power_on(site.number, START)
            city.run_until(START + DAY + 2 * HOUR)
            return list(found.values())
    finally:
        server.stop()
        devnet.close()
