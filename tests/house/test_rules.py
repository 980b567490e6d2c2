"""The tree keeps the house's rules, and each rule catches what it is for."""

import pytest

from tests.house import rules
from tools.setup import places


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule):
    wrong = rule(places.ROOT)
    assert not wrong, "\n" + "\n".join(wrong)


PLANTED = [
    (rules.arrows, "firmware/sensors/x.py", "import payload.meter\n", "sensors imports payload"),
    (rules.arrows, "firmware/lorawan/mac.py", "from radio import runner\n", "lorawan imports radio"),
    (rules.arrows, "firmware/attic/x.py", "", "no room 'attic'"),
    (rules.arrows, "gateway/vigie/decode.py", "from . import spool\n", "decode imports spool"),
    (rules.arrows, "gateway/vigie/decode.py", "from .writer import Writer\n", "decode imports writer"),
    (rules.arrows, "gateway/vigie/city/water.py", "from ..query import rows\n", "city imports query"),
    (rules.arrows, "gateway/vigie/writer.py", "import vigie.ingest\n", "writer imports ingest"),
    (rules.purity, "firmware/samples.py", "import time\n", "imports time"),
    (rules.purity, "firmware/lorawan/mac.py", "from machine import Pin\n", "imports machine"),
    (rules.purity, "firmware/keep/records.py", "def f():\n    import os\n", "imports os"),
    (rules.purity, "gateway/vigie/points.py", "import sqlite3\n", "imports sqlite3"),
    (
        rules.purity,
        "gateway/vigie/events.py",
        "from datetime import datetime\nx = datetime.now()\n",
        "calls datetime.now",
    ),
    (
        rules.purity,
        "gateway/vigie/events.py",
        "import datetime\nx = datetime.datetime.now()\n",
        "calls datetime.datetime.now",
    ),
    (rules.purity, "gateway/vigie/decode.py", "x = open('f')\n", "calls open"),
    (rules.purity, "gateway/vigie/settings.py", "from pathlib import Path\n", "imports pathlib"),
    (rules.purity, "gateway/vigie/settings.py", "import pathlib\nx = pathlib.PurePath()\n", "imports pathlib"),
    (rules.arrows, "gateway/vigie/settings.py", "from .files import load\n", "settings imports files"),
    (rules.integers, "firmware/payload/air.py", "x = 0.5\n", "a float constant, 0.5"),
    (rules.integers, "firmware/lorawan/airtime.py", "x = 7 / 2\n", "true division"),
    (rules.integers, "firmware/keep/records.py", "x = 7\nx /= 2\n", "true division"),
    (rules.payload_imports, "firmware/payload/air.py", "import math\n", "payload imports math"),
    (rules.payload_imports, "firmware/payload/air.py", "from collections import deque\n", "collections.deque"),
    (rules.payload_imports, "firmware/payload/air.py", "import payload.meter\n", "by name"),
    (
        rules.payload_imports,
        "firmware/payload/air.py",
        "from ..lorawan import frame\n",
        "payload imports lorawan.frame",
    ),
    (rules.tools_imports, "tools/world/air.py", "from tools.setup import places\n", "by name"),
    (rules.tools_imports, "tools/world/air.py", "from vigie.spool import Spool\n", "imports vigie.spool"),
    (rules.tools_imports, "tools/world/air.py", "import firmware.samples\n", "firmware into CPython"),
    (rules.tools_imports, "tools/devnet/core.py", "from ..world import air\n", "devnet stands on its own"),
    (rules.too_long, "tools/long.py", "\n" * 601, "601 lines"),
    (rules.words, "docs/x.md", "TO" + "DO: later\n", "without an issue's number"),
    (rules.words, "firmware/main.py", "# FIX" + "ME it leaks\n", "without an issue's number"),
    (rules.words, "Makefile", "x:\n\tcd /wo" + "rk/main\n", "contains"),
    (
        rules.skips,
        "tests/gateway/test_x.py",
        "import pytest\n\n\n@pytest.mark.skipif(True)\ndef test_x(): ...\n",
        "skipif",
    ),
    (rules.skips, "tests/gateway/conftest.py", "import pytest\n\npytest.importorskip('x')\n", "importorskip"),
    (rules.words, "docs/x.md", "https://py" + "pi.org/simple\n", "contains"),
]


@pytest.mark.parametrize(("rule", "name", "text", "said"), PLANTED, ids=[f"{p[0].__name__}-{p[3]}" for p in PLANTED])
def test_a_planted_violation_is_found(tmp_path, rule, name, text, said):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (found,) = rule(tmp_path)
    assert said in found
    assert name in found


ALLOWED = [
    ("firmware/sensors/x.py", "import time\nfrom samples import Reading\n"),
    ("firmware/radio/runner.py", "import lorawan.mac\nx = 1 / 2\n"),
    ("firmware/keep/flash.py", "import os\n"),
    (
        "firmware/payload/air.py",
        "import struct\nfrom collections import namedtuple\nfrom . import codes\nfrom .codes import X\n",
    ),
    ("gateway/vigie/points.py", "from datetime import datetime\nfrom .decode import Readings\n"),
    ("gateway/vigie/settings.py", "from pathlib import PurePath\n"),
    ("gateway/vigie/cli.py", "from . import service, query\n"),
    ("tools/world/run.py", "from ..devnet import core\nfrom vigie.settings import Settings\n"),
    ("tests/tools/mplib/test_mplib.py", "import pytest\n\npytest.skip('no library')\n"),
    ("docs/x.md", "TO" + "DO(#12): said where it is tracked\n"),
]


@pytest.mark.parametrize(("name", "text"), ALLOWED, ids=[a[0] for a in ALLOWED])
def test_what_the_house_allows_passes(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert [wrong for rule in rules.RULES for wrong in rule(tmp_path)] == []


def test_the_payload_is_one_set_of_files():
    link = places.ROOT / "gateway" / "vigie" / "payload"
    assert link.is_symlink()
    assert link.resolve() == places.ROOT / "firmware" / "payload"
