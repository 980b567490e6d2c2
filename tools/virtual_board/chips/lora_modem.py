"""What the LoRa modems' models share: timers on the board's host, what is on the air, and when a frame is received."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from ...world import lora
from ...world.air import Air, Frame, Level
from ..wiring import Host, Timer


@dataclass(frozen=True)
class Tuning:
    """What an open receiver is set to."""

    freq_hz: int
    reach_hz: int
    """How far beside `freq_hz` a frame is still received."""
    spreading_factor: int
    bandwidth_hz: int
    iq_inverted: bool
    sync_word: int
    """As in `air.Transmission`."""
    explicit_header: bool
    deaf: str
    """Why nothing at all can be received, or ""."""
    loss_db: float
    """What the settings cost of the sensitivity that the air assumes."""


class LoraModem:
    """One chip's radio; a subclass has its registers and says what it is tuned to."""

    chip: ClassVar[str]
    datasheet: ClassVar[str]
    detection_symbols: ClassVar[int]
    """Preamble symbols that must fall into the window."""

    host: Host

    def __init__(self, air: Air) -> None:
        """`air`: the world's."""
        self._air = air
        self._timers: dict[str, Timer] = {}
        self.forget_air()

    def forget_air(self) -> None:
        """Nothing is sent or received."""
        self._frame: Frame | None = None
        self._locked: Frame | None = None
        self._listening = False
        self._opened_at = 0

    @property
    def name(self) -> str:
        """The board's DevEUI, under which the air knows this radio."""
        return self.host.dev_eui

    def fault(self, section: str, text: str) -> NoReturn:
        """Ends the run: the board did what this section of the datasheet forbids."""
        self.host.fault(f"{self.chip}: {text} ({self.datasheet}, {section})")

    def need(self, good: object, section: str, text: str) -> None:
        """A fault unless `good`."""
        if not good:
            self.fault(section, text)

    # Timers

    def _after(self, name: str, when: int, action: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self.host.at(when, action)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def cancel_all(self) -> None:
        """Takes back all that was planned."""
        for name in list(self._timers):
            self._cancel(name)

    # The air

    def stop_radio(self) -> None:
        """Ends what the modem does on the air."""
        for name in ("start", "detect", "header", "end", "timeout", "symbols"):
            self._cancel(name)
        if self._frame is not None:
            self._air.abort(self._frame)
            self._frame = None
        if self._listening:
            self._listening = False
            self._locked = None
            self._air.close(self)

    def listen(self) -> None:
        """The receiver is open from now on."""
        self._opened_at = self.host.now
        self._locked = None
        self._listening = True
        self._air.listen(self)

    def tuning(self) -> Tuning:
        """What the receiver is set to now."""
        raise NotImplementedError

    def hear(self, frame: Frame, level: Level) -> str:
        """`air.Receiver.hear`: the preamble is detected once enough of its symbols fell into the window."""
        what, tuned = frame.what, self.tuning()
        if abs(what.freq_hz - tuned.freq_hz) > tuned.reach_hz:
            return "frequency"
        if (what.spreading_factor, what.bandwidth_hz) != (tuned.spreading_factor, tuned.bandwidth_hz):
            return "data rate"
        if what.iq_inverted != tuned.iq_inverted:
            return "IQ"
        if what.sync_word != tuned.sync_word:
            return "sync word"
        if what.explicit_header != tuned.explicit_header:
            return "header type"
        if tuned.deaf:
            return tuned.deaf
        if level.snr_db - tuned.loss_db < lora.SNR_LIMIT_DB[what.spreading_factor]:
            return "below sensitivity"
        symbol = lora.symbol_ns(what.spreading_factor, what.bandwidth_hz)
        detected = max(self._opened_at, frame.start) + self.detection_symbols * symbol
        if detected > frame.start + what.preamble * symbol:
            return "too few preamble symbols left"
        if self._locked is not None:
            return "receiver busy with another frame"
        if "detect" not in self._timers:
            self._after("detect", detected, lambda: self._detected(frame, level))
        return ""

    def _detected(self, frame: Frame, level: Level) -> None:
        self._cancel("detect")
        self._cancel("symbols")
        self._locked = frame
        self._air.lock(frame, self, level)
        what = frame.what
        header = frame.start + lora.header_ns(what.spreading_factor, what.bandwidth_hz, what.preamble)
        # A frame of a byte or none ends with its header, which comes first all the same.
        self._after("header", min(header, frame.end - 1), lambda: self.header(frame))
        self.preamble_detected()

    def preamble_detected(self) -> None:
        """The receiver stays with a frame."""

    def header(self, frame: Frame) -> None:
        """The end of the header of the frame that the receiver is with."""
        raise NotImplementedError

    def received(self, frame: Frame, level: Level) -> str:
        """`air.Receiver.received`."""
        raise NotImplementedError
