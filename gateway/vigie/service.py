"""Wires the rooms and starts and stops them in order: the port, the writer, the session; then session, writer, port."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import structlog

from .errors import VigieError
from .files import read_secret
from .ingest import Ingest
from .metrics import Metrics
from .nodes import NodeWriter
from .settings import Settings
from .spool import Spool, sole_owner
from .web.site import Site
from .writer import InfluxWriter, Writer

_STALE_S = 90.0  # longer than any one request or commit may take
_log = structlog.get_logger("service")


def set_up_log(level: str, form: str) -> None:
    """Log lines on standard error, JSON or text, times in UTC."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # plain: the pretty one shows the values of local variables, bodies and tokens among them
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form == "json" else _as_it_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. Raises VigieError where it cannot start, or the defect that ended one of its loops."""
    with sole_owner(Path(settings.spool.path)):
        _run(settings)


def _run(settings: Settings) -> None:
    token = read_secret(settings.influxdb.write_token_file, "[influxdb] write_token_file")
    spools = [Spool(Path(settings.spool.path), settings.spool.max_bytes) for _ in range(3)]
    metrics = Metrics(spools[2])
    over: SimpleQueue[None] = SimpleQueue()
    stop_ingest, stop_writer, wake = threading.Event(), threading.Event(), threading.Event()
    ingest = Ingest(settings.mqtt, spools[0], metrics, stop_ingest, wake)

    nodes = NodeWriter(
        Path(settings.register_.path), InfluxWriter(settings.influxdb, token), settings.buckets.raw, stop_writer
    )

    def live() -> tuple[int, str, bytes]:
        stale = [
            name for name, room in (("ingest", ingest), ("writer", writer)) if time.monotonic() - room.beat > _STALE_S
        ]
        return (503, "text/plain", f"stuck: {' '.join(stale)}\n".encode()) if stale else (200, "text/plain", b"ok\n")

    def ready() -> tuple[int, str, bytes]:
        if ingest.trouble is not None:
            return 503, "text/plain", f"{ingest.trouble}\n".encode()
        return 200, "text/plain", b"ready\n"

    def scrape() -> tuple[int, str, bytes]:
        return 200, "text/plain; version=0.0.4; charset=utf-8", metrics.render()

    site = Site(settings, {"/metrics": scrape, "/healthz": live, "/readyz": ready})
    influx = InfluxWriter(settings.influxdb, token)
    writer = Writer(spools[1], influx, settings.buckets, metrics, stop_writer, wake, site.stored)
    site.start()
    stop_on_signals(over)
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=_guarded, name=name, args=(loop, over, failures))
        for name, loop in (("writer", writer.run), ("ingest", ingest.run), ("nodes", nodes.run))
    ]
    for thread in threads:
        thread.start()
    _log.info("running", http=f"http://{settings.http.host}:{site.port}", spool=str(settings.spool.path))
    over.get()
    _log.info("stopping")
    stop_ingest.set()
    threads[1].join()
    stop_writer.set()
    wake.set()
    threads[0].join()
    threads[2].join()
    site.stop()
    waiting = spools[2].counts().waiting
    for spool in spools:
        spool.close()
    _log.info("stopped", waiting_in_spool=waiting)
    if failures:
        raise failures[0]


def _guarded(loop: Callable[[], None], over: SimpleQueue[None], failures: list[BaseException]) -> None:
    """A loop that ends by an error ends the service: a supervisor's restart is better than half a gateway."""
    try:
        loop()
    except BaseException as error:  # noqa: BLE001 - raised again by the main thread
        if isinstance(error, VigieError):
            _log.error("cannot go on", reason=str(error))
        failures.append(error)
    finally:
        over.put(None)


def stop_on_signals(over: SimpleQueue[None]) -> None:
    """SIGTERM and SIGINT put None there.

    Into no Event: a second signal in the midst of its `set` would find its lock taken by the very thread that it interrupts.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        over.put(None)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _as_it_is(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event
