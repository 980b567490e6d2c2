"""docs/schema.md is what is stored: its tables against the code's, and every line made of known events against its tables."""

import base64
import json
import re
from pathlib import Path

from vigie.decode import decode
from vigie.payload import codes
from vigie.points import SCHEMA, node_point, points
from vigie.rows import Node

from tools.run.servers import RETENTION_S

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "schema.md").read_text()
VECTORS = ROOT / "tests" / "vectors"
LITERAL = {"int": r"-?\d+i", "float": r"-?\d+\.\d+(e-?\d+)?", "bool": "true|false", "str": r'"(?:[^"\\]|\\.)*"'}


def rows(section: str) -> list[list[str]]:
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
TABLES = {
    name.split(":")[0]: (re.findall(r"daily|hourly|raw", name), {row[0]: row[1] for row in rows(text)})
    for name, text in SECTIONS.items()
    if ": bucket" in name
}


def event_lines():
    for name, field in (("events-json", "json"), ("events-protobuf", "protobuf"), ("faults", "json")):
        for text in (VECTORS / "chirpstack" / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(text)
            if "topic" in row:
                body = row[field]
                yield row["topic"], base64.b64decode(body) if field == "protobuf" else json.dumps(body).encode()
    for vector in json.loads((VECTORS / "payload.json").read_text())["right"]:
        port = {"meter": 10, "bin": 20, "air": 30, "health": 40}[vector["kind"]]
        body = {
            "deduplicationId": "x",
            "time": "2106-02-07T06:28:15.5Z",
            "deviceInfo": {"devEui": "00000000000000a0"},
            "fPort": port,
            "data": base64.b64encode(bytes.fromhex(vector["hex"])).decode(),
        }
        yield "application/a/device/b/event/up", json.dumps(body).encode()


def all_points():
    for topic, body in event_lines():
        yield from points(decode(topic, body))
    yield node_point(Node("00000000000000a0", 'S "1"', "gare", "meter", 10_000), 1_700_000_000 * 10**9)
    yield node_point(Node("00000000000000a1", "S2", "", "bin", None), 1_700_000_000 * 10**9)


def test_the_page_and_the_code_have_the_same_measurements_fields_and_types():
    code = {
        name: (list(one.buckets), {field: kind.__name__ for field, kind in one.fields.items()})
        for name, one in SCHEMA.items()
    }
    assert code == TABLES


def test_the_page_and_the_set_up_have_the_same_retention():
    assert {row[0]: int(row[1].removesuffix(" days")) * 86_400 for row in rows(SECTIONS["Buckets"])} == RETENTION_S


def test_the_page_has_the_codecs_reason_codes():
    assert {int(row[0]): row[1] for row in rows(SECTIONS["Reason codes"])} == codes.REASONS


def test_every_line_stored_is_as_the_page_says_and_every_measurement_is_used():
    used = set()
    for point in all_points():
        buckets, fields = TABLES[point.measurement]
        assert point.bucket in buckets
        head, found, time = re.fullmatch(r"(\S+) (.*) (-?\d+)", point.line, re.DOTALL).groups()
        assert re.fullmatch(rf"{point.measurement},dev_eui=[0-9a-f]{{16}}", head)
        for name, literal in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]*)', found):
            assert re.fullmatch(LITERAL[fields[name]], literal), point.line
        assert int(time) > 0
        used.add(point.measurement)
    assert used == set(TABLES)
