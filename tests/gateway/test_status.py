"""`vigie status`: the gateway as it runs, as it fails and as it is gone, on one screen and as JSON."""

import json
import sqlite3
import time

from vigie.cli_status import Status, screen

from tests.gateway.support import Gateway, Publisher, meter_frame, uplink, wait_until

NOON = int(time.time()) // 86_400 * 86_400 - 43_200
DEV_EUI = "00000000000000c0"


def told(gateway: Gateway, *words: str) -> tuple[int, dict]:
    answer = gateway.vigie("status", "--json", *words)
    assert answer.stderr == ""
    return answer.returncode, json.loads(answer.stdout)


def test_running_failing_and_gone(gateway: Gateway, publisher: Publisher):
    # nothing has run yet, and the look makes no spool
    code, found = told(gateway)
    assert (code, found["state"], found["dead"], found["last_event"]) == (1, "down", None, None)
    assert "is not there yet" in found["spool_trouble"]
    assert [text.split(":")[0] for text in found["troubles"]] == ["the gateway does not run"]
    assert not (gateway.folder / "spool.sqlite").exists()

    gateway.start()
    publisher.send(*uplink(1, meter_frame(NOON, 100), dev_eui=DEV_EUI, at=NOON))
    for number in range(2, 5):
        publisher.send(*uplink(number, b"\x01", dev_eui=DEV_EUI, port=51, at=NOON))
    publisher.send("application/a/device/b/event/up", b"{")
    publisher.flush()
    gateway.settled(5)
    code, found = told(gateway)
    assert (code, found["state"], found["connected"], found["troubles"]) == (0, "ready", True, [])
    assert (found["waiting"], found["dead"], sum(found["dead_reasons"].values())) == (0, 4, 4)
    assert list(found["dead_reasons"].values()) == [3, 1]
    assert found["last_event_age_s"] < 60
    assert found["influxdb_reachable"]
    assert "version v2.7" in found["influxdb"]
    assert found["versions"]["running"] == found["versions"]["vigie"]
    assert 0 < found["disk_free_bytes"] < found["disk_bytes"]
    assert 0 < found["spool_bytes"] < found["spool_max_bytes"]
    assert found["uptime_s"] > 0

    shown = gateway.vigie("status")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 160
    assert lines[0].startswith("gateway     running, ready, for ")
    for words in (
        "broker      subscribed",
        "4 dead letters; `vigie dead list` has them",
        "3  fPort 51 is none",
        "versions    vigie 0.",
    ):
        assert words in shown.stdout

    gateway.kill()  # a spool without its gateway still tells
    gateway.extra = {"VIGIE_INFLUXDB__URL": "http://127.0.0.1:9"}
    code, found = told(gateway)
    assert (code, found["state"], found["dead"], found["connected"]) == (1, "down", 4, None)
    assert found["last_event"] is not None
    assert len(found["troubles"]) == 2
    assert "does not run: start it" in found["troubles"][0]
    assert "127.0.0.1:9" in found["troubles"][1]


def test_a_gateway_without_its_broker_is_not_ready_and_one_without_its_port_is_silent(gateway: Gateway, broker):
    gateway.start()
    broker.stop()
    wait_until(lambda: gateway.page("/readyz")[0] == 503, "it says that the broker is gone")
    code, found = told(gateway)
    assert (code, found["state"], found["connected"]) == (1, "not ready", False)
    assert found["troubles"] == [found["detail"]]
    assert found["detail"].startswith("broker: 127.0.0.1")
    gateway.extra = {"VIGIE_HTTP__PORT": "0"}  # this look cannot know the port
    code, found = told(gateway)
    assert (code, found["state"], found["pid"]) == (1, "silent", str(gateway.process.pid))
    assert f"process {gateway.process.pid} has the spool" in found["troubles"][0]


def test_a_file_that_is_no_spool_is_named_and_the_rest_is_shown(gateway: Gateway):
    (gateway.folder / "spool.sqlite").write_bytes(b"not a database" * 100)
    code, found = told(gateway)
    assert code == 1
    assert "spool.sqlite" in found["spool_trouble"]
    assert found["influxdb_reachable"]
    newer = gateway.folder / "newer.sqlite"
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    gateway.extra = {"VIGIE_SPOOL__PATH": str(newer)}
    code, found = told(gateway)
    assert (code, "its schema is version 99" in found["spool_trouble"]) == (1, True)


def test_many_reasons_and_long_ones_stay_on_one_screen():
    reasons = {f"reason {number} {'x' * 300}": 20 - number for number in range(12)}
    status = Status(
        "ready", dead=sum(reasons.values()), dead_reasons=reasons, waiting=1, oldest_age_s=1000.0, spool="s"
    )
    lines = screen(status)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 110
    assert f"{sum(list(reasons.values())[5:]):>6}  of 7 more reasons" in "\n".join(lines)
    assert "the oldest for 17 min" in lines[3]
