"""What the protocol must remember, and its one record format.

The same bytes serve RTC memory (deep sleep keeps the RTC's milliseconds, so back-off and duty cycle go on) and flash (a power loss ends them):
a flash record has no times and its FCntUp is the end of the reserved block, so that no counter is used twice whatever was sent since.
"""

from struct import pack, unpack, unpack_from

from micropython import const

from .crypto import Key

_VERSION = const(1)
_JOINED = const(1)
_ACK = const(2)
_REPEAT = const(4)
_HEAD = const("<BB4s6HQIIIB")
_HEAD_SIZE = const(39)
_BODY = const("<16s16s4sIIIHBBBHBBBIB")
_BODY_SIZE = const(63)
_SLOT_MS = const(600000)
FCNT_BLOCK = 64  # uplinks per flash write
MAX_OWED = 51  # bytes of MAC answers kept: what port 0 carries at DR0

FAULTS = ("mic", "form", "adr_refused", "unknown_command", "join_nonce", "record")


class Channel:
    """An uplink channel: frequency, its RX1 frequency (Hz), least and greatest data rate."""

    def __init__(self, frequency, low, high, rx1_frequency=0):
        self.frequency = frequency
        self.rx1_frequency = rx1_frequency or frequency
        self.low = low
        self.high = high


class State:
    """All that outlives a wake. Times are RTC milliseconds. `joined` False: the fields from `nwk_key` on mean nothing."""

    def __init__(self, region, owner):
        self.owner = owner  # 4 bytes that tell which EUIs and key the record belongs to
        self.faults = [0] * len(FAULTS)
        self.now = 0
        self.quiet_until = 0  # DutyCycleReq's silence
        self.join_after = 0  # join back-off
        self.join_since = 0  # first join-request of those that are unanswered, or this power-up
        self.slots = {}  # airtime.Budget.slots
        self.joined = False
        self.reset(region)

    def reset(self, region):
        """A session's beginning: the region's defaults (TS001-1.0.4, 6.2.6)."""
        self.nwk_key = self.app_key = None
        self.dev_addr = b"\0\0\0\0"
        self.fcnt_up = 0  # of the next new uplink
        self.fcnt_reserved = 0  # counters below are written off in flash
        self.next_fcnt_down = 0  # the least counter still acceptable
        self.adr_count = 0  # new uplinks since the last downlink
        self.dr = region.DEFAULT_DR
        self.power = 0
        self.nb_trans = 1
        self.rx_delay = 1
        self.rx1_offset = 0
        self.rx2_frequency, self.rx2_dr = region.RX2
        self.max_duty = 0  # aggregated duty cycle 1/2^n
        self.channels = [Channel(*c) for c in region.CHANNELS] + [None] * (region.MAX_CHANNELS - len(region.CHANNELS))
        self.mask = (1 << len(region.CHANNELS)) - 1
        self.ack = False  # the next uplink acknowledges
        self.owed = b""  # MAC answers for the next uplink
        self.repeat = False  # they were sent before and are repeated until a downlink comes

    def count(self, fault):
        """One more `fault`, a word of FAULTS."""
        i = FAULTS.index(fault)
        self.faults[i] = min(0xFFFF, self.faults[i] + 1)

    def defined(self):
        """Mask of the channels that exist."""
        return sum([1 << i for i, c in enumerate(self.channels) if c])

    def usable(self, dr, mask=None):
        """Channels that are enabled and carry data rate `dr`."""
        mask = self.mask if mask is None else mask
        return [c for i, c in enumerate(self.channels) if c and mask >> i & 1 and c.low <= dr <= c.high]

    def dump(self, flash):
        """The record; at most 411 bytes."""
        flags = (_JOINED if self.joined else 0) | (_ACK if self.ack else 0) | (_REPEAT if self.repeat else 0)
        slots = {} if flash else self.slots
        times = [0, 0, 0, 0]
        if not flash:  # what lies ahead or behind fits 32 bits of milliseconds, or has stopped to matter
            spans = (self.quiet_until - self.now, self.join_after - self.now, self.now - self.join_since)
            times = [self.now] + [min(0xFFFFFFFF, max(0, t)) for t in spans]
        out = pack(_HEAD, _VERSION, flags, self.owner, *self.faults, *times, len(slots))
        newest = self.now // _SLOT_MS
        for (slot, band), ms in slots.items():
            out += pack("<BH", max(0, newest - slot) << 3 | band, (ms + 9) // 10)
        if not self.joined:
            return out
        assert self.nwk_key is not None, "joined without a key"
        assert self.app_key is not None, "joined without a key"
        out += pack(
            _BODY,
            self.nwk_key.key,
            self.app_key.key,
            self.dev_addr,
            self.fcnt_reserved if flash else self.fcnt_up,
            self.fcnt_reserved,
            self.next_fcnt_down,
            self.adr_count,
            self.dr,
            self.power,
            self.nb_trans,
            self.mask,
            self.rx_delay,
            self.rx1_offset << 4 | self.rx2_dr,
            self.max_duty,
            self.rx2_frequency,
            len(self.owed),
        )
        out += self.owed + pack("<H", self.defined())
        for c in self.channels:
            if c:
                out += (
                    pack("<I", c.frequency // 100)[:3]
                    + pack("<I", c.rx1_frequency // 100)[:3]
                    + bytes([c.low | c.high << 4])
                )
        return out

    def load(self, record):
        """Take a record over; False, with nothing changed but a fault counted, where it is another device's, damaged or of another version."""
        try:
            self._load(record)
        except (ValueError, IndexError):
            self.joined = False
            self.count("record")
            return False
        return True

    def _load(self, record):
        if len(record) < _HEAD_SIZE or record[0] != _VERSION or record[2:6] != self.owner:
            raise ValueError("session record of another version or device")
        head = unpack_from(_HEAD, record, 0)
        at = _HEAD_SIZE
        slots = {}
        newest = head[9] // _SLOT_MS
        for _ in range(head[13]):
            key, ms = unpack("<BH", record[at : at + 3])
            slots[(newest - (key >> 3), key & 7)] = ms * 10
            at += 3
        if head[1] & _JOINED:
            self._load_session(record, at)
        elif at != len(record):
            raise ValueError("session record too long")
        self.faults = list(head[3:9])
        self.now = head[9]
        self.quiet_until, self.join_after, self.join_since = (
            self.now + head[10],
            self.now + head[11],
            self.now - head[12],
        )
        self.slots = slots
        self.joined = bool(head[1] & _JOINED)
        self.ack = bool(head[1] & _ACK)
        self.repeat = bool(head[1] & _REPEAT)

    def _load_session(self, record, at):
        body = unpack(_BODY, record[at : at + _BODY_SIZE])
        at += _BODY_SIZE
        owed = record[at : at + body[15]]
        at += body[15]
        (defined,) = unpack("<H", record[at : at + 2])
        at += 2
        if len(record) != at + 7 * sum([defined >> i & 1 for i in range(16)]):
            raise ValueError("session record of the wrong length")
        channels: list = []
        for i in range(len(self.channels)):
            if defined >> i & 1:
                f, rx1, drs = record[at : at + 3], record[at + 3 : at + 6], record[at + 6]
                channels.append(Channel(frequency(f), drs & 15, drs >> 4, frequency(rx1)))
                at += 7
            else:
                channels.append(None)
        self.channels = channels
        self.owed = owed
        self.nwk_key, self.app_key, self.dev_addr = Key(body[0]), Key(body[1]), body[2]
        self.fcnt_up, self.fcnt_reserved, self.next_fcnt_down, self.adr_count = body[3:7]
        self.dr, self.power, self.nb_trans, self.mask, self.rx_delay = body[7:12]
        self.rx1_offset, self.rx2_dr = body[12] >> 4, body[12] & 15
        self.max_duty, self.rx2_frequency = body[13:15]


def frequency(three):
    """Hz from the three bytes of 100 Hz that MAC commands and the CFList use (TS001-1.0.4, 5.6)."""
    return (three[0] | three[1] << 8 | three[2] << 16) * 100
