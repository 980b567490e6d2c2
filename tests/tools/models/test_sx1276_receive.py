"""The SX1276 model's receiver against its datasheet, rev 7, and its errata note, rev 1: windows, levels, FIFO, calibration."""

import pytest
from sx1276_bench import (
    CRC_ERROR,
    FSRX,
    FSTX,
    GATEWAY,
    MS,
    RESET,
    RX_DONE,
    RX_TIMEOUT,
    RXCONTINUOUS,
    RXSINGLE,
    SLEEP,
    STDBY,
    US,
    VALID_HEADER,
    Bench,
)

from tools.world.air import Transmission


@pytest.fixture
def bench(clock, host):
    return Bench(clock, host)


@pytest.fixture
def ready(bench):
    bench.init()
    return bench


@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("symbols", [4, 24, 300])
def test_a_window_ends_after_so_many_symbols(ready, sf, symbols):
    ready.rx_setup(sf, symbols)
    ready.write(0x01, RXSINGLE)
    end = ready.clock.now + 179 * US + symbols * (1 << sf) * 8 * US
    ready.clock.run(end - 1)
    assert (ready.dio(), ready.chip.mode) == ((0, 0), 6)
    ready.run(1)
    assert (ready.dio(), ready.read(0x12), ready.read(0x01)) == ((0, 1), RX_TIMEOUT, STDBY)


@pytest.mark.parametrize("sf", range(7, 13))
def test_a_downlink_is_received_when_five_preamble_symbols_fall_into_the_window(ready, sf):
    symbol = (1 << sf) * 8 * US
    ready.rx_setup(sf, symbols=12)
    results = []
    for late in (-6, 0, 2, 3, 4):  # symbols of the preamble gone when the window opens
        start = ready.clock.now + 500 * MS
        ready.downlink(b"hello", start, sf)
        ready.clock.run(start + late * symbol - 279 * US)
        ready.write(0x01, RXSINGLE)
        assert 0 < start + late * symbol - ready.clock.now - 179 * US < 100 * US
        ready.run(3_000 * MS)
        results.append(ready.read(0x12))
        ready.write(0x12, 0xFF)
    assert results == [RX_DONE | VALID_HEADER] * 4 + [RX_TIMEOUT]


def test_reception_gives_pointer_length_and_levels(ready):
    ready.rx_setup(9)
    ready.write(0x0F, 0x80)
    start = ready.clock.now + 50 * MS
    air = ready.downlink(b"downlink", start, 9)
    ready.clock.run(start - 10 * MS)
    ready.write(0x01, RXSINGLE)
    ready.clock.run(start + air - 1)
    assert (ready.dio(), ready.chip.lora[0x12], ready.read(0x18)) == ((0, 0), VALID_HEADER, 0x27)
    ready.run(1)
    assert (ready.dio(), ready.read(0x12), ready.read(0x01)) == ((1, 0), RX_DONE | VALID_HEADER, STDBY)
    assert (ready.read(0x10), ready.read(0x13), ready.read(0x25)) == (0x80, 8, 0x88)
    assert (ready.read(0x14, 4), ready.read(0x18), ready.read(0x1C)) == (b"\0\1\0\1", 0x30, 0)
    ready.write(0x0D, ready.read(0x10))
    assert ready.read(0x00, 8) == b"downlink"
    level = ready.air._level(GATEWAY, ready.host.dev_eui, _Started(start))
    # RSSI = -157 + 16/15 * PacketRssi (SNR >= 0, high port)
    assert abs(-157 + 16 / 15 * ready.read(0x1A) - level.rssi_dbm) <= 0.54
    assert ready.read(0x19) == 48
    assert ready.air.log[-1].outcome == ((ready.host.dev_eui, ""),)


class _Started:
    """What the air's level hangs on besides the path."""

    def __init__(self, start):
        self.start = start
        self.what = Transmission(869_525_000, 9, 125_000, b"", 27.0)


def test_below_the_noise_the_rssi_is_the_noises_and_the_snr_has_a_sign(ready):
    ready.air.set_path_loss(ready.host.dev_eui, GATEWAY, 150.0)
    ready.rx_setup(9)
    assert ready.listen_to() == (RX_DONE | VALID_HEADER, "")
    snr = int.from_bytes(bytes([ready.read(0x19)]), "big", signed=True) / 4
    assert -12.5 <= snr < 0
    # Packet Strength = -157 + PacketRssi + PacketSnr * 0.25
    assert -157 + ready.read(0x1A) == -117


def test_the_fifo_has_what_is_there_when_the_pointer_is_wrong(ready):
    ready.rx_setup(9)
    ready.write(0x0F, 0x10)
    ready.listen_to(b"hello")
    ready.write(0x0D, 0x00)
    assert ready.read(0x00, 5) == bytes(5)
    ready.write(0x0D, 0x12)
    assert ready.read(0x00, 5) == b"llo\0\0"


def test_continuous_reception_goes_on_behind_the_last_frame(ready):
    ready.rx_setup(9)
    ready.write(0x01, RXCONTINUOUS)
    for payload in (b"first", b"second"):
        start = ready.clock.now + 20 * MS
        ready.downlink(payload, start, 9)
        ready.run(500 * MS)
    assert (ready.read(0x01), ready.read(0x10), ready.read(0x13), ready.read(0x16, 2)) == (RXCONTINUOUS, 5, 6, b"\0\2")
    ready.write(0x0D, 0)
    assert ready.read(0x00, 11) == b"firstsecond"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iq_inverted": False}, "IQ"),
        ({"freq_hz": 869_325_000}, "frequency"),
        ({"sync_word": 0x1424}, "sync word"),
        ({"sf": 10}, "data rate"),
        ({"bandwidth_hz": 250_000}, "data rate"),
        ({"explicit_header": False}, "header type"),
        ({"power_dbm": -30.0}, "below sensitivity"),
    ],
)
def test_a_foreign_frame_is_not_received(ready, changes, why):
    ready.rx_setup(9)
    assert ready.listen_to(**changes) == (RX_TIMEOUT, why)


@pytest.mark.parametrize(
    ("writes", "why"),
    [
        ("BB1D", "RegInvertIQ2"),
        ("B145", "RegDetectOptimize or RegDetectionThreshold"),
        ("B70C", "RegDetectOptimize or RegDetectionThreshold"),
        ("B327 BB1D", "IQ"),
    ],
)
def test_a_receiver_set_up_wrongly_is_deaf(ready, writes, why):
    ready.rx_setup(9)
    for part in writes.split():
        ready.raw(bytes.fromhex(part))
    assert ready.listen_to() == (RX_TIMEOUT, why)


@pytest.mark.parametrize(
    ("limit", "mode", "flags"), [(4, RXSINGLE, RX_TIMEOUT), (4, RXCONTINUOUS, 0), (5, RXSINGLE, 0x50)]
)
def test_a_frame_longer_than_max_payload_length_is_a_header_error(ready, limit, mode, flags):
    ready.rx_setup(9)
    ready.write(0x23, limit)
    assert ready.listen_to(b"12345", mode=mode)[0] == flags


@pytest.mark.parametrize("crc", [False, True])
def test_the_wrong_optimisation_garbles_the_payload(ready, crc):
    ready.rx_setup(12)
    ready.write(0x26, 0x04)
    flags, why = ready.listen_to(b"hello", sf=12, crc=crc)
    assert (flags, why) == (RX_DONE | VALID_HEADER | CRC_ERROR * crc, "low data rate optimisation")
    ready.write(0x0D, 0x00)
    assert ready.read(0x00, 5) != b"hello"


@pytest.mark.parametrize("crc", [False, True])
def test_a_frame_that_another_one_wrecks_comes_garbled(ready, crc):
    ready.rx_setup(9)
    ready.downlink(b"other", ready.clock.now + 150 * MS, 9)
    flags, _why = ready.listen_to(b"downlink", crc=crc)
    assert flags == RX_DONE | VALID_HEADER | CRC_ERROR * crc
    assert dict(ready.air.log[-2].outcome) == {ready.host.dev_eui: "collision"}
    ready.write(0x0D, 0x00)
    assert ready.read(0x00, 8) != b"downlink"


@pytest.mark.parametrize(("writes", "loss"), [("", 0), ("8C20", 2), ("A600", 0), ("A600 8CC3", 48), ("B602", 3)])
def test_gain_and_the_high_bandwidth_erratum_cost_sensitivity(ready, writes, loss):
    ready.rx_setup(9)
    for part in writes.split():
        ready.raw(bytes.fromhex(part))
    assert ready.chip.tuning().loss_db == loss


def test_500_khz_needs_the_registers_of_erratum_2_1(ready):
    ready.rx_setup(7)
    ready.modem(7, bandwidth=9)
    assert ready.chip.tuning().loss_db == 3
    ready.write(0x36, 0x02)
    ready.write(0x3A, 0x64)
    assert ready.chip.tuning().loss_db == 0


@pytest.mark.parametrize("writes", ["AF4000C3", "AF200043"])
def test_without_the_mend_of_erratum_2_3_a_neighbour_is_received(ready, writes):
    ready.rx_setup(9)
    assert ready.listen_to(freq_hz=869_325_000) == (RX_TIMEOUT, "frequency")
    ready.raw(bytes.fromhex(writes))
    assert ready.listen_to(freq_hz=869_325_000) == (RX_DONE | VALID_HEADER, "")


def test_the_image_calibration_is_for_the_port_in_use_and_takes_10_ms(bench, fault):
    bench.run(10 * MS)
    assert bench.chip.calibrated == {False}  # at power-on, at 434 MHz only
    bench.write(0x06, 0xD9, 0x06, 0x66)
    bench.write(0x3B, 0x42)
    bench.run(10 * MS - 100 * US)
    assert bench.read(0x3B) == 0x22
    with pytest.raises(fault, match="while the calibration runs"):
        bench.write(0x06, 0xD9)
    bench.chip.select(False)
    with pytest.raises(fault, match="while the calibration runs"):
        bench.write(0x01, 0x00)
    bench.chip.select(False)
    bench.run(100 * US)
    assert (bench.read(0x3B), bench.chip.calibrated) == (0x02, {False, True})


def test_without_calibration_at_868_mhz_the_rssi_is_off(clock, new_host):
    readings = []
    for calibrate in (False, True):
        bench = Bench(clock, new_host("00000000000000a1"))
        bench.init(calibrate=calibrate)
        bench.clock.run((bench.clock.now // (1_000 * MS) + 1) * 1_000 * MS)
        bench.rx_setup(9)
        bench.air._level = lambda *_: _Level()
        assert bench.listen_to() == (RX_DONE | VALID_HEADER, "")
        readings.append(round(-157 + 16 / 15 * bench.read(0x1A)))
    assert readings == [-84, -90]


class _Level:
    rssi_dbm, snr_db = -90.0, 12.0


def test_sleep_keeps_registers_and_loses_the_fifo(ready):
    ready.rx_setup(9)
    ready.listen_to(b"hello")
    ready.write(0x01, SLEEP)
    assert (ready.read(0x39), ready.read(0x14, 4), ready.read(0x13)) == (0x34, bytes(4), 5)
    ready.write(0x01, STDBY)
    ready.run(250 * US)
    ready.write(0x0D, 0x00)
    assert ready.read(0x00, 5) == bytes(5)


def test_the_fifo_lives_on_in_the_other_modes(ready):
    ready.write(0x0D, 0x00)
    ready.write(0x00, *b"hello")
    ready.rx_setup(9, symbols=4)
    for mode in (FSTX, FSRX, RXSINGLE, STDBY):
        ready.write(0x01, mode)
        ready.run(500 * MS)
    ready.write(0x0D, 0x00)
    assert ready.read(0x00, 5) == b"hello"


def test_deep_sleep_of_the_board_lets_go_of_reset_and_the_chip_stays_as_it_is(ready):
    ready.chip.output(RESET, None)
    ready.run(1_000 * MS)
    assert ready.read(0x39) == 0x34
