"""Certification scenarios: LinkADRReq and the ADR back-off (TS001-1.0.4, 4.3.1.1 and 5.2). docs/lorawan.md lists them with their clauses."""

from tester import ADR, ADR_ACK_REQ, NO_CF_LIST, hz, joined

DEFAULT = {868100000, 868300000, 868500000}
ALL = DEFAULT | {867100000, 867300000, 867500000, 867700000, 867900000}


def look(device):
    """(data rate, EIRP, transmissions) of the next frame; an answer keeps the back-off away."""
    device.send(None, b"")
    up, times = device.ups[0], len(device.ups)
    device.send(None, b"", rx1=device.net.down())
    return up.dr, up.eirp, times


def refused(request, answer):
    """Answered so, and nothing changed on the air."""
    device = joined()
    assert device.answers(b"\x03\x32\x0f\x00\x02") == b"\x03\x07"  # DR3, 12 dBm, channels 0 to 3, twice
    assert device.answers(request) == answer, request.hex()
    assert look(device) == (3, 12, 2)
    assert device.channels(24) == DEFAULT | {867100000}


def test_linkadr_01_all_of_it_is_used_from_the_next_frame():
    device = joined()
    device.send(rx1=device.net.down(b"\x03\x54\x28\x00\x03"))
    device.send()
    assert device.ups[0].fopts == b"\x03\x07"
    assert (device.ups[0].dr, device.ups[0].eirp, len(device.ups)) == (5, 8, 3)
    assert device.channels(20) == {867100000, 867500000}


def test_linkadr_02_15_keeps_data_rate_and_power():
    device = joined()
    device.answers(b"\x03\x43\xff\x00\x01")
    assert device.answers(b"\x03\xff\xff\x00\x01") == b"\x03\x07"
    assert look(device) == (4, 10, 1)
    device.answers(b"\x03\x2f\xff\x00\x01")
    assert look(device) == (2, 10, 1)
    device.answers(b"\x03\xf5\xff\x00\x01")
    assert look(device) == (2, 6, 1)


def test_linkadr_03_nbtrans_0_is_1():
    device = joined()
    device.answers(b"\x03\x50\xff\x00\x03")
    assert device.answers(b"\x03\x50\xff\x00\x00") == b"\x03\x07"
    assert look(device) == (5, 16, 1)


def test_linkadr_04_mask_with_an_undefined_channel():
    refused(b"\x03\x50\xff\x01\x01", b"\x03\x06")
    refused(b"\x03\x50\x00\x80\x01", b"\x03\x06")


def test_linkadr_05_mask_without_any_channel():
    refused(b"\x03\x50\x00\x00\x01", b"\x03\x06")


def test_linkadr_06_reserved_chmaskcntl():
    for control in (1, 2, 3, 4, 5, 7):
        refused(bytes([3, 0x50, 0xFF, 0, control << 4 | 1]), b"\x03\x06")


def test_linkadr_07_chmaskcntl_6_enables_all_defined_channels():
    device = joined()
    device.answers(b"\x03\x50\x01\x00\x01")
    assert device.channels(8) == {868100000}
    assert device.answers(b"\x03\x50\x00\x00\x61") == b"\x03\x07"
    assert device.channels() == ALL


def test_linkadr_08_unknown_data_rate():
    for dr in range(6, 15):
        refused(bytes([3, dr << 4, 0xFF, 0, 1]), b"\x03\x05")


def test_linkadr_09_data_rate_that_no_enabled_channel_carries():
    device = joined()
    assert device.answers(b"\x07\x08" + hz(868800000) + b"\x33") == b"\x07\x03"
    assert device.answers(b"\x03\x50\x00\x01\x01") == b"\x03\x05"
    assert device.answers(b"\x03\x30\x00\x01\x01") == b"\x03\x07"
    device.send()
    assert (device.ups[0].dr, device.ups[0].frequency) == (3, 868800000)


def test_linkadr_10_tx_power_0_to_7_and_no_more():
    device = joined()
    for power in range(8):
        assert device.answers(bytes([3, 0x50 | power, 0xFF, 0, 1])) == b"\x03\x07"
        assert device.ups[0].eirp == 16 - 2 * power
    for power in range(8, 15):
        refused(bytes([3, 0x50 | power, 0xFF, 0, 1]), b"\x03\x03")


def test_linkadr_11_everything_wrong_at_once():
    refused(b"\x03\xe9\x00\x00\x01", b"\x03\x00")


def test_linkadr_12_block_masks_in_turn_the_rest_from_the_last():
    device = joined()
    # the first alone would be refused for its data rate and power
    block = b"\x03\xee\x01\x00\x05" + b"\x03\x00\x00\x00\x61" + b"\x03\x51\x06\x00\x02"
    assert device.answers(block) == b"\x03\x07" * 3
    assert look(device) == (5, 14, 2)
    assert device.channels(12) == {868300000, 868500000}
    assert device.answers(b"\x03\x50\x01\x00\x01" + b"\x03\x50\x00\x00\x61") == b"\x03\x07" * 2
    assert device.channels() == ALL


def test_linkadr_13_block_is_accepted_or_refused_as_one():
    refused(b"\x03\x50\xff\x01\x01" + b"\x03\x50\x07\x00\x01", b"\x03\x06" * 2)
    refused(b"\x03\x50\x07\x00\x01" + b"\x03\x58\x01\x00\x01", b"\x03\x03" * 2)


def test_linkadr_14_two_blocks_parted_by_another_command():
    device = joined()
    parted = b"\x03\x50\xff\x01\x01" + b"\x06" + b"\x03\x41\x03\x00\x01"
    assert device.answers(parted) == b"\x03\x06" + b"\x06\xff\x07" + b"\x03\x07"
    assert look(device) == (4, 14, 1)


def test_linkadr_15_a_refused_request_repeated_for_ever():
    device = joined()
    for n in range(1, 30):
        assert device.answers(b"\x03\x50\xff\x01\x01") == b"\x03\x06"
        assert device.mac.faults["adr_refused"] == n
    assert look(device) == (0, 16, 1)


def test_linkadr_16_with_adr_off_the_mask_counts_and_nothing_else():
    device = joined()
    device.mac.adr = False
    assert device.answers(b"\x03\x54\x06\x00\x03") == b"\x03\x01"
    assert not device.ups[0].fctrl & (ADR | ADR_ACK_REQ)
    assert look(device) == (0, 16, 1)
    assert device.channels(12) == {868300000, 868500000}
    assert device.answers(b"\x03\x54\xff\x01\x01") == b"\x03\x00"
    assert device.channels(12) == {868300000, 868500000}


def silent(device, frames):
    for _ in range(frames):
        device.send(None, b"")
        device.log.clear()  # hundreds of frames that nobody looks at would fill the heap


def test_backoff_01_adrackreq_from_the_65th_silent_frame():
    device = joined()
    device.answers(b"\x03\x51\xff\x00\x01")
    silent(device, 63)  # one silent frame went out with the answer
    assert device.ups[0].fctrl == ADR
    silent(device, 1)
    assert device.ups[0].fctrl == ADR | ADR_ACK_REQ


def test_backoff_02_power_first_then_data_rate_by_data_rate():
    device = joined()
    device.send(rx1=device.net.down(b"\x03\x34\x0f\x00\x01"))
    seen = {}
    for n in range(226):
        device.send(None, b"")
        up = device.ups[0]
        seen.setdefault((up.dr, up.eirp, up.fctrl & ADR_ACK_REQ), n)
    assert seen == {(3, 8, 0): 0, (3, 8, 64): 64, (3, 16, 64): 96, (2, 16, 64): 128, (1, 16, 64): 160, (0, 16, 64): 192}


def test_backoff_03_last_step_default_channels_and_nbtrans_1():
    device = joined()
    device.send(rx1=device.net.down(b"\x03\x50\xf8\x00\x02"))
    device.send(rx1=device.net.down(b"\x03\x11\xf8\x00\x02"))
    silent(device, 160)
    assert len(device.ups) == 2
    assert not {up.frequency for up in device.ups} & DEFAULT
    silent(device, 1)
    assert len(device.ups) == 1
    heard = {device.ups[0].frequency}
    for _ in range(40):
        device.send(None, b"")
        heard.add(device.ups[0].frequency)
    assert heard == ALL  # channels that the network added stay


def test_backoff_04_adrackreq_stays_at_the_lowest_data_rate():
    device = joined(cf_list=NO_CF_LIST)
    silent(device, 64)
    assert device.ups[0].fctrl == ADR
    silent(device, 236)
    assert device.ups[0].dr == 0
    assert device.ups[0].fctrl == ADR | ADR_ACK_REQ


def test_backoff_05_any_downlink_of_ours_ends_it():
    device = joined()
    device.answers(b"\x03\x51\xff\x00\x01")
    silent(device, 100)
    assert device.ups[0].fctrl & ADR_ACK_REQ
    device.send(None, b"", rx2=device.net.down())
    silent(device, 64)
    assert device.ups[0].fctrl == ADR
    silent(device, 1)
    assert device.ups[0].fctrl == ADR | ADR_ACK_REQ


def test_backoff_06_a_foreign_frame_does_not_end_it():
    device = joined()
    silent(device, 64)
    foreign = device.net.down()[:-1] + b"\0"
    device.send(None, b"", rx1=foreign, rx2=foreign)
    silent(device, 1)
    assert device.ups[0].fctrl & ADR_ACK_REQ


def test_backoff_07_repetitions_do_not_count():
    device = joined()
    device.send(rx1=device.net.down(b"\x03\x50\xff\x00\x03"))
    silent(device, 64)
    assert len(device.ups) == 3
    assert device.ups[0].fctrl == ADR
    silent(device, 1)
    assert device.ups[0].fctrl == ADR | ADR_ACK_REQ
