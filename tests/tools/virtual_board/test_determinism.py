"""Two runs with one seed end alike, whatever else the machine does and however processes are started."""

from tests.busy import busy
from tools.virtual_board.clocks import SleepClock, next_tick, to_board, to_world
from tools.virtual_board.wiring import UartLine, Wiring

SOURCES = (
    """
    import machine, time, os, random
    m = machine.RTC().memory()
    with open("log", "a") as f:
        f.write("%d %s %d\\n" % (time.time(), os.urandom(4).hex(), random.getrandbits(16)))
    machine.RTC().memory((m + os.urandom(2))[-64:])
    machine.deepsleep(7000 + random.randrange(3000))
    """,
    """
    import machine, time, esp32
    from machine import Pin
    p = Pin(5, Pin.IN)
    n = []
    p.irq(lambda pin: n.append(time.ticks_us()), Pin.IRQ_RISING)
    time.sleep_ms(1500)
    machine.RTC().memory(str((n, time.time_ns())).encode()[-200:])
    esp32.wake_on_ext0(p, 1)
    machine.deepsleep(11000)
    """,
    """
    import machine, time
    u = machine.UART(1, 9600, rx=18, tx=17, timeout=300)
    while True:
        d = u.read(7)
        machine.RTC().memory((machine.RTC().memory() + (d or b"-"))[-500:])
        time.sleep_us(777)
    """,
)


class Noise:
    """A contact that bounces and a sensor that talks, both at random."""

    def attach(self, host):
        self.host = host
        self.chance = host.random("noise")

    def power(self, on):
        if on:
            self.step()

    def step(self):
        self.host.drive(5, self.chance.randrange(2))
        self.host.send(18, self.chance.randbytes(self.chance.randrange(12)))
        self.host.at(self.host.now + self.chance.randrange(1, 400_000_000), self.step)

    def receive(self, data):
        pass


def run(bench_type, folder, **options):
    folder.mkdir()
    bench = bench_type(folder, **options)
    try:
        for number in range(6):
            noise = Noise()
            wiring = Wiring(others=[noise], uart=[UartLine(17, 18, 9600, noise)])
            bench.board(SOURCES[number % 3], wiring, crystal_ppb=None, sleep_clock_ppm=None)
        bench.run(60)
        bench.supervisor.boards[0].power_cut()
        bench.run(5)
        bench.supervisor.boards[0].power_on()
        bench.run(30)
        return bench.supervisor.state_digest(), [board.state_digest() for board in bench.supervisor.boards]
    finally:
        bench.supervisor.close()


def test_six_boards_end_alike_quiet_loaded_and_without_starting_ahead(bench, tmp_path):
    bench_type = type(bench)
    quiet = run(bench_type, tmp_path / "quiet")
    assert len(set(quiet[1])) == 6
    with busy(3):
        loaded = run(bench_type, tmp_path / "loaded", start_ahead=False)
    assert loaded == quiet
    assert run(bench_type, tmp_path / "other", seed="another")[0] != quiet[0]


def test_conversions_between_board_and_world_time_are_exact():
    for ppb in (-40_000, -1, 0, 1, 39_999, 50_000_000, -50_000_000):
        for us in (0, 1, 2, 999, 1_000_000, 3_600_000_000, 10**15 + 1):
            ns = to_world(us, ppb)
            assert to_board(ns, ppb) == us
            assert next_tick(ns, ppb) in (us, us + 1)
            assert to_board(max(0, ns - 1), ppb) <= us
            assert to_world(next_tick(ns, ppb), ppb) >= ns


def test_a_long_sleep_follows_the_temperature():
    hour = 3_600 * 10**9
    clock = SleepClock(0, lambda when: 50_000 if when < hour else -50_000)
    six_hours = 6 * 3_600 * 10**6
    wake = clock.wake(six_hours)
    counted_first_hour = 3_600 * 10**6 * 105 // 100
    assert abs(wake - hour - (six_hours - counted_first_hour) * 1000 * 100 // 95) < 100_000
    assert clock.counted(wake) == six_hours
