"""The LoRaWAN package by itself: complete, installed by mpremote from an index, and its page's example joins and sends."""

import ast
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from node_world import DEV_EUI, ROOT, START, S, World

from tools import mip_index
from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import build_image, read_image

FIRMWARE = ROOT / "firmware"
MOST_LINES = 20


PAGE = (FIRMWARE / "lorawan" / "README.md").read_text()


def example() -> str:
    """The first Python block of the package's page."""
    return re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


def example_with(sentence: str, *begin: str) -> str:
    """The example with the lines that the page gives after `sentence` in the places of those that begin so."""
    block = re.search(re.escape(sentence) + r"\n\n((?: {4}.*\n)+)", PAGE)[1]
    lines = example().splitlines()
    for begins, line in zip(begin, block.splitlines(), strict=True):
        (at,) = [number for number, old in enumerate(lines) if old.startswith(begins)]
        lines[at] = line[4:]
    return "\n".join(lines)


def imported(source: str, package: str) -> set[str]:
    """Dotted names that a module of `package` asks for; of `from a import b` both a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module}" if node.level and node.module else node.module or package
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def needed(start: set[str]) -> set[str]:
    """Files of the firmware (as paths) that importing `start` loads."""
    found: set[str] = set()
    names = sorted(start)
    while names:
        name = names.pop()
        for path in (f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__init__.py"):
            if path not in found and (FIRMWARE / path).exists():
                found.add(path)
                package = ".".join(Path(path).parts[:-1])
                names += [*imported((FIRMWARE / path).read_text(), package), package]
    return found


def test_the_package_is_complete_and_has_nothing_that_is_not_there():
    listed = mip_index.sources()
    assert {target: path.relative_to(FIRMWARE).as_posix() for target, path in listed.items()} == {
        target: target for target in listed
    }
    whole = {
        path.relative_to(FIRMWARE).as_posix()
        for room in ("lorawan", "radio")
        for path in (FIRMWARE / room).glob("*.py")
    }
    roots = {path.removesuffix(".py").replace("/", ".") for path in whole} | imported(example(), "")
    assert set(listed) == whole | needed(roots)


def test_the_package_has_the_projects_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert json.loads(mip_index.PACKAGE.read_text())["version"] == project["version"]


@pytest.mark.parametrize("arguments", [(), ("--help",), ("a", "b")])
def test_the_index_is_made_in_one_folder_and_an_option_is_none(tmp_path, arguments):
    command = [sys.executable, "-m", "tools.mip_index", *arguments]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: python -m tools.mip_index FOLDER\n")
    assert list(tmp_path.iterdir()) == []


def test_the_example_is_short():
    assert len([line for line in example().splitlines() if line.strip()]) <= MOST_LINES


def test_the_page_names_every_reason_and_every_public_name_of_the_mac():
    namespace = {}
    exec((FIRMWARE / "lorawan" / "reasons.py").read_text(), namespace)  # noqa: S102  our own file
    reasons = {value for name, value in namespace.items() if name.isupper()}
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []
    (mac,) = [
        node
        for node in ast.parse((FIRMWARE / "lorawan" / "mac.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Mac"
    ]
    names = {node.name for node in ast.walk(mac) if isinstance(node, ast.FunctionDef)}
    names |= {
        node.attr for node in ast.walk(mac) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    }
    assert [name for name in sorted(names) if not name.startswith("_") and not re.search(rf"\b{name}\b", PAGE)] == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def index(tmp_path):
    """Address of a web server with the package's index and, under /firmware, the tree itself."""
    site = tmp_path / "site"
    mip_index.build(site)
    (site / "firmware").symlink_to(FIRMWARE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def mpremote(port, *arguments):
    command = [sys.executable, "-m", "mpremote", "connect", port, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def empty_board(world, folder):
    build_image(folder / "flash.img", {})
    return world.supervisor.add(0, DEV_EUI, world.wiring, folder / "flash.img")


def heard(world):
    """Answers of the network server, as they come."""
    answers = []
    uplink = world.core.uplink
    world.core.uplink = lambda frame, now: answers.append(uplink(frame, now)) or answers[-1]
    return answers


def kinds(answers):
    return [event.topic.rpartition("/")[2] for answer in answers for event in answer.events]


def test_the_example_joins_with_an_sx1276_too(tmp_path):
    sentence = "For an SX1276 four lines of the example are others:"
    main = example_with(sentence, "from radio.sx", "    TCXO", "pins", "runner")
    with World(tmp_path, board_file="bare_s3_rfm95") as world:
        answers = heard(world)
        files = {f"lib/{target}": path.read_bytes() for target, path in mip_index.sources().items()}
        build_image(tmp_path / "flash.img", {**files, "main.py": main.encode()})
        board = world.supervisor.add(0, DEV_EUI, world.wiring, tmp_path / "flash.img")
        board.power_on()
        world.run(START + 900 * S)
        assert "Traceback" not in board.log()
        assert kinds(answers) == ["join", "up", "up"]


def test_the_example_sends_as_a_personalised_device_too(tmp_path):
    main = example_with("Two lines of the example are others, and there is nothing to join:", "keys", "mac")
    with World(tmp_path) as world:
        files = {f"lib/{target}": path.read_bytes() for target, path in mip_index.sources().items()}
        build_image(tmp_path / "flash.img", {**files, "main.py": main.encode()})
        board = world.supervisor.add(0, DEV_EUI, world.wiring, tmp_path / "flash.img")
        board.power_on()
        world.run(START + 900 * S)
        assert board.log() == "join: True send: ok\n" * 2
        frames = [entry for entry in world.air.log if entry.sender == DEV_EUI]
        assert len(frames) == 2


def test_the_page_takes_an_empty_board_to_an_uplink_at_the_network_server(tmp_path, index):
    (tmp_path / "main.py").write_text(example())
    with World(tmp_path) as world:
        answers = heard(world)
        board = empty_board(world, tmp_path)
        board.power_on()
        world.run(START + S)
        with Live(world.clock, speed=20) as live:
            cable = live.do(lambda: Cable(board, world.clock))
            said = mpremote(cable.port, "mip", "install", "--index", index, "lorawan")
            assert "Installing: /lib/lorawan/mac.mpy" in said and said.endswith("Done\n")
            assert "Exists: /lib/lorawan/mac.mpy" in mpremote(cable.port, "mip", "install", "--index", index, "lorawan")
            mpremote(cable.port, "cp", str(tmp_path / "main.py"), ":main.py", "+", "reset")
            limit = time.monotonic() + 30
            while board.state != "asleep" and time.monotonic() < limit:
                time.sleep(0.05)
            cable.close()
        world.clock.pace(False)
        world.run(world.clock.now + 2_000 * S)  # two more wakes
        assert "Traceback" not in board.log()
        assert "join: ok send: ok\njoin: True send: ok\n" in board.log()
        join, *rest = kinds(answers)
        assert join == "join" and rest == ["up"] * len(rest) and len(rest) >= 3
        ups = [event.body for answer in answers for event in answer.events][1:]
        assert [(up.f_port, up.data, up.f_cnt) for up in ups] == [(1, b"\x17\x2a", n) for n in range(len(ups))]
        counter = len(ups)
        board.power_cut()  # RTC memory goes: the flash record takes its place, with the next block of counters
        board.power_on()
        world.run(world.clock.now + 30 * S)
        (again,) = [event.body for answer in answers[1 + counter :] for event in answer.events]
        assert (again.f_cnt, again.dev_addr) == (64, ups[0].dev_addr)


def test_source_installs_from_a_path_and_over_http(tmp_path, index):
    with World(tmp_path) as world:
        board = empty_board(world, tmp_path)
        board.power_on()
        with Live(world.clock, speed=20) as live:  # erasing a sector takes 45 ms
            cable = live.do(lambda: Cable(board, world.clock))
            for package, target in (
                (str(mip_index.PACKAGE), "/path"),
                (f"{index}/firmware/lorawan/package.json", "/http"),
            ):
                assert mpremote(cable.port, "mip", "install", "--target", target, package).endswith("Done\n")
            mpremote(cable.port, "exec", "import sys; sys.path.insert(0, '/path'); import lorawan.mac, radio.sx126x")
            cable.close()
        files = read_image(board.flash.contents())
        for target, path in mip_index.sources().items():
            assert files[f"path/{target}"] == files[f"http/{target}"] == path.read_bytes(), target
