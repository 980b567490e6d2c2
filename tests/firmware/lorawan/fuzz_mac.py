"""The MAC under fire: downlinks of every kind in every window, to a device and to its twin, which is told that its windows stayed empty.

A frame without a valid MIC must leave both alike: the same next action, the same bytes of `session()`; only the counts of faults may differ.
A valid frame goes to both, and whatever it carries, what then holds of a device must hold (`Fuzz.check`).

A `round` is one device's life and depends on the seed and its number only, and on `valid`, so that a failure can be had again: make fuzz SEED=… ROUND=….
"""

import random

import fuzz_frames
from lorawan import eu868
from lorawan.mac import CLOSED, ELAPSED, HEARD, JOIN, SEND, SENT, Done, Listen, Mac, Pause, Store, Transmit
from network import APP_KEY, DEV_EUI, JOIN_EUI, Entropy

# Where a record (lorawan/session.py) has its counts of faults, the number of its air time slots, and those.
FAULTS, SLOTS, HEAD = 6, 38, 39
EXCHANGES = 12
VALID = "valid"


class Twin:
    """One Mac with its entropy and its flash."""

    def __init__(self, seed):
        self.entropy = Entropy()
        self.entropy.state = seed
        self.flash = {}
        self.start(None)

    def start(self, session):
        flash = self.flash
        self.mac = Mac(
            eu868, DEV_EUI, JOIN_EUI, APP_KEY, self.entropy, flash.get("nonce"), session or flash.get("session")
        )

    def handle(self, event, now):
        """The actions as plain values, all but Store, which is carried out."""
        told = []
        for action in self.mac.handle(event, now):
            if isinstance(action, Store):
                assert len(action.data) <= 411
                self.flash[action.name] = action.data
                told.append(action.name)
            elif isinstance(action, Done):
                o = action.outcome
                told.append(("done", o.sent, o.reason, o.received, o.time, o.room, o.downlink))
            else:
                told.append(action)
        return told

    def record(self):
        """`session()`, its counts of faults apart."""
        data = bytearray(ordered(self.mac.session()))
        assert len(data) <= 411, len(data)
        data[FAULTS : FAULTS + 12] = bytes(12)
        return data


class Fuzz:
    """`frames`: downlinks so far; `taken`: those with a valid MIC that a device must take; `kinds`: how many of each of the others."""

    def __init__(self, seed, valid=25):
        self.seed = seed
        self.valid = valid  # of 100 downlinks after the join; 0: it only joins anew
        self.frames = self.taken = self.joins = self.repeats = 0
        self.kinds = {}
        self.lengths = set()  # of the random ones
        self.window = ""
        self.frame = b""

    def round(self, number):
        """One device's life: joins, exchanges, deep sleeps and power losses; what it raises names the round and the frame."""
        random.seed(self.seed * 1000003 + number & 0x3FFFFFFF)
        self.device, self.twin = Twin(number & 0xFFFF), Twin(number & 0xFFFF)
        self.now = 0
        self.join_nonce = -1
        self.server = None
        try:
            self.join()
            for _ in range(EXCHANGES):
                chance = random.randint(0, 40)
                if chance == 0 or not self.valid:
                    self.join()
                    continue
                if chance < 8:
                    self.restart(chance < 3)
                self.send()
        except Exception:
            print(
                "fuzz: SEED=%d ROUND=%d (valid=%d), %s: %s"
                % (self.seed, number, self.valid, self.window, self.frame.hex())
            )
            print("fuzz: session", self.device.mac.session().hex())
            raise

    def run(self, frames, number=0):
        """Rounds from `number` on until `frames` downlinks were fed in; the number of the next round."""
        while self.frames < frames:
            self.round(number)
            number += 1
        return number

    def __str__(self):
        return (
            "%d downlinks, %d of them valid and taken; %d join-requests, %d repetitions; none of these believed: %s"
            % (
                self.frames,
                self.taken,
                self.joins,
                self.repeats,
                ", ".join(["%d %s" % (n, kind) for kind, n in sorted(self.kinds.items())]),
            )
        )

    # --- an exchange of both

    def join(self):
        while True:
            self.now += self.device.mac.join_wait_ms(self.now)
            self.twin.mac.join_wait_ms(self.now)
            self.joins += 1
            taken = self.exchange((JOIN,), self.joining)
            if taken:
                self.server = fuzz_frames.Server(self.device.mac._state)
                self.greeting = random.choice(
                    (b"", b"\x03\x50\x07\0\x02", b"\x03\x50\x07\0\x03")
                )  # LinkADRReq: NbTrans
                return
            self.now += 60000

    def send(self):
        mac = self.device.mac
        self.now += mac.wait_ms(self.now)
        self.twin.mac.wait_ms(self.now)
        if not random.randint(0, 3):
            mac.ask_time()
            self.twin.mac.ask_time()
        if not random.randint(0, 3):
            mac.ask_link_check()
            self.twin.mac.ask_link_check()
        event = (
            SEND,
            random.randint(1, 223),
            fuzz_frames.some(random.randint(0, mac.room())),
            not random.randint(0, 2),
        )
        self.exchange(event, self.data)

    def exchange(self, event, frames):
        """Both through one exchange; True where a valid frame ended it."""
        actions = self.step(event, event)
        while True:
            last = actions[-1]
            if isinstance(last, Transmit):
                check_transmit(last)
                self.now += 2000
                sent_at = self.now
                uplink = last.phy
                window = 0
                event = (SENT, self.now * 1000 & 0x3FFFFFFF)
                actions = self.step(event, event)
            elif isinstance(last, Listen):
                check_listen(last)
                window += 1
                self.now = max(self.now, sent_at + last.delay_us // 1000)
                dr = [sf for sf, _ in eu868.DATA_RATES].index(last.sf)
                kind, self.frame = frames(uplink, dr)
                self.window = "RX%d, %s" % (window, kind)
                self.frames += 1
                event = (HEARD, self.frame, random.randint(-40, 20))
                if kind == VALID:
                    actions = self.step(event, event)
                    assert actions[-1][0] == "done" and actions[-1][6], "a valid frame was not taken"
                    self.taken += 1
                    self.check()
                    return True
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
                if kind == "random":
                    self.lengths.add(len(self.frame))
                actions = self.step(event, (CLOSED,))
            elif isinstance(last, Pause):
                assert 1000 <= last.ms <= 3000
                self.repeats += 1
                self.now += last.ms
                actions = self.step((ELAPSED,), (ELAPSED,))
            else:
                assert last[0] == "done" and last[2] in ("", "silence", "answers"), last
                return False

    def step(self, event, twin_event):
        """The actions of both, which are the same, as is what both would keep."""
        actions = self.device.handle(event, self.now)
        assert self.twin.handle(twin_event, self.now) == actions, "another action than without the frame"
        assert self.device.record() == self.twin.record(), "another state than without the frame"
        return actions

    def restart(self, power_lost):
        """Both wake from deep sleep, or boot after a power loss, the RTC at 0."""
        if power_lost:
            self.now = 0
        for twin in (self.device, self.twin):
            twin.start(None if power_lost else twin.mac.session())
        assert self.device.mac.joined
        assert self.device.record() == self.twin.record()

    # --- what comes in the windows: (kind, frame)

    def joining(self, uplink, dr):
        kind = random.randint(0, 10)
        if kind < 2:
            self.join_nonce += random.choice((1, 1, 1, 300))
            return VALID, fuzz_frames.join_accept(APP_KEY, self.join_nonce, fuzz_frames.some(4))
        if kind == 2:
            return "random", fuzz_frames.some(random.randint(0, 255))
        if kind == 3:
            return "random join-accept", b"\x20" + fuzz_frames.some(random.choice((16, 32)))
        if kind == 4 and self.join_nonce >= 0:
            return "old JoinNonce", fuzz_frames.join_accept(
                APP_KEY, random.randint(0, self.join_nonce), fuzz_frames.some(4)
            )
        good = fuzz_frames.join_accept(APP_KEY, self.join_nonce + 1, fuzz_frames.some(4))
        if kind == 5:
            return "other key", fuzz_frames.join_accept("00" * 16, self.join_nonce + 1, fuzz_frames.some(4))
        if kind == 6:
            return "cut", good[: random.randint(0, len(good) - 1)]
        if kind == 7:
            return "longer", good + fuzz_frames.some(random.randint(1, 200))
        if kind == 8:
            return "echo", uplink
        if kind == 9 and self.server:
            return "data", self.server.frame(self.server.fcnt, b"", 5, b"in a window of a join")
        return "mutated", fuzz_frames.mutated(good)

    def data(self, uplink, dr):
        longest = eu868.MAX_PAYLOAD[dr]
        if self.greeting:
            fopts, self.greeting = self.greeting, b""
            return VALID, self.server.next(fopts, None, b"")
        if random.randint(0, 99) < self.valid:
            return VALID, self.server.valid(longest)
        if longest < 240 and not random.randint(0, 20):
            return "too long", self.server.frame(self.server.fcnt, b"", 7, fuzz_frames.some(longest + 1))
        return self.server.refused(uplink)

    def check(self):
        """What holds of a device, whatever its network has told it."""
        mac = self.device.mac
        state = mac._state
        assert state.mask and not state.mask & ~state.defined()
        assert state.dr < len(eu868.DATA_RATES) and state.power <= eu868.MAX_POWER and 1 <= state.nb_trans <= 15
        assert state.rx2_dr < len(eu868.DATA_RATES) and state.rx1_offset < len(eu868.RX1_DR[0])
        assert 1 <= state.rx_delay <= 15 and len(state.owed) <= 51
        assert [(c.frequency, c.low, c.high) for c in state.channels[:3]] == list(eu868.CHANNELS)
        for c in state.channels:
            assert not c or (transmittable(c.frequency) and receivable(c.rx1_frequency) and c.low <= c.high <= 5)
        assert 0 <= mac.room() <= eu868.MAX_PAYLOAD[state.dr]
        record = mac.session()
        again = Mac(eu868, DEV_EUI, JOIN_EUI, APP_KEY, self.device.entropy, self.device.flash["nonce"], record)
        assert ordered(again.session()) == ordered(record), "a record that reads otherwise than it was written"


def ordered(record):
    """The record with its air time slots in order: a dictionary keeps none."""
    end = HEAD + 3 * record[SLOTS]
    return record[:HEAD] + b"".join(sorted([record[at : at + 3] for at in range(HEAD, end, 3)])) + record[end:]


def check_transmit(action):
    dr = eu868.DATA_RATES.index((action.sf, action.bandwidth))
    assert transmittable(action.frequency) and 2 <= action.eirp <= eu868.MAX_EIRP
    assert len(action.phy) <= eu868.MAX_PAYLOAD[dr] + 13


def check_listen(action):
    assert (action.sf, action.bandwidth) in eu868.DATA_RATES and receivable(action.frequency)
    assert 1000000 <= action.delay_us <= 16000000


def transmittable(hz):
    return any(low <= hz < high for low, high, _ in eu868.BANDS)


def receivable(hz):
    return eu868.RANGE[0] <= hz <= eu868.RANGE[1]
