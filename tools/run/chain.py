"""The chain's parts in the order in which they start: Mosquitto, InfluxDB, network server, gateway, city."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..devnet.devnet import Devnet
from ..devnet.grpc_server import Server as ApiServer
from ..devnet.publisher import Publisher
from ..setup import places
from ..setup.say import Problem
from ..world.city import City
from ..world.sites import Site, plan
from . import servers
from .provision import provision
from .settle import Settling, Stop
from .state import Var, World


@dataclass
class Ports:
    """Ports on loopback; 0 takes a free one."""

    mqtt: int = 0
    influxdb: int = 0
    api: int = 0
    http: int = 0


class Chain:
    """All parts on one folder. Leaving the `with` stops them in the opposite order; the folder keeps everything."""

    def __init__(
        self, var: Var, ports: Ports, stopping: Stop | None = None, say: Callable[[str], None] = print
    ) -> None:
        self.var = var
        self.ports = ports
        self.stopping = stopping or Stop()
        self._say = say
        self._parts = ExitStack()
        self._servers: list[servers.Server] = []
        self._gateway: servers.Server | None = None
        self._city: City | None = None

    def start_servers(self, retention_s: Mapping[str, int] = servers.RETENTION_S) -> None:
        """Mosquitto and InfluxDB, whose buckets keep points as long as `retention_s` says."""
        self.mosquitto = servers.start_mosquitto(self.var.folder / "mosquitto", self.ports.mqtt)
        self._parts.callback(self.mosquitto.stop)
        self._servers.append(self.mosquitto.server)
        self._say(f"  Mosquitto listens on port {self.mosquitto.port}")
        self.start_influxdb(retention_s)

    def start_influxdb(self, retention_s: Mapping[str, int] = servers.RETENTION_S) -> None:
        """InfluxDB alone."""
        self.influxdb = servers.start_influxdb(self.var.folder / "influxdb", self.ports.influxdb)
        self._parts.callback(self.influxdb.stop)
        self._servers.append(self.influxdb.server)
        self.access = servers.influx_setup(self.influxdb.url, self.var.folder / "influxdb", retention_s=retention_s)
        self._say(f"  InfluxDB answers at {self.influxdb.url}")

    def start_network(self, seed: int) -> None:
        """The network server, publishing to Mosquitto, with its gRPC API."""
        self.publisher = Publisher("127.0.0.1", self.mosquitto.port)
        self._parts.callback(self.publisher.close)
        self.var.devnet_file.parent.mkdir(parents=True, exist_ok=True)
        self.devnet = Devnet(self.var.devnet_file, str(seed), self.publisher, paced=False)
        self._parts.callback(self.devnet.close)
        port = servers.claim_port("devnet", self.ports.api)
        self.api = ApiServer(self.devnet, f"127.0.0.1:{port}")
        self._parts.callback(self.api.stop)
        self.api_address = f"127.0.0.1:{port}"
        self._say(f"  the network server's API (gRPC) answers at {self.api_address}")

    def start_gateway(self) -> None:
        """The gateway, until it is ready: subscribed, spool writable."""
        if self._gateway is None:
            self._http_port = servers.claim_port("gateway", self.ports.http)
            self._write_settings()
            # Before the publisher's end in the order of stopping: what was published still reaches the spool.
            self._parts.callback(self.stop_gateway)
        command = [sys.executable, "-m", "vigie", "--settings", str(self.var.settings_file), "run"]
        folder = self.var.folder / "gateway"
        folder.mkdir(exist_ok=True)
        self._gateway = servers.Server("gateway", folder, command, stop_signal=signal.SIGTERM)
        self._gateway.await_ready(self._gateway_ready)
        self._say(f"  the gateway is ready, its metrics at {self.metrics_url}")

    def _gateway_ready(self) -> bool:
        for server in self._servers:
            if (problem := _ended(server)) is not None:
                raise problem
        return servers.answers(f"http://127.0.0.1:{self._http_port}/readyz")

    def stop_gateway(self, *, kill: bool = False) -> None:
        """Ends the gateway, by kill -9 if `kill`."""
        if self._gateway is None:
            return
        if kill:
            self._gateway.kill()
        else:
            self._gateway.stop()

    @property
    def city(self) -> City:
        """The city, once it is built."""
        if self._city is None:
            raise RuntimeError("the chain has no city yet: build_city comes first")
        return self._city

    @property
    def metrics_url(self) -> str:
        """The gateway's metrics."""
        return f"http://127.0.0.1:{self._http_port}/metrics"

    @property
    def page_url(self) -> str:
        """The gateway's page."""
        return f"http://127.0.0.1:{self._http_port}/"

    def settling(self) -> Settling:
        """The stops of the world, for the gateway that runs now."""
        settling = Settling(self.publisher, self.metrics_url, stopping=self.stopping, ended=self.ended)
        settling.baseline()
        return settling

    def build_city(self, world: World, boards: int, start: int, keep: int = 0) -> list[Site]:
        """The city at world time `start`, its devices registered through the API, its boards without power."""
        sites = plan(world.seed, boards)
        provision(self.api_address, sites)
        self.devnet.apply_pending()
        self._place(City(self.var.boards, world.seed, start, self.devnet, keep=keep), sites, world)
        return sites

    def _place(self, city: City, sites: Sequence[Site], world: World) -> None:
        """The chain's city from here on, its boards with their flash images."""
        self._city = city
        self._parts.callback(city.close)
        # littlefs swallows what is raised while it writes, and with it a block of the image
        with self.stopping.hold():
            city.place(sites, world.since)

    def services(self) -> dict[str, str]:
        """Each part and "up", or why not."""
        return {
            "mosquitto": self.mosquitto.healthy() or "up",
            "influxdb": self.influxdb.healthy() or "up",
            "devnet": "up",
            "gateway": self._gateway_state(),
        }

    def _gateway_state(self) -> str:
        if self._gateway is None or not self._gateway.running():
            return "ended"
        return "up" if servers.answers(f"http://127.0.0.1:{self._http_port}/readyz") else "not ready"

    def ended(self) -> Problem | None:
        """The sentence for a server that has ended by itself."""
        for server in (*self._servers, self._gateway):
            if server is not None and (problem := _ended(server)) is not None:
                return problem
        return None

    def close(self) -> None:
        """Stops everything that was started."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mqtt_settings(self) -> str:
        return f'host = "127.0.0.1"\nport = {self.mosquitto.port}'

    def _write_settings(self) -> None:
        rows = f"""# Written by `make run`.
[mqtt]
{self._mqtt_settings()}

[influxdb]
url = "{self.influxdb.url}"
org = "{self.access.org}"
write_token_file = "{self.access.write_token_file.relative_to(self.var.folder)}"
read_token_file = "{self.access.read_token_file.relative_to(self.var.folder)}"

[spool]
path = "gateway/spool.sqlite"

[register]
path = "{self.var.register_file.relative_to(self.var.folder)}"

[http]
port = {self._http_port}
"""
        self.var.settings_file.write_text(rows)


def _ended(server: servers.Server) -> Problem | None:
    if server.running():
        return None
    return Problem(f"{server.name}: it ended by itself; its log is {places.short(server.log_path)}; run it again")
