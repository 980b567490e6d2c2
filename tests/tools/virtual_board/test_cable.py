"""A cable into a virtual board: what mpremote and a person at the prompt find, and what becomes of the board."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from tools.setup.places import ROOT
from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import build_image, firmware_files, read_image
from tools.virtual_board.machine import BoardError
from tools.virtual_board.wiring import UartLine, Wiring

SECOND = 1_000_000_000
COUNTER = "import time\nn = 0\nwhile True:\n    time.sleep(1)\n    n += 1\n    print('second', n)\n"


@pytest.fixture
def plug(bench):
    """`plug(main)` -> live world with one powered board and its cable."""
    with contextlib.ExitStack() as stack:

        def plug(main, wiring=None, files=None, speed=20, baud=None):
            live = stack.enter_context(Live(bench.clock, speed))
            board = live.do(lambda: bench.board(main, wiring, files, power=False))
            cable = live.do(lambda: Cable(board, bench.clock, baud))
            stack.callback(cable.close)
            live.do(board.power_on)
            return SimpleNamespace(live=live, board=board, cable=cable, port=cable.port, clock=bench.clock)

        yield plug


@contextlib.contextmanager
def transport(port, *, soft_reset=False):
    serial = SerialTransport(port, timeout=5)
    try:
        serial.enter_raw_repl(soft_reset=soft_reset)
        yield serial
        serial.exit_raw_repl()
    finally:
        serial.close()


def mpremote(port, *arguments, code=0):
    """What it prints; asserts that it ends with `code`."""
    command = [sys.executable, "-m", "mpremote", "connect", port, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def until(condition, seconds=10):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come in time"
        time.sleep(0.01)


class Person:
    """Types into the port and reads what comes."""

    def __init__(self, port):
        self.file = os.open(port, os.O_RDWR | os.O_NOCTTY)

    def type(self, text):
        os.write(self.file, text.encode("latin-1"))

    def reads(self, ending, seconds=10):
        """Everything up to `ending`."""
        got = b""
        limit = time.monotonic() + seconds
        while not got.endswith(ending.encode("latin-1")):
            ready, _, _ = select.select([self.file], [], [], max(0, limit - time.monotonic()))
            assert ready, got
            got += os.read(self.file, 1)
        return got.decode("latin-1")

    def hears_nothing(self, seconds):
        return not select.select([self.file], [], [], seconds)[0]

    def close(self):
        os.close(self.file)


@pytest.fixture
def person(request):
    def sit(port):
        made = Person(port)
        request.addfinalizer(made.close)
        return made

    return sit


def test_mpremote_interrupts_a_sleeping_main_and_runs_code(plug, tmp_path):
    world = plug(COUNTER)
    until(lambda: "second 3" in world.board.log())
    script = tmp_path / "script.py"
    script.write_text("print('from a file')\nraise ValueError('told')\n")
    assert mpremote(world.port, "resume", "exec", "kept = 6 * 7", "+", "eval", "kept, n > 2") == "42 True\n"
    assert world.board.state == "prompt"
    told = mpremote(world.port, "run", script, code=1)
    assert "from a file\n" in told and 'File "<stdin>", line 2' in told and "ValueError: told" in told
    assert "repl.py" not in told
    assert "NameError" in mpremote(world.port, "eval", "kept", code=1)  # each call begins with a soft reset


def test_mpremote_copies_lists_and_removes_files(plug, tmp_path):
    world = plug("")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.py").write_text("# ü\nx = 'é'\n" * 500)
    (tree / "sub" / "every.bin").write_bytes(bytes(range(256)) * 12)
    mpremote(world.port, "fs", "cp", "-r", tree, ":", "+", "fs", "mkdir", "made")
    files = read_image(world.board.flash.contents())
    assert files["tree/a.py"] == (tree / "a.py").read_bytes()
    assert files["tree/sub/every.bin"] == (tree / "sub" / "every.bin").read_bytes()
    programmed = sum(world.board.flash.programmed)
    assert mpremote(world.port, "fs", "cp", "-r", tree, ":").count("Up to date") == 2
    assert sum(world.board.flash.programmed) == programmed
    told = mpremote(world.port, "fs", "ls", "+", "fs", "tree", "+", "fs", "cat", "tree/a.py", "+", "df")
    assert "made/" in told and "└── sub" in told and (tree / "a.py").read_text() in told and "2097152" in told
    back = tmp_path / "back.bin"
    told = mpremote(
        world.port, "fs", "sha256sum", "tree/sub/every.bin", "+", "fs", "cp", ":tree/sub/every.bin", back, "+",
        "fs", "rm", "-r", ":tree",
    )  # fmt: skip
    assert back.read_bytes() == (tree / "sub" / "every.bin").read_bytes()
    with transport(world.port) as serial:
        assert [entry.name for entry in serial.fs_listdir()] == ["made", "main.py"]


def test_a_soft_reset_from_the_raw_repl_runs_boot_and_not_main(plug):
    files = {"boot.py": b"import machine\nprint('boot', machine.reset_cause())\nfrom_boot = 1\n"}
    world = plug("print('main', from_boot)\n", files=files)
    until(lambda: world.board.state == "prompt")
    assert world.board.log().splitlines() == ["boot 1", "main 1"]
    with transport(world.port, soft_reset=True) as serial:
        assert serial.eval("from_boot") == 1
    assert world.board.log().splitlines()[2:4] == ["boot 5", "1"]
    mpremote(world.port, "reset")
    until(lambda: world.board.log().endswith("boot 2\nmain 1\n"))


def test_ctrl_c_in_the_ten_seconds_after_power_on_reaches_the_prompt_of_a_node(plug, person):
    config = {"kind": "air", "board": "bare_s3", "dev_eui": "70b3d5e75e000a01", "join_eui": "0" * 16, "region": "eu868"}
    files = firmware_files(ROOT / "firmware")
    main = files.pop("main.py").decode()
    files["config.json"] = json.dumps({**config, "app_key": "0" * 32}).encode()
    world = plug(main, files=files, speed=1)
    until(lambda: "Ctrl-C for a prompt" in world.board.log())
    told = mpremote(world.port, "resume", "eval", "__import__('time').time()")
    assert int(told) < 10
    assert "KeyboardInterrupt" in world.board.log()
    assert world.board.wakes == 1


def test_ctrl_c_ends_a_wait_for_a_uart_and_waits_for_masked_interrupts(plug, person):
    source = """
        import machine, time
        u = machine.UART(1, 9600, tx=17, rx=18, timeout=100000)
        try:
            print("waits")
            u.read(5)
        except KeyboardInterrupt:
            print("uart after", time.time())
        state = machine.disable_irq()
        try:
            print("masked")
            for _ in range(3):
                time.sleep(1)
            print("unmasks")
            machine.enable_irq(state)
            time.sleep(60)
        except KeyboardInterrupt:
            print("told")
        """
    silent = SimpleNamespace(attach=lambda _host: None, power=lambda _on: None, receive=lambda _data: None)
    world = plug(source, Wiring(uart=[UartLine(17, 18, 9600, silent)]), speed=5)
    typist = person(world.port)
    for word in ("waits", "masked"):
        until(lambda word=word: word in world.board.log())
        typist.type("\x03")
    until(lambda: world.board.state == "prompt")
    lines = world.board.log().splitlines()
    assert int(lines[1].rpartition(" ")[2]) < 90
    assert [lines[0], *lines[2:]] == ["waits", "masked", "unmasks", "told"]


def test_ctrl_c_in_the_midst_of_writing_leaves_the_file_system_whole(plug, person):
    source = """
        import os, time
        n = 0
        def write():
            global n
            while True:
                with open("f.new", "w") as f:
                    f.write("%d\\n" % n * 500)
                os.rename("f.new", "f")
                n += 1
                time.ticks_ms()
        while True:
            try:
                write()
            except KeyboardInterrupt:
                print("interrupted", n)
        """
    world = plug(source, speed=50)
    typist = person(world.port)
    for count in range(1, 9):
        time.sleep(0.05 + 0.003 * count)
        typist.type("\x03")
        until(lambda count=count: world.board.log().count("interrupted") == count)
    content = world.live.do(lambda: read_image(world.board.flash.contents()))["f"]
    assert len(set(content.split())) == 1 and content.count(b"\n") == 500
    assert world.board.log().count("Traceback") == 0


def test_a_program_that_computes_without_end_is_interrupted(plug):
    world = plug("print('begins')\nwhile True: pass\n")
    until(lambda: world.board.log() == "begins\n")
    with transport(world.port) as serial:
        assert serial.eval("1 + 1") == 2
    assert world.board.state == "prompt"
    assert "KeyboardInterrupt" in world.board.log()


def test_the_port_stays_while_the_board_sleeps_and_nobody_answers(plug, person):
    world = plug("import machine\nprint('wake', machine.reset_cause())\nmachine.deepsleep(40000)\n")
    typist = person(world.port)
    typist.reads("wake 4\r\n")
    until(lambda: world.board.state == "asleep")
    typist.type("\r\x03\r\x01")
    assert typist.hears_nothing(0.3)
    assert world.board.state == "asleep"
    assert typist.reads("\r\n") == "wake 4\r\n"  # what was typed is lost
    world.live.do(world.board.power_cut)
    typist.type("\x03")
    assert typist.hears_nothing(0.2)
    world.live.do(world.board.power_on)
    assert typist.reads("\r\n") == "wake 1\r\n"


def test_a_person_at_the_prompt(plug, person):
    world = plug("print('done')\n")
    until(lambda: world.board.state == "prompt")
    typist = person(world.port)
    typist.type("\r")
    typist.reads(">>> ")
    typist.type("2**10\r")
    assert typist.reads(">>> ") == "2**10\r\n1024\r\n>>> "
    typist.type("x = 4\x082\r")
    assert typist.reads(">>> ") == "x = 4\b \b2\r\n>>> "
    typist.type("for i in range(2):\r    print(i * x)\r\r")
    assert typist.reads(">>> ").endswith("... \r\n0\r\n2\r\n>>> ")
    typist.type("print((1,\r2))\r")
    assert typist.reads(">>> ").endswith("(1, 2)\r\n>>> ")
    typist.type("{}['k']\r")
    assert "KeyError: k\r\n" in typist.reads(">>> ")
    typist.type("half a li\x03")
    assert typist.reads(">>> ") == "half a li\r\n>>> "
    typist.type("\x05")
    typist.reads("=== ")
    typist.type("if x:\r  print('pasted')\r\x04")
    assert typist.reads("pasted\r\n>>> ").startswith("if x:\r\n=== ")
    typist.type("import time; time.sleep(1000)\r")
    time.sleep(0.2)
    typist.type("\x03")
    assert "KeyboardInterrupt" in typist.reads(">>> ")
    typist.type("\x02")
    assert "MicroPython v1.25.0" in typist.reads(">>> ")
    typist.type("\x04")
    assert typist.reads(">>> ").startswith("\r\nMPY: soft reboot\r\ndone\r\nMicroPython")


def test_the_raw_repl_byte_by_byte(plug, person):
    world = plug("")
    until(lambda: world.board.state == "prompt")
    typist = person(world.port)
    typist.type("\r\x01")
    typist.reads("raw REPL; CTRL-B to exit\r\n>")
    typist.type("print(7)\x04")
    assert typist.reads("\x04>") == "OK7\r\n\x04\x04>"
    typist.type("{}[1]\x04")
    assert typist.reads("\x04>") == (
        'OK\x04Traceback (most recent call last):\r\n  File "<stdin>", line 1, in <module>\r\nKeyError: 1\r\n\x04>'
    )
    typist.type("dropped\x03print(8)\x04")
    assert typist.reads("\x04>") == "OK8\r\n\x04\x04>"
    typist.type("\x05A\x01")
    assert typist.reads("R\x01\x80\x00\x01") == "R\x01\x80\x00\x01"
    typist.type("#" * 128)
    assert typist.reads("\x01") == "\x01"
    typist.type("\nprint(9)\x04")
    assert typist.reads("\x04>") == "\x049\r\n\x04\x04>"
    typist.type("\x05A\x01")
    typist.reads("R\x01\x80\x00\x01")
    typist.type("print(10\x03")
    assert typist.reads("\x04>") == "\x04\x04KeyboardInterrupt: \r\n\x04>"
    typist.type("\x04")
    assert typist.reads(">") == "OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
    typist.type("\x02")
    typist.reads(">>> ")


def test_source_that_does_not_fit_the_heap_is_refused_and_the_prompt_lives_on(plug):
    world = plug("hog = bytearray(80000)\n")
    with transport(world.port) as serial:
        with pytest.raises(TransportExecError, match="MemoryError"):
            serial.exec("x = '" + "y" * 40_000 + "'")
        assert serial.eval("len(hog)") == 80_000
    world.live.do(lambda: None)


def test_a_main_that_ended_for_lack_of_memory_leaves_a_prompt(plug):
    world = plug("hog = []\nwhile True: hog.append(bytearray(500))\n")
    with transport(world.port) as serial:
        assert serial.eval("1 + 1") == 2
    assert "MemoryError" in world.board.log()


def test_a_full_flash_is_one_line_and_leaves_the_board_in_order(bench):
    image = bench.folder / "small.img"
    build_image(image, {"main.py": b""}, blocks=16)
    board = bench.supervisor.add(0, "70b3d57ed0000000", Wiring(), image)
    big = bench.folder / "big.bin"
    big.write_bytes(bytes(100_000))
    with Live(bench.clock, 20) as live:
        cable = live.do(lambda: Cable(board, bench.clock))
        live.do(board.power_on)
        told = mpremote(cable.port, "cp", big, ":big.bin", code=1)
        assert "No space" in told.splitlines()[-1] or "ENOSPC" in told.splitlines()[-1]
        assert "Traceback" not in told
        with transport(cable.port) as serial:
            serial.fs_rmfile("big.bin")
            serial.fs_writefile("small.txt", b"fits")
            assert serial.fs_readfile("small.txt") == b"fits"


def test_a_pulled_cable_ends_the_copy_and_not_the_board(plug):
    world = plug("")
    serial = SerialTransport(world.port, timeout=5)
    serial.enter_raw_repl(soft_reset=False)

    def pull(written, _size):
        if written >= 1024:
            world.cable.close()

    with pytest.raises((OSError, TransportError)):
        serial.fs_writefile("half.bin", bytes(5_000), progress_callback=pull)
    with pytest.raises(OSError, match="Input/output error"):  # mpremote sets the lines once more
        serial.close()
    serial.serial.close()
    second = world.live.do(lambda: Cable(world.board, world.clock))
    with transport(second.port) as serial:
        assert serial.fs_stat("half.bin").st_size < 5_000
        serial.fs_writefile("half.bin", b"whole")
    assert world.live.do(lambda: read_image(world.board.flash.contents()))["half.bin"] == b"whole"
    second.close()


def test_a_cable_that_is_plugged_in_later_finds_the_board_where_it_is(bench):
    board = bench.board("state = 'kept'\nprint('before')\n")
    bench.run(5)
    assert board.state == "prompt"
    with Live(bench.clock) as live:
        cable = live.do(lambda: Cable(board, bench.clock))
        with transport(cable.port) as serial:
            assert serial.eval("state") == "kept"
        cable.close()
    assert board.wakes == 1


def test_a_baud_rate_takes_its_time(plug, person):
    world = plug("import time\ntime.sleep(5)\nprint('x' * 1150)\n", speed=50, baud=11_500)
    typist = person(world.port)
    typist.reads("x")
    began = time.monotonic()
    typist.reads("\r\n")
    assert time.monotonic() - began > 0.8


def test_nobody_at_the_port_does_not_hold_the_board(plug, person):
    world = plug("import time\nfor n in range(3000): print('line', n); time.sleep_ms(1)\nprint('end')\n", speed=50)
    until(lambda: world.board.log().endswith("end\n"))
    typist = person(world.port)  # opened and never read
    typist.type("for n in range(3000): print('line', n)\r\r")
    until(lambda: world.board.log().endswith("line 2999\n"))
    assert world.live.do(lambda: world.board.state) == "prompt"


def test_a_silent_cable_changes_nothing_of_a_run(bench, tmp_path):
    source = """
        import machine, os, time
        time.sleep_ms(1500)
        with open("log", "a") as f:
            f.write(os.urandom(4).hex())
        machine.RTC().memory(os.urandom(4))
        machine.deepsleep(7000)
        """
    digests = []
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        other = type(bench)(folder)
        board = other.board(source, crystal_ppb=None, sleep_clock_ppm=None)
        cable = Cable(board, other.clock) if name == "with" else None
        other.run(60)
        digests.append(other.supervisor.state_digest())
        other.supervisor.close()
        assert cable is None or not Path(cable.port).exists()
    assert digests[0] == digests[1]


def test_what_ends_a_live_world_is_told_to_who_started_it(bench):
    board = bench.board("", power=False)
    live = Live(bench.clock)
    live.do(board.power_on)
    with pytest.raises(BoardError, match="has power already"):
        live.do(board.power_on)
    assert live.do(lambda: board.state) in {"running", "prompt"}
    bench.clock.call(lambda: board.fault("the run is over"))
    with pytest.raises(BoardError, match="the run is over"):
        live.do(lambda: None)
    with pytest.raises(BoardError, match="the run is over"):
        live.close()
