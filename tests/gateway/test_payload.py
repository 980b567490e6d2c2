"""The codec on the gateway's interpreter, against the vectors that the board's is held to, and against noise."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vigie.payload import air, codes, health, meter
from vigie.payload import bin as bin_

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "payload.json").read_text())
KINDS = {"meter": meter, "bin": bin_, "air": air, "health": health}


def as_lists(value):
    return [as_lists(part) for part in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("vector", VECTORS["right"], ids=lambda vector: vector["why"])
def test_decodes_every_vector(vector):
    assert as_lists(KINDS[vector["kind"]].decode(bytes.fromhex(vector["hex"]))) == vector["record"]


@pytest.mark.parametrize("vector", VECTORS["wrong"], ids=lambda vector: vector["error"])
def test_refuses_with_the_reason(vector):
    with pytest.raises(codes.PayloadError) as refused:
        KINDS[vector["kind"]].decode(bytes.fromhex(vector["hex"]))
    assert str(refused.value) == vector["error"]


days = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 90), st.integers(0, 90), st.integers(0, 24), st.integers(0, 1)),
    min_size=1,
    max_size=12,
)


@given(days, st.integers(0, 65535), st.integers(14, 120))
def test_what_was_encoded_is_decoded(rows, epoch, room):
    count = 1_000_000
    made = []
    for used, least, more, hours, unsure in rows:
        figures = (least, least + more, hours) if hours else (-1, -1, 0)
        made.append(meter.Day(count, *figures, unsure))
        count -= used
    record = meter.Meter(epoch, 1_782_864_000, codes.DAYS, None, 20_635, tuple(made))
    data, refusal = None, ""
    try:
        data = meter.encode(record, room)
    except codes.PayloadError as error:
        refusal = str(error)
    if data is None:
        assert "do not fit the room" in refusal
        return
    back = meter.decode(data)
    assert len(data) <= room
    assert back == record._replace(days=record.days[: len(back.days)])


@settings(max_examples=500)
@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=60), st.booleans())
def test_noise_is_a_record_or_a_payload_error(kind, data, versioned):
    """Nothing else comes out of noise, and what is accepted is in the one form in which it would be sent."""
    frame = b"\x10" + data if versioned else data
    try:
        record = KINDS[kind].decode(frame)
    except codes.PayloadError:
        return
    try:
        again = KINDS[kind].encode(record, 255)
    except codes.PayloadError:
        return
    assert again == frame
