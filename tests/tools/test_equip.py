"""What is soldered to a site's board is what its board file says, whichever module it has; such a board joins the city's network."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server
from tools.run.provision import provision
from tools.virtual_board.chips.sx1262 import Sx1262
from tools.virtual_board.chips.sx1276 import Sx1276
from tools.world.air import Air
from tools.world.city import MINUTE, City
from tools.world.clock import Clock
from tools.world.equip import equip
from tools.world.sites import plan

BOARDS = Path(__file__).parents[2] / "firmware" / "boards"
START = 1_779_926_400 * 10**9  # 2026-05-28 00:00:00 UTC


@pytest.mark.parametrize(
    ("board", "module", "pins"), [("bare_s3", Sx1262, ("BUSY", "DIO1")), ("bare_s3_rfm95", Sx1276, ("DIO0", "DIO1"))]
)
def test_the_module_is_on_the_pins_of_the_board_file(board, module, pins):
    told = runpy.run_path(str(BOARDS / f"{board}.py"))
    site = replace(plan(1, 1)[0], board=board)
    wiring, _sleep_clock = equip(site, Air(Clock(START), 1), 1, START)
    (line,) = wiring.spi
    assert json.loads(site.config_file())["board"] == board
    assert (line.sck, line.mosi, line.miso, line.cs) == (told["SCK"], told["MOSI"], told["MISO"], told["NSS"])
    assert type(line.device) is module
    assert [getattr(line.device, f"_{pin.lower()}_pin") for pin in pins] == [told[pin] for pin in pins]
    assert (told["RESET"], line.device) in wiring.outputs


def test_a_city_may_have_boards_with_the_other_module(tmp_path):
    devnet = Devnet(tmp_path / "devnet.sqlite", "1", paced=False)
    server = Server(devnet, "127.0.0.1:0")
    try:
        sites = [replace(site, board="bare_s3_rfm95") for site in plan(1, 2)]
        provision(f"127.0.0.1:{server.port}", sites)
        devnet.apply_pending()
        with City(tmp_path / "boards", 1, START, devnet, keep=100) as city:
            city.place(sites, START)
            city.mount(MINUTE)
            assert city.run_until(START + 10 * MINUTE)
            assert "Traceback" not in "".join(board.log() for board in city.boards.values())
        assert devnet.joined({site.dev_eui for site in sites}) == 2
    finally:
        server.stop()
        devnet.close()
