"""Pins of the ESP32-S3: `Pin`, `Signal` and the wake-up sources."""

# ruff: noqa: A002, ARG002, ARG004, D101, D102, SLF001  arguments and members are the port's, its manual describes them

import costs
import link
import wire

_RTC_PINS = 22  # GPIO 0..21 are RTC pins (ESP32-S3 data sheet, IO pad list): only they wake from deep sleep


class _Sources:
    """Wake-up sources as set by esp32.wake_on_ext0, esp32.wake_on_ext1 and Pin.irq(wake=...)."""

    def __init__(self) -> None:
        self.ext0_pin = -1
        self.ext0_level = 0
        self.ext0_types = 0
        self.ext1_pins = 0
        self.ext1_high = 0


sources = _Sources()
_pins: dict = {}


def valid(number) -> bool:
    """GPIO 22 to 25 do not exist on the chip."""
    return isinstance(number, int) and (0 <= number <= 21 or 26 <= number <= 48)


def pin_number(pin) -> int:
    """A Pin or a number -> the number; ValueError as on the port."""
    if isinstance(pin, Pin):
        return pin._number
    if not valid(pin):
        raise ValueError("invalid pin")
    return pin


def rtc_pin(pin) -> int:
    """The number of a pin that can wake the chip."""
    number = pin_number(pin)
    if number >= _RTC_PINS:
        raise ValueError("invalid pin")
    return number


class Pin:
    _number: int
    _mode: int
    _pull: int
    _out: int
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __new__(cls, id, *args, **kwargs):
        number = pin_number(id)
        pin = _pins.get(number)
        if pin is None:
            pin = super().__new__(cls)
            pin._number = number
            pin._mode = 0
            pin._pull = 0
            pin._out = 0
            _pins[number] = pin
        return pin

    def __init__(self, id, *args, **kwargs) -> None:
        if args or kwargs:
            self.init(*args, **kwargs)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None) -> None:
        if mode is not None and mode not in (1, 3, 7):
            raise ValueError("invalid pin mode")
        if value is not None:
            self._out = 1 if value else 0
        if mode is not None:
            self._mode = mode
        if pull != -1:
            self._pull = pull or 0
        # Without `hold` a held pad keeps ignoring its settings, after a wake too: bit 10 says whether it was given.
        held = 0 if hold is None else 3 << 9 if hold else 1 << 10
        link.post(wire.PIN, self._number, self._mode | self._pull << 4 | self._out << 8 | held)
        link.spend(costs.PIN_INIT)

    def value(self, *level):
        if level:
            self._set(1 if level[0] else 0, *level[1:])
            return None
        link.spend(costs.PIN)
        link.refresh()
        return link.levels[self._number] if self._mode else 0

    def __call__(self, *level):
        return self.value(*level)

    def _set(self, level: int) -> None:
        self._out = level
        link.post(wire.OUT, self._number, level)
        link.spend(costs.PIN)

    def on(self) -> None:
        self._set(1)

    def off(self) -> None:
        self._set(0)

    def toggle(self) -> None:
        self._set(1 - self._out)

    def irq(self, handler=None, trigger=3, wake=None):
        """Edges call `handler(pin)`, scheduled, never hard; with `wake` and a WAKE level the pin becomes the ext0 source."""
        number = self._number
        if trigger in (4, 5) and wake is not None:
            if not 2 <= wake <= 7:
                raise ValueError("bad wake value")
            if number >= _RTC_PINS:
                raise ValueError("invalid pin for wake")
            if sources.ext0_pin not in (-1, number):
                raise ValueError("no resources")
            sources.ext0_pin = number
            sources.ext0_level = trigger - 4
            sources.ext0_types = wake
            return self
        if sources.ext0_pin == number:
            sources.ext0_pin = -1
        if handler is None:
            trigger = 0
            link.handlers.pop(number, None)
        else:
            link.handlers[number] = (handler, self)
        link.post(wire.IRQ, number, trigger)
        link.spend(costs.PIN_INIT)
        return self

    def __repr__(self) -> str:
        return "Pin(%d)" % self._number


class Signal:
    """A pin with its active level."""

    def __init__(self, pin, *args, invert: bool = False, **kwargs) -> None:
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *args, **kwargs)
        self._invert = 1 if invert else 0

    def value(self, *level):
        if level:
            return self._pin.value((1 if level[0] else 0) ^ self._invert)
        return self._pin.value() ^ self._invert

    def __call__(self, *level):
        return self.value(*level)

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)
