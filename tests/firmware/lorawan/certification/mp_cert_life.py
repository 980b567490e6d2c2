"""Certification scenarios: duty cycle, deep sleep, power loss, activation by personalisation. docs/lorawan.md lists them with their clauses."""

from lorawan import eu868, reasons
from lorawan.crypto import Key
from lorawan.mac import FAILED, SEND, Mac, Store, Transmit
from network import DEV_ADDR, Network, join_accept
from tester import ACK, ADR, NO_CF_LIST, PENDING, Tester, Window, hz, joined

DEFAULT = {868100000, 868300000, 868500000}
HOUR = 3600000
NWK, APP = "2b7e151628aed2a6abf7158809cf4f3c", "000102030405060708090a0b0c0d0e0f"


def worst_hour(log, low, high):
    """The most milliseconds on air that any hour holds in the band from `low` to `high` Hz."""
    sent = [(at, air) for at, air, frequency in log if low <= frequency < high]
    return max([sum([a for t, a in sent if at - HOUR < t <= at]) for at, _ in sent])


def test_dutycycle_01_any_hour_of_a_sub_band():
    device = joined(cf_list=NO_CF_LIST)
    while device.now < 3 * HOUR:
        device.send(10, bytes(51), rx1=None if len(device.log) % 20 else device.net.down())
    worst = worst_hour(device.log, 868000000, 868600000)
    assert 30000 < worst <= 36000, worst


def test_dutycycle_02_each_sub_band_has_its_own_share():
    device = joined(cf_list=NO_CF_LIST)
    for index, frequency in ((3, 863300000), (4, 867100000), (5, 868800000), (6, 869525000), (7, 869850000)):
        assert device.answers(bytes([7, index]) + hz(frequency) + b"\x50")[-2:] == b"\x07\x03"
    for n in range(250):
        device.send(10, bytes(51), rx1=None if n % 20 else device.net.down())
    for low, high, mille in eu868.BANDS:
        worst = worst_hour(device.log, low, high)
        assert 0 < worst <= 3600 * mille, (low, worst)


def test_dutycycle_03_a_frame_against_it_is_refused_and_the_wait_told():
    device = joined(cf_list=NO_CF_LIST)
    while not device.mac.wait_ms(device.now):
        device.exchange((SEND, 10, bytes(51), False))
    fcnt = device.next_fcnt
    outcome = device.exchange((SEND, 10, bytes(51), False))
    assert (outcome.sent, outcome.reason, device.ups) == (False, reasons.DUTY, [])
    wait = device.mac.wait_ms(device.now)
    assert 0 < wait <= HOUR + 1200000
    device.now += wait
    assert device.exchange((SEND, 10, bytes(51), False)).sent
    assert device.ups[0].fcnt == fcnt


def test_dutycycle_04_deep_sleep_does_not_forget_it():
    device = joined(cf_list=NO_CF_LIST)
    while device.now < 2 * HOUR:
        device.send(10, bytes(51), rx1=None if len(device.log) % 20 else device.net.down())
        log = device.log
        device = device.again(device.mac.session())
        device.log = log
    worst = worst_hour(device.log, 868000000, 868600000)
    assert 30000 < worst <= 36000, worst


# --- restarts


def settled():
    """A device with other settings than the default ones, an answer and an acknowledgement owed, and a few frames behind it."""
    device = joined(settings=0x21, rx_delay=3)
    device.send(rx1=device.net.down(b"\x03\x54\x18\x00\x02" + b"\x07\x08" + hz(868800000) + b"\x50"))
    device.send(rx2=device.net.down(b"\x04\x01\x0a\x03" + hz(869100000)))
    device.send(rx2=device.net.down(b"\x05\x12" + hz(868900000), 20, b"x", ADR | PENDING, True))
    return device


def as_settled(device, fopts, fctrl):
    """All of it is there in the next frame."""
    device.send()
    up = device.ups[0]
    assert (up.dr, up.eirp, len(device.ups), up.fopts, up.fctrl) == (5, 8, 2, fopts, fctrl)
    assert up.frequency in {867100000, 867300000, 868800000}
    for n, up in enumerate(device.ups):
        rx1 = 869100000 if up.frequency == 867100000 else up.frequency
        assert device.windows[2 * n : 2 * n + 2] == [Window(3, rx1, 4), Window(4, 868900000, 2)]


def test_sleep_01_deep_sleep_keeps_settings_answers_and_acknowledgement():
    device = settled()
    device = device.again(device.mac.session())
    as_settled(device, b"\x05\x07", ADR | ACK)
    device = device.again(device.mac.session())
    as_settled(device, b"\x05\x07", ADR)  # still until a downlink comes
    device.send(rx2=device.net.down())
    device = device.again(device.mac.session())
    as_settled(device, b"", ADR)


def test_sleep_02_deep_sleep_keeps_both_counters():
    device = joined()
    frame = device.net.down(port=20, data=b"once")
    assert device.send(rx1=frame).received == [(20, b"once")]
    for fcnt in range(1, 6):
        device = device.again(device.mac.session())
        assert device.send(rx1=frame).received == []
        assert device.ups[0].fcnt == fcnt
    assert device.send(rx1=device.net.down(port=20, data=b"next")).received == [(20, b"next")]


def test_sleep_03_deep_sleep_keeps_the_adr_back_off():
    device = joined()
    device.answers(b"\x03\x51\xff\x00\x01")
    for _ in range(64):
        device = device.again(device.mac.session())
        device.send(None, b"")
    assert device.ups[0].fctrl == ADR | 0x40


def test_power_01_power_loss_keeps_the_session_and_no_counter_comes_twice():
    device = joined()
    seen = []
    for life in range(6):
        for _ in range(1 + 13 * life):
            device.send(10, b"x")  # the tester takes no counter twice
            seen.append(device.ups[0].fcnt)
        device = device.again()
        assert device.mac.joined
    assert len(set(seen)) == len(seen)
    assert max(seen) < len(seen) + 6 * 64, "no more than a block is lost with each power loss"


def test_power_02_power_loss_keeps_settings_and_what_was_received():
    device = settled()
    fcnt = device.net.fcnt
    device = device.again()
    as_settled(device, b"\x05\x07", ADR | ACK)
    device.net.fcnt = fcnt - 1
    assert device.send(rx1=device.net.down(b"\x08\x01", 20, b"replayed")).received == []


def test_power_03_power_cut_in_the_midst_of_an_exchange():
    device = joined()
    device.send(rx1=device.net.down(port=20, data=b"kept"))
    for reached in range(3):
        seen = device.next_fcnt
        device.now += device.mac.wait_ms(device.now)
        for action in device.mac.handle((SEND, 10, b"cut", False), device.now):
            if isinstance(action, Store):
                device.flash[action.name] = action.data
                if reached == 0:
                    break
            elif isinstance(action, Transmit) and reached:
                device._hear(action, False)
                if reached == 2:
                    device.mac.handle(("sent", 0), device.now)
        device = device.again()
        device.send(10, b"after")
        assert device.ups[0].fcnt >= seen
        assert device.send(rx1=device.net.down(port=20, data=b"on")).received == [(20, b"on")]


def test_power_04_power_loss_between_accept_and_first_frame():
    device = joined()
    device = device.again()
    assert device.mac.joined
    device.send(10, b"x", rx1=device.net.down(port=20, data=b"y"))
    assert device.ups[0].data == b"x"


def test_power_05_failed_modem_loses_no_answer_and_no_counter_comes_twice():
    device = joined()
    device.send(rx1=device.net.down(b"\x06\x08\x02", 20, b"x", confirmed=True))
    device.now += device.mac.wait_ms(device.now)
    (transmit,) = device.mac.handle((SEND, 10, b"lost", False), device.now)
    lost = transmit.phy[6]
    (done,) = device.mac.handle((FAILED,), device.now)
    assert (done.outcome.sent, done.outcome.reason) == (False, reasons.RADIO)
    device.send()
    up = device.ups[0]
    assert (up.fcnt, up.fopts, up.fctrl) == (lost + 1, b"\x06\xff\x07\x08", ADR | ACK)


# --- activation by personalisation


class Personalised(Tester):
    def __init__(self, flash=None, rtc=None, now=0, net=None, seed=1):
        Tester.__init__(self, flash, rtc, now, net, seed)
        address = bytes(reversed(DEV_ADDR)).hex()
        self.mac = Mac.abp(eu868, address, NWK, APP, self.entropy, rtc or self.flash.get("session"))
        self.net = net or Network(0, 0)
        self.net.nwk, self.net.app = Key(bytes.fromhex(NWK)), Key(bytes.fromhex(APP))

    def after_power_loss(self):
        device = Personalised(self.flash, None, 0, self.net)
        device.next_fcnt = self.next_fcnt
        return device


def test_abp_01_frames_at_once_from_counter_0():
    device = Personalised()
    outcome = device.send(10, b"first", rx2=device.net.down(port=20, data=b"down"))
    up = device.ups[0]
    assert (up.fcnt, up.data, up.dr, up.eirp, up.fctrl) == (0, b"first", 0, 16, ADR)
    assert outcome.received == [(20, b"down")]


def test_abp_02_default_channels_and_windows():
    device = Personalised()
    device.send()
    assert device.windows == [Window(1, device.ups[0].frequency, 0), Window(2, 869525000, 0)]
    assert device.channels(30) == DEFAULT


def test_abp_03_counters_survive_power_losses():
    device = Personalised()
    seen = []
    for _ in range(5):
        frame = device.net.down(port=20, data=b"once")
        assert device.send(rx1=frame).received == [(20, b"once")]
        seen.append(device.ups[0].fcnt)
        device = device.after_power_loss()
        assert device.send(rx1=frame).received == []
        seen.append(device.ups[0].fcnt)
    assert seen == sorted(set(seen))


def test_abp_04_settings_survive_power_losses():
    device = Personalised()
    device.answers(b"\x03\x52\x05\x00\x02" + b"\x08\x04")
    device = device.after_power_loss()
    device.send()
    assert (device.ups[0].dr, device.ups[0].eirp, len(device.ups)) == (5, 12, 2)
    assert [w.seconds for w in device.windows] == [4, 5, 4, 5]


def test_abp_05_never_joins():
    device = Personalised()
    outcome = device.join(join_accept(1))
    assert (outcome.sent, outcome.reason, device.ups) == (False, reasons.ABP, [])
    assert device.mac.joined
