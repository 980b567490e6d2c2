"""The gateway stops when it is told to, however often it is told."""

import subprocess
import sys
from pathlib import Path

from tests.gateway.support import wait_until

# As `make run` starts the gateway: by a process of many threads. When that is killed, the kernel hands the child from thread to
# thread and sends the death signal (prctl(2), PR_SET_PDEATHSIG) each time: a burst of SIGTERM, one in the midst of the other.
PARENT = """
import subprocess, sys, threading, time
child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
for _ in range(20):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
from queue import SimpleQueue
from vigie.service import stop_on_signals
over = SimpleQueue()
stop_on_signals(over)
print("waiting", flush=True)
over.get()
"""


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second: between opening and reading
        return True


def burst() -> int:
    """Starts a process that waits for its stop signals, kills its parent and returns its id."""
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    return pid


def test_a_burst_of_signals_is_a_stop():
    for pid in [burst() for _ in range(4)]:
        wait_until(lambda pid=pid: ended(pid), f"process {pid} goes on after its signals", 10)
