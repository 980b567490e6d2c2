"""The class A device (TS001-1.0.4): one exchange at a time, as a table of transitions; it waits for nothing and touches nothing.

`handle(event, now)` takes an event (a tuple that begins with its name) and returns the actions to carry out, in order:

    (JOIN,)  (SEND, port, data, confirmed)        from the application
    (SENT, ticks_us)                              the modem ended a transmission at that tick
    (HEARD, phy, snr_db)                          a frame whose CRC (if any) held came in the open window
    (CLOSED,)                                     the window closed without one
    (FAILED,)                                     the modem failed, or an action could not be carried out: the exchange is over
    (ELAPSED,)                                    a Pause is over

`now` is RTC milliseconds. A window's delay counts from the end of the last transmission. The last action of an exchange is Done.
"""

from collections import namedtuple

from micropython import const

from . import adr, frame, reasons
from .airtime import Budget, on_air_ms, stretched
from .crypto import Key
from .session import FAULTS, FCNT_BLOCK, State

Store = namedtuple("Store", ("name", "data"))  # durable before the next action is begun
Transmit = namedtuple("Transmit", ("phy", "frequency", "sf", "bandwidth", "eirp"))  # Hz, Hz, dBm
Listen = namedtuple("Listen", ("delay_us", "frequency", "sf", "bandwidth"))
Pause = namedtuple("Pause", ("ms",))
Done = namedtuple("Done", ("outcome",))

JOIN, SEND, SENT, HEARD, CLOSED, FAILED, ELAPSED = "join", "send", "sent", "heard", "closed", "failed", "elapsed"
_IDLE = const("idle")
_TX = const("tx")
_RX1 = const("rx1")
_RX2 = const("rx2")
_PAUSE = const("pause")
_LINK_CHECK_REQ = const(0x02)
_DEVICE_TIME_REQ = const(0x0D)

_TRANSITIONS = {
    (_IDLE, JOIN): "_start_join",
    (_IDLE, SEND): "_start_send",
    (_TX, SENT): "_open_rx1",
    (_TX, FAILED): "_fail",
    (_RX1, HEARD): "_judge",  # a frame that is not ours goes the way of CLOSED
    (_RX1, CLOSED): "_open_rx2",
    (_RX1, FAILED): "_fail",
    (_RX2, HEARD): "_judge",
    (_RX2, CLOSED): "_repeat_or_end",
    (_RX2, FAILED): "_fail",
    (_PAUSE, ELAPSED): "_repeat",
    (_PAUSE, FAILED): "_fail",
    (_IDLE, FAILED): "_fail",  # its last actions
}

_FRAME_OVERHEAD = const(13)  # MHDR 1, FHDR 7, FPort 1, MIC 4
_REPEAT_MS = const(1000)  # RETRANSMIT_TIMEOUT: 1 to 3 s after RX2 (RP002-1.0.3, 2.3)


class Outcome:
    """What came of one exchange."""

    def __init__(self):
        self.sent = False  # the payload (or join-request) left
        self.reason = ""  # a word of reasons.py
        self.received = []  # [(port, bytes)]
        self.time = None  # (GPS seconds, 1/256 s, ticks_us at the end of the uplink)
        self.room = 0  # bytes free for the next payload
        self.downlink = False  # a frame of the network came in its windows, with or without data


class Mac:
    """`region`: a module like eu868. `dev_eui`, `join_eui`, `app_key`: hex, most significant byte first. `entropy(n)` -> n random bytes.

    `nonces`, `session`: the flash record `nonce`, and the bytes of `session()` or the flash record `session`; None where there is none.
    The bytes of `session()` are good for one restart only: a board that restarts without having saved them anew must use the flash record,
    or a counter would be used twice. ValueError for an EUI or a key that is not hex of its length.
    """

    def __init__(self, region, dev_eui, join_eui, app_key, entropy, nonces, session):
        self._region = region
        self._entropy = entropy
        self._app_key = app_key
        if [len(dev_eui), len(join_eui), len(app_key)] not in ([16, 16, 32], [8, 32, 32]):
            raise ValueError(
                "LoRaWAN: DevEUI, JoinEUI, AppKey are 16, 16, 32 hex digits; DevAddr and session keys 8, 32, 32"
            )
        self._euis = bytes(reversed(bytes.fromhex(dev_eui + join_eui)))
        self._nonces = nonces
        self._joiner = None
        self._state = State(region, Key(bytes.fromhex(app_key)).cmac(self._euis)[:4])
        # after a power loss the hour is unknown: the back-off that the nonces' record tells of begins with the first look at the clock
        self._cold = not (session and self._state.load(session) and self._state.now)
        self._budget = Budget(region.BANDS)
        self._budget.slots = self._state.slots
        self._at = _IDLE
        self._frequency = 0
        self._tries = 0
        self._outcome = Outcome()
        self._requests = []
        self.adr = True  # the network sets data rate and power (4.3.1.1)
        self.repeater = False  # the device may be heard through a repeater: shorter payloads (RP002-1.0.3, 2.4.6)
        self.battery = 255  # DevStatusAns: 1..254, 0 external, 255 unknown (5.5)
        self.link = None  # (margin dB, LoRa gateways) of the last LinkCheckAns
        self.pending = False  # the network has more to say: send soon (FPending)

    @classmethod
    def abp(cls, region, dev_addr, nwk_s_key, app_s_key, entropy, session):
        """A device that is activated by personalisation (6.3). `dev_addr`, keys: hex, most significant byte first; `session`: as above.

        Without a record FCntUp begins at 0: a device that loses its flash is refused until the network's counters are reset as well.
        """
        mac = cls(region, dev_addr, app_s_key, nwk_s_key, entropy, None, session)
        state = mac._state
        if not state.joined:
            state.reset(region)
            state.nwk_key, state.app_key = [Key(bytes.fromhex(k)) for k in (nwk_s_key, app_s_key)]
            state.dev_addr = mac._euis[16:]
            state.joined = True
        return mac

    def use_data_rate(self, dr):
        """ADR off and uplinks at `dr`, with full power; ValueError where no enabled channel carries it."""
        if not self._state.usable(dr):
            raise ValueError("LoRaWAN: no enabled channel carries DR%d" % dr)
        self.adr = False
        self._state.dr, self._state.power = dr, 0

    @property
    def joined(self):
        """Whether there is a session."""
        return self._state.joined

    @property
    def faults(self):
        """Counts since the records were made, for the health report."""
        return dict(zip(FAULTS, self._state.faults))

    def session(self):
        """What a deep sleep must keep, at most 411 bytes."""
        return self._state.dump(False)

    def ask_time(self):
        """Put a DeviceTimeReq into the next uplink."""
        self._ask(_DEVICE_TIME_REQ)

    def ask_link_check(self):
        """Put a LinkCheckReq into the next uplink."""
        self._ask(_LINK_CHECK_REQ)

    def room(self):
        """Bytes free for the next payload beside owed MAC answers; 0 without a session."""
        if not self._state.joined:
            return 0
        answers, requests = self._fopts()
        return self._limit() - len(answers) - len(requests)

    def wait_ms(self, now):
        """Milliseconds until the next transmission is allowed: a data frame, taken at its greatest length, or a join-request. 0 = now."""
        if not self._state.joined:
            return self.join_wait_ms(now)
        self._clock(now)
        longest_ms = on_air_ms(self._limit() + _FRAME_OVERHEAD, self._region, self._state.dr)
        wait = min([self._budget.wait_ms(c.frequency, longest_ms, now) for c in self._channels()])
        return max(wait, self._state.quiet_until - now, 0)

    def join_wait_ms(self, now):
        """Milliseconds until a join-request is allowed, joined or not. 0 = now."""
        self._clock(now)
        joiner = self._join()
        air_ms = joiner.air_ms(joiner.data_rate())
        wait = min([self._budget.wait_ms(c[0], air_ms, now) for c in self._region.CHANNELS])
        return max(wait, self._state.join_after - now, 0)

    def handle(self, event, now):
        """The actions that `event` leads to; a list. ValueError for an event that the present state does not know: a defect of the caller."""
        step = _TRANSITIONS.get((self._at, event[0]))
        if step is None:
            raise ValueError("LoRaWAN: event %r in state %s, which does not expect it" % (event[0], self._at))
        self._clock(now)
        return getattr(self, step)(now, *event[1:])

    # --- the transitions

    def _start_join(self, now):
        self._begin(True, False)
        if len(self._euis) != 16:
            return self._end(reasons.ABP)
        joiner = self._join()
        if joiner.dev_nonce > 0xFFFF:
            return self._end(reasons.NONCES)
        if self._state.join_after > now:
            return self._end(reasons.BACKOFF)
        self._phy, self._dr, self._eirp = joiner.request(), joiner.data_rate(), self._region.MAX_EIRP
        actions = self._repeat(now)
        if self._at != _TX:
            return actions
        return [Store("nonce", joiner.sent(now))] + actions

    def _start_send(self, now, port, data, confirmed):
        self._begin(False, confirmed)
        state = self._state
        if not state.joined:
            return self._end(reasons.NOT_JOINED)
        if state.fcnt_up >= 0xFFFFFFFF:  # so that the counter after the last one fits the record
            return self._end(reasons.COUNTER)
        if data if port is None else not 1 <= port <= frame.MAX_PORT:
            return self._end(reasons.PORT)
        room = self.room()
        # new answers that FOpts, or the payload, has no room for go alone on port 0 (5, Table 15)
        first = bool(state.owed) and not state.repeat and (len(state.owed) > frame.MAX_FOPTS or len(data) > room)
        if len(data) > (self._limit() if first else room):
            return self._end(reasons.ROOM)
        fopts, self._asked = self._fopts()
        if first:
            self._outcome.reason = reasons.ANSWERS if port is not None else ""
            port, data = 0, self._commands().fitting(state.owed, self._limit())
            fopts, self._asked, self._confirmed = b"", b"", False
        fopts += self._asked
        fctrl = frame.ACK if state.ack else 0
        if self.adr:
            fctrl |= frame.ADR | (frame.ADR_ACK_REQ if adr.wanted(state, self._region) else 0)
        self._phy = frame.data_up(
            state.nwk_key, state.app_key, state.dev_addr, state.fcnt_up, fctrl, fopts, port, data, self._confirmed
        )
        self._dr, self._eirp = state.dr, self._region.MAX_EIRP - 2 * state.power
        actions = self._repeat(now)
        if self._at == _TX:
            if state.fcnt_up >= state.fcnt_reserved:
                state.fcnt_reserved = min(0xFFFFFFFF, state.fcnt_up + FCNT_BLOCK)
                actions = [self._keep()] + actions
            state.fcnt_up += 1
        return actions

    def _repeat(self, now):
        """The frame, on a channel that is free and, where it can be, not the last one (NbTrans, 5.2).

        A repetition that the duty cycle forbids is left out rather than waited for awake; a first transmission ends with that reason.
        """
        state, region = self._state, self._region
        air_ms = on_air_ms(len(self._phy), region, self._dr)
        if self._joining:
            choice = [(c[0], c[0]) for c in region.CHANNELS]
        else:
            choice = [(c.frequency, c.rx1_frequency) for c in self._channels()] if state.quiet_until <= now else []
        choice = [c for c in choice if not self._budget.wait_ms(c[0], air_ms, now)]
        if not choice:
            return self._end_silent(now) if self._tries else self._end(reasons.DUTY)
        choice = [c for c in choice if c[0] != self._frequency] or choice
        self._frequency, self._rx1_frequency = choice[self._entropy(1)[0] % len(choice)]
        self._budget.book(self._frequency, air_ms, now)
        self._last = (now, air_ms)
        self._rest()
        self._tries += 1
        self._at = _TX
        sf, bandwidth = region.DATA_RATES[self._dr]
        return [Transmit(self._phy, self._frequency, sf, bandwidth, self._eirp)]

    def _open_rx1(self, _now, ticks_us):
        state, region = self._state, self._region
        self._outcome.sent = self._outcome.reason != reasons.ANSWERS
        self._ticks_us = ticks_us
        if self._joining:
            delay, frequency, dr = region.JOIN_DELAY, self._frequency, self._dr
            self._rx2 = (delay + 1,) + region.RX2
        else:
            delay, frequency, dr = state.rx_delay, self._rx1_frequency, region.RX1_DR[self._dr][state.rx1_offset]
            self._rx2 = (delay + 1, state.rx2_frequency, state.rx2_dr)
            if self._tries == 1:  # what this frame carried is said
                state.ack = False
                if state.owed:
                    state.owed = self._commands().sticky(state.owed)
                    state.repeat = bool(state.owed)
                self._requests = [r for r in self._requests if r not in self._asked]
        return self._listen(_RX1, delay, frequency, dr)

    def _open_rx2(self, _now):
        return self._listen(_RX2, *self._rx2)

    def _judge(self, now, phy, snr_db):
        """A frame that is not ours, old, echoed or damaged changes nothing: RX2 stays alive, the uplink is repeated as if nothing came."""
        if len(phy) <= self._region.MAX_PAYLOAD[self._rx_dr] + _FRAME_OVERHEAD:
            actions = self._accept_join(phy) if self._joining else self._accept_data(now, phy, snr_db)
            if actions:
                return actions
        return self._open_rx2(now) if self._at == _RX1 else self._repeat_or_end(now)

    def _repeat_or_end(self, now):
        if not self._joining and self._tries < self._state.nb_trans:
            self._at = _PAUSE
            return [Pause(self._retransmit_ms())]
        return self._end_silent(now)

    def _fail(self, _now):
        # perhaps because a record could not be stored: the next uplink stores one before it leaves
        self._state.fcnt_reserved = self._state.fcnt_up
        return self._end(reasons.RADIO)

    # --- what they are made of

    def _begin(self, joining, confirmed):
        self._joining = joining
        self._confirmed = confirmed
        self._tries = 0
        self._asked = b""
        self._outcome = Outcome()

    def _listen(self, window, seconds, frequency, dr):
        self._at = window
        self._rx_dr = dr
        return [Listen(seconds * 1000000, frequency, *self._region.DATA_RATES[dr])]

    def _accept_join(self, phy):
        records = self._join().accept(phy)
        if not records:
            return None
        self._outcome.downlink = True
        return [Store("nonce", records[0]), self._keep(), Store("nonce", records[1])] + self._end("")

    def _accept_data(self, now, phy, snr_db):
        state, outcome = self._state, self._outcome
        down, fault = frame.data_down(state.nwk_key, state.app_key, state.dev_addr, state.next_fcnt_down, phy)
        if down is None:
            if fault != "foreign":
                state.count(fault)
            return None
        outcome.downlink = True
        state.next_fcnt_down = down.fcnt + 1
        state.adr_count = 0
        state.ack = down.confirmed
        if state.repeat:  # a class A downlink shows that the repeated answers arrived
            state.owed = b""
            state.repeat = False
        self.pending = bool(down.fctrl & frame.PENDING)
        stream = down.fopts if down.port else down.data or down.fopts
        if stream:
            orders = self._commands().Commands(state, self._region, snr_db, self.battery, self._asked, self.adr)
            orders.run(stream)
            self._rest()
            self.link = orders.link or self.link
            if orders.time:
                outcome.time = orders.time + (self._ticks_us,)
        if down.port and down.port <= frame.MAX_PORT:
            outcome.received.append((down.port, down.data))
        if self._confirmed and not down.fctrl & frame.ACK:
            self._unacknowledged(now)
        return [self._keep()] + self._end(outcome.reason)

    def _end_silent(self, now):
        if self._joining:
            return self._end(reasons.SILENCE)
        self.pending = False
        if self.adr:
            adr.count(self._state, self._region)
        if self._confirmed:
            self._unacknowledged(now)
        return self._end(self._outcome.reason)

    def _unacknowledged(self, now):
        """A new frame waits RETRANSMIT_TIMEOUT as a repetition does (4.3.1.3)."""
        self._state.quiet_until = max(self._state.quiet_until, now + self._retransmit_ms())
        self._outcome.reason = reasons.SILENCE

    def _retransmit_ms(self):
        return _REPEAT_MS + 2000 * self._entropy(1)[0] // 255

    def _rest(self):
        """After a transmission, silence until it made up 1/2^n of the time (5.3)."""
        duty = self._state.max_duty
        self._state.quiet_until = self._last[0] + stretched(self._last[1] << duty) if duty else 0

    def _end(self, reason):
        self._at = _IDLE
        outcome = self._outcome
        outcome.reason = reason
        outcome.room = self.room()
        return [Done(outcome)]

    def _keep(self):
        return Store("session", self._state.dump(True))

    def _clock(self, now):
        """A clock that stands before the last look at it was set back by somebody: what is waited for lasts as long as before."""
        state = self._state
        self._budget.go_on(state.now, now)
        back = max(0, state.now - now)
        state.quiet_until -= back
        state.join_after -= back
        state.join_since -= back
        state.now = now
        if self._cold:
            self._cold = False
            # attempts, as join.py packs them: most devices wake without any, and without the Joiner
            if self._nonces and self._nonces[9:11] != b"\0\0":
                self._join().after_power_loss(now)

    def _fopts(self):
        """(answers, requests) beside the next payload; repeated answers are cut, or nothing else would ever be sent."""
        answers = self._state.owed
        if len(answers) > frame.MAX_FOPTS and not self._state.repeat:
            return b"", b""
        if answers:
            answers = self._commands().fitting(answers, frame.MAX_FOPTS)
        return answers, bytes(self._requests[: frame.MAX_FOPTS - len(answers)])

    def _ask(self, cid):
        if cid not in self._requests:
            self._requests.append(cid)

    def _channels(self):
        """Channels for the next uplink; the default ones carry every data rate, so they stand in where no enabled channel does."""
        state = self._state
        return state.usable(state.dr) or state.channels[: len(self._region.CHANNELS)]

    def _join(self):
        """The Joiner, made when it is first needed: a device that wakes with its session does without."""
        if self._joiner is None:
            from .join import Joiner

            self._joiner = Joiner(
                self._region,
                self._state,
                Key(bytes.fromhex(self._app_key)),
                self._euis,
                self._entropy,
                self._nonces,
            )
        return self._joiner

    def _commands(self):
        """Loaded when there is a command to obey or an answer to give: most wakes have none."""
        from . import commands

        return commands

    def _limit(self):
        """N: bytes of an application payload without FOpts (RP002-1.0.3, 2.4.6)."""
        limit = self._region.MAX_PAYLOAD[self._state.dr]
        return min(limit, self._region.MAX_REPEATED) if self.repeater else limit
