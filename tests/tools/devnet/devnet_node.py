"""A device for devnet's tests: builds joins and uplinks, reads downlinks."""

import devnet_recorded as recorded

from tools.bench.device import Device
from tools.devnet import frame
from tools.devnet.devnet import Devnet
from tools.devnet.exchange import Reception, Uplink

GATEWAY = "588727ab182bc19f"
DEV, KEY = "e1831ea5e2c5b663", "26bb77745b3181ebd862e6a7c213b480"
START_NS = 1_795_646_680_000_000_000


def hz(frequency):
    """A frequency as MAC commands carry it."""
    return (frequency // 100).to_bytes(3, "little")


def network_server(path=":memory:", *, adr="", status=0, network=None, seed="seed"):
    """A Devnet with the recordings' device, whose profile has no ADR and no DevStatusReq unless asked for."""
    devnet = Devnet(path, seed, now_ns=lambda: START_NS, network=network)
    _, _, profile_id = recorded.provision(devnet, DEV, KEY, adr=adr)
    profile = devnet.registry.get("device_profile", profile_id).message
    profile.device_status_req_interval = status
    devnet.registry.update("device_profile", profile)
    devnet.changed()
    return devnet


class Node(Device):
    """One device that talks to a Devnet at a clock of its own."""

    def __init__(self, devnet, dev_eui, app_key=KEY, now_ns=START_NS):
        super().__init__(dev_eui, app_key)
        self.devnet, self.now_ns = devnet, now_ns
        self.sent = None

    def air(self, phy, *, sf=7, snr=7.5, receptions=None, time_ns=None, freq_hz=868_100_000):
        """Sends a frame; returns the Answer 200 ms after it ended."""
        self.now_ns += 1_000_000_000
        time_ns = self.now_ns if time_ns is None else time_ns
        heard = receptions or (Reception(GATEWAY, -60, snr, 7, b"\1\2\3\4"),)
        self.sent = Uplink(phy, freq_hz, 125_000, sf, heard, time_ns)
        return self.devnet.uplink(self.sent, time_ns + 200_000_000)

    def join(self, nonce=1):
        answer = self.air(self.join_request(nonce))
        if answer.downlinks:
            self.accept(answer.downlinks[0].items[0].phy, nonce)
        return answer

    def up(self, f_cnt, data=b"\1", port=10, *, f_opts=b"", f_ctrl=frame.ADR, confirmed=False, **air):
        return self.air(self.phy(f_cnt, data, port, f_opts=f_opts, f_ctrl=f_ctrl, confirmed=confirmed), **air)

    def taken(self, answer, item=0, status="OK"):
        """The gateway's TxAck for the downlink of an answer."""
        return self.devnet.transmitted(answer.downlinks[0].downlink_id, item, status, self.now_ns + 300_000_000)

    def read(self, answer, f_cnt, item=0):
        """(FCtrl, FOpts, port, data) of a downlink's RX1 variant (RX2: item 1), its MIC checked."""
        phy = answer.downlinks[0].items[item].phy
        addr, nwk, app = self.session
        assert frame.data_mic(nwk, frame.DOWN, addr, f_cnt, phy[:-4]) == phy[-4:]
        assert int.from_bytes(phy[6:8], "little") == f_cnt & 0xFFFF
        end = 8 + (phy[5] & 0x0F)
        if end == len(phy) - 4:
            return phy[5], phy[8:end], None, b""
        port = phy[end]
        data = frame.crypt_payload(app if port else nwk, frame.DOWN, addr, f_cnt, phy[end + 1 : -4])
        return phy[5], phy[8:end], port, data


class Talk(Node):
    """A node that counts for itself: `say(f_opts)` is an uplink whose downlink, if any, is transmitted and read."""

    def __init__(self, devnet, dev_eui, **node):
        super().__init__(devnet, dev_eui, **node)
        self.n = self.down = 0
        self.answer = None

    def say(self, f_opts=b"", *, port=10, data=b"\1", taken=True, **air):
        """The MAC commands of the downlink (from FOpts or port 0), None without one."""
        self.answer = self.up(self.n, data, port, f_opts=f_opts, **air)
        self.n += 1
        if not self.answer.downlinks:
            return None
        _, options, down_port, payload = self.read(self.answer, self.down)
        if taken:
            self.taken(self.answer)
            self.down += 1
        return payload if down_port == 0 else options

    @property
    def items(self):
        """(Hz, SF, delay in s) of RX1 and RX2."""
        return [(i.freq_hz, i.spreading_factor, i.delay_ns // 10**9) for i in self.answer.downlinks[0].items]

    @property
    def known(self):
        return self.devnet.core.session(self.dev_eui)

    def ask(self, commands, times=1):
        self.devnet.core.ask(self.dev_eui, commands, times)
