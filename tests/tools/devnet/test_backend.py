"""The gateway protocol on the server's side: what a command says, how a TxAck is read, and two LoRa gateways at a real broker."""

import threading
import time
from queue import Empty, SimpleQueue

import pytest
from chirpstack_api.gw import gw_pb2 as gw
from devnet_node import DEV, Node, network_server
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.devnet.backend import Backend, command, verdict
from tools.devnet.exchange import Downlink, DownlinkItem
from tools.run import servers

ROOF, HALL = "00000000000000a1", "00000000000000b2"


def test_a_command_says_all_that_chirpstack_says():
    rx1 = DownlinkItem(b"\1\2", 868_100_000, 125_000, 7, 16, 1_000_000_000)
    rx2 = DownlinkItem(b"\3", 869_525_000, 125_000, 12, 29, 2_000_000_000)
    made = command(Downlink(77, ROOF, (rx1, rx2), b"\0\1\2\3"))
    assert (made.downlink_id, made.gateway_id, len(made.items)) == (77, ROOF, 2)
    info = made.items[0].tx_info
    assert made.items[0].phy_payload == b"\1\2"
    assert (info.frequency, info.power, info.context) == (868_100_000, 16, b"\0\1\2\3")
    assert info.timing.delay.delay.ToNanoseconds() == 1_000_000_000
    lora = info.modulation.lora
    assert (lora.bandwidth, lora.spreading_factor, lora.code_rate) == (125_000, 7, gw.CR_4_5)
    assert lora.polarization_inversion
    # LoRaWAN sets both itself; ChirpStack leaves them out (downlink/helpers.rs)
    assert (lora.preamble, lora.no_crc) == (0, False)
    second = made.items[1].tx_info
    assert (second.frequency, second.power, second.modulation.lora.spreading_factor) == (869_525_000, 29, 12)
    assert second.timing.delay.delay.seconds == 2


@pytest.mark.parametrize(
    ("statuses", "read"),
    [
        (["OK", "IGNORED"], (0, "OK")),
        (["TOO_LATE", "OK"], (1, "OK")),
        (["TOO_LATE", "COLLISION_PACKET"], (None, "COLLISION_PACKET")),
        ([], (None, "IGNORED")),
    ],
)
def test_a_tx_ack_is_the_first_item_sent_or_the_last_refusal(statuses, read):
    ack = gw.DownlinkTxAck(items=[gw.DownlinkTxAckItem(status=status) for status in statuses])
    assert verdict(ack) == read


class Gateways:
    """Two LoRa gateways at one connection: hands on frames, keeps commands and the instants at which they came."""

    def __init__(self, port):
        self.commands = SimpleQueue()
        ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gateways", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("eu868/gateway/+/command/down")
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _c, _d, m: self.commands.put((time.monotonic(), m.topic, m.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(10)

    def hear(self, phy, heard):
        """`heard`: (gateway, SNR). Returns the instant before."""
        began = time.monotonic()
        for number, (gateway_id, snr) in enumerate(heard):
            frame = gw.UplinkFrame(phy_payload=phy)
            frame.tx_info.frequency = 868_100_000
            frame.tx_info.modulation.lora.CopyFrom(
                gw.LoraModulationInfo(bandwidth=125_000, spreading_factor=7, code_rate=gw.CR_4_5)
            )
            frame.rx_info.CopyFrom(
                gw.UplinkRxInfo(gateway_id=gateway_id, uplink_id=number, rssi=-80, snr=snr, context=bytes([number] * 4))
            )
            self.send(gateway_id, "up", frame.SerializeToString())
        return began

    def send(self, gateway_id, kind, payload):
        self.client.publish(f"eu868/gateway/{gateway_id}/event/{kind}", payload)

    def command(self):
        came, topic, payload = self.commands.get(timeout=10)
        return came, topic, gw.DownlinkFrame.FromString(payload)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Kept:
    """Events in the order in which they are published."""

    def __init__(self):
        self.events = SimpleQueue()

    def publish(self, event):
        self.events.put(event)

    def next(self, kind):
        event = self.events.get(timeout=10)
        assert event.topic.endswith(f"/{kind}")
        return event.body


@pytest.fixture
def port(tmp_path):
    broker = servers.start_mosquitto(tmp_path / "mosquitto")
    yield broker.port
    broker.stop()


def test_two_gateways_one_event_and_a_downlink_through_the_one_that_heard_well(port):
    said, kept = [], Kept()
    devnet = network_server()
    devnet.publisher = kept
    backend = Backend(devnet, "127.0.0.1", port, say=said.append)
    gateways = Gateways(port)
    until = time.monotonic() + 10
    while not any("takes LoRa gateways" in line for line in said):
        assert time.monotonic() < until, said
        time.sleep(0.01)
    try:
        node = Node(devnet, DEV)
        heard_at = gateways.hear(node.join_request(1), [(ROOF, -6.0), (HALL, 9.0)])
        came, topic, frame = gateways.command()
        # recorded from ChirpStack: 330 to 370 ms; a busy machine may take longer, never less
        assert 0.33 < came - heard_at < 2.0
        assert topic == f"eu868/gateway/{HALL}/command/down"
        assert (frame.gateway_id, frame.items[0].tx_info.context) == (HALL, b"\1\1\1\1")
        assert [item.tx_info.timing.delay.delay.seconds for item in frame.items] == [5, 6]
        assert kept.next("join").device_info.dev_eui == DEV
        # what is none of the protocol's is told and ignored
        gateways.send(ROOF, "up", b"\xff\xff")
        gateways.send(ROOF, "mesh", b"")
        stats = gw.GatewayStats(gateway_id=HALL)
        gateways.send(HALL, "stats", stats.SerializeToString())

        node.session = _session(devnet)
        gateways.hear(node.phy(0, b"\1", confirmed=True), [(ROOF, -6.0), (HALL, 9.0)])
        up = kept.next("up")
        assert sorted(each.gateway_id for each in up.rx_info) == [ROOF, HALL]
        assert all(each.HasField("ns_time") for each in up.rx_info)
        _, _, frame = gateways.command()
        ack = gw.DownlinkTxAck(gateway_id=HALL, downlink_id=frame.downlink_id)
        ack.items.add(status=gw.TOO_LATE)
        ack.items.add(status=gw.TOO_LATE)
        gateways.send(HALL, "ack", ack.SerializeToString())
        assert kept.next("log").description == "TOO_LATE"
        assert any(
            "no message of the gateway protocol in Protobuf" in line and "it is ignored" in line for line in said
        )
        assert backend.alive
        with pytest.raises(Empty):
            gateways.commands.get_nowait()
    finally:
        gateways.close()
        backend.close()
        devnet.close()


def _session(devnet):
    """As the node would have it from the join-accept."""
    session = devnet.core.session(DEV)
    return session.dev_addr, session.nwk_s_key, session.app_s_key
