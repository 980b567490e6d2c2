"""ADR as ChirpStack's default algorithm does it: (setting, history, SNR) -> setting by a second, separate formula, and over whole exchanges.

The published algorithm (chirpstack/src/adr/default.rs, 4.20): steps = (best SNR of the history - required SNR - 10 dB) / 3 dB, cut
towards zero; a step up raises the data rate to DR5, then the power index to 7; a step down lowers the power index, only with 20 frames
heard at the present one. NbTrans goes by the frames lost among 20. The network's least data rate (`min_dr`) does not enter.
"""

import itertools
import math

import devnet_recorded as recorded
import pytest
from devnet_node import START_NS, Node

from tools.devnet import frame
from tools.devnet.adr import Heard, Setting, loss_percent, wanted
from tools.devnet.devnet import Devnet
from tools.devnet.exchange import Reception

DEV = "e1831ea5e2c5b663"
KEY = "26bb77745b3181ebd862e6a7c213b480"
REQUIRED = (-20.0, -17.5, -15.0, -12.5, -10.0, -7.5)  # dB at DR0 to DR5


@pytest.fixture
def node():
    devnet = Devnet(":memory:", "seed", now_ns=lambda: START_NS)
    recorded.provision(devnet, DEV, KEY)
    n = Node(devnet, DEV)
    n.join()
    return n


def session(node):
    return node.devnet.core.session(DEV)


def heard(snr, *, frames=20, power=0, lost=0):
    """A history of `frames` with `lost` missing before its last one."""
    counters = [*range(frames - 1), frames - 1 + lost] if frames else []
    return [Heard(n, snr, power) for n in counters]


# (DR, power, NbTrans), frames heard, best SNR in dB, frames lost -> (DR, power, NbTrans); worked out by hand
TABLE = [
    ((0, 0, 1), 1, 2.9, 0, (4, 0, 1)),  # 12.9 dB: four steps of 3 dB
    ((0, 0, 1), 1, 5.0, 0, (5, 0, 1)),  # 15 dB: five, just DR5
    ((0, 0, 1), 1, 4.75, 0, (4, 0, 1)),
    ((0, 0, 1), 1, 8.0, 0, (5, 1, 1)),  # the sixth step goes into power
    ((0, 0, 1), 1, 40.0, 0, (5, 7, 1)),  # 16 steps: no more than DR5 and index 7
    ((0, 0, 1), 1, -10.0, 0, (0, 0, 1)),  # exactly the margin: nothing
    ((3, 0, 1), 5, -2.5, 0, (3, 0, 1)),
    ((3, 0, 1), 5, 0.5, 0, (4, 0, 1)),
    ((5, 0, 1), 20, 2.5, 0, (5, 0, 1)),
    ((5, 0, 1), 20, 5.5, 0, (5, 1, 1)),
    ((5, 2, 1), 20, 11.5, 0, (5, 5, 1)),
    ((5, 7, 1), 20, 40.0, 0, (5, 7, 1)),
    ((5, 3, 1), 20, -0.25, 0, (5, 3, 1)),  # -2.75 dB: less than a whole step
    ((5, 3, 1), 20, -0.5, 0, (5, 2, 1)),  # -3 dB
    ((5, 3, 1), 20, -9.5, 0, (5, 0, 1)),  # -12 dB: four steps, three are left
    ((5, 3, 1), 19, -9.5, 0, (5, 3, 1)),  # a short history gives no more power
    ((5, 0, 1), 20, -9.5, 0, (5, 0, 1)),  # the data rate is never lowered
    ((6, 0, 1), 20, 2.5, 0, (5, 0, 1)),  # but to the greatest 125 kHz one
    ((5, 0, 1), 20, 2.5, 1, (5, 0, 1)),  # 5 %
    ((5, 0, 1), 20, 2.5, 2, (5, 0, 2)),  # 10 %
    ((5, 0, 2), 20, 2.5, 0, (5, 0, 1)),
    ((5, 0, 2), 20, 2.5, 1, (5, 0, 2)),
    ((5, 0, 2), 20, 2.5, 2, (5, 0, 3)),
    ((5, 0, 3), 20, 2.5, 0, (5, 0, 2)),
    ((5, 0, 3), 20, 2.5, 1, (5, 0, 3)),
    ((5, 0, 1), 20, 2.5, 5, (5, 0, 2)),  # 25 %
    ((5, 0, 1), 20, 2.5, 6, (5, 0, 3)),  # 30 %
    ((5, 0, 2), 20, 2.5, 6, (5, 0, 3)),
    ((5, 0, 1), 19, 2.5, 6, (5, 0, 1)),  # losses count once there are 20 frames
    ((5, 0, 15), 20, 2.5, 0, (5, 0, 2)),  # NbTrans beyond 3 is taken as 3
]


@pytest.mark.parametrize(("now", "frames", "snr", "lost", "then"), TABLE)
def test_table(now, frames, snr, lost, then):
    history = heard(snr, frames=frames, power=now[1], lost=lost)
    assert wanted(Setting(*now), history, REQUIRED[min(now[0], 5)], 5, 7) == Setting(*then)


def test_every_setting_and_snr_against_the_closed_form():
    """The steps one by one come to the same as their sum."""
    for dr, power, quarter, frames in itertools.product(range(6), range(8), range(-100, 60, 3), (1, 19, 20)):
        snr = quarter / 4
        steps = math.trunc((snr - REQUIRED[dr] - 10) / 3)
        if steps >= 0:
            then = min(dr + steps, 5), min(power + max(steps - (5 - dr), 0), 7)
        else:
            then = dr, max(power + steps, 0) if frames == 20 else power
        got = wanted(Setting(dr, power, 1), heard(snr, frames=frames, power=power), REQUIRED[dr], 5, 7)
        assert got == (*then, 1), (dr, power, snr, frames)


def test_only_frames_sent_with_the_present_power_speak_for_more_of_it():
    mixed = [Heard(n, -9.5, 3 if n else 4) for n in range(20)]
    assert wanted(Setting(5, 3, 1), mixed, -7.5, 5, 7) == Setting(5, 3, 1)


def test_losses_anywhere_among_twenty_frames_count():
    for gap in range(1, 20):
        history = [Heard(n if n < gap else n + 3, 2.5, 0) for n in range(20)]
        assert loss_percent(history) == 15.0


def link_adr(node, answer, f_cnt):
    """(DR, power, mask, NbTrans) of the LinkADRReq in a downlink, or None."""
    _, f_opts, port, data = node.read(answer, f_cnt)
    stream = f_opts if port != 0 else data
    at = stream.find(b"\3") if stream[:1] in {b"\3", b"\6"} else -1
    if at < 0:
        return None
    body = stream[at + 1 : at + 5]
    return body[0] >> 4, body[0] & 15, int.from_bytes(body[1:3], "little"), body[3] & 15


def test_the_first_uplink_leads_to_a_link_adr_req_with_all_channels(node):
    assert link_adr(node, node.up(0, sf=12, snr=2.9), 0) == (4, 0, 0xFF, 1)
    assert session(node).dr == 0  # until the answer comes


def test_an_accepted_setting_starts_a_new_history(node):
    node.taken(node.up(0, sf=12, snr=2.9))
    node.up(1, sf=8, snr=2.9, f_opts=b"\3\7\6\xff\x07")
    assert (session(node).dr, session(node).tx_power, session(node).nb_trans) == (4, 0, 1)
    assert [h.f_cnt for h in session(node).history] == [1]


def test_the_best_of_several_receptions_counts(node):
    heard_by = tuple(Reception(f"{n:016x}", -90, snr, n, b"") for n, snr in enumerate((-15.0, 2.9, -3.0)))
    assert link_adr(node, node.up(0, sf=12, receptions=heard_by), 0)[0] == 4
    assert session(node).history[-1].max_snr == 2.9


def test_the_history_holds_the_last_twenty_frames(node):
    for n in range(25):
        node.up(n, snr=2.5)
    assert [h.f_cnt for h in session(node).history] == list(range(5, 25))


def test_a_refused_power_is_the_limit_from_then_on(node):
    node.taken(node.up(0, snr=40.0))  # asks for DR5 and index 7
    answer = node.up(1, snr=40.0, f_opts=b"\3\3")
    assert session(node).max_tx_power == 6
    assert link_adr(node, answer, 1) == (5, 6, 0xFF, 1)
    node.taken(answer)
    node.up(2, snr=40.0, f_opts=b"\3\7")
    assert session(node).tx_power == 6
    assert session(node).errors == {}


def test_two_refusals_end_the_asking(node):
    node.taken(node.up(0, sf=12, snr=2.9))
    first = node.up(1, sf=12, snr=2.9, f_opts=b"\3\6\6\xff\x07")
    assert link_adr(node, first, 1) == (4, 0, 0xFF, 1)  # max_mac_command_error_count is 1: once more
    node.taken(first)
    assert node.up(2, sf=12, snr=2.9, f_opts=b"\3\6").downlinks == []
    assert session(node).errors == {3: 2}
    assert node.up(3, sf=12, snr=2.9).downlinks == []


def test_a_changed_data_rate_forgets_power_and_history(node):
    node.taken(node.up(0, snr=8.5))
    node.up(1, snr=8.5, f_opts=b"\3\7\6\xff\x07")
    assert session(node).tx_power == 2
    node.up(2, sf=8, snr=-1.0)  # the device's own back-off
    assert (session(node).dr, session(node).tx_power) == (4, 0)
    assert [h.f_cnt for h in session(node).history] == [2]


def test_the_adr_bit_is_the_devices_word(node):
    node.taken(node.up(0, sf=12, snr=2.9, f_ctrl=0))
    assert node.up(1, sf=12, snr=2.9, f_ctrl=0).downlinks == []
    assert link_adr(node, node.up(2, sf=12, snr=2.9), 1) == (4, 0, 0xFF, 1)


def test_with_adr_off_the_mask_is_enough(node):
    node.taken(node.up(0, sf=12, snr=2.9))
    node.up(1, sf=12, snr=2.9, f_ctrl=0, f_opts=b"\3\1")
    assert session(node).errors == {}
    assert (session(node).dr, session(node).nb_trans) == (0, 1)


def test_an_answer_that_was_not_asked_for_changes_nothing(node):
    node.up(0, f_opts=b"\3\7\7\3\5\7\x08\x0a\3", f_ctrl=frame.ADR)
    now = session(node)
    assert (now.tx_power, now.nb_trans, now.rx1_delay, now.errors) == (0, 1, 1, {})


def test_adr_ack_req_is_answered_by_an_empty_downlink_at_least(node):
    node.taken(node.up(0, snr=2.5))
    for n in (1, 2, 3):
        node.taken(node.up(n, snr=2.5, f_opts=b"\7\3\7\3\7\3" if n > 1 else b"", f_ctrl=frame.ADR | frame.ADR_ACK_REQ))
    f_ctrl = node.read(node.up(4, snr=2.5, f_opts=b"\7\3\7\3", f_ctrl=frame.ADR | frame.ADR_ACK_REQ), 4)[0]
    assert f_ctrl & frame.ADR


def test_losses_on_the_air_raise_nb_trans_and_their_end_lowers_it(node):
    """Of 20 frames seven are lost: three transmissions each; then, with none lost, two and one."""
    f_cnt = down = 0
    settings = []
    f_opts = b""
    for n in range(80):
        answer = node.up(f_cnt, snr=2.5, f_opts=f_opts)
        f_opts = b""
        if answer.downlinks:
            asked = link_adr(node, answer, down)
            node.taken(answer)
            down += 1
            if asked:
                settings.append(asked[3])
                f_opts = b"\3\7"
            elif n == 0:
                f_opts = b"\6\xff\x07"
        f_cnt += 2 if n < 20 and n % 3 == 0 else 1
    assert settings == [3, 2, 1]
