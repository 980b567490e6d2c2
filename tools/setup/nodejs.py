"""The packages from npm, exactly those of the lock file: for the tests, and uPlot for the page's charts, which is copied into the gateway.

Node.js and npm are one of the pinned Python packages.

So they are the same everywhere, and need no root: Debian 12's own are npm 9 and Node.js 18. The lock file names versions and
sums but no host (npm's omit-lockfile-registry-resolved), so each machine asks the registry that it is set up for.
"""

import hashlib
import os
import shutil
from pathlib import Path

from . import places
from .say import Progress, run
from .step import Step

WANTED = Path(__file__).resolve().parent / "npm"
FILES = ("package.json", "package-lock.json")
# The browser gets these from the gateway. They lie in its package, ignored by git, so that a wheel built here has them.
CHARTS = places.ROOT / "gateway" / "vigie" / "web" / "static" / "vendor"
CHART_FILES = {
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "LICENSE": "uplot/LICENSE",
}


def _npm(node: Path) -> Path:
    return node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _home() -> Path:
    return places.CACHE / "npm" / hashlib.sha256((WANTED / "package-lock.json").read_bytes()).hexdigest()[:12]


def step() -> Step | None:
    """What is to be done for the packages from npm, or None."""
    linked = places.NPM_PACKAGES.exists() and places.NPM_PACKAGES.resolve().parent == _home().resolve()
    if linked and _charts_current():
        return None
    return Step(
        "npm packages",
        places.short(_home()),
        seconds=5,
        kept_mb=5,
        passing_mb=10,
        tools=("/etc/ssl/certs/ca-certificates.crt",),
        install=install,
    )


def install(progress: Progress, lock: int | None, node: Path = places.NODE) -> None:
    """Fetch into a fresh folder, check each package against its sum, and only then give the folder its name.

    Then the charts' files are copied into the gateway.
    """
    if not _home().exists():
        fresh = places.CACHE / "build" / "npm"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in FILES:
            shutil.copy2(WANTED / name, fresh / name)
        # npm starts `node` by name; packages' own scripts are not run.
        env = {
            **os.environ,
            "PATH": f"{node.parent}:{os.environ['PATH']}",
            "npm_config_cache": str(fresh / "cache"),
        }
        words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=http")
        run([node, _npm(node), *words], progress, env=env, cwd=fresh, lock=lock)
        shutil.rmtree(fresh / "cache", ignore_errors=True)
        _home().parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(_home())
    places.link(places.NPM_PACKAGES, _home() / "node_modules")
    CHARTS.mkdir(parents=True, exist_ok=True)
    for name, source in CHART_FILES.items():
        fresh_file = CHARTS / f".{name}.{os.getpid()}"
        shutil.copyfile(places.NPM_PACKAGES / source, fresh_file)
        fresh_file.replace(CHARTS / name)


def _charts_current() -> bool:
    """Whether the gateway has the charts' files, just as npm has them."""
    pairs = [(CHARTS / name, places.NPM_PACKAGES / source) for name, source in CHART_FILES.items()]
    return all(ours.exists() and ours.read_bytes() == theirs.read_bytes() for ours, theirs in pairs)
