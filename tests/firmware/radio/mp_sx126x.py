"""The SX126x driver against the encodings of the datasheet (rev. 2.1): the bytes on the bus, one transaction each."""

from fakes import Clock, Pin, install

clock = Clock()
install(clock)

from radio import sx126x  # noqa: E402
from radio.sx126x import Sx126x  # noqa: E402
from radio.trait import Closed, Frame, RadioError, Sent  # noqa: E402


class Board:
    TCXO_MILLIVOLTS = 1800
    TCXO_START_US = 5000
    ANTENNA_GAIN_DB = 2


class Spi:
    """Records transactions as hex; answers reads from `answers` (opcode -> bytes after the status byte) and registers at their reset value."""

    def __init__(self):
        self.log = []
        self.answers = {0x17: b"\0\0"}
        self.registers = {0x0736: 0x0D, 0x0740: 0x14, 0x0889: 0x01, 0x08D8: 0xC8}
        self.nss = 1

    def write_readinto(self, out, into):
        assert self.nss == 0, "a transaction without NSS low"
        assert len(out) == len(into)
        self.log.append(out.hex())
        into[:] = b"\xa2" * len(into)
        if out[0] == 0x0D:
            self.registers[out[1] << 8 | out[2]] = out[3]
        elif out[0] == 0x1D:
            into[4] = self.registers[out[1] << 8 | out[2]]  # address, status, then data (13.2.2)
        elif out[0] == 0x1E:
            data = self.answers[0x1E]
            into[3 : 3 + len(data)] = data  # offset, status, then data (13.2.4)
        elif out[0] in self.answers:
            data = self.answers[out[0]]
            into[2 : 2 + len(data)] = data

    def select(self, level):
        self.nss = level


def chip(board=Board):
    spi = Spi()
    resets = []

    def reset(level):
        resets.append(level)
        spi.registers[0x0740] = 0x14  # of the sync word; the others' values do not matter here

    pins = (Pin(1, spi.select), Pin(1, reset), Pin(0), Pin(0))
    modem = Sx126x(spi, pins, board)
    modem.resets = resets
    return modem, spi, pins


SETUP = [
    "8000",  # SetStandby RC
    "1d07400000",  # the sync word's first byte: 0x14 after a reset
    "9702000140",  # SetDIO3AsTCXOCtrl 1.8 V, 5 ms = 320 x 15.625 us
    "070000",  # ClearDeviceErrors
    "897f",  # Calibrate all
    "9601",  # DC-DC
    "98d7db",  # CalibrateImage 863-870 MHz
    "17000000",  # GetDeviceErrors
    "9d01",  # DIO2 as RF switch
    "9330",  # fallback STDBY_XOSC
    "8a01",  # LoRa
    "8f0000",  # buffer bases
    "9f01",  # StopTimerOnPreamble
    "0d07403444",  # public sync word
    "1d08d80000",
    "0d08d8de",  # 15.2: |= 0x1E
]


def test_transmission_of_a_join_request():
    modem, spi, _pins = chip()
    phy = bytes(range(23))
    modem.prepare_transmit(phy, 868100000, 12, 125000, 16)
    assert modem.resets == [0, 1]
    n = len(SETUP)
    assert spi.log[:n] == SETUP, spi.log[:n]
    assert spi.log[n:] == [
        "8001",  # STDBY_XOSC
        "8636419999",  # 868.1 MHz x 2^25 / 32 MHz, rounded down
        "8b0c040101",  # SF12, 125 kHz, 4/5, low data rate optimisation
        "9502020001",  # +14 dBm of an SX1262
        "0d08e738",  # 140 mA
        "8e1604",  # full drive, 200 us
        "8c000800170100",  # preamble 8, explicit, 23 bytes, CRC, IQ normal
        "1d07360000",
        "0d07360d",  # 15.4: bit 2 set for normal IQ
        "1d08890000",
        "0d088905",  # 15.1: bit 2 set at 125 kHz
        "0e00" + phy.hex(),
        "0802010201" + "00000000",  # TxDone and Timeout on DIO1
        "0243ff",
    ], spi.log[n:]
    modem.start()
    assert spi.log[-1] == "83018b80", spi.log[-1]  # (1482 + 100) ms x 64


def test_setup_happens_once_until_sleep():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.prepare_receive(868100000, 7, 125000, 20)
    assert spi.log.count("897f") == 1
    modem.sleep()
    assert spi.log[-2:] == ["8000", "8400"]
    modem.prepare_receive(868100000, 7, 125000, 20)
    assert spi.log.count("897f") == 2
    assert modem.resets == [0, 1, 0, 1]


def test_receive_window():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    del spi.log[:]
    modem.prepare_receive(869525000, 12, 125000, 8)
    assert spi.log == [
        "8001",
        "8636586666",
        "8b0c040101",
        "8c000800ff0001",  # no CRC, IQ inverted
        "1d07360000",
        "0d073609",  # bit 2 cleared for inverted IQ
        "a008",
        "0d070620",  # 4 pairs, exponent 0
        "080262026200000000",  # RxDone, HeaderErr, CrcErr, Timeout
        "0243ff",
    ], spi.log
    modem.start()
    assert spi.log[-1] == "82000000"
    assert modem.poll() is None


def test_low_data_rate_only_from_sf11():
    modem, spi, _pins = chip()
    for sf, low in ((12, "01"), (11, "01"), (10, "00"), (7, "00")):
        modem.prepare_receive(868100000, sf, 125000, 8)
        assert "8b%02x0401%s" % (sf, low) in spi.log


def test_power_of_each_step():
    modem, spi, _pins = chip()
    for eirp, pa, drive in (
        (16, "0202", "16"),
        (14, "0202", "14"),
        (2, "0202", "08"),
        (18, "0203", "15"),
        (24, "0407", "16"),
    ):
        del spi.log[:]
        modem.prepare_transmit(b"a", 868100000, 7, 125000, eirp)
        assert "95%s0001" % pa in spi.log, (eirp, spi.log)
        assert "8e%s04" % drive in spi.log, (eirp, spi.log)


def test_symbol_timeout_of_long_windows():
    modem, spi, _pins = chip()
    for symbols, command, register in ((62, "a03e", "0d0706f8"), (64, "a040", "0d070641"), (248, "a0f8", "0d0706f9")):
        modem.prepare_receive(868100000, 7, 125000, symbols)
        assert command in spi.log and register in spi.log, spi.log


def test_power_of_an_sx1261():
    class Board1261(Board):
        SX1261 = True

    modem, spi, _pins = chip(Board1261)
    for eirp, pa, drive in (
        (16, "0400", "0e"),
        (17, "0600", "0e"),
        (20, "0600", "0e"),
        (2, "0400", "00"),
        (-30, "0400", "ef"),
    ):
        del spi.log[:]
        modem.prepare_transmit(b"a", 868100000, 7, 125000, eirp)
        assert "95%s0101" % pa in spi.log, (eirp, spi.log)
        assert "0d08e718" in spi.log  # 60 mA
        assert "8e%s04" % drive in spi.log, (eirp, spi.log)


def test_a_module_without_a_coil_keeps_the_linear_regulator():
    class Linear(Board):
        DCDC = False

    modem, spi, _pins = chip(Linear)
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    assert spi.log == [each for each in spi.log if each[:2] != "96"]
    assert spi.log[: len(SETUP) - 1] == [each for each in SETUP if each != "9601"]


def test_antenna_switch_on_pins():
    class Switched(Board):
        ANTENNA_SWITCH = (21, 22)

    made = []

    class Antenna(Pin):
        OUT = 3

        def __init__(self, number, mode, value):
            super().__init__(value)
            made.append((number, mode))

    sx126x.Pin = Antenna
    try:
        modem, _spi, _pins = chip(Switched)
    finally:
        sx126x.Pin = Pin
    assert made == [(21, 3), (22, 3)]
    levels = lambda: [pin.level for pin in modem._switch]  # noqa: E731
    assert levels() == [0, 0]
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    assert levels() == [0, 1]
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    assert levels() == [1, 0]
    modem.sleep()
    assert levels() == [0, 0]


def test_500_khz_erratum_clears_the_bit():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 500000, 16)
    assert spi.registers[0x0889] & 4 == 0


def test_frame_is_read_where_the_chip_says():
    modem, spi, pins = chip()
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    spi.answers[0x12] = b"\x00\x02"
    spi.answers[0x13] = b"\x04\x80"
    spi.answers[0x14] = bytes([0xA0, 0xF7, 0xA0])  # -80 dBm, -9 quarters
    spi.answers[0x1E] = b"abcd"
    clock.sleep_us(5000)
    pins[3].rise()
    at = clock.us
    clock.sleep_us(7000)
    event = modem.poll()
    assert isinstance(event, Frame)
    assert event.phy == b"abcd"
    assert event.snr_db == -2
    assert event.rssi_dbm == -80
    assert event.ticks_us == at, "the time of the interrupt, not of the look"
    assert "1e800000000000" in spi.log


def test_an_empty_frame_is_not_asked_of_the_buffer():
    modem, spi, pins = chip()
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    spi.answers[0x12] = b"\x00\x02"
    spi.answers[0x13] = b"\x00\x80"
    spi.answers[0x14] = bytes(3)
    pins[3].rise()
    assert modem.poll().phy == b""
    assert not [line for line in spi.log if line.startswith("1e")], "ReadBuffer without a byte to read (13.2.4)"


def test_sent_and_closed():
    modem, spi, pins = chip()
    for irq, kind in ((0x0001, Sent), (0x0200, Closed), (0x0020, Closed), (0x0042, Closed)):
        if kind is Sent:
            modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
        else:
            modem.prepare_receive(868100000, 7, 125000, 8)
        modem.start()
        spi.answers[0x12] = bytes([irq >> 8, irq & 0xFF])
        pins[3].rise()
        assert isinstance(modem.poll(), kind), hex(irq)
        pins[3].level = 0
        assert modem.poll() is None


def test_lost_edge_is_seen_by_level():
    modem, spi, pins = chip()
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    spi.answers[0x12] = b"\x02\x00"
    pins[3].level = 1
    assert isinstance(modem.poll(), Closed)


def test_a_handler_that_runs_after_its_event_was_read_costs_nothing():
    modem, spi, pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    spi.answers[0x12] = b"\x00\x01"
    pins[3].level = 1
    assert isinstance(modem.poll(), Sent)
    pins[3].level = 0
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    pins[3].handler(pins[3])  # of the transmission before
    clock.sleep_us(50000)
    pins[3].rise()
    at = clock.us
    assert modem.poll().ticks_us == at


def raised(call):
    try:
        call()
    except RadioError as error:
        return str(error)
    raise AssertionError("no RadioError")


def test_busy_for_ever_is_one_sentence():
    modem, spi, pins = chip()
    pins[2].level = 1
    text = raised(lambda: modem.prepare_transmit(b"a", 868100000, 7, 125000, 16))
    assert text.startswith("SX126x: BUSY stays high before command 0x80"), text
    assert spi.log == []


def test_busy_is_waited_for():
    modem, spi, pins = chip()
    pins[2].level = 1
    clock.at(clock.us + 5000, lambda: pins[2](0))
    modem.prepare_receive(868100000, 7, 125000, 8)
    assert spi.log[0] == "8000"


def test_device_errors_are_named():
    modem, spi, _pins = chip()
    spi.answers[0x17] = b"\x00\x20"
    assert "0x0020" in raised(lambda: modem.prepare_transmit(b"a", 868100000, 7, 125000, 16))
    modem.sleep()
    assert spi.log[-2:] == ["8000", "8400"], "it was reset and would stay in standby"
    spi.answers[0x17] = b"\0\0"
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    assert modem.resets == [0, 1, 0, 1]


def test_a_chip_that_was_not_woken_is_left_asleep():
    modem, spi, _pins = chip()
    modem.sleep()
    assert spi.log == []


def test_transmission_that_times_out_is_an_error():
    modem, spi, pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    spi.answers[0x12] = b"\x02\x00"
    pins[3].rise()
    assert "transmission" in raised(modem.poll)


def test_abort_ends_the_window_and_forgets_its_interrupt():
    modem, spi, pins = chip()
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    pins[3].rise()
    pins[3].level = 0
    spi.log.clear()
    modem.abort()
    assert spi.log == ["8001", "0243ff"], spi.log  # SetStandby XOSC, ClearIrqStatus
    assert modem.poll() is None
    assert len(spi.log) == 2
