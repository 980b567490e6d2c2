"""A bin's and an air node on virtual boards over a day: every boundary reported, close to the truth, at the time it was taken."""

from pathlib import Path

import pytest
from node_world import APP_KEY, DAY, DEV_EUI, HOUR, START, Kind, S, Site, World
from vigie.payload import air, codes
from vigie.payload import bin as bin_frame

from tools.world.equip import bin_, street


def readings(world: World, port: int, step: int) -> dict[int, tuple[int, ...]]:
    """The readings by their time in s; asserts that a time never has two values and lies on a boundary."""
    found: dict[int, tuple[int, ...]] = {}
    for _when, got, frame in world.frames:
        if got == port:
            for back, entry in enumerate(frame.samples if port == air.PORT else frame.echoes):
                assert found.setdefault(frame.mark - back * step, tuple(entry)) == tuple(entry)
    assert all(mark % step == 0 for mark in found)
    return found


def day(folder: Path, kind: Kind) -> World:
    """A world after a day and four hours, with a tenth of the frames lost."""
    with World(folder, kind=kind) as world:
        world.air.set_loss(DEV_EUI, 0.1)
        board = world.board()
        board.power_on()
        world.run(START + DAY + 4 * HOUR)
        assert "Traceback" not in board.log(), board.log()
        return world


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_a_day_of_readings(tmp_path: Path, kind: Kind) -> None:
    world = day(tmp_path, kind)
    site = Site(1, kind, DEV_EUI, APP_KEY)
    port, step = (bin_frame.PORT, bin_frame.STEP) if kind == "bin" else (air.PORT, air.STEP)
    found = readings(world, port, step)
    expected = range(START // S + HOUR // S, (START + DAY + 2 * HOUR) // S, step)
    assert [mark for mark in expected if mark not in found] == []
    for mark, values in found.items():
        assert codes.reason(values[0]) == 0, (mark, values)
        if kind == "bin":
            assert abs(values[0] - bin_(site, 7).level_mm(mark * S)) <= 60, mark
        else:
            truth = street(site, 7, START)
            # the evening of bad air begins and ends at once, and the clock may be off by a minute
            near = [truth.pm((mark + second) * S)[1] for second in range(-60, 61, 15)]
            assert min(near) - 10 <= values[1] <= max(near) + 10, mark
            assert abs(values[3] - air.COLD - truth.climate(mark * S)[0] // 10) <= 60, mark
