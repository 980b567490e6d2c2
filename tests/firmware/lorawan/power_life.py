"""A device's life with its real flash records and its real Runner, and what is left of it when the power fails: for the tests of power cuts.

A `Life` is one power-up. At each action of the Mac, and at each operation on the flash, another one begins from what the flash held at
that moment (`Cuts`): as if power had failed there. So one run of a life tries every moment of it, and the one that was cut is not run again.
"""

import sys
from struct import pack, unpack

import ram_flash
import vfs
from lorawan.crypto import UP, data_mic
from network import APP_KEY, DEV_ADDR, DEV_EUI, JOIN_EUI, Entropy, Network, join_accept

TICKS = 0x3FFFFFFF


class Namespace:
    pass


class Clock:
    """The board's clock, moved by whoever waits; the module `time` of what is imported after `install`."""

    us = 0

    def install(self):
        time = Namespace()
        for name in ("sleep_us", "sleep_ms", "ticks_us", "ticks_add", "ticks_diff", "time_ns"):
            setattr(time, name, getattr(self, name))
        sys.modules["time"] = time
        gc = Namespace()
        gc.collect = lambda: None  # what the Runner asks for before each of thousands of windows
        sys.modules["gc"] = gc

    def sleep_us(self, us):
        self.us += us

    def sleep_ms(self, ms):
        self.us += ms * 1000

    def ticks_us(self):
        return self.us & TICKS

    def ticks_add(self, a, b):
        return (a + b) & TICKS

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & TICKS) - 0x20000000

    def time_ns(self):
        return self.us * 1000


clock = Clock()
clock.install()

import lorawan.commands  # noqa: E402  compiled now, while the heap is empty; the MAC imports them when it needs them
import lorawan.join  # noqa: E402, F401
from keep.flash import Flash  # noqa: E402
from lorawan import eu868  # noqa: E402
from lorawan.mac import Mac  # noqa: E402
from radio.runner import Runner  # noqa: E402
from radio.trait import Closed, Frame, Sent  # noqa: E402


class Air:
    """All that was ever on air, over all lives, and the network server: it raises where a nonce or a counter comes twice.

    A `Network` is one session. All of them have the same DevAddr, so a session is told by its keys.
    """

    def __init__(self, before=None, abp=False):
        self.abp = before.abp if before else abp  # the device is personalised: one session from the beginning
        self.dev_nonce = before.dev_nonce if before else -1  # greatest on air
        self.join_nonce = before.join_nonce if before else 0
        rows = before.sessions if before else [[Network(0, 0), -1, 0]] if abp else []
        self.sessions = [row[:] for row in rows]  # [Network, greatest FCntUp, next FCntDown]
        self.unanswered = before.unanswered if before else 0  # join-requests since the last accept that was stored
        self.requests = 0
        self.uplinks = 0
        self.events = 0
        self.taken = before.taken if before else None  # the last downlink whose outcome reached the application
        self.last = None  # what is on air again within an exchange is the same frame (NbTrans)

    def carry(self, phy):
        self.events += 1
        if phy[0] == 0:
            (nonce,) = unpack("<H", phy[17:19])
            assert nonce > self.dev_nonce, "DevNonce %d after %d" % (nonce, self.dev_nonce)
            self.dev_nonce = nonce
            self.requests += 1
            self.unanswered += 1
            return
        if phy == self.last:
            return
        self.last = phy
        self.uplinks += 1
        (fcnt,) = unpack("<H", phy[6:8])
        for row in reversed(self.sessions):
            if phy[-4:] == data_mic(row[0].nwk, phy[:-4], UP, DEV_ADDR, fcnt):
                assert fcnt > row[1], "FCntUp %d after %d" % (fcnt, row[1])
                row[1] = fcnt
                self.session = row
                return
        raise AssertionError("an uplink of no session: %s" % phy.hex())

    def accept(self):
        self.events += 1
        self.join_nonce += 1
        self.sessions.append([Network(self.dev_nonce, self.join_nonce), -1, 0])
        return join_accept(self.join_nonce)

    def down(self, **what):
        """A downlink of the session whose uplink came last."""
        row = self.session
        row[2] += 1
        self.events += 1
        return row[0].down(fcnt=row[2] - 1, **what)


class Modem:
    """Sends and hears at once. `answers`: what RX1 and RX2 bring, bytes or a function that makes them."""

    lead_us = 200
    max_symbols = 248

    def __init__(self, life):
        self._life = life
        self.answers = ()

    def prepare_transmit(self, phy, *_rest):
        self._life.moment("before a transmission")
        self._phy = phy
        self._window = 0

    def prepare_receive(self, *_rest):
        self._life.moment("before a window")
        self._phy = None
        self._window += 1

    def start(self):
        if self._phy:
            self._life.air.carry(self._phy)
        self._life.moment("on air")

    def poll(self):
        now = clock.ticks_us()
        if self._phy:
            return Sent(now)
        answer = self.answers[self._window - 1] if self._window <= len(self.answers) else None
        if callable(answer):
            answer = answer()
        self._life.moment("at the end of a window")
        return Frame(now, answer, 7, -90) if answer else Closed(now)

    def abort(self):
        pass

    def sleep(self):
        pass


class Life:
    """One power-up on `chip`, from its flash alone; `wake` goes on after a deep sleep. `cuts`: see Cuts, or None."""

    def __init__(self, chip, air, cuts=None, depth=0):
        self.chip = chip
        self.air = air
        self.cuts = cuts
        self.depth = depth
        self.where = "/cut%d" % depth
        self.entropy = Entropy()
        self._outer_us = clock.us
        clock.us = 0
        ram_flash.mount(chip, self.where)
        self.flash = Flash(self.where + "/keep")
        self.mac = None
        self.boot(self.flash.get("session"))

    def off(self):
        vfs.umount(self.where)
        clock.us = self._outer_us

    def records(self):
        return self.flash.get("nonce"), self.flash.get("session")

    def boot(self, session):
        if self.air.abp:
            net = self.air.sessions[0][0]
            address = bytes(reversed(DEV_ADDR)).hex()
            self.mac = Mac.abp(eu868, address, net.nwk.key.hex(), net.app.key.hex(), self.entropy, session)
        else:
            self.mac = self._otaa(session)
        self.modem = Modem(self)
        self.runner = Runner(self.modem, self.mac, self)

    def _otaa(self, session):
        nonces = self.flash.get("nonce")
        return Mac(eu868, DEV_EUI, JOIN_EUI, APP_KEY, self.entropy, nonces, session)

    def wake(self):
        """Deep sleep and the wake after it: only RTC memory has come through."""
        self.boot(self.mac.session())

    def moment(self, name):
        if self.cuts:
            self.cuts.moment(self, name)

    def put(self, name, data):
        """The `store` that the Runner asks for."""
        if self.cuts:
            self.cuts.put(self, name, data)
        else:
            self.flash.put(name, data)
        if name == "session" and self.joining:
            self.air.unanswered = 0

    def join(self, *answers):
        self.joining = True
        clock.sleep_ms(self.mac.join_wait_ms(clock.us // 1000))
        self.modem.answers = answers
        outcome = self.runner.join()
        self.moment("after a join")
        return outcome

    def send(self, *answers, confirmed=False, port=10):
        self.joining = False
        clock.sleep_ms(self.mac.wait_ms(clock.us // 1000))
        self.modem.answers = answers
        outcome = self.runner.send(port, b"x", confirmed)
        if outcome.downlink:
            self.air.events += 1
            self.air.taken = (self.air.session, self.air.session[2] - 1)
        self.moment("after an exchange")
        return outcome


def fresh(ages=0):
    """A Chip with a littlefs in which the node's folder has seen `ages` writes of another record."""
    chip = ram_flash.Chip()
    ram_flash.make(chip)
    ram_flash.mount(chip, "/fresh")
    flash = Flash("/fresh/keep")
    for i in range(ages):
        flash.put("count", pack("<IH", i, 1))
    vfs.umount("/fresh")
    return chip


def go_on(life):
    """What a device does after a power-up: it joins only if it has no session, takes no old downlink and gets new ones."""
    mac, air = life.mac, life.air
    nonce, session = life.records()
    assert mac.joined == (session is not None or air.abp)
    assert mac.faults["record"] == 0, mac.faults
    attempts = unpack("<B4sIHi", nonce)[3] if nonce else 0
    assert attempts >= air.unanswered, "back-off after %d of %d requests" % (attempts, air.unanswered)
    if not mac.joined:
        asked = air.requests
        assert life.join(None, air.accept).reason == ""
        assert air.requests == asked + 1
    asked = air.requests
    outcome = life.send(lambda: old_downlink(air))
    assert outcome.sent and not outcome.downlink and outcome.received == []
    life.wake()
    outcome = life.send(
        None,
        lambda: air.down(fopts=bytes.fromhex("035007000106"), port=20, data=b"hello", fctrl=0xA0, confirmed=True),
        confirmed=True,
    )
    assert (outcome.reason, outcome.received) == ("", [(20, b"hello")])
    life.wake()
    assert life.send().sent
    assert air.requests == asked, "a join-request in spite of a session"


def old_downlink(air):
    """The downlink that the application was told of last, again; None where it was another session's, or there was none."""
    if air.taken and air.taken[0][0] is air.session[0]:
        return air.session[0].down(port=20, data=b"old", fcnt=air.taken[1])
    return None


class Cuts:
    """Power cuts in a life. `double`: every so-many-th life after a cut in a write is itself cut at each of its moments; 0: none is.

    `chosen(journal)`: whether a write with these operations is cut; the others are only carried out.
    """

    def __init__(self, double=0, chosen=None):
        self.double = double
        self.chosen = chosen
        self.moments = {}  # name -> how often the Mac's actions came there
        self.puts = 0
        self.operations = 0  # on the flash; each with the lives before, in and after it
        self.compactions = 0  # erases of a block that held something: littlefs writes a folder's entries anew
        self.lives = 0
        self.again = 0  # lives after a second cut
        self._state = None

    def moment(self, life, name):
        """Between two actions. Where neither flash nor air has changed since the last life, this one would be the same."""
        self.moments[name] = self.moments.get(name, 0) + 1
        state = (self.puts, life.air.events)
        if state != self._state and not self.chosen:
            self._state = state
            self._after(life, ram_flash.Chip(life.chip), name, [life.records()])

    def put(self, life, name, data):
        nonce, session = life.records()
        life.chip.begin()
        life.flash.put(name, data)
        base, journal = life.chip.end()
        if not self.chosen or self.chosen(journal):
            self.puts += 1
            self.operations += len(journal)
            self.compactions += len([1 for n, _, what in journal if what is None and not base.blank(n)])
            allowed = [(nonce, session), (data, session) if name == "nonce" else (nonce, data)]
            for state, chip in ram_flash.torn(base, journal):
                again = self.double and not self.lives % self.double
                self._after(life, chip, "put %d (%s), operation %s" % (self.puts, name, state), allowed, again)
        life.chip.settle()

    def _after(self, life, chip, name, allowed, again=False):
        """The life that begins from `chip`, whose records are one of `allowed` pairs."""
        self.lives += 1
        cuts = Cuts() if again else None
        try:
            later = Life(chip, Air(life.air), cuts, life.depth + 1)
            try:
                assert later.records() in allowed, "a record neither old nor new"
                go_on(later)
            finally:
                later.off()
        except Exception:
            print("cut %d: %s; %d uplinks before" % (self.lives, name, life.air.uplinks))
            raise
        if cuts:
            self.again += cuts.lives

    def __str__(self):
        return "%d flash operations in %d writes, %d moments of the Mac, %d lives, %d after a second cut" % (
            self.operations,
            self.puts,
            sum(self.moments.values()),
            self.lives,
            self.again,
        )


# what the network sends in a session's life: uplink number -> downlink
DOWNLINKS = {
    3: {"port": 3, "data": b"hello"},
    8: {"fopts": bytes.fromhex("0350ff0002")},  # LinkADRReq: DR5, eight channels, NbTrans 2
    14: {"fopts": bytes.fromhex("0708e8428450"), "confirmed": True},  # NewChannelReq: channel 8, 866.9 MHz
    20: {"port": 0, "data": bytes.fromhex("0513d2ad8406")},  # RXParamSetupReq: offset 1, RX2 DR3; DevStatusReq
    27: {"fopts": bytes.fromhex("0a08c8908408020400")},  # DlChannelReq, RXTimingSetupReq, DutyCycleReq
    40: {"fopts": bytes.fromhex("03501f0001"), "port": 5, "data": bytes(40)},
    63: {"port": 3, "data": b"at the block's last"},
    64: {"port": 3, "data": b"at the next one's first"},
    100: {"fctrl": 0x90},
}


def session_life(life, uplinks):
    """A session's uplinks, each after a deep sleep; every ninth is confirmed, and acknowledged in RX2."""
    air = life.air
    for i in range(uplinks):
        life.wake()
        what = DOWNLINKS.get(i)
        if what:
            assert life.send(lambda what=what: air.down(**what)).downlink
        elif i % 9 == 8:
            assert life.send(None, lambda: air.down(fctrl=0xA0), confirmed=True).reason == ""
        else:
            assert life.send().sent


def joining_life(life, lost):
    """Join-requests of which `lost` stay unanswered for the device: the network accepts each, the first accepts are not heard."""
    for _ in range(lost):
        life.join(lambda: life.air.accept() and None)
    assert life.join(None, life.air.accept).reason == ""
