"""DYP / DFRobot A02YYUW ultrasonic distance sensor, serial output (DFRobot SEN0311; DYP-A02 manual, UART automatic output).

A frame is 0xFF, distance high, distance low in mm, and the low byte of the sum of those three: FF 03 9D 9F is 925 mm.
With the sensor's RX pin high it sends processed values, one every 100 to 300 ms.
"""

import time

from samples import BAD_CHECKSUM, BLIND_ZONE, NO_ECHO, SHORT_READ, SILENCE, commonest, median

HEADER = 0xFF
NEAREST_MM = 30  # blind zone 3 cm; the sensor says 0 for an object inside it
FARTHEST_MM = 4500
_FRAME_MS = 300  # slowest period between two frames


def parse(frame):
    """(distance in mm, reason) of a frame of four bytes. Beyond the range (0xFFFD: no object, 0xFFFE: disturbed) is no echo."""
    if len(frame) < 4:
        return None, SHORT_READ if frame else SILENCE
    if frame[0] != HEADER or (frame[0] + frame[1] + frame[2]) & 0xFF != frame[3]:
        return None, BAD_CHECKSUM
    distance = frame[1] << 8 | frame[2]
    if distance < NEAREST_MM:
        return None, BLIND_ZONE
    if distance > FARTHEST_MM:
        return None, NO_ECHO
    return distance, 0


class A02yyuw:
    """The sensor on a UART of 9600 baud; the caller switches its supply."""

    def __init__(self, uart):
        self._uart = uart

    def frame(self):
        """(distance in mm, reason) of the next whole frame.

        The header byte is also a legal data byte, so a frame is one whose sum holds; a wrong sum is only told when no
        later header in what came next starts a right one.
        """
        deadline = time.ticks_add(time.ticks_ms(), 2 * _FRAME_MS)
        held = b""
        heard = False
        while True:
            came = self._uart.read() or b""
            heard = heard or bool(came)
            held += came
            while held and held[0] != HEADER:
                held = held[1:]
            if len(held) >= 4:
                result = parse(held[:4])
                later = held.find(b"\xff", 1)
                if result[1] != BAD_CHECKSUM or later < 0:
                    return result
                held = held[later:]
            elif time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                # bytes without a header are noise or another baud rate, not silence
                return (None, BAD_CHECKSUM) if heard and not held else parse(held)
            else:
                time.sleep_ms(10)

    def measure(self, wanted=7, tries=14):
        """(median in mm, spread in mm, number of valid frames, reason).

        Fewer than three valid of `tries` frames is no measurement; the reason is then the most frequent one. A wrong
        check sum among right frames is noise on the wire and only lowers the number.
        """
        self._uart.read()  # what came while the sensor was starting
        valid = []
        reasons = []
        for _ in range(tries):
            distance, reason = self.frame()
            if not reason:
                valid.append(distance)
                if len(valid) == wanted:
                    break
            else:
                reasons.append(reason)
                if reasons == [SILENCE] * 3 and not valid:
                    break  # nothing on the line: waiting on costs only battery
        if len(valid) < 3:
            return None, None, len(valid), commonest(reasons)
        return median(valid), max(valid) - min(valid), len(valid), 0
