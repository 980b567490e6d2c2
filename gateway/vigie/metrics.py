"""The gateway's metrics, by the names that docs/administrator.md lists; one `Metrics` a process, its own registry."""

import importlib.metadata
import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .events import KINDS
from .spool import Spool


class _SpoolCollector(Collector):
    """Reads the spool at the scrape.

    Registered after the counters of messages: a scrape that shows a message as received then shows it waiting too, unless
    InfluxDB has it. Whoever settles by `vigie_spool_events` = 0 relies on that order.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._spool.counts()
        age = 0.0 if counts.oldest_ns is None else max(0.0, (time.time_ns() - counts.oldest_ns) / 1e9)
        yield GaugeMetricFamily(
            "vigie_spool_events", "Events that InfluxDB has not yet answered for, in flight or waiting", counts.waiting
        )
        yield GaugeMetricFamily("vigie_spool_bytes", "Bytes of the spool in use", counts.bytes)
        yield GaugeMetricFamily("vigie_spool_oldest_age_seconds", "Age of the oldest waiting event, 0 without one", age)
        yield GaugeMetricFamily("vigie_dead_letters", "Events kept as dead letters", counts.dead)


class Metrics:
    """Counters and gauges; `spool` is the connection that a scrape reads by."""

    def __init__(self, spool: Spool) -> None:
        self.registry = CollectorRegistry()
        self.messages = Counter(
            "vigie_mqtt_messages",
            "MQTT messages committed to the spool, duplicates too",
            ["event"],
            registry=self.registry,
        )
        self.duplicates = Counter("vigie_duplicates", "Messages that the spool knew already", registry=self.registry)
        self.connected = Gauge("vigie_mqtt_connected", "1 while subscribed at the broker", registry=self.registry)
        self.decode_errors = Counter(
            "vigie_decode_errors",
            "Events that gave a dead letter before InfluxDB saw them",
            ["reason"],
            registry=self.registry,
        )
        self.writes = Counter(
            "vigie_influx_writes", "Write requests by HTTP status (none: no answer)", ["code"], registry=self.registry
        )
        self.write_seconds = Histogram(
            "vigie_influx_write_seconds", "Duration of write requests", registry=self.registry
        )
        self.points = Counter(
            "vigie_points", "Points that InfluxDB acknowledged", ["measurement"], registry=self.registry
        )
        self.downlinks = Counter(
            "vigie_downlinks",
            "Downlinks with data, by what the network server says of them",
            ["state"],
            registry=self.registry,
        )
        for state in ("sent", "acknowledged", "unacknowledged"):
            self.downlinks.labels(state)
        for kind in (*KINDS, "unknown"):
            self.messages.labels(kind)  # a series that starts at 0 is one that an alert can watch
        build = Gauge("vigie_build_info", "1; the version that runs", ["version"], registry=self.registry)
        build.labels(importlib.metadata.version("vigie")).set(1)
        self.registry.register(_SpoolCollector(spool))
        ProcessCollector(
            registry=self.registry
        )  # process_start_time_seconds tells one run of the gateway from the next

    def count_downlink(self, measurement: str, fields: Mapping[str, object]) -> None:
        """A stored point that says what became of a downlink: of one with data, MAC commands alone are the network's own."""
        if measurement == "txack" and fields.get("queue_item"):
            self.downlinks.labels("sent").inc()
        elif measurement == "ack":
            self.downlinks.labels("acknowledged" if fields.get("acknowledged") else "unacknowledged").inc()

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
