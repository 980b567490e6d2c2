"""Certification scenarios: the other class A MAC commands (TS001-1.0.4, 5; RP002-1.0.3, 2.4). docs/lorawan.md lists them with their clauses."""

from lorawan.mac import SEND
from tester import NO_CF_LIST, Window, hz, joined

DEFAULT = {868100000, 868300000, 868500000}
RX2_HZ = hz(869525000)


def same(device, before):
    """The next frame has these windows and the frequencies are the default ones."""
    device.send()
    assert [device.windows[0].seconds, device.windows[0].dr, device.windows[1]] == before
    assert device.windows[0].frequency == device.ups[0].frequency
    assert device.channels(16) == DEFAULT


# --- DutyCycleReq


def test_duty_01_silence_of_each_step():
    for step in range(1, 16):
        device = joined()
        assert device.answers(bytes([4, step])) == b"\x04"
        ended = device.ups[0].at + device.ups[0].air_ms
        device.send()
        silence = device.ups[0].at - ended
        least = device.log[-2][1] * ((1 << step) - 1)
        assert least <= silence, (step, silence, least)
        # counted by a clock that may run 5 % fast, with the air time rounded up
        assert silence <= least + (least + 4000) // 19 + 3000 or step < 3, (step, silence, least)


def test_duty_02_step_0_lifts_it():
    device = joined()
    device.answers(b"\x04\x0c")
    assert device.mac.wait_ms(device.now) > 3600000
    device.answers(b"\x04\x00")
    assert device.ups[0].fopts == b"\x04"
    assert device.mac.wait_ms(device.now) == 0


def test_duty_03_reserved_bits_are_ignored_and_each_request_answered():
    device = joined()
    assert device.answers(b"\x04\xf0\x04\x00") == b"\x04\x04"
    assert device.mac.wait_ms(device.now) == 0


def test_duty_04_it_holds_from_the_frame_that_the_request_answered():
    device = joined()
    device.send(rx1=device.net.down(b"\x04\x0a"))
    ended, air_ms = device.ups[0].at + device.ups[0].air_ms, device.ups[0].air_ms
    assert device.exchange((SEND, 10, b"x", False)).reason == "duty"
    device.send()
    silence = device.ups[0].at - ended
    assert air_ms * 1023 <= silence <= air_ms * 1023 * 106 // 100 + 3000


# --- RXParamSetupReq


def test_rxparam_01_taken():
    device = joined()
    assert device.answers(b"\x03\x50\xff\x00\x01" + b"\x05\x23" + hz(869100000)) == b"\x03\x07\x05\x07"
    assert device.windows == [Window(1, device.ups[0].frequency, 3), Window(2, 869100000, 3)]


def rxparam_refused(request, answer):
    device = joined(cf_list=NO_CF_LIST)
    assert device.answers(request) == answer
    same(device, [1, 0, Window(2, 869525000, 0)])


def test_rxparam_02_frequency_outside_the_band():
    rxparam_refused(b"\x05\x12" + hz(870100000), b"\x05\x06")
    rxparam_refused(b"\x05\x12" + hz(433050000), b"\x05\x06")
    rxparam_refused(b"\x05\x12\0\0\0", b"\x05\x06")


def test_rxparam_03_unknown_data_rate():
    for dr in range(8, 16):
        rxparam_refused(bytes([5, dr]) + RX2_HZ, b"\x05\x05")


def test_rxparam_04_reserved_offset():
    rxparam_refused(b"\x05\x60" + RX2_HZ, b"\x05\x03")
    rxparam_refused(b"\x05\x70" + RX2_HZ, b"\x05\x03")


def test_rxparam_05_answer_stays_until_a_class_a_downlink():
    sticks(b"\x05\x01" + RX2_HZ, b"\x05\x07")
    sticks(b"\x05\x01" + hz(100000000), b"\x05\x06")


def sticks(request, answer):
    """The answer is in every uplink, repetitions, port 0 and empty frames included, until a downlink of ours comes in either window."""
    device = joined()
    device.send(rx1=device.net.down(request + b"\x06"))
    device.send()
    assert device.ups[0].fopts == answer + b"\x06\xff\x07"
    for port, data in ((10, b"x"), (None, b""), (10, b"y")):
        device.send(port, data)
        assert device.ups[0].fopts == answer
    foreign = device.net.down()[:-1] + b"\0"
    device.send(rx1=foreign, rx2=foreign)
    device.send(rx2=device.net.down())
    assert device.ups[0].fopts == answer
    device.send()
    assert device.ups[0].fopts == b""


# --- DevStatusReq


def test_devstatus_01_battery():
    device = joined()
    for level in (255, 0, 1, 254):
        device.mac.battery = level
        assert device.answers(b"\x06") == bytes([6, level, 7])


def test_devstatus_02_margin_is_the_snr_of_the_request_in_six_bits():
    device = joined()
    for snr, margin in ((0, 0), (1, 1), (-1, 0x3F), (31, 31), (40, 31), (-20, 0x2C), (-32, 0x20), (-40, 0x20)):
        assert device.answers(b"\x06", snr) == bytes([6, 255, margin]), snr


# --- NewChannelReq


def test_newchannel_01_new_channel_is_used_at_once():
    device = joined(cf_list=NO_CF_LIST)
    assert device.answers(b"\x07\x03" + hz(867100000) + b"\x50") == b"\x07\x03"
    assert device.channels() == DEFAULT | {867100000}


def test_newchannel_02_all_16_indexes():
    device = joined(cf_list=NO_CF_LIST)
    wanted = {865100000 + 200000 * n for n in range(13)}
    requests = [bytes([7, 3 + n]) + hz(f) + b"\x50" for n, f in enumerate(sorted(wanted))]
    for n in range(0, 13, 2):
        device.send(rx1=device.net.down(b"".join(requests[n : n + 2])))
    device.send(rx1=device.net.down(b"\x03\x50\xff\xff\x01"))
    device.send()
    assert device.ups[0].fopts == b"\x03\x07"
    heard = device.channels(200)
    assert heard == DEFAULT | wanted, (DEFAULT | wanted) ^ heard


def test_newchannel_03_default_channels_are_read_only():
    for index in range(3):
        for frequency in (867100000, 0):
            device = joined(cf_list=NO_CF_LIST)
            assert device.answers(bytes([7, index]) + hz(frequency) + b"\x50") == b"\x07\x00"
            assert device.channels(16) == DEFAULT


def newchannel_refused(request, answer):
    device = joined(cf_list=NO_CF_LIST)
    assert device.answers(request) == answer
    assert device.channels(16) == DEFAULT


def test_newchannel_04_index_above_15():
    for index in (16, 17, 255):
        newchannel_refused(bytes([7, index]) + hz(867100000) + b"\x50", b"\x07\x00")


def test_newchannel_05_frequency_where_nobody_may_transmit():
    for frequency in (862900000, 868650000, 869300000, 870000000, 915000000):
        newchannel_refused(b"\x07\x03" + hz(frequency) + b"\x50", b"\x07\x02")


def test_newchannel_06_data_rate_range():
    for drs in (b"\x05", b"\x60", b"\x70", b"\xf0", b"\x76"):
        newchannel_refused(b"\x07\x03" + hz(867100000) + drs, b"\x07\x01")
    newchannel_refused(b"\x07\x03" + hz(868650000) + b"\xf0", b"\x07\x00")


def test_newchannel_07_existing_channel_is_changed():
    device = joined()
    assert device.answers(b"\x07\x03" + hz(865100000) + b"\x50") == b"\x07\x03"
    heard = device.channels()
    assert 865100000 in heard
    assert 867100000 not in heard


def test_newchannel_08_frequency_0_removes():
    device = joined()
    assert device.answers(b"\x07\x04\0\0\0\x50" + b"\x07\x07\0\0\0\xff") == b"\x07\x03\x07\x03"
    assert device.channels() == DEFAULT | {867100000, 867500000, 867700000}


def test_newchannel_09_removing_the_only_enabled_channel_does_not_silence():
    device = joined()
    assert device.answers(b"\x03\x5f\x08\x00\x01" + b"\x07\x03\0\0\0\x50") == b"\x03\x07\x07\x03"
    assert device.channels(12) == DEFAULT


# --- RXTimingSetupReq


def test_rxtiming_01_delays_of_1_to_15_s():
    device = joined()
    for delay in range(1, 16):
        assert device.answers(bytes([8, delay])) == b"\x08"
        assert [w.seconds for w in device.windows] == [delay, delay + 1]
        down = device.net.down(port=20, data=b"late")
        assert device.send(rx2=down).received == [(20, b"late")]
        assert [w.seconds for w in device.windows] == [delay, delay + 1]


def test_rxtiming_02_0_is_1_s_and_reserved_bits_are_ignored():
    device = joined(rx_delay=5)
    assert device.answers(b"\x08\x00") == b"\x08"
    assert device.windows[0].seconds == 1
    assert device.answers(b"\x08\xf4") == b"\x08"
    assert device.windows[0].seconds == 4


def test_rxtiming_03_answer_stays_until_a_class_a_downlink():
    sticks(b"\x08\x02", b"\x08")


# --- TXParamSetupReq


def test_txparam_01_is_not_for_eu868():
    device = joined()
    assert device.answers(b"\x09\x25") == b""
    assert device.answers(b"\x09\x25\x06") == b"\x06\xff\x07"
    device.send()
    assert device.ups[0].eirp == 16


# --- DlChannelReq


def test_dlchannel_01_moves_rx1_of_that_channel():
    device = joined(cf_list=NO_CF_LIST)
    assert device.answers(b"\x0a\x01" + hz(869100000)) == b"\x0a\x03"
    for _ in range(20):
        device.send(rx1=device.net.down())
        up = device.ups[0].frequency
        assert device.windows[0].frequency == (869100000 if up == 868300000 else up)
    assert device.send(rx2=device.net.down(port=20, data=b"rx2")).received
    assert device.windows[1] == Window(2, 869525000, 0)


def test_dlchannel_02_undefined_channel():
    device = joined(cf_list=NO_CF_LIST)
    for index in (3, 15, 16, 255):
        assert device.answers(bytes([10, index]) + hz(869100000)) == b"\x0a\x01"
    same(device, [1, 0, Window(2, 869525000, 0)])


def test_dlchannel_03_frequency_outside_the_band():
    device = joined(cf_list=NO_CF_LIST)
    for index in range(3):
        assert device.answers(bytes([10, index]) + hz(870100000)) == b"\x0a\x02"
    assert device.answers(b"\x0a\x09" + hz(433000000)) == b"\x0a\x00"
    for _ in range(8):
        same(device, [1, 0, Window(2, 869525000, 0)])


def test_dlchannel_04_answer_stays_until_a_class_a_downlink():
    sticks(b"\x0a\x00" + hz(869100000), b"\x0a\x03")


# --- LinkCheckReq, DeviceTimeReq


def test_linkcheck_01_asked_and_answered():
    device = joined()
    device.mac.ask_link_check()
    device.send(rx1=device.net.down(b"\x02\x14\x03"))
    assert device.ups[0].fopts == b"\x02"
    assert device.mac.link == (20, 3)
    device.send()
    assert device.ups[0].fopts == b""


def test_linkcheck_02_an_answer_without_a_question_is_dropped():
    device = joined()
    device.mac.ask_link_check()
    device.send()  # its windows pass: the question expires
    assert device.answers(b"\x02\x14\x03\x06") == b"\x06\xff\x07"
    assert device.mac.link is None


def test_time_01_asked_and_answered():
    device = joined()
    device.mac.ask_time()
    answer = b"\x0d\x78\xd2\x2f\x58\x80"
    outcome = device.send(rx1=device.net.down(answer))
    assert device.ups[0].fopts == b"\x0d"
    ended = device.ups[0].at + device.ups[0].air_ms
    assert outcome.time == (0x582FD278, 0x80, ended * 1000)


def test_time_02_an_answer_without_a_question_is_dropped():
    device = joined()
    outcome = device.send(rx1=device.net.down(b"\x0d\x78\xd2\x2f\x58\x80"))
    assert outcome.time is None
    device.mac.ask_time()
    device.send()
    assert device.send(rx1=device.net.down(b"\x0d\x78\xd2\x2f\x58\x80")).time is None


# --- the stream


def test_stream_01_answers_come_in_the_order_of_the_requests():
    device = joined()
    requests = b"\x06" + b"\x0a\x00" + hz(868100000) + b"\x04\x00" + b"\x08\x01"
    assert device.answers(requests) == b"\x06\xff\x07" + b"\x0a\x03" + b"\x04" + b"\x08"


def test_stream_02_an_unknown_command_ends_the_parsing():
    device = joined()
    for cid in (0x00, 0x01, 0x0B, 0x0C, 0x0E, 0x0F, 0x10, 0x11, 0x13, 0x20, 0x7F):
        assert device.answers(bytes([6, cid, 6])) == b"\x06\xff\x07", cid


def test_stream_03_a_proprietary_command_ends_the_parsing():
    device = joined()
    for cid in (0x80, 0xAA, 0xFF):
        assert device.answers(bytes([6, cid, 8, 5])) == b"\x06\xff\x07", cid
        assert device.windows[0].seconds == 1


def test_stream_04_a_command_cut_short_is_not_carried_out():
    device = joined(cf_list=NO_CF_LIST)
    whole = (b"\x03\x50\x03\x00\x01", b"\x04\x0c", b"\x05\x23" + RX2_HZ, b"\x07\x03" + hz(867100000) + b"\x50")
    for request in whole + (b"\x08\x05", b"\x0a\x00" + hz(869100000)):
        for length in range(1, len(request)):
            assert device.answers(request[:length]) == b"", request
    same(device, [1, 0, Window(2, 869525000, 0)])


def test_stream_05_commands_on_port_0_and_in_fopts_beside_data():
    device = joined()
    device.send(rx1=device.net.down(port=0, data=b"\x06\x08\x03"))
    assert device.up().fopts == b"\x06\xff\x07\x08"
    outcome = device.send(rx1=device.net.down(b"\x06", 20, b"data"))
    assert outcome.received == [(20, b"data")]
    assert device.up().fopts == b"\x06\xff\x07"


def test_stream_06_answers_go_first_alone_on_port_0_where_fopts_cannot_hold_them():
    device = joined()
    device.send(rx1=device.net.down(port=0, data=b"\x06" * 6))
    device.mac.ask_link_check()
    outcome = device.send(10, bytes(50), True, rx1=device.net.down(b"\x02\x14\x03"))
    up = device.ups[0]
    assert (up.port, up.data, up.phy[0]) == (0, b"\x06\xff\x07" * 6, 0x40)
    assert (outcome.sent, outcome.reason) == (False, "answers")
    assert device.mac.link is None  # that frame did not ask
    device.send(10, bytes(50), True, rx1=device.net.down(b"\x02\x14\x03"))
    up = device.ups[0]
    assert (up.port, up.fopts, up.phy[0]) == (10, b"\x02", 0x80)
    assert device.mac.link == (20, 3)


def test_stream_07_too_many_answers_are_cut_at_the_end_of_one():
    device = joined()
    device.send(rx1=device.net.down(port=0, data=b"\x06" * 40 + b"\x08\x04"))
    device.send(None, b"")
    assert device.ups[0].data == b"\x06\xff\x07" * 17  # 51 bytes at DR0
    assert device.windows[0].seconds == 4  # all were carried out
