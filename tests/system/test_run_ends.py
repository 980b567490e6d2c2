"""How `make run` ends when it should not go on: a server that dies, a damaged or future world's file, Ctrl-C before the first step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.devnet.publisher import PublishError
from tools.run.settle import Interrupted, Settling, Stop, Unsettled
from tools.run.state import Var, World
from tools.setup.say import Problem

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3_600 * 10**9


class Run:
    """One `python -m tools.run`, read line by line."""

    def __init__(self, folder, *before):
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "tools.run", "--var", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def hear(self, words):
        """Reads on to the line with these words."""
        for line in self.process.stdout:
            if words in line:
                return line
        pytest.fail(f"it ended without saying {words!r}")

    def end(self):
        with self.process.stdout as out:
            rest = out.read()
        return self.process.wait(30), rest.strip().splitlines()


def pid_of(word):
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if word in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode():
                    return int(entry.name)
            except OSError:
                continue
    pytest.fail(f"no process with {word}")


def test_what_a_run_leaves_when_it_is_cut_short(tmp_path):
    folder = tmp_path / "var"
    run = Run(folder)
    try:
        # Ctrl-C before the world's first step: the next run is still the first and has its two days of past.
        run.hear("the gateway is ready")
        run.process.send_signal(signal.SIGINT)
        code, said = run.end()
        assert code == 0
        assert said[-1] == "stopped"

        # A server that dies while the world catches up is named within a second or two, not after settling's patience.
        run = Run(folder)
        run.hear("two days pass")
        world = folder / "world.json"
        while json.loads(world.read_text())["until"] == json.loads(world.read_text())["since"]:
            time.sleep(0.02)
        os.kill(pid_of(str(folder / "mosquitto" / "mosquitto.conf")), signal.SIGKILL)
        since = time.monotonic()
        code, said = run.end()
        assert code == 1
        assert said[-1].startswith("make run: mosquitto: it ended by itself")
        assert time.monotonic() - since < 10

        # The machine's clock lies an hour before the world: it says so, waits, and does not go back.
        lived = json.loads(world.read_text())
        lived["until"] = time.time_ns() + HOUR
        world.write_text(json.dumps(lived))
        run = Run(folder)
        assert "ahead of this machine's clock" in run.hear("the world has lived to")
        run.process.send_signal(signal.SIGINT)
        code, said = run.end()
        assert code == 0
        assert json.loads(world.read_text()) == lived
    finally:
        run.process.kill()
        run.process.wait()
        run.process.stdout.close()


def test_after_a_full_disk_the_next_run_goes_on(tmp_path):
    folder = tmp_path / "var"
    # No file above 1.5 MB: a board's flash does not fit, all before it does.
    run = Run(folder, "prlimit", "--fsize=1500000")
    try:
        run.hear("the gateway is ready")
        code, said = run.end()
        assert code == 1
        assert said[-1] == f"make run: {folder}: File too large; mend that and run it again"
        run = Run(folder)
        run.hear("two days pass")
        world = folder / "world.json"
        lived = json.loads(world.read_text())
        while run.process.poll() is None and json.loads(world.read_text())["until"] < lived["since"] + HOUR:
            time.sleep(0.02)
        run.process.send_signal(signal.SIGINT)
        code, said = run.end()
        assert code == 0, said
    finally:
        run.process.kill()
        run.process.wait()
        run.process.stdout.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ('{"seed": 1, "since": 2', "not JSON"),
        ("[1]", "not an object"),
        ("{}", "whole numbers"),
        ('{"seed": 1, "since": 5, "until": null}', "whole numbers"),
        ('{"seed": "x", "since": 5, "until": 6}', "whole numbers"),
        ('{"seed": 1, "since": 5, "until": true}', "whole numbers"),
        ('{"seed": 1, "since": 5, "until": 6, "more": 1}', "whole numbers"),
    ],
)
def test_a_damaged_world_file_is_one_sentence(tmp_path, text, why):
    (tmp_path / "world.json").write_text(text)
    with pytest.raises(Problem, match=rf"world\.json: .*{why}.*begin anew"):
        Var(tmp_path).read_world()


def test_a_world_file_reads_as_written(tmp_path):
    var = Var(tmp_path)
    assert var.read_world() is None
    var.write_world(World(1, 2, 3))
    assert var.read_world() == World(1, 2, 3)


class Silent:
    """A publisher whose broker never answers."""

    published = 3

    def wait_acknowledged(self, timeout_s):
        time.sleep(timeout_s)
        raise PublishError("the broker has not acknowledged")


class Served:
    """A publisher whose broker has everything; one more event since the settling began."""

    published = 0

    def wait_acknowledged(self, timeout_s):
        pass


def nobody(publisher, patience, **options):
    settling = Settling(publisher, "http://127.0.0.1:9/metrics", patience, **options)
    publisher.published += 1
    return settling


def test_settling_is_given_up_in_bounded_time():
    for publisher, error, says in ((Silent(), PublishError, "not acknowledged"), (Served(), Unsettled, "1 events")):
        settling = nobody(publisher, 1.2)
        began = time.monotonic()
        with pytest.raises(error, match=says):
            settling.settle()
        assert 1.0 < time.monotonic() - began < 5


def test_a_stop_waits_for_what_must_become_whole():
    stop, done = Stop(), []

    def building():
        with stop.hold():
            stop.ask(gently=False)
            stop.ask(gently=False)
            done.append("built")
        done.append("went on")

    with pytest.raises(Interrupted):
        building()
    assert done == ["built"]
    with pytest.raises(Interrupted):  # outside it a stop comes at once; where it is gentle, the second one
        stop.ask(gently=True)
    Stop().ask(gently=True)


@pytest.mark.parametrize("publisher", [Silent(), Served()])
def test_settling_ends_at_once_when_a_server_has_ended_or_when_stopped(publisher):
    began = time.monotonic()
    settling = nobody(publisher, 60, ended=lambda: Problem("influxd: it ended by itself"))
    with pytest.raises(Problem, match="influxd"):
        settling.settle()
    stopping = Stop()
    stopping.asked = True
    nobody(publisher, 60, stopping=stopping).settle()
    assert time.monotonic() - began < 5
