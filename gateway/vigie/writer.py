"""Spool to InfluxDB: batches, back-off, bisection of what is refused, dead letters.

An event leaves the spool when InfluxDB has answered 204 for each of its lines. Writing lines twice is harmless (the same points),
so a batch that was interrupted anywhere is simply written again.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
import structlog
import urllib3

from . import settings as config
from .decode import Rejected, decode
from .metrics import Metrics
from .points import Point, points
from .spool import Spool, Spooled
from .verdict import Verdict, delay_s, judge

EVENTS_A_BATCH = 2000
LINES_A_REQUEST = 5000
_IDLE_S = 0.5  # how late a replayed dead letter or one put off is noticed
_CONNECT_S = 5.0
_READ_S = 30.0
_PUT_OFF_FIRST_S = 60
_PUT_OFF_LIMIT_S = 3600
_log = structlog.get_logger("writer")


class Stopped(Exception):
    """The writer was told to stop while it waited; what it held is in the spool."""


@dataclass(frozen=True, slots=True)
class Answer:
    """InfluxDB's answer; `status` None where there was none, and then `text` is the connection's error."""

    status: int | None
    text: str
    retry_after: str | None = None


class InfluxWriter:
    """POST /api/v2/write by one kept connection; urllib3 without its own retries, which would hide the answer."""

    def __init__(self, settings: config.Influxdb, token: str) -> None:
        self._settings = settings
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "text/plain; charset=utf-8"}
        self._pool = urllib3.PoolManager(maxsize=1)

    def write(self, bucket: str, lines: list[str]) -> Answer:
        """One request, times in nanoseconds."""
        query = urlencode({"org": self._settings.org, "bucket": bucket, "precision": "ns"})
        try:
            response = self._pool.request(
                "POST",
                f"{self._settings.url.rstrip('/')}/api/v2/write?{query}",
                body="\n".join(lines).encode(),
                headers=self._headers,
                retries=False,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(None, str(error))
        return Answer(response.status, _message(response.data), response.headers.get("Retry-After"))


@dataclass(slots=True)
class _Line:
    event: int
    point: Point


@dataclass(slots=True)
class _Outcome:
    dead: dict[int, str] = field(default_factory=dict)
    put_off: set[int] = field(default_factory=set)
    stored: list[Point] = field(default_factory=list)


def _nobody(_points: list[Point]) -> None:
    """Nobody wants to hear of it."""


class Writer:
    """Empties the spool into InfluxDB until `stop` is set; `wake` is set by ingest when there is something new.

    `stored` hears of the points that InfluxDB has taken, a batch a call, before the spool forgets their events; it must be quick.
    """

    def __init__(
        self,
        spool: Spool,
        influx: InfluxWriter,
        buckets: config.Buckets,
        metrics: Metrics,
        stop: threading.Event,
        wake: threading.Event,
        stored: Callable[[list[Point]], None] = _nobody,
    ) -> None:
        self._stored = stored
        self._spool = spool
        self._influx = influx
        self._buckets = buckets
        self._metrics = metrics
        self._stop = stop
        self._wake = wake
        self.beat = time.monotonic()  # when the loop turned last
        self.trouble: str | None = None  # why InfluxDB has not taken the last request, None if it has

    def run(self) -> None:
        """Until `stop`."""
        try:
            while not self._stop.is_set():
                self.beat = time.monotonic()
                self._wake.clear()
                batch = self._spool.take(EVENTS_A_BATCH)
                if batch:
                    self.write(batch)
                else:
                    self._wake.wait(_IDLE_S)
        except Stopped:
            pass

    def write(self, batch: list[Spooled]) -> None:
        """Writes a batch and settles it in the spool. Raises Stopped, with the spool unchanged, when told to stop meanwhile."""
        outcome = _Outcome()
        by_bucket: dict[str, list[_Line]] = {}
        for spooled in batch:
            self._translate(spooled, by_bucket, outcome)
        for role, lines in by_bucket.items():
            bucket = str(getattr(self._buckets, role))
            for start in range(0, len(lines), LINES_A_REQUEST):
                self._send(bucket, lines[start : start + LINES_A_REQUEST], outcome)
        self._stored(outcome.stored)
        put_off = outcome.put_off - outcome.dead.keys()
        self._spool.settle(
            [spooled.id for spooled in batch if spooled.id not in outcome.dead and spooled.id not in put_off],
            outcome.dead.items(),
            [(s.id, _put_off_ns(s.attempts)) for s in batch if s.id in put_off],
        )
        for point in outcome.stored:
            self._metrics.count_downlink(point.measurement, point.fields)
        for event, reason in outcome.dead.items():
            _log.warning("dead letter", id=event, reason=reason)
        for spooled in batch:
            if spooled.id not in outcome.dead and spooled.id not in put_off:
                _log.debug("settled", id=spooled.id)

    def _translate(self, spooled: Spooled, by_bucket: dict[str, list[_Line]], outcome: _Outcome) -> None:
        try:
            decoded = decode(spooled.topic, spooled.body)
            made = points(decoded)
        except Exception as error:  # noqa: BLE001 - a defect must cost one event's delay, never the flow of all others
            _log.exception("defect: an event could not be translated", id=spooled.id)
            self._metrics.decode_errors.labels("defect").inc()
            outcome.dead[spooled.id] = f"defect of this version: {error!r}; replay it after an update"
            return
        if isinstance(decoded, Rejected):
            self._metrics.decode_errors.labels(decoded.code).inc()
            outcome.dead[spooled.id] = decoded.reason
            _log.debug("rejected", id=spooled.id, why=decoded.code)
        else:
            _log.debug("decoded", id=spooled.id, points=len(made))
        for point in made:
            by_bucket.setdefault(point.bucket, []).append(_Line(spooled.id, point))

    def _send(self, bucket: str, lines: list[_Line], outcome: _Outcome) -> None:
        chunks = [lines]
        attempt = 0
        while chunks:
            chunk = chunks[-1]
            answer = self._post(bucket, chunk)
            verdict = judge(answer.status, len(chunk), attempt)
            if attempt == 0 or verdict not in {Verdict.WAIT, Verdict.HOLD}:  # once, however long the wait
                for event, lines_of_it in Counter(one.event for one in chunk).items():
                    _log.debug(
                        verdict.name.lower(),
                        id=event,
                        bucket=bucket,
                        status=answer.status,
                        lines=lines_of_it,
                        of=len(chunk),
                    )
            if verdict in {Verdict.WAIT, Verdict.HOLD}:
                self._wait(bucket, answer, verdict, attempt)
                attempt += 1
                continue
            chunks.pop()
            if verdict is Verdict.WRITTEN:
                self._written(chunk)
                outcome.stored += [one.point for one in chunk]
                attempt = 0
            elif verdict is Verdict.SPLIT:
                middle = len(chunk) // 2
                chunks += [chunk[middle:], chunk[:middle]]
            elif verdict is Verdict.DEAD:
                outcome.dead[chunk[0].event] = _refused(bucket, chunk[0].point, answer)
            else:
                outcome.put_off.add(chunk[0].event)
                _log.error("put off: InfluxDB fails over this event", id=chunk[0].event, reason=answer.text)
                self._wait(bucket, answer, verdict, attempt)

    def _post(self, bucket: str, chunk: list[_Line]) -> Answer:
        self.beat = time.monotonic()
        started = time.perf_counter()
        answer = self._influx.write(bucket, [one.point.line for one in chunk])
        self._metrics.write_seconds.observe(time.perf_counter() - started)
        self._metrics.writes.labels("none" if answer.status is None else str(answer.status)).inc()
        return answer

    def _written(self, chunk: list[_Line]) -> None:
        if self.trouble is not None:
            _log.info("InfluxDB takes points again")
        self.trouble = None
        for measurement, number in Counter(one.point.measurement for one in chunk).items():
            self._metrics.points.labels(measurement).inc(number)

    def _wait(self, bucket: str, answer: Answer, verdict: Verdict, attempt: int) -> None:
        trouble = f"{bucket}: {answer.status or 'no answer'}: {answer.text}"
        if verdict is Verdict.HOLD:
            trouble += "; check [influxdb] url, org, write_token_file and [buckets] (`vigie check`)"
        if self.trouble != trouble:
            _log.error("InfluxDB does not take points; they wait in the spool", reason=trouble)
        self.trouble = trouble
        until = time.monotonic() + delay_s(attempt, answer.retry_after, random.random())  # noqa: S311 - jitter
        while (left := until - time.monotonic()) > 0:
            self.beat = time.monotonic()
            if self._stop.wait(min(1.0, left)):
                raise Stopped
        if self._stop.is_set():
            raise Stopped


def _message(data: bytes) -> str:
    """InfluxDB's own sentence out of its JSON answer, else the text's start."""
    try:
        found = orjson.loads(data).get("message")
    except (orjson.JSONDecodeError, AttributeError):
        found = None
    return str(found) if found else data[:200].decode("utf-8", "replace").strip()


def _refused(bucket: str, point: Point, answer: Answer) -> str:
    """Why InfluxDB has no such point. Of a time too old it says no more than "beyond retention policy"."""
    moment = datetime.fromtimestamp(point.time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"InfluxDB refuses the point {point.measurement} of {moment} in bucket {bucket!r}: {answer.text}"


def _put_off_ns(attempts: int) -> int:
    return int(min(_PUT_OFF_LIMIT_S, _PUT_OFF_FIRST_S * 2 ** min(attempts, 10)) * 1_000_000_000)
