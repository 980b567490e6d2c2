"""What the LoRaWAN stack takes on a board: `make bench-firmware`. Figures for a person, then one JSON line.

The stack is `firmware/lorawan`; a board adds `radio/` with one driver. Code is .mpy, as boards run it; the interpreter is the boards' own
kind, 32-bit MicroPython with single floats. Heap is what `gc.mem_alloc` grows by between an empty interpreter and a Mac that has its
session, after a full collection.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET  # reads what pytest has just written
from pathlib import Path
from statistics import median

from ..setup import places
from ..virtual_board.flash import compile_source
from .wake import wake_to_transmission_ms

DRIVERS = ("sx126x", "sx127x", "mplib")
FLASH = "b"
"""The folder of a board's files, seen from where it runs: each module's path lies in the heap, so it is short and always the same."""
SCENARIOS = places.ROOT / "tests" / "firmware" / "lorawan" / "certification"

# Runs inside MicroPython with three words: the folder of .mpy files; nothing, to join and leave the session's record there, or the record's
# name, to wake with it and send; a driver or nothing. Few names: each takes heap.
_BOARD = """
import gc, os, struct, sys, time, collections, cryptolib, micropython
def a():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()
p, r, d = sys.argv[1:4]
sys.path.insert(0, p)
b = a()
from lorawan import eu868
from lorawan.mac import Mac
if d:
    class c:
        class Pin:
            IRQ_RISING = 1
    sys.modules["machine"] = c
    __import__("radio.runner")
    __import__("radio." + d)
k = "2b7e151628aed2a6abf7158809cf4f3c"
m = Mac(eu868, "70b3d5e75e000a01", "0000000000000001", k, os.urandom, None, open(p + "/" + r, "rb").read() if r else None)
def s(e, f):
    while True:
        for x in m.handle(e, time.ticks_ms() + 3600000 * len(t)):
            n = type(x).__name__
            if n == "Transmit":
                e = ("sent", 0)
            elif n == "Listen":
                e = ("heard", f, 7) if f else ("closed",)
            elif n == "Done":
                return x.outcome
t = []
if r:
    o = s(("send", 10, b"0123456789", False), None)
else:
    from lorawan.crypto import Key
    k = bytes.fromhex(k)
    f = b"\\1\\0\\0\\x13\\0\\0\\1\\2\\3\\4\\0\\1" + bytes(16)
    f = b"\\x20" + cryptolib.aes(k, 1).decrypt(f + Key(k).cmac(b"\\x20" + f)[:4])
    o = s(("join",), f)
    f = k = Key = None
assert m.joined and not o.reason, o.reason
o = None
print(a() - b)
if not r:
    with open(p + "/session", "wb") as f:
        f.write(m.session())
else:
    for i in range(200):
        t.append(time.ticks_us())
        s(("send", 10, bytes(20), False), None)
        t[i] = time.ticks_diff(time.ticks_us(), t[i])
    t.sort()
    print(t[100])
"""


def compiled(folder: Path) -> dict[str, int]:
    """The stack and the radio as .mpy under `folder`, for `board`: file -> bytes."""
    sizes = {}
    for room in ("lorawan", "radio"):
        (folder / FLASH / room).mkdir(parents=True)
        for source in sorted((places.ROOT / "firmware" / room).glob("*.py")):
            name = f"{room}/{source.name}"
            code = compile_source(source, name)
            (folder / FLASH / name).with_suffix(".mpy").write_bytes(code)
            sizes[name[:-3]] = len(code)
    return sizes


def board(folder: Path, record: str = "", driver: str = "") -> list[str]:
    """What the board's script prints: heap in bytes and, with a record, the median CPU time of an uplink in us."""
    script = f"{FLASH}/board.py"
    (folder / script).write_text(_BOARD, encoding="utf-8")
    command = [str(places.MICROPYTHON), "-X", "heapsize=160K", script, FLASH, record, driver]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        sys.exit(f"bench-firmware: the board's script ended: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    return done.stdout.split()


def scenarios(folder: Path) -> tuple[int, int]:
    """Certification scenarios (docs/lorawan.md): passed, in all."""
    report = folder / "scenarios.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", str(SCENARIOS)],
        cwd=places.ROOT,
        stdout=sys.stderr,
        check=False,
    )
    suite = ET.parse(report).getroot()[0]  # noqa: S314  # written by the run above
    total, bad = int(suite.get("tests", 0)), sum(int(suite.get(k, 0)) for k in ("failures", "errors", "skipped"))
    return total - bad, total


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = compiled(folder)
        stack = sum(size for file, size in sizes.items() if file.startswith("lorawan/"))
        shared = sum(sizes[f"radio/{file}"] for file in ("__init__", "trait", "runner"))
        (after_join,) = board(folder)
        woken, cpu_us = board(folder, "session")
        with_radio = {driver: int(board(folder, "session", driver)[0]) for driver in DRIVERS[:2]}
        print("measuring wakes over a virtual day", file=sys.stderr)
        wakes = wake_to_transmission_ms(folder / "wake")
        passed, total = scenarios(folder)
    print(
        f".mpy: lorawan/ {stack} bytes; radio/ {shared} and a driver: "
        + ", ".join(f"{driver} {sizes[f'radio/{driver}']}" for driver in DRIVERS)
    )
    print(
        f"heap with a session, lorawan/ alone: {woken} bytes after a wake and an uplink, {after_join} in the wake that joined"
    )
    print("heap after a wake and an uplink, with radio/: " + ", ".join(f"{d} {size}" for d, size in with_radio.items()))
    print(f"CPU of one uplink of 20 bytes with both windows, this machine: {int(cpu_us) / 1000} ms")
    print(
        f"wake to transmission, model time over {len(wakes)} wakes: median {median(wakes)} ms, at most {max(wakes)} ms"
    )
    print(f"scenarios: {passed} of {total}")
    figures = {
        "stack_mpy_bytes": stack,
        "stack_and_radio_mpy_bytes": stack + shared + sizes["radio/sx126x"],
        "heap_bytes": int(woken),
        "heap_after_join_bytes": int(after_join),
        "heap_with_radio_bytes": with_radio["sx126x"],
        "uplink_cpu_ms": int(cpu_us) / 1000,
        "wake_to_tx_ms": median(wakes),
        "scenarios_passed": passed,
        "scenarios_total": total,
    }
    print(json.dumps(figures))
    if passed < total:
        sys.exit(f"bench-firmware: {total - passed} of {total} scenarios failed")


if __name__ == "__main__":
    main()
