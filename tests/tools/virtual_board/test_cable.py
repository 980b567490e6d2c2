"""A cable into a virtual board: what mpremote finds there, and what becomes of the board."""

import time
from pathlib import Path

import pytest
from cable_bench import mpremote, transport, until
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.virtual_board.cable import Cable, Live
from tools.virtual_board.flash import build_image, read_image
from tools.virtual_board.machine import BoardError
from tools.virtual_board.wiring import Wiring

COUNTER = "import time\nn = 0\nwhile True:\n    time.sleep(1)\n    n += 1\n    print('second', n)\n"


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
    began = time.monotonic()
    world = plug("import time\ntime.sleep(50)\nprint('x' * 1150)\n", speed=50, baud=11_500)
    typist = person(world.port)
    typist.reads("x\r\n")
    assert time.monotonic() - began > 1.9  # 50 s at this speed, and a second for 1,150 bytes


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
