"""MicroPython as on an ESP32: 32-bit, single floats, `cryptolib`; built from the distribution's source package.

No package has that combination. The binary is linked statically, so it runs on any amd64 machine without its
32-bit libraries. A second one, with `sys.settrace`, tells which firmware lines the tests reach.
"""

import hashlib
import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path

from . import debian, places
from .say import Problem, Progress, line, run
from .step import Step

VERSION = "1.25.0"
# Debian's own changes that a build needs; the others concern its documentation, Java and the version's text.
PATCHES = ("0001", "0006", "0007", "0008")
MAKE = (
    "STRIP=strip",
    "MICROPY_SSL_AXTLS=0",
    "MICROPY_SSL_MBEDTLS=1",
    "MICROPY_PY_BTREE=0",
    "MICROPY_PY_FFI=0",
    "MICROPY_FORCE_32BIT=1",
)
CFLAGS = "-Wno-error -DMICROPY_FLOAT_IMPL=1 -DMICROPY_FLOAT_USE_NATIVE_FLT16=0"
# Constants stay variables there, so that the line that sets one can be seen to run.
TRACE_CFLAGS = "-DMICROPY_PY_SYS_SETTRACE=1 -DMICROPY_COMP_CONST=0"
LIBRARIES = ("libc6-dev", "linux-libc-dev", "libgcc-14-dev", "libmbedtls-dev")
PACKAGED = ("micropython", "libc6", "libffi8", "libmbedcrypto16", "libmbedtls21", "libmbedx509-7")
_RECIPE = repr((VERSION, PATCHES, MAKE, CFLAGS, TRACE_CFLAGS, LIBRARIES, debian.SUITE))
HOME = places.CACHE / "micropython" / f"{VERSION}-{hashlib.sha256(_RECIPE.encode()).hexdigest()[:12]}"
BUILD = places.CACHE / "build" / "micropython"

# AES-128 of a zero block under a zero key begins with 66e94bd4 (NIST AESAVS), whatever the engine.
_PROBE = (
    "import sys, cryptolib, hashlib, deflate, vfs\n"
    "assert sys.maxsize == 2**31 - 1, 'not 32-bit'\n"
    "assert cryptolib.aes(bytes(16), 1).encrypt(bytes(16))[:4] == b'\\x66\\xe9\\x4b\\xd4', 'AES is wrong'\n"
    "print(1 / 3, hasattr(sys, 'settrace'))"
)


def step() -> Step | None:
    """What is to be done for MicroPython, or None."""
    if places.MICROPYTHON.exists() and places.MICROPYTHON.resolve().parent == HOME.resolve():
        return None
    return Step(
        "MicroPython",
        places.short(HOME),
        seconds=60,
        kept_mb=6,
        passing_mb=250,
        tools=("gcc", "make", "patch", "xz", "/usr/include/stdio.h"),
        install=install,
    )


def install(progress: Progress, lock: int) -> None:
    """Build both engines, prove what they are, and only then give them their final name."""
    if platform.machine() != "x86_64":
        raise Problem(f"MicroPython: the 32-bit engine is built on amd64 only, this is {platform.machine()}")
    if not (HOME / "micropython").exists():
        shutil.rmtree(BUILD, ignore_errors=True)
        apart = debian.Apart(BUILD / "apt", "i386", progress, lock)
        made = BUILD / "made"
        made.mkdir()
        try:
            _build(apart, made, progress, lock)
        except Problem as problem:
            shutil.rmtree(made)
            made.mkdir()
            _packaged(apart, made)
            line(f"  {problem}")
            line("  MicroPython: the packaged engine stands in: DOUBLE floats (a board has single), no line coverage")
        HOME.parent.mkdir(parents=True, exist_ok=True)
        made.replace(HOME)
        shutil.rmtree(BUILD)
    places.link(places.MICROPYTHON_TRACE, HOME / "micropython-trace")
    places.link(places.MICROPYTHON, HOME / "micropython")


def _build(apart: debian.Apart, made: Path, progress: Progress, lock: int) -> None:
    root = apart.unpack(*LIBRARIES)
    for shared in root.glob("usr/lib/i386-linux-gnu/libmbed*.so*"):
        shared.unlink()
    archives = apart.source("micropython")
    if not any(VERSION in archive.name for archive in archives):
        raise Problem(f"MicroPython: {debian.SUITE} has no {VERSION} any more, but {[a.name for a in archives]}")
    for archive in archives:
        run(["tar", "-xf", archive, "-C", BUILD], progress, lock=lock)
    source = BUILD / f"micropython-{VERSION}"
    for number in PATCHES:
        (patch,) = (BUILD / "debian" / "patches").glob(f"{number}-*")
        run(["patch", "-s", "-p1", "-i", patch], progress, cwd=source, lock=lock)
    manifest = BUILD / "manifest.py"
    manifest.write_text('include("$(MPY_DIR)/extmod/asyncio")\n')
    jobs = f"-j{os.cpu_count() or 1}"
    run(["make", jobs, "-C", source / "mpy-cross", "CWARN="], progress, lock=lock)
    gcc = root / "usr/lib/gcc/i686-linux-gnu/14"
    lib = root / "usr/lib/i386-linux-gnu"
    for name, extra in (("micropython", ""), ("micropython-trace", TRACE_CFLAGS)):
        flags = f"--sysroot={root} -B{gcc}/ -isystem {root}/usr/include -isystem {root}/usr/include/i386-linux-gnu"
        build = BUILD / f"build-{name}"
        settings = [
            *MAKE,
            f"BUILD={build}",
            f"FROZEN_MANIFEST={manifest}",
            f"CFLAGS_EXTRA={CFLAGS} {extra} {flags}",
            f"LDFLAGS_EXTRA=-static --sysroot={root} -B{gcc}/ -L{gcc} -L{lib}",
        ]
        run(["make", jobs, "-C", source / "ports/unix", *settings], progress, lock=lock)
        shutil.copy2(build / "micropython", made / name)
        expected = f"0.3333333 {name == 'micropython-trace'}"
        if (found := _probe(made / name)) != expected:
            raise Problem(f"MicroPython: the built {name} answers {found!r}, not {expected!r}")


def _packaged(apart: debian.Apart, made: Path) -> None:
    """The distribution's 32-bit engine beside its own C library, started by a script."""
    root = apart.unpack(*PACKAGED)
    shutil.copytree(root, made / "root", symlinks=True)
    script = made / "micropython"
    script.write_text(
        "#!/bin/sh\n"
        'root=$(dirname "$(readlink -f "$0")")/root; lib=$root/usr/lib/i386-linux-gnu\n'
        'exec "$lib/ld-linux.so.2" --library-path "$lib" "$root/usr/bin/micropython" "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    _probe(script)


def _probe(engine: Path) -> str:
    """What the engine says of itself; a Problem where it is unfit."""
    told = subprocess.run([engine, "-c", _PROBE], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        last = (told.stderr or told.stdout).strip().splitlines()[-1:]
        raise Problem(f"MicroPython: {engine} does not do: {' '.join(last)}")
    return told.stdout.strip()
