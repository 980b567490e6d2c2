"""Chromium, for the page's tests only: `make test` brings it, `make run` does without. Debian's own, headless and driven by Playwright.

A step of its own because of its size: 80 MB to fetch, 420 MB on the disk.
"""

import sys
import time

from . import debian
from .say import Problem, Progress, line

NEEDS = {
    "chromium": "chromium",
    # without recommended packages a bare machine has no font, and text would be boxes
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
}


def missing() -> list[str]:
    """The packages that are not there."""
    return sorted(package for need, package in NEEDS.items() if not debian.has(need))


def main() -> int:
    """0 when the browser is there, 1 with one sentence when not."""
    packages = missing()
    if not packages:
        return 0
    line(f"browser for the page's tests: {' '.join(packages)}, system-wide by apt-get, up to 420 MB, about 40 s")
    progress = Progress("Browser")
    try:
        debian.install(packages, progress)
    except Problem as problem:
        print(f"set-up failed: {problem}", file=sys.stderr)
        return 1
    line(f"  Browser: there after {time.monotonic() - progress.started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
