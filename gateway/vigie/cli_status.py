# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""`vigie status`: how the gateway is, on one screen. It asks the running service by its port and the spool by its file.

Whatever cannot be asked is said and costs nothing of the rest: it is for the moment when something is wrong.
"""

import importlib.metadata
import json
import platform
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client.parser import text_string_to_metric_families

from . import check
from .errors import EXIT_FAILED, SpoolError, VigieError
from .settings import Settings
from .spool import Counts, Spool, owner

_ANSWER_S = 5.0
_LONG_S = 900.0  # an event that waits longer waits for a person
_LITTLE_BYTES = 200_000_000  # of disk, below which the spool soon cannot be written
_REASONS_SHOWN = 5
_WIDTH = 110


@dataclass(slots=True)
class Status:
    """What is known; None is "not known". `state`: ready, not ready, stuck, silent (runs, but its port does not answer), down."""

    state: str = "down"
    detail: str = ""
    url: str | None = None
    pid: str | None = None
    uptime_s: float | None = None
    connected: bool | None = None
    spool: str = ""
    spool_trouble: str | None = None
    waiting: int | None = None
    oldest_age_s: float | None = None
    spool_bytes: int | None = None
    spool_max_bytes: int = 0
    last_event: str | None = None
    last_event_age_s: float | None = None
    dead: int | None = None
    dead_reasons: dict[str, int] = field(default_factory=dict)
    influxdb: str = ""
    influxdb_reachable: bool = False
    disk_free_bytes: int | None = None
    disk_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def show_status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """How the gateway is, on one screen; exit code 1 if something needs a person."""
    status = look(context.obj.load())
    if as_json:
        json.dump(asdict(status), sys.stdout, ensure_ascii=False)
        print()
    else:
        print("\n".join(screen(status)))
    if status.troubles:
        raise typer.Exit(EXIT_FAILED)


def look(settings: Settings) -> Status:
    """Asks all of them; no answer is an answer."""
    status = Status(spool=str(settings.spool.path), spool_max_bytes=settings.spool.max_bytes)
    status.versions = {
        "vigie": importlib.metadata.version("vigie"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    _ask_service(status, settings)
    _read_spool(status, Path(settings.spool.path))
    _ask_influxdb(status, settings)
    _measure_disk(status, Path(settings.spool.path))
    status.troubles = list(_troubles(status))
    return status


def _ask_service(status: Status, settings: Settings) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104 - not bound, asked
    host = f"[{host}]" if ":" in host else host
    if settings.http.port:  # 0: a free one, which only the log names
        status.url = f"http://{host}:{settings.http.port}"
        alive, ready, metrics = (_get(f"{status.url}/{page}") for page in ("healthz", "readyz", "metrics"))
        if alive is not None and ready is not None:
            code, text = (alive, ready)[alive[0] == 200]
            status.state = "ready" if code == 200 else ("not ready" if alive[0] == 200 else "stuck")
            status.detail = "" if code == 200 else text.strip()
            if metrics is not None and metrics[0] == 200:
                _read_metrics(status, metrics[1])
            return
    try:
        # only of one that does not answer: the look takes the lock for an instant
        status.pid = owner(Path(settings.spool.path))
    except SpoolError as error:
        status.spool_trouble = str(error)
    if status.pid is not None:
        status.state = "silent"


def _get(url: str) -> tuple[int, str] | None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 - http, by its making
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def _read_metrics(status: Status, text: str) -> None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "process_start_time_seconds":
                status.uptime_s = max(0.0, time.time() - sample.value)
            elif sample.name == "vigie_mqtt_connected":
                status.connected = sample.value == 1
            elif sample.name == "vigie_build_info":
                status.versions["running"] = sample.labels["version"]


def _read_spool(status: Status, path: Path) -> None:
    if not path.exists():
        status.spool_trouble = status.spool_trouble or f"spool: {path} is not there yet: no gateway has run with it"
        return
    try:
        spool = Spool(path, status.spool_max_bytes)
        counts, reasons = spool.counts(), spool.dead_reasons()
        spool.close()
    except (SpoolError, sqlite3.Error) as error:
        status.spool_trouble = (
            str(error) if isinstance(error, SpoolError) else f"spool: {path}: {error}; see `vigie check`"
        )
        return
    _take_counts(status, counts)
    status.dead_reasons = dict(reasons)


def _take_counts(status: Status, counts: Counts) -> None:
    now = time.time()
    status.waiting, status.dead, status.spool_bytes = counts.waiting, counts.dead, counts.bytes
    if counts.oldest_ns is not None:
        status.oldest_age_s = max(0.0, now - counts.oldest_ns / 1e9)
    if counts.last_ns is not None:
        status.last_event_age_s = max(0.0, now - counts.last_ns / 1e9)
        status.last_event = datetime.fromtimestamp(counts.last_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ask_influxdb(status: Status, settings: Settings) -> None:
    try:
        status.influxdb, status.influxdb_reachable = check.influxdb(settings), True
    except VigieError as error:
        status.influxdb = str(error)


def _measure_disk(status: Status, path: Path) -> None:
    folder = next((one for one in path.parents if one.exists()), None)
    if folder is not None:
        usage = shutil.disk_usage(folder)
        status.disk_free_bytes, status.disk_bytes = usage.free, usage.total


def _troubles(status: Status) -> Iterator[str]:
    """What needs a person, each with what to do."""
    match status.state:
        case "down":
            yield "the gateway does not run: start it (systemctl start vigie); the broker keeps the events meanwhile"
        case "silent":
            yield f"process {status.pid} has the spool, but {status.url or '[http] port 0'} does not answer: see its log"
        case "stuck":
            yield f"{status.detail}: restart it, and report its log"
        case "not ready":
            yield status.detail
    if status.spool_trouble is not None and (status.state != "down" or Path(status.spool).exists()):
        yield status.spool_trouble
    if not status.influxdb_reachable:
        yield status.influxdb
    if status.oldest_age_s is not None and status.oldest_age_s > _LONG_S:
        yield f"an event waits for {_span(status.oldest_age_s)}: `vigie check` says what InfluxDB wants"
    if status.disk_free_bytes is not None and status.disk_free_bytes < _LITTLE_BYTES:
        yield f"{_size(status.disk_free_bytes)} are free on the spool's disk: make room"


def screen(status: Status) -> list[str]:
    """The lines of one screen."""
    shown = {"silent": "running, does not answer", "down": "not running"}.get(status.state, f"running, {status.state}")
    uptime = "" if status.uptime_s is None else f", for {_span(status.uptime_s)}"
    lines = [
        _line("gateway", f"{shown}{uptime}" + (f"  {status.url}" if status.url else "")),
        _line("broker", {True: "subscribed", False: "not subscribed", None: "not known"}[status.connected]),
        _line("InfluxDB", status.influxdb.removeprefix("InfluxDB: ")),
        _line("spool", (status.spool_trouble or _spool_line(status)).removeprefix("spool: ")),
    ]
    if status.last_event is not None and status.last_event_age_s is not None:
        lines.append(_line("last event", f"{status.last_event}, {_span(status.last_event_age_s)} ago"))
    else:
        lines.append(_line("last event", "none"))
    lines += _dead_lines(status)
    if status.disk_free_bytes is not None and status.disk_bytes is not None:
        lines.append(_line("disk", f"{_size(status.disk_free_bytes)} of {_size(status.disk_bytes)} free"))
    lines.append(_line("versions", ", ".join(f"{name} {version}" for name, version in status.versions.items())))
    return lines + [_line("needs you" if number == 0 else "", text) for number, text in enumerate(status.troubles)]


def _spool_line(status: Status) -> str:
    waits = f"{status.waiting} waiting"
    if status.oldest_age_s is not None:
        waits += f", the oldest for {_span(status.oldest_age_s)}"
    return f"{waits}; {_size(status.spool_bytes or 0)} of {_size(status.spool_max_bytes)}  {status.spool}"


def _dead_lines(status: Status) -> list[str]:
    if status.dead is None:
        return []
    reasons = list(status.dead_reasons.items())
    lines = [_line("dead", f"{status.dead} dead letters" + ("; `vigie dead list` has them" if status.dead else ""))]
    lines += [_cut(_line("", f"{number:>6}  {reason}")) for reason, number in reasons[:_REASONS_SHOWN]]
    if (more := len(reasons) - _REASONS_SHOWN) > 0:
        rest = sum(number for _, number in reasons[_REASONS_SHOWN:])
        lines.append(_line("", f"{rest:>6}  of {more} more reasons"))
    return lines


def _line(name: str, text: str) -> str:
    return f"{name:<11} {text}".rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} bytes"
