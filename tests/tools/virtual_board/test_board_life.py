"""Boots, sleeps, resets, power cuts; what survives which of them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tools.setup.places import ROOT
from tools.virtual_board import process as process_module
from tools.virtual_board.flash import read_image
from tools.virtual_board.machine import BoardError
from tools.virtual_board.wiring import Wiring

SECOND = 1_000_000_000

SLEEPER = """
import machine, time
m = machine.RTC().memory()
print(machine.reset_cause(), machine.wake_reason(), time.time(), len(m))
machine.RTC().memory(m + b"x")
machine.deepsleep(10000)
"""


def test_deep_sleep_is_a_restart_with_rtc_memory_and_running_rtc(bench):
    board = bench.board(SLEEPER)
    bench.run(30)
    lines = [tuple(map(int, line.split())) for line in board.log().splitlines()]
    assert lines == [(1, 0, 0, 0), (4, 4, 10, 1), (4, 4, 20, 2)]
    assert board.state == "asleep"


def test_a_power_cut_loses_rtc_memory_and_time_and_keeps_flash(bench):
    board = bench.board(SLEEPER.replace("machine.deepsleep", "open('f', 'a').write('.'); machine.deepsleep"))
    bench.run(15)
    board.power_cut()
    assert board.state == "off"
    bench.run(100)
    board.power_on()
    bench.run(1)
    assert board.log().splitlines()[-1] == "1 0 0 0"
    with pytest.raises(BoardError, match="has power already"):
        board.power_on()


def test_the_sleep_clock_error_moves_the_wake_and_the_rtc_does_not_know(bench):
    board = bench.board(SLEEPER.replace("10000", "1000000"), sleep_clock_ppm=lambda _when: 50_000)
    start = bench.clock.now
    bench.run(1)
    while board.wakes == 1:
        bench.run(1)
    asleep = (bench.clock.now - start) / SECOND
    assert 952 < asleep < 954  # 1000 s of a clock that is 5 % fast
    bench.run(1)
    assert board.log().splitlines()[-1].split()[2] == "1000"


def test_crystal_error_scales_what_a_board_takes_for_a_second(bench):
    seen = {}

    class Listener:
        def __init__(self, name):
            self.name = name

        def attach(self, host):
            self.host = host

        def power(self, on):
            pass

        def output(self, pin, level):
            seen.setdefault(self.name, []).append(self.host.now)

    source = "import machine, time\np = machine.Pin(2, machine.Pin.OUT, value=1)\ntime.sleep(1000)\np(0)\n"
    for ppb in (-40_000, 0, 40_000):
        bench.board(source, Wiring(outputs=[(2, Listener(ppb))]), crystal_ppb=ppb)
    bench.run(1002)
    took = {ppb: times[1] - times[0] for ppb, times in seen.items()}
    assert abs(took[-40_000] - took[0] - 40_000_000) < 100_000
    assert abs(took[40_000] - took[0] + 40_000_000) < 100_000


@pytest.mark.parametrize(("call", "cause"), [("reset", 2), ("soft_reset", 5)])
def test_resets_name_their_cause_and_keep_rtc_memory(bench, call, cause):
    lines = bench.says(f"""
        import machine, time
        r = machine.RTC()
        print(machine.reset_cause(), r.memory(), time.time())
        if not r.memory():
            r.memory(b"kept")
            time.sleep(5)
            machine.{call}()
        """)
    assert lines == ["1 b'' 0", f"{cause} b'kept' 5"]


def test_sys_exit_is_a_soft_reset_and_an_exception_ends_at_the_prompt(bench):
    board = bench.board("""
        import machine, sys
        print(machine.reset_cause())
        if machine.reset_cause() == 1:
            sys.exit()
        {}["missing"]
        """)
    bench.run(10)
    assert board.state == "prompt"
    lines = board.log().splitlines()
    assert lines[:2] == ["1", "5"]
    assert lines[-1] == "KeyError: missing"
    assert any('"main.py", line 6' in line for line in lines)


def test_the_watchdog_resets_even_at_the_prompt_and_feeding_delays_it(bench):
    lines = bench.says("""
        import machine, time
        print(machine.reset_cause(), time.time())
        if machine.reset_cause() == 1:
            w = machine.WDT(timeout=2000)
            for _ in range(5):
                time.sleep(1)
                w.feed()
            assert not hasattr(w, "deinit")
        """)
    assert lines == ["1 0", "3 7"]


def test_the_watchdog_bites_in_a_loop_that_only_polls(bench):
    lines = bench.says("""
        import machine, time
        print(machine.reset_cause())
        if machine.reset_cause() == 1:
            machine.WDT(timeout=50)
            while True:
                time.ticks_ms()
        """)
    assert lines == ["1", "3"]


def test_a_torn_program_operation_leaves_littlefs_with_the_old_file(bench):
    source = """
        import machine, os
        try:
            print(open("f").read())
        except OSError:
            print("none")
        for text in ("old", "new"):
            with open("t", "w") as f:
                f.write(text * 100)
            os.rename("t", "f")
        machine.deepsleep(1000000)
        """
    whole = bench.board(source)
    bench.run(10)
    assert read_image(whole.flash.contents())["f"] == b"new" * 100
    assert sum(whole.flash.erases) > 0
    seen = set()
    for cut in range(1, 40):
        board = bench.board(source, power=False)
        board.power_cut(after_blocks=cut)
        board.power_on()
        bench.run(10)
        if board.state == "asleep":
            break
        assert board.state == "off"
        board.power_on()
        bench.run(10)
        seen.add(board.log().splitlines()[1][:3])
        assert board.state == "asleep"
    else:
        pytest.fail("forty cuts and still no run without one")
    assert {"non", "old"} <= seen


def test_flash_programming_only_clears_bits(bench):
    board = bench.board("", power=False)
    block = board.flash.size // 4096 - 1
    board.flash.erase(block)
    board.flash.program(block * 4096, b"\xf0")
    board.flash.program(block * 4096, b"\x0f")
    assert board.flash.contents()[block * 4096] == 0
    assert (board.flash.erases[block], board.flash.programmed[block]) == (1, 2)


def test_a_board_that_says_nothing_is_an_error_that_names_it(bench):
    bench.supervisor._timeout = 2
    board = bench.board("import time\ntime.sleep(1)\nwhile True: pass\n")
    pid = board._process.pid
    with pytest.raises(BoardError, match=r"board 0 \(70b3d57ed0000000\).*last request was WAIT"):
        bench.run(10)
    bench.supervisor.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_interpreter_that_is_killed_is_an_error_that_names_it(bench):
    board = bench.board("import time\nwhile True: time.sleep(1)\n")
    bench.run(5)
    os.kill(board._process.pid, signal.SIGKILL)
    with pytest.raises(BoardError, match="ended by itself"):
        bench.run(5)


def test_a_model_that_faults_ends_the_run_with_board_time_and_sentence(bench):
    class Strict:
        def attach(self, host):
            self.host = host

        def power(self, on):
            pass

        def output(self, pin, level):
            if level:
                self.host.fault("never high (datasheet 1.2.3)")

    bench.board("import machine\nmachine.Pin(7, machine.Pin.OUT, value=1)\n", Wiring(outputs=[(7, Strict())]))
    with pytest.raises(BoardError, match=r"board 0 .* at 18\d+ ns: never high \(datasheet 1.2.3\)"):
        bench.run(5)


WORLD = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
sys.path.insert(0, {root!r})
from tools.virtual_board.flash import build_image
from tools.virtual_board.supervisor import Supervisor
from tools.virtual_board.wiring import Wiring
from tools.world.clock import Clock
image = Path({folder!r}) / "b.img"
build_image(image, {{"main.py": b"import time\\nwhile True: time.sleep(1)\\n"}})
clock = Clock(0)
with Supervisor(clock, "s") as supervisor:
    board = supervisor.add(0, "0" * 16, Wiring(), image)
    board.power_on()
    clock.run_until(10**9)
    print(board._process.pid, flush=True)
    clock.pace(True)
    clock._wall = lambda: clock.now
    clock.run_until(10**18)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_child_outlives_its_world(tmp_path, how):
    source = WORLD.format(root=str(ROOT), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as world:
        try:
            child = int(world.stdout.readline())
            os.kill(child, 0)
            world.send_signal(how)
            world.wait(10)
        finally:
            world.kill()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail(f"child {child} outlived its world")


def test_the_heap_of_a_program_is_a_real_boards(bench):
    (line,) = bench.says("import gc\ngc.collect()\nprint(gc.mem_free())\n")
    assert process_module.HEAP_BOARD - 1024 <= int(line) <= process_module.HEAP_BOARD + 1024


def test_only_the_boards_files_can_be_imported(bench):
    lines = bench.says("""
        import os, sys
        print(os.listdir("/"), sys.path)
        for name in ("boot", "link", "wire", "costs", "pins", "buses"):
            try:
                __import__(name)
                print(name)
            except ImportError:
                pass
        try:
            os.stat("/etc")
        except OSError:
            print("no host")
        """)
    assert lines == ["['main.py'] ['', '.frozen', '/lib']", "no host"]
