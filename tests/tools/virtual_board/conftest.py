"""A world with boards of a few lines each."""

import contextlib
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.setup.places import MICROPYTHON
from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import build_image
from tools.virtual_board.supervisor import Supervisor
from tools.virtual_board.wiring import Wiring
from tools.world.clock import Clock

sys.path.insert(0, str(Path(__file__).parent))  # with importlib mode a test's folder is not on it

from cable_bench import Person

START = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


class Bench:
    """Boards on a table: `board(source)` gives one with power, `run(s)` lets time pass."""

    def __init__(self, folder, seed="bench", **options):
        self.folder = folder
        self.clock = Clock(START)
        self.supervisor = Supervisor(self.clock, seed, **options)

    def board(self, main, wiring=None, files=None, *, power=True, **options):
        number = len(self.supervisor.boards)
        image = self.folder / f"board{number}.img"
        build_image(image, {"main.py": textwrap.dedent(main).encode()} | (files or {}))
        options.setdefault("crystal_ppb", 0)
        options.setdefault("sleep_clock_ppm", lambda _when: 0)
        board = self.supervisor.add(number, f"70b3d57ed00000{number:02x}", wiring or Wiring(), image, **options)
        if power:
            board.power_on()
        return board

    def run(self, seconds):
        return self.clock.run_until(self.clock.now + int(seconds * SECOND))

    def says(self, main, wiring=None, seconds=60, **options):
        """What a board with this main.py prints, by lines."""
        board = self.board(main, wiring, **options)
        self.run(seconds)
        return board.log().splitlines()


@pytest.fixture
def bench(tmp_path):
    if not MICROPYTHON.exists():
        pytest.fail("no MicroPython: make setup builds it")
    made = Bench(tmp_path)
    yield made
    made.supervisor.close()


@pytest.fixture
def plug(bench):
    """`plug(main)` -> live world with one powered board and its cable."""
    with contextlib.ExitStack() as stack:

        def plug(main, wiring=None, files=None, speed=20, baud=None):
            live = stack.enter_context(Live(bench.clock, speed))
            board = live.do(lambda: bench.board(main, wiring, files, power=False))
            cable = live.do(lambda: Cable(board, bench.clock, baud))
            stack.callback(cable.close)
            live.do(board.power_on)
            return SimpleNamespace(live=live, board=board, cable=cable, port=cable.port, clock=bench.clock)

        yield plug


@pytest.fixture
def person(request):
    def sit(port):
        made = Person(port)
        request.addfinalizer(made.close)
        return made

    return sit
