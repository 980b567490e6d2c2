"""Every class A MAC command, once valid and once invalid, in one life of a node: it answers, the network notes, and both go on hearing each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from chirpstack_api.integration import integration_pb2
from node_world import DECODERS, DEV_EUI, HOUR, START, S, World
from vigie.payload import air as air_frame
from vigie.payload import health

from tools.devnet.exchange import Answer, DownlinkItem, Uplink
from tools.devnet.region import Network
from tools.virtual_board.supervisor import Board

MINUTE = 60 * S


def hz(frequency: int) -> bytes:
    """A frequency as MAC commands carry it."""
    return (frequency // 100).to_bytes(3, "little")


class Exchange(NamedTuple):
    """One uplink and what it led to; `sent`: the downlink's variant that the LoRa gateway sent."""

    uplink: Uplink
    answer: Answer
    sent: DownlinkItem | None


@dataclass
class Life(World):
    """A world that keeps all exchanges; `only_rx2`: the LoRa gateway is busy in RX1."""

    only_rx2: bool = False
    exchanges: list[Exchange] = field(default_factory=list)
    node: Board = field(init=False)

    def _collected(self, uplink: Uplink) -> None:
        answer = self.core.uplink(uplink, self.clock.now)
        for event in answer.events:
            if isinstance(event.body, integration_pb2.UplinkEvent) and event.body.f_port in DECODERS:
                record = DECODERS[event.body.f_port](event.body.data)
                self.frames.append((uplink.time_ns, event.body.f_port, record))
        sent = None
        for downlink in answer.downlinks:
            first = 1 if self.only_rx2 else 0
            done = self.gateway.schedule(downlink.items[first:], uplink.time_ns)
            index = None if done.index is None else done.index + first
            sent = None if index is None else downlink.items[index]
            self.core.transmitted(downlink.downlink_id, index, done.status, self.clock.now)
        self.exchanges.append(Exchange(uplink, answer, sent))

    def following(self, within: int = 40 * MINUTE) -> Exchange:
        """Runs to the next uplink and on until its windows are over."""
        before, end = len(self.exchanges), self.clock.now + within
        while len(self.exchanges) == before:
            assert self.clock.now < end, "no uplink"
            self.run(self.clock.now + 10 * S)
        self.run(self.clock.now + 40 * S)
        return self.exchanges[before]

    def settled(self) -> None:
        """Power-on, join, and on until the node knows the time."""
        self.node = self.board()
        self.node.power_on()
        self.run(START + 2 * HOUR)
        assert self.core.session(DEV_EUI).f_cnt_up

    def provoke(self, commands: bytes) -> bytes:
        """Asks, and returns the answers in the uplink after the one that was answered with the commands."""
        self.core.ask(DEV_EUI, commands)
        asked = self.following()
        assert asked.sent is not None
        before = len(self.core.answers(DEV_EUI))
        self.following()
        told = self.core.answers(DEV_EUI)[before:]
        return told[0].replace(b"\x0d", b"") if told else b""  # the node's own DeviceTimeReq

    def sees(self) -> Exchange:
        """An exchange whose downlink the node proves to have got: it answers a DevStatusReq."""
        self.core.ask(DEV_EUI, b"\6")
        asked = self.following()
        self.following()
        assert self.core.answers(DEV_EUI)[-1][:1] == b"\6"
        return asked

    def on_air(self, since: int) -> list[tuple[bytes, int]]:
        """(PHYPayload, Hz) of the node's frames from `since` on, heard by a gateway or not."""
        return [(e.what.payload, e.what.freq_hz) for e in self.air.log if e.sender == DEV_EUI and e.start >= since]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with Life(tmp_path, kind="air") as world:
        world.settled()
        yield world
        assert "Traceback" not in world.node.log()


def test_every_command_once_valid_and_once_invalid(life: Life) -> None:
    provoke, core = life.provoke, life.core
    assert provoke(b"\3\x51\xff\x00\x01") == b"\3\7"
    assert (core.session(DEV_EUI).tx_power, core.session(DEV_EUI).dr) == (1, 5)
    assert provoke(b"\3\xe9\x00\x01\x01") == b"\3\0"  # a channel that is not there, DR14, TXPower 9
    assert provoke(b"\3\x51\x0f\x00\x01\3\x40\x3f\x00\x01") == b"\3\7\3\7"  # a block
    assert provoke(b"\3\x51\x0f\x00\x01\3\x40\x00\x01\x01") == b"\3\6\3\6"  # and one refused whole
    s = core.session(DEV_EUI)
    assert (s.dr, s.tx_power, s.channels, s.errors) == (4, 0, [0, 1, 2, 3, 4, 5], {3: 1})
    assert life.sees().uplink.spreading_factor == 8

    assert provoke(b"\4\0") == b"\4"
    assert provoke(b"\6")[:1] == b"\6"
    battery, margin = core.answers(DEV_EUI)[-1][1:3]
    assert 1 <= battery <= 254
    assert margin < 64

    assert provoke(b"\7\x08" + hz(867_100_000) + b"\x50") == b"\7\3"
    assert core.session(DEV_EUI).extra[8] == 867_100_000
    assert provoke(b"\7\x08" + hz(0) + b"\x50") == b"\7\3"
    assert 8 not in core.session(DEV_EUI).channels
    assert provoke(b"\7\x00" + hz(867_100_000) + b"\x50") == b"\7\0"  # a default channel
    assert provoke(b"\7\x09" + hz(915_000_000) + b"\x05") == b"\7\0"

    assert provoke(b"\x09\x3d") == b""  # TXParamSetupReq: not for EU868
    assert provoke(b"\x80\1\2\6") == b""  # nobody knows it, nor what follows
    assert provoke(b"\6\5\x23")[:1] == b"\6"  # cut short
    assert provoke(b"\2\x14\1\x0d\0\0\0\0\0") == b""  # answers that nobody asked for
    assert life.sees().sent is not None
    assert core.session(DEV_EUI).errors == {3: 1, 7: 2}


def test_the_windows_go_where_the_network_was_told(life: Life) -> None:
    """RXParamSetupReq, DlChannelReq and RXTimingSetupReq, refused and taken; each time both windows are tried."""
    core, provoke = life.core, life.provoke
    assert provoke(b"\5\x6f" + hz(915_000_000)) == b"\5\0"
    assert core.session(DEV_EUI).errors == {5: 1}
    assert life.sees().sent.delay_ns == S
    assert provoke(b"\5\x23" + hz(868_850_000)) == b"\5\7"
    sent = life.sees().sent
    assert (sent.spreading_factor, sent.delay_ns) == (9, S)
    life.only_rx2 = True
    sent = life.sees().sent
    assert (sent.freq_hz, sent.spreading_factor, sent.delay_ns) == (868_850_000, 9, 2 * S)
    life.only_rx2 = False

    assert provoke(b"\x0a\x0c" + hz(868_900_000)) == b"\x0a\1"  # no such channel
    assert provoke(b"\x0a\x00" + hz(871_000_000)) == b"\x0a\2"
    assert core.session(DEV_EUI).errors == {10: 2}
    moved = {index: 863_100_000 + 200_000 * index for index in range(8)}
    ask = b"".join(bytes([10, index]) + hz(frequency) for index, frequency in moved.items())
    assert provoke(ask) == b"\x0a\3" * 8  # sixteen bytes: a frame on port 0 of their own
    for _ in range(4):
        seen = life.sees()
        assert seen.sent.freq_hz in moved.values()
        assert seen.sent.freq_hz != seen.uplink.freq_hz

    assert provoke(b"\x08\x05") == b"\x08"
    sent = life.sees().sent
    assert (sent.freq_hz in moved.values(), sent.delay_ns) == (True, 5 * S)
    life.only_rx2 = True
    assert life.sees().sent.delay_ns == 6 * S
    life.only_rx2 = False
    assert provoke(b"\x08\x00") == b"\x08"
    assert life.sees().sent.delay_ns == S
    assert core.session(DEV_EUI).errors == {}


def test_settings_outlive_the_deep_sleeps_and_a_power_cut(life: Life) -> None:
    assert life.provoke(b"\5\x13" + hz(868_850_000) + b"\x08\x04\3\x42\x0f\x00\x01") == b"\5\7\x08\3\7"
    life.node.power_cut()
    life.run(life.clock.now + MINUTE)
    life.node.power_on()
    seen = life.sees()
    assert (seen.uplink.spreading_factor, seen.sent.spreading_factor, seen.sent.delay_ns) == (8, 9, 4 * S)
    life.only_rx2 = True
    sent = life.sees().sent
    assert (sent.freq_hz, sent.spreading_factor, sent.delay_ns) == (868_850_000, 9, 5 * S)
    assert all(hertz in range(866_000_000, 868_600_000) for _, hertz in life.on_air(life.clock.now - HOUR))


def test_three_transmissions_are_three_equal_frames_on_changing_channels(life: Life) -> None:
    assert life.provoke(b"\3\x50\xff\x00\x03") == b"\3\7"
    for _ in range(4):
        since = life.clock.now
        while (first := life.following()).sent:  # a downlink, here to a DeviceTimeReq, ends the repetitions
            since = life.clock.now
        frames = life.on_air(since)
        assert [phy for phy, _ in frames] == [first.uplink.phy] * 3
        assert all(one != other for (_, one), (_, other) in pairwise(frames))
        events = [[e.topic.rsplit("/", 1)[1] for e in x.answer.events] for x in life.exchanges[-3:]]
        assert events == [["up"], ["log"], ["log"]]
    since = life.clock.now
    seen = life.sees()  # a downlink to the first ends them
    assert [phy for phy, _ in life.on_air(since)].count(seen.uplink.phy) == 1
    assert life.provoke(b"\3\x50\xff\x00\x00") == b"\3\7"  # 0: as ever
    since = life.clock.now
    life.following()
    assert len(life.on_air(since)) == 1


def test_a_duty_cycle_of_the_network_is_silence(life: Life) -> None:
    life.core.ask(DEV_EUI, b"\4\x0f")
    life.following()
    life.run(life.clock.now + 3 * HOUR)
    assert life.core.session(DEV_EUI).max_duty == 15
    silent = [e for e in life.air.log if e.sender == DEV_EUI and e.start > START + 2 * HOUR]
    held = silent[1:]  # the first carried the command's downlink
    assert len(held) >= 2
    for one, other in pairwise(held):  # though the sleep clock, which may be 5 % fast, times it
        assert other.start - one.end >= one.what.air_ns * (2**15 - 1)
    life.core.ask(DEV_EUI, b"\4\0")
    life.following(3 * HOUR)
    life.following(3 * HOUR)
    assert life.core.session(DEV_EUI).max_duty == 0
    before = len(life.exchanges)
    life.run(life.clock.now + HOUR)
    assert len(life.exchanges) - before >= 4


def test_a_refused_link_adr_req_for_ever_costs_its_answers_and_is_reported(tmp_path: Path) -> None:
    """Two lives of the same node: with the network's stubbornness there is no uplink more, two bytes in each, and the health report tells."""
    uplinks, reports = [], []
    for stubborn in (False, True):
        folder = tmp_path / str(stubborn)
        folder.mkdir()
        with Life(folder, kind="air") as world:
            world.settled()
            world.core.ask(DEV_EUI, b"\3\xe9\x00\x01\x01" if stubborn else b"\6", None if stubborn else 1)
            since = len(world.exchanges)
            world.run(START + 16 * HOUR)
            assert "Traceback" not in world.node.log()
            phys = [x.uplink.phy for x in world.exchanges[since:]]
            uplinks.append(len(phys))
            if stubborn:
                told = world.core.answers(DEV_EUI)
                assert [answer.replace(b"\x0d", b"") for answer in told] == [b"\3\0"] * (len(phys) - 1)
                assert world.core.session(DEV_EUI).errors == {3: len(told)}
                assert {phy[5] & 15 for phy in phys[1:]} <= {2, 3}
                refused = [
                    (told_by, record.adr_refused)
                    for told_by, port, record in world.frames
                    if port == health.PORT and told_by > START + 2 * HOUR
                ]
                for told_by, count in refused:
                    assert count == sum(x.uplink.time_ns < told_by for x in world.exchanges[since:])
                reports = [count for _, count in refused]
            assert [port for _, port, _ in world.frames[-4:]].count(air_frame.PORT) >= 3
    assert uplinks[0] == uplinks[1]
    assert [count > 20 for count in reports] == [True]


@pytest.mark.parametrize(
    "network",
    [
        Network(rx1_delay=15),
        Network(rx1_delay=0, rx1_dr_offset=3, rx2_dr=5),
        Network(rx1_dr_offset=7, rx2_dr=15),
        Network(cf_list=b""),
        Network(cf_list=b"\xff" * 15 + b"\1"),
        Network(rx2_frequency=868_850_000),
    ],
    ids=[
        "delay 15",
        "offset 3, RX2 DR5",
        "offset 7, RX2 DR15",
        "no CFList",
        "CFList of type 1",
        "another RX2 frequency",
    ],
)
def test_a_node_lives_with_any_join_accept(tmp_path: Path, network: Network) -> None:
    with Life(tmp_path, kind="air") as world:
        world.core.network = network
        world.settled()
        session = world.core.session(DEV_EUI)
        assert session.channels == list(range(8))  # given by the join-accept or made by NewChannelReq
        assert session.rx2_frequency == network.rx2_frequency
        assert world.sees().sent.delay_ns == (network.rx1_delay or 1) * S
        world.only_rx2 = True
        sent = world.sees().sent
        assert (sent.freq_hz, sent.delay_ns) == (network.rx2_frequency, ((network.rx1_delay or 1) + 1) * S)
        assert "Traceback" not in world.node.log()
