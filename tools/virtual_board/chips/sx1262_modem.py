"""The SX1262's radio behind its command interface: modes, oscillator, interrupts, transmission and reception.

Sections are those of the SX1261/2 datasheet, rev 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...world import lora
from ...world.air import Air, Frame, Level, Transmission
from . import sx1262_facts as facts
from .lora_modem import LoraModem, Tuning


@dataclass
class Settings:
    """All that commands configure; a cold start sets it back, a warm start keeps it."""

    registers: dict[int, int] = field(default_factory=lambda: dict(facts.REGISTERS))
    lora: bool = False
    freq_hz: int = 0
    modulation: tuple[int, int, int, bool] | None = None
    """Spreading factor, bandwidth in Hz, coding rate, low data rate optimisation."""
    packet: tuple[int, bool, int, bool, bool] | None = None
    """Preamble, explicit header, payload length, CRC, IQ inverted."""
    pa: tuple[int, int] | None = None
    power: int | None = None
    irq_mask: int = 0
    dio1_mask: int = 0
    tx_base: int = 0
    rx_base: int = 0
    fallback: int = facts.STBY_RC
    stop_on_preamble: bool = False
    dio2_switch: bool = False
    tcxo_mv: int | None = None
    tcxo_delay_ns: int = 0
    calibrated: int = 0
    """Blocks as in Calibrate's parameter."""
    image_band: tuple[int, int] = facts.DEFAULT_IMAGE_BAND


class Modem(LoraModem):
    """The state of one chip; `Sx1262` is its face on the SPI bus."""

    chip = "SX1262"
    datasheet = "SX1261/2 datasheet rev 2.1"
    detection_symbols = facts.DETECTION_SYMBOLS

    def __init__(
        self,
        air: Air,
        busy: int,
        dio1: int,
        tcxo: tuple[int, int] | None,
        *,
        needs_dio2_switch: bool,
        antenna_switch: tuple[int, ...],
        device: int,
    ) -> None:
        """`busy`, `dio1`: the board's pins; `tcxo`: its voltage in mV and start-up in ns, None for a crystal.

        `antenna_switch`: pins, high to receive and to transmit; `device`: deviceSel, 0 for the SX1262, 1 for the SX1261.
        """
        super().__init__(air)
        self._busy_pin, self._dio1_pin = busy, dio1
        self.tcxo, self._needs_dio2 = tcxo, needs_dio2_switch
        self._switch, self._device, self._part = antenna_switch, device, ("SX1262", "SX1261")[device]
        self.forget()

    def forget(self) -> None:
        """State of a chip that has just got its supply or a reset."""
        self.forget_air()
        self.settings = Settings()
        self.mode = facts.STBY_RC
        self.errors = 0
        self.irq = 0
        self.buffer = bytearray(b"\xa5" * 256)
        self.status = facts.NO_STATUS
        self.busy_until = 0
        self.rx_status = (0, 0)
        self.packet_status = (0, 0, 0)
        self.stats = [0, 0, 0]
        self._slept_at = 0
        self._cold = False
        self._continuous = False
        self._rx_pointer = 0

    def need_lora(self, name: str) -> None:
        """A fault unless the packet type is LoRa."""
        self.need(self.settings.lora, "14.5", f"{name} needs SetPacketType(LoRa) before it")

    # Modes and oscillator

    def cold_start(self) -> None:
        """After supply, reset or a cold sleep: calibration, which finds no oscillator where a TCXO has no voltage yet."""
        if self.tcxo is None:
            self.settings.calibrated = 0x7F
        else:
            self.settings.calibrated = 0x03
            self.errors |= facts.ERROR_XOSC_START
        self.set_busy(facts.COLD_START_NS)

    def sleep(self, *, cold: bool) -> None:
        """SetSleep; buffer and interrupts are lost, in a cold start later the settings too."""
        self._cold = cold
        self.mode, self._slept_at = facts.SLEEP, self.host.now
        self._cancel("busy")
        self.host.drive(self._busy_pin, 1)
        self.buffer[:] = b"\xa5" * 256
        self.clear_irq(0xFFFF)

    def wake(self) -> None:
        """NSS fell while the chip slept: BUSY until it is in STDBY_RC."""
        if self.host.now - self._slept_at < facts.SLEEP_DEAF_NS:
            self.fault("13.1.1", "NSS fell less than 500 µs after SetSleep, while the chip saves its registers")
        self.mode = facts.STBY_RC
        if self._cold:
            self.settings = Settings()
            self.errors = 0
            self.cold_start()
            return
        kept = self.settings.registers
        listed = {
            kept[facts.REG_RETENTION + 1 + 2 * place] << 8 | kept[facts.REG_RETENTION + 2 + 2 * place]
            for place in range(min(4, kept[facts.REG_RETENTION]))
        }
        for address in facts.NOT_RETAINED - listed:
            kept[address] = facts.REGISTERS[address]
        self.set_busy(facts.WARM_START_NS)

    def start_oscillator(self, work_ns: int) -> int | None:
        """BUSY for the oscillator's start and `work_ns`; the end of it in ns, or None with XOSC_START_ERR."""
        wait = 0
        if self.mode == facts.STBY_RC and self.tcxo is not None:
            wait = self.settings.tcxo_delay_ns
            if self.settings.tcxo_mv != self.tcxo[0] or wait < self.tcxo[1]:
                self.errors |= facts.ERROR_XOSC_START
                self.status = facts.EXECUTION_FAILED
                self.set_busy(max(facts.COMMAND_NS, wait))
                return None
        return self.set_busy(wait + work_ns)

    def change(self, mode: int) -> int | None:
        """Goes to `mode`; returns the instant in ns when the chip is there, or None when it cannot and is in STDBY_RC."""
        lasts = facts.SWITCH_NS.get((self.mode, mode), facts.COMMAND_NS)
        there: int | None
        if mode == facts.STBY_RC:
            there = self.set_busy(lasts)
        else:
            there = self.start_oscillator(lasts)
            if there is not None and mode != facts.STBY_XOSC and self.settings.calibrated & 0x3C != 0x3C:
                # Sections 9.2 and 13.3.6: the calibration of the start had no clock and has to be asked for again.
                self.errors |= facts.ERROR_PLL_LOCK
                self.status = facts.EXECUTION_FAILED
                there = None
        self.mode = facts.STBY_RC if there is None else mode
        return there

    def set_busy(self, lasts: int) -> int:
        """BUSY for so many ns; returns its end in ns."""
        self.busy_until = self.host.now + lasts
        self.host.drive(self._busy_pin, 1)
        self._after("busy", self.busy_until, self._not_busy)
        return self.busy_until

    def _not_busy(self) -> None:
        self.host.drive(self._busy_pin, 0)

    # Interrupts

    def _raise(self, bits: int) -> None:
        self.irq |= bits & self.settings.irq_mask
        self.update_dio1()

    def clear_irq(self, bits: int) -> None:
        """Clears interrupts; DIO1 follows."""
        self.irq &= ~bits
        self.update_dio1()

    def update_dio1(self) -> None:
        """DIO1 is high while an interrupt of its mask is set."""
        self.host.drive(self._dio1_pin, int(bool(self.irq & self.settings.dio1_mask)))

    # Transmission

    def _need_radio(self, name: str) -> tuple[tuple[int, int, int, bool], tuple[int, bool, int, bool, bool]]:
        """Modulation and packet settings; ends the run when the radio is not set up for `name`."""
        settings = self.settings
        self.need_lora(name)
        self.need(settings.freq_hz != 0, "14.2", f"{name} before SetRfFrequency")
        if settings.modulation is None or settings.packet is None:
            self.fault("14.5", f"{name} before SetModulationParams and SetPacketParams")
        return settings.modulation, settings.packet

    def start_tx(self, steps: int) -> None:
        """SetTx: one packet from the buffer, with a timeout of so many 15.625 µs (0: none)."""
        modulation, packet = self._need_radio("SetTx")
        settings = self.settings
        if settings.pa is None or settings.power is None:
            self.fault("14.2", "SetTx before SetPaConfig and SetTxParams")
        self.need(self.mode != facts.TX, "9.1", "SetTx while the chip transmits")
        ceiling, drive, current = facts.PA_OPTIMA[self._device].get(settings.pa, (0, 0, 0))
        self.need(current > 0, "13.1.14.1", f"SetPaConfig {settings.pa} is not among the optimal settings")
        limit = settings.registers[facts.REG_OCP] * facts.OCP_STEP_MA
        self.need(limit >= current, "5.3.1", f"the over-current limit is {limit:g} mA, the PA takes {current} mA")
        timeout = steps * facts.TIMER_STEP_NS
        factor, width, rate, optimised = modulation
        preamble, explicit, length, crc, inverted = packet
        payload = bytes(self.buffer[settings.tx_base + place & 255] for place in range(length))
        what = Transmission(
            settings.freq_hz,
            factor,
            width,
            payload,
            float(ceiling - drive + settings.power),
            iq_inverted=inverted,
            coding_rate=rate,
            preamble=preamble,
            crc=crc,
            explicit_header=explicit,
            optimised=optimised,
            sync_word=self._sync_word(),
            spoiled=self._spoiled(width, inverted=inverted),
        )
        self.stop_radio()
        there = self.change(facts.TX)
        if there is not None:
            self._after("start", there, lambda: self._transmit(what, timeout))

    def _sync_word(self) -> int:
        registers = self.settings.registers
        return registers[facts.REG_SYNC_WORD] << 8 | registers[facts.REG_SYNC_WORD + 1]

    def _iq_wrong(self, *, inverted: bool) -> bool:
        """Section 15.4: bit 2 of 0x0736 is 0 for inverted IQ, 1 for standard."""
        return bool(self.settings.registers[facts.REG_IQ] & 4) == inverted

    def _antenna_adrift(self, *, receive: bool) -> str:
        """Why the antenna is not where it must be, or ""."""
        if self._needs_dio2 and not self.settings.dio2_switch:
            return "antenna switch on DIO2 not enabled"
        wanted = [receive, not receive]
        if any(self.host.level(pin) != level for pin, level in zip(self._switch, wanted, strict=False)):
            return f"antenna switch not set to {'receive' if receive else 'transmit'}"
        return ""

    def _spoiled(self, width: int, *, inverted: bool) -> str:
        if adrift := self._antenna_adrift(receive=False):
            return adrift
        if self._iq_wrong(inverted=inverted):
            return "IQ erratum 15.4"
        # Section 15.1: bit 2 of 0x0889 is 0 for 500 kHz, 1 otherwise.
        if bool(self.settings.registers[facts.REG_TX_MODULATION] & 4) == (width == 500_000):
            return "500 kHz erratum 15.1"
        return ""

    def _transmit(self, what: Transmission, timeout: int) -> None:
        self._frame = self._air.transmit(self.name, what)
        self._after("end", self._frame.end, self._transmitted)
        if 0 < timeout < what.air_ns:
            self._after("timeout", self.host.now + timeout, self._timed_out)

    def _transmitted(self) -> None:
        self._frame = None
        self._cancel("timeout")
        self.mode = self.settings.fallback
        self.status = facts.TX_DONE_STATUS
        self._raise(facts.IRQ_TX_DONE)

    def _timed_out(self) -> None:
        self.stop_radio()
        self.mode = facts.STBY_RC
        self.status = facts.COMMAND_TIMEOUT
        self._raise(facts.IRQ_TIMEOUT)

    # Reception

    def start_rx(self, steps: int) -> None:
        """SetRx: `steps` of 15.625 µs, 0 = until a packet came, 0xFFFFFF = continuous."""
        self._need_radio("SetRx")
        self.need(self.mode != facts.TX, "9.1", "SetRx while the chip transmits")
        low, high = (code * facts.IMAGE_BAND_STEP_HZ for code in self.settings.image_band)
        inside = low <= self.settings.freq_hz <= high
        self.need(
            inside, "9.2.1", f"the image is calibrated for {low // 10**6} to {high // 10**6} MHz, SetRx is outside"
        )
        self.stop_radio()
        there = self.change(facts.RX)
        if there is not None:
            self._after("start", there, lambda: self._open(steps))

    def _open(self, steps: int) -> None:
        self._continuous = steps == 0xFFFFFF
        self._rx_pointer = self.settings.rx_base
        if 0 < steps < 0xFFFFFF:
            self._after("timeout", self.host.now + steps * facts.TIMER_STEP_NS, self._timed_out)
        kept = self.settings.registers[facts.REG_SYNC_TIMEOUT]
        symbols = kept >> 3 << 2 * (kept & 7) + 1
        if kept >> 3 and not self._continuous:
            self._after("symbols", self.host.now + symbols * self._symbol_ns(), self._timed_out)
        self.listen()

    def _symbol_ns(self) -> int:
        modulation, _packet = self._need_radio("SetRx")
        return lora.symbol_ns(modulation[0], modulation[1])

    def tuning(self) -> Tuning:
        """`LoraModem.tuning`."""
        (factor, width, _rate, _optimised), (_preamble, explicit, _length, _crc, inverted) = self._need_radio("SetRx")
        deaf = "IQ erratum 15.4" if self._iq_wrong(inverted=inverted) else ""
        deaf = self._antenna_adrift(receive=True) or deaf
        # Section 9.6 without its figure: the boosted gain is taken as 2 dB.
        loss = 0.0 if self.settings.registers[facts.REG_RX_GAIN] == 0x96 else 2.0
        return Tuning(
            self.settings.freq_hz, width // 4, factor, width, inverted, self._sync_word(), explicit, deaf, loss
        )

    def preamble_detected(self) -> None:
        """`LoraModem.preamble_detected`."""
        if self.settings.stop_on_preamble:
            self._cancel("timeout")
        self._raise(facts.IRQ_PREAMBLE)

    def header(self, frame: Frame) -> None:
        """`LoraModem.header`: the timer of SetRx stops."""
        self._cancel("timeout")
        _modulation, packet = self._need_radio("SetRx")
        if len(frame.what.payload) > packet[2]:
            self.stats[2] += 1
            self._raise(facts.IRQ_HEADER_ERROR)
        else:
            self._raise(facts.IRQ_HEADER_VALID)

    def received(self, frame: Frame, level: Level) -> str:
        """`air.Receiver.received`: payload to the buffer, RxDone; with the wrong optimisation, or wrecked, the payload is garbled."""
        modulation, packet = self._need_radio("SetRx")
        what, problem = frame.what, frame.wrecked.get(self.name, "")
        self._locked = None
        if len(what.payload) > packet[2]:
            return "longer than the receiver's PayloadLength"
        payload = what.payload
        if what.optimised != modulation[3]:
            problem = "low data rate optimisation"
        if problem:
            payload = bytes(byte ^ 0x5A for byte in payload)
        bits = facts.IRQ_RX_DONE
        if what.crc and problem:
            bits |= facts.IRQ_CRC_ERROR
            self.stats[1] += 1
        else:
            self.stats[0] += 1
        for place, byte in enumerate(payload):
            self.buffer[self._rx_pointer + place & 255] = byte
        self.rx_status = (len(payload), self._rx_pointer)
        rssi = min(255, max(0, round(-2 * level.rssi_dbm)))
        self.packet_status = (rssi, round(level.snr_db * 4) & 255, rssi)
        self.status = facts.DATA_AVAILABLE
        if self._continuous:
            self._rx_pointer = self._rx_pointer + len(payload) & 255
        else:
            self.stop_radio()
            self.mode = self.settings.fallback
        self._raise(bits)
        return problem
