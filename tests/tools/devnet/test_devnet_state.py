"""What a kill -9 leaves, determinism, and what is not in the recordings."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import devnet_recorded as recorded
import pytest
from chirpstack_api.api import device_pb2
from devnet_node import START_NS, Node

from tools.devnet import frame
from tools.devnet.adr import Heard, Setting, loss_percent, wanted
from tools.devnet.devnet import Devnet
from tools.devnet.store import StoreError

DEV = "e1831ea5e2c5b663"
KEY = "26bb77745b3181ebd862e6a7c213b480"
ROOT = Path(__file__).parents[3]


def build(path, seed="seed", **provision):
    devnet = Devnet(path, seed, now_ns=lambda: START_NS)
    recorded.provision(devnet, DEV, KEY, **provision)
    return devnet


def enqueue(devnet, data=b"\1", **fields):
    item_id = devnet.registry.enqueue(device_pb2.DeviceQueueItem(dev_eui=DEV, f_port=20, data=data, **fields))
    devnet.changed()
    return item_id


def story(seed):
    devnet = build(":memory:", seed)
    node = Node(devnet, DEV)
    node.taken(node.join())
    for n in range(5):
        enqueue(devnet, bytes([n]))
        answer = node.up(n, confirmed=n == 2)
        node.taken(answer)
    return devnet.core.log_digest()


def test_the_log_follows_from_the_seed():
    assert story("a") == story("a")
    assert story("a") != story("b")


def test_the_log_sees_each_event():
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    before = devnet.core.log_digest()
    node.join()
    joined = devnet.core.log_digest()
    node.up(0)
    assert len({before, joined, devnet.core.log_digest()}) == 3


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from devnet_node import Node
import test_devnet_state as t
devnet = t.build(sys.argv[1])
node = Node(devnet, t.DEV)
node.join()
for n in range(7):
    t.enqueue(devnet, bytes([n]))
    node.taken(node.up(n))
devnet.paced = False
t.enqueue(devnet, b"late")
os.write(1, (",".join([str(node.session[0]), node.session[1].hex(), node.session[2].hex()])).encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_devnet_goes_on_where_it_was(tmp_path):
    """Session, counters, nonces and an item accepted but not yet applied outlive SIGKILL."""
    path = tmp_path / "devnet.sqlite"
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, path, here, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    addr, nwk, app = done.stdout.split(",")
    devnet = Devnet(path, "seed")
    node = Node(devnet, DEV, now_ns=START_NS + 10**12)
    node.session = int(addr), bytes.fromhex(nwk), bytes.fromhex(app)
    assert [e.topic.rsplit("/", 1)[1] for e in node.up(6).events] == ["log"]  # counter 6 is used
    assert not node.air(node.join_request(1)).downlinks  # and so is DevNonce 1
    answer = node.up(7)
    assert node.read(answer, 7)[2:] == (20, b"late")
    accept = node.join(2).downlinks[0].items[0].phy
    body = frame.encrypt_block(bytes.fromhex(KEY), accept[1:])
    assert body[:3] == b"\1\0\0"  # JoinNonce goes on
    devnet.close()


def test_a_retransmission_after_a_restart_in_the_middle_of_a_downlink(tmp_path):
    """The TxAck is lost with the process: FCntDown is used once more, the device drops that frame, the next one comes through."""
    devnet = build(tmp_path / "d.sqlite")
    node = Node(devnet, DEV)
    node.join()
    node.up(0)
    devnet.close()
    node.devnet = Devnet(tmp_path / "d.sqlite", "seed")
    again = node.up(1)
    assert node.read(again, 0)
    node.taken(again)
    assert node.read(node.up(2), 1)


def test_counters_are_32_bits_both_ways():
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    node.join()
    for f_cnt in (0, 30_000, 60_000, 65_535, 65_536, 90_000, 120_000, 131_071, 131_072):
        up = node.up(f_cnt).events[-1].body
        assert up.f_cnt == f_cnt
    device = devnet.core._devices[DEV]
    device.session.f_cnt_down = 0x1FFFF
    answer = node.up(131_073)
    assert node.read(answer, 0x1FFFF)
    node.taken(answer)
    assert node.read(node.up(131_074), 0x20000)


def test_a_join_flushes_the_queue_if_the_profile_says_so():
    for flush, left in ((True, 0), (False, 1)):
        devnet = build(":memory:", flush=flush)
        enqueue(devnet)
        Node(devnet, DEV).join()
        assert len(devnet.registry.queue(DEV)) == left


def test_a_flush_and_an_item_in_flight():
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    node.join()
    enqueue(devnet)
    answer = node.up(0)
    devnet.registry.flush_queue(DEV)
    devnet.changed()
    told = node.taken(answer)
    assert [e.topic.rsplit("/", 1)[1] for e in told] == ["txack"]
    assert devnet.registry.queue(DEV) == []
    assert node.read(node.up(1), 1)[2] is None


def test_without_adr_no_link_adr_req_is_sent():
    devnet = build(":memory:", adr="")
    node = Node(devnet, DEV)
    node.join()
    assert node.read(node.up(0), 0)[1] == b"\6"


def test_adr_ack_req_is_answered_and_the_channels_are_offered_anew():
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    node.join()
    node.taken(node.up(0, f_ctrl=0))
    answer = node.up(1, f_ctrl=0x40)
    f_opts = node.read(answer, 1)[3]  # 18 bytes: on port 0
    assert [f_opts[i] for i in (0, 6, 12)] == [7, 7, 7]
    assert [f_opts[i + 1] for i in (0, 6, 12)] == [3, 4, 5]
    node.taken(answer)
    rest = node.up(2, f_ctrl=0, f_opts=b"\7\3\7\3\7\3")
    assert [node.read(rest, 2)[1][i + 1] for i in (0, 6)] == [6, 7]
    node.taken(rest)
    assert node.up(3, f_ctrl=0, f_opts=b"\7\3\7\3").downlinks == []
    assert devnet.core._devices[DEV].session.channels == list(range(8))


def test_rx_timing_setup_moves_the_windows():
    devnet = build(":memory:")
    profile = devnet.registry.get("device_profile", devnet.core._devices[DEV].info.device_profile_id).message
    profile.rx1_delay = 3
    devnet.registry.update("device_profile", profile)
    devnet.changed()
    node = Node(devnet, DEV)
    node.join()
    first = node.up(0, f_ctrl=0)
    assert node.read(first, 0)[1] == b"\6\x08\3"
    assert [i.delay_ns // 10**9 for i in first.downlinks[0].items] == [1, 2]
    node.taken(first)
    second = node.up(1, f_ctrl=0, f_opts=b"\x08")
    assert [i.delay_ns // 10**9 for i in second.downlinks[0].items] == [3, 4]  # and a downlink ends the repetitions


@pytest.mark.parametrize(
    ("fraction_ns", "byte"), [(0, 0), (3_906_249, 0), (3_906_250, 1), (500_000_000, 128), (999_999_999, 255)]
)
def test_device_time_is_the_uplinks_end_in_gps_time(fraction_ns, byte):
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    node.join()
    time_ns = 1_483_228_800_000_000_000 + fraction_ns  # 2017-01-01T00:00:00Z, GPS 1167264018
    node.now_ns = time_ns
    answer = node.up(0, f_ctrl=0, f_opts=b"\x0d", time_ns=time_ns)
    assert node.read(answer, 0)[1] == b"\x0d" + (1_167_264_018).to_bytes(4, "little") + bytes([byte]) + b"\6"


@pytest.mark.parametrize("length", range(24))
def test_a_frame_cut_short_is_nothing(length):
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    request = node.join_request(1)
    assert node.air(request[:length] if length < 23 else request + b"\0") == ([], [])
    node.join()
    assert node.air(node.phy(0, bytes(12))[:length]) == ([], [])


def test_the_status_interval_is_kept():
    devnet = build(":memory:")
    node = Node(devnet, DEV)
    node.join()
    node.taken(node.up(0, f_ctrl=0))
    node.now_ns += 86_398 * 10**9
    assert node.up(1, f_ctrl=0).downlinks == []
    node.now_ns += 2 * 10**9
    assert node.read(node.up(2, f_ctrl=0), 1)[1] == b"\6"


def test_nb_trans_follows_the_losses():
    history = [Heard(n, 5.0, 0) for n in range(0, 40, 2)]
    assert loss_percent(history) == 95.0
    now = Setting(5, 0, 1)
    assert wanted(now, history, -7.5, 5, 7) == Setting(5, 0, 3)
    assert wanted(now, history[:-1], -7.5, 5, 7) == now
    assert wanted(Setting(5, 3, 1), [Heard(n, -9.0, 3) for n in range(20)], -7.5, 5, 7) == Setting(5, 0, 1)
    assert wanted(Setting(5, 3, 1), [Heard(n, -9.0, 3) for n in range(19)], -7.5, 5, 7) == Setting(5, 3, 1)


def test_two_sessions_with_one_devaddr_are_told_apart_by_the_mic():
    draws = {"dev_addr": bytes(4)}
    chance = __import__("tools.devnet.exchange", fromlist=["x"]).seeded_entropy("s")
    devnet = Devnet(":memory:", "s", entropy=lambda p, d: draws.get(p) or chance(p, d))
    tenant, *_ = recorded.provision(devnet, DEV, KEY)
    recorded.provision(devnet, "aa" * 8, "12" * 16, tenant=tenant)
    one, two = Node(devnet, DEV), Node(devnet, "aa" * 8, "12" * 16)
    one.join()
    two.join()
    assert f"/{DEV}/" in one.up(0).events[0].topic
    assert f"/{'aa' * 8}/" in two.up(0).events[0].topic


def test_a_file_of_another_format_is_named(tmp_path):
    path = tmp_path / "d.sqlite"
    sqlite3.connect(path).execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match=r"d\.sqlite has format 99.*move the file away"):
        Devnet(path, "s")
    with pytest.raises(StoreError, match="check that its folder exists"):
        Devnet(tmp_path / "no" / "d.sqlite", "s")


def test_an_uplink_and_a_txack_cost_one_commit_each(tmp_path):
    devnet = build(tmp_path / "d.sqlite")
    node = Node(devnet, DEV)
    node.join()
    commits = []
    devnet.store.db.set_trace_callback(lambda sql: commits.append(sql) if sql.startswith("COMMIT") else None)
    for n in range(10):
        enqueue(devnet)
        before = len(commits)
        answer = node.up(n)
        assert len(commits) == before + 1
        node.taken(answer)
        assert len(commits) == before + 2
