"""The other side, for the MAC's tests: join-accepts and downlinks as a network server builds them, and a device that is driven through exchanges."""

from struct import pack

from cryptolib import aes
from lorawan import eu868
from lorawan.crypto import DOWN, UP, Key, crypt, data_mic
from lorawan.mac import CLOSED, ELAPSED, HEARD, JOIN, SEND, SENT, Done, Listen, Mac, Pause, Store, Transmit

DEV_EUI = "a748c6ac76e41f7a"
JOIN_EUI = "70b3d57ed0000001"
APP_KEY = "26bb77745b3181ebd862e6a7c213b480"
NET_ID = b"\x13\0\0"
DEV_ADDR = b"\x6e\x01\xe7\0"
CF_LIST = (
    b"".join([pack("<I", hz // 100)[:3] for hz in (867100000, 867300000, 867500000, 867700000, 867900000)]) + b"\0"
)
AIR = {12: 1500, 11: 900, 10: 400, 9: 200, 8: 100, 7: 60}


class Entropy:
    """Bytes that differ, the same in every run."""

    def __init__(self):
        self.state = 0xACE1

    def __call__(self, n):
        out = bytearray(n)
        for i in range(n):
            x = self.state  # xorshift of 16 bits
            x ^= x << 7 & 0xFFFF
            x ^= x >> 9
            self.state = x ^ (x << 8 & 0xFFFF)
            out[i] = self.state >> 8
        return bytes(out)


def join_accept(join_nonce, settings=0, rx_delay=1, cf_list=CF_LIST, app_key=APP_KEY, mhdr=0x20, net_id=NET_ID):
    body = pack("<I", join_nonce)[:3] + net_id + DEV_ADDR + bytes([settings, rx_delay]) + cf_list
    key = bytes.fromhex(app_key)
    return bytes([mhdr]) + aes(key, 1).decrypt(body + Key(key).cmac(bytes([mhdr]) + body)[:4])


class Network:
    """Keys and FCntDown of the session that a join-request with `dev_nonce` began."""

    def __init__(self, dev_nonce, join_nonce, net_id=NET_ID):
        tail = pack("<I", join_nonce)[:3] + net_id + pack("<H", dev_nonce) + bytes(7)
        cipher = aes(bytes.fromhex(APP_KEY), 1)
        self.nwk, self.app = Key(cipher.encrypt(b"\x01" + tail)), Key(cipher.encrypt(b"\x02" + tail))
        self.fcnt = 0

    def down(self, fopts=b"", port=None, data=b"", fctrl=0x80, confirmed=False, fcnt=None):
        if fcnt is None:
            fcnt = self.fcnt
            self.fcnt += 1
        body = pack("<B4sBH", 0xA0 if confirmed else 0x60, DEV_ADDR, fctrl | len(fopts), fcnt & 0xFFFF) + fopts
        if port is not None:
            body += bytes([port]) + crypt(self.app if port else self.nwk, data, DOWN, DEV_ADDR, fcnt)
        return body + data_mic(self.nwk, body, DOWN, DEV_ADDR, fcnt)

    def read(self, phy, fcnt):
        """(fctrl, fopts, port, data) of an uplink whose MIC holds for this 32-bit counter."""
        assert phy[-4:] == data_mic(self.nwk, phy[:-4], UP, DEV_ADDR, fcnt), "MIC"
        end = 8 + (phy[5] & 15)
        port = phy[end] if end < len(phy) - 4 else None
        data = crypt(self.app if port else self.nwk, phy[end + 1 : -4], UP, DEV_ADDR, fcnt)
        return phy[5] & 0xF0, phy[8:end], port, data


class Device:
    """A Mac with its flash and its clock; every exchange runs at once."""

    def __init__(self, flash=None, rtc=None, now=0, region=eu868, entropy=None):
        self.flash = {} if flash is None else flash
        self.now = now
        self.puts = 0
        self.entropy = entropy or Entropy()
        self.mac = Mac(
            region, DEV_EUI, JOIN_EUI, APP_KEY, self.entropy, self.flash.get("nonce"), rtc or self.flash.get("session")
        )
        self.sent = []  # the last 40 Transmit actions
        self.heard = []  # the last 40 Listen actions

    def run(self, event, rx1=None, rx2=None, snr=7):
        """The Outcome of an exchange in which RX1 and RX2 bring these frames; a function is asked with the frame sent last."""
        window = 0
        while True:
            for action in self.mac.handle(event, self.now):
                if isinstance(action, Store):
                    self.flash[action.name] = action.data
                    self.puts += 1
                elif isinstance(action, Transmit):
                    self.sent.append(action)
                    del self.sent[:-40]
                    self.now += AIR[action.sf]
                    event = (SENT, self.now * 1000)
                    window = 0
                elif isinstance(action, Listen):
                    self.heard.append(action)
                    del self.heard[:-40]
                    self.now += 1000
                    window += 1
                    answer = rx1 if window == 1 else rx2
                    if callable(answer):
                        answer = answer(self.sent[-1].phy)
                    event = (HEARD, answer, snr) if answer else (CLOSED,)
                elif isinstance(action, Pause):
                    self.now += action.ms
                    event = (ELAPSED,)
                elif isinstance(action, Done):
                    return action.outcome

    def join(self, rx1=None, rx2=None):
        self.now += self.mac.join_wait_ms(self.now)
        return self.run((JOIN,), rx1, rx2)

    def send(self, port=10, data=b"x", confirmed=False, rx1=None, rx2=None, snr=7):
        self.now += self.mac.wait_ms(self.now)
        return self.run((SEND, port, data, confirmed), rx1, rx2, snr)


def joined(settings=0, rx_delay=1, cf_list=CF_LIST):
    """(Device, Network) just after a join."""
    device = Device()
    outcome = device.join(join_accept(1, settings, rx_delay, cf_list))
    assert outcome.sent
    assert outcome.reason == ""
    assert device.mac.joined
    return device, Network(0, 1)
