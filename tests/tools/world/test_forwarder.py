"""The gateway protocol on the gateways' side: messages, timing from the context, refusals, what a real broker sees of a LoRa gateway."""

import threading
import time
from collections import defaultdict
from queue import SimpleQueue

import pytest
from chirpstack_api.gw import gw_pb2 as gw
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tools.run import servers
from tools.world.air import Air
from tools.world.clock import Clock
from tools.world.forwarder import Broker, Forwarders
from tools.world.frame import Transmission
from tools.world.gateway import LoRaGateway
from tools.world.gateway_protocol import LEAD_NS, counted, wanted
from tools.world.pace import Pace

START = 1_795_646_680_123_456_789
SECOND, MS = 1_000_000_000, 1_000_000
INSIDE, OUTSIDE = "7276ff002e062701", "00000000000000aa"
UP = Transmission(868_100_000, 7, 125_000, b"\x40" + bytes(20), 14.0)


def item(delay_ns=SECOND, context=b"", timing="delay"):
    made = gw.DownlinkFrameItem(phy_payload=b"\x60" + bytes(16))
    info = made.tx_info
    info.frequency, info.power, info.context = 868_100_000, 16, context
    info.modulation.lora.CopyFrom(
        gw.LoraModulationInfo(bandwidth=125_000, spreading_factor=7, code_rate=gw.CR_4_5, polarization_inversion=True)
    )
    if timing == "delay":
        info.timing.delay.delay.FromNanoseconds(delay_ns)
    elif timing == "gps_epoch":
        info.timing.gps_epoch.time_since_gps_epoch.FromNanoseconds(delay_ns)
    else:
        info.timing.immediately.SetInParent()
    return made


def context(instant):
    return ((instant // 1000) & 0xFFFFFFFF).to_bytes(4, "big")


@pytest.mark.parametrize("ago", [0, 350 * MS, -5 * MS, 2_000 * SECOND])
@pytest.mark.parametrize("now", [START, (1 << 32) * 1000 * 418_000 + 5_000, (1 << 32) * 1000 * 418_000 - 5_000])
def test_a_context_is_the_nearest_instant_with_that_count(now, ago):
    assert counted(context(now - ago), now) == (now - ago) // 1000 * 1000


def test_a_context_that_is_none_of_a_gateways_is_refused():
    with pytest.raises(ValueError, match="a context of 2 bytes"):
        counted(b"\0\0", START)


def test_each_kind_of_timing_counts_from_now():
    delayed = wanted(item(SECOND, context(START - 350 * MS)), START)
    assert abs(delayed.delay_ns - 650 * MS) < 1000
    assert (delayed.freq_hz, delayed.spreading_factor, delayed.iq_inverted) == (868_100_000, 7, True)
    assert wanted(item(timing="immediately"), START).delay_ns == LEAD_NS
    gps = START - 315_964_800 * SECOND + 18 * SECOND  # 18 leap seconds since 1980-01-06
    assert wanted(item(gps + 3 * SECOND, timing="gps_epoch"), START).delay_ns == 3 * SECOND
    fsk = item(SECOND, context(START))
    fsk.tx_info.modulation.fsk.datarate = 50_000
    assert wanted(fsk, START) is None


class Server:
    """The network server's side, by hand."""

    def __init__(self, port):
        self.came = defaultdict(SimpleQueue)
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="server", protocol=mqtt.MQTTv5)
        ready = threading.Event()
        # without what is retained: the state that the test before has left
        only_new = SubscribeOptions(retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        self.client.on_connect = lambda client, *_: client.subscribe("eu868/gateway/#", options=only_new)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _c, _d, m: self.came[m.topic].put(m.payload)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(10)

    def next(self, kind, what):
        """The next message of a kind (event/up, ...), of the class `what`."""
        return what.FromString(self.came[f"eu868/gateway/{OUTSIDE}/{kind}"].get(timeout=10))

    def down(self, frame):
        self.client.publish(f"eu868/gateway/{OUTSIDE}/command/down", frame.SerializeToString()).wait_for_publish(5)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class World:
    """A clock, an air and one gateway at a broker; no boards."""

    def __init__(self, port, **options):
        self.said = []
        self.clock = Clock(START)
        self.air = Air(self.clock, 7)
        self.gateway = LoRaGateway(self.air, INSIDE)
        self.air.set_path_loss("board", INSIDE, 100.0)
        broker = Broker("127.0.0.1", port)
        self.forwarders = Forwarders({OUTSIDE: self.gateway}, self.clock, broker, "eu868", self.said.append, **options)
        self.until(lambda: not self.forwarders.trouble)
        self.forwarders.started()

    def until(self, true):
        """World time goes on by a millisecond at a time."""
        end = time.monotonic() + 10
        while not true():
            assert time.monotonic() < end, self.said
            self.clock.run_until(self.clock.now + MS // 100)
            time.sleep(0.001)

    def uplink(self, server):
        self.air.transmit("board", UP)
        self.clock.run_until(self.clock.now + UP.air_ns)
        return server.next("event/up", gw.UplinkFrame)

    def answer(self, server, *items, gateway_id=OUTSIDE):
        tally = self.forwarders.tally()
        before = sum(tally.windows.values()) + tally.unsent
        server.down(gw.DownlinkFrame(downlink_id=9, gateway_id=gateway_id, items=items))
        if gateway_id != OUTSIDE:
            self.until(lambda: self.said)
            return None
        self.until(lambda: sum((now := self.forwarders.tally()).windows.values()) + now.unsent > before)
        ack = server.next("event/ack", gw.DownlinkTxAck)
        assert (ack.gateway_id, ack.downlink_id) == (OUTSIDE, 9)
        return [gw.TxAckStatus.Name(each.status) for each in ack.items]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    broker = servers.start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield broker.port
    broker.stop()


@pytest.fixture
def server(port):
    made = Server(port)
    yield made
    made.close()


def test_an_uplink_a_downlink_in_either_window_and_statistics(port, server):
    world = World(port)
    try:
        assert server.next("state/conn", gw.ConnState).state == gw.ConnState.ONLINE
        frame = world.uplink(server)
        end = world.clock.now
        info = frame.rx_info
        assert frame.phy_payload == UP.payload
        assert frame.tx_info.frequency == 868_100_000
        lora = frame.tx_info.modulation.lora
        assert (lora.bandwidth, lora.spreading_factor, lora.code_rate) == (125_000, 7, gw.CR_4_5)
        assert (info.gateway_id, info.crc_status, info.channel, info.rf_chain) == (OUTSIDE, gw.CRC_OK, 0, 1)
        assert info.gw_time.ToNanoseconds() == end
        assert info.time_since_gps_epoch.ToNanoseconds() == end - 315_964_800 * SECOND + 18 * SECOND
        assert info.context == context(end)
        assert -90 <= info.rssi <= -80
        assert info.snr > 5

        rx1, rx2 = item(SECOND, info.context), item(2 * SECOND, info.context)
        assert world.answer(server, rx1, rx2) == ["OK", "IGNORED"]
        world.clock.run_until(end + SECOND - 42 * MS)
        assert world.answer(server, rx1, rx2) == ["TOO_LATE", "OK"]
        world.clock.run_until(end + 2 * SECOND)
        assert world.answer(server, rx1, rx2) == ["TOO_LATE", "TOO_LATE"]
        assert world.answer(server, item(SECOND, b"\1\2")) == ["INTERNAL_ERROR"]
        assert world.said == [
            f"gateway {OUTSIDE}: a context of 2 bytes is none of this gateway's; the downlink is refused"
        ]
        tally = world.forwarders.tally()
        assert (tally.uplinks, tally.lost, tally.unsent) == (1, 0, 2)
        assert dict(tally.windows) == {0: 1, 1: 1}
        assert tally.refused == {"TOO_LATE": 3, "INTERNAL_ERROR": 1}
        assert tally.answers_ns[1] >= 2 * SECOND
        world.clock.run_until(START + 32 * SECOND)
        assert world.air.frames == 3
        first, second = (server.next("event/stats", gw.GatewayStats) for _ in range(2))
        both = {0: first, 1: second}
        assert sum(each.rx_packets_received_ok for each in both.values()) == 1
        assert sum(each.tx_packets_received for each in both.values()) == 4
        assert sum(each.tx_packets_emitted for each in both.values()) == 2
        assert sum(each.tx_packets_per_status["TOO_LATE"] for each in both.values()) == 3
        assert second.time.ToNanoseconds() - first.time.ToNanoseconds() == 30 * SECOND
    finally:
        world.forwarders.close()
    assert server.next("state/conn", gw.ConnState).state == gw.ConnState.OFFLINE


def test_one_downlink_in_two_is_refused_in_rx1_where_the_settings_want_it(port, server):
    world = World(port, refuse_rx1=2)
    try:
        for refused in (["OK", "IGNORED"], ["COLLISION_PACKET", "OK"]):
            context = world.uplink(server).rx_info.context
            assert world.answer(server, item(SECOND, context), item(2 * SECOND, context)) == refused
            world.clock.run_until(world.clock.now + 3 * SECOND)
    finally:
        world.forwarders.close()


def test_a_command_for_another_gateway_or_no_command_is_told_and_ignored(port, server):
    world = World(port)
    try:
        world.answer(server, item(SECOND, bytes(4)), gateway_id=INSIDE)
        assert world.said == [f"gateway {OUTSIDE}: a command is for gateway {INSIDE}; it is ignored"]
        server.client.publish(f"eu868/gateway/{OUTSIDE}/command/down", b"\xff\xff").wait_for_publish(5)
        world.until(lambda: len(world.said) > 1)
        assert "a command is no gw.DownlinkFrame" in world.said[1]
    finally:
        world.forwarders.close()


def test_a_broker_that_goes_costs_uplinks_and_is_told_once_each_way(tmp_path):
    broker = servers.start_mosquitto(tmp_path)
    world = World(broker.port)
    try:
        broker.stop()
        world.until(lambda: world.said)
        world.air.transmit("board", UP)
        world.clock.run_until(world.clock.now + UP.air_ns)
        broker = servers.start_mosquitto(tmp_path, broker.port)
        world.until(lambda: len(world.said) > 1)
        where = f"broker at 127.0.0.1:{broker.port}"
        assert world.said[0].startswith(f"{where}: it is lost: ")
        assert world.said[0].endswith("the LoRa gateways try again each second, uplinks meanwhile are lost")
        assert world.said[1:] == [f"{where}: back; 1 uplinks are lost so far"]
    finally:
        world.forwarders.close()
        broker.stop()


# The pace


class Machine:
    """A wall clock by hand, and a clock that looks at it."""

    def __init__(self):
        self.wall = START
        self.said = []
        self.clock = Clock(START, lambda: self.wall)
        self.pace = Pace(self.clock, self.said.append, lambda: self.wall)

    def live(self, behind_ns, for_ns=100 * MS):
        """World time goes on with the wall clock so far ahead of it."""
        end = self.clock.now + for_ns
        while self.clock.now < end:
            upcoming = min(end, self.clock.next_event())
            self.wall = upcoming + behind_ns
            self.clock.run_until(upcoming)


def test_a_lag_within_100_ms_is_kept_and_one_above_is_told_with_its_part():
    machine = Machine()
    machine.live(90 * MS)
    assert machine.said == []
    assert machine.pace.recent() == machine.pace.most_ns == 90 * MS
    assert machine.pace.recent() == 0
    machine.clock.waited_ns += 150 * MS
    machine.live(160 * MS)
    assert len(machine.said) == 1
    assert machine.said[0].startswith(
        "world time is 160 ms behind the wall clock (the boards' interpreters took 150 ms); downlinks may come too late: "
    )
    # at most one line in ten seconds
    machine.live(300 * MS, 2 * SECOND)
    assert len(machine.said) == 1
    machine.live(0, 9 * SECOND)
    machine.live(400 * MS)
    assert len(machine.said) == 2
    assert "(this machine gave it no time for 4" in machine.said[1]
    assert machine.pace.most_ns == 400 * MS


def test_a_hold_that_was_woken_late_is_the_machines_doing():
    machine = Machine()
    machine.clock.held_ns += 250 * MS
    machine.live(200 * MS)
    assert "(this machine gave it no time for 200 ms" in machine.said[0]


def test_work_of_the_world_itself_is_named():
    machine = Machine()
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    machine.live(150 * MS)
    assert "(the world's own work took " in machine.said[0]


def test_the_clock_says_what_it_waited_and_held():
    clock = Clock(time.time_ns())
    clock.add_barrier(lambda: time.sleep(0.002))
    clock.pace(True)
    clock.run_until(clock.now + 300 * MS)
    assert clock.waited_ns >= 2 * MS
    assert clock.held_ns >= 15 * MS
