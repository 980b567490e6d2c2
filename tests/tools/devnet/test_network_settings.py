"""What the network tells a device of its own accord: MAC commands for another configuration, join-accepts of any content."""

import pytest
from devnet_node import DEV, KEY, Talk, hz, network_server

from tools.devnet import frame, region
from tools.devnet.region import Network


@pytest.fixture
def node():
    n = Talk(network_server(), DEV)
    n.join()
    assert n.say() is None
    return n


# -- the network's own requests


def test_what_a_caller_asked_the_network_leaves_alone():
    node = Talk(network_server(adr="default"), DEV)
    node.join()
    node.ask(b"\3\x21\x07\x00\x02")
    assert node.say(sf=12, snr=2.9) == b"\3\x21\x07\x00\x02"  # and no LinkADRReq of ADR
    assert node.say(b"\3\7", sf=10, snr=2.9) is None
    assert node.known.dr == 2


@pytest.mark.parametrize(
    ("network", "told", "answer"),
    [
        (Network(rx2_frequency=868_800_000), b"\5\x00" + hz(868_800_000), b"\5\7"),
        (Network(rx1_dr_offset=2), b"\5\x20" + hz(869_525_000), b"\5\7"),
        (Network(rx2_dr=3), b"\5\x03" + hz(869_525_000), b"\5\7"),
        (Network(rx1_delay=5), b"\x08\x05", b"\x08"),
    ],
)
def test_another_network_configuration_reaches_a_joined_device(node, network, told, answer):
    node.devnet.core.network = network
    assert node.say() == told
    node.say(answer)
    s = node.known
    assert (s.rx1_delay, s.rx1_dr_offset, s.rx2_dr, s.rx2_frequency) == network[:4]
    assert node.say() is None


def test_a_configuration_refused_twice_is_let_go(node):
    node.devnet.core.network = Network(rx1_dr_offset=7)
    assert node.say() == b"\5\x70" + hz(869_525_000)
    assert node.say(b"\5\3") == b"\5\x70" + hz(869_525_000)
    assert node.say(b"\5\3") == b""
    assert node.say() is None
    assert node.known.errors == {5: 2}


def test_channels_that_the_network_does_not_have_are_switched_off(node):
    """ChirpStack's channel mask reconfiguration: two channels less in the configuration."""
    cf_list = b"".join(hz(f) for f in (867_100_000, 867_300_000, 867_500_000, 0, 0)) + b"\0"
    node.devnet.core.network = Network(cf_list=cf_list)
    assert node.say() == b"\3\x50\x3f\x00\x01"
    node.say(b"\3\7")
    assert node.known.channels == [0, 1, 2, 3, 4, 5]
    assert node.say() is None


def test_channels_that_the_device_lacks_are_made_three_at_a_time():
    node = Talk(network_server(network=Network(cf_list=b"")), DEV)
    node.join()
    made = {i: b"\7" + bytes([i]) + hz(f) + b"\x50" for i, f in region.EXTRA_CHANNELS.items()}
    assert node.say() == made[3] + made[4] + made[5]
    assert node.say(b"\7\3\7\3\7\3") == made[6] + made[7]
    assert node.say(b"\7\3\7\1") == made[7]
    assert node.say(b"\7\1") is None  # refused twice
    assert node.known.channels == [0, 1, 2, 3, 4, 5, 6]


# -- join-accepts


def accept(node):
    """The plain join-accept without MHDR: its body and MIC."""
    return frame.encrypt_block(bytes.fromhex(KEY), node.join().downlinks[0].items[0].phy[1:])


@pytest.mark.parametrize("delay", range(16))
def test_join_accept_with_a_delay(delay):
    node = Talk(network_server(network=Network(rx1_delay=delay)), DEV)
    answer = node.join()
    assert [i.delay_ns for i in answer.downlinks[0].items] == [5 * 10**9, 6 * 10**9]
    plain = frame.encrypt_block(bytes.fromhex(KEY), answer.downlinks[0].items[0].phy[1:])
    assert plain[11] == delay
    assert node.say(confirmed=True) == b""
    assert [i[2] for i in node.items] == [delay or 1, (delay or 1) + 1]


@pytest.mark.parametrize("offset", range(8))
@pytest.mark.parametrize("rx2_dr", [0, 3, 5, 7, 15])
def test_join_accept_with_dl_settings(offset, rx2_dr):
    node = Talk(network_server(network=Network(rx1_dr_offset=offset, rx2_dr=rx2_dr)), DEV)
    assert accept(node)[10] == offset << 4 | rx2_dr
    told = node.say(confirmed=True)
    rx1, rx2 = node.items
    assert rx1[1] == (12 - (5 - offset) if offset < 6 else 7)
    assert rx2[1] == (12 - rx2_dr if rx2_dr < 6 else 12)
    wrong = offset > 5 or rx2_dr > 6
    assert told == (bytes([5, offset << 4 | rx2_dr]) + hz(869_525_000) if wrong else b"")


@pytest.mark.parametrize("cf_list", [b"", bytes(16), b"\xff" * 15 + b"\1", region.CF_LIST])
def test_join_accept_with_a_cf_list(cf_list):
    node = Talk(network_server(network=Network(cf_list=cf_list)), DEV)
    assert accept(node)[12:-4] == cf_list
    assert node.known.channels == ([*range(8)] if cf_list == region.CF_LIST else [0, 1, 2])
