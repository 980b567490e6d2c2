"""The SX1276 model against its datasheet, rev 7: bus, reset, modes, faults, transmission and power."""

import pytest
from sx1276_bench import (
    DIO0,
    DIO1,
    FSRX,
    FSTX,
    GATEWAY,
    MS,
    RESET,
    RX_DONE,
    RXCONTINUOUS,
    RXSINGLE,
    SLEEP,
    STDBY,
    TX,
    TX_DONE,
    US,
    Bench,
)

from tools.virtual_board.chips import sx1276_facts as facts


@pytest.fixture
def bench(clock, host):
    return Bench(clock, host)


@pytest.fixture
def ready(bench):
    bench.init()
    return bench


def test_after_power_on_it_is_in_fsk_standby_at_434_mhz(bench):
    bench.run(10 * MS)
    assert (bench.read(0x42), bench.read(0x01)) == (0x12, 0x09)
    assert bench.read(0x06, 3) == b"\x6c\x80\x00"
    assert facts.hertz(0x6C8000) == 434_000_000
    assert bench.dio() == (0, 0)


def test_the_word_for_868_1_mhz(ready):
    # Frf = word * 32 MHz / 2^19, steps of 61.035 Hz
    assert 0xD90666 == 868_100_000 * 2**19 // 32_000_000
    assert ready.transmit(bytes(5), sf=7).what.freq_hz == 868_099_976
    assert ready.uplinks[0].channel_hz == 868_100_000


def test_the_first_transfer_waits_10_ms_after_power_on(bench, fault):
    bench.run(9_900 * US)
    with pytest.raises(fault, match="100 µs too early"):
        bench.read(0x42)
    bench.run(100 * US)
    assert bench.read(0x42) == 0x12


def test_a_reset_is_100_us_low_and_then_5_ms_of_patience(ready, fault):
    ready.chip.output(RESET, 0)
    ready.run(99 * US)
    with pytest.raises(fault, match="must be low for 100 µs at least, was 99 µs"):
        ready.chip.output(RESET, None)
    ready.chip.output(RESET, 0)
    ready.run(100 * US)
    ready.chip.output(RESET, None)
    ready.run(4_900 * US)
    with pytest.raises(fault, match="100 µs too early"):
        ready.read(0x42)
    ready.run(100 * US)
    assert ready.read(0x42) == 0x12


def test_reset_sets_everything_back(ready):
    ready.write(0x00, *b"data")
    ready.chip.output(RESET, 0)
    ready.run(100 * US)
    assert ready.read(0x42) == 0
    ready.chip.output(RESET, 1)
    ready.run(5 * MS)
    assert (ready.read(0x01), ready.read(0x09), ready.chip.calibrated) == (0x09, 0x4F, {False})


def test_registers_are_written_and_read_in_bursts(ready):
    ready.write(0x06, 1, 2, 3)
    assert ready.read(0x06, 3) == b"\1\2\3"
    # while writing, MISO has the value before (SPI Interface)
    assert ready.raw([0x86, 7, 8]) == bytes([0, 1, 2])
    ready.chip.select(True)
    assert ready.chip.transfer(b"\x06", 2_000_000, 0) + ready.chip.transfer(bytes(3), 2_000_000, 0) == b"\0\7\x08\3"
    ready.chip.select(False)
    assert ready.raw([0x06, 0])[1] == 7


def test_the_fifo_goes_on_at_its_pointer_and_wraps(ready):
    ready.write(0x0D, 0xFE)
    ready.write(0x00, *b"wxyz")
    assert ready.read(0x0D) == 2
    assert ready.read(0x00, 2) != b"wx"  # no rewinding: the pointer stands behind
    ready.write(0x0D, 0xFE)
    assert ready.read(0x00, 4) == b"wxyz"


def test_lora_and_fsk_have_registers_of_their_own(ready):
    assert ready.read(0x39) == 0x34
    ready.write(0x01, 0x80 | 0x40 | 1)
    assert (ready.read(0x39), ready.read(0x3B)) == (0xF5, 0x02)
    ready.write(0x01, SLEEP)
    ready.write(0x01, 0x00)
    assert (ready.read(0x39), ready.read(0x3B)) == (0xF5, 0x02)
    ready.write(0x01, SLEEP)
    assert ready.read(0x39) == 0x34


@pytest.mark.parametrize(
    ("writes", "text"),
    [
        ("8101", "LongRangeMode changes in Sleep only"),
        ("8100 8183", "LongRangeMode changes in Sleep only"),
        ("8187", "channel activity detection"),
        ("81B1", "reserved bits"),
        ("8100 8105", "FSK is not used"),
        ("C200", "0x42 is reserved or read-only"),
        ("93FF", "0x13 is reserved or read-only"),
        ("AB00", "0x2b is reserved or read-only"),
        ("C300", "0x43 is reserved or read-only"),
        ("B103", "0x31: reserved bits 0x78 must stay 0x40"),
        ("CD07", "0x4d: reserved bits"),
        ("A200 8183", "RegPayloadLength: 0 is not permitted"),
        ("A00005 8183", "preamble of 6 symbols"),
        ("9F03 9E70 8186", "SymbTimeout is 4 to 1023 symbols, got 3"),
        ("9D12 8186", "bandwidth code 1"),
        ("9D70 8186", "coding rate 1 to 4, got 0"),
        ("9E50 8186", "spreading factor 6 to 12, got 5"),
        ("9E60 8186", "SF6 works with an implicit header only"),
        ("A404 8183", "frequency hopping"),
        ("863C0000 8186", "no band at 240000000 Hz"),
        ("8C03 A600 8186", "gain 1 to 6"),
        ("8180 8000", "not accessible in Sleep"),
        ("8180 0000", "not accessible in Sleep"),
        ("8180 8181 8000", "oscillator, which does not run yet"),
        ("8182 8000", "filled in Standby only, the chip is in FSTX"),
        ("8180 8100 8101 BB42", "before the oscillator runs"),
        ("8180 8100 BB42", "works in FSK mode and Standby only"),
        ("CD86 8183", "0x84, or 0x87 for \\+20 dBm"),
        ("CD87 894F 8183", "RFO needs 0x84"),
    ],
)
def test_what_the_datasheet_forbids_is_a_fault(ready, fault, writes, text):
    *before, last = [bytes.fromhex(part) for part in writes.split()]
    for part in before:
        ready.raw(part)
    with pytest.raises(fault, match=text):
        ready.raw(last)


def test_spi_mode_and_speed_are_checked(ready, fault):
    with pytest.raises(fault, match="CPOL"):
        ready.raw(b"\x42\0", mode=3)
    assert ready.raw(b"\x42\0", baudrate=10_000_000)[1] == 0x12
    with pytest.raises(fault, match="10 MHz"):
        ready.raw(b"\x42\0", baudrate=12_000_000)


def test_long_range_mode_may_change_in_the_write_that_goes_to_sleep(bench):
    bench.run(10 * MS)
    bench.write(0x01, SLEEP)  # micropython-lib, RadioHead
    assert bench.read(0x01) == SLEEP


@pytest.mark.parametrize("mode", [TX, RXCONTINUOUS])
def test_configuration_while_the_radio_works_is_a_fault_but_interrupts_may_be_cleared(ready, fault, mode):
    ready.tx_setup(bytes(23))
    ready.write(0x01, mode)
    ready.run(1 * MS)
    for address, value in ((0x12, 0xFF), (0x0D, 0), (0x40, 0), (0x11, 0)):
        ready.write(address, value)
    with pytest.raises(fault, match=r"belongs in Standby, the chip is in (TX|RXCONTINUOUS)"):
        ready.write(0x1D, 0x72)


@pytest.mark.parametrize(
    ("modes", "us"),
    [
        ((STDBY, TX), 60 + 55),  # TS_FS, TS_TR = 5 us + 1.25 * 40 us
        ((SLEEP, TX), 250 + 60 + 55),
        ((SLEEP, STDBY, TX), 250 - 8 + 60 + 55),  # two bytes at 2 MHz after the oscillator began
        ((FSTX, None, TX), 55),
        ((FSTX, TX), 60 - 8 + 55),
        ((FSRX, None, TX), 60 + 55),
        ((STDBY, RXCONTINUOUS), 60 + 119),
        ((SLEEP, RXSINGLE), 250 + 60 + 119),
        ((FSRX, None, RXSINGLE), 119),
    ],
)
def test_a_change_of_mode_takes_its_start_up_times(ready, modes, us):
    ready.tx_setup(bytes(10), sf=7)
    asked = 0
    for mode in modes:
        if mode is None:
            ready.run(1 * MS)
        else:
            ready.write(0x01, mode)
            asked = ready.clock.now
    begun = lambda: ready.chip._frame is not None or ready.chip._listening  # noqa: E731
    ready.clock.run(asked + us * US - 1)
    assert not begun()
    ready.clock.run(asked + us * US)
    assert begun()


@pytest.mark.parametrize("ramp", [(0x00, 3400), (0x0F, 10)])
def test_the_ramp_is_part_of_the_start(ready, ramp):
    code, us = ramp
    ready.write(0x0A, code)
    ready.tx_setup(bytes(10), sf=7)
    ready.write(0x01, TX)
    asked = ready.clock.now
    ready.run(1_000 * MS)
    assert ready.air.log[0].start == asked + 60 * US + 5 * US + us * 1250


@pytest.mark.parametrize(
    ("startup", "tcxo", "sent"), [(None, 0x09, 1), (None, 0x19, 0), (2 * MS, 0x19, 1), (2 * MS, 0x09, 0)]
)
def test_a_board_with_tcxo_needs_its_bit_and_one_with_a_crystal_must_not_have_it(clock, host, startup, tcxo, sent):
    bench = Bench(clock, host, tcxo_startup_ns=startup)
    bench.run(10 * MS)
    bench.write(0x4B, 0x19 if startup else 0x09)
    bench.init()
    bench.write(0x01, SLEEP)
    bench.write(0x01, STDBY)
    bench.run(startup or 250 * US)
    bench.tx_setup(bytes(5), sf=7)
    bench.write(0x4B, tcxo)
    bench.write(0x01, TX)
    bench.run(500 * MS)
    assert (len(bench.air.log), bench.read(0x01), bench.read(0x1C)) == (sent, STDBY, 0 if sent else 0x80)


@pytest.mark.parametrize(
    ("sf", "air_us"), [(7, 61_696), (8, 113_152), (9, 205_824), (10, 370_688), (11, 823_296), (12, 1_482_752)]
)
def test_tx_done_comes_at_the_end_of_the_time_on_air(ready, sf, air_us):
    ready.tx_setup(bytes(range(23)), sf)
    ready.write(0x01, TX)
    start = ready.clock.now + 115 * US
    ready.clock.run(start + air_us * US - 1)
    assert (ready.dio(), ready.chip.mode) == ((0, 0), 3)
    ready.run(1)
    entry = ready.air.log[0]
    assert (entry.start, entry.end, entry.what.payload) == (start, start + air_us * US, bytes(range(23)))
    assert (ready.dio(), ready.read(0x12), ready.read(0x01)) == ((1, 0), TX_DONE, STDBY)
    ready.write(0x12, RX_DONE)
    assert ready.read(0x12) == TX_DONE
    ready.write(0x12, TX_DONE)
    assert (ready.read(0x12), ready.dio()) == (0, (0, 0))
    assert [frame.what.payload for frame in ready.uplinks] == [bytes(range(23))]


def test_interrupts_go_where_they_are_mapped_and_masked_ones_do_not_come(ready):
    ready.tx_setup(bytes(5), sf=7)
    ready.write(0x40, 0x00)
    ready.write(0x01, TX)
    ready.run(500 * MS)
    assert (ready.read(0x12), ready.dio()) == (TX_DONE, (0, 0))
    ready.write(0x40, 0x40)
    assert ready.dio() == (1, 0)
    ready.write(0x12, 0xFF)
    ready.write(0x11, TX_DONE)
    ready.write(0x01, TX)
    ready.run(500 * MS)
    assert (ready.read(0x12), ready.dio(), len(ready.uplinks)) == (0, (0, 0), 2)


def test_standby_and_a_power_cut_end_a_frame(ready):
    ready.tx_setup(bytes(23))
    ready.write(0x01, TX)
    ready.run(500 * MS)
    ready.write(0x01, STDBY)
    assert ready.air.log[-1].outcome == ((GATEWAY, "aborted"),)
    ready.write(0x01, TX)
    ready.run(500 * MS)
    ready.chip.power(False)
    ready.run(2_000 * MS)
    assert (len(ready.air.log), ready.air.log[-1].outcome, ready.uplinks) == (2, ((GATEWAY, "aborted"),), [])
    assert (ready.host.pins[DIO0], ready.host.pins[DIO1]) == (None, None)


@pytest.mark.parametrize(
    ("writes", "why"),
    [
        ("B326 BB19", "IQ"),
        ("B326", "RegInvertIQ2"),
        ("BB19", "RegInvertIQ2"),
        ("B912", "sync word"),
        ("9E70", "no CRC or header"),
        ("9D73", "no CRC or header"),
        ("A60C", "low data rate optimisation"),
        ("894F", "the antenna is not on RFO"),
        ("866C8000", "the antenna is matched for 868 MHz"),
        ("86D94000", "no channel"),
    ],
)
def test_a_modem_set_up_wrongly_is_not_heard(ready, writes, why):
    ready.tx_setup(bytes(5), sf=7)
    for part in writes.split():
        ready.raw(bytes.fromhex(part))
    ready.write(0x01, TX)
    ready.run(500 * MS)
    assert (ready.read(0x12), ready.air.log[0].outcome, ready.uplinks) == (TX_DONE, ((GATEWAY, why),), [])


@pytest.mark.parametrize(
    ("config", "dac", "dbm"),
    [
        (0x8C, 0x84, 14.0),  # 17 - (15 - 12)
        (0x8E, 0x84, 16.0),
        (0x8F, 0x84, 17.0),
        (0x80, 0x84, 2.0),
        (0xFF, 0x84, 17.0),  # MaxPower is RFO's
        (0x8F, 0x87, 20.0),
        (0x8D, 0x87, 18.0),
        (0x4F, 0x84, 13.2),  # 10.8 + 0.6 * 4
        (0x7E, 0x84, 14.0),
        (0x70, 0x84, 0.0),
        (0x00, 0x84, -4.2),
    ],
)
def test_power_is_the_formula_of_the_amplifier(clock, host, config, dac, dbm):
    bench = Bench(clock, host, rfo=True)
    bench.init()
    bench.write(0x0B, 0x20 | 15)
    bench.write(0x4D, dac)
    bench.write(0x09, config)
    entry = bench.transmit(bytes(5), sf=7)
    assert (entry.what.power_dbm, entry.outcome) == (dbm, ((GATEWAY, ""),))


@pytest.mark.parametrize(
    ("config", "dac", "ocp", "limit"),
    [
        (0x8C, 0x84, 0x20 | 7, 80),
        (0x8E, 0x84, 0x20 | 7, 80),
        (0x8F, 0x84, 0x20 | 7, 80),
        (0x8F, 0x87, 0x2B, 100),  # as after a reset
        (0x8E, 0x87, 0x20 | 13, 110),
        (0x8F, 0x87, 0x20 | 14, 115),
        (0x8F, 0x87, 0x00, None),
    ],
)
def test_an_over_current_limit_below_the_need_is_a_fault(ready, fault, config, dac, ocp, limit):
    ready.write(0x09, config)
    ready.write(0x4D, dac)
    ready.write(0x0B, ocp)
    assert facts.over_current_ma(ocp) == limit
    if limit is None or limit >= 115:
        assert ready.transmit(bytes(5), sf=7).outcome == ((GATEWAY, ""),)
    else:
        with pytest.raises(fault, match=f"limit is {limit} mA, the PA takes"):
            ready.transmit(bytes(5), sf=7)


def test_the_over_current_table():
    # 45 + 5 * trim, -30 + 10 * trim, 240 (Trimming of the OCP Current)
    assert [facts.over_current_ma(0x20 | trim) for trim in (0, 11, 15, 16, 27, 28, 31)] == [
        45,
        100,
        120,
        130,
        240,
        240,
        240,
    ]
