"""The SX1276 as its datasheet (SX1276/77/78/79, rev 7) and errata note (rev 1) describe it, seen from its pins: SPI, NSS, NRESET, DIO0, DIO1.

Only LoRa, and of it what class A LoRaWAN uses; of FSK what the image calibration needs. What the datasheet forbids ends the
run with its sentence (`Host.fault`); what it warns of costs what it says. Where it warns without a figure, `sx1276_facts`
says which one is taken. The image before the calibration (35 dB instead of 48 dB) costs nothing: nobody sends there.
"""

from __future__ import annotations

from ...world import lora
from ...world.air import Air
from ..wiring import Host
from ..wiring import Level as PinLevel
from . import sx1276_facts as facts
from .sx1276_modem import Modem


class Sx1276(Modem):
    """One module for 868 MHz, as RFM95W; it is the `SpiDevice` behind NSS and the `OutputListener` of its reset line."""

    def __init__(
        self,
        air: Air,
        *,
        dio0: int,
        dio1: int,
        reset: int,
        tcxo_startup_ns: int | None = None,
        boost: bool = True,
        rfo: bool = False,
    ) -> None:
        """Pins are the board's; `tcxo_startup_ns` None is a crystal; `boost`, `rfo`: which amplifier reaches the antenna."""
        self._reset_pin = reset
        self._powered = False
        self._reset_low_since: int | None = None
        self._ready_at = 0
        self._selected = False
        self._address: int | None = None
        super().__init__(air, dio0, dio1, tcxo_startup_ns, boost=boost, rfo=rfo)

    # Pins

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self.host = host

    def power(self, on: bool) -> None:
        """`Device.power`."""
        self.stop_radio()
        self.cancel_all()
        self.forget()
        self._powered, self._selected, self._reset_low_since = on, False, None
        if on:
            self._ready_at = self.host.now + facts.POWER_ON_NS
            self.update_dio()
        else:
            self.host.drive(self._dio0_pin, None)
            self.host.drive(self._dio1_pin, None)

    def output(self, pin: int, level: PinLevel) -> None:
        """NRESET: low holds the chip in reset, let go it runs."""
        if pin != self._reset_pin or not self._powered:
            return
        if level == 0 and self._reset_low_since is None:
            self._reset_low_since = self.host.now
            self.stop_radio()
            self.cancel_all()
            self.forget()
            self.update_dio()
        elif level != 0 and self._reset_low_since is not None:
            held = self.host.now - self._reset_low_since
            self._reset_low_since = None
            text = f"NRESET must be low for 100 µs at least, was {held // 1000} µs"
            self.need(held >= facts.RESET_PULSE_NS, facts.RESET, text)
            self._ready_at = self.host.now + facts.RESET_WAIT_NS

    def select(self, on: bool) -> None:
        """NSS; the first byte of its frame is an address."""
        self._selected = on
        self._address = None

    def transfer(self, mosi: bytes, baudrate: int, mode: int) -> bytes:
        """An address, bit 7 set for writing, then bytes of that register and the next ones; of the FIFO always the FIFO's."""
        if not self._powered or self._reset_low_since is not None or not self._selected:
            return bytes(len(mosi))
        self.need(mode == 0, facts.SPI_INTERFACE, f"SPI needs CPOL = 0 and CPHA = 0, got mode {mode}")
        self.need(baudrate <= facts.MAX_SPI_HZ, facts.SPI_INTERFACE, f"SPI runs at 10 MHz at most, got {baudrate} Hz")
        early = self._ready_at - self.host.now
        self.need(early <= 0, facts.RESET, f"a transfer {early // 1000} µs too early after the reset")
        answer = bytearray()
        for place, byte in enumerate(mosi, 1):
            if self._address is None:
                self._address = byte
                answer.append(0)
                continue
            address = self._address & 0x7F
            answer.append(self._read(address, fetch=not self._address & 0x80))
            if self._address & 0x80:
                self._write(address, byte, self.host.now + place * 8 * 1_000_000_000 // baudrate)
            if address != facts.REG_FIFO:
                self._address = self._address & 0x80 | address + 1 & 0x7F
        return bytes(answer)

    # Registers

    def _page(self, address: int) -> dict[int, int]:
        if not 0x0D <= address < 0x40:
            return self.shared
        return self.lora if self.long_range and not self.op_mode & facts.SHARED_REGISTERS else self.fsk

    def _read(self, address: int, *, fetch: bool) -> int:
        """A register's value; `fetch`: it is read, not shifted out while it is written."""
        page = self._page(address)
        if address == facts.REG_FIFO:
            return self._read_fifo() if fetch else 0
        if address == facts.REG_OP_MODE:
            return self.op_mode
        if page is self.fsk and address == facts.REG_FSK_IRQ1:
            return 0x80 if self.oscillates(self.host.now) else 0
        if page is self.lora:
            if address == facts.REG_MODEM_STAT:
                return self.status()
            if address == facts.REG_RSSI:
                return round(lora.NOISE_FLOOR_DBM[125_000]) - facts.RSSI_OFFSET_DBM[self.high_port]
            if address == facts.REG_RSSI_WIDEBAND and self._listening:
                return self.host.random(f"sx1276 {self.host.now}").getrandbits(8)
        return page.get(address, 0)

    def _write(self, address: int, byte: int, when: int) -> None:
        """A register is written, the last bit at `when` (ns)."""
        page = self._page(address)
        if address == facts.REG_FIFO:
            self._write_fifo(byte, when)
            return
        if address == facts.REG_OP_MODE:
            self._write_op_mode(byte, when)
            return
        known = address in page and not (page is not self.fsk and address in facts.READ_ONLY)
        self.need(known, facts.REGISTER_TABLE, f"register 0x{address:02x} is reserved or read-only")
        still = self.mode in (facts.SLEEP, facts.STDBY, facts.FSTX, facts.FSRX) or address in facts.ANY_MODE
        name = facts.MODE_NAMES[self.mode]
        text = f"register 0x{address:02x} is static configuration and belongs in Standby, the chip is in {name}"
        self.need(still, facts.STATE_MACHINE, text)
        bits, kept = facts.RESERVED_BITS.get(address, (0, 0)) if page is not self.fsk else (0, 0)
        text = f"register 0x{address:02x}: reserved bits 0x{bits:02x} must stay 0x{kept:02x}, got 0x{byte:02x}"
        self.need(byte & bits == kept, facts.REGISTER_TABLE, text)
        if page is self.lora and address == facts.REG_IRQ:
            page[address] &= ~byte
        elif page is self.fsk and address == facts.REG_IMAGE_CAL:
            running = page[address] & facts.IMAGE_CAL_RUNNING
            page[address] = byte & ~(facts.IMAGE_CAL_START | facts.IMAGE_CAL_RUNNING) | running
            if byte & facts.IMAGE_CAL_START:
                self.calibrate(when)
        else:
            moved = self.calibrating and facts.REG_FRF <= address < facts.REG_FRF + 3
            self.need(not moved, facts.CALIBRATION, "RegFrf is written while the calibration runs")
            page[address] = byte
        self.update_dio()

    def _write_op_mode(self, byte: int, when: int) -> None:
        mode, text = byte & 7, f"RegOpMode 0x{byte:02x}"
        long_range = bool(byte & facts.LONG_RANGE)
        self.need(not self.calibrating, facts.CALIBRATION, f"{text} is written while the calibration runs")
        reserved = 0x30 if long_range else 0x10
        self.need(not byte & reserved, facts.REGISTER_TABLE, f"{text} sets reserved bits")
        # The table says that the bit changes in Sleep only. RadioHead, arduino-LoRa and micropython-lib change it in the
        # write that goes to Sleep, and chips take it; SWL2001's issue 145 shows one that lost it in a write that left Sleep.
        asleep = mode == facts.SLEEP
        self.need(
            asleep or long_range == self.long_range,
            facts.REGISTER_TABLE,
            f"{text}: LongRangeMode changes in Sleep only",
        )
        if not long_range:
            self.need(mode <= facts.STDBY, facts.MODES, f"{text}: FSK is not used by LoRaWAN here and not modelled")
        self.need(
            mode != facts.CAD, facts.MODES, "channel activity detection is not used by LoRaWAN here and not modelled"
        )
        self.op_mode = byte & ~7 | self.mode
        self.set_mode(mode, when)
        self.update_dio()

    def _need_fifo(self, when: int) -> None:
        self.need(
            self.long_range, facts.FIFO_BUFFER, "the FSK modem's FIFO is not used by LoRaWAN here and not modelled"
        )
        self.need(self.mode != facts.SLEEP, facts.FIFO_BUFFER, "the FIFO is not accessible in Sleep")
        self.need(self.oscillates(when), facts.FIFO_BUFFER, "the FIFO needs the oscillator, which does not run yet")

    def _read_fifo(self) -> int:
        self._need_fifo(self.host.now)
        return self.fifo[self._step_fifo()]

    def _write_fifo(self, byte: int, when: int) -> None:
        self._need_fifo(when)
        name = facts.MODE_NAMES[self.mode]
        text = f"the FIFO is filled in Standby only, the chip is in {name}"
        self.need(self.mode == facts.STDBY, facts.STATE_MACHINE, text)
        self.fifo[self._step_fifo()] = byte

    def _step_fifo(self) -> int:
        """FifoAddrPtr, which goes on by one."""
        pointer = self.lora[facts.REG_FIFO_PTR]
        self.lora[facts.REG_FIFO_PTR] = pointer + 1 & 255
        return pointer
