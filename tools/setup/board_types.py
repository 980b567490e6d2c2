"""Types of what runs on a board, checked against MicroPython's own stubs: `python -m tools.setup.board_types`.

A run of its own, with the boards' standard library in place of CPython's. The stand-ins are named like the modules
that they stand in for; under those names they would hide the stubs from the firmware, so they are checked as
`standin_machine` and so on, and what they import is the real board's.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from . import places

FIRMWARE = places.ROOT / "firmware"
STAND_INS = places.ROOT / "tools" / "virtual_board" / "board"
RENAMED = "standin_"


def check(firmware: Path, stand_ins: Path, scratch: Path) -> tuple[int, str]:
    """Mypy's exit code and what it says of these two folders, in terms of their own paths."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files = sorted(firmware.rglob("*.py"))
    for path in sorted(stand_ins.rglob("*.py")):
        name = path.relative_to(stand_ins)
        stubbed = any(places.BOARD_STUBS.glob(f"**/{name.stem}.pyi")) or any(
            places.BOARD_STUBS.glob(f"**/{name.stem}/")
        )
        seen = scratch / (name.with_name(RENAMED + name.name) if stubbed else name)
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.symlink_to(path)
        files.append(seen)
    if not files:
        return 0, "nothing to check\n"
    config = scratch / "mypy.ini"
    config.write_text(
        "[mypy]\n"
        f"mypy_path = {firmware}:{scratch}:{places.BOARD_STUBS}\n"
        f"custom_typeshed_dir = {places.BOARD_STUBS}\n"
        f"cache_dir = {places.CACHE / 'mypy-board'}\n"
        "explicit_package_bases = true\n"
        "namespace_packages = true\n"
        # The stubs are not ours to mend; every file of ours is named on the command line and so is checked.
        "follow_imports = silent\n"
        "follow_imports_for_stubs = true\n"
        "check_untyped_defs = true\n"
        "warn_unused_ignores = true\n"
        "warn_redundant_casts = true\n"
        "warn_unused_configs = true\n"
        "enable_error_code = ignore-without-code\n"
        "[mypy-_mpy_shed.*]\n"
        "ignore_errors = true\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=places.ROOT)
    said = told.stdout + told.stderr
    for prefix in (str(scratch), places.short(scratch)):
        said = said.replace(f"{prefix}/{RENAMED}", f"{places.short(stand_ins)}/")
        said = said.replace(f"{prefix}/", f"{places.short(stand_ins)}/")
    return told.returncode, said


if __name__ == "__main__":
    code, report = check(FIRMWARE, STAND_INS, places.CACHE / "build" / "board-types")
    sys.stdout.write(report)
    sys.exit(code)
