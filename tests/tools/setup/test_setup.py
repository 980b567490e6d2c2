"""What set-up decides and says, without installing anything."""

import subprocess
import sys
import time

import pytest

from tools.setup import browser, debian, environment, influxdb, micropython, nodejs, places
from tools.setup.say import Problem, Progress, run


def test_nothing_missing_takes_under_half_a_second():
    command = [sys.executable, "-m", "tools.setup"]
    best = float("inf")
    for _ in range(3):  # the best of three, since other tests' processes may hold the processors
        started = time.monotonic()
        told = subprocess.run(command, cwd=places.ROOT, capture_output=True, text=True, check=False)
        best = min(best, time.monotonic() - started)
        assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert best < 0.5


def test_everything_is_there():
    assert environment.step() is None
    assert micropython.step() is None
    assert nodejs.step() is None
    assert influxdb.step() is None
    assert browser.missing() == []


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("tar: x: Cannot write: No space left on device", "the disk is full"),
        ("Temporary failure resolving 'mirror'", "cannot be reached"),
        ("dial tcp: lookup proxy: no such host", "cannot be reached"),
        ("npm error code EAI_AGAIN", "cannot be reached"),
        ("E: Could not get lock /var/lib/dpkg/lock", "another package manager"),
        ("mkdir: cannot create directory: Permission denied", "permission is missing"),
        ("first\nsomething else\n\n", "it says: something else"),
    ],
)
def test_a_failed_program_becomes_one_sentence_with_a_cure(tmp_path, monkeypatch, printed, said):
    monkeypatch.setattr(places, "LOGS", tmp_path)
    code = f"import sys; sys.stdout.write({printed!r}); sys.exit(3)"
    with pytest.raises(Problem) as caught:
        run([sys.executable, "-c", code], Progress("Trial"))
    assert said in str(caught.value)
    assert str(caught.value).startswith("Trial: ")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "trial.log") in str(caught.value)


def test_a_program_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "LOGS", tmp_path)
    with pytest.raises(Problem, match="Trial: cannot start no-such-program"):
        run(["no-such-program"], Progress("Trial"))


def test_an_old_cargo_is_named_with_the_command_that_brings_a_newer(tmp_path, monkeypatch):
    cargo = tmp_path / "cargo"
    cargo.write_text("#!/bin/sh\necho cargo 1.63.0\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Problem, match=r"1\.72 or newer, .*cargo is 1\.63; bring it with: apt-get install"):
        influxdb._cargo(Progress("InfluxDB"))


def test_a_configured_server_needs_no_influxd(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.delenv("VIGIE_SETTINGS", raising=False)
    monkeypatch.delenv("VIGIE_INFLUXDB__URL", raising=False)
    assert not influxdb._configured()
    (tmp_path / "vigie.toml").write_text('[influxdb]\nurl = "http://db.example:8086"\n')
    assert influxdb._configured()
    (tmp_path / "vigie.toml").unlink()
    monkeypatch.setenv("VIGIE_INFLUXDB__URL", "http://db.example:8086")
    assert influxdb._configured()


DEB822 = """Types: deb
# a comment with a host
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
ONE_LINE = """deb http://mirror.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib
"""


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("sources.list.d/debian.sources", DEB822, "/usr/share/keyrings/debian-archive-keyring.gpg"),
        ("sources.list", ONE_LINE, "/k.gpg"),
    ],
)
def test_the_newer_suite_comes_from_the_machines_own_mirror(tmp_path, name, text, key):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    stanza = debian._own_source(tmp_path)
    assert "URIs: http://mirror.example/debian\n" in stanza
    assert f"Suites: {debian.SUITE}\n" in stanza
    assert f"Signed-By: {key}\n" in stanza


def test_no_debian_mirror_is_a_problem_with_its_place(tmp_path):
    with pytest.raises(Problem, match=r"no Debian mirror in .*sources\.list"):
        debian._own_source(tmp_path)


def test_a_link_is_replaced_in_one_step(tmp_path):
    for target in ("one", "two"):
        (tmp_path / target).write_text(target)
        places.link(tmp_path / "bin" / "name", tmp_path / target)
        assert (tmp_path / "bin" / "name").read_text() == target
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["name"]
