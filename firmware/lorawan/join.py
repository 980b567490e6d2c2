"""Joining (TS001-1.0.4, 6.2): the nonces that must never repeat, the pace of join-requests, and what a join-accept sets.

The pace obeys the limits of 7 "Retransmissions back-off": less than 36 s on air in the first hour, 36 s in the next ten, 8.7 s in each
day after. The spacing grows with the number of requests since the last accept, which is in flash with the nonces, so that a node that
browns out at each transmission does not begin anew. A device that wakes with its session does not load this file.
"""

from struct import pack, unpack

from micropython import const

from .airtime import on_air_ms, stretched
from .crypto import Key
from .session import FCNT_BLOCK, Channel, frequency

_JOIN_REQUEST = const(0x00)
_JOIN_ACCEPT = const(0x20)
_TYPE = const(0xE3)  # MHDR: MType and Major; the bits between are reserved and ignored (4.2)
_RECORD = const("<B4sIHi")
_RECORD_SIZE = const(15)
_VERSION = const(1)
_LENGTH = const(23)  # bytes of a join-request
# (budget of air time, length of the period), both in ms
_PERIODS = const(((36000, 3600000), (36000, 36000000), (8700, 86400000)))


class Joiner:
    """Join-requests and accepts of one device.

    `euis`: JoinEUI and DevEUI as on air, least significant byte first. `record`: the `nonce` record of flash or None; it holds `dev_nonce`
    (the next to use, 0..65536), `attempts` since the last accept, and `join_nonce` of the last accept (-1: none).
    """

    def __init__(self, region, state, app_key, euis, entropy, record):
        self._region = region
        self._state = state
        self._key = app_key
        self._euis = euis
        self._entropy = entropy
        self.dev_nonce = 0
        self.attempts = 0
        self.join_nonce = -1
        if record:
            if len(record) == _RECORD_SIZE and record[0] == _VERSION and record[1:5] == state.owner:
                _, _, self.dev_nonce, self.attempts, self.join_nonce = unpack(_RECORD, record)
            else:
                state.count("record")

    def record(self):
        """For flash."""
        return pack(_RECORD, _VERSION, self._state.owner, self.dev_nonce, min(self.attempts, 0xFFFF), self.join_nonce)

    def data_rate(self, attempts=None):
        """Data rate of the next join-request, or of that after `attempts` unanswered ones (6.2.5: any)."""
        rates = self._region.JOIN_DRS
        return rates[(self.attempts if attempts is None else attempts) % len(rates)]

    def air_ms(self, dr):
        """Time on air of a join-request at `dr`."""
        return on_air_ms(_LENGTH, self._region, dr)

    def request(self):
        """The next join-request (6.2.5)."""
        body = pack("<B16sH", _JOIN_REQUEST, self._euis, self.dev_nonce)
        return body + self._key.cmac(body)[:4]

    def sent(self, now):
        """Book the request that is about to leave at `now` (RTC ms) and fix when the next may; the record that must be durable before it leaves."""
        state = self._state
        if not self.attempts:
            state.join_since = now
        self.dev_nonce += 1
        self.attempts += 1
        least = self._least_ms(now - state.join_since)
        state.join_after = now + least + self._random_part(least)
        return self.record()

    def after_power_loss(self, now):
        """Fix the first request's moment after a power-up at `now`: at once within the first hour's share of requests, then random."""
        self._state.join_since = now
        if self.attempts > _PERIODS[0][0] * len(self._region.JOIN_DRS) // self._cycle_ms():
            self._state.join_after = now + self._random_part(2 * self._least_ms(0))

    def accept(self, phy):
        """Begin the session that a join-accept grants (6.2.6); its two records, for before and after the session's own, or None.

        A setting that the region does not know keeps its default. Nothing changes unless the MIC holds and the JoinNonce is new.
        """
        if len(phy) not in (17, 33) or phy[0] & _TYPE != _JOIN_ACCEPT:
            return None
        plain = self._key.encrypt(phy[1:])
        if self._key.cmac(phy[:1] + plain[:-4])[:4] != plain[-4:]:
            return None
        state, region = self._state, self._region
        join_nonce = plain[0] | plain[1] << 8 | plain[2] << 16
        if join_nonce <= self.join_nonce:  # a join-accept that was used before
            state.count("join_nonce")
            return None
        state.reset(region)
        state.nwk_key, state.app_key = [
            Key(k) for k in session_keys(self._key, plain[:3], plain[3:6], self.dev_nonce - 1)
        ]
        state.dev_addr = plain[6:10]
        offset, rx2_dr = plain[10] >> 4 & 7, plain[10] & 15
        if offset < len(region.RX1_DR[0]):
            state.rx1_offset = offset
        if rx2_dr < len(region.DATA_RATES):
            state.rx2_dr = rx2_dr
        state.rx_delay = plain[11] & 15 or 1
        if len(phy) == 33 and plain[27] == 0:  # CFListType 0: five frequencies (RP002-1.0.3, 2.4.4)
            for i in range(5):
                hz = frequency(plain[12 + 3 * i : 15 + 3 * i])
                if any(low <= hz < high for low, high, _ in region.BANDS):
                    state.channels[len(region.CHANNELS) + i] = Channel(hz, 0, len(region.DATA_RATES) - 1)
        state.mask = state.defined()
        state.fcnt_reserved = FCNT_BLOCK
        state.join_after = state.quiet_until = 0
        state.joined = True
        # JoinNonce first, or the accept could be replayed; attempts last, or a cut before the session is stored would end the back-off
        self.join_nonce = join_nonce
        replay = self.record()
        self.attempts = 0
        return replay, self.record()

    def _random_part(self, span_ms):
        high, low = self._entropy(2)
        return span_ms * (high << 8 | low) >> 16

    def _cycle_ms(self):
        return sum([self.air_ms(dr) for dr in self._region.JOIN_DRS])

    def _least_ms(self, elapsed_ms):
        """The spacing of the period that either the clock or the number of requests has reached: a clock that power losses set back cannot hide it.

        It grows with the air time of the request before it. n requests span n - 1 spacings: with room left for the longest one, no more
        than the budget fits into a period.
        """
        left = self.attempts
        for budget, period in _PERIODS:
            left -= budget * len(self._region.JOIN_DRS) // self._cycle_ms()
            elapsed_ms -= period
            if left <= 0 and elapsed_ms < 0:
                break
        longest = max([self.air_ms(dr) for dr in self._region.JOIN_DRS])
        return stretched(period) * self.air_ms(self.data_rate(self.attempts - 1)) // (budget - longest) + 1


def session_keys(app_key, join_nonce, net_id, dev_nonce):
    """(NwkSKey, AppSKey), 16 bytes each (6.2.6). `join_nonce`, `net_id`: 3 bytes as on air; `dev_nonce`: int."""
    tail = join_nonce + net_id + pack("<H", dev_nonce) + bytes(7)
    return app_key.encrypt(b"\x01" + tail), app_key.encrypt(b"\x02" + tail)
