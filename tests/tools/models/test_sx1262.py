"""The SX1262 model against the SX1261/2 datasheet, rev 2.1; sections are named where a number comes from."""

import pytest

from tools.virtual_board.chips.sx1262 import Sx1262
from tools.world.air import Air, LoRaGateway, Transmission

US, MS = 1000, 1_000_000
BUSY, DIO1, RESET = 14, 4, 9
STBY_RC, STBY_XOSC, FS, RX, TX = 2, 3, 4, 5, 6
GATEWAY = "00000000000000f0"
F868_1 = bytes.fromhex("863641999A")
WORD_869_525 = 869_525_000 * 16384 // 15625


class Bench:
    """An SX1262 with a host that clocks SPI at 2 MHz and waits for BUSY as a good driver does."""

    def __init__(self, clock, host, seed=1, **options):
        self.clock, self.host = clock, host
        self.air = Air(clock, seed, keep=50)
        self.gateway = LoRaGateway(self.air, GATEWAY)
        self.air.set_path_loss(host.dev_eui, GATEWAY, 110.0)
        self.uplinks = []
        self.air.on_uplink = lambda frame, receptions, end: self.uplinks.append((frame, receptions, end))
        self.chip = Sx1262(self.air, busy=BUSY, dio1=DIO1, reset=RESET, **options)
        self.chip.attach(host)
        self.chip.power(True)

    def raw(self, data, mode=0, baudrate=2_000_000):
        self.chip.select(True)
        answer = self.chip.transfer(data, baudrate, mode)
        self.clock.run(self.clock.now + len(data) * 8 * 1_000_000_000 // baudrate)
        self.chip.select(False)
        return answer

    def wait(self):
        started = self.clock.now
        while self.host.level(BUSY):
            self.clock.run(self.clock.now + 1 * US)
            assert self.clock.now - started < 100 * MS
        return self.clock.now - started

    def cmd(self, *parts):
        self.wait()
        return self.raw(b"".join(bytes.fromhex(p) if isinstance(p, str) else bytes(p) for p in parts))

    def mode(self):
        return self.cmd("C000")[1] >> 4 & 7

    def irq(self):
        return int.from_bytes(self.cmd("12000000")[2:], "big")

    def errors(self):
        return int.from_bytes(self.cmd("17000000")[2:], "big")

    def run(self, ns):
        self.clock.run(self.clock.now + ns)

    def init(self, *, tcxo=True, calibrate=True):
        self.cmd("8000")
        if tcxo:
            self.cmd("9702000140")  # 1.8 V, 320 steps of 15.625 us = 5 ms
            self.cmd("070000")
        if calibrate:
            self.cmd("897F")
        self.cmd("98D7DB")
        self.cmd("9D01")
        self.cmd("8A01")
        self.cmd("0D07403444")
        self.cmd(F868_1)
        self.cmd("9502020001")
        self.cmd("8E1604")
        self.cmd("080263026300000000")

    def tx_setup(self, payload, sf=12, bw=4, *, ldro=None, crc=1):
        ldro = int(sf >= 11) if ldro is None else ldro
        self.cmd("8B", [sf, bw, 1, ldro])
        self.cmd("8C0008", [0, len(payload), crc, 0])
        self.cmd("8F0000")
        self.cmd("0E00", payload)

    def rx_setup(self, sf=12, symbols=0, *, iq_fix=True, limit=255, word=WORD_869_525):
        self.cmd("86", word.to_bytes(4, "big"))
        self.cmd("8B", [sf, 4, 1, int(sf >= 11)])
        self.cmd("8C0008", [0, limit, 0, 1])
        if iq_fix:
            self.cmd("0D073609")
        self.cmd("A0", [symbols])

    def downlink(self, payload, start, sf=12, **changes):
        options = {"iq_inverted": True, "crc": False, "optimised": sf >= 11, "freq_hz": 869_525_000} | changes
        what = Transmission(spreading_factor=sf, bandwidth_hz=125_000, payload=payload, power_dbm=27.0, **options)
        self.clock.at(start, lambda: self.air.start_downlink(GATEWAY, what))
        return what.air_ns


@pytest.fixture
def bench(clock, host):
    return Bench(clock, host)


@pytest.fixture
def ready(bench):
    bench.init()
    return bench


def test_power_on_calibrates_for_3500_us_and_ends_in_standby(bench):
    assert bench.host.level(BUSY) == 1
    assert abs(bench.wait() - 3500 * US) <= 1 * US  # 13.1.12
    assert bench.mode() == STBY_RC


def test_a_command_while_busy_is_a_fault_that_says_so(bench, fault):
    with pytest.raises(fault, match=r"SetStandby was sent while BUSY is high.*8\.3\.1"):
        bench.raw(bytes.fromhex("8000"))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("80", "SetStandby takes 1 bytes, got 0"),
        ("86364199", "SetRfFrequency takes 4 bytes, got 3"),
        ("1200", "GetIrqStatus takes 3 bytes, got 1"),
        ("FF", "no command 0xff"),
        ("94000000000000", "SetRxDutyCycle is not used by LoRaWAN here"),
        ("C5", "SetCad is not used"),
        ("8B0704010", "SetPacketType"),
        ("0D010000", "0x0100 is reserved"),
        ("9507070001", "paDutyCycle over 4"),
        ("9504070101", "deviceSel is 0"),
        ("8401", "RTC"),
        ("9708000140", "voltage code"),
        ("9707000140", "takes 1800 mV"),
        ("830000000000", "SetTx takes 3 bytes"),
    ],
)
def test_what_the_datasheet_forbids_is_a_fault(bench, fault, data, text):
    with pytest.raises(fault, match=text):
        bench.cmd(data if len(data) % 2 == 0 else data + "0")


def test_spi_mode_and_speed_are_checked(bench, fault):
    bench.wait()
    with pytest.raises(fault, match="CPOL"):
        bench.raw(b"\xc0\x00", mode=3)
    bench.chip.select(False)
    with pytest.raises(fault, match="16 MHz"):
        bench.raw(b"\xc0\x00", baudrate=20_000_000)


def test_mode_switches_take_the_time_of_table_8_2(clock, host):
    crystal = Bench(clock, host, tcxo_mv=None)
    crystal.init(tcxo=False)
    crystal.tx_setup(bytes(10), sf=7)

    def busy_after(command):
        crystal.wait()
        crystal.raw(bytes.fromhex(command))
        return crystal.wait() // US

    assert busy_after("8001") == 31
    assert busy_after("C1") == 40
    assert busy_after("82FFFFFF") == 41
    assert busy_after("C1") == 15
    assert busy_after("8000") <= 1
    assert busy_after("82FFFFFF") == 83
    assert busy_after("83000000") == 92
    crystal.run(100 * MS)
    assert busy_after("83000000") == 126
    crystal.run(100 * MS)
    assert crystal.mode() == STBY_RC
    assert [len(entry.what.payload) for entry in crystal.air.log] == [10, 10]


def test_tcxo_start_is_part_of_the_switch(ready):
    ready.tx_setup(bytes(10), sf=7)
    ready.wait()
    ready.raw(bytes.fromhex("83000000"))
    assert ready.wait() == 5 * MS + 126 * US


def test_without_tcxo_voltage_nothing_is_sent(bench):
    bench.wait()
    assert bench.errors() == 0x20  # 13.3.6: XOSC_START_ERR after power-on with a TCXO
    bench.cmd("070000")
    assert bench.errors() == 0
    bench.cmd("8A01")
    bench.cmd(F868_1)
    bench.cmd("9502020001")
    bench.cmd("8E1604")
    bench.cmd("080263026300000000")
    bench.tx_setup(bytes(5), sf=7)
    bench.cmd("83000000")
    bench.run(500 * MS)
    assert (bench.errors(), bench.irq(), bench.mode(), len(bench.air.log)) == (0x20, 0, STBY_RC, 0)
    assert bench.cmd("C000")[1] >> 1 & 7 == 5  # failure to execute


def test_a_tcxo_delay_shorter_than_its_start_fails(bench):
    bench.cmd("9702000100")  # 4 ms
    bench.cmd("070000")
    bench.cmd("8001")
    assert (bench.errors(), bench.mode()) == (0x20, STBY_RC)


def test_without_the_second_calibration_the_pll_does_not_lock(bench):
    bench.init(calibrate=False)
    bench.tx_setup(bytes(5), sf=7)
    bench.cmd("83000000")
    assert bench.errors() == 0x40
    assert not bench.air.log


def test_the_word_for_868_1_mhz_is_that_frequency(ready):
    ready.tx_setup(bytes(23))
    ready.cmd("83000000")
    ready.run(2_000 * MS)
    assert ready.air.log[0].what.freq_hz == 868_100_000  # 13.4.1: word * 32 MHz / 2^25


@pytest.mark.parametrize(("sf", "air_us"), [(12, 1_482_752), (7, 61_696)])
def test_tx_done_comes_at_the_end_of_the_time_on_air(ready, sf, air_us):
    ready.tx_setup(bytes(range(23)), sf=sf)
    ready.wait()
    ready.raw(bytes.fromhex("83000000"))
    ready.wait()
    started = ready.clock.now
    ready.clock.run(started + air_us * US - 2 * US)
    assert (ready.host.level(DIO1), ready.mode()) == (0, TX)
    ready.run(2 * US)
    done = [when for when, pin, level in ready.host.edges if (pin, level) == (DIO1, 1)]
    entry = ready.air.log[0]
    assert (entry.end - entry.start, done) == (air_us * US, [entry.end])
    assert (entry.what.payload, entry.what.power_dbm) == (bytes(range(23)), 14.0)
    assert (ready.irq(), ready.mode()) == (1, STBY_RC)
    ready.cmd("020001")
    assert (ready.irq(), ready.host.level(DIO1)) == (0, 0)
    assert [frame.what.payload for frame, _, _ in ready.uplinks] == [bytes(range(23))]


def test_buffer_wraps_and_base_address_counts(ready):
    ready.tx_setup(b"ab", sf=7)
    ready.cmd("0EFE", b"wxyz")
    assert ready.cmd("1EFE0000000000")[3:] == b"wxyz"
    ready.cmd("8FFE00")
    ready.cmd("8C0008", [0, 4, 1, 0])
    ready.cmd("83000000")
    ready.run(500 * MS)
    assert ready.air.log[0].what.payload == b"wxyz"


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (["0D073609"], "IQ erratum 15.4"),
        (["0D088900"], "500 kHz erratum 15.1"),
        (["9D00"], "antenna switch on DIO2 not enabled"),
        (["0D07401424"], "sync word"),
        (["8C000800050000"], "no CRC or header"),
        (["8B07040101"], "low data rate optimisation"),
    ],
)
def test_a_modem_set_up_wrongly_is_not_heard(ready, commands, why):
    ready.tx_setup(bytes(5), sf=7)
    for command in commands:
        ready.cmd(command)
    ready.cmd("83000000")
    ready.run(500 * MS)
    assert (ready.irq(), ready.air.log[0].outcome, ready.uplinks) == (1, ((GATEWAY, why),), [])


def test_over_current_limit_below_the_need_is_a_fault_and_pa_config_restores_it(ready, fault):
    assert ready.cmd("1D08E70000")[4] == 0x38
    ready.cmd("0D08E718")
    ready.tx_setup(bytes(5), sf=7)
    with pytest.raises(fault, match="60 mA, the PA takes 90 mA"):
        ready.cmd("83000000")


def test_tx_timeout_stops_the_frame(ready):
    ready.tx_setup(bytes(23))
    ready.cmd("83000280")  # 10 ms
    ready.run(2_000 * MS)
    assert (ready.irq(), ready.air.log[0].outcome) == (0x200, ((GATEWAY, "aborted"),))


def test_rx_outside_the_calibrated_image_band_is_a_fault(ready, fault):
    ready.cmd("98E1E9")
    ready.rx_setup()
    with pytest.raises(fault, match="calibrated for 900 to 932 MHz"):
        ready.cmd("82000000")


def open_rx(bench, steps="82000000"):
    bench.wait()
    bench.raw(bytes.fromhex(steps))
    bench.wait()
    return bench.clock.now


@pytest.mark.parametrize("sf", range(7, 13))
def test_a_downlink_is_received_when_five_preamble_symbols_fall_into_the_window(ready, sf):
    symbol = (1 << sf) * 8 * US
    ready.rx_setup(sf, symbols=12)
    results = []
    for late in (-6, 0, 2, 3, 4):  # symbols of the preamble gone when the window opens
        start = ready.clock.now + 500 * MS
        ready.downlink(b"hello", start, sf)
        ready.clock.run(start + late * symbol - 5_083 * US - 100 * US)
        opened = open_rx(ready)
        assert 0 < start + late * symbol - opened < 100 * US
        ready.run(3_000 * MS)
        results.append(ready.irq())
        ready.cmd("02FFFF")
    assert results == [0x02, 0x02, 0x02, 0x02, 0x200]


def test_reception_gives_payload_pointer_and_levels(ready):
    ready.cmd("8F0080")
    ready.cmd("0803FF000200000000")
    ready.rx_setup(9, symbols=12)
    start = ready.clock.now + 50 * MS
    air = ready.downlink(b"downlink", start, 9)
    ready.clock.run(start - 10 * MS)
    open_rx(ready)
    ready.clock.run(start + air - 1)
    assert (ready.host.level(DIO1), ready.chip.irq) == (0, 0x14)
    ready.run(1)
    assert ready.host.level(DIO1) == 1
    assert ready.irq() == 0x16
    status, length, pointer = ready.cmd("13000000")[1:]
    assert (status >> 4 & 7, status >> 1 & 7, length, pointer) == (STBY_RC, 2, 8, 0x80)
    assert ready.cmd("1E8000", bytes(8))[3:] == b"downlink"
    assert ready.cmd("1E0000", bytes(8))[3:] != b"downlink"  # at the wrong pointer
    rssi, snr, _signal = ready.cmd("1400000000")[2:]
    assert -93 <= -rssi / 2 <= -73
    assert snr == 48
    assert ready.air.log[-1].outcome == ((ready.host.dev_eui, ""),)


@pytest.mark.parametrize("crc", [False, True])
def test_a_frame_that_another_one_wrecks_comes_garbled(ready, crc):
    ready.cmd("0803FF000200000000")
    ready.rx_setup(9)
    start = ready.clock.now + 100 * MS
    air = ready.downlink(b"downlink", start, 9, crc=crc)
    ready.downlink(b"other", start + air - 40 * MS, 9)
    ready.clock.run(start - 10 * MS)
    open_rx(ready)
    ready.clock.run(start + air)
    assert ready.irq() == 0x16 | 0x40 * crc
    assert ready.cmd("1E0000", bytes(8))[3:] != b"downlink"
    assert ready.air.log[-1].outcome == ((ready.host.dev_eui, "collision"),)


def test_symbol_timeout_ends_the_window_after_so_many_symbols(ready):
    ready.rx_setup(7, symbols=24)
    opened = open_rx(ready)
    ready.clock.run(opened + 24 * 1024 * US - 1 - 1 * US)
    assert ready.host.level(DIO1) == 0
    ready.run(1 + 1 * US)
    assert (ready.irq(), ready.mode()) == (0x200, STBY_RC)


def test_the_rx_timer_counts_15_625_us(ready):
    ready.rx_setup(7)
    opened = open_rx(ready, "82001900")  # 6400 steps
    ready.run(1_000 * MS)
    (rose,) = [when for when, pin, level in ready.host.edges if (pin, level) == (DIO1, 1)]
    assert 0 <= opened + 100 * MS - rose < 2 * US
    assert ready.irq() == 0x200


def test_the_timer_stops_at_the_header_or_at_the_preamble_when_told(ready):
    ready.rx_setup(12)
    for stop, expected in (("9F00", 0x200), ("9F01", 0x02)):
        ready.cmd(stop)
        start = ready.clock.now + 100 * MS
        ready.downlink(b"x", start)
        ready.clock.run(start - 20 * MS)
        open_rx(ready, "82004000")  # 256 ms: longer than the preamble's detection, shorter than the header
        ready.run(3_000 * MS)
        assert ready.irq() == expected
        ready.cmd("02FFFF")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iq_inverted": False}, "IQ"),
        ({"freq_hz": 869_325_000}, "frequency"),
        ({"sync_word": 0x1424}, "sync word"),
    ],
)
def test_a_foreign_frame_is_not_received(ready, changes, why):
    ready.rx_setup(9, symbols=20)
    start = ready.clock.now + 30 * MS
    ready.downlink(b"x", start, 9, **changes)
    ready.clock.run(start - 10 * MS)
    open_rx(ready)
    ready.run(1_000 * MS)
    assert (ready.irq(), ready.air.log[-1].outcome) == (0x200, ((ready.host.dev_eui, why),))


def test_the_iq_erratum_costs_the_downlink(ready):
    ready.rx_setup(9, symbols=20, iq_fix=False)
    start = ready.clock.now + 30 * MS
    ready.downlink(b"x", start, 9)
    ready.clock.run(start - 10 * MS)
    open_rx(ready)
    ready.run(1_000 * MS)
    assert (ready.irq(), ready.air.log[-1].outcome[0][1]) == (0x200, "IQ erratum 15.4")


def test_a_frame_longer_than_payload_length_is_a_header_error(ready):
    ready.cmd("0803FF03FF00000000")
    ready.rx_setup(9, symbols=20, limit=4)
    start = ready.clock.now + 30 * MS
    ready.downlink(b"12345", start, 9)
    ready.clock.run(start - 10 * MS)
    open_rx(ready)
    ready.run(1_000 * MS)
    assert ready.irq() & 0x22 == 0x20


def test_sleep_is_only_from_standby_and_deaf_for_500_us(ready, fault):
    ready.cmd("8001")
    ready.cmd("8404")
    assert ready.host.level(BUSY) == 1
    with pytest.raises(fault, match="500 µs"):
        ready.chip.select(True)


def test_sleep_from_fs_is_a_fault(ready, fault):
    ready.cmd("C1")
    with pytest.raises(fault, match="STDBY only"):
        ready.cmd("8404")


@pytest.mark.parametrize(("sleep", "wake_us"), [("8404", 340), ("8400", 3500)])
def test_wake_up_takes_the_time_of_its_kind(ready, sleep, wake_us):
    ready.cmd(sleep)
    ready.run(1 * MS)
    began = ready.clock.now
    ready.raw(b"\xc0\x00")
    ready.wait()
    assert abs(ready.clock.now - began - wake_us * US) <= 1 * US
    assert ready.mode() == STBY_RC


def test_a_command_to_a_sleeping_chip_is_a_fault(ready, fault):
    ready.cmd("8404")
    ready.run(1 * MS)
    with pytest.raises(fault, match="sleeping chip"):
        ready.raw(b"\x80\x00")


def sleep_and_wake(bench, command):
    bench.cmd(command)
    bench.run(1 * MS)
    bench.raw(b"\xc0\x00")


def test_warm_start_keeps_settings_but_not_three_registers_and_the_buffer(ready):
    ready.cmd("0E00", b"data")
    ready.cmd("0D073609")
    ready.cmd("0D08AC96")
    sleep_and_wake(ready, "8404")
    assert ready.cmd("1D0740000000")[4:] == b"\x34\x44"
    assert ready.cmd("1D07360000")[4] == 0x0D
    assert ready.cmd("1D08AC0000")[4] == 0x94
    assert ready.cmd("1E0000", bytes(4))[3:] != b"data"
    ready.tx_setup(bytes(5), sf=7)
    ready.cmd("83000000")
    ready.run(500 * MS)
    assert ready.irq() == 1


def test_the_retention_list_keeps_the_receiver_gain(ready):
    ready.cmd("0D029F0108AC")
    ready.cmd("0D08AC96")
    sleep_and_wake(ready, "8404")
    assert ready.cmd("1D08AC0000")[4] == 0x96


def test_cold_start_loses_everything(ready, fault):
    sleep_and_wake(ready, "8400")
    assert ready.cmd("1D0740000000")[4:] == b"\x14\x24"
    assert ready.errors() == 0x20
    with pytest.raises(fault, match="SetPacketType"):
        ready.cmd("8B07040100")


def test_reset_needs_100_us_and_gives_a_fresh_chip(ready, fault):
    ready.chip.output(RESET, 0)
    ready.run(200 * US)
    ready.chip.output(RESET, 1)
    assert abs(ready.wait() - 3500 * US) <= 1 * US
    assert ready.cmd("1D0740000000")[4:] == b"\x14\x24"
    ready.chip.output(RESET, 0)
    ready.run(20 * US)
    with pytest.raises(fault, match="100 µs"):
        ready.chip.output(RESET, 1)


def test_power_cut_in_a_frame_aborts_it(ready):
    ready.tx_setup(bytes(23))
    ready.cmd("83000000")
    ready.run(500 * MS)
    ready.chip.power(False)
    ready.run(2_000 * MS)
    assert (ready.air.log[0].outcome, ready.uplinks) == (((GATEWAY, "aborted"),), [])
    assert ready.host.pins[BUSY] is None


def test_configuration_while_transmitting_is_a_fault(ready, fault):
    ready.tx_setup(bytes(23))
    ready.cmd("83000000")
    ready.wait()
    with pytest.raises(fault, match="belongs in standby"):
        ready.cmd(F868_1)
