"""Joining and personalisation: nonces, pace, what a join-accept sets."""

from lorawan import eu868, reasons
from lorawan.crypto import UP, Key, data_mic
from lorawan.mac import FAILED, HEARD, JOIN, SENT, Mac, Store, Transmit
from network import AIR, APP_KEY, DEV_EUI, JOIN_EUI, Device, Entropy, join_accept, joined


def nonce_of(phy):
    return phy[17] | phy[18] << 8


def test_fifty_resets_between_request_and_accept_give_fifty_nonces():
    flash = {}
    seen = []
    for _ in range(50):
        device = Device(flash, now=0)
        device.now += device.mac.wait_ms(0)
        for action in device.mac.handle((JOIN,), device.now):
            if isinstance(action, Store):
                flash[action.name] = action.data
            elif isinstance(action, Transmit):
                seen.append(nonce_of(action.phy))  # power is cut here, before any answer
    assert seen == list(range(50)), seen


def test_join_parameters():
    device, _net = joined(settings=0x23, rx_delay=3)
    state = device.mac._state
    assert (state.rx1_offset, state.rx2_dr, state.rx_delay) == (2, 3, 3)
    first = device.heard[0]
    assert first.delay_us == 5000000
    assert first.sf == 7
    assert first.frequency == device.sent[0].frequency
    assert device.sent[0].eirp == 16
    assert device.sent[0].sf == 7
    device.send()
    assert device.sent[1].sf == 12, "a session begins at the default data rate"
    assert device.heard[1].delay_us == 3000000
    assert device.heard[2].delay_us == 4000000
    assert (device.heard[2].frequency, device.heard[2].sf) == (869525000, 9)


def test_accept_in_rx2_and_settings_that_the_region_does_not_know():
    device = Device()
    outcome = device.join(None, join_accept(1, settings=0x7F, rx_delay=0, cf_list=b""))
    assert outcome.sent
    assert device.mac.joined
    state = device.mac._state
    assert (state.rx1_offset, state.rx2_dr, state.rx_delay) == (0, 0, 1)
    assert state.mask == 7
    assert (device.heard[1].delay_us, device.heard[1].frequency, device.heard[1].sf) == (6000000, 869525000, 12)


def test_join_nonce_must_grow():
    device, _net = joined()
    keys = device.mac._state.nwk_key.key
    for nonce in (0, 1):
        outcome = device.join(join_accept(nonce))
        assert outcome.reason == reasons.SILENCE
        assert device.mac._state.nwk_key.key == keys
    assert device.mac.faults["join_nonce"] == 2
    assert device.join(join_accept(2)).reason == ""
    assert device.mac._state.nwk_key.key != keys


def test_foreign_accept_leaves_rx2_alive():
    device = Device()
    foreign = join_accept(1, app_key="00" * 16)
    assert device.join(foreign, join_accept(1)).reason == ""
    assert device.mac.joined


def test_join_pace_keeps_the_limits_of_the_hours():
    """7 Retransmissions back-off: 36 s in the first hour, 36 s in the next ten, 8.7 s in each day after."""
    device = Device()
    times = []
    while device.now < 4 * 86400000:
        assert device.join().reason == reasons.SILENCE
        sf = device.sent[-1].sf
        times.append((device.now - AIR[sf] - 2000, {7: 62, 9: 206, 12: 1483}[sf]))

    def spent(start, end):
        return sum([air for t, air in times if start <= t < end])

    hour = 3600000
    assert 20000 < spent(0, hour) < 36000, spent(0, hour)
    assert 0 < spent(hour, 11 * hour) < 36000, spent(hour, 11 * hour)
    for day in range(3):
        on_air = spent((11 + 24 * day) * hour, (35 + 24 * day) * hour)
        assert 0 < on_air < 8700, (day, on_air)
    for start, _air in times:
        assert spent(start, start + hour) < 36000, "the first hour's limit holds for every hour"
    gaps = [b[0] - a[0] for a, b in zip(times, times[1:])]
    assert len(set(gaps)) > len(gaps) - 5, "spacing is random"


def test_join_requests_go_round_the_data_rates_and_channels():
    device = Device()
    for _ in range(12):
        device.join()
    assert [t.sf for t in device.sent] == [7, 9, 12] * 4
    assert [w.sf for w in device.heard[:6]] == [7, 12, 9, 12, 12, 12]
    for a, b in zip(device.sent, device.sent[1:]):
        assert a.frequency != b.frequency
    # a restart does not begin anew with the quickest
    again = Device(device.flash)
    again.join()
    again.join()
    assert [t.sf for t in again.sent] == [7, 9]
    assert again.now > 1000


def test_back_off_outlives_power_loss_and_deep_sleep():
    device = Device()
    for _ in range(72):
        device.join()
    wait = device.mac.wait_ms(device.now)
    assert wait > 600000
    assert device.run((JOIN,)).reason == reasons.BACKOFF
    slept = Device(device.flash, device.mac.session(), device.now)
    assert slept.mac.wait_ms(device.now) == wait
    # a power loss: the RTC begins at 0; boots that die at once add no join-request without a wait, most of the time
    waits = [Device(device.flash, entropy=device.entropy).mac.wait_ms(0) for _ in range(20)]
    assert len([w for w in waits if w > 60000]) >= 18, waits


def test_back_off_of_a_rejoin_outlives_a_dead_battery():
    device, _net = joined()
    device.join()
    # the clock begins at power-on on some boards, in 1970 or 2000 on others
    for start in (0, 946684800000):
        again = Device(device.flash, now=start)
        assert again.mac.joined
        assert again.mac.join_wait_ms(start) == 0
        again.run((JOIN,))
        assert again.mac.join_wait_ms(again.now) < 600000, "the pace of the first hour"
    for _ in range(72):
        device.join()
    waits = [Device(device.flash, entropy=device.entropy).mac.join_wait_ms(start) for _ in range(20)]
    assert min(waits) > 0 and max(waits) > 60000, waits
    # a wake after a wake that had no reason to join
    cold = Device(device.flash, now=start)
    cold.send()
    woken = Device(device.flash, cold.mac.session(), cold.now).mac
    assert 0 <= woken._state.now - woken._state.join_since < 60000


def test_join_pace_outlives_a_clock_that_is_set_back():
    device = Device(now=90 * 365 * 86400000)
    for _ in range(100):
        device.join()
    wait, since = device.mac.join_wait_ms(device.now), device.now - device.mac._state.join_since
    assert wait > 600000
    for back in (1, 80 * 365 * 86400000):
        device.now -= back
        assert device.mac.join_wait_ms(device.now) == wait
        assert device.now - device.mac._state.join_since == since


def test_a_join_request_that_the_duty_cycle_forbids_costs_no_nonce():
    device, _net = joined(cf_list=b"")
    device.mac._budget.book(868100000, 36000, device.now)
    before = device.flash["nonce"], device.mac._join().record()
    outcome = device.run((JOIN,))
    assert (outcome.sent, outcome.reason) == (False, reasons.DUTY)
    assert (device.flash["nonce"], device.mac._join().record()) == before


def test_a_session_that_could_not_be_stored_is_stored_before_the_next_frame():
    device = Device()
    device.run((JOIN,))
    device.now += device.mac.join_wait_ms(device.now)
    device.mac.handle((JOIN,), device.now)
    device.mac.handle((SENT, 0), device.now)
    device.mac.handle((HEARD, join_accept(1), 7), device.now)
    device.mac.handle((FAILED,), device.now)  # its records met a full flash
    device.send()
    again = Device(device.flash)
    assert again.mac.joined
    assert again.mac._state.fcnt_up == 64


def test_nonces_used_up():
    device = Device()
    device.mac._join().dev_nonce = 65535
    assert device.join().sent
    assert nonce_of(device.sent[-1].phy) == 65535
    again = Device(device.flash)
    assert again.join().reason == reasons.NONCES
    assert not again.sent


def test_records_of_another_device_are_not_taken():
    device, _net = joined()
    other = Mac(eu868, DEV_EUI, JOIN_EUI, "01" * 16, Entropy(), device.flash["nonce"], device.flash["session"])
    assert not other.joined
    assert other.faults["record"] == 1
    assert other.join_wait_ms(0) == 0
    assert other.faults["record"] == 2
    for length in range(len(device.flash["session"])):
        cut = Mac(eu868, DEV_EUI, JOIN_EUI, APP_KEY, Entropy(), None, device.flash["session"][:length])
        assert not cut.joined


def test_personalised_device_sends_at_once_and_never_repeats_a_counter():
    keys = ("00e7016e", "44024241ed4ce9a68c6a8bc055233fd3", "ec925802ae430ca77fd3dd73cb2cc588")

    def start(session):
        device = Device()
        device.mac = Mac.abp(eu868, *keys, Entropy(), session)
        return device

    device = start(None)
    assert device.mac.joined
    assert device.run((JOIN,)).reason == reasons.ABP
    assert not device.sent
    device.send()
    assert device.puts == 1, "the counters are reserved before the first frame leaves"
    phy = device.sent[0].phy
    nwk = Key(bytes.fromhex(keys[1]))
    assert phy[:8] == b"\x40\x6e\x01\xe7\x00\x80\x00\x00"
    assert phy[-4:] == data_mic(nwk, phy[:-4], UP, phy[1:5], 0)
    assert device.heard[0].delay_us == 1000000
    asleep = start(device.mac.session())
    asleep.send()
    assert asleep.sent[0].phy[6:8] == b"\1\0"
    dark = start(device.flash["session"])
    dark.send()
    assert dark.sent[0].phy[6:8] == b"\x40\0"
    other = Device()
    other.mac = Mac.abp(eu868, keys[0], keys[1], "00" * 16, Entropy(), device.flash["session"])
    other.send()
    assert other.sent[0].phy[6:8] == b"\0\0", "a record made with other keys is another device's"
