"""Class A MAC commands (TS001-1.0.4, 5): each is answered with what is true, and changes nothing unless every bit of its answer is 1."""

from micropython import const

from .session import MAX_OWED, Channel, frequency

_LINK_CHECK = const(0x02)
_LINK_ADR = const(0x03)
_DUTY_CYCLE = const(0x04)
_RX_PARAM_SETUP = const(0x05)
_DEV_STATUS = const(0x06)
_NEW_CHANNEL = const(0x07)
_RX_TIMING_SETUP = const(0x08)
_DL_CHANNEL = const(0x0A)
_DEVICE_TIME = const(0x0D)

# Bytes after the CID, by CID from 0 to 13: of the network's command (255: there is none), and of the device's answer.
# 9, TXParamSetupReq, is dropped without an answer: not for EU868 (5.8; RP002-1.0.3, 2.4).
_DOWN_BYTES = b"\xff\xff\2\4\1\4\0\5\1\1\4\xff\xff\5"
_UP_BYTES = b"\0\0\0\1\0\1\2\1\0\0\1\0\0\0"
_KEEP = const(15)  # a data rate or power of 15 means: as it was


def split(stream):
    """([(CID, body)], whole) of a downlink's commands; parsing ends at a command that is unknown or cut short (5), and `whole` is False."""
    found: list = []
    at = 0
    while at < len(stream):
        cid = stream[at]
        end = at + 1 + (_DOWN_BYTES[cid] if cid < len(_DOWN_BYTES) else 255)
        if end > len(stream):
            return found, False
        found.append((cid, stream[at + 1 : end]))
        at = end
    return found, True


def fitting(answers, limit):
    """The leading whole answers that fit into `limit` bytes (5: a buffer too large is cut at the end of a command)."""
    at = 0
    while at < len(answers):
        end = at + 1 + _UP_BYTES[answers[at]]
        if end > limit:
            break
        at = end
    return answers[:at]


def sticky(answers):
    """Those of `answers` that are repeated until a downlink comes."""
    out = b""
    at = 0
    while at < len(answers):
        end = at + 1 + _UP_BYTES[answers[at]]
        if answers[at] in (_RX_PARAM_SETUP, _RX_TIMING_SETUP, _DL_CHANNEL):  # 5.4, 5.7, 5.6
            out += answers[at:end]
        at = end
    return out


class Commands:
    """Carries out the commands of one downlink on a State; `link` and `time` hold what the network answered to requests.

    `snr_db`: of this downlink; `battery`: DevStatusAns's byte; `asked`: CIDs of requests that the uplink carried (an answer without one is dropped);
    `adr`: whether the network may set data rate, power and NbTrans.
    """

    def __init__(self, state, region, snr_db, battery, asked, adr=True):
        self._adr = adr
        self._state = state
        self._region = region
        self._snr_db = snr_db
        self._battery = battery
        self._asked = asked
        self.link = None  # (margin in dB above the demodulation floor, LoRa gateways)
        self.time = None  # (GPS seconds, 1/256 s)

    def run(self, stream):
        """Carry out all commands in order and add their answers to `State.owed`."""
        found, whole = split(stream)
        if not whole:
            self._state.count("unknown_command")
        answers = b""
        i = 0
        while i < len(found):
            cid, body = found[i]
            i += 1
            if cid == _LINK_ADR:  # contiguous requests are one block, answered one by one alike (5.2)
                block = [body]
                while i < len(found) and found[i][0] == _LINK_ADR:
                    block.append(found[i][1])
                    i += 1
                answers += bytes([_LINK_ADR, self._link_adr(block)]) * len(block)
            elif cid == _LINK_CHECK:
                if _LINK_CHECK in self._asked:
                    self.link = (body[0], body[1])
            elif cid == _DEVICE_TIME:
                if _DEVICE_TIME in self._asked:
                    self.time = (body[0] | body[1] << 8 | body[2] << 16 | body[3] << 24, body[4])
            elif cid == _DUTY_CYCLE:
                self._state.max_duty = body[0] & 15
                answers += bytes([_DUTY_CYCLE])
            elif cid == _RX_PARAM_SETUP:
                answers += bytes([_RX_PARAM_SETUP, self._rx_param_setup(body)])
            elif cid == _DEV_STATUS:
                margin = max(-32, min(31, self._snr_db))
                answers += bytes([_DEV_STATUS, self._battery, margin & 0x3F])
            elif cid == _NEW_CHANNEL:
                answers += bytes([_NEW_CHANNEL, self._new_channel(body)])
            elif cid == _RX_TIMING_SETUP:
                self._state.rx_delay = body[0] & 15 or 1
                answers += bytes([_RX_TIMING_SETUP])
            elif cid == _DL_CHANNEL:
                answers += bytes([_DL_CHANNEL, self._dl_channel(body)])
        if answers:
            self._state.owed = fitting(self._state.owed + answers, MAX_OWED)

    def _link_adr(self, block):
        """Bits: 0 channel mask, 1 data rate, 2 power. Masks apply in turn; data rate, power and NbTrans are the last request's."""
        state, region = self._state, self._region
        mask = state.mask
        defined = state.defined()
        mask_ok = True
        for body in block:
            control = body[3] >> 4 & 7
            if control == 0:
                mask = body[1] | body[2] << 8
                mask_ok = mask_ok and not mask & ~defined
            elif control == 6:
                mask = defined
            else:
                mask_ok = False
        mask_ok = mask_ok and mask != 0
        dr, power = block[-1][0] >> 4, block[-1][0] & 15
        dr = state.dr if dr == _KEEP else dr
        power = state.power if power == _KEEP else power
        # with a mask that was refused the data rate is judged against the channels that stay
        dr_ok = dr < len(region.DATA_RATES) and bool(state.usable(dr, mask if mask_ok else state.mask))
        power_ok = power <= region.MAX_POWER
        if not self._adr:  # the mask is honoured all the same, and alone (4.3.1.1)
            if mask_ok and state.usable(state.dr, mask):
                state.mask = mask
                return 1
            return 0
        if mask_ok and dr_ok and power_ok:
            state.mask, state.dr, state.power = mask, dr, power
            state.nb_trans = block[-1][3] & 15 or 1  # 0 means the default
        else:
            state.count("adr_refused")
        return mask_ok | dr_ok << 1 | power_ok << 2

    def _rx_param_setup(self, body):
        """Bits: 0 frequency, 1 RX2 data rate, 2 RX1DROffset (5.4)."""
        offset, dr, hz = body[0] >> 4 & 7, body[0] & 15, frequency(body[1:4])
        hz_ok, dr_ok, offset_ok = (
            self._receivable(hz),
            dr < len(self._region.DATA_RATES),
            offset < len(self._region.RX1_DR[0]),
        )
        if hz_ok and dr_ok and offset_ok:
            self._state.rx1_offset, self._state.rx2_dr, self._state.rx2_frequency = offset, dr, hz
        return hz_ok | dr_ok << 1 | offset_ok << 2

    def _new_channel(self, body):
        """Bits: 0 frequency, 1 data rates (5.6). The default channels are not to be changed: both bits 0."""
        state, region = self._state, self._region
        index, hz, low, high = body[0], frequency(body[1:4]), body[4] & 15, body[4] >> 4
        if not len(region.CHANNELS) <= index < region.MAX_CHANNELS:
            return 0
        if hz == 0:  # removes the channel; its data rates mean nothing
            state.channels[index] = None
            state.mask &= ~(1 << index)
            if not state.mask:  # a device without a channel would be lost for ever
                state.mask = (1 << len(region.CHANNELS)) - 1
            return 3
        hz_ok = any(bottom <= hz < top for bottom, top, _ in region.BANDS)
        dr_ok = low <= high < len(region.DATA_RATES)
        if hz_ok and dr_ok:
            state.channels[index] = Channel(hz, low, high)
            state.mask |= 1 << index
        return hz_ok | dr_ok << 1

    def _dl_channel(self, body):
        """Bits: 0 frequency, 1 the uplink channel exists (5.6)."""
        index, hz = body[0], frequency(body[1:4])
        channel = self._state.channels[index] if index < len(self._state.channels) else None
        hz_ok, exists = self._receivable(hz), channel is not None
        if hz_ok and channel is not None:
            channel.rx1_frequency = hz
        return hz_ok | exists << 1

    def _receivable(self, hz):
        return self._region.RANGE[0] <= hz <= self._region.RANGE[1]
