"""What set-up tells a person: one line for a problem, and a sign of life from every step over two seconds."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import places

TICK_S = 0.2
FIRST_SIGN_S = 2.0
# Without a terminal each sign of life is a line of its own, so they come seldom.
PLAIN_SIGN_S = 20.0
TAIL_BYTES = 4000


class Problem(Exception):
    """What is wrong, where, and what to do about it: one sentence, shown as it is."""


# What a failed program prints, and the sentence it deserves; the first match counts.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"no space left on device", "the disk is full: make room and run it again"),
    (
        (
            r"temporary failure (in name resolution|resolving)|could not resolve|network is unreachable"
            r"|no route to host|failed to establish a new connection|dial tcp|could not connect"
            r"|no matching distribution|spurious network error|enotfound|eai_again"
        ),
        "the package registries cannot be reached: check the network (or the proxy settings) and run it again",
    ),
    (r"could not (get|open) lock", "another package manager is at work: wait for it and run it again"),
    (r"permission denied|are you root", "permission is missing there: run it as the folder's owner, or with sudo"),
    (r"read-only file system", "the folder is on a read-only file system: work in a writable copy"),
)


def line(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def last_line(log: Path) -> str:
    """The last line of a log that says anything, as a person would see it."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    for row in reversed(re.split(r"[\r\n]+", text)):
        if row.strip():
            return row.strip()
    return ""


def _cause(log: Path) -> str:
    """Our sentence for the failure in this log, or the program's own last line where we have none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        tail = file.read().decode(errors="replace")
    for pattern, sentence in _CAUSES:
        if re.search(pattern, tail, re.IGNORECASE):
            return sentence
    return f"it says: {last_line(log)[:200]}"


class Progress:
    """One step's sign of life: a line that is rewritten on a terminal, a few plain lines elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self._next = FIRST_SIGN_S
        self._live = sys.stdout.isatty()

    def sign(self, detail: str) -> None:
        """Show that the step goes on, if it is time to."""
        elapsed = time.monotonic() - self.started
        if elapsed < self._next:
            return
        text = f"  {self.title}: {elapsed:.0f} s  {detail}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write("\r\x1b[K" + text[:width])
            sys.stdout.flush()
            self._next = elapsed + TICK_S
        else:
            line(text[:160])
            self._next = elapsed + PLAIN_SIGN_S

    def clear(self) -> None:
        """Take the rewritten line away, so that what follows stands alone."""
        if self._live:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def run(
    argv: Sequence[str | Path],
    progress: Progress,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    lock: int | None = None,
) -> None:
    """Run one program, its output in a log, its last line on the screen; a failure becomes one sentence.

    `lock` is handed down: should set-up itself be killed, the next one waits until this program has ended,
    instead of working in the same folder beside it.
    """
    places.LOGS.mkdir(parents=True, exist_ok=True)
    log = places.LOGS / f"{progress.title.split()[0].lower()}.log"
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(map(str, argv))}\n".encode())
        out.flush()
        try:
            child = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                pass_fds=() if lock is None else (lock,),
                # A group of its own, so that an interruption ends all of it; not for sudo, which needs the terminal.
                process_group=None if lock is None else 0,
            )
        except OSError as error:
            raise Problem(f"{progress.title}: cannot start {argv[0]}: {error.strerror}") from error
        try:
            while child.poll() is None:
                progress.sign(last_line(log))
                time.sleep(TICK_S if time.monotonic() - progress.started > 1 else 0.01)
        except BaseException:
            if lock is None:
                child.terminate()
            else:
                os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            raise
        finally:
            progress.clear()
    if child.returncode != 0:
        raise Problem(f"{progress.title}: {_cause(log)} (everything it printed: {places.short(log)})")
