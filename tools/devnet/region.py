"""EU868 as ChirpStack 4 ships it (region_eu868.toml) and RP002-1.0.3 section 2.4 defines it. Hz, dBm."""

from __future__ import annotations

from typing import NamedTuple

REGION_CONFIG_ID = "eu868"
RX2_FREQUENCY_HZ, RX2_DR = 869_525_000, 0
RX1_DELAY_S, JOIN_DELAY_S = 1, 5
MAX_DR = 5  # the fastest 125 kHz data rate; ADR stays within
MAX_TX_POWER_INDEX = 7
MAX_PAYLOAD = (51, 51, 51, 115, 242, 242, 242)  # N by data rate, not behind a repeater
MAX_RX1_DR_OFFSET = 5
DEFAULT_CHANNELS = (0, 1, 2)
DEFAULT_FREQUENCIES = dict(zip(DEFAULT_CHANNELS, (868_100_000, 868_300_000, 868_500_000), strict=True))
EXTRA_CHANNELS = {3: 867_100_000, 4: 867_300_000, 5: 867_500_000, 6: 867_700_000, 7: 867_900_000}
CHANNEL_DR_RANGE = 0x50  # NewChannelReq DrRange: DR0 to DR5
CF_LIST = b"".join((f // 100).to_bytes(3, "little") for f in EXTRA_CHANNELS.values()) + b"\0"  # CFListType 0
REQUIRED_SNR_DB = {6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
_RATES = ((12, 125_000), (11, 125_000), (10, 125_000), (9, 125_000), (8, 125_000), (7, 125_000), (7, 250_000))


class Network(NamedTuple):
    """ChirpStack's settings of a region's network that a device is told, by the join-accept as they stand here, right or wrong.

    Where a device has others, RXParamSetupReq and RXTimingSetupReq tell it again.
    `rx1_delay`: seconds, 0 means 1. `rx2_frequency` (Hz) is in no join-accept. `cf_list`: b"" or 16 bytes of any type; ChirpStack makes
    it from its extra channels. `allow_unknown_gateways`: frames count though their gateway is not registered; ChirpStack's own default
    is False.
    """

    rx1_delay: int = RX1_DELAY_S
    rx1_dr_offset: int = 0
    rx2_dr: int = RX2_DR
    rx2_frequency: int = RX2_FREQUENCY_HZ
    cf_list: bytes = CF_LIST
    allow_unknown_gateways: bool = True


def listed(cf_list: bytes) -> dict[int, int]:
    """The channels of a CFList of type 0: index: Hz; none for any other."""
    if len(cf_list) != 16 or cf_list[15]:
        return {}
    found = {3 + i: int.from_bytes(cf_list[3 * i : 3 * i + 3], "little") * 100 for i in range(5)}
    return {index: hz for index, hz in found.items() if hz}


def rx1_data_rate(dr: int, offset: int) -> int:
    """RX1's DR after an uplink at `dr` (RP002-1.0.3, 2.4.7)."""
    return max(dr - offset, 0)


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
