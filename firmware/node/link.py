"""The LoRaWAN link of one wake, built when something has to be sent."""

import os
import time

from keep.clock import utc_of_gps
from keep.rtc import now
from lorawan import eu868, reasons
from lorawan.mac import Mac
from machine import SPI, Pin
from payload.codes import PayloadError
from radio.runner import Runner


class Link:
    """Join and send with the watchdog fed, the session kept after each exchange, and the clock set by what comes back."""

    def __init__(self, node):
        self._node = node
        self.data = b""  # the last payload that left
        self.carried = 0  # readings in it
        board, settings, flash = node.board, node.settings, node.flash
        session = node.work.session or flash.get("session")
        self._mac = Mac(
            eu868, settings.dev_eui, settings.join_eui, settings.app_key, os.urandom, flash.get("nonce"), session
        )
        self._mac.battery = self._battery_level()
        self._runner = Runner(_modem(board), self._mac, flash, node.feed)

    def _battery_level(self):
        """DevStatusAns (TS001-1.0.4, 5.5): 1 empty to 254 full, between the board's two voltages."""
        board = self._node.board
        span = board.FULL_BATTERY_MV - board.EMPTY_BATTERY_MV
        return max(1, min(254, 1 + 253 * (self._node.battery() - board.EMPTY_BATTERY_MV) // span))

    @property
    def joined(self):
        """Whether there is a session, this wake's or a kept one."""
        return self._mac.joined

    @property
    def faults(self):
        """How often the MAC met what it refuses or drops, by the words of lorawan.session.FAULTS."""
        return self._mac.faults

    def session(self):
        """What deep sleep must keep."""
        return self._mac.session()

    def wait_ms(self):
        """Time in ms until the next frame is allowed."""
        return self._mac.wait_ms(now())

    def join(self):
        """One join-request; `joined` tells what came of it."""
        try:
            self._runner.join()
        finally:
            self._node.keep()

    def send(self, port, make, confirmed=False):
        """Sends `make(room)`, the payload made for the room that is left beside what the MAC owes. Returns the Outcome.

        Where that room is too small the MAC's answers go first, in a frame of their own.
        """
        node = self._node
        asks = node.asks_time()
        if asks:
            self._mac.ask_time()
        for _ in range(2):
            node.feed()
            try:
                self.data = make(self._mac.room())
            except PayloadError:
                self.data = make(eu868.MAX_PAYLOAD[0])
            try:
                outcome = self._runner.send(port, self.data, confirmed)
            finally:
                node.keep()
            if outcome.time is not None:
                seconds, fraction, ticks = outcome.time
                passed = time.ticks_diff(time.ticks_us(), ticks) // 1000
                node.answered_time((now() - passed, utc_of_gps(seconds, fraction)))
                asks = False
            if outcome.reason != reasons.ANSWERS:
                break
        if asks and outcome.sent:
            node.answered_time(None)
        return outcome

    def answered(self, outcome, confirmed):
        """Whether the network has proved that it got the frame: an acknowledgement, or any downlink in its windows."""
        return outcome.downlink or (confirmed and outcome.reason == "")


def _modem(board):
    """The driver that the board file names, on its pins; only that one is imported."""
    spi = SPI(
        board.SPI_ID,
        baudrate=board.SPI_BAUD,
        polarity=0,
        phase=0,
        sck=Pin(board.SCK),
        mosi=Pin(board.MOSI),
        miso=Pin(board.MISO),
    )
    nss, dio1 = Pin(board.NSS, Pin.OUT, value=1), Pin(board.DIO1, Pin.IN)
    if board.RADIO == "sx127x":
        from radio.sx127x import Sx127x

        reset = Pin(board.RESET, Pin.OPEN_DRAIN, value=1)
        return Sx127x(spi, (nss, reset, Pin(board.DIO0, Pin.IN), dio1), board)
    from radio.sx126x import Sx126x

    reset = Pin(board.RESET, Pin.OUT, value=1)
    return Sx126x(spi, (nss, reset, Pin(board.BUSY, Pin.IN), dio1), board)
