"""devnet against recorded ChirpStack, field by field: `make bench-fidelity`. A table, what differs, then one JSON line.

devnet goes through each recorded story (recorded.py, faults.py); its events are laid beside the recorded ones, by device and kind in
their order. A field is a leaf of an event, an absent, zero or empty one too: in JSON each value with its type (7 is not 7.0), each
empty object or list, and each key that one side lacks; in Protobuf each field of each message that is there, and for each message
whether it is there. Ids that a ChirpStack draws at random are compared by form and by sameness: what is one id in the recording is
one id in devnet's events, what differs there differs here. All else, times too, must be equal.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import Message

from ..devnet.events import KINDS, Event, marshal
from . import recorded
from .faults import Faults

MESSAGES: dict[str, Any] = {word: message for message, word in KINDS.items()}
_DRAWN = {
    "deduplicationId", "queueItemId", "downlinkId", "tenantId", "applicationId", "deviceProfileId",
    "deduplication_id", "queue_item_id", "downlink_id", "tenant_id", "application_id", "device_profile_id",
}  # fmt: skip
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ABSENT = "absent"

Leaves = dict[str, Any]


class Difference(NamedTuple):
    """One field: where, what ChirpStack had, what devnet has."""

    event: str
    field: str
    theirs: Any
    ours: Any


class Count(NamedTuple):
    """Events and fields of a kind, equal and in all."""

    events_equal: int = 0
    events: int = 0
    fields_equal: int = 0
    fields: int = 0


class Story(NamedTuple):
    """A recording beside what devnet made of it: (topic, leaves) of each event."""

    name: str
    theirs: list[tuple[str, Leaves]]
    ours: list[tuple[str, Leaves]]


def json_leaves(value: Any, path: str = "") -> Leaves:
    """The leaves of a JSON value by their path; an empty object or list is a leaf."""
    parts: Iterator[tuple[str, Any]] | None = None
    if isinstance(value, dict) and value:
        parts = ((f"{path}.{key}" if path else key, item) for key, item in value.items())
    elif isinstance(value, list) and value:
        parts = ((f"{path}[{i}]", item) for i, item in enumerate(value))
    if parts is None:
        return {path: value}
    out: Leaves = {}
    for name, item in parts:
        out |= json_leaves(item, name)
    return out


def protobuf_leaves(message: Message, path: str = "") -> Leaves:
    """The leaves of a message by their path: every scalar, zero or not, and for each message field whether it is there."""
    out: Leaves = {}
    for descriptor in message.DESCRIPTOR.fields:
        name, value = f"{path}.{descriptor.name}" if path else descriptor.name, getattr(message, descriptor.name)
        nested = descriptor.message_type
        if nested is not None and nested.GetOptions().map_entry:
            out |= json_leaves(dict(value), name)
        elif descriptor.is_repeated:
            out[f"{name}.length"] = len(value)
            for i, item in enumerate(value):
                out |= protobuf_leaves(item, f"{name}[{i}]")
        elif nested is not None:
            out[f"{name}.present"] = message.HasField(descriptor.name)
            if message.HasField(descriptor.name):
                out |= protobuf_leaves(value, name)
        elif descriptor.containing_oneof is None or message.HasField(descriptor.name):
            out[name] = value
    return out


class Ids:
    """What is drawn at random: one id of theirs is one id of ours, of the same form."""

    def __init__(self) -> None:
        self._ours: dict[Any, Any] = {}
        self._theirs: dict[Any, Any] = {}

    def same(self, theirs: Any, ours: Any) -> bool:
        """Whether they stand for each other."""
        if type(theirs) is not type(ours):
            return False
        formed = [bool(_UUID.fullmatch(v)) if isinstance(v, str) else 0 < v < 1 << 32 for v in (theirs, ours)]
        known = self._ours.setdefault(theirs, ours) == ours and self._theirs.setdefault(ours, theirs) == theirs
        return known and formed[0] == formed[1]


def compare(story: Story) -> tuple[dict[str, Count], list[Difference]]:
    """Counts by kind, and every field that is not equal."""
    ids = Ids()
    pairs: dict[tuple[str, str], list[list[Leaves]]] = defaultdict(lambda: [[], []])
    for side, events in enumerate((story.theirs, story.ours)):
        for topic, leaves in events:
            _, application, _, dev_eui, _, kind = topic.split("/")
            parts = {"topic.application_id": application, "topic": topic.replace(application, "{application_id}")}
            pairs[dev_eui, kind][side].append(leaves | parts)
    counts: dict[str, Count] = defaultdict(Count)
    differences: list[Difference] = []
    for (dev_eui, kind), (theirs, ours) in sorted(pairs.items()):
        for n in range(max(len(theirs), len(ours))):
            one, other = (side[n] if n < len(side) else {} for side in (theirs, ours))
            names = one.keys() | other.keys()
            wrong = [
                Difference(
                    f"{story.name}: {kind} {n + 1} of {dev_eui}", name, one.get(name, ABSENT), other.get(name, ABSENT)
                )
                for name in sorted(names)
                if not _equal(name, one, other, ids)
            ]
            differences += wrong
            old = counts[kind]
            counts[kind] = Count(
                old.events_equal + (not wrong),
                old.events + 1,
                old.fields_equal + len(names) - len(wrong),
                old.fields + len(names),
            )
    return counts, differences


def _equal(name: str, theirs: Leaves, ours: Leaves, ids: Ids) -> bool:
    if name not in theirs or name not in ours:
        return False
    one, other = theirs[name], ours[name]
    if name.rpartition(".")[2] in _DRAWN:
        return ids.same(one, other)
    return type(one) is type(other) and bool(one == other)


def _as_json(events: list[Event]) -> list[tuple[str, Leaves]]:
    return [(e.topic, json_leaves(json.loads(e.json))) for e in events]


def json_events() -> list[tuple[str, dict[str, Any]]]:
    """The events of transcript 1: (kind, body)."""
    return [(recorded.kind_of(e["topic"]), e["json"]) for e in recorded.lines("events-json.jsonl")]


def protobuf_events() -> list[tuple[str, Message]]:
    """The events of transcript 2: (topic, message)."""
    return [
        (e["topic"], MESSAGES[recorded.kind_of(e["topic"])].FromString(base64.b64decode(e["protobuf"])))
        for e in recorded.lines("events-protobuf.jsonl")
    ]


def event_dicts(number: int) -> list[tuple[str, dict[str, Any]]]:
    """The events of transcript 1 (published as JSON) or 2 (as Protobuf), (kind, body in ChirpStack's JSON)."""
    if number == 1:
        return json_events()
    return [(recorded.kind_of(topic), json.loads(marshal(message))) for topic, message in protobuf_events()]


def _replayed(number: int) -> list[Event]:
    return [e for done in recorded.replay(number, event_dicts(number)) for e in (*done.answer.events, *done.after)]


def json_story() -> Story:
    """events-json.jsonl."""
    theirs = [(e["topic"], json_leaves(e["json"])) for e in recorded.lines("events-json.jsonl")]
    return Story("events-json", theirs, _as_json(_replayed(1)))


def protobuf_story() -> Story:
    """events-protobuf.jsonl; devnet's events as their bytes are read."""
    theirs = [(topic, protobuf_leaves(message)) for topic, message in protobuf_events()]
    ours = []
    for event in _replayed(2):
        message = MESSAGES[recorded.kind_of(event.topic)].FromString(event.protobuf)
        ours.append((event.topic, protobuf_leaves(message)))
    return Story("events-protobuf", theirs, ours)


def faults_story() -> Story:
    """faults.jsonl."""
    theirs = [(e["topic"], json_leaves(e["json"])) for e in recorded.lines("faults.jsonl") if "topic" in e]
    return Story("faults", theirs, _as_json(Faults().run()))


STORIES: tuple[Callable[[], Story], ...] = (json_story, protobuf_story, faults_story)


def transcript_frames(number: int) -> tuple[int, int]:
    """(equal, all) downlinks of a transcript: equal is one whose RX1 and RX2 variants have each byte and each parameter as recorded."""
    equal = total = 0
    for done in recorded.replay(number, event_dicts(number)):
        theirs = done.step.items
        if theirs is None and not done.answer.downlinks:
            continue
        ours = [
            {
                "phy": i.phy.hex(),
                "freq": i.freq_hz,
                "sf": i.spreading_factor,
                "bw": i.bandwidth_hz,
                "invert": i.iq_inverted,
                "power": i.power_dbm,
                "delay_s": i.delay_ns / 1e9,
            }
            for downlink in done.answer.downlinks
            for i in downlink.items
        ]
        total += 1
        equal += ours == theirs
    return equal, total


def main() -> int:
    """0 when all fields and frames are equal, 1 when not."""
    all_counts: dict[str, Count] = defaultdict(Count)
    differences: list[Difference] = []
    for story in STORIES:
        counts, wrong = compare(story())
        differences += wrong
        for kind, count in counts.items():
            all_counts[kind] = Count(*(a + b for a, b in zip(all_counts[kind], count, strict=True)))
    total = Count(*(sum(column) for column in zip(*all_counts.values(), strict=True)))
    print(f"{'event':8}{'events':>8}{'equal':>8}{'fields':>8}{'equal':>8}")
    for kind, count in [*sorted(all_counts.items()), ("all", total)]:
        print(f"{kind:8}{count.events:8}{count.events_equal:8}{count.fields:8}{count.fields_equal:8}")
    for wrong_field in differences:
        print(f"{wrong_field.event}: {wrong_field.field}: recorded {wrong_field.theirs!r}, devnet {wrong_field.ours!r}")
    frames = [transcript_frames(number) for number in (1, 2)]
    equal, frames_total = (sum(column) for column in zip(*frames, strict=True))
    print(f"downlinks of the transcripts, byte for byte: {equal} of {frames_total}")
    figures = {
        "event_fields_equal": total.fields_equal,
        "event_fields_total": total.fields,
        "transcript_frames_equal": equal,
        "transcript_frames_total": frames_total,
    }
    print(json.dumps(figures))
    return 0 if total.fields_equal == total.fields and equal == frames_total else 1


if __name__ == "__main__":
    sys.exit(main())
