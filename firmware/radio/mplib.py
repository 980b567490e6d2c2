"""The trait over micropython-lib's `lora` modems, for boards that have lora-sync with lora-sx126x or lora-sx127x frozen in or installed.

docs/lorawan.md, "Radio drivers", lists its faults. Where its public verbs do not suffice, its command door (`_cmd`, `_reg_read`, `_reg_write`),
its interrupt flags and some attributes are used. A modem is made anew after each sleep: the library does not bring lost registers back.
"""

# ruff: noqa: SLF001  said above

from collections import namedtuple
from time import sleep_ms, sleep_us, ticks_us

import lora  # type: ignore[import-not-found]  # no package registry has it: it is on boards only
from machine import Pin

from .trait import Closed, Frame, RadioError, Sent

_SETTINGS = {"syncword": 0x34, "preamble_len": 8, "coding_rate": 5, "invert_iq_rx": True, "invert_iq_tx": False}
_Switch = namedtuple("_Switch", ("rx", "tx", "idle"))  # what the library calls for the antenna


def _verb(call):
    """What the library raises when the chip fails becomes the trait's error."""

    def guarded(self, *arguments):
        try:
            return call(self, *arguments)
        except RuntimeError as fault:
            raise RadioError("%s by micropython-lib: %s; check its wiring and the supply" % (self._name, fault))

    return guarded


class Sx126x:
    """In the place of sx126x.Sx126x, of the same pins and board file."""

    CHIP = ""
    FIRST_LINE = 3  # the interrupt pins are the last ones
    COLD: tuple = (False,)  # sleep without the warm start
    max_symbols = 248
    lead_us = 3000  # a start sends all of the window's settings: a dozen transactions and their Python

    def __init__(self, spi, pins, board):
        self._spi = spi
        self._pins = pins
        self._board = board
        self._name = self.CHIP or ("SX1261" if getattr(board, "SX1261", False) else "SX1262")  # in `lora`
        pins = [Pin(number, Pin.OUT, value=0) for number in getattr(board, "ANTENNA_SWITCH", ())]
        self._switch = pins and _Switch(
            lambda: pins[0](1), lambda _: [pin(1) for pin in pins[1:]], lambda: [pin(0) for pin in pins]
        )
        self._modem: lora.SX1262 = None
        self._begin: tuple = ()  # the library's verb that begins what was prepared, and its arguments
        self._fired_us = None

    @_verb
    def prepare_transmit(self, phy, frequency, sf, bandwidth, eirp):
        """Load a frame; see trait.py."""
        modem = self._tuned(frequency, sf, bandwidth, True, self._power(eirp - self._board.ANTENNA_GAIN_DB))
        modem.prepare_send(phy)
        self._begin = (modem.start_send,)

    @_verb
    def prepare_receive(self, frequency, sf, bandwidth, symbols):
        """Set a window up; see trait.py."""
        modem = self._tuned(frequency, sf, bandwidth, False, {})
        self._begin = (modem.start_recv, self._window(modem, symbols))

    @_verb
    def start(self):
        """Begin what was prepared."""
        self._fired_us = None
        self._begin[0](*self._begin[1:])

    @_verb
    def poll(self):
        """The event that an interrupt told of, or None."""
        at, self._fired_us = self._fired_us, None
        # the level as well: an edge that the port lost must not cost the frame
        if at is None and not any(line() for line in self._pins[self.FIRST_LINE :]):
            return None
        at = at or ticks_us()
        modem = self._modem
        flags = modem._get_irq()
        modem._clear_irq()
        if flags & modem._IRQ_TX_COMPLETE:
            return Sent(at)
        if modem._rx_flags_success(flags) and self._length(modem):
            packet = modem._read_packet(None, flags)
            return Frame(at, bytes(packet), (packet.snr + 2) >> 2, self._level(modem, packet))
        if flags:
            modem.standby()
            return Closed(at)
        return None

    @_verb
    def abort(self):
        """End what runs."""
        self._modem.standby()

    @_verb
    def sleep(self):
        """Least current; the next prepare starts over."""
        modem, self._modem = self._modem, None
        if modem:
            modem.sleep(*self.COLD)

    def _fired(self):
        self._fired_us = ticks_us()  # the last call counts: a late one may tell of an edge that poll() saw by its level

    def _tuned(self, frequency, sf, bandwidth, crc, settings):
        """The modem in standby with these settings; made first if it sleeps."""
        # whole kHz: a fraction would be computed in single precision
        settings.update({"freq_khz": (frequency + 500) // 1000, "sf": sf, "bw": bandwidth // 1000, "crc_en": crc})
        modem = self._modem
        if modem is None:
            modem = self._modem = self._make(self._board, *self._pins)
            modem.set_irq_callback(self._fired)
            modem.configure(_SETTINGS)
            modem.configure(settings)  # the calibration is for this frequency's band
            self._calibrate(modem)
        modem.standby()
        modem._crc_en = crc  # the SX126x has no setting for it
        modem.configure(settings)
        return modem

    def _make(self, board, nss, reset, busy, dio1):
        make, tcxo = getattr(lora, self._name), (board.TCXO_MILLIVOLTS, board.TCXO_START_US)
        modem = make(self._spi, nss, busy, dio1, True, *tcxo, reset=reset, ant_sw=self._switch)
        modem._cmd("BB", 0x96, getattr(board, "DCDC", True))  # SetRegulatorMode
        modem._cmd("BB", 0x89, 0x7F)  # Calibrate all, now that the TCXO runs (13.3.6)
        modem._wait_not_busy(50000)
        modem._cmd(">BHHHH", 0x08, 0x0263, 0x0263, 0, 0)  # SetDioIrqParams: the library's, and HeaderErr
        modem._invert_workaround = self._polarity
        return modem

    def _calibrate(self, modem):
        modem.calibrate_image()

    def _polarity(self, inverted):
        """15.4: bit 2 of 0x0736 is 0 for inverted IQ, 1 for standard; the library calls this at the right places."""
        old = self._modem._reg_read(0x0736)
        self._modem._reg_write(0x0736, old & ~4 if inverted else old | 4)

    def _power(self, dbm):
        return {"output_power": dbm, "pa_ramp_us": 200}  # always both: a ramp alone may mean +22 dBm

    def _window(self, modem, symbols):
        modem._cmd("BB", 0xA0, symbols)  # SetLoRaSymbNumTimeout, and its register, as in sx126x.py
        modem._reg_write(0x0706, symbols << 2 if symbols <= 62 else symbols & 0xF8 | 1)
        # no milliseconds: that timer would cut a frame off before its header

    def _length(self, modem):
        return modem._cmd("B", 0x13, n_read=3)[1]  # GetRxBufferStatus; the library cannot read a frame of no bytes

    def _level(self, _, packet):
        return packet.rssi


class Sx127x(Sx126x):
    """In the place of sx127x.Sx127x: what the other family does otherwise."""

    CHIP = "SX1276"
    FIRST_LINE = 2
    COLD = ()
    max_symbols = 1023

    def _make(self, board, nss, reset, dio0, dio1):
        reset(0)  # not by the library, which would drive the line high afterwards (7.2: let go)
        sleep_ms(1)
        reset(1)
        sleep_ms(6)
        modem = getattr(lora, self._name)(self._spi, nss, dio0, dio1, ant_sw=self._switch)
        if getattr(board, "TCXO_START_US", 0):
            modem._reg_write(0x4B, 0x19)
        modem._reg_update(0x01, 0x08, 0)  # LowFrequencyModeOn, which the reset sets
        modem._reg_write(0x2F, b"\x40\0")  # errata 2.3: the IF by hand, as the library clears AutomaticIFOn
        antenna = "PA_BOOST" if board.PA_BOOST else "RFO"
        modem.configure({"tx_ant": antenna, "lna_gain": None, "rx_boost": 1, "lna_boost_hf": 1})  # None: AGC
        return modem

    def _calibrate(self, modem):
        start_us = getattr(self._board, "TCXO_START_US", 1000)
        modem._set_mode(1, False)
        sleep_us(start_us)  # the library begins at once, before the oscillator runs
        modem.calibrate_image()
        sleep_us(start_us)

    def _power(self, dbm):
        return {"output_power": min(dbm, 17 if self._board.PA_BOOST else 14)}  # 20 would be 10 dBm

    def _window(self, modem, symbols):
        # the milliseconds that the library rounds up to so many symbols
        return (symbols - 1) * modem._get_t_sym_us() // 1000 + 1

    def _length(self, modem):
        return modem._reg_read(0x13)

    def _level(self, modem, packet):
        rssi = packet.rssi + (157 if modem._pa_boost else 164)  # as the chip gave it; 5.5.5, the high-frequency port
        return (rssi + (packet.snr >> 2) if packet.snr < 0 else rssi * 16 // 15) - 157
