"""Tests that run inside the boards' MicroPython: `mp_*.py`, one process a file, one pytest item a function `test_*`.

They import as on the board (`import lorawan.frame`), from `firmware/`. A first line `# stand-ins: yes` puts the
stand-ins for `machine`, `time` and so on before MicroPython's own. What CPython sees of such a file is its list
of functions, read with `ast`. A test without a verdict (the process died before it) has failed.
"""

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.setup import places

HERE = Path(__file__).resolve().parent
RUNNER = HERE / "run_in_micropython.py"
STAND_INS = places.ROOT / "tools" / "virtual_board" / "board"
MARKER = "# stand-ins: yes"
# A board's heap, and what the runner with the test's own compiled source takes beside the firmware (a board has .mpy).
HEAP_KB = 100
SHARE_KB = 60
TIMEOUT_S = 120


def pytest_report_header() -> str:
    """Say which engine gives the verdicts: a stand-in with double floats is not the reference."""
    probe = "import sys; print(sys.version.split('; ')[-1], ', 1/3 =', 1/3)"
    told = subprocess.run([places.MICROPYTHON, "-c", probe], capture_output=True, text=True, check=False)
    return f"boards' engine: {told.stdout.strip() or told.stderr.strip()}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take files named mp_*.py."""
    if file_path.suffix == ".py" and file_path.name.startswith("mp_"):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None


class MicroPythonFile(pytest.File):
    """One file of tests, and what its one process said of each."""

    verdicts: dict[str, tuple[bool, str]] | None = None

    def collect(self) -> Iterator[pytest.Item]:
        tree = ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield MicroPythonItem.from_parent(self, name=node.name, line=node.lineno)

    def verdict(self, name: str) -> tuple[bool, str]:
        """Whether this test passed, and what it printed; the first question runs the process for all chosen ones."""
        if self.verdicts is None:
            chosen = [item.name for item in self.session.items if item.parent is self]
            self.verdicts = run(self.path, chosen)
        return self.verdicts.get(name, (False, "no verdict"))


class MicroPythonItem(pytest.Item):
    """One test function."""

    def __init__(self, *, line: int, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.line = line

    def runtest(self) -> None:
        assert isinstance(self.parent, MicroPythonFile)
        passed, output = self.parent.verdict(self.name)
        if not passed:
            pytest.fail(output, pytrace=False)
        if output:
            self.add_report_section("call", "stdout", output)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, self.name


def run(path: Path, names: list[str]) -> dict[str, tuple[bool, str]]:
    """Run these tests of a file in one process: name -> passed, output."""
    with path.open(encoding="utf-8") as file:
        stand_ins = [str(STAND_INS)] if file.readline().strip() == MARKER else []
    # sys.path begins with the script's folder, which holds no module of that name; then as on a board; then the tests' own helpers.
    helpers = [str(folder) for folder in path.parents if folder != HERE and folder.is_relative_to(HERE)]
    where = ":".join([*stand_ins, ".frozen", str(places.ROOT / "firmware"), *(helpers or [str(path.parent)])])
    command = [places.MICROPYTHON, "-X", f"heapsize={HEAP_KB + SHARE_KB}K", RUNNER, path, *names]
    try:
        told = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MICROPYPATH": where},
            cwd=places.ROOT,
            timeout=TIMEOUT_S,
            check=False,
        )
        said, end = told.stdout, f"the process ended with {told.returncode}"
    except subprocess.TimeoutExpired as error:
        said, end = error.stdout or b"", f"stopped after {TIMEOUT_S} s"
    return read_verdicts(said.decode(errors="replace"), names, end)


def read_verdicts(said: str, names: list[str], end: str) -> dict[str, tuple[bool, str]]:
    """Split what the runner printed into each test's verdict and output."""
    verdicts: dict[str, tuple[bool, str]] = {}
    before, *parts = said.split("\x02RUN ")
    for part in parts:
        name, _, output = part.partition("\n")
        output, mark, verdict = output.partition("\x02")
        if mark:
            verdicts[name.strip()] = (verdict.startswith("PASS "), output)
        else:
            verdicts[name.strip()] = (False, f"{output}no verdict: {end}")
    for name in names:
        verdicts.setdefault(name, (False, f"{before}no verdict: {end}"))
    return verdicts
