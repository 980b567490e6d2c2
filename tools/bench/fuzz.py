"""`make fuzz`: downlinks of every kind to the LoRaWAN stack inside MicroPython, one process a core, for as long or as many as asked.

The same rounds as the tests' (tests/firmware/lorawan/fuzz_mac.py), with a new seed each time. The first fault ends it, with the seed, the
round and the frame. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from ..setup import places

ROUNDS = places.ROOT / "tests" / "firmware" / "lorawan" / "fuzz_rounds.py"
HEAP_KB = 160  # as the firmware's tests have it
TELL_S = 10


class Worker:
    """One process, read by a thread of its own; `figures` is what it said last, `words` what it said that is no figure."""

    def __init__(self, seed: int, first: int, step: int, seconds: int, count: int) -> None:
        self.figures = {"rounds": 0, "downlinks": 0, "taken": 0, "join_requests": 0}
        self.words: list[str] = []
        where = ":".join((".frozen", str(places.ROOT / "firmware"), str(ROUNDS.parent)))
        command: list[str | Path] = [places.MICROPYTHON, "-X", f"heapsize={HEAP_KB}K", ROUNDS]
        self.process = subprocess.Popen(
            [*command, *(str(each) for each in (seed, first, step, seconds, count))],
            env={**os.environ, "MICROPYPATH": where},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = self.process.stdout or io.StringIO()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._said:
            for line in self._said:
                if line.startswith("{"):
                    self.figures = json.loads(line)
                else:
                    self.words.append(line.rstrip())

    def end(self) -> int:
        """Its exit code, once all it said has been read; a process that still runs is stopped."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait()
        self._reader.join()
        return code


def total(workers: list[Worker]) -> dict[str, int]:
    """The figures of all of them."""
    return {name: sum(worker.figures[name] for worker in workers) for name in workers[0].figures}


def fuzz(seconds: int, count: int, seed: int, only: int | None = None) -> int:
    """Run it, or one round only; 0, or 1 where a device did what it must not."""
    cores = (os.cpu_count() or 1) if only is None else 1
    began = time.monotonic()
    most = f"{count:,} downlinks" if count else "as many downlinks as there is time for"
    print(f"fuzz: seed {seed}, {cores} processes, {seconds} s at most, {most}", flush=True)
    if only is None:
        workers = [Worker(seed, i, cores, seconds, -(-count // cores)) for i in range(cores)]
    else:
        workers = [Worker(seed, only, 1, 0, 0)]
    interrupted = False
    try:
        told = began
        while all(worker.process.poll() in {None, 0} for worker in workers) and any(
            worker.process.poll() is None for worker in workers
        ):
            time.sleep(0.2)
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                print(f"fuzz: {told - began:.0f} s, {total(workers)['downlinks']:,} downlinks", flush=True)
    except KeyboardInterrupt:
        interrupted = True
    failed = [worker for worker in workers if worker.process.poll() not in {None, 0}]
    codes = [worker.end() for worker in workers]
    if failed and not interrupted:
        print(*failed[0].words, sep="\n")
        print(
            f"fuzz: a process ended with {failed[0].process.returncode}; SEED and ROUND above have its last round again"
        )
    passed = interrupted or not any(codes)
    said = {"seed": seed, "seconds": round(time.monotonic() - began), **total(workers), "passed": passed}
    print(json.dumps(said), flush=True)
    return 0 if passed else 1


def natural(text: str) -> int:
    """A whole number of the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(text)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=natural, default=60)
    parser.add_argument("--count", type=natural, default=0, help="downlinks in all; 0: as many as there is time for")
    parser.add_argument("--seed", type=natural, default=int(time.time()) & 0xFFFF)
    parser.add_argument("--round", type=natural, help="this round only, as a fault named it")
    asked = parser.parse_args()
    return fuzz(asked.seconds, asked.count, asked.seed, asked.round)


if __name__ == "__main__":
    sys.exit(main())
