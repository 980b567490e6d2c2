"""The pads of one board: who drives which pin, what level results, and who must hear of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .wiring import Level

_OUT = 3
_OPEN_DRAIN = 7
_PULL_DOWN = 1
_PULL_UP = 2
_RTC_PINS = 22  # GPIO 0..21 of the ESP32-S3 keep a hold through deep sleep without gpio_deep_sleep_hold


class _Setting(NamedTuple):
    mode: int = 0
    pull: int = 0
    out: int = 0


_RESET = _Setting()


class Pads:
    """Levels of all pins.

    `listen(pin, output)` is called when the board's own output changes, `notice(pin, level)` when the level on the
    pin does, `clash(pin)` when board and model drive against each other.
    """

    def __init__(
        self,
        pulls: dict[int, int],
        listen: Callable[[int, Level], None],
        notice: Callable[[int, int], None],
        clash: Callable[[int], None],
    ) -> None:
        self._pulls = pulls
        self._listen = listen
        self._notice = notice
        self._clash = clash
        self._live: dict[int, _Setting] = {}
        self._held: dict[int, _Setting] = {}
        self._driven: dict[int, int] = {}
        self._outputs: dict[int, Level] = {}
        self._levels: dict[int, int] = {}

    def output(self, pin: int) -> Level:
        """What the board drives."""
        return self._outputs.get(pin)

    def level(self, pin: int) -> int:
        """What is on the pin."""
        found = self._levels.get(pin)
        return self._resolve(pin, None) if found is None else found

    def _setting(self, pin: int) -> _Setting:
        return self._held.get(pin) or self._live.get(pin, _RESET)

    def _resolve(self, pin: int, output: Level) -> int:
        driven = self._driven.get(pin)
        if output is not None:
            return output
        if driven is not None:
            return driven
        if pin in self._pulls:
            return self._pulls[pin]
        return 1 if self._setting(pin).pull & _PULL_UP else 0

    def _settle(self, pin: int) -> None:
        setting = self._setting(pin)
        output: Level = None
        if setting.mode == _OUT or (setting.mode == _OPEN_DRAIN and setting.out == 0):
            output = setting.out
        # A low open drain wins over a model's high only by a short circuit, like any other output.
        if output is not None and self._driven.get(pin, output) != output:
            self._clash(pin)
        before = self.level(pin)
        changed = output != self._outputs.get(pin)
        self._outputs[pin] = output
        level = self._resolve(pin, output)
        self._levels[pin] = level
        if changed:
            self._listen(pin, output)
        if level != before and self._levels[pin] == level:
            self._notice(pin, level)

    def configure(self, pin: int, mode: int, pull: int, out: int, *, hold: bool | None) -> None:
        """Pin.init. A held pad takes no setting until `hold` is given; None: it was not."""
        self._live[pin] = _Setting(mode, pull, out)
        if hold is not None:
            self._held.pop(pin, None)
            if hold:
                self._held[pin] = self._live[pin]
        self._settle(pin)

    def set(self, pin: int, out: int) -> None:
        """Pin.value(level)."""
        live = self._live.get(pin, _RESET)
        self._live[pin] = _Setting(live.mode, live.pull, out)
        self._settle(pin)

    def drive(self, pin: int, level: Level) -> None:
        """A model drives the pin or lets go."""
        before = self.level(pin)
        if level is None:
            self._driven.pop(pin, None)
        else:
            self._driven[pin] = level
        output = self._outputs.get(pin)
        if output is not None and level is not None and level != output:
            self._clash(pin)
        after = self._resolve(pin, output)
        self._levels[pin] = after
        if after != before:
            self._notice(pin, after)

    def _forget(self, held: dict[int, _Setting]) -> None:
        pins = sorted(self._live.keys() | self._held.keys())
        self._live = {}
        self._held = held
        for pin in pins:
            self._settle(pin)

    def reset(self) -> None:
        """A reset of the chip: only held pads keep their setting."""
        self._forget(self._held)

    def sleep(self, *, digital_hold: bool) -> None:
        """Deep sleep: held RTC pads stay, held digital pads only with gpio_deep_sleep_hold; all others float, pulls off."""
        self._forget({pin: held for pin, held in self._held.items() if digital_hold or pin < _RTC_PINS})

    def power_off(self) -> None:
        """No supply: the board drives nothing. Nobody is told, the devices lose their supply too."""
        self._live, self._held, self._outputs, self._levels = {}, {}, {}, {}
