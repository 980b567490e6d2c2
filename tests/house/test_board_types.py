"""The type check of what runs on a board really checks it, against the board's own modules."""

import pytest

from tools.setup import board_types


@pytest.fixture
def checked(tmp_path):
    """Mypy's answer for one firmware file and one stand-in."""

    def check(firmware: str, stand_in: str = "") -> tuple[int, str]:
        for name, text in (("firmware/lib_x.py", firmware), ("board/time.py", stand_in)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return board_types.check(tmp_path / "firmware", tmp_path / "board", tmp_path / "scratch")

    return check


def test_good_code_passes(checked):
    code, said = checked("import time, machine\ntime.sleep_ms(5)\np = machine.Pin(4, machine.Pin.IN)\n")
    assert code == 0, said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import time\ntime.sleep_ms('5')\n", 'Argument 1 to "sleep_ms"'),
        ("import machine\nmachine.hibernate()\n", 'no attribute "hibernate"'),
        ("import time\ntime.perf_counter()\n", 'no attribute "perf_counter"'),
        ("def f(a: int) -> str:\n    return a\n", "Incompatible return value"),
    ],
)
def test_a_planted_error_in_firmware_fails(checked, text, said):
    code, report = checked(text)
    assert code == 1
    assert said in report
    assert "lib_x.py:" in report


def test_a_planted_error_in_a_stand_in_fails_and_the_firmware_still_sees_the_board(checked):
    code, report = checked("import time\ntime.ticks_us()\n", "import machine\nmachine.hibernate()\n")
    assert code == 1
    assert "board/time.py:2: error" in report
    assert "lib_x.py" not in report
