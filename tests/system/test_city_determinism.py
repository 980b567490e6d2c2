"""Two runs of a city with one seed end with the same hash, whatever else the machine does; what came by gRPC does not change that."""

from dataclasses import dataclass, field

import pytest
from chirpstack_api import api

from tests.busy import busy
from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server
from tools.run.provision import provision
from tools.technician.chirpstack import Api
from tools.world.city import HOUR, MINUTE, City
from tools.world.sites import plan

START = 1_779_926_400 * 10**9  # 2026-05-28 00:00:00 UTC
BOARDS = 6
SEED = 2026


@dataclass
class Lived:
    """What a run left: the hash after the first hour and at the end, what took effect when, what was queued and sent."""

    first_hour: str = ""
    digest: str = ""
    touched: dict[int, list[str]] = field(default_factory=dict)
    queued: dict[str, list[str]] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)


class Heard:
    """Notes each downlink that the network server says a LoRa gateway sent."""

    def __init__(self, kept):
        self._kept = kept

    def publish(self, event):
        if event.topic.endswith("/txack"):
            self._kept.append((event.body.device_info.dev_eui, event.body.queue_item_id))


def live(folder, hours, seed=SEED, calls=(), *, start_ahead=True) -> Lived:
    """A city's first hours. `calls`: (board, payload) enqueued by gRPC, in this order, in the midst of the stop after one hour."""
    folder.mkdir()
    lived = Lived()
    devnet = Devnet(folder / "devnet.sqlite", str(seed), Heard(lived.sent), paced=False)
    server = Server(devnet, "127.0.0.1:0")
    connection = None
    try:
        address = f"127.0.0.1:{server.port}"
        sites = plan(seed, BOARDS)
        provision(address, sites)
        devnet.apply_pending()
        connection = Api(address)
        connection.login("admin", "admin")
        devices = api.DeviceServiceStub(connection.channel)

        def settle():
            if city.clock.now != START + HOUR:
                return
            lived.first_hour = city.digest()
            for number, payload in calls:
                item = api.DeviceQueueItem(dev_eui=sites[number].dev_eui, f_port=99, data=payload)
                answer = connection.call(devices.Enqueue, api.EnqueueDeviceQueueItemRequest(queue_item=item))
                lived.queued.setdefault(item.dev_eui, []).append(answer.id)
            # Accepted, and for the radio side not there yet: it takes effect at the stop's end, all at once.
            assert not any(device.queue for device in devnet.core._devices.values())

        take = devnet.store.take_handover

        def watched():
            rows = take()
            for dev_eui, kind, _body in rows:
                lived.touched.setdefault(city.clock.now, []).append(f"{dev_eui} {kind}")
            return rows

        with City(folder / "boards", seed, START, devnet) as city:
            devnet.store.take_handover = watched
            city.supervisor.start_ahead = start_ahead
            city.place(sites, START)
            city.mount(10 * MINUTE)
            assert city.run_until(START + hours * HOUR, settle)
            lived.digest = city.digest()
        assert devnet.joined({site.dev_eui for site in sites}) == BOARDS
        assert devnet.joined({sites[0].dev_eui, "00" * 8}) == 1
        return lived
    finally:
        if connection is not None:
            connection.close()
        server.stop()
        devnet.close()


@pytest.fixture(scope="module")
def calls():
    """Two payloads each for three boards, the boards not in the order of their DevEUIs."""
    return [(4, b"a1"), (0, b"b1"), (4, b"a2"), (3, b"c1"), (0, b"b2"), (3, b"c2")]


def test_one_seed_one_hash_beside_busy_loops_and_whoever_calls_first(tmp_path, calls):
    quiet = live(tmp_path / "quiet", 6, calls=calls)
    # The same calls for each board, others between them; processes started only when they are needed.
    other_order = sorted(calls, key=lambda call: (-call[0], call[1]))
    assert other_order != calls
    with busy(2):
        loaded = live(tmp_path / "loaded", 6, calls=other_order, start_ahead=False)

    assert loaded.first_hour == quiet.first_hour
    assert loaded.touched == quiet.touched
    assert loaded.digest == quiet.digest
    assert loaded.sent == quiet.sent
    for dev_eui, ids in quiet.queued.items():
        assert [item for sender, item in quiet.sent if sender == dev_eui] == ids

    ((stop, order),) = quiet.touched.items()
    assert stop == START + HOUR
    assert len(order) == len(calls)
    assert order == sorted(order)


def test_another_seed_has_another_hash(tmp_path):
    one, other = live(tmp_path / "one", 2, SEED), live(tmp_path / "other", 2, SEED + 1)
    assert one.first_hour != other.first_hour
    assert one.digest != other.digest
