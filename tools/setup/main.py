"""The order of things: what is missing, what it costs, then bringing it, each step finished under its final name."""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterable

from . import debian, environment, influxdb, micropython, nodejs, places
from .say import Problem, Progress, line
from .step import Step

ALWAYS = {"mosquitto"}


def _missing() -> list[Step]:
    """All that is to be done, the quick steps first so that a problem shows early."""
    return [step for part in (environment, nodejs, micropython, influxdb) if (step := part.step())]


def _announce(packages: list[str], steps: Iterable[Step]) -> None:
    steps = list(steps)
    minutes = (sum(step.seconds for step in steps) + 30 * bool(packages)) / 60
    kept = sum(step.kept_mb for step in steps)
    passing = max((step.passing_mb for step in steps), default=0)
    length = "less than a minute" if minutes < 1 else f"about {minutes:.0f} min on two cores"
    line(f"set-up: {length}, {kept} MB kept and up to {passing} MB more while it builds; it will bring")
    if packages:
        line(f"  Debian packages   system-wide, by apt-get: {' '.join(packages)}")
    for step in steps:
        line(f"  {step.title:<17} {step.where}, {step.kept_mb} MB, about {step.seconds} s")


def _check_room(steps: list[Step]) -> None:
    """A disk that fills in the seventh minute is worse than a sentence in the first second."""
    needed = sum(step.kept_mb for step in steps) + max((step.passing_mb for step in steps), default=0)
    free = shutil.disk_usage(places.CACHE).free // 1_000_000
    if free < needed:
        raise Problem(
            f"set-up: {places.CACHE} has {free} MB free and {needed} MB are needed: make room, "
            "or set VIGIE_CACHE to a folder on another disk"
        )


def _lock() -> int:
    """One set-up at a time in a cache; the lock lives as long as the last program that inherited it."""
    lock = os.open(places.CACHE / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    progress = Progress("waiting for another set-up in this cache")
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.sign("")
            time.sleep(0.2)
        else:
            progress.clear()
            return lock


def _mosquitto() -> None:
    found = debian.find("mosquitto")
    if found is None:
        raise Problem("packages: mosquitto is installed but not found; run: apt-get install --reinstall mosquitto")
    if not (places.MOSQUITTO.exists() and places.MOSQUITTO.resolve() == found.resolve()):
        places.link(places.MOSQUITTO, found)


def _bring() -> None:
    steps = _missing()
    packages = debian.missing(ALWAYS.union(*(step.tools for step in steps)))
    if not steps and not packages:
        if not places.MOSQUITTO.exists():
            _mosquitto()
        return
    environment.check_writable()
    lock = _lock()
    # Another set-up may have brought everything while this one waited.
    steps = _missing()
    packages = debian.missing(ALWAYS.union(*(step.tools for step in steps)))
    if not steps and not packages:
        return
    _announce(packages, steps)
    _check_room(steps)
    started = time.monotonic()
    if packages:
        progress = Progress("Debian packages")
        debian.install(packages, progress)
        line(f"  Debian packages: there after {time.monotonic() - progress.started:.0f} s")
    _mosquitto()
    for step in steps:
        progress = Progress(step.title)
        try:
            step.install(progress, lock)
        except OSError as error:
            problem = f"{step.title}: {error.filename or places.CACHE}: {error.strerror}; mend that and run it again"
            raise Problem(problem) from error
        line(f"  {step.title}: there after {time.monotonic() - progress.started:.0f} s")
    line(f"set-up: complete after {time.monotonic() - started:.0f} s")


def main() -> int:
    """Bring what is missing; 0 when everything is there, 1 with one sentence when it is not, 130 when interrupted."""
    try:
        _bring()
    except Problem as problem:
        print(f"set-up failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; what is finished stays, run it again to go on", file=sys.stderr)
        return 130
    return 0
