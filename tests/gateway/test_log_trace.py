"""One event followed by its number, from the broker to InfluxDB, by grep; and the metrics of the design moving meanwhile."""

import json
import re
import time

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from vigie.events import KINDS
from vigie.service import set_up_log

from tests.gateway.support import Gateway, Influx, Publisher, meter_frame, uplink, wait_until
from tools.setup.places import ROOT

NOON = int(time.time()) // 86_400 * 86_400 - 43_200
SECRET = "rue des Tilleuls 12"  # what no network should put into a device's name, and no log may repeat
BROKER = {"committed", "duplicate", "acknowledged"}
LABELS = {
    "vigie_mqtt_messages": ("counter", {"event"}),
    "vigie_mqtt_connected": ("gauge", set()),
    "vigie_decode_errors": ("counter", {"reason"}),
    "vigie_duplicates": ("counter", set()),
    "vigie_spool_events": ("gauge", set()),
    "vigie_spool_bytes": ("gauge", set()),
    "vigie_spool_oldest_age_seconds": ("gauge", set()),
    "vigie_influx_writes": ("counter", {"code"}),
    "vigie_influx_write_seconds": ("histogram", set()),
    "vigie_points": ("counter", {"measurement"}),
    "vigie_dead_letters": ("gauge", set()),
    "vigie_downlinks": ("counter", {"state"}),
}


def named(event: tuple[str, bytes], **fields) -> tuple[str, bytes]:
    topic, body = event
    known = json.loads(body)
    known["deviceInfo"]["deviceName"] = SECRET
    return topic, json.dumps(known | fields).encode()


def downlink(kind: str, dev_eui: str, second: int, **fields) -> tuple[str, bytes]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOON + second))
    body = {"time": stamp, "deviceInfo": {"devEui": dev_eui}, "fCntDown": second, **fields}
    return f"application/a/device/{dev_eui}/event/{kind}", json.dumps(body).encode()


def number_of(log: str, event: tuple[str, bytes]) -> int:
    """The number of an event whose deduplicationId, which ChirpStack's own pages and logs have, a person knows."""
    unique = json.loads(event[1])["deduplicationId"]
    (line,) = [line for line in log.splitlines() if unique in line and "committed" in line]
    return int(re.search(r"\bid(?:\": |=)(\d+)", line)[1])


def grep(log: str, number: int, form: str) -> list[dict]:
    """The lines with that number, as `grep -w` finds them."""
    sought = re.compile(rf'"id": {number}\b' if form == "json" else rf"\bid={number}\b")
    lines = [line for line in log.splitlines() if sought.search(line)]
    if form == "json":
        return [json.loads(line) for line in lines]
    found = []
    for line in lines:
        words = re.match(r"(\S+) \[(\w+) *\] (.+?)  +(.*)", line)
        assert words is not None, line
        pairs = dict(re.findall(r"""(\w+)=("[^"]*"|'[^']*'|\S*)""", words[4]))
        found.append({"level": words[2], "event": words[3], **pairs})
    return found


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_event_is_followed_by_its_number(form, gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = {"json": "00000000000000b0", "text": "00000000000000b1"}[form]
    gateway.extra = {"VIGIE_LOG__LEVEL": "debug", "VIGIE_LOG__FORMAT": form}
    gateway.start()
    good = named(uplink(1, meter_frame(NOON, 1234), dev_eui=dev_eui, at=NOON))
    foreign = named(uplink(2, b"\x7f\x11\x22\x33\x44\x55\x66", dev_eui=dev_eui, at=NOON))
    old = named(uplink(3, b"", port=0, dev_eui=dev_eui, at=1_000_000_000))
    publisher.send(*good)
    publisher.flush()
    gateway.settled(1)
    for event in (foreign, old, good):
        publisher.send(*event)
    publisher.flush()
    gateway.settled(3)
    wait_until(lambda: gateway.metric("vigie_duplicates_total") == 1, "the duplicate")
    assert gateway.stop() == 0
    log = gateway.log()
    first, second, third = (number_of(log, event) for event in (good, foreign, old))

    # two threads write: what the broker's said, what InfluxDB's said
    lines = grep(log, first, form)
    said = [line["event"] for line in lines]
    assert [event for event in said if event in BROKER] == ["committed", "acknowledged", "duplicate", "acknowledged"]
    assert [event for event in said if event not in BROKER] == ["decoded", "written", "written", "written", "settled"]
    assert {line["level"] for line in lines} == {"debug"}
    assert lines[0]["topic"] == good[0]
    assert sorted(line["bucket"] for line in lines if line["event"] == "written") == ["daily", "hourly", "raw"]
    assert {str(line["status"]) for line in lines if line["event"] == "written"} == {"204"}
    assert influx.f_cnts(dev_eui) == {1, 2}

    kept = grep(log, second, form)
    said = [line["event"] for line in kept if line["event"] not in {*BROKER, "split"}]
    assert said == ["rejected", "written", "dead letter"]
    assert kept[-1]["level"] == "warning"
    assert "payload version byte 0x7f" in kept[-1]["reason"]

    refused = grep(log, third, form)
    said = [line["event"] for line in refused if line["event"] not in {*BROKER, "split"}]
    assert said == ["decoded", "dead", "dead letter"]
    assert "link of 2001-09-09T01:46:43Z in bucket" in refused[-1]["reason"]
    assert "retention" in refused[-1]["reason"]

    token = influx.access.write_token_file.read_text().strip()
    for hidden in (SECRET, token, json.loads(good[1])["data"], json.loads(foreign[1])["data"], "7f112233"):
        assert hidden not in log


def test_without_debug_only_what_needs_a_person_is_said(gateway: Gateway, publisher: Publisher):
    gateway.start()
    publisher.send(*uplink(1, meter_frame(NOON, 101), dev_eui="00000000000000b2", at=NOON))
    publisher.send(*uplink(2, b"\x7f\x00", dev_eui="00000000000000b2", at=NOON))
    publisher.flush()
    gateway.settled(2)
    assert gateway.stop() == 0
    assert [line["event"] for number in (1, 2) for line in grep(gateway.log(), number, "text")] == ["dead letter"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_defect_in_the_log_shows_no_variables(form, capsys):
    def fail(body: str) -> None:
        raise ValueError(len(body))

    set_up_log("info", form)
    try:
        try:
            fail(SECRET)
        except ValueError:
            structlog.get_logger("writer").exception("defect", id=1)
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert SECRET not in said


def test_each_metric_of_the_design_is_there_and_moves(gateway: Gateway, publisher: Publisher):
    gateway.start()

    def families() -> dict:
        return {one.name: one for one in text_string_to_metric_families(gateway.page("/metrics")[1])}

    def total(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in families()[name].samples
            if sample.name.endswith(("_total", "_count", name)) and labels.items() <= sample.labels.items()
        )

    design = re.findall(
        r"^\| `(vigie_\w+?)(?:\{(\w+)\})?` \|", (ROOT / "docs" / "administrator.md").read_text(), re.MULTILINE
    )
    assert {name.removesuffix("_total"): {label} - {""} for name, label in design} == {
        name: labels for name, (_, labels) in LABELS.items()
    }
    before = families()
    assert {name: before[name].type for name in LABELS} == {name: kind for name, (kind, _) in LABELS.items()}
    # a series that an alert is to watch must be there before it moves
    assert {sample.labels["event"] for sample in before["vigie_mqtt_messages"].samples} == {*KINDS, "unknown"}
    dev_eui = "00000000000000b3"
    events = [
        uplink(1, meter_frame(NOON, 109), dev_eui=dev_eui, at=NOON),
        uplink(2, b"\x7f", dev_eui=dev_eui, at=NOON),
        downlink(
            "txack", dev_eui, 1, queueItemId="45475bf2-5665-4629-a984-af33f196d4e4", downlinkId=1, gatewayId="0" * 16
        ),
        downlink("txack", dev_eui, 2, downlinkId=2, gatewayId="0" * 16),
        downlink("ack", dev_eui, 3, queueItemId="45475bf2-5665-4629-a984-af33f196d4e4", acknowledged=True),
        downlink("ack", dev_eui, 4, queueItemId="55475bf2-5665-4629-a984-af33f196d4e4"),
    ]
    for event in (*events, events[0]):
        publisher.send(*event)
    publisher.flush()
    gateway.settled(6)
    wait_until(lambda: total("vigie_duplicates") == 1, "the duplicate")
    assert total("vigie_mqtt_messages", event="up") == 3
    assert total("vigie_mqtt_messages", event="txack") == 2
    assert total("vigie_mqtt_connected") == 1
    assert total("vigie_decode_errors", reason="payload") == 1
    assert total("vigie_dead_letters") == 1
    assert total("vigie_influx_writes", code="204") == total("vigie_influx_write_seconds") > 0
    assert total("vigie_points", measurement="link") == 2
    assert total("vigie_spool_bytes") > 0
    assert {state: total("vigie_downlinks", state=state) for state in ("sent", "acknowledged", "unacknowledged")} == {
        "sent": 1,  # MAC commands alone are no downlink of ours
        "acknowledged": 1,
        "unacknowledged": 1,
    }
    gateway.stop()
    gateway.extra = {"VIGIE_INFLUXDB__URL": "http://127.0.0.1:9"}
    gateway.start()
    publisher.send(*uplink(3, meter_frame(NOON, 110), dev_eui=dev_eui, at=NOON))
    publisher.flush()
    wait_until(lambda: total("vigie_spool_events") == 1 and total("vigie_spool_oldest_age_seconds") > 0, "it waits")
    wait_until(lambda: total("vigie_influx_writes", code="none") > 0, "no answer is counted")
