"""Every day's index of two years that were planted through the writer into a real InfluxDB, against the truth."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from vigie import query
from vigie.city import days, meters, rounds, water
from vigie.register import import_sheet, kind_named
from vigie.register.store import Origin

from tests.gateway.two_years import (
    CHANGED,
    CUT,
    DEVS,
    END,
    EPOCH,
    GAP,
    HEAD,
    HOLE,
    LOST,
    MUTE,
    NS,
    PLAIN,
    SILENT,
    START,
    YEARS,
    D,
    H,
    dial,
    segment,
)

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture(scope="module")
def city(make_two_years):
    return make_two_years()


def known(city):
    with city.register() as register:
        return meters.sites(register.sites(), register.segments(), register.dials())


def local(number):
    """The local day whose index is that of midnight `number` after the start."""
    found = days.local_day(datetime.fromtimestamp((START + number * D) // NS, UTC).date() - timedelta(days=1), PARIS)
    assert found.instant_ns == START + number * D
    return found


def heard(city):
    """All counts that InfluxDB has, by device and time."""
    by_device = {dev: [] for dev in DEVS}
    for one in query.read_counts(city.settings, (START - D, END + D), DEVS):
        by_device[one.dev_eui].append(one)
    for counts in by_device.values():
        counts.sort(key=lambda one: one.time_ns)
        assert len({one.time_ns for one in counts}) == len(counts)
    return by_device


def every_day(city, *names):
    """{site: [answer of midnight 1, 2, ...]}, each asked for as a round does."""
    stored = heard(city)
    times = {dev: [one.time_ns for one in counts] for dev, counts in stored.items()}

    def fetch(dev_euis, start, stop):
        for dev in dev_euis:
            yield from stored[dev][bisect_left(times[dev], start) : bisect_left(times[dev], stop)]

    sites = [site for site in known(city) if not names or site.site in names]
    found = {site.site: [] for site in sites}
    for number in range(1, YEARS + 1):
        for one in ask(sites, number, fetch):
            found[one.site].append(one)
    return found


def ask(sites, number, fetch):
    made = rounds.index_round(sites, local(number), meters.Rules(), frozenset(), END + D, fetch, lambda *_: None)
    return [one.found for one in made]


@pytest.fixture(scope="module")
def answers(city):
    return every_day(city)


def check(found, dev, expected):
    """Each answer against the truth; `expected(midnight number) -> quality`."""
    for number, one in enumerate(found, 1):
        at = START + number * D
        assert (one.instant_ns, one.quality) == (at, expected(number)), (number, one)
        if one.quality == "read":
            assert one.index_ml == dial(dev, at) * 1000
        elif one.quality == "estimated":
            assert one.from_ns < at < one.to_ns
            assert (one.from_ml, one.to_ml) == (dial(dev, one.from_ns) * 1000, dial(dev, one.to_ns) * 1000)
            assert one.from_ml <= one.index_ml <= one.to_ml
        else:
            assert one.index_ml is None and one.reason
            assert one.at_least_ml <= dial(dev, at) * 1000


def test_both_clock_changes_lie_in_the_two_years():
    spans = [(local(number).end_ns - local(number).start_ns) // H for number in range(1, YEARS + 1)]
    # changes lie 364 or 371 days apart: by the day of the year on which this runs it is one to three of each
    assert all(1 <= spans.count(hours) <= 3 for hours in (23, 25))
    assert {local(number).instant_ns - local(number).end_ns for number in range(1, YEARS + 1)} == {H, 2 * H}


def test_each_day_of_a_meter_that_was_heard_is_the_truth(answers):
    check(answers["S0"], PLAIN, lambda number: "read")
    assert {one.serial for one in answers["S0"]} == {"M0"}


def test_a_replaced_meter_has_the_index_of_the_one_that_hangs_there(answers):
    check(answers["S1"], CHANGED, lambda number: "read")
    assert [one.serial for one in answers["S1"]] == ["M1"] * 400 + ["M1b"] * (YEARS - 400)
    assert answers["S1"][400].index_ml < answers["S1"][399].index_ml


def test_a_hole_of_ten_days_is_estimated_between_its_edges(answers):
    check(answers["S3"], GAP, lambda number: "estimated" if number in HOLE else "read")
    edges = {(one.from_ns, one.to_ns) for one in answers["S3"] if one.quality == "estimated"}
    assert edges == {(START + (HOLE[0] - 1) * D, START + (HOLE[-1] + 1) * D)}


def test_a_node_that_fell_silent_is_unread_since_then(answers):
    check(answers["S4"], MUTE, lambda number: "read" if number <= 700 else "unread")
    assert {(one.since_ns, one.at_least_ml) for one in answers["S4"][700:]} == {(SILENT, dial(MUTE, SILENT) * 1000)}


def test_a_count_epoch_is_unread_until_a_person_has_looked_at_the_dial(city, answers):
    check(answers["S2"], CUT, lambda number: "read" if number <= 500 else "unread")
    first = START + 501 * D
    for one in answers["S2"][500:]:
        assert (one.since_ns, one.reason) == (first, "count epoch 2 is not in the register")
        assert one.at_least_ml == (dial(CUT, one.instant_ns) - 10 * LOST) * 1000
    looked = START + 520 * D + 10 * H
    accepted = HEAD + segment(2, "M2", EPOCH, epoch=2, tolerance=400)
    anchored = HEAD + segment(2, "M2", EPOCH, epoch=2, anchor=looked)
    with city.register() as register:
        import_sheet(register, kind_named("segments"), accepted.encode(), Origin("clerk", "segments"))
    found = every_day(city, "S2")["S2"]
    assert [one.quality for one in found] == ["read"] * 500 + ["estimated"] * (YEARS - 500)
    for one in found[500:]:
        assert "up to 400 L more" in one.reason
        assert one.index_ml <= dial(CUT, one.instant_ns) * 1000 <= one.index_ml + 400_000
    with city.register() as register:
        import_sheet(
            register, kind_named("segments"), anchored.encode(), Origin("clerk", "segments", "the dial was read")
        )
    check(every_day(city, "S2")["S2"], CUT, lambda number: "read")


def test_a_round_that_reads_little_gives_the_answers_of_one_that_reads_all(city):
    everything, sites, read = heard(city), known(city), []

    def fetch(dev_euis, start, stop):
        for one in query.read_counts(city.settings, (start, stop), dev_euis):
            read.append(one)
            yield one

    for number in (1, 299, 304, 310, 400, 401, 500, 501, 700, 701, YEARS):
        assert ask(sites, number, fetch) == [
            water.index_of(site, local(number), everything, meters.Rules(), frozenset()).found for site in sites
        ]
    # near the eleven midnights of each meter; a hole's surroundings once; all of the silent one three times, with those of its span
    assert len(read) < 11 * 5 * 7 + 91 + 2 * (700 + 91)
