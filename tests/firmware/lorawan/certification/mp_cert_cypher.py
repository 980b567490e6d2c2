"""Certification scenarios: encryption, MIC and frame counters (TS001-1.0.4, 4.3 and 4.4). docs/lorawan.md lists them with their clauses."""

from lorawan import reasons
from lorawan.crypto import DOWN, UP, crypt, data_mic
from network import DEV_ADDR
from tester import ACK, downlink, joined, sealed

BOUNDARIES = (0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 50, 51)


def text(length):
    return bytes([n * 7 & 0xFF for n in range(length)])


def test_cypher_01_uplink_payload_of_every_length_at_dr0():
    device = joined()
    for length in range(52):
        device.send(10, text(length), rx1=device.net.down())
        up = device.ups[0]
        assert (up.port, up.data) == (10, text(length))
        assert len(up.phy) == 13 + length


def test_cypher_02_uplink_payload_up_to_242_bytes():
    device = joined()
    device.send(rx1=device.net.down(b"\x03\x5f\xff\x00\x01"))
    device.send(rx1=device.net.down())
    for length in (63, 64, 65, 127, 128, 129, 191, 192, 193, 239, 240, 241, 242):
        device.send(223, text(length), rx1=device.net.down())
        assert device.ups[0].data == text(length)


def test_cypher_03_downlink_payload_of_every_length():
    device = joined()
    for length in range(52):
        outcome = device.send(None, b"", rx1=device.net.down(port=20, data=text(length)))
        assert outcome.received == [(20, text(length))], length


def test_cypher_04_port_0_is_under_the_network_key():
    device = joined()
    five = b"\x06" * 5 + b"\x04\x00"  # 16 bytes of answers: too many for FOpts
    device.send(rx1=device.net.down(port=0, data=five))
    device.send(None, b"")
    up = device.ups[0]
    assert up.port == 0  # read with NwkSKey
    assert up.data == b"\x06\xff\x07" * 5 + b"\x04"
    net = device.net
    as_data = bytes([0]) + crypt(net.app, b"\x08\x05", DOWN, DEV_ADDR, net.fcnt)
    device.send(rx1=downlink(net, body=as_data))
    device.send()
    assert device.windows[0].seconds == 1


def test_cypher_05_fopts_are_plain():
    device = joined()
    device.mac.ask_link_check()
    device.send(rx1=device.net.down(b"\x06"))
    assert device.ups[0].phy[8:9] == b"\x02"
    device.send()
    assert device.ups[0].phy[8:11] == b"\x06\xff\x07"


def test_cypher_06_mic_covers_the_32_bit_counter():
    device = joined()
    device.at_counter(up=0x30005, down=0x50007)
    outcome = device.send(10, b"high", rx1=device.net.down(port=20, data=b"high"))
    phy = device.ups[0].phy
    assert device.ups[0].fcnt == 0x30005
    assert phy[-4:] != data_mic(device.net.nwk, phy[:-4], UP, DEV_ADDR, 5)
    assert outcome.received == [(20, b"high")]


def test_cypher_07_downlink_sealed_over_the_low_half_only():
    device = joined()
    device.at_counter(down=0x50007)
    frame = downlink(device.net, fcnt=7, body=sealed(device.net, 20, b"low", fcnt=7))
    assert device.send(rx1=frame, rx2=frame).received == []


def test_cypher_08_direction_is_part_of_the_mic():
    device = joined()
    mirrored = downlink(device.net, fcnt=0, body=sealed(device.net, 20, b"up"), direction=UP)
    outcome = device.send(rx1=mirrored)
    assert (outcome.downlink, len(device.windows)) == (False, 2)


def test_cypher_09_the_same_payload_never_looks_the_same():
    device = joined()
    seen = set()
    for _ in range(10):
        device.send(10, text(32))
        seen.add(device.ups[0].phy[9:-4])
    assert len(seen) == 10


def test_cypher_10_every_bit_of_a_downlink_is_covered():
    device = joined()
    good = device.net.down(b"\x08\x05", 20, b"sealed")
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit >> 3] ^= 1 << (bit & 7)
        outcome = device.send(None, b"", rx1=bytes(bad))
        assert not outcome.downlink, bit
        assert [w.seconds for w in device.windows] == [1, 2]
    assert device.send(rx1=good).received == [(20, b"sealed")]


# --- counters


def test_fcnt_01_each_new_frame_counts_one():
    device = joined()
    seen = []
    for n in range(10):
        device.send(None if n % 2 else 10, b"", confirmed=n % 3 == 0)
        seen.append(device.ups[0].fcnt)
    assert seen == list(range(10))


def over(device, first, frames=4):
    device.at_counter(up=first)
    seen = []
    for _ in range(frames):
        device.send(10, b"roll")
        assert device.ups[0].data == b"roll"
        seen.append(device.ups[0].fcnt)
    return seen


def test_fcnt_02_up_over_0xffff():
    assert over(joined(), 0xFFFE) == [0xFFFE, 0xFFFF, 0x10000, 0x10001]


def test_fcnt_03_up_over_0x1ffff():
    assert over(joined(), 0x1FFFE) == [0x1FFFE, 0x1FFFF, 0x20000, 0x20001]


def down_over(device, first):
    device.at_counter(down=first)
    for n in range(4):
        outcome = device.send(None, b"", rx1=device.net.down(port=20, data=bytes([n])))
        assert outcome.received == [(20, bytes([n]))], n
    assert device.net.fcnt == first + 4
    # and what was sent before the rollover is not taken again
    for old in (first, first + 1, first + 3):
        assert device.send(rx1=device.net.down(port=20, data=b"old", fcnt=old)).received == []


def test_fcnt_04_down_over_0xffff():
    down_over(joined(), 0xFFFE)


def test_fcnt_05_down_over_0x1ffff():
    down_over(joined(), 0x1FFFE)


def test_fcnt_06_rollover_with_frames_lost_about_it():
    device = joined()
    device.at_counter(down=0xFFF0)
    for fcnt in (0xFFF8, 0x10020, 0x1FFF0, 0x2000F, 0x2FFFF, 0x3FFFE):
        device.net.fcnt = fcnt
        assert device.send(None, b"", rx1=device.net.down(port=20, data=b"x")).received, hex(fcnt)


def test_fcnt_07_any_gap_below_65536_is_bridged():
    device = joined()
    fcnt = 0
    for gap in (1, 2, 16383, 16384, 16385, 40000, 65535):
        fcnt += gap
        device.net.fcnt = fcnt
        assert device.send(rx1=device.net.down(port=20, data=b"gap")).received, gap


def test_fcnt_08_first_downlink_need_not_be_0():
    device = joined()
    device.net.fcnt = 9
    assert device.send(rx1=device.net.down(port=20, data=b"first")).received
    assert device.send(rx1=device.net.down(port=20, data=b"old", fcnt=8)).received == []


def test_fcnt_09_replay_is_dropped():
    device = joined()
    once = device.net.down(b"\x08\x02", 20, b"once", confirmed=True)
    assert device.send(rx1=once).received == [(20, b"once")]
    device.send(rx1=device.net.down())
    outcome = device.send(rx1=once, rx2=once)
    assert (outcome.received, outcome.downlink) == ([], False)
    assert [w.seconds for w in device.windows] == [2, 3]
    device.send()
    assert not device.ups[0].fctrl & ACK
    assert device.ups[0].fopts == b""


def test_fcnt_10_older_frame_is_dropped():
    device = joined()
    early = device.net.down(port=20, data=b"early")
    assert device.send(rx1=device.net.down(port=20, data=b"late")).received == [(20, b"late")]
    assert device.send(rx1=early, rx2=early).received == []


def test_fcnt_11_refused_frames_leave_the_counter():
    device = joined()
    for _ in range(3):
        device.send(rx1=downlink(device.net, fcnt=500, body=b"\x14bad")[:-1] + b"\0")
    assert device.send(rx1=device.net.down(port=20, data=b"0")).received == [(20, b"0")]


def test_fcnt_12_the_last_counter_ends_the_session():
    device = joined()
    device.at_counter(up=0xFFFFFFFD, down=0xFFFFFFFD)
    for last in (0xFFFFFFFD, 0xFFFFFFFE):
        down = device.net.down(port=20, data=b"last")
        assert device.send(10, b"last", rx1=down).received == [(20, b"last")]
        assert device.ups[0].fcnt == last
    for reborn in (device, device.again(device.mac.session()), device.again()):
        outcome = reborn.send()
        assert (outcome.sent, outcome.reason, reborn.ups) == (False, reasons.COUNTER, [])
