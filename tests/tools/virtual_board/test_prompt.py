"""At the end of a board's cable: the REPL as a person and as a tool have it, and Ctrl-C into whatever the board does."""

import json
import time
from types import SimpleNamespace

import pytest
from cable_bench import mpremote, transport, until
from mpremote.transport import TransportExecError

from tools.setup.places import ROOT
from tools.virtual_board.flash import firmware_files, read_image
from tools.virtual_board.wiring import UartLine, Wiring


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


def test_a_person_at_the_prompt(plug, person):
    world = plug("print('done')\n")
    until(lambda: world.board.state == "prompt")
    typist = person(world.port)
    typist.type("'here'\r")
    typist.reads("\r\n'here'\r\n>>> ")  # the banner may come before it, or be lost like all that nobody hears
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
    typist.type("import time; print('sleeps'); time.sleep(1000)\r")
    typist.reads("sleeps\r\n")
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
    until(lambda: world.board.state == "prompt")
    with transport(world.port) as serial:
        with pytest.raises(TransportExecError, match="MemoryError"):
            serial.exec("x = '" + "y" * 40_000 + "'")
        assert serial.eval("len(hog)") == 80_000
    world.live.do(lambda: None)


def test_a_main_that_ended_for_lack_of_memory_leaves_a_prompt(plug):
    world = plug("hog = []\nwhile True: hog.append(bytearray(500))\n")
    until(lambda: world.board.state == "prompt")
    with transport(world.port) as serial:
        assert serial.eval("1 + 1") == 2
    assert "MemoryError" in world.board.log()
