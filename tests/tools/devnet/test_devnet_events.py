"""ChirpStack's JSON is made exactly: each recorded event is parsed, marshalled and found again, field by field and in order."""

import base64
import json

import devnet_recorded as recorded
import pytest

from tools.devnet.events import marshal

EVENTS = [e for name in ("events-json.jsonl", "faults.jsonl") for e in recorded.lines(name) if "topic" in e]


def in_order(value):
    """JSON with the keys of ChirpStack's hash maps (tags, context, object) sorted, all others where they stand."""
    value = json.loads(json.dumps(value))
    for holder, name in ((value.get("deviceInfo", {}), "tags"), (value, "context"), (value, "object")):
        if isinstance(holder.get(name), dict):
            holder[name] = json.dumps(holder[name], sort_keys=True)
    return json.dumps(value)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: recorded.kind_of(e["topic"]))
def test_a_recorded_event_is_marshalled_as_recorded(event):
    kind = recorded.kind_of(event["topic"])
    text = marshal(recorded.parsed(kind, json.dumps(event["json"])))
    assert in_order(json.loads(text)) == in_order(event["json"])
    assert b": " not in text.replace(b"JS error: ", b"").replace(b"Error: ", b"").replace(b"errors: ", b"")


def test_a_recorded_protobuf_event_has_all_its_fields_known():
    for event in recorded.lines("events-protobuf.jsonl"):
        kind = recorded.kind_of(event["topic"])
        raw = base64.b64decode(event["protobuf"])
        message = recorded.MESSAGES[kind].FromString(raw)
        assert recorded.parsed(kind, marshal(message)) == message


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (1_000_000_000, "1970-01-01T00:00:01+00:00"),
        (1_120_000_000, "1970-01-01T00:00:01.120+00:00"),
        (1_000_001_000, "1970-01-01T00:00:01.000001+00:00"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001+00:00"),
    ],
)
def test_a_time_has_as_many_decimals_as_it_needs(time_ns, text):
    from chirpstack_api.integration import integration_pb2 as integration

    from tools.devnet.events import timestamp

    event = integration.LogEvent(time=timestamp(time_ns))
    assert json.loads(marshal(event))["time"] == text
