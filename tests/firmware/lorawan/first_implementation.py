# Runs inside MicroPython: our own frames, asked by test_second_implementation.py. One JSON request a line, one JSON answer a line; bytes are
# hex, as fields are written (most significant byte first) or, named `phy`, `fopts`, `payload` and `cf_list`, as on air.
import json
import sys

from lorawan import eu868, frame
from lorawan.crypto import Key
from lorawan.join import Joiner
from lorawan.session import State


def on_air(field):
    return bytes(reversed(bytes.fromhex(field)))


def key(field):
    return Key(bytes.fromhex(field))


def joiner(q, euis=bytes(16)):
    state = State(eu868, bytes(4))
    out = Joiner(eu868, state, key(q["app_key"]), euis, bytes, None)
    out.dev_nonce = q["dev_nonce"]
    return out, state


def join_request(q):
    return joiner(q, on_air(q["join_eui"]) + on_air(q["dev_eui"]))[0].request().hex()


def join_accept(q):
    asking, state = joiner(q)
    asking.sent(0)
    if not asking.accept(bytes.fromhex(q["phy"])):
        return None
    return {
        "join_nonce": asking.join_nonce,
        "dev_addr": bytes(reversed(state.dev_addr)).hex(),
        "rx1_offset": state.rx1_offset,
        "rx2_dr": state.rx2_dr,
        "rx_delay": state.rx_delay,
        "channels": [c.frequency for c in state.channels[3:] if c],
        "nwk_s_key": state.nwk_key.key.hex(),
        "app_s_key": state.app_key.key.hex(),
    }


def data_up(q):
    fopts, data = bytes.fromhex(q["fopts"]), bytes.fromhex(q["payload"])
    where = (key(q["nwk_s_key"]), key(q["app_s_key"]), on_air(q["dev_addr"]), q["fcnt"], q["fctrl"])
    return frame.data_up(*where, fopts, q["port"], data, q["confirmed"]).hex()


def data_down(q):
    keys = (key(q["nwk_s_key"]), key(q["app_s_key"]))
    down, fault = frame.data_down(*keys, on_air(q["dev_addr"]), q["next_fcnt"], bytes.fromhex(q["phy"]))
    if down is None:
        return fault
    return {
        "confirmed": down.confirmed,
        "fctrl": down.fctrl,
        "fcnt": down.fcnt,
        "fopts": down.fopts.hex(),
        "port": down.port,
        "payload": down.data.hex(),
    }


VERBS = {"join_request": join_request, "join_accept": join_accept, "data_up": data_up, "data_down": data_down}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    query = json.loads(line)
    print(json.dumps(VERBS[query["verb"]](query)))
