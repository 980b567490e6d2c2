"""The virtual environment with every Python package pinned, and the boards' stubs apart from it.

The stubs describe MicroPython's `time`, `os` and so on: in the environment they would shadow the real ones.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from . import places
from .say import Problem, Progress, run
from .step import Step

HERE = Path(__file__).resolve().parent
PINS = HERE / "requirements.txt"
STUB_PINS = HERE / "board-stubs.txt"
PYTHON = places.VENV / "bin" / "python"
MARK = places.VENV / ".vigie-complete"


def _key() -> str:
    """Changes when the pins or what an editable installation reads in pyproject.toml change; not with lint settings."""
    with (places.ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    read = [project["build-system"], project["project"], project["tool"]["hatch"], str(places.ROOT), sys.version]
    return hashlib.sha256(PINS.read_bytes() + json.dumps(read, sort_keys=True).encode()).hexdigest()


def _stub_home() -> Path:
    return places.CACHE / "stubs" / hashlib.sha256(STUB_PINS.read_bytes()).hexdigest()[:12]


def _stubs_current() -> bool:
    return places.BOARD_STUBS.exists() and places.BOARD_STUBS.resolve() == _stub_home().resolve()


def step() -> Step | None:
    """What is to be done for the Python packages, or None."""
    if MARK.exists() and MARK.read_text() == _key() and PYTHON.exists() and _stubs_current():
        return None
    fresh = not MARK.exists()
    return Step(
        "Python packages",
        places.short(places.VENV),
        seconds=60 if fresh else 10,
        kept_mb=820 if fresh else 0,
        passing_mb=210,
        tools=("python:ensurepip", "/etc/ssl/certs/ca-certificates.crt"),
        install=install,
    )


def install(progress: Progress, lock: int) -> None:
    """Create or update the environment; the mark comes last, so that an interrupted one is made anew."""
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONNOUSERSITE": "1"}
    # A virtual environment or a path of the caller's must not leak into ours.
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        env.pop(name, None)
    env.setdefault("PIP_CACHE_DIR", str(places.CACHE / "pip"))
    if not _same_python():
        venv.create(places.VENV, clear=True, symlinks=True)
        run([PYTHON, "-m", "ensurepip", "--upgrade", "--default-pip"], progress, env=env, lock=lock)
    MARK.unlink(missing_ok=True)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--progress-bar=off"]
    # The pins are the whole closure: --no-deps keeps a looser wish inside a package from moving one of them.
    run([*pip, "--no-deps", "-r", PINS], progress, env=env, lock=lock)
    run([*pip, "--no-deps", "--no-build-isolation", "-e", places.ROOT], progress, env=env, lock=lock)
    # An editable installation knows no second name for a folder; the command vigie-node needs the one that a wheel has.
    places.link(places.SITE_PACKAGES / "vigie_tools", places.ROOT / "tools")
    run([PYTHON, "-m", "pip", "check"], progress, env=env, lock=lock)
    if not _stub_home().exists():
        fresh = places.CACHE / "build" / "stubs"
        shutil.rmtree(fresh, ignore_errors=True)
        run([*pip, "--no-deps", "--target", fresh, "-r", STUB_PINS], progress, env=env, lock=lock)
        _stub_home().parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(_stub_home())
    places.link(places.BOARD_STUBS, _stub_home())
    MARK.write_text(_key())


def _same_python() -> bool:
    """Whether there is a complete environment of this very Python; anything else is made anew."""
    if not (MARK.exists() and PYTHON.exists()):
        return False
    told = subprocess.run([PYTHON, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        return False
    return told.stdout.strip() == sys.version.strip()


def check_writable() -> None:
    """Say now, and not in the middle, that the folders cannot be written."""
    for folder in (places.ROOT, places.CACHE):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".writable.{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            cure = "set VIGIE_CACHE to" if folder == places.CACHE else "clone the project into"
            problem = f"set-up: cannot write in {folder} ({error.strerror}): {cure} a folder of yours and run it again"
            raise Problem(problem) from error
