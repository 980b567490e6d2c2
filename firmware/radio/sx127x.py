"""SX1276/77/78/79 (Semtech datasheet rev. 7, errata note rev. 1), as far as LoRaWAN needs it. Numbers in comments are the datasheet's sections.

The chip is reset before it is trusted, and again after each sleep: sleep would keep the registers (not the FIFO, 4.1.2.3), but not prove them.
Between the uplink and RX2 it stays in standby, so that the crystal need not start while a window opens.
"""

from struct import pack
from time import sleep_ms, sleep_us, ticks_us

from lorawan.airtime import low_rate
from machine import Pin
from micropython import const

from .trait import Closed, Frame, RadioError, Sent

_FIFO = const(0x00)
_OP_MODE = const(0x01)
_FRF = const(0x06)
_PA_CONFIG = const(0x09)
_FIFO_ADDR_PTR = const(0x0D)
_FIFO_RX_CURRENT = const(0x10)
_IRQ_FLAGS = const(0x12)
_MODEM_CONFIG_1 = const(0x1D)
_MODEM_CONFIG_3 = const(0x26)
_IF_FREQ_2 = const(0x2F)  # RegIfFreq1 and RegDetectOptimize follow
_INVERT_IQ = const(0x33)
_HIGH_BW_OPTIMIZE_1 = const(0x36)
_HIGH_BW_OPTIMIZE_2 = const(0x3A)
_INVERT_IQ_2 = const(0x3B)
_IMAGE_CAL = const(0x3B)  # the same address in FSK mode
_DIO_MAPPING_1 = const(0x40)
_VERSION = const(0x42)
_TCXO = const(0x4B)

# RegOpMode: LongRangeMode is bit 7; LowFrequencyModeOn (bit 3) is 0 above 779 MHz
_FSK_SLEEP = const(0x00)
_FSK_STANDBY = const(0x01)
_SLEEP = const(0x80)
_STANDBY = const(0x81)
_TX = const(0x83)
_RX_SINGLE = const(0x86)

_IRQ_RX_TIMEOUT = const(0x80)
_IRQ_RX_DONE = const(0x40)
_IRQ_CRC_ERR = const(0x20)
_IRQ_TX_DONE = const(0x08)

_BANDWIDTHS = {125000: 0x72, 250000: 0x82, 500000: 0x92}  # RegModemConfig1, with CR 4/5 and the explicit header
# What the reset leaves otherwise than LoRaWAN needs it, or a transmission depends on: register, value
_SET_UP = (
    b"\x0b\x2b"  # RegOcp: 100 mA (5.4.4); the PA takes 87 mA at +17 dBm, its most here (2.5.1)
    b"\x0c\x23"  # RegLna: boost, with which the sensitivity is stated (2.5.5)
    b"\x0e\x00"  # FifoTxBaseAddr, FifoRxBaseAddr: the whole FIFO for either, never both at once
    b"\x0f\x00"
    b"\x39\x34"  # public sync word
    b"\x4d\x84"  # RegPaDac: not the +20 dBm mode, which must be off in reception (5.4.3)
)

_CALIBRATION_MS = const(50)  # the image calibration takes 10 ms (4.2.3.8)
_RX_START_US = const(300)  # standby to RX: synthesizer 60 us (2.5.2), receiver, the command's bytes, the interpreter


class Sx127x:
    """`spi`: mode 0, at most 10 MHz. `pins`: (nss, reset, dio0, dio1) as machine.Pin; reset is an open drain (7.2).

    `board` has PA_BOOST (whether that pin of the chip feeds the antenna, or RFO) and ANTENNA_GAIN_DB, as boards/bare_s3_rfm95.py has them,
    and may have TCXO_START_US (one feeds XTA, and starts in that time) and ANTENNA_SWITCH: the pins that are high to receive and to transmit.
    """

    max_symbols = 1023  # the least is 4 (4.1.6)

    def __init__(self, spi, pins, board):
        self._spi = spi
        self._nss, self._reset, self._dio0, self._dio1 = pins
        self._board = board
        self._switch = [Pin(number, Pin.OUT, value=0) for number in getattr(board, "ANTENNA_SWITCH", ())]
        self.lead_us = _RX_START_US
        self._stage = 0  # 0: asleep, or as the last boot left it; 1: reset; 2: set up
        self._mode = _STANDBY  # what begins that which was prepared
        self._fired = False
        self._fired_us = None
        self._nss(1)
        for dio in (self._dio0, self._dio1):
            dio.irq(self._on_dio, Pin.IRQ_RISING)

    # --- the trait

    def prepare_transmit(self, phy, frequency, sf, bandwidth, eirp):
        """Load a frame; see trait.py."""
        self._set_up(_TX, frequency, sf, bandwidth, 4, len(phy))  # RxPayloadCrcOn
        dbm = eirp - self._board.ANTENNA_GAIN_DB
        if self._board.PA_BOOST:  # 2 to 17 dBm
            power = 0x80 | max(0, min(15, dbm - 2))
        elif dbm < 0:  # RFO with its lowest range: 10.8 - (15 - power) dBm
            power = max(0, dbm + 4)
        else:  # RFO with its highest range: 15 - (15 - power) dBm, limited to +14 dBm
            power = 0x70 | min(14, dbm)
        self._write(_PA_CONFIG, bytes([power]))
        self._write(_FIFO_ADDR_PTR, b"\0")
        self._write(_FIFO, phy)

    def prepare_receive(self, frequency, sf, bandwidth, symbols):
        """Set a window up; see trait.py."""
        self._set_up(_RX_SINGLE, frequency, sf, bandwidth, symbols >> 8, 255, symbols & 0xFF)

    def start(self):
        """Begin what was prepared."""
        self._fired = False
        for pin, mode in zip(self._switch, (_RX_SINGLE, _TX)):
            pin(self._mode == mode)
        self._write(_OP_MODE, bytes([self._mode]))

    def poll(self):
        """The event that DIO0 or DIO1 told of, or None."""
        # the level as well: an edge that the port lost must not cost the frame
        if not self._fired:
            if not (self._dio0() or self._dio1()):
                return None
            self._fired_us = ticks_us()
        self._fired = False
        at = self._fired_us
        state = self._read(_FIFO_RX_CURRENT, 11)  # to RegPktRssiValue
        irq = state[2]
        self._write(_IRQ_FLAGS, b"\xff")
        if irq & _IRQ_TX_DONE:
            return Sent(at)
        if irq & _IRQ_RX_DONE and not irq & _IRQ_CRC_ERR:
            self._write(_FIFO_ADDR_PTR, state[:1])  # where the frame begins
            snr, rssi = state[9:]
            snr = snr - 256 if snr > 127 else snr  # quarters of a dB
            rssi = rssi + (snr >> 2) if snr < 0 else rssi * 16 // 15  # 5.5.5, at the high-frequency port
            return Frame(at, self._read(_FIFO, state[3]), (snr + 2) >> 2, rssi - 157)
        if irq & (_IRQ_RX_DONE | _IRQ_RX_TIMEOUT):  # a wrong header ends in RxTimeout (4.1.6)
            return Closed(at)
        return None

    def abort(self):
        """End what runs."""
        self._write(_OP_MODE, bytes([_STANDBY]))
        self._write(_IRQ_FLAGS, b"\xff")
        self._fired = False

    def sleep(self):
        """Sleep, 0.2 uA; the next prepare starts over."""
        if self._stage:
            self._stage = 0
            for pin in self._switch:
                pin(0)
            self._write(_OP_MODE, bytes([_SLEEP]))

    # --- set-up

    def _wake(self, frequency):
        """Reset and configure, once after power-up or sleep."""
        self._stage = 1
        self._reset(0)
        sleep_us(200)  # 7.2.2: at least 100 us, then 5 ms
        self._reset(1)
        sleep_ms(6)
        version = self._read(_VERSION, 1)[0]
        if version != 0x12:
            raise RadioError("SX127x: version 0x%02x instead of 0x12; check SPI, NSS, RESET and the supply" % version)
        start_us = getattr(self._board, "TCXO_START_US", 0)
        if start_us:
            self._write(_TCXO, b"\x19")
        # 4.2.3.8: the calibration after the reset was made for 434 MHz; it runs in FSK standby, at the frequency that is set
        self._write(_OP_MODE, bytes([_FSK_STANDBY]))
        self._tune(frequency)
        self._write(_IMAGE_CAL, b"\x42")
        left = _CALIBRATION_MS
        while self._read(_IMAGE_CAL, 1)[0] & 0x20:
            if not left:
                raise RadioError(
                    "SX127x: image calibration does not end; check the crystal, TCXO_START_US in the board file"
                )
            left -= 1
            sleep_ms(1)
        self._write(_OP_MODE, bytes([_FSK_SLEEP]))
        self._write(_OP_MODE, bytes([_SLEEP]))  # LongRangeMode changes in sleep only
        self._write(_OP_MODE, bytes([_STANDBY]))
        sleep_us(start_us or 500)  # the crystal starts in 250 us (2.5.2); the FIFO needs it
        for i in range(0, len(_SET_UP), 2):
            self._write(_SET_UP[i], _SET_UP[i + 1 : i + 2])
        self._stage = 2

    def _set_up(self, mode, frequency, sf, bandwidth, config_2, length, symbols=0):
        """All that a transmission and a window have in common."""
        if self._stage < 2:
            self._wake(frequency)
        now = self._read(_OP_MODE, 1)[0]
        if now != _STANDBY:  # where it goes by itself, unless it lost its supply meanwhile
            raise RadioError("SX127x: mode 0x%02x instead of 0x81; check SPI, NSS and the supply" % now)
        self._mode = mode
        self._tune(frequency)
        # RegModemConfig1, 2, RegSymbTimeoutLsb, preamble 8, RegPayloadLength
        self._write(_MODEM_CONFIG_1, bytes([_BANDWIDTHS[bandwidth], sf << 4 | config_2, symbols, 0, 8, length]))
        self._write(_MODEM_CONFIG_3, b"\x0c" if low_rate(sf, bandwidth) else b"\x04")  # AGC on
        # downlinks are inverted, uplinks are not
        self._write(_INVERT_IQ, b"\x27" if mode == _TX else b"\x67")
        self._write(_INVERT_IQ_2, b"\x1d" if mode == _TX else b"\x19")
        if bandwidth == 500000:
            self._write(_HIGH_BW_OPTIMIZE_1, b"\x02")  # errata 2.1: sensitivity
            self._write(_HIGH_BW_OPTIMIZE_2, b"\x64")
            self._write(_IF_FREQ_2, b"\x20\x00\xc3")  # as after the reset
        else:
            self._write(_HIGH_BW_OPTIMIZE_1, b"\x03")
            self._write(_IF_FREQ_2, b"\x40\x00\x43")  # errata 2.3: spurious reception; AutomaticIFOn (0x80) off
        self._write(_DIO_MAPPING_1, b"\x40" if mode == _TX else b"\x00")  # DIO0 TxDone, or RxDone and DIO1 RxTimeout
        self._write(_IRQ_FLAGS, b"\xff")

    def _tune(self, frequency):
        self._write(_FRF, pack(">I", (frequency << 8) // 15625)[1:])  # steps of 32 MHz / 2^19

    def _on_dio(self, _):
        # a handler that runs late tells of an edge that poll() saw by its level; the next edge then gives the time
        self._fired_us = ticks_us()
        self._fired = True

    # --- the one door to the bus

    def _write(self, register, data):
        self._transfer(bytes([register | 0x80]) + data)

    def _read(self, register, length):
        return self._transfer(bytes([register]) + bytes(length))[1:]

    def _transfer(self, out):
        """One transaction; the address counts up, except the FIFO's (4.3)."""
        answer = bytearray(len(out))
        self._nss(0)
        self._spi.write_readinto(out, answer)
        self._nss(1)
        return bytes(answer)
