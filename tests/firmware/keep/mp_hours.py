"""Hours and days: closed lazily, once, never reopened, and only as far as they were lived through."""

from keep.hours import HOUR_MS, NO_FLOW, Hours

DAY0 = 20_600
MIDNIGHT = DAY0 * 24 * HOUR_MS


def at(hours, minutes=0):
    return MIDNIGHT + hours * HOUR_MS + minutes * 60_000


def test_a_day_with_flow_in_two_hours():
    hours = Hours()
    assert hours.advance(at(-1, 30), 100) == []
    assert hours.advance(at(0, 5), 103) == [(DAY0 - 1, 103, NO_FLOW, 0, 0, False)]  # its last hour was not seen whole
    count = 103
    for hour, pulses in ((3, 5), (17, 9)):
        for pulse in range(pulses):
            assert hours.advance(at(hour, 2 + 5 * pulse), count) == []
            count += 1
    assert hours.advance(at(24, 0), count) == [(DAY0, 117, 0, 9, 24, False)]


def test_count_at_midnight_is_the_count_before_the_pulse_that_woke():
    hours = Hours()
    hours.advance(at(-3), 7)
    assert hours.advance(at(2, 59), 7)[0][:2] == (DAY0 - 1, 7)


def test_leak_is_24_hours_seen_without_a_dry_one():
    hours = Hours()
    hours.advance(at(0, 10), 0)
    count = 0
    for hour in range(1, 25):
        hours.advance(at(hour, 30), count)
        count += 1
        assert not hours.leak
    days = hours.advance(at(25, 1), count)
    assert hours.leak and days == []
    hours.advance(at(27, 1), count)
    assert not hours.leak


def test_least_and_most_of_partly_seen_day():
    hours = Hours()
    hours.advance(at(20, 15), 50)
    hours.advance(at(21, 15), 60)  # 20 h was not whole: its 10 pulses are in no figure
    hours.advance(at(22, 15), 63)
    hours.advance(at(23, 15), 64)
    assert hours.advance(at(24, 1), 66) == [(DAY0, 66, 1, 3, 3, False)]


def test_several_days_in_one_gap():
    hours = Hours()
    hours.advance(at(-1), 5)
    days = hours.advance(at(49), 6)
    assert [day[:2] for day in days] == [(DAY0 - 1, 6), (DAY0, 6), (DAY0 + 1, 6)]
    assert days[1] == (DAY0, 6, 0, 0, 24, False)


def test_clock_set_back_closes_nothing_twice():
    hours = Hours()
    hours.advance(at(-2), 0)
    first = hours.advance(at(0, 1), 10)
    assert len(first) == 1
    assert hours.advance(at(-1, 59), 11) == []
    assert hours.advance(at(0, 30), 12) == []
    assert hours.advance(at(24, 1), 40)[0][0] == DAY0


def test_a_step_is_not_lived_through():
    hours = Hours()
    hours.advance(at(-1), 0)
    hours.advance(at(3, 10), 20)
    hours.stepped(at(30, 10), 25)  # forward over a midnight: none is recorded
    assert hours.advance(at(30, 50), 25) == []
    days = hours.advance(at(48, 1), 60)
    assert [(day[0], day[4]) for day in days] == [(DAY0 + 1, 17)]
    hours.stepped(at(40), 61)  # back: waits for hour 49
    assert hours.advance(at(47, 59), 62) == []
    assert hours.advance(at(49, 1), 63) == []
    assert hours.run == 0


def test_packs():
    hours = Hours()
    hours.advance(at(5, 5), 17)
    hours.advance(at(6, 5), 17)
    hours.advance(at(7, 5), 170_000)
    assert Hours(hours.pack()).pack() == hours.pack()
    assert hours.most == NO_FLOW - 1  # more than any meter can
