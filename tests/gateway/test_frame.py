"""`vigie.frame`: every measurement with its types, nothing that is absent made up, integers exact, large spans streamed."""

import itertools
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
import vigie
from influxdb_client.client.query_api import QueryApi
from vigie.errors import InfluxError, UsageError
from vigie.frames import _table
from vigie.points import SCHEMA, line
from vigie.query import Query, Value, read_values
from vigie.settings import Influxdb, Settings
from vigie.writer import InfluxWriter

from tests.gateway import planted as city
from tools.setup.places import ROOT

DTYPES = {int: "Int64", float: "Float64", bool: "boolean", str: "string"}
SPAN = {"since": "2026-01-01", "until": city.NOW}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    with city.planted(tmp_path_factory.mktemp("city")) as (_, settings):
        yield settings


def plant(settings: Settings, bucket: str, lines: list[str]) -> None:
    writer = InfluxWriter(settings.influxdb, Path(settings.influxdb.write_token_file).read_text().strip())
    assert writer.write(bucket, lines).status == 204


@pytest.mark.parametrize("measurement", SCHEMA)
def test_every_measurement_has_the_types_of_the_schema(measurement, settings):
    found = vigie.frame(measurement, settings=settings, **SPAN)
    assert found.index.name == "time"
    assert str(found.index.dtype) == "datetime64[ns, UTC]"
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
        "dev_eui": "string",
        **{name: DTYPES[kind] for name, kind in SCHEMA[measurement].fields.items()},
    }
    assert found.index.is_monotonic_increasing
    if measurement in {"ack", "txack", "log", "status"}:  # nothing of these is planted: a table without rows
        assert len(found) == 0
    else:
        assert len(found) > 0


def test_what_is_absent_is_na_with_its_reason_and_no_integer_is_a_float(settings):
    bins = vigie.frame("bin", city.DEV["B-1"], settings=settings, **SPAN)
    assert len(bins) == 24
    assert bins["distance"].isna().sum() == bins["distance_reason"].notna().sum() == 1
    failed = bins[bins["distance"].isna()].iloc[0]
    assert failed["distance"] is pd.NA
    assert (failed["distance_reason"], failed["valid"]) == (5, 0)
    assert [value for value in bins["distance"] if value is not pd.NA] == [800 - 20 * n for n in range(24) if n != 9]
    assert bins["time_unsure"].isna().all()


def test_the_counts_are_the_truth_to_the_last_pulse(settings):
    found = vigie.frame("meter", city.DEV["M-4"].upper(), settings=settings, **SPAN)
    truth = [city.FIRST["M-4"] + sum(city.USED["M-4"][:number]) for number in range(8)]
    assert list(found["count"]) == truth
    assert list(found.index) == city.MIDNIGHTS
    both = vigie.frame("meter", city.DEV["M-1"], settings=settings, **SPAN)
    assert len(both) == len(city.MIDNIGHTS) + sum(hours + 1 for hours in city.HOURS.values())
    assert both["least"].notna().sum() == len(city.MIDNIGHTS)


def test_integers_beyond_a_float_and_empty_texts_and_nanoseconds_stay(settings):
    dev_eui, at = "70b3d57ed00000f1", city.ns(city.NOW - timedelta(days=9)) + 123_456_789
    said = 'a "quote", a comma\nand a second line'
    plant(
        settings,
        "raw",
        [
            line("meter", dev_eui, {"count": 2**53 + 1, "epoch": 0}, at),
            line("meter", dev_eui, {"epoch": 1}, at + 1),
            line("log", dev_eui, {"level": "INFO", "code": "", "description": said}, at),
        ],
    )
    raw = settings.model_copy(update={"buckets": settings.buckets.model_copy(update={"hourly": "raw"})})
    found = vigie.frame("meter", dev_eui, settings=raw, **SPAN)
    assert [index.value for index in found.index] == [at, at + 1]
    assert found["count"].iloc[0] == 2**53 + 1
    assert found["count"].iloc[1] is pd.NA
    log = vigie.frame("log", dev_eui, settings=settings, **SPAN)
    assert (log["code"].iloc[0], log["description"].iloc[0]) == ("", said)
    assert log["level"].iloc[0] == "INFO"


def test_since_and_until_are_exact_and_know_their_zone(settings):
    first, last = city.MIDNIGHTS[2], city.MIDNIGHTS[5]
    whole = vigie.frame("meter", city.DEV["M-2"], since=first, until=last, settings=settings)
    assert list(whole.index) == city.MIDNIGHTS[2:5]
    paris = timezone(timedelta(hours=2))
    local = vigie.frame(
        "meter", city.DEV["M-2"], since=first.astimezone(paris), until="2026-10-25T02:00:00+02:00", settings=settings
    )
    assert list(local.index) == city.MIDNIGHTS[2:5]
    after = first + timedelta(microseconds=1)
    assert (
        vigie.frame("meter", city.DEV["M-2"], since=after, until=last, settings=settings).index[0] == city.MIDNIGHTS[3]
    )
    recent = vigie.frame("meter", city.DEV["M-2"], since="20y", settings=settings)
    assert len(recent) == len(city.MIDNIGHTS)


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (("metre",), {}, "there is no measurement 'metre'; docs/schema.md has meter, bin"),
        (("air", "a1"), {}, "'a1' is not a DevEUI"),
        (("air",), {"since": "soon"}, "'soon': give a span"),
        (("air",), {"until": "then"}, "until 'then': give"),
        (("air",), {"since": datetime(2999, 1, 1, tzinfo=UTC)}, "lies in the future"),
    ],
)
def test_a_wrong_word_is_one_sentence(words, more, said, settings):
    with pytest.raises(UsageError) as refused:
        vigie.frame(*words, settings=settings, **more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_influxdb_that_is_not_there_is_named(settings):
    away = settings.model_copy(
        update={"influxdb": Influxdb(url="http://127.0.0.1:9", read_token_file=settings.influxdb.read_token_file)}
    )
    with pytest.raises(InfluxError, match=r"127\.0\.0\.1:9"):
        vigie.frame("air", settings=away)


def test_without_pandas_it_says_what_to_install():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import vigie\n"
        "try: vigie.frame('air')\n"
        "except vigie.errors.UsageError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "gateway", capture_output=True, text=True, timeout=60, check=False
    )
    assert told.stdout == "frame: pandas is not installed; pip install 'vigie[frame]'\n", told.stderr


def test_a_long_span_is_read_as_it_comes(settings, monkeypatch):
    taken = []

    def endless(_api, _flux):
        yield ["#datatype", "string", "long", "dateTime:RFC3339", "string", "string", "long"]
        yield ["", "result", "table", "_time", "dev_eui", "_field", "_value"]
        for number in itertools.count():
            taken.append(number)
            yield ["", "", "0", f"2026-10-26T00:00:{number % 60:02}Z", city.DEV["B-1"], "distance", str(number)]

    monkeypatch.setattr(QueryApi, "query_csv", endless)
    values = read_values(settings, Query("bin", None, "2d"), "-2d", "2d", "raw")
    assert [value.text for value in itertools.islice(values, 3)] == ["0", "1", "2"]
    assert len(taken) == 3
    values.close()


def test_an_answer_that_breaks_off_is_no_short_table(settings, monkeypatch):
    def broken(_api, _flux):
        yield ["#datatype", "string", "long", "dateTime:RFC3339", "string", "string", "long"]
        yield ["", "result", "table", "_time", "dev_eui", "_field", "_value"]
        yield ["", "", "0", "2026-10-26T00:00:00Z", city.DEV["B-1"], "distance", "7"]
        yield ["#datatype", "string", "string"]
        yield ["", "error", "reference"]
        yield ["", "memory allocation limit reached", "897"]

    monkeypatch.setattr(QueryApi, "query_csv", broken)
    with pytest.raises(InfluxError, match="memory allocation limit reached, 897; ask for a shorter span"):
        vigie.frame("bin", settings=settings)


def test_a_value_is_kept_in_eight_bytes_until_its_table_is_made():
    values = (Value("distance", "00000000000000a0", number, str(1000 + number)) for number in range(5000))
    tracemalloc.start()
    try:
        found = _table("bin", values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 5000
    assert peak / 5000 < 400  # a dictionary a row takes 600 and more
