"""The SX1262 as its datasheet (SX1261/2, rev 2.1) describes it, seen from its pins: SPI, NSS, BUSY, DIO1, NRESET.

Only LoRa, and of it what class A LoRaWAN uses. A command is collected while NSS is low and runs at its rising edge; BUSY is
high while it runs. What the datasheet forbids ends the run with its sentence (`Host.fault`); what it warns of costs what it
says: frames lost with the IQ or 500 kHz erratum unmended, no oscillator without the TCXO's voltage.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ...world.air import Air
from ..wiring import Host
from ..wiring import Level as PinLevel
from . import sx1262_facts as facts
from .sx1262_modem import Modem

_CALIBRATION_ERRORS = {
    1: facts.ERROR_RC64K,
    2: facts.ERROR_RC13M,
    4: facts.ERROR_PLL,
    8: facts.ERROR_ADC,
    64: facts.ERROR_IMAGE,
}
"""Calibrate's block bits and the device errors that they clear (Tables 13-18 and 13-86)."""


class Sx1262(Modem):
    """One SX1262 module; it is the `SpiDevice` behind NSS and the `OutputListener` of its reset line."""

    def __init__(
        self,
        air: Air,
        *,
        busy: int,
        dio1: int,
        reset: int,
        tcxo_mv: int | None = 1800,
        tcxo_startup_ns: int = 5 * facts.MS,
        needs_dio2_switch: bool = True,
        antenna_switch: tuple[int, ...] = (),
        sx1261: bool = False,
        coil: bool = True,
    ) -> None:
        """Pins are the board's; `tcxo_mv` None is a crystal; `needs_dio2_switch`: the antenna switch hangs on DIO2.

        `antenna_switch`: pins that must be high to receive and to transmit, on modules that have them. `coil`: the
        module has what the DC-DC converter needs.
        """
        self._reset_pin = reset
        self._powered = False
        self._reset_low_since: int | None = None
        self._selected = False
        self._waking = False
        self._command = bytearray()
        self._handlers: dict[str, Callable[[bytes], None]] = {
            name: getattr(self, "_" + _snake(name)) for name, _ in facts.COMMANDS.values() if not name.startswith("Get")
        }
        tcxo = None if tcxo_mv is None else (tcxo_mv, tcxo_startup_ns)
        self._coil = coil
        super().__init__(
            air,
            busy,
            dio1,
            tcxo,
            needs_dio2_switch=needs_dio2_switch,
            antenna_switch=antenna_switch,
            device=int(sx1261),
        )

    def forget(self) -> None:
        """`Modem.forget`, and the command that was under way."""
        super().forget()
        self._selected = False
        self._waking = False
        self._command = bytearray()

    # Pins

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self.host = host

    def power(self, on: bool) -> None:
        """`Device.power`."""
        self.stop_radio()
        self.cancel_all()
        self.forget()
        self._powered = on
        self._reset_low_since = None
        if on:
            self.host.drive(self._dio1_pin, 0)
            self.cold_start()
        else:
            self.host.drive(self._dio1_pin, None)
            self.host.drive(self._busy_pin, None)

    def output(self, pin: int, level: PinLevel) -> None:
        """NRESET: low holds the chip in reset, an inner pull-up lets it run when the board lets go (section 8.1)."""
        if pin != self._reset_pin or not self._powered:
            return
        low = level == 0 or (level is None and self.host.level(pin) == 0 and self._reset_low_since is not None)
        if low and self._reset_low_since is None:
            self._reset_low_since = self.host.now
            self.stop_radio()
            self.cancel_all()
            self.host.drive(self._busy_pin, 1)
        elif not low and self._reset_low_since is not None:
            held = self.host.now - self._reset_low_since
            self._reset_low_since = None
            if held < facts.RESET_PULSE_NS:
                self.fault("8.1", f"NRESET must be low for 100 µs at least, was {held // 1000} µs")
            self.forget()
            self.update_dio1()
            self.cold_start()

    def select(self, on: bool) -> None:
        """NSS; a falling edge wakes a sleeping chip, a rising edge runs the command."""
        if not self._powered or self._reset_low_since is not None or on == self._selected:
            return
        self._selected = on
        if on:
            self._command.clear()
            if self.mode == facts.SLEEP:
                self._waking = True
                self.wake()
            return
        if self._waking:
            self._waking = False
            if self._command and self._command[0] != 0xC0:
                name = facts.COMMANDS.get(self._command[0], (f"command 0x{self._command[0]:02x}", None))[0]
                self.fault("9.3", f"{name} was sent to a sleeping chip: wake it with NSS and wait for BUSY low first")
        elif self._command:
            self._run(bytes(self._command))

    def transfer(self, mosi: bytes, baudrate: int, mode: int) -> bytes:
        """Bytes of the running command; MISO as in the command's table: status, then data."""
        if not self._powered or self._reset_low_since is not None or not self._selected:
            return bytes(len(mosi))
        if mode != 0:
            self.fault("8.2", f"SPI needs CPOL = 0 and CPHA = 0, got mode {mode}")
        if baudrate > facts.MAX_SPI_HZ:
            self.fault("8.2", f"SPI runs at 16 MHz at most, got {baudrate} Hz")
        start = len(self._command)
        self._command += mosi
        if self._waking:
            return bytes(len(mosi))
        if self.host.now < self.busy_until and self._command[0] != 0xC0:
            name = facts.COMMANDS.get(self._command[0], ("a command", None))[0]
            left = (self.busy_until - self.host.now) // 1000
            self.fault("8.3.1", f"{name} was sent while BUSY is high ({left} µs too early)")
        return self._answer(bytes(self._command), start)

    # Commands

    def _status_byte(self) -> int:
        return self.mode << 4 | self.status << 1

    def _answer(self, command: bytes, start: int) -> bytes:
        """MISO for `command[start:]`; the first byte of a command is not defined (RFU), here 0."""
        status = self._status_byte()
        name = facts.COMMANDS.get(command[0], ("", None))[0]
        if name == "ReadRegister":
            base, skip = int.from_bytes(command[1:3], "big"), 4
            data = [self._register(base + place) for place in range(len(command) - skip)]
        elif name == "ReadBuffer":
            base, skip = command[1] if len(command) > 1 else 0, 3
            data = [self.buffer[base + place & 255] for place in range(len(command) - skip)]
        else:
            skip, data = 2, self._results(name)
        whole = [0] + [status] * (skip - 1) + data
        whole += [status] * (len(command) - len(whole))
        return bytes(whole[start : len(command)])

    def _results(self, name: str) -> list[int]:
        if name == "GetIrqStatus":
            return list(self.irq.to_bytes(2, "big"))
        if name == "GetPacketType":
            return [int(self.settings.lora)]
        if name == "GetRssiInst":
            return [234]
        if name == "GetRxBufferStatus":
            return list(self.rx_status)
        if name == "GetPacketStatus":
            return list(self.packet_status)
        if name == "GetDeviceErrors":
            return list(self.errors.to_bytes(2, "big"))
        if name == "GetStats":
            return [byte for count in self.stats for byte in count.to_bytes(2, "big")]
        return []

    def _run(self, command: bytes) -> None:
        opcode, parameters = command[0], command[1:]
        if opcode in facts.UNUSED:
            self.host.fault(f"SX1262: {facts.UNUSED[opcode]} is not used by LoRaWAN here and not modelled")
        if opcode not in facts.COMMANDS:
            self.fault("11", f"there is no command 0x{opcode:02x}")
        name, lengths = facts.COMMANDS[opcode]
        if lengths is not None and len(parameters) not in lengths:
            self.fault("11", f"{name} takes {' or '.join(map(str, lengths))} bytes, got {len(parameters)}")
        if name not in facts.ANY_MODE and self.mode in (facts.RX, facts.TX):
            self.fault("9.1", f"{name} belongs in standby, the chip is in {facts.MODE_NAMES[self.mode]}")
        if name in facts.RC_ONLY and self.mode != facts.STBY_RC:
            self.fault("13.1", f"{name} works in STDBY_RC only, the chip is in {facts.MODE_NAMES[self.mode]}")
        if name == "GetStatus" and self.host.now < self.busy_until:
            return
        self.set_busy(facts.COMMAND_NS)
        if not name.startswith("Get"):
            self.status = facts.NO_STATUS
            self._handlers[name](parameters)

    def _set_sleep(self, data: bytes) -> None:
        self.need(self.mode in (facts.STBY_RC, facts.STBY_XOSC), "13.1.1", "SetSleep works in STDBY only")
        self.need(data[0] & ~0x05 == 0, "13.1.1", f"SetSleep 0x{data[0]:02x} sets reserved bits")
        self.need(not data[0] & 1, "13.1.1", "SetSleep with the RTC's wake-up is not used by LoRaWAN here")
        self.sleep(cold=not data[0] & 4)

    def _set_standby(self, data: bytes) -> None:
        self.need(data[0] in (0, 1), "13.1.2", f"SetStandby takes 0 or 1, got {data[0]}")
        self.stop_radio()
        self.change(facts.STBY_XOSC if data[0] else facts.STBY_RC)

    def _set_fs(self, _data: bytes) -> None:
        self.stop_radio()
        self.change(facts.FS)

    def _set_tx(self, data: bytes) -> None:
        self.start_tx(int.from_bytes(data, "big"))

    def _set_rx(self, data: bytes) -> None:
        self.start_rx(int.from_bytes(data, "big"))

    def _set_regulator_mode(self, data: bytes) -> None:
        self.need(data[0] in (0, 1), "13.1.11", f"SetRegulatorMode takes 0 or 1, got {data[0]}")
        self.need(self._coil or not data[0], "5.1", "SetRegulatorMode: DC-DC on a module that has no coil for it")

    def _stop_timer_on_preamble(self, data: bytes) -> None:
        self.need(data[0] in (0, 1), "13.1.5", f"StopTimerOnPreamble takes 0 or 1, got {data[0]}")
        self.settings.stop_on_preamble = bool(data[0])

    def _calibrate(self, data: bytes) -> None:
        self.need(not data[0] & 0x80, "13.1.12", "Calibrate: bit 7 is reserved")
        blocks = data[0]
        if self.start_oscillator(facts.CALIBRATE_NS * blocks.bit_count() // 7) is None:
            return
        self.settings.calibrated |= blocks
        self.errors &= ~sum(error for bit, error in _CALIBRATION_ERRORS.items() if blocks & bit)

    def _calibrate_image(self, data: bytes) -> None:
        self.need(data[0] <= data[1], "9.2.1", f"CalibrateImage from 0x{data[0]:02x} to 0x{data[1]:02x} is no band")
        if self.start_oscillator(facts.CALIBRATE_NS // 7) is not None:
            self.settings.image_band = (data[0], data[1])
            self.settings.calibrated |= 0x40

    def _set_pa_config(self, data: bytes) -> None:
        duty, size, device, table = data
        self.need(
            device == self._device,
            "13.1.14",
            f"SetPaConfig: deviceSel is {self._device} for the {self._part}, got {device}",
        )
        self.need(table == 1, "13.1.14", "SetPaConfig: paLut is always 1")
        most = facts.LARGEST_PA[device]
        self.need(
            duty <= most[0], "13.1.14", f"SetPaConfig: paDutyCycle over {most[0]} may damage the chip, got {duty}"
        )
        self.need(size <= most[1], "13.1.14", f"SetPaConfig: hpMax over {most[1]} may age the chip early, got {size}")
        self.settings.pa = (duty, size)
        self.settings.registers[facts.REG_OCP] = facts.OCP[device]

    def _set_rx_tx_fallback_mode(self, data: bytes) -> None:
        modes = {0x20: facts.STBY_RC, 0x30: facts.STBY_XOSC, 0x40: facts.FS}
        self.need(data[0] in modes, "13.1.15", f"SetRxTxFallbackMode takes 0x20, 0x30 or 0x40, got 0x{data[0]:02x}")
        self.settings.fallback = modes[data[0]]

    def _write_register(self, data: bytes) -> None:
        self.need(len(data) >= 3, "13.2.1", "WriteRegister takes an address and data")
        base = int.from_bytes(data[:2], "big")
        for place, byte in enumerate(data[2:]):
            address = base + place
            known = address in facts.REGISTERS and address not in facts.READ_ONLY
            self.need(known, "12.1", f"register 0x{address:04x} is reserved or read-only")
            self.settings.registers[address] = byte

    def _read_register(self, data: bytes) -> None:
        self.need(len(data) >= 4, "13.2.2", "ReadRegister takes an address, a NOP and a NOP for each byte")

    def _register(self, address: int) -> int:
        if address not in facts.REGISTERS:
            self.fault("12.1", f"register 0x{address:04x} is reserved")
        if facts.REG_RANDOM <= address < facts.REG_RANDOM + 4:
            return self.host.random(f"sx1262 {self.host.now} {address}").getrandbits(8)
        return self.settings.registers[address]

    def _write_buffer(self, data: bytes) -> None:
        self.need(2 <= len(data) <= 257, "13.2.3", "WriteBuffer takes an offset and 1 to 256 bytes")
        for place, byte in enumerate(data[1:]):
            self.buffer[data[0] + place & 255] = byte

    def _read_buffer(self, data: bytes) -> None:
        self.need(len(data) >= 3, "13.2.4", "ReadBuffer takes an offset, a NOP and a NOP for each byte")

    def _set_dio_irq_params(self, data: bytes) -> None:
        masks = [int.from_bytes(data[place : place + 2], "big") for place in (0, 2, 4, 6)]
        self.settings.irq_mask, self.settings.dio1_mask = masks[0], masks[1]
        clash = (bool(masks[2]) and self.settings.dio2_switch) or (bool(masks[3]) and self.settings.tcxo_mv is not None)
        self.need(not clash, "13.3.1", "DIO2 or DIO3 gets interrupts, but drives the antenna switch or the TCXO")
        self.update_dio1()

    def _clear_irq_status(self, data: bytes) -> None:
        self.clear_irq(int.from_bytes(data, "big"))

    def _set_dio2_as_rf_switch_ctrl(self, data: bytes) -> None:
        self.need(data[0] in (0, 1), "13.3.5", f"SetDIO2AsRfSwitchCtrl takes 0 or 1, got {data[0]}")
        self.settings.dio2_switch = bool(data[0])

    def _set_dio3_as_tcxo_ctrl(self, data: bytes) -> None:
        self.need(data[0] < 8, "13.3.6", f"SetDIO3AsTCXOCtrl: voltage code 0 to 7, got {data[0]}")
        millivolts = facts.TCXO_MV[data[0]]
        if self.tcxo is not None and millivolts > self.tcxo[0]:
            self.fault("13.3.6", f"SetDIO3AsTCXOCtrl: {millivolts} mV, but the board's TCXO takes {self.tcxo[0]} mV")
        self.settings.tcxo_mv = millivolts
        self.settings.tcxo_delay_ns = int.from_bytes(data[1:], "big") * facts.TIMER_STEP_NS

    def _set_rf_frequency(self, data: bytes) -> None:
        hertz = (int.from_bytes(data, "big") * 15_625 + 8192) // 16_384
        self.need(150_000_000 <= hertz <= 960_000_000, "13.4.1", f"the SX1262 tunes 150 to 960 MHz, got {hertz} Hz")
        self.settings.freq_hz = hertz

    def _set_packet_type(self, data: bytes) -> None:
        self.need(data[0] in (0, 1, 3), "13.4.2", f"SetPacketType takes 0, 1 or 3, got {data[0]}")
        if (data[0] == 1) != self.settings.lora:
            self.settings.modulation = self.settings.packet = None
        self.settings.lora = data[0] == 1

    def _set_tx_params(self, data: bytes) -> None:
        power = int.from_bytes(data[:1], "big", signed=True)
        self.need(self.settings.pa is not None, "13.1.14", "SetTxParams before SetPaConfig: the PA is the SX1261's")
        least, most = facts.POWER[self._device]
        self.need(
            least <= power <= most,
            "13.4.4",
            f"SetTxParams: the {self._part} takes {least} to {most:+d} dBm, got {power}",
        )
        self.need(data[1] <= 7, "13.4.4", f"SetTxParams: ramp time code 0 to 7, got {data[1]}")
        self.settings.power = power

    def _set_modulation_params(self, data: bytes) -> None:
        self.need_lora("SetModulationParams")
        factor, width, rate, optimised = data[:4]
        self.need(5 <= factor <= 12, "13.4.5.2", f"SetModulationParams: SF 5 to 12, got {factor}")
        self.need(1 <= rate <= 4, "13.4.5.2", f"SetModulationParams: coding rate 1 to 4, got {rate}")
        self.need(optimised <= 1, "13.4.5.2", f"SetModulationParams: optimisation 0 or 1, got {optimised}")
        if width not in facts.BANDWIDTHS:
            self.fault("13.4.5.2", f"SetModulationParams: bandwidth code 0x{width:02x} is not LoRaWAN's")
        self.settings.modulation = (factor, facts.BANDWIDTHS[width], rate, bool(optimised))

    def _set_packet_params(self, data: bytes) -> None:
        self.need_lora("SetPacketParams")
        preamble = int.from_bytes(data[:2], "big")
        self.need(preamble >= 1, "13.4.6.2", "SetPacketParams: a preamble of 1 symbol at least")
        for place, what in ((2, "header type"), (4, "CRC"), (5, "IQ")):
            self.need(data[place] <= 1, "13.4.6.2", f"SetPacketParams: {what} is 0 or 1, got {data[place]}")
        self.settings.packet = (preamble, data[2] == 0, data[3], bool(data[4]), bool(data[5]))

    def _set_buffer_base_address(self, data: bytes) -> None:
        self.settings.tx_base, self.settings.rx_base = data

    def _set_lo_ra_symb_num_timeout(self, data: bytes) -> None:
        mantissa, exponent = data[0] + 1 >> 1, 0
        while mantissa > 31:
            mantissa, exponent = mantissa + 3 >> 2, exponent + 1
        self.settings.registers[facts.REG_SYNC_TIMEOUT] = mantissa << 3 | exponent

    def _clear_device_errors(self, _data: bytes) -> None:
        self.errors = 0

    def _reset_stats(self, _data: bytes) -> None:
        self.stats = [0, 0, 0]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
