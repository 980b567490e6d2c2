"""`make run` as a person uses it: a first run from the past, a second one, one after kill -9; `make status`; what is printed."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."


class Run:
    """One `python -m tools.run` on a folder of the test's."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.log = folder.parent / f"run-{time.monotonic_ns()}.txt"
        self.started = time.monotonic()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.run", "--var", str(folder), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,
            )

    def said(self):
        return self.log.read_text()

    def await_ready(self, seconds):
        while READY not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - self.started < seconds, self.said()
            time.sleep(0.05)
        return time.monotonic() - self.started

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()


def status(folder):
    told = subprocess.run(
        [sys.executable, "-m", "tools.run.status", "--var", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return told.returncode, told.stdout, told.stderr


def processes(folder):
    """Processes that have a file of the folder on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line and int(entry.name) != os.getpid():
                found.append(line)
    return found


def none_left(folder, seconds=10):
    until = time.monotonic() + seconds
    while processes(folder) and time.monotonic() < until:
        time.sleep(0.05)
    return processes(folder) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("run") / "var"
    yield made
    for line in processes(made):
        pytest.fail(f"left running: {line}")


@pytest.fixture(scope="module")
def first(folder):
    """What the first run said, showed and left."""
    run = Run(folder)
    try:
        seconds = run.await_ready(400)
        code, line, _ = status(folder)
        said = run.said()
        answers = [
            subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
            for command in commands(said)
        ]
        seen = {kind: query(folder, f"{kind} --all --since 3d --json") for kind in ("meter", "bin", "air", "nodes")}
        ended = run.interrupt()
    finally:
        run.kill()
    return {
        "seconds": seconds,
        "status": (code, line),
        "said": said,
        "answers": answers,
        "seen": seen,
        "ended": ended,
        "all": run.said(),
    }


def commands(said):
    # The environment's own vigie instead of .venv/bin: the tests may run in another one.
    found = re.findall(r"^  (\S+/vigie) (--settings \S+ query .*)$", said, re.MULTILINE)
    return [f"{sys.executable} -m vigie {rest}" for _program, rest in found]


def test_first_run_reaches_the_present(first):
    assert first["seconds"] < 400
    print(f"first run: ready after {first['seconds']:.0f} s")


def test_status_is_one_json_line(first):
    code, line = first["status"]
    assert code == 0
    assert line.count("\n") == 1
    told = json.loads(line)
    assert set(told) == {"services", "boards", "joined", "world_time", "lag_s", "points", "dead_letters"}
    assert set(told["services"].values()) == {"up"}
    assert told["boards"] == told["joined"] == 6
    assert told["points"]["meter"] >= 4
    assert told["points"]["bin"] >= 80
    assert told["points"]["air"] >= 350
    assert told["dead_letters"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["world_time"])
    assert told["lag_s"] < 5


def test_three_lines_that_work_when_pasted(first):
    assert len(first["answers"]) == 3
    for answer in first["answers"]:
        assert answer.returncode == 0, answer.stderr
        assert len(answer.stdout.splitlines()) > 3, answer.stdout


def test_a_city_sees_midnights_and_the_leak_at_once(first):
    meters = {row["dev_eui"] for row in first["seen"]["nodes"] if row["kind"] == "meter"}
    assert len(meters) == 2
    midnights = {row["dev_eui"] for row in first["seen"]["meter"] if row["time"].endswith("T00:00:00Z")}
    assert midnights == meters
    assert [row["kind"] for row in first["seen"]["nodes"] if row.get("leak")] == ["meter"]


def test_a_city_sees_a_bin_that_filled_and_was_emptied(first):
    emptied = filled = 0
    for dev_eui in {row["dev_eui"] for row in first["seen"]["bin"]}:
        levels = [row["distance"] for row in first["seen"]["bin"] if row["dev_eui"] == dev_eui and "distance" in row]
        steps = [later - earlier for earlier, later in itertools.pairwise(levels)]
        emptied += sum(step > 300 for step in steps)
        filled += sum(step < 0 for step in steps)
    assert emptied
    assert filled > 40


def test_a_city_sees_an_evening_of_bad_air(first):
    bad = [row["time"] for row in first["seen"]["air"] if row.get("pm25", 0) > 55]
    assert len(bad) > 20
    assert {int(when[11:13]) for when in bad} == {17, 18, 19, 20, 21}


def test_interrupt_ends_it_all(first, folder):
    assert first["ended"] == 0
    assert none_left(folder)
    code, line, error = status(folder)
    assert (code, line) == (1, "")
    assert error.count("\n") == 1
    assert "make run" in error


def test_second_run_keeps_all_and_reports_the_power_loss(first, folder):
    run = Run(folder)
    try:
        seconds = run.await_ready(60)
        print(f"second run: ready after {seconds:.1f} s")
        assert seconds < 15
        told = json.loads(status(folder)[1])
        before = json.loads(first["status"][1])
        assert all(told["points"][kind] >= before["points"][kind] for kind in told["points"])
        assert told["joined"] == 6
        # The first run ended seconds ago and world time never goes back: the boards boot before our eyes.
        # An exchange that was lost comes again after one or two minutes, and then after four or eight.
        until = time.monotonic() + 400
        while (told := second_starts(folder)) != STARTED_TWICE and time.monotonic() < until:
            time.sleep(1)
        assert told == STARTED_TWICE
        assert {node["kind"] for node in query(folder, "nodes --json")} == {"meter", "bin", "air"}
        # kill -9: nobody of the family stays, and the third run is up as quickly.
        run.kill()
        assert none_left(folder)
    finally:
        run.kill()
    third = Run(folder)
    try:
        assert third.await_ready(60) < 15
        assert third.interrupt() == 0
    finally:
        third.kill()
    assert none_left(folder)


STARTED_TWICE = {"air": [2, 2], "bin": [2, 2], "meter": [2, 2], "meters with a second count epoch": 2}


def second_starts(folder):
    """How many starts the boards of each kind have told of, and how many meters of a second count epoch."""
    told = {"air": [], "bin": [], "meter": []}
    for node in query(folder, "nodes --json"):
        told[node["kind"]].append(node["boots"])
    second = {row["dev_eui"] for row in query(folder, "meter --all --since 1h --json") if row["epoch"] == 2}
    return {**told, "meters with a second count epoch": len(second)}


def query(folder, words):
    told = subprocess.run(
        [sys.executable, "-m", "vigie", "--settings", str(folder / "vigie.toml"), "query", *words.split()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def run_to_end(folder, *words):
    run = Run(folder, *words)
    code = run.process.wait(60)
    said = run.said()
    assert said.count("Traceback") == 0
    return code, said.strip().splitlines()


def test_a_second_run_beside_the_first_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    from tools.run.state import Var

    held = Var(tmp_path / "var")
    held.lock()
    code, said = run_to_end(tmp_path / "var")
    assert code == 1
    assert "a run is under way there" in said[-1]


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = run_to_end(tmp_path / "var", "--port", f"mqtt={port}")
    assert code == 1
    assert f"port {port}" in said[-1]
    assert said[-1].startswith("make run: mosquitto")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--boards", "many"), "BOARDS=many: give a number from 1 to 500"),
        (("--boards", "0"), "BOARDS=0: give a number from 1 to 500"),
        (("--port", "mqtt"), "port mqtt: give NAME=NUMBER"),
        (("--port", "ftp=21"), "port ftp=21: give NAME=NUMBER"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, words, text):
    code, said = run_to_end(tmp_path / "var", *words)
    assert code == 1
    assert len(said) == 1
    assert text in said[0]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    code, said = run_to_end(tmp_path / "file")
    assert code == 1
    assert len(said) == 1
    assert "File exists" in said[0]
