"""The publisher against a real Mosquitto: order, accounts, and a broker that goes away and comes back."""

import shutil
import socket
import subprocess
import threading
import time

import pytest
from chirpstack_api.api import device_pb2
from chirpstack_api.integration import integration_pb2 as integration
from devnet_node import Node, network_server
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from vigie.events import identify, parse

from tools.devnet.events import event
from tools.devnet.publisher import Publisher, PublishError
from tools.run import servers

DEV = "e1831ea5e2c5b663"


def numbered(n):
    return event("app", DEV, integration.UplinkEvent(f_cnt=n))


class Broker:
    """Mosquitto on a port of its own, with persistence."""

    def __init__(self, folder):
        self.port = servers.free_port()
        (folder / "store").mkdir()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n"
            f"persistence_location {folder}/store/\nmax_queued_messages 0\nlog_dest none\n"
        )
        self.process = None

    def start(self):
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", str(self.config)])
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("mosquitto does not listen")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


class Reader:
    """A durable subscription; `counts`: fCnt in the order of arrival, or `take` gets each (topic, body)."""

    def __init__(self, port, take=None, client_id="reader"):
        self.counts, self.ready = [], threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe("application/#", qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _c, _d, m: (take or self.count)(m.topic, m.payload)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def count(self, _topic, body):
        self.counts.append(int(body.split(b'"fCnt":')[1].split(b",")[0]))

    def wait_for(self, number, timeout_s=20):
        end = time.monotonic() + timeout_s
        while len(set(self.counts)) < number and time.monotonic() < end:
            time.sleep(0.05)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    b = Broker(tmp_path)
    yield b
    b.stop()


def first_times(counts):
    return list(dict.fromkeys(counts))


def test_events_arrive_in_order_and_are_accounted_for(broker):
    broker.start()
    reader = Reader(broker.port)
    publisher = Publisher("127.0.0.1", broker.port)
    for n in range(1000):
        publisher.publish(numbered(n))
    publisher.wait_acknowledged(20)
    assert publisher.published == publisher.acknowledged == 1000
    reader.wait_for(1000)
    publisher.close()
    reader.stop()
    assert reader.counts == list(range(1000))


def test_both_marshalers_tell_the_gateway_the_same(broker):
    """A device's life, each kind of event, published as JSON and as Protobuf and read by the gateway's own reader."""
    broker.start()
    got = {True: [], False: []}
    for as_json, events in got.items():
        raw = []
        # a session each: what one has not acknowledged when it leaves would come to the other
        reader = Reader(broker.port, lambda topic, body, raw=raw: raw.append((topic, body)), f"reader-{as_json}")
        publisher = Publisher("127.0.0.1", broker.port, json=as_json, client_id=f"devnet-{as_json}")
        devnet = network_server(status=1)
        devnet.publisher = publisher
        devnet.registry.enqueue(device_pb2.DeviceQueueItem(dev_eui=DEV, f_port=20, data=b"\1", confirmed=True))
        devnet.changed()
        node = Node(devnet, DEV)
        node.join()
        node.taken(node.up(0, b"\0\xff", confirmed=True))
        node.up(1, b"", 11, f_ctrl=0xA0, f_opts=b"\x06\xfe\x0a")
        node.up(1)
        publisher.wait_acknowledged(20)
        end = time.monotonic() + 20
        while len(raw) < publisher.published and time.monotonic() < end:
            time.sleep(0.02)
        publisher.close()
        reader.stop()
        assert all(body.startswith(b"{") == as_json for _, body in raw)
        events += [(parse(*message), identify(*message).kind) for message in raw]
    assert [kind for _, kind in got[True]] == ["join", "up", "txack", "status", "ack", "up", "log"]
    assert got[True] == got[False]


def test_nothing_is_lost_while_the_broker_is_away(broker):
    publisher = Publisher("127.0.0.1", broker.port)  # before the broker is there at all
    broker.start()
    reader = Reader(broker.port)
    for n in range(300):
        publisher.publish(numbered(n))
    publisher.wait_acknowledged(20)
    broker.stop()
    for n in range(300, 900):
        publisher.publish(numbered(n))
    with pytest.raises(
        PublishError, match=r"has not acknowledged 600 of 900 events within 0\.2 s .*check that it runs"
    ):
        publisher.wait_acknowledged(0.2)
    broker.start()
    for n in range(900, 1000):
        publisher.publish(numbered(n))
    publisher.wait_acknowledged(20)
    reader.wait_for(1000)
    publisher.close()
    reader.stop()
    assert first_times(reader.counts) == list(range(1000))


def test_a_broker_that_dies_under_load_loses_nothing_of_what_was_published(broker):
    broker.start()
    reader = Reader(broker.port)
    publisher = Publisher("127.0.0.1", broker.port)
    for n in range(3000):
        publisher.publish(numbered(n))
        if n == 1500:
            broker.stop()  # with some two hundred in flight
            broker.start()
    publisher.wait_acknowledged(30)
    reader.wait_for(3000)
    publisher.close()
    reader.stop()
    assert set(reader.counts) == set(range(3000))
    assert publisher.acknowledged == publisher.published == 3000
