"""Certification scenarios: over-the-air activation (TS001-1.0.4, 6.2; RP002-1.0.3, 2.4). docs/lorawan.md lists them with their clauses."""

from lorawan import reasons
from lorawan.crypto import Key
from lorawan.mac import JOIN, Store, Transmit
from network import APP_KEY, CF_LIST, DEV_EUI, JOIN_EUI, NET_ID, Network, join_accept
from tester import NO_CF_LIST, Tester, Window, hz, joined

DEFAULT = {868100000, 868300000, 868500000}
JOIN_RX2 = Window(6, 869525000, 0)


def nonce(up):
    return up.phy[17] | up.phy[18] << 8


def refused(frame):
    """A frame in RX1 that is no join-accept for us: RX2 opens, and the accept that comes there counts."""
    device = Tester()
    assert device.join(frame, frame).reason == reasons.SILENCE
    assert device.windows[1] == JOIN_RX2
    assert not device.mac.joined
    assert device.join(frame, join_accept(1)).reason == ""
    assert device.mac.joined


def test_join_01_devnonce_counts_from_0():
    device = Tester()
    seen = []
    for _ in range(20):
        device.join()
        seen.append(nonce(device.ups[0]))
    assert seen == list(range(20))


def test_join_02_devnonce_survives_power_cuts():
    flash = {}
    seen = []
    for life in range(12):
        device = Tester(flash)
        device.now += device.mac.join_wait_ms(0)
        for action in device.mac.handle((JOIN,), device.now):
            if isinstance(action, Store):
                flash[action.name] = action.data
                if life % 3 == 2:
                    break  # the power fails between the writing and the sending
            elif isinstance(action, Transmit):
                seen.append(action.phy[17] | action.phy[18] << 8)
    assert seen == [0, 1, 3, 4, 6, 7, 9, 10], seen


def test_join_03_request_frame():
    device = Tester()
    device.join()
    phy = device.ups[0].phy
    assert len(phy) == 23
    assert phy[:1] == b"\x00"
    assert phy[1:9] == bytes(reversed(bytes.fromhex(JOIN_EUI)))
    assert phy[9:17] == bytes(reversed(bytes.fromhex(DEV_EUI)))
    assert phy[19:] == Key(bytes.fromhex(APP_KEY)).cmac(phy[:19])[:4]
    assert device.ups[0].eirp == 16


def test_join_04_requests_hop_over_the_default_channels():
    device = Tester()
    heard = []
    for _ in range(30):
        device.join()
        heard.append(device.ups[0].frequency)
    assert set(heard) == DEFAULT
    assert [heard.count(f) for f in DEFAULT if heard.count(f) < 5] == []


def test_join_05_accept_in_rx1():
    device = Tester()
    device.join(join_accept(1))
    assert device.mac.joined
    assert device.windows == [Window(5, device.ups[0].frequency, device.ups[0].dr)]


def test_join_06_accept_in_rx2():
    device = Tester()
    device.join(None, join_accept(1))
    assert device.mac.joined
    assert device.windows[1:] == [JOIN_RX2]


def test_join_07_session_keys_and_counters():
    device = Tester()
    device.join()
    device.join()
    device.join(join_accept(0x0A0B0C))
    device.net = Network(2, 0x0A0B0C)
    outcome = device.send(10, b"first", rx1=device.net.down(port=20, data=b"down"))
    assert (device.ups[0].fcnt, device.ups[0].data) == (0, b"first")
    assert outcome.received == [(20, b"down")]


def test_join_08_rx_delay_1_to_15():
    for delay in range(16):
        device = joined(rx_delay=delay)
        device.send()
        seconds = delay or 1
        assert [w.seconds for w in device.windows] == [seconds, seconds + 1]


def test_join_09_dl_settings():
    for offset in range(6):
        for dr in range(6):
            device = joined(settings=offset << 4 | dr)
            device.send(rx1=device.net.down(b"\x03\x50\xff\x00\x01"))
            device.send()
            assert device.ups[0].dr == 5
            assert device.windows[0].dr == 5 - offset
            assert device.windows[1] == Window(2, 869525000, dr)


def test_join_10_cf_list_channels_at_once():
    device = joined()
    assert device.channels() == DEFAULT | {867100000, 867300000, 867500000, 867700000, 867900000}
    device = joined(cf_list=NO_CF_LIST)
    assert device.channels(20) == DEFAULT


def test_join_11_cf_list_with_unusable_entries():
    mixed = hz(867100000) + hz(0) + hz(433100000) + hz(867700000) + hz(0) + b"\x00"
    assert joined(cf_list=mixed).channels() == DEFAULT | {867100000, 867700000}
    of_masks = CF_LIST[:15] + b"\x01"
    assert joined(cf_list=of_masks).channels(20) == DEFAULT


def test_join_12_accept_of_wrong_length():
    for frame in (join_accept(1, cf_list=NO_CF_LIST), join_accept(1)):
        for wrong in (b"", frame[:1], frame[:-1], frame[:-5], frame + b"\0", frame + frame):
            refused(wrong)


def test_join_13_accept_with_wrong_mic():
    good = join_accept(1)
    for place in (1, 4, 16, 17, 32):
        refused(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    refused(join_accept(1, app_key="00" * 16))


def test_join_14_frame_of_another_type():
    good = join_accept(1)
    for mhdr in (0x00, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0, 0x21, 0x22, 0x23):
        refused(bytes([mhdr]) + good[1:])
    refused(Network(0, 1).down(port=20, data=b"early"))


def test_join_15_reserved_bits_are_ignored():
    device = joined(settings=0x80 | 0x13, rx_delay=0xF3)
    device.send()
    assert device.windows[1] == Window(4, 869525000, 3)
    device = Tester()
    reserved = join_accept(1, mhdr=0x3C)
    assert device.join(reserved).reason == ""
    assert device.mac.joined


def test_join_16_replayed_accept():
    device = joined()
    for number in (0, 1):
        outcome = device.join(join_accept(number), join_accept(number))
        assert outcome.reason == reasons.SILENCE
        assert device.windows[1] == JOIN_RX2
        device.send(10, b"old session")  # the MIC is checked with the old keys
        assert device.ups[0].data == b"old session"
    reborn = device.again()
    assert reborn.join(join_accept(1)).reason == reasons.SILENCE
    number = nonce(reborn.ups[0])
    reborn.join(join_accept(2))
    reborn.net, reborn.next_fcnt = Network(number + 1, 2), 0
    reborn.send(10, b"new session")
    assert reborn.ups[0].data == b"new session"


def test_join_17_unanswered_rejoin_keeps_the_session():
    device = joined()
    device.send()
    for _ in range(3):
        device.join()
    device.send(10, b"goes on", rx1=device.net.down())
    assert (device.ups[0].fcnt, device.ups[0].data) == (1, b"goes on")


def test_join_18_accept_begins_anew_with_default_settings():
    device = joined()
    changes = b"\x03\x53\x0f\x00\x03" + b"\x05\x23" + hz(869100000) + b"\x08\x05"
    device.send(rx1=device.net.down(changes))
    device.send(rx1=device.net.down(b"\x04\x02\x07\x08" + hz(868800000) + b"\x50"))
    device.join(join_accept(2, cf_list=NO_CF_LIST))
    device.net, device.next_fcnt = Network(1, 2), 0
    device.send(10, b"x")
    up = device.ups[0]
    assert (up.fcnt, up.dr, up.eirp, up.fopts, len(device.ups)) == (0, 0, 16, b"", 1)
    assert device.windows == [Window(1, up.frequency, 0), Window(2, 869525000, 0)]
    assert device.channels(20) == DEFAULT


HOUR = 3600000


def spent(hours):
    """Milliseconds on air by periods (from, to; in hours) of a device that nobody answers, and the times of its requests."""
    device = Tester(seed=7)
    while device.now < hours[-1][1] * HOUR:
        device.join()
    return [
        sum([air for at, air, _ in device.log if low * HOUR <= at < high * HOUR]) for low, high in hours
    ], device.log


def test_join_19_first_hour_under_36_s():
    (air,), _ = spent([(0, 1)])
    assert 18000 < air < 36000, air


def test_join_20_next_ten_hours_under_36_s():
    (air,), _ = spent([(1, 11)])
    assert 18000 < air < 36000, air


def test_join_21_each_day_after_under_8700_ms():
    days, _ = spent([(11 + 24 * n, 35 + 24 * n) for n in range(4)])
    assert [air for air in days if not 2000 < air < 8700] == [], days


def test_join_22_spacing_is_random_and_differs_between_devices():
    times = []
    for seed in (1, 2):
        device = Tester(seed=seed)
        for _ in range(12):
            device.join()
        at = [t for t, _, _ in device.log]
        times.append([b - a for a, b in zip(at, at[1:])])
    assert len(set(times[0])) == len(times[0])
    assert [1 for a, b in zip(*times) if a == b] == []


def test_join_23_back_off_is_told_and_kept():
    device = Tester()
    device.join()
    wait = device.mac.join_wait_ms(device.now)
    assert wait > 0
    assert device.exchange((JOIN,)).reason == reasons.BACKOFF
    assert device.ups == []
    slept = device.again(device.mac.session())
    assert slept.mac.join_wait_ms(slept.now) == wait
    slept.now += wait
    assert slept.exchange((JOIN,)).sent


def test_join_24_devnonces_used_up():
    device = Tester()
    device.join()
    record = bytearray(device.flash["nonce"])
    record[5:9] = b"\xff\xff\0\0"  # as if 65,535 had gone before
    device.flash["nonce"] = bytes(record)
    device = device.again()
    device.join()
    assert nonce(device.ups[0]) == 0xFFFF
    for reborn in (device, device.again()):
        assert reborn.join().reason == reasons.NONCES
        assert reborn.ups == []


def test_join_25_net_id_is_part_of_the_keys():
    assert NET_ID != b"\0\0\0"
    device = Tester()
    device.join(join_accept(1, net_id=b"\x01\x02\x03"))
    device.net = Network(0, 1, b"\x01\x02\x03")
    device.send(10, b"keys")
    assert device.ups[0].data == b"keys"


def test_join_26_windows_of_a_rejoin_are_those_of_a_join():
    device = joined(settings=0x55, rx_delay=9)
    moves = b"".join([bytes([10, index]) + hz(869100000) for index in range(3)])
    device.send(rx1=device.net.down(moves))
    for _ in range(6):
        device.join()
        up = device.ups[0]
        assert device.windows == [Window(5, up.frequency, up.dr), JOIN_RX2]


def test_join_27_accept_ends_the_silence_of_the_old_session():
    device = joined()
    device.answers(b"\x04\x0f")
    assert device.mac.wait_ms(device.now) > HOUR
    device.join(join_accept(2))
    device.net, device.next_fcnt = Network(1, 2), 0
    assert device.mac.wait_ms(device.now) == 0
    assert device.send(10, b"x").sent
