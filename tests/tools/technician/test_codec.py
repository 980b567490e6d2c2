"""ChirpStack's JavaScript codec gives the readings of the Python codec: by the shared vectors, and for whatever that one encodes."""

import json
import random
import subprocess
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from vigie.payload import air, codes, health, meter
from vigie.payload import bin as bin_

from tools.devnet import codec as engine
from tools.setup import places
from tools.technician.chirpstack import CODEC

VECTORS = json.loads((places.ROOT / "tests" / "vectors" / "payload.json").read_text())
PORTS = {"meter": meter.PORT, "bin": bin_.PORT, "air": air.PORT, "health": health.PORT}
KINDS = {"meter": meter, "bin": bin_, "air": air, "health": health}
# As ChirpStack calls it: strict mode, a function by its name, an object with bytes and fPort.
CALLER = CODEC.read_text() + (
    "\nconst lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n');"
    "for (const line of lines) console.log(JSON.stringify(decodeUplink(JSON.parse(line))));"
)


def decode(frames):
    """What the codec returns for each (fPort, bytes)."""
    asked = "\n".join(json.dumps({"fPort": port, "bytes": list(data), "variables": {}}) for port, data in frames)
    done = subprocess.run(
        [places.NODE, "--eval", CALLER], input=asked, capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def utc(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def field(raw, scale=lambda value: value):
    code = codes.reason(raw)
    return {"reason": codes.REASONS[code]} if code else {"value": scale(raw)}


def readings(kind, record):
    """The Python codec's record in the words of docs/payload.md, as the JavaScript codec has to give it."""
    flags = record.flags
    common = {
        "kind": kind,
        "time": None if flags & codes.TIME_UNKNOWN else utc(record.mark),
        "time_unsure": bool(flags & codes.TIME_UNSURE),
        "low_battery": bool(flags & codes.LOW_BATTERY),
    }
    if kind == "health":
        rest = ("uptime", "queue", "dropped", "exceptions", "boots", "unsure", "adr_refused")
        names = ("uptime_s", "queue", "dropped", "exceptions", "boots", "clock_error_s", "adr_refused")
        version = f"{record.major}.{record.minor}.{record.patch}"
        values = {name: getattr(record, field_) for name, field_ in zip(names, rest, strict=True)}
        return common | values | {"battery_mv": field(record.battery), "reset_cause": record.cause, "version": version}
    if kind == "meter":
        days = []
        for back, day in enumerate(record.days):
            row = {"time": utc((record.day - back) * 86_400), "count": day.count, "unsure": bool(day.unsure)}
            row["hours"] = day.hours
            days.append(row | ({"least": day.least, "greatest": day.greatest} if day.hours else {}))
        leak, young = bool(flags & codes.LEAK), bool(flags & codes.EPOCH_YOUNG)
        return common | {
            "epoch": record.epoch,
            "count": record.now,
            "leak": leak,
            "epoch_young": young,
            "days": days,
        }
    rows = []
    for back, entry in enumerate(record.echoes if kind == "bin" else record.samples):
        row = {"time": utc(record.mark - back * KINDS[kind].STEP) if record.mark else None}
        if kind == "bin":
            row |= {"distance_mm": field(entry.distance), "spread_mm": entry.spread, "valid": entry.valid}
        else:
            row |= {name: field(getattr(entry, name)) for name in ("pm1", "pm25", "pm10")}
            row["temperature"] = field(entry.temperature, lambda raw: (raw - air.COLD) / 100)
            row["humidity"] = field(entry.humidity, lambda raw: raw / 100)
        rows.append(row)
    return common | {"readings": rows}


def test_every_vector():
    right = VECTORS["right"]
    answers = decode([(PORTS[each["kind"]], bytes.fromhex(each["hex"])) for each in right])
    for each, answer in zip(right, answers, strict=True):
        record = KINDS[each["kind"]].decode(bytes.fromhex(each["hex"]))
        assert answer == {"data": readings(each["kind"], record)}, each["why"]


def test_every_refusal_has_the_same_words():
    answers = decode([(PORTS[each["kind"]], bytes.fromhex(each["hex"])) for each in VECTORS["wrong"]])
    for each, answer in zip(VECTORS["wrong"], answers, strict=True):
        assert answer == {"data": {}, "errors": [each["error"]]}


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_read_or_refused_as_in_python(kind):
    rng = random.Random(kind)
    frames = []
    for _ in range(2_000):
        head = bytes([0x10, rng.choice((0, 1, 8, 16, 24, 56, rng.getrandbits(8)))]) + rng.randbytes(4)
        length = {"bin": 4, "air": 10}.get(kind, 1) * rng.randrange(1, 6)
        body = bytes(rng.choice((0, 1, 2, 5, 0x80, 0xFF, 0xFA, rng.getrandbits(8))) for _ in range(length))
        frames.append(
            head + (rng.randbytes(21) if kind == "health" else body + rng.randbytes(rng.choice((0, 0, 6, 9))))
        )
    outcomes = {"data": 0, "errors": 0}
    for data, answer in zip(frames, decode([(PORTS[kind], data) for data in frames]), strict=True):
        try:
            expected = {"data": readings(kind, KINDS[kind].decode(data))}
            outcomes["data"] += 1
        except codes.PayloadError as error:
            expected = {"data": {}, "errors": [str(error)]}
            outcomes["errors"] += 1
        except KeyError:  # a reason code of a later version: Python's table has no word for it
            continue
        assert answer == expected, data.hex()
    assert min(outcomes.values()) > 50, outcomes


def test_chirpstacks_own_engine_gives_the_same():
    """QuickJS, as a strict module and within its time, as devnet runs it; a codec's errors leave an event without an object."""
    script = CODEC.read_text()
    for each in VECTORS["right"]:
        data = bytes.fromhex(each["hex"])
        told = json_format.MessageToDict(engine.decode(script, data, PORTS[each["kind"]], 0, {}))
        assert told == readings(each["kind"], KINDS[each["kind"]].decode(data)), each["why"]
    for each in VECTORS["wrong"]:
        with pytest.raises(engine.CodecError) as refused:
            engine.decode(script, bytes.fromhex(each["hex"]), PORTS[each["kind"]], 0, {})
        assert each["error"] in str(refused.value)


def test_another_port_is_told():
    assert decode([(2, b"\x10")]) == [{"data": {}, "errors": ["fPort 2: 10, 20, 30 or 40 expected"]}]
