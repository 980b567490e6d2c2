"""`make run NETWORK=external` against devnet as a process of its own, reached only through MQTT and gRPC; answers come late, and too late.

Between the world's LoRa gateways and devnet stands a bridge: the gateways' topics begin with `late`, devnet's with `eu868`, and each
downlink command is held back by as much as its test says, beyond the 350 ms that devnet takes as a real ChirpStack does.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from chirpstack_api import api
from chirpstack_api.gw import gw_pb2 as gw
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.devnet.frame import encrypt_block
from tools.run import external, main, servers
from tools.run.network_file import load
from tools.run.state import Var, World
from tools.setup.say import Problem
from tools.technician.chirpstack import Api
from tools.world.sites import plan

ROOT = Path(__file__).resolve().parents[2]
SEED = 129  # its three boards each have two LoRa gateways of three that hear them well
AIR, BIN, METER = plan(SEED, 3)
SPREAD_MS = (50, 300, 550, 800)
"""What answers are held back by, in turn, where the test names nothing else: RX1 for the first three, RX2 for the last."""
JOIN_ACCEPT, DATA = "join", "data"


class Network:
    """Mosquitto and devnet's process on ports of their own, with an administrator's key."""

    def __init__(self, folder):
        self.folder = folder
        self.mosquitto = servers.start_mosquitto(folder / "mosquitto")
        self.api_port = servers.free_port()
        self.devnet = None
        self.start_devnet()
        jwt = self._stub(api.InternalServiceStub).Login(
            api.LoginRequest(email="admin", password="admin"), wait_for_ready=True, timeout=20
        )
        self._metadata = (("authorization", f"Bearer {jwt.jwt}"),)
        key = api.CreateApiKeyRequest(api_key=api.ApiKey(name="test", is_admin=True))
        self.token = self.call(api.InternalServiceStub, "CreateApiKey", key).token
        (folder / "token").write_text(self.token)
        (folder / "wrong").write_text("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.AAAA")

    @property
    def api_address(self):
        return f"127.0.0.1:{self.api_port}"

    def start_devnet(self):
        words = ["--mqtt", f"127.0.0.1:{self.mosquitto.port}", "--api", self.api_address]
        log = (self.folder / "devnet.log").open("ab")
        self.devnet = subprocess.Popen(
            [sys.executable, "-m", "tools.devnet", *words, "--database", str(self.folder / "devnet.sqlite")],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        log.close()

    def stop_devnet(self):
        self.devnet.send_signal(signal.SIGTERM)
        assert self.devnet.wait(20) == 0, (self.folder / "devnet.log").read_text()

    def _stub(self, stub):
        self.channel = getattr(self, "channel", None) or grpc.insecure_channel(self.api_address)
        return stub(self.channel)

    def call(self, stub, method, request):
        return getattr(self._stub(stub), method)(request, metadata=self._metadata, timeout=10, wait_for_ready=True)

    def settings(self, **changes):
        """A settings file with changes by section.name; None leaves a line out."""
        values = {
            "mqtt": {"host": "127.0.0.1", "port": self.mosquitto.port, "topic_prefix": "late"},
            "api": {"address": self.api_address, "token_file": "token"},
        }
        for name, value in changes.items():
            section, _, key = name.partition("__")
            values.setdefault(section, {})[key] = value
        lines = []
        for section, table in values.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]
        path = self.folder / "network.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def dev_addr(self, site):
        request = api.GetDeviceActivationRequest(dev_eui=site.dev_eui)
        return self.call(api.DeviceServiceStub, "GetActivation", request).device_activation.dev_addr

    def queue(self, site):
        request = api.GetDeviceQueueItemsRequest(dev_eui=site.dev_eui)
        return list(self.call(api.DeviceServiceStub, "GetQueue", request).result)

    def close(self):
        self.channel.close()
        self.stop_devnet()
        self.mosquitto.stop()


class Bridge:
    """Carries events at once and commands late. `acks`: (DevEUI, kind) -> each command's (ms held back, statuses)."""

    def __init__(self, port, sites):
        self.held = {}  # (DevEUI, kind) -> ms of each command in turn, the last for all that follow
        self.acks = {}
        self.joins = Counter()
        self.ups = {}  # DevEUI -> data frames
        self.copies = {}  # frame -> LoRa gateways
        self._keys = {site.dev_eui: bytes.fromhex(site.app_key) for site in sites}
        self._sent = Counter()
        self._cycle = itertools.cycle(SPREAD_MS)
        self._of = {}  # context -> DevEUI of a join-request; DevAddr -> DevEUI
        self._commands = {}  # downlink id -> (DevEUI, kind, ms)
        self._timers = []
        self.lock = threading.Lock()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bridge", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(
            [("late/gateway/+/event/+", 0), ("eu868/gateway/+/command/down", 0)]
        )
        self.client.on_message = self._pass
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _pass(self, _client, _data, message):
        prefix, rest = message.topic.split("/", 1)
        if prefix == "late":
            self._event(rest.rsplit("/", 1)[1], message.payload)
            self.client.publish(f"eu868/{rest}", message.payload)
        else:
            held_ms = self._command(gw.DownlinkFrame.FromString(message.payload))
            timer = threading.Timer(held_ms / 1000, self.client.publish, (f"late/{rest}", message.payload))
            timer.start()
            self._timers.append(timer)

    def _event(self, kind, payload):
        with self.lock:
            if kind == "up":
                frame = gw.UplinkFrame.FromString(payload)
                phy = frame.phy_payload
                self.copies.setdefault(phy, set()).add(frame.rx_info.gateway_id)
                if phy[0] >> 5 == 0:
                    dev_eui = phy[9:17][::-1].hex()
                    self._of[frame.rx_info.context] = dev_eui
                    self.joins[dev_eui] += 1
                else:
                    dev_eui = self._of.get(phy[1:5], "")
                    self._of[frame.rx_info.context] = dev_eui
                    self.ups.setdefault(dev_eui, set()).add(phy)
            elif kind == "ack":
                ack = gw.DownlinkTxAck.FromString(payload)
                dev_eui, kind, held_ms = self._commands[ack.downlink_id]
                statuses = [gw.TxAckStatus.Name(item.status) for item in ack.items]
                self.acks.setdefault((dev_eui, kind), []).append((held_ms, statuses))

    def _command(self, frame):
        with self.lock:
            phy = frame.items[0].phy_payload
            dev_eui = self._of[frame.items[0].tx_info.context]
            kind = JOIN_ACCEPT if phy[0] >> 5 == 1 else DATA
            if kind == JOIN_ACCEPT:
                plain = b"".join(encrypt_block(self._keys[dev_eui], phy[at : at + 16]) for at in range(1, len(phy), 16))
                self._of[plain[6:10]] = dev_eui
            number = self._sent[dev_eui, kind]
            self._sent[dev_eui, kind] += 1
            given = self.held.get((dev_eui, kind))
            held_ms = given[min(number, len(given) - 1)] if given else next(self._cycle)
            self._commands[frame.downlink_id] = (dev_eui, kind, held_ms)
            return held_ms

    def sent(self, site, kind):
        with self.lock:
            return any("OK" in statuses for _, statuses in self.acks.get((site.dev_eui, kind), []))

    def close(self):
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self.client.disconnect()
        self.client.loop_stop()


class Run:
    """One `python -m tools.run --network external`."""

    def __init__(self, folder, settings, boards):
        self.folder = folder
        self.log = folder.parent / f"run-{time.monotonic_ns()}.txt"
        words = ["--network", "external", "--settings", str(settings), "--var", str(folder), "--boards", str(boards)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.run", *words], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT
            )
        self.live = None

    def said(self):
        return self.log.read_text()

    def until(self, true, seconds, what):
        end = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, f"{what}: not within {seconds} s\n{self.said()}"
            time.sleep(0.05)

    def says(self, words, seconds):
        self.until(lambda: words in self.said(), seconds, words)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def console(self, site):
        return (self.folder / "boards" / site.dev_eui / "flash.img.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    made = Network(tmp_path_factory.mktemp("network"))
    yield made
    made.close()


@pytest.fixture
def bridge(network):
    made = Bridge(network.mosquitto.port, (AIR, BIN, METER))
    yield made
    made.close()


def seeded(folder):
    """A folder whose world has this file's seed, as after a run that ended before its first step."""
    now = time.time_ns()
    folder.mkdir(parents=True)
    Var(folder).write_world(World(SEED, now, now))
    return folder


# What is wrong before anything is started


def problem(network, settings, folder):
    runner = external.ExternalRunner(Var(folder), 3, main.Ports(), load(settings))
    with pytest.raises(Problem) as caught:
        runner.go()
    text = str(caught.value)
    assert "\n" not in text
    assert not (folder / "influxdb").exists()
    return text


def tenants(network):
    return [row.name for row in network.call(api.TenantServiceStub, "List", api.ListTenantsRequest(limit=100)).result]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api__token_file": "wrong"}, r"ListTenants: UNAUTHENTICATED .*; the token is refused"),
        ({"api__address": "127.0.0.1:1"}, r"API at 127\.0\.0\.1:1: .*refused; check \[api\] address"),
        ({"mqtt__port": 1}, r"broker at 127\.0\.0\.1:1: .*refused; check \[mqtt\] host, port and TLS"),
    ],
)
def test_who_does_not_let_us_in_is_named_and_nothing_is_made(network, tmp_path, changes, said):
    assert re.search(said, problem(network, network.settings(**changes), seeded(tmp_path / "var")))
    assert tenants(network) == []


def test_a_gateway_or_a_device_of_somebody_else_stops_it_before_anything_is_made(network, tmp_path):
    settings = network.settings(chirpstack__tenant="ours")
    other = network.call(
        api.TenantServiceStub,
        "Create",
        api.CreateTenantRequest(tenant=api.Tenant(name="theirs", can_have_gateways=True)),
    ).id
    gateway_id = external.gateway_ids(SEED, 1)[0]
    theirs = api.Gateway(gateway_id=gateway_id, name="theirs", tenant_id=other, stats_interval=30)
    network.call(api.GatewayServiceStub, "Create", api.CreateGatewayRequest(gateway=theirs))
    told = problem(network, settings, seeded(tmp_path / "var"))
    assert told.startswith(
        f"LoRa gateway {gateway_id} belongs to tenant {other} in the network server; nothing is made"
    )
    network.call(api.GatewayServiceStub, "Delete", api.DeleteGatewayRequest(gateway_id=gateway_id))
    taken = external.register(_connection(network), [METER], [], external.Names(tenant="theirs", application="a"))
    told = problem(network, settings, tmp_path / "var")
    assert told.startswith(f"device {METER.name} ({METER.dev_eui}) is held by application a")
    assert tenants(network) == ["theirs"]
    # a key that is not the board's
    device = api.DeleteDeviceRequest(dev_eui=METER.dev_eui)
    network.call(api.DeviceServiceStub, "Delete", device)
    other_key = external.plan(SEED + 1, 3)[2].app_key
    changed = METER.__class__(METER.number, METER.kind, METER.dev_eui, other_key)
    external.register(_connection(network), [changed], [], external.Names(tenant="theirs", application="a"))
    with pytest.raises(Problem, match="has another AppKey in the network server than its board; nothing is changed"):
        external.register(_connection(network), [METER], [], external.Names(tenant="theirs", application="a"))
    network.call(api.TenantServiceStub, "Delete", api.DeleteTenantRequest(id=taken.place.tenant))
    assert tenants(network) == []


def test_a_tenants_own_key_serves_and_sees_another_tenants_gateway_by_being_refused(network):
    ours, theirs = (
        network.call(
            api.TenantServiceStub,
            "Create",
            api.CreateTenantRequest(tenant=api.Tenant(name=name, can_have_gateways=True)),
        ).id
        for name in ("ours", "theirs")
    )
    key = api.CreateApiKeyRequest(api_key=api.ApiKey(name="ours", tenant_id=ours))
    connection = Api(network.api_address, network.call(api.InternalServiceStub, "CreateApiKey", key).token)
    names = external.Names(application="a", tenant_id=ours)
    gateways = external.gateway_ids(SEED, 2)
    foreign = api.Gateway(gateway_id=gateways[0], name="theirs", tenant_id=theirs, stats_interval=30)
    network.call(api.GatewayServiceStub, "Create", api.CreateGatewayRequest(gateway=foreign))
    with pytest.raises(Problem, match=f"^LoRa gateway {gateways[0]} belongs to another tenant .*; nothing is made: "):
        external.register(connection, [METER], gateways, names)
    listed = api.ListApplicationsRequest(limit=10, tenant_id=ours)
    assert network.call(api.ApplicationServiceStub, "List", listed).total_count == 0
    network.call(api.TenantServiceStub, "Delete", api.DeleteTenantRequest(id=theirs))
    made = external.register(connection, [METER], gateways, names)
    assert [site.dev_eui for site in made.fresh] == [METER.dev_eui]
    again = external.register(connection, [METER], gateways, names)
    assert (again.place, again.made, again.fresh) == (made.place, [], [])
    connection.close()
    network.call(api.TenantServiceStub, "Delete", api.DeleteTenantRequest(id=ours))


def _connection(network):
    return Api(network.api_address, network.token)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "exernal"], "make run: NETWORK=exernal: give one of devnet, external\n"),
        (["--settings", "x.toml"], "make run: SETTINGS=x.toml goes with NETWORK=external; give both or none\n"),
        (["--network", "external", "--settings", "/nonexistent"], "make run: /nonexistent does not exist; "),
        (["--network", "external", "--port", "mqtt=1883"], "make run: PORTS=mqtt=1883: with NETWORK=external mqtt is "),
    ],
)
def test_a_typo_on_the_command_line_is_one_line(words, said, capsys):
    assert main.main(words) == 1
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mqtt]\nhost = 'a'\n", "[api] is missing"),
        (
            "[mqtt]\nhost = 'a'\n[api]\naddress = 'b'\ntoken_file = 'c'\n",
            "[api] address: it is a host and a port, such as ",
        ),
        ("[mqtt]\nhost = 'a'\n[api]\naddress = 'http://b:1'\ntoken_file = 'c'\n", "[api] address: it is a host and"),
        (
            "[mqtt]\nhost = 'a'\n[api]\naddress = 'b:1'\ntoken_file = 'c'\n[chirpstack]\ntenant_id = 'd'\n",
            "tenant_id: ",
        ),
        ("[mqtt]\nhots = 'a'\n[api]\naddress = 'b:1'\ntoken_file = 'c'\n", "[mqtt] hots is not a setting"),
        ("[mqtt]\nhost = 'a'\nports = 3\n[api]\naddress = 'b:1'\ntoken_file = 'c'\n", "[mqtt] ports is not a setting"),
        ("[mqtt]\nhost = 'a'\nca_file = 'd'\n[api]\naddress = 'b:1'\ntoken_file = 'c'\n", "tls is not true"),
        ("[mqtt\n", "is not TOML: "),
    ],
)
def test_a_fault_in_the_settings_is_named(text, said, tmp_path):
    path = tmp_path / "network.toml"
    path.write_text(text)
    with pytest.raises(Problem) as caught:
        load(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_settings_in_the_docs_are_settings(tmp_path):
    text = (ROOT / "docs" / "administrator.md").read_text()
    example = text.split("It needs `network.toml`", 1)[1].split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "network.toml").write_text(example)
    for name in ("mqtt.password", "chirpstack.token"):
        (tmp_path / name).write_text("secret\n")
    found = load(tmp_path / "network.toml")
    assert found.broker().password == found.token() == "secret"
    assert found.broker().tls


# The run


def test_joins_and_downlinks_in_both_windows_late_and_too_late_and_a_second_run(network, bridge, tmp_path):
    settings = network.settings(world__gateways=3)
    var = seeded(tmp_path / "var")
    bridge.held = {(METER.dev_eui, JOIN_ACCEPT): [6500, 50], (METER.dev_eui, DATA): [2500, 300]}
    bridge.held |= {(AIR.dev_eui, JOIN_ACCEPT): [800], (AIR.dev_eui, DATA): [50], (BIN.dev_eui, DATA): [800]}
    run = Run(var, settings, boards=3)
    try:
        _first(network, bridge, run)
        assert run.interrupt() == 0
    finally:
        run.kill()
    said = run.said()
    assert re.search(
        r"\d+ uplinks handed on, 0 lost without the broker; downlinks: \d+ in RX1, \d+ in RX2, \d+ in neither", said
    )
    addresses = {site.dev_eui: network.dev_addr(site) for site in (AIR, BIN, METER)}
    joins = dict(bridge.joins)
    run = Run(var, settings, boards=1)
    try:
        _second(network, bridge, run)
        assert run.interrupt() == 0
    finally:
        run.kill()
    assert network.dev_addr(AIR) == addresses[AIR.dev_eui]
    assert bridge.joins == joins
    _removed(network, var, settings)


def _first(network, bridge, run):
    run.says("The world is at the present and follows the wall clock; nothing is caught up with.", 60)
    started = time.monotonic()
    assert "3 devices registered, 0 there already" in run.said()
    for site in (AIR, BIN):
        item = api.DeviceQueueItem(dev_eui=site.dev_eui, f_port=99, data=b"\1")
        network.call(api.DeviceServiceStub, "Enqueue", api.EnqueueDeviceQueueItemRequest(queue_item=item))
    run.says("3 of 3 boards have a session", 120)
    print(f"joined {time.monotonic() - started:.0f} s after the world's start")
    answered = "health report sent, answered"
    run.until(lambda: all(answered in run.console(site) for site in (AIR, BIN)), 90, answered)
    run.until(lambda: bridge.sent(METER, DATA), 90, "a downlink to the meter once its delay has ended")
    acks = bridge.acks
    too_late = ["TOO_LATE", "TOO_LATE"]
    assert acks[METER.dev_eui, JOIN_ACCEPT][0] == (6500, too_late)
    assert "no join-accept; the next request in" in run.console(METER)
    assert acks[METER.dev_eui, DATA][0] == (2500, too_late)
    # Which window is the machine's matter too: another board may have the gateway, or a busy machine be late itself.
    for site, kind, held_ms in ((METER, JOIN_ACCEPT, 50), (METER, DATA, 300), (AIR, JOIN_ACCEPT, 800), (AIR, DATA, 50)):
        assert "OK" in [statuses for ms, statuses in acks[site.dev_eui, kind] if ms == held_ms][-1]
    assert (800, ["TOO_LATE", "OK"]) in acks[BIN.dev_eui, DATA]
    assert ["OK", "IGNORED"] in [statuses for (_, kind), each in acks.items() if kind == DATA for _, statuses in each]
    assert max(map(len, bridge.copies.values())) > 1
    assert network.queue(AIR) == network.queue(BIN) == []
    for words in (
        "first downlink has gone out in RX1",
        "first downlink has gone out in RX2",
    ):
        run.says(words, 10)
    # beside it another board's answer may have had the gateway (COLLISION_PACKET)
    run.until(lambda: re.search(r"refused in both windows \([^)]*TOO_LATE", run.said()), 10, "the refusal in words")
    state = json.loads((run.folder / "run.json").read_text())
    assert state["services"] == dict.fromkeys(("influxdb", "gateway", "broker", "chirpstack"), "up")
    assert state["joined"] == 3
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "vigie",
            "--settings",
            str(run.folder / "vigie.toml"),
            "query",
            "nodes",
            "--all",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ},
    ).stdout
    assert all(site.dev_eui in told for site in (AIR, BIN, METER))


def _second(network, bridge, run):
    run.says("The world is at the present", 60)
    assert "0 devices registered, 1 there already" in run.said()
    before = len(bridge.ups[AIR.dev_eui])
    # While the board waits for its cable and spreads its first uplink, broker and network server go and come.
    network.mosquitto.stop()
    run.says(f"broker at 127.0.0.1:{network.mosquitto.port}: it is lost", 20)
    network.stop_devnet()
    network.mosquitto = servers.start_mosquitto(network.folder / "mosquitto", network.mosquitto.port)
    run.says(f"broker at 127.0.0.1:{network.mosquitto.port}: back; ", 20)
    run.says("the world goes on", 40)
    network.start_devnet()
    run.says("the network server's API answers again", 40)
    run.until(lambda: len(bridge.ups[AIR.dev_eui]) > before, 60, "an uplink of the session before")
    # an uplink that nobody heard, broker or server being away, comes again after a minute
    run.until(
        lambda: run.console(AIR).count("health report sent, answered") >= 2, 100, "an answer in the session before"
    )


def _removed(network, var, settings):
    told = subprocess.run(
        [sys.executable, "-m", "tools.run.remove", "--var", str(var), "--settings", str(settings)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert told.returncode == 0, told.stderr
    assert "  removed: 3 devices of application vigie-virtual\n" in told.stdout
    assert "  removed: tenant vigie-virtual\n" in told.stdout
    assert tenants(network) == []
