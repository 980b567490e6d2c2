"""The frames of one downlink, a variant for each receive window, as ChirpStack 4.20 builds them (downlink/data.rs, set_phy_payloads)."""

from __future__ import annotations

from typing import NamedTuple

from . import asked, frame, region
from .exchange import Uplink, Way
from .state import QueueItem, Session

_MAX_F_OPTS = 15


class Reply(NamedTuple):
    """By window: the frames and their ports (None: MAC commands only). `blocks`: how many of the blocks any of them carries."""

    phys: tuple[bytes, bytes]
    ports: tuple[int | None, ...]
    blocks: int


def ways(session: Session, uplink: Uplink, dr: int) -> tuple[Way, Way]:
    """Where and when the device listens after this uplink: RX1, RX2 (3.3)."""
    rx1_hz = session.rx1_frequencies.get(uplink.freq_hz, uplink.freq_hz)
    rx1 = Way(rx1_hz, region.rx1_data_rate(dr, session.rx1_dr_offset), session.rx1_delay)
    return rx1, Way(session.rx2_frequency, session.rx2_dr, session.rx1_delay + 1)


def build(
    session: Session, windows: tuple[Way, Way], blocks: list[bytes], item: QueueItem | None, *, ack: bool, more: bool
) -> Reply:
    """`blocks` go whole or not at all, in their order; those that go await their answers. `more`: other queue items wait."""
    f_ctrl = frame.ADR | (frame.ACK if ack else 0)
    phys, ports, most = [], [], 0
    for way in windows:
        room = region.MAX_PAYLOAD[way.dr]
        commands = b""
        for count, block in enumerate(blocks, 1):
            if len(block) > room:
                break
            room -= len(block)
            commands += block
            session.pending |= asked.blocks(block)
            most = max(most, count)
        key, port, data, confirmed, pending = session.nwk_s_key, None, b"", False, more
        if len(commands) > _MAX_F_OPTS:
            port, data, commands, pending = 0, commands, b"", item is not None
        elif item is not None and len(item.data) <= room:
            key, port, data, confirmed = session.app_s_key, item.f_port, item.data, item.confirmed
        elif item is not None:
            more = pending = True
        counters = (session.dev_addr, f_ctrl | (frame.F_PENDING if pending else 0), session.f_cnt_down)
        phys.append(frame.data_downlink(session.nwk_s_key, key, *counters, commands, port, data, confirmed=confirmed))
        ports.append(port)
    return Reply((phys[0], phys[1]), tuple(ports), most)
