"""The SX127x driver against the registers of the datasheet (rev. 7) and the errata note: the bytes on the bus, one transaction each."""

from fakes import Clock, Pin, install

clock = Clock()
install(clock)

from radio import sx127x  # noqa: E402
from radio.sx127x import Sx127x  # noqa: E402
from radio.trait import Closed, Frame, RadioError, Sent  # noqa: E402


class Board:
    PA_BOOST = True
    ANTENNA_GAIN_DB = 2


class Spi:
    """Registers at their reset values, the FIFO behind its pointer, transactions as hex; `dead`: what MISO shows instead."""

    def __init__(self):
        self.log = []
        self.registers = bytearray(128)
        self.registers[0x01] = 0x09
        self.registers[0x42] = 0x12
        self.fifo = bytearray(256)
        self.dead = None
        self.endless = False  # reception goes on until it is ended
        self.calibrating = 3  # looks until the image calibration has ended
        self.nss = 1

    def write_readinto(self, out, into):
        assert self.nss == 0, "a transaction without NSS low"
        assert len(out) == len(into)
        self.log.append(out.hex())
        if self.dead is not None:
            into[:] = bytes([self.dead]) * len(into)
            return
        at = out[0] & 0x7F
        for i in range(1, len(out)):
            if out[0] & 0x80:
                self.set(at, out[i])
            else:
                into[i] = self.get(at)
            if at:
                at += 1

    def set(self, at, value):
        registers = self.registers
        if at == 0x00:
            self.fifo[registers[0x0D]] = value
            registers[0x0D] = (registers[0x0D] + 1) & 0xFF
        elif at == 0x01:
            if registers[1] & 7:  # LongRangeMode changes in sleep only
                value = value & 0x7F | registers[1] & 0x80
            registers[1] = value
            if value & 7 in (3, 6) and not self.endless:
                registers[1] = 0x81  # what the chip does by itself at the end
        elif at == 0x12:
            registers[at] &= ~value
        elif at == 0x3B and not registers[1] & 0x80:
            assert registers[1] == 0x01, "image calibration outside FSK standby"
            assert bytes(registers[6:9]) == b"\xd9\x06\x66", "image calibration at another frequency"
            registers[at] = value & ~0x40 | 0x20
        else:
            registers[at] = value

    def get(self, at):
        registers = self.registers
        if at == 0x00:
            registers[0x0D] = (registers[0x0D] + 1) & 0xFF
            return self.fifo[registers[0x0D] - 1]
        if at == 0x3B and not registers[1] & 0x80:
            if self.calibrating:
                self.calibrating -= 1
            else:
                registers[at] &= ~0x20
        return registers[at]

    def select(self, level):
        self.nss = level


def chip(board=Board):
    spi = Spi()
    resets = []

    def reset(level):
        resets.append((level, clock.us))
        if level:
            spi.registers[0x01] = 0x09
            spi.calibrating = 3

    pins = (Pin(1, spi.select), Pin(1, reset), Pin(0), Pin(0))
    modem = Sx127x(spi, pins, board)
    modem.resets = resets
    return modem, spi, pins


SETUP = [
    "4200",  # version
    "8101",  # FSK standby, high-frequency registers
    "86d90666",  # 868.1 MHz x 2^19 / 32 MHz, rounded down
    "bb42",  # image calibration
    "3b00",
    "3b00",
    "3b00",
    "3b00",
    "8100",  # FSK sleep
    "8180",  # LoRa sleep
    "8181",  # LoRa standby
    "8b2b",  # OCP 100 mA
    "8c23",  # LNA boost
    "8e00",  # FIFO bases
    "8f00",
    "b934",  # public sync word
    "cd84",  # PaDac: at most +17 dBm
]


def test_transmission_of_a_join_request():
    modem, spi, _pins = chip()
    phy = bytes(range(23))
    began = clock.us
    modem.prepare_transmit(phy, 868100000, 12, 125000, 16)
    (low, at), (high, later) = modem.resets
    assert (low, high) == (0, 1)
    assert at == began
    assert later - at >= 100, "7.2.2: low for 100 us"
    assert clock.us - later >= 5000, "7.2.2: then 5 ms"
    n = len(SETUP)
    assert spi.log[:n] == SETUP, spi.log[:n]
    assert spi.log[n:] == [
        "0100",  # in standby
        "86d90666",
        "9d72c400000817",  # 125 kHz 4/5 explicit; SF12 with CRC; no window; preamble 8; 23 bytes
        "a60c",  # low data rate optimisation, AGC
        "b327",  # IQ normal
        "bb1d",
        "b603",
        "af400043",  # errata 2.3
        "c040",  # DIO0 = TxDone
        "92ff",
        "898c",  # PA_BOOST, 17 - (15 - 12) = 14 dBm
        "8d00",
        "80" + phy.hex(),
    ], spi.log[n:]
    modem.start()
    assert spi.log[-1] == "8183"
    assert bytes(spi.fifo[:23]) == phy


def test_setup_happens_once_until_sleep():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.prepare_receive(868100000, 7, 125000, 20)
    assert spi.log.count("bb42") == 1
    modem.sleep()
    assert spi.log[-1] == "8180"
    modem.sleep()
    assert spi.log.count("8180") == 2, "sleep is one command"
    modem.prepare_receive(868100000, 7, 125000, 20)
    assert spi.log.count("bb42") == 2
    assert [level for level, _ in modem.resets] == [0, 1, 0, 1]


def test_receive_window():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    del spi.log[:]
    modem.prepare_receive(869525000, 12, 125000, 8)
    assert spi.log == [
        "0100",
        "86d96199",  # 869.525 MHz
        "9d72c0080008ff",  # no CRC expected, 8 symbols, the longest payload
        "a60c",
        "b367",  # IQ inverted in reception,
        "bb19",
        "b603",
        "af400043",
        "c000",  # DIO0 = RxDone, DIO1 = RxTimeout
        "92ff",
    ], spi.log
    modem.start()
    assert spi.log[-1] == "8186"
    assert modem.poll() is None


def test_windows_of_4_to_1023_symbols():
    modem, spi, _pins = chip()
    for symbols, expected in ((4, "9d727004"), (255, "9d7270ff"), (256, "9d727100"), (1023, "9d7273ff")):
        modem.prepare_receive(868100000, 7, 125000, symbols)
        assert expected + "0008ff" in spi.log, symbols
    assert modem.max_symbols == 1023


def test_low_data_rate_only_from_16_ms():
    modem, spi, _pins = chip()
    for bandwidth, least in ((125000, 11), (250000, 12), (500000, 13)):
        for sf in range(7, 13):
            modem.prepare_receive(868100000, sf, bandwidth, 8)
            assert spi.registers[0x26] == (0x0C if sf >= least else 0x04), (sf, bandwidth)


def test_errata_follow_the_bandwidth():
    modem, spi, _pins = chip()
    for bandwidth, config, bw_optimize, spurious in (
        (500000, 0x92, 0x02, b"\x20\x00\xc3"),
        (125000, 0x72, 0x03, b"\x40\x00\x43"),
        (250000, 0x82, 0x03, b"\x40\x00\x43"),
    ):
        modem.prepare_receive(868100000, 7, bandwidth, 8)
        assert (spi.registers[0x1D], spi.registers[0x36]) == (config, bw_optimize)
        assert bytes(spi.registers[0x2F:0x32]) == spurious
        if bandwidth == 500000:
            assert spi.registers[0x3A] == 0x64


def test_power_of_each_step_at_pa_boost():
    modem, spi, _pins = chip()
    for step in range(8):  # EU868's TXPower; 2 dB of antenna gain, so 14 dBm at most
        modem.prepare_transmit(b"a", 868100000, 7, 125000, 16 - 2 * step)
        assert spi.registers[0x09] == 0x80 | max(0, 12 - 2 * step), step  # PA_BOOST has no less than 2 dBm
    for eirp, power in ((18, 0x8E), (19, 0x8F), (24, 0x8F)):  # 16 dBm, 17 dBm, no more
        modem.prepare_transmit(b"a", 868100000, 7, 125000, eirp)
        assert spi.registers[0x09] == power, eirp
    assert (spi.registers[0x0B], spi.registers[0x4D]) == (0x2B, 0x84)


def test_power_of_each_step_at_rfo():
    class Rfo(Board):
        PA_BOOST = False

    modem, spi, _pins = chip(Rfo)
    for step, power in enumerate((0x7E, 0x7C, 0x7A, 0x78, 0x76, 0x74, 0x72, 0x70)):
        modem.prepare_transmit(b"a", 868100000, 7, 125000, 16 - 2 * step)
        assert spi.registers[0x09] == power, step
    for eirp, power in ((18, 0x7E), (1, 0x03), (-2, 0x00), (-9, 0x00)):  # at most +14 dBm; -1, -4 dBm, no less
        modem.prepare_transmit(b"a", 868100000, 7, 125000, eirp)
        assert spi.registers[0x09] == power, eirp


def test_frame_is_read_where_the_chip_says():
    modem, spi, pins = chip()
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    for place, snr, rssi, snr_db, rssi_dbm in ((0x00, 0xF7, 90, -2, -70), (0xFE, 0x1A, 75, 7, -77)):
        spi.registers[0x10] = place
        spi.registers[0x12] = 0x50  # RxDone, ValidHeader
        spi.registers[0x13] = 4
        spi.registers[0x19] = snr
        spi.registers[0x1A] = rssi
        for i, byte in enumerate(b"abcd"):
            spi.fifo[(place + i) & 0xFF] = byte
        clock.sleep_us(5000)
        pins[2].rise()
        at = clock.us
        clock.sleep_us(7000)
        event = modem.poll()
        assert isinstance(event, Frame)
        assert event.phy == b"abcd"
        assert (event.snr_db, event.rssi_dbm) == (snr_db, rssi_dbm)
        assert event.ticks_us == at, "the time of the interrupt, not of the look"
        assert spi.registers[0x12] == 0
        pins[2].level = 0


def test_sent_and_closed():
    modem, spi, pins = chip()
    for irq, dio, kind in ((0x08, 2, Sent), (0x80, 3, Closed), (0x70, 2, Closed)):
        if kind is Sent:
            modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
        else:
            modem.prepare_receive(868100000, 7, 125000, 8)
        modem.start()
        spi.registers[0x12] = irq
        pins[dio].rise()
        at = clock.us
        event = modem.poll()
        assert isinstance(event, kind), hex(irq)
        assert event.ticks_us == at
        pins[dio].level = 0
        assert modem.poll() is None


def test_lost_edge_is_seen_by_level():
    modem, spi, pins = chip()
    for dio, irq in ((2, 0x08), (3, 0x80)):
        modem.prepare_receive(868100000, 7, 125000, 8)
        modem.start()
        spi.registers[0x12] = irq
        pins[dio].level = 1
        assert isinstance(modem.poll(), (Sent, Closed))
        pins[dio].level = 0


def test_a_handler_that_runs_after_its_event_was_read_costs_nothing():
    modem, spi, pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    spi.registers[0x12] = 0x08
    pins[2].level = 1
    assert isinstance(modem.poll(), Sent)
    pins[2].level = 0
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    pins[2].handler(pins[2])  # of the transmission
    clock.sleep_us(50000)
    spi.registers[0x12] = 0x80
    pins[3].rise()
    at = clock.us
    assert modem.poll().ticks_us == at


def test_abort_ends_the_window_and_forgets_its_interrupt():
    modem, spi, pins = chip()
    spi.endless = True
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    assert spi.registers[0x01] == 0x86
    spi.registers[0x12] = 0x80
    pins[3].rise()
    pins[3].level = 0
    modem.abort()
    assert spi.registers[0x01] == 0x81
    assert spi.registers[0x12] == 0
    assert modem.poll() is None


def raised(call):
    try:
        call()
    except RadioError as error:
        return str(error)
    raise AssertionError("no RadioError")


def test_a_chip_that_does_not_answer_is_one_sentence():
    for dead in (0x00, 0xFF):
        modem, spi, _pins = chip()
        spi.dead = dead
        text = raised(lambda m=modem: m.prepare_transmit(b"a", 868100000, 7, 125000, 16))
        assert text == "SX127x: version 0x%02x instead of 0x12; check SPI, NSS, RESET and the supply" % dead, text
        modem.sleep()
        assert spi.log[-1] == "8180", "what has been reset does not stay awake"
        spi.dead = None
        modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
        assert modem.resets[2:], "tried again from the reset on"


def test_a_chip_that_started_anew_is_not_trusted():
    modem, spi, _pins = chip()
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    for mode, dead in ((0x09, None), (0xFF, 0xFF)):
        spi.registers[0x01] = 0x09
        spi.dead = dead
        text = raised(lambda: modem.prepare_receive(868100000, 7, 125000, 8))
        assert text == "SX127x: mode 0x%02x instead of 0x81; check SPI, NSS and the supply" % mode, text


def test_calibration_without_end_is_named():
    modem, spi, pins = chip()
    pins[1].on_set = lambda level: setattr(spi, "calibrating", 10000)
    assert "crystal" in raised(lambda: modem.prepare_transmit(b"a", 868100000, 7, 125000, 16))


def test_tcxo_of_the_board_is_told_before_the_calibration():
    class Tcxo(Board):
        TCXO_START_US = 5000

    modem, spi, _pins = chip(Tcxo)
    modem.prepare_receive(868100000, 7, 125000, 8)
    assert spi.log[:3] == ["4200", "cb19", "8101"], spi.log[:3]


def test_antenna_switch_follows_the_mode():
    class Switched(Board):
        ANTENNA_SWITCH = (6, 7)

    made = []

    class Out(Pin):
        OUT = 3

        def __init__(self, number, mode, value):
            assert (mode, value) == (3, 0)
            Pin.__init__(self)
            made.append((number, self))

    plain, sx127x.Pin = sx127x.Pin, Out
    modem, _spi, _pins = chip(Switched)
    sx127x.Pin = plain
    (rx_number, rx), (tx_number, tx) = made
    assert (rx_number, tx_number) == (6, 7)
    modem.prepare_transmit(b"a", 868100000, 7, 125000, 16)
    modem.start()
    assert (rx(), tx()) == (0, 1)
    modem.prepare_receive(868100000, 7, 125000, 8)
    modem.start()
    assert (rx(), tx()) == (1, 0)
    modem.sleep()
    assert (rx(), tx()) == (0, 0)
