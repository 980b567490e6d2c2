"""Firmware, configuration and keys onto a board: only what differs, everything verified, and the first start watched."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..setup.say import Problem
from ..virtual_board.flash import FlashError, firmware_files
from .board import Board, Facts, Full, Say
from .inventory import Row
from .provision import Progress

CHIPS = {"bare_s3": "ESP32S3", "bare_s3_rfm95": "ESP32S3"}
"""Board file -> the chip that MicroPython names there."""
OLDEST = (1, 25)
CONFIG = "/config.json"
_TREE = Path(__file__).resolve().parents[2] / "firmware"  # a clone
_WHEEL = Path(__file__).resolve().parents[1] / "firmware"  # installed
_RECORDS = "/keep/"
_CODE = (".mpy", ".py")


@dataclass(frozen=True)
class Job:
    """What is to be on the board. `erase`: the node's records go; `clear`: another program's files go."""

    board: str
    row: Row
    erase: bool = False
    clear: bool = False


def compiled(folder: Path | None = None) -> dict[str, bytes]:
    """The firmware as it lies on a board, path from "/" -> content."""
    source = folder or (_TREE if _TREE.is_dir() else _WHEEL)
    if not (source / "main.py").is_file():
        raise Problem(f"{source}: no firmware there (no main.py); name its folder by --firmware")
    try:
        return {f"/{name}": content for name, content in firmware_files(source).items()}
    except FlashError as error:
        raise Problem(str(error)) from None


def config_file(row: Row, board: str) -> bytes:
    """The node's /config.json (docs/technician.md)."""
    values = {
        "kind": row.kind,
        "board": board,
        "dev_eui": row.dev_eui,
        "join_eui": row.join_eui,
        "app_key": row.app_key,
        "region": "eu868",
    }
    return json.dumps(values, indent=1).encode()


def check(facts: Facts, board: str, files: Mapping[str, bytes]) -> None:
    """Problem: not the chip of this board file, or a MicroPython that does not load this firmware."""
    if facts.platform != "esp32" or not re.search(rf"\b{CHIPS[board]}\b", facts.machine):
        raise Problem(
            f"--board {board} has an {CHIPS[board]}, the board at the cable says {facts.machine}; name its own board file"
        )
    numbers = tuple(int(each) for each in re.findall(r"\d+", facts.release)[:2])
    bytecode = next(content[1] for name, content in files.items() if name.endswith(".mpy"))
    if numbers < OLDEST or facts.mpy != bytecode:
        raise Problem(
            f"the board has MicroPython {facts.release}; {OLDEST[0]}.{OLDEST[1]} or later with bytecode {bytecode} is needed: "
            "put it on by esptool (docs/technician.md)"
        )


def write(board: Board, job: Job, firmware: Mapping[str, bytes], say: Say, progress: Progress) -> None:
    """Makes the board's files what they should be. Nothing under /keep but code is touched, unless `job.erase`."""
    facts = board.facts()
    say(f"board: {facts.machine}, MicroPython {facts.release}")
    check(facts, job.board, firmware)
    present = board.files()
    records = [path for path in present if path.startswith(_RECORDS) and not path.endswith((*_CODE, "/"))]
    if facts.dev_eui not in (None, job.row.dev_eui) and records and not job.erase:
        raise Problem(
            f"the board is node {facts.dev_eui} and keeps its session and counts; to make it {job.row.dev_eui} give --erase-records"
        )
    config = config_file(job.row, job.board)
    wanted = {**firmware, CONFIG: config}
    stale = _stale(present, wanted, records, job)
    if facts.dev_eui not in (None, job.row.dev_eui):
        stale.append(CONFIG)  # after the records, whose name it bears
    changed = [path for path, content in wanted.items() if not _same(present, path, content)]
    # main.py starts the others and config.json makes a node of them: they come last, in this order
    changed.sort(key=lambda path: (path == CONFIG, path == "/main.py", path))
    say(f"firmware: {len(firmware)} files; {len(changed)} to copy, {len(stale)} to remove")
    if job.erase and records:
        say(
            f"erasing {len(records)} records: the pulse count starts at 0 again, and DevNonces too: flush the device's in ChirpStack"
        )
    board.remove(stale)
    for number, path in enumerate(changed):
        progress(number, len(changed))
        try:
            board.put(path, wanted[path])
        except Full as full:
            size = sum(len(content) for content in wanted.values()) // 1024
            raise Problem(
                f"{full}; firmware and configuration need about {size} KB and the board has {facts.free // 1024} KB free: "
                "set it up anew with erase_flash and MicroPython, then run this again"
            ) from None
    progress(len(changed), len(changed))
    if changed or stale:
        verify(board, wanted)


def _stale(present: Mapping[str, str], wanted: Mapping[str, bytes], records: list[str], job: Job) -> list[str]:
    """What has to go, files before their folders. Problem: it looks like another program's."""
    keep = set(wanted) | set(() if job.erase else records)
    folders = {path[: at + 1] for path in keep for at, letter in enumerate(path) if letter == "/"}
    stale = [path for path in present if path not in keep and path not in folders]
    strange = [path for path in stale if not path.endswith("/") and path != "/boot.py"]
    if strange and "/node/" not in present and not job.clear:
        raise Problem(
            f"the board has {len(strange)} files of another program ({', '.join(strange[:3])}); give --clear if they may go"
        )
    return sorted(stale, key=lambda path: (path.endswith("/"), -path.count("/"), path))


def _same(present: Mapping[str, str], path: str, content: bytes) -> bool:
    return present.get(path) == hashlib.sha256(content).hexdigest()


def verify(board: Board, wanted: Mapping[str, bytes]) -> None:
    """All files by their hashes, in one call."""
    present = board.files()
    for path, content in wanted.items():
        if not _same(present, path, content):
            raise Problem(
                f"{path}: on the board it is not what was sent; run this again, and if it stays so take another board"
            )


def watch(board: Board, seconds: float, say: Say, now: Callable[[], float] = time.monotonic) -> str:
    """Restarts the board and follows what it prints until it has joined; what it said last then. Problem: it did not in time."""
    board.reset()
    began = now()
    last = ""
    for line in board.lines(seconds, say):
        if not line.startswith("vigie:") and not re.match(r"\w*(Error|Exception)\b", line):
            continue
        last = line
        say(f"  {line}")
        if line.startswith("vigie: config.json"):
            raise Problem(f"the node refuses its configuration: {line.removeprefix('vigie: ')}")
        if line.startswith("vigie: joined") or line == "vigie: health report sent, answered":
            return f"{'joined' if 'joined' in line else 'heard by the network, with the session that it had'} after {now() - began:.0f} s"
    raise Problem(
        f"the files are on the board, but it has not joined within {seconds:.0f} s; it said last: {last or 'nothing'}. Is the device "
        "registered (vigie-node provision), a LoRa gateway in reach and up, the antenna on, the board file the right one? "
        "The node goes on trying by itself"
    )
