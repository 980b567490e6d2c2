# Runs inside MicroPython: our own frames, asked by test_second_implementation.py. One JSON request a line, one JSON answer a line; bytes are
# hex, as fields are written (most significant byte first) or, named `phy`, `fopts`, `payload` and `cf_list`, as on air.
import json
import sys

from lorawan import frame
from lorawan.crypto import Key, session_keys


def on_air(field):
    return bytes(reversed(bytes.fromhex(field)))


def key(field):
    return Key(bytes.fromhex(field))


def join_request(q):
    return frame.join_request(key(q["app_key"]), on_air(q["join_eui"]), on_air(q["dev_eui"]), q["dev_nonce"]).hex()


def join_accept(q):
    app_key = key(q["app_key"])
    answer = frame.join_accept(app_key, bytes.fromhex(q["phy"]))
    if answer is None:
        return None
    nwk, app = session_keys(app_key, answer.nonce3, answer.net_id, q["dev_nonce"])
    return {
        "join_nonce": answer.join_nonce,
        "net_id": bytes(reversed(answer.net_id)).hex(),
        "dev_addr": bytes(reversed(answer.dev_addr)).hex(),
        "rx1_offset": answer.rx1_offset,
        "rx2_dr": answer.rx2_dr,
        "rx_delay": answer.rx_delay,
        "cf_list": answer.cf_list.hex(),
        "nwk_s_key": nwk.hex(),
        "app_s_key": app.hex(),
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
