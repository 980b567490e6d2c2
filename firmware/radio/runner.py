"""Carries the Mac's actions out: the only part of the radio's rooms that waits.

While an exchange runs the board stays awake (`time.sleep_ms`), because a light sleep would stop the main crystal between transmission and
RX2, and the slow clock that counts in its place is off by up to 5 %: 50 ms on a window of 1 s. It would also lose edges of pins that are no
wake-up sources.
"""

from gc import collect
from time import sleep_ms, sleep_us, ticks_add, ticks_diff, ticks_us, time_ns

from lorawan.airtime import on_air_us, symbol_us, window
from lorawan.mac import CLOSED, ELAPSED, FAILED, HEARD, JOIN, SEND, SENT, Listen, Pause, Store, Transmit

from .trait import Frame, RadioError

_PPM = 40  # crystal of the board, worst case
_FIXED_US = 10000  # what the two ends may be off from each other beside their crystals
_POLL_MS = 20  # the interrupt keeps its own time; looking late costs nothing
_FEED_MS = 1000
_TX_START_US = 1000  # from start() to the first symbol: PLL and ramp take 0.3 ms (SX1261/2 8.3.1), 0.2 ms (SX1276 5.4)
_LONGEST_DOWN = 255


class Runner:
    """`modem`: see trait.py. `store`: put(name, data), durable and atomic when it returns.

    `feed()` is called at least every second while an exchange runs, for the watchdog. RTC time is `time.time_ns`, which deep sleep keeps.
    """

    def __init__(self, modem, mac, store, feed=None, ppm=_PPM, fixed_us=_FIXED_US):
        self._modem = modem
        self._mac = mac
        self._store = store
        self._feed = feed
        self._ppm = ppm
        self._fixed_us = fixed_us
        self._sent_us = None

    def join(self):
        """One join-request with its two windows -> Outcome."""
        return self._run((JOIN,))

    def send(self, port, data, confirmed=False):
        """One uplink, repeated as the network asked (NbTrans) -> Outcome. Port None with b"" sends an empty frame."""
        return self._run((SEND, port, data, confirmed))

    def _run(self, event):
        try:
            while event:
                for action in self._mac.handle(event, time_ns() // 1000000):
                    event = self._do(action)
        except BaseException:  # a store that is full, an interrupt: the next exchange begins afresh
            self._mac.handle((FAILED,), time_ns() // 1000000)
            raise
        else:
            return action.outcome
        finally:
            try:
                self._modem.sleep()
            except RadioError:
                pass  # it failed before, and the next wake resets it

    def _do(self, action):
        """Carry one action out; the event that it leads to, or None."""
        if isinstance(action, Store):
            self._store.put(action.name, action.data)
            return None
        if isinstance(action, Pause):
            self._sleep_until(ticks_add(ticks_us(), action.ms * 1000))
            return (ELAPSED,)
        try:
            if isinstance(action, Transmit):
                return self._transmit(action)
            if isinstance(action, Listen):
                return self._listen(action)
        except RadioError as fault:
            print("radio:", fault)
            return (FAILED,)
        return None  # Done

    def _transmit(self, action):
        air_us = on_air_us(len(action.phy), action.sf, action.bandwidth)
        self._modem.prepare_transmit(*action)
        self._modem.start()
        # The frame cannot end later than this. The pin's handler may say so 10 ms later: the ESP32's run when the interpreter gets to them.
        latest = ticks_add(ticks_us(), _TX_START_US + air_us + air_us // 1000 * self._ppm // 1000)
        self._sleep_until(ticks_add(latest, -_POLL_MS * 1000))
        done = self._await(ticks_add(latest, 200000))
        if done is None:
            raise RadioError("no end of transmission; check the wiring of the modem's interrupt pin")
        self._sent_us = done.ticks_us if ticks_diff(done.ticks_us, latest) < 0 else latest
        return (SENT, self._sent_us)

    def _listen(self, action):
        modem = self._modem
        lead_us = modem.lead_us
        opens_us, symbols = window(action.delay_us, action.sf, action.bandwidth, self._ppm, self._fixed_us, lead_us)
        length_us = symbols * symbol_us(action.sf, action.bandwidth)
        assert self._sent_us is not None, "a window counts from the end of a transmission"
        opens = ticks_add(self._sent_us, opens_us)
        if ticks_diff(ticks_us(), opens) > length_us:
            return (CLOSED,)  # a frame of another network filled RX1 until RX2 was over
        modem.prepare_receive(action.frequency, action.sf, action.bandwidth, symbols)
        collect()  # takes milliseconds on a board: now, not while the window opens
        self._sleep_until(opens)
        modem.start()
        # a preamble that is none may hold the receiver; the longest frame bounds that
        longest_us = length_us + on_air_us(_LONGEST_DOWN, action.sf, action.bandwidth, False)
        heard = self._await(ticks_add(ticks_us(), longest_us))
        if heard is None:
            modem.abort()
        if isinstance(heard, Frame):
            return (HEARD, heard.phy, heard.snr_db)
        return (CLOSED,)

    def _await(self, deadline):
        """The modem's next event, or None at `deadline` (ticks)."""
        while True:
            event = self._modem.poll()
            if event is not None or ticks_diff(ticks_us(), deadline) > 0:
                return event
            self._wait_ms(_POLL_MS)

    def _sleep_until(self, ticks):
        while True:
            left = ticks_diff(ticks, ticks_us())
            if left <= 0:
                return
            if left < 1000:
                sleep_us(left)
            else:
                self._wait_ms(min(_FEED_MS, left // 1000))

    def _wait_ms(self, ms):
        if self._feed:
            self._feed()
        sleep_ms(ms)
