"""Plantower PMS5003 particle sensor, active mode (Plantower PMS5003 series data manual V2.3, appendix I).

A frame is 0x42 0x4D, length 28, thirteen words (words 1–3 PM1.0, PM2.5, PM10 at CF=1, 4–6 the same under atmospheric
environment, 7–12 particle numbers in 0.1 L from 0.3 µm on), and the sum of the first 30 bytes; all big-endian.
"""

import struct
import time

from samples import BAD_CHECKSUM, OUT_OF_RANGE, SHORT_READ, SILENCE, commonest, median

WARM_UP_MS = 30_000  # "stable data should be got at least 30 seconds after the sensor wakeup" (circuit attentions, 4)
HIGHEST = 1000  # µg/m³, "maximum range" of the particle mass concentration
_FRAME_BYTES = 32
_FRAME_MS = 2_300  # slowest period in active mode, "stable mode"
_POLL_MS = 100  # 96 bytes at 9600 baud: the receive buffer of 256 holds them, and each look costs energy


def parse(frame):
    """((PM1.0, PM2.5, PM10) in µg/m³ under atmospheric environment, reason) of a frame of 32 bytes."""
    if len(frame) < _FRAME_BYTES:
        return None, SHORT_READ if frame else SILENCE
    if frame[:4] != b"\x42\x4d\x00\x1c" or sum(frame[:30]) & 0xFFFF != struct.unpack(">H", frame[30:32])[0]:
        return None, BAD_CHECKSUM
    words = struct.unpack(">12H", frame[4:28])
    if not any(words):  # outdoor air is never without a particle of 0.3 µm: the fan stands or the laser is dark
        return None, OUT_OF_RANGE
    if max(words[3:6]) > HIGHEST:
        return None, OUT_OF_RANGE
    return words[3:6], 0


class Pms5003:
    """The sensor on a UART of 9600 baud; the caller switches its supply and its SET pin and waits `WARM_UP_MS`."""

    def __init__(self, uart):
        self._uart = uart

    def frame(self):
        """((PM1.0, PM2.5, PM10) in µg/m³, reason) of the next frame on the line."""
        deadline = time.ticks_add(time.ticks_ms(), 2 * _FRAME_MS)
        held = b""
        heard = False
        while True:
            came = self._uart.read() or b""
            heard = heard or bool(came)
            held += came
            start = held.find(b"\x42\x4d")
            held = held[start:] if start >= 0 else held[-1:] if held[-1:] == b"\x42" else b""
            if len(held) >= _FRAME_BYTES:
                result = parse(held[:_FRAME_BYTES])
                if result[1] != BAD_CHECKSUM or held.find(b"\x42\x4d", 2) < 0:
                    return result
                held = held[held.find(b"\x42\x4d", 2) :]
            elif time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                # bytes without a header are noise or another baud rate, not silence
                return (None, BAD_CHECKSUM) if heard and not held else parse(held)
            else:
                time.sleep_ms(_POLL_MS)

    def measure(self, wanted=5, tries=8):
        """((PM1.0, PM2.5, PM10) in µg/m³, reason): medians of `wanted` frames, at least three of `tries`."""
        self._uart.read()  # frames of the warm-up
        valid = []
        reasons = []
        for _ in range(tries):
            masses, reason = self.frame()
            if not reason:
                valid.append(masses)
                if len(valid) == wanted:
                    break
            else:
                reasons.append(reason)
                if reason == SILENCE and not valid:
                    break
        if len(valid) < 3:
            return None, commonest(reasons)
        return tuple(median([masses[i] for masses in valid]) for i in range(3)), 0
