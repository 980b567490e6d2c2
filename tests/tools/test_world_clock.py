"""The one clock: order, cancelling, barriers, pacing."""

import threading
import time

import pytest

from tools.world.clock import Clock


def test_events_happen_in_the_order_time_rank_asking():
    clock = Clock(100)
    seen = []
    clock.at(300, lambda: seen.append(("late", clock.now)))
    clock.at(200, lambda: seen.append(("rank 5", clock.now)), 5)
    clock.at(200, lambda: seen.append(("rank 1, first", clock.now)), 1)
    clock.at(200, lambda: seen.append(("rank 1, second", clock.now)), 1)
    assert clock.run_until(300)
    assert seen == [("rank 1, first", 200), ("rank 1, second", 200), ("rank 5", 200), ("late", 300)]
    assert clock.now == 300


def test_an_event_may_ask_for_another_at_the_same_instant():
    clock = Clock(0)
    seen = []
    clock.at(10, lambda: clock.after(0, lambda: seen.append(clock.now)))
    clock.run_until(10)
    assert seen == [10]


def test_a_cancelled_event_does_not_happen_and_does_not_stop_the_clock():
    clock = Clock(0)
    seen = []
    event = clock.at(10, lambda: seen.append(1))
    event.cancel()
    assert clock.next_event() is None
    assert clock.run_until(20)
    assert seen == []
    assert clock.now == 20


def test_events_after_the_end_wait_for_the_next_run():
    clock = Clock(0)
    seen = []
    clock.at(11, lambda: seen.append(clock.now))
    clock.run_until(10)
    assert (seen, clock.now) == ([], 10)
    clock.run_until(11)
    assert seen == [11]


def test_the_past_is_refused():
    clock = Clock(50)
    with pytest.raises(ValueError, match="past"):
        clock.at(49, lambda: None)
    with pytest.raises(ValueError, match="run back"):
        clock.run_until(49)


def test_a_barrier_comes_before_each_step_and_may_bring_earlier_events():
    clock = Clock(0)
    seen = []
    brought = [lambda: clock.at(5, lambda: seen.append("brought"))]
    clock.add_barrier(lambda: brought and brought.pop()())
    clock.at(10, lambda: seen.append("known"))
    clock.run_until(10)
    assert seen == ["brought", "known"]


class Wall:
    """A wall clock that moves by 1 ms each time somebody looks."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        self.now += 1_000_000
        return self.now


def test_paced_and_ahead_the_world_holds_until_the_wall_is_there():
    wall = Wall(0)
    clock = Clock(0, wall)
    clock.pace(True)
    seen = []
    clock.at(20_000_000, lambda: seen.append(wall.now))
    assert clock.run_until(30_000_000)
    assert seen[0] >= 20_000_000
    assert wall.now >= 30_000_000


def test_paced_and_behind_the_world_does_not_hold():
    wall = Wall(10**12)
    clock = Clock(0, wall)
    clock.pace(True)
    for when in range(1, 101):
        clock.at(when, lambda: None)
    assert clock.run_until(100)
    assert wall.now == 10**12 + 101 * 1_000_000


def test_world_time_stays_when_the_wall_steps_back():
    walls = [5_000_000, 1_000_000, 50_000_000, 60_000_000]
    clock = Clock(4_000_000, lambda: walls.pop(0))
    clock.pace(True)
    times = []
    clock.at(5_000_000, lambda: times.append(clock.now))
    clock.at(6_000_000, lambda: times.append(clock.now))
    assert clock.run_until(6_500_000)
    assert times == [5_000_000, 6_000_000]


def test_a_hold_is_interrupted_from_another_thread_and_the_run_goes_on_later():
    clock = Clock(0, lambda: 1_000)
    clock.pace(True)
    thread = threading.Thread(target=clock.interrupt)
    thread.start()
    assert not clock.run_until(10**9)
    thread.join()
    assert clock.now <= 1_000
    clock.pace(False)
    assert clock.run_until(10**9)


def test_an_interrupt_stops_a_fast_run_between_events():
    clock = Clock(0)
    seen = []
    clock.at(1, clock.interrupt)
    clock.at(2, lambda: seen.append(2))
    assert not clock.run_until(5)
    assert (seen, clock.now) == ([], 1)
    assert clock.run_until(5)
    assert seen == [2]


def test_a_call_from_another_thread_happens_while_the_world_holds_at_the_walls_instant():
    clock = Clock(0)
    clock.pace(True, lambda: 7_000)
    seen = []
    clock.at(10**12, lambda: seen.append("far"))
    other = threading.Timer(0.05, clock.call, (lambda: (seen.append(clock.now), clock.interrupt()),))
    clock.call(lambda: (seen.append(clock.now), other.start()))
    assert not clock.run_until(10**12)
    other.join()
    assert seen == [0, 7_000]


def test_a_call_comes_after_the_barrier_and_may_bring_events():
    clock = Clock(0)
    seen = []
    clock.add_barrier(lambda: seen.append("barrier"))
    clock.call(lambda: clock.at(3, lambda: seen.append("brought")))
    assert clock.run_until(5)
    assert seen == ["barrier", "barrier", "brought", "barrier"]


def test_several_interrupts_end_one_run_and_lose_no_call():
    clock = Clock(0)
    seen = []
    clock.interrupt()
    clock.interrupt()
    clock.call(lambda: seen.append("called"))
    assert not clock.run_until(5)
    assert seen == []
    assert clock.run_until(5)
    assert seen == ["called"]


def test_a_wall_clock_that_runs_faster_is_held_for_as_much_less():
    clock = Clock(0)
    began = time.monotonic_ns()
    clock.pace(True, lambda: (time.monotonic_ns() - began) * 100, 100)
    assert clock.run_until(5 * 10**9)
    assert 0.05 <= (time.monotonic_ns() - began) / 1e9 < 0.95  # held by world time it would be a second at least
