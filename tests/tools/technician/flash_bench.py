"""A virtual board on its cable, and a keys file; a firmware of a few lines beside the real one."""

import contextlib
from types import SimpleNamespace

from tools.technician.inventory import Keys, Row
from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import BLOCK, build_image, read_image
from tools.virtual_board.supervisor import Supervisor
from tools.virtual_board.wiring import Wiring
from tools.world.clock import Clock

START = 1_800_000_000_000_000_000
DEV, OTHER = "0200000000000001", "0200000000000002"
KEY = "5d" * 16
SMALL = {
    "main.py": "import node.app\n",
    "boards/__init__.py": "",
    "node/__init__.py": '"""A node."""\n',
    "node/app.py": """
import time
print("vigie: starts in 10 s; Ctrl-C for a prompt, BOOT for ten minutes of maintenance")
time.sleep(10)
print("vigie: joined")
""",
    "keep/core.py": "NUMBERS = (" + ", ".join(str(n * n * 7919 % 65537) for n in range(1500)) + ")\n",
}


class Bench:
    """`board(files)` -> a powered board with its cable, `files` on its flash; the world beside it, `speed` times as fast."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = Clock(START)
        self.supervisor = Supervisor(self.clock, "bench")
        self._stack = contextlib.ExitStack()
        self.keys = folder / "keys.csv"
        Keys(self.keys).add([Row("meter", "m-1", DEV, "0" * 16, KEY), Row("bin", "b-1", OTHER, "0" * 16, "6e" * 16)])
        self.firmware = folder / "firmware"
        for name, text in SMALL.items():
            path = self.firmware / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def board(self, files=None, speed=100, blocks=512, baud=None):
        image = self.folder / "board.img"
        build_image(image, {name: text.encode() for name, text in (files or {}).items()}, blocks)
        live = self._stack.enter_context(Live(self.clock, speed))
        board = live.do(
            lambda: self.supervisor.add(0, DEV, Wiring(), image, crystal_ppb=0, sleep_clock_ppm=lambda _when: 0)
        )
        cable = live.do(lambda: Cable(board, self.clock, baud))
        self._stack.callback(cable.close)
        live.do(board.power_on)
        found = SimpleNamespace(live=live, board=board, cable=cable, port=cable.port)
        found.files = lambda: live.do(lambda: read_image(board.flash.contents()))
        found.programmed = lambda: live.do(lambda: sum(board.flash.programmed))
        return found

    def rewrite(self, files):
        """A board without power gets another flash."""
        (board,) = self.supervisor.boards
        fresh = self.folder / "fresh.img"
        build_image(fresh, {name: text.encode() for name, text in files.items()})
        content = fresh.read_bytes()
        for block in range(len(content) // BLOCK):
            board.flash.erase(block)
            board.flash.program(block * BLOCK, content[block * BLOCK : (block + 1) * BLOCK])

    def words(self, port, *more, dev_eui=DEV):
        """The command line of a flash of the small firmware."""
        return ("flash", port, "--board", "bare_s3", "--dev-eui", dev_eui, "--keys", self.keys, "--firmware", self.firmware, *more)  # fmt: skip

    def close(self):
        self._stack.close()
        self.supervisor.close()
