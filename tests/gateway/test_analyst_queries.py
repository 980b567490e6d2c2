"""docs/analyst.md: every Flux query of the page run on a city whose truth is known, against the page's own tables and the truth."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.gateway import planted as city
from tests.gateway.support import Influx
from tools.setup.places import ROOT

PAGE = (ROOT / "docs" / "analyst.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (\d+)\. ([^\n]+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
QUERIES = {int(number): re.findall(r"```flux\n(.*?)```", text, re.DOTALL)[0] for number, _, text in SECTIONS}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    with city.planted(tmp_path_factory.mktemp("city")) as (influx, settings):
        yield influx, settings


@pytest.fixture
def influx(planted) -> Influx:
    return planted[0]


def table(text: str) -> list[dict[str, str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def day(number: int) -> str:
    return f"2026-10-{20 + number}T00:00:00Z"


@pytest.mark.parametrize(("number", "title", "text"), SECTIONS, ids=[one[0] for one in SECTIONS])
def test_the_page_says_what_the_query_finds(number, title, text, influx: Influx):
    expected = table(text)
    found = influx.lines(QUERIES[int(number)])
    assert [{name: row[name] for name in expected[0]} for row in found] == expected, title


def test_there_are_ten_and_more():
    assert list(QUERIES) == list(range(1, len(SECTIONS) + 1))
    assert len(QUERIES) >= 10
    assert PAGE.count("```flux") == len(QUERIES)


def test_water_by_day_and_district_is_the_truth_where_the_day_was_seen(influx: Influx):
    unknown = {("M-2", city.EPOCH_LOST[0]), ("M-3", 2), ("M-3", 3)}
    truth: dict[tuple[str, str], list[float]] = {}
    for site, used in city.USED.items():
        for number, pulses in enumerate(used):
            if (site, number) not in unknown:
                _, district, _, litres = city.NODES[site]
                truth.setdefault((day(number), district), []).append(pulses * litres)
    found = {
        (row["_time"], row["district"]): (float(row["litres"]), int(row["meters"])) for row in influx.lines(QUERIES[1])
    }
    assert found == {key: (sum(values), len(values)) for key, values in truth.items()}


@pytest.mark.parametrize("zone", ["Europe/Paris", "Europe/Moscow"])
@pytest.mark.parametrize(("start", "hours"), city.HOURS.items(), ids=["autumn", "spring"])
def test_local_days_have_23_and_25_hours_and_add_up(start, hours, zone, influx: Influx):
    end = start + timedelta(hours=hours, seconds=1)
    span = f"range(start: {start:%Y-%m-%dT%H:%M:%SZ}, stop: {end:%Y-%m-%dT%H:%M:%SZ})"
    query = re.sub(r"range\([^)]*\)", span, QUERIES[11]).replace("Europe/Paris", zone)
    found = influx.lines(query)
    assert sum(int(row["hours"]) for row in found) == hours
    assert sum(int(row["pulses"]) for row in found) == sum(city.HOUR_USED[:hours])
    if zone == "Europe/Paris":
        assert [int(row["hours"]) for row in found] == [24, hours - 48, 24]
        bounds = [0, 24, hours - 24, hours]
        truth = [sum(city.HOUR_USED[first:last]) for first, last in pairwise(bounds)]
        assert [int(row["pulses"]) for row in found] == truth


def test_lost_repeated_and_sessions_are_the_truth(influx: Influx):
    found = {row["dev_eui"]: row for row in influx.lines(QUERIES[8])}[city.DEV["B-1"]]
    first, second = ({f_cnt for f_cnt, _, _ in frames} for frames in (city.FRAMES, city.REJOINED))
    lost = set(range(min(first), max(first) + 1)) - first, set(range(max(second) + 1)) - second
    assert int(found["lost"]) == sum(map(len, lost)) == 4
    assert int(found["received"]) == len(first) + len(second)
    assert int(found["repeated"]) == len(city.FRAMES) - len(first) == 1


def test_no_consumption_crosses_an_epoch(influx: Influx):
    found = [
        (int(row["epoch"]), int(row["pulses"]))
        for row in influx.lines(QUERIES[12])
        if row["dev_eui"] == city.DEV["M-2"]
    ]
    lost = city.EPOCH_LOST[0]
    assert found == [(3, sum(city.USED["M-2"][:lost])), (4, sum(city.USED["M-2"][lost + 1 :]))]


def test_the_trend_of_a_battery_lives_with_gaps(influx: Influx):
    found = {row["dev_eui"]: float(row["millivolts_per_30_days"]) for row in influx.lines(QUERIES[9])}
    assert found == {city.DEV["B-1"]: pytest.approx(-60, abs=1e-6), city.DEV["M-1"]: pytest.approx(0, abs=1e-6)}


def test_the_python_example_prints_what_the_page_says(planted, tmp_path):
    settings = planted[1]
    file = tmp_path / "vigie.toml"
    file.write_text(
        f"[influxdb]\nurl = '{settings.influxdb.url}'\nread_token_file = '{settings.influxdb.read_token_file}'\n"
    )
    code, said = re.search(r"```python\n([^`]*)```\n\n((?:    .*\n)+)", PAGE).groups()
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "gateway"), "VIGIE_SETTINGS": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.stderr == ""
    assert told.stdout == re.sub("^    ", "", said, flags=re.MULTILINE)
