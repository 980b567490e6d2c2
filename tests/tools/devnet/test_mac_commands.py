"""Each class A MAC command on request: accepted, refused and repeated, and what it changes on the network's side."""

import pytest
from chirpstack_api.api import device_pb2
from chirpstack_api.integration import integration_pb2 as integration
from devnet_node import DEV, Talk, hz, network_server

from tools.devnet import asked, frame, mac
from tools.devnet.devnet import Devnet

HZ = (868_100_000, 868_300_000, 868_500_000, 867_100_000, 867_300_000)


@pytest.fixture
def node():
    n = Talk(network_server(), DEV)
    n.join()
    assert n.say() is None
    return n


# -- asking


EVERY = {
    "LinkCheckAns unasked": b"\2\x14\1",
    "LinkADRReq": b"\3\x50\xff\x00\x01",
    "LinkADRReq refused": b"\3\xe8\x00\xff\x71",
    "LinkADRReq block": b"\3\x50\xff\x00\x01\3\x42\x07\x00\x03",
    "DutyCycleReq": b"\4\x03",
    "RXParamSetupReq": b"\5\x23" + hz(869_525_000),
    "RXParamSetupReq refused": b"\5\x7f" + hz(915_000_000),
    "DevStatusReq": b"\6",
    "NewChannelReq": b"\7\x08" + hz(865_500_000) + b"\x50",
    "NewChannelReq removal": b"\7\x03" + hz(0) + b"\x50",
    "NewChannelReq refused": b"\7\x00" + hz(865_500_000) + b"\x05",
    "RXTimingSetupReq": b"\x08\x0f",
    "TXParamSetupReq": b"\x09\x3d",
    "DlChannelReq": b"\x0a\x01" + hz(869_525_000),
    "unknown": b"\x80\1\2\3",
    "unknown after a known one": b"\6\x7f\6",
    "cut short": b"\5\x23\x00",
}


@pytest.mark.parametrize("commands", EVERY.values(), ids=EVERY)
def test_any_bytes_go_out_as_often_as_asked(node, commands):
    node.ask(commands, 3)
    assert [node.say() for _ in range(4)] == [commands] * 3 + [None]


def test_for_ever_is_for_ever(node):
    node.ask(b"\3\xe8\x00\xff\x71", None)
    assert node.say() == b"\3\xe8\x00\xff\x71"
    for _ in range(40):
        assert node.say(b"\3\0") == b"\3\xe8\x00\xff\x71"
    assert node.known.errors == {3: 40}


def test_fifteen_bytes_go_in_f_opts_and_sixteen_on_port_0(node):
    node.ask(b"\6" * 15)
    assert node.say() == b"\6" * 15
    assert node.read(node.answer, 0)[2] is None
    node.ask(b"\6" * 16)
    assert node.say() == b"\6" * 16
    assert node.read(node.answer, 1)[2] == 0


def test_asks_go_in_their_order_and_whole(node):
    for commands in (b"\6", b"\4\1", b"\6" * 50):
        node.ask(commands)
    assert node.say(sf=12) == b"\6\4\1"  # 51 bytes at DR0: the third waits
    assert node.say(sf=12) == b"\6" * 50
    node.ask(b"\6" * 200)
    assert node.say(sf=12) == b""
    assert node.say(sf=7) == b"\6" * 200


def test_asks_wait_behind_the_answers_that_the_device_asked_for(node):
    node.ask(b"\4\2")
    assert node.say(b"\2") == b"\2\x0f\1\4\2"


def test_data_waits_behind_more_than_fifteen_bytes(node):
    node.devnet.registry.enqueue(device_pb2.DeviceQueueItem(dev_eui=DEV, f_port=20, data=b"\7"))
    node.devnet.changed()
    node.ask(b"\6" * 16)
    node.say()
    f_ctrl, f_opts, port, _ = node.read(node.answer, 0)
    assert (f_ctrl & frame.F_PENDING, f_opts, port) == (frame.F_PENDING, b"", 0)
    node.say()
    assert node.read(node.answer, 1)[2:] == (20, b"\7")


def test_what_cannot_be_asked_is_named(node):
    for commands, times in ((b"", 1), (b"\6", 0)):
        with pytest.raises(ValueError, match="nothing asked"):
            node.ask(commands, times)
    with pytest.raises(ValueError, match="has no session: it must join first"):
        node.devnet.core.ask("00" * 8, b"\6")
    with pytest.raises(ValueError, match="has no session"):
        network_server().core.ask(DEV, b"\6")


def test_a_join_forgets_what_was_asked(node):
    node.ask(b"\6", None)
    node.join(2)
    node.n = node.down = 0
    assert node.say() is None
    assert node.devnet.core.answers(DEV) == []


def test_asks_answers_and_settings_outlive_a_restart(tmp_path):
    path = tmp_path / "d.sqlite"
    node = Talk(network_server(path), DEV)
    node.join()
    node.ask(b"\5\x23" + hz(868_800_000) + b"\x0a\x00" + hz(868_900_000) + b"\x08\x04\4\5", 3)
    node.say()
    node.say(b"\5\7\x0a\3\x08\4")
    before = node.known.to_json()
    node.devnet.close()
    node.devnet = Devnet(path, "seed")
    assert node.known.to_json() == before
    node.say()
    assert node.items == [(868_900_000, 9, 4), (868_800_000, 9, 5)]
    assert node.devnet.core.answers(DEV) == [b"\5\7\x0a\3\x08\4"]


def test_the_same_seed_and_asks_give_the_same_log_and_frames():
    def life(seed):
        talk = Talk(network_server(seed=seed), DEV)
        talk.join()
        out = []
        for commands in (b"\6", b"\5\x23" + hz(868_800_000), b"\6" * 16, b"\x80"):
            talk.ask(commands, 2)
            talk.say()
            talk.say(b"\6\xfe\5\5\7")
            out.append((talk.answer.downlinks, talk.items))
        return talk.devnet.core.log_digest(), out

    assert life("a") == life("a")
    assert life("a") != life("b")


# -- answers


def test_answers_are_kept_as_they_came(node):
    node.ask(b"\6", None)
    node.say()
    node.say(b"\6\xfe\x05")
    node.say()
    node.say(port=0, data=b"\6\xfd\x04")
    assert node.devnet.core.answers(DEV) == [b"\6\xfe\x05", b"\6\xfd\x04"]


def test_answers_are_bounded(node):
    node.ask(b"\6")
    for n in range(300):
        node.say(b"\6\xfe" + bytes([n & 31]))
    assert len(node.devnet.core.answers(DEV)) == 256


def test_nothing_is_kept_of_a_device_that_nobody_asked(node):
    node.say(b"\2")
    assert node.devnet.core.answers(DEV) == []


@pytest.mark.parametrize("in_f_opts", [True, False])
@pytest.mark.parametrize(
    ("raw", "margin", "battery", "unavailable", "external"),
    [
        (b"\0\0", 0, 0.0, False, True),
        (b"\1\x1f", 31, 100 / 254, False, False),
        (b"\xfe\x20", -32, 100.0, False, False),
        (b"\xff\x3f", -1, 0.0, True, False),
    ],
)
def test_dev_status_gives_a_status_event(node, in_f_opts, raw, margin, battery, unavailable, external):
    node.ask(b"\6")
    node.say()
    node.say(b"\6" + raw) if in_f_opts else node.say(port=0, data=b"\6" + raw)
    body = node.answer.events[0].body
    assert isinstance(body, integration.StatusEvent)
    assert (body.margin, body.battery_level_unavailable, body.external_power_source) == (margin, unavailable, external)
    assert body.battery_level == pytest.approx(battery)


def test_a_profile_asks_for_the_status_again_and_again():
    node = Talk(network_server(status=24), DEV)
    node.join()
    assert node.say() == b"\6"
    assert node.say(b"\6\xff\0") is None
    node.now_ns += 3600 * 10**9
    assert node.say() == b"\6"


def test_an_unknown_command_ends_the_parsing_and_a_cut_one_spoils_all():
    assert mac.parse(b"\6\1\2\x42\3\7") == {6: [b"\1\2"]}
    assert mac.parse(b"\6\1\2\3") == {}
    assert asked.split(b"\6\7\1\2\3\4\5\x42\6") == [b"\6", b"\7\1\2\3\4\5"]
    assert asked.split(b"\6\7\1\2\3\4") == [b"\6"]


# -- what an accepted command changes, and a refused one does not


def test_duty_cycle_is_noted(node):
    node.ask(b"\4\x0b")
    node.say()
    assert node.known.max_duty == 0
    node.say(b"\4")
    assert node.known.max_duty == 11


@pytest.mark.parametrize("status", range(8))
def test_rx_param_setup(node, status):
    """The windows move with the answer, not before; with anything but 7 not at all."""
    node.ask(b"\5\x23" + hz(868_800_000))
    node.say()
    assert node.items == [(HZ[0], 7, 1), (869_525_000, 12, 2)]
    assert node.say(b"\5" + bytes([status])) == b""  # the answer is sticky: a downlink ends it
    moved = [(HZ[0], 9, 1), (868_800_000, 9, 2)]
    assert node.items == (moved if status == 7 else [(HZ[0], 7, 1), (869_525_000, 12, 2)])
    assert node.known.errors == ({} if status == 7 else {5: 1})


@pytest.mark.parametrize("offset", range(6))
@pytest.mark.parametrize("dr", range(6))
def test_rx1_data_rate_by_uplink_and_offset(node, dr, offset):
    table = (
        (0,) * 6,
        (1, 0, 0, 0, 0, 0),
        (2, 1, 0, 0, 0, 0),
        (3, 2, 1, 0, 0, 0),
        (4, 3, 2, 1, 0, 0),
        (5, 4, 3, 2, 1, 0),
    )
    node.ask(bytes([5, offset << 4]) + hz(869_525_000))
    node.say()
    node.say(b"\5\7", sf=12 - dr)
    assert node.items[0][1] == 12 - table[dr][offset]


@pytest.mark.parametrize("delay", range(16))
def test_rx_timing_setup(node, delay):
    node.ask(bytes([8, delay]))
    node.say()
    assert [i[2] for i in node.items] == [1, 2]
    assert node.say(b"\x08") == b""
    assert [i[2] for i in node.items] == [delay or 1, (delay or 1) + 1]


@pytest.mark.parametrize("status", range(4))
def test_dl_channel(node, status):
    node.ask(b"\x0a\x03" + hz(868_900_000))
    node.say(freq_hz=HZ[3])
    assert node.items[0][0] == HZ[3]
    assert node.say(b"\x0a" + bytes([status]), freq_hz=HZ[3]) == b""
    assert node.items[0][0] == (868_900_000 if status == 3 else HZ[3])
    node.say(confirmed=True, freq_hz=HZ[1])
    assert node.items[0][0] == HZ[1]
    assert node.known.errors == ({} if status == 3 else {10: 1})


def test_a_new_channel_brings_rx1_back_to_its_uplink(node):
    node.ask(b"\x0a\x03" + hz(868_900_000))
    node.say()
    node.say(b"\x0a\3")
    node.ask(b"\7\x03" + hz(867_100_000) + b"\x50")
    node.say()
    node.say(b"\7\3", freq_hz=HZ[3], confirmed=True)
    assert node.items[0][0] == HZ[3]


@pytest.mark.parametrize("status", range(4))
def test_new_channel(node, status):
    node.ask(b"\7\x08" + hz(865_500_000) + b"\x50")
    node.say()
    node.say(b"\7" + bytes([status]))
    assert node.known.extra.get(8) == (865_500_000 if status == 3 else None)
    assert (8 in node.known.channels) == (status == 3)
    assert node.known.errors == ({} if status == 3 else {7: 1})


def test_channels_are_changed_and_removed(node):
    node.ask(b"\7\x03" + hz(0) + b"\x50\7\x04" + hz(865_500_000) + b"\x50")
    node.say()
    node.say(b"\7\3\7\3")
    assert node.known.channels == [0, 1, 2, 4, 5, 6, 7]
    assert node.known.extra == {4: 865_500_000, 5: 867_500_000, 6: 867_700_000, 7: 867_900_000}
    assert node.say() is None  # the network leaves what the caller has made


def test_without_any_channel_the_default_ones_are_there(node):
    node.ask(b"\3\x50\x08\x00\x01")
    node.say()
    node.say(b"\3\7")
    node.ask(b"\7\x03" + hz(0) + b"\x50")
    node.say()
    node.say(b"\7\3")
    assert node.known.channels == [0, 1, 2]


def test_new_channel_answers_of_another_number_are_none(node):
    node.ask(b"\7\x08" + hz(865_500_000) + b"\x50\7\x09" + hz(865_700_000) + b"\x50")
    node.say()
    node.say(b"\7\3")
    assert node.known.channels == list(range(8))


LINK_ADR = [
    (b"\3\x50\x07\x00\x03", b"\3\7", (5, 0, 3, [0, 1, 2])),
    (b"\3\xff\x0f\x00\x02", b"\3\7", (5, 0, 2, [0, 1, 2, 3])),  # 15 keeps
    (b"\3\x57\xff\x00\x00", b"\3\7", (5, 7, 1, list(range(8)))),  # NbTrans 0 is 1
    (b"\3\x50\x01\x00\x01\3\x43\x00\x00\x62", b"\3\7\3\7", (4, 3, 2, list(range(8)))),  # ChMaskCntl 6 after a mask
    (b"\3\x50\xff\x00\x01\3\x43\x06\x00\x02", b"\3\7\3\7", (4, 3, 2, [1, 2])),
    (b"\3\x43\x07\x00\x02", b"\3\6", (5, 0, 1, list(range(8)))),
    (b"\3\x43\x07\x00\x02", b"\3\5", (5, 0, 1, list(range(8)))),
    (b"\3\x43\x07\x00\x02\3\x43\x07\x00\x02", b"\3\7\3\6", (5, 0, 1, list(range(8)))),
]


@pytest.mark.parametrize(("commands", "answer", "then"), LINK_ADR)
def test_link_adr(node, commands, answer, then):
    node.ask(commands)
    node.say()
    assert node.known.channels == list(range(8))
    node.say(answer)
    s = node.known
    assert (s.dr, s.tx_power, s.nb_trans, s.channels) == then
    assert s.errors == ({} if set(answer[1::2]) == {7} else {3: 1})


def test_a_refused_power_beyond_the_table_leaves_the_limit(node):
    node.ask(b"\3\x5e\xff\x00\x01")
    node.say()
    node.say(b"\3\3")
    assert node.known.max_tx_power == 7


def test_commands_without_an_answer_leave_all_as_it_was(node):
    node.ask(b"\x09\x3d")
    node.say()
    node.say()
    s = node.known
    assert (s.channels, s.rx1_delay, s.nb_trans, s.errors) == (list(range(8)), 1, 1, {})


def test_a_command_whose_downlink_was_lost_is_not_in_force(node):
    node.ask(b"\x08\x05")
    node.say()
    node.say(confirmed=True)
    assert [i[2] for i in node.items] == [1, 2]


# -- sticky answers


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (b"\5\x23" + hz(868_800_000), b"\5\x01" + hz(869_525_000), b"\5\7"),
        (b"\x08\x05", b"\x08\x03", b"\x08"),
        (b"\x0a\x00" + hz(868_900_000), b"\x0a\x00" + hz(868_800_000), b"\x0a\3"),
    ],
    ids=["RXParamSetupAns", "RXTimingSetupAns", "DlChannelAns"],
)
def test_a_repeated_answer_is_not_taken_for_the_next_ones(node, first, second, answer):
    """The device repeats its answer until a downlink comes: the next request with that CID waits until it has stopped."""
    node.ask(first)
    assert node.say() == first
    node.say(answer)
    settled = node.items
    node.ask(second)
    for _ in range(3):  # the empty downlinks get lost
        assert node.say(answer) == b""
        assert node.items == settled
    assert node.say() == second
    assert node.items == settled
    node.say(answer)
    assert node.items != settled


def test_a_requestthat_is_repeated_unchanged_need_not_wait(node):
    node.ask(b"\x08\x05", 3)
    assert [node.say(), node.say(b"\x08"), node.say(b"\x08"), node.say(b"\x08")] == [b"\x08\x05"] * 3 + [b""]
    assert node.known.rx1_delay == 5


def test_a_refusal_that_is_repeated_counts_once(node):
    node.ask(b"\5\x70" + hz(869_525_000))
    node.say()
    for _ in range(4):
        node.say(b"\5\3")
    assert node.known.errors == {5: 1}
