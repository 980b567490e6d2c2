"""The publisher against a real Mosquitto: order, accounts, and a broker that goes away and comes back."""

import shutil
import socket
import subprocess
import threading
import time

import pytest
from chirpstack_api.integration import integration_pb2 as integration
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.devnet.events import event
from tools.devnet.publisher import Publisher, PublishError

DEV = "e1831ea5e2c5b663"


def numbered(n):
    return event("app", DEV, integration.UplinkEvent(f_cnt=n))


class Broker:
    """Mosquitto on a port of its own, with persistence."""

    def __init__(self, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
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
    """A durable subscription; `counts`: fCnt in the order of arrival."""

    def __init__(self, port):
        self.counts, self.ready = [], threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe("application/#", qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _c, _d, m: self.counts.append(
            int(m.payload.split(b'"fCnt":')[1].split(b",")[0])
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

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
