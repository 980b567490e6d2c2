"""The LoRaWAN package as an index for `mpremote mip install --index`: a folder that any web server can serve.

    python -m tools.mip_index FOLDER

The layout is the one that mip reads (MicroPython's documentation, "Package management"): `package/6/<name>/<version>.json` for boards
that take .mpy files of version 6, `package/py/...` for source, each naming its files by the beginning of their SHA-256 under `file/`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from .setup.places import ROOT
from .virtual_board.flash import compile_source

PACKAGE = ROOT / "firmware" / "lorawan" / "package.json"
NAME = "lorawan"
MPY_VERSION = "6"
_PREFIX = 16  # hex digits of a hash that name a file


def sources(package: Path = PACKAGE) -> dict[str, Path]:
    """Path on the board below its `lib` folder -> file here."""
    return {target: (package.parent / url).resolve() for target, url in json.loads(package.read_text())["urls"]}


def build(folder: Path) -> None:
    """Writes the index; what is in `folder` already stays, so that older versions can still be had."""
    version = json.loads(PACKAGE.read_text())["version"]
    source, bytecode = [], []
    for target, path in sources().items():
        source.append([target, _store(folder, path.read_bytes())])
        bytecode.append([f"{target.removesuffix('.py')}.mpy", _store(folder, compile_source(path, target))])
    for kind, hashes in (("py", source), (MPY_VERSION, bytecode)):
        for name in (version, "latest"):
            place = folder / "package" / kind / NAME / f"{name}.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps({"v": 1, "version": version, "hashes": hashes, "deps": []}))


def _store(folder: Path, content: bytes) -> str:
    prefix = hashlib.sha256(content).hexdigest()[:_PREFIX]
    place = folder / "file" / prefix[:2] / prefix
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return prefix


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m tools.mip_index FOLDER")
    build(Path(sys.argv[1]))
