"""A year of uplinks, one an hour, on a board's flash in real MicroPython: how often each block is erased.

The numbers are those of docs/lorawan.md, "What is stored"; a flash block bears 100,000 erases.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tools.setup import places
from tools.virtual_board import flash

HERE = Path(__file__).resolve().parent
ENDURANCE = 100_000


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("wear") / "flash.img"
    flash.build_image(path, flash.firmware_files(places.ROOT / "firmware"))
    return path


def year(image, every, counts=0):
    where = ":".join([".frozen", str(places.ROOT / "firmware"), str(HERE)])
    told = subprocess.run(
        [places.MICROPYTHON, "-X", "heapsize=8M", HERE / "flash_wear.py", image, "1", str(every), str(counts)],
        env={**os.environ, "MICROPYPATH": where},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    worn = json.loads(told.stdout)
    print(f"downlink every {every or '-'} uplinks: {worn}, {ENDURANCE // worn['most']} years")
    return worn


@pytest.mark.parametrize(("every", "puts", "most"), [(0, 141, 5), (24, 510, 20), (1, 8910, 150)])
def test_a_year_of_uplinks_wears_the_flash_by_so_much_at_most(image, every, puts, most):
    """Without a downlink, with one a day, with one to every uplink."""
    worn = year(image, every)
    assert 0.9 * puts < worn["puts"] <= puts
    assert worn["erases"] < 1.1 * worn["puts"]
    assert worn["most"] <= most
