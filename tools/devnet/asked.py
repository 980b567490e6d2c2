"""MAC commands that a caller in the same process asks for, valid or not: which are due, and what the answers change on this side.

ChirpStack has no such call; where it sends the same command of its own accord, an answer is taken as ChirpStack takes it.
A downlink with asked commands carries none of the network's own requests, and what a caller has asked for once
(data rate and channels count as one) the network does not change of its own accord in this session.
"""

from __future__ import annotations

from collections.abc import Collection

from . import region
from .state import Ask, Session

LINK_CHECK, LINK_ADR, DUTY_CYCLE, RX_PARAM_SETUP, DEV_STATUS, NEW_CHANNEL = 2, 3, 4, 5, 6, 7
RX_TIMING_SETUP, TX_PARAM_SETUP, DL_CHANNEL, DEVICE_TIME = 8, 9, 0x0A, 0x0D
STICKY = (RX_PARAM_SETUP, RX_TIMING_SETUP, DL_CHANNEL)  # a device repeats these answers until a downlink comes
_LENGTHS = {
    LINK_CHECK: 2,
    LINK_ADR: 4,
    DUTY_CYCLE: 1,
    RX_PARAM_SETUP: 4,
    DEV_STATUS: 0,
    NEW_CHANNEL: 5,
    RX_TIMING_SETUP: 1,
    TX_PARAM_SETUP: 1,
    DL_CHANNEL: 4,
    DEVICE_TIME: 5,
}
_KEPT_ANSWERS = 256
_KEEP = 15  # a data rate or a power that LinkADRReq leaves as it is (5.2)


def split(commands: bytes) -> list[bytes]:
    """The commands of a downlink, each with its CID, up to one that is unknown or cut short."""
    out = []
    at = 0
    while at < len(commands) and commands[at] in _LENGTHS:
        end = at + 1 + _LENGTHS[commands[at]]
        if end > len(commands):
            break
        out.append(commands[at:end])
        at = end
    return out


def blocks(commands: bytes) -> dict[int, bytes]:
    """The same by CID."""
    out: dict[int, bytes] = {}
    for command in split(commands):
        out[command[0]] = out.get(command[0], b"") + command
    return out


def ask(session: Session, commands: bytes, times: int | None) -> None:
    """Appends to what is asked."""
    if not commands or times == 0:
        raise ValueError("devnet: nothing asked: give the commands and how often, None for ever")
    session.asks = [*session.asks, Ask(commands, times)]
    session.asked = sorted({*session.asked, *blocks(commands), commands[0]})


def record(session: Session, commands: bytes) -> None:
    """Notes the MAC commands of an uplink of a device that was asked something."""
    if session.asked and commands:
        session.answers = [*session.answers, commands][-_KEPT_ANSWERS:]


def due(session: Session, heard: Collection[int]) -> list[bytes]:
    """The commands for this downlink, an ask each. `heard`: CIDs of the uplink.

    While a sticky answer is still being repeated, another request with its CID waits: the device's next answer could not be told from the old one.
    """
    out = []
    for asked in session.asks:
        new = blocks(asked.commands)
        if any(cid in heard and new[cid] != session.settled.get(cid) for cid in STICKY if cid in new):
            break
        out.append(asked.commands)
    return out


def sent(session: Session, count: int) -> None:
    """The first `count` asks went into a downlink."""
    gone = [Ask(a.commands, a.times and a.times - 1) for a in session.asks[:count]]
    session.asks = [a for a in gone if a.times != 0] + session.asks[count:]


# -- what an answer changes; `asked` is the block it answers


def answered(session: Session, cid: int, asked: bytes, answers: list[bytes]) -> None:
    """Takes the answers (without CID) to a block."""
    if cid in STICKY:
        session.settled[cid] = asked
    requests = split(asked)
    if cid == LINK_ADR:
        _link_adr(session, requests, [a[0] for a in answers])
    elif cid == DUTY_CYCLE:
        session.max_duty = requests[-1][1] & 0x0F
    elif cid == RX_TIMING_SETUP:
        session.rx1_delay = requests[0][1] & 0x0F or 1
    elif cid == NEW_CHANNEL and len(requests) == len(answers):  # ChirpStack takes none of another number
        for request, answer in zip(requests, answers, strict=True):
            if _accepted(session, cid, answer[0], 0x03):
                _channel(session, request[1], int.from_bytes(request[2:5], "little") * 100)
    elif cid == RX_PARAM_SETUP and _accepted(session, cid, answers[0][0], 0x07):
        offset, dr = requests[0][1] >> 4 & 7, requests[0][1] & 0x0F
        if offset <= region.MAX_RX1_DR_OFFSET and dr < len(region.MAX_PAYLOAD):
            session.rx1_dr_offset, session.rx2_dr = offset, dr
            session.rx2_frequency = int.from_bytes(requests[0][2:5], "little") * 100
    elif cid == DL_CHANNEL:
        for request, answer in zip(requests, answers, strict=False):
            uplink_hz = (region.DEFAULT_FREQUENCIES | session.extra).get(request[1])
            if _accepted(session, cid, answer[0], 0x03) and uplink_hz:
                session.rx1_frequencies[uplink_hz] = int.from_bytes(request[2:5], "little") * 100


def _accepted(session: Session, cid: int, status: int, bits: int) -> bool:
    """All `bits` of an answer are set; a refusal is counted, an acceptance forgets those before."""
    if status & bits == bits:
        session.errors.pop(cid, None)
        return True
    session.errors[cid] = session.errors.get(cid, 0) + 1
    return False


def _channel(session: Session, index: int, hz: int) -> None:
    session.rx1_frequencies.pop(session.extra.pop(index, 0), None)
    if hz:
        session.extra[index] = hz
        session.channels = sorted({*session.channels, index})
    else:
        session.channels = [i for i in session.channels if i != index] or list(region.DEFAULT_CHANNELS)


def _link_adr(session: Session, requests: list[bytes], statuses: list[int]) -> None:
    """One block of LinkADRReq: masks in turn, the rest from the last. Bits of a status: 0 channel mask, 1 data rate, 2 power (5.2)."""
    channels = session.channels
    for request in requests:
        mask = int.from_bytes(request[2:4], "little")
        everything = request[4] >> 4 & 7 == 6
        channels = (
            sorted({*region.DEFAULT_CHANNELS, *session.extra})
            if everything
            else [i for i in range(16) if mask >> i & 1]
        )
    mask_ok, dr_ok, power_ok = (all(s & bit for s in statuses) for bit in (1, 2, 4))
    dr, power, nb_trans = requests[-1][1] >> 4, requests[-1][1] & 0x0F, requests[-1][4] & 0x0F or 1
    dr = session.dr if dr == _KEEP else dr
    if mask_ok and dr_ok and power_ok:
        session.errors.pop(LINK_ADR, None)
        power = session.tx_power if power == _KEEP else power
        if (session.tx_power, session.dr, session.nb_trans) != (power, dr, nb_trans):
            session.history = []
        session.tx_power, session.dr, session.nb_trans, session.channels = power, dr, nb_trans, channels
    elif mask_ok and not session.adr:  # with ADR off the device need take the mask only
        session.errors.pop(LINK_ADR, None)
        session.channels, session.nb_trans = channels, nb_trans
        session.dr = dr if dr_ok else session.dr
        session.tx_power = power if power_ok and power != _KEEP else session.tx_power
    else:
        session.errors[LINK_ADR] = session.errors.get(LINK_ADR, 0) + 1
        if not power_ok and power:  # ChirpStack reads 0 as "no limit known"
            session.max_tx_power = min(power - 1, region.MAX_TX_POWER_INDEX) or region.MAX_TX_POWER_INDEX
        elif not power_ok:
            session.tx_power = 1  # devices that refuse power index 0 though they must not
