"""The `lora` packages of micropython-lib, for the tests of `firmware/radio/mplib.py`: `python -m tools.setup.micropython_lib`.

They are in no package registry, only in MicroPython's own index; mpremote's `mip` reads it, into a folder instead of onto a board.
"""

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import socket
import sys
from pathlib import Path

from mpremote import mip  # type: ignore[import-untyped]
from mpremote.commands import CommandError  # type: ignore[import-untyped]

from . import places
from .say import Problem, line

HOME = places.CACHE / "micropython-lib"
PACKAGES = ("lora-sync", "lora-sx126x", "lora-sx127x")
BYTECODE = 6
"""Major version of the .mpy files that the boards' MicroPython loads."""
SILENCE_S = 20


def packages(place: Path) -> dict[str, Path]:
    """Files of the module `lora` by name, in a checkout of micropython-lib or in a folder that mip filled; none elsewhere."""
    folders = [place / "micropython" / "lora" / name / "lora" for name in ("lora", *PACKAGES)]
    if not folders[0].is_dir():
        folders = [place / "lora"]
    found = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    files = {file.name: file for file in found if file.suffix in (".py", ".mpy")}
    return files if {"modem", "sync_modem"} <= {file.stem for file in found} else {}


class Folder:
    """A folder in the place of the board that mip thinks it writes to; its verbs are those of mpremote's transports."""

    def exec(self, code: str) -> None:
        """Nothing to run."""

    def eval(self, _code: str) -> int:
        """The only question: which bytecode."""
        return BYTECODE

    def fs_exists(self, path: str) -> bool:
        """Whether it is there."""
        return Path(path).exists()

    def fs_mkdir(self, path: str) -> None:
        """One folder more."""
        Path(path).mkdir()

    def fs_hashfile(self, path: str, algorithm: str) -> bytes:
        """Digest; FileNotFoundError if there is none."""
        return hashlib.new(algorithm, Path(path).read_bytes()).digest()

    def fs_writefile(self, path: str, data: bytes, **_: object) -> None:
        """One file; small enough to need no progress callback."""
        Path(path).write_bytes(data)


def fetch(index: str, home: Path) -> None:
    """Install the packages from a mip index into `home`, all or nothing; a Problem says what to do instead."""
    fresh = home.with_name(f"{home.name}.{os.getpid()}")
    socket.setdefaulttimeout(SILENCE_S)
    try:
        fresh.mkdir(parents=True)
        for package in PACKAGES:
            with contextlib.redirect_stdout(io.StringIO()):
                mip._install_package(Folder(), package, index, str(fresh), None, mpy=True)  # noqa: SLF001  its only door
        if not packages(fresh):
            raise Problem(f"micropython-lib: {index} has no complete lora packages; see where the index is now")
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
    except (CommandError, OSError) as error:
        raise Problem(
            f"micropython-lib: {error}; fetch it where there is network and copy {places.short(home)} here, "
            "or name a checkout: make test MICROPYTHON_LIB=<folder>"
        ) from error
    finally:
        socket.setdefaulttimeout(None)
        shutil.rmtree(fresh, ignore_errors=True)


def main() -> int:
    """0 when the packages are there, 1 with one sentence when not."""
    parser = argparse.ArgumentParser(prog="python -m tools.setup.micropython_lib")
    parser.add_argument("--index", default=mip._PACKAGE_INDEX, help="another mip index")  # noqa: SLF001  written once, there
    try:
        fetch(parser.parse_args().index, HOME)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    line(f"micropython-lib: lora packages in {places.short(HOME)}; make test uses them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
