"""The certification tester: a device under test, seen from outside. It hears what the device sends, answers in the windows and keeps the clock.

Each uplink is judged as a network server would judge it: its MIC over the 32-bit counter, a counter that only grows, its length,
MAC commands in FOpts or on port 0 but never in both, a channel and a power that the region allows.
"""

from collections import namedtuple
from struct import pack

from lorawan import eu868
from lorawan.airtime import on_air_us
from lorawan.crypto import DOWN, crypt, data_mic
from lorawan.mac import CLOSED, ELAPSED, HEARD, JOIN, SEND, SENT, Done, Listen, Mac, Pause, Store, Transmit
from network import APP_KEY, CF_LIST, DEV_ADDR, DEV_EUI, JOIN_EUI, Entropy, Network, join_accept

# at: ms of its beginning; fcnt: 32 bits; port, data: plain; the last five of a join-request are None
Uplink = namedtuple(
    "Uplink", ("at", "air_ms", "frequency", "dr", "eirp", "phy", "fctrl", "fcnt", "fopts", "port", "data")
)
Window = namedtuple("Window", ("seconds", "frequency", "dr"))

ADR, ADR_ACK_REQ, ACK, PENDING = 0x80, 0x40, 0x20, 0x10
DR_OF = {sf: dr for dr, (sf, _) in enumerate(eu868.DATA_RATES)}
NO_CF_LIST = b""


def hz(frequency):
    """A frequency as MAC commands carry it."""
    return pack("<I", frequency // 100)[:3]


class Tester:
    """`flash`, `rtc`: what an earlier life left; `net`: the network's keys once the device has joined."""

    def __init__(self, flash=None, rtc=None, now=0, net=None, seed=1):
        self.flash = {} if flash is None else flash
        self.now = now
        self.net = net
        self.entropy = Entropy()
        self.entropy.state = seed
        session = rtc or self.flash.get("session")
        self.mac = Mac(eu868, DEV_EUI, JOIN_EUI, APP_KEY, self.entropy, self.flash.get("nonce"), session)
        self.next_fcnt = 0  # the least FCntUp that the network accepts
        self.ups = []  # Uplinks of the last exchange
        self.windows = []  # Windows of the last exchange
        self.log = []  # (at, air_ms, frequency) of all transmissions

    def again(self, rtc=None, now=None):
        """The device after a restart: from RTC memory where it is given, else after a power loss."""
        device = Tester(self.flash, rtc, (self.now if rtc else 0) if now is None else now, self.net)
        device.next_fcnt = self.next_fcnt
        device.entropy = device.mac._entropy = self.entropy
        return device

    def exchange(self, event, rx1=None, rx2=None, snr=7):
        """The Outcome of an exchange. `rx1`, `rx2`: a frame, None, or a function of the transmission's number (1, 2, ...) and the window's dr."""
        self.ups, self.windows = [], []
        joining = event[0] == JOIN
        while True:
            for action in self.mac.handle(event, self.now):
                if isinstance(action, Store):
                    self.flash[action.name] = action.data
                elif isinstance(action, Transmit):
                    up = self._hear(action, joining)
                    self.now += up.air_ms
                    ended = self.now
                    event = (SENT, ended * 1000)
                    first = True
                elif isinstance(action, Listen):
                    self.windows.append(Window(action.delay_us // 1000000, action.frequency, DR_OF[action.sf]))
                    self.now = ended + action.delay_us // 1000
                    frame, first = (rx1 if first else rx2), False
                    if callable(frame):
                        frame = frame(len(self.ups))
                    self.now += 300
                    event = (CLOSED,) if frame is None else (HEARD, frame, snr)
                elif isinstance(action, Pause):
                    self.now += action.ms
                    event = (ELAPSED,)
                elif isinstance(action, Done):
                    return action.outcome

    def _hear(self, action, joining):
        phy, dr = action.phy, DR_OF[action.sf]
        air_ms = (on_air_us(len(phy), action.sf, action.bandwidth) + 999) // 1000
        self.log.append((self.now, air_ms, action.frequency))
        what = (None,) * 5 if joining else self._read(phy)
        up = Uplink(self.now, air_ms, action.frequency, dr, action.eirp, phy, *what)
        assert len(phy) <= eu868.MAX_PAYLOAD[dr] + 13, "longer than the data rate allows"
        assert action.eirp <= 16
        assert any(low <= action.frequency < high for low, high, _ in eu868.BANDS)
        self.ups.append(up)
        return up

    def _read(self, phy):
        assert phy[0] in (0x40, 0x80) and phy[1:5] == DEV_ADDR
        repeated = bool(self.ups) and phy == self.ups[0].phy
        least = self.ups[0].fcnt if repeated else self.next_fcnt
        fcnt = least & ~0xFFFF | phy[6] | phy[7] << 8
        if fcnt < least:
            fcnt += 0x10000
        fctrl, fopts, port, data = self.net.read(phy, fcnt)
        assert not (port == 0 and fopts), "MAC commands in FOpts and on port 0"
        self.next_fcnt = fcnt + 1
        return fctrl, fcnt, fopts, port, data

    def join(self, rx1=None, rx2=None):
        """A join-request as soon as it is allowed; after an accept `net` has the session's keys."""
        self.now += self.mac.join_wait_ms(self.now)
        return self.exchange((JOIN,), rx1, rx2)

    def send(self, port=10, data=b"x", confirmed=False, rx1=None, rx2=None, snr=7):
        """An uplink as soon as it is allowed."""
        self.now += self.mac.wait_ms(self.now)
        return self.exchange((SEND, port, data, confirmed), rx1, rx2, snr)

    def up(self, rx1=None, rx2=None):
        """The Uplink of a short frame."""
        assert self.send(rx1=rx1, rx2=rx2).sent
        return self.ups[0]

    def answers(self, commands, snr=7):
        """The FOpts of the uplink after a downlink with these commands."""
        self.send(rx1=self.net.down(commands), snr=snr)
        return self.up().fopts

    def channels(self, frames=40):
        """The frequencies in use, found by listening to so many empty uplinks; every answer of the network keeps the back-off away."""
        heard = set()
        for n in range(frames):
            self.send(None, b"", rx1=None if n % 16 else self.net.down())
            heard.add(self.ups[0].frequency)
        return heard

    def at_counter(self, up=None, down=None):
        """As if so many frames had gone before; the network knows."""
        state = self.mac._state
        if up is not None:
            state.fcnt_up = state.fcnt_reserved = self.next_fcnt = up
        if down is not None:
            state.next_fcnt_down = self.net.fcnt = down


def joined(settings=0, rx_delay=1, cf_list=CF_LIST, seed=1):
    """A Tester whose device has just joined in RX1."""
    device = Tester(seed=seed)
    assert device.join(join_accept(1, settings, rx_delay, cf_list)).reason == ""
    device.net = Network(0, 1)
    return device


def downlink(net, mhdr=0x60, address=DEV_ADDR, fcnt=None, body=b"", fctrl=0x80, direction=DOWN):
    """A downlink of any shape with a MIC that holds; `body`: all between FCnt and MIC, as on air."""
    if fcnt is None:
        fcnt = net.fcnt
        net.fcnt += 1
    frame = bytes([mhdr]) + address + bytes([fctrl]) + pack("<H", fcnt & 0xFFFF) + body
    return frame + data_mic(net.nwk, frame, direction, address, fcnt)


def sealed(net, port, data, fcnt=None):
    """A body for `downlink`: FPort and the encrypted payload."""
    return bytes([port]) + crypt(net.app if port else net.nwk, data, DOWN, DEV_ADDR, net.fcnt if fcnt is None else fcnt)
