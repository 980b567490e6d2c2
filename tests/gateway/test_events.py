"""Events as networks send them: recorded ones in both encodings, what proto3 leaves out, what is no event of ours."""

import base64
import json
from pathlib import Path

import pytest
from chirpstack_api.integration import integration_pb2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from vigie.decode import Rejected, decode
from vigie.events import KINDS, BadEvent, Status, Up, identify, parse, parse_time
from vigie.points import points

CHIRPSTACK = Path(__file__).parents[1] / "vectors" / "chirpstack"
MESSAGES = {
    "up": integration_pb2.UplinkEvent,
    "join": integration_pb2.JoinEvent,
    "ack": integration_pb2.AckEvent,
    "txack": integration_pb2.TxAckEvent,
    "log": integration_pb2.LogEvent,
    "status": integration_pb2.StatusEvent,
}


def recorded(name: str):
    rows = [json.loads(text) for text in (CHIRPSTACK / name).read_text().splitlines()]
    return [row for row in rows if "topic" in row]


JSON_EVENTS = recorded("events-json.jsonl") + recorded("faults.jsonl")


def up(**fields) -> tuple[str, bytes]:
    body = {
        "time": "2022-09-23T02:02:06.744554+00:00",
        "deviceInfo": {"devEui": "a3bc88f572e289ba"},
        "deduplicationId": "d",
    }
    return "application/a/device/b/event/up", json.dumps({**body, "data": "", **fields}).encode()


@pytest.mark.parametrize("number", range(len(JSON_EVENTS)))
def test_json_and_protobuf_of_an_event_give_the_same_points_and_key(number):
    row = JSON_EVENTS[number]
    topic, body = row["topic"], json.dumps(row["json"]).encode()
    message = json_format.ParseDict(row["json"], MESSAGES[topic.rpartition("/")[2]](), ignore_unknown_fields=True)
    binary = message.SerializeToString()
    assert parse(topic, body) == parse(topic, binary)
    assert points(decode(topic, body)) == points(decode(topic, binary)) != []
    identity = identify(topic, body)
    assert identity.kind == topic.rpartition("/")[2]
    if identity.kind not in {"txack", "log"}:
        assert identity == identify(topic, binary)


def test_every_recorded_protobuf_event_is_read():
    rows = recorded("events-protobuf.jsonl")
    kinds = {type(parse(row["topic"], base64.b64decode(row["protobuf"]))).__name__.lower() for row in rows}
    assert kinds == set(KINDS)


def test_what_proto3_leaves_out_is_zero():
    event = parse(*up(adr=True, fPort=2, data="AQ=="))
    assert isinstance(event, Up)
    assert (event.f_cnt, event.dr, event.confirmed) == (0, 0, False)


def test_a_missing_rssi_or_snr_is_zero():
    event = parse(*up(rxInfo=[{"gatewayId": "f68265679e1e1a88"}]))
    assert isinstance(event, Up)
    assert (event.receptions[0].rssi, event.receptions[0].snr) == (0, 0.0)


@pytest.mark.parametrize(
    ("fields", "battery"),
    [
        ({"margin": 8, "externalPowerSource": True, "batteryLevel": 0.0}, None),  # mains: no empty battery
        ({"margin": 8, "batteryLevelUnavailable": True}, None),
        ({"margin": 10, "batteryLevel": 100}, 100.0),  # an integer, and yet the field stays float
        ({"margin": 10, "batteryLevel": 88.3}, 88.3),
    ],
)
def test_a_battery_is_on_mains_unknown_or_per_cent(fields, battery):
    body = json.loads(up()[1]) | fields
    del body["data"]
    event = parse("application/a/device/b/status", json.dumps(body).encode())  # a router's topic without /event/
    assert isinstance(event, Status)
    assert event.battery == battery
    assert type(event.battery) is type(battery)


def test_a_log_event_on_the_up_topic_is_a_log():
    body = json.loads(up()[1]) | {"level": "ERROR", "code": "UPLINK_CODEC", "description": "x"}
    del body["data"]
    assert identify(up()[0], json.dumps(body).encode()).kind == "log"


def test_a_frame_held_in_the_backhaul_keeps_its_time_and_says_so():
    heard = {"gatewayId": "0a1fd3cfe44ca2fd", "nsTime": "2022-09-23T02:02:48.774554999+00:00", "rssi": -68, "snr": 9.25}
    (link,) = points(decode(*up(rxInfo=[heard])))
    assert "backhaul_ms=42030i" in link.line
    assert link.line.endswith(" 1663898526744554000")


def test_mac_commands_only_is_a_sign_of_life_and_no_dead_letter():
    assert not isinstance(decode(*up(fPort=0, fCnt=463)), Rejected)
    assert [point.measurement for point in points(decode(*up(fPort=0, fCnt=463)))] == ["link"]


def test_a_chirpstack_v3_event_is_refused_by_name():
    body = b'{"applicationID": "56", "devEUI": "222721f963f6cdb5", "fCnt": 4107, "fPort": 100, "data": "AebITg=="}'
    with pytest.raises(BadEvent, match="ChirpStack v3"):
        parse("application/56/device/222721f963f6cdb5/event/up", body)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-24T04:17:43.125423110+00:00", 1795493863125423110),
        ("2024-02-29T16:01:18.1+01:00", 1709218878100000000),
        ("2022-07-18T09:34:15.775023242-00:30", 1658138655775023242),
    ],
)
def test_times_keep_their_nanoseconds(text, ns):
    assert parse_time(text) == ns


def test_a_retransmission_under_another_identifier_is_another_event():
    first, second = up(fCnt=104), up(fCnt=104, deduplicationId="e")
    assert identify(*first).key != identify(*second).key
    assert identify(*first).key == identify(*up(fCnt=104, adr=True)).key


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([*KINDS, "location", "", "x/y"]))
def test_no_bytes_can_stop_it(body, word):
    topic = f"application/a/device/b/event/{word}"
    identify(topic, body)
    points(decode(topic, body))


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(
            ["time", "deviceInfo", "fCnt", "fPort", "data", "rxInfo", "txInfo", "level", "margin", "batteryLevel"]
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["devEui", "rssi", "nsTime"]), inner)
            ),
            max_leaves=4,
        ),
    )
)
def test_no_json_of_another_shape_can_stop_it(fields):
    body = json.dumps(json.loads(up()[1]) | fields).encode()
    identify(up()[0], body)
    points(decode(up()[0], body))
