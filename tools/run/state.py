"""What lies in `var/` beside the servers' folders: the world's file, the state of the run, the lock."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..setup import places
from ..setup.say import Problem

SEED = 2026
NETWORKS = ("devnet", "external")
"""The network server of a run: ours, or a city's ChirpStack."""

MOST_BOARDS = 500


def folder_of(network: str) -> Path:
    """Where the data of a run with this network server lies; Problem for another word."""
    if network not in NETWORKS:
        raise Problem(f"NETWORK={network}: give one of {', '.join(NETWORKS)}")
    return places.VAR if network == NETWORKS[0] else places.VAR / network


@dataclass
class World:
    """The world's file: what a second run needs to go on. Times in ns of world time."""

    seed: int
    since: int
    until: int


@dataclass
class Run:
    """The state of the run, renewed every second for `make status`."""

    pid: int
    boards: int
    joined: int = 0
    phase: str = "starting"
    world_time: int = 0
    lag_s: float = 0.0
    services: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    read_token_file: str = ""


class Var:
    """The folder of one chain; `lock` is held as long as a run lives, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings_file = folder / "vigie.toml"
        self.devnet_file = folder / "devnet" / "devnet.sqlite"
        self.boards = folder / "boards"
        self.register = folder / "register"
        self.register_file = folder / "gateway" / "register.sqlite"
        self._world_file = folder / "world.json"
        self._run_file = folder / "run.json"
        self._made_file = folder / "made.json"
        self._lock = -1

    def lock(self) -> None:
        """Takes the folder for this process; Problem if another run has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Problem(f"{places.short(self.folder)}: {error.strerror}; run it where you may write") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(
                f"{places.short(self.folder)}: a run is under way there; stop it first (Ctrl-C in its terminal)"
            ) from None

    def running(self) -> bool:
        """Whether a run holds the lock."""
        try:
            probe = os.open(self.folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False

    def read_world(self) -> World | None:
        """The world's file, None before the first run."""
        values = _read(self._world_file)
        if values is None:
            return None
        names = [each.name for each in fields(World)]
        if sorted(values) != sorted(names) or not all(type(value) is int for value in values.values()):
            raise _damaged(self._world_file, f"must hold whole numbers {', '.join(names)}")
        return World(**values)

    def write_world(self, world: World) -> None:
        """Replaces the world's file in one step."""
        _write(self._world_file, asdict(world))

    def made(self) -> list[str]:
        """What runs here have made in a network server that is not ours, in words."""
        values = _read(self._made_file)
        return [] if values is None else [str(each) for each in values.get("made", [])]

    def write_made(self, made: list[str]) -> None:
        """Replaces that list in one step."""
        _write(self._made_file, {"made": made})

    def read_run(self) -> Run | None:
        """The state of the latest run."""
        values = _read(self._run_file)
        return None if values is None else Run(**values)

    def write_run(self, run: Run) -> None:
        """Replaces the run's state in one step."""
        _write(self._run_file, asdict(run))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise _damaged(path, "not JSON") from None
    if not isinstance(values, dict):
        raise _damaged(path, "not an object")
    return values


def _damaged(path: Path, why: str) -> Problem:
    return Problem(f"{places.short(path)}: {why}; put it back, or move {places.short(path.parent)}/ away to begin anew")


def _write(path: Path, values: dict[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(values))
    fresh.replace(path)
