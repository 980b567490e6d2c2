"""MAC commands of a class A device, the network's side (TS001-1.0.4 section 5), as ChirpStack 4.20 handles them."""

from __future__ import annotations

from collections.abc import Sequence

from . import adr, region
from .adr import Heard, Setting
from .state import Profile, Session

LINK_CHECK, LINK_ADR, RX_PARAM_SETUP, DEV_STATUS, NEW_CHANNEL, RX_TIMING_SETUP, DEVICE_TIME = 2, 3, 5, 6, 7, 8, 0x0D
_LENGTHS = {0x02: 0, 0x03: 1, 0x04: 0, 0x05: 1, 0x06: 2, 0x07: 1, 0x08: 0, 0x09: 0, 0x0A: 1, 0x0D: 0}  # uplink payloads
_REFUSALS_ALLOWED = 1  # ChirpStack's max_mac_command_error_count
_CHANNELS_AT_ONCE = 3
_DAY_NS = 86_400_000_000_000
_GPS_EPOCH_NS, _LEAP_SECONDS = 315_964_800_000_000_000, 18  # 1980-01-06; GPS is ahead of UTC since 2017


def parse(data: bytes) -> dict[int, list[bytes]]:
    """Commands grouped by CID in the order of their first appearance; an unknown or cut one ends the parsing (5.1)."""
    blocks: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data) and data[at] in _LENGTHS:
        end = at + 1 + _LENGTHS[data[at]]
        if end > len(data):
            break
        blocks.setdefault(data[at], []).append(data[at + 1 : end])
        at = end
    return blocks


def answers(
    session: Session, blocks: dict[int, list[bytes]], snrs: Sequence[float], sf: int, time_ns: int
) -> list[bytes]:
    """Takes what the device sent and returns the answers it asked for, each a block that goes whole or not at all.

    `snrs`: dB, one a reception; `time_ns`: the uplink's end, which DeviceTimeAns gives in GPS seconds and 1/256 s (5.9).
    """
    out = []
    for cid, block in blocks.items():
        asked = session.pending.pop(cid, None)
        if cid == LINK_CHECK:
            margin = max(max(snrs) - region.REQUIRED_SNR_DB[sf], 0.0)
            out.append(bytes([LINK_CHECK, min(int(margin), 254), len(snrs)]))
        elif cid == DEVICE_TIME:
            gps = time_ns - _GPS_EPOCH_NS + _LEAP_SECONDS * 1_000_000_000
            fraction = gps % 1_000_000_000 * 256 // 1_000_000_000
            out.append(bytes([DEVICE_TIME]) + (gps // 1_000_000_000).to_bytes(4, "little") + bytes([fraction]))
        elif asked is not None and cid == LINK_ADR:
            _link_adr_answered(session, asked, [a[0] for a in block])
        elif asked is not None and cid == NEW_CHANNEL:
            _new_channels_answered(session, asked, [a[0] for a in block])
        elif asked is not None and cid == RX_TIMING_SETUP:
            session.rx1_delay = asked[1] & 0x0F or 1
    return out


def must_answer(blocks: dict[int, list[bytes]]) -> bool:
    """RXParamSetupAns and RXTimingSetupAns are repeated until a downlink comes (5.4, 5.7): an empty one will do."""
    return RX_PARAM_SETUP in blocks or RX_TIMING_SETUP in blocks


def requests(session: Session, profile: Profile, dr: int, sf: int, now_ns: int) -> list[bytes]:
    """What the network asks of the device in this downlink, in ChirpStack's order: channels, ADR, DevStatus, RX timing."""
    blocks = [_new_channels(session), _link_adr(session, profile, dr, sf)]
    if profile.status_interval:
        due = session.status_requested_ns
        if due is None or now_ns - due >= _DAY_NS // profile.status_interval:
            blocks.append(bytes([DEV_STATUS]))
            session.status_requested_ns = now_ns
    delay = max(region.RX1_DELAY_S, profile.rx1_delay)
    if delay != session.rx1_delay:
        blocks.append(bytes([RX_TIMING_SETUP, delay]))
    wanted = [b for b in blocks if b and session.errors.get(b[0], 0) <= _REFUSALS_ALLOWED]
    if any(b[0] == NEW_CHANNEL for b in wanted):  # a mask over channels that are just being made cannot be right
        wanted = [b for b in wanted if b[0] != LINK_ADR]
    return wanted


def reset_channels(session: Session) -> None:
    """ADRACKReq: the device may have gone back to its default channels; the extra ones are offered anew."""
    session.channels, session.extra = list(region.DEFAULT_CHANNELS), {}


def _new_channels(session: Session) -> bytes:
    missing = [(i, f) for i, f in region.EXTRA_CHANNELS.items() if session.extra.get(i) != f][:_CHANNELS_AT_ONCE]
    return b"".join(
        bytes([NEW_CHANNEL, i]) + (f // 100).to_bytes(3, "little") + bytes([region.CHANNEL_DR_RANGE])
        for i, f in missing
    )


def _link_adr(session: Session, profile: Profile, dr: int, sf: int) -> bytes:
    if not profile.adr or not session.adr:
        return b""
    now = Setting(dr, session.tx_power, session.nb_trans)
    new = adr.wanted(now, session.history, region.REQUIRED_SNR_DB[sf], region.MAX_DR, session.max_tx_power)
    if new == now:
        return b""
    mask = sum(1 << i for i in session.channels)
    return bytes([LINK_ADR, new.dr << 4 | new.tx_power]) + mask.to_bytes(2, "little") + bytes([new.nb_trans])


def _link_adr_answered(session: Session, asked: bytes, statuses: list[int]) -> None:
    """`asked`: one LinkADRReq. Bits of a status: 0 channel mask, 1 data rate, 2 power (5.3)."""
    mask_ok, dr_ok, power_ok = (all(s & bit for s in statuses) for bit in (1, 2, 4))
    dr, power, nb_trans = asked[1] >> 4, asked[1] & 0x0F, asked[4] & 0x0F
    channels = [i for i in range(16) if int.from_bytes(asked[2:4], "little") >> i & 1]
    if mask_ok and dr_ok and power_ok:
        session.errors.pop(LINK_ADR, None)
        if (session.tx_power, session.dr, session.nb_trans) != (power, dr, nb_trans):
            session.history = []
        session.tx_power, session.dr, session.nb_trans, session.channels = power, dr, nb_trans, channels
    elif mask_ok and not session.adr:  # with ADR off the device need take the mask only
        session.errors.pop(LINK_ADR, None)
        session.channels, session.nb_trans = channels, nb_trans
        session.dr = dr if dr_ok else session.dr
        session.tx_power = power if power_ok else session.tx_power
    else:
        session.errors[LINK_ADR] = session.errors.get(LINK_ADR, 0) + 1
        if not power_ok and power:
            session.max_tx_power = power - 1 or region.MAX_TX_POWER_INDEX  # ChirpStack reads 0 as "no limit known"
        elif not power_ok:
            session.tx_power = 1  # devices that refuse power index 0 though they must not


def _new_channels_answered(session: Session, asked: bytes, statuses: list[int]) -> None:
    """`asked`: NewChannelReq of six bytes each. Both bits of a status set: the channel is there (5.6)."""
    for at, status in zip(range(0, len(asked), 6), statuses, strict=False):
        if status & 0x03 != 0x03:
            session.errors[NEW_CHANNEL] = session.errors.get(NEW_CHANNEL, 0) + 1
            continue
        session.errors.pop(NEW_CHANNEL, None)
        index = asked[at + 1]
        session.extra[index] = int.from_bytes(asked[at + 2 : at + 5], "little") * 100
        if index not in session.channels:
            session.channels = sorted([*session.channels, index])


def remember(session: Session, f_cnt: int, max_snr: float) -> None:
    """One frame more in the ADR history, of which the last 20 count."""
    if not session.history or session.history[-1].f_cnt != f_cnt:
        session.history = [*session.history, Heard(f_cnt, max_snr, session.tx_power)][-adr.HISTORY :]
