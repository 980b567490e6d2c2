"""SX1261/2 (Semtech datasheet DS.SX1261-2.W.APP, rev. 2.1), as far as LoRaWAN needs it. Numbers in comments are its sections.

The chip is reset before it is trusted, and again after each sleep, because it loses its registers there (9.3). Between the uplink and RX2
it stays in STDBY_XOSC, so that neither the crystal nor the TCXO has to start while a window opens.
"""

from struct import pack, unpack
from time import sleep_ms, sleep_us, ticks_diff, ticks_us

from lorawan.airtime import low_rate, on_air_us
from machine import Pin
from micropython import const

from .trait import Closed, Frame, RadioError, Sent

_SET_SLEEP = const(0x84)
_SET_STANDBY = const(0x80)
_SET_TX = const(0x83)
_SET_RX = const(0x82)
_STOP_TIMER_ON_PREAMBLE = const(0x9F)
_SET_REGULATOR_MODE = const(0x96)
_CALIBRATE = const(0x89)
_CALIBRATE_IMAGE = const(0x98)
_SET_PA_CONFIG = const(0x95)
_SET_FALLBACK_MODE = const(0x93)
_WRITE_REGISTER = const(0x0D)
_READ_REGISTER = const(0x1D)
_WRITE_BUFFER = const(0x0E)
_READ_BUFFER = const(0x1E)
_SET_DIO_IRQ_PARAMS = const(0x08)
_GET_IRQ_STATUS = const(0x12)
_CLEAR_IRQ_STATUS = const(0x02)
_SET_DIO2_AS_RF_SWITCH = const(0x9D)
_SET_DIO3_AS_TCXO = const(0x97)
_SET_RF_FREQUENCY = const(0x86)
_SET_PACKET_TYPE = const(0x8A)
_SET_TX_PARAMS = const(0x8E)
_SET_MODULATION_PARAMS = const(0x8B)
_SET_PACKET_PARAMS = const(0x8C)
_SET_BUFFER_BASE = const(0x8F)
_SET_SYMBOL_TIMEOUT = const(0xA0)
_GET_RX_BUFFER_STATUS = const(0x13)
_GET_PACKET_STATUS = const(0x14)
_GET_DEVICE_ERRORS = const(0x17)
_CLEAR_DEVICE_ERRORS = const(0x07)

_IRQ_TX_DONE = const(0x0001)
_IRQ_RX_DONE = const(0x0002)
_IRQ_HEADER_ERR = const(0x0020)
_IRQ_CRC_ERR = const(0x0040)
_IRQ_TIMEOUT = const(0x0200)
_IRQ_ALL = const(0x43FF)

_STDBY_RC = b"\x00"
_STDBY_XOSC = b"\x01"

_REG_SYNC_TIMEOUT = const(0x0706)
_REG_IQ_POLARITY = const(0x0736)
_REG_SYNC_WORD = const(0x0740)
_REG_TX_MODULATION = const(0x0889)
_REG_TX_CLAMP = const(0x08D8)
_REG_OCP = const(0x08E7)
_SYNC_WORD_PUBLIC = b"\x34\x44"  # LoRaWAN's 0x34, each nibble followed by 4 (12.1)

_BANDWIDTHS = {125000: 0x04, 250000: 0x05, 500000: 0x06}  # 13.4.5.2
_CR_4_5 = const(0x01)
_RAMP_200_US = const(0x04)  # 13.4.4
# deviceSel, over-current limit in steps of 2.5 mA (5.4; SetPaConfig sets it as well), least and full drive in dBm, and of each setting that
# needs the least current for its power: dBm at full drive, paDutyCycle, hpMax (13.1.14.1)
_SX1262 = (0, b"\x38", -9, 22, ((14, 2, 2), (17, 2, 3), (20, 3, 5), (22, 4, 7)))
_SX1261 = (1, b"\x18", -17, 14, ((14, 4, 0), (15, 6, 0)))
_TCXO_VOLTS = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)  # mV by code (13.3.6)

_BUSY_MS = const(100)  # no command keeps BUSY high for longer; a calibration takes 3.5 ms (8.3.1) and the TCXO's start
_RX_START_US = const(200)  # STDBY_XOSC to RX 62 us (8.3.1), the command's bytes at 2 MHz, the interpreter
_TX_MARGIN_MS = const(100)


class Sx126x:
    """`spi`: mode 0, at most 16 MHz. `pins`: (nss, reset, busy, dio1) as machine.Pin; DIO2 switches the antenna.

    `board` has TCXO_MILLIVOLTS (what DIO3 supplies; 0 = a crystal), TCXO_START_US and ANTENNA_GAIN_DB, as boards/bare_s3.py has them, and may
    have SX1261 = True (else an SX1262), DCDC = False (a module without the converter's coil) and ANTENNA_SWITCH: the pins that are high to
    receive and to transmit, or the first alone where DIO2 does the second.
    """

    max_symbols = 248

    def __init__(self, spi, pins, board):
        self._spi = spi
        self._nss, self._reset, self._busy, self._dio1 = pins
        self._board = board
        self._pa = _SX1261 if getattr(board, "SX1261", False) else _SX1262
        self._switch = [Pin(number, Pin.OUT, value=0) for number in getattr(board, "ANTENNA_SWITCH", ())]
        self.lead_us = _RX_START_US
        self._stage = 0  # 0: asleep, or as the last boot left it; 1: reset; 2: set up
        self._start: tuple = ()  # the command that begins what was prepared, and its parameters
        self._fired = False
        self._fired_us = None
        self._nss(1)
        self._dio1.irq(self._on_dio1, Pin.IRQ_RISING)

    # --- the trait

    def prepare_transmit(self, phy, frequency, sf, bandwidth, eirp):
        """Load a frame; see trait.py."""
        self._wake()
        self._command(_SET_STANDBY, _STDBY_XOSC)
        self._tune(frequency, sf, bandwidth)
        self._set_power(eirp - self._board.ANTENNA_GAIN_DB)
        self._packet(len(phy), True, False)
        # 15.1: bit 2 is 0 for LoRa at 500 kHz, 1 for everything else, before each transmission
        old = self._read_register(_REG_TX_MODULATION)
        self._write_register(_REG_TX_MODULATION, bytes([old & ~4 if bandwidth == 500000 else old | 4]))
        self._command(_WRITE_BUFFER, b"\0" + phy)
        self._interrupts(_IRQ_TX_DONE | _IRQ_TIMEOUT)
        steps = (on_air_us(len(phy), sf, bandwidth) // 1000 + _TX_MARGIN_MS) * 64  # of 15.625 us (13.1.4)
        self._start = (_SET_TX, pack(">I", steps)[1:])

    def prepare_receive(self, frequency, sf, bandwidth, symbols):
        """Set a window up; see trait.py."""
        self._wake()
        self._command(_SET_STANDBY, _STDBY_XOSC)
        self._tune(frequency, sf, bandwidth)
        self._packet(255, False, True)
        self._command(_SET_SYMBOL_TIMEOUT, bytes([symbols]))
        # Semtech's own drivers write what the command leads to as well: a mantissa above an exponent of 4, counting pairs
        encoded = symbols << 2 if symbols <= 62 else symbols & 0xF8 | 1
        self._write_register(_REG_SYNC_TIMEOUT, bytes([encoded]))
        self._interrupts(_IRQ_RX_DONE | _IRQ_TIMEOUT | _IRQ_HEADER_ERR | _IRQ_CRC_ERR)
        # single mode without a timer (13.1.5): the symbols decide, and a frame that begins in time is heard to its end.
        # 15.3 concerns timers with an implicit header; there is neither here.
        self._start = (_SET_RX, b"\0\0\0")

    def start(self):
        """Begin what was prepared."""
        self._fired = False
        for i, pin in enumerate(self._switch):
            pin((self._start[0] == _SET_TX) == i)
        self._command(*self._start)

    def poll(self):
        """The event that DIO1 told of, or None."""
        # the level as well: an edge that the port lost must not cost the frame
        if not self._fired:
            if not self._dio1():
                return None
            self._fired_us = ticks_us()
        self._fired = False
        at = self._fired_us
        (irq,) = unpack(">H", self._query(_GET_IRQ_STATUS, 2))
        self._command(_CLEAR_IRQ_STATUS, pack(">H", _IRQ_ALL))
        if irq & _IRQ_TX_DONE:
            return Sent(at)
        if irq & (_IRQ_CRC_ERR | _IRQ_HEADER_ERR):
            self._command(_SET_STANDBY, _STDBY_XOSC)
            return Closed(at)
        if irq & _IRQ_RX_DONE:
            length, pointer = self._query(_GET_RX_BUFFER_STATUS, 2)
            rssi, snr, _ = self._query(_GET_PACKET_STATUS, 3)
            phy = self._query(_READ_BUFFER, length, bytes([pointer])) if length else b""
            snr = snr - 256 if snr > 127 else snr  # quarters of a dB (13.5.3)
            return Frame(at, phy, (snr + 2) >> 2, -(rssi >> 1))
        if irq & _IRQ_TIMEOUT:
            if self._start[0] == _SET_TX:
                raise RadioError("SX126x: transmission not done in its time; check the supply and the antenna")
            return Closed(at)
        return None

    def abort(self):
        """End what runs."""
        self._command(_SET_STANDBY, _STDBY_XOSC)
        self._command(_CLEAR_IRQ_STATUS, pack(">H", _IRQ_ALL))
        self._fired = False

    def sleep(self):
        """Cold sleep; the next prepare starts over."""
        if self._stage:
            self._stage = 0
            for pin in self._switch:
                pin(0)
            self._command(_SET_STANDBY, _STDBY_RC)  # sleep is reached from standby only (9.3)
            self._command(_SET_SLEEP, b"\0")  # cold start: 160 nA; nothing is kept, and nothing kept is trusted

    # --- set-up

    def _wake(self):
        """Reset and configure, once after power-up or sleep."""
        if self._stage == 2:
            return
        self._stage = 1
        self._reset(0)
        sleep_us(200)  # 8.1: at least 100 us
        self._reset(1)
        sleep_ms(1)
        self._command(_SET_STANDBY, _STDBY_RC)
        if self._read_register(_REG_SYNC_WORD) != 0x14:  # its value after a reset (12.1)
            raise RadioError("SX126x: no answer; check SPI, NSS, RESET and the supply")
        millivolts = self._board.TCXO_MILLIVOLTS
        if millivolts:
            if millivolts not in _TCXO_VOLTS:
                raise RadioError("SX126x: TCXO_MILLIVOLTS is %s; DIO3 supplies one of %s" % (millivolts, _TCXO_VOLTS))
            steps = self._board.TCXO_START_US * 64 // 1000
            self._command(_SET_DIO3_AS_TCXO, bytes([_TCXO_VOLTS.index(millivolts)]) + pack(">I", steps)[1:])
            # 13.3.6: the chip started without its clock; the error it noted is cleared and everything calibrated anew
            self._command(_CLEAR_DEVICE_ERRORS, b"\0\0")
            self._command(_CALIBRATE, b"\x7f")
        if getattr(self._board, "DCDC", True):
            self._command(_SET_REGULATOR_MODE, b"\x01")
        self._command(_CALIBRATE_IMAGE, b"\xd7\xdb")  # 863 to 870 MHz (9.2.1)
        (errors,) = unpack(">H", self._query(_GET_DEVICE_ERRORS, 2))
        if errors:
            raise RadioError(
                "SX126x: device errors 0x%04x after start; check TCXO voltage and start-up time in the board file"
                % errors
            )
        self._command(_SET_DIO2_AS_RF_SWITCH, b"\x01")
        self._command(_SET_FALLBACK_MODE, b"\x30")  # after TX and RX: STDBY_XOSC
        self._command(_SET_PACKET_TYPE, b"\x01")  # LoRa; it comes before modulation and packet parameters (14.2)
        self._command(_SET_BUFFER_BASE, b"\0\0")
        self._command(_STOP_TIMER_ON_PREAMBLE, b"\x01")
        self._write_register(_REG_SYNC_WORD, _SYNC_WORD_PUBLIC)
        # 15.2: the clamp on the PA is too strict when the antenna is mismatched
        self._write_register(_REG_TX_CLAMP, bytes([self._read_register(_REG_TX_CLAMP) | 0x1E]))
        self._stage = 2

    def _tune(self, frequency, sf, bandwidth):
        # steps of 32 MHz / 2^25 (13.4.1)
        self._command(_SET_RF_FREQUENCY, pack(">I", (frequency << 14) // 15625))
        low = 1 if low_rate(sf, bandwidth) else 0
        self._command(_SET_MODULATION_PARAMS, bytes([sf, _BANDWIDTHS[bandwidth], _CR_4_5, low]))

    def _set_power(self, dbm):
        device, limit, least, most, rows = self._pa
        full, duty, hp = ([row for row in rows if dbm <= row[0]] or rows[-1:])[0]
        self._command(_SET_PA_CONFIG, bytes([duty, hp, device, 1]))  # paLut is always 1
        self._write_register(_REG_OCP, limit)
        drive = max(least, min(most, most - full + dbm))
        self._command(_SET_TX_PARAMS, bytes([drive & 0xFF, _RAMP_200_US]))

    def _packet(self, length, crc, inverted):
        """Preamble 8, explicit header (13.4.6), and the polarity register that the command leaves wrong (15.4): bit 2 is 0 for inverted IQ."""
        self._command(_SET_PACKET_PARAMS, bytes([0, 8, 0, length, 1 if crc else 0, 1 if inverted else 0]))
        old = self._read_register(_REG_IQ_POLARITY)
        self._write_register(_REG_IQ_POLARITY, bytes([old & ~4 if inverted else old | 4]))

    def _interrupts(self, mask):
        self._command(_SET_DIO_IRQ_PARAMS, pack(">HHHH", mask, mask, 0, 0))
        self._command(_CLEAR_IRQ_STATUS, pack(">H", _IRQ_ALL))

    def _on_dio1(self, _):
        # a handler that runs late tells of an edge that poll() saw by its level; the next edge then gives the time
        self._fired_us = ticks_us()
        self._fired = True

    # --- the one door to the bus

    def _write_register(self, address, data):
        self._command(_WRITE_REGISTER, pack(">H", address) + data)

    def _read_register(self, address):
        return self._query(_READ_REGISTER, 1, pack(">H", address))[0]

    def _command(self, opcode, data):
        self._transfer(bytes([opcode]) + data)

    def _query(self, opcode, length, data=b""):
        """`length` bytes that follow the command, its parameters and one status byte (10.1, 10.2)."""
        skip = 2 + len(data)
        return self._transfer(bytes([opcode]) + data + bytes(1 + length))[skip:]

    def _transfer(self, out):
        """One transaction, one call to the bus; none is begun while BUSY is high (8.3.1)."""
        began = ticks_us()
        pause = 50  # most commands take less; a calibration behind a TCXO's start takes ten milliseconds
        while self._busy():
            if ticks_diff(ticks_us(), began) > _BUSY_MS * 1000:
                raise RadioError(
                    "SX126x: BUSY stays high before command 0x%02x; check its wiring and the supply" % out[0]
                )
            sleep_us(pause)
            pause = min(2 * pause, 1000)
        answer = bytearray(len(out))
        self._nss(0)
        self._spi.write_readinto(out, answer)
        self._nss(1)
        return bytes(answer)
