"""MAC commands of a class A device, the network's side (TS001-1.0.4 section 5), as ChirpStack 4.20 handles them."""

from __future__ import annotations

from collections.abc import Sequence

from . import adr, asked, region
from .adr import Heard, Setting
from .asked import (
    DEV_STATUS,
    DEVICE_TIME,
    LINK_ADR,
    LINK_CHECK,
    NEW_CHANNEL,
    RX_PARAM_SETUP,
    RX_TIMING_SETUP,
)
from .exchange import GPS_EPOCH_NS, LEAP_SECONDS
from .region import Network
from .state import Profile, Session

_LENGTHS = {0x02: 0, 0x03: 1, 0x04: 0, 0x05: 1, 0x06: 2, 0x07: 1, 0x08: 0, 0x09: 0, 0x0A: 1, 0x0D: 0}  # uplink payloads
_REFUSALS_ALLOWED = 1  # ChirpStack's max_mac_command_error_count
_CHANNELS_AT_ONCE = 3
_DAY_NS = 86_400_000_000_000


def joined(session: Session, network: Network) -> Session:
    """A fresh session with what the join-accept said; values that the region does not have leave the defaults."""
    session.rx1_delay = network.rx1_delay or 1
    if network.rx1_dr_offset <= region.MAX_RX1_DR_OFFSET:
        session.rx1_dr_offset = network.rx1_dr_offset
    if network.rx2_dr < len(region.MAX_PAYLOAD):
        session.rx2_dr = network.rx2_dr
    session.extra = region.listed(network.cf_list)
    session.channels = [*region.DEFAULT_CHANNELS, *session.extra]
    return session


def parse(data: bytes) -> dict[int, list[bytes]]:
    """Commands grouped by CID in the order of their first appearance.

    An unknown one ends the parsing (5.1); where one is cut short ChirpStack takes none.
    """
    blocks: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data) and data[at] in _LENGTHS:
        end = at + 1 + _LENGTHS[data[at]]
        if end > len(data):
            return {}
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
        request = session.pending.pop(cid, None)
        if cid == LINK_CHECK:
            margin = max(max(snrs) - region.REQUIRED_SNR_DB[sf], 0.0)
            out.append(bytes([LINK_CHECK, min(int(margin), 254), len(snrs)]))
        elif cid == DEVICE_TIME:
            gps = time_ns - GPS_EPOCH_NS + LEAP_SECONDS * 1_000_000_000
            fraction = gps % 1_000_000_000 * 256 // 1_000_000_000
            out.append(bytes([DEVICE_TIME]) + (gps // 1_000_000_000).to_bytes(4, "little") + bytes([fraction]))
        elif request is not None:  # a sticky answer that comes again finds none
            asked.answered(session, cid, request, block)
    return out


def must_answer(blocks: dict[int, list[bytes]]) -> bool:
    """Sticky answers are repeated until a downlink comes (5.4, 5.6, 5.7): an empty one will do.

    ChirpStack knows two of them; it never sends a DlChannelReq.
    """
    return any(cid in blocks for cid in asked.STICKY)


def requests(session: Session, profile: Profile, network: Network, dr: int, sf: int, now_ns: int) -> list[bytes]:
    """What the network asks of the device in this downlink, in ChirpStack's order: channels, mask and ADR, DevStatus, RX parameters."""
    blocks = []
    if LINK_ADR not in session.asked and NEW_CHANNEL not in session.asked:
        extra = region.listed(network.cf_list) or region.EXTRA_CHANNELS
        blocks = [_new_channels(session, extra), _link_adr(session, profile, extra, dr, sf)]
    if profile.status_interval:
        due = session.status_requested_ns
        if due is None or now_ns - due >= _DAY_NS // profile.status_interval:
            blocks.append(bytes([DEV_STATUS]))
            session.status_requested_ns = now_ns
    rx = (session.rx1_dr_offset, session.rx2_dr, session.rx2_frequency)
    if rx != (network.rx1_dr_offset, network.rx2_dr, network.rx2_frequency) and RX_PARAM_SETUP not in session.asked:
        head = bytes([RX_PARAM_SETUP, network.rx1_dr_offset << 4 | network.rx2_dr])
        blocks.append(head + (network.rx2_frequency // 100).to_bytes(3, "little"))
    delay = max(network.rx1_delay or 1, profile.rx1_delay)
    if delay != session.rx1_delay and RX_TIMING_SETUP not in session.asked:
        blocks.append(bytes([RX_TIMING_SETUP, delay]))
    wanted = [b for b in blocks if b and session.errors.get(b[0], 0) <= _REFUSALS_ALLOWED]
    if any(b[0] == NEW_CHANNEL for b in wanted):  # a mask over channels that are just being made cannot be right
        wanted = [b for b in wanted if b[0] != LINK_ADR]
    return wanted


def reset_channels(session: Session) -> None:
    """ADRACKReq: the device may have gone back to its default channels; the extra ones are offered anew."""
    session.channels, session.extra = list(region.DEFAULT_CHANNELS), {}


def _new_channels(session: Session, extra: dict[int, int]) -> bytes:
    session.extra = {i: f for i, f in session.extra.items() if i in extra}  # the mask switches the others off
    missing = [(i, f) for i, f in extra.items() if session.extra.get(i) != f][:_CHANNELS_AT_ONCE]
    return b"".join(
        bytes([NEW_CHANNEL, i]) + (f // 100).to_bytes(3, "little") + bytes([region.CHANNEL_DR_RANGE])
        for i, f in missing
    )


def _link_adr(session: Session, profile: Profile, extra: dict[int, int], dr: int, sf: int) -> bytes:
    """One LinkADRReq where the channel mask or ADR wants it; ADR's values go over those that the mask keeps."""
    wanted, enabled = {*region.DEFAULT_CHANNELS, *extra}, set(session.channels)
    new, channels = Setting(session.dr, session.tx_power, session.nb_trans), enabled
    changed = bool((wanted ^ enabled) & {*region.DEFAULT_CHANNELS, *enabled})
    if changed:  # never a channel beyond the default ones that the device is not known to have
        channels = wanted & {*region.DEFAULT_CHANNELS, *enabled}
    if profile.adr and session.adr:
        now = Setting(dr, session.tx_power, session.nb_trans)
        better = adr.wanted(now, session.history, region.REQUIRED_SNR_DB[sf], region.MAX_DR, session.max_tx_power)
        if better != now:
            new, changed = better, True
    if not changed:
        return b""
    mask = sum(1 << i for i in channels)
    return bytes([LINK_ADR, new.dr << 4 | new.tx_power]) + mask.to_bytes(2, "little") + bytes([new.nb_trans])


def remember(session: Session, f_cnt: int, max_snr: float) -> None:
    """One frame more in the ADR history, of which the last 20 count."""
    if not session.history or session.history[-1].f_cnt != f_cnt:
        session.history = [*session.history, Heard(f_cnt, max_snr, session.tx_power)][-adr.HISTORY :]
