"""Sensirion SHT31-DIS, temperature and humidity (datasheet SHT3x-DIS, version 7, March 2023)."""

import time

from samples import BAD_CHECKSUM, OUT_OF_RANGE, SHORT_READ, SILENCE

_SINGLE_SHOT_HIGH = b"\x24\x00"  # table 9: high repeatability, no clock stretching
_MEASURE_MS = 16  # table 4: at most 15.5 ms


def crc8(data):
    """Check sum of a word (section 4.12): polynomial 0x31, initial value 0xFF, no reflection; 0xBEEF gives 0x92."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x131 if crc & 0x80 else crc << 1
    return crc


def convert(data):
    """(temperature in 0.01 °C, humidity in 0.01 %, reason) of the six bytes of a measurement (section 4.13).

    With a reason the values are None.
    """
    if len(data) < 6:
        return None, None, SHORT_READ if data else SILENCE
    if crc8(data[0:2]) != data[2] or crc8(data[3:5]) != data[5]:
        return None, None, BAD_CHECKSUM
    temperature = (17500 * (data[0] << 8 | data[1]) + 32767) // 65535 - 4500
    humidity = (10000 * (data[3] << 8 | data[4]) + 32767) // 65535
    if not -4000 <= temperature <= 12500:  # table 2: the sensor's range; beyond it the word is a broken bond's
        return None, None, OUT_OF_RANGE
    return temperature, humidity, 0


class Sht31:
    """One sensor on an I²C bus; `address` is 0x44 (ADDR low) or 0x45."""

    def __init__(self, i2c, address=0x44):
        self._i2c = i2c
        self._address = address

    def measure(self):
        """One single-shot measurement: (0.01 °C, 0.01 %, reason)."""
        try:
            self._i2c.writeto(self._address, _SINGLE_SHOT_HIGH)
            time.sleep_ms(_MEASURE_MS)
            return convert(self._i2c.readfrom(self._address, 6))
        except OSError:  # not acknowledged: no sensor, no supply, or a bus held low
            return None, None, SILENCE
