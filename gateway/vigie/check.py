"""`vigie check`: every dependency tried, one finding each, nothing changed."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException

from .errors import BrokerError, InfluxError, SpoolError, VigieError
from .files import read_secret
from .ingest import Session
from .settings import Settings
from .spool import Spool
from .writer import InfluxWriter

BROKER_NOTE = (
    "a broker does not tell its persistence: its configuration must say `persistence true`, `max_queued_messages 0`, "
    "`autosave_on_changes true`, `autosave_interval 1` (docs/administrator.md)"
)
_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One dependency: its name, whether it is as it must be, and what was found or what to do."""

    name: str
    ok: bool
    text: str


def run(settings: Settings) -> Iterator[Finding]:
    """The findings, each as soon as it is known."""
    parts: list[tuple[str, Callable[[Settings], str]]] = [
        ("broker", _broker),
        ("spool", _spool),
        ("influxdb", influxdb),
        ("write token", _write_token),
        ("read token", _read_token),
        ("gateway", _gateway),
    ]
    for name, part in parts:
        try:
            yield Finding(name, True, part(settings))
        except VigieError as error:
            yield Finding(name, False, str(error))


def _broker(settings: Settings) -> str:
    # Another client id: with the gateway's own, the check would take its session over.
    session = Session(settings.mqtt, keep=False, client_id=f"{settings.mqtt.client_id}-check")
    try:
        session.subscribe()
        while not session.subscribed:
            session.read()
    finally:
        session.leave()
    return f"{settings.mqtt.host}:{settings.mqtt.port} grants {settings.mqtt.topic} at QoS 1"


def _spool(settings: Settings) -> str:
    spool = Spool(Path(settings.spool.path), settings.spool.max_bytes)
    spool.probe()
    if (damage := spool.damage()) is not None:
        raise SpoolError(f"spool: {settings.spool.path} is damaged: {damage}; stop the gateway and put a copy aside")
    counts = spool.counts()
    spool.close()
    return f"{settings.spool.path}: {counts.waiting} waiting, {counts.dead} dead, {counts.bytes} of {settings.spool.max_bytes} bytes"


def influxdb(settings: Settings) -> str:
    """InfluxDB's address and version; InfluxError where it does not answer."""
    url = settings.influxdb.url.rstrip("/")
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the pattern says http
            return f"{url} answers, version {answer.headers.get('X-Influxdb-Version', 'unknown')}"
    except (OSError, urllib.error.URLError) as error:
        raise InfluxError(
            f"InfluxDB: {url}: {getattr(error, 'reason', error)}; is it running, and is [influxdb] url right?"
        ) from None


def _write_token(settings: Settings) -> str:
    writer = InfluxWriter(
        settings.influxdb, read_secret(settings.influxdb.write_token_file, "[influxdb] write_token_file")
    )
    names = [settings.buckets.daily, settings.buckets.hourly, settings.buckets.raw]
    for bucket in names:
        # A request without a line changes nothing. InfluxDB looks at token and bucket before it looks at the lines.
        answer = writer.write(bucket, [""])
        if answer.status not in (204, 400):
            raise InfluxError(
                f"InfluxDB: writing to bucket {bucket!r}: {answer.status or 'no answer'} {answer.text}; "
                "check [influxdb] org, write_token_file and [buckets]"
            )
    return f"may write to {', '.join(names)}"


def _read_token(settings: Settings) -> str:
    token = read_secret(settings.influxdb.read_token_file, "[influxdb] read_token_file")
    names = [settings.buckets.daily, settings.buckets.hourly, settings.buckets.raw]
    try:
        with InfluxDBClient(
            settings.influxdb.url, token, org=settings.influxdb.org, timeout=_TIMEOUT_S * 1000
        ) as client:
            for bucket in names:
                if client.buckets_api().find_bucket_by_name(bucket) is None:
                    raise InfluxError(
                        f"InfluxDB: the read token sees no bucket {bucket!r}; make it, or check [buckets]"
                    )
    except ApiException as error:
        raise InfluxError(
            f"InfluxDB: reading: {error.status} {error.reason}; check [influxdb] read_token_file"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise InfluxError(f"InfluxDB: {settings.influxdb.url}: {error}") from None
    return f"may read {', '.join(names)}"


def _gateway(settings: Settings) -> str:
    url = f"http://{settings.http.host}:{settings.http.port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S):
            return f"running, ready ({url})"
    except urllib.error.HTTPError as error:
        raise BrokerError(f"running, not ready: {error.read().decode('utf-8', 'replace').strip()}") from None
    except (OSError, urllib.error.URLError):
        return "not running"
