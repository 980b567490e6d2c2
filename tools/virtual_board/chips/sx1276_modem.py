"""The SX1276's radio behind its registers: modes, oscillator, interrupts, calibration, transmission and reception."""

from __future__ import annotations

from ...world import lora
from ...world.air import Air, Frame, Level, Transmission
from . import sx1276_facts as facts
from .lora_modem import LoraModem, Tuning


class Modem(LoraModem):
    """The state of one chip; `Sx1276` is its face on the SPI bus."""

    chip = "SX1276"
    datasheet = facts.DATASHEET
    detection_symbols = facts.DETECTION_SYMBOLS

    def __init__(self, air: Air, dio0: int, dio1: int, tcxo_startup_ns: int | None, *, boost: bool, rfo: bool) -> None:
        """As `Sx1276`."""
        super().__init__(air)
        self._dio0_pin, self._dio1_pin = dio0, dio1
        self._tcxo_startup_ns, self._boost, self._rfo = tcxo_startup_ns, boost, rfo
        self.forget()

    def forget(self) -> None:
        """State of a chip that has just got its supply or a reset."""
        self.forget_air()
        self.shared = dict(facts.SHARED)
        self.lora = dict(facts.LORA)
        self.fsk = dict(facts.FSK)
        self.op_mode = facts.OP_MODE_RESET
        self.fifo = bytearray(256)
        self.calibrated = {False}
        """Ports that are calibrated, True is the high frequency one; a start does it for the low one only, at 434 MHz."""
        self._oscillates_at = 0
        self._locks_at = 0
        self._rx_pointer = 0

    # Modes and oscillator

    @property
    def mode(self) -> int:
        """Bits 2:0 of RegOpMode."""
        return self.op_mode & 7

    @property
    def long_range(self) -> bool:
        """LoRa, not FSK."""
        return bool(self.op_mode & facts.LONG_RANGE)

    @property
    def freq_hz(self) -> int:
        """RegFrf in Hz."""
        word = int.from_bytes(bytes(self.shared[facts.REG_FRF + place] for place in range(3)), "big")
        return facts.hertz(word)

    @property
    def high_port(self) -> bool:
        """Whether the frequency is the high frequency port's."""
        return self.freq_hz >= facts.FIRST_HIGH_HZ

    def oscillates(self, when: int) -> bool:
        """Whether the chip has a clock at `when` (ns): not asleep, RegTcxo as the board needs it, started."""
        right = bool(self.shared[facts.REG_TCXO] & 0x10) == (self._tcxo_startup_ns is not None)
        return right and self.mode != facts.SLEEP and when >= self._oscillates_at

    def set_mode(self, mode: int, when: int) -> None:
        """RegOpMode's mode is written at `when` (ns)."""
        before = self.mode
        if mode == before:
            return
        self.stop_radio()
        self.op_mode = self.op_mode & ~7 | mode
        if mode == facts.SLEEP:
            self.fifo = bytearray(256)
            self._count(facts.REG_HEADERS, 0)
            self._count(facts.REG_PACKETS, 0)
            return
        if before == facts.SLEEP:
            self._oscillates_at = when + (self._tcxo_startup_ns or facts.OSCILLATOR_NS)
        if mode == facts.STDBY:
            return
        if (before, mode) not in facts.LOCKED_ALREADY:
            self._locks_at = max(when, self._oscillates_at) + facts.SYNTHESIZER_NS
        locked = max(when, self._locks_at)
        if not self.oscillates(locked):
            self._after("start", locked, self._unlocked)
        elif mode == facts.TX:
            what = self._transmission()
            ready = locked + facts.transmitter_ns(self.shared[facts.REG_PA_RAMP])
            self._after("start", ready, lambda: self._transmit(what))
        elif mode in facts.RECEIVING:
            ready = locked + facts.RECEIVER_NS[self.tuning().bandwidth_hz]
            symbols = self._symbols(single=mode == facts.RXSINGLE)
            self._after("start", ready, lambda: self._open(symbols))

    def _unlocked(self) -> None:
        """The PLL found no clock (RegHopChannel, PllTimeout)."""
        self.lora[facts.REG_HOP_CHANNEL] |= 0x80
        self._idle()

    def _idle(self) -> None:
        """The modem goes to Standby by itself."""
        self.op_mode = self.op_mode & ~7 | facts.STDBY

    def calibrate(self, when: int) -> None:
        """ImageCalStart: image and RSSI of the port that RegFrf belongs to."""
        ready = not self.long_range and self.mode == facts.STDBY
        self.need(ready, facts.CALIBRATION, "ImageCalStart works in FSK mode and Standby only")
        self.need(self.oscillates(when), facts.CALIBRATION, "ImageCalStart before the oscillator runs")
        self.fsk[facts.REG_IMAGE_CAL] |= facts.IMAGE_CAL_RUNNING
        self._after("calibration", when + facts.CALIBRATION_NS, self._calibrated)

    @property
    def calibrating(self) -> bool:
        """ImageCalRunning."""
        return bool(self.fsk[facts.REG_IMAGE_CAL] & facts.IMAGE_CAL_RUNNING)

    def _calibrated(self) -> None:
        self.fsk[facts.REG_IMAGE_CAL] &= ~facts.IMAGE_CAL_RUNNING
        self.calibrated.add(self.high_port)

    # Interrupts

    def _raise(self, bits: int) -> None:
        self.lora[facts.REG_IRQ] |= bits & ~self.lora[facts.REG_IRQ_MASK]
        self.update_dio()

    def update_dio(self) -> None:
        """DIO0 and DIO1 are high while the interrupts that they are mapped to are set."""
        flags = self.lora[facts.REG_IRQ] if self.long_range else 0
        mapping = self.shared[facts.REG_DIO_MAPPING1]
        self.host.drive(self._dio0_pin, int(bool(flags & facts.DIO0[mapping >> 6 & 3])))
        self.host.drive(self._dio1_pin, int(bool(flags & facts.DIO1[mapping >> 4 & 3])))

    def _count(self, register: int, value: int) -> None:
        self.lora[register], self.lora[register + 1] = divmod(value & 0xFFFF, 256)

    def _counted(self, register: int) -> int:
        return self.lora[register] << 8 | self.lora[register + 1]

    # Settings

    def _modulation(self) -> tuple[int, int, int, bool]:
        """Spreading factor, bandwidth in Hz, coding rate, optimisation; ends the run where they are reserved or not LoRaWAN's."""
        one, two = self.lora[facts.REG_MODEM1], self.lora[facts.REG_MODEM2]
        factor, rate, section = two >> 4, one >> 1 & 7, facts.REGISTER_TABLE
        bandwidth = facts.BANDWIDTHS.get(one >> 4)
        self.need(6 <= factor <= 12, section, f"RegModemConfig2: spreading factor 6 to 12, got {factor}")
        self.need(factor > 6 or one & 1, "Spreading Factor", "SF6 works with an implicit header only")
        self.need(1 <= rate <= 4, section, f"RegModemConfig1: coding rate 1 to 4, got {rate}")
        if bandwidth is None:
            self.fault(section, f"RegModemConfig1: bandwidth code {one >> 4} is not LoRaWAN's")
        hopping = self.lora[facts.REG_HOP_PERIOD] or two & 8
        self.need(not hopping, section, "frequency hopping and TxContinuousMode are not used by LoRaWAN here")
        inside = any(low <= self.freq_hz <= high for low, high in facts.BANDS)
        self.need(inside, "Frequency Bands", f"the SX1276 has no band at {self.freq_hz} Hz")
        return factor, bandwidth, rate, bool(self.lora[facts.REG_MODEM3] & 8)

    def _sync_word(self) -> int:
        """RegSyncWord 0xXY as the air has it, 0xX4Y4."""
        word = self.lora[facts.REG_SYNC_WORD]
        return (word & 0xF0) << 8 | 0x400 | (word & 0x0F) << 4 | 0x4

    def _detection(self, factor: int) -> str:
        """What is wrong with the demodulator's settings, or ""; SF6 has its own (Spreading Factor)."""
        right = (5, 0x0C) if factor == 6 else (3, 0x0A)
        if (self.lora[facts.REG_DETECT] & 7, self.lora[facts.REG_THRESHOLD]) != right:
            return "RegDetectOptimize or RegDetectionThreshold"
        return ""

    def _inverted(self, *, inverted: bool) -> str:
        """RegInvertIQ2 goes with RegInvertIQ. The datasheet has no cost: a driver that forgets it shall be seen."""
        return "" if self.lora[facts.REG_INVERT_IQ2] == (0x19 if inverted else 0x1D) else "RegInvertIQ2"

    # Transmission

    def _transmission(self) -> Transmission:
        """The frame that the registers and the FIFO describe."""
        factor, bandwidth, rate, optimised = self._modulation()
        length, base = self.lora[facts.REG_PAYLOAD], self.lora[facts.REG_FIFO_TX_BASE]
        preamble = self.lora[facts.REG_PREAMBLE] << 8 | self.lora[facts.REG_PREAMBLE + 1]
        self.need(length > 0, facts.REGISTER_TABLE, "RegPayloadLength: 0 is not permitted")
        self.need(
            preamble >= facts.LEAST_PREAMBLE,
            "LoRa Packet Structure",
            f"a preamble of 6 symbols at least, got {preamble}",
        )
        # LoRaMac-node: bit 0 of RegInvertIQ is set for normal IQ; the datasheet has it the other way round.
        inverted = not self.lora[facts.REG_INVERT_IQ] & 1
        return Transmission(
            self.freq_hz,
            factor,
            bandwidth,
            bytes(self.fifo[base + place & 255] for place in range(length)),
            self._power_dbm(),
            iq_inverted=inverted,
            coding_rate=rate,
            preamble=preamble,
            crc=bool(self.lora[facts.REG_MODEM2] & 4),
            explicit_header=not self.lora[facts.REG_MODEM1] & 1,
            optimised=optimised,
            sync_word=self._sync_word(),
            spoiled=self._no_antenna() or self._inverted(inverted=inverted),
        )

    def _no_antenna(self) -> str:
        """Why nothing leaves the module, or ""."""
        boost = self.shared[facts.REG_PA_CONFIG] & 0x80
        if not (self._boost if boost else self._rfo):
            return f"the antenna is not on {'PA_BOOST' if boost else 'RFO'}"
        return self._wrong_port()

    def _wrong_port(self) -> str:
        return "" if self.high_port else "the antenna is matched for 868 MHz"

    def _power_dbm(self) -> float:
        """Power at the pin in dBm; ends the run where the over-current limit is below the need."""
        config, dac = self.shared[facts.REG_PA_CONFIG], self.shared[facts.REG_PA_DAC]
        power, boost = facts.output_dbm(config, dac), bool(config & 0x80)
        high = "High Power +20 dBm Operation"
        self.need(dac & 7 in (4, 7), high, f"RegPaDac is 0x84, or 0x87 for +20 dBm, got 0x{dac:02x}")
        self.need(boost or dac & 7 == 4, high, "RegPaDac 0x87 is for PA_BOOST; RFO needs 0x84")
        need_ma = facts.BOOST_MA[20 if power > 17 else 17] - facts.SYNTHESIZER_MA
        limit = facts.over_current_ma(self.shared[facts.REG_OCP])
        text = f"the over-current limit is {limit} mA, the PA takes {need_ma:g} mA at {power:g} dBm"
        self.need(not boost or limit is None or limit >= need_ma, "Over Current Protection", text)
        return power

    def _transmit(self, what: Transmission) -> None:
        self._frame = self._air.transmit(self.name, what)
        self._after("end", self._frame.end, self._transmitted)

    def _transmitted(self) -> None:
        self._frame = None
        self._idle()
        self._raise(facts.IRQ_TX_DONE)

    # Reception

    def _symbols(self, *, single: bool) -> int:
        """The window's length in symbols, 0 for ever."""
        if not single:
            return 0
        symbols = (self.lora[facts.REG_MODEM2] & 3) << 8 | self.lora[facts.REG_SYMB_TIMEOUT]
        least = facts.LEAST_SYMBOL_TIMEOUT
        self.need(symbols >= least, facts.STATE_MACHINE, f"SymbTimeout is {least} to 1023 symbols, got {symbols}")
        return symbols

    def _open(self, symbols: int) -> None:
        self._rx_pointer = self.lora[facts.REG_FIFO_RX_BASE]
        self._count(facts.REG_HEADERS, 0)
        self._count(facts.REG_PACKETS, 0)
        if symbols:
            factor, bandwidth, _rate, _optimised = self._modulation()
            self._after("symbols", self.host.now + symbols * lora.symbol_ns(factor, bandwidth), self._timed_out)
        self.listen()

    def _timed_out(self) -> None:
        self.stop_radio()
        self._idle()
        self._raise(facts.IRQ_RX_TIMEOUT)

    def _mended(self, bandwidth: int) -> bool:
        """Errata note, 2.3: no automatic IF below 500 kHz, and the IF registers of the note."""
        automatic = bool(self.lora[facts.REG_DETECT] & 0x80)
        if bandwidth == 500_000:
            return automatic
        return not automatic and (self.lora[facts.REG_IF1], self.lora[facts.REG_IF2]) == (0x40, 0x00)

    def _loss_db(self, bandwidth: int) -> float:
        """What gain and erratum 2.1 cost of the sensitivity."""
        gain = self.shared[facts.REG_LNA] >> 5
        loss = 0.0 if self.shared[facts.REG_LNA] & 3 == 3 else facts.BOOST_DB
        if not self.lora[facts.REG_MODEM3] & 4:
            self.need(
                gain in facts.LNA_LOSS_DB, facts.REGISTER_TABLE, f"RegLna: gain 1 to 6 without the AGC, got {gain}"
            )
            loss += facts.LNA_LOSS_DB[gain]
        first, second = self.lora[facts.REG_HIGH_BW1], self.lora[facts.REG_HIGH_BW2]
        right = (first, second) == (0x02, 0x64) if bandwidth == 500_000 else first == 0x03
        return loss if right else loss + facts.HIGH_BANDWIDTH_LOSS_DB

    def tuning(self) -> Tuning:
        """`LoraModem.tuning`."""
        factor, bandwidth, _rate, _optimised = self._modulation()
        inverted = bool(self.lora[facts.REG_INVERT_IQ] & 0x40)
        return Tuning(
            self.freq_hz,
            bandwidth // 4 if self._mended(bandwidth) else facts.SPURIOUS_HZ,
            factor,
            bandwidth,
            inverted,
            self._sync_word(),
            explicit_header=not self.lora[facts.REG_MODEM1] & 1,
            deaf=self._wrong_port() or self._detection(factor) or self._inverted(inverted=inverted),
            loss_db=self._loss_db(bandwidth),
        )

    def header(self, frame: Frame) -> None:
        """`LoraModem.header`: a length over the limit is a header error, with which a single reception is over."""
        if len(frame.what.payload) <= self.lora[facts.REG_MAX_PAYLOAD]:
            self._count(facts.REG_HEADERS, self._counted(facts.REG_HEADERS) + 1)
            self.lora[facts.REG_MODEM_STAT] = frame.what.coding_rate << 5
            self.lora[facts.REG_HOP_CHANNEL] = 0x40 if frame.what.crc else 0
            self._raise(facts.IRQ_VALID_HEADER)
        elif self.mode == facts.RXSINGLE:
            self._timed_out()

    def received(self, frame: Frame, level: Level) -> str:
        """`air.Receiver.received`: payload to the FIFO, RxDone; with the wrong optimisation, or wrecked, the payload is garbled."""
        what, problem, payload = frame.what, frame.wrecked.get(self.name, ""), frame.what.payload
        self._locked = None
        if len(payload) > self.lora[facts.REG_MAX_PAYLOAD]:
            return "longer than the receiver's MaxPayloadLength"
        if what.optimised != bool(self.lora[facts.REG_MODEM3] & 8):
            problem = "low data rate optimisation"
        if problem:
            payload = bytes(byte ^ 0x5A for byte in payload)
        for place, byte in enumerate(payload):
            self.fifo[self._rx_pointer + place & 255] = byte
        self.lora[facts.REG_FIFO_RX_CURRENT], self.lora[facts.REG_RX_BYTES] = self._rx_pointer, len(payload)
        self._rx_pointer = self._rx_pointer + len(payload) & 255
        self.lora[facts.REG_FIFO_RX_BYTE] = self._rx_pointer
        self._levels(level)
        bits = facts.IRQ_RX_DONE
        if what.crc and problem:
            bits |= facts.IRQ_CRC_ERROR
        else:
            self._count(facts.REG_PACKETS, self._counted(facts.REG_PACKETS) + 1)
        if self.mode == facts.RXSINGLE:
            self.stop_radio()
            self._idle()
        self._raise(bits)
        return problem

    def _levels(self, level: Level) -> None:
        """RegPktSnrValue and RegPktRssiValue (RSSI and SNR in LoRa Mode).

        Strength in dBm at the high port: -157 + 16/15 PacketRssi above the noise, -157 + PacketRssi + SNR below it.
        """
        rssi = level.rssi_dbm - facts.RSSI_OFFSET_DBM[self.high_port]
        if self.high_port not in self.calibrated:
            rssi += facts.RSSI_ERROR_DB
        rssi = rssi - level.snr_db if level.snr_db < 0 else rssi * 15 / 16
        self.lora[facts.REG_PKT_SNR] = round(level.snr_db * 4) & 255
        self.lora[facts.REG_PKT_RSSI] = min(255, max(0, round(rssi)))

    def status(self) -> int:
        """RegModemStat: the last coding rate, and how far a reception is (Modem Status Indicators)."""
        rate = self.lora[facts.REG_MODEM_STAT] & 0xE0
        if not self._listening:
            return rate | 0x10
        return rate | (0x07 if self._locked is not None else 0x04)
