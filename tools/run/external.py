"""`make run NETWORK=external`: everything but the network server, against a city's own ChirpStack and its broker.

The world starts at the present and is paced to the wall clock; its LoRa gateways speak the gateway protocol over MQTT. Nothing is
caught up with and nothing settles: a real network server cannot be stopped.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from paho.mqtt import client as mqtt

from ..setup import places
from ..setup.say import Problem
from ..technician.chirpstack import Api
from ..technician.provision import Names
from ..world import chance
from ..world.city import SECOND, City
from ..world.forwarder import REFUSES, Broker, Forwarders, topic_of
from ..world.map import CityMap
from ..world.pace import Pace
from ..world.sites import Site, plan
from .chain import Chain, Ports
from .fill import fill, fresh
from .network_file import NetworkFile
from .page import password_file
from .provision import Registered, register
from .settle import Stop
from .state import Run, Var, World
from .watch import Watch

PATIENCE_S = 10.0
"""For the broker's and the API's first answer."""
FIRST_MOUNT, MOUNT = 5 * SECOND, SECOND
"""Over how long the boards get their supply, in a first run and later."""


def say(text: str) -> None:
    """A line for whoever started it."""
    print(text, flush=True)


def gateway_ids(seed: int, count: int) -> list[str]:
    """EUIs of this installation's LoRa gateways: a ChirpStack may know others of the world's already."""
    return [f"{chance.draw(seed, 'external gateway', number):016x}" for number in range(count)]


def client_id(seed: int) -> str:
    """Under which the broker keeps the Vigie gateway's session: no other gateway's name, and the same in the next run."""
    return f"vigie-{seed:016x}"


def state_topic(prefix: str, gateway_id: str) -> str:
    """Where a LoRa gateway's connection state is retained."""
    return f"{topic_of(prefix, gateway_id)}/state/conn"


@contextmanager
def session(broker: Broker, name: str) -> Iterator[mqtt.Client]:
    """A connection that leaves nothing at the broker, not even what was kept there under this name. Problem in one line."""
    answer: list[Any] = []
    came = threading.Event()

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answer.append(reason)
        came.set()

    try:
        client = broker.client(name)
        client.on_connect = connected
        client.connect_timeout = PATIENCE_S
        client.connect(broker.host, broker.port, clean_start=True)
    except (OSError, ValueError) as error:
        raise Problem(f"broker at {broker.where}: {error}; check [mqtt] host, port and TLS, and that it runs") from None
    client.loop_start()
    try:
        if not came.wait(PATIENCE_S):
            raise Problem(f"broker at {broker.where}: no CONNACK within {PATIENCE_S:.0f} s; is it an MQTT 5 broker?")
        if answer[0].is_failure:
            raise Problem(f"broker at {broker.where}: refused: {answer[0]}; check [mqtt] username and password_file")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def reach_broker(broker: Broker) -> None:
    """Problem in one line where the broker does not answer or refuses."""
    with session(broker, f"vigie-{secrets.token_hex(6)}"):
        pass


def reach_api(address: str) -> None:
    """Problem in one line where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise Problem(
            f"network server's API at {address}: {error}; check [api] address (host:port of ChirpStack's API) and that it runs"
        ) from None


class ExternalChain(Chain):
    """InfluxDB, the Vigie gateway at the city's broker, and a city whose LoRa gateways are there too."""

    def __init__(self, var: Var, ports: Ports, network: NetworkFile, stopping: Stop) -> None:
        super().__init__(var, ports, stopping, say)
        self._network = network
        self._topic = self._client_id = ""
        self.broker = network.broker()

    def listen_to(self, application: str, seed: int) -> None:
        """Which application's events the gateway takes, and under which name, no other gateway's."""
        self._topic = f"application/{application}/device/+/event/+"
        self._client_id = client_id(seed)

    def build(self, world: World, sites: Sequence[Site], start: int) -> City:
        """The city at `start`, its boards without power."""
        gateways = self._network.world.gateways
        ground = CityMap(world.seed, sites, gateways) if gateways > 1 else None
        city = City(self.var.boards, world.seed, start, None, ground=ground)
        self._place(city, sites, world)
        return city

    def connect(self, city: City, ids: Sequence[str]) -> Forwarders:
        """The LoRa gateways at the broker. Problem: it refuses them."""
        gateways = dict(zip(ids, city.gateways.values(), strict=True))
        settings, refuse = self._network.mqtt, self._network.world.refuse_rx1
        broker, prefix = self.broker, settings.topic_prefix
        made = Forwarders(gateways, city.clock, broker, prefix, lambda text: say(f"  {text}"), refuse_rx1=refuse)
        self._parts.callback(made.close)
        until = time.monotonic() + PATIENCE_S
        while made.trouble and not made.trouble.startswith(REFUSES) and time.monotonic() < until:
            time.sleep(0.02)
        if made.trouble:
            topic = topic_of(settings.topic_prefix, "<id>")
            raise Problem(
                f"broker at {self.broker.where}: {made.trouble}; let this account publish to {topic}/event/+ and "
                f"{topic}/state/conn, and subscribe to {topic}/command/down"
            )
        made.started()
        return made

    def services(self) -> dict[str, str]:
        """Each part of this machine."""
        return {"influxdb": self.influxdb.healthy() or "up", "gateway": self._gateway_state()}

    def _mqtt_settings(self) -> str:
        values: dict[str, Any] = {
            "host": self.broker.host,
            "port": self.broker.port,
            "client_id": self._client_id,
            "topic": self._topic,
        }
        given = self._network.mqtt
        values |= {"username": given.username, "password_file": given.password_file}
        if given.tls:
            values |= {"tls": True, "ca_file": given.ca_file, "cert_file": given.cert_file, "key_file": given.key_file}
        rows = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        return "\n".join(f"{name} = {json.dumps(value)}" for name, value in rows.items() if value is not None)


class ExternalRunner:
    """One run: registers what is missing, then lives until Ctrl-C."""

    def __init__(self, var: Var, boards: int, ports: Ports, network: NetworkFile) -> None:
        self._var = var
        self._boards = boards
        self._network = network
        self._stopping = Stop()
        self._chain = ExternalChain(var, ports, network, self._stopping)
        self._token = network.token()
        self._gentle = False
        self.run = Run(pid=os.getpid(), boards=boards)

    def signalled(self, _number: int, _frame: FrameType | None) -> None:
        """A signal asks to end: the world finishes its step, anything else ends at once."""
        self._stopping.ask(gently=self._gentle)
        if self._gentle:
            self._chain.city.clock.interrupt()

    def go(self) -> None:
        """Everything between the lock and the last process' end."""
        api, chain = self._network.api, self._chain
        say(f"  the broker is at {chain.broker.where}, ChirpStack's API at {api.address}")
        reach_broker(chain.broker)
        reach_api(api.address)
        first = self._var.read_world() is None
        world = self._world()
        sites = plan(world.seed, self._boards)
        ids = gateway_ids(world.seed, self._network.world.gateways)
        connection = Api(api.address, self._token, tls=api.tls)
        try:
            registered = self._register(connection, sites, ids)
            chain.listen_to(registered.place.application, world.seed)
            with chain:
                chain.start_influxdb()
                chain.start_gateway()
                self._live(world, sites, ids, connection, fresh(self._var, sites, every=first))
        finally:
            connection.close()

    def _world(self) -> World:
        """A first run draws its seed by chance: DevEUIs and keys that another installation, or a reader of this file, would have are none."""
        world = self._var.read_world()
        if world is None:
            wall = time.time_ns()
            world = World(secrets.randbits(63), wall, wall)
            self._var.write_world(world)
        return world

    def _register(self, connection: Api, sites: Sequence[Site], ids: Sequence[str]) -> Registered:
        where = self._network.chirpstack
        names = Names(where.tenant, where.application, where.device_profile, str(where.tenant_id or ""))
        registered = register(connection, sites, ids, names)
        for each in registered.made:
            say(f"  made in ChirpStack: {each}")
        self._var.write_made([*self._var.made(), *registered.made])
        there = len(sites) - len(registered.fresh)
        say(f"  {len(registered.fresh)} devices registered, {there} there already, in application {where.application}")
        lost = [site for site in registered.fresh if (self._var.boards / site.dev_eui / "flash.img").exists()]
        if lost:
            say(
                f"  {len(lost)} of them had been removed there: their boards keep a session that ChirpStack no longer knows; "
                f"for boards that join anew move {places.short(self._var.boards)} away"
            )
        return registered

    def _live(self, world: World, sites: Sequence[Site], ids: Sequence[str], connection: Api, new: set[int]) -> None:
        """`new`: numbers of the sites whose boards have never run."""
        chain = self._chain
        city = chain.build(world, sites, max(world.until, time.time_ns()))
        clock = city.clock
        page_password = password_file(self._var)
        if (ahead := clock.now - time.time_ns()) > SECOND:
            say(f"  the world has lived {ahead // SECOND} s ahead of this machine's clock; it waits until then")
        forwarders = chain.connect(city, ids)
        clock.run_until(max(clock.now, time.time_ns()))
        clock.pace(True)
        mounted = city.mount(FIRST_MOUNT if new else MOUNT)
        first = {number: when for number, when in mounted.items() if number in new}
        register = partial(fill, self._var, world, sites, first, say)  # takes seconds, which the world has not
        pace = Pace(clock, lambda text: say(f"  {text}"))
        self._addresses()
        watch = Watch(self._var, self.run, chain, forwarders, pace, connection, sites, register)
        self._gentle = True
        say("The world is at the present and follows the wall clock; nothing is caught up with.")
        self._greet(sites, page_password)
        try:
            watch.start()
            while not self._stopping.asked:
                self._ahead(world, clock.now + SECOND)
                clock.run_until(world.until)
                if watch.problem is not None:
                    raise watch.problem
        finally:
            self._gentle = False
            watch.end()
        self._ahead(world, clock.now)
        say(watch.summary())
        say("stopping: the boards are without power, the LoRa gateways leave the broker, the servers here end")

    def _ahead(self, world: World, until: int) -> None:
        """In the world's file before it is lived: after kill -9 no time is lived twice."""
        world.until = until
        self._var.write_world(world)

    def _addresses(self) -> None:
        chain = self._chain
        self.run.phase = "live"
        self.run.addresses = {
            "mqtt": chain.broker.where,
            "influxdb": chain.influxdb.url,
            "api": self._network.api.address,
            "metrics": chain.metrics_url,
        }
        self.run.read_token_file = str(chain.access.read_token_file)

    def _greet(self, sites: Sequence[Site], page_password: Path) -> None:
        vigie = f".venv/bin/vigie --settings {places.short(self._var.settings_file)}"
        say(f"  {len(sites)} boards get their supply; a first join takes up to two minutes")
        say(f"  the page is at {self._chain.page_url}, its password in {places.short(page_password)}")
        say("Try, in another terminal:")
        say(f"  {vigie} query nodes --all")
        say("`make status NETWORK=external` tells how the chain is. Ctrl-C stops everything.")
