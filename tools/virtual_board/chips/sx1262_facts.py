"""Numbers of the SX1262: commands, registers, timings, interrupts. Source: SX1261/2 datasheet rev 2.1, sections named."""

from __future__ import annotations

US = 1000
MS = 1_000_000

# Chip modes as in bits 6:4 of the status byte (Table 13-76); SLEEP has no code, nobody can read it there.
SLEEP, STBY_RC, STBY_XOSC, FS, RX, TX = 0, 2, 3, 4, 5, 6
MODE_NAMES = {SLEEP: "SLEEP", STBY_RC: "STBY_RC", STBY_XOSC: "STBY_XOSC", FS: "FS", RX: "RX", TX: "TX"}

# Command status, bits 3:1 of the status byte (Table 13-76).
NO_STATUS, DATA_AVAILABLE, COMMAND_TIMEOUT, EXECUTION_FAILED, TX_DONE_STATUS = 1, 2, 3, 5, 6

SWITCH_NS = {
    (STBY_RC, STBY_XOSC): 31 * US,
    (STBY_RC, FS): 50 * US,
    (STBY_RC, RX): 83 * US,
    (STBY_RC, TX): 126 * US,
    (STBY_XOSC, FS): 40 * US,
    (STBY_XOSC, RX): 62 * US,
    (STBY_XOSC, TX): 105 * US,
    (FS, RX): 41 * US,
    (FS, TX): 76 * US,
    (RX, FS): 15 * US,
    (RX, TX): 92 * US,
}
"""BUSY while the mode changes, Table 8-2; other changes take `COMMAND_NS`."""

COLD_START_NS = 3500 * US
"""Sleep cold start, power-on and reset, calibration of all blocks included (Table 8-2, section 13.1.12)."""
WARM_START_NS = 340 * US
"""Sleep warm start (Table 8-2)."""
COMMAND_NS = 1 * US
"""BUSY after a command that changes no mode (TSW, section 8.3.1)."""
SLEEP_DEAF_NS = 500 * US
"""After SetSleep the chip is deaf while it saves registers (section 13.1.1)."""
RESET_PULSE_NS = 100 * US
"""Least low time of NRESET (section 8.1)."""
CALIBRATE_NS = 3500 * US
"""Calibration of all blocks (section 13.1.12); one block is taken as its share."""
TIMER_STEP_NS = 15_625
"""Step of the RX, TX and TCXO timers (sections 13.1.4, 13.3.6)."""
MAX_SPI_HZ = 16_000_000
"""Section 8.2."""

# Interrupts, Table 13-29.
IRQ_TX_DONE = 1 << 0
IRQ_RX_DONE = 1 << 1
IRQ_PREAMBLE = 1 << 2
IRQ_HEADER_VALID = 1 << 4
IRQ_HEADER_ERROR = 1 << 5
IRQ_CRC_ERROR = 1 << 6
IRQ_TIMEOUT = 1 << 9

# Device errors, Table 13-86.
ERROR_RC64K, ERROR_RC13M, ERROR_PLL, ERROR_ADC, ERROR_IMAGE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
ERROR_XOSC_START, ERROR_PLL_LOCK = 1 << 5, 1 << 6

# opcode: (name, allowed numbers of parameter bytes; None: counted by the handler). LoRa lengths; the longer one of
# SetModulationParams and SetPacketParams is the general form with unused bytes (Tables 11-1 to 11-5).
COMMANDS: dict[int, tuple[str, tuple[int, ...] | None]] = {
    0x84: ("SetSleep", (1,)),
    0x80: ("SetStandby", (1,)),
    0xC1: ("SetFs", (0,)),
    0x83: ("SetTx", (3,)),
    0x82: ("SetRx", (3,)),
    0x9F: ("StopTimerOnPreamble", (1,)),
    0x96: ("SetRegulatorMode", (1,)),
    0x89: ("Calibrate", (1,)),
    0x98: ("CalibrateImage", (2,)),
    0x95: ("SetPaConfig", (4,)),
    0x93: ("SetRxTxFallbackMode", (1,)),
    0x0D: ("WriteRegister", None),
    0x1D: ("ReadRegister", None),
    0x0E: ("WriteBuffer", None),
    0x1E: ("ReadBuffer", None),
    0x08: ("SetDioIrqParams", (8,)),
    0x12: ("GetIrqStatus", (3,)),
    0x02: ("ClearIrqStatus", (2,)),
    0x9D: ("SetDIO2AsRfSwitchCtrl", (1,)),
    0x97: ("SetDIO3AsTCXOCtrl", (4,)),
    0x86: ("SetRfFrequency", (4,)),
    0x8A: ("SetPacketType", (1,)),
    0x11: ("GetPacketType", (2,)),
    0x8E: ("SetTxParams", (2,)),
    0x8B: ("SetModulationParams", (4, 8)),
    0x8C: ("SetPacketParams", (6, 9)),
    0x8F: ("SetBufferBaseAddress", (2,)),
    0xA0: ("SetLoRaSymbNumTimeout", (1,)),
    0xC0: ("GetStatus", (0, 1)),
    0x15: ("GetRssiInst", (2,)),
    0x13: ("GetRxBufferStatus", (3,)),
    0x14: ("GetPacketStatus", (4,)),
    0x17: ("GetDeviceErrors", (3,)),
    0x07: ("ClearDeviceErrors", (2,)),
    0x10: ("GetStats", (7,)),
    0x00: ("ResetStats", (6,)),
}
UNUSED = {
    0x94: "SetRxDutyCycle",
    0xC5: "SetCad",
    0x88: "SetCadParams",
    0xD1: "SetTxContinuousWave",
    0xD2: "SetTxInfinitePreamble",
}
"""Commands that the chip has and class A LoRaWAN does not use."""

ANY_MODE = frozenset(
    {
        "SetStandby",
        "SetFs",
        "SetTx",
        "SetRx",
        "WriteRegister",
        "ReadRegister",
        "WriteBuffer",
        "ReadBuffer",
        "ClearIrqStatus",
    }
    | {name for name, _ in COMMANDS.values() if name.startswith("Get")}
    | {"ResetStats", "ClearDeviceErrors"}
)
"""What may be sent while the modem transmits or receives; the rest configures and belongs in standby (section 9.1)."""
RC_ONLY = frozenset({"Calibrate", "SetRegulatorMode", "SetDIO3AsTCXOCtrl"})
"""Only in STDBY_RC (sections 13.1.11, 13.1.12, 13.3.6)."""

# Registers with their reset values, Table 12-1; 0x0736 and 0x0889 from sections 15.1 and 15.4.
REG_RETENTION = 0x029F
REG_VERSION = 0x0320
REG_SYNC_TIMEOUT = 0x0706
"""SetLoRaSymbNumTimeout's symbols as the chip keeps them: mantissa << 3 | exponent, for mantissa << 2 * exponent + 1 symbols.

The datasheet has no word of it; Semtech's own driver writes it after the command.
"""
REG_IQ = 0x0736
REG_SYNC_WORD = 0x0740
REG_RANDOM = 0x0819
REG_TX_MODULATION = 0x0889
REG_RX_GAIN = 0x08AC
REG_OCP = 0x08E7
REGISTERS: dict[int, int] = {
    **dict.fromkeys(range(REG_RETENTION, REG_RETENTION + 9), 0),
    **{REG_VERSION + place: byte for place, byte in enumerate(b"SX1261 V2D 2D02\0")},
    **dict.fromkeys((0x0580, 0x0583, 0x0584, 0x0585), 0),
    **dict.fromkeys(range(0x06B8, 0x06D0), 0),
    REG_SYNC_TIMEOUT: 0,
    REG_IQ: 0x0D,
    REG_SYNC_WORD: 0x14,
    REG_SYNC_WORD + 1: 0x24,
    **dict.fromkeys(range(REG_RANDOM, REG_RANDOM + 4), 0),
    REG_TX_MODULATION: 0x04,
    REG_RX_GAIN: 0x94,
    0x08D8: 0xC8,
    REG_OCP: 0x18,
    0x0902: 0,
    0x0911: 0x05,
    0x0912: 0x05,
    0x0920: 0x01,
    0x0944: 0,
}
READ_ONLY = frozenset({*range(REG_VERSION, REG_VERSION + 16), *range(REG_RANDOM, REG_RANDOM + 4)})
NOT_RETAINED = frozenset({REG_IQ, REG_TX_MODULATION, REG_RX_GAIN})
"""Lost even in a warm start unless listed from 0x029F on: a count of at most 4, then addresses (section 9.6)."""

BANDWIDTHS = {0x04: 125_000, 0x05: 250_000, 0x06: 500_000}
"""SetModulationParams ModParam2 (Table 13-48); the narrower ones are not LoRaWAN's."""
TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)
"""Table 13-35."""
IMAGE_BAND_STEP_HZ = 4_000_000
"""CalibrateImage's parameters count 4 MHz (section 9.2.1)."""
DEFAULT_IMAGE_BAND = (0xE1, 0xE9)
"""902 to 928 MHz, after power-on and cold start (section 9.2.1)."""
OCP_STEP_MA = 2.5
OCP = (0x38, 0x18)
"""By deviceSel: 140 mA for the SX1262, 60 mA for the SX1261, written by SetPaConfig (section 5.3.1)."""
POWER = ((-9, 22), (-17, 14))
"""By deviceSel: SetTxParams' power in dBm (section 13.4.4)."""
LARGEST_PA = ((4, 7), (7, 0))
"""By deviceSel: paDutyCycle and hpMax that the datasheet warns to pass (section 13.1.14)."""
PA_OPTIMA = (
    {(4, 7): (22, 22, 118), (3, 5): (20, 22, 102), (2, 3): (17, 22, 95), (2, 2): (14, 22, 90)},
    {(6, 0): (15, 14, 33), (4, 0): (14, 14, 26), (1, 0): (10, 13, 18)},
)
"""By deviceSel, (paDutyCycle, hpMax): dBm on the air, the SetTxParams power for it, mA at 868 MHz (Tables 13-21 and 3-6)."""

DETECTION_SYMBOLS = 5
"""Preamble symbols that the modem needs inside its window. The datasheet gives no figure; LoRaMac-node plans for 6."""
