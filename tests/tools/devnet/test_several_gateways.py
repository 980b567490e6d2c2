"""Copies of a frame by several LoRa gateways: one event, the answer through a good gateway, places, private gateways, late copies."""

import json

import devnet_recorded as recorded
import pytest
from chirpstack_api.api import gateway_pb2, tenant_pb2
from chirpstack_api.common import common_pb2 as common
from chirpstack_api.gw import gw_pb2 as gw
from devnet_node import DEV, GATEWAY, START_NS, Node, network_server

from tools.devnet.collector import Collector
from tools.devnet.events import timestamp
from tools.devnet.exchange import GPS_EPOCH_NS, Reception, Uplink, received
from tools.devnet.region import Network

MS = 1_000_000
OTHER = "27345c44dee7ad94"
STRANGER = "00000000000000aa"


@pytest.fixture
def node():
    n = Node(network_server(), DEV)
    n.join()
    return n


def copy(phy, gateway_id=GATEWAY, snr=7.5, **more):
    return Uplink(
        phy, 868_100_000, 125_000, 7, (Reception(gateway_id, -60, snr, 1, gateway_id.encode(), **more),), START_NS
    )


def bodies(answer):
    return [json.loads(e.json) for e in answer.events]


def heard_by(*gateways, snr=7.5):
    return tuple(Reception(g, -60, snr, 1, g.encode()) for g in gateways)


# -- collecting


def test_copies_within_the_window_make_one_uplink(node):
    devnet, phy, at = node.devnet, node.phy(0), node.now_ns
    assert devnet.core.next_due is None
    assert devnet.reception(copy(phy), at) == at + 200 * MS
    assert devnet.reception(copy(phy, OTHER), at + 40 * MS) is None
    assert devnet.reception(copy(phy, OTHER), at + 50 * MS) is None  # the broker brought it twice
    assert devnet.core.next_due == at + 200 * MS
    assert devnet.due(at + 199 * MS) == ([], [])
    (up,) = bodies(devnet.due(at + 200 * MS))
    assert [rx["gatewayId"] for rx in up["rxInfo"]] == [GATEWAY, OTHER]
    assert devnet.core.next_due is None
    assert devnet.due(at + 10_000 * MS) == ([], [])


def test_a_late_copy_after_the_lock_is_a_retransmission_at_its_own_time(node):
    devnet, phy, at = node.devnet, node.phy(0), START_NS
    devnet.reception(copy(phy), at)
    devnet.due(at + 200 * MS)
    devnet.reception(copy(phy, OTHER, time_ns=at + 600 * MS), at + 600 * MS)
    (log,) = bodies(devnet.due(at + 800 * MS))
    assert log["code"] == "UPLINK_F_CNT_RETRANSMISSION"
    assert recorded.ns(log["time"]) == at + 600 * MS


def test_a_copy_between_window_and_lock_is_lost_but_for_a_later_one():
    """ChirpStack's lock lasts 400 ms; a copy under it waits in the set, which each copy keeps alive for 400 ms more."""
    collector, frame = Collector(), b"\x40" + bytes(12)
    assert collector.add(copy(frame), 0) == 200 * MS
    assert len(collector.due(200 * MS)) == 1
    assert collector.add(copy(frame, OTHER), 300 * MS) is None
    assert collector.next_due is None
    assert collector.add(copy(frame, STRANGER), 650 * MS) == 850 * MS
    (late,) = collector.due(850 * MS)
    assert [r.gateway_id for r in late.receptions] == [GATEWAY, OTHER, STRANGER]
    assert collector.add(copy(frame), 2_000 * MS) == 2_200 * MS
    (fresh,) = collector.due(2_200 * MS)
    assert [r.gateway_id for r in fresh.receptions] == [GATEWAY]


def test_frames_are_told_apart_by_bytes_and_modulation_and_come_in_the_order_of_their_windows():
    collector, one, two = Collector(), b"\x40" + bytes(12), b"\x40" + bytes(11) + b"\1"
    collector.add(copy(two), 0)
    collector.add(copy(one), 1 * MS)
    collector.add(copy(one)._replace(spreading_factor=8), 2 * MS)
    collector.add(copy(one)._replace(freq_hz=868_300_000), 3 * MS)
    assert [(u.phy, u.spreading_factor, u.freq_hz) for u in collector.due(203 * MS)] == [
        (two, 7, 868_100_000),
        (one, 7, 868_100_000),
        (one, 8, 868_100_000),
        (one, 7, 868_300_000),
    ]


def test_the_same_copies_lead_to_the_same_log():
    def digest():
        node = Node(network_server(), DEV)
        node.join()
        for n in range(5):
            at = node.now_ns + n * 10**9
            for late, gateway in ((0, GATEWAY), (40, OTHER), (700, STRANGER)):
                node.devnet.reception(copy(node.phy(n), gateway), at + late * MS)
                while (due := node.devnet.core.next_due) is not None and late == 700:
                    node.devnet.due(due)
        return node.devnet.core.log_digest()

    assert digest() == digest()


# -- the gateway that answers


def gateway(node, gateway_id, *, tenant="", priority=10, location=None):
    registry = node.devnet.registry
    tenant = tenant or registry.get("gateway", GATEWAY).message.tenant_id
    message = gateway_pb2.Gateway(gateway_id=gateway_id, name="g", tenant_id=tenant, downlink_priority=priority)
    if location:
        message.location.CopyFrom(location)
    registry.create("gateway", message)
    node.devnet.changed()


def answering(node, receptions, count):
    chosen = []
    for n in range(count):
        answer = node.up(n, confirmed=True, receptions=receptions)
        chosen.append(answer.downlinks[0].gateway_id)
        assert answer.downlinks[0].context == chosen[-1].encode()
    return chosen


def test_the_best_gateway_answers_where_none_is_good(node):
    receptions = tuple(
        Reception(g, -100, snr, 1, g.encode()) for g, snr in ((OTHER, -3.0), (GATEWAY, 2.0), (STRANGER, -9.0))
    )
    assert set(answering(node, receptions, 5)) == {GATEWAY}


def test_equal_snr_is_decided_by_rssi(node):
    receptions = (Reception(OTHER, -101, 0.0, 1, OTHER.encode()), Reception(GATEWAY, -100, 0.0, 1, GATEWAY.encode()))
    assert set(answering(node, receptions, 3)) == {GATEWAY}


def test_good_gateways_share_the_answers_by_their_priority(node):
    gateway(node, "0a" * 8, priority=30)
    chosen = answering(node, (*heard_by(GATEWAY, "0a" * 8), Reception(OTHER, -60, 2.4, 1, OTHER.encode())), 200)
    assert OTHER not in chosen  # SF7 needs -7.5 dB: its margin of 9.9 is no good one
    assert 30 <= chosen.count(GATEWAY) <= 70  # a quarter


# -- private gateways


def foreign_tenant(node, **private):
    other = node.devnet.registry.create("tenant", tenant_pb2.Tenant(name="Autre", can_have_gateways=True, **private))
    gateway(node, "0b" * 8, tenant=other)
    return other


def test_a_foreign_private_gateways_uplinks_do_not_count(node):
    foreign_tenant(node, private_gateways_up=True)
    (up,) = bodies(node.up(0, receptions=heard_by("0b" * 8, OTHER)))
    assert [rx["gatewayId"] for rx in up["rxInfo"]] == [OTHER]
    assert node.up(1, receptions=heard_by("0b" * 8)) == ([], [])
    assert node.join(2).events  # heard by a gateway of ours
    alone = node.air(node.join_request(3), receptions=heard_by("0b" * 8))
    assert alone == ([], [])
    assert bodies(node.up(0))  # and the counters are as they were


def test_a_foreign_private_gateway_sends_nothing(node):
    other = foreign_tenant(node, private_gateways_down=True)
    answer = node.up(0, confirmed=True, receptions=heard_by("0b" * 8))
    assert (len(answer.events), answer.downlinks) == (1, [])
    both = node.up(1, confirmed=True, receptions=(*heard_by("0b" * 8, snr=9.0), *heard_by(GATEWAY, snr=-5.0)))
    assert both.downlinks[0].gateway_id == GATEWAY
    tenant = node.devnet.registry.get("tenant", other).message
    tenant.private_gateways_down = False
    node.devnet.registry.update("tenant", tenant)
    node.devnet.changed()
    assert node.up(2, confirmed=True, receptions=heard_by("0b" * 8)).downlinks


def test_a_join_that_nobody_may_answer_is_not_told(node):
    foreign_tenant(node, private_gateways_down=True)
    assert node.air(node.join_request(2), receptions=heard_by("0b" * 8)) == ([], [])
    assert bodies(node.air(node.join_request(2)))[0]["code"] == "OTAA"  # and yet its DevNonce is used


def test_an_unknown_gateway_counts_only_where_the_network_allows_it(node):
    (up,) = bodies(node.up(0, receptions=heard_by(STRANGER)))
    assert "location" not in up["rxInfo"][0]
    node.devnet.core.network = Network(allow_unknown_gateways=False)
    assert node.up(1, receptions=heard_by(STRANGER)) == ([], [])
    (up,) = bodies(node.up(1, receptions=heard_by(STRANGER, GATEWAY)))
    assert [rx["gatewayId"] for rx in up["rxInfo"]] == [GATEWAY]


# -- places


def test_an_event_says_where_its_gateways_stand(node):
    gateway(node, "0a" * 8, location=common.Location(latitude=48.1, longitude=-1.7, altitude=35))
    (up,) = bodies(node.up(0, receptions=heard_by("0a" * 8, GATEWAY)))
    assert up["rxInfo"][0]["location"] == {"latitude": 48.1, "longitude": -1.7, "altitude": 35.0}
    assert up["rxInfo"][1]["location"] == {}


def test_a_gateways_stats_move_it(node):
    stats = gw.GatewayStats(
        gateway_id=GATEWAY, location=common.Location(latitude=1.5, source=common.GPS), metadata={"model": "x"}
    )
    node.devnet.stats(stats, 5)
    node.devnet.stats(gw.GatewayStats(gateway_id=GATEWAY, metadata={"model": "y"}), 6)  # no place: the old one stays
    node.devnet.stats(gw.GatewayStats(gateway_id=STRANGER, location=common.Location(latitude=9)), 7)
    assert node.devnet.registry.gateway_seen(GATEWAY) == (6, {"model": "y"})
    assert node.devnet.registry.gateway_seen(STRANGER) == (None, {})
    (up,) = bodies(node.up(0))
    assert up["rxInfo"][0]["location"] == {"latitude": 1.5}


def test_a_location_event_on_request(node):
    place = common.Location(latitude=48.5, longitude=-1.5, source=common.GEO_RESOLVER_TDOA, accuracy=30)
    event = node.devnet.locate(DEV, place, START_NS)
    assert event.topic.endswith(f"/device/{DEV}/event/location")
    body = json.loads(event.json)
    assert body["location"] == {"latitude": 48.5, "longitude": -1.5, "source": "GEO_RESOLVER_TDOA", "accuracy": 30.0}
    assert list(body) == ["deduplicationId", "time", "deviceInfo", "location"]
    assert body["deviceInfo"]["devEui"] == DEV
    with pytest.raises(ValueError, match="no device ff"):
        node.devnet.locate("ff" * 8, place, START_NS)


# -- the gateway protocol


def frame_of(phy, **rx):
    lora = gw.LoraModulationInfo(bandwidth=125_000, spreading_factor=7, code_rate=gw.CR_4_5)
    tx = gw.UplinkTxInfo(frequency=868_100_000, modulation=gw.Modulation(lora=lora))
    return gw.UplinkFrame(phy_payload=phy, tx_info=tx, rx_info=gw.UplinkRxInfo(**({"gateway_id": GATEWAY} | rx)))


def through(node, frame, now_ns):
    node.devnet.reception(received(frame, now_ns), now_ns)
    return bodies(node.devnet.due(now_ns + 200 * MS))[0]


def test_an_event_carries_what_the_gateway_said_absent_fields_too(node):
    rx = through(
        node,
        frame_of(node.phy(0), rssi=-101, snr=-2.5, channel=3, board=1, antenna=2, context=b"\1\2", uplink_id=77),
        START_NS,
    )
    assert rx["time"] == "2026-11-25T22:44:40.200+00:00"  # no stamp: when the server took it up
    assert rx["rxInfo"] == [
        {
            "gatewayId": GATEWAY,
            "uplinkId": 77,
            "nsTime": "2026-11-25T22:44:40+00:00",
            "rssi": -101,
            "snr": -2.5,
            "channel": 3,
            "board": 1,
            "antenna": 2,
            "location": {},
            "context": "AQI=",
        }
    ]


def test_a_gateways_own_place_goes_before_its_registered_one(node):
    rx = through(node, frame_of(node.phy(0), location=common.Location(latitude=3.0)), START_NS)
    assert rx["rxInfo"][0]["location"] == {"latitude": 3.0}


def test_an_uplinks_time_is_gps_time_then_a_stamp_near_the_servers_clock_then_this(node):
    gps = frame_of(node.phy(0), gw_time=timestamp(START_NS))
    gps.rx_info.time_since_gps_epoch.FromNanoseconds(START_NS - GPS_EPOCH_NS + 18 * 10**9 - 3_600 * 10**9)
    assert through(node, gps, START_NS)["time"] == "2026-11-25T21:44:40+00:00"
    near = frame_of(node.phy(1), gw_time=timestamp(START_NS - 29 * 10**9))
    assert through(node, near, START_NS)["time"] == "2026-11-25T22:44:11+00:00"
    far = frame_of(node.phy(2), gw_time=timestamp(START_NS - 31 * 10**9))
    assert through(node, far, START_NS)["time"] == "2026-11-25T22:44:40.200+00:00"


def test_a_frame_without_its_facts_is_none():
    assert received(gw.UplinkFrame(phy_payload=b"\0"), 0) is None
    fsk = gw.Modulation(fsk=gw.FskModulationInfo(datarate=50_000))
    assert received(gw.UplinkFrame(tx_info=gw.UplinkTxInfo(modulation=fsk), rx_info=gw.UplinkRxInfo()), 0) is None
