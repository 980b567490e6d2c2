"""What ChirpStack did when things went wrong (faults.jsonl, adr-and-timing.json), done to devnet.

Each test names the recorded note and looks at what was sent, too; events are compared with the recorded ones but for ids, names and
times. The recording has no frames here, so the tests build their own. In one story, codecs included, and in every field: test_bench_fidelity.py.
"""

import base64
import json

import devnet_recorded as recorded
import pytest
from chirpstack_api.api import device_pb2
from devnet_node import GATEWAY, Node

from tools.devnet.devnet import Devnet
from tools.devnet.events import timestamp
from tools.devnet.exchange import Reception

DEV = "e1831ea5e2c5b663"
KEY = "26bb77745b3181ebd862e6a7c213b480"


def sections():
    out, note = {}, ""
    for line in recorded.lines("faults.jsonl"):
        if "note" in line:
            note = line["note"]
            out.setdefault(note, [])
        else:
            out.setdefault(note, []).append((recorded.kind_of(line["topic"]), line["json"]))
    return out


SECTIONS = sections()
DRAWN = {"deduplicationId", "queueItemId", "downlinkId", "time", "deviceInfo", "devAddr"}
DRAWN_IN_CONTEXT = {"deduplication_id", "queue_item_id"}


def bare(kind, body):
    body = {k: v for k, v in body.items() if k not in DRAWN}
    if kind == "log":
        body["context"] = {k: v for k, v in body["context"].items() if k not in DRAWN_IN_CONTEXT}
    body["rxInfo"] = [
        {k: v for k, v in rx.items() if k not in ("uplinkId", "gwTime", "nsTime", "context")}
        for rx in body.get("rxInfo", [])
    ]
    body.get("txInfo", {}).pop("context", None)
    return kind, json.dumps(body, sort_keys=True)


def got(*groups):
    return sorted(bare(e.topic.rsplit("/", 1)[1], json.loads(e.json)) for group in groups for e in group)


def expected(*notes, kinds=None):
    return sorted(bare(k, b) for note in notes for k, b in SECTIONS[note] if kinds is None or k in kinds)


@pytest.fixture
def node():
    devnet = Devnet(":memory:", "seed")
    recorded.provision(devnet, DEV, KEY)
    n = Node(devnet, DEV)
    n.join()
    return n


def enqueue(node, data, *, confirmed=False, expires_ns=None, port=20):
    item = device_pb2.DeviceQueueItem(dev_eui=node.dev_eui, f_port=port, data=data, confirmed=confirmed)
    if expires_ns is not None:
        item.expires_at.CopyFrom(timestamp(expires_ns))
    item_id = node.devnet.registry.enqueue(item)
    node.devnet.changed()
    return item_id


def upto(node, f_cnt):
    for n in range(f_cnt):
        node.taken(node.up(n))


def test_two_gateways_make_one_event(node):
    upto(node, 1)
    heard = (Reception(GATEWAY, -97, 4.2, 1, b"a"), Reception("27345c44dee7ad94", -112, -6.0, 2, b"b"))
    answer = node.up(1, b"\2", receptions=heard)
    assert got(answer.events) == expected("two gateways hear one frame, 40 ms apart")
    assert [d.gateway_id for d in answer.downlinks] == [GATEWAY]
    assert answer.downlinks[0].context == b"a"


def test_a_late_copy_is_a_retransmission(node):
    upto(node, 2)
    first = node.up(2, b"\3")
    late = node.air(node.phy(2, b"\3"))
    assert got(first.events, late.events) == expected("second copy 600 ms late (after the de-duplication window)")
    assert late.downlinks == []


def test_link_check_over_two_gateways(node):
    upto(node, 3)
    heard = (Reception(GATEWAY, -60, 3.0, 1, b"a"), Reception("27345c44dee7ad94", -60, 9.0, 2, b"b"))
    answer = node.up(3, b"\2", 0, receptions=heard)
    assert got(answer.events) == expected("link check with two gateways")
    # 9.0 + 7.5 dB of margin, two gateways: from ChirpStack's source; the recorder heard no answer here ("link check: Empty")
    assert node.read(answer, 3)[1][:3] == bytes([2, 16, 2])


def test_a_wrong_mic_gives_no_event(node):
    phy = bytearray(node.phy(0))
    phy[-1] ^= 1
    assert node.air(bytes(phy)) == ([], [])
    assert expected("MIC wrong (last byte flipped)") == []


def test_a_counter_that_falls_gives_a_log_event_only(node):
    upto(node, 4)
    answer = node.up(0)
    assert got(answer.events) == expected("FCntUp goes back to 0")
    assert answer.downlinks == []


def test_a_counter_that_jumps_is_accepted(node):
    upto(node, 4)
    assert got(node.up(20_004, b"\6").events) == expected("FCntUp jumps by 20000")


def test_a_used_devnonce_is_refused(node):
    answer = node.air(node.join_request(1))
    assert got(answer.events) == expected("join-request with a DevNonce used before")
    assert answer.downlinks == []


def test_a_lower_devnonce_never_used_and_a_flushed_one_are_accepted(node):
    assert node.join(9).downlinks
    assert node.join(4).downlinks
    assert not node.air(node.join_request(4)).downlinks
    node.devnet.registry.flush_dev_nonces(DEV)
    node.devnet.changed()
    assert node.join(4).downlinks
    assert node.up(0).events


def test_a_wrong_app_key_gives_a_log_event(node):
    answer = node.air(node.join_request(2, bytes(16)))
    assert got(answer.events) == expected("join-request with a wrong AppKey", kinds={"log"})[:1]
    assert answer.downlinks == []


def test_three_items_queued_and_frame_pending(node):
    upto(node, 1)
    for n in range(3):
        enqueue(node, bytes([n]))
    seen, told = [], []
    for n in range(3):
        answer = node.up(n + 1, b"\7")
        f_ctrl, _, port, data = node.read(answer, n + 1)
        told += [answer.events, node.taken(answer)]
        seen.append(f"fctrl {f_ctrl:x} port {port} data {data.hex()}")
    assert seen == ["fctrl 95 port 20 data 00", "fctrl 95 port 20 data 01", "fctrl 85 port 20 data 02"]
    notes = ("three items queued: frame pending", *seen[:2], "confirmed downlink never acknowledged, three uplinks")
    recorded_events = expected(*notes)
    assert [e for e in recorded_events if e not in got(*told)] == expected(notes[-1], kinds={"up"})


def test_a_confirmed_downlink_never_acknowledged_is_sent_once(node):
    upto(node, 4)
    enqueue(node, b"\xaa", confirmed=True)
    seen, told = [], []
    for n in (4, 5, 6):
        answer = node.up(n, b"\x08")
        f_ctrl, _, port, data = node.read(answer, n)
        seen.append(f"fctrl {f_ctrl:x} port {port} data {data.hex()} fcnt {n}")
        told += [answer.events, node.taken(answer)]
        assert answer.downlinks[0].items[0].phy[0] == (0xA0 if n == 4 else 0x60)
    assert seen == [s for s in SECTIONS if s.startswith("fctrl 85 port") and "fcnt" in s]
    assert node.devnet.registry.queue(DEV) == []
    acks = [e for group in told for e in group if e.topic.endswith("/ack")]
    assert got(acks) == [bare(k, b) for s in seen for k, b in SECTIONS[s] if k == "ack"]


def test_an_acknowledged_downlink_gives_its_ack_before_the_uplink(node):
    upto(node, 1)
    item = enqueue(node, b"\xaa", confirmed=True)
    node.taken(node.up(1))
    answer = node.up(2, f_ctrl=0xA0)
    kinds = [e.topic.rsplit("/", 1)[1] for e in answer.events]
    assert kinds == ["ack", "up"]
    ack = answer.events[0].body
    assert (ack.acknowledged, ack.queue_item_id, ack.f_cnt_down) == (True, item, 1)


def test_an_expired_item_is_discarded(node):
    upto(node, 7)
    enqueue(node, b"\1", expires_ns=node.now_ns - 1)
    assert got(node.up(7, b"\x09").events) == expected("queue item already expired")


def test_a_gateway_that_takes_rx2(node):
    upto(node, 8)
    enqueue(node, b"\1")
    answer = node.up(8, b"\x0a")
    assert got(answer.events, node.taken(answer, 1)) == expected("gateway refuses RX1 (TOO_LATE), takes RX2")


def test_a_gateway_that_refuses_both_windows_leaves_the_item_queued(node):
    upto(node, 9)
    enqueue(node, b"\1")
    answer = node.up(9, b"\x0b")
    assert got(answer.events, node.taken(answer, None, "TOO_LATE")) == expected("gateway refuses both windows")
    again = node.up(10)
    assert node.read(again, 9)[2:] == (20, b"\1")  # the counter was not used


def test_a_disabled_device_and_an_unknown_devaddr_are_silent(node):
    device = node.devnet.registry.get("device", DEV).message
    device.is_disabled = True
    node.devnet.registry.update("device", device)
    node.devnet.changed()
    assert node.up(0) == ([], [])
    assert node.join(2) == ([], [])
    device.is_disabled = False
    node.devnet.registry.update("device", device)
    node.devnet.changed()
    session = node.session
    node.session = (session[0] ^ 1, *session[1:])
    assert node.up(0) == ([], [])
    node.session = session
    assert node.up(0).events
    assert expected("device disabled", "unknown DevAddr") == []


def test_an_adr_request_that_the_node_refuses_twice_is_not_repeated(node):
    commands, told = [], []
    for n in range(24):
        f_opts = b""
        if n and len(commands) >= n:
            f_opts = b"\x03\x05" + (
                b"\x06\xff\x0a" if n == 1 else b""
            )  # data rate refused (fits the recording, which does not say)
        answer = node.up(n, bytes([n]), f_opts=f_opts, sf=12, snr=5.0)
        told.append(answer.events)
        if answer.downlinks:
            commands.append({"uplink": n, "fopts": node.read(answer, n)[1].hex()})
            node.taken(answer)
    assert commands == json.loads((recorded.VECTORS / "adr-and-timing.json").read_text())["adr_commands"]
    note = "ADR: 24 uplinks at SF12, SNR 5"
    assert got(*told) == expected(note, kinds={"up", "status"})


def test_twenty_items_one_an_uplink(node):
    ups = [b for _, b in SECTIONS["end"] if "rxInfo" in b]
    told = []
    for up in ups:
        if up["fCnt"]:
            enqueue(node, b"\1")
        answer = node.up(up["fCnt"], base64.b64decode(up["data"]))
        told.append(answer.events)
        after = node.taken(answer)
        told.append(after)
    assert got(*told) == expected("end", kinds={"up", "txack"})
