"""The stand-ins against models of a few lines: names, arguments, errors and limits of the ESP32 port."""

import ast
import re

import pytest

from tools.virtual_board import protocol
from tools.virtual_board.machine import BoardError
from tools.virtual_board.process import STAND_INS
from tools.virtual_board.wiring import Wiring

SECOND = 1_000_000_000
MS = 1_000_000


class Model:
    """Records what happens to it."""

    def __init__(self):
        self.seen = []

    def attach(self, host):
        self.host = host

    def power(self, on):
        self.on = on


def test_both_sides_of_the_protocol_have_the_same_words():
    tree = ast.parse((STAND_INS / "wire.py").read_text())
    words = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            value = node.value.args[0] if isinstance(node.value, ast.Call) else node.value
            words[node.targets[0].id] = ast.literal_eval(value)
    for name, value in words.items():
        mine = getattr(protocol, name)
        assert (mine if isinstance(value, int) else mine.format) == value, name
    assert set(protocol.NAMES.values()) == {name for name, value in words.items() if isinstance(value, int)} - {
        "REQUEST",
        "RAW",
        "AT_ONCE",
        "INTERRUPT",
    }


def raises(bench, *statements):
    """Runs each statement on a board; returns the names of the exceptions (or what was printed)."""
    source = "import machine, time, esp32, os, random, cryptolib\nfrom machine import *\n"
    for statement in statements:
        source += f"try:\n    {statement}\n    print('fine')\nexcept Exception as e:\n    print(type(e).__name__, e)\n"
    return bench.says(source)


def test_what_the_port_refuses_is_refused(bench):
    lines = raises(
        bench,
        "Pin(22)",
        "Pin(49)",
        "Pin(5, Pin.IN, colour=3)",
        "Pin(5, Pin.IN).irq(lambda p: 0, Pin.IRQ_RISING, hard=True)",
        "RTC().memory(bytes(2049))",
        "RTC().memory(bytes(2048))",
        "ADC(21)",
        "ADC(6).atten(4)",
        "SPI(3)",
        "SPI(1).write(b'')",
        "SPI(1).write_readinto(b'12', bytearray(3))",
        "I2C(2)",
        "I2C(0, scl=2, sda=1).readfrom(0x44, 6)",
        "UART(3)",
        "UART(1, 9600, rxbuf=128)",
        "WDT(1)",
        "WDT(timeout=0)",
        "freq(100_000_000)",
        "esp32.wake_on_ext0(33, False)",
        "esp32.wake_on_ext1((4, 33), True)",
        "esp32.NVS('sixteen letters!')",
        "esp32.NVS('n').set_i32('sixteen letters!', 1)",
        "esp32.NVS('n').get_i32('none')",
        "esp32.NVS('n').set_blob('b', bytes(30000))",
        "esp32.NVS('n').set_i32('i', 1 << 31)",
        "time.ticks_add(0, 1 << 29)",
        "time.mktime((2000, 1, 1))",
        "machine.Timer",
        "machine.bitstream",
    )
    assert [line.split()[0] for line in lines] == [
        "ValueError",
        "ValueError",
        "TypeError",
        "TypeError",
        "ValueError",
        "fine",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "OSError",
        "ValueError",
        "OSError",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "OSError",
        "OSError",
        "OSError",
        "OSError",
        "OverflowError",
        "OverflowError",
        "TypeError",
        "AttributeError",
        "AttributeError",
    ]
    assert lines[12] == "OSError [Errno 19] ENODEV"
    assert "-4354" in lines[22]  # ESP_ERR_NVS_NOT_FOUND = 0x1102


def test_time_has_epoch_2000_whole_seconds_and_ticks_that_wrap(bench):
    lines = bench.says(
        """
        import time, machine
        print(time.gmtime(0), type(time.time()))
        for t in (0, 59 * 86400, 60 * 86400 - 1, 366 * 86400, 951782400 - 1, 2 ** 31 + 5, 4102444800):
            g = time.gmtime(t)
            assert time.mktime(g) == t, t
        print(time.gmtime(59 * 86400)[:3], time.gmtime(4102444800))
        print(time.mktime((2026, 13, 1, 0, 0, 0, 0, 0)) == time.mktime((2027, 1, 1, 0, 0, 0, 0, 0)))
        a = time.ticks_us(); time.sleep(1074); b = time.ticks_us()
        print(b < 1 << 30, time.ticks_diff(b, a) // 1000, time.ticks_add((1 << 30) - 1, 2))
        machine.RTC().datetime((2026, 3, 29, 0, 1, 2, 3, 500000))
        time.sleep_ms(1600)
        print(machine.RTC().datetime()[:7], time.gmtime()[:6], machine.RTC().datetime()[3])
        machine.deepsleep(1000)
        """,
        seconds=1076,
    )
    assert lines[0] == "(2000, 1, 1, 0, 0, 0, 5, 1) <class 'int'>"
    # 2000-02-29 exists; 2**32 - 192522496 is 2130-01-01
    assert lines[1] == "(2000, 2, 29) (2130, 1, 1, 0, 0, 0, 6, 1)"
    assert lines[2] == "True"
    assert lines[3] == "True 258 1"  # 1,074,000 ms less 2**30 µs
    assert lines[4] == "(2026, 3, 29, 6, 1, 2, 5) (2026, 3, 29, 1, 2, 5) 6"


def test_the_clock_that_was_set_runs_on_through_deep_sleep(bench):
    lines = bench.says(
        """
        import machine, time
        if machine.reset_cause() == 1:
            machine.RTC().datetime((2026, 1, 1, 0, 0, 0, 0, 0))
            machine.deepsleep(60000)
        print(time.gmtime()[:6], machine.RTC().datetime()[3])
        """,
        seconds=70,
    )
    assert lines == ["(2026, 1, 1, 0, 1, 0) 3"]  # a Thursday


class Toggler(Model):
    """Drives a pin through levels at ms after power."""

    def __init__(self, pin, *changes):
        super().__init__()
        self.pin = pin
        self.changes = changes

    def power(self, on):
        if on:
            for ms, level in self.changes:
                self.host.at(self.host.now + ms * MS, lambda level=level: self.host.drive(self.pin, level))


def test_interrupts_run_inside_sleep_at_their_moment_and_a_raising_one_is_printed(bench):
    lines = bench.says(
        """
        import time
        from machine import Pin
        seen = []
        def fired(pin):
            seen.append((time.ticks_ms(), pin.value()))
            if len(seen) == 2:
                raise ValueError("once")
        p = Pin(5, Pin.IN)
        p.irq(fired, Pin.IRQ_RISING | Pin.IRQ_FALLING)
        time.sleep_ms(1000)
        print(seen, time.ticks_ms())
        p.irq(None)
        time.sleep_ms(1000)
        print(len(seen))
        """,
        Wiring(others=[Toggler(5, (0, 0), (600, 1), (601, 0), (900, 1), (1500, 0))]),
    )
    assert "Unhandled exception in callback" in lines
    assert lines[-2] == "[(600, 1), (601, 0), (900, 1)] 1350"
    assert lines[-1] == "3"


def test_a_polling_loop_sees_edges_and_interrupts(bench):
    lines = bench.says(
        """
        import time
        from machine import Pin, disable_irq, enable_irq
        seen = []
        p = Pin(5, Pin.IN)
        q = Pin(6, Pin.IN, Pin.PULL_UP)
        p.irq(lambda pin: seen.append(time.ticks_ms()), Pin.IRQ_RISING)
        while not seen:
            time.ticks_us()
        print(seen)
        while q.value():
            pass
        print(time.ticks_ms())
        state = disable_irq()
        end = time.ticks_add(time.ticks_ms(), 100)
        while time.ticks_diff(end, time.ticks_ms()) > 0:
            pass
        print(len(seen))
        enable_irq(state)
        print(len(seen))
        """,
        Wiring(others=[Toggler(5, (0, 0), (400, 1), (560, 0), (561, 1)), Toggler(6, (550, 0))]),
    )
    assert lines == ["[400]", "550", "1", "2"]


def test_pins_pulls_open_drain_and_outputs(bench):
    lamp = Listener()
    lines = bench.says(
        """
        from machine import Pin
        print(Pin(1, Pin.IN).value(), Pin(1, Pin.IN, Pin.PULL_UP).value(), Pin(1, Pin.IN, Pin.PULL_DOWN).value())
        print(Pin(2, Pin.IN, Pin.PULL_DOWN).value())
        p = Pin(3, Pin.OUT, value=1)
        print(p.value(), Pin(3) is p)
        p.off(); p.on(); p(0); p.toggle()
        d = Pin(4, Pin.OPEN_DRAIN, Pin.PULL_UP, value=1)
        print(d(), d.value(0), d())
        """,
        Wiring(outputs=[(3, lamp), (4, lamp)], pulls={2: 1}),
    )
    assert lines == ["0 1 0", "1", "1 True", "1 None 0"]
    assert [(pin, level) for pin, level, _ in lamp.seen] == [(3, 1), (3, 0), (3, 1), (3, 0), (3, 1), (4, 0)]


class Listener(Model):
    def output(self, pin, level):
        self.seen.append((pin, level, self.host.now))


def test_driving_against_a_device_ends_the_run(bench):
    bench.board(
        "import time\nfrom machine import Pin\nPin(5, Pin.OUT, value=1)\ntime.sleep(1)\n",
        Wiring(others=[Toggler(5, (600, 0))]),
    )
    with pytest.raises(BoardError, match="pin 5"):
        bench.run(5)


def test_outputs_float_in_deep_sleep_unless_held_and_a_hold_outlives_the_wake(bench):
    lamp = Listener()
    lines = bench.says(
        """
        import machine, esp32
        from machine import Pin
        if machine.reset_cause() == 1:
            Pin(3, Pin.OUT, value=1)
            Pin(4, Pin.OUT, value=1, hold=True)
            Pin(40, Pin.OUT, value=1, hold=True)
            Pin(41, Pin.OUT, value=1, hold=True)
            machine.deepsleep(1000)
        p = Pin(4, Pin.OUT, value=0)
        print(p.value())
        p.init(hold=False)
        print(p.value())
        """,
        Wiring(outputs=[(pin, lamp) for pin in (3, 4, 40)]),
        seconds=5,
    )
    assert lines == ["1", "0"]
    assert [(pin, level) for pin, level, _ in lamp.seen] == [(3, 1), (4, 1), (40, 1), (3, None), (40, None), (4, 0)]


def test_digital_pads_are_held_with_gpio_deep_sleep_hold(bench):
    lamp = Listener()
    bench.board(
        "import machine, esp32\nesp32.gpio_deep_sleep_hold(True)\n"
        "machine.Pin(40, machine.Pin.OUT, value=1, hold=True)\nmachine.deepsleep(1000)\n",
        Wiring(outputs=[(40, lamp)]),
    )
    bench.run(1)
    assert [(pin, level) for pin, level, _ in lamp.seen] == [(40, 1)]


WAKER = """
import machine, esp32, time
from machine import Pin
print(machine.reset_cause(), machine.wake_reason(), machine.wake_pins(), time.time())
if machine.reset_cause() == 1:
    {arm}
    machine.deepsleep({ms})
"""


@pytest.mark.parametrize(
    ("arm", "ms", "expected"),
    [
        ("esp32.wake_on_ext0(Pin(5), esp32.WAKEUP_ALL_LOW)", 60000, "4 2 () 5"),
        ("esp32.wake_on_ext0(pin=5, level=True)", 60000, "4 2 () 0"),  # high already: wakes at once
        ("esp32.wake_on_ext1((4, 5), esp32.WAKEUP_ALL_LOW)", 60000, "4 3 (5,) 5"),
        ("esp32.wake_on_ext1((6,), esp32.WAKEUP_ANY_HIGH)", 60000, "4 3 (6,) 7"),
        ("esp32.wake_on_ext1((6,), esp32.WAKEUP_ANY_HIGH)", 3000, "4 4 () 3"),
        ("Pin(5).irq(trigger=Pin.WAKE_LOW, wake=machine.DEEPSLEEP)", 60000, "4 2 () 5"),
        ("Pin(5).irq(trigger=Pin.WAKE_LOW, wake=machine.SLEEP)", 20000, "4 4 () 20"),
    ],
)
def test_wake_sources_are_levels(bench, arm, ms, expected):
    lines = bench.says(
        WAKER.format(arm=arm, ms=ms),
        Wiring(others=[Toggler(5, (0, 1), (5500, 0)), Toggler(6, (0, 0), (7500, 1))], pulls={4: 1}),
    )
    assert lines == ["1 0 () 0", expected]


def test_light_sleep_goes_on_in_the_same_process_and_pins_alone_do_not_wake_it(bench):
    lines = bench.says(
        """
        import machine, esp32, time
        from machine import Pin
        seen = []
        p = Pin(5, Pin.IN)
        p.irq(lambda pin: seen.append(time.ticks_ms()), Pin.IRQ_FALLING)
        a = time.ticks_ms()
        machine.lightsleep(2000)
        print(time.ticks_diff(time.ticks_ms(), a), len(seen))
        esp32.wake_on_ext0(p, esp32.WAKEUP_ANY_HIGH)
        machine.lightsleep(2000)
        print(time.ticks_ms(), time.time())
        """,
        Wiring(others=[Toggler(5, (0, 1), (1000, 0), (3000, 1))]),
        sleep_clock_ppm=lambda _when: 0,
    )
    assert lines == ["2000 1", "3000 3"]


def test_nvs_keeps_what_was_committed(bench):
    board = bench.board("""
        import esp32, machine
        n = esp32.NVS("node")
        try:
            b = bytearray(10)
            print(n.get_i32("count"), n.get_blob("key", b), bytes(b))
        except OSError as e:
            print(e.args[0])
        try:
            n.get_i32("loose")
        except OSError as e:
            print(e.args[0])
        n.set_i32("count", -5)
        n.set_blob("key", b"abc")
        n.set_blob("gone", b"")
        n.erase_key("gone")
        n.commit()
        n.set_i32("loose", 1)
        try:
            n.get_blob("key", bytearray(2))
        except OSError as e:
            print(e.args[0])
        machine.deepsleep()
        """)
    bench.run(5)
    board.power_cut()
    board.power_on()
    bench.run(5)
    assert board.log().splitlines() == [
        "-4354",
        "-4354",
        "-4364",
        r"-5 3 b'abc\x00\x00\x00\x00\x00\x00\x00'",
        "-4354",
        "-4364",
    ]


def test_entropy_differs_by_board_and_boot_and_never_comes_from_the_host(bench, tmp_path):
    source = """
        import os, random, machine
        print(os.urandom(20).hex(), random.getrandbits(30), random.randrange(1000))
        random.seed()
        print(random.random())
        machine.deepsleep(1000)
        """
    first = bench.board(source)
    second = bench.board(source)
    bench.run(2.5)
    one = first.log().splitlines()
    assert len(one) == len(set(one)) > 3
    assert not set(one) & set(second.log().splitlines())
    again = type(bench)(tmp_path / "again")
    try:
        (tmp_path / "again").mkdir()
        repeated = again.board(source)
        again.run(2.5)
        assert repeated.log().splitlines() == one
    finally:
        again.supervisor.close()


def test_aes_costs_its_blocks_and_unique_id_is_the_mac_of_the_eui(bench):
    lines = bench.says("""
        import time, machine, esp32
        from cryptolib import aes
        c = aes(bytes(16), 1)
        a = time.ticks_us()
        d = c.encrypt(bytes(64))
        print(time.ticks_diff(time.ticks_us(), a), aes(bytes(16), 1).decrypt(d) == bytes(64))
        print(machine.unique_id().hex(), machine.freq(), esp32.mcu_temperature())
        import utime, umachine, uos
        print(utime is time, umachine is machine, hasattr(uos, "system"))
        """)
    assert lines == ["42 True", "70b3d5000000 160000000 20", "True True False"]


def test_every_cost_is_used():
    names = re.findall(r"^([A-Z_0-9]+) = ", (STAND_INS / "costs.py").read_text(), re.MULTILINE)
    text = "".join(path.read_text() for path in STAND_INS.glob("*.py"))
    assert [name for name in names if f"costs.{name}" not in text] == []
