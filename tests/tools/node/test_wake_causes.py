"""Whatever starts a node, in the middle of a transmission or of a window: the next exchange works and no counter is used twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from node_world import DEV_EUI, HOUR, START, S, World

from tools.bench.wake import wake_to_transmission_ms
from tools.devnet.frame import DataUplink, JoinRequest, parse_uplink
from tools.virtual_board import protocol
from tools.virtual_board.machine import Board
from tools.world.air import Frame, Receiver, Transmission

MS = 1_000_000


def _power_cut(board: Board) -> None:
    board.power_cut()
    board._clock.after(2 * S, board.power_on)


CAUSES: dict[str, Callable[[Board], None]] = {
    "power cut": _power_cut,
    # the radio keeps its supply: it goes on with what it does while the processor starts anew
    "brown-out": lambda board: board._restart(protocol.PWRON_RESET),
    "reset": lambda board: board._restart(protocol.HARD_RESET),
    "watchdog": lambda board: board._restart(protocol.WDT_RESET),
    "soft reset": lambda board: board._restart(protocol.SOFT_RESET),
}


def strike(world: World, board: Board, moment: str, cause: Callable[[Board], None]) -> list[int]:
    """Lets `cause` happen once, in the midst of the next transmission or window; its instant comes into the list."""
    transmit, listen = world.air.transmit, world.air.listen
    struck: list[int] = []

    def later(delay: int) -> None:
        if not struck:
            struck.append(world.clock.now + delay)
            world.clock.after(delay, lambda: cause(board))

    def transmitting(name: str, what: Transmission) -> Frame:
        frame = transmit(name, what)
        if moment == "transmission":
            later(what.air_ns // 2)
        return frame

    def listening(receiver: Receiver) -> None:
        listen(receiver)
        if moment == "window":
            later(10 * MS)

    world.air.transmit, world.air.listen = transmitting, listening
    return struck


def counters(world: World) -> list[tuple[str, int, int]]:
    """(kind, address, counter) of each frame of the board in their order; NbTrans repeats a frame within seconds, nothing else may."""
    found: dict[tuple[str, int, int], tuple[bytes, int]] = {}
    for entry in world.air.log:
        if entry.sender != DEV_EUI:
            continue
        frame = parse_uplink(entry.what.payload)
        assert isinstance(frame, DataUplink | JoinRequest)
        if isinstance(frame, JoinRequest):
            key = ("join", 0, frame.dev_nonce)
            assert key not in found, f"{key} was used twice"
        else:
            key = ("data", frame.dev_addr, frame.f_cnt)
        payload, end = found.get(key, (entry.what.payload, entry.start))
        assert payload == entry.what.payload, f"{key} was used twice"
        assert entry.start - end < 8 * S, f"{key} was used again after a restart"
        found[key] = (payload, entry.end)
    return list(found)


@pytest.mark.parametrize("moment", ["transmission", "window"])
@pytest.mark.parametrize("first", [True, False], ids=["in the join", "in a report"])
@pytest.mark.parametrize("cause", CAUSES)
def test_the_next_exchange_works_and_no_counter_comes_again(
    tmp_path: Path, cause: str, moment: str, first: bool
) -> None:
    with World(tmp_path) as world:
        board = world.board()
        board.power_on()
        if not first:
            world.run(START + 20 * 60 * S)
            assert world.frames
        struck = strike(world, board, moment, CAUSES[cause])
        while not struck:
            world.run(world.clock.now + 60 * S)
        heard = len(world.frames)
        world.run(struck[0] + 2 * HOUR)
        after = [frame for frame in world.frames[heard:] if frame[0] > struck[0]]
        assert after, board.log()
        assert "Traceback" not in board.log(), board.log()
        order = counters(world)
        joins = [counter for kind, _address, counter in order if kind == "join"]
        assert joins == list(range(len(joins)))
        # a session survives what a counter could not: nobody joins anew for a reset in a report
        assert first or len(joins) == 1


def test_a_wake_from_deep_sleep_goes_on_with_the_next_counter(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board()
        board.power_on()
        world.run(START + 26 * HOUR)
        data = [counter for kind, _address, counter in counters(world) if kind == "data"]
        assert data == list(range(len(data)))
        assert len(data) > 4


def test_a_wake_transmits_within_a_third_of_a_second(tmp_path: Path) -> None:
    took = wake_to_transmission_ms(tmp_path)
    assert len(took) > 4
    # 180 ms of boot are the ESP32's; a report has its count in flash first
    assert all(180 < each < 400 for each in took), took
    assert sorted(took)[len(took) // 2] < 300
