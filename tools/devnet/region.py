"""EU868 as ChirpStack 4 ships it (region_eu868.toml) and RP002-1.0.3 section 2.4 defines it. Hz, dBm."""

from __future__ import annotations

REGION_CONFIG_ID = "eu868"
RX2_FREQUENCY_HZ, RX2_DR = 869_525_000, 0
RX1_DELAY_S, JOIN_DELAY_S = 1, 5
MAX_DR = 5  # the fastest 125 kHz data rate; ADR stays within
MAX_TX_POWER_INDEX = 7
MAX_PAYLOAD = (51, 51, 51, 115, 242, 242, 242)  # N by data rate, not behind a repeater
DEFAULT_CHANNELS = (0, 1, 2)
EXTRA_CHANNELS = {3: 867_100_000, 4: 867_300_000, 5: 867_500_000, 6: 867_700_000, 7: 867_900_000}
ALL_CHANNELS = (*DEFAULT_CHANNELS, *EXTRA_CHANNELS)
CHANNEL_DR_RANGE = 0x50  # NewChannelReq DrRange: DR0 to DR5
CF_LIST = b"".join((f // 100).to_bytes(3, "little") for f in EXTRA_CHANNELS.values()) + b"\0"  # CFListType 0
REQUIRED_SNR_DB = {6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
_RATES = ((12, 125_000), (11, 125_000), (10, 125_000), (9, 125_000), (8, 125_000), (7, 125_000), (7, 250_000))


def data_rate(spreading_factor: int, bandwidth_hz: int) -> int | None:
    """DR of a LoRa modulation, or None where EU868 has none."""
    key = (spreading_factor, bandwidth_hz)
    return _RATES.index(key) if key in _RATES else None


def modulation(dr: int) -> tuple[int, int]:
    """(spreading factor, bandwidth in Hz) of DR0 to DR6."""
    return _RATES[dr]


def downlink_power_dbm(frequency_hz: int) -> int:
    """EIRP of a LoRa gateway: 29 dBm in 869.4–869.65 MHz, 16 dBm elsewhere."""
    return 29 if 869_400_000 <= frequency_hz < 869_650_000 else 16
