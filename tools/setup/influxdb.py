"""InfluxDB 2.7: the one that is configured or installed, else built from its Go module (its Rust part with cargo).

No package registry has it ready-made. The binary is kept under a key made from go.sum; the build's caches,
three gigabytes, go once it is there.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from . import debian, places
from .say import Problem, Progress, run
from .step import Step

HERE = Path(__file__).resolve().parent / "influxd"
VERSION = "v2.7.12"
GO = (1, 24)
# flux asks for 1.72 (libflux/flux/Cargo.toml).
CARGO = (1, 72)
TAGS = "sqlite_foreign_keys,sqlite_json,noassets"
HOME = places.CACHE / "influxd" / hashlib.sha256((HERE / "go.sum").read_bytes() + TAGS.encode()).hexdigest()[:12]
BUILD = places.CACHE / "build" / "influxd"


def _configured() -> bool:
    """Whether the settings name a server, so that none is needed here."""
    if os.environ.get("VIGIE_INFLUXDB__URL"):
        return True
    settings = places.ROOT / (os.environ.get("VIGIE_SETTINGS") or "vigie.toml")
    if not settings.exists():
        return False
    with settings.open("rb") as file:
        return bool(tomllib.load(file).get("influxdb", {}).get("url"))


def _version(command: list[str | Path]) -> tuple[tuple[int, ...], str]:
    """The first version number that a program prints, and what it printed."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return (), str(error)
    text = (told.stdout + told.stderr).strip()
    found = re.search(r"(\d+)\.(\d+)", told.stdout) if told.returncode == 0 else None
    return (int(found[1]), int(found[2])) if found else (), text.splitlines()[-1] if text else ""


def step() -> Step | None:
    """What is to be done for InfluxDB, or None."""
    linked = places.INFLUXD.exists() and places.INFLUXD.resolve()
    if _configured() or (linked and (linked.parent == HOME.resolve() or linked == _installed())):
        return None
    if (HOME / "influxd").exists() or _installed():
        return Step("InfluxDB", "as it is", 1, 0, 0, (), install)
    return Step(
        "InfluxDB",
        places.short(HOME),
        seconds=420,
        kept_mb=95,
        passing_mb=3300,
        tools=("gcc", "pkg-config", "/usr/include/stdio.h", "/etc/ssl/certs/ca-certificates.crt"),
        install=install,
    )


def _installed() -> Path | None:
    """An InfluxDB 2 that the machine already has."""
    found = shutil.which("influxd")
    return Path(found).resolve() if found and _version([found, "version"])[0][:1] == (2,) else None


def install(progress: Progress, lock: int) -> None:
    """Link the machine's own, or build and keep ours."""
    if own := _installed():
        places.link(places.INFLUXD, own)
        return
    if not (HOME / "influxd").exists():
        _build(progress, lock)
    places.link(places.INFLUXD, HOME / "influxd")


def _build(progress: Progress, lock: int) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    cargo = _cargo(progress)
    go = _go(progress, lock)
    env = {
        **os.environ,
        "GOMODCACHE": str(BUILD / "mod"),
        "GOCACHE": str(BUILD / "go"),
        "GOPATH": str(BUILD / "path"),
        # Writable modules can be removed again; -mod=readonly holds the build to the committed go.sum.
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -modcacherw -mod=readonly".strip(),
        "GOTOOLCHAIN": "local",
        "CARGO_HOME": str(_cargo_home()),
        "CARGO": str(HERE / "cargo-libflux"),
        "VIGIE_CARGO": str(cargo),
        "PKG_CONFIG": str(BUILD / "pkg-config"),
        "CGO_ENABLED": "1",
    }
    env.update(_toolchain())
    helper = "github.com/influxdata/pkg-config"
    run([go, "build", "-o", BUILD / "pkg-config", helper], progress, env=env, cwd=HERE, lock=lock)
    made = BUILD / "influxd"
    # -v names each package as it is compiled: the sign of life.
    flags = ["-v", "-trimpath", "-tags", TAGS, "-ldflags", f"-s -w -X main.version={VERSION}"]
    package = "github.com/influxdata/influxdb/v2/cmd/influxd"
    run([go, "build", *flags, "-o", made, package], progress, env=env, cwd=HERE, lock=lock)
    if _version([made, "version"])[0] != (2, 7):
        raise Problem(f"InfluxDB: the built {made} does not start: {_version([made, 'version'])[1]}")
    HOME.mkdir(parents=True, exist_ok=True)
    made.replace(HOME / "influxd")
    shutil.rmtree(BUILD)


def _go(progress: Progress, lock: int) -> Path:
    """A Go that is new enough: the machine's, or the newer Debian's unpacked for this build only."""
    found = shutil.which("go")
    if found and _version([found, "env", "GOVERSION"])[0] >= GO:
        return Path(found)
    name = f"golang-{GO[0]}.{GO[1]}"
    apart = BUILD / "debian-go"
    go = apart / "root" / "usr" / "lib" / name.replace("golang", "go") / "bin" / "go"
    if not go.exists():
        shutil.rmtree(apart, ignore_errors=True)
        architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
        debian.Apart(apart, architecture.stdout.strip(), progress, lock).unpack(f"{name}-go", f"{name}-src")
    return go


def _cargo(progress: Progress) -> Path:
    """A cargo that is new enough; a missing one is brought, one that is too old is the machine's own affair."""
    found = debian.find("cargo")
    if found is None:
        debian.refresh(["cargo", "rustc"], progress)
        for cargo, rustc in (("cargo", "rustc"), ("cargo-web", "rustc-web")):
            # Debian's cargo of 2022 and before counts 0.x where its Rust counts 1.x: the compiler's number decides.
            if debian.candidate(rustc)[:2] >= CARGO:
                debian.install([cargo, rustc], progress)
                return debian.find("cargo") or Path("cargo")
        raise Problem("InfluxDB: needs cargo (Rust 1.72 or newer), which no package here has; see the README")
    version, text = _version([found, "--version"])
    if not version:
        raise Problem(f"InfluxDB: {found} does not run ({text}); with rustup: rustup default stable")
    if version < CARGO:
        cure = "rustup update stable" if shutil.which("rustup") else "apt-get install cargo-web rustc-web"
        number = ".".join(map(str, version))
        raise Problem(f"InfluxDB: needs Rust 1.72 or newer, {found} is {number}; bring it with: {cure}")
    return found


def _toolchain() -> dict[str, str]:
    """Hold rustup to the toolchain in use: flux's own wish, 1.72, would be another download, or a refusal."""
    if "RUSTUP_TOOLCHAIN" in os.environ or not shutil.which("rustup"):
        return {}
    told = subprocess.run(["rustup", "show", "active-toolchain"], capture_output=True, text=True, check=False)
    return {"RUSTUP_TOOLCHAIN": told.stdout.split()[0]} if told.returncode == 0 and told.stdout else {}


def _cargo_home() -> Path:
    """A home for cargo's downloads that goes with the build, under the person's own settings (a mirror, a proxy)."""
    home = BUILD / "cargo"
    home.mkdir(exist_ok=True)
    usual = Path(os.environ.get("CARGO_HOME") or Path("~/.cargo").expanduser())
    for name in ("config.toml", "config", "credentials.toml"):
        if (usual / name).exists() and not (home / name).exists():
            (home / name).symlink_to((usual / name).absolute())
    return home
