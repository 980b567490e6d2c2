"""First code of a board's interpreter: puts the stand-ins in place of the host, mounts the flash as `/`, runs main.py, then the prompt.

Run as `micropython -X heapsize=... -m boot IMAGE BYTES` with MICROPYPATH on the compiled stand-ins and the socket as fd 3.
"""

# ruff: noqa: D102, D103, SIM115  the image stays open until the process ends

import gc
import os
import random
import sys
import time

import costs
import cryptolib
import esp32  # noqa: F401  loaded here, while the host is still mounted
import link
import machine
import uos
import vfs
import wire
from micropython import kbd_intr

_BLOCK = 4096


class Flash:
    """Block device over the image file (protocol of vfs.AbstractBlockDev, extended interface).

    Reads go to the file, what changes it is asked of the world, which keeps the counts and may cut the power in the
    midst of it. Nothing may be raised here, Ctrl-C neither: littlefs would be left in the midst of its work.
    """

    def __init__(self, path: str, size: int) -> None:
        self._file = open(path, "rb")
        self._blocks = size // _BLOCK

    def readblocks(self, block: int, buf, offset: int = 0) -> None:
        self._file.seek(block * _BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block: int, buf, offset: int = 0) -> None:
        link.demand(wire.FLASH_PROGRAM, 0, block * _BLOCK + offset, buf)
        link.charge(costs.FLASH_PROGRAM * ((offset % 256 + len(buf) + 255) // 256))

    def ioctl(self, op: int, arg: int):
        if op == 4:
            return self._blocks
        if op == 5:
            return _BLOCK
        if op == 6:
            link.demand(wire.FLASH_ERASE, 0, arg, None)
            link.charge(costs.FLASH_ERASE)
        return 0


def _run(name: str, scope: dict) -> bool:
    """As pyexec_file_if_exists of the port: sys.exit is a soft reset, any other exception is printed; then False."""
    try:
        uos.stat(name)
    except OSError:
        return True
    try:
        execfile(name, scope)  # noqa: F821  a built-in of MicroPython
    except SystemExit:
        machine.soft_reset()
    except BaseException as error:  # noqa: BLE001  whatever it was, the board stays at its prompt
        sys.print_exception(error)
        return False
    return True


def _ask(out: bytes, how: int) -> bytes:
    return link.request(wire.CONSOLE, 0, how, out)[1] or b""


def _prompt(scope: dict, home: str) -> None:
    """The prompt, without end. Its code is loaded only now: a board in the field never needs it."""
    gc.collect()
    vfs.mount(vfs.VfsPosix(home), "/.board")  # type: ignore[attr-defined]  # the host's interpreter has it
    sys.path.insert(0, "/.board")
    try:
        import repl
    except MemoryError:  # what main.py has left behind goes; the port's own prompt needs no heap
        scope.clear()
        gc.collect()
        import repl
    sys.path.pop(0)
    del sys.modules["repl"]
    vfs.umount("/.board")
    repl.run(_ask, machine.soft_reset, scope, link.raw)


def start(path: str, size: int) -> None:
    kbd_intr(3)  # Ctrl-C comes in an answer; the signal is for a program that asks for none (Board.stuck)
    home = uos.getenv("MICROPYPATH") or ""
    link.open_line(3)
    for name, module in (
        ("cryptolib", cryptolib),
        ("machine", machine),
        ("os", os),
        ("random", random),
        ("time", time),
    ):
        sys.modules["u" + name] = module  # the host's own stay unreachable under their old names
    for name in ("boot", "buses", "costs", "link", "pins", "wire"):
        sys.modules.pop(name, None)
    flash = Flash(path, size)
    vfs.umount("/")
    # Sizes of the port's defaults (extmod/vfs_lfs.c): read 32, program 32, lookahead 32. No times of modification: the
    # interpreter would take them from the host's clock, and littlefs chooses blocks by the check sums of what it stored.
    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32, mtime=False), "/")  # type: ignore[abstract,arg-type]
    uos.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    link.begin()
    random.seed()
    cause = link.reset_cause
    link.charge(
        costs.BOOT_WAKE
        if cause == machine.DEEPSLEEP_RESET
        else costs.BOOT_SOFT
        if cause == machine.SOFT_RESET
        else costs.BOOT_COLD
    )
    gc.collect()
    scope = {"__name__": "__main__"}
    if _run("boot.py", scope) and not link.raw:
        _run("main.py", scope)
    _prompt(scope, home)


if __name__ == "__main__":
    start(sys.argv[1], int(sys.argv[2]))
