"""Downlinks for the fuzz: random, mutated and replayed ones, whose MIC does not hold, and valid ones with whatever may stand in them.

Chance comes from the module `random`, which the caller seeds.
"""

from random import choice, getrandbits, randint
from struct import pack

from cryptolib import aes
from lorawan.crypto import DOWN, UP, Key, crypt, data_mic

_FOREIGN = Key(bytes(range(16)))
_CIDS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 13)
_BODIES = {2: 2, 3: 4, 4: 1, 5: 4, 6: 0, 7: 5, 8: 1, 9: 1, 10: 4, 13: 5}
# frequencies that channels and windows may take, those at the edges, and one of another region, in 100 Hz
_HZ = (8671000, 8690000, 8680999, 8681000, 8695250, 8630000, 8629999, 8699999, 8700000, 8700001, 8686500, 9157500, 0)


def some(n):
    return b"".join([getrandbits(32).to_bytes(4, "little") for _ in range((n + 3) // 4)])[:n]


def hz():
    return pack("<I", choice(_HZ) if randint(0, 3) else getrandbits(24))[:3]


def join_accept(app_key, join_nonce, dev_addr):
    """A valid one with settings, delay and CFList that may be anything."""
    body = pack("<I", join_nonce)[:3] + some(3) + dev_addr + some(2)
    kind = randint(0, 2)
    if kind == 1:
        body += b"".join([hz() for _ in range(5)]) + b"\0"
    elif kind == 2:
        body += some(16)
    key = bytes.fromhex(app_key)
    head = bytes([0x20 | randint(0, 7) << 2])
    return head + aes(key, 1).decrypt(body + Key(key).cmac(head + body)[:4])


def commands(most):
    """Some bytes of MAC commands: mostly well formed, now and then with an unknown one or cut short."""
    out = b""
    for _ in range(randint(0, 12)):
        cid = choice(_CIDS)
        body = some(_BODIES[cid])
        if cid == 3 and randint(0, 3):  # a mask of channels that may exist, a data rate that does
            rates = choice((b"\x00", b"\x33", b"\x50", b"\x57", b"\xff", b"\xf0"))
            mask = choice((b"\x07\0", b"\x01\0", b"\xff\0", b"\0\0", b"\x06\x01"))
            body = rates + mask + choice((b"\x02", b"\x03", b"\x60", body[3:]))
        elif cid == 5:
            body = body[:1] + hz()
        elif cid == 7:
            body = bytes([randint(0, 17)]) + hz() + choice((b"\x50", b"\x50", b"\x05", b"\x10", body[4:]))
        elif cid == 10:
            body = bytes([randint(0, 17)]) + hz()
        elif cid == 4:
            body = bytes([choice((0, 0, 1, 3, body[0]))])
        if len(out) + 1 + len(body) > most:
            break
        out += bytes([cid]) + body
    kind = randint(0, 9)
    if kind == 0:
        out = some(randint(0, most))
    elif kind == 1:
        out = (out + some(randint(1, 6)))[:most]
    return out


class Server:
    """The network's end of one session: its keys, the counter of the next downlink, and valid frames of the past."""

    def __init__(self, state):
        self.nwk, self.app, self.addr = Key(state.nwk_key.key), Key(state.app_key.key), state.dev_addr
        self.fcnt = 0
        self.past = []

    def frame(self, fcnt, fopts, port, data, mhdr=None, fctrl=None, direction=DOWN, key=None, addr=None):
        addr = addr or self.addr
        fctrl = (getrandbits(8) if fctrl is None else fctrl) & 0xF0
        mhdr = (choice((0x60, 0xA0)) | randint(0, 7) << 2) if mhdr is None else mhdr
        body = pack("<B4sBH", mhdr, addr, fctrl | len(fopts), fcnt & 0xFFFF) + fopts
        if port is not None:
            body += bytes([port]) + crypt(self.app if port else self.nwk, data, direction, addr, fcnt)
        return body + data_mic(key or self.nwk, body, direction, addr, fcnt)

    def valid(self, longest):
        """A frame that a device must take: `longest` bytes of FRMPayload and FOpts at most."""
        kind = randint(0, 4)
        fopts, port, data = b"", None, b""
        if kind:
            fopts = commands(15)
        if kind == 1:
            fopts, port = b"", 0
            data = commands(longest)
        elif kind > 2:
            port = randint(1, 255)
            data = some(randint(0, longest - len(fopts)) if kind == 3 else randint(0, 20))
        if not randint(0, 30):
            self.fcnt += choice((1, 100, 0x7FFF, 0xFFFF))  # lost on the way
        return self.next(fopts, port, data)

    def next(self, fopts, port, data):
        """The valid frame with the next counter."""
        phy = self.frame(self.fcnt, fopts, port, data)
        self.fcnt += 1
        self.past.append(phy)
        del self.past[:-8]
        return phy

    def refused(self, uplink):
        """(kind, frame) that a device must take for nothing: its MIC does not hold, or it is not a downlink of ours, or its form is forbidden."""
        kind = randint(0, 13)
        if kind < 2:
            return "random", some(randint(0, 255))
        if kind == 2:
            return "random after our address", bytes([choice((0x60, 0xA0))]) + self.addr + some(randint(0, 250))
        if kind == 3 and self.past:
            return "replay", choice(self.past)
        if kind == 4:
            return "echo", uplink
        good = self.frame(self.fcnt, commands(15), randint(1, 223), some(randint(0, 30)))
        if kind == 5:
            return "uplink's MIC", self.frame(self.fcnt, commands(15), 5, some(3), direction=UP)
        if kind == 6:
            return "uplink's type", self.frame(
                self.fcnt, commands(15), 5, some(3), mhdr=choice((0x40, 0x80, 0xC0, 0xE0, 0))
            )
        if kind == 7:
            if self.fcnt:
                return "old counter", self.frame(self.fcnt - 1 - randint(0, min(self.fcnt - 1, 300)), b"", 5, some(3))
            return "counter of another round", self.frame(self.fcnt + 0x10000, b"", 5, some(3))
        if kind == 8:
            return "other key", self.frame(self.fcnt, commands(15), 5, some(3), key=_FOREIGN)
        if kind == 9:
            return "other address", self.frame(self.fcnt, commands(15), 5, some(3), addr=some(4))
        if kind == 10:
            fopts = commands(15) or b"\x06"
            return "commands twice", self.frame(self.fcnt, fopts, 0, commands(20))
        if kind == 11:
            if len(good) > 12 and randint(0, 1):
                return "cut", good[: randint(0, len(good) - 1)]
            return "FOptsLen beyond the end", self._overlong()
        if kind == 12:
            return "longer", good + some(randint(1, 255 - len(good)))
        return "mutated", mutated(good)

    def _overlong(self):
        body = pack("<B4sBH", 0x60, self.addr, 15, self.fcnt & 0xFFFF) + some(randint(0, 14))
        return body + data_mic(self.nwk, body, DOWN, self.addr, self.fcnt)


def mutated(frame):
    """The frame with a few bits flipped, or two bytes changed over; never as it was."""
    out = bytearray(frame)
    while bytes(out) == frame:
        if randint(0, 4):
            for _ in range(randint(1, 3)):
                out[randint(0, len(out) - 1)] ^= 1 << randint(0, 7)
        else:
            i, k = randint(0, len(out) - 1), randint(0, len(out) - 1)
            out[i], out[k] = out[k], out[i]
    return bytes(out)
