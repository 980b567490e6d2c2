"""devnet takes every recorded uplink as ChirpStack did, and answers byte for byte as it did (events: test_bench_fidelity.py)."""

import devnet_recorded as recorded
import pytest
from chirpstack_api.integration import integration_pb2 as integration

from tools.bench import fidelity
from tools.bench.recorded import queue
from tools.bench.recorded import steps as recorded_steps
from tools.devnet import frame
from tools.devnet.devnet import Devnet


def replay(number, **until):
    return recorded.replay(number, recorded.event_dicts(number), **until)


def steps(number):
    return recorded_steps(number, recorded.event_dicts(number))


@pytest.mark.parametrize("number", [1, 2])
def test_every_recorded_downlink_is_reproduced_byte_for_byte(number):
    assert fidelity.transcript_frames(number) == (14, 14)


@pytest.mark.parametrize(
    "number", [1]
)  # ChirpStack sends each event by a task of its own: in transcript 2 one overtook
def test_status_and_ack_come_before_the_uplink_that_brought_them(number):
    for _, step, answer, _ in replay(number):
        kinds = [e.topic.rsplit("/", 1)[1] for e in answer.events]
        with_id = [k for k, _ in step.events]
        assert [k for k in kinds if k in with_id] == with_id


@pytest.mark.parametrize("number", [1, 2])
def test_a_retransmission_gives_its_log_event_and_nothing_else(number):
    seen = 0
    for _, step, answer, _ in replay(number):
        if step.events[0][0] == "log":
            seen += 1
            assert [e.topic.rsplit("/", 1)[1] for e in answer.events] == ["log"]
            assert answer.downlinks == []
    assert seen == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_join_accept_follows_from_its_body_and_nonce(number):
    t = recorded.transcript(number)
    key = bytes.fromhex(t["app_key"])
    found = 0
    for step in steps(number):
        if step.accept is None:
            continue
        found += 1
        body = bytes.fromhex(step.accept["body"])[:28]
        assert frame.join_accept(key, body).hex() == step.items[0]["phy"]
        nwk, app = frame.session_keys(key, int.from_bytes(body[:3], "little"), 0, step.accept["dev_nonce"])
        assert (nwk.hex(), app.hex()) == (step.accept["nwk_skey"], step.accept["app_skey"])
    assert found == 1


@pytest.mark.parametrize("number", [1, 2])
def test_every_frame_with_any_one_bit_changed_is_rejected(number):
    """Each frame is tried in the state in which ChirpStack took it; a forged one must leave that state as it was."""
    t = recorded.transcript(number)
    tried = 0
    state = None
    for n, step in enumerate(steps(number)):
        for devnet, *_ in replay(number, until=n):
            state = devnet
        if state is None or n == 0:
            state = Devnet(":memory:", "seed")
            recorded.provision(state, t["dev_eui"], t["app_key"])
        queue(state, t["dev_eui"], n, step)
        before = (
            state.store.rows("SELECT * FROM radio"),
            state.store.rows("SELECT * FROM dev_nonce"),
            state.registry.queue(t["dev_eui"]),
        )
        for bit in range(8 * len(step.uplink.phy)):
            phy = bytearray(step.uplink.phy)
            phy[bit // 8] ^= 1 << bit % 8
            answer = state.uplink(step.uplink._replace(phy=bytes(phy)), step.uplink.time_ns)
            tried += 1
            assert answer.downlinks == [], (n, bit)
            codes = {e.body.code for e in answer.events}  # only a join-request's failure is told
            assert codes <= {integration.LogCode.UPLINK_MIC} if phy[0] >> 5 == 0 else not answer.events, (n, bit)
        after = (
            state.store.rows("SELECT * FROM radio"),
            state.store.rows("SELECT * FROM dev_nonce"),
            state.registry.queue(t["dev_eui"]),
        )
        assert after == before
    assert tried > 3_000
