"""A node's readings as a chart: litres of days, fill, hourly means; what is missing is said and never drawn over."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from vigie.rows import BinShape
from vigie.web import charts
from vigie.web.directory import Known, Meter
from vigie.web.language import languages

EN = languages(ZoneInfo("Europe/Paris"))["en"]
DAY = datetime(2026, 6, 30, tzinfo=UTC)
DAY_NS = 86_400 * 10**9


def at(**span):
    return DAY + timedelta(**span)


def said(chart):
    return [(*row.values, row.note) for row in chart.rows]


def midnights(*counts, epoch=1):
    return [
        {"time": at(days=day), "count": count, "epoch": epoch} for day, count in enumerate(counts) if count is not None
    ]


def known(*meters):
    return Known("s", "d", "meter", None, meters)


def test_a_meters_days_are_litres():
    chart = charts.meter(midnights(5, 10, 10, 12), known(Meter(0, None, 10_000)), EN)
    assert said(chart) == [(50.0, ""), (0.0, ""), (20.0, "")]
    assert (chart.unit, chart.columns, chart.daily) == ("L", ("Litres",), True)
    assert chart.statistics(EN) == [("Litres", "Least 0, mean 23.3, greatest 50 L; 3 values")]


def test_a_missing_midnight_a_new_epoch_and_an_unsure_one_are_said():
    points = [
        *midnights(5, None, 9),
        {"time": at(days=3), "count": 1, "epoch": 2},
        {"time": at(days=4), "count": 3, "epoch": 2, "time_unsure": True},
    ]
    chart = charts.meter(points, known(Meter(0, None, 1000)), EN)
    assert said(chart) == [
        (None, "a midnight's count is missing"),
        (None, "a midnight's count is missing"),
        (None, "the count began anew"),
        (2.0, "time uncertain"),
    ]


def test_a_replaced_meter_has_its_own_litres_and_the_day_between_has_none():
    day = charts.ns(DAY)
    meters = (Meter(0, day + DAY_NS + 1000, 10_000), Meter(day + DAY_NS + 2000, None, 1000))
    assert said(charts.meter(midnights(0, 5, 10, 15), known(*meters), EN)) == [
        (50.0, ""),
        (None, "the register has no meter for this day"),
        (5.0, ""),
    ]


def test_without_a_register_pulses_are_pulses():
    chart = charts.meter(midnights(5, 10), None, EN)
    assert (said(chart), chart.unit, chart.columns) == ([(5.0, "")], "pulses", ("Pulses",))


@pytest.mark.parametrize(("shape", "values"), [(BinShape("b", 1500, 120, 240), (50.0, 100.0)), (None, (810.0, 100.0))])
def test_a_bin_shows_its_failures_and_its_gaps(shape, values):
    points = [
        {"time": at(hours=0), "distance": 810},
        {"time": at(hours=1), "distance_reason": 5},
        {"time": at(hours=4), "distance": 100, "time_unsure": True},
    ]
    chart = charts.bin_(points, shape, EN)
    assert said(chart) == [
        (values[0], ""),
        (None, "no value: no echo"),
        (None, "no reading came"),
        (None, "no reading came"),
        (values[1], "time uncertain"),
    ]
    assert chart.most == (100 if shape else None)


def quarter(minutes, pm25, pm10, **fields):
    return {"time": at(minutes=minutes), "pm25": pm25, "pm10": pm10, **fields}


def test_an_hours_mean_is_of_the_readings_it_has_and_says_how_many():
    points = [quarter(15 * number, 4 + number, 10) for number in range(4)]
    points += [quarter(60, 8, 20), quarter(75, None, 22, pm25_reason=2)]
    points += [quarter(240, None, None, pm25_reason=3)]
    chart = charts.air(points, EN)
    assert said(chart) == [
        (5.5, 10.0, ""),
        (8.0, 21.0, "1 of 4 readings"),
        (None, None, "no reading came"),
        (None, None, "no reading came"),
        (None, None, "no value: bad checksum"),
    ]
    assert [name for name, _ in chart.statistics(EN)] == ["PM2.5", "PM10"]


def test_no_reading_is_an_empty_chart():
    assert charts.air([], EN).rows == charts.bin_([], None, EN).rows == charts.meter([], None, EN).rows == []
    assert charts.air([], EN).statistics(EN) == []


@pytest.mark.parametrize(("last", "end"), [({"hours": 5, "minutes": 20}, 6), ({"hours": 23, "minutes": 59}, 24)])
def test_a_span_ends_with_the_hour_and_begins_at_a_midnight(last, end):
    since, until = charts.span_s(charts.ns(at(**last)), 7)
    assert (since, until) == (int(at(days=-7).timestamp()), int(at(hours=end).timestamp()))
