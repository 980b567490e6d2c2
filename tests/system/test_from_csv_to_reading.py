"""A technician's day: a line of a CSV, `vigie-node provision`, `vigie-node flash` over the cable of a board with nothing but
MicroPython, the join, and the meter's count in InfluxDB, by the real commands, gateway, Mosquitto and InfluxDB."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chirpstack_api import api

from tools.run.chain import Chain, Ports
from tools.run.state import Var
from tools.technician.chirpstack import Api
from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import build_image, read_image
from tools.world.city import HOUR, City
from tools.world.sites import Site

ROOT = Path(__file__).resolve().parents[2]
SEED = 7
SPEED = 20
PREFIX = "70b3d5f0a1"


def command(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
        **options,
    )


def spoken(*words):
    """The command as it goes on, both its outputs in one."""
    return subprocess.Popen(
        [sys.executable, "-um", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def api_key(address, path):
    connection = Api(address)
    connection.login("admin", "admin")
    request = api.CreateApiKeyRequest(api_key={"name": "technician", "is_admin": True})
    made = connection.call(api.InternalServiceStub(connection.channel).CreateApiKey, request)
    path.write_text(made.token)
    path.chmod(0o600)
    connection.close()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    var = Var(tmp_path_factory.mktemp("csv") / "var")
    var.lock()
    with Chain(var, Ports(), say=lambda _text: None) as made:
        made.start_servers()
        made.start_network(SEED)
        made.start_gateway()
        made.devnet.paced = True
        yield made


def test_from_a_csv_line_to_a_reading(chain, tmp_path):
    listing, keys, token = tmp_path / "devices.csv", tmp_path / "keys.csv", tmp_path / "token"
    api_key(chain.api_address, token)
    listing.write_text("kind,site,district\nmeter,S-0042,gare\n")
    words = ("tools.technician", "provision", listing, "--api", chain.api_address, "--token-file", token)
    done = command(*words, "--keys", keys, "--dev-eui-prefix", PREFIX)
    assert (done.returncode, done.stderr) == (0, "")
    with keys.open() as file:
        (device,) = csv.DictReader(file)

    folder = tmp_path / "boards"
    dev_eui, start = device["dev_eui"], time.time_ns() - HOUR
    build_image(folder / dev_eui / "flash.img", {"boot.py": b"# as the port makes it\n"})
    with City(folder, SEED, start, chain.devnet) as city:
        # The board as it is soldered; it knows nothing of its DevEUI and key but what comes by the cable.
        city.place([Site(1, "meter", dev_eui, "")], start)
        board = city.boards[1]
        with Live(city.clock, SPEED) as live:
            cable = live.do(lambda: Cable(board, city.clock))
            live.do(board.power_on)
            flash = (
                "tools.technician",
                "flash",
                cable.port,
                "--board",
                "bare_s3",
                "--dev-eui",
                dev_eui,
                "--keys",
                keys,
            )
            began = time.monotonic()
            done = command(*flash)
            print(f"flash and join: {time.monotonic() - began:.1f} s")
            assert done.returncode == 0, done.stdout + done.stderr
            told = done.stdout.splitlines()
            assert "board: virtual ESP32S3, MicroPython 1.25.0" in told and "  vigie: joined" in told
            assert told[-1].startswith(f"meter {dev_eui}: joined after ")
            assert device["app_key"] not in done.stdout + done.stderr

            rows = reading(chain, dev_eui)
            assert rows[0]["dev_eui"] == dev_eui and rows[0]["epoch"] == 1 and rows[0]["count"] >= 0

            # Once more, at work: nothing is copied, its records stay, it goes on with the session that it has.
            records = live.do(lambda: kept(board))
            said = []
            with spoken(*flash) as process:
                for line in process.stdout:
                    said.append(line)
                    if "press its reset button" in line:
                        live.do(board.power_cut)
                        live.do(board.power_on)
            text = "".join(said)
            assert process.returncode == 0, text
            assert " 0 to copy, 0 to remove" in text
            assert "heard by the network, with the session that it had" in text
            assert set(live.do(lambda: kept(board))) >= set(records) >= {"keep/nonce", "keep/session", "keep/count"}
            assert live.do(lambda: kept(board))["keep/nonce"] == records["keep/nonce"]  # no second join
            cable.close()


def kept(board):
    files = read_image(board.flash.contents())
    return {name: content for name, content in files.items() if name.startswith("keep/") and "." not in name}


def reading(chain, dev_eui):
    """The meter's first count in InfluxDB, as an analyst reads it."""
    limit = time.monotonic() + 30
    while True:
        done = command("vigie", "--settings", chain.var.settings_file, "query", "meter", dev_eui, "--json")
        assert done.returncode == 0, done.stderr
        if rows := json.loads(done.stdout):
            return rows
        assert time.monotonic() < limit, "no reading came"
        time.sleep(0.2)
