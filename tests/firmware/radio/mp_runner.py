"""The runner under a fake clock with a fake modem: when windows open, what reaches the Mac, what happens when the modem fails."""

from fakes import Clock, install

clock = Clock()
install(clock)

from lorawan import airtime, eu868, reasons  # noqa: E402
from lorawan.crypto import DOWN, crypt, data_mic  # noqa: E402
from lorawan.mac import Mac  # noqa: E402
from radio.runner import Runner  # noqa: E402
from radio.trait import Closed, Frame, RadioError, Sent  # noqa: E402

APP_KEY = "26bb77745b3181ebd862e6a7c213b480"
ACCEPT = bytes.fromhex(
    "202618ddec2f0e2bd95a4c6e08120662e81f3d98ca0865e76ea0d628702f7d0421"
)  # ChirpStack's, to DevNonce 1
DEV_ADDR = b"\x6e\x01\xe7\0"


class Store:
    def __init__(self, log):
        self.records = {}
        self.log = log

    def put(self, name, data):
        self.log.append(("put", name))
        self.records[name] = data

    def get(self, name):
        return self.records.get(name)


class Full:
    def put(self, name, data):
        raise OSError(28)


class Modem:
    """Air time as of the chip; downlinks [(window number, delay after its opening in us, phy)] end after their own air time."""

    lead_us = 200
    max_symbols = 248

    def __init__(self, log, downlinks=(), latency_us=0):
        self.log = log
        self.downlinks = list(downlinks)
        self.latency_us = latency_us
        self.windows = []
        self.sent_us = 0
        self.event = None
        self.fail = None
        self.aborted = 0

    def prepare_transmit(self, phy, frequency, sf, bandwidth, eirp):
        if self.fail == "transmit":
            raise RadioError("SX126x: BUSY stays high")
        self.pending = ("tx", airtime.on_air_us(len(phy), sf, bandwidth))

    def prepare_receive(self, frequency, sf, bandwidth, symbols):
        self.pending = ("rx", symbols * airtime.symbol_us(sf, bandwidth), (frequency, sf, bandwidth, symbols))

    def start(self):
        kind, us = self.pending[:2]
        self.event = None
        self.log.append((kind, clock.us))
        if kind == "tx":
            if self.fail != "silent":
                clock.at(clock.us + us, self.tx_done)
            return
        self.windows.append((clock.us - self.sent_us,) + self.pending[2])
        number = len(self.windows)
        for window, delay, phy in self.downlinks:
            if window == number:
                clock.at(clock.us + delay, lambda phy=phy: self.rx_done(phy))
                return
        if self.fail != "stuck":
            clock.at(clock.us + us, self.closed)

    def tx_done(self):
        self.sent_us = clock.us
        self.event = Sent(clock.ticks_add(clock.ticks_us(), self.latency_us))

    def rx_done(self, phy):
        self.event = Frame(clock.ticks_us(), phy, 9, -60)

    def closed(self):
        self.event = Closed(clock.ticks_us())

    def poll(self):
        event, self.event = self.event, None
        return event

    def abort(self):
        self.aborted += 1

    def sleep(self):
        self.log.append(("sleep", clock.us))


def bench(downlinks=(), join=False):
    """(runner, mac, modem, log); joined with ChirpStack's recorded accept unless `join`."""
    log = []
    store = Store(log)
    mac = Mac(eu868, "a748c6ac76e41f7a", "0000000000000000", APP_KEY, bytes, None, None)
    mac._join().dev_nonce = 1
    modem = Modem(log, [(1, 400000, ACCEPT)])
    runner = Runner(modem, mac, store)
    if not join:
        assert runner.join().reason == ""
        del log[:]
        del modem.windows[:]
        modem.downlinks = list(downlinks)
    return runner, mac, modem, log


def downlink(mac, fcnt, data):
    state = mac._state
    body = b"\x60" + DEV_ADDR + bytes([0x80, fcnt, 0, 20]) + crypt(state.app_key, data, DOWN, DEV_ADDR, fcnt)
    return body + data_mic(state.nwk_key, body, DOWN, DEV_ADDR, fcnt)


def test_join_stores_before_it_transmits_and_before_it_returns():
    runner, mac, modem, log = bench(join=True)
    outcome = runner.join()
    assert outcome.sent
    assert mac.joined
    assert [entry[:2] if entry[0] == "put" else entry[0] for entry in log] == [
        ("put", "nonce"), "tx", "rx", ("put", "nonce"), ("put", "session"), ("put", "nonce"), "sleep",
    ]  # fmt: skip
    opens = modem.windows[0][0]
    assert 4985000 < opens < 5000000 - 10200 + 100, opens


def test_windows_open_early_by_the_error_and_not_earlier():
    runner, _mac, modem, log = bench()
    outcome = runner.send(10, b"hello")
    assert outcome.sent
    assert outcome.reason == ""
    for (opens, _, sf, bandwidth, symbols), delay in zip(modem.windows, (1000000, 2000000)):
        due = airtime.window(delay, sf, bandwidth, 40, 10000, 200)
        assert due[0] - 2000 < opens < due[0] + 100, (opens, due)
        assert symbols == due[1]
    assert modem.windows[1][1:4] == (869525000, 12, 125000)
    assert log[-1][0] == "sleep"


def test_a_late_handler_does_not_move_the_windows():
    runner, _mac, modem, _log = bench()
    modem.latency_us = 10000
    assert runner.send(10, b"hello").sent
    for window, delay in zip(modem.windows, (1000000, 2000000)):
        due = airtime.window(delay, 12, 125000, 40, 10000, 200)
        assert due[0] <= window[0] < due[0] + 1200, (window, due)


def test_the_heap_is_collected_before_a_window_opens():
    import gc

    runner, _mac, modem, _log = bench()
    start = modem.start
    free = []

    def watched():
        if modem.pending[0] == "rx":
            free.append(gc.mem_free())
            gc.collect()
            free.append(gc.mem_free())
        start()

    modem.start = watched
    runner.send(10, b"hello")
    assert all(after - before < 2000 for before, after in zip(free[::2], free[1::2])), free


def test_downlink_in_rx1_closes_the_exchange():
    runner, mac, modem, _log = bench()
    modem.downlinks = [(1, 300000, downlink(mac, 0, b"open"))]
    assert runner.send(10, b"x").received == [(20, b"open")]
    assert len(modem.windows) == 1


def test_foreign_frame_in_rx1_leaves_rx2_alive():
    runner, mac, modem, _log = bench()
    modem.downlinks = [(1, 300000, bytes(20)), (2, 300000, downlink(mac, 0, b"open"))]
    assert runner.send(10, b"x").received == [(20, b"open")]
    assert 1980000 < modem.windows[1][0] < 2000000


def test_frame_that_outlasts_rx2_is_the_end():
    runner, _mac, modem, _log = bench()
    modem.downlinks = [(1, 2500000, bytes(20))]
    outcome = runner.send(10, b"x")
    assert outcome.sent
    assert len(modem.windows) == 1


def test_receiver_that_never_closes_is_ended():
    runner, _mac, modem, _log = bench()
    modem.fail = "stuck"
    assert runner.send(10, b"x").sent
    assert modem.aborted >= 1


def test_device_time_refers_to_the_end_of_the_uplink():
    runner, mac, modem, _log = bench()
    mac.ask_time()
    state = mac._state
    body = b"\x60" + DEV_ADDR + b"\x86\0\0\x0d\x78\xd2\x2f\x58\x80"
    modem.downlinks = [(1, 300000, body + data_mic(state.nwk_key, body, DOWN, DEV_ADDR, 0))]
    seconds, fraction, ticks = runner.send(10, b"x").time
    assert (seconds, fraction) == (0x582FD278, 0x80)
    assert abs(clock.ticks_diff(ticks, modem.sent_us & 0x3FFFFFFF)) < 10


def test_modem_failures_are_outcomes_and_put_it_to_sleep():
    for fail in ("transmit", "silent"):
        runner, mac, modem, log = bench()
        modem.fail = fail
        outcome = runner.send(10, b"x")
        assert outcome.reason == reasons.RADIO and not outcome.sent, fail
        assert log[-1][0] == "sleep"
        modem.fail = None
        clock.calls.clear()
        outcome = runner.send(10, b"x")
        assert outcome.sent, outcome
    assert mac._state.fcnt_up == 2


def test_a_store_that_fails_ends_the_exchange_and_reserves_no_counter():
    runner, mac, _modem, log = bench()
    runner.send(10, b"x")
    mac._state.fcnt_up = mac._state.fcnt_reserved
    store, runner._store = runner._store, Full()
    del log[:]
    for _ in range(3):
        try:
            runner.send(10, b"y")
        except OSError:
            pass
    assert [entry[0] for entry in log] == ["sleep"] * 3, "nothing leaves without its block of counters"
    runner._store = store
    assert runner.send(10, b"z").sent
    assert [entry[0] for entry in log[3:]] == ["put", "tx", "rx", "rx", "sleep"]


def test_watchdog_is_fed_all_along():
    runner, _mac, _modem, _log = bench()
    fed = []
    runner._feed = lambda: fed.append(clock.us)
    runner.send(10, b"x")
    gaps = [b - a for a, b in zip(fed, fed[1:])]
    assert max(gaps) <= 1_030_000, max(gaps)


def test_ticks_may_wrap_during_an_exchange():
    for left in (500000, 1800000, 3200000):
        runner, mac, modem, _log = bench()
        clock.us += 0x40000000 - (clock.us & 0x3FFFFFFF) - left
        modem.downlinks = [(2, 300000, downlink(mac, 0, b"open"))]
        assert runner.send(10, b"x").received == [(20, b"open")], left


def test_a_repetition_follows_after_its_pause_with_the_watchdog_fed():
    runner, mac, _modem, log = bench()
    mac._state.nb_trans = 2
    fed = []
    runner._feed = lambda: fed.append(clock.us)
    assert runner.send(10, b"x").sent
    assert [entry[0] for entry in log] == ["tx", "rx", "rx", "tx", "rx", "rx", "sleep"]
    assert 1262000 <= log[3][1] - log[2][1] <= 1400000, "RX2's 262 ms, then RETRANSMIT_TIMEOUT's least"
    assert max([b - a for a, b in zip(fed, fed[1:])]) <= 1_030_000


def test_a_feed_that_raises_ends_the_exchange_and_no_counter_comes_twice():
    for at in range(1, 80, 6):
        runner, mac, _modem, log = bench()
        mac._state.nb_trans = 2
        left = [at]

        def feed(left=left):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        runner._feed = feed
        try:
            runner.send(10, b"x")
            assert left[0] > 0
        except KeyboardInterrupt:
            assert left[0] == 0
        assert log[-1][0] == "sleep"
        assert mac._state.fcnt_up == 1
        runner._feed = None
        assert runner.send(10, b"y").sent
        assert mac._state.fcnt_up == 2
