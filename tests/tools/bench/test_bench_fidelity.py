"""Every field of every recorded event, and what the comparison would see if one were not equal."""

import copy
import json

import pytest
from chirpstack_api.integration import integration_pb2 as integration

from tools.bench import fidelity, recorded
from tools.bench.fidelity import ABSENT, Story, compare, json_leaves, protobuf_leaves

ID = "application/{}/device/e1831ea5e2c5b663/event/{}"
UUIDS = [f"{n}b3675fb-657a-4196-95a8-b287cf11a503" for n in range(6)]


@pytest.mark.parametrize("made", fidelity.STORIES, ids=lambda made: made.__name__)
def test_every_recorded_event_is_equal_in_every_field(made):
    story = made()
    counts, differences = compare(story)
    assert differences == []
    assert sum(count.events_equal for count in counts.values()) == len(story.theirs) == len(story.ours)


def test_all_recorded_events_are_compared():
    events = [e for name in ("events-json", "events-protobuf", "faults") for e in recorded.lines(f"{name}.jsonl")]
    assert sum(len(made().theirs) for made in fidelity.STORIES) == sum("topic" in e for e in events) == 157


def event(kind="up", application=UUIDS[0], **fields):
    body = {"deduplicationId": UUIDS[1], "n": 1, "tags": {}, "zero": 0, "rx": [{"x": 1.0}, {}], "b": False}
    return ID.format(application, kind), json_leaves(body | fields)


def differences(theirs, ours):
    return [(d.field, d.theirs, d.ours) for d in compare(Story("s", theirs, ours))[1]]


def test_equal_events_are_equal_whatever_was_drawn():
    ours = event(application=UUIDS[2], deduplicationId=UUIDS[3])
    assert differences([event()], [ours]) == []
    counts, _ = compare(Story("s", [event()], [ours]))
    assert counts == {"up": (1, 1, 9, 9)}  # seven leaves, the topic, its application


@pytest.mark.parametrize(
    ("change", "field", "theirs", "ours"),
    [
        ({"n": 2}, "n", 1, 2),
        ({"n": 1.0}, "n", 1, 1.0),
        ({"b": 0}, "b", False, 0),
        ({"more": 0}, "more", ABSENT, 0),
        ({"tags": None}, "tags", {}, None),
        ({"rx": [{"x": 1.0}, []]}, "rx[1]", {}, []),
        ({"deduplicationId": "x"}, "deduplicationId", UUIDS[1], "x"),
        ({"deduplicationId": 7}, "deduplicationId", UUIDS[1], 7),
    ],
)
def test_a_field_that_differs_is_told(change, field, theirs, ours):
    assert differences([event()], [event(**change)]) == [(field, theirs, ours)]


def test_a_field_that_is_missing_is_told():
    topic, leaves = event()
    del leaves["zero"]
    assert differences([event()], [(topic, leaves)]) == [("zero", 0, ABSENT)]


def test_a_missing_event_and_one_too_many_count_with_all_their_fields():
    for theirs, ours in (([event()], []), ([], [event()])):
        counts, wrong = compare(Story("s", theirs, ours))
        assert counts == {"up": (0, 1, 0, 9)}
        assert len(wrong) == 9


def test_ids_are_the_same_where_they_were_the_same():
    same = [event("up"), event("ack")]
    assert differences(same, [event("up", deduplicationId=UUIDS[3]), event("ack", deduplicationId=UUIDS[3])]) == []
    apart = [event("up", deduplicationId=UUIDS[3]), event("ack", deduplicationId=UUIDS[4])]
    assert [field for field, *_ in differences(same, apart)] == ["deduplicationId"]
    assert [field for field, *_ in differences(apart, same)] == ["deduplicationId"]


def test_protobuf_fields_are_seen_absent_and_zero():
    message = integration.UplinkEvent(f_cnt=0, rx_info=[{"gateway_id": "a"}])
    leaves = protobuf_leaves(message)
    assert (leaves["f_cnt"], leaves["object.present"], leaves["rx_info.length"]) == (0, False, 1)
    assert (leaves["rx_info[0].location.present"], leaves["rx_info[0].rssi"]) == (False, 0)
    placed = copy.deepcopy(message)
    placed.rx_info[0].location.SetInParent()
    changed = {k: v for k, v in protobuf_leaves(placed).items() if leaves.get(k, ABSENT) != v}
    assert changed["rx_info[0].location.present"] is True
    assert changed["rx_info[0].location.latitude"] == 0


def test_the_bench_prints_a_table_and_a_json_line(capsys):
    assert fidelity.main() == 0
    printed = capsys.readouterr().out.splitlines()
    figures = json.loads(printed[-1])
    assert figures["event_fields_equal"] == figures["event_fields_total"] > 5_000
    assert figures["transcript_frames_equal"] == figures["transcript_frames_total"] == 28
    assert [line.split()[0] for line in printed[1:8]] == ["ack", "join", "log", "status", "txack", "up", "all"]


def test_the_bench_names_what_differs_and_fails(capsys, monkeypatch):
    monkeypatch.setattr(fidelity, "STORIES", (lambda: Story("made", [event()], [event(n=2)]),))
    assert fidelity.main() == 1
    printed = capsys.readouterr().out.splitlines()
    assert "made: up 1 of e1831ea5e2c5b663: n: recorded 1, devnet 2" in printed
    assert json.loads(printed[-1])["event_fields_equal"] == 8
