"""Settling: the world stands still until what it published is acknowledged, received and stored."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families

from ..devnet.publisher import PublishError

POLL_S = 0.005
ANSWER_S = 5.0
_LOOK_S = 0.5
"""How often it looks, while the broker is silent, whether waiting is still worth it."""


class Unsettled(Exception):
    """The gateway did not store in time what was published; the text says what was missing."""


class Interrupted(Exception):
    """Ctrl-C, or a signal that asks to end."""


class Stop:
    """Whether somebody asked to end. Bare flags: a signal handler must touch no lock, it may have interrupted its owner."""

    asked = False
    _held = False

    def ask(self, *, gently: bool) -> None:
        """For the signal handler. Interrupted unless it waits for the end of `hold`, or of the world's step (`gently`, once)."""
        if not self._held and (self.asked or not gently):
            raise Interrupted
        self.asked = True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Around what must become whole; an end that was asked for meanwhile comes after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.asked:
            raise Interrupted


class Published(Protocol):
    """What settling asks of the network server's publisher."""

    @property
    def published(self) -> int:
        """Events handed over so far."""

    def wait_acknowledged(self, timeout_s: float) -> None:
        """Returns once the broker has acknowledged all of them."""


@dataclass(frozen=True)
class Counters:
    """The gateway's view. `started` tells one process of it from the next."""

    started: float
    received: int
    waiting: int
    connected: bool


def scrape(url: str) -> Iterator[tuple[str, float]]:
    """(name, value) of each sample at `url`, a /metrics; nothing while nobody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - a loopback address of our own
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.value


def read_metric(url: str, name: str) -> float | None:
    """One metric, summed over its labels; None while nobody answers."""
    found = [value for sample, value in scrape(url) if sample == name]
    return sum(found) if found else None


def read_counters(url: str) -> Counters | None:
    """The gateway's counters at `url`; None while nobody answers."""
    total: dict[str, float] = {}
    for name, value in scrape(url):
        total[name] = total.get(name, 0.0) + value
    if not total:
        return None
    return Counters(
        total["process_start_time_seconds"],
        int(total["vigie_mqtt_messages_total"] - total["vigie_duplicates_total"]),
        int(total["vigie_spool_events"]),
        total["vigie_mqtt_connected"] == 1,
    )


class Settling:
    """Counts what each gateway process has received against what was published since it became responsible.

    A gateway that is started again receives what was published since the last settled stop: until then its
    predecessor had stored everything.
    """

    def __init__(
        self,
        publisher: Published,
        metrics_url: str,
        patience_s: float = 120.0,
        stopping: Stop | None = None,
        ended: Callable[[], Exception | None] = lambda: None,
    ) -> None:
        """`patience_s`: wall seconds after which a stop is given up. `stopping`, once asked, ends any waiting.

        `ended`: the error to raise when a server that is waited for has ended, else None.
        """
        self.publisher = publisher
        self._stopping = stopping or Stop()
        self._ended = ended
        self.metrics_url = metrics_url
        self.patience_s = patience_s
        self._gateway = 0.0
        self._received = 0
        self._published = publisher.published

    def attach(self) -> None:
        """A gateway is ready: from here on its counters count. What waits in the broker for it is not settled yet."""
        counters = self._wait(lambda now: now.connected, "the gateway is not connected to the broker")
        if counters is not None and counters.started != self._gateway:
            self._gateway, self._received = counters.started, 0

    def baseline(self) -> None:
        """What the gateway has received so far was published before this world began."""
        counters = self._wait(lambda now: now.connected and now.waiting == 0, "events of an earlier run wait")
        if counters is not None:
            self._gateway, self._received = counters.started, counters.received
            self._published = self.publisher.published

    def settle(self) -> None:
        """Returns once every published event is stored; Unsettled says after `patience_s` what was missing."""
        self._wait_acknowledged()
        due = self.publisher.published - self._published
        if due:
            counters = self._wait(
                lambda now: now.started == self._gateway and now.received - self._received >= due and now.waiting == 0,
                f"{due} events were published since the last stop",
            )
            if counters is not None:
                self._received, self._published = counters.received, self._published + due

    def _wait_acknowledged(self) -> None:
        until = time.monotonic() + self.patience_s
        while not self._over():
            left = until - time.monotonic()
            try:
                self.publisher.wait_acknowledged(max(0.0, min(left, _LOOK_S)))
            except PublishError:
                if left <= _LOOK_S:
                    raise
            else:
                return

    def _wait(self, done: Callable[[Counters], bool], what: str) -> Counters | None:
        """The counters once they are `done`; None when it is being stopped."""
        until = time.monotonic() + self.patience_s
        counters = None
        while time.monotonic() < until:
            if self._over():
                return None
            counters = read_counters(self.metrics_url)
            if counters is not None and done(counters):
                return counters
            time.sleep(POLL_S)
        found = "it does not answer" if counters is None else f"it says {counters}"
        raise Unsettled(f"gateway at {self.metrics_url}: {what}, {found} after {self.patience_s:.0f} s; see its log")

    def _over(self) -> bool:
        """Whether it is being stopped; raises what `ended` says."""
        problem = self._ended()
        if problem is not None:
            raise problem
        return self._stopping.asked
