"""The codec on the board's interpreter against the same vectors as on the gateway (tests/vectors/payload.json)."""

import json

from payload import air, codes, health, meter, wire
from payload import bin as bin_

with open("tests/vectors/payload.json") as file:
    VECTORS = json.load(file)

KINDS = {"meter": meter, "bin": bin_, "air": air, "health": health}


def record(kind, fields):
    """The record that a vector's nested lists stand for."""
    if kind == "meter":
        return meter.Meter(*fields[:5], tuple(meter.Day(*day) for day in fields[5]))
    if kind == "bin":
        return bin_.Bin(*fields[:2], tuple(bin_.Echo(*echo) for echo in fields[2]))
    if kind == "air":
        return air.Air(*fields[:2], tuple(air.Sample(*sample) for sample in fields[2]))
    return health.Health(*fields)


def refusal(call, *values):
    try:
        call(*values)
    except codes.PayloadError as error:
        return str(error)
    return None


def test_every_vector_both_ways():
    for vector in VECTORS["right"]:
        kind = KINDS[vector["kind"]]
        wanted = record(vector["kind"], vector["record"])
        data = bytes.fromhex(vector["hex"])
        assert kind.encode(wanted, vector["room"]) == data, vector["why"]
        assert kind.decode(data) == wanted, vector["why"]


def test_wrong_frames_are_refused_with_the_reason():
    for vector in VECTORS["wrong"]:
        said = refusal(KINDS[vector["kind"]].decode, bytes.fromhex(vector["hex"]))
        assert said == vector["error"], (vector, said)


def test_as_many_days_as_fit_and_never_more_than_the_room():
    days = tuple(meter.Day(90000 - 300 * back, 1, 250, 24, 0) for back in range(30))
    full = meter.Meter(1, 1782864000, codes.DAYS, None, 20635, days)
    last = 0
    for room in range(17, 120):
        data = meter.encode(full, room)
        back = meter.decode(data)
        assert len(data) <= room
        assert back.days == days[: len(back.days)]
        assert len(back.days) >= last
        last = len(back.days)
    assert last == 21
    assert refusal(meter.encode, full, 16) == "17 bytes do not fit the room of 16"


def test_numbers_out_of_range_are_refused_not_cut():
    assert refusal(wire.fits, "count", 1 << 32, 32) == "count 4294967296 does not fit 32 bits"
    assert refusal(wire.fits, "count", -1, 32) == "count -1 does not fit 32 bits"
    echo = bin_.Echo(925, 256, 7)
    assert refusal(bin_.encode, bin_.Bin(1782864000, 0, (echo,)), 51) == "spread 256 does not fit 8 bits"
    day = meter.Day(5, 0, 1, 24, 0)
    later = meter.Day(4, 0, 1, 24, 0)
    said = refusal(meter.encode, meter.Meter(1, 1782864000, codes.DAYS, None, 20635, (later, day)), 51)
    assert said == "count 5 of an earlier day above 4"


def test_varints_both_ways():
    for value in (0, 1, 127, 128, 300, 16383, 16384, (1 << 32) - 1):
        data = wire.put_varint(value)
        assert wire.take_varint(data, 0) == (value, len(data))
        for end in range(len(data)):
            assert refusal(wire.take_varint, data[:end], 0) == "frame ends inside a number"


def test_a_failure_is_never_a_value():
    assert codes.reason(codes.failure(codes.NO_ECHO)) == codes.NO_ECHO
    assert codes.reason(0xFFEF) == 0
    assert refusal(codes.failure, 0) == "reason code 0 is not in 1..15"
    assert refusal(codes.failure, 16) == "reason code 16 is not in 1..15"
