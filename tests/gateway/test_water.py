"""The index at a date, pure: segments, epochs, dial readings and counts in, one answer out."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from vigie.city import days, meters, rounds
from vigie.rows import Count, Dial, Segment, SiteRow

from tests.gateway.water_asked import DEV, M3, PARIS, RULES, T0, D, H, L, ask, counts, segment, utc

# the day


@pytest.mark.parametrize(
    ("day", "zone", "hours", "instant"),
    [
        ("2026-06-30", "Europe/Paris", 24, "2026-07-01"),
        ("2026-01-15", "Europe/Paris", 24, "2026-01-16"),
        ("2021-10-31", "Europe/Paris", 25, "2021-11-01"),
        ("2017-03-26", "Europe/Paris", 23, "2017-03-27"),
        ("2026-06-30", "UTC", 24, "2026-07-01"),
        ("2026-06-30", "America/Cayenne", 24, "2026-07-02"),
        ("2018-11-03", "America/Sao_Paulo", 24, "2018-11-05"),
        ("2018-11-04", "America/Sao_Paulo", 23, "2018-11-06"),  # begins at 01:00: the change takes its midnight
    ],
)
def test_a_day_is_as_long_as_its_clock_says_and_ends_at_the_next_utc_midnight(day, zone, hours, instant):
    found = days.local_day(date.fromisoformat(day), ZoneInfo(zone))
    assert (found.end_ns - found.start_ns, found.instant_ns) == (hours * H, utc(instant))


# read


def test_the_count_of_that_midnight_through_its_segment_is_read():
    found = ask(10, [segment()], counts((9, 1200), (10, 1234), (11, 1300)))
    assert (found.quality, found.index_ml, found.instant_ns) == ("read", 100 * M3 + 234 * 10 * L, T0 + 10 * D)
    assert (found.reason, found.from_ns, found.since_ns, found.at_least_ml) == ("", None, None, None)


def test_doubled_frames_are_one_count():
    once = counts((9, 1200), (10, 1234))
    assert ask(10, [segment()], once * 3) == ask(10, [segment()], once)


def test_a_count_before_its_anchor_is_read_too():
    found = ask(10, [segment(anchor_ns=T0 + 50 * D, anchor_count=2000)], counts((10, 1990)))
    assert (found.quality, found.index_ml) == ("read", 100 * M3 - 100 * L)


def test_counts_roll_over_at_32_bits():
    young = segment(anchor_count=2**32 - 100)
    found = ask(10, [young], counts((1, 2**32 - 50), (9, 2**32 - 1), (10, 20)))
    assert (found.quality, found.index_ml) == ("read", 100 * M3 + 120 * 10 * L)
    behind = segment(anchor_count=20, anchor_ns=T0 + 30 * D)
    found = ask(10, [behind], counts((10, 2**32 - 30), (29, 5)))
    assert (found.quality, found.index_ml) == ("read", 100 * M3 - 50 * 10 * L)


def test_a_count_whose_clock_was_unsure_is_an_estimate():
    found = ask(10, [segment()], [*counts((9, 1200)), Count(DEV, T0 + 10 * D, 1, 1234, unsure=True)])
    assert (found.quality, found.index_ml, found.from_ns, found.to_ns) == (
        "estimated",
        102_340_000,
        T0 + 10 * D,
        T0 + 10 * D,
    )
    assert "60 s" in found.reason


def test_a_foreign_device_is_read_within_three_hours_of_the_local_days_end():
    foreign = segment(epoch=None)
    # the day before the midnight of day 10 ends at 23:00 UTC in winter
    near = counts((9 + 20.1 / 24, 1200), (9 + 22.5 / 24, 1230), (10 + 1.75 / 24, 1240), (10.5, 1260), epoch=None)
    found = ask(10, [foreign], near)
    assert (found.quality, found.index_ml, found.instant_ns) == ("read", 102_300_000, T0 + 9 * D + 22 * H + H // 2)
    far = counts((9 + 19.9 / 24, 1200), (10 + 2.1 / 24, 1300), epoch=None)
    found = ask(10, [foreign], far)
    assert (found.quality, found.instant_ns) == ("estimated", T0 + 10 * D)
    assert ask(10, [foreign], far, rules=RULES._replace(foreign_ns=4 * H)).quality == "read"
    # one of ours is read at the midnight only; a foreign one that has epochs is known by its model
    ours = counts((9 + 22.5 / 24, 1230), (10.5, 1260))
    assert ask(10, [segment()], ours).quality == "estimated"
    assert ask(10, [segment()], ours, foreign=[DEV]).quality == "read"


# estimated


def test_between_two_counts_it_lies_on_the_line_rounded_down():
    found = ask(10, [segment()], counts((1, 1001), (8, 1100), (11, 1200), (12, 1300)))
    assert found.quality == "estimated"
    assert found.index_ml == 101 * M3 + 1 * M3 * 2 // 3
    assert (found.from_ns, found.from_ml, found.to_ns, found.to_ml) == (T0 + 8 * D, 101 * M3, T0 + 11 * D, 102 * M3)


def test_a_dial_reading_brackets_like_a_count():
    found = ask(10, [segment()], counts((8, 1100)), dials=[Dial("S1", "M1", T0 + 12 * D, 103 * M3, "R. 7")])
    assert (found.quality, found.index_ml, found.to_ns, found.to_ml) == ("estimated", 102 * M3, T0 + 12 * D, 103 * M3)
    found = ask(10, [segment()], [], dials=[Dial("S1", "M1", T0 + 10 * D, 103 * M3, "R. 7")])
    assert (found.quality, found.index_ml) == ("read", 103 * M3)


def test_a_count_that_is_a_pulse_behind_the_dial_before_it_does_not_turn_it_back():
    dials = [Dial("S1", "M1", T0 + 9 * D, 102_349 * L, "R. 7")]
    found = ask(10, [segment()], counts((8, 1230), (11, 1234)), dials)
    assert (found.quality, found.index_ml, found.to_ml) == ("estimated", 102_349 * L, 102_349 * L)


def test_a_hand_read_meter_is_estimated_between_its_dial_readings():
    dials = [Dial("S1", "M9", T0, 5 * M3, "R. 7"), Dial("S1", "M9", T0 + 20 * D, 7 * M3, "R. 7")]
    found = ask(10, [], [], dials)
    assert (found.quality, found.serial, found.dev_eui, found.index_ml) == ("estimated", "M9", "", 6 * M3)
    found = ask(30, [], [], dials)
    assert (found.quality, found.serial, found.since_ns, found.at_least_ml) == ("unread", "M9", T0 + 20 * D, 7 * M3)
    assert found.present
    # another meter in between: nothing is known
    assert ask(10, [], [], [dials[0], dials[1]._replace(serial="M8")]).quality == "unread"


def test_leaks_of_time_never_extrapolate():
    late = segment(since_ns=T0 + 5 * D, anchor_ml=None, anchor_ns=None, anchor_count=None, epoch=1, tolerance_l=0)
    found = ask(10, [late], counts((11, 1200), (12, 1300)))
    assert (found.quality, found.index_ml) == ("unread", None)


# a replaced meter, the ends of segments


OLD = segment(until_ns=T0 + 10 * D + 9 * H, out_ml=103 * M3)
NEW = Segment("S1", "M2", DEV, 1, 10 * L, 0, T0 + 10 * D + 9 * H, 1290, T0 + 10 * D + 9 * H, None, None, None)


def test_a_replaced_meter_is_bridged_by_its_segments_and_never_interpolated_across():
    heard = counts((8, 1200), (12, 1310))
    before = ask(10, [OLD, NEW], heard)
    # the old meter's index out is the reading after
    assert (before.serial, before.quality, before.to_ml) == ("M1", "estimated", 103 * M3)
    assert before.index_ml == 102 * M3 + M3 * (2 * 24) // (2 * 24 + 9)
    after = ask(11, [OLD, NEW], heard)
    # the new one's anchor is the reading before
    assert (after.serial, after.quality, after.from_ml, after.index_ml) == ("M2", "estimated", 0, 200 * L * 15 // 39)
    assert ask(12, [OLD, NEW], heard).index_ml == 200 * L


def test_counts_belong_to_the_segment_that_covers_their_time():
    no_anchor = NEW._replace(anchor_ml=None, anchor_ns=None, anchor_count=None)
    found = ask(12, [OLD, no_anchor], counts((8, 1200), (12, 1310)))
    assert (found.serial, found.quality) == ("M2", "unread")
    assert found.at_least_ml is None
    # a dial reading of the old meter says nothing of the new one
    found = ask(12, [OLD, no_anchor], counts((12, 1310)), [Dial("S1", "M1", T0 + 13 * D, 104 * M3, "R. 7")])
    assert found.quality == "unread"


def test_the_index_out_stands_for_the_instant_of_the_removal_and_for_none_after():
    gone = segment(until_ns=T0 + 10 * D, out_ml=103 * M3)
    found = ask(10, [gone], counts((9, 1200)))
    assert (found.quality, found.index_ml) == ("read", 103 * M3)
    found = ask(11, [gone], counts((9, 1200), (12, 1400)))
    assert (found.quality, found.serial, found.since_ns, found.present) == ("unread", "", T0 + 10 * D, False)
    assert found.reason == "meter M1 was taken out at 103 m³, no other is there"


def test_before_the_first_segment_and_without_any_there_is_a_reason():
    found = ask(3, [segment(since_ns=T0 + 5 * D)], counts((3, 1200)))
    assert (found.quality, found.reason) == (
        "unread",
        "the register has no meter here before M1 of 2026-01-06T00:00:00Z",
    )
    assert ask(3, [], counts((3, 1200))).reason == "the register has no meter here"


# count epochs

E2 = segment(epoch=2, since_ns=T0 + 10 * D, anchor_ml=None, anchor_ns=None, anchor_count=None)
E1 = segment(until_ns=T0 + 10 * D)
HEARD = counts((8, 1100), (9, 1200)) + counts((10.2, 1205), (12, 1300), (13, 1350), epoch=2)


def test_a_new_epoch_without_an_anchor_is_unread_and_at_least():
    found = ask(12, [E1, E2], HEARD)
    assert (found.quality, found.index_ml, found.since_ns) == ("unread", None, T0 + 10 * D)
    assert found.at_least_ml == 103 * M3
    assert "epoch 2" in found.reason
    # the register has not heard of it: the same, since its first count
    found = ask(12, [segment()], HEARD)
    assert (found.quality, found.since_ns, found.at_least_ml) == ("unread", int(T0 + 10.2 * D), 103 * M3)
    assert found.reason == "count epoch 2 is not in the register"


def test_a_count_that_began_anew_with_its_epoch_still_says_at_least():
    lower = counts((8, 1100), (9, 1200)) + counts((10.2, 5), (12, 25), epoch=2)
    found = ask(12, [E1, E2], lower)
    assert (found.quality, found.at_least_ml) == ("unread", 102 * M3 + 200 * L)


def test_a_tolerance_makes_it_an_estimate_that_says_so():
    found = ask(12, [E1, E2._replace(tolerance_l=150)], HEARD)
    assert (found.quality, found.index_ml) == ("estimated", 103 * M3)
    assert "up to 150 L more" in found.reason
    third = E2._replace(epoch=3, since_ns=T0 + 12.5 * D, tolerance_l=50)
    found = ask(
        13, [E1, E2._replace(tolerance_l=150, until_ns=third.since_ns), third], [*HEARD, *counts((13, 1350), epoch=3)]
    )
    assert (found.quality, found.index_ml) == ("estimated", 103_500 * L)
    assert "up to 200 L more" in found.reason


def test_an_anchor_in_the_new_epoch_ends_the_doubt():
    anchored = segment(epoch=2, since_ns=T0 + 10 * D, anchor_ml=110 * M3, anchor_ns=T0 + 10 * D, anchor_count=1205)
    found = ask(12, [E1, anchored], HEARD)
    assert (found.quality, found.index_ml) == ("read", 110 * M3 + 950 * L)
    # between the epochs of one meter, the anchor is the reading after
    found = ask(
        10, [E1._replace(until_ns=T0 + 11 * D), anchored._replace(since_ns=T0 + 11 * D, anchor_ns=T0 + 11 * D)], HEARD
    )
    assert (found.quality, found.to_ml) == ("estimated", 110 * M3)


def test_a_dial_reading_in_a_new_epoch_brackets_and_lifts_the_lower_bound():
    dials = [Dial("S1", "M1", T0 + 11 * D, 104 * M3, "R. 7")]
    found = ask(13, [E1, E2], HEARD, dials)
    # 50 pulses since the first count behind the dial reading
    assert (found.quality, found.at_least_ml) == ("unread", 104 * M3 + 500 * L)
    dials.append(Dial("S1", "M1", T0 + 15 * D, 106 * M3, "R. 7"))
    found = ask(13, [E1, E2], HEARD, dials)
    assert (found.quality, found.index_ml) == ("estimated", 105 * M3)


def test_segments_of_two_epochs_may_overlap():
    open_ended = segment()
    found = ask(12, [open_ended, E2], HEARD)
    assert (found.quality, found.at_least_ml, found.since_ns) == ("unread", 103 * M3, T0 + 10 * D)
    assert ask(9, [open_ended, E2._replace(since_ns=T0 + 8.5 * D)], HEARD).quality == "read"


def test_late_counts_of_an_older_epoch_are_no_new_one():
    found = ask(
        12,
        [E1, E2._replace(anchor_ml=110 * M3, anchor_ns=T0 + 10 * D, anchor_count=1205)],
        [*HEARD, *counts((12.5, 1201))],
    )
    assert (found.quality, found.reason) == ("read", "")


def test_epochs_roll_over_at_16_bits():
    old = E1._replace(epoch=65_535)
    heard = counts((9, 1200), epoch=65_535) + counts((12, 1300), epoch=0)
    found = ask(12, [old, E2._replace(epoch=0, tolerance_l=10)], heard)
    assert (found.quality, found.index_ml) == ("estimated", 103 * M3)


# silence


def test_a_device_that_fell_silent_says_since_when():
    found = ask(30, [segment()], counts((8, 1100), (9, 1200)))
    assert (found.quality, found.reason, found.since_ns) == ("unread", "no count since", T0 + 9 * D)
    assert (found.at_least_ml, found.present) == (102 * M3, True)
    found = ask(30, [segment()], [])
    assert (found.reason, found.since_ns, found.at_least_ml) == ("nothing heard since the anchor", T0, 100 * M3)


def test_a_device_that_was_never_heard_and_never_read_has_no_lower_bound():
    found = ask(30, [segment(anchor_ml=None, anchor_ns=None, anchor_count=None)], [])
    assert (found.quality, found.at_least_ml, found.since_ns) == ("unread", None, T0)


# as little as will do is read


def test_a_round_reads_near_the_instant_first_and_more_for_whom_that_left_open():
    names = [f"S{number}" for number in range(4)]
    devices = {name: f"{number:016x}" for number, name in enumerate(names)}
    heard = {
        "S0": [(day, 1000 + day) for day in range(1, 100)],
        "S1": [(day, 1000 + day) for day in range(1, 100) if not 55 <= day <= 65],
        "S2": [(day, 1000 + day) for day in range(1, 9)],
        "S3": [(day, 1000 + day if day != 59 else 0) for day in range(1, 100)],
    }
    stored = [Count(devices[name], T0 + day * D, 1, p) for name, pairs in heard.items() for day, p in pairs]
    asked = []

    def fetch(dev_euis, start, stop):
        asked.append((sorted(dev_euis), (stop - start) // D))
        return (one for one in stored if start <= one.time_ns < stop and one.dev_eui in dev_euis)

    rows = [SiteRow(name, "meter", "Q1", "", "", None, None, "") for name in names]
    segments = [segment(site=name, dev_eui=dev) for name, dev in devices.items()]
    day = days.local_day(date(2026, 3, 1), PARIS)
    found = rounds.index_round(
        meters.sites(rows, segments, []), day, RULES, frozenset(), T0 + 100 * D, fetch, lambda *_: None
    )
    assert [one.found.quality for one in found] == ["read", "estimated", "unread", "read"]
    assert [one.found.index_ml for one in found] == [100_600 * L, 100_600 * L, None, 100_600 * L]
    assert found[2].found.since_ns == T0 + 8 * D
    assert (found[1].found.from_ns, found[1].found.to_ns) == (T0 + 54 * D, T0 + 66 * D)
    ids = list(devices.values())
    # the silent one is settled once its last count is there and none can follow; the odd one needs all
    assert asked == [(ids, 6), (ids[1:], 85), (ids[2:], 440), (ids[3:], (T0 + 100 * D) // D)]
