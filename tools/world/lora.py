"""What both ends of a LoRa link share: symbol time, time on air, noise floor, the SNR limit of a spreading factor.

Sources: SX1261/2 datasheet rev 2.1 section 6.1 (modulation, 6.1.4 time on air, Table 6-1 SNR limits).
"""

from __future__ import annotations

NOISE_FLOOR_DBM = {125_000: -117.0, 250_000: -114.0, 500_000: -111.0}
"""Thermal noise, -174 dBm/Hz, in the bandwidth (Hz) with a noise figure of 6 dB."""

SNR_LIMIT_DB = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
"""Least SNR at which a spreading factor is demodulated."""

PUBLIC_SYNC_WORD = 0x3444
"""LoRaWAN's 0x34 as the SX126x writes it in registers 0x0740 and 0x0741."""


def symbol_ns(spreading_factor: int, bandwidth_hz: int) -> int:
    """Length of one symbol in ns, exact for 125, 250 and 500 kHz."""
    return (1 << spreading_factor) * 1_000_000_000 // bandwidth_hz


def low_data_rate(spreading_factor: int, bandwidth_hz: int) -> bool:
    """Whether LoRaWAN demands the low data rate optimisation: symbols of 16 ms and more (RP002, section 4.1.3)."""
    return symbol_ns(spreading_factor, bandwidth_hz) >= 16_000_000


def header_ns(spreading_factor: int, bandwidth_hz: int, preamble: int) -> int:
    """From the first preamble symbol to the end of the header, in ns: preamble, 4.25 symbols of sync, 8 of header."""
    quarters = 4 * preamble + (25 if spreading_factor < 7 else 17) + 32
    return quarters * symbol_ns(spreading_factor, bandwidth_hz) // 4


def time_on_air_ns(
    length: int,
    spreading_factor: int,
    bandwidth_hz: int,
    *,
    coding_rate: int = 1,
    preamble: int = 8,
    crc: bool = True,
    explicit_header: bool = True,
    optimised: bool | None = None,
) -> int:
    """Time on air in ns of `length` payload bytes; `coding_rate` 1 is 4/5, `optimised` defaults to LoRaWAN's rule."""
    if optimised is None:
        optimised = low_data_rate(spreading_factor, bandwidth_hz)
    short = spreading_factor < 7
    bits = 8 * length + (16 if crc else 0) - 4 * spreading_factor + (0 if short else 8) + (20 if explicit_header else 0)
    bits_a_block = 4 * (spreading_factor - (2 if optimised else 0))
    blocks = -(-max(bits, 0) // bits_a_block)
    quarters = 4 * preamble + (25 if short else 17) + 32 + 4 * blocks * (coding_rate + 4)
    return quarters * symbol_ns(spreading_factor, bandwidth_hz) // 4
