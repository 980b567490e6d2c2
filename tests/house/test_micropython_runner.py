"""The collector of tests/firmware, held to what it promises, in pytest runs of its own."""

import shutil
import subprocess
import sys

import pytest

from tools.setup import places

FIRMWARE_TESTS = places.ROOT / "tests" / "firmware"


@pytest.fixture
def outcome(tmp_path):
    """Run pytest over one mp_ file beside copies of the real conftest and runner."""

    def run(text: str, *options: str) -> str:
        for name in ("conftest.py", "run_in_micropython.py"):
            shutil.copy(FIRMWARE_TESTS / name, tmp_path)
        (tmp_path / "mp_planted.py").write_text(text)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-v",
            "--rootdir",
            tmp_path,
            tmp_path,
            *options,
        ]
        told = subprocess.run(command, capture_output=True, text=True, cwd=places.ROOT, check=False)
        return told.stdout + told.stderr

    return run


def test_each_function_is_an_item_with_its_own_verdict(outcome):
    said = outcome("def test_good():\n    assert 1\ndef test_bad():\n    print('seen')\n    assert 1 == 2, 'told'\n")
    assert "test_good PASSED" in said
    assert "test_bad FAILED" in said
    assert "seen" in said
    assert "AssertionError: told" in said


def test_a_process_that_dies_fails_the_tests_it_did_not_finish(outcome):
    said = outcome(
        "import os\n"
        "def test_a():\n    pass\n"
        "def test_b():\n    print('before')\n    os.system('kill -9 $PPID')\n"
        "def test_c():\n    pass\n"
    )
    assert "test_a PASSED" in said
    assert "before\nno verdict: the process ended with -9" in said
    assert "2 failed, 1 passed" in said


def test_memory_that_a_board_does_not_have_is_not_there(outcome):
    said = outcome("def test_a():\n    bytearray(200 * 1024)\n")
    assert "MemoryError" in said
    assert "1 failed" in said


def test_a_file_that_does_not_import_fails_every_test(outcome):
    said = outcome("import nothing_of_the_kind\ndef test_a():\n    pass\n")
    assert "1 failed" in said
    assert "ImportError" in said


def test_only_the_chosen_test_runs(outcome):
    said = outcome("def test_a():\n    pass\ndef test_b():\n    assert 0\n", "-k", "test_a")
    assert "1 passed, 1 deselected" in said


def test_the_engine_is_the_boards(outcome):
    said = outcome(
        "import sys, gc\n"
        "def test_width():\n    assert sys.maxsize == 2**31 - 1\n"
        "def test_single_floats():\n    assert str(1 / 3) == '0.3333333'\n"
        "def test_heap():\n    gc.collect()\n    assert gc.mem_alloc() + gc.mem_free() < 170 * 1024\n"
    )
    assert "3 passed" in said
