"""The one clock of the world: what happens when, in what order, and how fast against the wall.

World time is an `int` of nanoseconds UTC since 1970. Events of the same instant happen in the order of their rank, then in
the order in which they were asked for; nothing else decides, so a run is the same on any machine. Time moves only from event
to event. Whoever computes beside the clock (a board's interpreter) is waited for by a barrier before each step: it must have
said what it wants next before the world may go on.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

Action = Callable[[], None]


class Event:
    """A call at an instant; `cancel` takes it back."""

    __slots__ = ("_action", "when")

    def __init__(self, when: int, action: Action) -> None:
        self.when = when
        self._action: Action | None = action

    @property
    def cancelled(self) -> bool:
        """Taken back, or has happened."""
        return self._action is None

    def cancel(self) -> None:
        """No effect on an event that has happened."""
        self._action = None

    def happen(self) -> None:
        """Does it; for the clock."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Clock:
    """Event queue with one thread that runs it. Only `interrupt` and `call` may be used from other threads and signal handlers."""

    def __init__(self, start: int, wall: Callable[[], int] = time.time_ns) -> None:
        """`start`: world time in ns at which the clock begins. `wall` gives the wall clock in ns for pacing."""
        self.now = start
        self.waited_ns = 0  # of wall time, for those who compute beside the clock
        self.held_ns = 0  # of wall time, for the wall clock
        self._wall = wall
        self._paced = False
        self._speed = 1.0
        self._end = start  # of the run under way
        self._queue: list[tuple[int, int, int, Event]] = []
        self._sequence = 0
        self._barriers: list[Action] = []
        self._outside: deque[Action | None] = deque()  # calls in the order in which they came; None: interrupt
        # Not an Event: a signal handler that interrupts this very thread inside its `wait` would find its lock taken.
        self._bell: SimpleQueue[None] = SimpleQueue()

    def at(self, when: int, action: Action, rank: int = 0) -> Event:
        """Calls `action` at world time `when` (ns, not before now); at one instant lower ranks come first."""
        if when < self.now:
            raise ValueError(
                f"event at {when} ns lies {self.now - when} ns in the past of the world: ask for {self.now} or later"
            )
        event = Event(when, action)
        self._sequence += 1
        heapq.heappush(self._queue, (when, rank, self._sequence, event))
        return event

    def after(self, delay: int, action: Action, rank: int = 0) -> Event:
        """Calls `action` in `delay` ns."""
        return self.at(self.now + delay, action, rank)

    def add_barrier(self, barrier: Action) -> None:
        """Calls `barrier` before each step.

        It returns once nobody it stands for can still ask for something earlier than what is already in the queue.
        """
        self._barriers.append(barrier)

    def pace(self, on: bool, wall: Callable[[], int] | None = None, speed: float = 1) -> None:  # noqa: FBT001  on or off
        """Paced, the world holds when it is ahead of the wall clock and runs as fast as it can when it is behind.

        `wall` gives another wall clock from here on, which runs `speed` times as fast as real time.
        """
        self._paced = on
        self._wall = wall or self._wall
        self._speed = speed

    def interrupt(self) -> None:
        """Makes `run_until` return before its next event. For other threads and signal handlers."""
        self._outside.append(None)
        self._bell.put(None)

    def call(self, action: Action) -> None:
        """Input from outside the world: `action` happens between two events, at the world's present instant.

        A run with such input is not the same every time. For other threads; a call waits until the world runs.
        """
        self._outside.append(action)
        self._bell.put(None)

    def next_event(self) -> int | None:
        """World time in ns of the next event in the queue."""
        queue = self._queue
        while queue and queue[0][3].cancelled:
            heapq.heappop(queue)
        return queue[0][0] if queue else None

    def step_to(self, when: int) -> bool:
        """For an event that goes on at `when` (ns).

        Moves the clock there if nothing else would happen before, which spares the queue. False: ask for it with
        `at`.
        """
        if self._paced or when > self._end:
            return False
        upcoming = self.next_event()
        if upcoming is not None and upcoming <= when:
            return False
        self.now = when
        return True

    def run_until(self, end: int) -> bool:
        """Runs all events up to and including world time `end` and leaves `now` there.

        False: `interrupt` ended it sooner; `now` is then the last event's time or, where the world was holding, the
        wall clock's.
        """
        if end < self.now:
            raise ValueError(f"cannot run back to {end} ns: the world is at {self.now} ns")
        self._end = end
        while True:
            began = time.perf_counter_ns()
            for barrier in self._barriers:
                barrier()
            self.waited_ns += time.perf_counter_ns() - began
            if self._outside:
                action = self._outside.popleft()
                with contextlib.suppress(Empty):
                    self._bell.get_nowait()
                if action is None:
                    break
                action()
                continue
            upcoming = self.next_event()
            target = end if upcoming is None or upcoming > end else upcoming
            if self._paced and not self._hold(target):
                continue
            if upcoming is None or upcoming > end:
                self.now = end
                return True
            event = heapq.heappop(self._queue)[3]
            self.now = event.when
            event.happen()
        for _ in range(len(self._outside)):  # one interruption ends one run, however often it was asked for
            action = self._outside.popleft()
            if action is not None:
                self._outside.append(action)
        return False

    def _hold(self, target: int) -> bool:
        """Waits until the wall clock has reached world time `target`; False when the bell rang, `now` then follows the wall."""
        while True:
            wall = self._wall()
            if wall >= target:
                return True
            began = time.perf_counter_ns()
            try:
                self._bell.get(timeout=min((target - wall) / 1e9 / self._speed, 1.0))
            except Empty:
                continue
            finally:
                self.held_ns += time.perf_counter_ns() - began
            self.now = max(self.now, min(self._wall(), target))
            return False
