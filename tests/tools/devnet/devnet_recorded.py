"""The traffic recorded from ChirpStack 4.20, as inputs for devnet."""

from google.protobuf import json_format

from tools.bench.fidelity import MESSAGES, event_dicts
from tools.bench.recorded import VECTORS, kind_of, lines, ns, provision, replay, transcript

__all__ = [
    "MESSAGES",
    "VECTORS",
    "event_dicts",
    "kind_of",
    "lines",
    "ns",
    "parsed",
    "provision",
    "replay",
    "transcript",
]


def parsed(kind, text):
    return json_format.Parse(text, MESSAGES[kind]())
