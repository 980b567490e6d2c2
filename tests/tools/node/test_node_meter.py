"""A meter on a virtual board: every closing counted once, asleep or transmitting, and what a power loss leaves."""

from pathlib import Path

from node_world import DAY, DEV_EUI, HOUR, START, S, World
from vigie.payload import codes, health, meter

from tools.world import chance


def household(world: World, since: int, until: int) -> None:
    """Closings of 0.3 to 3 s, at random 12 to 1,800 s apart: up to Q4 of a 10-litre contact."""
    when = since
    number = 0
    while True:
        when += (12 + chance.below(1, 1_800 if number % 3 else 30, "gap", number)) * S + chance.below(
            1, S, "ns", number
        )
        if when >= until:
            return
        world.reed.close(when, (300 + chance.below(1, 2_700, "long", number)) * 1_000_000)
        number += 1


def closings(world: World, before: int) -> int:
    """How often the contact had closed before world time `before`."""
    return sum(when < before for when in world.reed.closings)


def days(world: World, epoch: int) -> dict[int, int]:
    """Midnight counts that the network got, by day number; asserts that a midnight never has two counts."""
    found: dict[int, int] = {}
    for _when, port, frame in world.frames:
        if port == meter.PORT and frame.epoch == epoch:
            for back, day in enumerate(frame.days):
                assert found.setdefault(frame.day - back, day.count) == day.count
    return found


def test_a_meter_counts_every_closing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board()
        household(world, START + 60 * S, START + 2 * DAY)
        # while it transmits and listens, at DR0, before the time is known and after
        for second in (16, 20, 22, 24):
            world.reed.close(START + second * S, 500_000_000)
        board.power_on()
        world.run(START + 2 * DAY + 8 * HOUR)
        assert "Traceback" not in board.log()
        midnights = days(world, 1)
        for day in (1, 2):
            number = START // DAY + day
            early, late = closings(world, START + day * DAY - 60 * S), closings(world, START + day * DAY + 60 * S)
            assert early <= midnights[number] <= late
        last = [frame for _when, port, frame in world.frames if port == meter.PORT][-1]
        assert midnights[last.day] == last.days[0].count
        assert last.days[0].hours == 24
        # two days of which the world knows each closing: the count itself
        assert midnights[START // DAY + 2] == len(world.reed.closings)
        assert [entry for entry in world.air.log if entry.sender == DEV_EUI]


def test_a_closing_shorter_than_a_boot_and_one_that_rests(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board()
        board.power_on()
        for minute in range(10, 20):
            world.reed.close(START + minute * 60 * S, 60_000_000)
        world.reed.close(START + HOUR, 5 * HOUR)  # no water: the contact rests closed
        world.run(START + HOUR + 60 * S)
        wakes = board.wakes
        world.run(START + 5 * HOUR)
        assert board.wakes - wakes < 10
        world.run(START + DAY + 8 * HOUR)
        assert days(world, 1)[START // DAY + 1] == 11


def test_power_loss_starts_an_epoch_and_keeps_the_midnight(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board()
        household(world, START + 60 * S, START + 2 * DAY)
        board.power_on()
        world.air.set_loss(DEV_EUI, 1.0, since=START + DAY - HOUR, until=START + DAY + HOUR)
        cut = START + DAY + 120 * S
        world.run(cut)
        board.power_cut()
        world.run(cut + 600 * S)
        board.power_on()
        world.run(START + 2 * DAY + 8 * HOUR)
        first = days(world, 1)[START // DAY + 1]
        assert first == closings(world, START + DAY)
        # the count went on from what was in flash: not behind what the old epoch had sent, not ahead of the contact
        lived = closings(world, START + 2 * DAY) - closings(world, cut + 612 * S)
        began = days(world, 2)[START // DAY + 2] - lived
        assert first <= began <= closings(world, cut)
        report = [frame for _when, port, frame in world.frames if port == health.PORT][-1]
        assert (report.cause, report.boots, report.exceptions) == (1, 2, 0)


AGAIN = START + HOUR
"""When a board that lost its power an hour after its first start gets it back."""


def restarted(folder: Path, deaf: int, up: float = 1.0) -> tuple[World, list[int]]:
    """The world ten minutes after AGAIN: until `deaf` a share `up` of the uplinks and all answers were lost; starts of those uplinks."""
    folder.mkdir()
    with World(folder) as world:
        board = world.board()
        household(world, START + 60 * S, START + 2 * HOUR)
        board.power_on()
        world.run(AGAIN - 60 * S)
        board.power_cut()
        world.run(AGAIN)
        world.air.set_loss(DEV_EUI, up, 1.0, since=AGAIN, until=deaf)
        board.power_on()
        world.run(AGAIN + 600 * S)
        return world, [each.start for each in world.air.log if each.sender == DEV_EUI and AGAIN < each.start < deaf]


def test_what_a_start_has_to_tell_comes_again_until_it_is_answered(tmp_path: Path) -> None:
    # 10 s for the cable and up to 30 s of spreading, then the health report and, the time being unknown, the first count
    deaf = AGAIN + 45 * S
    nothing, starts = restarted(tmp_path / "nothing", deaf)
    assert len(starts) == 2
    unanswered, same = restarted(tmp_path / "unanswered", deaf, up=0.0)
    only_count, first = restarted(tmp_path / "count", starts[1] - 1)
    assert (same, first) == (starts, starts[:1])
    for world, while_deaf in ((nothing, [False]), (unanswered, [True, False]), (only_count, [True])):
        frames = [each for each in world.frames if each[0] > AGAIN]
        counts = [
            (when, frame.now) for when, port, frame in frames if port == meter.PORT and frame.epoch == 2 and frame.now
        ]
        assert [when < deaf for when, _count in counts] == while_deaf
        assert all(count <= closings(world, when) for when, count in counts)
        assert 2 in [frame.boots for _when, port, frame in frames if port == health.PORT]


def test_thirty_percent_lost_frames_lose_no_midnight(tmp_path: Path) -> None:
    with World(tmp_path, seed="lossy") as world:
        board = world.board()
        world.air.set_loss(DEV_EUI, 0.3)
        household(world, START + 60 * S, START + 4 * DAY)
        board.power_on()
        world.run(START + 4 * DAY + 12 * HOUR)
        midnights = days(world, 1)
        for day in range(1, 5):
            early, late = closings(world, START + day * DAY - 60 * S), closings(world, START + day * DAY + 60 * S)
            assert early <= midnights[START // DAY + day] <= late, day
        flagged = [frame for _when, _port, frame in world.frames if frame.mark and frame.flags & codes.TIME_UNSURE]
        for when, _port, frame in world.frames:
            if frame.mark and frame not in flagged:
                assert abs(frame.mark - when // S) <= 62
