"""`esp32` of the MicroPython port, what the firmware of an ESP32-S3 node needs: wake-up sources, NVS, temperature."""

# ruff: noqa: D102, D103  members are the port's, its manual describes them

from struct import pack, unpack

import costs
import link
import wire
from pins import rtc_pin, sources

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True

_SLEEP = 2  # machine.SLEEP and machine.DEEPSLEEP
_DEEPSLEEP = 4
# ESP-IDF nvs.h
_LONG = -0x1109


def wake_on_ext0(pin=-1, level=None) -> None:
    """`pin`: a Pin or number that wakes at `level`; None takes it off. What is not given stays as it was."""
    if pin is None:
        sources.ext0_pin = -1
    elif pin != -1:
        sources.ext0_pin = rtc_pin(pin)
    if level is not None:
        sources.ext0_level = 1 if level else 0
    sources.ext0_types = _SLEEP | _DEEPSLEEP


def wake_on_ext1(pins=None, level=None) -> None:
    """`pins`: tuple or list, `level`: WAKEUP_ALL_LOW or WAKEUP_ANY_HIGH."""
    if pins is not None:
        mask = 0
        for pin in pins:
            mask |= 1 << rtc_pin(pin)
        sources.ext1_pins = mask
    if level is not None:
        sources.ext1_high = 1 if level else 0


def gpio_deep_sleep_hold(enable) -> None:
    link.post(wire.SLEEP_HOLD, 0, 1 if enable else 0)


def mcu_temperature() -> int:
    """°C of the chip, whole degrees."""
    link.spend(costs.TEMPERATURE)
    return (link.number(wire.TEMPERATURE, 0, 0) + 500) // 1000


def _checked(status: int) -> None:
    if status:
        raise OSError(-(0x1100 + status), "ESP_ERR_NVS_%02X" % status)


class NVS:
    """A namespace of the non-volatile storage. Values are kept at `commit`, as the port's manual promises and no more."""

    def __init__(self, namespace: str) -> None:
        name = namespace.encode()
        if not 1 <= len(name) <= 15:
            raise OSError(_LONG if name else -0x1106, "ESP_ERR_NVS namespace")
        self._name = name
        link.spend(costs.SETUP)

    def _key(self, key: str) -> bytes:
        name = key.encode()
        if not 1 <= len(name) <= 15:
            raise OSError(_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        return self._name + b"\0" + name

    def set_i32(self, key: str, value: int) -> None:
        if not -0x80000000 <= value < 0x80000000:
            raise OverflowError("overflow converting long int to machine word")
        _checked(link.request(wire.NVS_SET, 0, 0, self._key(key) + b"\0" + pack("<i", value))[0])
        link.spend(costs.SETUP)

    def get_i32(self, key: str) -> int:
        status, data = link.request(wire.NVS_GET, 0, 0, self._key(key))
        link.spend(costs.NVS_READ)
        _checked(status)
        return unpack("<i", data)[0]

    def set_blob(self, key: str, value) -> None:
        _checked(link.request(wire.NVS_SET, 1, 0, self._key(key) + b"\0" + bytes(value))[0])
        link.spend(costs.SETUP)

    def get_blob(self, key: str, buffer) -> int:
        """Fills `buffer`, returns the length; OSError when it is too short."""
        status, data = link.request(wire.NVS_GET, 1, 0, self._key(key))
        link.spend(costs.NVS_READ)
        _checked(status)
        data = data or b""
        if len(data) > len(buffer):
            _checked(0x0C)
        buffer[: len(data)] = data
        return len(data)

    def erase_key(self, key: str) -> None:
        _checked(link.request(wire.NVS_ERASE, 0, 0, self._key(key))[0])
        link.spend(costs.SETUP)

    def commit(self) -> None:
        link.request(wire.NVS_COMMIT, 0, 0, None)
        link.spend(costs.NVS_COMMIT)
