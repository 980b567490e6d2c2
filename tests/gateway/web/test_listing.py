"""Who is in the list, in which state and order; what is known of each, whichever point comes first; 15,000 nodes."""

import runpy
import time
from pathlib import Path

import pytest
from vigie.errors import RegisterError
from vigie.points import Point
from vigie.rows import BinShape
from vigie.web.directory import Directory, Known, Meter
from vigie.web.latest import DAY_NS, Heard, Latest, Midnight, Stamped, days_used
from vigie.web.listing import PAGE, Wanted, entry, listing
from vigie.web.state import SCHEDULE_S, Seen, fill_percent, margin_db, seen, strength

NS = 10**9
NOW = 1_782_820_800 * NS
ROOT = Path(__file__).parents[3]


def link(dev_eui, age_s, **fields):
    return Point("raw", "link", "", dev_eui, {"dr": 5, "rssi": -80, "snr": 8.0, **fields}, NOW - age_s * NS)


def test_the_schedule_is_the_firmwares():
    board = runpy.run_path(str(ROOT / "firmware" / "schedule.py"))
    assert {kind: every // 1000 for kind, every in board["REPORT_EVERY"].items()} == SCHEDULE_S


@pytest.mark.parametrize(
    ("age_s", "interval_s", "state", "since_s"),
    [
        (0, 3600, "on_time", None),
        (4500, 3600, "on_time", None),
        (4501, 3600, "late", -4501 + 3600),
        (15_300, 3600, "late", -15_300 + 3600),
        (15_301, 3600, "silent", -15_301),
        (1200, 900, "on_time", None),
        (1201, 900, "late", -301),
        (-3600, 900, "on_time", None),
    ],
)
def test_seen_against_the_schedule(age_s, interval_s, state, since_s):
    expected = Seen(state, 0 if since_s is None else NOW + since_s * NS)
    assert seen(NOW - age_s * NS, NOW, interval_s) == expected


def test_never_heard():
    assert seen(None, NOW, 900) == Seen("never")


@pytest.mark.parametrize(
    ("dr", "snr", "word"),
    [(0, -17.0, "weak"), (0, -15.0, "fair"), (0, -10.0, "good"), (5, -3.0, "weak"), (5, 2.5, "good")],
)
def test_a_signal_is_judged_by_what_its_data_rate_needs(dr, snr, word):
    assert strength(margin_db(dr, snr)) == word


def test_a_rate_without_such_a_need_is_not_judged():
    assert margin_db(7, 3.0) is None


@pytest.mark.parametrize(("mm", "percent"), [(1500, 0), (1600, 0), (810, 50), (120, 100), (30, 100)])
def test_fill(mm, percent):
    assert fill_percent(BinShape("b", 1500, 120, 240), mm) == percent


def test_newer_points_win_whichever_comes_first():
    for order in (1, -1):
        latest = Latest()
        assert latest.take([link("a", 20, f_cnt=1), link("a", 10, f_cnt=2)][::order]) == {"a"}
        assert latest.node("a").link.fields["f_cnt"] == 2
    # the same point again may say more
    latest.take([link("a", 10, f_cnt=3)])
    assert latest.node("a").link.fields["f_cnt"] == 3


def midnight(back, count, epoch=1, **fields):
    at = NOW // DAY_NS * DAY_NS - back * DAY_NS
    return Point("daily", "meter", "", "a", {"count": count, "epoch": epoch, **fields}, at)


def test_a_meters_days_are_the_last_eight_midnights_and_nothing_finer():
    latest = Latest()
    latest.take(midnight(back, 100 - back) for back in range(12))
    latest.take([Point("hourly", "meter", "", "a", {"count": 5000, "epoch": 1}, NOW)])
    node = latest.node("a")
    assert node.kind == "meter"
    assert sorted(one.pulses for one in node.days.values()) == list(range(93, 101))
    assert 5000 not in {value for one in (node.reading, node.report) if one for value in one.fields.values()}


def test_days_used_names_holes_and_new_epochs():
    day = NOW // DAY_NS * DAY_NS
    days = {day: Midnight(9, 2, unsure=False)}
    days[day - DAY_NS] = Midnight(4, 2, unsure=True)
    days[day - 2 * DAY_NS] = Midnight(70, 1, unsure=False)
    days[day - 4 * DAY_NS] = Midnight(50, 1, unsure=False)
    assert [(used.pulses, used.reason, used.unsure) for used in days_used(days)] == [
        (None, "hole", False),
        (None, "hole", False),
        (None, "epoch", False),
        (5, "", True),
    ]
    assert list(days_used({})) == []


def test_litres_are_those_of_the_meter_that_was_there_all_day():
    day = NOW // DAY_NS * DAY_NS
    known = Known("s", "d", "meter", None, (Meter(0, day - 1, 10_000), Meter(day, None, 1000)))
    assert [known.ml_per_pulse(at) for at in (day - 2 * DAY_NS, day - DAY_NS, day)] == [10_000, None, 1000]


def test_filters_sorts_and_pages():
    heard = [Heard(f"{number:016x}", Stamped(NOW - number * 60 * NS, {}), kind="air") for number in range(120)]
    known = {heard[3].dev_eui: Known("A-3", "gare", "bin"), "f" * 16: Known("Z-9", "centre", "meter", 60)}
    made = listing(heard, known, Wanted(), NOW)
    assert (made.found, made.pages, len(made.entries)) == (121, 3, PAGE)
    assert made.counts == {"silent": 54, "late": 45, "never": 1, "on_time": 21}
    assert listing(heard, known, Wanted(page=99), NOW).page == 3
    assert [one.dev_eui for one in listing(heard, known, Wanted(q="GARE a-3"), NOW).entries] == [heard[3].dev_eui]
    assert [one.known.site for one in listing(heard, known, Wanted(kind="meter"), NOW).entries] == ["Z-9"]
    never = listing(heard, known, Wanted(state="never"), NOW)
    assert (never.found, never.counts["silent"]) == (1, 54)  # the other states' numbers stay, to choose from
    assert [one.known.site for one in listing(heard, known, Wanted(sort="site"), NOW).entries[:2]] == ["Z-9", "A-3"]
    assert listing(heard, known, Wanted(sort="seen"), NOW).entries[0].dev_eui == heard[0].dev_eui


def test_the_register_says_the_kind_and_the_interval():
    one = entry("a", Heard("a", Stamped(NOW - 100 * NS, {}), kind="air"), Known("s", "d", "bin", 30), NOW)
    assert (one.kind, one.interval_s, one.seen.state) == ("bin", 30, "on_time")
    assert entry("a", Heard("a", kind="air"), None, NOW).interval_s == 900
    assert entry("a", Heard("a"), None, NOW).interval_s == 86_400


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "/"),
        (
            {"kind": "bin", "state": "late", "sort": "site", "page": "3", "q": " a  b "},
            "/?q=a+b&kind=bin&state=late&sort=site&page=3",
        ),
        ({"kind": "x", "state": "'", "sort": "1", "page": "-1"}, "/"),
        ({"page": "99999999999999999999"}, "/"),
        ({"page": "²"}, "/"),
    ],
)
def test_an_address_is_taken_as_far_as_it_makes_sense(given, address):
    wanted = Wanted.of(given)
    assert wanted.address(page=wanted.page) == address


def test_the_register_is_read_now_and_then_and_kept_when_it_cannot_be():
    answers = iter([{"a": Known("s", "d", "air")}, RegisterError("register: away"), {}])
    now = [0.0]

    def load():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    directory = Directory(load, lambda: now[0])
    assert list(directory.known()) == ["a"]
    assert list(directory.known()) == ["a"]
    now[0] = 21.0
    assert list(directory.known()) == ["a"]
    now[0] = 42.0
    assert list(directory.known()) == []


def test_fifteen_thousand_nodes_are_listed_in_well_under_a_second():
    latest = Latest()
    euis = [f"{number:016x}" for number in range(15_000)]
    latest.take(link(name, number % 90_000) for number, name in enumerate(euis))
    known = {name: Known(f"S-{name}", "gare", ("meter", "bin", "air")[number % 3]) for number, name in enumerate(euis)}
    started = time.thread_time()  # processor time: other tests' processes may hold the cores
    made = listing(latest.nodes(), known, Wanted(q="gare", page=200), NOW)
    took = time.thread_time() - started
    assert (made.found, made.pages, len(made.entries)) == (15_000, 300, PAGE)
    print(f"15,000 nodes: a page of the list in {took * 1000:.0f} ms of processor time")
    assert took < 0.5
