"""Numbers of the SX1276: registers, timings, interrupts, power. Source: SX1276/77/78/79 datasheet rev 7 and errata note rev 1.

Sections are named by their titles, whose numbers differ between revisions.
"""

from __future__ import annotations

US = 1000
MS = 1_000_000

DATASHEET = "SX1276/77/78/79 datasheet rev 7"
MODES = "LoRa Operating Modes"
FIFO_BUFFER = "LoRa Mode FIFO Data Buffer"
STATE_MACHINE = "LoRa Modem State Machine Sequences"
SPI_INTERFACE = "SPI Interface"
RESET = "Reset of the Chip"
REGISTER_TABLE = "LoRa Mode Register Map"
AMPLIFIERS = "RF Power Amplifiers"
CALIBRATION = "Image and RSSI Calibration"

# Mode, bits 2:0 of RegOpMode.
SLEEP, STDBY, FSTX, TX, FSRX, RXCONTINUOUS, RXSINGLE, CAD = range(8)
MODE_NAMES = ("SLEEP", "STDBY", "FSTX", "TX", "FSRX", "RXCONTINUOUS", "RXSINGLE", "CAD")
RECEIVING = (RXCONTINUOUS, RXSINGLE)
LOCKED_ALREADY = frozenset({(FSTX, TX), (FSRX, RXCONTINUOUS), (FSRX, RXSINGLE)})
"""Changes of mode that keep the synthesizer as it is."""
LONG_RANGE, SHARED_REGISTERS = 0x80, 0x40

# Timing.
POWER_ON_NS = 10 * MS
"""Power-on reset: wait so long before the first transfer (Reset of the Chip, POR)."""
RESET_PULSE_NS = 100 * US
RESET_WAIT_NS = 5 * MS
"""Manual reset: low for 100 µs, then wait 5 ms (Reset of the Chip)."""
MAX_SPI_HZ = 10_000_000
OSCILLATOR_NS = 250 * US
"""TS_OSC, the crystal's start (Frequency Synthesizer Specification)."""
SYNTHESIZER_NS = 60 * US
"""TS_FS, from Standby to PLL lock (ibid.)."""
RAMP_US = (3400, 2000, 1000, 500, 250, 125, 100, 62, 50, 40, 31, 25, 20, 15, 12, 10)
"""RegPaRamp, bits 3:0."""
RECEIVER_NS = {125_000: 119 * US, 250_000: 71 * US, 500_000: 63 * US}
"""TS_RE by LoRa bandwidth in Hz. The datasheet gives it for FSK only (Receiver Startup Time Summary): taken is the row of half
the bandwidth, which FSK counts on one side; for 500 kHz the last row."""
CALIBRATION_NS = 10 * MS
"""ImageCalRunning after ImageCalStart; about 10 ms."""


def transmitter_ns(pa_ramp: int) -> int:
    """TS_TR = 5 µs + 1.25 PaRamp, FSK's formula without its half bit (Transmitter Startup Time)."""
    return 5 * US + RAMP_US[pa_ramp & 15] * 1250


# Interrupts, RegIrqFlags.
IRQ_RX_TIMEOUT, IRQ_RX_DONE, IRQ_CRC_ERROR, IRQ_VALID_HEADER = 0x80, 0x40, 0x20, 0x10
IRQ_TX_DONE, IRQ_CAD_DONE, IRQ_HOP, IRQ_CAD_DETECTED = 0x08, 0x04, 0x02, 0x01
DIO0 = (IRQ_RX_DONE, IRQ_TX_DONE, IRQ_CAD_DONE, 0)
DIO1 = (IRQ_RX_TIMEOUT, IRQ_HOP, IRQ_CAD_DETECTED, 0)
"""By the two bits of RegDioMapping1 (DIO Mapping LoRa Mode)."""

# Registers that both modems share.
REG_FIFO, REG_OP_MODE, REG_FRF = 0x00, 0x01, 0x06
REG_PA_CONFIG, REG_PA_RAMP, REG_OCP, REG_LNA = 0x09, 0x0A, 0x0B, 0x0C
REG_DIO_MAPPING1, REG_VERSION, REG_TCXO, REG_PA_DAC = 0x40, 0x42, 0x4B, 0x4D
SHARED = {
    0x02: 0x1A,
    0x03: 0x0B,
    0x04: 0x00,
    0x05: 0x52,
    0x06: 0x6C,
    0x07: 0x80,
    0x08: 0x00,
    REG_PA_CONFIG: 0x4F,
    REG_PA_RAMP: 0x09,
    REG_OCP: 0x2B,
    REG_LNA: 0x20,
    REG_DIO_MAPPING1: 0x00,
    0x41: 0x00,
    REG_VERSION: 0x12,
    0x44: 0x2D,
    REG_TCXO: 0x09,
    REG_PA_DAC: 0x84,
    0x5B: 0x00,
    0x5D: 0x00,
    0x61: 0x1C,
    0x62: 0x0E,
    0x63: 0x5B,
    0x64: 0xDB,
    0x70: 0xD0,
}
OP_MODE_RESET = 0x09
"""FSK, low frequency test registers, Standby."""

# Registers 0x0D to 0x3F of the LoRa modem.
REG_FIFO_PTR, REG_FIFO_TX_BASE, REG_FIFO_RX_BASE, REG_FIFO_RX_CURRENT = 0x0D, 0x0E, 0x0F, 0x10
REG_IRQ_MASK, REG_IRQ, REG_RX_BYTES = 0x11, 0x12, 0x13
REG_HEADERS, REG_PACKETS, REG_MODEM_STAT = 0x14, 0x16, 0x18
REG_PKT_SNR, REG_PKT_RSSI, REG_RSSI, REG_HOP_CHANNEL = 0x19, 0x1A, 0x1B, 0x1C
REG_MODEM1, REG_MODEM2, REG_SYMB_TIMEOUT, REG_PREAMBLE = 0x1D, 0x1E, 0x1F, 0x20
REG_PAYLOAD, REG_MAX_PAYLOAD, REG_HOP_PERIOD, REG_FIFO_RX_BYTE = 0x22, 0x23, 0x24, 0x25
REG_MODEM3, REG_RSSI_WIDEBAND, REG_IF1, REG_IF2 = 0x26, 0x2C, 0x2F, 0x30
REG_DETECT, REG_INVERT_IQ, REG_HIGH_BW1, REG_THRESHOLD = 0x31, 0x33, 0x36, 0x37
REG_SYNC_WORD, REG_HIGH_BW2, REG_INVERT_IQ2 = 0x39, 0x3A, 0x3B
LORA = {
    REG_FIFO_PTR: 0x00,
    REG_FIFO_TX_BASE: 0x80,
    REG_FIFO_RX_BASE: 0x00,
    **dict.fromkeys(range(REG_FIFO_RX_CURRENT, REG_MODEM1), 0),
    REG_MODEM1: 0x72,
    REG_MODEM2: 0x70,
    REG_SYMB_TIMEOUT: 0x64,
    REG_PREAMBLE: 0x00,
    REG_PREAMBLE + 1: 0x08,
    REG_PAYLOAD: 0x01,
    REG_MAX_PAYLOAD: 0xFF,
    REG_HOP_PERIOD: 0x00,
    REG_FIFO_RX_BYTE: 0x00,
    REG_MODEM3: 0x00,
    **dict.fromkeys((0x27, 0x28, 0x29, 0x2A, REG_RSSI_WIDEBAND), 0),
    # RegInvertIQ: the table says 0x26, a chip in LoRa mode reads 0x27 (LoRaMac-node: bit 0 set is normal).
    REG_IF1: 0x20,
    REG_IF2: 0x00,
    REG_DETECT: 0xC3,
    REG_INVERT_IQ: 0x27,
    REG_HIGH_BW1: 0x03,
    REG_THRESHOLD: 0x0A,
    REG_SYNC_WORD: 0x12,
    REG_HIGH_BW2: 0x49,
    REG_INVERT_IQ2: 0x1D,
}
READ_ONLY = frozenset({*range(0x13, 0x1D), REG_FIFO_RX_CURRENT, REG_FIFO_RX_BYTE, 0x28, 0x29, 0x2A, 0x2C, REG_VERSION})
ANY_MODE = frozenset({REG_OP_MODE, REG_FIFO_PTR, REG_IRQ_MASK, REG_IRQ, REG_DIO_MAPPING1, 0x41})
"""What may be written while the modem transmits or receives; the rest is static configuration (LoRa Modem State Machine
Sequences)."""
RESERVED_BITS = {REG_DETECT: (0x78, 0x40), REG_PA_DAC: (0xF8, 0x80), REG_TCXO: (0xEF, 0x09)}
"""Register: (bits, the value that they must keep)."""

# Registers 0x0D to 0x3F of the FSK modem; of them LoRaWAN needs RegImageCal, which exists here only.
REG_IMAGE_CAL, REG_FSK_IRQ1 = 0x3B, 0x3E
IMAGE_CAL_START, IMAGE_CAL_RUNNING = 0x40, 0x20
_FSK_RESET = (
    "08020aff00150b280c1247323e0000000000"  # RegRxConfig on
    "4000000000050003"  # RegPreambleDetect on
    "93 5555555555555555"  # RegSyncConfig on
    "90 40 40 0000 0f 0000"  # RegPacketConfig1 on
    "00f520 02 0002 8040"  # RegTimerResol on
)
FSK = dict(enumerate(bytes.fromhex(_FSK_RESET), 0x0D))

BANDWIDTHS = {7: 125_000, 8: 250_000, 9: 500_000}
"""RegModemConfig1, bits 7:4; the narrower ones are not LoRaWAN's."""
BANDS = ((137_000_000, 175_000_000), (410_000_000, 525_000_000), (862_000_000, 1_020_000_000))
"""Hz; Frequency Bands. The last one is the high frequency port's."""
FIRST_HIGH_HZ = BANDS[-1][0]
RSSI_OFFSET_DBM = {False: -164, True: -157}
"""RSSI of register value 0, by high frequency port."""
LEAST_SYMBOL_TIMEOUT = 4
LEAST_PREAMBLE = 6
DETECTION_SYMBOLS = 5
"""Preamble symbols that the modem needs inside its window. The datasheet gives no figure; LoRaMac-node plans for 6."""
LNA_LOSS_DB = {1: 0, 2: 6, 3: 12, 4: 24, 5: 26, 6: 48}
"""RegLna, bits 7:5, against the highest gain (LNA Gain Control); without the AGC it stays."""
BOOST_DB = 2.0
"""What the receiver loses without LnaBoostHf. The datasheet has no figure."""
SPURIOUS_HZ = 300_000
"""Errata note, 2.3, gives no distance: a frame so far beside the channel is taken as received."""
HIGH_BANDWIDTH_LOSS_DB = 3.0
"""Errata note, 2.1, gives no figure."""
RSSI_ERROR_DB = 6
"""Calibration "improves RSSI precision", without a figure: so much too high is taken as the reading before it."""

SYNTHESIZER_MA = 5.8
BOOST_MA = {17: 87, 20: 120}
"""IDDT on PA_BOOST by dBm. Below +17 dBm no figure is given and that of +17 dBm stands."""


def over_current_ma(ocp: int) -> int | None:
    """RegOcp's limit for the amplifier alone (Over Current Protection); None where it is off."""
    trim = ocp & 0x1F
    if not ocp & 0x20:
        return None
    return 45 + 5 * trim if trim <= 15 else min(240, -30 + 10 * trim)


def output_dbm(pa_config: int, pa_dac: int) -> float:
    """Power at the pin that RegPaConfig selects (RF Power Amplifiers, High Power +20 dBm Operation)."""
    down = 15 - (pa_config & 15)
    if pa_config & 0x80:
        return float((20 if pa_dac & 7 == 7 else 17) - down)
    return (108 + 6 * (pa_config >> 4 & 7) - 10 * down) / 10


def hertz(word: int) -> int:
    """RegFrf in steps of 32 MHz / 2^19, rounded to whole Hz."""
    return (word * 15_625 + 128) // 256
