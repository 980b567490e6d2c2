"""The register of a run: the world's sites as sheets in `var/register/`, imported by the gateway's own command, as a city would."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..setup import places
from ..setup.say import Problem
from ..world.city import SECOND
from ..world.equip import bin_, house
from ..world.sites import Kind, Site
from .state import Var, World

SHEETS = ("sites", "devices", "segments", "bins")
"""In the order in which one names the other."""
FIRST_EPOCH = 1
"""Count epoch of a meter's first start; each later one is a new epoch, whose segment a person has to judge."""
_INTERVAL_S: Mapping[Kind, int] = {"air": 900, "bin": 3600, "meter": 21_600}
_FULL_MM = 120  # where the world's bins stop filling
_BIN_LITRES = 240
_IMPORT_S = 60.0


def clear(var: Var) -> None:
    """Forgets sheets and register of a world that took no step: its meters start again at another instant."""
    shutil.rmtree(var.register, ignore_errors=True)
    for tail in ("", "-wal", "-shm"):
        var.register_file.with_name(var.register_file.name + tail).unlink(missing_ok=True)


def fresh(var: Var, sites: Sequence[Site], *, every: bool) -> set[int]:
    """Numbers of the sites whose boards have never run, so that they count from 0: `every` one, or those without a flash image."""
    return {site.number for site in sites if every or not (var.boards / site.dev_eui / "flash.img").exists()}


def fill(var: Var, world: World, sites: Sequence[Site], mounted: Mapping[int, int], say: Callable[[str], None]) -> None:
    """Writes the sheets and imports them; the second time nothing changes. Problem where the import does not come to an end.

    `mounted`: ns at which boards get their supply for the first time. A meter's segment is of that start and stays.
    """
    var.register.mkdir(parents=True, exist_ok=True)
    _write(var, "sites", [{"site": site.name, "kind": site.kind, "district": site.district} for site in sites])
    _write(var, "devices", [_device(site) for site in sites])
    _write(var, "segments", _segments(var, world, sites, mounted))
    _write(var, "bins", [_bin(site, world) for site in sites if site.kind == "bin"])
    for refused in _import(var):
        say(f"  the register refuses {refused}")
    say(f"  the register has the {len(sites)} sites, from {places.short(var.register)}/*.csv")


def _device(site: Site) -> dict[str, Any]:
    return {"dev_eui": site.dev_eui, "kind": site.kind, "site": site.name, "interval_s": _INTERVAL_S[site.kind]}


def _segments(var: Var, world: World, sites: Sequence[Site], mounted: Mapping[int, int]) -> list[dict[str, Any]]:
    """A line for each meter: those that the sheet has already, as they are, then the new ones'."""
    kept = _read(var, "segments")
    known = {line["dev_eui"] for line in kept}
    return kept + [
        _segment(site, world, mounted[site.number])
        for site in sites
        if site.kind == "meter" and site.dev_eui not in known and site.number in mounted
    ]


def _segment(site: Site, world: World, when: int) -> dict[str, Any]:
    """As a technician would note it: the dial in whole litres at the moment at which the count is 0."""
    home = house(site, world.seed, world.since)
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=when // SECOND)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "site": site.name,
        "serial": f"WM-{site.number:05d}",
        "dev_eui": site.dev_eui,
        "epoch": FIRST_EPOCH,
        "litres_per_pulse": home.litres_per_pulse,
        "anchor_dial_l": home.volume_ml(when) // 1000,
        "anchor_time": moment,
        "anchor_count": 0,
        "since": moment,
    }


def _bin(site: Site, world: World) -> dict[str, Any]:
    depth = bin_(site, world.seed).depth_mm
    return {"site": site.name, "depth_mm": depth, "full_mm": _FULL_MM, "volume_l": _BIN_LITRES}


def _read(var: Var, sheet: str) -> list[dict[str, Any]]:
    path = var.register / f"{sheet}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(var: Var, sheet: str, lines: Sequence[dict[str, Any]]) -> None:
    path: Path = var.register / f"{sheet}.csv"
    if not lines:
        return
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    fresh.replace(path)


def _import(var: Var) -> list[str]:
    """Lines that the register refuses, as it says so."""
    paths = {sheet: var.register / f"{sheet}.csv" for sheet in SHEETS}
    command = [sys.executable, "-m", "vigie", "--settings", str(var.settings_file), "register", "import"]
    command += [word for sheet, path in paths.items() if path.exists() for word in (sheet, str(path))]
    try:
        told = subprocess.run(
            [*command, "--who", "make run"], capture_output=True, text=True, timeout=_IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"register: its sheets were not imported within {_IMPORT_S:.0f} s; run it again") from None
    refused = [line for line in told.stderr.splitlines() if ": refused: " in line]
    if told.returncode != 0 and not refused:
        raise Problem(f"register: {(told.stderr.splitlines() or ['no word'])[-1].removeprefix('vigie: register: ')}")
    return [line.replace(": refused", "", 1) for line in refused]
