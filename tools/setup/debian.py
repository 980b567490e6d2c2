"""The distribution's packages: installed where they belong, or unpacked apart when a newer suite's are needed.

Unpacking apart (MicroPython's sources, a newer Go) leaves the machine's package state alone: apt-get works in a
folder of its own, with the machine's own mirror and keys, so every file stays checked by Debian's signature.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .say import Problem, Progress, run

# The suite whose MicroPython and Go are taken when the machine's own are missing or too old: Debian 13.
SUITE = "trixie"

# What a step needs (a command, or a file) and the package that has it.
PACKAGES: dict[str, str] = {
    "mosquitto": "mosquitto",
    "gcc": "gcc",
    "make": "make",
    "patch": "patch",
    "xz": "xz-utils",
    "pkg-config": "pkg-config",
    "/usr/include/stdio.h": "libc6-dev",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "python:ensurepip": "python3-venv",
}


def find(command: str) -> Path | None:
    """A command on PATH or in the system's folders for servers, which a user's PATH leaves out on Debian."""
    found = shutil.which(command) or shutil.which(command, path="/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def has(need: str) -> bool:
    """Whether the machine has what a step needs."""
    if need.startswith("python:"):
        return importlib.util.find_spec(need.removeprefix("python:")) is not None
    return Path(need).exists() if need.startswith("/") else find(need) is not None


def missing(needs: set[str]) -> list[str]:
    """The packages that these needs call for and the machine does not have."""
    return sorted(PACKAGES[need] for need in needs if not has(need))


def candidate(package: str) -> tuple[int, ...]:
    """The version that apt-get would install, as numbers; empty where there is none."""
    shown = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Candidate: (?:\d+:)?(\d+(?:\.\d+)*)", shown)
    return tuple(map(int, found[1].split("."))) if found else ()


def _as_root(packages: list[str]) -> list[str]:
    """What to put before a command that installs these packages: nothing, or sudo; else a Problem that names them."""
    if find("apt-get") is None:
        raise Problem("packages: no apt-get here; the set-up knows Debian 12 and newer, elsewhere see the README")
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    asked = f"ask an administrator for: apt-get install {' '.join(packages)}"
    if sudo is None:
        raise Problem(f"packages: you are not root and there is no sudo; {asked}")
    # Asks for the password now, while the terminal is still ours; without a terminal it must not be needed.
    ask = [] if sys.stdin.isatty() else ["-n"]
    if subprocess.run([sudo, *ask, "-v"], check=False).returncode != 0:
        raise Problem(f"packages: sudo refuses; {asked}")
    return [sudo, "-n"]


def refresh(packages: list[str], progress: Progress) -> None:
    """Fetch the distribution's package lists, for the sake of these packages: a fresh machine has no lists."""
    run([*_as_root(packages), "apt-get", "-q", "update"], progress)


def install(packages: list[str], progress: Progress) -> None:
    """Install from the distribution."""
    refresh(packages, progress)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy", "--no-install-recommends", "install"]
    run([*_as_root(packages), *quiet, *packages], progress)


def _own_source(folder: Path = Path("/etc/apt")) -> str:
    """The machine's own source of Debian packages, as a deb822 stanza for the newer suite."""
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            rows = [row for row in stanza.splitlines() if not row.startswith("#")]
            fields = {key.strip().lower(): value.strip() for key, _, value in (row.partition(":") for row in rows)}
            debian = "debian" in fields.get("uris", "") and "main" in fields.get("components", "").split()
            if debian and "security" not in fields.get("suites", "") and fields.get("enabled", "yes") != "no":
                return _stanza(fields["uris"], fields.get("signed-by"))
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for row in path.read_text().splitlines() if path.exists() else []:
            found = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S*debian\S*)\s+(\S+)\s+(?:\S+\s+)*?main\b", row)
            if found and "security" not in found[2] + found[3]:
                key = re.search(r"signed-by=(\S+)", found[1] or "")
                return _stanza(found[2], key[1] if key else None)
    raise Problem(f"packages: no Debian mirror in {folder}/sources.list or sources.list.d; add the one you use")


def _stanza(uris: str, signed_by: str | None) -> str:
    keys = f"Signed-By: {signed_by}\n" if signed_by else ""
    return f"Types: deb deb-src\nURIs: {uris}\nSuites: {SUITE}\nComponents: main\n{keys}"


class Apart:
    """Packages of the newer suite, unpacked into a folder without touching what is installed."""

    def __init__(self, folder: Path, architecture: str, progress: Progress, lock: int) -> None:
        self.folder = folder
        self.root = folder / "root"
        self._progress = progress
        self._lock = lock
        for name in ("src", "pref", "state/lists/partial", "cache/archives/partial", "debs", "root"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        (folder / "src" / "suite.sources").write_text(_own_source())
        config = folder / "apt.conf"
        config.write_text(
            f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{folder}/src";\n'
            f'Dir::Etc::preferencesparts "{folder}/pref"; Dir::State "{folder}/state";\n'
            f'Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache"; Acquire::Languages "none";\n'
            f'APT::Sandbox::User "root"; APT::Architecture "{architecture}"; APT::Architectures "{architecture}";\n'
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; Acquire::Retries "3";\n'
        )
        self._env = {**os.environ, "APT_CONFIG": str(config)}
        self._apt("update")

    def _apt(self, *words: str, cwd: Path | None = None) -> None:
        run(["apt-get", "-q", *words], self._progress, env=self._env, cwd=cwd, lock=self._lock)

    def unpack(self, *packages: str) -> Path:
        """Fetch these packages and unpack them; the folder that stands for `/` comes back."""
        debs = self.folder / "debs"
        self._apt("download", *packages, cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            run(["dpkg", "-x", deb, self.root], self._progress, lock=self._lock)
            deb.unlink()
        return self.root

    def source(self, package: str) -> list[Path]:
        """Fetch a source package's archives, checked but not unpacked."""
        self._apt("source", "--download-only", package, cwd=self.folder)
        return sorted(self.folder.glob(f"{package}_*.tar.*"))
