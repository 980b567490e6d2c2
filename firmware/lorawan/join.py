"""Joining (TS001-1.0.4, 6.2): the nonces that must never repeat, the pace of join-requests, and what a join-accept sets.

The pace obeys the limits of 7 "Retransmissions back-off": less than 36 s on air in the first hour, 36 s in the next ten, 8.7 s in each
day after. The spacing grows with the number of requests since the last accept, which is in flash with the nonces, so that a node that
browns out at each transmission does not begin anew.
"""

from struct import pack, unpack

from .airtime import on_air_ms
from .crypto import Key, session_keys
from .session import Channel, frequency

_FORMAT = "<B4sIHi"
_SIZE = 15
_VERSION = 1
LENGTH = 23  # bytes of a join-request
# (budget of air time, length of the period), both in ms
_PERIODS = ((36000, 3600000), (36000, 36000000), (8700, 86400000))


class Nonces:
    """The `nonce` record of flash: `dev_nonce` the next to use (0..65536), `attempts` since the last accept, `join_nonce` of the last accept or -1."""

    def __init__(self, owner, record):
        self.owner = owner
        self.dev_nonce = 0
        self.attempts = 0
        self.join_nonce = -1
        self.valid = not record
        if record and len(record) == _SIZE and record[0] == _VERSION and record[1:5] == owner:
            _, _, self.dev_nonce, self.attempts, self.join_nonce = unpack(_FORMAT, record)
            self.valid = True

    def dump(self):
        """The record for flash."""
        return pack(_FORMAT, _VERSION, self.owner, self.dev_nonce, min(self.attempts, 0xFFFF), self.join_nonce)


def data_rate(region, attempts):
    """Data rate of the join-request after `attempts` unanswered ones (6.2.5: any; hopping over frequencies and data rates)."""
    return region.JOIN_DRS[attempts % len(region.JOIN_DRS)]


def air_ms(region, attempts):
    """Time on air in ms of the join-request after `attempts` unanswered ones."""
    return on_air_ms(LENGTH, region, data_rate(region, attempts))


def spacing_ms(region, attempts, elapsed_ms, entropy):
    """Milliseconds to the next join-request after `attempts` unanswered ones in `elapsed_ms`: random, from the least allowed to twice that."""
    least = _least_ms(region, attempts, elapsed_ms)
    return least + _random_part(least, entropy)


def after_power_loss_ms(region, attempts, entropy):
    """Milliseconds from a power-up to the first join-request after `attempts` unanswered ones: none in the first hour's share, then random."""
    if attempts <= _PERIODS[0][0] * len(region.JOIN_DRS) // _cycle_ms(region):
        return 0
    return _random_part(2 * _least_ms(region, attempts, 0), entropy)


def _random_part(span_ms, entropy):
    high, low = entropy(2)
    return span_ms * (high << 8 | low) >> 16


def _cycle_ms(region):
    return sum([on_air_ms(LENGTH, region, dr) for dr in region.JOIN_DRS])


def _least_ms(region, attempts, elapsed_ms):
    """The spacing of the period that either the clock or the number of requests has reached: a clock that power losses set back cannot hide it.

    It grows with the air time of the request before it. n requests span n - 1 spacings: with room left for the longest one, no more than
    the budget fits into a period.
    """
    left = attempts
    for budget, period in _PERIODS:
        left -= budget * len(region.JOIN_DRS) // _cycle_ms(region)
        elapsed_ms -= period
        if left <= 0 and elapsed_ms < 0:
            break
    longest = max([on_air_ms(LENGTH, region, dr) for dr in region.JOIN_DRS])
    return period * air_ms(region, attempts - 1) // (budget - longest) + 1


def accept(state, region, app_key, answer, dev_nonce):
    """Begin the session that a JoinAccept grants (6.2.6); a setting that the region does not know keeps its default."""
    state.reset(region)
    nwk, app = session_keys(app_key, answer.nonce3, answer.net_id, dev_nonce)
    state.nwk_key, state.app_key = Key(nwk), Key(app)
    state.dev_addr = answer.dev_addr
    state.rx_delay = answer.rx_delay or 1
    if answer.rx1_offset < len(region.RX1_DR[0]):
        state.rx1_offset = answer.rx1_offset
    if answer.rx2_dr < len(region.DATA_RATES):
        state.rx2_dr = answer.rx2_dr
    if answer.cf_list and answer.cf_list[15] == 0:  # CFListType 0: five frequencies (RP002-1.0.3, 2.4.4)
        _add_channels(state, region, answer.cf_list)
    state.mask = state.defined()
    state.joined = True


def _add_channels(state, region, cf_list):
    first = len(region.CHANNELS)
    for i in range(5):
        hz = frequency(cf_list[3 * i : 3 * i + 3])
        if any(low <= hz < high for low, high, _ in region.BANDS):
            state.channels[first + i] = Channel(hz, 0, len(region.DATA_RATES) - 1)
