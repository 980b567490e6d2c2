"""The stack's footprint keeps its goals: 24 KB of .mpy with radio and driver, 24 KB of heap for a device that wakes with its session."""

import pytest

from tools.bench import firmware

GOAL = 24 * 1024


@pytest.fixture
def built(tmp_path):
    return tmp_path, firmware.compiled(tmp_path)


def test_code_on_flash(built):
    _folder, sizes = built
    stack = sum(size for file, size in sizes.items() if file.startswith("lorawan/"))
    shared = sum(sizes[f"radio/{file}"] for file in ("__init__", "trait", "runner"))
    for driver in firmware.DRIVERS:
        assert 15_000 < stack + shared + sizes[f"radio/{driver}"] <= GOAL, driver


def test_heap(built):
    folder, _sizes = built
    (joined,) = firmware.board(folder)
    woken, cpu_us = firmware.board(folder, "session")
    assert 10_000 < int(woken) <= GOAL
    assert int(woken) < int(joined) <= 30_000
    assert int(cpu_us) > 0
    for driver in ("sx126x", "sx127x"):
        assert int(woken) < int(firmware.board(folder, "session", driver)[0]) <= 34_500
