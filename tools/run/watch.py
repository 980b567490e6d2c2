"""What a person is told while the world lives against a network server that is not ours; in a thread of its own, off the world's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chirpstack_api import api

from ..setup.say import Problem
from ..technician.chirpstack import Api
from ..world.city import SECOND
from ..world.forwarder import Forwarders, Tally
from ..world.pace import Pace
from ..world.sites import Site
from .state import Run, Var

if TYPE_CHECKING:
    from .external import ExternalChain

JOINED_S = 120.0
"""A node has joined by then, or a line says what is known."""
_LOOK_S = 1.0
_ASK_S, _ASK_LATER_S = 2.0, 5.0
_AGAIN_S = 30.0
_MS = 1_000_000


class Watch:
    """Joins, windows, late answers, and servers that go: one line each, and `run.json` once a second. `problem` ends the run."""

    def __init__(
        self,
        var: Var,
        run: Run,
        chain: ExternalChain,
        forwarders: Forwarders,
        pace: Pace,
        connection: Api,
        sites: Sequence[Site],
        first: Callable[[], None],
    ) -> None:
        """`first` is done before all else, beside the world."""
        self._first = first
        self.problem: Exception | None = None
        self._var, self._run, self._chain = var, run, chain
        self._forwarders, self._pace = forwarders, pace
        self._connection = connection
        self._devices = api.DeviceServiceStub(connection.channel)
        self._sites = list(sites)
        self._waited = list(sites)  # for their session
        self._began = time.monotonic()
        self._ask_at = 0.0
        self._trouble = ""
        self._told_two_minutes = False
        self._windows: set[int] = set()
        self._unsent, self._unsent_at = 0, -_AGAIN_S
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def end(self) -> None:
        """Ends; a call to the API that is under way is not waited for longer than its deadline."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def summary(self) -> str:
        """One line about all of it."""
        tally = self._forwarders.tally()
        late = tally.refused["TOO_LATE"]
        return (
            f"  {tally.uplinks} uplinks handed on, {tally.lost} lost without the broker; downlinks: {tally.windows[0]} in RX1, "
            f"{tally.windows[1]} in RX2, {tally.unsent} in neither ({late} windows too late)"
            f"{_answers(tally)}; world time was {self._pace.most_ns // _MS} ms behind at most"
        )

    def _work(self) -> None:
        try:
            self._first()
            while not self._ending.wait(_LOOK_S):
                self.problem = self.problem or self._chain.ended()
                if self.problem is None:
                    self._ask()
                    self._tell()
                    self._note()
                else:
                    self._chain.city.clock.interrupt()
        except Exception as error:  # noqa: BLE001 - whatever ends this thread ends the run, in its main thread
            self.problem = error
            self._chain.city.clock.interrupt()

    def _ask(self) -> None:
        """Who has a session, by the API; later only whether it answers."""
        if time.monotonic() < self._ask_at:
            return
        try:
            for site in self._waited or self._sites[:1]:
                request = api.GetDeviceActivationRequest(dev_eui=site.dev_eui)
                answer = self._connection.call(self._devices.GetActivation, request)
                if answer.HasField("device_activation") and site in self._waited:
                    self._waited = [other for other in self._waited if other is not site]
                if self._ending.is_set():
                    return
        except Problem as problem:
            if not self._trouble:
                _say(f"{str(problem).split('; ')[0]}; the world goes on, and asks again")
            self._trouble = str(problem)
        else:
            if self._trouble:
                _say("the network server's API answers again")
            self._trouble = ""
        self._ask_at = time.monotonic() + (_ASK_S if self._waited else _ASK_LATER_S)

    def _tell(self) -> None:
        passed = time.monotonic() - self._began
        if not self._told_two_minutes and (not self._waited or passed > JOINED_S):
            self._told_two_minutes = True
            _say(self._joined_line(passed))
        tally = self._forwarders.tally()
        for window in (0, 1):
            if tally.windows[window] and window not in self._windows:
                self._windows.add(window)
                _say(f"the first downlink has gone out in RX{window + 1}{_answers(tally)}")
        if tally.unsent > self._unsent and time.monotonic() - self._unsent_at > _AGAIN_S:
            _say(
                f"{tally.unsent - self._unsent} downlinks were refused in both windows ({_words(tally)}){_answers(tally)}; "
                "RX1 opens 1 s after an uplink, 5 s after a join-request"
            )
            self._unsent, self._unsent_at = tally.unsent, time.monotonic()

    def _joined_line(self, passed: float) -> str:
        joined = len(self._sites) - len(self._waited)
        text = f"{joined} of {len(self._sites)} boards have a session, {passed:.0f} s after the start"
        tally = self._forwarders.tally()
        if self._waited and not tally.windows and not tally.unsent:
            text += (
                f"; {tally.uplinks} uplinks were handed on and no downlink command has come: does ChirpStack serve the region "
                "with this [mqtt] topic_prefix, on this broker?"
            )
        return text

    def _note(self) -> None:
        run, chain = self._run, self._chain
        run.joined = len(self._sites) - len(self._waited)
        run.world_time = chain.city.clock.now
        run.lag_s = round(self._pace.recent() / SECOND, 3)
        run.services = chain.services() | {
            "broker": self._forwarders.trouble or "up",
            "chirpstack": self._trouble or "up",
        }
        self._var.write_run(run)


def _answers(tally: Tally) -> str:
    if not tally.answers_ns:
        return ""
    least, most = (each // _MS for each in tally.answers_ns)
    return f"; answers came {least} to {most} ms after the uplink"


def _words(tally: Tally) -> str:
    return ", ".join(f"{status} {count}" for status, count in sorted(tally.refused.items()))


def _say(text: str) -> None:
    print(f"  {text}", flush=True)
