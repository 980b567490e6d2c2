"""Two conversations recorded with a real ChirpStack: each downlink read to its plain content, each uplink produced byte for byte by the Mac.

The recorded device made some choices that this stack does not make; where the state has to be set for it, the line says so.
"""

import json

from lorawan import eu868, frame
from lorawan.crypto import UP, Key, crypt
from lorawan.mac import CLOSED, ELAPSED, HEARD, JOIN, SEND, SENT, Done, Listen, Mac, Pause, Transmit


class Played:
    """A Mac beside a transcript."""

    def __init__(self, number):
        with open("tests/vectors/chirpstack/transcript-%d.json" % number) as file:
            self.told = json.load(file)
        told = self.told
        self.mac = Mac(eu868, told["dev_eui"], told["join_eui"], told["app_key"], bytes, None, None)
        # the recorded device's first DevNonce was 1, 1.0.4's is 0
        self.mac._join().dev_nonce = 1
        self.mac.battery = 254
        self.now = 0

    def exchange(self, event, expected, answer, snr):
        """Run one exchange against the recorded uplink and the recorded answer, whose RX1 copy comes in RX1 -> Outcome."""
        heard = 0
        while True:
            for action in self.mac.handle(event, self.now):
                if isinstance(action, Transmit):
                    assert action.phy == expected, (action.phy.hex(), expected.hex())
                    self.now += 3000
                    event = (SENT, 0)
                elif isinstance(action, Listen):
                    heard += 1
                    event = (HEARD, answer, snr) if answer and heard == 1 else (CLOSED,)
                elif isinstance(action, Pause):
                    event = (ELAPSED,)
                elif isinstance(action, Done):
                    self.now += 3600000
                    return action.outcome


def cases(frames):
    """[(uplink, answer or None, plain or None)] in order."""
    out = []
    for f in frames:
        if f.get("dir") == "up":
            out.append([f, None, None])
        elif f.get("dir") == "down":
            out[-1][1] = bytes.fromhex(f["items"][0]["phy"])
        elif "fopts" in f or "body" in f:
            out[-1][2] = f
    return out


def play(number):
    p = Played(number)
    mac, state = p.mac, p.mac._state
    told = cases(p.told["frames"])
    previous = None
    for up, answer, plain in told:
        phy = bytes.fromhex(up["phy"])
        if phy[0] == 0:  # join-request
            p.now += mac.wait_ms(p.now)
            outcome = p.exchange((JOIN,), phy, answer, 7)
            assert outcome.sent and outcome.reason == "", outcome
            if plain:
                check_join(mac, answer, plain, p.told)
            previous = phy
            continue
        if phy == previous:
            # the recorded device sent this frame twice without NbTrans asking for it
            state.fcnt_up -= 1
        previous = phy
        fcnt = phy[6] | phy[7] << 8
        assert state.fcnt_up == fcnt
        start = 8 + (phy[5] & 15)
        end = len(phy) - 4
        port = phy[start] if start < end else None
        data = crypt(state.app_key, phy[start + 1 : end], UP, state.dev_addr, fcnt)
        fopts = phy[8:start]
        if fopts[:1] == b"\x02":
            mac.ask_link_check()
        if fopts[:1] == b"\x0d":
            mac.ask_time()
        if state.owed and not fopts:
            # this stack owes the answers that the recorded device left out
            assert state.owed[0] == 0x03
            state.owed = b""
        outcome = p.exchange((SEND, port, data, phy[0] == 0x80), phy, answer, 9 if plain else 7)
        assert outcome.sent, outcome
        if plain:
            check_down(mac, outcome, answer, plain)
        else:
            assert outcome.received == []
            assert outcome.time is None


def check_join(mac, answer, plain, told):
    state = mac._state
    body = bytes.fromhex(plain["body"])
    key = Key(bytes.fromhex(told["app_key"]))
    assert key.encrypt(answer[1:])[:-4] == body
    assert state.dev_addr == bytes(reversed(bytes.fromhex(plain["dev_addr"])))
    assert state.nwk_key.key.hex() == plain["nwk_skey"]
    assert state.app_key.key.hex() == plain["app_skey"]
    assert state.rx_delay == 1
    assert state.rx1_offset == 0
    assert state.rx2_dr == 0
    assert [c.frequency for c in state.channels if c] == [868100000, 868300000, 868500000] + [
        867100000 + 200000 * i for i in range(5)
    ]
    assert state.mask == 0xFF


def check_down(mac, outcome, answer, plain):
    state = mac._state
    down, fault = frame.data_down(state.nwk_key, state.app_key, state.dev_addr, 0, answer)
    assert fault == ""
    assert down.fctrl | len(down.fopts) == plain["fctrl"]
    assert down.fopts == bytes.fromhex(plain["fopts"])
    assert down.port == plain["port"], (down, plain)
    assert down.data == bytes.fromhex(plain["data"]), (down, plain)  # b"".hex() is b"" in MicroPython
    assert state.next_fcnt_down == down.fcnt + 1
    assert outcome.received == ([(plain["port"], bytes.fromhex(plain["data"]))] if plain["port"] else [])
    assert mac.pending == bool(plain["fctrl"] & 0x10)
    assert state.ack == (answer[0] == 0xA0)
    fopts = bytes.fromhex(plain["fopts"])
    if fopts[:1] == b"\x03":
        assert state.dr == fopts[1] >> 4
        assert state.power == fopts[1] & 15
        assert state.nb_trans == 1
    if fopts[:1] == b"\x02":
        assert mac.link == (fopts[1], fopts[2])
    if fopts[:1] == b"\x0d":
        seconds = fopts[1] | fopts[2] << 8 | fopts[3] << 16 | fopts[4] << 24
        assert outcome.time == (seconds, fopts[5], 0)


def test_transcript_1():
    play(1)


def test_transcript_2():
    play(2)
