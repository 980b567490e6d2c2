"""Over 400 of our frames, made and read inside MicroPython, against npm's lora-packet, which shares no line and no cipher with them."""

import json
import os
import random
import subprocess
import threading

import pytest

from tools.setup import places

HERE = os.path.dirname(__file__)
UP = {False: "Unconfirmed Data Up", True: "Confirmed Data Up"}
DOWN = {False: "Unconfirmed Data Down", True: "Confirmed Data Down"}
ADR, ADR_ACK_REQ, ACK, PENDING = 0x80, 0x40, 0x20, 0x10
# counters about every place where half a counter changes
FCNTS = (
    0,
    1,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x10000,
    0x10001,
    0x1FFFF,
    0x20000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
)
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 51, 115, 222, 241, 242)
TIMEOUT_S = 20


class Side:
    """One process that answers each line with a line; `ask` says what it printed instead when it ends."""

    def __init__(self, command, variables):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **variables},
        )
        self._watchdog = threading.Timer(TIMEOUT_S, self.process.kill)
        self._watchdog.start()

    def ask(self, verb, **query):
        self.process.stdin.write(json.dumps({"verb": verb, **query}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        try:
            return json.loads(line)
        except ValueError:
            self.process.stdin.close()
            pytest.fail(f"{verb} {query}: {line}{self.process.stdout.read()}")

    def close(self):
        self._watchdog.cancel()
        self.process.stdin.close()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def ours():
    variables = {"MICROPYPATH": f".frozen:{places.ROOT / 'firmware'}"}
    side = Side([places.MICROPYTHON, "-X", "heapsize=160K", f"{HERE}/first_implementation.py"], variables)
    yield side.ask
    side.close()


@pytest.fixture(scope="module")
def theirs():
    side = Side([places.NODE, f"{HERE}/second_implementation.js"], {"NODE_PATH": str(places.NPM_PACKAGES)})
    yield side.ask
    side.close()


def hexes(rng, count):
    return rng.randbytes(count).hex()


def session(rng):
    return {"nwk": hexes(rng, 16), "app": hexes(rng, 16), "addr": hexes(rng, 4)}


def contents(rng):
    """(fcnt, fctrl, fopts, port, payload, confirmed) of frames: each counter and each length at least once, the rest by chance."""
    for fcnt in FCNTS:
        yield fcnt, ADR, "", 10, hexes(rng, 12), False
    for length in LENGTHS:
        for port in (0, 1, 223):
            yield rng.getrandbits(32), rng.choice((0, ADR)), "", port, hexes(rng, length), rng.random() < 0.5
    for length in range(16):
        yield rng.getrandbits(20), ADR, hexes(rng, length), rng.choice((None, 1)), "", False
    for _ in range(60):
        port = rng.choice((None, 0, rng.randint(1, 223)))
        fopts = "" if port == 0 else hexes(rng, rng.randint(0, 15))
        payload = "" if port is None else hexes(rng, rng.randint(0, 242 - len(fopts) // 2))
        fctrl = rng.choice((0, ADR)) | rng.choice((0, ADR_ACK_REQ)) | rng.choice((0, ACK))
        yield rng.getrandbits(32), fctrl, fopts, port, payload, rng.random() < 0.5


def flip(rng, phy):
    bit = rng.randrange(len(phy) * 4)
    return f"{int(phy, 16) ^ 1 << bit:0{len(phy)}x}"


def test_join_requests(ours, theirs):
    rng = random.Random(1)
    nonces = [0, 1, 255, 256, 65535] + [rng.getrandbits(16) for _ in range(45)]
    for nonce in nonces:
        app_key, join_eui, dev_eui = hexes(rng, 16), hexes(rng, 8), hexes(rng, 8)
        phy = ours("join_request", app_key=app_key, join_eui=join_eui, dev_eui=dev_eui, dev_nonce=nonce)
        read = theirs("readJoinRequest", phy=phy, appKey=app_key)
        assert read == {"mic": True, "mtype": "Join Request", "joinEui": join_eui, "devEui": dev_eui, "devNonce": nonce}
        assert theirs("joinRequest", appKey=app_key, joinEui=join_eui, devEui=dev_eui, devNonce=nonce)["phy"] == phy


def test_join_accepts_and_session_keys(ours, theirs):
    rng = random.Random(2)
    for number in range(100):
        app_key, dev_nonce = hexes(rng, 16), rng.choice((0, 65535, rng.getrandbits(16)))
        channels = [rng.randrange(8_650_000, 8_680_000) * 100 for _ in range(5 * (number % 2))]
        said = {
            "joinNonce": rng.choice((0, 1, 0xFFFFFF, rng.getrandbits(24))),
            "netId": hexes(rng, 3),
            "devAddr": hexes(rng, 4),
            "dlSettings": rng.randrange(6) << 4 | rng.randrange(6),
            "rxDelay": rng.randrange(1, 16),
            "cfList": b"".join((hz // 100).to_bytes(3, "little") for hz in channels).hex() + "00" if channels else "",
        }
        made = theirs("joinAccept", appKey=app_key, devNonce=dev_nonce, **said)
        assert ours("join_accept", phy=made["phy"], app_key=app_key, dev_nonce=dev_nonce) == {
            "join_nonce": said["joinNonce"],
            "dev_addr": said["devAddr"],
            "rx1_offset": said["dlSettings"] >> 4,
            "rx2_dr": said["dlSettings"] & 15,
            "rx_delay": said["rxDelay"],
            "channels": channels,
            "nwk_s_key": made["nwkSKey"],
            "app_s_key": made["appSKey"],
        }
        assert ours("join_accept", phy=flip(rng, made["phy"]), app_key=app_key, dev_nonce=dev_nonce) is None


def test_uplinks(ours, theirs):
    rng = random.Random(3)
    for fcnt, fctrl, fopts, port, payload, confirmed in contents(rng):
        keys = session(rng)
        phy = ours(
            "data_up",
            nwk_s_key=keys["nwk"],
            app_s_key=keys["app"],
            dev_addr=keys["addr"],
            fcnt=fcnt,
            fctrl=fctrl,
            fopts=fopts,
            port=port,
            payload=payload,
            confirmed=confirmed,
        )
        flags = {"ADR": bool(fctrl & ADR), "ADRACKReq": bool(fctrl & ADR_ACK_REQ), "ACK": bool(fctrl & ACK)}
        same = {"devAddr": keys["addr"], "flags": flags, "fopts": fopts, "port": port, "payload": payload}
        secret = {"nwkSKey": keys["nwk"], "appSKey": keys["app"], "fcnt": fcnt}
        read = theirs("readData", phy=phy, **secret)
        assert read == {"mic": True, "mtype": UP[confirmed], "fcnt": fcnt & 0xFFFF, **same}
        assert theirs("data", mtype=UP[confirmed], **same, **secret)["phy"] == phy
        # the MIC covers the upper half of the counter, which is not on air
        assert not theirs("readData", phy=phy, **{**secret, "fcnt": fcnt ^ 0x10000})["mic"]


def test_downlinks(ours, theirs):
    rng = random.Random(4)
    for fcnt, bits, fopts, port, payload, confirmed in contents(rng):
        keys = session(rng)
        fctrl = bits & (ADR | ACK) | rng.choice((0, PENDING))
        flags = {"ADR": bool(fctrl & ADR), "ACK": bool(fctrl & ACK), "FPending": bool(fctrl & PENDING)}
        phy = theirs(
            "data",
            mtype=DOWN[confirmed],
            devAddr=keys["addr"],
            flags=flags,
            fcnt=fcnt,
            fopts=fopts,
            port=port,
            payload=payload,
            nwkSKey=keys["nwk"],
            appSKey=keys["app"],
        )["phy"]
        mine = {"nwk_s_key": keys["nwk"], "app_s_key": keys["app"], "dev_addr": keys["addr"]}
        expected = {
            "confirmed": confirmed,
            "fctrl": fctrl,
            "fcnt": fcnt,
            "fopts": fopts,
            "port": port,
            "payload": payload,
        }
        # whatever was lost between: the same 16 bits are raised to the same 32
        for lost in (0, 1, 16385, 0xFFFF):
            next_fcnt = max(0, fcnt - lost)
            assert ours("data_down", phy=phy, next_fcnt=next_fcnt, **mine) == expected
        assert ours("data_down", phy=phy, next_fcnt=fcnt + 1, **mine) == "mic"
        assert ours("data_down", phy=flip(rng, phy), next_fcnt=fcnt, **mine) in ("mic", "foreign")
