"""Readings that do not fit (a failed look-up is not zero, counters that start again), and random meters against their truth."""

import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vigie.city import readings
from vigie.rows import Count, Dial

from tests.gateway.water_asked import M3, RULES, T0, D, L, ask, counts, segment


def test_a_look_up_that_failed_is_named_and_not_used():
    foreign = segment(epoch=None, ml_per_pulse=L, anchor_ml=299_000 * L, anchor_count=299_000)
    heard = counts((1, 299_100), (8, 300_000), (9, 0), (10, 1000), (11, 300_020), (12, 300_040), epoch=None)
    found = ask(10, [foreign], heard)
    assert (found.quality, found.index_ml, found.from_ml, found.to_ml) == (
        "estimated",
        300_000 * L + 20 * L * 2 // 3,
        300_000 * L,
        300_020 * L,
    )
    assert found.reason == "no count at that instant; count 0 of 2026-01-10T00:00:00Z does not fit: reset?"


def test_a_leap_beyond_the_greatest_flow_is_named_and_not_used():
    # 76 m³ in a day and a minute: 75.05 m³ is the most that 3.125 m³/h let pass
    found = ask(10, [segment()], counts((9, 1000), (10, 1000 + 7600), (11, 1010)))
    assert (found.quality, found.index_ml) == ("estimated", 100_050 * L)
    assert "count 8600 of 2026-01-11T00:00:00Z does not fit: reset?" in found.reason
    assert ask(10, [segment()], counts((9, 1000), (10, 1000 + 7505), (11, 8600))).quality == "read"


def test_two_values_for_one_instant_are_not_believed_unless_one_fits():
    both = counts((9, 1200), (10, 1234), (10, 1236), (11, 1300))
    found = ask(10, [segment()], both)
    assert (found.quality, found.from_ml, found.to_ml) == ("estimated", 102 * M3, 103 * M3)
    found = ask(10, [segment()], counts((9, 1200), (10, 1234), (10, 0), (11, 1300)))
    assert (found.quality, found.index_ml) == ("read", 102_340 * L)


def test_nothing_is_believed_behind_a_counter_that_began_again():
    foreign = segment(epoch=None, anchor_count=0)
    first = [(day, 40 * day) for day in range(1, 21)]
    again = [(day, 30 * (day - 21)) for day in range(21, 90)]  # and so past the 800 pulses of before
    heard = counts(*first, *again, epoch=None)
    assert ask(20, [foreign], heard).index_ml == 100 * M3 + 8000 * L
    for at in (21, 30, 60):
        found = ask(at, [foreign], heard)
        assert (found.quality, found.at_least_ml) == ("unread", 108 * M3)
        assert found.reason == "count 0 of 2026-01-22T00:00:00Z does not fit: reset?"
        assert found.since_ns == T0 + 21 * D
    # the register vouches again
    anew = segment(epoch=None, since_ns=T0 + 21 * D, anchor_ns=T0 + 21 * D, anchor_ml=108 * M3, anchor_count=0)
    found = ask(30, [foreign._replace(until_ns=T0 + 21 * D), anew], heard)
    assert (found.quality, found.index_ml) == ("read", 108 * M3 + 9 * 300 * L)


def test_a_slip_of_the_pen_is_outvoted_by_the_counts():
    dials = [Dial("S1", "M1", T0 + 10 * D, 12 * M3, "R. 7")]
    found = ask(11, [segment()], counts((9, 1200), (12, 1300)), dials)
    assert (found.quality, found.from_ml, found.to_ml) == ("estimated", 102 * M3, 103 * M3)
    assert "dial 12000 L of 2026-01-11T00:00:00Z does not fit" in found.reason


def test_two_readings_that_contradict_each_other_are_neither_believed():
    no_anchor = segment(anchor_ml=None, anchor_ns=None, anchor_count=None)
    dials = [Dial("S1", "M1", T0 + 9 * D, 50 * M3, "R. 7"), Dial("S1", "M1", T0 + 12 * D, 40 * M3, "R. 8")]
    found = ask(10, [no_anchor], [], dials)
    assert (found.quality, found.index_ml) == ("unread", None)


def test_a_node_that_fell_silent_stays_silent_beside_a_slip_of_the_pen():
    dials = [Dial("S1", "M1", T0 + 40 * D, 12 * M3, "R. 7")]
    found = ask(30, [segment()], counts((8, 1100), (9, 1200)), dials)
    assert (found.quality, found.since_ns) == ("unread", T0 + 9 * D)
    assert found.reason == "no count since; dial 12000 L of 2026-02-10T00:00:00Z does not fit: reset?"


def test_a_new_node_at_the_same_meter_goes_on_where_the_old_one_ended():
    other = "00000000000000c2"
    second = segment(dev_eui=other, since_ns=T0 + 20 * D, anchor_ns=T0 + 20 * D, anchor_ml=105 * M3, anchor_count=7)
    found = ask(18, [segment(until_ns=T0 + 19 * D), second], counts((16, 1400)) + counts((21, 17), dev=other))
    assert (found.quality, found.from_ml, found.to_ml) == ("estimated", 104 * M3, 105 * M3)
    found = ask(21, [segment(until_ns=T0 + 19 * D), second], counts((16, 1400)) + counts((21, 17), dev=other))
    assert (found.quality, found.dev_eui, found.index_ml) == ("read", other, 105_100 * L)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=1, max_size=7))
def test_what_is_believed_is_what_every_heaviest_chain_has(drawn):
    made = [
        readings.Reading(T0 + day * D, 100 * M3 + step * 30 * M3, "anchor" if sure else "count", ("d", 1, 0))
        for day, step, sure in drawn
    ]
    ordered = sorted(set(made), key=lambda one: (one.time_ns, one.ml))
    weight, best = 0, []
    for size in range(1, len(ordered) + 1):
        for some in combinations(range(len(ordered)), size):
            chain = [ordered[n] for n in some]
            if all(readings.fits(a, b, RULES.q4_ml_per_h) for a, b in pairwise(chain)):
                heavy = sum(1_000_000 if one.trusted else 1 for one in chain)
                best = [*(best if heavy == weight else []), set(some)] if heavy >= weight else best
                weight = max(weight, heavy)
    assert readings._chain(ordered, RULES.q4_ml_per_h) == set.intersection(*best)
    judged = readings.judge(made, RULES.q4_ml_per_h)
    assert sorted([*judged.used, *judged.odd]) == sorted(set(made))


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_to_a_meter_no_answer_is_wrong(seed):
    """Pulses lost at new epochs, meters and nodes replaced, midnights not heard, dials read: the register knows some of it."""
    chance = random.Random(seed)
    span = 60
    truth, dial, count, epoch, serial, node = {}, 50_000 * L, 900, 1, 1, 1
    segments, heard, dials, lost = [], [], [], 0

    def begin(at, *, known):
        if segments:
            segments[-1] = segments[-1]._replace(until_ns=at)
        anchor = (dial, at, count) if known else (None, None, None)
        made = segment(serial=f"M{serial}", dev_eui=f"{node:016x}", epoch=epoch, since_ns=at)
        segments.append(made._replace(anchor_ml=anchor[0], anchor_ns=anchor[1], anchor_count=anchor[2]))

    begin(T0, known=True)
    for day in range(1, span + 1):
        middle = T0 + (day - 1) * D + D // 2
        for half in (0, 1):
            flow = chance.choice((0, 3, 20, 60))
            dial, count = dial + flow * 10 * L, count + flow
            if half:
                continue
            event = chance.random()
            if event < 0.04:  # power lost; half of the time nobody tells the register, else with or without an anchor
                missed = chance.randrange(30)
                dial, lost, epoch = dial + missed * 10 * L, lost + missed, epoch + 1
                if chance.random() < 0.6:
                    begin(middle, known=chance.random() < 0.5)
                    if segments[-1].anchor_ml is None and chance.random() < 0.5:
                        segments[-1] = segments[-1]._replace(
                            tolerance_l=lost * 10
                        )  # since the epoch before in the register
                    lost = 0
            elif event < 0.08:
                segments[-1] = segments[-1]._replace(out_ml=dial)
                serial, dial, lost = serial + 1, chance.randrange(5) * L, 0
                begin(middle, known=True)
            elif event < 0.11:
                node, count, epoch, lost = node + 1, chance.randrange(100), 1, 0
                begin(middle, known=True)
            elif event < 0.2:
                dials.append(Dial("S1", f"M{serial}", middle, dial, "R. 7"))
        truth[day] = dial
        if chance.random() < 0.75:
            heard += [Count(f"{node:016x}", T0 + day * D, epoch, count)] * chance.choice((1, 1, 2))
    kinds = set()
    for day in range(1, span + 1):
        found = ask(day, segments, heard, dials)
        kinds.add(found.quality)
        if found.quality == "read":
            assert found.index_ml == truth[day]
        elif found.quality == "estimated":
            more = int(found.reason.split("up to ")[1].split(" L")[0]) * L if "up to" in found.reason else 0
            assert found.from_ml <= truth[day] <= found.to_ml + more
            assert found.from_ml <= found.index_ml <= found.to_ml
        else:
            assert found.reason
            assert found.at_least_ml is None or found.at_least_ml <= truth[day]
    assert "read" in kinds
