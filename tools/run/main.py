"""`make run`: the chain from the past to the present, then live until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from errno import EDQUOT, ENOSPC
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..devnet.publisher import PublishError
from ..devnet.store import StoreError
from ..setup import places
from ..setup.say import Problem
from ..virtual_board.machine import BoardError
from ..world.city import DAY, MINUTE, SECOND
from ..world.sites import plan
from .chain import Chain, Ports
from .external import ExternalRunner
from .fill import clear, fill, fresh
from .network_file import NetworkFile, load
from .page import password_file
from .settle import Interrupted, Settling, Stop, Unsettled
from .state import MOST_BOARDS, NETWORKS, SEED, Run, Var, World, folder_of

PAST = 2 * DAY
"""How far back a first run begins, in ns."""
RETURN = 2 * MINUTE
"""How far before the present a later run takes up the world."""
_PORTS = ("mqtt", "influxdb", "api", "http")


class Runner:
    """One run: knows what is in the folder already, and where the world stands."""

    def __init__(self, var: Var, boards: int, ports: Ports) -> None:
        self.var = var
        self.stopping = Stop()
        self.chain = Chain(var, ports, self.stopping, _say)
        self.run = Run(pid=os.getpid(), boards=boards)
        self._boards = boards
        self._gentle = False

    def signalled(self, _number: int, _frame: FrameType | None) -> None:
        """A signal asks to end: the world finishes its step, anything else ends at once."""
        self.stopping.ask(gently=self._gentle)
        if self._gentle:
            self.chain.city.clock.interrupt()

    def go(self) -> None:
        """Everything between the lock and the last process' end."""
        wall = time.time_ns()
        world = self.var.read_world()
        # A run that ended before the world took its first step has left no past to go on from.
        first = world is None or world.until == world.since
        if world is None or first:
            world = World(SEED if world is None else world.seed, wall - PAST, wall - PAST)
            self.var.write_world(world)
            clear(self.var)
        with self.chain as chain:
            chain.start_servers()
            chain.start_network(world.seed)
            chain.start_gateway()
            start = world.since if first else max(world.until, wall - RETURN)
            new = fresh(self.var, plan(world.seed, self._boards), every=first)
            sites = chain.build_city(world, self._boards, start)
            city = chain.city
            # At first technicians come round; later the current comes back everywhere at once.
            mounted = city.mount(10 * MINUTE if first else SECOND)
            fill(self.var, world, sites, {number: when for number, when in mounted.items() if number in new}, _say)
            settling = chain.settling()
            self._addresses()
            self._gentle = True
            _say(f"  {len(sites)} boards in place; the world stands at {_when(start)}")
            if first:
                _say("  two days pass before it is live: one to two minutes and 15 MB of disk for six boards")
            self._catch_up(world, settling)
            self._hold(world)
            if not self.stopping.asked:
                self._greet()
                self._live(world)
            self._gentle = False
            _say("stopping: the boards are without power, the servers end")
            self._note(world, "stopped")

    def _catch_up(self, world: World, settling: Settling) -> None:
        city = self.chain.city
        start = city.clock.now
        columns = (
            TextColumn("  catching up"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[at]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(), transient=True, disable=not sys.stdout.isatty()) as progress:
            bar = progress.add_task("", total=time.time_ns() - start, at="")
            next_line = time.monotonic() + 10
            while not self.stopping.asked and (behind := time.time_ns() - city.clock.now) > SECOND:
                # The hour's stops are the city's; a shorter last step brings the world to the present.
                city.run_until(self._ahead(world, min(behind, MINUTE * 15)), settling.settle)
                progress.update(bar, completed=city.clock.now - start, at=_when(city.clock.now))
                self._note(world, "catching up")
                if not progress.console.is_terminal and time.monotonic() > next_line:
                    _say(f"  catching up: {_when(city.clock.now)}")
                    next_line += 10

    def _hold(self, world: World) -> None:
        """The wall clock lies before the world, which never goes back: waits for it."""
        city = self.chain.city
        if (ahead := city.clock.now - time.time_ns()) > SECOND:
            _say(
                f"  the world has lived to {_when(city.clock.now)}, {ahead // SECOND} s ahead of this machine's clock; it "
                "waits until then: mend the clock, or move the folder away to begin anew"
            )
        while city.clock.now > time.time_ns() and not self.stopping.asked:
            time.sleep(min(0.2, ahead / SECOND))
            self._note(world, "waiting for the clock")
            if (problem := self.chain.ended()) is not None:
                raise problem

    def _live(self, world: World) -> None:
        city = self.chain.city
        city.clock.pace(True)
        self.chain.devnet.paced = True
        self.chain.devnet.apply_pending()
        while not self.stopping.asked:
            city.clock.run_until(self._ahead(world, SECOND))
            self._note(world, "live")
            if (problem := self.chain.ended()) is not None:
                raise problem

    def _ahead(self, world: World, step: int) -> int:
        """The end of the next step of `step` ns, in the world's file before it begins: after kill -9 no time is lived twice."""
        city = self.chain.city
        world.until = city.clock.now + step
        self.var.write_world(world)
        return world.until

    def _note(self, world: World, phase: str) -> None:
        city, chain = self.chain.city, self.chain
        world.until = city.clock.now
        self.var.write_world(world)
        self.run.phase = phase
        self.run.joined = self._joined()
        self.run.world_time = city.clock.now
        self.run.lag_s = round(max(0, time.time_ns() - city.clock.now) / SECOND, 3)
        self.run.services = chain.services()
        self.var.write_run(self.run)

    def _joined(self) -> int:
        """Of the boards that this run has; the network server may know more."""
        return self.chain.devnet.joined({site.dev_eui for site in self.chain.city.sites.values()})

    def _addresses(self) -> None:
        chain = self.chain
        self.run.addresses = {
            "mqtt": f"127.0.0.1:{chain.mosquitto.port}",
            "influxdb": chain.influxdb.url,
            "api": chain.api_address,
            "metrics": chain.metrics_url,
        }
        self.run.read_token_file = str(chain.access.read_token_file)

    def _greet(self) -> None:
        city, chain = self.chain.city, self.chain
        vigie = f".venv/bin/vigie --settings {places.short(self.var.settings_file)}"
        meter = next((site for site in city.sites.values() if site.kind == "meter"), None)
        _say("")
        _say(f"The world is at the present. {self._joined()} of {len(city.boards)} boards have joined.")
        _say(f"  the page                     {chain.page_url}, password in {places.short(password_file(self.var))}")
        _say(f"  network server's API (gRPC)  {chain.api_address}, user admin, password admin")
        _say(f"  InfluxDB                     {chain.influxdb.url}, org {chain.access.org}")
        _say(f"  read token                   {places.short(chain.access.read_token_file)}")
        _say("Try, in another terminal:")
        _say(f"  {vigie} query meter {meter.dev_eui if meter else '--all'} --since 3d")
        _say(f"  {vigie} query bin --all --since 1d")
        _say(f"  {vigie} query air --all --since 1d --csv")
        _say("`make status` tells how the chain is. Ctrl-C stops everything.")


def _when(ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ns // SECOND))


def _say(text: str) -> None:
    print(text, flush=True)


def _parse(words: list[str]) -> tuple[int, Ports, Path, NetworkFile | None]:
    parser = argparse.ArgumentParser(prog="make run", description="The whole chain on this machine.")
    parser.add_argument("--boards", default="6", help=f"number of virtual boards, 1 to {MOST_BOARDS}")
    parser.add_argument(
        "--port", action="append", default=[], metavar="NAME=NUMBER", help=f"a fixed port for {', '.join(_PORTS)}"
    )
    parser.add_argument("--var", type=Path, metavar="FOLDER", help="where the data lies (var/, var/external/)")
    parser.add_argument("--network", default=NETWORKS[0], metavar="NAME", help=f"one of {', '.join(NETWORKS)}")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="broker, API and token of an external network (network.toml)"
    )
    given = parser.parse_args(words)
    folder = given.var or folder_of(given.network)
    external = given.network != NETWORKS[0]
    if given.settings is not None and not external:
        raise Problem(f"SETTINGS={given.settings} goes with NETWORK=external; give both or none")
    if not given.boards.isdecimal() or not 1 <= int(given.boards) <= MOST_BOARDS:
        raise Problem(f"BOARDS={given.boards}: give a number from 1 to {MOST_BOARDS}")
    ports = Ports()
    for pair in given.port:
        name, _, number = pair.partition("=")
        if name not in _PORTS or not number.isdecimal() or not 1 <= int(number) <= 65535:
            raise Problem(f"port {pair}: give NAME=NUMBER, NAME one of {', '.join(_PORTS)}, NUMBER from 1 to 65535")
        setattr(ports, name, int(number))
    for pair in given.port if external else []:
        if (name := pair.partition("=")[0]) in ("mqtt", "api"):
            raise Problem(
                f"PORTS={pair}: with NETWORK=external {name} is somebody else's; it stands in the settings file"
            )
    network = load(given.settings or places.ROOT / "network.toml") if external else None
    return int(given.boards), ports, folder.absolute(), network


def main(words: list[str]) -> int:
    """0 after Ctrl-C, 1 with one sentence when something is wrong."""
    folder = places.VAR
    try:
        boards, ports, folder, network = _parse(words)
        var = Var(folder)
        var.lock()
        runner = Runner(var, boards, ports) if network is None else ExternalRunner(var, boards, ports, network)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, runner.signalled)
        where = "on loopback" if network is None else "against an external network server"
        _say(f"starting the chain {where}; its data is in {places.short(var.folder)}/; Ctrl-C stops it")
        runner.go()
    except (Problem, Unsettled, PublishError, BoardError, StoreError) as problem:
        print(f"make run: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or places.short(folder)
        cure = "make room there" if error.errno in (ENOSPC, EDQUOT) else "mend that"
        print(f"make run: {where}: {error.strerror}; {cure} and run it again", file=sys.stderr)
        return 1
    except Interrupted:
        _say("stopped")
    return 0
