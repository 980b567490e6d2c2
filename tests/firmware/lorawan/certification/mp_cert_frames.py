"""Certification scenarios: receive windows, frames, acknowledgement, repetition, sizes (TS001-1.0.4, 3.3 and 4). docs/lorawan.md lists them."""

from lorawan import reasons
from lorawan.mac import HEARD, JOIN, SEND, SENT, Transmit
from network import DEV_ADDR, join_accept
from tester import ACK, ADR, NO_CF_LIST, PENDING, Window, downlink, hz, joined, sealed

# Table of RP002-1.0.3, 2.4.7: RX1 data rate by uplink data rate (row) and RX1DROffset (column)
RX1 = (
    (0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0),
    (2, 1, 0, 0, 0, 0),
    (3, 2, 1, 0, 0, 0),
    (4, 3, 2, 1, 0, 0),
    (5, 4, 3, 2, 1, 0),
)
YES = [(20, b"yes")]


def yes(device, **more):
    return device.net.down(port=20, data=b"yes", **more)


def only_rx2(make):
    """Whatever `make(device)` puts into RX1, it changes nothing and RX2 brings the real frame."""
    device = joined()
    before = device.mac.session()
    bad = make(device)
    outcome = device.send(rx1=bad, rx2=bad)
    assert (outcome.downlink, outcome.received) == (False, [])
    assert len(device.windows) == 2
    assert device.send(rx1=make(device), rx2=yes(device)).received == YES
    assert before != device.mac.session()


# --- windows


def test_rx_01_rx1_follows_the_uplink():
    device = joined()
    for dr in range(6):
        device.send(rx1=device.net.down(bytes([3, dr << 4 | 15, 0xFF, 0, 1])))
        for _ in range(6):
            device.send(None, b"")
            assert device.windows[0] == Window(1, device.ups[0].frequency, dr)
        device.send(rx1=device.net.down())


def test_rx_02_rx1_data_rate_offsets():
    device = joined()
    for offset in range(6):
        for dr in range(6):
            orders = bytes([3, dr << 4 | 15, 0xFF, 0, 1]) + bytes([5, offset << 4]) + hz(869525000)
            device.send(rx1=device.net.down(orders))
            device.send(None, b"")
            assert device.windows[0].dr == RX1[dr][offset], (dr, offset)
            device.send(None, b"", rx2=device.net.down())


def test_rx_03_rx2_default_and_changed():
    device = joined()
    device.send()
    assert device.windows[1] == Window(2, 869525000, 0)
    for dr in range(6):
        device.send(rx2=device.net.down(bytes([5, dr]) + hz(868900000)))
        assert device.send(rx2=yes(device)).received == YES
        assert device.windows[1] == Window(2, 868900000, dr)


def test_rx_04_no_rx2_after_our_frame_in_rx1():
    device = joined()
    device.send(rx1=device.net.down())
    assert len(device.windows) == 1
    device.send(rx1=yes(device))
    assert len(device.windows) == 1


def test_rx_05_foreign_frame_leaves_rx2():
    only_rx2(lambda device: downlink(device.net, address=b"\x01\x02\x03\x04", fcnt=7, body=b"\x14foreign"))


def test_rx_06_corrupted_frame_leaves_rx2():
    only_rx2(lambda device: device.net.down(port=20, data=b"bad", fcnt=90)[:-1] + b"\0")
    for length in range(12):
        only_rx2(lambda device, length=length: device.net.down(fcnt=90)[:length])


def test_rx_07_echo_of_the_own_uplink_leaves_rx2():
    device = joined()
    outcome = device.send(rx1=lambda n: device.ups[-1].phy, rx2=yes(device))
    assert outcome.received == YES
    assert len(device.windows) == 2


def test_rx_08_other_frame_types_leave_rx2():
    for mhdr in (0x00, 0x20, 0x40, 0x80, 0xC0, 0xE0):
        only_rx2(lambda device, mhdr=mhdr: downlink(device.net, mhdr, fcnt=90, body=sealed(device.net, 20, b"x", 90)))
    only_rx2(lambda device: join_accept(9))


def test_rx_09_another_major_version_leaves_rx2():
    for major in (1, 2, 3):
        only_rx2(lambda device, m=major: downlink(device.net, 0x60 | m, fcnt=90, body=sealed(device.net, 20, b"x", 90)))


def test_rx_10_reserved_bits_of_a_downlink_are_ignored():
    device = joined()
    for mhdr in (0x64, 0x68, 0x70, 0x7C):
        frame = downlink(device.net, mhdr, body=sealed(device.net, 20, b"yes"))
        assert device.send(rx1=frame).received == YES, mhdr
    frame = downlink(device.net, 0xBC, fctrl=0x40, body=sealed(device.net, 20, b"yes"))
    assert device.send(rx1=frame).received == YES
    assert device.up().fctrl & ACK


def test_rx_11_frame_longer_than_the_data_rate_allows():
    only_rx2(lambda device: downlink(device.net, fcnt=90, body=sealed(device.net, 20, bytes(52), 90)))
    device = joined()
    assert device.send(rx1=device.net.down(port=20, data=bytes(51))).received == [(20, bytes(51))]
    device.answers(b"\x03\x3f\xff\x00\x01" + b"\x05\x05" + hz(869525000))
    device.send(rx1=device.net.down())
    long = device.net.down(port=20, data=bytes(116))
    assert device.send(rx1=long).received == []  # DR3 in RX1: 115
    assert device.send(rx2=long).received == [(20, bytes(116))]  # DR5 in RX2: 242
    beside_fopts = device.net.down(b"\x06" * 15, 20, bytes(228))
    assert device.send(rx2=beside_fopts).received == []


def test_rx_12_no_uplink_before_the_windows_are_over():
    device = joined()
    for event in ((SEND, 10, b"x", False), (JOIN,)):
        device.now += device.mac.wait_ms(device.now)
        actions = device.mac.handle((SEND, 10, b"x", False), device.now)
        assert isinstance(actions[-1], Transmit)
        for step in (None, (SENT, 0), (HEARD, b"noise", 1)):
            if step:
                device.mac.handle(step, device.now)
            try:
                device.mac.handle(event, device.now)
            except ValueError as error:
                assert "does not expect" in str(error)
            else:
                raise AssertionError("a second uplink was begun")
        device.mac.handle((HEARD, b"noise", 1), device.now)


def test_rx_13_mac_commands_in_both_places_are_discarded_whole():
    only_rx2(
        lambda device: downlink(device.net, fcnt=90, fctrl=0x81, body=b"\x06" + sealed(device.net, 0, b"\x06", 90))
    )
    only_rx2(lambda device: downlink(device.net, fcnt=90, fctrl=0x82, body=b"\x08\x05\x00"))


def test_rx_14_foptslen_beyond_the_frame():
    only_rx2(lambda device: downlink(device.net, fcnt=90, fctrl=0x8F, body=b"\x06\x06"))


def test_rx_15_empty_downlink_counts_as_one():
    device = joined()
    outcome = device.send(rx1=device.net.down())
    assert (outcome.downlink, outcome.received) == (True, [])
    outcome = device.send(rx1=device.net.down(port=20, data=b""))
    assert outcome.received == [(20, b"")]


# --- ports


def test_port_01_224_and_above_are_not_the_applications():
    device = joined()
    for port in (224, 225, 255):
        outcome = device.send(rx1=device.net.down(port=port, data=b"\x01"))
        assert (outcome.downlink, outcome.received) == (True, [])
    assert device.send(rx1=device.net.down(port=223, data=b"x")).received == [(223, b"x")]


def test_port_02_application_may_not_send_there():
    device = joined()
    for port, data in ((0, b"x"), (224, b"x"), (255, b""), (256, b"x"), (None, b"x")):
        outcome = device.send(port, data)
        assert (outcome.sent, outcome.reason, device.ups) == (False, reasons.PORT, [])
    device.send(1, b"")
    assert (device.ups[0].fcnt, device.ups[0].port) == (0, 1)
    device.send(223, b"x")
    assert device.ups[0].port == 223


# --- acknowledgement


def test_conf_01_confirmed_uplink_acknowledged():
    device = joined()
    outcome = device.send(10, b"x", True, rx1=device.net.down(fctrl=ADR | ACK))
    assert device.ups[0].phy[0] == 0x80
    assert (outcome.sent, outcome.reason) == (True, "")
    outcome = device.send(10, b"x", True, rx2=yes(device, fctrl=ACK))
    assert (outcome.reason, outcome.received) == ("", YES)


def test_conf_02_confirmed_uplink_is_repeated_nbtrans_times():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x04")
    outcome = device.send(10, b"x", True)
    assert outcome.reason == reasons.SILENCE
    assert len(device.ups) == 4
    assert {up.phy for up in device.ups} == {device.ups[0].phy}
    for earlier, later in zip(device.ups, device.ups[1:]):
        after_rx2 = later.at - (earlier.at + earlier.air_ms + 2000)
        assert 1000 <= after_rx2 <= 3400, after_rx2  # RETRANSMIT_TIMEOUT, and the window itself


def test_conf_03_downlink_without_ack_ends_the_repetition_and_acknowledges_nothing():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x04")
    outcome = device.send(10, b"x", True, rx1=lambda n: device.net.down() if n == 2 else None)
    assert len(device.ups) == 2
    assert (outcome.sent, outcome.downlink, outcome.reason) == (True, True, reasons.SILENCE)


def test_conf_04_confirmed_downlink_is_acknowledged_once():
    device = joined()
    assert device.send(rx1=yes(device, confirmed=True)).received == YES
    assert device.up().fctrl == ADR | ACK
    assert device.up().fctrl == ADR


def test_conf_05_acknowledgement_in_each_repetition():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x03")
    device.send(rx2=yes(device, confirmed=True))
    device.send()
    assert [up.fctrl for up in device.ups] == [ADR | ACK] * 3
    assert device.up().fctrl == ADR


def test_conf_06_each_new_confirmed_downlink_is_acknowledged():
    device = joined()
    for n in range(3):
        assert device.send(rx1=yes(device, confirmed=True)).received == YES
        assert bool(device.ups[0].fctrl & ACK) == (n > 0)
    device.send(rx1=device.net.down())
    assert device.ups[0].fctrl & ACK
    assert not device.up().fctrl & ACK


def test_conf_07_new_frame_waits_after_an_unanswered_confirmed_one():
    for answer in (None, ADR):
        device = joined()
        for _ in range(10):
            device.send(10, b"x", True, rx2=None if answer is None else device.net.down(fctrl=answer))
            rx2 = device.ups[0].at + device.ups[0].air_ms + 2000
            assert device.exchange((SEND, 10, b"y", False)).reason == reasons.DUTY
            device.send(10, b"y")
            assert device.ups[0].at - rx2 >= 1000


# --- repetition


def test_nbtrans_01_unconfirmed_frame_is_repeated_on_other_channels():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x05")
    heard = set()
    for _ in range(8):
        assert device.send(10, b"again").sent
        assert len(device.ups) == 5
        assert len({up.phy for up in device.ups}) == 1
        for earlier, later in zip(device.ups, device.ups[1:]):
            assert earlier.frequency != later.frequency
            assert later.at >= earlier.at + earlier.air_ms + 2000
            heard.add(later.frequency)
        device.send(None, b"", rx1=device.net.down())
    assert len(heard) == 8


def test_nbtrans_02_downlink_in_either_window_ends_it():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x0f")
    device.send(10, b"x", rx1=lambda n: device.net.down() if n == 3 else None)
    assert len(device.ups) == 3
    assert device.send(10, b"x", rx2=lambda n: yes(device) if n == 4 else None).received == YES
    assert len(device.ups) == 4


def test_nbtrans_03_foreign_frame_does_not_end_it():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x03")
    bad = device.net.down()[:-1] + b"\0"
    device.send(10, b"x", rx1=bad, rx2=bad)
    assert len(device.ups) == 3
    assert device.up(rx1=device.net.down()).fcnt == device.net.fcnt


def test_nbtrans_04_up_to_15():
    device = joined()
    device.answers(b"\x03\x5f\xff\x00\x0f")
    device.send(10, b"x")
    assert len(device.ups) == 15


def test_pending_01_the_application_is_told():
    device = joined()
    device.send(rx1=device.net.down(fctrl=ADR | PENDING))
    assert device.mac.pending
    device.send(rx1=device.net.down())
    assert not device.mac.pending


# --- sizes


def test_size_01_fopts_take_from_the_room():
    for owed, commands in ((0, b""), (2, b"\x03\x0f\xff\x00\x01"), (12, b"\x06" * 4), (15, b"\x06" * 5)):
        device = joined()
        device.send(rx1=device.net.down(commands))
        assert device.mac.room() == 51 - owed
        outcome = device.send(10, bytes(52))
        assert (outcome.sent, outcome.reason, outcome.room) == (False, reasons.ROOM, 51 - owed)
        assert device.send(10, bytes(51 - owed)).sent
        assert (len(device.ups[0].fopts), len(device.ups[0].data)) == (owed, 51 - owed)


def test_size_02_17_bytes_of_answers_go_first_on_port_0():
    device = joined()
    device.send(rx1=device.net.down(port=0, data=b"\x06" * 5 + b"\x03\x0f\xff\x00\x01"))
    outcome = device.send(10, bytes(51))
    assert (outcome.sent, outcome.reason, outcome.room) == (False, reasons.ANSWERS, 51)
    assert (device.ups[0].port, len(device.ups[0].data)) == (0, 17)
    assert device.send(10, bytes(51)).sent


def test_size_03_requests_of_the_device_take_from_the_room():
    device = joined()
    device.mac.ask_time()
    device.mac.ask_link_check()
    assert device.mac.room() == 49
    assert device.send(10, bytes(49)).sent
    assert device.ups[0].fopts == b"\x0d\x02"


def test_size_04_behind_a_repeater():
    device = joined()
    device.mac.repeater = True
    for dr, limit in enumerate((51, 51, 51, 115, 222, 222)):
        device.send(rx1=device.net.down(bytes([3, dr << 4 | 15, 0xFF, 0, 1])))
        device.send(rx1=device.net.down())
        assert device.mac.room() == limit
        assert not device.send(10, bytes(limit + 1)).sent
        assert device.send(10, bytes(limit), rx1=device.net.down()).sent
    # what comes down does not pass the repeater's encapsulation
    assert device.send(rx1=device.net.down(port=20, data=bytes(242))).received == [(20, bytes(242))]


def test_size_05_empty_frame():
    device = joined(cf_list=NO_CF_LIST)
    device.send(None, b"")
    assert len(device.ups[0].phy) == 12
    assert device.ups[0].phy[1:5] == DEV_ADDR


def test_size_06_limit_of_each_data_rate():
    device = joined()
    for dr, limit in enumerate((51, 51, 51, 115, 242, 242)):
        device.send(rx1=device.net.down(bytes([3, dr << 4 | 15, 0xFF, 0, 1])))
        device.send(rx1=device.net.down())
        outcome = device.send(10, bytes(limit + 1))
        assert (outcome.sent, outcome.reason, outcome.room) == (False, reasons.ROOM, limit)
        device.send(10, bytes(limit), rx1=device.net.down())
        assert (device.ups[0].dr, device.ups[0].data) == (dr, bytes(limit))


def test_size_07_answers_go_first_where_the_payload_leaves_them_no_room():
    for owed, commands in ((2, b"\x03\x0f\xff\x00\x01"), (12, b"\x06" * 4), (15, b"\x06" * 5)):
        for length in (52 - owed, 51):
            device = joined()
            device.send(rx1=device.net.down(commands))
            outcome = device.send(10, bytes(length), True)
            assert (outcome.sent, outcome.reason, outcome.room) == (False, reasons.ANSWERS, 51)
            up = device.ups[0]
            assert (up.port, len(up.data), up.fopts, up.phy[0]) == (0, owed, b"", 0x40)
            assert device.send(10, bytes(length)).sent
            assert (device.ups[0].port, device.ups[0].fopts, len(device.ups[0].data)) == (10, b"", length)


def test_size_08_answers_that_are_repeated_never_go_alone_twice():
    device = joined()
    device.send(rx1=device.net.down(b"\x08\x01"))
    assert device.send(10, bytes(51)).reason == reasons.ANSWERS
    outcome = device.send(10, bytes(51))
    assert (outcome.sent, outcome.reason, outcome.room) == (False, reasons.ROOM, 50)
    assert device.send(10, bytes(50)).sent
    assert device.ups[0].fopts == b"\x08"
