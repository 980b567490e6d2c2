"""Mosquitto and InfluxDB as the project runs them: each with its own folder, on loopback, stopped by its own process id.

The same library serves `make run` and the tests. A second start on the same folder keeps data, organisation and tokens.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..setup import places
from ..setup.say import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ORG = "vigie"
_DAY_S = 86_400
# docs/schema.md, "Buckets"
RETENTION_S = {"daily": 1826 * _DAY_S, "hourly": 90 * _DAY_S, "raw": 396 * _DAY_S}
_HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 20.0
_ANSWER_S = 2.0


class Server:
    """A server process of ours: its log in its folder, its port once it listens."""

    def __init__(self, name: str, folder: Path, command: list[str], *, stop_signal: signal.Signals) -> None:
        self.name = name
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        self._stop_signal = stop_signal
        if not os.access(command[0], os.X_OK):
            raise Problem(f"{name}: {command[0]} is not there or cannot be run; run `make setup`")
        log: IO[bytes]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                # A session of its own: Ctrl-C at the terminal must not reach it before the gateway has stopped. The death
                # signal: when we are killed, it ends too, and the next run finds neither its port nor its files taken.
                until_we_die = ["setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG")]
                self._process = subprocess.Popen(
                    [*until_we_die, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise Problem(f"{name}: {command[0]}: {error.strerror}; run `make setup`") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def log_text(self) -> str:
        """What it logged since this start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def stop(self) -> None:
        """Asks it to end and waits; kills it if it does not."""
        if self.running():
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill -9, as a power cut of the process would."""
        self._process.kill()
        self._process.wait()

    def await_ready(self, ready: Callable[[], bool]) -> None:
        """Until `ready`; Problem with the log's last line when it ends before, or does not become ready."""
        until = time.monotonic() + _START_S
        while not ready():
            if not self.running() or time.monotonic() > until:
                lines = self.log_text().strip().splitlines() or ["it said nothing"]  # before it says that it stops
                self.stop()
                raise Problem(f"{self.name}: did not start: {lines[-1][:200]}; its log: {places.short(self.log_path)}")
            time.sleep(0.02)


@dataclass
class Mosquitto:
    """A running broker."""

    server: Server
    port: int

    def healthy(self) -> str | None:
        """None, or why it is not."""
        if not self.server.running():
            return "ended"
        return None if _listening(self.port) else f"does not listen on port {self.port}"

    def stop(self) -> None:
        """SIGTERM: it saves its store."""
        self.server.stop()


@dataclass
class InfluxDB:
    """A running InfluxDB."""

    server: Server
    port: int

    @property
    def url(self) -> str:
        """Its API."""
        return f"http://{_HOST}:{self.port}"

    def healthy(self) -> str | None:
        """None, or why it is not."""
        if not self.server.running():
            return "ended"
        return None if answers(f"{self.url}/health") else "does not answer /health"

    def stop(self) -> None:
        """SIGINT: influxd does not catch SIGTERM, which would end it at once."""
        self.server.stop()


@dataclass(frozen=True)
class InfluxAccess:
    """What the gateway and people need: the organisation and the files of the tokens (mode 0600)."""

    org: str
    write_token_file: Path
    read_token_file: Path
    admin_token_file: Path

    def read_token(self) -> str:
        """The read token's text."""
        return self.read_token_file.read_text(encoding="ascii").strip()


def free_port() -> int:
    """A free port on loopback, given to nobody else while this process lives, not even between two starts of its server.

    The socket that holds it is bound and does not listen: beside it a server that sets SO_REUSEADDR, as all do, may bind.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((_HOST, 0))
    port = int(holder.getsockname()[1])
    holder.detach()  # stays open without an owner
    return port


def start_mosquitto(folder: Path, port: int = 0, program: Path = places.MOSQUITTO) -> Mosquitto:
    """A broker with the project's settings, its store in `folder`; port 0 takes a free one."""
    port = claim_port("mosquitto", port)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "mosquitto.conf"
    config.write_text(_mosquitto_config(folder, port), encoding="utf-8")
    server = Server("mosquitto", folder, [str(program), "-c", str(config)], stop_signal=signal.SIGTERM)
    server.await_ready(lambda: _listening(port))
    return Mosquitto(server, port)


def start_influxdb(folder: Path, port: int = 0, program: Path = places.INFLUXD) -> InfluxDB:
    """InfluxDB with its data in `folder`; port 0 takes a free one."""
    port = claim_port("influxd", port)
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(program), "--http-bind-address", f"{_HOST}:{port}", "--bolt-path", str(folder / "influxd.bolt")]
    command += ["--sqlite-path", str(folder / "influxd.sqlite"), "--engine-path", str(folder / "engine")]
    server = Server("influxd", folder, [*command, "--reporting-disabled"], stop_signal=signal.SIGINT)
    url = f"http://{_HOST}:{port}/health"
    server.await_ready(lambda: answers(url))
    return InfluxDB(server, port)


def influx_setup(url: str, folder: Path, org: str = ORG, retention_s: Mapping[str, int] = RETENTION_S) -> InfluxAccess:
    """Organisation, the three buckets with their retention (s), a write and a read token, each in a file of `folder`.

    What is there already is kept; a lost token file is made anew with a new token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access = InfluxAccess(org, folder / "write.token", folder / "read.token", folder / "admin.token")
    _onboard(url, access, retention_s["daily"])
    api = _Api(url, access.admin_token_file.read_text(encoding="ascii").strip())
    org_id = api.call("GET", "/orgs?" + urlencode({"org": org}))["orgs"][0]["id"]
    buckets = [_bucket(api, org_id, name, seconds) for name, seconds in retention_s.items()]
    for path, action in ((access.write_token_file, "write"), (access.read_token_file, "read")):
        if not path.exists():
            may = [
                {"action": action, "resource": {"type": "buckets", "id": bucket, "orgID": org_id}} for bucket in buckets
            ]
            made = api.call("POST", "/authorizations", {"orgID": org_id, "description": path.stem, "permissions": may})
            _write_secret(path, made["token"])
    return access


class _Api:
    """InfluxDB's API v2 by one token; Problem with InfluxDB's own sentence where it refuses."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request; the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + "/api/v2" + path, data, self._headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_START_S) as answer:  # noqa: S310 - a loopback address of our own
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace").strip()
            raise Problem(
                f"influxd: {method} {path}: {error.code} {said}; stop, remove its folder and start anew"
            ) from None
        except OSError as error:
            raise Problem(f"influxd: {self._url} does not answer: {error}; start it first") from None


def _onboard(url: str, access: InfluxAccess, daily_s: int) -> None:
    api = _Api(url, "")
    if not api.call("GET", "/setup")["allowed"]:
        if not access.admin_token_file.exists():
            raise Problem(
                f"influxd: {url} is set up, but {places.short(access.admin_token_file)} is missing; put it back"
            )
        return
    token = secrets.token_urlsafe(32)
    # The file first: a kill between the two must not leave an InfluxDB whose token nobody knows.
    _write_secret(access.admin_token_file, token)
    first = {"bucket": "daily", "retentionPeriodSeconds": daily_s}
    user = {"username": "admin", "password": secrets.token_urlsafe(24)}
    api.call("POST", "/setup", {**user, **first, "org": access.org, "token": token})


def _bucket(api: _Api, org_id: str, name: str, seconds: int) -> str:
    # by name alone InfluxDB answers 404 where there is none
    listed = api.call("GET", "/buckets?" + urlencode({"orgID": org_id, "limit": 100}))["buckets"]
    for bucket in listed:
        if bucket["name"] == name:
            return str(bucket["id"])
    rules = [{"type": "expire", "everySeconds": seconds}]
    return str(api.call("POST", "/buckets", {"orgID": org_id, "name": name, "retentionRules": rules})["id"])


def _write_secret(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _mosquitto_config(folder: Path, port: int) -> str:
    lines = [
        f"listener {port} {_HOST}",
        "allow_anonymous true",  # loopback, for development
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        "autosave_on_changes true",
        "autosave_interval 1",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%SZ",
    ]
    if os.geteuid() == 0:
        # Started as root it would become user mosquitto, who may not write into our folder: it would run, save nothing
        # and end with status 0.
        lines.append(f"user {pwd.getpwuid(0).pw_name}")
    return "\n".join(lines) + "\n"


def claim_port(name: str, port: int) -> int:
    """`port` if it is free on loopback, a free one for 0; Problem where another program has it."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        # as the servers do: a connection in TIME_WAIT from the run before is no program
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise Problem(
                f"{name}: port {port} on {_HOST}: {error.strerror}; end the program that has it, or choose another"
            ) from None
    return port


def _listening(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), _ANSWER_S):
            return True
    except OSError:
        return False


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 - a loopback address of our own
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
