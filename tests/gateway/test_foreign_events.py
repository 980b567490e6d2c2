"""Events as other networks, routers and makers send them, through broker, spool, decoding and InfluxDB.

tests/vectors/events.jsonl has our own, with what each must become. Where a folder of events collected in the field lies beside
the project, each of its lines goes the same way: stored, or kept with a reason that a person understands.
"""

import csv
import io
import json
import re
from dataclasses import dataclass, replace

import pytest
import urllib3
from google.protobuf import json_format
from vigie.decode import Rejected, decode
from vigie.points import points
from vigie.settings import Spool as SpoolSettings
from vigie.spool import DeadLetter, Spool

from tests.gateway.support import Gateway, Influx, Publisher, meter_frame, uplink, wait_until
from tests.gateway.test_events import MESSAGES
from tools.run import servers
from tools.setup.places import ROOT

VECTORS = [json.loads(text) for text in (ROOT / "tests" / "vectors" / "events.jsonl").read_text().splitlines()]
FIELD = ROOT.parent / "shared" / "field" / "foreign-events.jsonl"
COLLECTED = [json.loads(text) for text in FIELD.read_text(encoding="utf-8").splitlines()] if FIELD.exists() else []
NUMBERED = list(enumerate(COLLECTED))
RAW = {"string": str, "long": int, "double": float, "boolean": lambda text: text == "true"}


@dataclass
class Passage:
    """What came out: InfluxDB's points by device, the dead letters, the counts, the gateway's log."""

    points: dict[str, set]
    dead: list[DeadLetter]
    duplicates: float
    log: str


def device(vector) -> str:
    return vector["events"][0]["topic"].split("/")[3]


def twin(dev_eui: str) -> str:
    """The same device, whose events come as Protobuf."""
    return "fd" + dev_eui[2:]


def as_protobuf(vector) -> list[tuple[str, bytes]]:
    text = json.dumps(vector["events"]).replace(device(vector), twin(device(vector)))
    # a duplicate's key is its identifier with the device: the twin's events are others
    return [
        (
            one["topic"],
            json_format.ParseDict(one["json"], MESSAGES[one["topic"].rpartition("/")[2]]()).SerializeToString(),
        )
        for one in json.loads(text)
    ]


def as_collected(number: int, one) -> tuple[str, bytes, str]:
    """Topic, body and DevEUI: one of its own, for several were published of one device at one time."""
    dev_eui = f"fc{number:014x}"
    text = json.dumps(one).replace(one["topic"].split("/")[3], dev_eui)
    given = json.loads(text)
    return given["topic"], json.dumps(given["json"]).encode(), dev_eui


def stored(influx: Influx, admin: str) -> dict[str, set]:
    """Every point of the bucket, field types and nanoseconds as InfluxDB has them."""
    query = {
        "query": 'from(bucket: "forever") |> range(start: 0, stop: 2100-01-01T00:00:00Z)',
        "dialect": {"annotations": ["datatype"]},
    }
    answer = urllib3.request(
        "POST",
        f"{influx.server.url}/api/v2/query?org={influx.access.org}",
        body=json.dumps(query).encode(),
        headers={"Authorization": f"Token {admin}", "Content-Type": "application/json", "Accept": "application/csv"},
    )
    assert answer.status == 200, answer.data
    found: dict[tuple[str, str, str], dict] = {}
    types: list[str] = []
    names: list[str] = []
    for cells in csv.reader(io.StringIO(answer.data.decode())):
        if not cells:
            continue
        if cells[0] == "#datatype":
            types, names = cells, []
        elif not names:
            names = cells
        else:
            row = dict(zip(names, cells, strict=True))
            point = found.setdefault((row["dev_eui"], row["_measurement"], row["_time"]), {})
            point[row["_field"]] = RAW[types[names.index("_value")]](row["_value"])
    by_device: dict[str, set] = {}
    for (dev_eui, measurement, time), fields in found.items():
        by_device.setdefault(dev_eui, set()).add(exact(measurement, time, fields))
    return by_device


def exact(measurement: str, time: str, fields: dict) -> tuple:
    """A point, comparable with its types."""
    return measurement, time, tuple(sorted((name, type(value).__name__, value) for name, value in fields.items()))


@pytest.fixture(scope="module")
def passage(influx: Influx, tmp_path_factory: pytest.TempPathFactory):
    """All events at once, through a gateway whose buckets keep everything: the events are years old."""
    folder = tmp_path_factory.mktemp("foreign")
    secrets = influx.access.admin_token_file.parent
    servers.influx_setup(influx.server.url, secrets, retention_s={"daily": servers.RETENTION_S["daily"], "forever": 0})
    admin = influx.access.admin_token_file
    broker = servers.start_mosquitto(folder / "mosquitto")
    gateway = Gateway(
        folder / "gateway", broker.port, influx.server.url, replace(influx.access, write_token_file=admin)
    )
    gateway.extra = {f"VIGIE_BUCKETS__{role}": "forever" for role in ("DAILY", "HOURLY", "RAW")}
    gateway.extra["VIGIE_MQTT__TOPIC"] = "application/+/device/+/#"
    sent = [(one["topic"], json.dumps(one["json"]).encode()) for vector in VECTORS for one in vector["events"]]
    sent += [event for vector in VECTORS if vector.get("protobuf", True) for event in as_protobuf(vector)]
    sent += [as_collected(number, one)[:2] for number, one in NUMBERED]
    try:
        gateway.start()
        publisher = Publisher(broker.port)
        for topic, body in sent:
            publisher.send(topic, body)
        publisher.send(*uplink(1, meter_frame(1_773_480_525, 77), dev_eui="fe000000000000ff", at=1_773_480_530))
        publisher.flush()
        publisher.close()
        wait_until(lambda: gateway.metric("vigie_mqtt_messages_total") == len(sent) + 1, "all are received", 30)
        wait_until(lambda: gateway.metric("vigie_spool_events") == 0, "all are settled", 30)
        duplicates = gateway.metric("vigie_duplicates_total")
        assert gateway.stop() == 0
        spool = Spool(folder / "gateway" / "spool.sqlite", SpoolSettings().max_bytes)
        dead = spool.dead_letters()
        spool.close()
        yield Passage(stored(influx, admin.read_text().strip()), dead, duplicates, gateway.log())
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()
        broker.stop()


def reasons(passage: Passage, dev_eui: str) -> list[str]:
    return [letter.reason for letter in passage.dead if f"/{dev_eui}/" in letter.topic]


def own(vector, passage: Passage) -> None:
    """One of ours: exactly these points, with their types and nanoseconds, or exactly this reason; as Protobuf too."""
    expected = {exact(one["measurement"], one["time"], one["fields"]) for one in vector["points"]}
    assert passage.points.get(device(vector), set()) == expected, vector["why"]
    assert reasons(passage, device(vector)) == vector["dead"]
    if vector.get("protobuf", True):
        assert passage.points.get(twin(device(vector)), set()) == expected
        assert reasons(passage, twin(device(vector))) == vector["dead"]


def collected(numbered, passage: Passage) -> None:
    """One from the field: stored as it decodes, or kept with a reason that a person understands."""
    number, one = numbered
    topic, body, dev_eui = as_collected(number, one)
    decoded = decode(topic, body)
    expected = {(point.measurement, exact("", "", point.fields)[2]) for point in points(decoded)}
    assert {(name, fields) for name, _, fields in passage.points.get(dev_eui, set())} == expected
    if isinstance(decoded, Rejected):
        assert reasons(passage, dev_eui) == [decoded.reason]
        assert re.search(r"fPort \d+ is none of a Vigie node's|version byte|ChirpStack v3", decoded.reason)
    else:
        assert expected
        assert reasons(passage, dev_eui) == []


# One list, so that a project alone has no test without parameters, which would be one that does not run.
CASES = [pytest.param(own, one, id=f"case{one['case']}-{device(one)[-2:]}") for one in VECTORS]
CASES += [pytest.param(collected, one, id=one[1]["id"]) for one in NUMBERED]


@pytest.mark.parametrize(("judge", "given"), CASES)
def test_each_becomes_what_it_must(judge, given, passage: Passage):
    judge(given, passage)


def test_none_stops_the_gateway_and_nothing_is_counted_twice(passage: Passage):
    assert {point[0] for point in passage.points["fe000000000000ff"]} == {"link", "report", "meter"}
    twice = sum(vector.get("duplicates", 0) * (2 if vector.get("protobuf", True) else 1) for vector in VECTORS)
    assert passage.duplicates == twice > 0
    assert "Traceback" not in passage.log
    assert "defect" not in passage.log
