"""Each class A MAC command (TS001-1.0.4, 5): taken, refused with the right bits and nothing changed, repeated, out of place; and air times."""

from struct import pack

from lorawan import airtime, eu868
from lorawan.commands import Commands, split
from network import joined


def hz(frequency):
    return pack("<I", frequency // 100)[:3]


def orders(stream, state=None, asked=(), snr=7, battery=255):
    """(State, Commands) after `stream`; a fresh session with eight channels unless one is given."""
    state = state or joined()[0].mac._state
    state.owed = b""
    c = Commands(state, eu868, snr, battery, asked)
    c.run(stream)
    return state, c


def refused(stream, answer):
    """A command that is refused whole changes nothing but the fault count."""
    state = joined()[0].mac._state
    before = state.dump(True)
    orders(stream, state)
    assert state.owed == answer, (stream.hex(), state.owed.hex())
    state.owed = b""
    state.faults = [0] * len(state.faults)
    assert state.dump(True) == before, stream.hex()


def test_link_adr_taken():
    state, _ = orders(b"\x03\x54\x03\x00\x02")
    assert state.owed == b"\x03\x07"
    assert (state.dr, state.power, state.mask, state.nb_trans) == (5, 4, 3, 2)


def test_link_adr_keeps_15_and_nbtrans_0_is_1():
    state, _ = orders(b"\x03\x52\xff\x00\x03")
    orders(b"\x03\xff\x07\x00\x00", state)
    assert state.owed == b"\x03\x07"
    assert (state.dr, state.power, state.mask, state.nb_trans) == (5, 2, 7, 1)


def test_link_adr_refusals():
    refused(b"\x03\x50\xff\x01\x01", b"\x03\x06")  # channel 8 is not defined
    refused(b"\x03\x50\x00\x00\x01", b"\x03\x06")  # no channel left
    refused(b"\x03\x50\xff\x00\x11", b"\x03\x06")  # ChMaskCntl 1 is not EU868's
    refused(b"\x03\x60\xff\x00\x01", b"\x03\x05")  # DR6
    refused(b"\x03\xe0\xff\x00\x01", b"\x03\x05")
    refused(b"\x03\x58\xff\x00\x01", b"\x03\x03")  # TXPower 8
    refused(b"\x03\xe9\x00\x00\x01", b"\x03\x00")


def test_link_adr_refusal_is_counted_and_repeats_cost_nothing_else():
    state = joined()[0].mac._state
    for n in range(1, 6):
        orders(b"\x03\x50\xff\x01\x01", state)
        assert state.owed == b"\x03\x06"
        assert state.faults[2] == n


def test_link_adr_data_rate_that_no_enabled_channel_carries():
    state, _ = orders(b"\x07\x08" + hz(868800000) + b"\x50" + b"\x07\x09" + hz(869800000) + b"\x33")
    assert state.owed == b"\x07\x03\x07\x03"
    assert state.mask == 0x3FF
    orders(b"\x03\x50\x00\x02\x01", state)
    assert state.owed == b"\x03\x05"
    orders(b"\x03\x30\x00\x02\x01", state)
    assert state.owed == b"\x03\x07"
    assert state.mask == 0x200


def test_link_adr_control_6_enables_all_defined():
    state, _ = orders(b"\x03\x50\x01\x00\x01")
    orders(b"\x03\x50\x00\x00\x61", state)
    assert state.mask == 0xFF
    assert state.owed == b"\x03\x07"


def test_link_adr_block_is_atomic():
    state, _ = orders(b"\x03\x10\x01\x00\x01" + b"\x03\x20\x03\x00\x02" + b"\x03\x31\x07\x00\x03")
    assert state.owed == b"\x03\x07" * 3
    assert (state.dr, state.power, state.mask, state.nb_trans) == (3, 1, 7, 3)
    refused(b"\x03\x10\xff\x01\x01" + b"\x03\x31\x07\x00\x03", b"\x03\x06\x03\x06")
    # not contiguous: two blocks, each judged alone
    state, _ = orders(b"\x03\x10\xff\x01\x01\x06\x03\x31\x07\x00\x03")
    assert state.owed == b"\x03\x06\x06\xff\x07\x03\x07"
    assert state.dr == 3


def test_duty_cycle():
    state, _ = orders(b"\x04\xf3")  # the upper half is reserved
    assert state.owed == b"\x04"
    assert state.max_duty == 3


def test_rx_param_setup():
    state, _ = orders(b"\x05\x53" + hz(869525000))
    assert state.owed == b"\x05\x07"
    assert (state.rx1_offset, state.rx2_dr, state.rx2_frequency) == (5, 3, 869525000)
    refused(b"\x05\x63" + hz(869525000), b"\x05\x03")
    refused(b"\x05\x56" + hz(869525000), b"\x05\x05")
    refused(b"\x05\x53" + hz(870100000), b"\x05\x06")
    refused(b"\x05\x7f" + hz(433000000), b"\x05\x00")


def test_dev_status_margin_is_six_bits_signed():
    for snr, byte in ((9, 9), (-12, 0x34), (31, 31), (40, 31), (-40, 0x20), (0, 0)):
        state, _ = orders(b"\x06", snr=snr, battery=254)
        assert state.owed == bytes([6, 254, byte]), snr


def test_new_channel():
    state, _ = orders(b"\x07\x03" + hz(865100000) + b"\x50")
    assert state.owed == b"\x07\x03"
    assert state.channels[3].frequency == 865100000
    state, _ = orders(b"\x07\x04\0\0\0\x50")
    assert state.owed == b"\x07\x03"
    assert state.channels[4] is None
    assert state.mask == 0xEF
    for index in (0, 1, 2, 16, 255):
        refused(bytes([7, index]) + hz(867100000) + b"\x50", b"\x07\x00")
    refused(b"\x07\x03" + hz(868650000) + b"\x50", b"\x07\x02")  # between two sub-bands
    refused(b"\x07\x03" + hz(867100000) + b"\x70", b"\x07\x01")  # DR7
    refused(b"\x07\x03" + hz(867100000) + b"\x05", b"\x07\x01")  # least above greatest
    refused(b"\x07\x03" + hz(871000000) + b"\x77", b"\x07\x00")


def test_removing_the_last_channel_brings_the_default_ones_back():
    state, _ = orders(b"\x03\x50\x08\x00\x01" + b"\x07\x03\0\0\0\x50")
    assert state.owed == b"\x03\x07\x07\x03"
    assert state.mask == 7


def test_rx_timing_setup():
    for delay, seconds in ((0, 1), (1, 1), (7, 7), (15, 15), (0xF2, 2)):
        state, _ = orders(bytes([8, delay]))
        assert state.owed == b"\x08"
        assert state.rx_delay == seconds


def test_tx_param_setup_is_dropped_in_eu868_and_parsing_goes_on():
    state, _ = orders(b"\x09\x15\x06")
    assert state.owed == b"\x06\xff\x07"


def test_dl_channel():
    state, _ = orders(b"\x0a\x00" + hz(869100000))
    assert state.owed == b"\x0a\x03"
    assert state.channels[0].rx1_frequency == 869100000
    refused(b"\x0a\x08" + hz(869100000), b"\x0a\x01")
    refused(b"\x0a\xff" + hz(869100000), b"\x0a\x01")
    refused(b"\x0a\x01" + hz(862000000), b"\x0a\x02")
    # a new channel at that index takes its own frequency for RX1 again
    orders(b"\x0a\x03" + hz(869100000) + b"\x07\x03" + hz(866100000) + b"\x50", state)
    assert state.channels[3].rx1_frequency == 866100000


def test_answers_to_requests_only_when_asked():
    state, c = orders(b"\x02\x0f\x01\x0d\x78\xd2\x2f\x58\x80")
    assert c.link is None
    assert c.time is None
    assert state.owed == b""
    state, c = orders(b"\x02\x0f\x01\x0d\x78\xd2\x2f\x58\x80", asked=(2, 13))
    assert c.link == (15, 1)
    assert c.time == (0x582FD278, 0x80)


def test_unknown_and_cut_commands_end_the_parsing():
    assert split(b"\x06\x80\x06") == ([(6, b"")], False)
    assert split(b"\x06\x03\x50\xff") == ([(6, b"")], False)
    for cid in (0x00, 0x01, 0x0B, 0x0C, 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x13, 0x20, 0xFF):
        state, _ = orders(bytes([6, cid, 6]))
        assert state.owed == b"\x06\xff\x07" and state.faults[3] == 1, cid


def test_sticky_answers_are_repeated_until_a_downlink():
    device, net = joined()
    device.send(rx1=net.down(b"\x08\x01\x06\x05\x00" + hz(869525000) + b"\x0a\x00" + hz(868100000)))
    first = b"\x08\x06\xff\x07\x05\x07\x0a\x03"
    fcnt = 1
    for expected in (first, b"\x08\x05\x07\x0a\x03", b"\x08\x05\x07\x0a\x03"):
        device.send(10, b"x")
        assert net.read(device.sent[-1].phy, fcnt)[1] == expected
        fcnt += 1
    device.send(10, b"x", rx1=net.down())
    device.send(10, b"x")
    assert net.read(device.sent[-1].phy, fcnt + 1)[1] == b""


def test_dl_channel_moves_rx1():
    device, net = joined(cf_list=b"")
    device.send(rx1=net.down(b"".join([bytes([10, i]) + hz(869100000) for i in range(3)])))
    device.send()
    assert device.heard[-2].frequency == 869100000


def test_air_times():
    """The formula of the SX1261/2 datasheet, 6.1.4; figures of the join-request as published."""
    for length, sf, us in ((23, 12, 1482752), (23, 7, 61696), (64, 12, 2793472), (12, 7, 41216), (13, 12, 1155072)):
        assert airtime.on_air_us(length, sf, 125000) == us, (length, sf)
    assert airtime.on_air_us(17, 12, 125000, False) == 1155072
    assert airtime.symbol_us(12, 125000) == 32768
    assert airtime.symbol_us(7, 250000) == 512


def test_windows_cover_the_error_and_little_more():
    for sf, bandwidth in eu868.DATA_RATES:
        for delay in (1, 2, 5, 6, 15, 16):
            opens, symbols = airtime.window(delay * 1000000, sf, bandwidth, 40, 10000, 200)
            tsym = airtime.symbol_us(sf, bandwidth)
            error = 40 * delay + 10000
            assert opens + 200 <= delay * 1000000 - error, "the receiver listens before the earliest preamble"
            closes = opens + symbols * tsym
            assert closes >= delay * 1000000 + error + 6 * tsym, "six symbols of the latest preamble"
            assert closes <= delay * 1000000 + error + 9 * tsym, "and no more than rounding asks for"


def test_a_request_that_finds_no_room_beside_the_answers_is_made_later():
    device, net = joined()
    moves = b"".join([bytes([0x0A, i]) + hz(869100000) for i in range(7)])
    device.send(rx1=net.down(port=0, data=moves + b"\x08\x01"))
    device.mac.ask_time()
    device.mac.ask_link_check()
    for fcnt in (1, 2):
        assert device.mac.room() == 36
        device.send(rx1=None if fcnt == 1 else net.down(b"\x02\x14\x03"))
        assert len(net.read(device.sent[-1].phy, fcnt)[1]) == 15
    assert device.mac.link is None, "not asked yet"
    device.send(rx1=net.down(b"\x02\x14\x03"))
    assert net.read(device.sent[-1].phy, 3)[1] == b"\x0d\x02"
    assert device.mac.link == (20, 3)


def test_the_ends_of_the_band_belong_to_it_as_the_region_says():
    for frequency, receive, channel in (
        (863000000, 7, 3),
        (862999900, 6, 2),
        (870000000, 7, 2),
        (870000100, 6, 2),
        (869999900, 7, 3),
    ):
        state, _c = orders(b"\x05\x00" + hz(frequency) + b"\x07\x08" + hz(frequency) + b"\x50")
        assert state.owed == bytes([5, receive, 7, channel]), (frequency, state.owed)
