"""Battery voltage behind a resistor divider on an ADC pin (ESP32-S3 datasheet 2.9: the calibrated ADC reads 0–3.1 V at 11 dB)."""

from samples import median


class Battery:
    """`adc` gives `read_uv()`; `divider` is battery voltage over pin voltage."""

    def __init__(self, adc, divider):
        self._adc = adc
        self._divider = divider

    def millivolts(self):
        """Median of five conversions, mV at the battery."""
        return median([self._adc.read_uv() for _ in range(5)]) * self._divider // 1000
