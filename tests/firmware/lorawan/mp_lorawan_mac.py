"""The Mac's behaviour once there is a session, one scenario a test: counters, commands, ADR, repetition, duty cycle, sizes, power loss."""

from struct import pack

from lorawan import airtime, eu868, reasons
from lorawan.mac import HEARD, JOIN, SEND, SENT, Listen, Store, Transmit
from network import Device, join_accept, joined


def nonce_of(phy):
    return phy[17] | phy[18] << 8


def hz(frequency):
    return pack("<I", frequency // 100)[:3]


# --- frames and counters


def test_uplink_bytes_and_windows():
    device, net = joined()
    device.mac.ask_time()
    assert device.mac.room() == 50
    assert device.send(10, b"hello").sent
    assert net.read(device.sent[-1].phy, 0) == (0x80, b"\x0d", 10, b"hello")
    assert device.heard[-2].frequency == device.sent[-1].frequency
    device.send(None, b"")
    assert net.read(device.sent[-1].phy, 1) == (0x80, b"", None, b"")


def test_every_bit_of_a_downlink_guards_the_state():
    device, net = joined()
    good = net.down(b"\x03\x50\xff\x00\x01\x06", 20, b"open")
    device.send()
    before = device.mac._state.dump(True)
    puts = device.puts
    refused = 0
    device.now += device.mac.wait_ms(device.now)
    mac = device.mac
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit >> 3] ^= 1 << (bit & 7)
        # by hand, so that the frame reaches both windows of one uplink
        assert mac._accept_data(device.now, bytes(bad), 7) is None, bit
        refused += 1
    mac._state.faults = [0] * len(mac._state.faults)
    assert mac._state.dump(True) == before
    assert device.puts == puts
    assert refused == 8 * len(good)
    outcome = device.send(rx1=good)
    assert outcome.received == [(20, b"open")]
    assert device.mac._state.dr == 5


def test_bad_frame_in_rx1_leaves_rx2_alive():
    device, net = joined()
    for bad in (b"", b"\x60", bytes(12), net.down(port=5, data=b"no")[:-1] + b"\0", lambda phy: phy, bytes(200)):
        good = net.down(port=20, data=b"yes")
        outcome = device.send(rx1=bad, rx2=good)
        assert outcome.received == [(20, b"yes")], bad
        assert not outcome.reason


def test_echo_replay_and_old_counter_are_dropped():
    device, net = joined()
    frame = net.down(port=20, data=b"once")
    assert device.send(rx1=frame).received
    assert device.send(rx1=frame).received == []
    assert device.send(rx1=frame, rx2=frame).received == []


def test_downlink_counter_rolls_over_at_16_bits():
    device, net = joined()
    for fcnt in (0, 5, 0xFFFF, 0x10000, 0x1FFFF, 0x20000, 0x20007):
        net.fcnt = fcnt
        assert device.send(rx1=net.down(port=20, data=b"x")).received, hex(fcnt)
        assert device.mac._state.next_fcnt_down == fcnt + 1
    device.mac._state.next_fcnt_down = net.fcnt = 0xFFFFFFFF
    assert device.send(rx1=net.down(port=20, data=b"x")).received == [], "the counter after it would not fit the record"


def test_uplink_counter_rolls_over_and_ends():
    device, net = joined()
    state = device.mac._state
    for fcnt in (0xFFFF, 0x10000, 0x1FFFF, 0xFFFFFFFE):
        state.fcnt_up = fcnt
        device.send(10, b"x")
        assert net.read(device.sent[-1].phy, fcnt)[3] == b"x"
    assert device.send().reason == reasons.COUNTER


def test_fopts_with_port_0_is_discarded_whole():
    device, net = joined()
    device.send(rx1=net.down(b"\x06", 0, b"\x06"))
    assert device.mac._state.owed == b""
    assert device.mac.faults["form"] == 1


def test_commands_on_port_0():
    device, net = joined()
    device.send(rx1=net.down(port=0, data=b"\x06\x08\x02"), snr=-12)
    device.send(10, b"x")
    assert net.read(device.sent[-1].phy, 1)[1] == b"\x06\xff\x34\x08"
    assert device.mac._state.rx_delay == 2


def test_confirmed_both_ways():
    device, net = joined()
    outcome = device.send(confirmed=True)
    assert outcome.sent
    assert outcome.reason == reasons.SILENCE
    assert device.sent[-1].phy[0] == 0x80
    assert not outcome.downlink
    outcome = device.send(confirmed=True, rx1=net.down(fctrl=0xA0))
    assert outcome.reason == ""
    assert outcome.downlink
    assert device.send(confirmed=True, rx1=net.down(fctrl=0x80)).reason == reasons.SILENCE
    device.send(rx1=net.down(port=20, data=b"c", confirmed=True, fctrl=0x90))
    assert device.mac.pending
    device.send()
    assert device.sent[-1].phy[5] == 0xA0
    assert not device.mac.pending
    device.send()
    assert device.sent[-1].phy[5] == 0x80


def test_adr_off():
    device, net = joined()
    device.mac.use_data_rate(3)
    assert not device.mac.adr
    for _ in range(200):
        device.send()
    assert device.sent[-1].sf == 9
    assert net.read(device.sent[-1].phy, 199)[0] == 0, "neither ADR nor ADRACKReq"
    assert device.mac._state.adr_count == 0
    device.send(rx1=net.down(bytes([3, 0x51, 0x03, 0, 1])))
    device.send()
    assert net.read(device.sent[-1].phy, 201)[1] == b"\x03\x01", "the mask alone is taken"
    assert (device.mac._state.mask, device.mac._state.dr, device.mac._state.power) == (3, 3, 0)
    device.send(rx1=net.down(bytes([3, 0x51, 0, 0xFF, 1])))
    device.send()
    assert net.read(device.sent[-1].phy, 203)[1] == b"\x03\x00"
    assert device.mac._state.mask == 3
    try:
        device.mac.use_data_rate(6)
        raise AssertionError("DR6 was taken")
    except ValueError as error:
        assert "DR6" in str(error)


def test_behind_a_repeater_payloads_are_shorter():
    device, _net = joined()
    rooms = []
    for dr in range(6):
        device.mac._state.dr = dr
        device.mac.repeater = False
        longest = device.mac.room()
        device.mac.repeater = True
        rooms.append((longest, device.mac.room()))
    assert rooms == [(51, 51), (51, 51), (51, 51), (115, 115), (242, 222), (242, 222)]
    assert device.send(data=bytes(223)).room == 222
    assert device.send(data=bytes(222)).reason == ""


def test_not_joined_and_ports():
    device = Device()
    assert device.run((SEND, 10, b"x", False)).reason == reasons.NOT_JOINED
    assert device.mac.room() == 0
    device, _net = joined()
    for port, data in ((0, b"x"), (224, b"x"), (None, b"x"), (300, b"x")):
        outcome = device.run((SEND, port, data, False))
        assert outcome.reason == reasons.PORT
        assert not outcome.sent
    assert device.mac._state.fcnt_up == 0


def test_event_out_of_place_is_named():
    device = Device()
    try:
        device.mac.handle((SENT, 0), 0)
    except ValueError as error:
        assert "'sent' in state idle" in str(error)
    else:
        raise AssertionError("taken")


# --- sizes


def test_payload_limit_is_named_by_data_rate():
    device, _net = joined()
    for dr, limit in enumerate((51, 51, 51, 115, 242, 242)):
        device.mac._state.dr = dr
        outcome = device.send(10, bytes(limit + 1))
        assert not outcome.sent
        assert outcome.reason == reasons.ROOM
        assert outcome.room == limit
        assert device.send(10, bytes(limit)).sent
        assert len(device.sent[-1].phy) == limit + 13


def test_room_beside_0_2_12_and_17_bytes_of_answers():
    for commands, owed, room in ((b"", 0, 51), (b"\x03\x50\xff\x00\x01", 2, 49), (b"\x06" * 4, 12, 39)):
        device, net = joined()
        device.send(rx1=net.down(commands))
        device.mac._state.dr = 0
        assert len(device.mac._state.owed) == owed
        assert device.mac.room() == room
        outcome = device.send(10, bytes(52))
        assert (outcome.reason, outcome.room) == (reasons.ROOM, room)
        assert device.send(10, bytes(room)).reason == ""
        assert len(device.sent[-1].phy) == 64
    for stats, adrs, room in ((0, 1, 49), (4, 0, 39), (5, 1, 51)):
        device, net = joined()
        device.send(rx1=net.down(port=0, data=b"\x06" * stats + b"\x03\x0f\xff\x00\x01" * adrs))
        assert len(device.mac._state.owed) == 3 * stats + 2 * adrs
        assert device.mac.room() == room
        outcome = device.send(10, bytes(51))
        assert outcome.reason == reasons.ANSWERS
        assert not outcome.sent
        assert net.read(device.sent[-1].phy, 1)[1:] == (b"", 0, b"\x06\xff\x07" * stats + b"\x03\x07" * adrs)
        outcome = device.send(10, bytes(51))
        assert outcome.sent
        assert net.read(device.sent[-1].phy, 2)[1:] == (b"", 10, bytes(51))


def test_answers_without_end_are_cut_at_a_command():
    device, net = joined()
    device.mac._state.dr = 5
    device.send(rx1=net.down(port=0, data=b"\x06" * 200))
    assert device.mac._state.owed == b"\x06\xff\x07" * 17
    assert len(device.mac.session()) <= 400


# --- repetition and ADR


def test_nbtrans_repeats_the_same_frame_until_a_downlink():
    device, net = joined()
    device.send(rx1=net.down(b"\x03\x5f\xff\x00\x03"))
    sent = len(device.sent)
    device.send(10, b"three")
    frames = device.sent[sent:]
    assert len(frames) == 3
    assert len({f.phy for f in frames}) == 1
    count = [0]

    def second_time(phy):
        count[0] += 1
        return net.down() if count[0] == 2 else None

    sent = len(device.sent)
    device.send(10, b"two", rx1=second_time)
    assert len(device.sent) - sent == 2
    for _ in range(10):
        device.send(10, b"hop")
    assert len({f.frequency for f in device.sent}) == 8
    # 32 frames went out, 13 of them new
    assert device.mac._state.fcnt_up == 13
    assert device.mac._state.adr_count == 10


def test_adr_back_off_step_by_step():
    device, net = joined()
    device.send(rx1=net.down(b"\x03\x52\xf8\x00\x02"))  # DR5, TXPower 2, channels 3..7, NbTrans 2
    expected = {
        0: (0x80, 5, 2),
        63: (0x80, 5, 2),
        64: (0xC0, 5, 2),
        95: (0xC0, 5, 2),
        96: (0xC0, 5, 0),
        128: (0xC0, 4, 0),
        160: (0xC0, 3, 0),
        256: (0xC0, 0, 0),
        287: (0xC0, 0, 0),
    }
    state = device.mac._state
    for n in range(289):
        if n in expected:
            _bits, dr, power = expected[n]
            assert (state.dr, state.power) == (dr, power), n
            assert state.nb_trans == 2 and state.mask == 0xF8, n
        device.send(None, b"")
        if n in expected:
            assert device.sent[-1].phy[5] & 0xF0 == expected[n][0], n
    assert state.nb_trans == 1
    assert state.mask == 0xFF
    device.send(rx1=net.down())
    assert state.adr_count == 0
    assert state.dr == 0
    device.send()
    assert device.sent[-1].phy[5] & 0x40 == 0


# --- duty cycle


def test_duty_cycle_over_any_hour():
    device, _net = joined(cf_list=b"")
    start = device.now
    log = [(start - 4000, 1483)]
    for _ in range(60):
        device.send(10, bytes(51))
        air = (airtime.on_air_us(64, 12, 125000) + 999) // 1000
        log.append((device.now, air))
    assert device.now - start > 3600000
    for at, _ in log:
        # an hour, as an RTC that runs 5 % fast in deep sleep counts it
        assert sum([air for t, air in log if at - 3780000 < t <= at]) <= 36000


def test_a_full_hour_is_waited_for_whenever_its_budget_was_spent():
    for at in (0, 1, 599999, 600000, 1199999):
        budget = airtime.Budget(eu868.BANDS)
        budget.book(868100000, 36000, at)
        assert 3780000 <= budget.wait_ms(868100000, 1, at) <= 4800000, at
        assert budget.wait_ms(867100000, 1, at) == 0, "another sub-band has its own share"


def test_send_against_the_duty_cycle_is_refused_and_wait_is_told():
    device, _net = joined(cf_list=b"")
    while not device.mac.wait_ms(device.now):
        device.run((SEND, 10, bytes(51), False))
    outcome = device.run((SEND, 10, bytes(51), False))
    fcnt = device.mac._state.fcnt_up
    assert outcome.reason == reasons.DUTY
    assert not outcome.sent
    wait = device.mac.wait_ms(device.now)
    assert 0 < wait < 4800000
    # deep sleep keeps the books, a power loss begins anew
    assert Device(device.flash, device.mac.session(), device.now).mac.wait_ms(device.now) == wait
    device.now += wait
    assert device.run((SEND, 10, bytes(51), False)).sent
    # the counter of the refused frame was not sent; it is skipped rather than used for other bytes
    assert device.mac._state.fcnt_up == fcnt + 1


def test_a_repetition_that_the_duty_cycle_forbids_is_left_out_and_the_frame_counts_as_sent():
    device, net = joined()
    device.send(rx1=net.down(b"\x03\x0f\xff\x00\x03\x04\x0a"))
    for confirmed, reason in ((False, ""), (True, reasons.SILENCE)):
        device.now += device.mac.wait_ms(device.now)
        count, sent = device.mac._state.adr_count, len(device.sent)
        outcome = device.run((SEND, 10, b"x", confirmed))
        assert (outcome.sent, outcome.reason) == (True, reason)
        assert len(device.sent) == sent + 1
        assert device.mac._state.adr_count == count + 1


def test_duty_cycle_is_that_of_the_uplink_wherever_rx1_is():
    device, net = joined(cf_list=b"")
    device.send(rx1=net.down(b"".join([bytes([0x0A, i]) + hz(869525000) for i in range(3)])))
    device.send(rx1=net.down())
    assert device.heard[-1].frequency == 869525000
    device.mac._budget.book(868100000, 36000, device.now)
    assert device.mac.wait_ms(device.now) > 3000000
    assert device.run((SEND, 10, b"x", False)).reason == reasons.DUTY
    device.mac._budget.slots.clear()
    device.mac._budget.book(869525000, 360000, device.now)
    assert device.run((SEND, 10, b"x", False)).sent


def test_a_clock_that_is_set_back_voids_nothing_that_was_booked():
    for back in (1, 599999, 3600000, 80 * 365 * 86400000):
        for asleep in (False, True):
            device, net = joined(cf_list=b"")
            device.now += 90 * 365 * 86400000  # somebody had set it forward
            device.send(rx1=net.down(b"\x04\x0c"))
            device.send()
            silence = device.mac.wait_ms(device.now)
            assert silence > 4800000
            device.mac._budget.book(868100000, 36000, device.now)
            if asleep:
                device = Device(device.flash, device.mac.session())
                device.now = device.mac._state.now
            device.now -= back
            assert device.mac.wait_ms(device.now) == silence
            assert 3780000 <= device.mac._budget.wait_ms(868100000, 1, device.now) <= 4800000
            device.now += silence
            assert device.mac.wait_ms(device.now) == 0


def test_duty_cycle_req_silence():
    device, net = joined()
    device.send(rx1=net.down(b"\x04\x0a"))
    assert device.mac._state.max_duty == 10
    device.send(None, b"")
    air = (airtime.on_air_us(12, 12, 125000) + 999) // 1000
    silence = device.mac.wait_ms(device.now)
    assert air * 1023 * 21 // 20 - 5000 < silence <= air * 1024 * 21 // 20, silence
    assert net.read(device.sent[-1].phy, 1)[1] == b"\x04"


# --- persistence


def test_power_loss_at_each_put_never_repeats_a_counter():
    """The power fails before or just after each of the first puts: no DevNonce and no FCntUp goes out twice."""
    for cut in range(12):
        for after in (False, True):
            flash = {}
            seen = set()
            nonces = set()
            session = 0
            boots = 0
            puts = 0
            device = Device(flash)
            while len(seen) < 200:
                event = (SEND, 10, b"x", False) if device.mac.joined else (JOIN,)
                device.now += device.mac.wait_ms(device.now)
                step = event
                lost = False
                while step and not lost:
                    following = None
                    for action in device.mac.handle(step, device.now):
                        if isinstance(action, Store):
                            puts += 1
                            if puts == cut + 1 and not after:
                                lost = True
                                break
                            flash[action.name] = action.data
                            if puts == cut + 1 and after:
                                lost = True
                                break
                        elif isinstance(action, Transmit):
                            device.now += 3000
                            following = (SENT, 0)
                            if event[0] == JOIN:
                                nonce = nonce_of(action.phy)
                                assert nonce not in nonces, (cut, after)
                                nonces.add(nonce)
                                session = nonce
                            else:
                                key = (device.mac._state.nwk_key.key, action.phy[6] | action.phy[7] << 8)
                                assert key not in seen, (cut, after)
                                seen.add(key)
                        elif isinstance(action, Listen):
                            answer = join_accept(100 + session) if event[0] == JOIN else None
                            following = (HEARD, answer, 5) if answer else ("closed",)
                    step = following
                if lost:
                    boots += 1
                    device = Device(flash)
            assert len(nonces) <= 2, "one power loss costs one join at most"


def test_restart_from_flash_skips_the_reserved_block_only():
    device, net = joined()
    for _ in range(10):
        device.send()
    device.send(rx1=net.down(b"\x05\x13\xd2\xad\x84", 20, b"set"))
    again = Device(device.flash)
    assert again.mac.joined
    assert again.mac._state.fcnt_up == 64
    assert again.mac._state.rx2_dr == 3
    assert again.mac._state.rx1_offset == 1
    again.send(10, b"after")
    assert net.read(again.sent[-1].phy, 64)[3] == b"after"
    # what came before the power loss is not taken again
    net.fcnt = 0
    assert again.send(rx1=net.down(b"\x05\x13\xd2\xad\x84", 20, b"set")).received == []


def test_flash_is_written_once_a_block_and_once_a_downlink():
    device, net = joined()
    puts = device.puts
    for _ in range(128):
        device.send()
    assert device.puts - puts == 1
    device.send(rx1=net.down())
    assert device.puts - puts == 3  # the third block began


def test_deep_sleep_keeps_everything():
    device, net = joined()
    device.send(rx1=net.down(b"\x05\x13\xd2\xad\x84\x07\x08" + hz(868800000) + b"\x50", 20, b"x", confirmed=True))
    device.send(rx1=None)
    before = device.mac.session()
    again = Device(device.flash, before, device.now)
    assert again.mac.session() == before
    assert again.mac._state.repeat
    assert again.mac._state.owed == b"\x05\x07"
    assert len(before) <= 400


def test_session_is_never_longer_than_411_bytes():
    device, _net = joined()
    state = device.mac._state
    state.channels = [state.channels[0]] * 16
    state.owed = b"\x06\xff\x07" * 17
    for slot in range(12):
        device.now = slot * 600000
        device.mac.wait_ms(device.now)
        for low, _high, _mille in eu868.BANDS:
            device.mac._budget.book(low, 1000, device.now)
    assert len(device.mac.session()) == 411
    device.mac.handle((SEND, 0, b"", False), device.now + 600000)
    assert len(device.mac.session()) == 411 - 18, "a slot whose time is over"


def test_a_long_sleep_leaves_nothing_booked():
    device, _net = joined(cf_list=b"")
    while not device.mac.wait_ms(device.now):
        device.run((SEND, 10, bytes(51), False))
    for slots in (9, 31, 32, 33, 64, 200 * 144):
        mac = Device(device.flash, device.mac.session(), device.now).mac
        later = device.now + 600000 * slots
        assert mac.handle((SEND, 0, b"", False), later)[0].outcome.reason == reasons.PORT
        assert Device(device.flash, mac.session(), later).mac.wait_ms(later) == 0, slots
