"""A node whose firmware is broken never ends at a prompt: it stores, counts, sleeps it off, and goes on counting pulses."""

from pathlib import Path

from node_world import DAY, HOUR, START, S, World
from vigie.payload import health, meter

from tools.virtual_board.flash import read_image


def test_exceptions_in_a_row_lead_to_safe_mode(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board(missing="payload/meter.mpy")
        board.power_on()
        for minute in range(30, 90):
            world.reed.close(START + minute * 60 * S, S)
        world.run(START + 23 * HOUR)
        assert board.state == "asleep"
        reports = [frame for _when, port, frame in world.frames if port == health.PORT]
        assert reports[-1].exceptions == 5
        assert board.wakes < 60 * 2 + 60
        assert not [port for _when, port, _frame in world.frames if port == meter.PORT]
        kept = read_image(board.flash.contents())
        assert b"ImportError" in kept["keep/starts"]
        assert int.from_bytes(kept["keep/count"][9:13], "little") >= 59
        world.run(START + DAY + 6 * HOUR)  # after a day it tries again, fails and is safe again
        assert [frame for _when, port, frame in world.frames if port == health.PORT][-1].exceptions in (6, 7)


def test_bad_config_is_one_line_and_no_radio(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        board = world.board(missing="config.json")
        board.power_on()
        world.run(START + 3 * HOUR)
        assert "vigie: config.json: missing; copy one onto the board" in board.log()
        assert "Traceback" not in board.log()
        assert board.state == "asleep"
        assert world.air.frames == 0
