"""Data frames as on air (TS001-1.0.4, 4): what is built, and what is taken apart only after its MIC held."""

from collections import namedtuple
from struct import pack, unpack

from micropython import const

from .crypto import DOWN, UP, crypt, data_mic

_UNCONFIRMED_UP = const(0x40)
_UNCONFIRMED_DOWN = const(0x60)
_CONFIRMED_UP = const(0x80)
_CONFIRMED_DOWN = const(0xA0)

_TYPE = const(0xE3)  # MHDR: MType and Major; the bits between are reserved and ignored (4.2)

ADR = 0x80  # FCtrl, both directions
ADR_ACK_REQ = 0x40  # uplink
ACK = 0x20  # both directions
PENDING = 0x10  # downlink

MAX_FOPTS = 15
MAX_PORT = 223  # 224 is the certification protocol's, above is reserved (4.3.2)

# confirmed, ack, pending: bool; fcnt: 32 bits; fopts: bytes; port: int or None; data: plain bytes (MAC commands when port is 0)
Downlink = namedtuple("Downlink", ("confirmed", "fctrl", "fcnt", "fopts", "port", "data"))


def data_up(nwk_key, app_key, dev_addr, fcnt, fctrl, fopts, port, data, confirmed):
    """A data frame. `fctrl`: ADR, ADR_ACK_REQ and ACK bits; `fopts` <= 15 bytes; `port` None only without data."""
    body = (
        pack("<B4sBH", _CONFIRMED_UP if confirmed else _UNCONFIRMED_UP, dev_addr, fctrl | len(fopts), fcnt & 0xFFFF)
        + fopts
    )
    if port is not None:
        body += bytes([port]) + crypt(app_key if port else nwk_key, data, UP, dev_addr, fcnt)
    return body + data_mic(nwk_key, body, UP, dev_addr, fcnt)


def data_down(nwk_key, app_key, dev_addr, next_fcnt, phy):
    """(Downlink, "") for a frame that is ours, new and whole; else (None, why): "foreign", "mic" or "form".

    `next_fcnt` is the least 32-bit counter still acceptable: the 16 bits on air are raised to it, so an old frame fails its MIC (4.3.1.5).
    """
    if len(phy) < 12 or phy[0] & _TYPE not in (_UNCONFIRMED_DOWN, _CONFIRMED_DOWN) or phy[1:5] != dev_addr:
        return None, "foreign"
    fctrl, fcnt16 = unpack("<BH", phy[5:8])
    fcnt = next_fcnt & ~0xFFFF | fcnt16
    if fcnt < next_fcnt:
        fcnt += 0x10000
    if fcnt >= 0xFFFFFFFF or data_mic(nwk_key, phy[:-4], DOWN, dev_addr, fcnt) != phy[-4:]:
        return None, "mic"
    start = 8 + (fctrl & 15)
    end = len(phy) - 4
    if start > end:
        return None, "form"
    fopts = phy[8:start]
    port = phy[start] if start < end else None
    if port == 0 and fopts:  # 4.3.1.6: such a frame is discarded whole
        return None, "form"
    data = crypt(app_key if port else nwk_key, phy[start + 1 : end], DOWN, dev_addr, fcnt)
    return Downlink(phy[0] & _TYPE == _CONFIRMED_DOWN, fctrl & 0xF0, fcnt, fopts, port, data), ""
